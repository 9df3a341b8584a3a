//! A universe from a seed: several daemons' real rooms and sync on virtual time, network and disks.
//!
//! Frames come late, twice, out of order or never; queues and disks are full; cables are cut, processes crash and machines
//! reboot. When the faults end, every replica must hold the same messages and show the scene of the naive fold, and nothing that was
//! acknowledged as durable may be missing. The same seed gives the same run, event by event.

mod disk;
mod edits;
mod peer;
mod random;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

pub use disk::SimDisk;
use peer::SimPeer;
pub use random::Random;

use crate::founding::Founding;
use crate::id::{Dot, PeerKey};
use crate::message::Message;
use crate::room;
use crate::switchboard::{Input, Output};
use crate::sync::{Lane, LinkFrame, LinkId, Now};
use crate::ticket::Secret;

/// How long the faults last, in virtual milliseconds.
const TROUBLE_MS: u64 = 20_000;
/// How long everybody then has to agree: a few heartbeats and what a lossy network left behind.
const PEACE_MS: u64 = 15_000;
/// How long a cut or a crash lasts at most.
const OUTAGE_MS: u64 = 4_000;

/// What goes wrong, and how often; each seed draws its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// The longest a frame takes.
    pub delay_ms_max: u64,
    /// Frames that never come, of 1,000.
    pub drop_per_mille: u64,
    /// Frames that come twice, of 1,000.
    pub duplicate_per_mille: u64,
    /// Whether frames overtake each other.
    pub reorder: bool,
    /// Live runs that find no room in their queue, of 1,000.
    pub unsent_per_mille: u64,
    /// Whether edits are so large that a reunion needs more than one portion of credit.
    pub bulky: bool,
    /// Times at which a disk is full for a while, in all.
    pub disks_full: u64,
    /// Cuts between two peers, in all.
    pub cuts: u64,
    /// Crashes of a process, in all.
    pub crashes: u64,
    /// Whether a crash takes the machine down: the volatile place is empty afterwards.
    pub reboot: bool,
}

impl Faults {
    /// Draws which faults are on and how hard; some universes have none.
    pub fn draw(random: &mut Random) -> Self {
        let mut maybe = |value: u64| if random.per_mille(500) { value } else { 0 };
        Self {
            delay_ms_max: 1 + maybe(200),
            drop_per_mille: maybe(100),
            duplicate_per_mille: maybe(200),
            reorder: maybe(1) == 1,
            unsent_per_mille: maybe(200),
            bulky: maybe(1) == 1,
            disks_full: maybe(4),
            cuts: maybe(6),
            crashes: maybe(4),
            reboot: maybe(1) == 1,
        }
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Messages that all replicas hold in the end.
    pub messages: u64,
    /// Frames delivered.
    pub deliveries: u64,
    /// Edits acknowledged as durable.
    pub acknowledged: u64,
    /// The hash of the whole run: equal for equal seeds.
    pub trace: [u8; 32],
}

/// A promise that did not hold, and the seed that shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The universe.
    pub seed: u64,
    /// What was broken.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl std::error::Error for Violation {}

/// Lives through the universe of `seed` with `peers` daemons that make `edits` edits.
pub fn run(seed: u64, peers: usize, edits: u64) -> Result<Report, Violation> {
    let mut random = Random::new(seed);
    let faults = Faults::draw(&mut random);
    run_with(seed, peers, edits, faults)
}

/// Lives through the universe of `seed` with the faults given.
pub fn run_with(seed: u64, peers: usize, edits: u64, faults: Faults) -> Result<Report, Violation> {
    let mut universe = Universe::new(seed, peers, faults);
    universe.plan(edits);
    universe.live().and_then(|()| universe.judge()).map_err(|what| Violation { seed, what })
}

/// What is going to happen.
enum Event {
    Connect { a: usize, b: usize },
    Deliver { to: usize, link: LinkId, bytes: Vec<u8> },
    LinkDown { to: usize, link: LinkId },
    Commit { peer: usize, life: u64, batch: u64, records: Vec<crate::store::Record> },
    Edit { peer: usize },
    Cut { a: usize, b: usize },
    Heal { a: usize, b: usize },
    DiskFull { peer: usize },
    DiskSpace { peer: usize },
    Crash { peer: usize },
    Start { peer: usize },
    Peace,
}

/// The two ends of a connection.
struct Wire {
    ends: [(usize, LinkId); 2],
}

struct Universe {
    random: Random,
    faults: Faults,
    now: Now,
    events: BTreeMap<(u64, u64), Event>,
    events_made: u64,
    peers: Vec<SimPeer>,
    wires: BTreeMap<(usize, usize), Wire>,
    cut: BTreeSet<(usize, usize)>,
    links_made: u64,
    /// When the newest frame of a direction and lane arrives: later ones do not overtake it.
    arrivals: BTreeMap<(LinkId, Lane), u64>,
    deliveries: u64,
    trace: blake3::Hasher,
}

impl Universe {
    fn new(seed: u64, count: usize, faults: Faults) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let founding =
            Founding { owner: PeerKey([0; 32]), nonce: random.bytes(), name: "sim".to_owned(), time_ms: 0 };
        let secret = Secret(random.bytes());
        let peers = (0..count).map(|index| SimPeer::new(index, &founding, secret, &mut random)).collect();
        Self {
            random,
            faults,
            now: Now::default(),
            events: BTreeMap::new(),
            events_made: 0,
            peers,
            wires: BTreeMap::new(),
            cut: BTreeSet::new(),
            links_made: 0,
            arrivals: BTreeMap::new(),
            deliveries: 0,
            trace: blake3::Hasher::new(),
        }
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.peers.len();
        (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect()
    }

