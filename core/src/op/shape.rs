//! What an argument looks like, as data: checked, printed in help and used to make up arguments in tests.

use std::fmt;

use super::text;
use crate::canonical::Writer;
use crate::founding::ROOM_NAME_BYTES_MAX;
use crate::id::{Dot, PeerKey};
use crate::limits::VALUE_DEPTH_MAX;
use crate::place::Place;
use crate::raw::Raw;
use crate::value::Value;

/// The shape of an argument or a named option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// No argument: `Null`.
    Nothing,
    /// Any value.
    Any,
    /// Any value that leaves room for the list around it: one level less deep than values may be.
    Element,
    /// `true` or `false`.
    Bool,
    /// A finite number.
    Number,
    /// Text.
    Text,
    /// A list of exactly so many numbers.
    Numbers(usize),
    /// A number from 0 on, or nothing for 1.
    Amount,
    /// `#rrggbb`: six hexadecimal digits.
    Color,
    /// A list of any values.
    List,
    /// A map from text.
    Map,
    /// One entry of a map, as the map `{key, value}`: the key is text, the value any. It nests like the map it goes into.
    Entry,
    /// A map of initial properties by path, or nothing.
    Properties,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A message's id, `<actor>:<number>`.
    Message,
    /// A peer's key.
    Peer,
    /// A name for people: text of at most [`ROOM_NAME_BYTES_MAX`] bytes.
    Name,
    /// A place among siblings, as [`Place`] writes it.
    Place,
    /// A character of a text, as [`CharId`](super::text::CharId) writes it.
    Character,
    /// A character of a text, or nothing for its end.
    CharacterOrEnd,
    /// A list of spans of characters, as [`Span`](super::text::Span) writes them.
    Spans,
}

/// A value that has not the shape it should have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected {expected}")]
pub struct ShapeError {
    /// What belongs there.
    pub expected: Shape,
}

/// A value in some form, of which can be said whether it has a shape.
pub trait Shaped {
    /// Whether it has that shape.
    fn has(&self, shape: Shape) -> bool;
}

impl Shaped for &Value {
    fn has(&self, shape: Shape) -> bool {
        shape.fits(self)
    }
}

impl Shaped for Raw<'_> {
    fn has(&self, shape: Shape) -> bool {
        match shape {
            Shape::Nothing => self.is_null(),
            Shape::Any => true,
            Shape::Bool => self.as_bool().is_some(),
            Shape::Number => self.as_number().is_some(),
            Shape::Text => self.as_text().is_some(),
            Shape::Numbers(len) => self.is_numbers(len),
            Shape::List => self.is_list(),
            Shape::Map => self.is_map(),
            Shape::Properties => self.is_null() || self.is_map(),
            Shape::Amount => self.is_null() || self.as_number().is_some_and(|number| number >= 0.0),
            Shape::Name => self.as_text().is_some_and(is_name),
            Shape::Peer => self.as_text().is_some_and(is_peer),
            Shape::Element | Shape::Color | Shape::Entry | Shape::Word(_) | Shape::Message | Shape::Place => {
                shape.fits(&self.decode())
            }
            Shape::Character => text::is_character(*self),
            Shape::CharacterOrEnd => self.is_null() || text::is_character(*self),
            Shape::Spans => text::is_spans(*self),
        }
    }
}

impl Shape {
    /// Fails where `value` has another shape.
    pub fn check(self, value: &Value) -> Result<(), ShapeError> {
        if self.fits(value) { Ok(()) } else { Err(ShapeError { expected: self }) }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Nothing => *value == Value::Null,
            Self::Any => true,
            Self::Element => is_shallower(value, VALUE_DEPTH_MAX),
            Self::Bool => value.as_bool().is_some(),
            Self::Number => value.as_number().is_some(),
            Self::Text => value.as_text().is_some(),
            Self::Numbers(len) => value
                .as_list()
                .is_some_and(|list| list.len() == len && list.iter().all(|item| item.as_number().is_some())),
            Self::Amount => amount(value).is_some(),
            Self::Color => value.as_text().is_some_and(is_color),
            Self::List => value.as_list().is_some(),
            Self::Map => value.as_map().is_some(),
            Self::Entry => entry(value).is_some(),
            Self::Properties => *value == Value::Null || value.as_map().is_some(),
            Self::Word(words) => value.as_text().is_some_and(|word| words.contains(&word)),
            Self::Message => value.as_text().is_some_and(|text| text.parse::<Dot>().is_ok()),
            Self::Peer => value.as_text().is_some_and(is_peer),
            Self::Name => value.as_text().is_some_and(is_name),
            Self::Place => Place::is_written(value),
            // Their one reader reads bytes.
            Self::Character | Self::CharacterOrEnd | Self::Spans => {
                let mut writer = Writer::new();
                writer.value(value);
                Raw::of_checked(&writer.finish()).has(self)
            }
        }
    }
}

