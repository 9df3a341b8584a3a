//! Numbers that belong together: mapped to integers, foretold from those before them, and only the error is coded.

use super::cursor::{Cursor, Role};
use super::range::{Coder, Odds};

/// Bits of a magnitude's length that are told one by one; the rest of a longer one is plain.
const LENGTH_STEPS: u32 = 24;

/// Sizes of about the same magnitude, learning which.
#[derive(Clone)]
pub(super) struct Magnitude {
    longer: [Odds; LENGTH_STEPS as usize],
    /// The two bits below the highest one, by length.
    high: [[Odds; 4]; LENGTH_STEPS as usize],
}

impl Default for Magnitude {
    fn default() -> Self {
        Self {
            longer: [Odds::default(); LENGTH_STEPS as usize],
            high: [[Odds::default(); 4]; LENGTH_STEPS as usize],
        }
    }
}

impl Magnitude {
    /// Codes any number, small ones in the fewest bits.
    pub(super) fn code(&mut self, coder: &mut impl Coder, value: u64) -> u64 {
        let bits = u64::BITS - value.leading_zeros();
        let mut len = 0;
        while len < LENGTH_STEPS && coder.bit(&mut self.longer[len as usize], bits > len) {
            len += 1;
        }
        if len == LENGTH_STEPS {
            let bits = LENGTH_STEPS + coder.below(41, bits.saturating_sub(LENGTH_STEPS));
            return 1 << (bits - 1) | coder.plain(bits - 1, value);
        }
        if len <= 1 {
            return len.into();
        }
        let high = &mut self.high[len as usize];
        let mut coded = 1;
        let mut left = len - 1;
        while left > 0 && coded < 4 {
            left -= 1;
            let context = match coded {
                1 => 0,
                2 => 2,
                _ => 3,
            };
            coded = coded << 1 | u64::from(coder.bit(&mut high[context], value >> left & 1 == 1));
        }
        coded << left | coder.plain(left, value)
    }

