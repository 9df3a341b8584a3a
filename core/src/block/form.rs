//! The form of a piece of a message: its bytes, with gaps where numbers, texts and byte strings stand.
//!
//! A form is kept as the bytes themselves, each gap being one byte that canonical CBOR does not use. So whatever is not
//! understood stays in the form as it is, and filling the gaps gives the same bytes again.

use super::cursor::Role;
use crate::canonical::{from_half, to_half};

/// A number; an integer or float in its canonical bytes.
const NUMBER: u8 = 0x1c;
/// A text that is likely to come again.
const NAME: u8 = 0x7c;
/// A text that is not.
const TEXT: u8 = 0x7d;
/// A byte string that is likely to come again.
const ID: u8 = 0x5c;
/// A byte string that is not.
const BYTES: u8 = 0x5d;
/// Bytes that are not understood.
const OPAQUE: u8 = 0x1d;

/// The form of what is not understood.
pub(crate) const OPAQUE_FORM: &[u8] = &[OPAQUE];

/// Bytes of a path that are part of the form: so numbers at different paths are told apart.
const PATH_BYTES_MAX: usize = 64;
/// Byte strings of at least that many bytes come again: actors do, links do not.
const ID_BYTES_MIN: usize = 32;
/// Gaps of a form; what has more is opaque.
const GAPS_MAX: usize = 64;
/// Nesting of what is looked into; what is deeper is opaque.
const DEPTH_MAX: usize = 16;

/// What a gap is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gap {
    /// A number.
    Number(Option<Role>),
    /// A string: the high bits of its header, none where it has no header, and whether it is likely to come again.
    String { major: Option<u8>, again: bool },
}

impl Gap {
    /// What a number names a character for, if it does.
    pub(crate) fn role(self) -> Option<Role> {
        match self {
            Self::Number(role) => role,
            Self::String { .. } => None,
        }
    }
}

/// What fills a gap.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Fill<'a> {
    /// For [`Gap::Number`].
    Number(f64),
    /// For [`Gap::String`].
    String(&'a [u8]),
}

/// A form, ready to be filled.
pub(crate) struct Form {
    /// What stands before each gap.
    pub(crate) gaps: Vec<(Vec<u8>, Gap)>,
    /// What stands after the last.
    pub(crate) end: Vec<u8>,
    count: usize,
}

impl Form {
    /// The length of the list that begins at its end: how many ops follow an envelope.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The number that a float's header and the bytes after it mean, if they are canonical.
    pub(crate) fn float(first: u8, bytes: &[u8]) -> Option<f64> {
        let mut float = [0; 9];
        float[0] = first;
        float.get_mut(1..=bytes.len())?.copy_from_slice(bytes);
        read_number(&float[..=bytes.len()]).map(|(value, _)| value)
    }

    /// Reads the bytes of a form; none where it has too many gaps.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut gaps = Vec::new();
        let mut rest = bytes;
        let mut start = 0;
        let mut count = 0;
        while let Some(&first) = rest.first() {
            let at = bytes.len() - rest.len();
            let gap = match first {
                NUMBER => Gap::Number(Role::of(&bytes[..at])),
                NAME | TEXT => Gap::String { major: Some(0x60), again: first == NAME },
                ID | BYTES => Gap::String { major: Some(0x40), again: first == ID },
                OPAQUE => Gap::String { major: None, again: false },
                _ => {
                    count = if first >> 5 == 4 { header(rest)?.1 } else { 0 };
                    rest = rest.get(literal_len(rest)?..)?;
                    continue;
                }
            };
            count = 0;
            gaps.push((bytes[start..at].to_vec(), gap));
            rest = &rest[1..];
            start = at + 1;
        }
        let count = usize::try_from(count).ok()?;
        (gaps.len() <= GAPS_MAX).then(|| Self { gaps, end: bytes[start..].to_vec(), count })
    }
}

/// The length of an item that is no gap, without what is nested in it.
fn literal_len(bytes: &[u8]) -> Option<usize> {
    let (head, argument) = header(bytes)?;
    match bytes[0] >> 5 {
        2 | 3 => head.checked_add(usize::try_from(argument).ok()?),
        _ => Some(head),
    }
}

