//! Canonical CBOR (RFC 8949 §4.2): one meaning, one sequence of bytes, so that hashes and signatures mean something.
//!
//! Writing is canonical by construction. Reading bounds nesting and lengths before it allocates; whether bytes
//! were canonical is settled by writing again what was read and comparing.

use std::collections::BTreeMap;

use ciborium_ll::{Decoder, Encoder, Header};

use crate::limits::VALUE_DEPTH_MAX;
use crate::value::Value;

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
pub struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty document.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn header(&mut self, header: Header) -> &mut Self {
        Encoder::from(&mut self.0).push(header).expect("writing to memory cannot fail");
        self
    }

    /// Begins a list of exactly `len` items.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.header(Header::Array(Some(len)))
    }

    /// Begins a map of exactly `len` entries. The caller writes them in canonical order.
    pub fn map(&mut self, len: usize) -> &mut Self {
        self.header(Header::Map(Some(len)))
    }

    /// An unsigned integer.
    pub fn uint(&mut self, number: u64) -> &mut Self {
        self.header(Header::Positive(number))
    }

    /// Nothing.
    pub fn null(&mut self) -> &mut Self {
        self.header(Header::Simple(ciborium_ll::simple::NULL))
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        Encoder::from(&mut self.0).bytes(bytes, None).expect("writing to memory cannot fail");
        self
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        Encoder::from(&mut self.0).text(text, None).expect("writing to memory cannot fail");
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

    /// Any value.
    pub fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.null(),
            Value::Bool(true) => self.header(Header::Simple(ciborium_ll::simple::TRUE)),
            Value::Bool(false) => self.header(Header::Simple(ciborium_ll::simple::FALSE)),
            Value::Number(number) => match number.as_integer() {
                Some(integer) if integer < 0 => self.header(Header::Negative(!integer.cast_unsigned())),
                Some(integer) => self.uint(integer.unsigned_abs()),
                None => self.header(Header::Float(number.get())),
            },
            Value::Text(text) => self.text(text),
            Value::List(list) => {
                self.array(list.len());
                for item in list {
                    self.value(item);
                }
                self
            }
            Value::Map(map) => self.value_map(map),
        }
    }

    /// A map from text, in canonical order: shorter keys first, then by bytes.
    pub fn value_map(&mut self, map: &BTreeMap<String, Value>) -> &mut Self {
        self.map(map.len());
        let mut entries: Vec<_> = map.iter().collect();
        // The order of the encoded keys is that of their length, then their bytes.
        entries.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
        for (key, value) in entries {
            self.text(key).value(value);
        }
        self
    }
}

