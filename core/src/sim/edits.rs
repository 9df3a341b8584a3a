//! What simulated users do: every row of the operation table, on few nodes, so that they meet.

use crate::api::{Edit, EditOp, Undo, Wait};
use crate::op;
use crate::room::Input;
use crate::sim::Random;
use crate::value::Value;

const NODES: [&str; 4] = ["cube", "lamp", "arm", "hand"];

/// The `n`-th edit of a user; durable answers are asked for, and some requests are repeated.
pub(super) fn draw(n: u64, random: &mut Random) -> Input {
    if random.per_mille(60) {
        let undo = Undo { wait: Wait::Durable, ..Undo::default() };
        return Input::Undo { token: n, undo, redo: random.per_mille(400) };
    }
    let count = 1 + random.below(3);
    let ops = (0..count).map(|_| draw_op(random)).collect();
    let request = random.per_mille(100).then(|| format!("request-{}", random.below(20)));
    Input::Edit { token: n, edit: Edit { ops, request, ..Edit::default() } }
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

/// A property operation with its own example as argument, on a path that all of its family share.
fn step(key: String, random: &mut Random) -> EditOp {
    let rows: Vec<_> = op::table().filter(|row| row.is_property()).collect();
    let row = random.pick(&rows);
    let family = row.name.split('.').next().unwrap_or(row.name);
    EditOp {
        otype: row.name.to_owned(),
        key,
        path: Some(family.to_owned()),
        value: Some(row.example_value()),
        ..EditOp::default()
    }
}
