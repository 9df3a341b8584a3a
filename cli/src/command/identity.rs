//! `rtc identity`: the key by which others know this machine, shown, copied and brought back.

use std::path::PathBuf;

use clap::Subcommand;
use rtc_core::api::{Ask, Reply};
use rtc_core::id::PeerKey;

use super::backup::absolute;
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc identity` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: IdentityCommand,
}

/// What can be done with the key.
#[derive(Subcommand, Debug)]
enum IdentityCommand {
    /// Print the key by which others know this machine
    Show,
    /// Copy the secret key into a new file that only you can read
    #[command(after_help = "\
Whoever has the file can be you in every room: keep it as you would a password. It holds no room: `rtc backup` does.")]
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Make the key in a backup this machine's own: on a new machine, or after the old one was lost
    #[command(after_help = "\
The daemon stops, and is who the backup says from its next start on. The key it had stays beside the new one, as
identity.replaced-KEY. Rooms come from their other members, or with `rtc restore`; join them with a ticket where this machine does not
hold them. One key belongs on one machine: stop the daemon on the old one for good.")]
    Restore {
        /// What `rtc identity backup` wrote
        file: PathBuf,
    },
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Printed {
    peer: PeerKey,
}

/// Does it, and prints the key.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let (peer, said) = match args.command {
        IdentityCommand::Show => (session.status().await?.peer, None),
        IdentityCommand::Backup { file } => {
            let peer = ask(Ask::BackupIdentity { file: absolute(&file)? }, session).await?;
            (peer, Some("whoever has the file can be this machine in every room: keep it safe"))
        }
        IdentityCommand::Restore { file } => {
            let peer = ask(Ask::RestoreIdentity { file: absolute(&file)? }, session).await?;
            (peer, Some("the daemon is this one from its next start on; it has stopped if it was another"))
        }
    };
    if session.out.json {
        return Ok(session.out.object("rtc.identity/1", &Printed { peer })?);
    }
    said.into_iter().for_each(|said| session.say(said));
    Ok(session.out.line(peer)?)
}

async fn ask(ask: Ask, session: &mut Session) -> Result<PeerKey, Failure> {
    match session.ask(ask).await? {
        Reply::Identity { peer } => Ok(peer),
        _ => Err(Failure::unexpected()),
    }
}
