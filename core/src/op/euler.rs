//! Angles `[x, y, z]` in radians.

use super::row::{Kind, Row, as_given};
use super::{OpCode, Shape, vector3};

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0501),
        name: "euler.set",
        argument: Shape::Numbers(3),
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the angles, in radians.",
        example: "cube-1 euler.set transform.rotation 0 1.5708 0",
    },
    Row {
        code: OpCode(0x0502),
        name: "euler.add",
        argument: Shape::Numbers(3),
        options: &[],
        kind: Kind::Step(vector3::add),
        doc: "Adds to the angles by component; absent ones count as [0, 0, 0].",
        example: "cube-1 euler.add transform.rotation 0 0.1 0",
    },
];
