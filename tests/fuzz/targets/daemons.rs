//! Whole daemons, one of which says anything: the others converge, and hold of everybody only what he wrote.

use std::collections::{BTreeMap, VecDeque};

use rtc_core::chain::{Ed25519, Keys};
use rtc_core::clock::VersionVector;
use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::room::{Input, Output};
use rtc_core::store::Record;
use rtc_core::switchboard::{self, Switchboard};
use rtc_core::sync::{End, LinkId, Now};
use rtc_core::ticket::Secret;

use super::Choices;
use super::room::{check, edit, founding, open, read};

/// Steps of one run: what needs more is beyond a fuzzer.
const STEPS_MAX: usize = 60;
/// The daemons: two as they should be, and one whose words are changed on the way.
const HONEST: [usize; 2] = [0, 1];
const CROOKED: usize = 2;
/// Each pair's connection; both ends call it the same.
const WIRES: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];
/// Heartbeats in which who is honest has to converge.
const PEACE_BEATS: usize = 40;

struct World<'c, 'b> {
    boards: Vec<Switchboard>,
    disks: Vec<Vec<Record>>,
    now: Now,
    up: [bool; 3],
    /// To whom, over which wire, what.
    frames: VecDeque<(usize, usize, Vec<u8>)>,
    choices: &'c mut Choices<'b>,
    connects: u8,
}

fn link(wire: usize) -> LinkId {
    LinkId(wire as u64)
}

fn room_id() -> RoomId {
    founding().room()
}

impl World<'_, '_> {
    fn drive(&mut self, who: usize, input: switchboard::Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            self.boards[who].handle(input, self.now, &mut out);
            for output in out {
                match output {
                    switchboard::Output::Send { link, bytes, unsent, .. } => {
                        let wire = usize::try_from(link.0).expect("a wire");
                        match unsent {
                            Some((room, input)) if self.choices.byte() >= 224 => {
                                inputs.push_back(switchboard::Input::Room { room, input });
                            }
                            Some(_) | None => self.send(who, wire, bytes),
                        }
                    }
                    switchboard::Output::Disconnect { link, .. } => {
                        self.cut(usize::try_from(link.0).expect("a wire"))
                    }
                    switchboard::Output::Claimed { .. }
                    | switchboard::Output::Welcomed { .. }
                    | switchboard::Output::Refused { .. }
                    | switchboard::Output::Secrets { .. }
                    | switchboard::Output::Wake { .. }
                    | switchboard::Output::Met { .. }
                    | switchboard::Output::Spare { .. } => {}
                    switchboard::Output::Room { room, output } => {
                        let answer = match output {
                            Output::Store { batch, records } => {
                                self.disks[who].extend(records);
                                Some(Input::Committed { batch })
                            }
                            Output::Read { link, ranges } => {
                                Some(Input::Read { link, records: read(&self.disks[who], &ranges) })
                            }
                            _ => None,
                        };
                        inputs.extend(answer.map(|input| switchboard::Input::Room { room, input }));
                    }
                }
            }
        }
    }

    /// What the crooked one says may be changed, be said twice, or not at all.
    fn send(&mut self, from: usize, wire: usize, mut bytes: Vec<u8>) {
        let (a, b) = WIRES[wire];
        let to = if from == a { b } else { a };
        if from == CROOKED {
            match self.choices.byte() {
                0..160 => {}
                160..192 => {
                    let at = (self.choices.below(256) * 256 + self.choices.below(256)) % bytes.len();
                    bytes[at] ^= 1 << self.choices.below(8);
                }
                192..208 => return,
                208..232 => self.frames.push_back((to, wire, bytes.clone())),
                232..=255 => bytes = self.choices.bytes().to_vec(),
            }
        }
        self.frames.push_back((to, wire, bytes));
    }

    fn cut(&mut self, wire: usize) {
        self.frames.retain(|(_, of, _)| *of != wire);
        if std::mem::take(&mut self.up[wire]) {
            for who in [WIRES[wire].0, WIRES[wire].1] {
                self.drive(who, switchboard::Input::LinkDown { link: link(wire) });
            }
        }
    }

    fn connect(&mut self, wire: usize) {
        self.cut(wire);
        self.up[wire] = true;
        let (a, b) = WIRES[wire];
        for (who, other, end) in [(a, b, End::Dialled), (b, a, End::Listened)] {
            self.connects = self.connects.wrapping_add(1);
            let (peer, random) = (keys(other).public(), [self.connects; 32]);
            self.drive(who, switchboard::Input::LinkUp { link: link(wire), peer, end, random });
        }
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some((to, wire, bytes)) = self.frames.pop_front() else { return };
            self.drive(to, switchboard::Input::Frame { link: link(wire), bytes });
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_us += ms * 1000;
        (0..3).for_each(|who| self.drive(who, switchboard::Input::Wake));
    }

    fn tell(&mut self, who: usize, input: Input) {
        self.drive(who, switchboard::Input::Room { room: room_id(), input });
    }

    fn step(&mut self) {
        match self.choices.below(8) {
            0..3 => {
                let who = self.choices.below(3);
                let ops = (0..=self.choices.below(2)).map(|_| self.choices.edit()).collect();
                self.tell(who, edit(ops));
                self.tell(who, Input::Flush);
            }
            3 | 4 => {
                let count = self.choices.below(32);
                self.deliver(count);
            }
            5 => {
                let ms = 4 * u64::from(self.choices.byte());
                self.pass(ms);
            }
            6 => {
                let (to, wire) = *self.choices.pick(&[(0, 1), (1, 2)]);
                let bytes = self.choices.bytes().to_vec();
                self.frames.push_back((to, wire, bytes));
            }
            _ => {
                let wire = self.choices.below(3);
                if self.choices.below(2) == 0 { self.connect(wire) } else { self.cut(wire) }
            }
        }
    }

    fn vector(&mut self, who: usize) -> VersionVector {
        self.boards[who].room(&room_id()).expect("it has the room").vector()
    }
}

