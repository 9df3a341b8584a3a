//! Lists by value: elements remember every op that added them, so that a removal takes only what it has seen (DESIGN §3, law 8).

use super::row::{Kind, OptionRow, Options, Row, Seen, as_given};
use super::{OpCode, Shape};
use crate::value::Value;

/// One element of a list while it is folded.
#[derive(Clone, PartialEq, Debug)]
pub struct Element {
    /// What it holds.
    pub value: Value,
    /// The numbers of the ops that added it, at least one; what they mean is the caller's.
    pub adders: Vec<u32>,
}

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0801),
        name: "array.set",
        argument: Shape::List,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the list.",
        example: "cube-1 array.set tags '[\"red\",\"big\"]'",
    },
    Row {
        code: OpCode(0x0802),
        name: "array.push",
        argument: Shape::Element,
        options: &[],
        kind: Kind::List(push),
        doc: "Appends one element.",
        example: "cube-1 array.push tags heavy",
    },
    Row {
        code: OpCode(0x0803),
        name: "array.union",
        argument: Shape::List,
        options: &[],
        kind: Kind::List(union),
        doc: "Appends what the list does not hold yet, and makes equal elements one.",
        example: "cube-1 array.union tags '[\"red\",\"heavy\"]'",
    },
    Row {
        code: OpCode(0x0804),
        name: "array.remove",
        argument: Shape::Any,
        options: &[OptionRow {
            name: "all",
            shape: Shape::Bool,
            doc: "Whether every equal element goes instead of the first.",
        }],
        kind: Kind::List(remove),
        doc: "Takes away the first element equal to the argument that was there when the removal was made.",
        example: "cube-1 array.remove tags heavy",
    },
];

fn push(list: &mut Vec<Element>, value: &Value, _: &Options, by: u32, _: Seen<'_>) {
    list.push(Element { value: value.clone(), adders: vec![by] });
}

fn union(list: &mut Vec<Element>, value: &Value, _: &Options, by: u32, _: Seen<'_>) {
    let mut joined: Vec<Element> = Vec::with_capacity(list.len());
    for element in list.drain(..) {
        match joined.iter_mut().find(|other| other.value == element.value) {
            Some(other) => join(&mut other.adders, &element.adders),
            None => joined.push(element),
        }
    }
    for item in value.as_list().into_iter().flatten() {
        match joined.iter_mut().find(|other| other.value == *item) {
            Some(other) => join(&mut other.adders, &[by]),
            None => joined.push(Element { value: item.clone(), adders: vec![by] }),
        }
    }
    *list = joined;
}

fn join(adders: &mut Vec<u32>, others: &[u32]) {
    for other in others {
        if !adders.contains(other) {
            adders.push(*other);
        }
    }
}

fn remove(list: &mut Vec<Element>, value: &Value, options: &Options, _: u32, seen: Seen<'_>) {
    let all = options.get("all").and_then(Value::as_bool).unwrap_or(false);
    let mut done = false;
    list.retain(|element| {
        let goes = !done && element.value == *value && element.adders.iter().all(|&adder| seen(adder));
        done |= goes && !all;
        !goes
    });
}
