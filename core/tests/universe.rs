//! Seeds.
use rtc_core::sim;
#[test]
fn seeds() {
    let (a, b): (u64, u64) = (
        std::env::var("A").ok().and_then(|s| s.parse().ok()).unwrap_or(0),
        std::env::var("B").ok().and_then(|s| s.parse().ok()).unwrap_or(20),
    );
    let mut bad = 0;
    for seed in a..b {
        match std::panic::catch_unwind(|| sim::run(seed, 3 + (seed % 3) as usize, 60)) {
            Ok(Ok(r)) => println!("{seed} {} {} {}", r.messages, r.deliveries, r.acknowledged),
            Ok(Err(v)) => {
                println!("{v} {:?}", sim::Faults::draw(&mut sim::Random::new(seed)));
                bad += 1
            }
            Err(_) => {
                println!("{seed} panicked");
                bad += 1
            }
        }
    }
    assert_eq!(bad, 0);
}
