//! What compacting a room does.

use serde::{Deserialize, Serialize};

use crate::api::RoomName;
use crate::id::{Dot, PeerKey};

/// How a room is to be compacted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Compact {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// Whether only to say what it would do.
    #[serde(default)]
    pub dry_run: bool,
    /// Keep everything that is younger than that, in milliseconds: so it can still be undone, and read with `--at`. Absent: as the room's
    /// policy has it.
    #[serde(default)]
    pub undo_window_ms: Option<u64>,
    /// Wait for no member that was not seen for that long, in milliseconds. Absent: as the room's policy has it.
    #[serde(default)]
    pub absence_limit_ms: Option<u64>,
    /// Whether the two are the room's policy from now on.
    #[serde(default)]
    pub remember: bool,
}

/// When a room's keeper lets its history go, by itself or asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// Everything that is younger stays.
    pub undo_window_ms: u64,
    /// Whoever was not seen for that long is not waited for.
    pub absence_limit_ms: u64,
}

/// What compacting did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Compacted {
    /// The horizon; none where nothing was let go.
    pub horizon: Option<Dot>,
    /// Messages that are let go.
    pub messages: u64,
    /// Bytes that they took, unpacked.
    pub bytes: u64,
    /// Bytes of what is kept in their place, packed.
    pub ground_bytes: u64,
    /// Messages that stay.
    pub kept: u64,
    /// Members that are not known to hold everything that is old enough: what they lack stays.
    pub waits_for: Vec<PeerKey>,
    /// By which policy.
    pub policy: Policy,
}
