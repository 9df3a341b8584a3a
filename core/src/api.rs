//! The local API: what a client and the daemon say to each other over the socket. This is its one definition.
//!
//! A connection carries frames: a big-endian `u32` length, then that many bytes of CBOR. The first frame each way is a
//! [`Hello`]; then the client sends [`Request`]s and the daemon [`Answer`]s, in any order, matched by `id`.

mod at;
mod care;
mod compaction;
mod error;
mod event;
mod invite;
mod members;
mod presence;
mod status;

pub use at::At;
pub use care::{Finding, Health};
pub use compaction::{Compact, Compacted, Policy};
pub use error::{ApiError, Code};
pub use event::{Change, Event};
pub use invite::{Invite, Invited, Joining};
pub use members::{Govern, Member, Says};
pub use presence::{Cancel, Commit, Present, Shown, Stage, Staged};
pub use status::{Fork, Peer, Reach, RoomInfo, Status, Trace, Traced};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Dot, PeerKey};
use crate::value::Value;

/// The protocol this code speaks. A daemon of another one is named to the user, with what to do.
pub const PROTOCOL: u32 = 1;

/// The first frame in each direction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The [`PROTOCOL`] the sender speaks.
    pub protocol: u32,
    /// The sender's program and version, for people.
    pub agent: String,
    /// The daemon's process id; absent from clients.
    #[serde(default)]
    pub pid: Option<u32>,
}

/// What a client asks, with a number of its choice that the answers repeat.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Repeated in every answer.
    pub id: u64,
    /// The question.
    pub ask: Ask,
}

/// A room by id, unambiguous prefix of it, or name; the default room where absent.
pub type RoomName = Option<String>;

