//! What is done to a store, step by step, and what must be in it after each: one from each seed.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use rtc_core::branch::Known;
use rtc_core::chain::{Keys, Link, Signature};
use rtc_core::fork::Fork;
use rtc_core::horizon::{Cut, Frontier};
use rtc_core::id::{Actor, Dot, PeerKey, RoomId};
use rtc_core::message::Message;
use rtc_core::store::{FORKS, Forgetting, GROUND, Record, Rename, Store};
use rtc_core::sync::Run;
use rtc_core::ticket::Secret;
use rtc_daemon::store::SqliteStore;

use crate::chance::Chance;

const ROOM: RoomId = RoomId([7; 32]);
/// The fact that steps set.
const FACT: &str = "remembered";
/// The actors that write.
const ACTORS: [&str; 3] = ["ada", "bob", "eve"];
/// The one of them who turns out to have forked.
const FORKER: usize = 1;

/// One thing done to a store. When it returns, it is done for good.
pub(crate) enum Step {
    Append(Vec<Record>),
    SetFact(Vec<u8>),
    /// Put away what is known of the messages so far.
    Keep {
        snapshot: Vec<u8>,
        heads: Vec<(Actor, u64, Link)>,
    },
    /// Put what is left of the first so many messages in their place.
    Forget {
        messages: usize,
        forgetting: Forgetting,
    },
    /// Learn that messages are of a branch.
    Rename {
        renames: Vec<Rename>,
        forks: Vec<u8>,
    },
    /// Pack all that can be packed.
    Pack,
    /// Close and open.
    Reopen,
}

/// What kind of steps there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Few messages a commit, many commits: the log is brought home again and again.
    Commits,
    /// Many messages, of which the old ones are packed.
    Packing,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::Packing => "packing",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        if name == "packing" { Self::Packing } else { Self::Commits }
    }
}

/// Steps, and their messages one after the other, by the names that they have when they are appended.
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) records: Vec<Record>,
    names: [Actor; ACTORS.len()],
    heads: [(u64, Link); ACTORS.len()],
    /// How many messages the next step that forgets puts away, and what they were.
    old: (usize, Frontier),
    chance: Chance,
}

/// What is in a store.
struct Held<'a> {
    /// Which of the messages.
    messages: Range<usize>,
    fact: Option<&'a [u8]>,
    kept: Option<&'a [u8]>,
    ground: Option<&'a [u8]>,
    renames: &'a [Rename],
}

