//! What a backlog does to live edits: one daemon catches up with 400 MB of 16 KiB values, and meanwhile edits go live over the same
//! connection, against the stream in the same room and along with it in another room.
//!
//! `cargo run --release --example backlog -- [MIB]`. Prints one-way latencies without and with the backlog, how long it took, and by how
//! much both sides' memory grew at most.

#[path = "sandbox/mod.rs"]
mod sandbox;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rtc_client::Replies;
use rtc_core::api::{Ask, Event, Reply, Wait};
use rtc_core::sim::Random;
use rtc_core::value::Value;

/// Bytes of one value.
const VALUE_BYTES: usize = 16 * 1024;
/// Edits under way at once while the backlog is made.
const UNDER_WAY: usize = 64;
/// Properties that are overwritten again and again, so that the scene stays small.
const PROPERTIES: u64 = 64;
/// Edits whose latency is measured without a backlog.
const UNLOADED: usize = 1_000;
/// How often a live edit is made while the backlog streams.
const PACE: Duration = Duration::from_millis(2);

fn main() -> ExitCode {
    sandbox::run(measure)
}

async fn measure() -> anyhow::Result<()> {
    let mib: usize =
        std::env::args().nth(1).map_or(Ok(400), |text| text.parse()).context("MIB is a number")?;
    let count = (mib << 20) / VALUE_BYTES;
    let host = sandbox::Host::new()?;
    let (a, mut b) = (host.start(&[]).await?, host.start(&[]).await?);
    b.join(&a).await?;
    let bulky = a.room().await?.room.to_string();
    a.client.ask(sandbox::edit("node.insert", "cube", None, None, Wait::Peers(1))).await?;
    a.client.ask(Ask::Found { name: "beside".into(), request: None }).await?;
    b.join(&a).await?;
    a.client.ask(Ask::Use { room: bulky.clone() }).await?;
    b.client.ask(Ask::Use { room: bulky.clone() }).await?;
    a.client
        .ask(in_room("beside", sandbox::edit("node.insert", "cube", None, None, Wait::Peers(1)), None))
        .await?;

    b.daemon("stop")?;
    make(&a, count).await?;
    println!("{count} values of 16 KiB are made");
    b.daemon("start")?;
    b.client = sandbox::connect(b.home()).await?;
    // The stream begins at once; the unloaded figures are taken when it is over.
    let mut ways = [
        Way::new("along with it, in another room", &a, &b, "beside").await?,
        Way::new("against it, in the same room", &b, &a, &bulky).await?,
    ];
    let before = [resident(&a).await?, resident(&b).await?];
    forget_peak(&a).await?;
    let begun = Instant::now();
    let mut pace = tokio::time::interval(PACE);
    let target = a.room().await?.messages;
    let mut edits = 0;
    loop {
        for way in &mut ways {
            let took = way.edit().await?;
            way.loaded.push(took);
        }
        edits += 1;
        if edits % 100 == 0 && b.room().await?.messages >= target {
            break;
        }
        pace.tick().await;
    }
    let took = begun.elapsed();
    let after = [peak(&a).await?, peak(&b).await?];
    for way in &mut ways {
        for _ in 0..UNLOADED {
            let took = way.edit().await?;
            way.unloaded.push(took);
            pace.tick().await;
        }
    }
    println!(
        "{mib} MiB of backlog in {:.1} s, {:.1} MiB/s",
        took.as_secs_f64(),
        mib as f64 / took.as_secs_f64()
    );
    println!("{:<44} {:>9} {:>9} {:>9} {:>7}", "one way", "p50", "p99", "most", "edits");
    let mut holds = true;
    for way in &mut ways {
        let unloaded = print(&format!("{}: without", way.name), &mut way.unloaded);
        let loaded = print(&format!("{}: with", way.name), &mut way.loaded);
        let bound = 4 * unloaded + Duration::from_millis(1);
        holds &= loaded <= bound;
        println!("  p99 with it {loaded:?}, bound {bound:?}");
    }
    for (name, before, after) in [("sender", before[0], after[0]), ("receiver", before[1], after[1])] {
        println!(
            "{name}: {:.1} MiB before, {:.1} MiB at most",
            before as f64 / 1024.0,
            after as f64 / 1024.0
        );
    }
    if !holds {
        bail!("live edits waited longer than four times their unloaded p99 and a millisecond");
    }
    Ok(())
}