/// Reads CBOR from memory, one expected item after the other.
pub struct Reader<'a> {
    decoder: Decoder<&'a [u8]>,
    len: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::from(bytes), len: bytes.len() }
    }

    fn offset(&mut self) -> usize {
        self.decoder.offset()
    }

    fn pull(&mut self) -> Result<Header, DecodeError> {
        self.decoder.pull().map_err(|_| DecodeError::Malformed { offset: self.decoder.offset() })
    }

    fn unexpected<T>(&mut self, expected: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Unexpected { expected, offset: self.offset() })
    }

    /// Fails unless everything has been read.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        match self.len - self.offset() {
            0 => Ok(()),
            extra_bytes => Err(DecodeError::Trailing { extra_bytes }),
        }
    }

    /// The length of a list of at most `limit` items; `what` names it in the error.
    pub fn array(&mut self, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        match self.pull()? {
            Header::Array(Some(len)) => self.checked_len(len, limit, what),
            _ => self.unexpected(what),
        }
    }

    /// As [`Reader::array`], or nothing.
    pub fn array_or_null(&mut self, limit: usize, what: &'static str) -> Result<Option<usize>, DecodeError> {
        match self.pull()? {
            Header::Array(Some(len)) => self.checked_len(len, limit, what).map(Some),
            Header::Simple(ciborium_ll::simple::NULL) => Ok(None),
            _ => self.unexpected(what),
        }
    }

    /// A list of exactly `len` items.
    pub fn array_of(&mut self, len: usize, what: &'static str) -> Result<(), DecodeError> {
        match self.pull()? {
            Header::Array(Some(found)) if found == len => Ok(()),
            _ => self.unexpected(what),
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        match self.pull()? {
            Header::Positive(number) => Ok(number),
            _ => self.unexpected("an unsigned integer"),
        }
    }

    /// An unsigned integer, or nothing.
    pub fn uint_or_null(&mut self) -> Result<Option<u64>, DecodeError> {
        match self.pull()? {
            Header::Positive(number) => Ok(Some(number)),
            Header::Simple(ciborium_ll::simple::NULL) => Ok(None),
            _ => self.unexpected("an unsigned integer or null"),
        }
    }

    /// A byte string of exactly `N` bytes.
    pub fn bytes_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes(N, "byte string")?;
        match bytes.try_into() {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.unexpected("a byte string of another length"),
        }
    }

    /// A byte string of at most `limit` bytes.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<Vec<u8>, DecodeError> {
        match self.pull()? {
            Header::Bytes(Some(len)) => {
                let len = self.checked_len(len, limit, what)?;
                self.take(len)
            }
            _ => self.unexpected(what),
        }
    }

    /// A text of at most `limit` bytes.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<String, DecodeError> {
        match self.pull()? {
            Header::Text(Some(len)) => self.text_of(len, limit, what),
            _ => self.unexpected(what),
        }
    }

    /// A text of at most `limit` bytes, or nothing.
    pub fn text_or_null(&mut self, limit: usize, what: &'static str) -> Result<Option<String>, DecodeError> {
        match self.pull()? {
            Header::Text(Some(len)) => self.text_of(len, limit, what).map(Some),
            Header::Simple(ciborium_ll::simple::NULL) => Ok(None),
            _ => self.unexpected(what),
        }
    }

    /// Any value that is nested no deeper than [`VALUE_DEPTH_MAX`].
    pub fn value(&mut self) -> Result<Value, DecodeError> {
        self.value_below(0)
    }

    /// A map from text.
    pub fn value_map(&mut self) -> Result<BTreeMap<String, Value>, DecodeError> {
        match self.value()? {
            Value::Map(map) => Ok(map),
            _ => self.unexpected("a map"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an integer past 2^53 is refused as not canonical")]
    fn value_below(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let header = self.pull()?;
        let limit = self.len;
        match header {
            Header::Simple(ciborium_ll::simple::NULL) => Ok(Value::Null),
            Header::Simple(ciborium_ll::simple::TRUE) => Ok(Value::Bool(true)),
            Header::Simple(ciborium_ll::simple::FALSE) => Ok(Value::Bool(false)),
            Header::Positive(number) => Value::number(number as f64).ok_or(DecodeError::NotFinite),
            Header::Negative(number) => Value::number(-1.0 - number as f64).ok_or(DecodeError::NotFinite),
            Header::Float(number) => Value::number(number).ok_or(DecodeError::NotFinite),
            Header::Text(Some(len)) => self.text_of(len, limit, "text").map(Value::Text),
            Header::Array(Some(len)) => {
                let len = self.nested_len(len, depth)?;
                let mut list = Vec::with_capacity(len);
                for _ in 0..len {
                    list.push(self.value_below(depth + 1)?);
                }
                Ok(Value::List(list))
            }
            Header::Map(Some(len)) => {
                let len = self.nested_len(len, depth)?;
                let mut map = BTreeMap::new();
                for _ in 0..len {
                    let key = self.text(limit, "map key")?;
                    if map.insert(key, self.value_below(depth + 1)?).is_some() {
                        return Err(DecodeError::NotCanonical);
                    }
                }
                Ok(Value::Map(map))
            }
            _ => self.unexpected("a value"),
        }
    }

    /// An item takes at least a byte, so no honest list is longer than what is left to read.
    fn nested_len(&mut self, len: usize, depth: usize) -> Result<usize, DecodeError> {
        if depth == VALUE_DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let left = self.len - self.offset();
        self.checked_len(len, left, "list")
    }

    fn checked_len(&mut self, len: usize, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        if len > limit { Err(DecodeError::TooLong { what, found: len, limit }) } else { Ok(len) }
    }

    fn text_of(&mut self, len: usize, limit: usize, what: &'static str) -> Result<String, DecodeError> {
        let len = self.checked_len(len, limit, what)?;
        let bytes = self.take(len)?;
        String::from_utf8(bytes).or_else(|_| self.unexpected("text in UTF-8"))
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>, DecodeError> {
        let offset = self.offset();
        if len > self.len - offset {
            return Err(DecodeError::Malformed { offset });
        }
        let mut bytes = vec![0; len];
        ciborium_io::Read::read_exact(&mut self.decoder, &mut bytes)
            .map_err(|_| DecodeError::Malformed { offset })?;
        Ok(bytes)
    }
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
