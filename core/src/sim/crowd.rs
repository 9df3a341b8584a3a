//! Many daemons in one room, their frames counted: real switchboards, links and rooms on a network that loses nothing and takes the same time
//! for each frame, so that time is counted in hops.
//!
//! Each daemon dials others by lot until it has as many links as a room wants, as the real one does. What an edit costs is what is sent more
//! than in as much time without edits.

mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::{Edit, EditOp, Wait};
use crate::chain::Keys;
use crate::clock::VersionVector;
use crate::founding::{Access, Founding};
use crate::id::{Actor, Dot, RoomId, StateHash};
use crate::limits::{HEARTBEAT_MS, ROOM_LINKS_WANTED};
use crate::room::{self, Opening, Room};
use crate::sim::Random;
use crate::sim::keys::HashKeys;
use crate::store::Record;
use crate::switchboard::{Input, Output, Switchboard};
use crate::sync::Now;
use crate::ticket::Secret;
use network::{Event, Network};

/// How long one frame takes.
const HOP_US: u64 = 1_000;
/// Time without edits before any are measured, and after them: what is late comes within.
const REST_MS: u64 = 3_000;
/// Between one edit and the next.
const EDIT_EVERY_MS: u64 = 50;

/// What a crowd is like.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Everything is drawn from it.
    pub seed: u64,
    /// How many daemons.
    pub peers: usize,
    /// Of 1,000 live runs so many find their queue full.
    pub unsent_per_mille: u64,
}

/// What was measured.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Cost {
    /// Links of a daemon, on average.
    pub links: f64,
    /// Without edits: frames that a daemon sends in a second.
    pub idle_frames: f64,
    /// Without edits: bytes that a daemon sends in a second.
    pub idle_bytes: f64,
    /// Live runs sent for each edit and daemon.
    pub runs: f64,
    /// All frames sent for each edit and daemon.
    pub frames: f64,
    /// Bytes sent for each edit and daemon.
    pub bytes: f64,
    /// Frames sent for each edit by the daemon that sent most of them.
    pub frames_max: f64,
    /// Hops until an edit is everywhere, of half of the edits no more than that.
    pub rounds: u64,
    /// The same of all edits.
    pub rounds_max: u64,
}

/// The daemons and what is between them.
pub struct Crowd {
    setting: Setting,
    room: RoomId,
    daemons: Vec<Daemon>,
    network: Network,
    random: Random,
    us: u64,
    tokens: u64,
    /// Of each message how many daemons have it, and when the last one got it.
    spread: BTreeMap<Dot, (usize, u64)>,
}

struct Daemon {
    keys: Arc<dyn Keys>,
    board: Switchboard,
    disk: BTreeMap<(Actor, u64), Record>,
    is_mute: bool,
}

impl Crowd {
    /// A crowd, connected.
    pub fn new(setting: Setting) -> Self {
        let mut random = Random::new(setting.seed);
        let keys: Vec<Arc<dyn Keys>> = (0..setting.peers)
            .map(|_| Arc::new(HashKeys::new(crate::id::PeerKey(random.bytes()))) as Arc<dyn Keys>)
            .collect();
        let founding = Founding {
            owner: keys[0].public(),
            nonce: random.bytes(),
            name: "crowd".to_owned(),
            time_ms: 0,
            access: Access::Open,
        };
        let (room, secret) = (founding.room(), Secret(random.bytes()));
        let daemon = |keys: Arc<dyn Keys>| {
            let opening = Opening {
                room,
                founding: Some(founding.clone()),
                keys: Arc::clone(&keys),
                epoch_fresh: random.bits(),
                epoch_proof: None,
            };
            let mut board = Switchboard::new(&*keys);
            board.add_room(Room::open(opening), vec![secret], Now::default(), &mut Vec::new());
            Daemon { keys, board, disk: BTreeMap::new(), is_mute: false }
        };
        let daemons: Vec<Daemon> = keys.into_iter().map(daemon).collect();
        let network = Network::new(daemons.len());
        let mut crowd =
            Self { setting, room, daemons, network, random, us: 0, tokens: 0, spread: BTreeMap::new() };
        crowd.dial(ROOM_LINKS_WANTED);
        crowd
    }

