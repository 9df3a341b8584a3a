//! One room's store, with what waits for the next commit: appends, and names that are to change before them.

use std::time::{Duration, Instant};

use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::store::{Forgetting, Record, Rename, StoreError};

use super::copy::Disk;
use super::thread::Done;

/// While a disk is full it is tried again this often, so that edits become durable soon after somebody made room.
const FULL_RETRY: Duration = Duration::from_secs(2);

/// One room, with what waits for the next commit.
pub(super) struct Room {
    pub(super) store: Box<dyn Disk>,
    pending: Vec<Record>,
    /// The batches in `pending`, first and last.
    batches: Option<(u64, u64)>,
    /// Names that what is on the disk is to get before `pending`, which has them, is written; and the fact of forks.
    renaming: Option<(Vec<Rename>, Vec<u8>)>,
    /// When all that, which found the disk full, is tried again.
    pub(super) full_until: Option<Instant>,
    /// Whether it was told that batches wait for space.
    is_full_told: bool,
    /// Why the journal is written no more: a batch is missing, and later ones build on it.
    failed: Option<String>,
}

impl Room {
    pub(super) fn new(store: Box<dyn Disk>) -> Self {
        Self {
            store,
            pending: Vec::new(),
            batches: None,
            renaming: None,
            full_until: None,
            is_full_told: false,
            failed: None,
        }
    }

    pub(super) fn queue(&mut self, batch: u64, records: Vec<Record>) {
        self.pending.extend(records);
        self.batches = Some((self.batches.map_or(batch, |(first, _)| first), batch));
    }

    /// Gives names that what is pending has from now on, and what is on the disk as soon as there is space.
    pub(super) fn rename(&mut self, renames: Vec<Rename>, forks: Vec<u8>) {
        for record in &mut self.pending {
            let dot = Dot { actor: record.actor, seq: record.seq };
            record.actor = renames.iter().fold(dot, |dot, rename| rename.of(dot)).actor;
        }
        let (all, fact) = self.renaming.get_or_insert_default();
        all.extend(renames);
        *fact = forks;
    }

    /// Writes what is pending. A full disk is told of once, and then only when it is not full any more.
    pub(super) fn commit(&mut self, room: RoomId) -> Option<Done> {
        if self.batches.is_none() && self.renaming.is_none() {
            return None;
        }
        if self.full_until.is_some_and(|retry| Instant::now() < retry) {
            return None;
        }
        let began = Instant::now();
        let batches = self.batches;
        match self.write() {
            Ok(()) => {
                if self.full_until.is_some() {
                    tracing::info!(%room, "the disk has space again, and what waited for it is durable");
                }
                self.forget_pending();
                batches.map(|(_, last)| Done::Committed { room, batch: last, took: began.elapsed() })
            }
            Err(StoreError::Full) => {
                self.full_until = Some(Instant::now() + FULL_RETRY);
                let (batch, _) = batches.filter(|_| !self.is_full_told)?;
                self.is_full_told = true;
                Some(Done::Failed { room, batch, error: StoreError::Full })
            }
            Err(error @ (StoreError::Failed(_) | StoreError::Damaged(_))) => {
                self.failed.get_or_insert_with(|| error.to_string());
                self.forget_pending();
                let batch = batches.map_or(u64::MAX, |(first, _)| first);
                Some(Done::Failed { room, batch, error })
            }
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if let Some(why) = &self.failed {
            return Err(StoreError::Failed(why.clone()));
        }
        if let Some((renames, forks)) = &self.renaming {
            self.store.rename(renames, forks)?;
            self.renaming = None;
        }
        if self.batches.is_some() { self.store.append(&self.pending) } else { Ok(()) }
    }

    fn forget_pending(&mut self) {
        self.batches = None;
        self.renaming = None;
        self.full_until = None;
        self.is_full_told = false;
        // Not cleared but dropped: what a burst took is given back.
        self.pending = Vec::new();
    }

    pub(super) fn forget(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        let outcome = match &self.failed {
            Some(why) => Err(StoreError::Failed(why.clone())),
            None if self.full_until.is_some() => Err(StoreError::Full),
            None => self.store.forget(forgetting),
        };
        outcome.map_err(|error| {
            let why = format!("what is left of its history is not on the disk: {error}");
            self.failed.get_or_insert_with(|| why.clone());
            self.forget_pending();
            StoreError::Failed(why)
        })
    }

    pub(super) fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        if self.full_until.is_some() {
            return Err(StoreError::Full);
        }
        self.store.set_fact(name, value)
    }

    pub(super) fn read(&mut self, ranges: &[(Actor, u64, u64)]) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        for (actor, from, to) in ranges {
            records.extend(self.store.read(actor, *from, *to)?);
        }
        Ok(records)
    }
}
