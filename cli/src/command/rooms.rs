//! `rtc rooms`: which rooms this daemon holds.

use rtc_core::api::{Ask, Fork, Reply, RoomInfo};

use crate::draw::{BOLD, DIM, RED, RESET};
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc rooms` takes.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Rooms {
    rooms: Vec<RoomInfo>,
}

/// Prints the rooms, the default one first.
pub async fn run(_: Args, session: &mut Session) -> Result<(), Failure> {
    let Reply::Rooms(rooms) = session.ask(Ask::Rooms {}).await? else { return Err(Failure::unexpected()) };
    if session.out.json {
        return Ok(session.out.object("rtc.rooms/1", &Rooms { rooms })?);
    }
    for room in &rooms {
        session.out.line(line(room))?;
    }
    Ok(())
}

/// One room on a line.
pub fn line(room: &RoomInfo) -> String {
    let mut line = format!("{BOLD}{}{RESET}", short::short(room.room));
    if !room.name.is_empty() {
        line += &format!(" {:?}", draw::plain(&room.name));
    }
    if room.default {
        line += " (default)";
    }
    line += &match room.role {
        Some(role) => format!("  {role}"),
        None if room.open => "  open".to_owned(),
        None => format!("  {RED}not a member{RESET}"),
    };
    line += &format!(
        "  {}, {}, {} connected  {DIM}state {}{RESET}",
        age::count(room.nodes, "node"),
        age::count(room.messages, "message"),
        age::count(room.peers_connected.into(), "peer"),
        short::short(room.state_hash)
    );
    if room.asleep {
        line += &format!("  {DIM}asleep{RESET}");
    }
    if room.waiting > 0 {
        line +=
            &format!("  {RED}{} waiting for what came before{RESET}", age::count(room.waiting, "message"));
    }
    if let Some(reason) = &room.read_only {
        line += &format!("  {RED}read-only: {}{RESET}", draw::plain(reason));
    }
    if let Some(alarm) = &room.alarm {
        line += &format!("  {RED}{}{RESET}", draw::plain(alarm));
    }
    line
}

/// A fork in a sentence.
pub fn fork(fork: &Fork) -> String {
    let message = short::dot(&fork.message);
    let (who, why) = match fork.own {
        true => ("this machine", "its memory was copied, and it goes on under a new name".to_owned()),
        false => ("its machine", format!("`rtc why {}` says more", short::short(fork.message.actor.key()))),
    };
    let kept = if fork.branches.is_empty() { "" } else { "; both are kept, with what came after them" };
    format!("two messages are {message}: {who} runs twice, or lies{kept}; {why}")
}
