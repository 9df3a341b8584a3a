//! A value as its canonical bytes: kept and compared as it came, decoded when somebody wants to know.

use std::collections::BTreeMap;

use crate::canonical::{FLOAT_16, FLOAT_32, FLOAT_64, Head, Reader};
use crate::value::Value;

/// Why reading a [`Raw`] again cannot fail.
const CHECKED: &str = "the bytes of a raw value were checked when it was made";

/// The canonical bytes of one value, in place. What follows them in memory is no part of it.
#[derive(Clone, Copy)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// Nothing, as a value.
    pub const NULL: Raw<'static> = Raw(&[0xf6]);
    /// A map without entries.
    pub const EMPTY_MAP: Raw<'static> = Raw(&[0xa0]);

    /// What a [`Reader`] has passed, or a [`crate::canonical::Writer`] has written; more bytes may follow.
    pub(crate) fn of_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Its bytes, and no more.
    pub fn bytes(self) -> &'a [u8] {
        &self.0[..self.0.len() - self.rest().0.len()]
    }

    /// The bytes it was made of: its own, and whatever follows them there.
    pub(crate) fn memory(self) -> &'a [u8] {
        self.0
    }

    /// What follows it in memory, which must be a value too.
    pub(crate) fn rest(self) -> Self {
        let mut items = Items(Reader::new(self.0));
        items.skip();
        Self(items.0.rest())
    }

    /// The value.
    pub fn decode(self) -> Value {
        Items(Reader::new(self.0)).decode()
    }

    /// Whether it is nothing.
    pub fn is_null(self) -> bool {
        self.head() == Head::Null
    }

    /// The truth in it.
    pub fn as_bool(self) -> Option<bool> {
        match self.head() {
            Head::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// The double in it.
    pub fn as_number(self) -> Option<f64> {
        number(self.head())
    }

    /// The text in it.
    pub fn as_text(self) -> Option<&'a str> {
        let mut items = Items(Reader::new(self.0));
        match items.head() {
            Head::Text(len) => Some(items.text(len)),
            _ => None,
        }
    }

    /// Whether it is a list.
    pub fn is_list(self) -> bool {
        matches!(self.head(), Head::Array(_))
    }

    /// Whether it is a map.
    pub fn is_map(self) -> bool {
        matches!(self.head(), Head::Map(_))
    }

    /// Whether it is a list of exactly so many numbers.
    pub fn is_numbers(self, len: usize) -> bool {
        let mut items = Items(Reader::new(self.0));
        items.head() == Head::Array(len) && (0..len).all(|_| items.skip_number())
    }

    /// The entries of a map, none of anything else, in canonical order: shorter keys first, then by bytes.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, Raw<'a>)> {
        let mut items = Items(Reader::new(self.0));
        let len = match items.head() {
            Head::Map(len) => len,
            _ => 0,
        };
        (0..len).map(move |_| {
            let key = items.key();
            let value = Raw(items.0.rest());
            items.skip();
            (key, value)
        })
    }

    /// What a map holds at `key`.
    pub fn get(self, key: &str) -> Option<Raw<'a>> {
        self.entries().find_map(|(other, value)| (other == key).then_some(value))
    }

    /// The entries of a map, none of anything else.
    pub fn decode_map(self) -> BTreeMap<String, Value> {
        self.entries().map(|(key, value)| (key.to_owned(), value.decode())).collect()
    }

    fn head(self) -> Head {
        Items(Reader::new(self.0)).head()
    }
}

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.decode().fmt(f)
    }
}

fn number(head: Head) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "canonical integers are below 2^53")]
    match head {
        Head::Positive(number) => Some(number as f64),
        Head::Negative(number) => Some(-1.0 - number as f64),
        // Adding 0 turns -0, which no canonical bytes hold, into 0.
        Head::Float(number) => Some(number + 0.0),
        _ => None,
    }
}

/// Reads items that were checked before.
struct Items<'a>(Reader<'a>);

impl<'a> Items<'a> {
    fn head(&mut self) -> Head {
        self.0.pull().expect(CHECKED)
    }

    fn text(&mut self, len: usize) -> &'a str {
        std::str::from_utf8(self.0.take(len).expect(CHECKED)).expect(CHECKED)
    }

    fn key(&mut self) -> &'a str {
        match self.head() {
            Head::Text(len) => self.text(len),
            _ => unreachable!("{CHECKED}"),
        }
    }

    fn skip(&mut self) {
        let mut left = 1;
        while left > 0 {
            left -= 1;
            if self.0.short(0).is_some() {
                continue;
            }
            match self.head() {
                Head::Text(len) => drop(self.0.take(len).expect(CHECKED)),
                Head::Array(len) => left += len,
                Head::Map(len) => left += 2 * len,
                _ => {}
            }
        }
    }

    /// Passes the next item if it is a number, and says whether it is.
    fn skip_number(&mut self) -> bool {
        let len = match self.0.rest()[0] {
            0x00..0x18 | 0x20..0x38 => 1,
            0x18 | 0x38 => 2,
            0x19 | 0x39 | FLOAT_16 => 3,
            0x1a | 0x3a | FLOAT_32 => 5,
            0x1b | 0x3b | FLOAT_64 => 9,
            _ => return false,
        };
        self.0.take(len).is_ok()
    }

    fn decode(&mut self) -> Value {
        match self.head() {
            Head::Bool(truth) => Value::Bool(truth),
            Head::Text(len) => Value::Text(self.text(len).to_owned()),
            Head::Array(len) => Value::List((0..len).map(|_| self.decode()).collect()),
            Head::Map(len) => Value::Map((0..len).map(|_| (self.key().to_owned(), self.decode())).collect()),
            head => number(head).and_then(Value::number).unwrap_or_default(),
        }
    }
}
