//! Universes from seeds: whatever the network and the processes do, all replicas end up with the naive fold's scene.
//!
//! `RTC_SEEDS=1000` lives through more of them, `RTC_SEED=7` through one.

use rtc_core::sim;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 80;
/// Edits in each universe.
const EDITS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn live(seed: u64) -> sim::Report {
    let peers = 2 + usize::try_from(seed % 4).expect("below 4");
    sim::run(seed, peers, EDITS).unwrap_or_else(|violation| {
        panic!("{violation}; replay it with RTC_SEED={seed} cargo test -p rtc-core --test universe")
    })
}

#[test]
fn every_universe_ends_with_one_scene_and_nothing_lost() {
    let seeds = match number("RTC_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RTC_SEEDS").unwrap_or(SEEDS),
    };
    let reports: Vec<_> = seeds.clone().map(live).collect();
    let messages: u64 = reports.iter().map(|report| report.messages).sum();
    let deliveries: u64 = reports.iter().map(|report| report.deliveries).sum();
    let acknowledged: u64 = reports.iter().map(|report| report.acknowledged).sum();
    println!(
        "seeds {seeds:?}: {messages} messages, {deliveries} frames, {acknowledged} acknowledged edits, none lost"
    );
    assert!(messages >= reports.len() as u64 * EDITS / 4, "most edits become messages");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(live(3), live(3));
    assert_ne!(live(3).trace, live(4).trace);
}

#[test]
fn a_quiet_universe_is_quick_and_whole() {
    let report =
        sim::run_with(1, 3, EDITS, sim::Faults { delay_ms_max: 1, ..sim::Faults::default() }).unwrap();
    assert!(report.messages > 0 && report.acknowledged >= report.messages / 2);
}
