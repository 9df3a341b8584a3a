//! What goes wrong in a universe, and how often. Each seed draws its own; some draw nothing.

use std::fmt;
use std::str::FromStr;

use crate::sim::{Failure, Random};

/// All that may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Between the machines.
    pub network: NetworkFaults,
    /// Under a daemon.
    pub disk: DiskFaults,
    /// What daemons take for the time.
    pub clock: ClockFaults,
    /// The daemons themselves.
    pub process: ProcessFaults,
    /// What a member does that is no daemon of ours.
    pub mischief: Mischief,
}

/// What the network does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetworkFaults {
    /// The longest a frame takes on top of a quick one's tenth of a millisecond.
    pub delay_ms_max: u64,
    /// Frames that never come, of 1,000.
    pub drop_per_mille: u64,
    /// Frames that come twice, of 1,000.
    pub duplicate_per_mille: u64,
    /// Frames of which one bit is flipped, of 1,000.
    pub flip_per_mille: u64,
    /// Live runs that find no room in their queue, of 1,000.
    pub unsent_per_mille: u64,
    /// Whether frames overtake each other.
    pub reorder: bool,
    /// Peers to and from which everything takes long.
    pub slow_peers: u64,
    /// Cuts between two peers.
    pub cuts: u64,
    /// Cuts of one direction only.
    pub cuts_one_way: u64,
    /// Times at which a peer is cut off from all others, for long.
    pub absences: u64,
}

/// What the disks do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskFaults {
    /// Times at which a disk is full for a while.
    pub full: u64,
    /// Calls of a store that fail, each the n-th of some disk.
    pub errors: u64,
    /// The n-th call of the first peer's store, and how it fails.
    pub error_at: Option<(u64, Failure)>,
    /// Whether a crash leaves some of the batches that were being written; else it leaves none of them.
    pub torn: bool,
    /// Bits that flip at rest.
    pub flips: u64,
    /// Old images that are put back.
    pub restores: u64,
    /// Images that are copied to another machine and started there as well.
    pub copies: u64,
}

/// What the clocks do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockFaults {
    /// Whether people's clocks are wrong by years.
    pub skew: bool,
    /// Times at which somebody sets a clock, mostly back.
    pub jumps: u64,
    /// Times at which a machine's clocks stand still.
    pub standstills: u64,
}

/// What happens to the daemons.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProcessFaults {
    /// Crashes, each between any two steps.
    pub crashes: u64,
    /// Whether a crash takes the machine down: the volatile place is empty afterwards.
    pub reboot: bool,
    /// Stops in good order, each followed by a start.
    pub restarts: u64,
    /// Times at which a daemon is stopped and goes on later, as a suspended machine does.
    pub pauses: u64,
}

/// What the last peer does besides its duty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mischief {
    /// Tells some peers another message than others, under one number.
    pub equivocate: u64,
    /// Sends lamports that do not follow from their past.
    pub lamports: u64,
    /// Sends clocks that name what is not there.
    pub clocks: u64,
    /// Sends what exceeds the limits, or is nothing at all.
    pub oversize: u64,
    /// Sends messages in the names of others.
    pub forge: u64,
    /// Sends what others made for another room.
    pub replay: u64,
    /// Sends many messages whose past nobody has.
    pub flood: u64,
    /// Whether it passes on little of what it has.
    pub withhold: bool,
}

impl Mischief {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// A family of faults, as `--faults` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// [`NetworkFaults`].
    Network,
    /// [`DiskFaults`].
    Disk,
    /// [`ClockFaults`].
    Clock,
    /// [`ProcessFaults`].
    Process,
    /// [`Mischief`].
    Peers,
}

/// A word that names no family of faults.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there are no faults called `{found}`, only network, disk, clock, process and peers")]
pub struct FaultKindError {
    found: String,
}

impl FaultKind {
    /// Every family.
    pub const ALL: [Self; 5] = [Self::Network, Self::Disk, Self::Clock, Self::Process, Self::Peers];

    fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Process => "process",
            Self::Peers => "peers",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = FaultKindError;

    fn from_str(text: &str) -> Result<Self, FaultKindError> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or_else(|| FaultKindError { found: text.to_owned() })
    }
}

/// One universe in so many has no faults: there everything has to go well.
const QUIET: u64 = 12;

impl Faults {
    /// Draws which faults are on and how hard. Of the families left out nothing remains, and the others stay what they were.
    pub fn draw(random: &mut Random, kinds: &[FaultKind]) -> Self {
        let quiet = random.below(QUIET) == 0;
        let drawn = Self::draw_all(random);
        let mut faults = Self::default();
        for kind in kinds.iter().filter(|_| !quiet) {
            match kind {
                FaultKind::Network => faults.network = drawn.network,
                FaultKind::Disk => faults.disk = drawn.disk,
                FaultKind::Clock => faults.clock = drawn.clock,
                FaultKind::Process => faults.process = drawn.process,
                FaultKind::Peers => faults.mischief = drawn.mischief,
            }
        }
        faults
    }

    fn draw_all(random: &mut Random) -> Self {
        // Each fault is off more often than on, so that each is met alone and in company.
        let mut maybe = |max: u64| if random.per_mille(350) { 1 + random.below(max) } else { 0 };
        let network = NetworkFaults {
            delay_ms_max: maybe(200),
            drop_per_mille: maybe(120),
            duplicate_per_mille: maybe(250),
            flip_per_mille: maybe(30),
            unsent_per_mille: maybe(200),
            reorder: maybe(2) == 1,
            slow_peers: maybe(1),
            cuts: maybe(6),
            cuts_one_way: maybe(4),
            absences: maybe(1),
        };
        let disk = DiskFaults {
            full: maybe(3),
            errors: maybe(2),
            error_at: None,
            torn: maybe(2) > 0,
            flips: maybe(2),
            restores: maybe(2),
            copies: maybe(2) / 2,
        };
        let clock = ClockFaults { skew: maybe(1) > 0, jumps: maybe(4), standstills: maybe(2) };
        let process =
            ProcessFaults { crashes: maybe(4), reboot: maybe(2) == 1, restarts: maybe(2), pauses: maybe(2) };
        // In two of five universes a member misbehaves, in at most three ways.
        let mut mischief = Mischief::default();
        let ways = if random.per_mille(400) { 1 + random.below(3) } else { 0 };
        for _ in 0..ways {
            let times = 1 + random.below(4);
            match random.below(8) {
                0 => mischief.equivocate = 1,
                1 => mischief.lamports = times,
                2 => mischief.clocks = times,
                3 => mischief.oversize = times,
                4 => mischief.forge = times,
                5 => mischief.replay = times,
                6 => mischief.flood = 1,
                _ => mischief.withhold = true,
            }
        }
        let mut drawn = Self { network, disk, clock, process, mischief };
        if drawn.mischief.equivocate > 0 {
            // Two machines with one key are not connected, and those between them may hold the other branch.
            drawn.disk.copies = 0;
        }
        drawn
    }
}
