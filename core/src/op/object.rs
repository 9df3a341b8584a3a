//! Maps, set as a whole or merged by top-level key.

use super::row::{Kind, Row, WriteEntry, as_given};
use super::{OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0901),
        name: "object.set",
        argument: Shape::Map,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the map.",
        example: "cube-1 object.set userData '{\"owner\":\"ann\"}'",
    },
    Row {
        code: OpCode(0x0902),
        name: "object.merge",
        argument: Shape::Map,
        options: &[],
        kind: Kind::Entries(merge),
        doc: "Sets the given top-level keys and leaves the others.",
        example: "cube-1 object.merge userData '{\"grade\":2}'",
    },
];

fn merge(argument: &Value, write: WriteEntry<'_>) {
    for (key, value) in argument.as_map().into_iter().flatten() {
        write(key, Some(value));
    }
}
