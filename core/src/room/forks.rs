//! Forks that are proven: found here or told by a peer, kept, and told to every peer until it says that it knows.
//!
//! From the proof on the branches are actors of their own, everywhere ([`crate::branch`]). Where the fork lies before a horizon, or there are
//! more than are kept, the message that came first stays, and what is built on the other is refused; people are told of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::branch::{Branches, Known};
use crate::fork::{FORK_RUNS_BYTES_MAX, Fork, ForkError};
use crate::id::{Actor, Dot, PeerKey};
use crate::limits::{FORKS_MAX, FORKS_OF_KEY_MAX, FORKS_OF_NOBODY_MAX};
use crate::room::packed::Range;
use crate::room::{Output, Refusal, Room, Standing};
use crate::store::Record;
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run};

/// How long a peer has to say that it knows of a fork until it is told again.
const TELL_AGAIN_MS: u64 = 5_000;
/// How often a peer is told of a fork over one connection: slow answers must not make two tell each other for ever.
const TELLS_MAX: u8 = 4;

/// The forks that are known.
#[derive(Default)]
pub(super) struct Forks(Vec<Known>);

/// A fork, by the branches that its proof shows.
type Pair = [Actor; 2];

/// What a peer knows of forks.
#[derive(Default)]
pub(super) struct Informed {
    /// The branches that it has seen proofs of.
    knows: BTreeSet<Actor>,
    /// When it was told last, and how often.
    told: BTreeMap<Pair, (u64, u8)>,
    /// A run that it sent beside one that is held.
    proving: Option<Proving>,
}

/// A fork that is proven once the run that is held is read.
struct Proving {
    theirs: Run,
    ours: Vec<Range>,
    is_read: bool,
}

impl Informed {
    /// Whether it is known to know of a branch.
    pub(super) fn knows(&self, branch: &Actor) -> bool {
        self.knows.contains(branch)
    }

    /// Whether it knows of a fork.
    fn has(&self, pair: &Pair) -> bool {
        pair.iter().all(|branch| self.knows.contains(branch))
    }

    /// Whether one proof is on its way to the peer: the next one waits, since proofs are large and have no credit.
    fn is_under_way(&self, now: Now) -> bool {
        let is_late = |told_us: u64| now.monotonic_us.saturating_sub(told_us) >= TELL_AGAIN_MS * 1000;
        self.told.iter().any(|(pair, &(told_us, _))| !is_late(told_us) && !self.has(pair))
    }

    /// Notes that the peer is told of a fork. Returns false where it was told often enough.
    fn tell(&mut self, pair: Pair, now: Now) -> bool {
        let (told_us, times) = self.told.entry(pair).or_default();
        if *times >= TELLS_MAX {
            return false;
        }
        (*told_us, *times) = (now.monotonic_us, *times + 1);
        true
    }

    /// What is being proven is called otherwise now.
    pub(super) fn begin_again(&mut self) {
        self.proving = None;
    }
}

impl Forks {
    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an actor is known to have forked.
    pub(super) fn has(&self, actor: &Actor) -> bool {
        self.0.iter().any(|known| known.fork.dot().actor == *actor)
    }

    /// Whether an actor is known to have forked before a horizon.
    pub(super) fn has_outside(&self, actor: &Actor) -> bool {
        self.0.iter().any(|known| known.parent.is_none() && known.fork.dot().actor == *actor)
    }

    /// Whether there is a place for one more of that key.
    fn has_place(&self, key: &PeerKey) -> bool {
        let of_key = self.0.iter().filter(|known| known.fork.dot().actor.key() == *key).count();
        self.0.len() < FORKS_MAX && of_key < FORKS_OF_KEY_MAX
    }

    /// Whether it shows no branch that is not known.
    fn knows(&self, fork: &Fork) -> bool {
        let known = |branch: &Actor| self.0.iter().any(|known| known.fork.branches().contains(branch));
        fork.branches().iter().all(known)
    }

    /// The actors that they make.
    pub(super) fn branches(&self) -> Branches {
        Branches::of(&self.0)
    }

    /// The fact [`FORKS`](crate::store::FORKS).
    pub(super) fn encode(&self) -> Vec<u8> {
        Known::encode_all(self.0.iter())
    }
}

/// Where a fork lies.
enum Place {
    /// It is of that actor, by the name that it has here.
    After(Actor),
    /// It is forgotten what it hangs on.
    Forgotten,
}

