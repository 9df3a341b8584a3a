//! Daemons of one room, their disks and the connections between them, in one place and one thread.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use rtc_core::api::{ApiError, Compact, Compacted, Edit, EditOp, Govern, Says, Wait};
use rtc_core::chain::{Ed25519, Keys};
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Dot, StateHash};
use rtc_core::room::{Input, Opening, Output, Refusal, Room};
use rtc_core::sim::SimDisk;
use rtc_core::store::{FORKS, GROUND, MEMBERS, OUTSIDE, POLICY, Store};
use rtc_core::sync::{LinkId, Now, RoomFrame};
use rtc_core::value::Value;

/// Daemons of one room, with the connections between them; the first is the keeper's.
pub(crate) struct World {
    pub(crate) peers: Vec<Peer>,
    /// What is under way, from whom to whom.
    pub(crate) frames: VecDeque<(usize, usize, RoomFrame)>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) ms: u64,
    pub(crate) epochs: u64,
    /// Whether what a horizon permits reaches the disks.
    pub(crate) forgets: bool,
    pub(crate) access: Access,
    /// The machines that are two, of which somebody has found out.
    pub(crate) forked: Vec<Dot>,
    pub(crate) may_fork: bool,
}

pub(crate) struct Peer {
    pub(crate) keys: Arc<Ed25519>,
    pub(crate) room: Room,
    pub(crate) disk: SimDisk,
    pub(crate) told: Option<(u64, u64)>,
    pub(crate) links: Vec<usize>,
    pub(crate) started_ms: u64,
}

pub(crate) fn keys(index: usize) -> Arc<Ed25519> {
    Arc::new(Ed25519::from_seed(&[u8::try_from(index).unwrap() + 1; 32]))
}

pub(crate) fn founding(access: Access) -> Founding {
    Founding { owner: keys(0).public(), nonce: [0; 16], name: "test".into(), time_ms: 0, access }
}

impl World {
    /// An open room.
    pub(crate) fn new(count: usize) -> Self {
        Self::of(Access::Open, count)
    }

    pub(crate) fn of(access: Access, count: usize) -> Self {
        let mut world = Self {
            peers: Vec::new(),
            frames: VecDeque::new(),
            refused: Vec::new(),
            ms: 1_000,
            epochs: 0,
            forgets: true,
            access,
            forked: Vec::new(),
            may_fork: false,
        };
        for _ in 0..count {
            world.add();
        }
        world
    }

