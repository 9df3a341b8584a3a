//! Dictionaries: of each key the last writer wins, be it a put or a removal.
//!
//! The value is a map like any other: `object.set` resets it, `object.merge` puts several entries at once.

use super::row::{Kind, Row, WriteEntry};
use super::shape::entry;
use super::{OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0d01),
        name: "dict.put",
        argument: Shape::Entry,
        options: &[],
        kind: Kind::Entries(put),
        doc: "Sets one key and leaves the others; of concurrent writes to one key the last in order wins.",
        example: "cube-1 dict.put limits speed 2.5",
    },
    Row {
        code: OpCode(0x0d02),
        name: "dict.remove",
        argument: Shape::Text,
        options: &[],
        kind: Kind::Entries(remove),
        doc: "Takes one key away; of concurrent writes to one key the last in order wins.",
        example: "cube-1 dict.remove limits speed",
    },
];

fn put(argument: &Value, write: WriteEntry<'_>) {
    if let Some((key, value)) = entry(argument) {
        write(key, Some(value));
    }
}

fn remove(argument: &Value, write: WriteEntry<'_>) {
    if let Some(key) = argument.as_text() {
        write(key, None);
    }
}
