//! What is done to a store, step by step, and what must be in it after each: one from each seed.

use std::ops::ControlFlow;
use std::path::Path;

use rtc_core::chain::{Link, Signature};
use rtc_core::id::{Actor, RoomId};
use rtc_core::store::{Record, Store};
use rtc_daemon::store::SqliteStore;

use crate::chance::Chance;

const ROOM: RoomId = RoomId([7; 32]);
/// The fact that steps set.
const FACT: &str = "remembered";
/// The actors that write.
const ACTORS: [&str; 3] = ["ada", "bob", "eve"];

/// One thing done to a store. When it returns, it is done for good.
pub(crate) enum Step {
    Append(Vec<Record>),
    SetFact(Vec<u8>),
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

/// Steps, and their messages one after the other.
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) records: Vec<Record>,
    heads: [(u64, Link); ACTORS.len()],
    chance: Chance,
}

impl Script {
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        let heads = ACTORS.map(|name| (0, Link::origin(&ROOM, &Actor::from_name(name))));
        let mut script = Self { steps: Vec::new(), records: Vec::new(), heads, chance: Chance::new(seed) };
        match kind {
            Kind::Commits => script.commits(420),
            Kind::Packing => {
                for _ in 0..2 {
                    script.append(0, 3_000, 24);
                    script.append(1, 200, 300);
                    script.append(0, 2_400, 24);
                    script.commits(12);
                    script.steps.push(Step::Pack);
                    script.commits(12);
                }
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
            let actor = Actor::from_name(ACTORS[actor]);
            batch.push(Record { actor, seq: *seq, link: *link, body, signature });
        }
        self.records.extend(batch.iter().cloned());
        self.steps.push(Step::Append(batch));
    }

    /// What a store holds after that many steps: how many of the messages, and the fact.
    pub(crate) fn after(&self, steps: usize) -> (usize, Option<&[u8]>) {
        let (mut messages, mut fact) = (0, None);
        for step in &self.steps[..steps] {
            match step {
                Step::Append(batch) => messages += batch.len(),
                Step::SetFact(value) => fact = Some(&value[..]),
                Step::Pack | Step::Reopen => {}
            }
        }
        (messages, fact)
    }

    /// Does the steps from `from` on, and says after each how many are done.
    pub(crate) fn carry_out(&self, dir: &Path, from: usize, mut done: impl FnMut(usize)) {
        let mut store = Some(open(dir));
        for (at, step) in self.steps.iter().enumerate().skip(from) {
            let held = store.as_mut().expect("it is open");
            match step {
                Step::Append(batch) => held.append(batch).expect("it is appended"),
                Step::SetFact(value) => held.set_fact(FACT, value).expect("it is remembered"),
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
        let fits = |steps: &usize| {
            let (messages, value) = self.after(*steps);
            found.len() == messages && fact.as_deref() == value
        };
        // The step after those that were acknowledged may be there, whole.
        let survived = (done..=self.steps.len().min(done + 1)).find(fits).unwrap_or_else(|| {
            panic!(
                "{} messages are left after {done} steps, {} were acknowledged",
                found.len(),
                self.after(done).0
            )
        });
        assert!(same(&found, &self.records[..found.len()]), "what is left is what was written");
        if thoroughly {
            while store.pack().expect("it can be packed") {}
            assert!(same(&scanned(&mut store), &found), "packing changes nothing");
            for name in ACTORS {
                let actor = Actor::from_name(name);
                let read = store.read(&actor, 1, u64::MAX).expect("it is read");
                let of_actor: Vec<_> = found.iter().filter(|record| record.actor == actor).cloned().collect();
                assert!(same(&read, &of_actor), "{name}'s messages are read");
            }
        }
        let next = &self.records[found.len()..];
        let next = &next[..next.len().min(1)];
        store.append(next).expect("it can be written");
        store.set_fact(FACT, b"after the cut").expect("it can be written");
        drop(store);
        let mut store = open(dir);
        assert_eq!(scanned(&mut store).len(), found.len() + next.len());
        assert_eq!(store.fact(FACT).expect("facts are read").as_deref(), Some(&b"after the cut"[..]));
        survived
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
