//! An edit of the tree that is a commit of its own and says all that its op does, as nearly all are.
//!
//! What is not plainly right, or says where among siblings, goes the long way.

use crate::api::EditOp;
use crate::limits::{KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::op::row::{Kind, Row};
use crate::replica::{NodeIx, Replica};
use crate::value::Value;

/// The options that travel as they are.
const PLAIN: [&str; 3] = ["parent", "tag", "name"];

/// Whether the edit is an op as it stands, with an effect on the scene as far as the nodes it names go.
pub(super) fn is_plain(edit: &EditOp, row: &'static Row, replica: &Replica) -> bool {
    let EditOp { key, path, value, options, .. } = edit;
    let is_right = |(name, value): (&String, &Value)| {
        PLAIN.contains(&name.as_str()) && row.option(name).is_some() && value.as_text().is_some()
    };
    if path.is_some() || !(1..=KEY_BYTES_MAX).contains(&key.len()) || !options.iter().all(is_right) {
        return false;
    }
    let live = |key: &str| replica.number(key).filter(|&node| replica.is_live_node(node));
    let parent = || options.get("parent").and_then(Value::as_text);
    match (row.kind, value) {
        (Kind::Insert, None | Some(Value::Null)) => parent().is_none_or(|parent| live(parent).is_some()),
        (Kind::Insert, Some(Value::Map(properties))) => {
            properties.keys().all(|path| path.len() <= PATH_BYTES_MAX)
                && parent().is_none_or(|parent| live(parent).is_some())
        }
        (Kind::Move, None | Some(Value::Null)) => {
            let nodes = live(key).filter(|&node| node != Replica::ROOT).zip(parent().and_then(live));
            nodes.is_some_and(|(node, parent): (NodeIx, NodeIx)| !replica.is_under(parent, node))
        }
        (_, _) => false,
    }
}
