//! Sets: an element is in as long as one op that added it has not been taken back (observed-remove).
//!
//! A set shows as a list without equal elements, in the order of values. So sets that hold the same show the same, whoever
//! added what first; who wants the order of adding has `array.union`. A property that holds a list is taken as a set of its
//! elements, and a set is a list to the operations on lists.

use super::row::{Kind, Membership, Row};
use super::{OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0c01),
        name: "set.set",
        argument: Shape::List,
        options: &[],
        kind: Kind::Reset(sorted),
        doc: "Sets what the set holds; equal elements become one.",
        example: "cube-1 set.set labels red big",
    },
    Row {
        code: OpCode(0x0c02),
        name: "set.add",
        argument: Shape::Element,
        options: &[],
        kind: Kind::Member(Membership::Add),
        doc: "Puts an element in, also against a concurrent removal; the set shows in the order of values.",
        example: "cube-1 set.add labels red",
    },
    Row {
        code: OpCode(0x0c03),
        name: "set.remove",
        argument: Shape::Any,
        options: &[],
        kind: Kind::Member(Membership::Remove),
        doc: "Takes an element out, as far as it was added when the removal was made.",
        example: "cube-1 set.remove labels red",
    },
];

fn sorted(argument: &Value) -> Value {
    let mut list = argument.as_list().unwrap_or_default().to_vec();
    list.sort();
    list.dedup();
    Value::List(list)
}
