//! What subscribers are told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EditOp, LogEntry};
use crate::id::{PeerKey, Session};
use crate::value::Value;

/// What a subscriber is told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A message became part of the replica, here or from a peer.
    Message {
        /// The message.
        message: LogEntry,
        /// What the scene shows now where the message changed it.
        changes: Vec<Change>,
    },
    /// A session shows who it is, or that it is here no more. Told to who asked for it.
    Presence {
        /// Which.
        session: Session,
        /// On whose daemon.
        peer: PeerKey,
        /// What it tells of itself; empty where it is here no more.
        fields: BTreeMap<String, Value>,
    },
    /// A session's draft is another, or there is none any more. Told to who asked for it.
    Draft {
        /// Which.
        session: Session,
        /// On whose daemon.
        peer: PeerKey,
        /// All of its edits; empty where they are committed, or dropped.
        edits: Vec<EditOp>,
        /// What the scene, as it is by now, would show differently with them: in the place of what was told of the draft before.
        changes: Vec<Change>,
    },
    /// Events were dropped because the subscriber was slow, or the scene changed by no message: read it again.
    Lagged {
        /// How many; 0 where history was let go and edits that came too late for that are issued again, or where messages turned out to be of a
        /// branch and are called otherwise from now on.
        dropped: u64,
    },
}

/// One thing the scene shows differently.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A property has this value now; none where it is gone.
    Property {
        /// The node.
        key: String,
        /// The property.
        path: String,
        /// Its value.
        value: Option<Value>,
    },
    /// A node is new, or stands elsewhere.
    Node {
        /// The node.
        key: String,
        /// What it is.
        tag: String,
        /// Its name.
        name: String,
        /// The key above it.
        parent: Option<String>,
        /// The sibling right before it, which is there by then; absent where it is the first.
        #[serde(default)]
        after: Option<String>,
    },
    /// A node is gone.
    Removed {
        /// The node.
        key: String,
    },
}
