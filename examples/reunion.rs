//! How long a reunion takes: one daemon makes many messages while the other is away, then they meet.
//!
//! `cargo run --release --example reunion -- [MESSAGES]`. Prints the time from the connection to the same state, and the
//! receiver's memory: its peak, and when everything has come to rest.

#[path = "sandbox/mod.rs"]
mod sandbox;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rtc_core::api::{Ask, Reply, Wait};
use rtc_core::value::Value;

/// Edits under way at once while the messages are made.
const IN_FLIGHT: usize = 256;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    sandbox::run(measure)
}

async fn measure() -> anyhow::Result<()> {
    let count: u64 =
        std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse()).context("MESSAGES is a number")?;
    let host = sandbox::Host::new()?;
    let (a, mut b) = (host.start(&[]).await?, host.start(&[]).await?);
    b.join(&a).await?;
    for n in 0..100 {
        a.client.ask(sandbox::edit("node.insert", &format!("node-{n}"), None, None, Wait::Local)).await?;
    }
    agree(&a, &b).await?;
    b.daemon("stop")?;

    let begun = Instant::now();
    make(&a, count).await?;
    let made = begun.elapsed();
    println!(
        "{count} messages made in {:.2} s ({:.0}/s)",
        made.as_secs_f64(),
        count as f64 / made.as_secs_f64()
    );

    let begun = Instant::now();
    b.daemon("start")?;
    b.client = sandbox::connect(b.home()).await?;
    let started = begun.elapsed();
    let begun = Instant::now();
    agree(&a, &b).await?;
    let took = begun.elapsed();
    println!("reunion: {:.2} s after a start of {:.0} ms", took.as_secs_f64(), started.as_secs_f64() * 1e3);
    let (peak_kib, rest_kib) = at_rest(&b).await?;
    println!(
        "receiver: {:.1} MiB peak, {:.1} MiB at rest",
        peak_kib as f64 / 1024.0,
        rest_kib as f64 / 1024.0
    );
    Ok(())
}

/// Makes messages on one daemon, many under way at once.
async fn make(machine: &sandbox::Machine, count: u64) -> anyhow::Result<()> {
    let mut under_way = std::collections::VecDeque::new();
    for n in 0..count {
        let value = Value::numbers(&[n as f64, 0.5, -1.25]);
        let key = format!("node-{}", n % 100);
        let ask = sandbox::edit("vector3.set", &key, Some("transform.position"), value, Wait::Durable);
        under_way.push_back(machine.client.send(ask).await?);
        if under_way.len() >= IN_FLIGHT
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.one().await?;
        }
    }
    for answer in under_way {
        answer.one().await?;
    }
    Ok(())
}

/// Waits until both show the same scene and hold as many messages.
async fn agree(a: &sandbox::Machine, b: &sandbox::Machine) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        let (left, right) = (a.room().await?, b.room().await?);
        if (left.state_hash, left.messages) == (right.state_hash, right.messages) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!("{} of {} messages after {PATIENCE:?}", right.messages, left.messages);
        }
        tick.tick().await;
    }
}

/// The daemon's peak memory and its memory now, in KiB, as Linux tells them.
async fn at_rest(machine: &sandbox::Machine) -> anyhow::Result<(u64, u64)> {
    let Reply::Status(status) = machine.client.ask(Ask::Status {}).await? else { bail!("no status") };
    let text = std::fs::read_to_string(format!("/proc/{}/status", status.pid))?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Ok((field("VmHWM:").context("no peak is told")?, field("VmRSS:").context("no memory is told")?))
}
