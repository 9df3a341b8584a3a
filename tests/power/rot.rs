//! One flipped bit anywhere in the file of a room that is packed and in which somebody has forked: found or harmless, never served, and
//! mended from a sound copy.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rtc_core::branch::Known;
use rtc_core::chain::{Ed25519, Keys, Link};
use rtc_core::fork::Fork;
use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::store::{Record, Rename, Store};
use rtc_core::sync::Run;
use rtc_core::ticket::Secret;
use rtc_core::value::Value;
use rtc_daemon::store::SqliteStore;
use rtc_daemon::store::examine::examine;
use rtc_daemon::store::rebuild::renew;

use crate::chance::{self, Chance};

const ROOM: RoomId = RoomId([7; 32]);
const SECRET: Secret = Secret([9; 32]);
const FLIPS: usize = 100;

/// Every message, by author and number.
type Written = BTreeMap<(Actor, u64), Record>;

/// An author of real messages.
struct Author {
    keys: Ed25519,
    actor: Actor,
    link: Link,
    seq: u64,
}

impl Author {
    fn new(seed: u8) -> Self {
        let keys = Ed25519::from_seed(&[seed; 32]);
        let actor = Actor::new(keys.public(), 1);
        Self { keys, actor, link: Link::origin(&ROOM, &actor), seq: 0 }
    }

    /// The next message; it has seen what `clock` says, the greatest lamport of which is `lamport` - 1.
    fn write(&mut self, lamport: u64, clock: Vec<Head>, signs: bool) -> Record {
        self.seq += 1;
        let op = Op {
            code: OpCode::named("number.add").expect("an operation"),
            key: "scene".into(),
            path: Some("x".into()),
            value: Value::number(1.0).expect("it is finite"),
            options: BTreeMap::new(),
        };
        let (actor, seq) = (self.actor, self.seq);
        let (time_ms, request, note) = (Some(1_700_000_000_000 + seq), None, None);
        let body = Message { actor, seq, lamport, clock, time_ms, request, note, ops: vec![op] }.encode();
        self.link = self.link.next(&body);
        let signature = signs.then(|| self.keys.sign(&self.link));
        Record { actor, seq, link: self.link, body, signature }
    }
}

/// The messages of an author who forks: as they are held before that is known, those of the other branch by its name, what is called
/// otherwise, and the fact that says why.
fn fork(seen: Head) -> (Vec<Record>, Vec<Record>, Rename, Vec<u8>) {
    let mut eve = Author::new(4);
    let mut held: Vec<Record> = (1..=10).map(|n| eve.write(n, Vec::new(), n == 10)).collect();
    let Author { actor, link, seq, .. } = eve;
    let mut twin = Author { link, seq, ..Author::new(4) };
    let one: Vec<Record> = (11..=50).map(|n| eve.write(n, Vec::new(), n == 11 || n == 50)).collect();
    let other = (1..=40).map(|n| {
        let clock = if n == 1 { vec![seen] } else { Vec::new() };
        twin.write(4_400 + n, clock, n == 1 || n == 40)
    });
    let other: Vec<Record> = other.collect();
    let runs = [&one[0], &other[0]].map(|first| Run {
        actor,
        first: first.seq,
        bodies: [first.body.clone()].into_iter().collect(),
        signature: first.signature.expect("it is signed"),
    });
    let fork = Fork::prove(&ROOM, link, runs, &eve.keys).expect("they part");
    let name = |first: &Record| fork.branch_of(&first.link).expect("it is one of both");
    let rename = Rename { from: actor, seq: seq + 1, to: name(&one[0]) };
    let name = name(&other[0]);
    let other = other.into_iter().map(|record| Record { actor: name, ..record }).collect();
    held.extend(one);
    (held, other, rename, Known::encode_all([Known { fork, parent: Some(actor) }].iter()))
}

