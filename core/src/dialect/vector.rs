//! Vectors: messages and the scene they must give under every delivery order and any duplication.

use std::collections::BTreeMap;
use std::fmt;

use super::{DialectError, History};
use crate::canonical::Writer;
use crate::replica::Replica;
use crate::scene::Scene;
use crate::value::Value;

/// Numbers may differ by this much of the greater one: trigonometry of other languages differs in the last bits.
const TOLERANCE: f64 = 1e-9;

/// One vector.
#[derive(Clone, PartialEq, Debug)]
pub struct Vector {
    /// What it is about.
    pub name: String,
    /// The messages.
    pub history: History,
    /// The scene they must give, in the shape of [`describe`].
    pub expected: Value,
    /// Lists to compare as sets: node and path.
    pub unordered: Vec<(String, String)>,
    /// The first operation it is about that no row of the table covers; it cannot be checked then.
    pub unsupported: Option<String>,
}

/// Something that is no vector.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VectorError {
    /// A field is missing, or holds something else.
    #[error("field {field} should be {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
    /// Its messages cannot be translated.
    #[error(transparent)]
    Messages(#[from] DialectError),
}

/// Where the scene that came out differs from the one that should have.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{order}: {at}: expected {}, found {}", shown(expected), shown(found))]
pub struct Difference {
    /// In which order the messages were delivered.
    pub order: Order,
    /// The way to the differing part.
    pub at: String,
    /// What should be there.
    pub expected: Option<Value>,
    /// What is there.
    pub found: Option<Value>,
}

/// An order of delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// As in the file.
    Given,
    /// The other way round.
    Reversed,
    /// Shuffled, with duplicates.
    Shuffled {
        /// Makes the same order again.
        seed: u64,
    },
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("in file order"),
            Self::Reversed => f.write_str("reversed"),
            Self::Shuffled { seed } => write!(f, "shuffled with seed {seed}"),
        }
    }
}

impl Order {
    /// The indexes of `len` messages in this order of delivery.
    pub fn indexes(self, len: usize) -> Vec<usize> {
        match self {
            Self::Given => (0..len).collect(),
            Self::Reversed => (0..len).rev().collect(),
            Self::Shuffled { seed } => shuffled(len, seed),
        }
    }
}

/// Every message at least once, and about one in four again.
fn shuffled(len: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut below = |limit: usize| {
        // SplitMix64 (Steele et al. 2014): small, seedable, and even enough for orders.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % limit as u64).expect("the remainder is below a usize")
    };
    let mut indexes: Vec<usize> = (0..len).collect();
    for _ in 0..len.div_ceil(4) {
        indexes.push(below(len));
    }
    for i in (1..indexes.len()).rev() {
        indexes.swap(i, below(i + 1));
    }
    indexes
}

impl Vector {
    /// Reads one object of a vector file.
    pub fn read(value: &Value) -> Result<Self, VectorError> {
        let field = |field, expected| VectorError::Field { field, expected };
        let map = value.as_map().ok_or(field("vector", "a map"))?;
        let messages = map.get("messages").and_then(Value::as_list).ok_or(field("messages", "a list"))?;
        let name = map.get("name").and_then(Value::as_text).unwrap_or("unnamed");
        let expected = map.get("expected").ok_or(field("expected", "a scene"))?;
        let pairs = map.get("unordered").and_then(Value::as_list).unwrap_or_default();
        let unordered = pairs.iter().map(|pair| match pair.as_list() {
            Some([Value::Text(key), Value::Text(path)]) => Ok((key.clone(), path.clone())),
            _ => Err(field("unordered", "a list of [node, path]")),
        });
        Ok(Self {
            name: name.to_owned(),
            history: History::read(messages)?,
            expected: expected.clone(),
            unordered: unordered.collect::<Result<_, _>>()?,
            unsupported: unsupported(messages),
        })
    }

    /// Folds the messages in file order, reversed and in `shuffles` seeded orders with duplicates, and compares the scenes.
    pub fn check(&self, shuffles: u64) -> Result<(), Difference> {
        let shuffles = (0..shuffles).map(|seed| Order::Shuffled { seed });
        for order in [Order::Given, Order::Reversed].into_iter().chain(shuffles) {
            let mut replica = Replica::new(self.history.root.clone());
            for index in order.indexes(self.history.messages.len()) {
                replica.apply(&self.history.messages[index]);
            }
            self.compare(&replica.image(), order)?;
        }
        Ok(())
    }

