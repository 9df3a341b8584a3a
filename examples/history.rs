//! What history costs the engine: reading an earlier version, blame, and what a ground leaves of a room.
//!
//! `cargo run --release --example history -- [EDITS]`; the edits set positions of 1,000 nodes, and then type one text.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use rtc_core::ground::Ground;
use rtc_core::id::{Actor, PeerKey};
use rtc_core::message::Message;
use rtc_core::op::text::CharId;
use rtc_core::op::{Op, OpCode, Options};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

const NODES: u64 = 1_000;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> anyhow::Result<()> {
    let edits: u64 =
        std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse()).context("EDITS is a number")?;
    let sets = sets(edits);
    let room = room(&sets);
    let half = room.version_of(&sets[sets.len() / 2].dot()).context("it is held")?;
    let messages = sets.clone();
    let begun = Instant::now();
    let past = Replica::at(Root::default(), &half, messages, || true).context("nobody stops it")?;
    println!("earlier version: {:.1} ms for {} messages", ms(begun), past.count());
    let begun = Instant::now();
    let makers = room.makers("n1", "position").len() + room.movers("n1").len();
    println!("blame of a value and its node: {:.3} ms", ms(begun));
    if makers != 2 {
        bail!("one set the value, and one inserted the node");
    }
    weigh("positions", &sets, room)?;
    let typed = typed(edits);
    let room = self::room(&typed);
    weigh("text", &typed, room)
}

/// What is left of a room when everything is forgotten, what opening that costs, and what a horizon costs everybody.
fn weigh(what: &str, messages: &[Message], mut room: Replica) -> anyhow::Result<()> {
    let before: usize = messages.iter().map(|message| message.encode().len()).sum();
    let begun = Instant::now();
    let bytes = room.ground()?.encode();
    let made = ms(begun);
    let begun = Instant::now();
    let again = Replica::on(&Ground::decode(&bytes)?, Root::default());
    let opened = ms(begun);
    println!(
        "{what}: {} messages of {before} bytes leave {} bytes; made in {made:.1} ms, opened in {opened:.1} ms",
        messages.len(),
        bytes.len()
    );
    let begun = Instant::now();
    let ground = room.ground_at(&room.version_vector())?;
    room.stand(&ground);
    println!("a horizon behind all of them: {:.1} ms", ms(begun));
    if again.state_hash() != room.state_hash() || room.count() != 0 {
        bail!("a ground changed the scene");
    }
    Ok(())
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn room(messages: &[Message]) -> Replica {
    let mut room = Replica::new(Root::default());
    room.apply_all(messages);
    room
}

/// The message of that number, all of which are one author's.
fn message(seq: u64, name: &str, key: String, path: Option<&str>, value: Value, options: Options) -> Message {
    let code = OpCode::named(name).expect("the table has it");
    let ops = vec![Op { code, key, path: path.map(str::to_owned), value, options }];
    let (actor, clock) = (Actor::new(PeerKey([1; 32]), 1), Vec::new());
    Message { actor, seq, lamport: seq, clock, time_ms: Some(seq), request: None, note: None, ops }
}

fn sets(edits: u64) -> Vec<Message> {
    let node = |seq| format!("n{}", seq % NODES);
    let insert = |seq| message(seq, "node.insert", node(seq), None, Value::Null, Options::new());
    let set = |seq: u64| {
        let random = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let coordinate =
            |shift: u32| f64::from(u16::try_from(random >> shift & 0xffff).expect("16 bits")) / 64.0;
        let value = Value::numbers(&[0, 16, 32].map(coordinate)).expect("they are finite");
        message(seq, "vector3.set", node(seq), Some("position"), value, Options::new())
    };
    (1..=NODES).map(insert).chain((NODES + 1..=NODES + edits).map(set)).collect()
}

/// One letter per message, each behind the one before.
fn typed(letters: u64) -> Vec<Message> {
    let insert = |seq: u64| {
        let mut typed = message(seq, "text.insert", "scene".into(), Some("note"), "x".into(), Options::new());
        let own = typed.dot();
        if seq > 1 {
            let before = CharId { dot: rtc_core::id::Dot { seq: seq - 1, ..own }, index: 0, offset: 0 };
            typed.ops[0].options.insert("after".to_owned(), before.write(own));
        }
        typed
    };
    (1..=letters).map(insert).collect()
}
