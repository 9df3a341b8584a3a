//! Rooms that forget (DESIGN §3, law 14): a keeper writes a horizon, everybody stands on it, late ones are handed the ground, and what was
//! outside is issued again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use rtc_core::api::{ApiError, Code, Compact, Compacted, Edit, EditOp, Undo, Wait};
use rtc_core::chain::{Ed25519, Keys};
use rtc_core::founding::Founding;
use rtc_core::id::{Dot, StateHash};
use rtc_core::room::{Input, Opening, Output, Refusal, Room};
use rtc_core::sim::{Random, SimDisk};
use rtc_core::store::{GROUND, MEMBERS, OUTSIDE, POLICY, Store};
use rtc_core::sync::{LinkId, Now, RoomFrame};
use rtc_core::value::Value;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Daemons of one room, with the connections between them; the first is the keeper's.
struct World {
    peers: Vec<Peer>,
    /// What is under way, from whom to whom.
    frames: VecDeque<(usize, usize, RoomFrame)>,
    refused: Vec<Refusal>,
    ms: u64,
    epochs: u64,
    /// Whether what a horizon permits reaches the disks.
    forgets: bool,
}

struct Peer {
    keys: Arc<Ed25519>,
    room: Room,
    disk: SimDisk,
    told: Option<(u64, u64)>,
    links: Vec<usize>,
    started_ms: u64,
}

fn keys(index: usize) -> Arc<Ed25519> {
    Arc::new(Ed25519::from_seed(&[u8::try_from(index).unwrap() + 1; 32]))
}

fn founding() -> Founding {
    Founding { owner: keys(0).public(), nonce: [0; 16], name: "test".into(), time_ms: 0 }
}

impl World {
    fn new(count: usize) -> Self {
        let mut world = Self {
            peers: Vec::new(),
            frames: VecDeque::new(),
            refused: Vec::new(),
            ms: 1_000,
            epochs: 0,
            forgets: true,
        };
        for _ in 0..count {
            world.add();
        }
        world
    }

    fn add(&mut self) -> usize {
        let index = self.peers.len();
        self.epochs += 1;
        let room = Room::open(opening(index, self.epochs, None));
        let disk = SimDisk::default();
        self.peers.push(Peer {
            keys: keys(index),
            room,
            disk,
            told: None,
            links: Vec::new(),
            started_ms: self.ms,
        });
        index
    }

    /// The time as a daemon has it.
    fn now(&self, peer: usize) -> Now {
        let started_ms = self.peers[peer].started_ms;
        Now { monotonic_us: (self.ms - started_ms) * 1000, wall_ms: self.ms }
    }

    fn give(&mut self, peer: usize, input: Input) -> Vec<Result<Dot, ApiError>> {
        let mut out = Vec::new();
        let now = self.now(peer);
        self.peers[peer].room.handle(input, now, &mut out);
        self.peers[peer].room.handle(Input::Flush, now, &mut out);
        self.carry_out(peer, out)
    }

    fn carry_out(&mut self, peer: usize, out: Vec<Output>) -> Vec<Result<Dot, ApiError>> {
        let mut replies = Vec::new();
        for output in out {
            let held = &mut self.peers[peer];
            match output {
                Output::Number { epoch, seq } => held.told = Some((epoch, seq)),
                Output::Store { batch, records } => {
                    held.disk.append(&records).unwrap();
                    replies.extend(self.give(peer, Input::Committed { batch }));
                }
                Output::Forget(forgetting) if self.forgets => held.disk.forget(&forgetting).unwrap(),
                Output::Forget(_) => {}
                Output::Fact { name, value } => held.disk.set_fact(name, &value).unwrap(),
                Output::Read { link, ranges } => {
                    let records = ranges
                        .iter()
                        .flat_map(|(actor, from, to)| held.disk.read(actor, *from, *to).unwrap());
                    let records = records.collect();
                    replies.extend(self.give(peer, Input::Read { link, records }));
                }
                Output::Send { link, frame, .. } => {
                    let to = usize::try_from(link.0).unwrap();
                    self.frames.push_back((peer, to, frame));
                }
                Output::Reply { result, .. } => replies.push(result.map(|edited| edited.id)),
                Output::Refused { refusal, .. } => self.refused.push(refusal),
                Output::Event(_) | Output::Founded(_) | Output::Synced { .. } => {}
            }
        }
        replies
    }

    fn join(&mut self, a: usize, b: usize) {
        for (at, to) in [(a, b), (b, a)] {
            self.peers[at].links.push(to);
            let peer = self.peers[to].keys.public();
            self.give(at, Input::PeerUp { link: LinkId(to as u64), peer });
        }
    }

