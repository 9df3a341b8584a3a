//! A disk in memory: what was committed survives a crash, what was not may not. It fills up, fails, rots and is copied.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::branch::{Branches, Deriver, Known};
use crate::canonical::{DecodeError, Reader};
use crate::chain::Link;
use crate::horizon::Frontier;
use crate::id::{Actor, Dot, RoomId};
use crate::message::Message;
use crate::naive::{self, Signed};
use crate::replica::Stretch;
use crate::sim::Random;
use crate::store::{FORKS, Forgetting, GROUND, Kept, OUTSIDE, Record, Rename, Store, StoreError};
use crate::sync::Run;

/// The journal and the facts of one room, as they survive a crash.
#[derive(Clone)]
pub struct SimDisk {
    room: RoomId,
    journal: Vec<Record>,
    index: BTreeMap<(Actor, u64), usize>,
    /// What is forgotten, and what each actor's next message hangs on.
    frontier: Frontier,
    facts: BTreeMap<String, Vec<u8>>,
    /// What was put away of the room, and of how many messages it was made.
    kept: Option<(Vec<u8>, usize)>,
    is_full: bool,
    /// Calls so far, and those that are going to fail.
    calls: u64,
    failures: BTreeMap<u64, Failure>,
    /// Set by a failure: nothing more is written until the daemon is started again.
    is_poisoned: bool,
    /// Whether a bit was flipped: then whoever reads looks closely.
    is_rotten: bool,
}

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// There is no space, this once.
    Full,
    /// An I/O error; nothing was written.
    Nothing,
    /// An I/O error, though everything was written.
    Everything,
}

impl SimDisk {
    /// An empty one.
    pub fn new(room: RoomId) -> Self {
        Self {
            room,
            journal: Vec::new(),
            index: BTreeMap::new(),
            frontier: Frontier::default(),
            facts: BTreeMap::new(),
            kept: None,
            is_full: false,
            calls: 0,
            failures: BTreeMap::new(),
            is_poisoned: false,
            is_rotten: false,
        }
    }

    /// Takes away its space, or gives it back.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Lets the `n`-th call from here on fail, if it is one that can in this way.
    pub fn fail_call(&mut self, n: u64, failure: Failure) {
        self.failures.insert(self.calls + n, failure);
    }

    /// No call fails any more.
    pub fn heal(&mut self) {
        self.is_full = false;
        self.failures.clear();
    }

    /// A daemon opens it: what a failure forbade is allowed again.
    pub(super) fn open(&mut self) {
        self.is_poisoned = false;
    }

    /// Whether a bit was flipped and not yet found.
    pub(super) fn is_rotten(&self) -> bool {
        self.is_rotten
    }

    /// All records, in the order of their arrival.
    pub(super) fn records(&self) -> &[Record] {
        &self.journal
    }

    /// The link that the message after number `seq` hangs on.
    pub(super) fn link(&self, actor: &Actor, seq: u64) -> Option<Link> {
        match self.frontier.get(actor) {
            Some(cut) if cut.seq == seq => Some(cut.link),
            _ if seq == self.branches().base(actor) => Some(self.branches().origin(&self.room, actor).1),
            _ => self.index.get(&(*actor, seq)).map(|&at| self.journal[at].link),
        }
    }

    /// The branches of forks that it knows of.
    pub(super) fn branches(&self) -> Branches {
        self.facts.get(FORKS).and_then(|fact| Branches::read(fact).ok()).unwrap_or_default()
    }

    /// What is forgotten.
    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Whether a message is forgotten as part of a horizon.
    pub(super) fn has_forgotten(&self, dot: &Dot) -> bool {
        self.frontier.covers(dot)
    }

    /// The messages that a horizon left outside and that are to be issued again, by the names they had first.
    pub(super) fn outside(&self) -> BTreeSet<Dot> {
        let read = |bytes: &Vec<u8>| -> Result<BTreeSet<Dot>, DecodeError> {
            let mut reader = Reader::new(bytes);
            let mut dots = BTreeSet::new();
            for _ in 0..reader.array(bytes.len(), "messages")? {
                reader.array_of(2, "a message")?;
                let actor = Actor(reader.bytes_of()?);
                let message = Message::decode(actor, reader.slice(bytes.len(), "message")?)?;
                dots.insert(message.origin().map_or(message.dot(), |origin| origin.dot));
            }
            Ok(dots)
        };
        self.facts.get(OUTSIDE).and_then(|bytes| read(bytes).ok()).unwrap_or_default()
    }

