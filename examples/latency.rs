//! How long an edit takes from a client of one daemon to subscribers of others, one way, and how many edits a second go that way,
//! for 2, 5 and 10 daemons on loopback; beside raw TCP that carries the same bytes in the same run.
//!
//! `cargo run --release --example latency -- [EDITS]`

#[path = "sandbox/mod.rs"]
mod sandbox;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rtc_core::api::{Ask, Event, Reply, Wait};
use rtc_core::chain::{Ed25519, Keys, Link, Signature};
use rtc_core::value::Value;
use tokio::sync::oneshot;

/// Edits before the measured ones: caches warm, connections settled.
const WARM_UP: usize = 200;
/// What one such edit takes on the wire between the daemons: a run of one message, its signature, a piece header.
const WIRE_BYTES: usize = 220;
/// How many daemons there are.
const FLEETS: [usize; 3] = [2, 5, 10];
/// Edits under way at once where throughput is measured.
const UNDER_WAY: usize = 1024;
/// For each edit whose latency is measured, so many go through at full speed.
const THROUGH: usize = 20;

fn main() -> ExitCode {
    sandbox::run(measure)
}

async fn measure() -> anyhow::Result<()> {
    let edits: usize =
        std::env::args().nth(1).map_or(Ok(2000), |text| text.parse()).context("EDITS is a number")?;
    println!(
        "{edits} edits, one at a time, from a client of one daemon to subscribers of all others; then {} at full speed",
        edits * THROUGH
    );
    println!("{:<44} {:>9} {:>9}", "one way", "p50", "p99");
    for daemons in FLEETS {
        let (mut rtc, rate) = fleet(daemons, edits).await?;
        let mut tcp = raw_tcp(daemons - 1, edits, daemons > 2)?;
        print(&format!("{daemons} daemons: edit to subscriber"), &mut rtc);
        let signed = if daemons > 2 { ", one signature made and checked" } else { "" };
        print(&format!("  raw TCP, {WIRE_BYTES} bytes{signed}"), &mut tcp);
        println!("  {rate:.0} edits/s, durable on each of {daemons}");
    }
    Ok(())
}

/// Of every edit and every subscriber how long it took, and edits per second at full speed.
async fn fleet(daemons: usize, edits: usize) -> anyhow::Result<(Vec<Duration>, f64)> {
    let host = sandbox::Host::new()?;
    let a = host.start(&[]).await?;
    let mut others = Vec::with_capacity(daemons - 1);
    for _ in 1..daemons {
        let other = host.start(&[]).await?;
        other.join(&a).await?;
        others.push(other);
    }
    let everywhere = Wait::Peers(u32::try_from(others.len())?);
    a.client.ask(sandbox::edit("node.insert", "cube", None, None, everywhere)).await?;
    let set = |n: usize, wait| {
        let value = Value::numbers(&[n as f64, 0.5, -1.25]);
        sandbox::edit("vector3.set", "cube", Some("transform.position"), value, wait)
    };
    let (heard_tx, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut subscribers = Vec::with_capacity(others.len());
    for other in &others {
        subscribers.push(subscribe(other.home(), heard_tx.clone()));
        let Some(Heard::Watching) = heard.recv().await else { bail!("no subscription") };
    }
    drop(heard_tx);
    let mut took = Vec::with_capacity(edits * others.len());
    for n in 0..WARM_UP + edits {
        let begun = Instant::now();
        let answer = a.client.send(set(n, Wait::Local)).await?;
        for _ in &others {
            let Some(Heard::Message(at)) = heard.recv().await else { bail!("a subscription ended") };
            took.extend((n >= WARM_UP).then(|| at - begun));
        }
        answer.one().await?;
    }
    let rate = throughput(&a, edits * THROUGH, everywhere, set).await?;
    drop(subscribers);
    let state = a.room().await?.state_hash;
    for other in &others {
        if other.room().await?.state_hash != state {
            bail!("two daemons show different scenes");
        }
    }
    Ok((took, rate))
}

/// What a subscriber hears.
enum Heard {
    Watching,
    Message(Instant),
}

/// A program that subscribes to the daemon of a home and says when each message came, until what is returned is dropped.
fn subscribe(home: &Path, heard: tokio::sync::mpsc::UnboundedSender<Heard>) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel();
    let home = home.to_owned();
    std::thread::spawn(move || {
        let listen = async {
            let client = sandbox::connect(&home).await?;
            let mut events = client.stream(Ask::Watch { room: None, presence: false, drafts: false }).await?;
            while let Some(reply) = events.next().await {
                let news = match reply? {
                    Reply::Watching {} => Heard::Watching,
                    Reply::Event(Event::Message { .. }) => Heard::Message(Instant::now()),
                    // At full speed it may be told that it lags.
                    _ => continue,
                };
                if heard.send(news).is_err() {
                    break;
                }
            }
            anyhow::Ok(())
        };
        sandbox::runtime().block_on(async {
            tokio::select! {
                ended = listen => ended,
                _ = stopped => Ok(()),
            }
        })
    });
    stop
}

