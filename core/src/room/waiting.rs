//! Runs that came before their past: held within bounds, and let go as soon as they fit.
//!
//! What does not fit is dropped; anti-entropy brings it again.

use std::collections::BTreeMap;

use crate::id::{Actor, Dot};
use crate::limits::{WAITING_BYTES_MAX, WAITING_MESSAGES_MAX};
use crate::sync::{LinkId, Run};

/// How much of the buffer one peer may fill: a quarter, so that no peer starves the others.
const SHARE: usize = 4;

/// The buffer.
#[derive(Default)]
pub(super) struct Waiting {
    /// By actor and number of the first message.
    runs: BTreeMap<(Actor, u64), (Early, Dot)>,
    /// Which run waits for which message.
    missing: BTreeMap<Dot, Vec<(Actor, u64)>>,
    messages: usize,
    bytes: usize,
    by_link: BTreeMap<LinkId, usize>,
}

/// A run that came early.
pub(super) struct Early {
    pub(super) run: Run,
    pub(super) from: LinkId,
    pub(super) verified: bool,
}

impl Waiting {
    /// Messages that wait.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Keeps `early` until `missing` is there. Returns false when there is no room for it: it is dropped.
    pub(super) fn keep(&mut self, early: Early, missing: Dot) -> bool {
        let key = (early.run.actor, early.run.first);
        if self.runs.get(&key).is_some_and(|(held, _)| held.run.last() >= early.run.last()) {
            return true;
        }
        self.take(key);
        let bytes = early.run.body_bytes();
        let share = self.by_link.get(&early.from).copied().unwrap_or(0) + early.run.bodies.len();
        if self.messages + early.run.bodies.len() > WAITING_MESSAGES_MAX
            || self.bytes + bytes > WAITING_BYTES_MAX
            || share > WAITING_MESSAGES_MAX / SHARE
        {
            return false;
        }
        self.messages += early.run.bodies.len();
        self.bytes += bytes;
        self.by_link.insert(early.from, share);
        self.missing.entry(missing).or_default().push(key);
        self.runs.insert(key, (early, missing));
        true
    }

    /// Takes the runs that waited for `dot`, which is there now.
    pub(super) fn release(&mut self, dot: &Dot) -> Vec<Early> {
        let keys = self.missing.remove(dot).unwrap_or_default();
        keys.into_iter().filter_map(|key| self.take(key)).collect()
    }

    fn take(&mut self, key: (Actor, u64)) -> Option<Early> {
        let (early, missing) = self.runs.remove(&key)?;
        self.messages -= early.run.bodies.len();
        self.bytes -= early.run.body_bytes();
        if let Some(share) = self.by_link.get_mut(&early.from) {
            *share -= early.run.bodies.len();
            if *share == 0 {
                self.by_link.remove(&early.from);
            }
        }
        if let Some(keys) = self.missing.get_mut(&missing) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
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

    fn early(name: &str, first: u64, len: usize, from: u64) -> Early {
        let actor = Actor::from_name(name);
        let run = Run { actor, first, bodies: vec![vec![0; 10]; len], signature: Signature([0; 64]) };
        Early { run, from: LinkId(from), verified: false }
    }

    fn dot(name: &str, seq: u64) -> Dot {
        Dot { actor: Actor::from_name(name), seq }
    }

    #[test]
    fn a_run_is_released_by_what_it_waits_for_and_only_once() {
        let mut waiting = Waiting::default();
        assert!(waiting.keep(early("a", 5, 3, 1), dot("a", 4)));
        assert!(waiting.keep(early("a", 5, 3, 2), dot("a", 4)), "a duplicate is no matter");
        assert_eq!(waiting.messages(), 3);
        assert!(waiting.release(&dot("a", 3)).is_empty());
        assert_eq!(waiting.release(&dot("a", 4)).len(), 1);
        assert!(waiting.release(&dot("a", 4)).is_empty());
        assert_eq!((waiting.messages(), waiting.bytes, waiting.by_link.len()), (0, 0, 0));
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