    /// Reads records as rooms see them.
    pub(super) fn deriver(&self) -> Deriver {
        Deriver::new(self.branches(), self.frontier.version())
    }

    /// Every message of it as rooms see it, in the order of arrival.
    pub(super) fn messages(&self) -> Vec<Message> {
        let mut deriver = self.deriver();
        self.journal.iter().filter_map(|record| deriver.derive(record).ok()).collect()
    }

    /// The same as the plainest code has it, which is given what was signed; an error where that has other names for it.
    pub(super) fn messages_plainly(&self) -> Result<Vec<Message>, String> {
        let branches = self.branches();
        if branches.is_empty() {
            return Ok(self.messages());
        }
        let signed = |Record { actor, seq, link, body, .. }: &Record| {
            let message = Message::decode(branches.signed(actor), body).map_err(|error| error.to_string())?;
            let before = self.link(actor, seq - 1).ok_or("a message follows from nothing")?;
            debug_assert_eq!(before.next(body), *link);
            Ok(Signed::new(before, message))
        };
        let signed = self.journal.iter().map(signed).collect::<Result<Vec<_>, String>>()?;
        // Of a fork perhaps nobody has both any more who could be asked.
        let shown = |known: Known| {
            let runs = known.fork.runs().map_err(|error| error.to_string())?;
            let first =
                |run: &Run| Message::decode(run.actor, run.bodies.get(0)).map_err(|error| error.to_string());
            let [one, other] = runs.each_ref().map(first);
            Ok([one?, other?].map(|first| Signed::new(known.fork.before(), first)))
        };
        let known = self.facts.get(FORKS).and_then(|fact| Known::decode_all(fact).ok()).unwrap_or_default();
        let shown = known.into_iter().map(shown).collect::<Result<Vec<_>, String>>()?;
        let named = naive::branches_beside(&signed, shown.as_flattened());
        let names: BTreeMap<Link, Dot> = named.iter().map(|(link, message)| (*link, message.dot())).collect();
        match self.journal.iter().find(|record| names.get(&record.link) != Some(&record_dot(record))) {
            Some(record) => {
                Err(format!("{} is not what {:?} is called", record_dot(record), names[&record.link]))
            }
            None => Ok(named.into_iter().map(|(_, message)| message).collect()),
        }
    }

    /// The links of the messages that an actor has signed with that number.
    pub(super) fn links(&self, dot: &Dot) -> Vec<Link> {
        let branches = self.branches();
        let family: BTreeSet<Actor> = branches.family(dot.actor).chain([dot.actor]).collect();
        let held = family.iter().filter_map(|actor| self.index.get(&(*actor, dot.seq)));
        held.map(|&at| self.journal[at].link).collect()
    }

    /// Flips one bit of what chains vouch for.
    pub(super) fn rot(&mut self, random: &mut Random) {
        if self.journal.is_empty() {
            return;
        }
        let at = random.index(self.journal.len());
        let Record { link, body, .. } = &mut self.journal[at];
        let bytes = if random.per_mille(800) { &mut body[..] } else { &mut link.0[..] };
        let bit = random.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.is_rotten = true;
    }