    /// Compares a scene that came out with the one that should have.
    pub fn compare(&self, scene: &Scene, order: Order) -> Result<(), Difference> {
        let (mut expected, mut found) = (self.expected.clone(), describe(scene));
        for (key, path) in &self.unordered {
            for scene in [&mut expected, &mut found] {
                sort_list(scene, key, path);
            }
        }
        match difference("", &expected, &found) {
            None => Ok(()),
            Some((at, expected, found)) => Err(Difference { order, at, expected, found }),
        }
    }
}

/// The first operation type among messages of either dialect that the table has no row for.
pub fn unsupported(messages: &[Value]) -> Option<String> {
    let ops = messages.iter().filter_map(|message| message.as_map()?.get("ops")?.as_list()).flatten();
    let mut names =
        ops.filter_map(|op| op.as_map().and_then(|op| op.get("otype").or(op.get("ot")))?.as_text());
    names.find(|name| crate::op::OpCode::named(name).is_none()).map(str::to_owned)
}

/// A scene in the vectors' shape: `root`, `nodes` with `tag`, `name`, `children` and `properties`, `deleted`, `reachable`.
pub fn describe(scene: &Scene) -> Value {
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let texts = |keys: &[String]| Value::List(keys.iter().map(|key| key.as_str().into()).collect());
    let nodes = scene.nodes.iter().map(|(key, node)| {
        let node = map(vec![
            ("tag", node.tag.as_str().into()),
            ("name", node.name.as_str().into()),
            ("children", texts(&node.children)),
            ("properties", Value::Map(node.properties.clone())),
        ]);
        (key.clone(), node)
    });
    let mut reachable: Vec<String> = scene.reachable().into_iter().map(str::to_owned).collect();
    reachable.sort();
    map(vec![
        ("root", scene.root.as_str().into()),
        ("nodes", Value::Map(nodes.collect())),
        ("deleted", texts(&scene.deleted)),
        ("reachable", texts(&reachable)),
    ])
}

/// Sorts one list property, so that lists with the same elements become equal.
fn sort_list(scene: &mut Value, key: &str, path: &str) {
    let mut at = scene;
    for name in ["nodes", key, "properties", path] {
        let Value::Map(map) = at else { return };
        let Some(inner) = map.get_mut(name) else { return };
        at = inner;
    }
    if let Value::List(list) = at {
        list.sort_by_cached_key(|item| {
            let mut writer = Writer::new();
            writer.value(item);
            writer.finish()
        });
    }
}

fn difference(at: &str, expected: &Value, found: &Value) -> Option<(String, Option<Value>, Option<Value>)> {
    let differ = || Some((at.to_owned(), Some(expected.clone()), Some(found.clone())));
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.get(), b.get());
            let mut scale: f64 = 1.0;
            for magnitude in [a.abs(), b.abs()] {
                scale = if magnitude > scale { magnitude } else { scale };
            }
            if (a - b).abs() <= TOLERANCE * scale { None } else { differ() }
        }
        (Value::List(a), Value::List(b)) if a.len() == b.len() => (0..)
            .zip(a.iter().zip(b))
            .find_map(|(i, (a, b)): (usize, _)| difference(&format!("{at}[{i}]"), a, b)),
        (Value::Map(a), Value::Map(b)) => difference_of_maps(at, a, b),
        _ if expected == found => None,
        _ => differ(),
    }
}

fn difference_of_maps(
    at: &str,
    expected: &BTreeMap<String, Value>,
    found: &BTreeMap<String, Value>,
) -> Option<(String, Option<Value>, Option<Value>)> {
    let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
    names.into_iter().find_map(|name| {
        let at = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
        match (expected.get(name), found.get(name)) {
            (Some(a), Some(b)) => difference(&at, a, b),
            (a, b) => Some((at, a.cloned(), b.cloned())),
        }
    })
}

fn shown(value: &Option<Value>) -> String {
    value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"))
}