impl Room {
    /// The numbers that are known to have several messages.
    pub fn forks(&self) -> impl Iterator<Item = Dot> + '_ {
        let dots: BTreeSet<Dot> = self.forks.0.iter().map(|known| known.fork.dot()).collect();
        dots.into_iter()
    }

    /// The actors that forks have made here.
    pub fn branches(&self) -> &Branches {
        &self.log.branches
    }

    /// Recalls the fact [`FORKS`](crate::store::FORKS), as far as it can be read.
    pub(super) fn recall_forks(&mut self, bytes: &[u8]) {
        self.forks = Forks(Known::decode_all(bytes).unwrap_or_default());
        self.log.branches = self.forks.branches();
        self.log.begin_branches();
        self.replica.rename(&self.log.branches, None);
    }

    /// Whether a fork of that key may be kept.
    fn may_take_fork(&self, key: &PeerKey) -> bool {
        let is_nobody = |key: &PeerKey| self.standing_of(key) == Standing::Unknown;
        let of_nobody =
            || self.forks.0.iter().filter(|known| is_nobody(&known.fork.dot().actor.key())).count();
        self.forks.has_place(key) && (!is_nobody(key) || of_nobody() < FORKS_OF_NOBODY_MAX)
    }

    /// Whether a fork is news, and is kept. One whose branches have the name of somebody else is not.
    fn takes_fork(&self, fork: &Fork) -> bool {
        let is_free =
            |name: &Actor| self.log.branches.get(name).is_some() || !self.log.actors.contains_key(name);
        self.may_take_fork(&fork.dot().actor.key())
            && !self.forks.knows(fork)
            && fork.branches().iter().all(is_free)
    }

    /// A peer sent a signed run with another message of the number `dot` than the one held: a proof, once ours is read.
    pub(super) fn prove(&mut self, link: LinkId, run: &Run, dot: Dot, out: &mut Vec<Output>) {
        if !self.may_take_fork(&dot.actor.key()) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| peer.informed.proving.is_none()) else {
            return;
        };
        let Some(ours) = self.log.run_from(dot.actor, dot.seq, self.log.head(&dot.actor)) else { return };
        let same = usize::try_from(dot.seq - run.first).unwrap_or(usize::MAX);
        let theirs = Run { first: dot.seq, bodies: run.bodies.part(same..run.bodies.len()), ..run.clone() };
        if theirs.body_bytes() + ours.body_bytes <= FORK_RUNS_BYTES_MAX {
            let ours = ours.ranges().collect();
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
            let ranges = proving.ours.clone();
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
        let Some(Proving { theirs, ours, .. }) = peer.informed.proving.take_if(|proving| proving.is_read)
        else {
            return false;
        };
        peer.reading = None;
        self.note_unsigned(records);
        let are_all = records
            .iter()
            .map(|record| (record.actor, record.seq))
            .eq(ours.iter().flat_map(|&(actor, first, last)| (first..=last).map(move |seq| (actor, seq))));
        let (actor, first, _) = ours[0];
        let signature = records.last().and_then(|record| record.signature).filter(|_| are_all);
        let before = self.log.link(&actor, first - 1);
        // What is not there, or no longer, comes again with the next run beside it.
        if let Some((signature, before)) = signature.zip(before) {
            let bodies = records.iter().map(|record| &record.body).collect();
            let signed = self.log.branches.signed(&actor);
            let runs = [Run { actor: signed, first, bodies, signature }, Run { actor: signed, ..theirs }];
            if let Ok(fork) = Fork::prove(&self.id, before, runs, &*self.keys)
                && self.takes_fork(&fork)
                && let Ok(Some(place)) = self.place_of(&fork)
            {
                self.learn_fork(fork, &place, now, out);
            }
        }
        true
    }

    /// A peer tells of a fork.
    pub(super) fn hear_fork(&mut self, link: LinkId, proof: &Arc<[u8]>, now: Now, out: &mut Vec<Output>) {
        let (fork, place) = match self.read_fork(proof) {
            Ok(Some(read)) => read,
            // It is told again, and then perhaps of somebody.
            Ok(None) => return,
            Err(error) => return out.push(Output::Refused { link, refusal: Refusal::Proof { error } }),
        };
        if let Some(run) = self.third(&fork, &place) {
            // First it has to be shown that what is held is neither. It is told again until then.
            let dot = Dot { actor: run.actor, seq: run.first };
            return self.prove(link, &run, dot, out);
        }
        let pair = fork.branches();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let is_repeated = peer.informed.has(&pair);
        peer.informed.knows.extend(pair);
        let is_told = peer.informed.told.contains_key(&pair);
        // So that it need not be told again, whether it is news here or not.
        if (is_repeated || !is_told) && peer.informed.tell(pair, now) {
            out.push(Output::Send {
                link,
                lane: Lane::Bulk,
                frame: RoomFrame::Fork { proof: Arc::clone(proof) },
            });
        }
        if self.takes_fork(&fork) {
            self.learn_fork(fork, &place, now, out);
        }
        self.tell_forks(link, now, out);
    }

    /// Reads the proof of a fork; nothing where it is of an actor, or of a number, that nothing is known of here.
    fn read_fork(&self, proof: &[u8]) -> Result<Option<(Fork, Place)>, ForkError> {
        let known = self.forks.0.iter().find(|known| **known.fork.bytes() == *proof);
        let fork = match known {
            Some(known) => known.fork.clone(),
            None => Fork::read(&self.id, proof, &*self.keys)?,
        };
        Ok(self.place_of(&fork)?.map(|place| (fork, place)))
    }

    /// Where a fork lies; nothing where it is not known yet what it hangs on.
    fn place_of(&self, fork: &Fork) -> Result<Option<Place>, ForkError> {
        let Dot { actor: signed, seq } = fork.dot();
        let last = seq - 1;
        let branches = &self.log.branches;
        let family: BTreeSet<Actor> = branches.family(signed).chain([signed]).collect();
        let of_horizon = |actor: &Actor| {
            let horizon = self.horizon().filter(|horizon| horizon.actor == *actor);
            self.log.floor(actor).max(horizon.map_or(0, |horizon| horizon.seq))
        };
        // Of what is forgotten nobody can say more than that the key signed both.
        if family.iter().any(|actor| branches.base(actor) < seq && seq <= of_horizon(actor)) {
            return Ok(Some(Place::Forgotten));
        }
        // Of a first message the proof itself shows it.
        let hangs_on = |actor: &Actor| last == 0 || self.log.link(actor, last) == Some(fork.before());
        let parent =
            family.iter().find(|actor| (**actor == signed || branches.base(actor) < last) && hangs_on(actor));
        if let Some(parent) = parent {
            return Ok(Some(Place::After(*parent)));
        }
        match self.log.link(&signed, last) {
            Some(_) if branches.closed(&signed).is_none() => Err(ForkError::NotOfChain { dot: fork.dot() }),
            Some(_) | None => Ok(None),
        }
    }

    /// Of a fork one of the two runs, by the name of what it hangs on, where what is held there is a third message.
    fn third(&self, fork: &Fork, place: &Place) -> Option<Run> {
        let Place::After(parent) = place else { return None };
        let seq = fork.dot().seq;
        let held = self.log.link(parent, seq).filter(|_| self.log.head(parent) >= seq)?;
        let [run, _] = fork.runs().ok().filter(|_| fork.branch_of(&held).is_none())?;
        Some(Run { actor: *parent, ..run })
    }

    fn learn_fork(&mut self, fork: Fork, place: &Place, now: Now, out: &mut Vec<Output>) {
        self.flush(now, out);
        let dot = fork.dot();
        let is_news = self.forks().all(|known| known != dot);
        self.part_from_twin(&dot.actor);
        match place {
            Place::Forgotten => {
                self.forks.0.push(Known { fork, parent: None });
                out.push(Output::Fact { name: crate::store::FORKS, value: self.forks.encode() });
                for link in self.peers.keys().copied().collect::<Vec<_>>() {
                    self.tell_forks(link, now, out);
                }
            }
            Place::After(parent) => {
                let held = self.log.link(parent, dot.seq).and_then(|link| fork.branch_of(&link));
                let rename = Known::learn(&mut self.forks.0, fork, *parent, held);
                self.go_by_branches(rename, now, out);
            }
        }
        if is_news {
            out.push(Output::Forked(dot));
        }
    }

    /// Tells a peer of the forks that it has not said it knows, as soon as it can check them.
    pub(super) fn tell_forks(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let branches = &self.log.branches;
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.informed.is_under_way(now)) else {
            return;
        };
        let Informed { knows, told, .. } = &peer.informed;
        let is_next = |known: &&Known| {
            let (pair, Dot { actor: signed, seq }) = (known.fork.branches(), known.fork.dot());
            let holds = |actor: Actor| peer.told.get(&actor) >= seq - 1;
            let can_check = match known.parent {
                Some(parent) if branches.get(&parent).is_some() => knows.contains(&parent) && holds(parent),
                Some(_) => branches.family(signed).any(holds),
                // Who has yet to forget would take it for one of its own.
                None => holds(signed) && !peer.lacks_ground,
            };
            let times = told.get(&pair).map_or(0, |(_, times)| *times);
            can_check && times < TELLS_MAX && !peer.informed.has(&pair)
        };
        // Of those that are not answered each has its turn.
        let next = self.forks.0.iter().filter(is_next);
        let next = next.min_by_key(|known| told.get(&known.fork.branches()).copied());
        if let Some(Known { fork, .. }) = next
            && peer.informed.tell(fork.branches(), now)
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
        let [one, other] = [["a", "b"], ["b", "c"]].map(|pair| pair.map(Actor::from_name));
        let mut peer = Informed::default();
        assert!(!peer.is_under_way(at(0)) && peer.tell(one, at(0)));
        assert!(peer.is_under_way(at(TELL_AGAIN_MS - 1)) && !peer.is_under_way(at(TELL_AGAIN_MS)));
        for _ in 1..TELLS_MAX {
            assert!(peer.tell(one, at(0)));
        }
        assert!(!peer.tell(one, at(0)) && peer.tell(other, at(0)));
        peer.knows.extend([one, other].concat());
        assert!(!peer.is_under_way(at(0)), "it has said so");
    }
}