impl Script {
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        let heads = ACTORS.map(|name| (0, Link::origin(&ROOM, &Actor::from_name(name))));
        let old = (0, Frontier::default());
        let (steps, records, chance) = (Vec::new(), Vec::new(), Chance::new(seed));
        let names = ACTORS.map(Actor::from_name);
        let mut script = Self { steps, records, names, heads, old, chance };
        match kind {
            Kind::Commits => {
                script.commits(360);
                script.fork(20);
                script.commits(60);
            }
            Kind::Packing => {
                for _ in 0..2 {
                    script.append(0, 3_000, 24);
                    script.append(1, 200, 300);
                    script.append(0, 2_400, 24);
                    script.commits(12);
                    script.keep();
                    script.steps.push(Step::Pack);
                    script.commits(12);
                    script.forget();
                }
                script.append(FORKER, 2_000, 24);
                script.fork(4_500);
                script.steps.push(Step::Pack);
                script.commits(12);
            }
        }
        script
    }

    /// More steps after those: what is done after a cut.
    pub(crate) fn commits(&mut self, count: usize) {
        for _ in 0..count {
            let (actor, bytes) = (self.chance.below(ACTORS.len()), 20 + self.chance.below(1_500));
            match self.chance.below(40) {
                0 => self.steps.push(Step::Reopen),
                // Rooms with branches are not put away, and forget by other rules.
                4 | 5 if self.has_forked() => self.steps.push(Step::Reopen),
                4 => self.keep(),
                5 => self.forget(),
                1 => self.append(actor, 30, bytes),
                2 | 3 => {
                    let value = self.chance.next().to_be_bytes().repeat(1 + bytes / 8);
                    self.steps.push(Step::SetFact(value));
                }
                _ => self.append(actor, 1, bytes),
            }
        }
    }

    fn append(&mut self, actor: usize, count: usize, bytes: usize) {
        let (seq, link) = &mut self.heads[actor];
        let mut batch = Vec::new();
        for _ in 0..count {
            *seq += 1;
            let body = self.chance.next().to_be_bytes().repeat(1 + bytes / 8);
            *link = link.next(&body);
            let signature = (batch.len() % 7 == 6 || batch.len() + 1 == count).then_some(Signature([5; 64]));
            batch.push(Record { actor: self.names[actor], seq: *seq, link: *link, body, signature });
        }
        self.records.extend(batch.iter().cloned());
        self.steps.push(Step::Append(batch));
    }

    /// Lets one of them make a message that turns out to be one of two, and `count` more, some of which are packed before that is learnt.
    fn fork(&mut self, count: usize) {
        let (before, link) = self.heads[FORKER];
        let (actor, seq) = (self.names[FORKER], before + 1);
        let [one, other] = [1, 2].map(|lamport| {
            let (clock, time_ms, request, note, ops) = (vec![], None, None, None, vec![]);
            Message { actor, seq, lamport, clock, time_ms, request, note, ops }.encode()
        });
        let runs = [&one, &other].map(|body| Run {
            actor,
            first: seq,
            bodies: [body.clone()].into_iter().collect(),
            signature: Signature([0; 64]),
        });
        let fork = Fork::prove(&ROOM, link, runs, &Trusting).expect("they part");
        let first = link.next(&one);
        self.heads[FORKER] = (seq, first);
        let batch = vec![Record { actor, seq, link: first, body: one, signature: Some(Signature([5; 64])) }];
        self.records.extend(batch.iter().cloned());
        self.steps.push(Step::Append(batch));
        self.append(FORKER, count, 24);
        self.steps.push(Step::Pack);
        let to = fork.branch_of(&first).expect("it is one of both");
        self.names[FORKER] = to;
        let forks = Known::encode_all([Known { fork, parent: Some(actor) }].iter());
        self.steps.push(Step::Rename { renames: vec![Rename { from: actor, seq, to }], forks });
    }

    fn has_forked(&self) -> bool {
        self.names != ACTORS.map(Actor::from_name)
    }

    /// Forgets what there was when that was last done.
    fn forget(&mut self) {
        let cut = |(name, &(seq, link)): (&&str, &(u64, Link))| {
            (Actor::from_name(name), Cut { seq, lamport: seq, link })
        };
        let heads = ACTORS.iter().zip(&self.heads).filter(|(_, (seq, _))| *seq > 0);
        let now = (self.records.len(), heads.map(cut).collect());
        let (messages, frontier) = std::mem::replace(&mut self.old, now);
        let ground = self.chance.next().to_be_bytes().repeat(1 + self.chance.below(2_000));
        let outside_from = BTreeMap::new();
        let forgetting = Forgetting { ground, outside: Vec::new(), frontier, outside_from };
        self.steps.push(Step::Forget { messages, forgetting });
    }

    fn keep(&mut self) {
        let heads = ACTORS.iter().zip(&self.heads).filter(|(_, (seq, _))| *seq > 0);
        let heads = heads.map(|(name, &(seq, link))| (Actor::from_name(name), seq, link)).collect();
        let snapshot = self.chance.next().to_be_bytes().repeat(1 + self.chance.below(2_000));
        self.steps.push(Step::Keep { snapshot, heads });
    }

    /// What a store holds after that many steps.
    fn after(&self, steps: usize) -> Held<'_> {
        let mut held = Held { messages: 0..0, fact: None, kept: None, ground: None, renames: &[] };
        for step in &self.steps[..steps] {
            match step {
                Step::Append(batch) => held.messages.end += batch.len(),
                Step::SetFact(value) => held.fact = Some(value),
                Step::Keep { snapshot, .. } => held.kept = Some(snapshot),
                Step::Forget { messages, forgetting } => {
                    held.messages.start = *messages;
                    (held.kept, held.ground) = (None, Some(&forgetting.ground[..]));
                }
                Step::Rename { renames, .. } => (held.kept, held.renames) = (None, renames),
                Step::Pack | Step::Reopen => {}
            }
        }
        held
    }

    /// Does the steps from `from` on, and says after each how many are done.
    pub(crate) fn carry_out(&self, dir: &Path, from: usize, mut done: impl FnMut(usize)) {
        let mut store = Some(open(dir));
        for (at, step) in self.steps.iter().enumerate().skip(from) {
            let held = store.as_mut().expect("it is open");
            match step {
                Step::Append(batch) => held.append(batch).expect("it is appended"),
                Step::SetFact(value) => held.set_fact(FACT, value).expect("it is remembered"),
                Step::Keep { snapshot, heads } => assert!(held.keep(snapshot, heads).expect("it is kept")),
                Step::Forget { forgetting, .. } => held.forget(forgetting).expect("it is forgotten"),
                Step::Rename { renames, forks } => held.rename(renames, forks).expect("it is renamed"),
                Step::Pack => while held.pack().expect("it is packed") {},
                Step::Reopen => {
                    drop(store.take());
                    store = Some(open(dir));
                }
            }
            done(at + 1);
        }
    }

    /// Checks what a cut left of this script of which `done` steps were acknowledged; then goes on from there, as a daemon would, and
    /// looks whether that lasts. Returns how many steps survived.
    pub(crate) fn check(&self, dir: &Path, done: usize, thoroughly: bool) -> usize {
        let mut store = open(dir);
        let (found, fact) = (scanned(&mut store), store.fact(FACT).expect("facts are read"));
        let kept = store.kept().expect("what was put away is read").map(|kept| kept.snapshot);
        let ground = store.fact(GROUND).expect("facts are read");
        let has_forked = store.fact(FORKS).expect("facts are read").is_some();
        let fits = |steps: &usize| {
            let held = self.after(*steps);
            (found.len(), fact.as_deref(), kept.as_deref(), ground.as_deref(), has_forked)
                == (held.messages.len(), held.fact, held.kept, held.ground, !held.renames.is_empty())
        };
        // The step after those that were acknowledged may be there, whole.
        let survived = (done..=self.steps.len().min(done + 1)).find(fits).unwrap_or_else(|| {
            panic!(
                "{} messages are left after {done} steps, {:?} were acknowledged",
                found.len(),
                self.after(done).messages
            )
        });
        let Held { messages: Range { start, end }, renames, .. } = self.after(survived);
        let renamed = |record: &Record| {
            let dot = Dot { actor: record.actor, seq: record.seq };
            Record { actor: renames.iter().fold(dot, |dot, rename| rename.of(dot)).actor, ..record.clone() }
        };
        let written: Vec<Record> = self.records[start..end].iter().map(renamed).collect();
        assert!(same(&found, &written), "what is left is what was written");
        if thoroughly {
            while store.pack().expect("it can be packed") {}
            assert!(same(&scanned(&mut store), &found), "packing changes nothing");
            for actor in self.names.into_iter().chain(ACTORS.map(Actor::from_name)) {
                let read = store.read(&actor, 1, u64::MAX).expect("it is read");
                let of_actor: Vec<_> = found.iter().filter(|record| record.actor == actor).cloned().collect();
                assert!(same(&read, &of_actor), "{actor}'s messages are read");
            }
        }
        // Before the fork is learnt nothing is by the name of its branch.
        let is_known =
            |record: &&Record| !renames.is_empty() || ACTORS.map(Actor::from_name).contains(&record.actor);
        let next: Vec<Record> = self.records[end..].iter().take(1).filter(is_known).map(renamed).collect();
        store.append(&next).expect("it can be written");
        store.set_fact(FACT, b"after the cut").expect("it can be written");
        drop(store);
        let mut store = open(dir);
        assert_eq!(scanned(&mut store).len(), found.len() + next.len());
        assert_eq!(store.fact(FACT).expect("facts are read").as_deref(), Some(&b"after the cut"[..]));
        survived
    }
}

