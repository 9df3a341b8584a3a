//! What a room needs of a disk. The daemon's is SQLite; the simulator's loses, tears and fills up.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::chain::{Link, Signature};
use crate::horizon::Frontier;
use crate::id::{Actor, Dot};
use crate::replica::Stretch;

/// One message as it rests in the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Who made it.
    pub actor: Actor,
    /// Its number.
    pub seq: u64,
    /// Its link; a reader computes it anew and thereby finds damage.
    pub link: Link,
    /// The exact canonical bytes.
    pub body: Vec<u8>,
    /// The author's signature over `link`, where one was made.
    pub signature: Option<Signature>,
}

/// The fact that holds what is left of forgotten messages.
pub const GROUND: &str = "ground";
/// The fact that holds messages that a horizon left outside, until they are issued again.
pub const OUTSIDE: &str = "outside";

/// The fact that holds the horizon that the ticket into the room names: [`Landmark`](crate::ticket::Landmark).
pub const LANDMARK: &str = "landmark";
/// The fact that holds what the room's keeper knows of members.
pub const MEMBERS: &str = "members";
/// The fact that holds when the room's keeper lets its history go.
pub const POLICY: &str = "policy";

/// The fact that holds the proofs of forks: see [`Known`](crate::branch::Known).
pub const FORKS: &str = "forks";

/// What is to be kept in place of forgotten messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forgetting {
    /// The fact [`GROUND`].
    pub ground: Vec<u8>,
    /// The fact [`OUTSIDE`].
    pub outside: Vec<u8>,
    /// What is forgotten: of each actor everything up to that message.
    pub frontier: Frontier,
    /// What is dropped: of these actors everything from that number on.
    pub outside_from: BTreeMap<Actor, u64>,
}

impl Forgetting {
    /// Whether a message stays.
    pub fn keeps(&self, dot: &Dot) -> bool {
        !self.frontier.covers(dot) && self.outside_from.get(&dot.actor).is_none_or(|&first| dot.seq < first)
    }
}

/// From a number on the messages of one actor are another's: of the branch of a fork that they turned out to be, or not to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rename {
    /// Whose they are called.
    pub from: Actor,
    /// The number of the first.
    pub seq: u64,
    /// Whose they are to be called. No message of it is held.
    pub to: Actor,
}

impl Rename {
    /// What a message is called afterwards.
    pub fn of(&self, dot: Dot) -> Dot {
        let is_renamed = dot.actor == self.from && dot.seq >= self.seq;
        if is_renamed { Dot { actor: self.to, ..dot } } else { dot }
    }
}

/// Why the disk did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room left; nothing was written, and a later try may succeed.
    #[error("the disk is full")]
    Full,
    /// What was written may or may not be there: the store must not be written again.
    #[error("the disk failed: {0}")]
    Failed(String),
    /// What was read is not what was written.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

/// What was put away of a room, with the messages that belong to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// What [`crate::room::Room::snapshot`] gave.
    pub snapshot: Vec<u8>,
    /// Every message that it held, each actor's in order.
    pub history: Vec<Stretch>,
}

/// The journal of one room, its snapshot, and its few facts.
pub trait Store: Send {
    /// Appends `records`, all or none; they are durable when this returns. A record that is there already stays.
    fn append(&mut self, records: &[Record]) -> Result<(), StoreError>;

    /// The records of `actor` from number `from` to `to`, both included, in order; fewer where some are missing.
    fn read(&mut self, actor: &Actor, from: u64, to: u64) -> Result<Vec<Record>, StoreError>;

    /// Visits every record in the order of arrival, which is causal.
    fn scan(&mut self, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), StoreError>;

    /// Makes old records smaller, in one step that is short enough for a commit to wait for; returns whether there may be more to do.
    /// What is read stays the same, but for signatures that end no run of [`crate::sync::run::backlog_run`] for who has nothing yet.
    fn pack(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Keeps what a room knows beside the messages it knows it from, durably and in place of what was kept before. Returns false,
    /// and keeps nothing, where `heads` are not exactly those of the messages held: of each actor the newest number and its link.
    fn keep(&mut self, _snapshot: &[u8], _heads: &[(Actor, u64, Link)]) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// What was kept last, if it and the messages that it was made of are still as they were then.
    fn kept(&mut self) -> Result<Option<Kept>, StoreError> {
        Ok(None)
    }

    /// Puts what is left of messages in their place, all in one step that a crash undoes or leaves done. The room's facts say what is left;
    /// from then on each actor's chain begins where the frontier cuts it. What was kept of the room is dropped.
    fn forget(&mut self, forgetting: &Forgetting) -> Result<(), StoreError>;

    /// Gives messages other names, which keep their numbers, links, order and content, and remembers the fact [`FORKS`] that says why, all in
    /// one step that a crash undoes or leaves done. There may be none to rename. What was kept of the room is dropped. From then on the
    /// chain of the actor that they are called begins where [`Branches::origin`](crate::branch::Branches::origin) of that fact says.
    fn rename(&mut self, renames: &[Rename], forks: &[u8]) -> Result<(), StoreError>;

    /// Visits every record that arrived after what is kept; see [`Store::scan`].
    fn scan_after_kept(
        &mut self,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(visit)
    }

    /// Remembers a fact of the room (`founding`, `secret`, …), durably.
    fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Recalls a fact.
    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
}
