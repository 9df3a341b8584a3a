//! `rtc stop`: the daemon's own `stop`, under the name people look for.

use std::ffi::OsString;
use std::process::Stdio;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc stop` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "What was accepted is on the disk when it returns; nothing is lost.")]
pub struct Args {}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Stopped {}

/// Stops the daemon, and returns when its process is gone.
pub async fn run(_: Args, session: &mut Session) -> Result<(), Failure> {
    forward("stop", Vec::new(), session).await?;
    if session.out.json {
        session.out.object("rtc.stopped/1", &Stopped {})?;
    }
    Ok(())
}

/// Runs a subcommand of the daemon's program, which says by itself what is wrong; its exit codes are ours.
pub async fn forward(name: &str, args: Vec<OsString>, session: &Session) -> Result<(), Failure> {
    let mut command = session.launcher.command(name);
    command.args(args);
    if session.out.json {
        // Its words are for people.
        command.stdout(Stdio::null());
    }
    let status = command.status().await.map_err(|error| {
        let program = session.launcher.program.display();
        Failure::new(Exit::NoDaemon, format!("{program} cannot be started: {error}"))
    })?;
    match status.code() {
        Some(0) => Ok(()),
        code => {
            let known = Exit::ALL.into_iter().find(|exit| code == Some(exit.code().into()));
            Err(Failure::silent(known.unwrap_or(Exit::Refused)))
        }
    }
}