    /// Lets each daemon dial others by lot while it has fewer links than that.
    pub fn dial(&mut self, links: usize) {
        let count = self.daemons.len();
        for a in 0..count {
            let mut others: Vec<usize> = (0..count).filter(|&b| b != a).collect();
            while self.network.degree(a) < links && !others.is_empty() {
                let b = others.swap_remove(self.random.index(others.len()));
                if !self.network.are_linked(a, b) {
                    // Daemons start when they do: their heartbeats are not in step.
                    let at_us = self.us + self.random.below(HEARTBEAT_MS * 1000);
                    self.network.connect(a, b, at_us);
                }
            }
        }
    }

    /// Cuts every link between those before and those from `middle` on; returns how many.
    pub fn cut(&mut self, middle: usize) -> usize {
        let across = |&(a, b): &(usize, usize)| (a < middle) != (b < middle);
        let cut: Vec<(usize, usize)> = self.network.pairs().filter(across).collect();
        for &(a, b) in &cut {
            for link in self.network.disconnect(a, b) {
                self.give(self.network.owner(link), Input::LinkDown { link });
            }
        }
        cut.len()
    }

    /// How many links those have that have the fewest and the most.
    pub fn links(&self) -> (usize, usize) {
        let degrees = || (0..self.daemons.len()).map(|daemon| self.network.degree(daemon));
        (degrees().min().unwrap_or(0), degrees().max().unwrap_or(0))
    }

    /// From now on the last so many daemons send no runs, neither their own nor others', although they say they would.
    pub fn mute(&mut self, daemons: usize) {
        self.daemons.iter_mut().rev().take(daemons).for_each(|daemon| daemon.is_mute = true);
    }

    /// Lives on for that long.
    pub fn live(&mut self, ms: u64) {
        let until = self.us + ms * 1000;
        while let Some((us, event)) = self.network.next(until) {
            self.us = us;
            match event {
                Event::Wake { daemon } => self.give(daemon, Input::Wake),
                Event::Up { link, end } => {
                    let (daemon, other) = (self.network.owner(link), self.network.other(link));
                    let (peer, random) = (self.daemons[other].keys.public(), self.random.bytes());
                    self.give(daemon, Input::LinkUp { link, peer, end, random });
                }
                Event::Deliver { link, bytes } => {
                    self.give(self.network.owner(link), Input::Frame { link, bytes })
                }
            }
        }
        self.us = until;
    }

    /// Makes an edit at one daemon.
    pub fn edit(&mut self, daemon: usize) {
        self.tokens += 1;
        let op = EditOp {
            otype: "vector3.set".to_owned(),
            key: "scene".to_owned(),
            path: Some(format!("cube-{}.position", daemon % 8)),
            value: crate::value::Value::numbers(&[self.tokens as f64 / 7.0, 0.5, -1.25]),
            ..EditOp::default()
        };
        let edit = Edit { ops: vec![op], wait: Wait::Local, ..Edit::default() };
        let room = self.room;
        self.give(daemon, Input::Room { room, input: room::Input::Edit { token: self.tokens, edit } });
        self.give(daemon, Input::Room { room, input: room::Input::Flush });
    }

    /// Whether everybody holds the same and shows the same.
    pub fn is_agreed(&mut self) -> bool {
        let room = self.room;
        let mut seen: BTreeSet<(Vec<(Actor, u64)>, StateHash)> = BTreeSet::new();
        for daemon in &mut self.daemons {
            let room = daemon.board.room(&room).expect("it was added");
            let held: VersionVector = room.vector();
            seen.insert((held.iter().collect(), room.replica().state_hash()));
        }
        seen.len() == 1
    }