    pub(crate) fn add(&mut self) -> usize {
        let index = self.peers.len();
        self.epochs += 1;
        let room = Room::open(opening(self.access, keys(index), self.epochs, None));
        let disk = SimDisk::new(room.id());
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
    pub(crate) fn now(&self, peer: usize) -> Now {
        let started_ms = self.peers[peer].started_ms;
        Now { monotonic_us: (self.ms - started_ms) * 1000, wall_ms: self.ms }
    }

    pub(crate) fn give(&mut self, peer: usize, input: Input) -> Vec<Result<Dot, ApiError>> {
        let mut out = Vec::new();
        let now = self.now(peer);
        self.peers[peer].room.handle(input, now, &mut out);
        self.peers[peer].room.handle(Input::Flush, now, &mut out);
        self.carry_out(peer, out)
    }

    pub(crate) fn carry_out(&mut self, peer: usize, out: Vec<Output>) -> Vec<Result<Dot, ApiError>> {
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
                Output::Rename { renames, forks } => held.disk.rename(&renames, &forks).unwrap(),
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
                Output::Alarm(what) => panic!("peer {peer}: {what}"),
                Output::Refused { refusal, .. } => self.refused.push(refusal),
                Output::Forked(dot) if self.may_fork => self.forked.push(dot),
                Output::Forked(dot) => panic!("peer {peer} finds a fork at {dot}"),
                Output::Event(_) | Output::Founded(_) | Output::Synced { .. } => {}
            }
        }
        replies
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        for (at, to) in [(a, b), (b, a)] {
            self.peers[at].links.push(to);
            let peer = self.peers[to].keys.public();
            self.give(at, Input::PeerUp { link: LinkId(to as u64), peer });
        }
    }

    pub(crate) fn part(&mut self, a: usize, b: usize) {
        for (at, to) in [(a, b), (b, a)] {
            self.peers[at].links.retain(|other| *other != to);
            self.give(at, Input::PeerDown { link: LinkId(to as u64) });
        }
        self.frames.retain(|(from, to, _)| ![(a, b), (b, a)].contains(&(*from, *to)));
    }

    /// Lets everybody talk until they hold the same, heartbeat by heartbeat.
    pub(crate) fn settle(&mut self) {
        for _ in 0..40 {
            self.deliver();
            self.beat();
        }
        self.deliver();
    }

    pub(crate) fn deliver(&mut self) {
        while let Some((from, to, frame)) = self.frames.pop_front() {
            if self.peers[to].links.contains(&from) {
                self.give(to, Input::Frame { link: LinkId(from as u64), frame });
            }
        }
    }

    /// Half a second passes, and everybody tells its digest.
    pub(crate) fn beat(&mut self) {
        self.ms += 500;
        for at in 0..self.peers.len() {
            self.give(at, Input::Wake);
            for to in self.peers[at].links.clone() {
                let digest = self.peers[at].room.digest();
                self.give(to, Input::Digest { link: LinkId(at as u64), digest });
            }
        }
    }

    pub(crate) fn edit(&mut self, peer: usize, otype: &str, key: &str, value: Option<(&str, Value)>) -> Dot {
        self.try_edit(peer, otype, key, value).unwrap()
    }

    pub(crate) fn try_edit(
        &mut self,
        peer: usize,
        otype: &str,
        key: &str,
        value: Option<(&str, Value)>,
    ) -> Result<Dot, ApiError> {
        let (path, value) = value.map(|(path, value)| (path.to_owned(), value)).unzip();
        let op = EditOp { otype: otype.into(), key: key.into(), path, value, ..EditOp::default() };
        let edit = Edit { ops: vec![op], wait: Wait::Local, ..Edit::default() };
        self.give(peer, Input::Edit { token: 1, edit }).remove(0)
    }

    /// Says something of the room.
    pub(crate) fn say(&mut self, peer: usize, says: Says) -> Result<Dot, ApiError> {
        let govern = Govern { says: vec![says], ..Govern::default() };
        self.give(peer, Input::Govern { token: 1, govern }).remove(0)
    }

    pub(crate) fn add_one(&mut self, peer: usize) -> Dot {
        self.edit(peer, "number.add", "n", Some(("x", Value::number(1.0).unwrap())))
    }

    pub(crate) fn compact(&mut self, peer: usize, ask: &Compact) -> Result<Compacted, ApiError> {
        let mut out = Vec::new();
        let now = self.now(peer);
        let done = self.peers[peer].room.compact(ask, now, &mut out);
        self.carry_out(peer, out);
        done
    }

    /// Compacts everything that everybody has.
    pub(crate) fn compact_all(&mut self) -> Compacted {
        self.compact(0, &Compact { undo_window_ms: Some(0), ..Compact::default() }).unwrap()
    }

    /// Ends the process, and starts another from the disk.
    pub(crate) fn restart(&mut self, peer: usize) {
        for to in self.peers[peer].links.clone() {
            self.part(peer, to);
        }
        self.epochs += 1;
        self.start(peer);
    }

    /// Lets the memory of a machine be saved, and another one resume from it.
    pub(crate) fn twin(&mut self, of: usize) -> usize {
        self.may_fork = true;
        let twin = self.add();
        let Peer { keys, disk, told, .. } = &self.peers[of];
        let (keys, disk, told) = (Arc::clone(keys), disk.clone(), *told);
        let other = &mut self.peers[twin];
        (other.keys, other.disk, other.told) = (keys, disk, told);
        self.start(twin);
        twin
    }

    fn start(&mut self, peer: usize) {
        let told = self.peers[peer].told;
        let keys = Arc::clone(&self.peers[peer].keys);
        let mut room = Room::open(opening(self.access, keys, self.epochs, told));
        let disk = &mut self.peers[peer].disk;
        disk.fact(FORKS).unwrap().iter().for_each(|value| room.recall(FORKS, value));
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

    /// Lets a daemon's key give way to its `nth` next one, with which it starts anew.
    pub(crate) fn rotate(&mut self, peer: usize, nth: u8) {
        let seed = |nth| [u8::try_from(peer).unwrap() + 1 + 100 * nth; 32];
        let former: Vec<[u8; 32]> = (0..nth).map(seed).collect();
        self.peers[peer].keys = Arc::new(Ed25519::from_seed(&seed(nth)).after(&former));
        self.peers[peer].told = None;
        self.restart(peer);
    }

    pub(crate) fn hash(&mut self, peer: usize) -> StateHash {
        self.peers[peer].room.replica().state_hash()
    }

    pub(crate) fn value(&mut self, peer: usize) -> Option<Value> {
        self.peers[peer].room.replica().value("n", "x")
    }

    pub(crate) fn journal(&mut self, peer: usize) -> usize {
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
    pub(crate) fn check_equal(&mut self) {
        let horizon = self.peers[0].room.horizon();
        let charter = self.peers[0].room.replica().charter();
        let expected = (self.hash(0), self.peers[0].room.digest());
        for peer in 0..self.peers.len() {
            assert_eq!(self.peers[peer].room.alarm(), None, "peer {peer}");
            assert_eq!(self.peers[peer].room.horizon(), horizon, "peer {peer}");
            assert_eq!(self.peers[peer].room.replica().charter(), charter, "peer {peer}");
            assert_eq!((self.hash(peer), self.peers[peer].room.digest()), expected, "peer {peer}");
        }
        assert!(self.refused.is_empty(), "{:?}", self.refused);
    }
}

fn opening(access: Access, keys: Arc<Ed25519>, epoch_fresh: u64, epoch_proof: Option<(u64, u64)>) -> Opening {
    let founding = founding(access);
    Opening { room: founding.room(), founding: Some(founding), keys, epoch_fresh, epoch_proof }
}
