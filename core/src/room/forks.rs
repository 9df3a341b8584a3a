//! Forks that are proven: found here or told by a peer, kept, and told to every peer until it says that it knows.
//!
//! From the proof on the branches are actors of their own, everywhere ([`crate::branch`]). Where the fork lies before a horizon, or there are
//! more than are kept, the message that came first stays, and what is built on the other is refused; people are told of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::branch::{self, Branches, Known};
use crate::fork::{FORK_RUNS_BYTES_MAX, Fork, ForkError};
use crate::horizon::Frontier;
use crate::id::{Actor, Dot, PeerKey};
use crate::limits::{FORKS_MAX, FORKS_OF_KEY_MAX, FORKS_OF_NOBODY_MAX};
use crate::room::packed::Range;
use crate::room::peer::Peer;
use crate::room::{Output, Refusal, Room, Standing};
use crate::store::Record;
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run};

/// How long a peer has to say that it knows of a fork until it is told again.
const TELL_AGAIN_MS: u64 = 5_000;
/// How often a peer is told of a fork in a row: slow answers must not make two tell each other for ever.
const TELLS_MAX: u8 = 4;
/// How long a peer that did not answer is left alone: whatever kept it from taking a proof may be gone then.
const LEFT_ALONE_MS: u64 = 60_000;

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
    /// Since when it is to answer to forks before it is handed a ground.
    owes_us: Option<u64>,
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

    /// Whether it is to be told of a fork: so often in a row, and then now and again.
    fn is_to_be_told(&self, pair: &Pair, now: Now) -> bool {
        self.told.get(pair).is_none_or(|&(told_us, times)| {
            times < TELLS_MAX || now.monotonic_us.saturating_sub(told_us) >= LEFT_ALONE_MS * 1000
        })
    }

    /// Notes that the peer is told of a fork. Returns false where it was told often enough.
    fn tell(&mut self, pair: Pair, now: Now) -> bool {
        let is_told = self.is_to_be_told(&pair, now);
        if is_told {
            let (told_us, times) = self.told.entry(pair).or_default();
            (*told_us, *times) = (now.monotonic_us, times.saturating_add(1));
        }
        is_told
    }

    /// What is being proven is called otherwise now, and what could not be placed here perhaps can be.
    pub(super) fn begin_again(&mut self) {
        self.proving = None;
        self.told.values_mut().for_each(|(_, times)| *times = 0);
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

    /// Whether a fork is news, and is kept.
    fn takes_fork(&self, fork: &Fork) -> bool {
        let key = fork.dot().actor.key();
        // Whose keys are members' is said in the ground itself.
        let may_take = self.may_take_fork(&key) || self.is_fetched(fork) && self.forks.has_place(&key);
        may_take && !self.forks.knows(fork) && self.is_free(fork)
    }

    /// Whether nobody else has the name of one of its branches. What has that name in a horizon is the branch.
    fn is_free(&self, fork: &Fork) -> bool {
        fork.branches().iter().all(|name| {
            self.log.branches.get(name).is_some()
                || !self.log.actors.contains_key(name)
                || self.log.floor(name) >= fork.dot().seq
        })
    }

    /// Whether a branch of it lies in the ground that is being handed over.
    fn is_fetched(&self, fork: &Fork) -> bool {
        self.fetch.as_ref().is_some_and(|fetch| fork.branches().iter().any(|branch| fetch.holds(branch)))
    }

    /// Whether what is held begins a branch that lies in a horizon, and its fork is not known: by that horizon it would be outside.
    pub(super) fn lacks_fork_of(&self, frontier: &Frontier) -> bool {
        self.log.actors.iter().any(|(actor, log)| {
            let seq = self.log.begin(actor).max(frontier.get(actor).map_or(0, |cut| cut.seq)) + 1;
            let link = self.log.link(actor, seq).filter(|_| seq <= log.head());
            let first = Dot { actor: self.log.branches.signed(actor), seq };
            link.is_some_and(|link| frontier.get(&branch::name(&first, &link)).is_some())
        })
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
        let read = self.read_fork(proof).and_then(|fork| Ok((self.place_of(&fork)?, fork)));
        let (place, fork) = match read {
            Ok(read) => read,
            Err(error) => return out.push(Output::Refused { link, refusal: Refusal::Proof { error } }),
        };
        // With a ground comes what is to be known of the branches in it.
        let place = place.or_else(|| self.is_fetched(&fork).then_some(Place::Forgotten));
        // Otherwise it is told again, and then perhaps of somebody.
        let Some(place) = place else { return };
        if let Some(run) = self.third(&fork, &place) {
            // First it has to be shown that what is held is neither. It is told again until then.
            let dot = Dot { actor: run.actor, seq: run.first };
            return self.prove(link, &run, dot, out);
        }
        let (pair, is_news) = (fork.branches(), self.takes_fork(&fork));
        let Some(peer) = self.peers.get_mut(&link) else { return };
        // Of what is not kept nothing is remembered: there may be as much as the peer likes.
        if !is_news && !self.forks.knows(&fork) {
            return;
        }
        let is_repeated = peer.informed.has(&pair);
        let is_told = peer.informed.told.contains_key(&pair);
        peer.informed.knows.extend(pair);
        if is_news {
            self.fetch.iter_mut().filter(|fetch| fetch.is_from(link)).for_each(|fetch| fetch.stay(now));
            self.learn_fork(fork, &place, now, out);
        }
        // So that it need not be told again, whether it is news here or not.
        let peer = self.peers.get_mut(&link);
        if (is_repeated || !is_told) && peer.is_some_and(|peer| peer.informed.tell(pair, now)) {
            let frame = RoomFrame::Fork { proof: Arc::clone(proof) };
            out.push(Output::Send { link, lane: Lane::Bulk, frame });
        }
        self.tell_forks(link, now, out);
        self.begin_to_hand(link, now, out);
    }

    /// Reads the proof of a fork.
    fn read_fork(&self, proof: &[u8]) -> Result<Fork, ForkError> {
        let known = self.forks.0.iter().find(|known| **known.fork.bytes() == *proof);
        known.map_or_else(|| Fork::read(&self.id, proof, &*self.keys), |known| Ok(known.fork.clone()))
    }

    /// Where a fork lies; nothing where it is not known yet what it hangs on. That depends on what the room is, and not on what of it came
    /// first.
    fn place_of(&self, fork: &Fork) -> Result<Option<Place>, ForkError> {
        let Dot { actor: signed, seq } = fork.dot();
        let last = seq - 1;
        let branches = &self.log.branches;
        // Nobody signs as a branch: by that name the same messages would begin others.
        if branches.get(&signed).is_some() {
            return Err(ForkError::NotOfChain { dot: fork.dot() });
        }
        let family: BTreeSet<Actor> = branches.family(signed).chain([signed]).collect();
        let has_last = |actor: &&Actor| **actor == signed || branches.base(actor) < last;
        let is_forgotten = |actor: &Actor| {
            let horizon = self.horizon().filter(|horizon| horizon.actor == *actor);
            seq <= self.log.floor(actor).max(horizon.map_or(0, |horizon| horizon.seq))
        };
        // Of a first message the proof itself shows it.
        let hangs_on = |actor: &&Actor| last == 0 || self.log.link(actor, last) == Some(fork.before());
        if let Some(parent) = family.iter().filter(has_last).find(hangs_on) {
            let is_forgotten = is_forgotten(parent);
            return Ok(Some(if is_forgotten { Place::Forgotten } else { Place::After(*parent) }));
        }
        let may_come = |actor: &Actor| {
            self.log.head(actor) < last && branches.closed(actor).is_none_or(|closed| last <= closed)
        };
        if family.iter().filter(has_last).any(may_come) {
            return Ok(None);
        }
        // Of what is forgotten nobody can say more than that the key signed both.
        if family.iter().any(|actor| branches.base(actor) < seq && is_forgotten(actor)) {
            return Ok(Some(Place::Forgotten));
        }
        match self.log.link(&signed, last) {
            Some(_) if branches.closed(&signed).is_none() => Err(ForkError::NotOfChain { dot: fork.dot() }),
            Some(_) | None => Ok(None),
        }
    }

    /// Places those forks of which it is known by now what they hang on: they were found, or recalled, before that.
    pub(super) fn place_forks(&mut self, now: Now, out: &mut Vec<Output>) {
        let place = |(index, Known { fork, parent }): (usize, &Known)| {
            let place =
                self.place_of(fork).ok().flatten().filter(|_| parent.is_none() && self.is_free(fork))?;
            let is_after = matches!(place, Place::After(_)) && self.third(fork, &place).is_none();
            is_after.then_some((index, place))
        };
        let Some((index, place)) = self.forks.0.iter().enumerate().find_map(place) else { return };
        let Known { fork, .. } = self.forks.0.remove(index);
        self.flush(now, out);
        self.keep_fork(fork, &place, now, out);
        self.place_forks(now, out);
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
        self.keep_fork(fork, place, now, out);
        // Those that were known may hang on its branches.
        self.place_forks(now, out);
        if is_news {
            out.push(Output::Forked(dot));
        }
    }

    fn keep_fork(&mut self, fork: Fork, place: &Place, now: Now, out: &mut Vec<Output>) {
        match place {
            Place::Forgotten => {
                self.forks.0.push(Known { fork, parent: None });
                out.push(Output::Fact { name: crate::store::FORKS, value: self.forks.encode() });
                for link in self.peers.keys().copied().collect::<Vec<_>>() {
                    self.tell_forks(link, now, out);
                }
            }
            Place::After(parent) => {
                let held = self.log.link(parent, fork.dot().seq).and_then(|link| fork.branch_of(&link));
                let rename = Known::learn(&mut self.forks.0, fork, *parent, held);
                self.go_by_branches(rename, now, out);
            }
        }
    }

    /// Tells a peer of the forks that it has not said it knows, as soon as it can check them.
    pub(super) fn tell_forks(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&link).filter(|peer| !peer.informed.is_under_way(now)) else {
            return;
        };
        let Some(fork) = self.next_to_tell(peer, now).map(|known| &known.fork) else { return };
        let frame = RoomFrame::Fork { proof: Arc::clone(fork.bytes()) };
        let pair = fork.branches();
        if let Some(peer) = self.peers.get_mut(&link)
            && peer.informed.tell(pair, now)
        {
            out.push(Output::Send { link, lane: Lane::Bulk, frame });
        }
    }

    /// Of what fork a peer is to be told next: of those that are not answered each has its turn.
    fn next_to_tell(&self, peer: &Peer, now: Now) -> Option<&Known> {
        let branches = &self.log.branches;
        let is_next = |known: &&Known| {
            let (pair, Dot { actor: signed, seq }) = (known.fork.branches(), known.fork.dot());
            let holds = |actor: Actor| peer.told.get(&actor) >= seq - 1;
            let can_check = match known.parent {
                // Who is being handed a ground needs to know what the branches in it are.
                Some(_) if peer.handing.is_some() && self.is_in_ground(known) => true,
                Some(parent) if branches.get(&parent).is_some() => {
                    peer.informed.knows(&parent) && holds(parent)
                }
                Some(_) => branches.family(signed).any(holds),
                // Who has yet to forget would take it for one of its own.
                None => holds(signed) && !peer.lacks_ground,
            };
            can_check && !peer.informed.has(&pair) && peer.informed.is_to_be_told(&pair, now)
        };
        let next = self.forks.0.iter().filter(is_next);
        next.min_by_key(|known| {
            let told = peer.informed.told.get(&known.fork.branches()).copied();
            (peer.handing.is_some() && !self.is_in_ground(known), told)
        })
    }

    /// Whether the ground has branches that a fork shows.
    fn is_in_ground(&self, known: &Known) -> bool {
        known.parent.is_some() && known.fork.branches().iter().any(|branch| self.log.floor(branch) > 0)
    }

    /// Whether a peer is to answer to forks before it is handed a ground: standing on that it could not tell what is of which branch. Who
    /// does not answer in time gets the ground all the same.
    pub(super) fn owes_proofs(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) -> bool {
        self.tell_forks(link, now, out);
        let in_ground = self.forks.0.iter().filter(|known| self.is_in_ground(known));
        let in_ground: Vec<Pair> = in_ground.map(|known| known.fork.branches()).collect();
        let Some(peer) = self.peers.get_mut(&link) else { return false };
        if in_ground.iter().all(|pair| peer.informed.has(pair)) {
            return false;
        }
        let owes_us = *peer.informed.owes_us.get_or_insert(now.monotonic_us);
        now.monotonic_us.saturating_sub(owes_us) < u64::from(TELLS_MAX) * TELL_AGAIN_MS * 1000
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
        assert!(!peer.tell(one, at(LEFT_ALONE_MS - 1)) && peer.tell(one, at(LEFT_ALONE_MS)), "after a while");
        peer.begin_again();
        assert!(peer.tell(one, at(LEFT_ALONE_MS)), "perhaps it can be placed now");
        peer.knows.extend([one, other].concat());
        assert!(!peer.is_under_way(at(LEFT_ALONE_MS)), "it has said so");
    }
}
