//! `rtc undo` and `rtc redo`: take back what a message did, and bring it back.

use rtc_core::api::{Ask, Reply, Undo};
use rtc_core::id::Dot;

use super::edit;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::short;

/// What both take.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The message's id as `rtc log` shows it, or an unambiguous beginning of its actor with its number
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Take back.
    Undo,
    /// Bring back.
    Redo,
}

/// Undoes or redoes, and prints the id of the message that says so.
pub async fn run(direction: Direction, args: Args, session: &mut Session) -> Result<(), Failure> {
    let target = match args.message {
        Some(text) => Some(whole_id(&text, session).await?),
        None => None,
    };
    let undo = Undo {
        room: session.room(),
        target,
        request: None,
        wait: session.globals.wait,
        timeout_ms: edit::timeout_ms(session),
    };
    let ask = match direction {
        Direction::Undo => Ask::Undo(undo),
        Direction::Redo => Ask::Redo(undo),
    };
    match session.ask_edit(ask).await? {
        Reply::Edited(edited) => edit::print(&edited, session),
        _ => Err(Failure::unexpected()),
    }
}

/// The whole id of the message that `text` names.
async fn whole_id(text: &str, session: &mut Session) -> Result<String, Failure> {
    if text.parse::<Dot>().is_ok() {
        return Ok(text.to_owned());
    }
    let ask = Ask::Log { room: session.room(), limit: None };
    let mut replies = session.stream(ask).await?;
    let mut named = Vec::new();
    while let Some(reply) = session.next(&mut replies).await? {
        let Reply::Log(entries) = reply else { return Err(Failure::unexpected()) };
        named.extend(entries.iter().map(|entry| entry.id).filter(|id| short::names(text, id)));
    }
    match named.as_slice() {
        [id] => Ok(id.to_string()),
        [] => Err(Failure::new(Exit::NotFound, format!("there is no message {text:?}"))
            .with_hint("`rtc log` shows messages with their ids")),
        [first, second, ..] => {
            let hint = format!("give more of it: {first} or {second}");
            Err(Failure::new(Exit::Refused, format!("{text:?} names {} messages", named.len()))
                .with_hint(hint))
        }
    }
}