/// One client's edits per second, from the first until the last is on everybody's disk.
async fn throughput(
    a: &sandbox::Machine,
    edits: usize,
    everywhere: Wait,
    set: impl Fn(usize, Wait) -> Ask,
) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut under_way = std::collections::VecDeque::with_capacity(UNDER_WAY);
    for n in 1..=edits {
        let wait = if n == edits { everywhere } else { Wait::Durable };
        under_way.push_back(a.client.send(set(n, wait)).await?);
        if under_way.len() == UNDER_WAY
            && let Some(answer) = under_way.pop_front()
        {
            answer.one().await?;
        }
    }
    for answer in under_way {
        answer.one().await?;
    }
    Ok(edits as f64 / begun.elapsed().as_secs_f64())
}

/// The same bytes to that many sockets, each read by a thread that sleeps until they come, as another process would; perhaps with a
/// signature that each of them checks.
fn raw_tcp(receivers: usize, count: usize, is_signed: bool) -> anyhow::Result<Vec<Duration>> {
    let keys = Ed25519::from_seed(&[1; 32]);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (arrived_tx, arrived) = mpsc::channel();
    std::thread::scope(|scope| {
        let mut senders = Vec::with_capacity(receivers);
        for _ in 0..receivers {
            let sender = TcpStream::connect(listener.local_addr()?)?;
            sender.set_nodelay(true)?;
            senders.push(sender);
            let (mut receiver, _) = listener.accept()?;
            let (arrived, keys) = (arrived_tx.clone(), &keys);
            scope.spawn(move || {
                let mut bytes = [0; WIRE_BYTES];
                while receiver.read_exact(&mut bytes).is_ok() {
                    let (signature, link) = bytes.split_at(64);
                    let signature = Signature(signature.try_into().expect("64 bytes"));
                    let link = Link(*link.first_chunk().expect("32 bytes"));
                    assert!(!is_signed || keys.verify(&keys.public(), &link, &signature), "it was signed");
                    if arrived.send(Instant::now()).is_err() {
                        return;
                    }
                }
            });
        }
        let mut took = Vec::with_capacity(count * receivers);
        for n in 0..WARM_UP + count {
            let mut bytes = [7; WIRE_BYTES];
            let begun = Instant::now();
            if is_signed {
                let link = Link(*blake3::hash(&n.to_be_bytes()).as_bytes());
                bytes[..64].copy_from_slice(&keys.sign(&link).0);
                bytes[64..96].copy_from_slice(&link.0);
            }
            for sender in &mut senders {
                sender.write_all(&bytes)?;
            }
            for _ in 0..receivers {
                let at = arrived.recv().context("a reader ended")?;
                took.extend((n >= WARM_UP).then(|| at - begun));
            }
        }
        Ok(took)
    })
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    println!("{what:<44} {:>6.0} µs {:>6.0} µs", at(50), at(99));
}
