//! Rooms that sleep: to clients and peers they are what they would be awake.
//!
//! The same things happen in two worlds, and only in one of them rooms sleep whenever they may; after each, both have to look the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rtc_core::api::{Edit, EditOp, Edited, Govern, Says, Traced, Undo, Wait};
use rtc_core::chain::{Ed25519, Keys};
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{PeerKey, RoomId, Session, StateHash};
use rtc_core::limits::HEARTBEAT_MS;
use rtc_core::members::Role;
use rtc_core::presence::Show;
use rtc_core::room::{self, Gist, Opening, Room, Standing};
use rtc_core::sim::Random;
use rtc_core::store::Record;
use rtc_core::switchboard::{Input, Output, Switchboard};
use rtc_core::sync::{End, LinkId, Now};
use rtc_core::ticket::Secret;
use rtc_core::value::Value;

const MACHINES: usize = 3;
const STEPS: usize = 60;
/// Heartbeats after which everything that can be known is known.
const BEATS: usize = 8;

struct Machine {
    board: Switchboard,
    keys: Arc<dyn Keys>,
    journal: Vec<Record>,
    facts: BTreeMap<&'static str, Vec<u8>>,
    told: Option<(u64, u64)>,
    /// How often its daemon was started, and its room read.
    lives: u64,
    reads: u64,
    /// Whether its room was asked for and has not been read yet.
    is_wanted: bool,
    answers: BTreeMap<u64, Result<Edited, String>>,
}

struct World {
    sleeps: bool,
    slept: u64,
    woken: u64,
    founding: Founding,
    machines: Vec<Machine>,
    /// Connections that are up, by their ends.
    links: BTreeMap<(usize, usize), LinkId>,
    links_made: u64,
    frames: VecDeque<(usize, LinkId, Vec<u8>)>,
    now: Now,
}

/// What anybody can know of a machine's room.
#[derive(Clone, PartialEq, Debug)]
struct Look {
    state: StateHash,
    messages: u64,
    standings: Vec<Standing>,
    in_sync: Vec<bool>,
    peers: usize,
    answers: BTreeMap<u64, Result<Edited, String>>,
}

impl Machine {
    /// Its room, as the disk has it.
    fn read(&mut self, founding: &Founding, told: Option<(u64, u64)>) -> Room {
        self.reads += 1;
        // An epoch of which nothing is lost is gone on with.
        let epoch_fresh = self.lives + 1000 * self.reads * u64::from(told.is_some());
        let mut room = Room::open(Opening {
            room: founding.room(),
            founding: Some(founding.clone()),
            keys: self.keys.clone(),
            epoch_fresh,
            epoch_proof: told,
        });
        room.load(&self.journal).expect("the journal is whole");
        self.facts.iter().for_each(|(name, value)| room.recall(name, value));
        room
    }
}

impl World {
    fn new(sleeps: bool) -> Self {
        let keys = |seed| Arc::new(Ed25519::from_seed(&[seed; 32]));
        let (owner, name) = (keys(1).public(), "lab".to_owned());
        let founding = Founding { owner, nonce: [0; 16], name, time_ms: 0, access: Access::Members };
        let machine = |seed| Machine {
            board: Switchboard::new(keys(seed).public()),
            keys: keys(seed),
            journal: Vec::new(),
            facts: BTreeMap::new(),
            told: None,
            lives: 0,
            reads: 0,
            is_wanted: false,
            answers: BTreeMap::new(),
        };
        let mut world = Self {
            sleeps,
            slept: 0,
            woken: 0,
            founding,
            machines: [1, 2, 3].map(machine).into(),
            links: BTreeMap::new(),
            links_made: 0,
            frames: VecDeque::new(),
            now: Now { monotonic_us: 1_000_000, wall_ms: 1_000 },
        };
        for at in 0..MACHINES {
            world.machines[at].lives = 1;
            world.start(at);
        }
        world
    }

    fn room(&self) -> RoomId {
        self.founding.room()
    }

    /// Starts a machine's daemon: with its room asleep where it was put away so.
    fn start(&mut self, at: usize) {
        let room = self.machines[at].told;
        let room = self.machines[at].read(&self.founding.clone(), room);
        let machine = &mut self.machines[at];
        machine.board = Switchboard::new(machine.keys.public());
        let mut out = Vec::new();
        machine.board.add_room(room, vec![Secret([9; 32])], self.now, &mut out);
        self.carry_out(at, out);
    }

