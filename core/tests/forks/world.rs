//! Machines of which some take themselves for one, and what goes between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rtc_core::api::{Compact, Edit, EditOp, Wait};
use rtc_core::branch::Branches;
use rtc_core::chain::{self, Ed25519, Keys};
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, Dot};
use rtc_core::message::Message;
use rtc_core::naive::{self, Signed, branches};
use rtc_core::room::{Input, Opening, Output, Refusal, Room};
use rtc_core::scene::Root;
use rtc_core::sim::SimDisk;
use rtc_core::store::{FORKS, GROUND, OUTSIDE, Record, Store};
use rtc_core::sync::{LinkId, Now, RoomFrame};
use rtc_core::value::Value;

/// A machine, and what resumed from its saved memory.
pub(crate) const ONE: usize = 0;
pub(crate) const TWIN: usize = 1;
pub(crate) const BOB: usize = 2;
pub(crate) const EVE: usize = 3;
/// The last two are of the same memory as the first.
pub(crate) const SEEDS: [u8; 6] = [1, 1, 2, 3, 1, 1];

pub(crate) struct Machine {
    pub(crate) room: Room,
    pub(crate) disk: SimDisk,
    pub(crate) links: BTreeSet<usize>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) forked: Vec<Dot>,
}

/// Machines, and the frames between them. A connection is named by whom it leads to.
pub(crate) struct World {
    pub(crate) machines: Vec<Machine>,
    pub(crate) frames: VecDeque<(usize, usize, RoomFrame)>,
    /// The proofs of forks that were told.
    pub(crate) proofs: Vec<RoomFrame>,
    pub(crate) ms: u64,
    /// Of that many signatures a store keeps one, and the newest.
    pub(crate) signatures_one_in: u64,
    /// Whether nobody hears of forks.
    pub(crate) is_secret: bool,
    /// Whether what is offered of forgotten messages never comes.
    pub(crate) is_grounded: bool,
}

/// An open room, of which Bob is the keeper.
pub(crate) fn founding() -> Founding {
    let (owner, nonce) = (keys(BOB).public(), [0; 16]);
    Founding { owner, nonce, name: "test".into(), time_ms: 0, access: Access::Open }
}

pub(crate) fn keys(machine: usize) -> Arc<dyn Keys> {
    Arc::new(Ed25519::from_seed(&[SEEDS[machine]; 32]))
}