    /// What is whole: the messages whose chain and past are there and hold, up to a signature. This is what a repair keeps.
    pub(super) fn sound(&self) -> BTreeSet<Dot> {
        if !self.is_rotten {
            return self.index.keys().map(|&(actor, seq)| Dot { actor, seq }).collect();
        }
        let mut ends = BTreeMap::new();
        loop {
            let sound = self.sound_up_to(&ends);
            let branches = self.branches();
            // What a fork hangs on the proof vouches for.
            let is_signed = |Record { actor, seq, signature, .. }: &Record| {
                signature.is_some() || branches.closed(actor) == Some(*seq)
            };
            let heads: BTreeMap<Actor, u64> = sound.iter().map(|dot| (dot.actor, dot.seq)).collect();
            let signed = |record: &&Record| is_signed(record) && sound.contains(&record_dot(record));
            let mut signed_heads: BTreeMap<Actor, u64> = BTreeMap::new();
            for Record { actor, seq, .. } in self.journal.iter().filter(signed) {
                signed_heads.entry(*actor).and_modify(|head| *head = (*head).max(*seq)).or_insert(*seq);
            }
            let signed_head = |actor: &Actor| signed_heads.get(actor).copied().unwrap_or(0);
            if heads.iter().all(|(actor, head)| signed_head(actor) == *head) {
                return sound;
            }
            // Nobody would take a message that nobody vouches for, nor what was built on it.
            ends = heads.keys().map(|actor| (*actor, signed_head(actor))).collect();
        }
    }

    /// The messages whose chain and past are there and hold; of some actors none after a number.
    fn sound_up_to(&self, ends: &BTreeMap<Actor, u64>) -> BTreeSet<Dot> {
        let mut links: BTreeMap<Dot, Link> = BTreeMap::new();
        let branches = self.branches();
        for record in &self.journal {
            let Record { actor, seq, link, body, .. } = record;
            if ends.get(actor).is_some_and(|end| seq > end) {
                continue;
            }
            let mut last = Dot { actor: *actor, seq: seq - 1 };
            if let Some(branch) = branches.get(actor).filter(|branch| branch.base == last.seq) {
                last.actor = branch.parent;
            }
            let before = match self.has_forgotten(&last) || last.seq == 0 {
                true => self.link(actor, seq - 1),
                false => links.get(&last).copied(),
            };
            let Ok(message) = Message::decode(*actor, body) else { continue };
            let holds = |head: &crate::message::Head| {
                let dot = branches.find(head, |dot| links.get(dot).map(Link::short));
                self.has_forgotten(&dot) || links.get(&dot).is_some_and(|link| link.short() == head.link)
            };
            let follows = before.is_some_and(|before| before.next(body) == *link);
            if follows && message.seq == *seq && message.clock.iter().all(holds) {
                links.insert(record_dot(record), *link);
            }
        }
        links.into_keys().collect()
    }

    /// Keeps what is whole, and says whether something was lost.
    pub(super) fn repair(&mut self) -> bool {
        let sound = self.sound();
        let before = self.journal.len();
        self.journal.retain(|record| sound.contains(&record_dot(record)));
        self.number_records();
        self.is_rotten = false;
        self.kept = None;
        self.journal.len() < before
    }

    /// Loses everything, as a disk does that is replaced.
    pub(super) fn lose_all(&mut self) {
        self.journal.clear();
        self.number_records();
        self.frontier = Frontier::default();
        self.facts.clear();
        self.kept = None;
    }

    /// What was written when a crash came, though nobody was told.
    pub(super) fn keep_unconfirmed(&mut self, records: impl Iterator<Item = Record>) {
        records.for_each(|record| self.push(record));
    }

    fn push(&mut self, record: Record) {
        let at = self.journal.len();
        if self.has_forgotten(&record_dot(&record)) {
            return;
        }
        if *self.index.entry((record.actor, record.seq)).or_insert(at) == at {
            self.journal.push(record);
        }
    }

    /// Changes what is on it, all or nothing.
    fn write(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), StoreError> {
        let failure = self.failure();
        if self.is_poisoned {
            return Err(StoreError::Failed("it failed before".to_owned()));
        }
        match failure {
            _ if self.is_full => return Err(StoreError::Full),
            Some(Failure::Full) => return Err(StoreError::Full),
            Some(Failure::Nothing | Failure::Everything) => self.is_poisoned = true,
            None => {}
        }
        if failure != Some(Failure::Nothing) {
            change(self);
        }
        match self.is_poisoned {
            true => Err(StoreError::Failed("input/output error".to_owned())),
            false => Ok(()),
        }
    }

    fn number_records(&mut self) {
        let places = self.journal.iter().enumerate();
        self.index = places.map(|(at, record)| ((record.actor, record.seq), at)).collect();
    }

