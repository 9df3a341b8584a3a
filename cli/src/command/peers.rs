//! `rtc peers`: which peers this daemon knows, and how to tell it of another.

use std::time::Duration;

use clap::Subcommand;
use rtc_core::api::{Ask, Peer, Reply};

use crate::draw::{BOLD, DIM, GREEN, RED, RESET};
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc peers` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Option<PeersCommand>,
}

/// What can be done with peers but listing them.
#[derive(Subcommand, Debug)]
enum PeersCommand {
    /// Remember an address and connect to it, where mDNS does not reach
    #[command(after_help = "Example:\n  rtc peers add /ip4/192.0.2.7/tcp/4001")]
    Add {
        /// The address, such as /ip4/192.0.2.7/tcp/4001; `rtc status` shows that of a daemon
        #[arg(value_name = "MULTIADDR")]
        address: String,
    },
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Peers {
    peers: Vec<Peer>,
}

/// What `--json` prints of an address added.
#[derive(serde::Serialize)]
struct Added {
    address: String,
}

/// Lists the peers, or adds an address.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    if let Some(PeersCommand::Add { address }) = args.command {
        session.ask(Ask::AddPeer { address: address.clone() }).await?;
        session.say(format!("remembered {address}; `rtc peers` shows whether somebody answers there"));
        if session.out.json {
            session.out.object("rtc.peer-added/1", &Added { address })?;
        }
        return Ok(());
    }
    let Reply::Peers(peers) = session.ask(Ask::Peers {}).await? else { return Err(Failure::unexpected()) };
    if session.out.json {
        return Ok(session.out.object("rtc.peers/1", &Peers { peers })?);
    }
    for peer in &peers {
        session.out.line(line(peer))?;
    }
    if peers.is_empty() {
        session.say("no peers yet: `rtc invite` here and `rtc join` there, or `rtc peers add MULTIADDR`");
    }
    Ok(())
}

/// What is still to come and to go.
pub fn still(peer: &Peer) -> String {
    let part =
        |count: u64, does: &str| (count > 0).then(|| format!("{} {does}", age::count(count, "message")));
    let parts: Vec<String> =
        [part(peer.behind, "to send"), part(peer.ahead, "to come")].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// One peer on a line.
pub fn line(peer: &Peer) -> String {
    let mut line = format!("{BOLD}{}{RESET} ", short::short(peer.peer));
    line += &match (peer.connected, peer.in_sync, peer.rooms.is_empty()) {
        (true, _, true) => format!("{DIM}connected, no shared room{RESET}"),
        (true, true, false) => format!("{GREEN}connected, in sync{RESET}"),
        (true, false, false) => format!("connected, syncing{}", still(peer)),
        (false, _, _) => format!("{RED}not connected{RESET}"),
    };
    if let Some(round_trip_us) = peer.round_trip_us.filter(|_| peer.connected) {
        line += &format!(", {}", age::precise(Duration::from_micros(round_trip_us)));
    }
    if let Some(silent_ms) = peer.silent_ms.filter(|_| !peer.connected) {
        line += &format!(", last heard {} ago", age::long(Duration::from_millis(silent_ms)));
    }
    let addresses: Vec<String> = peer.addresses.iter().map(|address| draw::plain(address)).collect();
    line + &format!("  {DIM}{} ({}){RESET}", addresses.join(" "), draw::plain(&peer.source))
}
