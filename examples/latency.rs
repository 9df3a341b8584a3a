//! How long an edit takes from one daemon's client to a subscriber of another, one way, on loopback; beside raw TCP that
//! carries the same bytes in the same run.
//!
//! `cargo run --release --example latency -- [EDITS]`

#[path = "sandbox/mod.rs"]
mod sandbox;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rtc_core::api::{Ask, Event, Reply, Wait};
use rtc_core::value::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Edits before the measured ones: caches warm, connections settled.
const WARM_UP: usize = 200;
/// What one such edit takes on the wire between the daemons: a run of one message, its signature, a piece header.
const WIRE_BYTES: usize = 220;

fn main() -> ExitCode {
    sandbox::run(measure)
}

async fn measure() -> anyhow::Result<()> {
    let edits: usize =
        std::env::args().nth(1).map_or(Ok(2000), |text| text.parse()).context("EDITS is a number")?;
    let host = sandbox::Host::new()?;
    let (a, b) = (host.start().await?, host.start().await?);
    b.join(&a).await?;
    a.client.ask(sandbox::edit("node.insert", "cube", None, None, Wait::Peers(1))).await?;
    let mut events = b.client.stream(Ask::Watch { room: None }).await?;
    let Some(Ok(Reply::Watching {})) = events.next().await else { bail!("no subscription") };
    let mut rtc = Vec::with_capacity(edits);
    for n in 0..WARM_UP + edits {
        let value = Value::numbers(&[n as f64, 0.5, -1.25]);
        let ask = sandbox::edit("vector3.set", "cube", Some("transform.position"), value, Wait::Local);
        let begun = Instant::now();
        let answer = a.client.send(ask).await?;
        let Some(Ok(Reply::Event(Event::Message { .. }))) = events.next().await else { bail!("no event") };
        let took = begun.elapsed();
        answer.one().await?;
        if n >= WARM_UP {
            rtc.push(took);
        }
    }
    if a.room().await?.state_hash != b.room().await?.state_hash {
        bail!("the two daemons show different scenes");
    }
    let mut tcp = raw_tcp(edits).await?;
    println!("{edits} edits, one at a time, from a client of one daemon to a subscriber of another");
    println!("{:<28} {:>9} {:>9}", "one way", "p50", "p99");
    print("rtc edit to subscriber", &mut rtc);
    print(&format!("raw TCP, {WIRE_BYTES} bytes"), &mut tcp);
    Ok(())
}

/// The same bytes over a socket between two tasks of this process.
async fn raw_tcp(count: usize) -> anyhow::Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut sender = TcpStream::connect(listener.local_addr()?).await?;
    let (mut receiver, _) = listener.accept().await?;
    sender.set_nodelay(true)?;
    let (arrived_tx, mut arrived) = tokio::sync::mpsc::channel(1);
    let reading = tokio::spawn(async move {
        let mut bytes = [0; WIRE_BYTES];
        while receiver.read_exact(&mut bytes).await.is_ok() {
            if arrived_tx.send(Instant::now()).await.is_err() {
                return;
            }
        }
    });
    let mut took = Vec::with_capacity(count);
    for n in 0..WARM_UP + count {
        let begun = Instant::now();
        sender.write_all(&[7; WIRE_BYTES]).await?;
        let at = arrived.recv().await.context("the reader ended")?;
        if n >= WARM_UP {
            took.push(at - begun);
        }
    }
    drop(sender);
    reading.await?;
    Ok(took)
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    println!("{what:<28} {:>6.0} µs {:>6.0} µs", at(50), at(99));
}
