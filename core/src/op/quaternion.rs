//! Quaternions `[x, y, z, w]`.

use super::row::{Kind, Options, Row, all_finite, argument, as_given, current_or};
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

const QUATERNION: Shape = Shape::Numbers(4);

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0601),
        name: "quaternion.set",
        argument: QUATERNION,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the quaternion.",
        example: "cube-1 quaternion.set transform.orientation 0 0 0 1",
    },
    Row {
        code: OpCode(0x0602),
        name: "quaternion.multiply",
        argument: QUATERNION,
        options: &[],
        kind: Kind::Step(multiply),
        doc: "Multiplies from the right (Hamilton product); an absent one counts as [0, 0, 0, 1].",
        example: "cube-1 quaternion.multiply transform.orientation 0 0.6 0 0.8",
    },
];

fn multiply(current: Option<&Value>, value: &Value, _: &Options) -> Result<Value, NoEffect> {
    let [a, b, c, s] = current_or(current, [0.0, 0.0, 0.0, 1.0], QUATERNION, Value::as_numbers)?;
    let [x, y, z, t] = argument(value, QUATERNION, Value::as_numbers)?;
    all_finite(&[
        s * x + t * a + (b * z - c * y),
        s * y + t * b + (c * x - a * z),
        s * z + t * c + (a * y - b * x),
        s * t - (a * x + b * y + c * z),
    ])
}
