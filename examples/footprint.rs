//! What a daemon costs that does nothing: the time to start, the processor it uses while idle, and its memory.
//!
//! `cargo run --release --example footprint -- [IDLE_SECONDS]`; the daemons are two connected members of one room.

#[path = "sandbox/mod.rs"]
mod sandbox;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rtc_core::api::{Ask, Reply, Wait};

/// Starts that are timed.
const STARTS: usize = 10;
/// Ticks of processor time per second, as Linux counts them for everybody.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> ExitCode {
    sandbox::run(measure)
}

async fn measure() -> anyhow::Result<()> {
    let idle: u64 =
        std::env::args().nth(1).map_or(Ok(20), |text| text.parse()).context("IDLE_SECONDS is a number")?;
    let host = sandbox::Host::new()?;
    let (mut a, b) = (host.start(&[]).await?, host.start(&[]).await?);
    b.join(&a).await?;
    a.client.ask(sandbox::edit("node.insert", "cube", None, None, Wait::Peers(1))).await?;
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        a.daemon("stop")?;
        let begun = Instant::now();
        a.daemon("start")?;
        starts.push(begun.elapsed());
    }
    a.client = sandbox::connect(a.home()).await?;
    starts.sort_unstable();
    let ms = |index: usize| starts[index].as_secs_f64() * 1e3;
    println!("start: {:.1} ms median of {STARTS} ({:.1} to {:.1})", ms(STARTS / 2), ms(0), ms(STARTS - 1));
    if a.room().await?.state_hash != b.room().await?.state_hash {
        bail!("a restart changed the scene");
    }
    let Reply::Status(status) = a.client.ask(Ask::Status {}).await? else { bail!("no status") };
    let before = ticks(status.pid)?;
    tokio::time::sleep(Duration::from_secs(idle)).await;
    let used = (ticks(status.pid)? - before) as f64 / TICKS_PER_SECOND;
    println!("idle: {:.2} % of one core over {idle} s, one peer connected", used / idle as f64 * 100.0);
    let resident = status.resident_bytes.context("no memory is told")?;
    println!("memory: {:.1} MiB resident", resident as f64 / 1_048_576.0);
    Ok(())
}

/// Processor time of a process so far.
fn ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("a process has a status")?.split(' ').collect();
    let field = |index: usize| -> anyhow::Result<u64> { Ok(fields.get(index).context("a field")?.parse()?) };
    Ok(field(11)? + field(12)?)
}
