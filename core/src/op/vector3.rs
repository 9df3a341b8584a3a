//! Vectors `[x, y, z]`: resets, sums, products and rotations.
//!
//! Only `+ - * /` and the sine and cosine of `libm` touch the numbers, in a fixed order, so every machine gets the same bits.

use super::row::{Kind, OptionRow, Options, Row, all_finite, argument, as_given, current_or};
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

const VECTOR: Shape = Shape::Numbers(3);
const ORDERS: &[&str] = &["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"];

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0401),
        name: "vector3.set",
        argument: VECTOR,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the vector.",
        example: "cube-1 vector3.set transform.position 0 1 0",
    },
    Row {
        code: OpCode(0x0402),
        name: "vector3.add",
        argument: VECTOR,
        options: &[],
        kind: Kind::Step(add),
        doc: "Adds to the vector by component; an absent one counts as [0, 0, 0].",
        example: "cube-1 vector3.add transform.position 1 0 -0.5",
    },
    Row {
        code: OpCode(0x0403),
        name: "vector3.multiply",
        argument: VECTOR,
        options: &[],
        kind: Kind::Step(multiply),
        doc: "Multiplies the vector by component; an absent one counts as [1, 1, 1].",
        example: "cube-1 vector3.multiply transform.scale 2 2 2",
    },
    Row {
        code: OpCode(0x0404),
        name: "vector3.applyEuler",
        argument: VECTOR,
        options: &[
            OptionRow {
                name: "order",
                shape: Shape::Word(ORDERS),
                doc: "The order of the axes; XYZ unless given.",
            },
            OptionRow {
                name: "intrinsic",
                shape: Shape::Bool,
                doc: "Whether the axes turn with the vector, so that the last one acts first; false unless given.",
            },
        ],
        kind: Kind::Step(apply_euler),
        doc: "Rotates the vector by angles in radians about x, y and z, in that order about fixed axes unless told.",
        example: "cube-1 vector3.applyEuler velocity 0 1.5708 0",
    },
    Row {
        code: OpCode(0x0405),
        name: "vector3.applyQuaternion",
        argument: Shape::Numbers(4),
        options: &[],
        kind: Kind::Step(apply_quaternion),
        doc: "Rotates the vector by [x, y, z, w]; one that is not of length 1 scales by its length squared.",
        example: "cube-1 vector3.applyQuaternion velocity 0 0.6 0 0.8",
    },
];

/// Adds by component; the step of every additive triple.
pub(super) fn add(current: Option<&Value>, value: &Value, _: &Options) -> Result<Value, NoEffect> {
    let [x, y, z] = current_or(current, [0.0; 3], VECTOR, Value::as_numbers)?;
    let [dx, dy, dz] = argument(value, VECTOR, Value::as_numbers)?;
    all_finite(&[x + dx, y + dy, z + dz])
}

fn multiply(current: Option<&Value>, value: &Value, _: &Options) -> Result<Value, NoEffect> {
    let [x, y, z] = current_or(current, [1.0; 3], VECTOR, Value::as_numbers)?;
    let [fx, fy, fz] = argument(value, VECTOR, Value::as_numbers)?;
    all_finite(&[x * fx, y * fy, z * fz])
}

fn apply_euler(current: Option<&Value>, value: &Value, options: &Options) -> Result<Value, NoEffect> {
    let mut vector = current_or(current, [0.0; 3], VECTOR, Value::as_numbers)?;
    let angles: [f64; 3] = argument(value, VECTOR, Value::as_numbers)?;
    let order = options.get("order").and_then(Value::as_text).unwrap_or("XYZ");
    let mut axes = order.bytes().map(axis_index).collect::<Vec<_>>();
    if options.get("intrinsic").and_then(Value::as_bool).unwrap_or(false) {
        // Intrinsic ABC is the matrix A·B·C, so C acts first.
        axes.reverse();
    }
    for axis in axes {
        vector = rotate(vector, axis, angles[axis]);
    }
    all_finite(&vector)
}

fn axis_index(letter: u8) -> usize {
    match letter {
        b'X' => 0,
        b'Y' => 1,
        _ => 2,
    }
}

fn rotate(mut vector: [f64; 3], axis: usize, angle: f64) -> [f64; 3] {
    let (j, k) = ((axis + 1) % 3, (axis + 2) % 3);
    let (sin, cos) = (libm::sin(angle), libm::cos(angle));
    let (a, b) = (vector[j], vector[k]);
    vector[j] = cos * a - sin * b;
    vector[k] = sin * a + cos * b;
    vector
}

/// `q v q*`, written out for a quaternion of any length.
fn apply_quaternion(current: Option<&Value>, value: &Value, _: &Options) -> Result<Value, NoEffect> {
    let [x, y, z] = current_or(current, [0.0; 3], VECTOR, Value::as_numbers)?;
    let [a, b, c, w] = argument(value, Shape::Numbers(4), Value::as_numbers)?;
    let dot = a * x + b * y + c * z;
    let keep = w * w - (a * a + b * b + c * c);
    all_finite(&[
        keep * x + 2.0 * dot * a + 2.0 * w * (b * z - c * y),
        keep * y + 2.0 * dot * b + 2.0 * w * (c * x - a * z),
        keep * z + 2.0 * dot * c + 2.0 * w * (a * y - b * x),
    ])
}
