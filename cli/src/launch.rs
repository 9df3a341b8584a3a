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

    /// Starts the daemon of this environment where none runs, and returns when one answers: this one, or that of
    /// whoever was faster.
    pub async fn autostart(&self) -> Result<(), Failure> {
        let mut command = self.command("start");
        command.arg("--if-needed").stdin(Stdio::null()).stdout(Stdio::null());
        let output = command.output().await.map_err(|error| {
            Failure::new(Exit::NoDaemon, format!("{} cannot be started: {error}", self.program.display()))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let after = |word: &str| said.lines().find_map(|line| line.trim().strip_prefix(word));
        let message = after("error: ").unwrap_or("it gave no reason");
        let hint = after("hint: ").unwrap_or("`rtc start --foreground` shows what it does");
        Err(Failure::new(Exit::NoDaemon, format!("the daemon could not be started: {message}"))
            .with_hint(hint))
    }
}