fn keys(who: usize) -> Ed25519 {
    Ed25519::from_seed(&[u8::try_from(who + 1).expect("few"); 32])
}

pub(super) fn switchboard(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let board = |who| {
        let mut board = Switchboard::new(&keys(who));
        board.add_room(
            open(u8::try_from(who + 1).expect("few")),
            vec![Secret([5; 32])],
            Now::default(),
            &mut Vec::new(),
        );
        board
    };
    let mut world = World {
        boards: (0..3).map(board).collect(),
        disks: vec![Vec::new(); 3],
        now: Now::default(),
        up: [false; 3],
        frames: VecDeque::new(),
        choices: &mut choices,
        connects: 0,
    };
    (0..3).for_each(|wire| world.connect(wire));
    for _ in 0..STEPS_MAX {
        if world.choices.are_made() {
            break;
        }
        world.step();
    }
    make_peace(&mut world);
}

/// Without the crooked one the others converge, and hold of everybody only what he wrote.
fn make_peace(world: &mut World<'_, '_>) {
    world.choices.0 = &[];
    world.cut(1);
    world.cut(2);
    for beat in 0.. {
        if !world.up[0] {
            world.connect(0);
        }
        while !world.frames.is_empty() {
            world.deliver(1);
        }
        let [a, b] = HONEST.map(|who| world.vector(who));
        if a == b {
            break;
        }
        assert!(beat < PEACE_BEATS, "they converge: {a:?} and {b:?}");
        world.pass(500);
    }
    let wrote: BTreeMap<Dot, Vec<u8>> = (0..3)
        .flat_map(|who| {
            world.disks[who].iter().filter(move |record| record.actor.key() == keys(who).public())
        })
        .map(|record| (Dot { actor: record.actor, seq: record.seq }, record.body.clone()))
        .collect();
    for who in HONEST {
        let disk = world.disks[who].clone();
        let room = world.boards[who].room(&room_id()).expect("it has the room");
        for record in &disk {
            let dot = Dot { actor: record.actor, seq: record.seq };
            assert_eq!(wrote.get(&dot), Some(&record.body), "{dot} is its author's");
        }
        let author = disk.iter().find(|record| record.actor.key() == keys(who).public());
        let actor = author.map_or(Actor::new(keys(who).public(), 1), |record| record.actor);
        check(room, &disk, &actor, |seq| wrote.get(&Dot { actor, seq }).map(Vec::as_slice));
    }
}

/// Choices at random: the fuzzer makes sense of them.
pub(super) fn schedules() -> Vec<Vec<u8>> {
    let mut random = rtc_core::sim::Random::new(3);
    (0..8).map(|_| (0..300).map(|_| random.bytes::<1>()[0]).collect()).collect()
}
