//! Ops of `vuer.rtc`: nearly ours, since ours take after them.

use std::collections::BTreeMap;

use super::{meta, op, reset};
use crate::id::Dot;
use crate::op::Op;
use crate::value::Value;

pub(super) fn ops(map: &BTreeMap<String, Value>, ids: &BTreeMap<&str, Dot>) -> Vec<Op> {
    let text = |name: &str| map.get(name).and_then(Value::as_text);
    let name = text("otype").unwrap_or_default();
    let key = text("key").unwrap_or_default();
    let path = text("path");
    let value = map.get("value").cloned().unwrap_or_default();
    let option = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    let parent = text("parentKey").map(|parent| option("parent", parent));
    vec![match name {
        "node.insert" => {
            let options = text("tag").filter(|tag| !tag.is_empty()).map(|tag| option("tag", tag));
            op(name, key, None, value, options.into_iter().chain(parent).collect())
        }
        "node.remove" => op(name, key, None, Value::Null, BTreeMap::new()),
        "node.move" => op(name, key, None, Value::Null, parent.into_iter().collect()),
        "meta.undo" | "meta.redo" => meta(name, text("targetMsgId").unwrap_or_default(), ids),
        "string.concat" => concat(key, path, value),
        "array.union" if value.as_list().is_none() => {
            op(name, key, path, Value::List(vec![value]), BTreeMap::new())
        }
        _ if name.ends_with(".set") => reset(name, key, path, value),
        _ => op(name, key, path, value, BTreeMap::new()),
    }]
}

/// The separator travels inside the value here.
fn concat(key: &str, path: Option<&str>, value: Value) -> Op {
    let mut options = BTreeMap::new();
    let value = match value {
        Value::Map(mut map) => {
            if let Some(separator) = map.remove("separator") {
                options.insert("separator".to_owned(), separator);
            }
            map.remove("value").unwrap_or_else(|| "".into())
        }
        value => value,
    };
    op("string.concat", key, path, value, options)
}