    fn failure(&mut self) -> Option<Failure> {
        self.calls += 1;
        self.failures.remove(&self.calls)
    }
}

fn record_dot(record: &Record) -> Dot {
    Dot { actor: record.actor, seq: record.seq }
}

impl Store for SimDisk {
    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.write(|disk| records.iter().for_each(|record| disk.push(record.clone())))
    }

    fn read(&mut self, actor: &Actor, from: u64, to: u64) -> Result<Vec<Record>, StoreError> {
        if matches!(self.failure(), Some(Failure::Nothing | Failure::Everything)) {
            return Err(StoreError::Failed("input/output error".to_owned()));
        }
        let found = self.index.range((*actor, from)..=(*actor, to));
        let found: Vec<Record> = found.map(|(_, &at)| self.journal[at].clone()).collect();
        let linked = |pair: &[Record]| pair[0].link.next(&pair[1].body) == pair[1].link;
        let before = self.link(actor, from.saturating_sub(1));
        let begins = |first: &Record| before.is_none_or(|before| before.next(&first.body) == first.link);
        if self.is_rotten && !(found.windows(2).all(linked) && found.first().is_none_or(begins)) {
            return Err(StoreError::Damaged("a message does not follow from what is before it".to_owned()));
        }
        Ok(found)
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), StoreError> {
        let _ = self.journal.iter().cloned().try_for_each(visit);
        Ok(())
    }

    fn forget(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        self.write(|disk| {
            disk.journal.retain(|record| forgetting.keeps(&record_dot(record)));
            disk.number_records();
            disk.kept = None;
            disk.frontier = forgetting.frontier.clone();
            disk.facts.insert(GROUND.to_owned(), forgetting.ground.clone());
            disk.facts.insert(OUTSIDE.to_owned(), forgetting.outside.clone());
        })
    }

    fn rename(&mut self, renames: &[Rename], forks: &[u8]) -> Result<(), StoreError> {
        self.write(|disk| {
            for record in &mut disk.journal {
                let name = |dot, rename: &Rename| rename.of(dot);
                record.actor = renames.iter().fold(record_dot(record), name).actor;
            }
            disk.number_records();
            disk.kept = None;
            disk.facts.insert(FORKS.to_owned(), forks.to_vec());
        })
    }

    fn keep(&mut self, snapshot: &[u8], heads: &[(Actor, u64, Link)]) -> Result<bool, StoreError> {
        let mut held: BTreeMap<Actor, (u64, Link)> = BTreeMap::new();
        self.journal.iter().for_each(|record| _ = held.insert(record.actor, (record.seq, record.link)));
        let is_of_these =
            heads.iter().copied().eq(held.into_iter().map(|(actor, (seq, link))| (actor, seq, link)));
        if is_of_these {
            self.kept = Some((snapshot.to_vec(), self.journal.len()));
        }
        Ok(is_of_these)
    }

    fn kept(&mut self) -> Result<Option<Kept>, StoreError> {
        let Some((snapshot, records)) = self.kept.clone().filter(|_| !self.is_rotten) else {
            return Ok(None);
        };
        let mut bodies: BTreeMap<Actor, Vec<&[u8]>> = BTreeMap::new();
        for record in &self.journal[..records] {
            bodies.entry(record.actor).or_default().push(&record.body);
        }
        let pack = |(&actor, bodies): (&Actor, &Vec<&[u8]>)| Stretch::pack(actor, 1, bodies);
        let history = bodies.iter().map(pack).collect::<Result<Vec<_>, _>>();
        let history = history.map_err(|error| StoreError::Failed(error.to_string()))?.concat();
        Ok(Some(Kept { snapshot, history }))
    }

    fn scan_after_kept(
        &mut self,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let records = self.kept.as_ref().map_or(0, |(_, records)| *records);
        let _ = self.journal[records..].iter().cloned().try_for_each(visit);
        Ok(())
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(|disk| _ = disk.facts.insert(name.to_owned(), value.to_vec()))
    }

    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.facts.get(name).cloned())
    }
}
