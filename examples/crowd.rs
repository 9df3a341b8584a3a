//! What a room of many daemons costs each of them: daemons on loopback, measured, or any number in the simulator, counted.
//!
//! `cargo run --release --example crowd -- [--peers 32] [--edits 400]` starts so many daemons; `-- --table` prints docs/network.md's table.

#[path = "sandbox/mod.rs"]
mod sandbox;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use rtc_core::api::{Ask, Reply, Wait};
use rtc_core::limits::ROOM_LINKS_MAX;
use rtc_core::sim::{Crowd, Setting};
use rtc_core::value::Value;

/// Rooms of the table.
const SIZES: [usize; 10] = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000];
/// Edits counted in the table, and who makes them in turn.
const COUNTED: (usize, usize) = (4, 40);
/// By then those of a thousand that had more links than a room wants have let them go.
const SETTLED_MS: u64 = 20_000;
/// Who edits in turn.
const AUTHORS: usize = 4;
/// Between one edit and the next.
const EDIT_EVERY: Duration = Duration::from_millis(50);
/// How long daemons are measured that do nothing.
const IDLE: Duration = Duration::from_secs(10);
/// What is late comes within.
const REST: Duration = Duration::from_secs(3);
/// Daemons that do not agree, or have not settled, by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
/// Ticks of processor time per second, as Linux counts them for everybody.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures what a room of many daemons costs each of them.
#[derive(Parser)]
struct Args {
    /// How many daemons.
    #[arg(long, default_value_t = 32)]
    peers: usize,
    /// How many edits.
    #[arg(long, default_value_t = 400)]
    edits: usize,
    /// Counts in the simulator instead, for 2 to 1,000 daemons.
    #[arg(long)]
    table: bool,
}

fn main() -> ExitCode {
    sandbox::run(|| async {
        let args = Args::parse();
        if args.table {
            table();
            return Ok(());
        }
        measure(args.peers, args.edits).await
    })
}

fn table() {
    println!(
        "| daemons | links each | at rest: frames/s | bytes/s | per edit: runs | frames | bytes | most frames of one | hops, half | all |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for peers in SIZES {
        let mut crowd = Crowd::new(Setting { seed: 1, peers, unsent_per_mille: 0 });
        crowd.live(SETTLED_MS);
        let cost = crowd.measure(COUNTED.0, COUNTED.1);
        assert!(crowd.is_agreed(), "{peers} daemons do not agree");
        println!(
            "| {peers} | {:.1} | {:.0} | {:.0} | {:.2} | {:.2} | {:.0} | {:.1} | {} | {} |",
            cost.links,
            cost.idle_frames,
            cost.idle_bytes,
            cost.runs,
            cost.frames,
            cost.bytes,
            cost.frames_max,
            cost.rounds,
            cost.rounds_max
        );
    }
}

/// A daemon, and where it tells its numbers.
struct Counted {
    machine: sandbox::Machine,
    metrics: SocketAddr,
    pid: u32,
}

/// What all daemons did so far.
#[derive(Clone, Copy, Default)]
struct Counts {
    frames: f64,
    bytes: f64,
    duplicates: f64,
    ticks: f64,
}