    /// Codes any number, those near 0 in the fewest bits.
    pub(super) fn code_signed(&mut self, coder: &mut impl Coder, value: i64) -> i64 {
        let coded = self.code(coder, zigzag(value));
        (coded >> 1).cast_signed() ^ -((coded & 1).cast_signed())
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// How doubles are integers, without loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scale {
    /// Multiples of 10^-digits, as the nearest single (narrow) or double is.
    Decimal { digits: u8, narrow: bool },
    /// Multiples of 2^-shift.
    Binary { shift: u8 },
    /// The bits of singles (narrow) or doubles, in the order of their values.
    Bits { narrow: bool },
}

const DIGITS_MAX: u8 = 6;
const SHIFT_MAX: u8 = 100;
const TENS: [f64; DIGITS_MAX as usize + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

impl Scale {
    /// The scale that makes the least of `values`.
    fn fit(values: &[(f64, u32)]) -> Self {
        let fits = |scale: &Self| values.iter().all(|&(value, _)| scale.integer(value).is_some());
        let decimals = |narrow| (0..=DIGITS_MAX).map(move |digits| Self::Decimal { digits, narrow });
        let narrow = Self::Bits { narrow: true };
        let is_narrow = fits(&narrow);
        if let Some(decimal) = decimals(false).chain(decimals(true)).find(fits) {
            return decimal;
        }
        match Self::fit_binary(values, if is_narrow { 32 } else { 53 }) {
            Some(binary) => binary,
            None => Self::Bits { narrow: is_narrow },
        }
    }

    /// Multiples of a power of 2 that all take at most that many bits.
    fn fit_binary(values: &[(f64, u32)], bits_max: i32) -> Option<Self> {
        let (mut lowest, mut highest) = (0, 0);
        for (value, _) in values.iter().filter(|(value, _)| *value != 0.0) {
            let exponent = i32::try_from(value.to_bits() >> 52 & 0x7ff).expect("11 bits") - 1075;
            let mantissa = value.to_bits() & ((1 << 52) - 1) | 1 << 52;
            lowest = lowest.min(exponent + mantissa.trailing_zeros().cast_signed());
            highest = highest.max(exponent + 53);
        }
        let shift = u8::try_from(-lowest).ok().filter(|&shift| shift <= SHIFT_MAX)?;
        let scale = Self::Binary { shift };
        let fits =
            highest - lowest <= bits_max && values.iter().all(|&(value, _)| scale.integer(value).is_some());
        fits.then_some(scale)
    }

    /// The integer that a value is, if it is one.
    fn integer(self, value: f64) -> Option<i64> {
        let integer = self.nearest(value);
        (self.number(integer).to_bits() == value.to_bits()).then_some(integer)
    }

    /// The integer that is nearest to a value.
    #[expect(clippy::cast_possible_truncation, reason = "what does not fit is found out by going back")]
    fn nearest(self, value: f64) -> i64 {
        match self {
            Self::Decimal { digits, .. } => {
                let scaled = value * TENS[usize::from(digits)];
                (scaled + 0.5_f64.copysign(scaled)) as i64
            }
            Self::Binary { shift } => (value * power_of_two(shift)) as i64,
            Self::Bits { narrow: true } => {
                let bits = (value as f32).to_bits().cast_signed();
                (if bits < 0 { bits ^ i32::MAX } else { bits }).into()
            }
            Self::Bits { narrow: false } => {
                let bits = value.to_bits().cast_signed();
                if bits < 0 { bits ^ i64::MAX } else { bits }
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "only integers that no encoder made are too large"
    )]
    fn number(self, integer: i64) -> f64 {
        match self {
            Self::Decimal { digits, narrow: false } => integer as f64 / TENS[usize::from(digits)],
            Self::Decimal { digits, narrow: true } => {
                f64::from((integer as f64 / TENS[usize::from(digits)]) as f32)
            }
            Self::Binary { shift } => integer as f64 / power_of_two(shift),
            Self::Bits { narrow: true } => {
                let bits = integer as i32;
                f32::from_bits((if bits < 0 { bits ^ i32::MAX } else { bits }).cast_unsigned()).into()
            }
            Self::Bits { narrow: false } => {
                f64::from_bits((if integer < 0 { integer ^ i64::MAX } else { integer }).cast_unsigned())
            }
        }
    }

    fn code(self, coder: &mut impl Coder) -> Self {
        let (kind, detail) = match self {
            Self::Decimal { digits, narrow } => (u32::from(narrow), digits),
            Self::Binary { shift } => (2, shift),
            Self::Bits { narrow } => (3 + u32::from(narrow), 0),
        };
        match coder.below(5, kind) {
            kind @ (0 | 1) => Self::Decimal {
                digits: small(coder.below(u32::from(DIGITS_MAX) + 1, detail.into())),
                narrow: kind == 1,
            },
            2 => Self::Binary { shift: small(coder.below(u32::from(SHIFT_MAX) + 1, detail.into())) },
            kind => Self::Bits { narrow: kind == 4 },
        }
    }
}

fn small(value: u32) -> u8 {
    u8::try_from(value).expect("below a limit that is a byte")
}

fn power_of_two(exponent: u8) -> f64 {
    f64::from_bits((1023 + u64::from(exponent)) << 52)
}

/// How one number is foretold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Forecast {
    /// Not at all: it is one of `span + 1` from `base` on. One that never changes so costs nothing.
    Range { span: u64 },
    /// As the one before, and `step` more; always right.
    Steady { step: i64 },
    /// As the one before.
    Last,
    /// As the one before of the same key.
    Key,
    /// As far from the one before of the same key as that was from the one before it.
    Slope,
    /// As somebody who types goes on.
    Cursor,
}

const FORECASTS: u32 = 6;
/// Numbers of a series that each forecast is tried on.
const TRIALS_MAX: usize = 8192;

/// The numbers at one place of messages of one form.
pub(super) struct Series {
    scale: Scale,
    forecast: Forecast,
    base: i64,
    role: Option<Role>,
    last: i64,
    /// Of each key the last two.
    of_keys: Vec<Option<[i64; 2]>>,
    /// By whether the message before had the same form; made with the first error, which in small blocks few series have.
    errors: Option<Box<[Magnitude; 2]>>,
}

/// What is known when a number is coded.
pub(super) struct Context<'a> {
    /// The key of the op, as its number among the block's strings, once it is known.
    pub(super) key: Option<u32>,
    /// The key's number among those that came with the form.
    pub(super) slot: usize,
    /// Whether the op before had the same form.
    pub(super) repeats: bool,
    /// Where somebody types.
    pub(super) cursor: &'a mut Cursor,
}

/// Of each form and key a number that counts the keys of the form: the room to remember what was at each of them.
#[derive(Default)]
pub(super) struct Slots(Vec<(u32, Vec<Option<u32>>)>);

/// Keys of a block that each have a slot; all later ones share one.
const SLOTTED_MAX: u32 = 1 << 14;

impl Slots {
    fn find(&mut self, form: usize, key: u32) -> usize {
        if self.0.len() <= form {
            self.0.resize(form + 1, (0, Vec::new()));
        }
        let (count, slots) = &mut self.0[form];
        let key = key.min(SLOTTED_MAX) as usize;
        if slots.len() <= key {
            slots.resize(key + 1, None);
        }
        let slot = *slots[key].get_or_insert_with(|| {
            *count += 1;
            *count - 1
        });
        slot as usize
    }
}

impl Context<'_> {
    /// The first name in an op is its key.
    pub(super) fn name_key(&mut self, slots: &mut Slots, form: usize, key: u32) {
        if self.key.replace(key).is_none() {
            self.slot = slots.find(form, key);
        }
    }
}

