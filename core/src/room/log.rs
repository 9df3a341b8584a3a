//! What is held of each actor: links, lamports and where signatures are. Bodies rest in the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::branch::Branches;
use crate::chain::Link;
use crate::clock::VersionVector;
use crate::horizon::{Cut, Frontier};
use crate::id::{Actor, Dot, PeerKey, RoomId};
use crate::message::Head;
use crate::room::footing::Footing;
use crate::room::older::Older;
use crate::room::packed::Range;
use crate::sync::frame::Digest;
use crate::sync::ranges::Ranges;
use crate::sync::run::{Step, backlog_run};
use crate::view::MessageView;

/// The chains of a room's actors, without the messages' content.
pub(super) struct Log {
    pub(super) room: RoomId,
    pub(super) actors: BTreeMap<Actor, ActorLog>,
    /// The actors that forks have made: each of them is among the others as soon as what it hangs on is.
    pub(super) branches: Branches,
    /// The messages before those that `actors` has entries of.
    pub(super) older: Older,
    /// The horizon that the room stands on, and what lies in it.
    pub(super) horizon: Option<Dot>,
    pub(super) frontier: Frontier,
    /// Of actors with messages outside of it, as far as they are known, the number of the first.
    pub(super) outside: BTreeMap<Actor, u64>,
    pub(super) messages: u64,
    /// How many messages were ever applied.
    pub(super) arrived: u64,
    pub(super) digest: Option<Digest>,
    /// What is held by ranges of actors, while somebody asks for that.
    pub(super) ranges: Option<Ranges>,
}

pub(super) struct ActorLog {
    /// The newest message before the entries.
    pub(super) base: Base,
    pub(super) entries: Vec<Entry>,
    /// The author's clock at its newest message: which heads of others it had seen.
    pub(super) clock: VersionVector,
}

/// What the next message of an actor follows from; before the first, the chain's origin.
#[derive(Clone, Copy)]
pub(super) struct Base {
    pub(super) seq: u64,
    pub(super) link: Link,
    pub(super) lamport: u64,
}

/// One message, as far as chains and plans go.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) link: Link,
    pub(super) lamport: u64,
    /// How many messages this replica had applied before: a causal order.
    pub(super) arrival: u64,
    pub(super) body_bytes: u32,
    pub(super) signed: bool,
    /// Whether it names heads of others: then a run can begin, but not go on with it.
    pub(super) advances: bool,
}

impl Entry {
    fn step(&self) -> Step {
        Step { body_bytes: self.body_bytes as usize, signed: self.signed, advances: self.advances }
    }
}

impl ActorLog {
    /// The number of the newest message.
    pub(super) fn head(&self) -> u64 {
        self.base.seq + self.entries.len() as u64
    }

    /// The link of the newest message.
    pub(super) fn head_link(&self) -> Link {
        self.entries.last().map_or(self.base.link, |entry| entry.link)
    }

    /// The lamport time of the newest message.
    pub(super) fn head_lamport(&self) -> u64 {
        self.entries.last().map_or(self.base.lamport, |entry| entry.lamport)
    }
}

impl Log {
    pub(super) fn new(room: RoomId) -> Self {
        Self {
            room,
            actors: BTreeMap::new(),
            branches: Branches::default(),
            older: Older::default(),
            horizon: None,
            frontier: Frontier::default(),
            outside: BTreeMap::new(),
            messages: 0,
            arrived: 0,
            digest: None,
            ranges: None,
        }
    }

    /// Messages held.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// The number of the newest message held of `actor`, 0 where none is.
    pub(super) fn head(&self, actor: &Actor) -> u64 {
        self.actors.get(actor).map_or(0, ActorLog::head)
    }