fn is_peer(text: &str) -> bool {
    text.parse::<PeerKey>().is_ok()
}

fn is_name(text: &str) -> bool {
    text.len() <= ROOM_NAME_BYTES_MAX
}

/// The number an [`Shape::Amount`] stands for.
pub(super) fn amount(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(1.0),
        value => value.as_number().filter(|number| *number >= 0.0),
    }
}

/// The key and the value of an [`Shape::Entry`].
pub(super) fn entry(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_map().filter(|map| map.len() == 2)?;
    Some((map.get("key")?.as_text()?, map.get("value")?))
}

/// Whether lists and maps in `value` nest less than `depth` deep.
fn is_shallower(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => depth > 0,
        Value::List(list) => depth > 1 && list.iter().all(|item| is_shallower(item, depth - 1)),
        Value::Map(map) => depth > 1 && map.values().all(|item| is_shallower(item, depth - 1)),
    }
}

/// Whether `text` is `#` and six hexadecimal digits.
fn is_color(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no argument"),
            Self::Any | Self::Element => f.write_str("any value"),
            Self::Bool => f.write_str("true or false"),
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("text"),
            Self::Numbers(len) => write!(f, "a list of {len} numbers"),
            Self::Amount => f.write_str("a number from 0 on, or nothing for 1"),
            Self::Color => f.write_str("a color as #rrggbb"),
            Self::List => f.write_str("a list"),
            Self::Map => f.write_str("a map"),
            Self::Entry => f.write_str("a map of key, a text, and value"),
            Self::Properties => f.write_str("a map of properties, or nothing"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Message => f.write_str("a message id"),
            Self::Peer => f.write_str("a peer's key"),
            Self::Name => write!(f, "a text of at most {ROOM_NAME_BYTES_MAX} bytes"),
            Self::Place => f.write_str("a place among siblings"),
            Self::Character => f.write_str("a character of the text"),
            Self::CharacterOrEnd => f.write_str("a character of the text, or null"),
            Self::Spans => f.write_str("spans of characters"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Shape, json: &str, fits: bool) {
        let value = serde_json::from_str(json).unwrap();
        assert_eq!(shape.check(&value).is_ok(), fits, "{shape}: {json}");
    }

    #[test]
    fn a_shape_takes_what_it_says_and_nothing_else() {
        check(Shape::Numbers(3), "[1,2,3]", true);
        check(Shape::Numbers(3), "[1,2]", false);
        check(Shape::Numbers(3), "[1,2,true]", false);
        check(Shape::Number, "true", false);
        check(Shape::Color, "\"#12aBef\"", true);
        check(Shape::Color, "\"#12aBe\"", false);
        check(Shape::Color, "\"#+2aBef\"", false);
        check(Shape::Color, "\"12aBefa\"", false);
        check(Shape::Nothing, "null", true);
        check(Shape::Amount, "null", true);
        check(Shape::Amount, "0", true);
        check(Shape::Amount, "0.5", true);
        check(Shape::Amount, "-1", false);
        check(Shape::Amount, "\"1\"", false);
        check(Shape::Entry, "{\"key\":\"a\",\"value\":null}", true);
        check(Shape::Entry, "{\"key\":\"a\"}", false);
        check(Shape::Entry, "{\"key\":1,\"value\":1}", false);
        check(Shape::Entry, "{\"key\":\"a\",\"value\":1,\"more\":1}", false);
        check(Shape::Properties, "null", true);
        check(Shape::Properties, "[]", false);
        check(Shape::Word(&["XYZ"]), "\"XYZ\"", true);
        check(Shape::Word(&["XYZ"]), "\"xyz\"", false);
        check(Shape::Message, "\"a:1\"", false);
        check(Shape::Peer, "\"a\"", false);
        check(Shape::Peer, &format!("{:?}", PeerKey([7; 32]).to_string()), true);
        check(Shape::Name, &format!("{:?}", "n".repeat(ROOM_NAME_BYTES_MAX)), true);
        check(Shape::Name, &format!("{:?}", "n".repeat(ROOM_NAME_BYTES_MAX + 1)), false);
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        check(Shape::Element, &nested(VALUE_DEPTH_MAX - 1), true);
        check(Shape::Element, &nested(VALUE_DEPTH_MAX), false);
        check(Shape::Any, &nested(VALUE_DEPTH_MAX), true);
    }
}