/// The length and the argument of the header of an item.
fn header(bytes: &[u8]) -> Option<(usize, u64)> {
    let info = bytes.first()? & 0x1f;
    let len = match info {
        0..24 => return Some((1, info.into())),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let argument = bytes.get(1..=len)?.iter().fold(0, |argument, &byte| argument << 8 | u64::from(byte));
    Some((len + 1, argument))
}

/// A message, taken apart.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    /// The forms of its envelope and of its ops, one after the other.
    forms: Vec<u8>,
    /// Where each ends, in `forms` and in `fills`.
    ends: Vec<(usize, usize)>,
    fills: Vec<Fill<'a>>,
}

impl<'a> Parts<'a> {
    /// Takes the canonical bytes of a message apart; anything else is one opaque part.
    pub(crate) fn split(&mut self, body: &'a [u8]) {
        self.clear();
        if self.split_message(body).is_none() {
            self.split_opaque(body);
        }
    }

    /// Takes anything as one opaque part.
    pub(crate) fn split_opaque(&mut self, body: &'a [u8]) {
        self.clear();
        self.forms.push(OPAQUE);
        self.fills.push(Fill::String(body));
        self.end();
    }

    /// Each part's form, and what fills its gaps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[Fill<'a>])> {
        let starts = std::iter::once((0, 0)).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, &to)| (&self.forms[from.0..to.0], &self.fills[from.1..to.1]))
    }

    /// How many gaps there are.
    pub(crate) fn gaps(&self) -> usize {
        self.fills.len()
    }

    fn clear(&mut self) {
        self.forms.clear();
        self.ends.clear();
        self.fills.clear();
    }

    fn end(&mut self) {
        self.ends.push((self.forms.len(), self.fills.len()));
    }

    fn split_message(&mut self, body: &'a [u8]) -> Option<()> {
        let mut rest = body;
        self.literal(&mut rest, 0x80)?;
        for _ in 0..7 {
            // Ids of requests and descriptions are not used again.
            self.split_item(&mut rest, true, 0)?;
        }
        let ops = self.literal(&mut rest, 0x80)?;
        if ops > body.len() as u64 {
            return None;
        }
        self.end();
        for _ in 0..ops {
            self.split_op(&mut rest)?;
            self.end();
        }
        rest.is_empty().then_some(())
    }

    fn split_op(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        let items = self.literal(rest, 0x80)?;
        for item in 0..items {
            let is_path = item == 2 && header(rest)?.1 <= PATH_BYTES_MAX as u64;
            match item {
                0 => _ = self.literal(rest, 0x00)?,
                2 if is_path && rest[0] >> 5 == 3 => self.literal_string(rest)?,
                // A text that is the whole value is written by people, and not again.
                _ => self.split_item(rest, item == 3, 0)?,
            }
        }
        Some(())
    }

    fn split_item(&mut self, rest: &mut &'a [u8], is_value: bool, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let first = *rest.first()?;
        match first >> 5 {
            0 | 1 => self.number(rest),
            7 if first > 0xf8 => self.number(rest),
            2 => self.string(rest, 0x40, [BYTES, ID], |len| len >= ID_BYTES_MIN),
            3 => self.string(rest, 0x60, [TEXT, NAME], |_| !is_value),
            4 => {
                for _ in 0..self.literal(rest, 0x80)? {
                    self.split_item(rest, false, depth + 1)?;
                }
                Some(())
            }
            5 => {
                for _ in 0..self.literal(rest, 0xa0)? {
                    if header(rest)?.1 > PATH_BYTES_MAX as u64 || rest[0] >> 5 != 3 {
                        return None;
                    }
                    self.literal_string(rest)?;
                    self.split_item(rest, false, depth + 1)?;
                }
                Some(())
            }
            _ => self.literal(rest, first & 0xe0).map(drop),
        }
    }

    /// Takes the header of an item of that major type into the form, and returns its argument.
    fn literal(&mut self, rest: &mut &'a [u8], major: u8) -> Option<u64> {
        let (len, argument) = header(rest)?;
        if rest[0] & 0xe0 != major {
            return None;
        }
        self.forms.extend(rest.split_off(..len)?);
        Some(argument)
    }

    /// Takes a string into the form.
    fn literal_string(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        let len = literal_len(rest)?;
        self.forms.extend(rest.split_off(..len)?);
        Some(())
    }

    fn number(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        let (value, len) = read_number(rest)?;
        rest.split_off(..len)?;
        self.gap(NUMBER, Fill::Number(value))
    }

    fn string(
        &mut self,
        rest: &mut &'a [u8],
        major: u8,
        gaps: [u8; 2],
        again: impl Fn(usize) -> bool,
    ) -> Option<()> {
        let (head, len) = header(rest)?;
        let len = usize::try_from(len).ok()?;
        if head != header_len(len as u64) || rest[0] & 0xe0 != major {
            return None;
        }
        rest.split_off(..head)?;
        let string = rest.split_off(..len)?;
        self.gap(gaps[usize::from(again(len))], Fill::String(string))
    }

    fn gap(&mut self, gap: u8, fill: Fill<'a>) -> Option<()> {
        let gaps = self.fills.len() - self.ends.last().map_or(0, |end| end.1);
        if gaps == GAPS_MAX {
            return None;
        }
        self.forms.push(gap);
        self.fills.push(fill);
        Some(())
    }
}

