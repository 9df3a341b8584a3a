//! Maps as one value, merged by top-level key.

use super::row::{Kind, Options, Row, argument, as_given, current_or};
use super::{NoEffect, OpCode, Shape};
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
        kind: Kind::Step(merge),
        doc: "Sets the given top-level keys and leaves the others.",
        example: "cube-1 object.merge userData '{\"grade\":2}'",
    },
];

fn merge(current: Option<&Value>, value: &Value, _: &Options) -> Result<Value, NoEffect> {
    let given = argument(value, Shape::Map, |value| value.as_map().cloned())?;
    let mut merged = current_or(current, Default::default(), Shape::Map, |value| value.as_map().cloned())?;
    merged.extend(given);
    Ok(Value::Map(merged))
}