/// Makes values that pack badly, many under way at once.
async fn make(machine: &sandbox::Machine, count: usize) -> anyhow::Result<()> {
    let mut random = Random::new(1);
    let mut under_way = std::collections::VecDeque::new();
    for n in 0..count as u64 {
        let bytes: Vec<u8> = (0..VALUE_BYTES * 3 / 4 / 32).flat_map(|_| random.bytes::<32>()).collect();
        let value = Value::from(data_encoding::BASE64.encode(&bytes).as_str());
        let path = format!("p{}", n % PROPERTIES);
        let ask = sandbox::edit("string.set", "cube", Some(&path), Some(value), Wait::Durable);
        under_way.push_back(machine.client.send(ask).await?);
        if under_way.len() >= UNDER_WAY
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

/// Edits from one daemon to the other, one at a time.
struct Way<'a> {
    name: &'static str,
    from: &'a sandbox::Machine,
    room: String,
    events: Replies,
    made: u64,
    unloaded: Vec<Duration>,
    loaded: Vec<Duration>,
}

impl<'a> Way<'a> {
    async fn new(
        name: &'static str,
        from: &'a sandbox::Machine,
        to: &sandbox::Machine,
        room: &str,
    ) -> anyhow::Result<Self> {
        let mut events = to
            .client
            .stream(Ask::Watch { room: Some(room.to_owned()), presence: false, drafts: false })
            .await?;
        let Some(Ok(Reply::Watching {})) = events.next().await else { bail!("no subscription") };
        let (made, unloaded, loaded) = (0, Vec::new(), Vec::new());
        Ok(Self { name, from, room: room.to_owned(), events, made, unloaded, loaded })
    }

    /// Makes an edit and waits until the other side's subscriber has it.
    async fn edit(&mut self) -> anyhow::Result<Duration> {
        self.made += 1;
        let note = format!("{}-{}", self.room, self.made);
        let value = Value::numbers(&[self.made as f64, 0.5, -1.25]);
        let path = Some("transform.position");
        let ask = sandbox::edit("vector3.set", "cube", path, value, Wait::Local);
        let ask = in_room(&self.room, ask, Some(&note));
        let begun = Instant::now();
        let answer = self.from.client.send(ask).await?;
        loop {
            match self.events.next().await {
                Some(Ok(Reply::Event(Event::Message { message, .. })))
                    if message.note.as_ref() == Some(&note) =>
                {
                    break;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("a subscription ended"),
            }
        }
        let took = begun.elapsed();
        answer.one().await?;
        Ok(took)
    }
}

/// An edit of a room, with a note to know it by.
fn in_room(room: &str, mut ask: Ask, note: Option<&str>) -> Ask {
    if let Ask::Edit(edit) = &mut ask {
        edit.room = Some(room.to_owned());
        edit.note = note.map(str::to_owned);
    }
    ask
}

fn print(what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{what:<44} {:>6.0} µs {:>6.0} µs {:>6.0} µs {:>7}",
        us(at(50)),
        us(at(99)),
        us(at(100)),
        times.len()
    );
    at(99)
}

/// From here on, peaks are counted anew.
async fn forget_peak(machine: &sandbox::Machine) -> anyhow::Result<()> {
    let Reply::Status(status) = machine.client.ask(Ask::Status {}).await? else { bail!("no status") };
    std::fs::write(format!("/proc/{}/clear_refs", status.pid), "5").context("the peak is not forgotten")
}

async fn resident(machine: &sandbox::Machine) -> anyhow::Result<u64> {
    memory(machine, "VmRSS:").await
}

async fn peak(machine: &sandbox::Machine) -> anyhow::Result<u64> {
    memory(machine, "VmHWM:").await
}

/// A daemon's memory in KiB, as Linux tells it.
async fn memory(machine: &sandbox::Machine, field: &str) -> anyhow::Result<u64> {
    let Reply::Status(status) = machine.client.ask(Ask::Status {}).await? else { bail!("no status") };
    let text = std::fs::read_to_string(format!("/proc/{}/status", status.pid))?;
    let line = text.lines().find(|line| line.starts_with(field)).context("no memory is told")?;
    Ok(line.split_whitespace().nth(1).context("no memory is told")?.parse()?)
}