    /// Of each actor the number and the link of the newest message.
    pub(super) fn heads(&self) -> impl Iterator<Item = (Actor, u64, Link)> + '_ {
        self.actors.iter().map(|(&actor, log)| (actor, log.head(), log.head_link()))
    }

    /// The newest message of each actor of that key.
    pub(super) fn heads_of(&self, key: &PeerKey) -> impl Iterator<Item = Dot> + '_ {
        let epochs = self.actors.range(Actor::new(*key, 0)..=Actor::new(*key, u64::MAX));
        epochs.map(|(&actor, log)| Dot { actor, seq: log.head() })
    }

    /// The newest message of each actor.
    pub(super) fn newest_of_actors(&self) -> impl Iterator<Item = Dot> + '_ {
        self.actors.iter().map(|(&actor, log)| Dot { actor, seq: log.head() })
    }

    /// How many messages of a version are held, and what their bodies take.
    pub(super) fn weigh(&self, version: &VersionVector) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        for (actor, last) in version.iter() {
            let count = usize::try_from(last.saturating_sub(self.begin(&actor))).unwrap_or(usize::MAX);
            for entry in self.entries(&actor).take(count) {
                messages += 1;
                bytes += u64::from(entry.body_bytes);
            }
        }
        (messages, bytes)
    }

    /// The link that the message after number `seq` hangs on.
    pub(super) fn link(&self, actor: &Actor, seq: u64) -> Option<Link> {
        if seq == 0 {
            return match self.branches.get(actor) {
                Some(branch) => (branch.base == 0 && self.floor(actor) == 0).then_some(branch.link),
                None => (self.floor(actor) == 0).then(|| Link::origin(&self.room, actor)),
            };
        }
        match self.base(actor, seq) {
            Some(base) => Some(base.link),
            None => Some(self.entry(&Dot { actor: *actor, seq })?.link),
        }
    }

    /// The lamport of a message held.
    pub(super) fn lamport(&self, dot: &Dot) -> Option<u64> {
        match self.base(&dot.actor, dot.seq) {
            Some(base) => Some(base.lamport),
            None => self.entry(dot).map(|entry| entry.lamport),
        }
    }

    /// What the entries of an actor follow from, if that is message `seq`.
    fn base(&self, actor: &Actor, seq: u64) -> Option<Base> {
        self.actors.get(actor).map(|log| log.base).filter(|base| seq > 0 && base.seq == seq)
    }

    /// What the author of `actor`'s newest message had seen of `other`.
    pub(super) fn seen(&self, actor: &Actor, other: &Actor) -> u64 {
        self.actors.get(actor).map_or(0, |log| log.clock.get(other))
    }

    /// Of each actor the number of the newest message.
    pub(super) fn vector(&self) -> VersionVector {
        self.actors.iter().map(|(&actor, log)| (actor, log.head())).collect()
    }

    /// Takes what is held out of `vector`, up to the first entry that is not. Called again and again, it looks at each entry
    /// once. Returns whether nothing is left.
    pub(super) fn strike_held(&self, vector: &mut VersionVector) -> bool {
        while let Some((actor, seq)) = vector.first() {
            if self.head(&actor) < seq {
                return false;
            }
            vector.lower(&actor, 0);
        }
        true
    }

    /// Appends the next message of its actor. `clock` is what it names, by the names that this has here.
    pub(super) fn append<'a>(
        &mut self,
        message: &MessageView<'_>,
        clock: impl IntoIterator<Item = &'a Head>,
        link: Link,
        body_bytes: usize,
        signed: bool,
    ) {
        let room = &self.room;
        let log = self.actors.entry(message.actor).or_insert_with(|| ActorLog {
            base: Base { seq: 0, link: Link::origin(room, &message.actor), lamport: 0 },
            entries: Vec::new(),
            clock: VersionVector::default(),
        });
        debug_assert_eq!(log.head() + 1, message.seq, "chains have no gaps");
        log.entries.push(Entry {
            link,
            lamport: message.lamport,
            arrival: self.arrived,
            body_bytes: u32::try_from(body_bytes).expect("a message is smaller than 64 KiB"),
            signed,
            advances: !message.clock.is_empty(),
        });
        for head in clock {
            log.clock.raise(head.actor, head.seq);
        }
        if self.branches.closed(&message.actor) == Some(message.seq) {
            self.begin_branches();
        }
        self.messages += 1;
        self.arrived += 1;
        self.digest = None;
        if let Some(ranges) = &mut self.ranges {
            ranges.touch(message.actor);
        }
    }

    /// What is held, by ranges of actors.
    pub(super) fn ranges(&mut self) -> &mut Ranges {
        let actors = &self.actors;
        let ranges = self.ranges.get_or_insert_with(|| {
            let mut ranges = Ranges::default();
            actors.keys().for_each(|&actor| ranges.touch(actor));
            ranges
        });
        // Of a branch that begins with a first message nothing may be held.
        let head = |log: &ActorLog| (log.head() > 0).then(|| (log.head(), log.head_link()));
        ranges.follow(|actor| actors.get(actor).and_then(head));
        ranges
    }

    /// Nobody asks for ranges any more.
    pub(super) fn drop_ranges(&mut self) {
        self.ranges = None;
    }

    /// The number up to which an actor's messages are forgotten.
    pub(super) fn floor(&self, actor: &Actor) -> u64 {
        self.frontier.get(actor).map_or(0, |cut| cut.seq)
    }

    /// The number up to which there is nothing of an actor, or nothing any more.
    pub(super) fn begin(&self, actor: &Actor) -> u64 {
        self.floor(actor).max(self.branches.base(actor))
    }

    /// Whether a message is known to be outside of the horizon.
    pub(super) fn is_outside(&self, actor: &Actor, seq: u64) -> bool {
        let base = self.branches.get(actor);
        self.outside.get(actor).is_some_and(|&first| first <= seq)
            || base.is_some_and(|branch| self.is_outside(&branch.parent, branch.base))
    }

    /// Notes that a message, and with it all later ones of its actor, are outside of the horizon.
    pub(super) fn put_outside(&mut self, dot: &Dot) {
        let first = self.outside.entry(dot.actor).or_insert(dot.seq);
        *first = dot.seq.min(*first);
    }

    /// Stands on a horizon: forgets what lies in it and drops what is not in `kept`. `version_of` tells the past of a message that stays.
    pub(super) fn stand(
        &mut self,
        horizon: Dot,
        frontier: &Frontier,
        footing: &Footing,
        kept: &VersionVector,
        outside: &BTreeMap<Actor, u64>,
        version_of: impl Fn(&Dot) -> Option<VersionVector>,
    ) {
        let forgotten = frontier.version();
        let mut actors = BTreeMap::new();
        for (actor, last) in kept.iter() {
            let base = match (frontier.get(&actor), self.branches.get(&actor)) {
                (Some(&Cut { seq, lamport, link }), _) => Base { seq, link, lamport },
                (None, Some(branch)) => {
                    let hangs_on = Dot { actor: branch.parent, seq: branch.base };
                    let lamport = self.lamport(&hangs_on).unwrap_or(0);
                    Base { seq: branch.base, link: branch.link, lamport }
                }
                (None, None) => Base { seq: 0, link: Link::origin(&self.room, &actor), lamport: 0 },
            };
            let count = usize::try_from(last.saturating_sub(base.seq)).unwrap_or(usize::MAX);
            let entries = self.entries_from(&actor, base.seq + 1).into_iter().flatten();
            let entries: Vec<Entry> = entries.take(count).copied().collect();
            let clock = match entries.is_empty() {
                true => footing.clock(&actor),
                false => {
                    let mut clock = version_of(&Dot { actor, seq: last }).unwrap_or_default();
                    clock.join(&forgotten);
                    clock.lower(&actor, 0);
                    clock
                }
            };
            actors.insert(actor, ActorLog { base, entries, clock });
        }
        self.messages = actors.values().map(|log| log.entries.len() as u64).sum();
        self.actors = actors;
        self.older = Older::default();
        self.horizon = Some(horizon);
        self.frontier = frontier.clone();
        self.outside = outside.clone();
        self.begin_branches();
        self.digest = None;
        self.ranges = None;
    }

    /// Notes whether a signature over the link of `dot` is there.
    pub(super) fn set_signed(&mut self, dot: &Dot, signed: bool) {
        let Some(log) = self.actors.get_mut(&dot.actor) else { return };
        let entry = match dot.seq.checked_sub(log.base.seq + 1) {
            Some(index) => log.entries.get_mut(index_of(index)),
            None => {
                let older = self.older.of_mut(&dot.actor);
                let first = log.base.seq + 1 - older.len() as u64;
                dot.seq.checked_sub(first).and_then(|index| older.get_mut(index_of(index)))
            }
        };
        if let Some(entry) = entry {
            entry.signed = signed;
        }
    }

    /// The hash of what is held: equal where the same messages are.
    pub(super) fn digest(&mut self) -> Digest {
        *self.digest.get_or_insert_with(|| {
            let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 digest v1");
            for (actor, log) in self.actors.iter().filter(|(_, log)| log.head() > 0) {
                hasher.update(&actor.0).update(&log.head().to_be_bytes()).update(&log.head_link().short());
            }
            let mut digest = [0; 16];
            digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
            digest
        })
    }

    /// What `goal` covers and `sent` does not, run by run: the past of each is in `sent`, or earlier in the plan.
    pub(super) fn plan(&self, sent: &VersionVector, goal: &VersionVector) -> Plan<'_> {
        let behind = goal.iter().filter_map(|(actor, goal)| {
            let (first, last) = (sent.get(&actor) + 1, goal.min(self.head(&actor)));
            let arrival = self.entry(&Dot { actor, seq: first })?.arrival;
            (first <= last).then_some(Reverse(Behind { arrival, actor, first, last }))
        });
        Plan { log: self, behind: behind.collect() }
    }

    pub(super) fn run_from(&self, actor: Actor, first: u64, last: u64) -> Option<PlannedRun> {
        let count = usize::try_from((last + 1).checked_sub(first)?).ok()?;
        let entries = || Some(self.entries_from(&actor, first)?.take(count));
        if let Some((messages, body_bytes)) = backlog_run(entries()?.map(Entry::step)) {
            let last = first + messages as u64 - 1;
            return Some(PlannedRun { actor, first, last, body_bytes, branch: None });
        }
        // Before a fork there may be no signature: then one of a branch vouches for it, as for all that comes before.
        let head = self.head(&actor);
        let branches = self.branches.of_parent(&actor).filter(|_| last == head);
        let mut runs = branches.filter_map(|branch| {
            let entries = entries()?.chain(self.entries_from(&branch, head + 1)?);
            let (messages, body_bytes) = backlog_run(entries.map(Entry::step))?;
            let end = (first + messages as u64 - 1).checked_sub(head + 1)?;
            Some(PlannedRun {
                actor,
                first,
                last,
                body_bytes,
                branch: Some((branch, head + 1, head + 1 + end)),
            })
        });
        runs.next()
    }

    /// What is known of an actor's messages from that number on, if that one is held.
    pub(super) fn entries_from(&self, actor: &Actor, seq: u64) -> Option<impl Iterator<Item = &Entry>> {
        let log = self.actors.get(actor)?;
        let (older, newer) = match seq.checked_sub(log.base.seq + 1) {
            Some(index) => (&[][..], log.entries.get(index_of(index)..)?),
            None => {
                let older = self.older.of(actor);
                let first = log.base.seq + 1 - older.len() as u64;
                (older.get(index_of(seq.checked_sub(first)?)..)?, &log.entries[..])
            }
        };
        Some(older.iter().chain(newer))
    }

    /// What is known of an actor's messages.
    pub(super) fn entries(&self, actor: &Actor) -> impl Iterator<Item = &Entry> {
        let newer = self.actors.get(actor).map(|log| &log.entries[..]).unwrap_or_default();
        self.older.of(actor).iter().chain(newer)
    }

    /// Whether a message is held with a signature over it.
    pub(super) fn is_signed(&self, dot: &Dot) -> bool {
        self.entry(dot).is_some_and(|entry| entry.signed)
    }

    fn entry(&self, dot: &Dot) -> Option<&Entry> {
        self.entries_from(&dot.actor, dot.seq)?.next()
    }
}