    /// Measures so many edits of so many authors in turn.
    pub fn measure(&mut self, authors: usize, edits: usize) -> Cost {
        let authors: Vec<usize> = (0..authors).map(|_| self.random.index(self.daemons.len())).collect();
        // Whoever begins tells who it is, and trees are made.
        for &author in authors.iter().cycle().take(4 * authors.len()) {
            self.edit(author);
            self.live(EDIT_EVERY_MS);
        }
        self.live(REST_MS);
        self.network.count_anew();
        let span_ms = EDIT_EVERY_MS * edits as u64 + REST_MS;
        self.live(span_ms);
        let idle = self.network.count_anew();
        self.spread.clear();
        let mut made = BTreeMap::new();
        for index in 0..edits {
            let before: BTreeSet<Dot> = self.spread.keys().copied().collect();
            self.edit(authors[index % authors.len()]);
            made.extend(self.spread.keys().filter(|dot| !before.contains(dot)).map(|&dot| (dot, self.us)));
            self.live(EDIT_EVERY_MS);
        }
        self.live(REST_MS);
        let busy = self.network.count_anew();
        let mut rounds: Vec<u64> = made
            .iter()
            .map(|(dot, made_us)| {
                let (count, last_us) = self.spread[dot];
                assert_eq!(count, self.daemons.len(), "an edit is not everywhere");
                (last_us - made_us).div_ceil(HOP_US)
            })
            .collect();
        rounds.sort_unstable();
        let daemons = self.daemons.len() as f64;
        let each = |busy: u64, idle: u64| (busy as f64 - idle as f64) / daemons / edits as f64;
        let idle_s = span_ms as f64 / 1000.0;
        let most = busy.by_daemon.iter().zip(&idle.by_daemon).map(|(busy, idle)| busy.saturating_sub(*idle));
        Cost {
            links: self.network.links() as f64 * 2.0 / daemons,
            idle_frames: idle.frames as f64 / daemons / idle_s,
            idle_bytes: idle.bytes as f64 / daemons / idle_s,
            runs: each(busy.runs, idle.runs),
            frames: each(busy.frames, idle.frames),
            bytes: each(busy.bytes, idle.bytes),
            frames_max: most.max().unwrap_or(0) as f64 / edits as f64,
            rounds: rounds[(rounds.len() - 1) / 2],
            rounds_max: rounds[rounds.len() - 1],
        }
    }

    /// Gives a daemon an input and carries out what comes of it.
    fn give(&mut self, index: usize, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Now { monotonic_us: self.us, wall_ms: 1 + self.us / 1000 };
            let mut outputs = Vec::new();
            self.daemons[index].board.handle(input, now, &mut outputs);
            for output in outputs {
                inputs.extend(self.carry_out(index, output));
            }
        }
        if let Some(at) = self.daemons[index].board.wake_at() {
            self.network.wake(index, at.max(self.us));
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) -> Option<Input> {
        let daemon = &mut self.daemons[index];
        let room = self.room;
        match output {
            Output::Send { link, bytes, unsent, .. } => {
                if let Some((room, input)) = unsent
                    && self.random.per_mille(self.setting.unsent_per_mille)
                {
                    return Some(Input::Room { room, input });
                }
                self.network.send(link, bytes, daemon.is_mute, self.us + HOP_US);
            }
            Output::Disconnect { link, .. } => {
                let other = self.network.other(link);
                for end in self.network.disconnect(index, other).into_iter().filter(|end| *end != link) {
                    self.give(other, Input::LinkDown { link: end });
                }
                if self.network.degree(index).min(self.network.degree(other)) < ROOM_LINKS_WANTED {
                    self.network.connect(index, other, self.us + HEARTBEAT_MS * 1000);
                }
            }
            Output::Room { output: room::Output::Store { batch, records }, .. } => {
                for record in records {
                    let spread = self.spread.entry(Dot { actor: record.actor, seq: record.seq }).or_default();
                    *spread = (spread.0 + 1, self.us);
                    daemon.disk.insert((record.actor, record.seq), record);
                }
                return Some(Input::Room { room, input: room::Input::Committed { batch } });
            }
            Output::Room { output: room::Output::Read { link, ranges }, .. } => {
                let read = ranges
                    .iter()
                    .flat_map(|&(actor, from, to)| daemon.disk.range((actor, from)..=(actor, to)));
                let records = read.map(|(_, record)| record.clone()).collect();
                return Some(Input::Room { room, input: room::Input::Read { link, records } });
            }
            Output::Room { output: room::Output::Reply { result, .. }, .. } => {
                result.expect("edits of a room without members are taken");
            }
            Output::Room { .. }
            | Output::Met { .. }
            | Output::Spare { .. }
            | Output::Claimed { .. }
            | Output::Welcomed { .. }
            | Output::Refused { .. }
            | Output::Secrets { .. }
            | Output::Wake { .. } => {}
        }
        None
    }
}
