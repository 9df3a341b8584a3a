//! An edit of the tree that is a commit of its own and says all that its op does, as nearly all are.
//!
//! What is not plainly right, or says where among siblings, goes the long way.

use crate::api::EditOp;
use crate::limits::{KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::op::Named;
use crate::op::row::{Kind, Row};
use crate::replica::Replica;
use crate::value::Value;

/// The options that travel as they are.
const PLAIN: [&str; 3] = ["parent", "tag", "name"];

/// The nodes an edit names, if it is an op as it stands, with an effect on the scene as far as these nodes go.
pub(super) fn named<'a>(edit: &'a EditOp, row: &'static Row, replica: &Replica) -> Option<Named<'a>> {
    let EditOp { key, path, value, options, .. } = edit;
    let is_right = |(name, value): (&String, &Value)| {
        PLAIN.contains(&name.as_str()) && row.option(name).is_some() && value.as_text().is_some()
    };
    let is_plain = path.is_none() && (1..=KEY_BYTES_MAX).contains(&key.len()) && options.iter().all(is_right);
    if !is_plain || !matches!(row.kind, Kind::Insert | Kind::Move) {
        return None;
    }
    let live = |key: &str| replica.number(key).filter(|&node| replica.is_live_node(node));
    let parent = match options.get("parent").and_then(Value::as_text) {
        Some(parent) => Some((parent, live(parent)?)),
        None => None,
    };
    let node = match (row.kind, value) {
        (Kind::Insert, None | Some(Value::Null)) => replica.number(key),
        (Kind::Insert, Some(Value::Map(properties)))
            if properties.keys().all(|path| path.len() <= PATH_BYTES_MAX) =>
        {
            replica.number(key)
        }
        (Kind::Move, None | Some(Value::Null)) => {
            let node = live(key).filter(|&node| node != Replica::ROOT)?;
            let (_, above) = parent?;
            if replica.is_under(above, node) {
                return None;
            }
            Some(node)
        }
        (_, _) => return None,
    };
    Some(Named { node, parent })
}
