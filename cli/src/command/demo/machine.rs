//! One of the demo's machines: a daemon of its own in a home of its own, on this one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rtc_client::{Client, Places};
use rtc_core::api::{Ask, Edit, Peer, Reply, RoomInfo};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::grammar;
use crate::launch::Launcher;
use crate::session;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A daemon in a home of its own.
pub(super) struct Machine {
    pub(super) name: &'static str,
    home: PathBuf,
    runtime_dir: PathBuf,
    places: Places,
    launcher: Launcher,
    client: Option<Client>,
    /// A start under way, which is never left alone: what it starts must be stopped.
    starting: Option<JoinHandle<Result<(), Failure>>>,
}

impl Machine {
    /// A machine whose things are below `dir`. Machines with the same `runtime_dir` find each other.
    pub(super) fn new(
        name: &'static str,
        dir: &Path,
        runtime_dir: &Path,
        launcher: Launcher,
    ) -> Result<Self, Failure> {
        let home = dir.join(name);
        let places =
            Places::of_home(&home).map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
        let runtime_dir = runtime_dir.to_owned();
        Ok(Self { name, home, runtime_dir, places, launcher, client: None, starting: None })
    }

    fn command(&self, name: &str) -> Command {
        let mut command = self.launcher.command(name);
        command.env("RTC_HOME", &self.home).env("XDG_RUNTIME_DIR", &self.runtime_dir);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Ctrl-C is for the demo, which then stops what it started.
        command.process_group(0);
        command
    }

    /// Starts the daemon, on loopback alone, and connects to it.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        let mut command = self.command("start");
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"]);
        let name = self.name;
        let starting = self.starting.insert(tokio::spawn(async move { done(name, command).await }));
        let started = starting.await;
        self.starting = None;
        started.map_err(|error| Failure::new(Exit::NoDaemon, error.to_string()))??;
        self.client = Some(Client::connect(&self.places).await?);
        Ok(())
    }

    /// Stops the daemon, if one runs, and returns when it is gone.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        if let Some(starting) = self.starting.take() {
            // Whether it succeeded shows below.
            let _ = starting.await;
        }
        match self.client.take() {
            Some(_) => done(self.name, self.command("stop")).await,
            // It may have started without being connected to: then this ends it, and there is nothing else to end.
            None => {
                let mut command = self.command("stop");
                command.stderr(Stdio::null());
                command.status().await.map(|_| ()).map_err(Failure::from)
            }
        }
    }

    /// Asks its daemon.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Reply, Failure> {
        let client = self
            .client
            .as_ref()
            .ok_or_else(|| Failure::new(Exit::NoDaemon, format!("{} is not running", self.name)))?;
        Ok(session::within(ANSWER_TIMEOUT, client.ask(ask)).await?)
    }

    /// Commits one line of `rtc edit`.
    pub(super) async fn edit(&self, line: &str) -> Result<(), Failure> {
        let ops = grammar::parse(&words(line)).map_err(|error| Failure::usage(error.to_string()))?;
        match self.ask(Ask::Edit(Edit { ops, ..Edit::default() })).await? {
            Reply::Edited(_) => Ok(()),
            _ => Err(Failure::unexpected()),
        }
    }

    /// Its default room.
    pub(super) async fn room(&self) -> Result<RoomInfo, Failure> {
        let Reply::Rooms(rooms) = self.ask(Ask::Rooms {}).await? else { return Err(Failure::unexpected()) };
        rooms.into_iter().find(|room| room.default).ok_or_else(Failure::unexpected)
    }

    /// The peers it knows.
    pub(super) async fn peers(&self) -> Result<Vec<Peer>, Failure> {
        let Reply::Peers(peers) = self.ask(Ask::Peers {}).await? else { return Err(Failure::unexpected()) };
        Ok(peers)
    }

    /// Its scene, drawn.
    pub(super) async fn tree(&self) -> Result<Vec<String>, Failure> {
        let client = self.client.as_ref().ok_or_else(Failure::unexpected)?;
        let mut replies = client.stream(Ask::Scene { room: None, at: None }).await?;
        let mut tree = crate::draw::Tree::with_properties(true);
        let mut lines = Vec::new();
        while let Some(reply) = replies.next().await {
            let Reply::Scene(nodes) = reply? else { return Err(Failure::unexpected()) };
            for node in nodes {
                tree.push(node, &mut lines);
            }
        }
        tree.finish(&mut lines);
        Ok(lines)
    }
}

/// The words of a line as a shell would find them; the quotes of the show go around what a shell takes for a comment.
pub(super) fn words(line: &str) -> Vec<String> {
    line.split(' ').map(|word| word.replace('\'', "")).collect()
}

/// Runs a command of the daemon's to its end.
async fn done(name: &str, mut command: Command) -> Result<(), Failure> {
    let output = command.output().await.map_err(|error| {
        Failure::new(Exit::NoDaemon, format!("the daemon of {name} cannot be started: {error}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Failure::new(Exit::NoDaemon, format!("the daemon of {name}: {said}")))
}
