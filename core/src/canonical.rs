//! Canonical CBOR (RFC 8949 §4.2): one meaning, one sequence of bytes, so that hashes and signatures mean something.
//!
//! Writing is canonical by construction. Reading bounds nesting and lengths before it allocates, takes any CBOR of the
//! expected shape, and notes whether all of it was canonical.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::VALUE_DEPTH_MAX;
use crate::raw::Raw;
use crate::value::{Number, Value};

/// Bytes that are no canonical CBOR of the expected shape.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end early or are no CBOR.
    #[error("malformed CBOR at byte {offset}")]
    Malformed {
        /// Where reading stopped.
        offset: usize,
    },
    /// CBOR, but not what belongs here.
    #[error("expected {expected} at byte {offset}")]
    Unexpected {
        /// What belongs here.
        expected: &'static str,
        /// Where it should have been.
        offset: usize,
    },
    /// Longer than it may be.
    #[error("{what} of {found} exceeds {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The most it may be.
        limit: usize,
    },
    /// Nested deeper than a decoder's stack should have to bear.
    #[error("value nested deeper than {VALUE_DEPTH_MAX}")]
    TooDeep,
    /// A number that is infinite or none.
    #[error("number is not finite")]
    NotFinite,
    /// The same meaning has another, canonical form.
    #[error("encoding is not canonical")]
    NotCanonical,
    /// Something follows the end.
    #[error("{extra_bytes} bytes after the end")]
    Trailing {
        /// How much follows.
        extra_bytes: usize,
    },
}

/// Writes canonical CBOR into memory.
#[derive(Default)]
pub struct Writer(Vec<u8>);

/// The first three bits of an item.
const POSITIVE: u8 = 0;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const FLOAT_16: u8 = 0xf9;
const FLOAT_32: u8 = 0xfa;
const FLOAT_64: u8 = 0xfb;

impl Writer {
    /// An empty document.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty document in memory that was used before.
    pub fn reusing(mut memory: Vec<u8>) -> Self {
        memory.clear();
        Self(memory)
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes are written.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes back what was written after the first so many bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    #[expect(clippy::cast_possible_truncation, reason = "each arm takes what fits")]
    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        match argument {
            0..=23 => self.0.push(major | argument as u8),
            24..=0xff => self.0.extend([major | 24, argument as u8]),
            0x100..=0xffff => self.item(major | 25, (argument as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.item(major | 26, (argument as u32).to_be_bytes()),
            0x1_0000_0000.. => self.item(major | 27, argument.to_be_bytes()),
        }
        self
    }

    fn item<const N: usize>(&mut self, first: u8, rest: [u8; N]) {
        self.0.push(first);
        self.0.extend(rest);
    }

    /// Begins a list of exactly `len` items.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.head(ARRAY, len as u64)
    }

    /// Begins a map of exactly `len` entries. The caller writes them in canonical order.
    pub fn map(&mut self, len: usize) -> &mut Self {
        self.head(MAP, len as u64)
    }

    /// An unsigned integer.
    pub fn uint(&mut self, number: u64) -> &mut Self {
        self.head(POSITIVE, number)
    }

    /// Nothing.
    pub fn null(&mut self) -> &mut Self {
        self.0.push(NULL);
        self
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, text.len() as u64).0.extend_from_slice(text.as_bytes());
        self
    }

    /// A text, or nothing.
    pub fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// An unsigned integer, or nothing.
    pub fn uint_or_null(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.uint(number),
            None => self.null(),
        }
    }

    /// A value as it was read.
    pub fn raw(&mut self, value: Raw<'_>) -> &mut Self {
        self.0.extend_from_slice(value.bytes());
        self
    }

    /// Any value.
    pub fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.0.push(NULL),
            Value::Bool(true) => self.0.push(TRUE),
            Value::Bool(false) => self.0.push(FALSE),
            Value::Number(number) => match number.as_integer() {
                Some(integer) if integer < 0 => return self.head(NEGATIVE, !integer.cast_unsigned()),
                Some(integer) => return self.uint(integer.unsigned_abs()),
                None => self.float(number.get()),
            },
            Value::Text(text) => return self.text(text),
            Value::List(list) => {
                self.array(list.len());
                for item in list {
                    self.value(item);
                }
            }
            Value::Map(map) => return self.value_map(map),
        }
        self
    }

    /// A number that does not travel as an integer, in the fewest bytes that keep it exactly.
    fn float(&mut self, number: f64) {
        match (to_half(number), to_single(number)) {
            (Some(half), _) => self.item(FLOAT_16, half.to_be_bytes()),
            (None, Some(single)) => self.item(FLOAT_32, single.to_be_bytes()),
            (None, None) => self.item(FLOAT_64, number.to_be_bytes()),
        }
    }

    /// A map from text, in canonical order: shorter keys first, then by bytes.
    pub fn value_map(&mut self, map: &BTreeMap<String, Value>) -> &mut Self {
        self.map(map.len());
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        for (key, value) in entries {
            self.text(key).value(value);
        }
        self
    }
}

