//! Who is let into a room, and how far that has come.

use serde::{Deserialize, Serialize};

use super::RoomName;
use crate::id::{PeerKey, RoomId};
use crate::members::Role;

/// What a ticket is to be good for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invite {
    /// Into which room.
    #[serde(default)]
    pub room: RoomName,
    /// Whether the ticket carries this daemon's addresses.
    pub addresses: bool,
    /// What it makes a newcomer.
    pub role: Role,
    /// How the newcomer is to be called.
    #[serde(default)]
    pub name: Option<String>,
    /// For how long it is good, in milliseconds.
    pub lasts_ms: u64,
    /// How many it may admit.
    pub uses: u32,
}

impl Default for Invite {
    /// One editor, within a day.
    fn default() -> Self {
        let lasts_ms = 24 * 60 * 60 * 1000;
        Self { room: None, addresses: true, role: Role::Editor, name: None, lasts_ms, uses: 1 }
    }
}

/// An invitation that this daemon has made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invited {
    /// What it goes by: 8 letters.
    pub id: String,
    /// What it makes a newcomer.
    pub role: Role,
    /// How the newcomer is to be called; may be empty.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// How many it may admit.
    pub uses: u32,
    /// Who has redeemed it, in order.
    pub redeemed: Vec<PeerKey>,
    /// Why it admits nobody new, if it does not.
    pub ended: Option<String>,
}

/// A room that this daemon was invited into, and has not been let into yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Joining {
    /// The room.
    pub room: RoomId,
    /// Who lets it in.
    pub peer: PeerKey,
    /// Whether that one is connected, and so has been asked.
    pub asked: bool,
}
