//! Ops of `vuer-rtc`: node operations name the parent as `key` and the node inside `value`, and the scene begins empty.

use std::collections::BTreeMap;

use super::{Envelope, meta, op, reset};
use crate::id::Dot;
use crate::op::Op;
use crate::scene::Root;
use crate::value::Value;

/// Fields of a node that are no properties.
const NODE_FIELDS: [&str; 4] = ["key", "tag", "name", "children"];
/// Fields that a merge into the node itself leaves alone.
const MERGE_FIELDS: [&str; 4] = ["key", "tag", "children", "_crdt"];

/// The root: the node inserted first in order; and which op that is, by message and index.
pub(super) fn root(envelopes: &[Envelope<'_>]) -> (Root, Option<(Dot, usize)>) {
    let mut sorted: Vec<_> = envelopes.iter().collect();
    sorted.sort_by_key(|envelope| (envelope.message.lamport, envelope.message.actor, envelope.message.seq));
    for envelope in sorted {
        for (index, op) in envelope.ops.iter().enumerate() {
            let value = op.get("value").and_then(Value::as_map);
            let (Some("node.insert"), Some(value)) = (op.get("ot").and_then(Value::as_text), value) else {
                continue;
            };
            let text = |name: &str| value.get(name).and_then(Value::as_text).unwrap_or_default().to_owned();
            let root = Root { key: text("key"), tag: text("tag"), name: text("name"), founder: None };
            return (root, Some((envelope.message.dot(), index)));
        }
    }
    (Root { key: String::new(), tag: String::new(), name: String::new(), founder: None }, None)
}

pub(super) fn ops(map: &BTreeMap<String, Value>, ids: &BTreeMap<&str, Dot>, makes_root: bool) -> Vec<Op> {
    let text = |name: &str| map.get(name).and_then(Value::as_text);
    let name = text("ot").or(text("otype")).unwrap_or_default();
    let key = text("key").unwrap_or_default();
    let path = text("path");
    let value = map.get("value").cloned().unwrap_or_default();
    let given = |names: &[&str]| -> BTreeMap<String, Value> {
        names.iter().filter_map(|&name| Some((name.to_owned(), map.get(name)?.clone()))).collect()
    };
    let yes = |name: &str| BTreeMap::from([(name.to_owned(), Value::Bool(true))]);
    let single = match name {
        "node.insert" => insert(key, &value, makes_root),
        "node.remove" => op(name, value.as_text().unwrap_or_default(), None, Value::Null, BTreeMap::new()),
        "node.move" => {
            let field = |name: &str| value.as_map().and_then(|map| map.get(name)).and_then(Value::as_text);
            let parent = field("newParent").map(|parent| ("parent".to_owned(), parent.into()));
            op(name, field("nodeKey").unwrap_or_default(), None, Value::Null, parent.into_iter().collect())
        }
        "meta.undo" | "meta.redo" => meta(name, text("targetMsgId").unwrap_or_default(), ids),
        "object.merge" if matches!(path, None | Some(".")) => return merge_into_node(key, value),
        "array.remove" => op(name, key, path, value, yes("all")),
        "color.blend" => op(name, key, path, value, yes("nearest")),
        "vector3.applyEuler" => {
            let mut options = yes("intrinsic");
            options.extend(given(&["order", "intrinsic"]));
            op(name, key, path, value, options)
        }
        "string.concat" => op(name, key, path, value, given(&["separator"])),
        "array.union" if value.as_list().is_none() => {
            op(name, key, path, Value::List(vec![value]), BTreeMap::new())
        }
        _ if name.ends_with(".set") => reset(name, key, path, value),
        _ => op(name, key, path, value, BTreeMap::new()),
    };
    vec![single]
}

/// An insert has no effect on a live key here. The one that makes the root only sets properties: ours is there from the start.
fn insert(parent: &str, value: &Value, makes_root: bool) -> Op {
    let empty = BTreeMap::new();
    let map = value.as_map().unwrap_or(&empty);
    let key = map.get("key").and_then(Value::as_text).unwrap_or_default();
    let text = |name: &str| map.get(name).and_then(Value::as_text).unwrap_or_default();
    let mut properties = map.clone();
    properties.retain(|name, _| !NODE_FIELDS.contains(&name.as_str()));
    let mut options = BTreeMap::new();
    if !makes_root {
        options.insert("tag".to_owned(), text("tag").into());
        options.insert("name".to_owned(), text("name").into());
        options.insert("parent".to_owned(), parent.into());
        options.insert("ifAbsent".to_owned(), true.into());
    }
    op("node.insert", key, None, Value::Map(properties), options)
}

/// A reset of each property given; unlike an insert it does not keep the node against a concurrent removal.
fn merge_into_node(key: &str, value: Value) -> Vec<Op> {
    let Value::Map(map) = value else { return Vec::new() };
    let properties = map.into_iter().filter(|(path, _)| !MERGE_FIELDS.contains(&path.as_str()));
    properties.map(|(path, value)| reset("object.set", key, Some(&path), value)).collect()
}
