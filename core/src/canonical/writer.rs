//! Writing canonical CBOR.

use std::collections::BTreeMap;

use super::float::{to_half, to_single};
use super::{
    ARRAY, BYTES, FALSE, FLOAT_16, FLOAT_32, FLOAT_64, MAP, NEGATIVE, NULL, POSITIVE, TEXT, TRUE, rank,
};
use crate::raw::Raw;
use crate::value::Value;

/// Writes canonical CBOR into memory.
#[derive(Default)]
pub struct Writer(Vec<u8>);

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
            24..=0xff => self.0.extend_from_slice(&[major | 24, argument as u8]),
            0x100..=0xffff => self.item(major | 25, (argument as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.item(major | 26, (argument as u32).to_be_bytes()),
            0x1_0000_0000.. => self.item(major | 27, argument.to_be_bytes()),
        }
        self
    }

    fn item<const N: usize>(&mut self, first: u8, rest: [u8; N]) {
        self.0.push(first);
        self.0.extend_from_slice(&rest);
    }

    /// Begins a list of exactly `len` items.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.head(ARRAY, len as u64)
    }

    /// Says that the list which begins there, with one item so far, has so many.
    pub(crate) fn set_array(&mut self, start: usize, len: usize) {
        let mut head = Self::new();
        head.array(len);
        self.0.splice(start..=start, head.0);
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
        if map.len() < 2 {
            map.iter().for_each(|(key, value)| _ = self.text(key).value(value));
            return self;
        }
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        for (key, value) in entries {
            self.text(key).value(value);
        }
        self
    }
}
