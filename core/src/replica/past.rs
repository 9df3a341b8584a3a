//! Earlier versions: which messages had been there, and what they showed.
//!
//! A version is a set of messages, so reading it is folding them: [`Engine::at`] builds a replica of its own, and the live
//! one never notices. Undos count as far as they are part of the version, too.

use std::collections::BTreeMap;

use super::Engine;
use crate::clock::VersionVector;
use crate::ground::Ground;
use crate::id::{Actor, Dot};
use crate::message::Message;
use crate::scene::Root;

/// Messages that are folded at once.
const FOLDED_AT_ONCE: usize = 4096;

impl Engine {
    /// The room at an earlier version: the fold of those of `messages` that `version` covers. They may come in any order
    /// and more than once, with clocks as [`Engine::apply`] takes them.
    ///
    /// Costs what applying that many messages in order costs, some microseconds each. `goes_on` is asked every few thousand
    /// messages; when it says no there is nothing to show.
    pub fn at(
        root: Root,
        version: &VersionVector,
        messages: Vec<Message>,
        goes_on: impl Fn() -> bool,
    ) -> Option<Self> {
        Self::at_on(&Ground::default(), root, version, messages, goes_on)
    }

    /// The same of a room that stands on a ground, which the version holds.
    pub fn at_on(
        ground: &Ground,
        root: Root,
        version: &VersionVector,
        mut messages: Vec<Message>,
        goes_on: impl Fn() -> bool,
    ) -> Option<Self> {
        messages.retain(|message| version.covers(&message.dot()));
        // In order nothing is late, and every actor's clocks advance as they did.
        messages.sort_by_key(|message| (message.lamport, message.actor, message.seq));
        let mut replica = Self::on(ground, root);
        // Whoever begins later is the branch of a fork.
        let mut begins: BTreeMap<Actor, u64> = BTreeMap::new();
        for message in &messages {
            begins.entry(message.actor).or_insert(message.seq - 1);
        }
        begins.retain(|actor, begin| *begin > ground.version.get(actor));
        replica.history.begin_after(begins);
        for some in messages.chunks(FOLDED_AT_ONCE) {
            if !goes_on() {
                return None;
            }
            replica.apply_all(some);
        }
        replica.drop_changes();
        Some(replica)
    }

    /// The version that a message made: itself and its causal past. Nothing where it is not held.
    pub fn version_of(&self, dot: &Dot) -> Option<VersionVector> {
        self.contains(dot).then(|| self.closed([(dot.actor, dot.seq)].into_iter().collect()))
    }

    /// The version of a moment, in milliseconds since 1970: every message whose author's clock said so, or earlier, and its
    /// causal past. Costs a look at every message held.
    pub fn version_at(&self, time_ms: u64) -> VersionVector {
        let mut version = VersionVector::default();
        for ix in self.history.newest() {
            let message = self.history.message(ix);
            if self.history.time_ms(ix).is_some_and(|made| made <= time_ms) {
                version.raise(self.history.actor_of(message.actor), message.seq);
            }
        }
        self.closed(version)
    }

    /// The least version that holds `version`, as far as it is held here, and the causal past of everything in it.
    pub fn closed(&self, version: VersionVector) -> VersionVector {
        let held = self.version_vector();
        let mut closed = VersionVector::default();
        let mut open = version;
        while let Some((actor, seq)) = open.first() {
            open.lower(&actor, 0);
            let seq = seq.min(held.get(&actor));
            if seq <= closed.get(&actor) {
                continue;
            }
            closed.raise(actor, seq);
            let by = self.history.actor_number(&actor).expect("messages of it are held");
            for (other, _) in held.iter().filter(|(other, _)| *other != actor) {
                let seen = self.history.actor_number(&other).map_or(0, |ix| self.history.cover(by, seq, ix));
                open.raise(other, seen);
            }
        }
        closed
    }
}