/// A room of three authors, one of them packed and one of them two since some number, in `file`.
fn write_room(file: &Path) -> Written {
    let (mut ada, mut bob) = (Author::new(1), Author::new(2));
    let mut records: Vec<Record> =
        (1..=4_400).map(|n| ada.write(n, Vec::new(), n % 50 == 0 || n == 4_400)).collect();
    let head = Head { actor: ada.actor, seq: 4_400, link: ada.link.short() };
    records.extend((1..=100).map(|n| {
        let clock = if n == 1 { vec![head] } else { Vec::new() };
        bob.write(4_400 + n, clock, n % 50 == 0)
    }));
    let (forked, other, rename, forks) = fork(head);
    let mut store = SqliteStore::open(file, ROOM).expect("it opens");
    store.append(&[&records[..], &forked].concat()).expect("it is appended");
    store.rename(&[rename], &forks).expect("it is renamed");
    store.append(&other).expect("it is appended");
    let name = |record: Record| {
        let dot = rename.of(Dot { actor: record.actor, seq: record.seq });
        Record { actor: dot.actor, ..record }
    };
    records.extend(forked.into_iter().map(name).chain(other));
    store.set_fact("secret", &SECRET.0).expect("it is remembered");
    while store.pack().expect("it is packed") {}
    records.into_iter().map(|record| ((record.actor, record.seq), record)).collect()
}

#[test]
fn a_flipped_bit_in_a_packed_room_is_found_never_served_and_mended() {
    let seed = chance::seed();
    let mut chance = Chance::new(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let sound = dir.path().join("sound.db");
    let written = write_room(&sound);
    let bytes = fs::read(&sound).expect("the room");
    // Nobody's of the two: what is signed by others cannot be signed again.
    let keys: Arc<dyn Keys> = Arc::new(Ed25519::from_seed(&[3; 32]));
    let whole = examine(&sound, ROOM, &keys).expect("it opens");
    assert!(whole.faults.is_empty() && whole.messages == written.len() as u64, "{whole:?}");
    let (mut found, flips) = (0, FLIPS * chance::soak());
    for _ in 0..flips {
        let (at, bit) = (chance.below(bytes.len()), chance.below(8));
        let what = format!("bit {bit} of byte {at}, seed {seed}");
        let rotten = dir.path().join("rotten");
        let _ = fs::remove_dir_all(&rotten);
        fs::create_dir(&rotten).expect("a directory");
        let file = rotten.join("room.db");
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        fs::write(&file, &flipped).expect("it is written");
        let examined = examine(&file, ROOM, &keys);
        fs::write(&file, &flipped).expect("as it was before it was opened");
        let held = served(&file, &written, &what);
        if examined.is_ok_and(|examined| examined.faults.is_empty()) {
            assert_eq!(held, Some(written.len()), "{what}: nothing is found, and something is missing");
            continue;
        }
        found += 1;
        fs::write(&file, &flipped).expect("as it was before it was opened");
        let renew =
            |beside: &[PathBuf]| renew(&rotten, beside, ROOM, Some(SECRET), &keys, &AtomicBool::new(false));
        let kept = renew(&[]).expect("what is whole is kept");
        assert_eq!(served(&file, &written, &what), usize::try_from(kept.messages).ok(), "{what}");
        let mended = examine(&file, ROOM, &keys).expect("it opens");
        assert!(mended.faults.is_empty(), "{what}: {mended:?}");
        let all = renew(std::slice::from_ref(&sound));
        assert_eq!(all.expect("a sound copy has the rest").messages, written.len() as u64, "{what}");
    }
    chance::say(&format!("{flips} flips in a packed room, {found} found, the others harmless; seed {seed}"));
    assert!(found > 0, "something that matters is hit");
}

/// Reads what the file gives: nothing that was not written. Says how much, where it was read to the end.
fn served(file: &Path, written: &Written, what: &str) -> Option<usize> {
    let mut store = SqliteStore::open(file, ROOM).ok()?;
    let mut count = 0;
    let scanned = store.scan(&mut |record| {
        let there = &written[&(record.actor, record.seq)];
        assert!(record.link == there.link && record.body == there.body, "{what}: another message is served");
        count += 1;
        ControlFlow::Continue(())
    });
    scanned.ok().map(|()| count)
}
