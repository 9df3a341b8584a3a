//! Universes from seeds: whatever networks, disks, clocks, processes and peers do, nothing acknowledged is lost and all
//! replicas end up with the naive fold's scene.
//!
//! `RTC_SEEDS=1000` lives through more of them, `RTC_SEED=7` through one. `cargo run --release --example simulate` does the
//! same faster, and says what happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtc_core::sim::{self, Choice, DiskFaults, Failure, Faults, Plan, Report};

/// Universes allocate much and briefly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 40;
/// Calls of a store that fail, one by one.
const CALLS: u64 = 24;
/// Edits where there are many universes to live through.
const FEW_EDITS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn told(violation: &sim::Violation) -> String {
    format!(
        "{violation}; see it with cargo run --release --example simulate -- --seed {} --log",
        violation.seed
    )
}

fn live(plan: &Plan) -> Report {
    sim::run(plan).unwrap_or_else(|violation| panic!("{}", told(&violation)))
}

/// Lives through many universes, as many at once as there are processors, to the last, and then says in which something was wrong.
fn live_all(seeds: &[u64]) -> Vec<Report> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = sim::run(&Plan::new(seed)).map_err(|violation| told(&violation));
                    outcomes.lock().expect("nobody panics with it").push(outcome);
                }
            });
        }
    });
    let (mut reports, mut violations) = (Vec::new(), Vec::new());
    for outcome in outcomes.into_inner().expect("nobody panicked with it") {
        match outcome {
            Ok(report) => reports.push(report),
            Err(violation) => violations.push(violation),
        }
    }
    assert!(
        violations.is_empty(),
        "{} of {} seeds:\n{}",
        violations.len(),
        seeds.len(),
        violations.join("\n")
    );
    reports
}

fn given(seed: u64, faults: Faults) -> Plan {
    Plan { edits: FEW_EDITS, peers: 3..=3, faults: Choice::Given(faults.into()), ..Plan::new(seed) }
}

#[test]
fn every_universe_ends_with_one_scene_and_nothing_lost() {
    let known = include_str!("../../tests/data/seeds.txt").lines();
    let known = known.filter(|line| !line.starts_with('#') && !line.is_empty());
    let known = known.map(|line| line.split(' ').next().and_then(|seed| seed.parse().ok()).expect("a seed"));
    let seeds: Vec<u64> = match number("RTC_SEED") {
        Some(seed) => vec![seed],
        None => known.chain(0..number("RTC_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let reports = live_all(&seeds);
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{} seeds: {} edits, {} messages, {} frames, {} acknowledged edits, none lost, {} horizons",
        seeds.len(),
        sum(|report| report.edits),
        sum(|report| report.messages),
        sum(|report| report.deliveries),
        sum(|report| report.acknowledged),
        sum(|report| report.horizons)
    );
    assert!(
        sum(|report| report.messages) >= seeds.len() as u64 * sim::EDITS / 4,
        "most edits become messages"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..5 {
        let plan = Plan { log: true, ..Plan::new(seed) };
        let (first, again) = (live(&plan), live(&plan));
        assert_eq!(first, again);
        assert_ne!(first.trace, live(&Plan::new(seed + 1)).trace);
    }
}

#[test]
fn a_quiet_universe_is_quick_and_whole() {
    let report = live(&given(1, Faults::default()));
    assert!(report.messages > 0 && report.acknowledged >= report.messages / 2);
    assert!(report.rounds <= 3, "{} heartbeats", report.rounds);
}

#[test]
fn any_one_call_of_a_store_may_fail() {
    for n in 1..=CALLS {
        for failure in [Failure::Full, Failure::Nothing, Failure::Everything] {
            let disk = DiskFaults { error_at: Some((n, failure)), ..DiskFaults::default() };
            live(&given(n, Faults { disk, ..Faults::default() }));
        }
    }
}
