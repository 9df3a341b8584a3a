//! Presence and drafts: what a session shows to others in a room, for as long as it is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EditOp, RoomName, Wait};
use crate::id::{PeerKey, Session};
use crate::value::Value;

/// What this connection tells of itself in a room; it ends with the connection.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Present {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// All of it, by the names of [`FIELDS`](crate::presence::FIELDS); empty to be here no more.
    pub fields: BTreeMap<String, Value>,
}

/// Edits for a draft.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Stage {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// Which draft: one the daemon keeps by this name until it is committed, cancelled or idle for too long. Absent: the
    /// connection's own, which ends with it.
    #[serde(default)]
    pub draft: Option<String>,
    /// The edits, in order.
    pub ops: Vec<EditOp>,
    /// Whether they take the place of what was staged, instead of coming after it.
    #[serde(default)]
    pub replace: bool,
}

/// A draft that is to become one message.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Commit {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// Which, as in [`Stage::draft`].
    #[serde(default)]
    pub draft: Option<String>,
    /// A description.
    #[serde(default)]
    pub note: Option<String>,
    /// As in [`Edit::request`](super::Edit::request).
    #[serde(default)]
    pub request: Option<String>,
    /// When to answer.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait for peers, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// A draft that is to be dropped.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cancel {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// Which, as in [`Stage::draft`].
    #[serde(default)]
    pub draft: Option<String>,
}

/// What a draft holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Staged {
    /// Edits staged in it; of a draft that was dropped, those that it held.
    pub edits: u32,
}

/// A session that shows something in a room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// Which.
    pub session: Session,
    /// On whose daemon.
    pub peer: PeerKey,
    /// Whether that is this one.
    pub own: bool,
    /// For how long it has been seen here, in milliseconds.
    pub since_ms: u64,
    /// For how long it has shown the same, in milliseconds.
    pub idle_ms: u64,
    /// What it tells of itself.
    pub fields: BTreeMap<String, Value>,
    /// Edits of its draft.
    pub staged: u32,
}