/// The order of encoded keys is that of their length, then their bytes.
fn rank(key: &str) -> (usize, &[u8]) {
    (key.len(), key.as_bytes())
}

#[expect(clippy::cast_possible_truncation, reason = "what does not survive it is filtered out")]
fn to_single(number: f64) -> Option<f32> {
    let single = number as f32;
    (f64::from(single) == number).then_some(single)
}

/// The half-precision bits of a finite number that is not zero, if they hold it exactly.
fn to_half(number: f64) -> Option<u16> {
    let bits = number.to_bits();
    let exponent = i64::try_from(bits >> 52 & 0x7ff).expect("eleven bits") - 1023;
    let fraction = bits & ((1 << 52) - 1);
    let (digits, dropped) = match exponent {
        -14..=15 => ((exponent.cast_unsigned().wrapping_add(15) << 52) | fraction, 42),
        -24..=-15 => ((1 << 52) | fraction, 42 + exponent.abs_diff(-14)),
        _ => return None,
    };
    let sign = bits >> 63 << 15;
    let is_exact = digits & ((1 << dropped) - 1) == 0;
    u16::try_from(sign | digits >> dropped).ok().filter(|_| is_exact)
}

fn from_half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f64::from(bits & 0x3ff);
    match bits >> 10 & 0x1f {
        0 => sign * fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        exponent => sign * (1024.0 + fraction) * 2_f64.powi(i32::from(exponent) - 25),
    }
}

/// How an item begins.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Head {
    Positive(u64),
    Negative(u64),
    Bytes(usize),
    Text(usize),
    Array(usize),
    Map(usize),
    Null,
    Bool(bool),
    Float(f64),
    /// A tag, a length that is not told in advance, or a simple value without a meaning here.
    Other,
}

