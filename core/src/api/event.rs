//! What subscribers are told.

use serde::{Deserialize, Serialize};

use super::LogEntry;
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
    /// Events were dropped because the subscriber was slow, or the scene changed by no message: read it again.
    Lagged {
        /// How many; 0 where history was let go and edits that came too late for that are issued again.
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
