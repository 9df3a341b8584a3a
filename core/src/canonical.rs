//! Canonical CBOR (RFC 8949 §4.2): one meaning, one sequence of bytes, so that hashes and signatures mean something.
//!
//! Writing is canonical by construction. Reading bounds nesting and lengths before it allocates, takes any CBOR of the
//! expected shape, and notes whether all of it was canonical.

mod float;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use float::to_single;
pub(crate) use float::{from_half, to_half};
pub use writer::Writer;

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

/// The first three bits of an item.
const POSITIVE: u8 = 0;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const SIMPLE: u8 = 7 << 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
pub(crate) const FLOAT_16: u8 = 0xf9;
pub(crate) const FLOAT_32: u8 = 0xfa;
pub(crate) const FLOAT_64: u8 = 0xfb;

/// The order of encoded keys is that of their length, then their bytes.
fn rank(key: &str) -> (usize, &[u8]) {
    (key.len(), key.as_bytes())
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
#[derive(Clone)]
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

    /// The argument of an item of that kind, if one comes next whose first byte says it all.
    #[inline]
    pub(crate) fn short(&mut self, major: u8) -> Option<usize> {
        let argument = self.bytes.get(self.at)?.checked_sub(major).filter(|&argument| argument < 24)?;
        self.at += 1;
        Some(usize::from(argument))
    }

    /// The argument of an item of that kind, if one comes next that is whole.
    #[inline]
    fn argument_of(&mut self, major: u8) -> Option<u64> {
        let &first = self.bytes.get(self.at)?;
        let start = self.at;
        match first.wrapping_sub(major) {
            short @ 0..24 => {
                self.at += 1;
                Some(short.into())
            }
            24..28 => {
                self.at += 1;
                let argument = self.argument(first);
                self.at = if argument.is_some() { self.at } else { start };
                argument
            }
            28.. => None,
        }
    }

    /// The length of an item of that kind, if one comes next that is whole.
    #[inline]
    fn len_of(&mut self, major: u8) -> Option<usize> {
        self.argument_of(major)?.try_into().ok()
    }

    #[inline]
    fn short_null(&mut self) -> bool {
        let is_null = self.bytes.get(self.at) == Some(&NULL);
        self.at += usize::from(is_null);
        is_null
    }

    #[inline]
    pub(crate) fn pull(&mut self) -> Result<Head, DecodeError> {
        self.try_pull().ok_or_else(|| self.malformed())
    }

    /// The beginning of the next item; nothing where the bytes end or are no CBOR.
    #[inline]
    fn try_pull(&mut self) -> Option<Head> {
        let &first = self.bytes.get(self.at)?;
        self.at += 1;
        let short = first & 0x1f;
        // Most are short: what follows costs more.
        let argument = if short < 24 { u64::from(short) } else { self.argument(first)? };
        let len = usize::try_from(argument);
        Some(match first & 0xe0 {
            POSITIVE if short < 31 => Head::Positive(argument),
            NEGATIVE if short < 31 => Head::Negative(argument),
            BYTES if short < 31 => Head::Bytes(len.ok()?),
            TEXT if short < 31 => Head::Text(len.ok()?),
            ARRAY if short < 31 => Head::Array(len.ok()?),
            MAP if short < 31 => Head::Map(len.ok()?),
            SIMPLE => return Some(self.simple_or_float(first, argument)),
            BYTES | TEXT | ARRAY | MAP => Head::Other,
            _ if short < 31 => Head::Other,
            _ => return None,
        })
    }

    /// The argument that follows an item's first byte; 0 for none.
    fn argument(&mut self, first: u8) -> Option<u64> {
        let (argument, least) = match first & 0x1f {
            24 => (u64::from(self.take_array::<1>()?[0]), 24),
            25 => (u64::from(u16::from_be_bytes(self.take_array()?)), 0x100),
            26 => (u64::from(u32::from_be_bytes(self.take_array()?)), 0x1_0000),
            27 => (u64::from_be_bytes(self.take_array()?), 0x1_0000_0000),
            31 => (0, 0),
            _ => return None,
        };
        // Of a float all bits are given, be they zeros.
        self.is_canonical &= argument >= least || first >= SIMPLE;
        Some(argument)
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

    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let &bytes = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(bytes)
    }

    /// Why something else comes next than what belongs there.
    #[cold]
    fn refuse<T>(&mut self, expected: &'static str) -> Result<T, DecodeError> {
        self.pull()?;
        self.unexpected(expected)
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
        match self.len_of(ARRAY) {
            Some(len) => checked_len(len, limit, what),
            None => self.refuse(what),
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
        if self.len_of(ARRAY) == Some(len) { Ok(()) } else { self.refuse(what) }
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        match self.argument_of(POSITIVE) {
            Some(number) => Ok(number),
            None => self.refuse("an unsigned integer"),
        }
    }

    /// An unsigned integer, or nothing.
    pub fn uint_or_null(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.short_null() {
            return Ok(None);
        }
        match self.argument_of(POSITIVE) {
            Some(number) => Ok(Some(number)),
            None => self.refuse("an unsigned integer or null"),
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
        match self.len_of(TEXT) {
            Some(len) => self.str_of(len, limit, what),
            None => self.refuse(what),
        }
    }

    /// A text of at most `limit` bytes, or nothing.
    pub fn text_or_null(&mut self, limit: usize, what: &'static str) -> Result<Option<String>, DecodeError> {
        self.str_or_null(limit, what).map(|text| text.map(str::to_owned))
    }

    /// A text of at most `limit` bytes, in place, or nothing.
    pub fn str_or_null(&mut self, limit: usize, what: &'static str) -> Result<Option<&'a str>, DecodeError> {
        if self.short_null() {
            return Ok(None);
        }
        match self.len_of(TEXT) {
            Some(len) => self.str_of(len, limit, what).map(Some),
            None => self.refuse(what),
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
