//! What simulated users do: every row of the operation table, on few nodes, so that they meet.

use crate::api::{Edit, EditOp, Undo, Wait};
use crate::op::{self, Shape};
use crate::room::Input;
use crate::sim::Random;
use crate::value::Value;

const NODES: [&str; 4] = ["cube", "lamp", "arm", "hand"];

/// What a bulky edit carries: a dozen of them are more than a peer's credit.
const BULK_BYTES: usize = 20_000;

/// The `n`-th edit of a user; durable answers are asked for, some from a peer as well, and some requests are repeated.
pub(super) fn draw(n: u64, bulky: bool, random: &mut Random) -> Input {
    if random.per_mille(60) {
        let undo = Undo { wait: Wait::Durable, ..Undo::default() };
        return Input::Undo { token: n, undo, redo: random.per_mille(400) };
    }
    let mut ops: Vec<EditOp> = if n % 8 == 1 {
        // Everybody wants all nodes to be there, also those that somebody removed.
        NODES.iter().map(|key| insert((*key).to_owned(), random)).collect()
    } else {
        let count = 1 + random.below(2);
        (0..count).map(|_| draw_op(random)).collect()
    };
    if bulky {
        let value = Some("x".repeat(BULK_BYTES).as_str().into());
        let (key, path) = ((*random.pick(&NODES)).to_owned(), Some("bulk".to_owned()));
        ops.push(EditOp { otype: "string.set".to_owned(), key, path, value, ..EditOp::default() });
    }
    let wait = if random.per_mille(100) { Wait::Peers(1) } else { Wait::Durable };
    let request = random.per_mille(100).then(|| format!("request-{}", random.below(20)));
    Input::Edit { token: n, edit: Edit { ops, request, wait, ..Edit::default() } }
}

fn draw_op(random: &mut Random) -> EditOp {
    let key = (*random.pick(&NODES)).to_owned();
    match random.below(10) {
        0 | 1 => insert(key, random),
        2 if random.per_mille(500) => EditOp { otype: "node.remove".to_owned(), key, ..EditOp::default() },
        2 => {
            let parent = (*random.pick(&["scene", "cube", "lamp", "arm", "hand"])).into();
            let options = [("parent".to_owned(), parent)].into();
            EditOp { otype: "node.move".to_owned(), key, options, ..EditOp::default() }
        }
        _ => step(key, random),
    }
}

fn insert(key: String, random: &mut Random) -> EditOp {
    let parent = (*random.pick(&["scene", "cube", "lamp"])).into();
    let options = [("parent".to_owned(), parent)].into();
    let value = Value::number(1.5).map(|size| Value::Map([("size".to_owned(), size)].into()));
    EditOp { otype: "node.insert".to_owned(), key, value, options, ..EditOp::default() }
}

/// A property operation, on a path that all of its family share.
fn step(key: String, random: &mut Random) -> EditOp {
    let rows: Vec<_> = op::table().filter(|row| row.kind.is_property()).collect();
    let row = random.pick(&rows);
    let family = row.name.split('.').next().unwrap_or(row.name);
    EditOp {
        otype: row.name.to_owned(),
        key,
        path: Some(family.to_owned()),
        value: Some(argument(row.argument, random)),
        ..EditOp::default()
    }
}

/// An argument of the shape; numbers are such that the order of adding them shows.
fn argument(shape: Shape, random: &mut Random) -> Value {
    let mut number = || *random.pick(&[1e16, -1e16, 1.0, 0.1, -2.5]);
    match shape {
        Shape::Number => Value::number(number()).unwrap_or_default(),
        Shape::Amount => Value::number(number().abs()).unwrap_or_default(),
        Shape::Numbers(len) => {
            let numbers: Vec<f64> = (0..len).map(|_| number()).collect();
            Value::numbers(&numbers).unwrap_or_default()
        }
        Shape::Bool => Value::Bool(random.per_mille(500)),
        Shape::Color => (*random.pick(&["#ff0000", "#00ff80"])).into(),
        Shape::List => Value::List(vec![(*random.pick(&["a", "b"])).into(), "c".into()]),
        Shape::Map | Shape::Properties => {
            Value::Map([((*random.pick(&["k", "l"])).to_owned(), "v".into())].into())
        }
        Shape::Entry => {
            let entry = [("key", *random.pick(&["a", "b", "c"])), ("value", "v")];
            Value::Map(entry.map(|(name, value)| (name.to_owned(), value.into())).into())
        }
        Shape::Any | Shape::Element | Shape::Text | Shape::Word(_) => (*random.pick(&["a", "b", "c"])).into(),
        Shape::Nothing
        | Shape::Message
        | Shape::Place
        | Shape::Character
        | Shape::CharacterOrEnd
        | Shape::Spans => Value::Null,
    }
}
