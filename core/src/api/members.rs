//! Who the members of a room are, and what an owner says of them and of the room.

use serde::{Deserialize, Serialize};

use crate::api::{RoomName, Wait};
use crate::id::PeerKey;
use crate::members::Role;
use crate::op::Options;

/// One member of a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub key: PeerKey,
    /// What it may do; absent where it was removed, or left.
    pub role: Option<Role>,
    /// How it is called; may be empty.
    pub name: String,
    /// Whether it is this daemon.
    pub own: bool,
    /// Since when it has been a member without a break, in milliseconds since 1970, as the clock said of who made it one; absent where
    /// that was not said, or is forgotten.
    #[serde(default)]
    pub since_ms: Option<u64>,
    /// Who made it one; absent of the founder, and where that is forgotten.
    #[serde(default)]
    pub by: Option<PeerKey>,
    /// The keys it had before, the first one first.
    #[serde(default)]
    pub former: Vec<PeerKey>,
}

/// What is to be said of a room, as one message. Answered as an edit is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Govern {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// What, in order; at least one.
    pub says: Vec<Says>,
    /// As in [`Edit::request`](crate::api::Edit::request).
    #[serde(default)]
    pub request: Option<String>,
    /// When to answer.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait for peers, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// One thing that is said of a room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// Somebody is a member in that role. Everybody may say so of himself, where that makes him less than he is.
    MemberRole {
        /// Who.
        key: PeerKey,
        /// What it may do.
        role: Role,
        /// How it is called; as before where absent.
        #[serde(default)]
        name: Option<String>,
    },
    /// Somebody is no member any more. Everybody may say so of himself.
    MemberRemove {
        /// Who.
        key: PeerKey,
    },
    /// The room is called so.
    RoomRename {
        /// A text of at most 128 bytes.
        name: String,
    },
    /// The room has another secret. An owner's daemon says so, which knows what belongs into it.
    RoomSecret {
        /// The options of `room.secret`.
        options: Options,
    },
}
