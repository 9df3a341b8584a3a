//! Counters: a number that goes up and down by amounts, all of which count (a PN-counter).
//!
//! The value is a number like any other: `number.set` resets it, and takes back nothing that it has not seen.

use super::row::{Kind, Options, Row, Sign, argument, current_or, finite};
use super::shape::amount;
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0b01),
        name: "counter.increment",
        argument: Shape::Amount,
        options: &[],
        kind: Kind::Sum(|current, value, _: &Options| step(current, value, |a, b| a + b), Sign::Plus),
        doc: "Counts up by the amount; an absent counter stands at 0.",
        example: "cube-1 counter.increment laps",
    },
    Row {
        code: OpCode(0x0b02),
        name: "counter.decrement",
        argument: Shape::Amount,
        options: &[],
        kind: Kind::Sum(|current, value, _: &Options| step(current, value, |a, b| a - b), Sign::Minus),
        doc: "Counts down by the amount, below 0 too; an absent counter stands at 0.",
        example: "cube-1 counter.decrement laps 2",
    },
];

fn step(current: Option<&Value>, value: &Value, combine: fn(f64, f64) -> f64) -> Result<Value, NoEffect> {
    let current = current_or(current, 0.0, Shape::Number, Value::as_number)?;
    finite(combine(current, argument(value, Shape::Amount, amount)?))
}