    /// Ends a machine's daemon and starts it again.
    fn restart(&mut self, at: usize) {
        let ends: Vec<_> = self.links.keys().copied().filter(|&(a, b)| a == at || b == at).collect();
        ends.iter().for_each(|&(a, b)| self.cut(a, b));
        let room = self.room();
        let gist = self.machines[at].board.room(&room).and_then(Room::gist);
        self.machines[at].is_wanted = false;
        self.machines[at].lives += 1;
        match gist.filter(|_| self.sleeps) {
            Some(gist) => {
                let gist = Gist::decode(&gist.encode()).expect("canonical");
                let mut out = Vec::new();
                let machine = &mut self.machines[at];
                machine.board = Switchboard::new(machine.keys.public());
                machine.board.add_asleep(gist, vec![Secret([9; 32])], self.now, &mut out);
                self.carry_out(at, out);
            }
            None => self.start(at),
        }
        ends.iter().for_each(|&(a, b)| self.connect(a, b));
    }

    fn connect(&mut self, a: usize, b: usize) {
        if self.links.contains_key(&(a, b)) {
            return;
        }
        self.links_made += 1;
        let link = LinkId(self.links_made);
        self.links.insert((a, b), link);
        for (at, other, end) in [(a, b, End::Dialled), (b, a, End::Listened)] {
            let peer = self.machines[other].keys.public();
            let random =
                *blake3::hash(&[self.links_made, at as u64].map(u64::to_be_bytes).concat()).as_bytes();
            self.give(at, Input::LinkUp { link, peer, end, random });
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        let Some(link) = self.links.remove(&(a, b)) else { return };
        self.frames.retain(|(_, of, _)| *of != link);
        [a, b].into_iter().for_each(|at| self.give(at, Input::LinkDown { link }));
    }

    fn give(&mut self, at: usize, input: Input) {
        let mut out = Vec::new();
        self.machines[at].board.handle(input, self.now, &mut out);
        self.carry_out(at, out);
    }

    fn say(&mut self, at: usize, input: room::Input) {
        let room = self.room();
        self.give(at, Input::Room { room, input });
        self.give(at, Input::Room { room, input: room::Input::Flush });
    }

    fn carry_out(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { link, bytes, .. } => {
                    let ends = self.links.iter().find(|(_, of)| **of == link).map(|(ends, _)| *ends);
                    let Some((a, b)) = ends else { continue };
                    self.frames.push_back((if a == at { b } else { a }, link, bytes));
                }
                Output::Wake { .. } => self.machines[at].is_wanted = true,
                Output::Room { output, .. } => self.carry_out_of_room(at, output),
                Output::Disconnect { reason, .. } => panic!("machine {at} hangs up: {reason}"),
                Output::Met { .. }
                | Output::Spare { .. }
                | Output::Claimed { .. }
                | Output::Welcomed { .. }
                | Output::Refused { .. }
                | Output::Secrets { .. } => {}
            }
        }
    }

    fn carry_out_of_room(&mut self, at: usize, output: room::Output) {
        let machine = &mut self.machines[at];
        match output {
            room::Output::Number { epoch, seq } => machine.told = Some((epoch, seq)),
            room::Output::Store { batch, records } => {
                machine.journal.extend(records);
                self.say(at, room::Input::Committed { batch });
            }
            room::Output::Fact { name, value } => _ = machine.facts.insert(name, value),
            room::Output::Read { link, ranges } => {
                let is_asked = |record: &&Record| {
                    ranges.iter().any(|(actor, first, last)| {
                        record.actor == *actor && (*first..=*last).contains(&record.seq)
                    })
                };
                let mut records: Vec<Record> = machine.journal.iter().filter(is_asked).cloned().collect();
                let place = |record: &Record| ranges.iter().position(|(actor, ..)| record.actor == *actor);
                records.sort_by_key(|record| (place(record), record.seq));
                self.say(at, room::Input::Read { link, records });
            }
            room::Output::Reply { token, result } => {
                let result = result.map_err(|error| error.message);
                assert!(machine.answers.insert(token, result).is_none(), "{token} is answered twice");
            }
            room::Output::Refused { refusal, .. } => panic!("machine {at} refuses: {refusal}"),
            room::Output::Alarm(what) => panic!("machine {at} is alarmed: {what}"),
            room::Output::Forget(_) | room::Output::Rename { .. } => panic!("nobody forgets or forks here"),
            room::Output::Send { .. }
            | room::Output::Event(_)
            | room::Output::Founded(_)
            | room::Output::Forked(_)
            | room::Output::Synced { .. } => {}
        }
    }

    /// Lets everything arrive, and `beats` heartbeats pass. What was asked for is read after a few frames.
    fn settle(&mut self, beats: usize) {
        for _ in 0..beats {
            let mut delivered = 0;
            loop {
                if delivered % 4 == 3 || self.frames.is_empty() {
                    self.wake_wanted();
                }
                let Some((to, link, bytes)) = self.frames.pop_front() else { break };
                delivered += 1;
                self.give(to, Input::Frame { link, bytes });
            }
            self.now.monotonic_us += HEARTBEAT_MS * 1000;
            self.now.wall_ms += HEARTBEAT_MS;
            (0..MACHINES).for_each(|at| self.give(at, Input::Wake));
        }
    }

    fn wake_wanted(&mut self) {
        let (room, founding) = (self.room(), self.founding.clone());
        for at in 0..MACHINES {
            if std::mem::take(&mut self.machines[at].is_wanted) {
                self.woken += 1;
                let told = self.machines[at].board.asleep(&room).expect("it sleeps").told();
                let told = told.or(self.machines[at].told);
                let held = self.machines[at].read(&founding, told);
                let mut out = Vec::new();
                self.machines[at].board.rouse(held, self.now, &mut out);
                self.carry_out(at, out);
            }
        }
    }

    /// Lets the rooms of these machines sleep, where they may.
    fn sleep(&mut self, who: BTreeSet<usize>) {
        let room = self.room();
        let sleeps = self.sleeps;
        for at in who.into_iter().filter(|_| sleeps) {
            let board = &mut self.machines[at].board;
            if board.may_sleep(&room) {
                self.slept += 1;
                let gist = board.room(&room).and_then(Room::gist).expect("it may");
                let mut out = Vec::new();
                board.fall_asleep(gist, self.now, &mut out);
                self.carry_out(at, out);
            }
        }
    }

    fn look(&mut self, at: usize) -> Look {
        let room = self.room();
        let keys: Vec<PeerKey> = self.machines.iter().map(|machine| machine.keys.public()).collect();
        let links: Vec<LinkId> = self.links.values().copied().collect();
        let Machine { board, answers, .. } = &mut self.machines[at];
        let in_sync = links.iter().map(|link| board.in_sync(&room, *link)).collect();
        let answers = answers.clone();
        if let Some(sleeper) = board.asleep(&room) {
            let gist = sleeper.gist();
            let standings = keys.iter().map(|key| gist.standing_of(key)).collect();
            let (state, messages) = (gist.state_hash, gist.messages);
            return Look { state, messages, standings, in_sync, peers: sleeper.peers_connected(), answers };
        }
        let held = board.room(&room).expect("it is there");
        let standings = keys.iter().map(|key| held.standing_of(key)).collect();
        let (state, messages) = (held.replica().state_hash(), held.messages());
        Look { state, messages, standings, in_sync, peers: held.peers_connected(), answers }
    }

    /// How far the newest message of a machine's room has come; this wakes it.
    fn trace(&mut self, at: usize) -> Vec<Traced> {
        let (room, mut out) = (self.room(), Vec::new());
        self.machines[at].board.wake_up(&room, &mut out);
        self.carry_out(at, out);
        self.wake_wanted();
        let held = self.machines[at].board.room(&room).expect("it is awake");
        let newest = held.replica().newest().next();
        newest.map(|dot| held.trace(&dot)).unwrap_or_default()
    }
}

