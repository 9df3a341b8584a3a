//! Chance from a seed, so that what failed once can be made to fail again.

use std::hash::{BuildHasher, RandomState};

/// Numbers that look random (SplitMix64, Steele et al. 2014).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Any of 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("less than a usize")
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }
}

/// The seed of `RTC_SEED`, or any; said on stderr, which a failed test shows.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("RTC_SEED").ok();
    let seed = given.map_or_else(
        || RandomState::new().hash_one(()) >> 32,
        |given| given.parse().expect("RTC_SEED is a number"),
    );
    eprintln!("RTC_SEED={seed}");
    seed
}

/// `RTC_SOAK`: how many times as much is tried as usual.
pub(crate) fn soak() -> usize {
    std::env::var("RTC_SOAK").map_or(1, |given| given.parse().expect("RTC_SOAK is a number"))
}