    /// Sets everything that will happen from outside.
    fn plan(&mut self, edits: u64) {
        for (a, b) in self.pairs() {
            self.soon(100, Event::Connect { a, b });
        }
        for peer in 0..self.peers.len() {
            self.at(0, Event::Start { peer });
        }
        let count = self.peers.len() as u64;
        for _ in 0..edits {
            let peer = self.index(count);
            self.soon(TROUBLE_MS, Event::Edit { peer });
        }
        for _ in 0..self.faults.cuts {
            let pairs = self.pairs();
            let (a, b) = *self.random.pick(&pairs);
            let at = self.random.below(TROUBLE_MS);
            let end = at + self.random.below(OUTAGE_MS);
            self.at(at, Event::Cut { a, b });
            self.at(end, Event::Heal { a, b });
        }
        for _ in 0..self.faults.disks_full {
            let peer = self.index(count);
            let at = self.random.below(TROUBLE_MS);
            let end = at + self.random.below(OUTAGE_MS);
            self.at(at, Event::DiskFull { peer });
            self.at(end, Event::DiskSpace { peer });
        }
        for _ in 0..self.faults.crashes {
            let peer = self.index(count);
            let at = self.random.below(TROUBLE_MS);
            let end = at + 1 + self.random.below(OUTAGE_MS);
            self.at(at, Event::Crash { peer });
            self.at(end, Event::Start { peer });
        }
        self.at(TROUBLE_MS + OUTAGE_MS, Event::Peace);
    }

    fn index(&mut self, count: u64) -> usize {
        usize::try_from(self.random.below(count)).expect("few peers")
    }

    fn at(&mut self, ms: u64, event: Event) {
        self.at_us(ms * 1000, event);
    }

    fn at_us(&mut self, us: u64, event: Event) {
        self.events_made += 1;
        self.events.insert((us, self.events_made), event);
    }

    fn soon(&mut self, within_ms: u64, event: Event) {
        let us = self.now.monotonic_us + self.random.below(within_ms * 1000);
        self.at_us(us, event);
    }

