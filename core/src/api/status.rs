//! What a daemon tells of itself, its rooms and its peers.

use serde::{Deserialize, Serialize};

use super::{Joining, LogEntry};
use crate::id::{Actor, Dot, PeerKey, RoomId, StateHash};
use crate::members::Role;

/// How the daemon is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// Its program and version.
    pub agent: String,
    /// Its key.
    pub peer: PeerKey,
    /// For how long it has been running.
    pub uptime_ms: u64,
    /// Where it listens, as multiaddrs.
    pub listening: Vec<String>,
    /// Whether it looks for peers by mDNS.
    pub mdns: bool,
    /// Where it keeps its data.
    pub data_dir: String,
    /// Where it reads its settings from.
    pub config_file: String,
    /// What is wrong with the settings, if something is.
    pub config_error: Option<String>,
    /// Its resident memory in bytes, where the system tells.
    pub resident_bytes: Option<u64>,
    /// Connected peers.
    pub peers_connected: u32,
    /// Its rooms; the default one first.
    pub rooms: Vec<RoomInfo>,
    /// Rooms it was invited into, and is not let into yet.
    #[serde(default)]
    pub joining: Vec<Joining>,
}

/// One room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RoomInfo {
    /// Its identity.
    pub room: RoomId,
    /// Its name, for people; empty until its founding message has come.
    pub name: String,
    /// What this daemon may do in it; nothing in an open room, where everybody may edit.
    #[serde(default)]
    pub role: Option<Role>,
    /// Whether it is an open room.
    #[serde(default)]
    pub open: bool,
    /// Whether commands without `--room` mean this one.
    pub default: bool,
    /// Whether it is out of memory, until somebody has use for it.
    #[serde(default)]
    pub asleep: bool,
    /// Messages held.
    pub messages: u64,
    /// Messages that wait for their causal past.
    pub waiting: u64,
    /// Live nodes, the root included.
    pub nodes: u64,
    /// The hash of the scene: equal where the scene is.
    pub state_hash: StateHash,
    /// Ops that had no effect: wrong types, missing nodes, unknown operations.
    pub ineffective_ops: u64,
    /// Connected peers that are members.
    pub peers_connected: u32,
    /// Why the room accepts no edits, if it does not.
    pub read_only: Option<String>,
    /// The horizon before which everything is forgotten, if there is one.
    #[serde(default)]
    pub horizon: Option<Dot>,
    /// What people should know: that a peer sees another scene of the same messages, or why a horizon that came is not followed, and
    /// nothing forgotten.
    #[serde(default)]
    pub alarm: Option<String>,
    /// Numbers that are proven to have two messages.
    #[serde(default)]
    pub forks: Vec<Fork>,
}

/// A number that somebody gave to two messages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fork {
    /// The id that both were signed with.
    pub message: Dot,
    /// Whether this machine's key signed them.
    pub own: bool,
    /// What the branches are called that begin with them. None where the fork lies before what is forgotten: one of the two is part of the room
    /// then, and what is built on the other is not.
    #[serde(default)]
    pub branches: Vec<Actor>,
}

/// One peer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Its key.
    pub peer: PeerKey,
    /// Whether there is a connection now.
    pub connected: bool,
    /// Where it is or was, as multiaddrs.
    pub addresses: Vec<String>,
    /// How it was found: `mdns`, `rendezvous`, `ticket`, `added`, `inbound`.
    pub source: String,
    /// Rooms shared with it.
    pub rooms: Vec<RoomId>,
    /// Round-trip time of the last heartbeat, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Since when, in milliseconds, nothing was heard of it.
    pub silent_ms: Option<u64>,
    /// Whether, in every shared room, it was last known to hold the same messages.
    pub in_sync: bool,
    /// Messages of shared rooms that are here and that it is not known to hold.
    #[serde(default)]
    pub behind: u64,
    /// Messages of shared rooms that it holds and that are not here.
    #[serde(default)]
    pub ahead: u64,
}

/// How far a message has come.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The message.
    pub message: LogEntry,
    /// Whether it is on the disk here.
    pub durable: bool,
    /// How far it has come to each connected member.
    pub peers: Vec<Traced>,
}

/// How far a message has come to one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Traced {
    /// Who.
    pub peer: PeerKey,
    /// How far.
    pub reach: Reach,
}

/// How far a message has come to somebody; later is further.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It has not been sent.
    Lacking,
    /// It is on its way.
    Sent,
    /// It is part of the replica there.
    Held,
    /// It is on the disk there.
    Durable,
}
