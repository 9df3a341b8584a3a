//! The simulator is not blind: each bug that a test build plants is caught, and within how many universes.
//!
//! `cargo test --release -p rtc-core --features planted-bugs --test planted -- --nocapture`

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtc_core::planted::Bug;
use rtc_core::sim::{self, Plan};

/// Universes allocate much and briefly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Universes within which a bug has to be caught.
const SEEDS_MAX: u64 = 10_000;

/// What the first universe says that notices the bug.
fn first_catch(bug: Bug, mut seeds: impl Iterator<Item = u64>) -> Option<(u64, String)> {
    seeds.find_map(|seed| {
        // Whatever a bug breaks may also panic, before anybody could say what is wrong.
        let outcome = catch_unwind(|| bug.during(|| sim::run(&Plan::new(seed))));
        match outcome {
            Ok(Ok(_)) => None,
            Ok(Err(violation)) => Some((seed, violation.what)),
            Err(_) => Some((seed, "it panics".to_owned())),
        }
    })
}

#[test]
fn every_planted_bug_is_caught() {
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(&bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match first_catch(bug, 0..SEEDS_MAX) {
                        Some((seed, what)) => println!("{bug:?}: caught by seed {seed}: {what}"),
                        None => missed.lock().expect("nobody panics with it").push(bug),
                    }
                }
            });
        }
    });
    drop(std::panic::take_hook());
    let missed = missed.into_inner().expect("nobody panicked with it");
    assert!(missed.is_empty(), "not caught within {SEEDS_MAX} universes: {missed:?}");
}

#[test]
fn a_cursor_that_skips_is_caught_where_ranges_tell_what_is_held() {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = first_catch(Bug::CursorAhead, (0..SEEDS_MAX).filter(|&seed| sim::is_vast(seed)));
    drop(std::panic::take_hook());
    println!("{caught:?}");
    assert!(caught.is_some());
}
