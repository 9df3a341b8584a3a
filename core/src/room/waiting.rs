//! Runs that came before their past: held within bounds, and let go as soon as they fit.
//!
//! What does not fit is dropped; anti-entropy brings it again.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Actor, Dot};
use crate::limits::{WAITING_BYTES_MAX, WAITING_MESSAGES_MAX};
use crate::planted::{Bug, planted};
use crate::sync::{LinkId, Run};

/// How much of the buffer one peer may fill: a quarter, so that no peer starves the others.
const SHARE: usize = 4;

/// A run's place: who sent it, whose it is, and the number of its first message. What one peer sends never displaces what
/// another did, since until its past is there nobody knows which of them is true.
type Place = (LinkId, Actor, u64);

/// The buffer.
#[derive(Default)]
pub(super) struct Waiting {
    runs: BTreeMap<Place, (Early, Dot)>,
    /// Which run waits for which message.
    missing: BTreeMap<Dot, BTreeSet<Place>>,
    total: Load,
    by_link: BTreeMap<LinkId, Load>,
}

/// A run that came early.
pub(super) struct Early {
    pub(super) run: Run,
    pub(super) from: LinkId,
    pub(super) live: bool,
    pub(super) verified: bool,
}

/// How much waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Load {
    messages: usize,
    bytes: usize,
}

impl Early {
    fn place(&self) -> Place {
        (self.from, self.run.actor, self.run.first)
    }
}

impl Load {
    fn of(run: &Run) -> Self {
        Self { messages: run.bodies.len(), bytes: run.body_bytes() }
    }

    fn plus(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }

    fn minus(self, other: Self) -> Self {
        Self { messages: self.messages - other.messages, bytes: self.bytes - other.bytes }
    }

    /// Whether it is at most that part of the buffer.
    fn fits(self, share: usize) -> bool {
        self.messages <= WAITING_MESSAGES_MAX / share && self.bytes <= WAITING_BYTES_MAX / share
    }
}

impl Waiting {
    /// Messages that wait.
    pub(super) fn messages(&self) -> usize {
        self.total.messages
    }

    /// Keeps `early` until `missing` is there. Returns false when there is no room for it: it is dropped.
    pub(super) fn keep(&mut self, early: Early, missing: Dot) -> bool {
        let place = early.place();
        if self.runs.get(&place).is_some_and(|(held, _)| held.run.last() >= early.run.last()) {
            return true;
        }
        self.take(place);
        let load = Load::of(&early.run);
        let share = self.by_link.get(&early.from).copied().unwrap_or_default().plus(load);
        let fits = self.total.plus(load).fits(1) && share.fits(SHARE);
        if !fits && !planted(Bug::BufferUnbounded) {
            return false;
        }
        self.total = self.total.plus(load);
        self.by_link.insert(early.from, share);
        self.missing.entry(missing).or_default().insert(place);
        self.runs.insert(place, (early, missing));
        true
    }

    /// Takes the runs that waited for `dot`, which is there now.
    pub(super) fn release(&mut self, dot: &Dot) -> Vec<Early> {
        let places = self.missing.remove(dot).unwrap_or_default();
        places.into_iter().filter_map(|place| self.take(place)).collect()
    }

    /// Drops what came over a connection that is gone: whatever it waits for may never come.
    pub(super) fn forget(&mut self, link: LinkId) {
        let of_link = self.runs.range((link, Actor([0; 40]), 0)..=(link, Actor([255; 40]), u64::MAX));
        for place in of_link.map(|(&place, _)| place).collect::<Vec<_>>() {
            self.take(place);
        }
    }

    fn take(&mut self, place: Place) -> Option<Early> {
        let (early, missing) = self.runs.remove(&place)?;
        let load = Load::of(&early.run);
        self.total = self.total.minus(load);
        if let Some(share) = self.by_link.get_mut(&early.from) {
            *share = share.minus(load);
            if share.messages == 0 {
                self.by_link.remove(&early.from);
            }
        }
        if let Some(places) = self.missing.get_mut(&missing) {
            places.remove(&place);
            if places.is_empty() {
                self.missing.remove(&missing);
            }
        }
        Some(early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Signature;
    use crate::limits::MESSAGE_BYTES_MAX;

    fn early(name: &str, first: u64, len: usize, from: u64) -> Early {
        let actor = Actor::from_name(name);
        let run = Run {
            actor,
            first,
            bodies: vec![[0; 10]; len].into_iter().collect(),
            signature: Signature([0; 64]),
        };
        Early { run, from: LinkId(from), live: true, verified: false }
    }

    fn dot(name: &str, seq: u64) -> Dot {
        Dot { actor: Actor::from_name(name), seq }
    }

    #[test]
    fn a_run_is_released_by_what_it_waits_for_and_only_once() {
        let mut waiting = Waiting::default();
        assert!(waiting.keep(early("a", 5, 3, 1), dot("a", 4)));
        assert!(waiting.keep(early("a", 5, 3, 1), dot("a", 4)), "a duplicate is no matter");
        assert_eq!(waiting.messages(), 3);
        assert!(waiting.release(&dot("a", 3)).is_empty());
        assert_eq!(waiting.release(&dot("a", 4)).len(), 1);
        assert!(waiting.release(&dot("a", 4)).is_empty());
        assert_eq!((waiting.total, waiting.by_link.len()), (Load::default(), 0));
    }

    #[test]
    fn what_another_peer_sends_displaces_nothing() {
        let mut waiting = Waiting::default();
        assert!(waiting.keep(early("a", 5, 64, 1), dot("a", 4)), "perhaps forged, and longer");
        assert!(waiting.keep(early("a", 5, 3, 2), dot("a", 4)));
        assert_eq!(waiting.release(&dot("a", 4)).len(), 2);
    }

    #[test]
    fn with_its_connection_a_peers_share_is_free() {
        let mut waiting = Waiting::default();
        assert!(waiting.keep(early("a", 5, 3, 1), dot("a", 4)));
        assert!(waiting.keep(early("a", 5, 3, 2), dot("a", 4)));
        waiting.forget(LinkId(1));
        assert_eq!(waiting.messages(), 3);
        waiting.forget(LinkId(2));
        assert_eq!((waiting.total, waiting.by_link.len(), waiting.missing.len()), (Load::default(), 0, 0));
    }

    #[test]
    fn large_messages_fill_a_share_too() {
        let large = |first: u64| {
            let mut early = early("a", first, 1, 1);
            early.run.bodies = [[0; MESSAGE_BYTES_MAX]].into_iter().collect();
            early
        };
        let mut waiting = Waiting::default();
        let kept = (2..1000).filter(|&n| waiting.keep(large(n), dot("b", 1))).count();
        assert_eq!(kept, WAITING_BYTES_MAX / SHARE / MESSAGE_BYTES_MAX);
    }

    #[test]
    fn one_peer_cannot_fill_the_buffer() {
        let mut waiting = Waiting::default();
        let kept =
            (0..1000).filter(|n| waiting.keep(early("a", 2 + n * 64, 64, 1), dot("a", 1 + n * 64))).count();
        assert_eq!(kept, WAITING_MESSAGES_MAX / SHARE / 64);
        assert!(waiting.keep(early("b", 2, 64, 2), dot("b", 1)), "another peer still has room");
    }
}
