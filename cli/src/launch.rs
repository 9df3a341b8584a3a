//! How to start the daemon: a command line, given by the program this library is part of.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::exit::Exit;
use crate::failure::Failure;

/// The command line of a program that takes `rtcd`'s subcommands.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// What comes before the subcommand.
    pub args: Vec<OsString>,
}

impl Launcher {
    /// The command that runs `rtcd`'s subcommand `name`.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(name);
        command
    }

    /// Starts the daemon of this environment and returns when it answers. Who loses a race against another start
    /// finds the winner's daemon, so what went wrong is told only where nobody answers afterwards.
    pub async fn autostart(&self) -> Result<(), Failure> {
        let output = self.command("start").stdin(Stdio::null()).stdout(Stdio::null()).output().await;
        let output = output.map_err(|error| {
            Failure::new(Exit::NoDaemon, format!("{} cannot be started: {error}", self.program.display()))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it gave no reason");
        let said = said.strip_prefix("error: ").unwrap_or(said);
        Err(Failure::new(Exit::NoDaemon, format!("the daemon could not be started: {said}"))
            .with_hint("`rtc start --foreground` shows what it does"))
    }
}
