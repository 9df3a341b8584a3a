//! `rtc undo` and `rtc redo`: take back what a message did, and bring it back.

use rtc_core::api::{Ask, Reply, Undo};

use super::edit;
use crate::failure::Failure;
use crate::session::Session;

/// What both take.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The message's id as `rtc log` shows it: whole, or cut short before its number
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
    let undo = Undo {
        room: session.room(),
        target: args.message,
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
