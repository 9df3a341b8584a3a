//! Forks that are proven: found here or told by a peer, kept, and told to every peer until it says that it knows.
//!
//! Of the two messages of one number the one that came first stays here, and what is built on the other is refused; so people have to
//! know, on every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::fork::{FORK_RUNS_BYTES_MAX, Fork, ForkError};
use crate::id::{Actor, Dot};
use crate::limits::{FORK_BYTES_MAX, FORKS_MAX, FORKS_OF_KEY_MAX};
use crate::room::packed::Range;
use crate::room::{Output, Refusal, Room, Standing};
use crate::store::{FORKS, Record};
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run};

/// How long a peer has to say that it knows of a fork until it is told again.
const TELL_AGAIN_MS: u64 = 5_000;
/// How often a peer is told of a fork over one connection: slow answers must not make two tell each other for ever.
const TELLS_MAX: u8 = 4;

/// The forks that are known, the first one of each actor.
#[derive(Default)]
pub(super) struct Forks(BTreeMap<Actor, Fork>);

/// What a peer knows of forks.
#[derive(Default)]
pub(super) struct Informed {
    knows: BTreeSet<Actor>,
    /// When it was told last, and how often.
    told: BTreeMap<Actor, (u64, u8)>,
    /// A run that it sent beside one that is held.
    proving: Option<Proving>,
}

/// A fork that is proven once the run that is held is read.
struct Proving {
    theirs: Run,
    ours: Range,
    is_read: bool,
}

impl Informed {
    /// Whether one proof is on its way to the peer: the next one waits, since proofs are large and have no credit.
    fn is_under_way(&self, now: Now) -> bool {
        let is_late = |told_us: u64| now.monotonic_us.saturating_sub(told_us) >= TELL_AGAIN_MS * 1000;
        self.told.iter().any(|(actor, &(told_us, _))| !is_late(told_us) && !self.knows.contains(actor))
    }

    /// Notes that the peer is told of a fork. Returns false where it was told often enough.
    fn tell(&mut self, actor: Actor, now: Now) -> bool {
        let (told_us, times) = self.told.entry(actor).or_default();
        if *times >= TELLS_MAX {
            return false;
        }
        (*told_us, *times) = (now.monotonic_us, *times + 1);
        true
    }
}

impl Forks {
    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an actor is known to have forked.
    pub(super) fn has(&self, actor: &Actor) -> bool {
        self.0.contains_key(actor)
    }

    /// Whether the fork of an actor would be news, and find a place.
    fn takes(&self, actor: &Actor) -> bool {
        let of_key = self.0.keys().filter(|known| known.key() == actor.key()).count();
        !self.has(actor) && self.0.len() < FORKS_MAX && of_key < FORKS_OF_KEY_MAX
    }

    /// The fact: `[proof…]`.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(self.0.len());
        self.0.values().for_each(|fork| _ = writer.bytes(fork.bytes()));
        writer.finish()
    }
}

