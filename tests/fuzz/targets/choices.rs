//! Decisions taken from bytes, so that bytes that change a little make another run of much the same kind.

use std::collections::BTreeMap;

use rtc_core::api::EditOp;
use rtc_core::op::{Row, Shape, table};
use rtc_core::value::Value;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "scene", ""];
const PATHS: [&str; 3] = ["p", "transform.q", "size"];
/// Sums of these depend on their order; some overflow.
const NUMBERS: [f64; 9] = [1.0, 0.1, -2.0, 1e16, -1e16, 0.0, 1e308, -0.5, 9_007_199_254_740_993.0];
const TEXTS: [&str; 6] = ["x", "", "hello", "\u{1f600}e\u{301}", "+", "a:1"];

/// The decisions that are left; past the end all are 0.
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl<'a> Choices<'a> {
    /// Whether there are none left.
    pub(super) fn are_made(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// A number below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(super) fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len())]
    }

    /// Bytes as they are: at most 255, or 65,535 where the first two are.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = match self.byte() {
            255 => usize::from(u16::from_be_bytes([self.byte(), self.byte()])),
            short => usize::from(short),
        };
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// An edit as a client writes it, of any row of the table; now and then with what does not belong there.
    pub(super) fn edit(&mut self) -> EditOp {
        let rows: Vec<&Row> = table().collect();
        let row = *self.pick(&rows);
        let mut options = BTreeMap::new();
        for option in row.options {
            if self.below(2) == 1 {
                options.insert(option.name.to_owned(), self.argument(option.shape));
            }
        }
        for name in ["parent", "index", "before", "target", "position", "length", "odd"] {
            if self.below(16) == 1 {
                options.insert(name.to_owned(), self.any());
            }
        }
        let odd = self.below(16) == 1;
        EditOp {
            otype: row.name.to_owned(),
            key: if row.kind.is_meta() && !odd { String::new() } else { (*self.pick(&KEYS)).to_owned() },
            path: (row.kind.is_property() != odd).then(|| (*self.pick(&PATHS)).to_owned()),
            value: if odd { Some(self.any()) } else { Some(self.argument(row.argument)) },
            options,
        }
    }

    fn number(&mut self) -> Value {
        Value::number(*self.pick(&NUMBERS)).unwrap_or_default()
    }

    fn any(&mut self) -> Value {
        let shapes = [Shape::Number, Shape::Text, Shape::Bool, Shape::List, Shape::Map, Shape::Nothing];
        let shape = *self.pick(&shapes);
        self.argument(shape)
    }

    fn argument(&mut self, shape: Shape) -> Value {
        match shape {
            Shape::Nothing | Shape::Place | Shape::Character | Shape::CharacterOrEnd | Shape::Spans => {
                Value::Null
            }
            Shape::Any | Shape::Element => self.any_shallow(),
            Shape::Bool => (self.below(2) == 1).into(),
            Shape::Number | Shape::Amount => match self.byte() {
                small @ 0..128 => Value::number(small.into()).unwrap_or_default(),
                _ => self.number(),
            },
            Shape::Text | Shape::Message | Shape::Peer | Shape::Name => (*self.pick(&TEXTS)).into(),
            Shape::Numbers(len) => Value::List((0..len).map(|_| self.number()).collect()),
            Shape::Color => (*self.pick(&["#00ff80", "#FFFFFF", "#010203"])).into(),
            Shape::List => Value::List((0..self.below(4)).map(|_| self.any_shallow()).collect()),
            Shape::Map | Shape::Properties => {
                let count = self.below(3);
                Value::Map(
                    PATHS[..count].iter().map(|path| ((*path).to_owned(), self.any_shallow())).collect(),
                )
            }
            Shape::Entry => {
                let (key, value) = ((*self.pick(&TEXTS)).into(), self.any_shallow());
                Value::Map([("key".to_owned(), key), ("value".to_owned(), value)].into())
            }
            Shape::Word(words) => (*self.pick(words)).into(),
        }
    }

    fn any_shallow(&mut self) -> Value {
        match self.below(4) {
            0 => (*self.pick(&TEXTS)).into(),
            1 => self.number(),
            2 => (self.below(2) == 1).into(),
            _ => Value::List(vec![(*self.pick(&TEXTS)).into()]),
        }
    }
}
