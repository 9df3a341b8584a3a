//! A universe from a seed: several daemons' real rooms and sync on virtual time, network, disks and clocks.
//!
//! Frames come late, twice, damaged, out of order or never; disks fill up, fail, rot and are put back; clocks are wrong;
//! processes crash between any two steps; a member tells lies; the keeper lets history go; owners remove
//! members and admit them again. All along, equal messages must give
//! equal scenes and every buffer stay within its limit. When the faults end, all replicas must soon hold the same messages and show the naive
//! fold's scene, and nothing that was acknowledged may be missing. The same seed gives the same run, event by event.

mod audit;
mod clock;
mod crowd;
mod disk;
mod edits;
mod fate;
mod faults;
mod forgetting;
mod governing;
mod judge;
mod keys;
mod network;
mod peer;
mod random;
mod rogue;
mod universe;

use std::fmt;
use std::ops::RangeInclusive;

pub use crowd::{Cost, Crowd, Setting};
pub use disk::{Failure, SimDisk};
#[cfg(test)]
pub(crate) use edits::draw_op;
pub use faults::{
    ClockFaults, DiskFaults, FaultKind, FaultKindError, Faults, Mischief, NetworkFaults, ProcessFaults,
};
pub use random::{Random, Trace};
use universe::Universe;

/// Peers of a universe, unless somebody asks for others.
pub const PEERS: RangeInclusive<usize> = 3..=7;
/// Edits of a universe, unless somebody asks for others.
pub const EDITS: u64 = 200;

/// One universe in so many tells by ranges what is held, however few its actors are.
const VAST: u64 = 3;

/// Whether the daemons of a seed's universe tell by ranges what they hold.
pub fn is_vast(seed: u64) -> bool {
    seed % VAST == 1
}

/// One universe in so many takes few connected peers for a crowd.
const CROWDED: u64 = 5;

/// Whether the daemons of a seed's universe take few connected peers for a crowd.
pub fn is_crowded(seed: u64) -> bool {
    seed % CROWDED == 3
}

/// Which universe to live through.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// How many peers there may be; few are drawn more often than many.
    pub peers: RangeInclusive<usize>,
    /// How many edits their users make.
    pub edits: u64,
    /// What goes wrong.
    pub faults: Choice,
    /// Whether the report has every event, in words.
    pub log: bool,
}

/// What goes wrong in a universe.
#[derive(Clone, Debug)]
pub enum Choice {
    /// What the seed draws of these families.
    Drawn(Vec<FaultKind>),
    /// Exactly this.
    Given(Box<Faults>),
}

impl Plan {
    /// The universe of a seed, with whatever it draws.
    pub fn new(seed: u64) -> Self {
        let faults = Choice::Drawn(FaultKind::ALL.to_vec());
        Self { seed, peers: PEERS, edits: EDITS, faults, log: false }
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// What went wrong.
    pub faults: Faults,
    /// Daemons that took part, copies included.
    pub peers: u64,
    /// Edits that were asked for.
    pub edits: u64,
    /// Messages that all replicas hold in the end.
    pub messages: u64,
    /// Frames delivered.
    pub deliveries: u64,
    /// Edits acknowledged as durable.
    pub acknowledged: u64,
    /// Horizons that the keeper wrote.
    pub horizons: u64,
    /// Heartbeats between the end of the faults and agreement.
    pub rounds: u64,
    /// How full things became.
    pub peaks: Peaks,
    /// The hash of the whole run: equal for equal seeds.
    pub trace: u64,
    /// Every event in words, if that was asked for.
    pub log: Vec<String>,
}

/// The most that ever waited somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peaks {
    /// Messages that waited for their past, in one room.
    pub waiting_messages: u64,
    /// Bytes of backlog under way over one connection, one way.
    pub backlog_bytes: u64,
    /// Outputs of one input.
    pub outputs: u64,
}

impl Peaks {
    /// The greater of each.
    pub fn join(&mut self, other: &Self) {
        self.waiting_messages = self.waiting_messages.max(other.waiting_messages);
        self.backlog_bytes = self.backlog_bytes.max(other.backlog_bytes);
        self.outputs = self.outputs.max(other.outputs);
    }
}

/// A promise that did not hold, and the seed that shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The universe.
    pub seed: u64,
    /// What was broken.
    pub what: String,
    /// Every event before, if that was asked for.
    pub log: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl std::error::Error for Violation {}

/// Lives through a universe.
pub fn run(plan: &Plan) -> Result<Report, Violation> {
    let mut universe = Universe::new(plan);
    let outcome = universe.live().and_then(|()| universe.judge());
    let log = universe.take_log();
    match outcome {
        Ok(report) => Ok(Report { log, ..report }),
        Err(what) => Err(Violation { seed: plan.seed, what, log }),
    }
}