    /// Lets everything happen, until peace has lasted long enough.
    fn live(&mut self) -> Result<(), String> {
        let end_us = (TROUBLE_MS + OUTAGE_MS + PEACE_MS) * 1000;
        loop {
            let event = self.events.first_key_value().map(|((us, _), _)| *us);
            let wake = self
                .peers
                .iter()
                .enumerate()
                .filter_map(|(peer, state)| Some((state.wake_at()?, peer)))
                .min();
            let event_first = event.is_some_and(|event| wake.is_none_or(|(wake, _)| event <= wake));
            let next = if event_first { event } else { wake.map(|(wake, _)| wake) };
            let Some(next_us) = next.filter(|us| *us < end_us) else { return Ok(()) };
            self.now.monotonic_us = self.now.monotonic_us.max(next_us);
            self.now.wall_ms = self.now.monotonic_us / 1000;
            if event_first {
                let ((us, _), event) = self.events.pop_first().expect("just seen");
                self.trace.update(&us.to_le_bytes());
                self.happen(event)?;
            } else if let Some((_, peer)) = wake {
                self.input(peer, Input::Wake)?;
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Connect { a, b } => self.connect(a, b),
            Event::Deliver { to, link, bytes } => {
                self.deliveries += 1;
                self.trace.update(&bytes);
                self.input(to, Input::Frame { link, bytes })
            }
            Event::LinkDown { to, link } => self.input(to, Input::LinkDown { link }),
            Event::Commit { peer, life, batch, records } => {
                let input = self.peers[peer].commit(life, batch, records);
                input.map_or(Ok(()), |input| self.room_input(peer, input))
            }
            Event::Edit { peer } => {
                let input = self.peers[peer].next_edit(self.faults.bulky, &mut self.random);
                let Some(input) = input else { return Ok(()) };
                self.room_input(peer, input)?;
                self.room_input(peer, room::Input::Flush)
            }
            Event::Cut { a, b } => {
                self.cut.insert((a, b));
                Ok(())
            }
            Event::Heal { a, b } => {
                self.cut.remove(&(a, b));
                Ok(())
            }
            Event::DiskFull { peer } => self.set_disk_full(peer, true),
            Event::DiskSpace { peer } => self.set_disk_full(peer, false),
            Event::Crash { peer } => self.crash(peer),
            Event::Start { peer } => self.peers[peer].start(self.now),
            Event::Peace => {
                self.faults = Faults { delay_ms_max: self.faults.delay_ms_max, ..Faults::default() };
                self.cut.clear();
                (0..self.peers.len()).try_for_each(|peer| self.set_disk_full(peer, false))
            }
        }
    }

    fn set_disk_full(&mut self, peer: usize, is_full: bool) -> Result<(), String> {
        let input = self.peers[peer].set_disk_full(is_full);
        input.map_or(Ok(()), |input| self.room_input(peer, input))
    }

    /// Tries to connect two peers, and tries again for ever: daemons redial.
    fn connect(&mut self, a: usize, b: usize) -> Result<(), String> {
        self.at_us(self.now.monotonic_us + 200_000, Event::Connect { a, b });
        let up = self.peers[a].is_up() && self.peers[b].is_up() && !self.cut.contains(&(a, b));
        if !up || self.wires.contains_key(&(a, b)) {
            return Ok(());
        }
        self.links_made += 2;
        let ends = [(a, LinkId(self.links_made)), (b, LinkId(self.links_made + 1))];
        self.wires.insert((a, b), Wire { ends });
        for (index, (peer, link)) in ends.into_iter().enumerate() {
            let other = self.peers[ends[1 - index].0].key();
            let nonce = self.random.bytes();
            self.input(peer, Input::LinkUp { link, peer: other, nonce })?;
        }
        Ok(())
    }

    fn crash(&mut self, peer: usize) -> Result<(), String> {
        self.peers[peer].crash(self.faults.reboot);
        for pair in self.pairs().into_iter().filter(|(a, b)| *a == peer || *b == peer) {
            self.unplug(pair, peer);
        }
        Ok(())
    }

    /// The connection of a pair ends at `by`; the other end learns it, unless the cable is cut.
    fn unplug(&mut self, pair: (usize, usize), by: usize) {
        let Some(wire) = self.wires.remove(&pair) else { return };
        if !self.cut.contains(&pair) {
            for (to, link) in wire.ends.into_iter().filter(|(peer, _)| *peer != by) {
                self.soon(1, Event::LinkDown { to, link });
            }
        }
    }

    fn room_input(&mut self, peer: usize, input: room::Input) -> Result<(), String> {
        let room = self.peers[peer].room();
        self.input(peer, Input::Room { room, input })
    }

    fn input(&mut self, peer: usize, input: Input) -> Result<(), String> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.peers[peer].handle(input, self.now) {
                match output {
                    Output::Send { link, run: Some((room, first)), .. }
                        if self.random.per_mille(self.faults.unsent_per_mille) =>
                    {
                        inputs.push_back(Input::Room { room, input: room::Input::Unsent { link, first } });
                    }
                    Output::Send { link, lane, bytes, .. } => self.send(peer, link, lane, bytes),
                    Output::Disconnect { link, .. } => {
                        let pair = self.wires.iter().find(|(_, wire)| wire.ends.contains(&(peer, link)));
                        if let Some(&pair) = pair.map(|(pair, _)| pair) {
                            self.unplug(pair, peer);
                        }
                    }
                    Output::Room { room, output: room::Output::Store { batch, records } } => {
                        debug_assert_eq!(room, self.peers[peer].room());
                        let life = self.peers[peer].life();
                        let us = self.now.monotonic_us + self.random.below(5_000);
                        let us = self.peers[peer].commit_at(us);
                        self.at_us(us, Event::Commit { peer, life, batch, records });
                    }
                    Output::Room { room, output } => {
                        inputs.extend(
                            self.peers[peer].carry_out(output)?.map(|input| Input::Room { room, input }),
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, from: usize, link: LinkId, lane: Lane, bytes: Vec<u8>) {
        let ends = self.wires.iter().find(|(_, wire)| wire.ends.contains(&(from, link)));
        let Some((&pair, wire)) = ends else { return };
        let (to, to_link) = *wire.ends.iter().find(|(peer, _)| *peer != from).expect("a wire has two ends");
        if self.cut.contains(&pair) {
            return;
        }
        // What concerns the connection itself comes as a stream delivers it; rooms must bear worse.
        let faults = match LinkFrame::decode(&bytes) {
            Ok(Some(LinkFrame::Room { .. })) => self.faults,
            _ => Faults { delay_ms_max: self.faults.delay_ms_max, ..Faults::default() },
        };
        if self.random.per_mille(faults.drop_per_mille) {
            return;
        }
        let copies = 1 + u64::from(self.random.per_mille(faults.duplicate_per_mille));
        for _ in 0..copies {
            let mut us = self.now.monotonic_us + 100 + self.random.below(faults.delay_ms_max * 1000);
            if !faults.reorder {
                let last = self.arrivals.entry((to_link, lane)).or_insert(0);
                us = us.max(*last);
                *last = us;
            }
            self.at_us(us, Event::Deliver { to, link: to_link, bytes: bytes.clone() });
        }
    }

    /// Everybody holds the same, shows what the naive fold shows, and lost nothing acknowledged.
    fn judge(&mut self) -> Result<Report, String> {
        let messages: Vec<Message> = self.peers[0].journal();
        let naive = crate::naive::fold(&crate::scene::Root::default(), &messages);
        let held: BTreeSet<Dot> = messages.iter().map(Message::dot).collect();
        let mut acknowledged = 0;
        for (index, peer) in self.peers.iter_mut().enumerate() {
            let state = peer.state_hash().ok_or("a peer is down in the end")?;
            if peer.journal().len() != messages.len() {
                return Err(format!(
                    "peer {index} holds {} of {} messages",
                    peer.journal().len(),
                    messages.len()
                ));
            }
            if state != naive.scene.hash() {
                return Err(format!("peer {index} does not show the naive fold's scene"));
            }
            acknowledged += peer.acknowledged().len() as u64;
            if let Some(lost) = peer.acknowledged().iter().find(|dot| !held.contains(dot)) {
                return Err(format!("peer {index} acknowledged message {lost}, and it is lost"));
            }
        }
        Ok(Report {
            messages: messages.len() as u64,
            deliveries: self.deliveries,
            acknowledged,
            trace: *self.trace.finalize().as_bytes(),
        })
    }
}
