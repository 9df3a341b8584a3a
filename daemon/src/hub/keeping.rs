//! When rooms are put away, so that opening one reads what it showed and not everything that was ever said in it.

use rtc_core::id::RoomId;
use rtc_core::replica::SnapshotError;
use rtc_core::store::StoreError;

use crate::hub::Hub;
use crate::store::Job;

/// Messages after which a room is put away anew: those that came since are read one by one when it is opened.
const KEEP_MESSAGES_MIN: u64 = 4096;
/// The part of its messages that must be new: what is written again and again stays in proportion to what is said.
const KEEP_SHARE: u64 = 8;
/// Bytes of messages after which it is put away though they are few.
const KEEP_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// What came to a room since it was put away.
#[derive(Default)]
pub(super) struct Keeping {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// What the snapshot took that was made last.
    snapshot_bytes: u64,
    under_way: bool,
}

impl Keeping {
    pub(super) fn add(&mut self, messages: usize, bytes: usize) {
        self.messages += messages as u64;
        self.bytes += bytes as u64;
    }

    /// What was put away is dropped; what is held now may be put away again.
    pub(super) fn forget(&mut self) {
        self.messages = self.messages.max(1);
    }

    /// Whether a room of that many messages is to be put away.
    fn is_due(&self, messages: u64) -> bool {
        let many = self.messages >= KEEP_MESSAGES_MIN.max(messages / KEEP_SHARE);
        let large = self.bytes >= KEEP_BYTES_MIN.max(2 * self.snapshot_bytes);
        !self.under_way && (many || large)
    }
}

impl Hub {
    /// Puts away the rooms to which enough has come. What they committed is on its way to the store already.
    pub(super) fn keep_due(&mut self) {
        for room in self.kept.keys().copied().collect::<Vec<_>>() {
            let messages = self.board.room(&room).map_or(0, |room| room.messages());
            if self.kept.get(&room).is_some_and(|keeping| keeping.is_due(messages)) {
                self.keep(room);
            }
        }
    }

    /// Puts away what was changed, before the end. A room whose messages nobody asked for has few new ones at most.
    pub(super) fn keep_all(&mut self) {
        for room in self.kept.keys().copied().collect::<Vec<_>>() {
            let is_new = self.kept.get(&room).is_some_and(|keeping| keeping.messages > 0);
            if is_new && self.board.room(&room).is_some_and(|room| !room.replica().is_cold()) {
                self.keep(room);
            }
        }
    }

    /// Whether the store still has rooms to put away.
    pub(super) fn is_keeping(&self) -> bool {
        self.kept.values().any(|keeping| keeping.under_way)
    }

    /// Puts a room away that is to sleep. Returns whether that takes the store a while.
    pub(super) fn keep_to_sleep(&mut self, room: RoomId) -> bool {
        let is_new = self.kept.get(&room).is_some_and(|keeping| keeping.messages > 0);
        if is_new && self.board.room(&room).is_some_and(|room| !room.replica().is_cold()) {
            self.keep(room);
        }
        self.is_being_kept(&room)
    }

    /// Whether the store is putting the room away.
    pub(super) fn is_being_kept(&self, room: &RoomId) -> bool {
        self.kept.get(room).is_some_and(|keeping| keeping.under_way)
    }

    fn keep(&mut self, room: RoomId) {
        let (Some(held), Some(keeping)) = (self.board.room(&room), self.kept.get_mut(&room)) else { return };
        (keeping.messages, keeping.bytes) = (0, 0);
        match held.snapshot() {
            Ok(snapshot) => {
                keeping.snapshot_bytes = snapshot.len() as u64;
                keeping.under_way = true;
                self.store.send(Job::Keep { room, snapshot, heads: held.heads() });
            }
            // Its ground is kept instead; one with branches is made of its messages.
            Err(SnapshotError::Forgotten) => {}
            Err(error) => tracing::warn!(%room, "the room is not put away: {error}"),
        }
    }

    /// The store has put a room away, or not: then its messages are read when it is opened.
    pub(super) fn hear_kept(&mut self, room: RoomId, result: Result<bool, StoreError>) {
        if let Some(keeping) = self.kept.get_mut(&room) {
            keeping.under_way = false;
        }
        match result {
            Ok(true) => {}
            Ok(false) => tracing::info!(%room, "the room is not put away: not all of it is on the disk"),
            Err(error) => tracing::warn!(%room, "the room is not put away: {error}"),
        }
        self.sleep_kept(room);
    }
}
