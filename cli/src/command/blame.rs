//! `rtc blame`: who made a value what it is, or put a node where it is.

use rtc_core::api::{Ask, LogEntry, Reply};

use super::log::{self, Printed};
use crate::at::Version;
use crate::failure::Failure;
use crate::session::Session;
use crate::short;

/// What `rtc blame` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc blame cube-1 transform.position          # who set it last
  rtc blame cube-1 transform.position --all    # and everybody whose edits are part of the value
  rtc blame cube-1                             # who inserted it, moved it, removed it

Each line is one edit with its message's id, age, author and description, as `rtc log` prints them, the last in order
first. Edits that are undone, overwritten or without effect are nobody's doing.
With --json, each edit is one object on a line.")]
pub struct Args {
    /// The node's key
    node: String,
    /// The property's path
    path: Option<String>,
    /// Of a property every edit that is part of its value
    #[arg(long, requires = "path")]
    all: bool,
    #[command(flatten)]
    version: Version,
}

/// What `--json` prints of an edit.
#[derive(serde::Serialize)]
struct PrintedEdit<'a> {
    key: &'a str,
    path: Option<&'a str>,
    index: u32,
    message: Printed<'a>,
}

/// Prints the edits.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let Args { node: key, path, all, version } = args;
    let ask = Ask::Blame { room: session.room(), key: key.clone(), path: path.clone(), all, at: version.at };
    let forks = log::forks(session).await?;
    let mut replies = session.stream(ask).await?;
    while let Some(reply) = session.next(&mut replies).await? {
        let Reply::Blame(edits) = reply else { return Err(Failure::unexpected()) };
        let (indexes, messages): (Vec<u32>, Vec<LogEntry>) =
            edits.into_iter().map(|edit| (edit.index, edit.message)).unzip();
        for ((index, message), id) in indexes.into_iter().zip(&messages).zip(short::dots(&messages)) {
            if session.out.json {
                let message = Printed::of(message);
                let edit = PrintedEdit { key: &key, path: path.as_deref(), index, message };
                session.out.object("rtc.blame/1", &edit)?;
            } else {
                session.out.line(log::line(message, &id, &forks))?;
            }
        }
    }
    Ok(())
}