/// Takes every signature for good: who signed is no matter of the disk.
struct Trusting;

impl Keys for Trusting {
    fn public(&self) -> PeerKey {
        PeerKey([0; 32])
    }

    fn sign(&self, _: &Link) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: &PeerKey, _: &Link, _: &Signature) -> bool {
        true
    }

    fn unseal(&self, _: &PeerKey, _: &RoomId, _: &[u8]) -> Option<Secret> {
        None
    }
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(&dir.join("room.db"), ROOM).unwrap_or_else(|error| panic!("it does not open: {error}"))
}

fn scanned(store: &mut SqliteStore) -> Vec<Record> {
    let mut all = Vec::new();
    let visit = &mut |record| {
        all.push(record);
        ControlFlow::Continue(())
    };
    store.scan(visit).unwrap_or_else(|error| panic!("it is damaged: {error}"));
    all
}

/// Whether these are the same messages: packing keeps only the signatures that end runs.
fn same(one: &[Record], other: &[Record]) -> bool {
    let equal = |(a, b): (&Record, &Record)| {
        (a.actor, a.seq, a.link, &a.body) == (b.actor, b.seq, b.link, &b.body)
            && (a.signature.is_none() || a.signature == b.signature)
    };
    one.len() == other.len() && one.iter().zip(other).all(equal)
}