/// A number as an index; of one too large there is nothing.
fn index_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The runs a peer lacks, those that arrived here first before others. That is a causal order.
pub(super) struct Plan<'a> {
    log: &'a Log,
    behind: BinaryHeap<Reverse<Behind>>,
}

/// Of one actor, what is still to be planned; ordered by when the first of it arrived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Behind {
    arrival: u64,
    actor: Actor,
    first: u64,
    last: u64,
}

impl Iterator for Plan<'_> {
    type Item = PlannedRun;

    fn next(&mut self) -> Option<PlannedRun> {
        loop {
            let Reverse(Behind { actor, first, last, .. }) = self.behind.pop()?;
            // An actor without a signature ahead cannot be sent yet; the others do not wait for it.
            let Some(run) = self.log.run_from(actor, first, last) else { continue };
            let first = run.last + 1;
            if let Some(entry) = self.log.entry(&Dot { actor, seq: first }).filter(|_| first <= last) {
                self.behind.push(Reverse(Behind { arrival: entry.arrival, actor, first, last }));
            }
            return Some(run);
        }
    }
}

/// A run that could be read from the store and sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PlannedRun {
    pub(super) actor: Actor,
    pub(super) first: u64,
    pub(super) last: u64,
    /// What of a branch goes with it, since the signature is there; the run has the name that it has before the fork.
    pub(super) branch: Option<Range>,
    pub(super) body_bytes: usize,
}