pub(crate) fn open(machine: usize) -> Room {
    Room::open(Opening {
        room: founding().room(),
        founding: Some(founding()),
        keys: keys(machine),
        epoch_fresh: u64::from(SEEDS[machine]),
        epoch_proof: None,
    })
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            machines: (0..4).map(Self::machine).collect(),
            frames: VecDeque::new(),
            proofs: Vec::new(),
            ms: 0,
            signatures_one_in: 1,
            is_secret: false,
            is_grounded: false,
        }
    }

    pub(crate) fn machine(machine: usize) -> Machine {
        Machine {
            room: open(machine),
            disk: SimDisk::new(founding().room()),
            links: BTreeSet::new(),
            refused: Vec::new(),
            forked: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { monotonic_us: self.ms * 1000, wall_ms: self.ms }
    }

    pub(crate) fn give(&mut self, at: usize, input: Input) {
        let (now, mut out) = (self.now(), Vec::new());
        self.machines[at].room.handle(input, now, &mut out);
        self.carry_out(at, out);
    }

    fn carry_out(&mut self, at: usize, out: Vec<Output>) {
        let machine = &mut self.machines[at];
        let mut next = Vec::new();
        for output in out {
            match output {
                Output::Store { batch, records } => {
                    machine.disk.append(&records).unwrap();
                    next.push(Input::Committed { batch });
                }
                Output::Fact { name, value } => machine.disk.set_fact(name, &value).unwrap(),
                Output::Read { link, ranges } => {
                    let mut records = Vec::new();
                    for (actor, from, to) in ranges {
                        let newest = machine.room.vector().get(&actor);
                        let mut read = machine.disk.read(&actor, from, to).unwrap();
                        let needless = |record: &&mut Record| {
                            record.seq != newest && !record.seq.is_multiple_of(self.signatures_one_in)
                        };
                        read.iter_mut().filter(needless).for_each(|record| record.signature = None);
                        records.extend(read);
                    }
                    next.push(Input::Read { link, records });
                }
                Output::Send { link, frame, .. } => {
                    self.frames.push_back((at, usize::try_from(link.0).unwrap(), frame));
                }
                Output::Reply { result, .. } => assert!(result.is_ok(), "{result:?}"),
                Output::Refused { refusal, .. } => machine.refused.push(refusal),
                Output::Forked(dot) => machine.forked.push(dot),
                Output::Alarm(what) => panic!("{at}: {what}"),
                Output::Forget(forgetting) => machine.disk.forget(&forgetting).unwrap(),
                Output::Rename { renames, forks } => machine.disk.rename(&renames, &forks).unwrap(),
                Output::Number { .. } | Output::Event(_) | Output::Founded(_) | Output::Synced { .. } => {}
            }
        }
        next.into_iter().for_each(|input| self.give(at, input));
    }

    pub(crate) fn edit(&mut self, at: usize, key: &str) {
        let insert = EditOp { otype: "node.insert".into(), key: key.into(), ..EditOp::default() };
        let (path, value) = (Some("x".into()), Value::number(1.0));
        let count =
            EditOp { otype: "number.add".into(), key: "scene".into(), path, value, ..EditOp::default() };
        let edit = Edit { ops: vec![insert, count], wait: Wait::Durable, ..Edit::default() };
        self.give(at, Input::Edit { token: 1, edit });
        self.give(at, Input::Flush);
        self.deliver();
    }

    pub(crate) fn deliver(&mut self) {
        while let Some((from, to, frame)) = self.frames.pop_front() {
            if self.machines[from].links.contains(&to) {
                match frame {
                    RoomFrame::Fork { .. } if self.is_secret => continue,
                    RoomFrame::Fork { .. } => self.proofs.push(frame.clone()),
                    RoomFrame::GroundPiece { .. } if self.is_grounded => continue,
                    _ => {}
                }
                self.give(to, Input::Frame { link: LinkId(from as u64), frame });
            }
        }
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        for (at, to) in [(a, b), (b, a)] {
            self.machines[at].links.insert(to);
            self.give(at, Input::PeerUp { link: LinkId(to as u64), peer: keys(to).public() });
        }
        self.deliver();
    }

    pub(crate) fn part(&mut self, a: usize, b: usize) {
        for (at, to) in [(a, b), (b, a)] {
            self.machines[at].links.remove(&to);
            self.give(at, Input::PeerDown { link: LinkId(to as u64) });
        }
    }

    /// Lets some heartbeats pass.
    pub(crate) fn beat(&mut self, beats: usize) {
        for _ in 0..beats {
            self.ms += 500;
            for at in 0..self.machines.len() {
                self.give(at, Input::Wake);
                for to in self.machines[at].links.clone() {
                    let digest = self.machines[at].room.digest();
                    self.give(to, Input::Digest { link: LinkId(at as u64), digest });
                }
            }
            self.deliver();
        }
    }

    /// Starts a machine again with what is on its disk.
    pub(crate) fn restart(&mut self, at: usize) {
        for to in self.machines[at].links.clone() {
            self.part(at, to);
        }
        let machine = &mut self.machines[at];
        machine.room = open(at);
        let mut records = Vec::new();
        machine
            .disk
            .scan(&mut |record| {
                records.push(record);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        machine.disk.fact(FORKS).unwrap().iter().for_each(|value| machine.room.recall(FORKS, value));
        if let Some(ground) = machine.disk.fact(GROUND).unwrap() {
            machine.room.restore(&ground, &machine.disk.fact(OUTSIDE).unwrap().unwrap()).unwrap();
        }
        machine.room.load(&records).unwrap();
        self.give(at, Input::Wake);
    }

    /// Lets go all that the keeper holds, whoever lacks it.
    pub(crate) fn compact(&mut self) -> Dot {
        self.compact_but(0)
    }

    /// The same, but for what was made in the last so many milliseconds.
    pub(crate) fn compact_but(&mut self, ms: u64) -> Dot {
        self.ms += 500;
        let ask = Compact { undo_window_ms: Some(ms), absence_limit_ms: Some(0), ..Compact::default() };
        let mut out = Vec::new();
        let now = self.now();
        let done = self.machines[BOB].room.compact(&ask, now, &mut out).unwrap();
        self.carry_out(BOB, out);
        self.deliver();
        done.horizon.expect("there is something to let go")
    }

    /// Whether these hold the same, stand on the same, by the same forks, and show so many edits.
    #[track_caller]
    pub(crate) fn check_same(&mut self, machines: &[usize], count: usize) {
        let mut look = |at: usize| {
            let room = &mut self.machines[at].room;
            assert_eq!(room.alarm(), None, "{at}");
            assert_eq!(room.replica().value("scene", "x"), Value::number(count as f64), "{at}");
            let (state, digest, horizon) = (room.replica().state_hash(), room.digest(), room.horizon());
            (state, digest, horizon, room.branches().clone(), room.forks().collect::<Vec<_>>())
        };
        let first = look(machines[0]);
        machines.iter().for_each(|&at| assert_eq!(look(at), first, "{at}"));
    }

    /// The memory of a machine is saved after some edits; both it and what resumes from that go on.
    pub(crate) fn forked(common: usize, one: usize, other: usize) -> Self {
        let mut world = Self::new();
        for n in 0..common {
            world.edit(ONE, &format!("common-{n}"));
            world.edit(TWIN, &format!("common-{n}"));
        }
        (0..one).for_each(|n| world.edit(ONE, &format!("one-{n}")));
        (0..other).for_each(|n| world.edit(TWIN, &format!("other-{n}")));
        world
    }

    /// The frames in which a machine tells somebody new of forks.
    pub(crate) fn proofs(&mut self, at: usize) -> Vec<RoomFrame> {
        self.restart(EVE);
        self.proofs.clear();
        self.join(at, EVE);
        self.beat(4);
        std::mem::take(&mut self.proofs)
    }

    /// Every message that a machine has, as it was signed.
    pub(crate) fn signed(&mut self, at: usize) -> Vec<Signed> {
        let disk = &mut self.machines[at].disk;
        let branches =
            disk.fact(FORKS).unwrap().map(|fact| Branches::read(&fact).unwrap()).unwrap_or_default();
        let mut signed: Vec<Signed> = Vec::new();
        let mut links: BTreeMap<Actor, chain::Link> = BTreeMap::new();
        disk.scan(&mut |Record { actor, seq, link, body, .. }| {
            let (base, origin) = branches.origin(&founding().room(), &actor);
            let before = links.insert(actor, link).unwrap_or(origin);
            assert!(seq > base);
            signed.push(Signed::new(before, Message::decode(branches.signed(&actor), &body).unwrap()));
            assert_eq!(signed.last().unwrap().link, link);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        signed
    }

    /// Whether these hold all that was ever made, by the names that the plainest code gives it, and show what that shows.
    pub(crate) fn check_whole(&mut self, machines: &[usize], count: usize) {
        let mut all: BTreeMap<chain::Link, Signed> = BTreeMap::new();
        for &at in machines {
            all.extend(self.signed(at).into_iter().map(|signed| (signed.link, signed)));
        }
        let all: Vec<Signed> = all.into_values().collect();
        assert_eq!(all.len(), count);
        let named: Vec<Message> = branches(&all).into_iter().map(|(_, message)| message).collect();
        let names: BTreeSet<Dot> = named.iter().map(Message::dot).collect();
        let root = Root::of(Some(&founding()));
        let hash = naive::fold(&root, &named).scene.hash();
        for &at in machines {
            let machine = &mut self.machines[at];
            let mut held = BTreeSet::new();
            machine
                .disk
                .scan(&mut |Record { actor, seq, .. }| {
                    held.insert(Dot { actor, seq });
                    std::ops::ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(held, names, "{at}");
            assert_eq!(machine.room.messages(), names.len() as u64, "{at}");
            assert_eq!(machine.room.replica().state_hash(), hash, "{at}");
            assert_eq!(machine.room.waiting(), 0, "{at}");
        }
        let digests: BTreeSet<_> = machines.iter().map(|&at| self.machines[at].room.digest()).collect();
        assert_eq!(digests.len(), 1);
    }

    pub(crate) fn forks(&self, at: usize) -> Vec<Dot> {
        self.machines[at].room.forks().collect()
    }

    pub(crate) fn actor() -> Actor {
        Actor::new(keys(ONE).public(), u64::from(SEEDS[ONE]))
    }
}
