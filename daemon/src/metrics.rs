//! What happens, in numbers for Prometheus; off unless asked for.
//!
//! Whoever counts something adds to a counter here and waits for nobody. What rooms know is read when somebody asks.

mod server;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use rtc_core::sync::Lane;

pub use server::{Question, Server, parse_address};

/// Which way a frame went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
pub enum Direction {
    /// From a peer.
    In,
    /// To a peer.
    Out,
}

/// How urgent a frame was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
enum LaneLabel {
    Live,
    Bulk,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Way {
    direction: Direction,
    lane: LaneLabel,
}

/// Why something was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
pub enum Loss {
    /// A live run found the queue to its peer full; it goes as backlog.
    QueueFull,
    /// A peer took nothing in for so long that its connection was ended.
    PeerStuck,
    /// What a peer sent can never be part of the room.
    Refused,
    /// A run found the buffer of those that wait for their past full; it is fetched again.
    Early,
    /// A run came while the room takes nothing in, for want of a disk.
    ReadOnly,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Why {
    reason: Loss,
}

/// The numbers; clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    frames: Family<Way, Counter>,
    bytes: Family<Way, Counter>,
    drops: Family<Why, Counter>,
    commits: Histogram,
    duplicates: Counter,
    rounds: Counter,
    rooms: Gauge,
    asleep: Gauge,
    links: Gauge,
    messages: Gauge<u64, AtomicU64>,
    lag: Gauge<f64, AtomicU64>,
}

/// What rooms know, all together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Reading {
    /// What they counted since the last reading.
    pub counted: rtc_core::room::Tally,
    /// How many there are.
    pub rooms: usize,
    /// How many of them are out of memory.
    pub asleep: usize,
    /// Connections.
    pub links: usize,
    /// Messages held.
    pub messages: u64,
    /// For how long some connected member has held something else, at most.
    pub lag: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            frames: Family::default(),
            bytes: Family::default(),
            drops: Family::default(),
            // From a memory file system to a disk that spins up.
            commits: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            duplicates: Counter::default(),
            rounds: Counter::default(),
            rooms: Gauge::default(),
            asleep: Gauge::default(),
            links: Gauge::default(),
            messages: Gauge::default(),
            lag: Gauge::default(),
        }
    }
}

impl Metrics {
    /// A frame of that many bytes went over a connection, or is about to.
    pub fn frame(&self, direction: Direction, lane: Lane, bytes: usize) {
        let lane = match lane {
            Lane::Live => LaneLabel::Live,
            Lane::Bulk => LaneLabel::Bulk,
        };
        let way = Way { direction, lane };
        self.frames.get_or_create(&way).inc();
        self.bytes.get_or_create(&way).inc_by(bytes as u64);
    }

    /// Something was dropped.
    pub fn lose(&self, reason: Loss) {
        self.drops.get_or_create(&Why { reason }).inc();
    }

    /// A group of batches took that long to reach the disk, the wait for its confirmation included.
    pub fn commit(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// Takes in what rooms know.
    pub fn read(&self, reading: &Reading) {
        let Reading { counted, rooms, asleep, links, messages, lag } = reading;
        self.duplicates.inc_by(counted.duplicates);
        self.rounds.inc_by(counted.rounds);
        self.drops.get_or_create(&Why { reason: Loss::Early }).inc_by(counted.dropped_early);
        self.drops.get_or_create(&Why { reason: Loss::ReadOnly }).inc_by(counted.dropped_read_only);
        self.rooms.set(i64::try_from(*rooms).unwrap_or(i64::MAX));
        self.asleep.set(i64::try_from(*asleep).unwrap_or(i64::MAX));
        self.links.set(i64::try_from(*links).unwrap_or(i64::MAX));
        self.messages.set(*messages);
        self.lag.set(lag.as_secs_f64());
    }

    /// The names and what they mean.
    fn registry(&self) -> Registry {
        let mut all = Registry::with_prefix("rtc");
        all.register("frames", "Frames between this daemon and its peers, by lane", self.frames.clone());
        all.register("frame_bytes", "Bytes of these frames", self.bytes.clone());
        all.register(
            "drops",
            "What was dropped, and is repaired by sync where it may be",
            self.drops.clone(),
        );
        let help = "Time from a group of messages to their being durable";
        all.register_with_unit("commit", help, Unit::Seconds, self.commits.clone());
        all.register(
            "duplicate_runs",
            "Runs of messages that came and were held already",
            self.duplicates.clone(),
        );
        all.register("sync_rounds", "How often a peer was told what is held here", self.rounds.clone());
        all.register("rooms", "Rooms that are held", self.rooms.clone());
        all.register("rooms_asleep", "Rooms that are out of memory until they are used", self.asleep.clone());
        all.register("connections", "Connections to peers", self.links.clone());
        all.register("messages", "Messages held in all rooms", self.messages.clone());
        let help = "How long ago a connected member was last known to hold the same, of all the longest; 0 where all do";
        all.register_with_unit("convergence_lag", help, Unit::Seconds, self.lag.clone());
        all
    }
}