/// Reads CBOR from memory, one expected item after the other.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_canonical: bool,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, is_canonical: true }
    }

    /// Whether everything read so far had the one form that [`Writer`] gives it.
    pub fn is_canonical(&self) -> bool {
        self.is_canonical
    }

    /// Notes that what was read is not what [`Writer`] would have written, if it is not.
    pub(crate) fn expect_canonical(&mut self, is_canonical: bool) {
        self.is_canonical &= is_canonical;
    }

    pub(crate) fn pull(&mut self) -> Result<Head, DecodeError> {
        let [first] = self.array_of_bytes()?;
        let (argument, least) = match first & 0x1f {
            short @ 0..=23 => (u64::from(short), 0),
            24 => (u64::from(u8::from_be_bytes(self.array_of_bytes()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array_of_bytes()?)), 0x100),
            26 => (u64::from(u32::from_be_bytes(self.array_of_bytes()?)), 0x1_0000),
            27 => (u64::from_be_bytes(self.array_of_bytes()?), 0x1_0000_0000),
            31 if !matches!(first >> 5, 0 | 1 | 6) => return Ok(Head::Other),
            _ => return Err(self.malformed()),
        };
        if first >> 5 == 7 {
            return Ok(self.simple_or_float(first, argument));
        }
        self.is_canonical &= argument >= least;
        let len = usize::try_from(argument).map_err(|_| self.malformed());
        Ok(match first & 0xe0 {
            POSITIVE => Head::Positive(argument),
            NEGATIVE => Head::Negative(argument),
            BYTES => Head::Bytes(len?),
            TEXT => Head::Text(len?),
            ARRAY => Head::Array(len?),
            MAP => Head::Map(len?),
            _ => Head::Other,
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument has the width that its first byte says"
    )]
    fn simple_or_float(&mut self, first: u8, argument: u64) -> Head {
        let (number, is_shortest) = match first {
            FLOAT_16 => (from_half(argument as u16), true),
            FLOAT_32 => {
                let number = f64::from(f32::from_bits(argument as u32));
                (number, to_half(number).is_none())
            }
            FLOAT_64 => {
                let number = f64::from_bits(argument);
                (number, to_half(number).is_none() && to_single(number).is_none())
            }
            _ => {
                self.is_canonical &= first & 0x1f < 24;
                return match argument as u8 | 0xe0 {
                    NULL => Head::Null,
                    TRUE => Head::Bool(true),
                    FALSE => Head::Bool(false),
                    _ => Head::Other,
                };
            }
        };
        let is_integer = Number::new(number).is_some_and(|number| number.as_integer().is_some());
        self.is_canonical &= is_shortest && !is_integer;
        Head::Float(number)
    }

    fn array_of_bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(&bytes) = self.bytes[self.at..].first_chunk() else { return Err(self.malformed()) };
        self.at += N;
        Ok(bytes)
    }

    fn malformed(&self) -> DecodeError {
        DecodeError::Malformed { offset: self.at }
    }

    fn unexpected<T>(&self, expected: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Unexpected { expected, offset: self.at })
    }

    /// Fails unless everything has been read.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            extra_bytes => Err(DecodeError::Trailing { extra_bytes }),
        }
    }

    /// The length of a list of at most `limit` items; `what` names it in the error.
    pub fn array(&mut self, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        match self.pull()? {
            Head::Array(len) => checked_len(len, limit, what),
            _ => self.unexpected(what),
        }
    }

    /// As [`Reader::array`], or nothing.
    pub fn array_or_null(&mut self, limit: usize, what: &'static str) -> Result<Option<usize>, DecodeError> {
        match self.pull()? {
            Head::Array(len) => checked_len(len, limit, what).map(Some),
            Head::Null => Ok(None),
            _ => self.unexpected(what),
        }
    }

    /// A list of exactly `len` items.
    pub fn array_of(&mut self, len: usize, what: &'static str) -> Result<(), DecodeError> {
        match self.pull()? {
            Head::Array(found) if found == len => Ok(()),
            _ => self.unexpected(what),
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        match self.pull()? {
            Head::Positive(number) => Ok(number),
            _ => self.unexpected("an unsigned integer"),
        }
    }

    /// An unsigned integer, or nothing.
    pub fn uint_or_null(&mut self) -> Result<Option<u64>, DecodeError> {
        match self.pull()? {
            Head::Positive(number) => Ok(Some(number)),
            Head::Null => Ok(None),
            _ => self.unexpected("an unsigned integer or null"),
        }
    }

    /// A byte string of exactly `N` bytes.
    pub fn bytes_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.slice(N, "byte string")?.try_into() {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.unexpected("a byte string of another length"),
        }
    }

    /// A byte string of at most `limit` bytes.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<Vec<u8>, DecodeError> {
        self.slice(limit, what).map(<[u8]>::to_vec)
    }

    /// A byte string of at most `limit` bytes, in place.
    pub fn slice(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.pull()? {
            Head::Bytes(len) => self.take(checked_len(len, limit, what)?),
            _ => self.unexpected(what),
        }
    }

    /// A text of at most `limit` bytes.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<String, DecodeError> {
        self.str(limit, what).map(str::to_owned)
    }

    /// A text of at most `limit` bytes, in place.
    pub fn str(&mut self, limit: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        match self.pull()? {
            Head::Text(len) => self.str_of(len, limit, what),
            _ => self.unexpected(what),
        }
    }

    /// A text of at most `limit` bytes, or nothing.
    pub fn text_or_null(&mut self, limit: usize, what: &'static str) -> Result<Option<String>, DecodeError> {
        self.str_or_null(limit, what).map(|text| text.map(str::to_owned))
    }

    /// A text of at most `limit` bytes, in place, or nothing.
    pub fn str_or_null(&mut self, limit: usize, what: &'static str) -> Result<Option<&'a str>, DecodeError> {
        match self.pull()? {
            Head::Text(len) => self.str_of(len, limit, what).map(Some),
            Head::Null => Ok(None),
            _ => self.unexpected(what),
        }
    }

    /// Any value that is nested no deeper than [`VALUE_DEPTH_MAX`].
    pub fn value(&mut self) -> Result<Value, DecodeError> {
        self.raw().map(Raw::decode)
    }

    /// Any value that is nested no deeper than [`VALUE_DEPTH_MAX`], in place.
    pub fn raw(&mut self) -> Result<Raw<'a>, DecodeError> {
        let start = self.at;
        self.pass(0)?;
        Ok(Raw::of_checked(&self.bytes[start..self.at]))
    }

    /// A map from text.
    pub fn value_map(&mut self) -> Result<BTreeMap<String, Value>, DecodeError> {
        match self.value()? {
            Value::Map(map) => Ok(map),
            _ => self.unexpected("a map"),
        }
    }

    /// A map from text, in place.
    pub fn raw_map(&mut self) -> Result<Raw<'a>, DecodeError> {
        match self.raw()? {
            map if map.is_map() => Ok(map),
            _ => self.unexpected("a map"),
        }
    }

    /// Passes a value `depth` levels down.
    fn pass(&mut self, depth: usize) -> Result<(), DecodeError> {
        let limit = self.bytes.len();
        match self.pull()? {
            Head::Null | Head::Bool(_) => {}
            Head::Positive(number) => self.expect_canonical(number < 1 << 53),
            Head::Negative(number) => self.expect_canonical(number < (1 << 53) - 1),
            Head::Float(number) if number.is_finite() => {}
            Head::Float(_) => return Err(DecodeError::NotFinite),
            Head::Text(len) => drop(self.str_of(len, limit, "text")?),
            Head::Array(len) => {
                for _ in 0..self.nested_len(len, depth)? {
                    self.pass(depth + 1)?;
                }
            }
            Head::Map(len) => self.pass_entries(len, depth)?,
            Head::Bytes(_) | Head::Other => return self.unexpected("a value"),
        }
        Ok(())
    }

    fn pass_entries(&mut self, len: usize, depth: usize) -> Result<(), DecodeError> {
        let (limit, start) = (self.bytes.len(), self.at);
        let mut is_sorted = true;
        let mut last = None;
        for _ in 0..self.nested_len(len, depth)? {
            let key = self.str(limit, "map key")?;
            is_sorted &= last.is_none_or(|last| rank(last) < rank(key));
            last = Some(key);
            self.pass(depth + 1)?;
        }
        self.expect_canonical(is_sorted);
        if !is_sorted {
            let mut again = Reader { bytes: self.bytes, at: start, is_canonical: true };
            let mut keys = BTreeSet::new();
            for _ in 0..len {
                if !keys.insert(again.str(limit, "map key")?) {
                    return Err(DecodeError::NotCanonical);
                }
                again.pass(depth + 1)?;
            }
        }
        Ok(())
    }

    /// An item takes at least a byte, so no honest list is longer than what is left to read.
    fn nested_len(&mut self, len: usize, depth: usize) -> Result<usize, DecodeError> {
        if depth == VALUE_DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        checked_len(len, self.bytes.len() - self.at, "list")
    }

    fn str_of(&mut self, len: usize, limit: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.take(checked_len(len, limit, what)?)?;
        std::str::from_utf8(bytes).or_else(|_| self.unexpected("text in UTF-8"))
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some(bytes) = self.bytes[self.at..].get(..len) else { return Err(self.malformed()) };
        self.at += len;
        Ok(bytes)
    }
}

