//! How two replicas come to hold the same messages: frames, links, and what one lacks of the other.

pub mod backlog;
pub mod frame;
pub mod link;
pub mod live;
mod opening;
pub mod ranges;
pub mod run;
pub mod survey;

pub use frame::{LinkFrame, RoomFrame};
pub use link::{Link, LinkId};
pub use opening::End;
pub use run::Run;

/// How urgent a frame is: backlog never delays what is live.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// Live messages and control.
    Live,
    /// Backlog, under credit.
    Bulk,
}

/// The time, as whoever owns a clock tells it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Now {
    /// Microseconds of a clock that never jumps, from any origin.
    pub monotonic_us: u64,
    /// Milliseconds since 1970, as people have it; it orders nothing.
    pub wall_ms: u64,
}

impl Now {
    /// The moment `ms` milliseconds later, on the monotonic clock; whoever wants to wait for ever may.
    pub fn after_ms(self, ms: u64) -> u64 {
        self.monotonic_us.saturating_add(ms.saturating_mul(1000))
    }
}
