//! `rtc log`: the newest messages, newest first.

use rtc_core::api::{Ask, EditOp, Fork, LogEntry, Reply};
use rtc_core::id::Dot;
use rtc_core::value::Value;

use crate::at::Version;
use crate::draw::{DIM, RED, RESET, YELLOW};
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// Messages shown where `-n` does not say.
const SHOWN: u64 = 50;
/// Ops of one message shown on its line.
const OPS_SHOWN: usize = 3;

/// What `rtc log` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Each line tells a message's id, which `rtc undo` takes, its age, its author, its description and its edits.
With --json, each message is one object on a line; its ops are such as `rtc edit -` reads.")]
pub struct Args {
    /// How many messages to show
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = SHOWN)]
    limit: u64,
    /// Show all of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    version: Version,
}

/// What `--json` prints of a message; its edits are such as `rtc edit -` reads.
#[derive(serde::Serialize)]
pub struct Printed<'a> {
    id: Dot,
    lamport: u64,
    time_ms: Option<u64>,
    note: Option<&'a str>,
    undone: bool,
    own: bool,
    ops: Vec<Value>,
}

impl<'a> Printed<'a> {
    /// The message as JSON has it.
    pub fn of(entry: &'a LogEntry) -> Self {
        Self {
            id: entry.id,
            lamport: entry.lamport,
            time_ms: entry.time_ms,
            note: entry.note.as_deref(),
            undone: entry.undone,
            own: entry.own,
            ops: entry.ops.iter().map(EditOp::to_flat).collect(),
        }
    }
}

/// Prints the messages.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let limit = (!args.all).then_some(args.limit);
    let ask = Ask::Log { room: session.room(), limit, at: args.version.at };
    let forks = forks(session).await?;
    let mut replies = session.stream(ask).await?;
    while let Some(reply) = session.next(&mut replies).await? {
        let Reply::Log(entries) = reply else { return Err(Failure::unexpected()) };
        // Ids are told apart within what the daemon sends at once: a long log streams.
        for (entry, id) in entries.iter().zip(short::dots(&entries)) {
            if session.out.json {
                session.out.object("rtc.message/1", &Printed::of(entry))?;
            } else {
                session.out.line(line(entry, &id, &forks))?;
            }
        }
    }
    Ok(())
}

/// The forks of all rooms that are awake: a room in which there are any is.
pub async fn forks(session: &mut Session) -> Result<Vec<Fork>, Failure> {
    let Reply::Rooms(rooms) = session.ask(Ask::Rooms {}).await? else { return Err(Failure::unexpected()) };
    Ok(rooms.into_iter().flat_map(|room| room.forks).collect())
}

/// One message on a line.
pub fn line(entry: &LogEntry, id: &str, forks: &[Fork]) -> String {
    let mut author = if entry.own { "you".to_owned() } else { short::short(entry.id.actor.key()) };
    if let Some(fork) = forks.iter().find(|fork| fork.branches.contains(&entry.id.actor)) {
        author += &format!(" in a branch since {}", fork.message.seq);
    }
    let undone = if entry.undone { format!(" {RED}(undone){RESET}") } else { String::new() };
    let note = entry.note.as_deref().map(|note| format!(" {:?}", draw::plain(note))).unwrap_or_default();
    format!(
        "{YELLOW}{id}{RESET} {DIM}{}, {author}{RESET}{undone}{note} {}",
        age::ago(entry.time_ms),
        summary(entry)
    )
}

fn summary(entry: &LogEntry) -> String {
    let mut shown: Vec<String> = entry.ops.iter().take(OPS_SHOWN).map(draw::edit).collect();
    if entry.ops.len() > OPS_SHOWN {
        shown.push(format!("and {} more", entry.ops.len() - OPS_SHOWN));
    }
    shown.join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_core::id::Actor;

    #[test]
    fn a_message_stays_on_one_line_whatever_it_says() {
        let op = EditOp { otype: "node.remove".into(), key: "a".into(), ..EditOp::default() };
        let entry = LogEntry {
            id: Dot { actor: Actor::from_name("a"), seq: 3 },
            lamport: 1,
            time_ms: None,
            note: Some("two\nlines".into()),
            undone: true,
            own: true,
            ops: vec![op; 5],
        };
        let fork = Fork {
            message: Dot { actor: Actor::from_name("b"), seq: 2 },
            own: true,
            branches: vec![Actor::from_name("a")],
        };
        let of_branch = line(&entry, "a:3", &[fork]);
        assert!(of_branch.contains(", you in a branch since 2"), "{of_branch}");
        let line = anstream::adapter::strip_str(&line(&entry, "a:3", &[])).to_string();
        assert!(!line.contains('\n'));
        assert!(line.starts_with("a:3 at an unknown time, you (undone)"), "{line}");
        assert!(line.ends_with("a node.remove + a node.remove + a node.remove + and 2 more"), "{line}");
    }
}