impl PlannedRun {
    /// What is to be read for it.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        [(self.actor, self.first, self.last)].into_iter().chain(self.branch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MESSAGE_BYTES_MAX, RUN_BYTES_MAX, RUN_MESSAGES_MAX};
    use crate::message::Message;

    #[test]
    fn no_planned_run_is_too_large_for_its_receiver() {
        let actor = Actor::from_name("a");
        let mut log = Log::new(RoomId([1; 32]));
        let message = |seq| Message {
            actor,
            seq,
            lamport: seq,
            clock: Vec::new(),
            time_ms: None,
            request: None,
            note: None,
            ops: Vec::new(),
        };
        // A short run, one as large as can be, and many small messages.
        let last = RUN_MESSAGES_MAX as u64 + 1;
        for seq in 1..=3_000 {
            let bytes = if (2..=last).contains(&seq) { MESSAGE_BYTES_MAX } else { 20 };
            let signed = seq == 1 || seq >= last;
            MessageView::with(&message(seq), |view| log.append(view, &[], Link([0; 32]), bytes, signed));
        }
        let goal = [(actor, 3_000)].into_iter().collect();
        let runs: Vec<_> = log.plan(&VersionVector::default(), &goal).collect();
        assert_eq!((runs[0].last, runs[1].last, runs[2].last), (1, last, last + 1024), "{runs:?}");
        assert_eq!(runs.last().map(|run| run.last), Some(3_000));
        assert!(runs.iter().all(|run| run.body_bytes <= RUN_BYTES_MAX));
    }
}
