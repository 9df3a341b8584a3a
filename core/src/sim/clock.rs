//! A machine's two clocks: one that only goes forward, from anywhere, and one that people set, and set wrongly.

use crate::sync::Now;

/// What a clock that is right shows when a universe begins, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// The clocks of one machine, as they follow from the time of the universe.
#[derive(Default)]
pub(super) struct SimClock {
    /// Where the monotonic clock began at this boot.
    origin_us: u64,
    /// How much the people's clock goes wrong.
    skew_ms: i64,
    /// How long both clocks have stood still so far.
    lag_us: u64,
    /// Since when they stand still.
    stands_since: Option<u64>,
}

impl SimClock {
    /// What the clocks show.
    pub(super) fn now(&self, us: u64) -> Now {
        let passed_us = self.stands_since.unwrap_or(us) - self.lag_us;
        let wall_ms = (BEGIN_MS + passed_us / 1000).saturating_add_signed(self.skew_ms);
        Now { monotonic_us: self.origin_us + passed_us, wall_ms }
    }

    /// When the monotonic clock shows `monotonic_us`; never while it stands still.
    pub(super) fn when(&self, monotonic_us: u64) -> Option<u64> {
        let us = monotonic_us.saturating_sub(self.origin_us).saturating_add(self.lag_us);
        self.stands_since.is_none().then_some(us)
    }

    /// The machine boots: its monotonic clock begins anew.
    pub(super) fn boot(&mut self, origin_us: u64) {
        self.origin_us = origin_us;
    }

    /// Somebody sets the people's clock.
    pub(super) fn jump(&mut self, ms: i64) {
        self.skew_ms = self.skew_ms.saturating_add(ms);
    }

    /// Both clocks stop.
    pub(super) fn stop(&mut self, us: u64) {
        self.stands_since.get_or_insert(us);
    }

    /// Both clocks go on from where they stopped.
    pub(super) fn go_on(&mut self, us: u64) {
        if let Some(since) = self.stands_since.take() {
            self.lag_us += us - since;
        }
    }
}
