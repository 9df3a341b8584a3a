//! What a room needs of a disk. The daemon's is SQLite; the simulator's loses, tears and fills up.

use std::ops::ControlFlow;

use crate::chain::{Link, Signature};
use crate::id::Actor;

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

/// The journal of one room, and its few facts.
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

    /// Remembers a fact of the room (`founding`, `secret`, …), durably.
    fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Recalls a fact.
    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
}