impl Series {
    fn new(scale: Scale, forecast: Forecast, base: i64, role: Option<Role>) -> Self {
        Self { scale, forecast, base, role, last: base, of_keys: Vec::new(), errors: None }
    }

    /// The series that foretells `values` best; each has its op's key.
    pub(super) fn plan(values: &[(f64, u32)], role: Option<Role>) -> Self {
        let scale = Scale::fit(values);
        let integers: Vec<i64> = values.iter().map(|&(value, _)| scale.nearest(value)).collect();
        let (Some(&first), Some(&least), Some(&most)) =
            (integers.first(), integers.iter().min(), integers.iter().max())
        else {
            return Self::new(scale, Forecast::Range { span: 0 }, 0, None);
        };
        let span = most.wrapping_sub(least).cast_unsigned();
        if span == 0 {
            return Self::new(scale, Forecast::Range { span }, least, None);
        }
        let step = integers[1].wrapping_sub(first);
        if integers.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step) {
            return Self::new(scale, Forecast::Steady { step }, first.wrapping_sub(step), None);
        }
        if role.is_some() && (scale == Scale::Decimal { digits: 0, narrow: false }) {
            return Self::new(scale, Forecast::Cursor, 0, role);
        }
        let trials = integers.len().min(TRIALS_MAX);
        let mut best = (trials as u64 * log2(span.saturating_add(1)), Forecast::Range { span });
        let keyed = values.iter().any(|&(_, key)| key != values[0].1);
        let forecasts = [Some(Forecast::Last), keyed.then_some(Forecast::Key), Some(Forecast::Slope)];
        for forecast in forecasts.into_iter().flatten() {
            let mut trial = Self::new(scale, forecast, first, None);
            let mut lengths = [0_u64; 65];
            for (&integer, &(_, key)) in integers[..trials].iter().zip(values) {
                let error = integer.wrapping_sub(trial.foretell(key as usize));
                lengths[64 - zigzag(error).leading_zeros() as usize] += 1;
                trial.learn(key as usize, integer);
            }
            let bits = entropy(&lengths);
            if bits < best.0 {
                best = (bits, forecast);
            }
        }
        let base = if matches!(best.1, Forecast::Range { .. }) { least } else { first };
        Self::new(scale, best.1, base, None)
    }

    /// Codes what the series is.
    pub(super) fn code_plan(self, coder: &mut impl Coder, role: Option<Role>) -> Self {
        let (kind, detail) = match self.forecast {
            Forecast::Range { span } => (0, span),
            Forecast::Steady { step } => (1, zigzag(step)),
            Forecast::Last => (2, 0),
            Forecast::Key => (3, 0),
            Forecast::Slope => (4, 0),
            Forecast::Cursor => (5, 0),
        };
        let scale = self.scale.code(coder);
        let mut size = Magnitude::default();
        let base = size.code_signed(coder, self.base);
        let forecast = match coder.below(FORECASTS, kind) {
            0 => Forecast::Range { span: size.code(coder, detail) },
            1 => Forecast::Steady {
                step: {
                    let step = size.code(coder, detail);
                    (step >> 1).cast_signed() ^ -((step & 1).cast_signed())
                },
            },
            2 => Forecast::Last,
            3 => Forecast::Key,
            4 => Forecast::Slope,
            _ => Forecast::Cursor,
        };
        Self::new(scale, forecast, base, role)
    }

    /// Codes the next number; one to write must be one of those the series was planned for.
    pub(super) fn code(&mut self, coder: &mut impl Coder, context: &mut Context<'_>, value: f64) -> f64 {
        let integer = self.scale.nearest(value);
        let coded = match self.forecast {
            Forecast::Range { span } => {
                let above = code_range(coder, span, integer.wrapping_sub(self.base).cast_unsigned());
                self.base.wrapping_add(above.cast_signed())
            }
            Forecast::Steady { step } => {
                self.last = self.last.wrapping_add(step);
                self.last
            }
            Forecast::Last | Forecast::Key | Forecast::Slope => {
                let foretold = self.foretell(context.slot);
                let coded = self.code_error(coder, context.repeats, foretold, integer);
                self.learn(context.slot, coded);
                coded
            }
            Forecast::Cursor => {
                let role = self.role.unwrap_or(Role::After);
                let foretold = context.cursor.foretell(role);
                let coded = self.code_error(coder, context.repeats, foretold, integer);
                context.cursor.learn(role, coded);
                coded
            }
        };
        self.scale.number(coded)
    }

    fn code_error(&mut self, coder: &mut impl Coder, repeats: bool, foretold: i64, integer: i64) -> i64 {
        let errors = &mut self.errors.get_or_insert_default()[usize::from(repeats)];
        foretold.wrapping_add(errors.code_signed(coder, integer.wrapping_sub(foretold)))
    }

    /// `key` is a number of the key that counts from 0.
    fn foretell(&self, key: usize) -> i64 {
        match (self.forecast, self.of_keys.get(key)) {
            (Forecast::Key, Some(&Some([last, _]))) => last,
            (Forecast::Slope, Some(&Some([last, before]))) => last.wrapping_add(last.wrapping_sub(before)),
            _ => self.last,
        }
    }

    fn learn(&mut self, key: usize, value: i64) {
        if matches!(self.forecast, Forecast::Key | Forecast::Slope) {
            if self.of_keys.len() <= key {
                self.of_keys.resize(key + 1, None);
            }
            let before = self.of_keys[key].map_or(value, |[last, _]| last);
            self.of_keys[key] = Some([value, before]);
        }
        self.last = value;
    }
}