fn checked_len(len: usize, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
    if len > limit { Err(DecodeError::TooLong { what, found: len, limit }) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, hex: &str) {
        let value: Value = serde_json::from_str(json).unwrap();
        let mut writer = Writer::new();
        writer.value(&value);
        let bytes = writer.finish();
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), hex, "{json}");
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.value(), Ok(value), "{json}");
        assert_eq!(reader.finish(), Ok(()));
    }

    /// Appendix A of RFC 8949.
    #[test]
    fn values_have_the_bytes_of_the_rfc() {
        check("0", "00");
        check("23", "17");
        check("24", "1818");
        check("1000000", "1a000f4240");
        check("-1", "20");
        check("-100", "3863");
        check("-1000", "3903e7");
        check("1.1", "fb3ff199999999999a");
        check("1.5", "f93e00");
        check("-4.1", "fbc010666666666666");
        check("100000.5", "fa47c35040");
        check("false", "f4");
        check("true", "f5");
        check("null", "f6");
        check(r#""IETF""#, "6449455446");
        check("[1,[2,3],[4,5]]", "8301820203820405");
        check(r#"{"a":1,"b":[2,3]}"#, "a26161016162820203");
        check(r#"{"aa":1,"b":2}"#, "a261620262616101");
    }

    #[test]
    fn hostile_lengths_and_nesting_are_refused() {
        let read = |bytes: &[u8]| Reader::new(bytes).value();
        assert!(matches!(
            read(&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255]),
            Err(DecodeError::TooLong { .. })
        ));
        assert!(matches!(read(&[0x7a, 255, 255, 255, 255]), Err(DecodeError::TooLong { .. })));
        assert!(read(&[0xf9, 0x7e, 0x00]).is_err(), "not a number");
        assert_eq!(read(&[0x81; 100]), Err(DecodeError::TooDeep));
        assert!(read(&[]).is_err());
    }
}