/// The questions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// How the daemon is. Answered by [`Reply::Status`].
    Status {},
    /// Which peers it knows. Answered by [`Reply::Peers`].
    Peers {},
    /// Which rooms it holds. Answered by [`Reply::Rooms`].
    Rooms {},
    /// Founds a room, which becomes the default one. Answered by [`Reply::Room`].
    Found {
        /// How it is called: 1 to 128 bytes, and no other room here is.
        name: String,
        /// As in [`Edit::request`].
        #[serde(default)]
        request: Option<String>,
    },
    /// Makes a room the default one. Answered by [`Reply::Room`].
    Use {
        /// Which.
        room: String,
    },
    /// Takes part in a room no more. Answered by [`Reply::Done`].
    Leave {
        /// Which.
        room: String,
        /// Whether what is held of it is deleted; else it is put aside, and taken up again by who joins again.
        delete: bool,
        /// Whether to delete also what no connected member is known to hold.
        force: bool,
    },
    /// Commit edits as one message. Answered by [`Reply::Edited`].
    Edit(Edit),
    /// Undo a message. Answered by [`Reply::Edited`].
    Undo(Undo),
    /// Redo an undone message. Answered by [`Reply::Edited`].
    Redo(Undo),
    /// Who the members of a room are. Answered by [`Reply::Members`].
    Members {
        /// Where.
        room: RoomName,
    },
    /// Says something of a room and its members. Answered by [`Reply::Edited`], or an error with [`Code::NotAllowed`].
    Govern(Govern),
    /// One node. Answered by [`Reply::Node`], or an error with [`Code::NotFound`].
    Node {
        /// Where.
        room: RoomName,
        /// The node's key.
        key: String,
        /// Which version; as things stand where absent.
        #[serde(default)]
        at: Option<At>,
    },
    /// One property. Answered by [`Reply::Value`], or an error with [`Code::NotFound`].
    Value {
        /// Where.
        room: RoomName,
        /// The node's key.
        key: String,
        /// The property's path.
        path: String,
        /// Which version; as things stand where absent.
        #[serde(default)]
        at: Option<At>,
    },
    /// The whole scene, parents before children. Answered by one or more [`Reply::Scene`].
    Scene {
        /// Where.
        room: RoomName,
        /// Which version; as things stand where absent.
        #[serde(default)]
        at: Option<At>,
    },
    /// The newest messages, newest first. Answered by one or more [`Reply::Log`].
    Log {
        /// Where.
        room: RoomName,
        /// At most this many; all where absent.
        limit: Option<u64>,
        /// Which version; as things stand where absent.
        #[serde(default)]
        at: Option<At>,
    },
    /// Who made a value what it is, or put a node where it is: the last in order first. Answered by one or more
    /// [`Reply::Blame`], or an error with [`Code::NotFound`].
    Blame {
        /// Where.
        room: RoomName,
        /// The node's key.
        key: String,
        /// The property's path; absent: who inserted, moved and removed the node in its last life.
        path: Option<String>,
        /// Of a property every op that has a part in the value, instead of the last one.
        all: bool,
        /// Which version; as things stand where absent.
        #[serde(default)]
        at: Option<At>,
    },
    /// How far a message has come. Answered by [`Reply::Trace`].
    Trace {
        /// Where.
        room: RoomName,
        /// The message, by id or an unambiguous beginning of one.
        message: String,
    },
    /// Follow a room. Answered by [`Reply::Watching`], then [`Reply::Event`]s until [`Ask::Unwatch`].
    Watch {
        /// Where.
        room: RoomName,
        /// Whether to be told who is here too, beginning with who is by now.
        #[serde(default)]
        presence: bool,
        /// Whether to be told of drafts too, in the same way.
        #[serde(default)]
        drafts: bool,
    },
    /// Ends a subscription. Answered by [`Reply::Done`].
    Unwatch {
        /// The `id` of the request that began it.
        watch: u64,
    },
    /// Shows who this is to others in a room. Answered by [`Reply::Done`].
    Present(Present),
    /// Who shows something in a room. Answered by [`Reply::Who`].
    Who {
        /// Where.
        room: RoomName,
    },
    /// Adds edits to a draft, which others see and nobody keeps. Answered by [`Reply::Staged`].
    Stage(Stage),
    /// Commits a draft as one message. Answered by [`Reply::Edited`]; where that fails, the draft stays.
    Commit(Commit),
    /// Drops a draft. Answered by [`Reply::Staged`].
    Cancel(Cancel),
    /// A ticket into a room. Answered by [`Reply::Ticket`].
    Invite(Invite),
    /// The invitations that this daemon has made. Answered by [`Reply::Invites`].
    Invites {
        /// Into which room.
        room: RoomName,
    },
    /// Takes an invitation back: it admits nobody from now on. Answered by [`Reply::Done`].
    RevokeInvite {
        /// Into which room.
        room: RoomName,
        /// What it goes by.
        id: String,
    },
    /// Joins a room; answered by [`Reply::Room`] once the first sync is done, or by an error with [`Code::BadTicket`] where who has made
    /// the invitation does not let it in.
    Join {
        /// The ticket.
        ticket: String,
        /// How long to wait for that. It goes on where it takes longer.
        timeout_ms: u64,
    },
    /// Lets a room's history go, on the daemon of its owner. Answered by [`Reply::Compacted`].
    Compact(Compact),
    /// Remembers and dials an address. Answered by [`Reply::Done`].
    AddPeer {
        /// A multiaddr, with or without `/p2p/…`.
        address: String,
    },
    /// How disk, network and machine are, and whether every message is whole. Answered by [`Reply::Findings`].
    Doctor {
        /// Whether to rebuild damaged rooms from what is whole, so that the rest is fetched from peers.
        repair: bool,
    },
    /// Copies rooms into one file, which is replaced. Answered by [`Reply::Findings`].
    Backup {
        /// Which; all where absent.
        room: RoomName,
        /// An absolute path.
        file: String,
    },
    /// Puts rooms back: what is whole of their files here, and what a backup has beside. Answered by [`Reply::Findings`].
    Restore {
        /// An absolute path; where absent, all that is not whole here comes from peers.
        file: Option<String>,
    },
    /// What connected peers see of a room. Answered by [`Reply::Findings`], one of each.
    Verify {
        /// Where.
        room: RoomName,
        /// An absolute path: where somebody sees something else, it becomes a [`Bundle`](crate::bundle::Bundle).
        bundle: String,
        /// How long to wait for peers that cannot be compared yet, in milliseconds.
        #[serde(default)]
        timeout_ms: u64,
    },
    /// Copies the daemon's key into a new file. Answered by [`Reply::Identity`].
    BackupIdentity {
        /// An absolute path.
        file: String,
    },
    /// Makes the key in such a file the daemon's own; where it had another, it ends. Answered by [`Reply::Identity`].
    RestoreIdentity {
        /// An absolute path.
        file: String,
    },
    /// Lets a key of the daemon's give way to a new one, with which it starts anew; once for each key. Answered by [`Reply::Identity`].
    RotateIdentity {
        /// The key it has.
        from: PeerKey,
    },
    /// Ends the daemon, after what was accepted is durable. Answered by [`Reply::Done`].
    Stop {},
}

/// Edits that are to become one message.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Edit {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// The steps, in order; at least one.
    pub ops: Vec<EditOp>,
    /// A description.
    #[serde(default)]
    pub note: Option<String>,
    /// An id of the client's making: asked again with the same one, the same message is the answer.
    #[serde(default)]
    pub request: Option<String>,
    /// When to answer.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait for peers, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// An undo or a redo.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Undo {
    /// Where.
    #[serde(default)]
    pub room: RoomName,
    /// The message, by id or unambiguous prefix. Absent: for undo this user's last message not yet undone, for redo
    /// the last one this user undid.
    #[serde(default)]
    pub target: Option<String>,
    /// As in [`Edit::request`].
    #[serde(default)]
    pub request: Option<String>,
    /// When to answer.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait for peers, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// One step as clients write it: by name, with positions among siblings instead of places.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct EditOp {
    /// The operation, such as `vector3.add`.
    pub otype: String,
    /// The node's key; empty for meta operations.
    #[serde(default)]
    pub key: String,
    /// The property's path; absent for node and meta operations.
    #[serde(default)]
    pub path: Option<String>,
    /// The argument. For `node.insert` a map of initial properties.
    #[serde(default)]
    pub value: Option<Value>,
    /// Named arguments: `tag`, `name`, `parent`, `before`, `after`, `index` of node operations, `target` of meta
    /// operations, and what the row lists (`separator`, `order`, …).
    #[serde(default)]
    pub options: BTreeMap<String, Value>,
}