async fn measure(peers: usize, edits: usize) -> anyhow::Result<()> {
    let host = sandbox::Host::new()?;
    let mut daemons: Vec<Counted> = Vec::with_capacity(peers);
    for _ in 0..peers {
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let machine = host.start(&["--metrics", &metrics.to_string()]).await?;
        if let Some(first) = daemons.first() {
            machine.join(&first.machine).await?;
        }
        let Reply::Status(status) = machine.client.ask(Ask::Status {}).await? else { bail!("no status") };
        daemons.push(Counted { machine, metrics, pid: status.pid });
    }
    let authors = &daemons[..AUTHORS.min(peers)];
    for (index, author) in authors.iter().enumerate() {
        let key = format!("cube-{index}");
        author.machine.client.ask(sandbox::edit("node.insert", &key, None, None, Wait::Durable)).await?;
        agree(&daemons).await?;
    }
    let links = settle(&daemons).await?;
    println!("{peers} daemons of one room on this machine, {links:.1} links each");

    let (begun, before) = (Instant::now(), count(&daemons)?);
    tokio::time::sleep(IDLE).await;
    let (idle_s, idle) = (begun.elapsed().as_secs_f64(), count(&daemons)?.less(before));
    let each = peers as f64;
    println!(
        "at rest: {:.0} frames/s and {:.0} bytes/s sent by each, {:.2} % of a core",
        idle.frames / each / idle_s,
        idle.bytes / each / idle_s,
        idle.ticks / each / idle_s / TICKS_PER_SECOND * 100.0
    );

    let (begun, before) = (Instant::now(), count(&daemons)?);
    let mut pace = tokio::time::interval(EDIT_EVERY);
    for index in 0..edits {
        pace.tick().await;
        let value = Value::numbers(&[index as f64 / 7.0, 0.5, -1.25]);
        let author = index % authors.len();
        let key = format!("cube-{author}");
        let ask = sandbox::edit("vector3.set", &key, Some("transform.position"), value, Wait::Local);
        authors[author].machine.client.ask(ask).await?;
    }
    let edited = Instant::now();
    agree(&daemons).await?;
    println!("{edits} edits: all agree {:.0} ms after the last", edited.elapsed().as_secs_f64() * 1e3);
    tokio::time::sleep(REST).await;
    let share = begun.elapsed().as_secs_f64() / idle_s;
    let busy = count(&daemons)?.less(before);
    let per = each * edits as f64;
    println!(
        "an edit costs each: {:.2} frames and {:.0} bytes sent, {:.2} runs twice, {:.0} µs of processor time",
        (busy.frames - idle.frames * share) / per,
        (busy.bytes - idle.bytes * share) / per,
        busy.duplicates / per,
        (busy.ticks - idle.ticks * share) / per / TICKS_PER_SECOND * 1e6
    );
    Ok(())
}

/// Waits until all show the same scene and hold as many messages.
async fn agree(daemons: &[Counted]) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let expected = daemons[0].machine.room().await?;
    let mut waiting: Vec<&Counted> = daemons.iter().collect();
    while let Some(daemon) = waiting.last() {
        let room = daemon.machine.room().await?;
        // Whoever is first may have others' edits to come, too.
        let first = daemons[0].machine.room().await?;
        if room.state_hash == first.state_hash && first.messages >= expected.messages {
            waiting.pop();
        } else if begun.elapsed() > PATIENCE {
            bail!("{} of {} messages after {PATIENCE:?}", room.messages, first.messages);
        } else {
            tick.tick().await;
        }
    }
    Ok(())
}

/// Waits until nobody has more links than a room wants; returns how many there are on average.
async fn settle(daemons: &[Counted]) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        let mut links = Vec::with_capacity(daemons.len());
        for daemon in daemons {
            let Reply::Status(status) = daemon.machine.client.ask(Ask::Status {}).await? else {
                bail!("no status");
            };
            links.push(usize::try_from(status.peers_connected)?);
        }
        let (most, all) = (links.iter().max().copied().unwrap_or(0), links.iter().sum::<usize>());
        if most <= ROOM_LINKS_MAX {
            return Ok(all as f64 / daemons.len() as f64);
        }
        if begun.elapsed() > PATIENCE {
            bail!("somebody still has {most} links after {PATIENCE:?}");
        }
        tick.tick().await;
    }
}

fn count(daemons: &[Counted]) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for daemon in daemons {
        let mut stream = TcpStream::connect(daemon.metrics)?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.metrics)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let sum = |name: &str, label: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        counts.frames += sum("rtc_frames_total", "direction=\"Out\"");
        counts.bytes += sum("rtc_frame_bytes_total", "direction=\"Out\"");
        counts.duplicates += sum("rtc_duplicate_runs_total", "");
        counts.ticks += ticks(daemon.pid)?;
    }
    Ok(counts)
}

/// Processor time of a process so far.
fn ticks(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("a process has a status")?.split(' ').collect();
    let field = |index: usize| -> anyhow::Result<f64> { Ok(fields.get(index).context("a field")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

impl Counts {
    fn less(self, before: Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            bytes: self.bytes - before.bytes,
            duplicates: self.duplicates - before.duplicates,
            ticks: self.ticks - before.ticks,
        }
    }
}