fn edit(key: &str, number: u64) -> Edit {
    let op = |otype: &str, path: Option<&str>, value: Value| EditOp {
        otype: otype.into(),
        key: key.into(),
        path: path.map(str::to_owned),
        value: Some(value),
        options: BTreeMap::new(),
    };
    let list = Value::List(vec![Value::from(number.to_string())]);
    let ops =
        vec![op("node.insert", None, Value::Map(BTreeMap::new())), op("array.union", Some("list"), list)];
    Edit { ops, wait: Wait::Local, ..Edit::default() }
}

/// One thing that happens, to both worlds alike.
fn happen(worlds: &mut [World; 2], token: u64, random: &mut Random) {
    let (at, other) = (random.index(MACHINES), random.index(MACHINES));
    let (what, rank) = (random.below(9), random.index(Role::ALL.len()));
    for world in worlds {
        let (a, b) = (at.min(other), at.max(other));
        match what {
            0..=3 => {
                let edit = edit(["cube", "ball", "cone"][other], token);
                world.say(at, room::Input::Edit { token, edit });
            }
            4 if a != b => world.cut(a, b),
            5 if a != b => world.connect(a, b),
            6 => world.restart(at),
            7 => world.say(at, room::Input::Undo { token, undo: Undo::default(), redo: false }),
            8 if other != 0 => {
                let key = world.machines[other].keys.public();
                let says = vec![Says::MemberRole { key, role: Role::ALL[rank], name: None }];
                let govern = Govern { says, wait: Wait::Local, ..Govern::default() };
                world.say(0, room::Input::Govern { token, govern });
            }
            _ => {}
        }
    }
}

