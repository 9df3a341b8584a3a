//! The simulator is not blind: each bug that a test build plants is caught, and within how many universes.
//!
//! `cargo test --release -p rtc-core --features planted-bugs --test planted -- --nocapture`

use std::panic::catch_unwind;
use std::sync::Mutex;

use rtc_core::planted::Bug;
use rtc_core::sim::{self, Plan};

/// Universes allocate much and briefly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Universes within which a bug has to be caught.
const SEEDS_MAX: u64 = 10_000;

/// What the first universe of these says that notices the bug. As many are lived through at once as there are processors.
fn first_catch(bug: Bug, seeds: impl Iterator<Item = u64> + Send) -> Option<(u64, String)> {
    let (seeds, caught) = (Mutex::new(seeds), Mutex::new(None::<(u64, String)>));
    let is_caught_before =
        |seed| caught.lock().expect("nobody panics with it").as_ref().is_some_and(|(first, _)| *first < seed);
    let next = || seeds.lock().expect("nobody panics with it").next();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = next().filter(|&seed| !is_caught_before(seed)) {
                    // Whatever a bug breaks may also panic, before anybody could say what is wrong.
                    let what = match catch_unwind(|| bug.during(|| sim::run(&Plan::new(seed)))) {
                        Ok(Ok(_)) => continue,
                        Ok(Err(violation)) => violation.what,
                        Err(_) => "it panics".to_owned(),
                    };
                    if !is_caught_before(seed) {
                        *caught.lock().expect("nobody panics with it") = Some((seed, what));
                    }
                }
            });
        }
    });
    drop(std::panic::take_hook());
    caught.into_inner().expect("nobody panicked with it")
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match first_catch(bug, 0..SEEDS_MAX) {
            Some((seed, what)) => println!("{bug:?}: caught by seed {seed}: {what}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS_MAX} universes: {missed:?}");
}

#[test]
fn a_cursor_that_skips_is_caught_where_ranges_tell_what_is_held() {
    let caught = first_catch(Bug::CursorAhead, (0..SEEDS_MAX).filter(|&seed| sim::is_vast(seed)));
    println!("{caught:?}");
    assert!(caught.is_some());
}