    fn part(&mut self, a: usize, b: usize) {
        for (at, to) in [(a, b), (b, a)] {
            self.peers[at].links.retain(|other| *other != to);
            self.give(at, Input::PeerDown { link: LinkId(to as u64) });
        }
        self.frames.retain(|(from, to, _)| ![(a, b), (b, a)].contains(&(*from, *to)));
    }

    /// Lets everybody talk until they hold the same, heartbeat by heartbeat.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.deliver();
            self.beat();
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some((from, to, frame)) = self.frames.pop_front() {
            if self.peers[to].links.contains(&from) {
                self.give(to, Input::Frame { link: LinkId(from as u64), frame });
            }
        }
    }

    /// Half a second passes, and everybody tells its digest.
    fn beat(&mut self) {
        self.ms += 500;
        for at in 0..self.peers.len() {
            self.give(at, Input::Wake);
            for to in self.peers[at].links.clone() {
                let digest = self.peers[at].room.digest();
                self.give(to, Input::Digest { link: LinkId(at as u64), digest });
            }
        }
    }

    fn edit(&mut self, peer: usize, otype: &str, key: &str, value: Option<(&str, Value)>) -> Dot {
        let (path, value) = value.map(|(path, value)| (path.to_owned(), value)).unzip();
        let op = EditOp { otype: otype.into(), key: key.into(), path, value, ..EditOp::default() };
        let edit = Edit { ops: vec![op], wait: Wait::Local, ..Edit::default() };
        self.give(peer, Input::Edit { token: 1, edit }).remove(0).unwrap()
    }

    fn add_one(&mut self, peer: usize) -> Dot {
        self.edit(peer, "number.add", "n", Some(("x", Value::number(1.0).unwrap())))
    }

    fn compact(&mut self, peer: usize, ask: &Compact) -> Result<Compacted, ApiError> {
        let mut out = Vec::new();
        let now = self.now(peer);
        let done = self.peers[peer].room.compact(ask, now, &mut out);
        self.carry_out(peer, out);
        done
    }

    /// Compacts everything that everybody has.
    fn compact_all(&mut self) -> Compacted {
        self.compact(0, &Compact { undo_window_ms: Some(0), ..Compact::default() }).unwrap()
    }

    /// Ends the process, and starts another from the disk.
    fn restart(&mut self, peer: usize) {
        for to in self.peers[peer].links.clone() {
            self.part(peer, to);
        }
        self.epochs += 1;
        let told = self.peers[peer].told;
        let mut room = Room::open(opening(peer, self.epochs, told));
        let disk = &mut self.peers[peer].disk;
        if let Some(ground) = disk.fact(GROUND).unwrap() {
            room.restore(&ground, &disk.fact(OUTSIDE).unwrap().unwrap()).unwrap();
        }
        for name in [MEMBERS, POLICY] {
            disk.fact(name).unwrap().iter().for_each(|value| room.recall(name, value));
        }
        let mut records = Vec::new();
        disk.scan(&mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        })
        .unwrap();
        room.load(&records).unwrap();
        self.peers[peer].room = room;
        self.peers[peer].started_ms = self.ms;
        self.give(peer, Input::Wake);
    }

    fn hash(&mut self, peer: usize) -> StateHash {
        self.peers[peer].room.replica().state_hash()
    }

    fn value(&mut self, peer: usize) -> Option<Value> {
        self.peers[peer].room.replica().value("n", "x")
    }

    fn journal(&mut self, peer: usize) -> usize {
        let mut count = 0;
        let visit = &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        };
        self.peers[peer].disk.scan(visit).unwrap();
        count
    }

    /// That everybody holds the same, stands on the same, and nothing is wrong.
    #[track_caller]
    fn check_equal(&mut self) {
        let horizon = self.peers[0].room.horizon();
        let expected = (self.hash(0), self.peers[0].room.digest());
        for peer in 0..self.peers.len() {
            assert_eq!(self.peers[peer].room.alarm(), None, "peer {peer}");
            assert_eq!(self.peers[peer].room.horizon(), horizon, "peer {peer}");
            assert_eq!((self.hash(peer), self.peers[peer].room.digest()), expected, "peer {peer}");
        }
        assert!(self.refused.is_empty(), "{:?}", self.refused);
    }
}

fn opening(index: usize, epoch_fresh: u64, epoch_proof: Option<(u64, u64)>) -> Opening {
    let (room, founding) = (founding().room(), Some(founding()));
    Opening { room, founding, keys: keys(index), epoch_fresh, epoch_proof }
}

