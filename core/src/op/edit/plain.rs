//! An edit of the tree, an undo or a redo that is a commit of its own and says all that its op does, as nearly all are.
//!
//! What is not plainly right, or says where among siblings, goes the long way.

use crate::api::EditOp;
use crate::id::Dot;
use crate::limits::{KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::op::Named;
use crate::op::row::{Kind, Row};
use crate::replica::{NodeIx, Replica};
use crate::value::Value;

/// The options that travel as they are.
const PLAIN: [&str; 4] = ["parent", "tag", "name", "target"];

/// What an edit names, if it is an op as it stands, with an effect on the scene as far as that goes.
pub(super) fn named<'a>(edit: &'a EditOp, row: &'static Row, replica: &Replica) -> Option<Named<'a>> {
    let EditOp { key, path: None, value, options, .. } = edit else { return None };
    let is_right = |(name, value): (&String, &Value)| {
        PLAIN.contains(&name.as_str()) && row.option(name).is_some() && value.as_text().is_some()
    };
    let is_plain = match (row.kind, value) {
        (_, None | Some(Value::Null)) => true,
        (Kind::Insert, Some(Value::Map(properties))) => {
            properties.keys().all(|path| path.len() <= PATH_BYTES_MAX)
        }
        (_, _) => false,
    };
    if !is_plain || key.len() > KEY_BYTES_MAX || !options.iter().all(is_right) {
        return None;
    }
    let text = |name: &str| options.get(name).and_then(Value::as_text);
    match row.kind {
        Kind::Insert | Kind::Move => {
            let live = |key: &str| replica.number(key).filter(|&node| replica.is_live_node(node));
            let parent = match text("parent") {
                Some(parent) => Some((parent, live(parent)?)),
                None => None,
            };
            let node = replica.number(key).filter(|_| !key.is_empty());
            let is_movable = |node: &NodeIx| {
                let is_free = |(_, parent)| !replica.is_under(parent, *node);
                *node != Replica::ROOT && replica.is_live_node(*node) && parent.is_some_and(is_free)
            };
            let fits = match row.kind {
                Kind::Insert => !key.is_empty(),
                _ => node.as_ref().is_some_and(is_movable),
            };
            fits.then_some(Named::Nodes { node, parent })
        }
        Kind::Undo | Kind::Redo => {
            let text = text("target").filter(|_| key.is_empty())?;
            let target: Dot = text.parse().ok()?;
            (is_plain_id(text) && replica.is_undoable(&target)).then_some(Named::Message(target))
        }
        _ => None,
    }
}

/// Whether a text that was read as a message's id is the one that the message itself would give.
fn is_plain_id(text: &str) -> bool {
    let number = text.split_once(':').map_or("", |(_, number)| number);
    !number.starts_with(['0', '+']) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}
