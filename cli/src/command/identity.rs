//! `rtc identity`: the key by which others know this machine, shown, copied and brought back.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use rtc_core::api::{Ask, Reply};
use rtc_core::id::PeerKey;

use super::backup::absolute;
use crate::failure::Failure;
use crate::session::Session;

/// How often it is looked whether the daemon answers again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
    /// Make a new key that takes the place of the present one in every room
    #[command(after_help = "\
The others see the same member with another key: his role, his place among the others and what he wrote stay, and the old key may do
nothing any more. That is so for each of them as soon as he hears of it. Whoever has got hold of the old key can do the same until then:
where that may be, ask an owner to remove you, and join again. Make a new backup afterwards; invitations you have made are to be made
again.")]
    Rotate,
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
        IdentityCommand::Rotate => {
            let from = session.status().await?.peer;
            let peer = ask(Ask::RotateIdentity { from }, session).await?;
            wait_for(peer, session).await;
            (peer, Some("the old key gives way to this one in every room; make a new backup of it"))
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

/// Returns when the daemon answers with that key, or has not for long.
async fn wait_for(peer: PeerKey, session: &mut Session) {
    let limit = session.globals.answer_timeout();
    let answers = async {
        while session.reconnect().await.is_err()
            || session.status().await.map_or(true, |status| status.peer != peer)
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let _ = tokio::time::timeout(limit, answers).await;
}

async fn ask(ask: Ask, session: &mut Session) -> Result<PeerKey, Failure> {
    match session.ask(ask).await? {
        Reply::Identity { peer } => Ok(peer),
        _ => Err(Failure::unexpected()),
    }
}
