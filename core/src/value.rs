//! Property values: JSON's model with finite numbers, one representation per meaning.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::VALUE_DEPTH_MAX;

/// Integral numbers below this travel as integers (2^53): above it doubles skip some.
const INTEGRAL_MAX: f64 = 9_007_199_254_740_992.0;

/// What a property holds, and what an op carries.
///
/// Equality is by value: `2` and `2.0` are one number, a boolean is no number. The order is total and agrees with it: null,
/// `false`, `true`, numbers by size, texts by their bytes, then lists and maps by what they hold.
///
/// ```
/// use rtc_core::value::Value;
///
/// let position = Value::numbers(&[1.0, 0.5, -0.0]).expect("all are finite");
/// assert_eq!(position.as_numbers::<3>(), Some([1.0, 0.5, 0.0]));
/// assert_eq!(serde_json::from_str::<Value>("[1, 0.5, 0]").unwrap(), position);
/// assert_eq!(Value::number(f64::NAN), None);
/// assert!(Value::from("text") < position && Value::Null < Value::from(false));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Value {
    /// Nothing, as a value.
    #[default]
    Null,
    /// Truth.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// Unicode text.
    Text(String),
    /// An ordered list.
    List(Vec<Value>),
    /// A map from text, ordered by key bytes.
    Map(BTreeMap<String, Value>),
}

/// A finite IEEE double that is never -0 (DESIGN §3, law 11).
#[derive(Clone, Copy, PartialEq)]
pub struct Number(f64);

impl Number {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// The number, or nothing where it is infinite or not a number. -0 becomes 0.
    pub fn new(number: f64) -> Option<Self> {
        // Adding 0 turns -0 into 0 and leaves every other number as it is.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The double.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The number as an integer, if it is integral and below 2^53 in magnitude.
    pub fn as_integer(self) -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "what does not survive it is filtered out")]
        let integer = self.0 as i64;
        #[expect(clippy::cast_precision_loss, reason = "integers below 2^53 are doubles")]
        (self.0.abs() < INTEGRAL_MAX && integer as f64 == self.0).then_some(integer)
    }
}

impl Eq for Number {}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without NaN and -0 the total order of doubles is the one by size.
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Value {
    /// A number; nothing where it is not finite.
    pub fn number(number: f64) -> Option<Self> {
        Number::new(number).map(Self::Number)
    }

    /// The double in it.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number.get()),
            _ => None,
        }
    }

    /// The text in it.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth in it.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The list in it.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The map in it.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// A list of exactly `N` numbers.
    pub fn as_numbers<const N: usize>(&self) -> Option<[f64; N]> {
        let list: &[Value; N] = self.as_list()?.try_into().ok()?;
        let mut numbers = [0.0; N];
        for (number, value) in numbers.iter_mut().zip(list) {
            *number = value.as_number()?;
        }
        Some(numbers)
    }

    /// A list of numbers; nothing where one is not finite.
    pub fn numbers(numbers: &[f64]) -> Option<Self> {
        numbers.iter().map(|&number| Self::number(number)).collect::<Option<_>>().map(Self::List)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Number(number) => match number.as_integer() {
                Some(integer) => serializer.serialize_i64(integer),
                None => serializer.serialize_f64(number.get()),
            },
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for value in list {
                    seq.serialize_element(value)?;
                }
                seq.end()
            }
            Self::Map(map) => {
                let mut entries = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    entries.serialize_entry(key, value)?;
                }
                entries.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Nested { depth: 0 }.deserialize_value(deserializer)
    }
}

/// Decodes a value `depth` levels down, refusing what is deeper than a stack should have to bear.
#[derive(Clone, Copy)]
struct Nested {
    depth: usize,
}

impl Nested {
    fn deserialize_value<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == VALUE_DEPTH_MAX {
            return Err(E::custom(format_args!("value nested deeper than {VALUE_DEPTH_MAX}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize_value(deserializer)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, a finite number, text, a list or a map from text")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize_value(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        Value::number(number).ok_or_else(|| E::custom("number is not finite"))
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers are doubles; what they cannot hold is rounded")]
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Value, E> {
        self.visit_f64(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers are doubles; what they cannot hold is rounded")]
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(deeper)? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key()? {
            map.insert(key, entries.next_value_seed(deeper)?);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_and_never_minus_zero() {
        assert_eq!(Number::new(f64::NAN), None);
        assert_eq!(Number::new(f64::INFINITY), None);
        assert_eq!(Number::new(-0.0).map(|zero| zero.get().to_bits()), Some(0));
    }

    #[test]
    fn integral_numbers_print_as_integers() {
        let value = Value::numbers(&[5.0, -1.0, 0.5, 9_007_199_254_740_992.0]).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), "[5,-1,0.5,9007199254740992.0]");
    }

    #[test]
    fn values_have_one_order() {
        let sorted =
            r#"[null,false,true,-1e300,-2,0,0.1,2,10,"","B","a","aa",[],[1],[1,0],[2],{},{"a":1},{"a":2}]"#;
        let Value::List(sorted) = serde_json::from_str(sorted).unwrap() else { panic!("a list") };
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]), "{sorted:?}");
    }

    #[test]
    fn nesting_has_a_limit() {
        let deep = "[".repeat(VALUE_DEPTH_MAX) + &"]".repeat(VALUE_DEPTH_MAX);
        assert!(serde_json::from_str::<Value>(&deep).is_ok());
        assert!(serde_json::from_str::<Value>(&format!("[{deep}]")).is_err());
    }
}
