//! Numbers: resets, sums, products and bounds.

use super::row::{Kind, Options, Row, Sign, argument, as_given, current_or, finite};
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0101),
        name: "number.set",
        argument: Shape::Number,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the number.",
        example: "cube-1 number.set mass 2.5",
    },
    Row {
        code: OpCode(0x0102),
        name: "number.add",
        argument: Shape::Number,
        options: &[],
        kind: Kind::Sum(|current, value, _: &Options| step(current, value, 0.0, |a, b| a + b), Sign::Plus),
        doc: "Adds to the number; an absent one counts as 0.",
        example: "cube-1 number.add mass -1",
    },
    Row {
        code: OpCode(0x0103),
        name: "number.multiply",
        argument: Shape::Number,
        options: &[],
        kind: Kind::Step(|current, value, _: &Options| step(current, value, 1.0, |a, b| a * b)),
        doc: "Multiplies the number; an absent one counts as 1.",
        example: "cube-1 number.multiply mass 2",
    },
    Row {
        code: OpCode(0x0104),
        name: "number.min",
        argument: Shape::Number,
        options: &[],
        kind: Kind::Step(|current, value, _: &Options| {
            bound(current, value, |a, b| if b < a { b } else { a })
        }),
        doc: "Lowers the number to the argument, unless it is lower already; an absent one becomes the argument.",
        example: "cube-1 number.min mass 10",
    },
    Row {
        code: OpCode(0x0105),
        name: "number.max",
        argument: Shape::Number,
        options: &[],
        kind: Kind::Step(|current, value, _: &Options| {
            bound(current, value, |a, b| if b > a { b } else { a })
        }),
        doc: "Raises the number to the argument, unless it is higher already; an absent one becomes the argument.",
        example: "cube-1 number.max mass 0",
    },
];

fn step(
    current: Option<&Value>,
    value: &Value,
    absent: f64,
    combine: fn(f64, f64) -> f64,
) -> Result<Value, NoEffect> {
    let current = current_or(current, absent, Shape::Number, Value::as_number)?;
    finite(combine(current, argument(value, Shape::Number, Value::as_number)?))
}

fn bound(current: Option<&Value>, value: &Value, choose: fn(f64, f64) -> f64) -> Result<Value, NoEffect> {
    let bound = argument(value, Shape::Number, Value::as_number)?;
    finite(choose(current_or(current, bound, Shape::Number, Value::as_number)?, bound))
}
