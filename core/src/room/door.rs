//! The door of a room: what it is opened with, what happens to it, and what it wants done.

use std::sync::Arc;

use crate::api::{self, ApiError, Edited};
use crate::chain::Keys;
use crate::founding::Founding;
use crate::id::{Actor, Dot, PeerKey, RoomId, Session};
use crate::presence::{Part, Show};
use crate::room::Refusal;
use crate::store::{Forgetting, Record, Rename, StoreError};
use crate::sync::frame::Digest;
use crate::sync::{Lane, LinkId, RoomFrame};

/// What a room is opened with.
#[derive(Clone)]
pub struct Opening {
    /// Its id.
    pub room: RoomId,
    /// Its founding message, if it has come yet.
    pub founding: Option<Founding>,
    /// Signs for this machine.
    pub keys: Arc<dyn Keys>,
    /// Random: the epoch to begin, if none may be gone on with.
    pub epoch_fresh: u64,
    /// Proof that nothing told was lost: the epoch and the number last told in it (DESIGN §4).
    pub epoch_proof: Option<(u64, u64)>,
}

/// What happens to a room.
#[derive(Debug)]
pub enum Input {
    /// A client commits edits. Answered by [`Output::Reply`] with the same token.
    Edit {
        /// The caller's.
        token: u64,
        /// What to commit.
        edit: api::Edit,
    },
    /// A client undoes or redoes a message. Answered like an edit.
    Undo {
        /// The caller's.
        token: u64,
        /// Which message.
        undo: api::Undo,
        /// Whether to redo instead.
        redo: bool,
    },
    /// A client says something of the room and its members. Answered like an edit.
    Govern {
        /// The caller's.
        token: u64,
        /// What.
        govern: api::Govern,
    },
    /// What was committed is to be signed and told: sent when no further edit is at hand.
    Flush,
    /// A session of ours shows something, as [`Room::check_show`](super::Room::check_show) has it, or nothing any more.
    Show {
        /// Which.
        session: Session,
        /// What.
        show: Show,
    },
    /// A session of ours is gone.
    SessionGone {
        /// Which.
        session: Session,
    },
    /// A session of ours commits its draft. Answered like an edit; where that is refused, the draft stays.
    Commit {
        /// The caller's.
        token: u64,
        /// Which session.
        session: Session,
        /// How; its ops are the draft's.
        edit: api::Edit,
    },
    /// What a session of ours shows could not be queued for a peer.
    Unshown {
        /// Its connection.
        link: LinkId,
        /// Which session.
        session: Session,
        /// Which part of it.
        part: Part,
    },
    /// A peer that is a member is connected.
    PeerUp {
        /// Over which connection.
        link: LinkId,
        /// Who it is: one over two connections is still one.
        peer: PeerKey,
    },
    /// A peer is gone.
    PeerDown {
        /// Its connection.
        link: LinkId,
    },
    /// A peer said something.
    Frame {
        /// Its connection.
        link: LinkId,
        /// What it said.
        frame: RoomFrame,
    },
    /// A peer told its digest.
    Digest {
        /// Its connection.
        link: LinkId,
        /// What it holds.
        digest: Digest,
    },
    /// A live run could not be queued for a peer: it becomes backlog.
    Unsent {
        /// Its connection.
        link: LinkId,
        /// The run's first message.
        first: Dot,
    },
    /// A live run came over a connection that had lost another, and so cannot be read: it has to be sent again.
    Missed {
        /// The connection.
        link: LinkId,
    },
    /// Everything up to this batch is durable.
    Committed {
        /// The number of the batch.
        batch: u64,
    },
    /// This batch and all after it are not durable. After [`StoreError::Full`] they are tried again by whoever owns the
    /// disk, and `Committed` may follow; after anything else never.
    StoreFailed {
        /// The number of the batch.
        batch: u64,
        /// Why.
        error: StoreError,
    },
    /// What [`Output::Read`] asked for.
    Read {
        /// For which peer.
        link: LinkId,
        /// The records, in the order asked; fewer where some are missing.
        records: Vec<Record>,
    },
    /// Time has passed.
    Wake,
}

/// What a room wants done.
#[derive(Debug)]
pub enum Output {
    /// Record in the volatile place that this number of the epoch is told; before anything that follows.
    Number {
        /// The epoch.
        epoch: u64,
        /// The number.
        seq: u64,
    },
    /// Send to a peer.
    Send {
        /// Its connection.
        link: LinkId,
        /// How urgent.
        lane: Lane,
        /// What.
        frame: RoomFrame,
    },
    /// Make durable, then report [`Input::Committed`] or [`Input::StoreFailed`].
    Store {
        /// Its number, counting up.
        batch: u64,
        /// What.
        records: Vec<Record>,
    },
    /// Put in the store what is left of messages in their place, in one step and before anything that follows.
    Forget(Box<Forgetting>),
    /// Give messages in the store the names of branches, those of the batches before too, and remember the fact
    /// [`FORKS`](crate::store::FORKS) with it, in one step and before anything that follows.
    Rename {
        /// What is called otherwise, if anything is.
        renames: Vec<Rename>,
        /// The fact.
        forks: Vec<u8>,
    },
    /// Remember a fact of the room, after everything before.
    Fact {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: Vec<u8>,
    },
    /// Read from the store, then report [`Input::Read`].
    Read {
        /// For which peer.
        link: LinkId,
        /// Of each actor from which number to which, both included.
        ranges: Vec<(Actor, u64, u64)>,
    },
    /// Tell subscribers; only while there are some.
    Event(Box<api::Event>),
    /// Answer a client.
    Reply {
        /// The caller's.
        token: u64,
        /// The answer.
        result: Result<Edited, ApiError>,
    },
    /// People should know that.
    Alarm(String),
    /// Somebody gave this number to two messages, as is proven now: people should know.
    Forked(Dot),
    /// The founding message has come: remember it.
    Founded(Founding),
    /// For the first time since it connected, nothing this peer had is missing here.
    Synced {
        /// Its connection.
        link: LinkId,
    },
    /// A peer sent what can never be part of the room.
    Refused {
        /// Its connection.
        link: LinkId,
        /// Why.
        refusal: Refusal,
    },
}
