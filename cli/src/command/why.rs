//! `rtc why`: one sentence on a peer or a node.

use std::time::Duration;

use rtc_core::api::{Ask, Fork, LogEntry, Peer, Reply};

use super::peers;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc why` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc why k7f2q3ab      # a peer, as `rtc peers` lists it: is it in sync, and if not, why
  rtc why cube-1        # a node: who put it where it is, or took it away

What is no peer's key is taken for a node's.")]
pub struct Args {
    /// A peer's key or the beginning of one, or a node's key
    #[arg(value_name = "PEER|NODE")]
    what: String,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Printed {
    why: String,
}

/// Letters of a peer's key by which it is known from a node's: as many as `rtc peers` shows.
const KEY_LETTERS_MIN: usize = short::SHOWN;

/// Prints the sentence.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let Reply::Peers(peers) = session.ask(Ask::Peers {}).await? else { return Err(Failure::unexpected()) };
    let is_named =
        |peer: &&Peer| args.what.len() >= KEY_LETTERS_MIN && peer.peer.to_string().starts_with(&args.what);
    let why = match peers.iter().find(is_named) {
        Some(peer) => {
            let rooms = session.status().await?.rooms;
            let forks = rooms.iter().flat_map(|room| &room.forks);
            [of_peer(peer)]
                .into_iter()
                .chain(forks.filter_map(|fork| of_fork(peer, fork)))
                .collect::<Vec<_>>()
                .join("; ")
        }
        None => of_node(&args.what, &peers, session).await?,
    };
    if session.out.json {
        return Ok(session.out.object("rtc.why/1", &Printed { why })?);
    }
    Ok(session.out.line(why)?)
}

fn of_peer(peer: &Peer) -> String {
    let name = short::short(peer.peer);
    if !peer.connected {
        let last = peer
            .silent_ms
            .map(|ms| format!(", and was last heard {} ago", age::long(Duration::from_millis(ms))));
        let addresses: Vec<String> = peer.addresses.iter().map(|address| draw::plain(address)).collect();
        return format!(
            "{name} is not connected{}: it is off, elsewhere, or nobody answers at {}",
            last.unwrap_or_default(),
            if addresses.is_empty() {
                "any address, since none is known".to_owned()
            } else {
                addresses.join(" ")
            },
        );
    }
    if peer.rooms.is_empty() {
        return format!(
            "{name} is connected, and not in any room of this daemon: `rtc invite` makes a ticket for it"
        );
    }
    if peer.in_sync {
        return format!("{name} is in sync: both hold the same messages");
    }
    match peers::still(peer).as_str() {
        "" => format!(
            "{name} is about to be in sync: its word that it holds the same is half a second away at most"
        ),
        still => format!("{name} is not in sync yet{still}"),
    }
}

/// What a fork has to do with a peer: it is its own, or may be why the two never agree.
fn of_fork(peer: &Peer, fork: &Fork) -> Option<String> {
    let message = short::dot(&fork.message);
    if fork.message.actor.key() == peer.peer {
        let then = match fork.branches.is_empty() {
            false => {
                "Both are kept, each with what came after it as if it were somebody else's, and everybody sees both"
            }
            true => "Who holds the other one than you does not see what you make, nor you what he makes",
        };
        return Some(format!(
            "it has signed two messages as {message}: the machine runs twice, as one that was copied with its memory, or it lies. {then}"
        ));
    }
    if !fork.branches.is_empty() {
        return None;
    }
    let apart = peer.connected && !peer.in_sync && !peer.rooms.is_empty();
    apart.then(|| {
        format!("two messages are {message}, and where it holds the other one than you, it stays so")
    })
}

async fn of_node(key: &str, peers: &[Peer], session: &mut Session) -> Result<String, Failure> {
    let ask = Ask::Blame { room: session.room(), key: key.to_owned(), path: None, all: false, at: None };
    let mut replies = session.stream(ask).await?;
    let newest = match session.next(&mut replies).await {
        Ok(Some(Reply::Blame(edits))) => edits.into_iter().next(),
        Ok(_) => None,
        Err(failure) if failure.exit == Exit::NotFound => None,
        Err(failure) => return Err(failure),
    };
    let Some(edit) = newest else {
        let ask = Ask::Node { room: session.room(), key: key.to_owned(), at: None };
        return match session.ask(ask).await {
            Ok(Reply::Node(node)) if node.parent.is_none() => {
                Ok(format!("{} is the root: the room began with it", draw::plain(key)))
            }
            Ok(_) => Ok(format!("{} is there since before what is let go of the history", draw::plain(key))),
            Err(failure) if failure.exit == Exit::NotFound => Ok(of_nothing(key, peers)),
            Err(failure) => Err(failure),
        };
    };
    let LogEntry { id, time_ms, own, ops, .. } = &edit.message;
    let who = if *own { "you".to_owned() } else { short::short(id.actor.key()) };
    let when = age::ago(*time_ms);
    let message = short::dot(id);
    let key = draw::plain(key);
    Ok(match ops.first().map(|op| op.otype.as_str()) {
        Some("node.remove") => format!(
            "{key} is gone: {who} removed it {when} with message {message}; `rtc undo {message}` brings it back"
        ),
        Some("node.move") => {
            format!("{key} is where it is because {who} moved it {when} with message {message}")
        }
        _ => format!("{key} is there because {who} inserted it {when} with message {message}"),
    })
}

fn of_nothing(key: &str, peers: &[Peer]) -> String {
    let key = draw::plain(key);
    let ahead: u64 = peers.iter().map(|peer| peer.ahead).sum();
    let is_alone = !peers.iter().any(|peer| peer.connected && !peer.rooms.is_empty());
    let perhaps = match (ahead, is_alone) {
        (0, false) => "and everybody connected holds the same".to_owned(),
        (0, true) => "and no member of the room is connected who may have it".to_owned(),
        (ahead, _) => format!("but {} of connected peers are still to come", age::count(ahead, "message")),
    };
    format!("nothing that is held here ever inserted {key}, {perhaps}")
}
