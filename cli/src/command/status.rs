//! `rtc status`: how the daemon is, which rooms it holds, and whether they are in sync.

use std::collections::BTreeMap;
use std::time::Duration;

use rtc_core::api::{Ask, Peer, Reply, Status};
use serde_json::Value;

use crate::draw::{BOLD, GREEN, RED, RESET};
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc status` takes.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "With --json, the object has a numeric `pid`, and `in_sync` for the connected peers together."
)]
pub struct Args {}

/// What `--json` prints besides the daemon's status itself.
#[derive(serde::Serialize)]
struct Printed<'a> {
    in_sync: bool,
    peers: &'a [Peer],
}

/// Prints the status.
pub async fn run(_: Args, session: &mut Session) -> Result<(), Failure> {
    let status = session.status().await?;
    let Reply::Peers(peers) = session.ask(Ask::Peers {}).await? else { return Err(Failure::unexpected()) };
    if session.out.json {
        let in_sync = shared(&peers).all(|peer| peer.in_sync);
        let body = joined(&*status, &Printed { in_sync, peers: &peers });
        return Ok(session.out.object("rtc.status/1", &body)?);
    }
    for line in lines(&status, &peers) {
        session.out.line(line)?;
    }
    Ok(())
}

/// The fields of both.
fn joined(first: &impl serde::Serialize, second: &impl serde::Serialize) -> BTreeMap<String, Value> {
    let fields = |body: serde_json::Result<Value>| match body {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => unreachable!("answers are structs of plain values"),
    };
    let both = [fields(serde_json::to_value(first)), fields(serde_json::to_value(second))];
    both.into_iter().flatten().collect()
}

/// The connected peers we share a room with.
fn shared(peers: &[Peer]) -> impl Iterator<Item = &Peer> {
    peers.iter().filter(|peer| peer.connected && !peer.rooms.is_empty())
}

fn lines(status: &Status, peers: &[Peer]) -> Vec<String> {
    let uptime = age::long(Duration::from_millis(status.uptime_ms));
    let mut lines = vec![format!(
        "{BOLD}{}{RESET}, process {}, running for {uptime}",
        draw::plain(&status.agent),
        status.pid
    )];
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<10} {value}"));
    row("sync", in_sync(peers));
    row("peer", status.peer.to_string());
    row("listening", or_nowhere(&status.listening));
    row("mdns", if status.mdns { "on" } else { "off" }.to_owned());
    row("data", draw::plain(&status.data_dir));
    row("settings", draw::plain(&status.config_file));
    if let Some(error) = &status.config_error {
        row("", format!("{RED}{}{RESET} (the settings before stay)", draw::plain(error)));
    }
    if let Some(bytes) = status.resident_bytes {
        row("memory", age::size(bytes));
    }
    for joining in &status.joining {
        let (room, peer) = (short::short(joining.room), short::short(joining.peer));
        let stands = if joining.asked { "has been asked and has not answered" } else { "is not in reach" };
        row(
            "joining",
            format!("{room}: {peer}, who made the ticket, {stands}; `rtc room leave {room}` gives up"),
        );
    }
    for room in &status.rooms {
        row("room", super::rooms::line(room));
        for fork in &room.forks {
            row("", format!("{RED}{}{RESET}", super::rooms::fork(fork)));
        }
        if room.ineffective_ops > 0 {
            row(
                "",
                format!("{} without effect; `rtc log` shows them", age::count(room.ineffective_ops, "op")),
            );
        }
    }
    lines
}

fn in_sync(peers: &[Peer]) -> String {
    let shared: Vec<&Peer> = shared(peers).collect();
    let behind = shared.iter().filter(|peer| !peer.in_sync).count();
    match (shared.len(), behind) {
        (0, _) => "alone: edits are kept, and merge when a peer is in reach".to_owned(),
        (all, 0) => format!("{GREEN}in sync{RESET} with {}", age::count(all as u64, "connected peer")),
        (all, behind) => {
            format!("syncing: {behind} of {} not yet equal", age::count(all as u64, "connected peer"))
        }
    }
}

fn or_nowhere(addresses: &[String]) -> String {
    if addresses.is_empty() { "nowhere".to_owned() } else { draw::plain(&addresses.join(" ")) }
}
