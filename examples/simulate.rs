//! Lives through universes: real rooms and real sync on a network, disks, clocks and processes that fail, from seeds.
//!
//! `cargo run --release --example simulate -- --seeds 1000`. A promise that does not hold is printed with the seed and the
//! command that shows it again; `--log` prints everything that happened in such a universe.

use std::io::{IsTerminal, Write};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use rtc_core::sim::{self, Choice, FaultKind, Peaks, Plan, Report, Violation};

/// Universes allocate much and briefly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Universes after which progress is told.
const PROGRESS: u64 = 100;
/// One universe in so many is lived through twice, and has to be the same.
const TWICE: u64 = 50;
/// Violations that are printed; the others are counted.
const SHOWN: usize = 20;
/// Seeds that failed once: they come first, unless others are asked for.
const KNOWN: &str = include_str!("../tests/data/seeds.txt");

/// Lives through universes from seeds, and says which promise did not hold.
#[derive(Parser)]
struct Args {
    /// How many universes.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first one's seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many daemons: a number, or a range such as 3..7.
    #[arg(long, default_value = "3..7", value_parser = range)]
    peers: RangeInclusive<usize>,
    /// How many edits their users make.
    #[arg(long, default_value_t = sim::EDITS)]
    edits: u64,
    /// What may go wrong: network, disk, clock, process, peers; or none.
    #[arg(long, value_delimiter = ',', default_value = "network,disk,clock,process,peers", value_parser = kinds)]
    faults: Vec<Option<FaultKind>>,
    /// Threads to use; as many as there are processors, unless told.
    #[arg(long)]
    threads: Option<usize>,
    /// Whether to print everything that happened.
    #[arg(long, visible_alias = "trace")]
    log: bool,
}

fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    match (number(least)?, number(most.trim_start_matches('='))?) {
        (least, most) if (2..=16).contains(&least) && (least..=16).contains(&most) => Ok(least..=most),
        _ => Err("from 2 to 16 daemons, such as 3..7".to_owned()),
    }
}

fn kinds(text: &str) -> Result<Option<FaultKind>, String> {
    match text {
        "none" => Ok(None),
        text => text.parse().map(Some).map_err(|error: sim::FaultKindError| error.to_string()),
    }
}

/// What all universes came to.
#[derive(Default)]
struct Total {
    runs: u64,
    edits: u64,
    deliveries: u64,
    acknowledged: u64,
    horizons: u64,
    rounds: u64,
    peaks: Peaks,
    failed: Vec<Violation>,
}

impl Total {
    fn add(&mut self, outcome: Result<Report, Violation>) {
        self.runs += 1;
        match outcome {
            Ok(report) => {
                self.edits += report.edits;
                self.deliveries += report.deliveries;
                self.acknowledged += report.acknowledged;
                self.horizons += report.horizons;
                self.rounds = self.rounds.max(report.rounds);
                self.peaks.join(&report.peaks);
                report.log.iter().for_each(|line| println!("{line}"));
            }
            Err(violation) => self.failed.push(violation),
        }
    }
}

impl Args {
    fn plan(&self, seed: u64) -> Plan {
        let faults = Choice::Drawn(self.faults.iter().copied().flatten().collect());
        Plan { seed, peers: self.peers.clone(), edits: self.edits, faults, log: self.log }
    }

    /// Universes that failed once, and those asked for.
    fn seeds(&self) -> Vec<u64> {
        let known = KNOWN.lines().filter_map(|line| line.split(' ').next()?.parse().ok());
        let known = known.filter(|_| self.seeds > 1);
        known.chain(self.seed..self.seed.saturating_add(self.seeds)).collect()
    }

    /// The command that shows a universe again.
    fn replay(&self, seed: u64) -> String {
        let mut command = format!("cargo run --release --example simulate -- --seed {seed}");
        let (least, most) = (self.peers.start(), self.peers.end());
        if self.peers != sim::PEERS {
            command += &format!(" --peers {least}..{most}");
        }
        if self.edits != sim::EDITS {
            command += &format!(" --edits {}", self.edits);
        }
        let names: Vec<String> = self.faults.iter().flatten().map(FaultKind::to_string).collect();
        if names.len() < FaultKind::ALL.len() {
            command +=
                &format!(" --faults {}", if names.is_empty() { "none".to_owned() } else { names.join(",") });
        }
        command
    }
}

fn live(plan: &Plan) -> Result<Report, Violation> {
    let run = || catch_unwind(AssertUnwindSafe(|| sim::run(plan)));
    let broken = |what: &str| Violation { seed: plan.seed, what: what.to_owned(), log: Vec::new() };
    let report = run().map_err(|_| broken("it panics"))??;
    if plan.seed.is_multiple_of(TWICE) && run().map_err(|_| broken("it panics"))?? != report {
        return Err(broken("the same seed gives another run"));
    }
    Ok(report)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seeds = args.seeds();
    let (next, total) = (AtomicU64::new(0), Mutex::new(Total::default()));
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let index = || usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                while let Some(&seed) = seeds.get(index()) {
                    let outcome = live(&args.plan(seed));
                    let mut total = total.lock().expect("a universe that panics is caught");
                    total.add(outcome);
                    tell_progress(&total, seeds.len(), begun);
                }
            });
        }
    });
    conclude(&args, &total.into_inner().expect("a universe that panics is caught"), begun)
}

fn tell_progress(total: &Total, seeds: usize, begun: Instant) {
    if total.runs.is_multiple_of(PROGRESS) && std::io::stderr().is_terminal() {
        let per_s = total.runs as f64 / begun.elapsed().as_secs_f64();
        eprint!("\r{} of {seeds} universes, {per_s:.0}/s, {} failed ", total.runs, total.failed.len());
        let _ = std::io::stderr().flush();
    }
}

fn conclude(args: &Args, total: &Total, begun: Instant) -> ExitCode {
    for violation in total.failed.iter().take(SHOWN) {
        violation.log.iter().for_each(|line| println!("{line}"));
        println!("{violation}\n  {}", args.replay(violation.seed));
    }
    let Total { runs, edits, deliveries, acknowledged, horizons, rounds, peaks, failed } = total;
    let (seconds, good) = (begun.elapsed().as_secs_f64(), (runs - failed.len() as u64).max(1));
    println!(
        "{runs} universes in {seconds:.1} s ({:.0}/s), {} failed, {horizons} horizons; each {} edits, {} frames, {} acknowledged",
        *runs as f64 / seconds,
        failed.len(),
        edits / good,
        deliveries / good,
        acknowledged / good
    );
    println!(
        "agreement at most {rounds} heartbeats after the faults; at most {} messages waited for their past in a room, {} bytes \
         of backlog were under way over a connection, one input had {} outputs",
        peaks.waiting_messages, peaks.backlog_bytes, peaks.outputs
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
