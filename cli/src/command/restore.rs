//! `rtc restore`: rooms put back, from a backup or from their members.

use std::path::PathBuf;

use rtc_core::api::Ask;

use super::backup::absolute;
use super::doctor::{ask, print};
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc restore` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Nothing is taken away: a room that is here keeps what it has, and gets what the backup has beside. Edits made since the backup come
back from the room's members. Where the whole disk is lost and there is no backup, ask a member for a ticket: rtc join TICKET")]
#[group(required = true, multiple = false)]
pub struct Args {
    /// A file that `rtc backup` made
    file: Option<PathBuf>,
    /// Make every room that cannot be opened anew, from what is whole of it; members send the rest
    #[arg(long)]
    from_peers: bool,
}

/// Restores, and prints what became of each room.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let file = args.file.as_deref().map(absolute).transpose()?;
    let done = ask(Ask::Restore { file }, session).await?;
    print(&done, session)
}
