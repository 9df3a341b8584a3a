//! Truth values.

use super::row::{Kind, Options, Row, argument, as_given, current_or};
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0301),
        name: "boolean.set",
        argument: Shape::Bool,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the truth value.",
        example: "cube-1 boolean.set visible false",
    },
    Row {
        code: OpCode(0x0302),
        name: "boolean.or",
        argument: Shape::Bool,
        options: &[],
        kind: Kind::Step(|current, value, _: &Options| step(current, value, false, |a, b| a || b)),
        doc: "True if it was, or the argument is; an absent one counts as false.",
        example: "cube-1 boolean.or touched true",
    },
    Row {
        code: OpCode(0x0303),
        name: "boolean.and",
        argument: Shape::Bool,
        options: &[],
        kind: Kind::Step(|current, value, _: &Options| step(current, value, true, |a, b| a && b)),
        doc: "True if it was, and the argument is; an absent one counts as true.",
        example: "cube-1 boolean.and approved false",
    },
];

fn step(
    current: Option<&Value>,
    value: &Value,
    absent: bool,
    combine: fn(bool, bool) -> bool,
) -> Result<Value, NoEffect> {
    let current = current_or(current, absent, Shape::Bool, Value::as_bool)?;
    Ok(combine(current, argument(value, Shape::Bool, Value::as_bool)?).into())
}
