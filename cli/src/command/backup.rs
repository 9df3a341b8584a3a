//! `rtc backup`: rooms, as they are now, in one file.

use std::path::{Path, PathBuf};

use rtc_core::api::Ask;

use super::doctor::{ask, print};
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc backup` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
All rooms, or the one of --room, while the daemon goes on. The file holds the rooms' secrets: keep it as you would a password.
It does not hold this daemon's key: `rtc identity backup` copies that.")]
pub struct Args {
    /// The file; what it held before is replaced
    file: PathBuf,
}

/// Makes the backup.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let file = absolute(&args.file)?;
    let made = ask(Ask::Backup { room: session.room(), file }, session).await?;
    print(&made, session)
}

/// The path as the daemon, which works elsewhere, understands it.
pub(super) fn absolute(file: &Path) -> Result<String, Failure> {
    let path =
        std::path::absolute(file).map_err(|error| Failure::file(&file.display().to_string(), &error))?;
    path.into_os_string().into_string().map_err(|_| Failure::usage("the file's name is not text"))
}