fn header_len(argument: u64) -> usize {
    match argument {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// Appends a header, in its shortest form.
pub(crate) fn write_header(out: &mut Vec<u8>, major: u8, argument: u64) {
    let (bytes, len) = header_bytes(major, argument);
    out.extend_from_slice(&bytes[..len]);
}

/// A header in its shortest form: the first so many bytes.
fn header_bytes(major: u8, argument: u64) -> ([u8; 9], usize) {
    let len = header_len(argument);
    let argument = argument.to_be_bytes();
    let mut bytes = [0; 9];
    bytes[0] = major
        | match len {
            1 => argument[7],
            2 => 24,
            3 => 25,
            5 => 26,
            _ => 27,
        };
    bytes[1..len].copy_from_slice(&argument[9 - len..]);
    (bytes, len)
}

/// Integers from here on travel as floats.
const INTEGRAL_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends a number in its canonical bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "found out by going back")]
pub(crate) fn write_number(out: &mut Vec<u8>, value: f64) {
    // Most are small: how many messages ago, which op, which character.
    let small = value as u8;
    if small < 24 && f64::from(small) == value {
        return out.push(small);
    }
    let (bytes, len) = number_bytes(value);
    out.extend_from_slice(&bytes[..len]);
}

/// A number's canonical bytes: the first so many.
#[expect(clippy::cast_possible_truncation, reason = "in range, or found out by going back")]
fn number_bytes(value: f64) -> ([u8; 9], usize) {
    if value.abs() < INTEGRAL_MAX && value as i64 as f64 == value {
        let integer = value as i64;
        return match integer < 0 {
            true => header_bytes(0x20, !integer.cast_unsigned()),
            false => header_bytes(0x00, integer.cast_unsigned()),
        };
    }
    let mut bytes = [0; 9];
    let single = value as f32;
    let len = if f64::from(single).to_bits() != value.to_bits() {
        bytes[0] = 0xfb;
        bytes[1..].copy_from_slice(&value.to_bits().to_be_bytes());
        9
    } else if let Some(half) = to_half(value) {
        bytes[0] = 0xf9;
        bytes[1..3].copy_from_slice(&half.to_be_bytes());
        3
    } else {
        bytes[0] = 0xfa;
        bytes[1..5].copy_from_slice(&single.to_bits().to_be_bytes());
        5
    };
    (bytes, len)
}

/// A number in its canonical bytes, and how many they are.
fn read_number(bytes: &[u8]) -> Option<(f64, usize)> {
    let (len, argument) = header(bytes)?;
    let first = bytes[0];
    #[expect(clippy::cast_precision_loss, reason = "what is not exact is refused below")]
    let value = match first >> 5 {
        0 => argument as f64,
        1 => -1.0 - argument as f64,
        _ => match first {
            0xf9 => from_half(u16::try_from(argument).ok()?),
            0xfa => f32::from_bits(u32::try_from(argument).ok()?).into(),
            0xfb => f64::from_bits(argument),
            _ => return None,
        },
    };
    // Whatever is not written as it would be here is not a number to us.
    let (again, again_len) = number_bytes(value);
    (value.is_finite() && bytes.get(..len)? == &again[..again_len]).then_some((value, len))
}
