//! What simulated users do: every row of the operation table, on few nodes, so that they meet.

use std::collections::BTreeMap;

use crate::api::{Edit, EditOp, Undo, Wait};
use crate::op::text::{Content, Writing};
use crate::op::{self, Kind, Shape};
use crate::room::Input;
use crate::sim::Random;
use crate::value::Value;

const NODES: [&str; 4] = ["cube", "lamp", "arm", "hand"];

/// What a bulky edit carries: a dozen of them are more than a peer's credit.
const BULK_BYTES: usize = 20_000;
/// How long an edit waits for peers: everything is answered soon after the last one.
const PEER_WAIT_MS: u64 = 2_000;

/// The `n`-th edit of a user, and when it is to be answered. Some requests are repeated.
pub(super) fn draw(n: u64, bulky: bool, random: &mut Random) -> (Input, Wait) {
    let wait = match random.below(10) {
        0 => Wait::Peers(1),
        1 => Wait::Local,
        _ => Wait::Durable,
    };
    let timeout_ms = Some(PEER_WAIT_MS);
    if random.per_mille(60) {
        let undo = Undo { wait, timeout_ms, ..Undo::default() };
        return (Input::Undo { token: n, undo, redo: random.per_mille(400) }, wait);
    }
    let mut ops: Vec<EditOp> = if n % 8 == 1 {
        // Everybody wants all nodes to be there, also those that somebody removed.
        NODES.iter().map(|key| insert((*key).to_owned(), random)).collect()
    } else {
        let count = 1 + random.below(2);
        (0..count).map(|_| draw_op(random)).collect()
    };
    if bulky {
        // Not a text: the naive fold looks at each character by itself.
        let value = Some(Value::Map([("bulk".to_owned(), "x".repeat(BULK_BYTES).as_str().into())].into()));
        let (key, path) = ((*random.pick(&NODES)).to_owned(), Some("bulk".to_owned()));
        ops.push(EditOp { otype: "object.set".to_owned(), key, path, value, ..EditOp::default() });
    }
    let request = random.per_mille(100).then(|| format!("request-{}", random.below(20)));
    (Input::Edit { token: n, edit: Edit { ops, request, wait, timeout_ms, ..Edit::default() } }, wait)
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
    let rows = || op::table().filter(|row| row.kind.is_property());
    let row = rows().nth(random.index(rows().count())).expect("an index of it");
    let family = row.name.split('.').next().unwrap_or(row.name);
    EditOp {
        otype: row.name.to_owned(),
        key,
        path: Some(family.to_owned()),
        value: Some(argument(row.argument, random)),
        options: options(row.kind, random),
    }
}

/// Where in a text or a list something is written.
fn options(kind: Kind, random: &mut Random) -> BTreeMap<String, Value> {
    let Kind::Write(content, writing) = kind else { return BTreeMap::new() };
    let names: &[&str] = match (content, writing) {
        (Content::Text, Writing::Insert) => &["position"],
        (Content::Text, _) => &["position", "length"],
        (Content::List, Writing::Delete) => &["index", "length"],
        (Content::List, Writing::Move) => &["index", "to"],
        (Content::List, _) => &["index"],
    };
    let mut number = || Value::number([0.0, 1.0, 2.0, 5.0][random.index(4)]).unwrap_or_default();
    names.iter().map(|name| ((*name).to_owned(), number())).collect()
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
        | Shape::Peer
        | Shape::Name
        | Shape::Place
        | Shape::Character
        | Shape::CharacterOrEnd
        | Shape::Spans => Value::Null,
    }
}