fn number(number: f64) -> Option<Value> {
    Value::number(number)
}

/// Three who share a room with some edits of each.
fn three() -> World {
    let mut world = World::new(3);
    world.join(0, 1);
    world.join(0, 2);
    world.join(1, 2);
    world.edit(0, "node.insert", "n", None);
    world.settle();
    for peer in [0, 1, 2, 1] {
        world.add_one(peer);
        world.settle();
    }
    world
}

#[test]
fn a_horizon_makes_everybody_forget_the_same_and_go_on() {
    let mut world = three();
    let before = world.hash(0);
    let done = world.compact_all();
    assert_eq!((done.messages, done.kept, &done.waits_for[..]), (5, 0, &[][..]));
    world.settle();
    world.check_equal();
    assert_eq!((world.hash(2), world.peers[2].room.horizon()), (before, done.horizon));
    assert_eq!([0, 1, 2].map(|peer| world.journal(peer)), [1; 3], "the horizon is left");
    for peer in [2, 1, 0] {
        world.add_one(peer);
    }
    world.settle();
    world.check_equal();
    assert_eq!(world.value(1), number(7.0));
    // Again, with messages before and after.
    let again = world.compact_all();
    assert!(again.horizon.is_some() && again.messages >= 3, "{again:?}");
    world.settle();
    world.add_one(2);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(8.0));
}

#[test]
fn what_is_forgotten_stays_forgotten_over_restarts() {
    let mut world = three();
    world.compact_all();
    world.settle();
    let before = world.hash(0);
    for peer in 0..3 {
        world.restart(peer);
        assert_eq!(world.hash(peer), before, "peer {peer}");
    }
    world.join(0, 1);
    world.join(1, 2);
    for peer in 0..3 {
        world.add_one(peer);
    }
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(7.0));
}

#[test]
fn a_crash_between_a_horizon_and_what_it_permits_loses_nothing() {
    let mut world = three();
    world.forgets = false;
    world.compact_all();
    world.settle();
    let before = world.hash(0);
    world.forgets = true;
    for peer in 0..3 {
        assert_eq!(world.journal(peer), 6);
        world.restart(peer);
        assert_eq!((world.hash(peer), world.journal(peer)), (before, 1), "peer {peer}");
    }
    world.join(0, 1);
    world.join(1, 2);
    world.add_one(2);
    world.settle();
    world.check_equal();
}

#[test]
fn a_newcomer_is_handed_the_ground_and_writes_at_once() {
    let mut world = three();
    // Larger than what is sent at once, and hard to pack.
    let mut random = Random::new(1);
    for n in 0..60 {
        let text: String =
            (0..8_000).map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap())).collect();
        world.edit(0, "string.set", "n", Some((&format!("p{n}"), text.as_str().into())));
    }
    world.settle();
    let done = world.compact_all();
    assert!(done.ground_bytes > 256 * 1024);
    world.settle();
    world.add_one(1);
    world.settle();
    let late = world.add();
    world.join(late, 2);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(late), number(5.0));
    world.add_one(late);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(6.0));
    // And hands it over itself.
    world.restart(late);
    let later = world.add();
    world.join(later, late);
    world.settle();
    assert_eq!(world.hash(later), world.hash(late));
    world.join(late, 0);
    world.settle();
    world.check_equal();
}

#[test]
fn who_was_away_too_long_gets_the_ground_and_his_edits_are_issued_again() {
    let mut world = three();
    world.part(2, 0);
    world.part(2, 1);
    // Offline, with what he had.
    world.add_one(2);
    world.add_one(2);
    world.ms += 31 * DAY_MS;
    world.add_one(0);
    world.add_one(1);
    world.settle();
    let done = world.compact_all();
    assert_eq!(done.waits_for, []);
    assert_eq!(done.messages, 7);
    world.settle();
    let used = world.peers[2].told.unwrap();
    world.join(2, 1);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(8.0));
    assert_ne!(world.peers[2].told.unwrap().0, used.0, "numbers that were used are not used again");
    world.restart(2);
    world.join(2, 0);
    world.add_one(2);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(1), number(9.0));
}

#[test]
fn a_horizon_waits_for_members_that_were_seen_lately() {
    let mut world = three();
    world.part(2, 0);
    world.part(2, 1);
    world.add_one(0);
    world.add_one(1);
    world.settle();
    let done = world.compact_all();
    assert_eq!(done.waits_for, [keys(2).public()]);
    assert_eq!(done.messages, 5, "what he has goes");
    world.settle();
    world.join(2, 0);
    world.settle();
    world.check_equal();
    let done = world.compact_all();
    assert!(done.waits_for.is_empty() && done.messages >= 3, "{done:?}");
}