/// When an edit is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// As soon as it is part of the local replica.
    Local,
    /// When it is on the local disk.
    #[default]
    Durable,
    /// When it is on the local disk and on that many peers' disks.
    Peers(u32),
}

/// One answer; some questions have several.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The request's.
    pub id: u64,
    /// Whether further answers to this request follow.
    #[serde(default)]
    pub more: bool,
    /// The answer itself.
    pub result: Result<Reply, ApiError>,
}

/// The answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Ask::Status`].
    Status(Box<Status>),
    /// To [`Ask::Peers`].
    Peers(Vec<Peer>),
    /// To [`Ask::Rooms`].
    Rooms(Vec<RoomInfo>),
    /// To [`Ask::Edit`], [`Ask::Commit`], [`Ask::Undo`], [`Ask::Redo`] and [`Ask::Govern`].
    Edited(Edited),
    /// To [`Ask::Members`]: all who are members or were, in the order in which they joined; nobody in an open room.
    Members(Vec<Member>),
    /// To [`Ask::Node`].
    Node(Node),
    /// To [`Ask::Value`].
    Value(Value),
    /// To [`Ask::Scene`]: the next nodes.
    Scene(Vec<Node>),
    /// To [`Ask::Log`]: the next messages.
    Log(Vec<LogEntry>),
    /// To [`Ask::Blame`]: the next ops.
    Blame(Vec<Blamed>),
    /// To [`Ask::Trace`].
    Trace(Box<Trace>),
    /// To [`Ask::Who`]: by peer, then by session.
    Who(Vec<Shown>),
    /// To [`Ask::Stage`] and [`Ask::Cancel`].
    Staged(Staged),
    /// To [`Ask::Watch`]: events follow.
    Watching {},
    /// To [`Ask::Watch`]: something happened.
    Event(Event),
    /// To [`Ask::Invite`].
    Ticket {
        /// The ticket's text.
        ticket: String,
    },
    /// To [`Ask::Invites`], the oldest first.
    Invites(Vec<Invited>),
    /// To [`Ask::Join`], [`Ask::Found`] and [`Ask::Use`].
    Room(RoomInfo),
    /// To [`Ask::Compact`].
    Compacted(Compacted),
    /// To [`Ask::Doctor`], [`Ask::Backup`], [`Ask::Restore`] and [`Ask::Verify`].
    Findings(Vec<Finding>),
    /// To [`Ask::BackupIdentity`], [`Ask::RestoreIdentity`] and [`Ask::RotateIdentity`]: whose key it is.
    Identity {
        /// The public key.
        peer: PeerKey,
    },
    /// It is done, and there is nothing to say.
    Done {},
}

/// What became of an edit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Edited {
    /// The message it became.
    pub id: Dot,
    /// Whether this is the answer to an earlier request with the same id.
    pub repeated: bool,
    /// Ops that have no effect on the scene as it stands, each with its reason.
    pub ineffective: Vec<Ineffective>,
}

/// An op without effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ineffective {
    /// Which of the message's ops, from 0.
    pub index: u32,
    /// Why.
    pub reason: String,
}

/// One node.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Its key.
    pub key: String,
    /// What it is, such as `Mesh`.
    pub tag: String,
    /// Its name; may be empty.
    pub name: String,
    /// The key above it; absent from the root.
    pub parent: Option<String>,
    /// Live children, in order.
    pub children: Vec<String>,
    /// Its properties by path.
    pub properties: BTreeMap<String, Value>,
}

/// One message of the log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its identity.
    pub id: Dot,
    /// 1 + the greatest lamport in its past.
    pub lamport: u64,
    /// When its author's clock said it was made, in milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// Its description.
    pub note: Option<String>,
    /// Whether it is undone.
    pub undone: bool,
    /// Whether this daemon made it.
    pub own: bool,
    /// Its ops. Operations this version does not know are named `unknown.<code>`.
    pub ops: Vec<EditOp>,
}

/// One op that made something what it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Blamed {
    /// Which of the message's ops, from 0.
    pub index: u32,
    /// Its message; of the ops only this one.
    pub message: LogEntry,
}
