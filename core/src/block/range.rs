//! An adaptive binary range coder (Martin 1979, with LZMA's carry): what is likely costs a fraction of a bit.
//!
//! Models are written once, against [`Coder`], and run in both directions: so what is written is what is read.

/// One direction of coding. Each call takes the value to write and returns the value written, or ignores the one it is given
/// and returns the value read.
pub(super) trait Coder {
    /// A bit that is as likely as `odds` says, which learns from it.
    fn bit(&mut self, odds: &mut Odds, bit: bool) -> bool;

    /// A number below `total`, all of them equally likely; `total` is from 1 to 2^16.
    fn below(&mut self, total: u32, value: u32) -> u32;

    /// The lowest `bits` bits of `value`, all of them equally likely.
    fn plain(&mut self, bits: u32, value: u64) -> u64 {
        let mut left = bits;
        let mut coded = 0;
        while left > 0 {
            let part = left.min(16);
            left -= part;
            let chunk = u32::try_from(value >> left & ((1 << part) - 1)).expect("at most 16 bits");
            coded = coded << part | u64::from(self.below(1 << part, chunk));
        }
        coded
    }
}

/// How likely a bit is, as learnt from those before it.
#[derive(Clone, Copy)]
pub(super) struct Odds {
    /// That it is false, in 65,536ths; never 0.
    off: u16,
    /// How many bits it has seen, up to [`SEEN_MAX`].
    seen: u8,
}

/// Past that many bits odds move by a 64th: slow enough to cost nothing where nothing changes.
const SEEN_MAX: u8 = 62;

impl Default for Odds {
    fn default() -> Self {
        Self { off: 1 << 15, seen: 0 }
    }
}

impl Odds {
    fn bound(self, range: u32) -> u32 {
        (range >> 16) * u32::from(self.off)
    }

    fn learn(&mut self, bit: bool) {
        let rate = (u32::from(self.seen) + 2).ilog2();
        self.seen = (self.seen + 1).min(SEEN_MAX);
        // Neither way does it ever reach 0 or 2^16.
        if bit {
            self.off -= self.off >> rate;
        } else {
            self.off += (u16::MAX - self.off) >> rate;
        }
        self.off = self.off.max(1 << 5);
    }
}

/// Below this the range is widened by a byte.
const RANGE_MIN: u32 = 1 << 24;

/// Writes.
pub(super) struct Encoder {
    out: Vec<u8>,
    low: u64,
    range: u32,
    /// The last byte that a carry could still reach, and how many 0xff follow it.
    held: Option<u8>,
    full: usize,
}

impl Encoder {
    /// Appends to `out`.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { out, low: 0, range: u32::MAX, held: None, full: 0 }
    }

    /// What was written; zeros at the end are left out, since a decoder reads zeros past the end.
    pub(super) fn finish(mut self) -> Vec<u8> {
        for _ in 0..5 {
            self.shift();
        }
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }

    fn shift(&mut self) {
        let carry = self.low >> 32 != 0;
        let [_, _, _, _, byte, ..] = self.low.to_be_bytes();
        if carry || byte != 0xff {
            if let Some(held) = self.held {
                self.out.push(held.wrapping_add(u8::from(carry)));
            }
            let fill = if carry { 0x00 } else { 0xff };
            self.out.extend(std::iter::repeat_n(fill, self.full));
            self.full = 0;
            self.held = Some(byte);
        } else {
            self.full += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    fn narrow(&mut self, from: u32, range: u32) {
        self.low += u64::from(from);
        self.range = range;
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.shift();
        }
    }
}

impl Coder for Encoder {
    fn bit(&mut self, odds: &mut Odds, bit: bool) -> bool {
        let bound = odds.bound(self.range);
        odds.learn(bit);
        if bit {
            self.narrow(bound, self.range - bound)
        } else {
            self.narrow(0, bound)
        }
        bit
    }

    fn below(&mut self, total: u32, value: u32) -> u32 {
        let part = self.range / total;
        self.narrow(part * value, part);
        value
    }
}

/// Reads; past the end it reads zeros.
pub(super) struct Decoder<'a> {
    bytes: std::slice::Iter<'a, u8>,
    code: u32,
    range: u32,
}

impl<'a> Decoder<'a> {
    /// Reads `bytes` from the start.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes: bytes.iter(), code: 0, range: u32::MAX };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | decoder.byte();
        }
        decoder
    }

    fn byte(&mut self) -> u32 {
        self.bytes.next().copied().unwrap_or(0).into()
    }

    fn narrow(&mut self, from: u32, range: u32) {
        // Only bytes that no encoder wrote lie outside.
        self.code = self.code.saturating_sub(from);
        self.range = range;
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
        }
    }
}

impl Coder for Decoder<'_> {
    fn bit(&mut self, odds: &mut Odds, _: bool) -> bool {
        let bound = odds.bound(self.range);
        let bit = self.code >= bound;
        odds.learn(bit);
        if bit {
            self.narrow(bound, self.range - bound)
        } else {
            self.narrow(0, bound)
        }
        bit
    }

    fn below(&mut self, total: u32, _: u32) -> u32 {
        let part = self.range / total;
        let value = (self.code / part).min(total - 1);
        self.narrow(part * value, part);
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(coder: &mut impl Coder, values: &[(u64, u32)]) -> Vec<u64> {
        let mut odds = [Odds::default(); 2];
        let one = |&(value, bits): &(u64, u32)| {
            let is_small = coder.bit(&mut odds[0], value < 2);
            if is_small { coder.bit(&mut odds[1], value == 1).into() } else { coder.plain(bits, value) }
        };
        values.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec((any::<u64>(), 2..=64_u32), 0..300)) {
            let values: Vec<_> = values.into_iter().map(|(value, bits)| (value >> (64 - bits), bits)).collect();
            let mut encoder = Encoder::new(Vec::new());
            let written = code(&mut encoder, &values);
            let bytes = encoder.finish();
            prop_assert_eq!(code(&mut Decoder::new(&bytes), &values), written);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let blank = vec![(0, 64); 100];
            code(&mut Decoder::new(&bytes), &blank);
        }
    }

    #[test]
    fn what_is_certain_costs_next_to_nothing() {
        let mut encoder = Encoder::new(Vec::new());
        let mut odds = Odds::default();
        for _ in 0..10_000 {
            encoder.bit(&mut odds, true);
        }
        assert!(encoder.finish().len() < 20);
    }
}