/// A number from 0 to `span`, all of them equally likely.
fn code_range(coder: &mut impl Coder, span: u64, value: u64) -> u64 {
    let low_bits = (64 - span.leading_zeros()).saturating_sub(16);
    let parts = u32::try_from(span >> low_bits).expect("16 bits are left") + 1;
    let high = coder.below(parts, u32::try_from(value >> low_bits).unwrap_or(0).min(parts - 1));
    u64::from(high) << low_bits | coder.plain(low_bits, value)
}

/// The bits that numbers of these lengths take, in 256ths: what it takes to tell the lengths, and what is in them.
fn entropy(lengths: &[u64; 65]) -> u64 {
    let count: u64 = lengths.iter().sum();
    let told: u64 =
        lengths.iter().map(|&of_length| of_length * log2(count).saturating_sub(log2(of_length))).sum();
    let inside: u64 =
        (0..).zip(lengths).map(|(length, &of_length)| of_length * u64::saturating_sub(length, 1)).sum();
    told + (inside << 8)
}

/// The logarithm in 256ths, near enough and the same everywhere.
fn log2(value: u64) -> u64 {
    let Some(whole) = value.checked_ilog2() else { return 0 };
    let fraction = (value << (63 - whole) << 1) >> 56;
    (u64::from(whole) << 8) + fraction
}
