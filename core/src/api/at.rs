//! Which version of a room is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Actor;

/// A version of a room other than the one that stands: an earlier one, which is a set of messages and all that they had seen (undos count as
/// far as they are part of it), or what it would be with a draft.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// A message, by id or an unambiguous beginning of one, and its causal past.
    Message(String),
    /// Every message whose author's clock said this time or an earlier one, in milliseconds since 1970, and its causal past.
    Time(u64),
    /// Of each actor the messages up to this number, all of which must be held, and their causal past.
    Version(BTreeMap<Actor, u64>),
    /// As things stand, with a draft, named as in [`Stage::draft`](super::Stage::draft), on top. Of nodes, values and scenes.
    Draft(Option<String>),
}
