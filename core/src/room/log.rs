//! What is held of each actor: links, lamports and where signatures are. Bodies rest in the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::chain::Link;
use crate::clock::VersionVector;
use crate::id::{Actor, Dot, RoomId};
use crate::sync::frame::Digest;
use crate::sync::run::{Step, backlog_run};
use crate::view::MessageView;

/// The chains of a room's actors, without the messages' content.
pub(super) struct Log {
    room: RoomId,
    actors: BTreeMap<Actor, ActorLog>,
    messages: u64,
    digest: Option<Digest>,
}

struct ActorLog {
    entries: Vec<Entry>,
    /// The author's clock at its newest message: which heads of others it had seen.
    clock: VersionVector,
}

/// One message, as far as chains and plans go.
struct Entry {
    link: Link,
    lamport: u64,
    /// How many messages this replica had applied before: a causal order.
    arrival: u64,
    body_bytes: u32,
    signed: bool,
    /// Whether it names heads of others: then a run can begin, but not go on with it.
    advances: bool,
}

impl Log {
    pub(super) fn new(room: RoomId) -> Self {
        Self { room, actors: BTreeMap::new(), messages: 0, digest: None }
    }

    /// Messages held.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// The number of the newest message held of `actor`, 0 where none is.
    pub(super) fn head(&self, actor: &Actor) -> u64 {
        self.actors.get(actor).map_or(0, |log| log.entries.len() as u64)
    }

    /// The link that the message after number `seq` hangs on.
    pub(super) fn link(&self, actor: &Actor, seq: u64) -> Option<Link> {
        if seq == 0 {
            Some(Link::origin(&self.room, actor))
        } else {
            Some(self.entry(&Dot { actor: *actor, seq })?.link)
        }
    }

    /// The lamport of a message held.
    pub(super) fn lamport(&self, dot: &Dot) -> Option<u64> {
        self.entry(dot).map(|entry| entry.lamport)
    }

    /// What the author of `actor`'s newest message had seen of `other`.
    pub(super) fn seen(&self, actor: &Actor, other: &Actor) -> u64 {
        self.actors.get(actor).map_or(0, |log| log.clock.get(other))
    }

    /// Of each actor the number of the newest message.
    pub(super) fn vector(&self) -> VersionVector {
        self.actors.iter().map(|(&actor, log)| (actor, log.entries.len() as u64)).collect()
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

    /// Appends the next message of its actor.
    pub(super) fn append(&mut self, message: &MessageView<'_>, link: Link, body_bytes: usize, signed: bool) {
        let log = self.actors.entry(message.actor);
        let log = log.or_insert_with(|| ActorLog { entries: Vec::new(), clock: VersionVector::default() });
        debug_assert_eq!(log.entries.len() as u64 + 1, message.seq, "chains have no gaps");
        log.entries.push(Entry {
            link,
            lamport: message.lamport,
            arrival: self.messages,
            body_bytes: u32::try_from(body_bytes).expect("a message is smaller than 64 KiB"),
            signed,
            advances: !message.clock.is_empty(),
        });
        for head in &message.clock {
            log.clock.raise(head.actor, head.seq);
        }
        self.messages += 1;
        self.digest = None;
    }

    /// Notes whether a signature over the link of `dot` is there.
    pub(super) fn set_signed(&mut self, dot: &Dot, signed: bool) {
        let index = usize::try_from(dot.seq - 1).expect("held, so it was an index");
        if let Some(entry) = self.actors.get_mut(&dot.actor).and_then(|log| log.entries.get_mut(index)) {
            entry.signed = signed;
        }
    }

    /// The hash of what is held: equal where the same messages are.
    pub(super) fn digest(&mut self) -> Digest {
        *self.digest.get_or_insert_with(|| {
            let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 digest v1");
            for (actor, log) in &self.actors {
                let Some(head) = log.entries.last() else { continue };
                hasher
                    .update(&actor.0)
                    .update(&(log.entries.len() as u64).to_be_bytes())
                    .update(&head.link.short());
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

    fn run_from(&self, actor: Actor, first: u64, last: u64) -> Option<PlannedRun> {
        let entries = &self.actors.get(&actor)?.entries;
        let begin = usize::try_from(first - 1).ok()?;
        let end = usize::try_from(last).ok()?;
        let steps = entries[begin..end].iter().map(|entry| Step {
            body_bytes: entry.body_bytes as usize,
            signed: entry.signed,
            advances: entry.advances,
        });
        let (messages, body_bytes) = backlog_run(steps)?;
        Some(PlannedRun { actor, first, last: first + messages as u64 - 1, body_bytes })
    }

    fn entry(&self, dot: &Dot) -> Option<&Entry> {
        let index = usize::try_from(dot.seq.checked_sub(1)?).ok()?;
        self.actors.get(&dot.actor)?.entries.get(index)
    }
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
    pub(super) body_bytes: usize,
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
            MessageView::with(&message(seq), |view| log.append(view, Link([0; 32]), bytes, signed));
        }
        let goal = [(actor, 3_000)].into_iter().collect();
        let runs: Vec<_> = log.plan(&VersionVector::default(), &goal).collect();
        assert_eq!((runs[0].last, runs[1].last, runs[2].last), (1, last, last + 1024), "{runs:?}");
        assert_eq!(runs.last().map(|run| run.last), Some(3_000));
        assert!(runs.iter().all(|run| run.body_bytes <= RUN_BYTES_MAX));
    }
}
