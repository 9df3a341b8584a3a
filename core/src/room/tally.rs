//! What a room counts, for people who watch over it.

use std::time::Duration;

use crate::room::Room;
use crate::sync::Now;

/// What happened since somebody last asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Runs that came and were held already.
    pub duplicates: u64,
    /// How often a peer was told what is held.
    pub rounds: u64,
    /// Runs that found the buffer of those that wait for their past full.
    pub dropped_early: u64,
    /// Runs that came while the room took nothing in.
    pub dropped_read_only: u64,
}

impl Tally {
    /// Adds another room's.
    pub fn add(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        self.rounds += other.rounds;
        self.dropped_early += other.dropped_early;
        self.dropped_read_only += other.dropped_read_only;
    }
}

impl Room {
    /// What happened since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// How long ago a connected member was last known to hold the same, or came; of all those that do not now the longest.
    pub fn lag(&self, now: Now) -> Duration {
        let apart = self.peers.values().filter(|peer| !peer.in_sync);
        let longest_us = apart.map(|peer| now.monotonic_us.saturating_sub(peer.agreed_us)).max();
        Duration::from_micros(longest_us.unwrap_or(0))
    }
}
