//! `rtc commit` and `rtc cancel`: what becomes of a draft.

use rtc_core::api::{Ask, Cancel, Commit, Reply, Staged};

use crate::age;
use crate::command::edit;
use crate::failure::Failure;
use crate::session::Session;

/// The draft that is meant unless another is named.
pub const DRAFT: &str = "default";

/// What `rtc commit` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The draft becomes one message, so that one undo takes all of it back. Where that fails, it stays.
Prints the id of the message.")]
pub struct CommitArgs {
    /// Describe the commit
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Which draft
    #[arg(long, default_value = DRAFT, value_name = "NAME")]
    draft: String,
}

/// What `rtc cancel` takes.
#[derive(clap::Args, Debug)]
pub struct CancelArgs {
    /// Which draft
    #[arg(long, default_value = DRAFT, value_name = "NAME")]
    draft: String,
}

/// Commits a draft, and prints the message's id.
pub async fn commit(args: CommitArgs, session: &mut Session) -> Result<(), Failure> {
    let commit = Commit {
        room: session.room(),
        draft: Some(args.draft),
        note: args.message,
        request: None,
        wait: session.globals.wait,
        timeout_ms: edit::timeout_ms(session),
    };
    match session.ask_edit(Ask::Commit(commit)).await? {
        Reply::Edited(edited) => edit::print(&edited, session),
        _ => Err(Failure::unexpected()),
    }
}

/// Drops a draft.
pub async fn cancel(args: CancelArgs, session: &mut Session) -> Result<(), Failure> {
    let cancel = Cancel { room: session.room(), draft: Some(args.draft) };
    let Reply::Staged(staged) = session.ask(Ask::Cancel(cancel)).await? else {
        return Err(Failure::unexpected());
    };
    session.say(format!("{} dropped", age::count(staged.edits.into(), "edit")));
    print(staged, session)
}

/// Prints, for programs, what a draft holds, or held.
pub fn print(staged: Staged, session: &mut Session) -> Result<(), Failure> {
    if session.out.json {
        session.out.object("rtc.staged/1", &staged)?;
    }
    Ok(())
}
