//! The clocks of what is held, as horizons look at them: who has seen what, and how far.

use std::collections::BTreeMap;

use super::History;
use crate::clock::VersionVector;
use crate::id::Actor;
use crate::message::{Head, SHORT_LINK_BYTES};
use crate::replica::index::{ActorIx, MessageIx, OpIx};

impl History {
    /// The last message held of each actor; the last one forgotten where none is.
    pub(in crate::replica) fn lasts(&self) -> impl Iterator<Item = (ActorIx, u64)> + '_ {
        (0..).map(ActorIx::of).zip(&self.actors).map(|(ix, log)| (ix, log.held.last().max(log.forgotten)))
    }

    /// Lets actors begin after a number.
    pub(in crate::replica) fn begin_after(&mut self, begins: impl IntoIterator<Item = (Actor, u64)>) {
        for (actor, begin) in begins {
            self.begins.insert(actor, begin);
            if let Some(&ix) = self.numbers.get(&actor) {
                let log = &mut self.actors[ix.at()];
                (log.begin, log.gapless) = (begin, log.held.gapless_from(log.gapless.max(begin)));
            }
        }
    }

    /// Of actors that begin later the number before the first.
    pub(in crate::replica) fn begins(&self) -> &BTreeMap<Actor, u64> {
        &self.begins
    }

    /// The number before the first message of an actor that may be held.
    pub(in crate::replica) fn before_first(&self, actor: ActorIx) -> u64 {
        let log = &self.actors[actor.at()];
        log.begin.max(log.forgotten)
    }

    /// The first message of an actor that has seen so much of another.
    pub(in crate::replica) fn first_to_see(&self, actor: ActorIx, other: ActorIx, seq: u64) -> Option<u64> {
        let points = self.actors[actor.at()].clock.get(&other)?;
        points.get(points.partition_point(|&(_, covered)| covered < seq)).map(|&(from, _)| from)
    }

    /// The clocks of all messages, as advances, without links.
    pub(in crate::replica) fn heads(&self) -> BTreeMap<(ActorIx, u64), Vec<Head>> {
        let mut heads: BTreeMap<(ActorIx, u64), Vec<Head>> = BTreeMap::new();
        for (ix, log) in (0..).map(ActorIx::of).zip(&self.actors) {
            for (&other, points) in &log.clock {
                for &(seq, covered) in points {
                    let head =
                        Head { actor: self.actor_of(other), seq: covered, link: [0; SHORT_LINK_BYTES] };
                    heads.entry((ix, seq)).or_default().push(head);
                }
            }
        }
        heads.values_mut().for_each(|clock| clock.sort_unstable());
        heads
    }

    /// Whether `by` has seen a message.
    pub(in crate::replica) fn has_seen_message(&self, by: OpIx, message: MessageIx) -> bool {
        let (x, y) = (self.message_of(by), self.message(message));
        self.owner(by) != message && self.cover(x.actor, x.seq, y.actor) >= y.seq
    }

    /// What the messages of an actor have seen of others.
    pub(in crate::replica) fn clock(&self, actor: &Actor) -> VersionVector {
        let log = self.actor_number(actor).map(|ix| &self.actors[ix.at()]);
        let last =
            |(other, points): (&ActorIx, &Vec<(u64, u64)>)| Some((self.actor_of(*other), points.last()?.1));
        log.into_iter().flat_map(|log| log.clock.iter().filter_map(last)).collect()
    }
}