#[test]
fn what_is_young_stays_and_can_be_undone() {
    let mut world = three();
    world.ms += 8 * DAY_MS;
    let young = world.add_one(0);
    world.settle();
    let ask = Compact { dry_run: true, ..Compact::default() };
    let would = world.compact(0, &ask).unwrap();
    assert_eq!((would.horizon, would.messages, would.kept), (None, 5, 1));
    world.compact(0, &Compact::default()).unwrap();
    world.settle();
    let undo = Undo { target: Some(young.to_string()), wait: Wait::Local, ..Undo::default() };
    world.give(1, Input::Undo { token: 1, undo, redo: false }).remove(0).unwrap();
    world.settle();
    world.check_equal();
    assert_eq!(world.value(2), number(4.0));
}

#[test]
fn only_the_keeper_lets_history_go_and_keeps_his_policy() {
    let mut world = three();
    assert_eq!(world.compact(1, &Compact::default()).unwrap_err().code, Code::ReadOnly);
    let ask = Compact { undo_window_ms: Some(5), remember: true, ..Compact::default() };
    assert_eq!(world.compact(0, &ask).unwrap().policy.undo_window_ms, 5);
    world.restart(0);
    assert_eq!(world.compact(0, &Compact::default()).unwrap().policy.undo_window_ms, 5);
}

#[test]
fn others_issue_again_what_its_author_does_not() {
    let mut world = three();
    for (a, b) in [(2, 0), (2, 1), (1, 0)] {
        world.part(a, b);
    }
    // The third one tells the second of his edit, and is never seen again.
    world.join(1, 2);
    world.add_one(2);
    world.settle();
    world.part(1, 2);
    world.add_one(0);
    world.ms += 31 * DAY_MS;
    let done = world.compact_all();
    assert_eq!(done.messages, 6);
    world.join(0, 1);
    world.settle();
    assert_eq!(world.value(0), number(5.0), "its author may still come");
    assert_eq!(world.value(0), world.value(1));
    world.restart(1);
    world.join(0, 1);
    world.ms += 61_000;
    world.settle();
    assert_eq!(world.value(0), number(6.0));
    assert_eq!(world.value(1), number(6.0));
}

#[test]
fn a_ground_that_is_not_the_horizons_is_refused_and_another_peer_is_asked() {
    let mut world = three();
    world.compact_all();
    world.settle();
    let late = world.add();
    world.join(late, 1);
    // One bit of every piece is flipped on the way.
    for _ in 0..20 {
        while let Some((from, to, mut frame)) = world.frames.pop_front() {
            if let RoomFrame::GroundPiece { bytes, .. } = &mut frame {
                bytes[0] ^= 1;
            }
            world.give(to, Input::Frame { link: LinkId(from as u64), frame });
        }
        world.beat();
    }
    assert!(world.refused.iter().all(|refusal| matches!(refusal, Refusal::Ground(_))), "{:?}", world.refused);
    assert!(!world.refused.is_empty() && world.peers[late].room.alarm().is_some());
    assert_eq!(world.peers[late].room.horizon(), None);
    world.refused.clear();
    world.part(late, 1);
    world.join(late, 2);
    world.settle();
    world.check_equal();
}

#[test]
fn rooms_that_part_and_meet_and_forget_come_to_show_the_same() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut world = three();
        let mut expected: BTreeMap<usize, u64> = BTreeMap::new();
        for _ in 0..60 {
            let (a, b) =
                (usize::try_from(random.below(3)).unwrap(), usize::try_from(random.below(3)).unwrap());
            let joined = world.peers[a].links.contains(&b);
            match random.below(10) {
                0..4 => {
                    world.add_one(a);
                    *expected.entry(a).or_default() += 1;
                }
                4 if a != b && joined => world.part(a, b),
                5 if a != b && !joined => world.join(a, b),
                6 => drop(world.compact(
                    0,
                    &Compact {
                        undo_window_ms: Some(0),
                        absence_limit_ms: Some(random.below(3) * 2_000),
                        ..Compact::default()
                    },
                )),
                7 => world.restart(a),
                8 => world.beat(),
                _ => world.deliver(),
            }
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            if !world.peers[a].links.contains(&b) {
                world.join(a, b);
            }
        }
        world.settle();
        world.check_equal();
        let sum: u64 = 4 + expected.values().sum::<u64>();
        assert_eq!(world.value(0), number(sum as f64), "seed {seed}");
    }
}