#[test]
fn a_room_that_sleeps_is_what_it_would_be_awake() {
    let (mut slept, mut woken) = (0, 0);
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let mut worlds = [World::new(false), World::new(true)];
        for world in &mut worlds {
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                world.connect(a, b);
            }
            for other in 1..MACHINES {
                let key = world.machines[other].keys.public();
                let says = vec![Says::MemberRole { key, role: Role::Editor, name: None }];
                let govern = Govern { says, wait: Wait::Local, ..Govern::default() };
                world.say(0, room::Input::Govern { token: 1000 + other as u64, govern });
            }
            world.settle(BEATS);
        }
        for step in 0..STEPS as u64 {
            let who: BTreeSet<usize> = (0..MACHINES).filter(|_| random.below(3) > 0).collect();
            happen(&mut worlds, step, &mut random);
            for world in &mut worlds {
                world.settle(BEATS);
                world.sleep(who.clone());
            }
            let [awake, asleep] = &mut worlds;
            for at in 0..MACHINES {
                assert_eq!(asleep.look(at), awake.look(at), "seed {seed}, step {step}, machine {at}");
            }
            if step % 16 == 0 {
                let at = random.index(MACHINES);
                assert_eq!(asleep.trace(at), awake.trace(at), "seed {seed}, step {step}, machine {at}");
            }
        }
        slept += worlds[1].slept;
        woken += worlds[1].woken;
    }
    assert!(slept > 300 && woken > 150, "{slept} fell asleep and {woken} woke");
}

#[test]
fn whoever_shows_something_keeps_the_room_awake_and_is_seen_by_who_slept() {
    let mut world = World::new(true);
    let all: BTreeSet<usize> = (0..MACHINES).collect();
    world.connect(0, 1);
    let key = world.machines[1].keys.public();
    let says = vec![Says::MemberRole { key, role: Role::Editor, name: None }];
    world.say(0, room::Input::Govern { token: 1, govern: Govern { says, ..Govern::default() } });
    let room = world.room();
    let session = Session([7; 8]);
    // More than once: what is shown after sleeping has to be newer than what was shown before.
    for round in 0..3 {
        world.settle(BEATS);
        world.sleep(all.clone());
        assert!((0..2).all(|at| world.machines[at].board.asleep(&room).is_some()), "round {round}");
        let fields = [("name".to_owned(), Value::from("ada"))].into_iter().collect();
        world.say(0, room::Input::Show { session, show: Show::Presence(fields) });
        world.settle(BEATS);
        world.sleep(all.clone());
        let now = world.now;
        for at in 0..2 {
            let held = world.machines[at].board.room(&room).expect("it is awake");
            assert_eq!(held.shown(now).len(), 1, "round {round}, machine {at}");
        }
        world.say(0, room::Input::SessionGone { session });
    }
}

#[test]
fn what_comes_while_a_room_wakes_is_heard_in_its_order() {
    let mut world = World::new(true);
    world.settle(BEATS);
    world.sleep([0].into());
    let room = world.room();
    for token in 0..50 {
        world.say(0, room::Input::Edit { token, edit: edit("cube", token) });
    }
    assert!(world.machines[0].answers.is_empty() && world.machines[0].board.asleep(&room).is_some());
    world.settle(1);
    let answers = &world.machines[0].answers;
    let numbers: Vec<u64> = answers.values().map(|answer| answer.as_ref().expect("made").id.seq).collect();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
}

#[test]
fn what_a_flood_leaves_no_place_for_while_a_room_wakes_is_fetched_again() {
    let mut world = World::new(true);
    world.connect(0, 1);
    let key = world.machines[1].keys.public();
    let says = vec![Says::MemberRole { key, role: Role::Editor, name: None }];
    world.say(0, room::Input::Govern { token: 5000, govern: Govern { says, ..Govern::default() } });
    world.settle(BEATS);
    world.sleep([1].into());
    for token in 0..2000 {
        world.say(0, room::Input::Edit { token, edit: edit("cube", token) });
    }
    // All of it comes before the disk has read the room.
    while let Some((to, link, bytes)) = world.frames.pop_front() {
        world.give(to, Input::Frame { link, bytes });
    }
    assert!(world.machines[1].is_wanted);
    world.settle(BEATS);
    assert_eq!(world.look(1).messages, 2001);
    assert_eq!(world.look(1).state, world.look(0).state);
}