impl Room {
    /// The numbers that are known to have two messages, one of an actor.
    pub fn forks(&self) -> impl Iterator<Item = Dot> + '_ {
        self.forks.0.values().map(Fork::dot)
    }

    /// Recalls the fact [`FORKS`], as far as it can be read.
    pub(super) fn recall_forks(&mut self, bytes: &[u8]) {
        let proofs = || -> Result<Vec<&[u8]>, DecodeError> {
            let mut reader = Reader::new(bytes);
            (0..reader.array(FORKS_MAX, "forks")?).map(|_| reader.slice(FORK_BYTES_MAX, "a fork")).collect()
        };
        let forks = proofs().unwrap_or_default().into_iter();
        let forks = forks.filter_map(|proof| Fork::read(&self.id, proof, &*self.keys).ok());
        self.forks = Forks(forks.map(|fork| (fork.dot().actor, fork)).collect());
    }

    /// Whether the fork of an actor would be news, and is kept: not of keys that are no members', of which there are as many as anybody likes.
    fn takes_fork(&self, actor: &Actor) -> bool {
        self.forks.takes(actor) && self.standing_of(&actor.key()) != Standing::Unknown
    }

    /// A peer sent a signed run with another message of the number `dot` than the one held: a proof, once ours is read.
    pub(super) fn prove(&mut self, link: LinkId, run: &Run, dot: Dot, out: &mut Vec<Output>) {
        if !self.takes_fork(&dot.actor) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| peer.informed.proving.is_none()) else {
            return;
        };
        let Some(ours) = self.log.run_from(dot.actor, dot.seq, self.log.head(&dot.actor)) else { return };
        let same = usize::try_from(dot.seq - run.first).unwrap_or(usize::MAX);
        let theirs = Run { first: dot.seq, bodies: run.bodies.part(same..run.bodies.len()), ..run.clone() };
        if theirs.body_bytes() + ours.body_bytes <= FORK_RUNS_BYTES_MAX {
            let ours = (ours.actor, ours.first, ours.last);
            peer.informed.proving = Some(Proving { theirs, ours, is_read: false });
            self.read_proof(link, out);
        }
    }

    /// Reads what is held beside what a peer sent, as soon as nothing else is read for it.
    pub(super) fn read_proof(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let reads = peer.reading.is_some() || self.reads_orphaned.contains(&link);
        if let Some(proving) = peer.informed.proving.as_mut().filter(|_| !reads) {
            proving.is_read = true;
            let ranges = vec![proving.ours];
            peer.reading = Some(ranges.clone());
            out.push(Output::Read { link, ranges });
        }
    }

    /// Whether `records` were read to prove a fork; then it is proven, if they are what they should be.
    pub(super) fn hear_proof_read(
        &mut self,
        link: LinkId,
        records: &[Record],
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&link) else { return false };
        let Some(Proving { theirs, ours: (actor, first, last), .. }) =
            peer.informed.proving.take_if(|proving| proving.is_read)
        else {
            return false;
        };
        peer.reading = None;
        self.note_unsigned(records);
        let are_all = records
            .iter()
            .map(|record| (record.actor, record.seq))
            .eq((first..=last).map(|seq| (actor, seq)));
        let signature = records.last().and_then(|record| record.signature).filter(|_| are_all);
        let before = self.log.link(&actor, first - 1);
        // What is not there, or no longer, comes again with the next run beside it.
        if let Some((signature, before)) = signature.zip(before) {
            let bodies = records.iter().map(|record| &record.body).collect();
            let ours = Run { actor, first, bodies, signature };
            if let Ok(fork) = Fork::prove(&self.id, before, [ours, theirs], &*self.keys) {
                self.learn_fork(fork, now, out);
            }
        }
        true
    }

    /// A peer tells of a fork.
    pub(super) fn hear_fork(&mut self, link: LinkId, proof: &Arc<[u8]>, now: Now, out: &mut Vec<Output>) {
        let fork = match self.read_fork(proof) {
            Ok(Some(fork)) => fork,
            // It is told again, and then perhaps of somebody.
            Ok(None) => return,
            Err(error) => return out.push(Output::Refused { link, refusal: Refusal::Proof { error } }),
        };
        let actor = fork.dot().actor;
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let is_repeated = !peer.informed.knows.insert(actor);
        let is_told = peer.informed.told.contains_key(&actor);
        // So that it need not be told again, whether it is news here or not.
        if (is_repeated || !is_told) && peer.informed.tell(actor, now) {
            out.push(Output::Send {
                link,
                lane: Lane::Bulk,
                frame: RoomFrame::Fork { proof: Arc::clone(proof) },
            });
        }
        if self.takes_fork(&actor) {
            self.learn_fork(fork, now, out);
        }
        self.tell_forks(link, now, out);
    }

    /// Reads the proof of a fork; nothing where it is of an actor, or of a number, that nothing is known of here.
    fn read_fork(&self, proof: &[u8]) -> Result<Option<Fork>, ForkError> {
        let known = self.forks.0.values().find(|fork| **fork.bytes() == *proof).cloned();
        let fork = known.map_or_else(|| Fork::read(&self.id, proof, &*self.keys), Ok)?;
        let dot = fork.dot();
        if self.standing_of(&dot.actor.key()) == Standing::Unknown {
            return Ok(None);
        }
        let head = self.log.head(&dot.actor);
        match self.log.link(&dot.actor, dot.seq - 1) {
            Some(before) if before != fork.before() => Err(ForkError::NotOfChain { dot }),
            // Of what is forgotten nobody can say more than that the key signed both.
            _ => Ok(Some(fork).filter(|_| head > 0 && head >= dot.seq - 1)),
        }
    }

    fn learn_fork(&mut self, fork: Fork, now: Now, out: &mut Vec<Output>) {
        self.flush(now, out);
        let dot = fork.dot();
        self.forks.0.insert(dot.actor, fork);
        out.push(Output::Fact { name: FORKS, value: self.forks.encode() });
        out.push(Output::Forked(dot));
        self.part_from_twin(&dot.actor);
        for link in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_forks(link, now, out);
        }
    }

    /// Tells a peer of the forks that it has not said it knows, as soon as it can check them.
    pub(super) fn tell_forks(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.informed.is_under_way(now)) else {
            return;
        };
        let is_next = |(actor, fork): &(&Actor, &Fork)| {
            let can_check = peer.told.get(actor) >= (fork.dot().seq - 1).max(1);
            let times = peer.informed.told.get(actor).map_or(0, |(_, times)| *times);
            can_check && times < TELLS_MAX && !peer.informed.knows.contains(actor)
        };
        // Of those that are not answered each has its turn.
        let next = self.forks.0.iter().filter(is_next).min_by_key(|(actor, _)| peer.informed.told.get(actor));
        if let Some((&actor, fork)) = next
            && peer.informed.tell(actor, now)
        {
            let frame = RoomFrame::Fork { proof: Arc::clone(fork.bytes()) };
            out.push(Output::Send { link, lane: Lane::Bulk, frame });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { monotonic_us: ms * 1000, ..Now::default() }
    }

    #[test]
    fn of_each_fork_a_peer_is_told_so_often_and_of_no_two_at_once() {
        let (one, other) = (Actor::from_name("one"), Actor::from_name("other"));
        let mut peer = Informed::default();
        assert!(!peer.is_under_way(at(0)) && peer.tell(one, at(0)));
        assert!(peer.is_under_way(at(TELL_AGAIN_MS - 1)) && !peer.is_under_way(at(TELL_AGAIN_MS)));
        for _ in 1..TELLS_MAX {
            assert!(peer.tell(one, at(0)));
        }
        assert!(!peer.tell(one, at(0)) && peer.tell(other, at(0)));
        peer.knows.extend([one, other]);
        assert!(!peer.is_under_way(at(0)), "it has said so");
    }
}
