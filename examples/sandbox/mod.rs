//! Daemons in temporary homes on loopback, for examples that measure. The example's own program is the daemon, too.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use rtc_client::{Client, Places};
use rtc_core::api::{Ask, Edit, EditOp, Invite, Reply, RoomInfo, Wait};
use rtc_core::value::Value;
use tempfile::TempDir;

/// Runs `main`, or the daemon where this program was started as one.
pub(crate) fn run<F: Future<Output = anyhow::Result<()>>>(main: impl FnOnce() -> F) -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|word| word == rtc_daemon::command::DAEMON_WORD) {
        return rtc_daemon::daemon_main(args);
    }
    match runtime().block_on(main()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where a program lives that talks to a daemon: on one thread, as `rtc` itself does.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("this process may wait for sockets")
}

/// Where the daemons of one run find each other.
pub(crate) struct Host {
    runtime_dir: TempDir,
}

/// A daemon and a connection to it; it is stopped when this is dropped.
pub(crate) struct Machine {
    home: TempDir,
    runtime_dir: PathBuf,
    pub(crate) client: Client,
}

impl Host {
    /// A host of its own.
    pub(crate) fn new() -> anyhow::Result<Self> {
        // Number records want a memory file system.
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { TempDir::with_prefix_in("rtc-example-", shm) } else { TempDir::new() };
        Ok(Self { runtime_dir: dir? })
    }

    /// Starts a daemon in a new home, with more words on its command line.
    pub(crate) async fn start(&self, words: &[&str]) -> anyhow::Result<Machine> {
        let home = TempDir::with_prefix("rtc-example-")?;
        daemon(home.path(), self.runtime_dir.path(), "start", words)?;
        let client = connect(home.path()).await?;
        Ok(Machine { home, runtime_dir: self.runtime_dir.path().to_owned(), client })
    }
}

impl Machine {
    /// Runs a subcommand of `rtcd` in this home: `stop` keeps what is there, `start` goes on with it.
    pub(crate) fn daemon(&self, subcommand: &str) -> anyhow::Result<()> {
        daemon(self.home(), &self.runtime_dir, subcommand, &[])
    }

    /// Where its files are.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Joins the other's default room.
    pub(crate) async fn join(&self, other: &Self) -> anyhow::Result<()> {
        let Reply::Ticket { ticket } = other.client.ask(Ask::Invite(Invite::default())).await? else {
            bail!("no ticket");
        };
        self.client.ask(Ask::Join { ticket, timeout_ms: 30_000 }).await?;
        Ok(())
    }

    /// The default room.
    pub(crate) async fn room(&self) -> anyhow::Result<RoomInfo> {
        let Reply::Rooms(rooms) = self.client.ask(Ask::Rooms {}).await? else { bail!("no rooms") };
        rooms.into_iter().find(|room| room.default).context("no default room")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.daemon("stop") {
            eprintln!("warning: {error:#}");
        }
    }
}

/// Connects to the daemon of a home.
pub(crate) async fn connect(home: &Path) -> anyhow::Result<Client> {
    Ok(Client::connect(&Places::of_home(home)?).await?)
}

/// One edit of one node.
pub(crate) fn edit(otype: &str, key: &str, path: Option<&str>, value: Option<Value>, wait: Wait) -> Ask {
    let op = EditOp {
        otype: otype.into(),
        key: key.into(),
        path: path.map(str::to_owned),
        value,
        ..EditOp::default()
    };
    Ask::Edit(Edit { ops: vec![op], wait, ..Edit::default() })
}

fn daemon(home: &Path, runtime_dir: &Path, name: &str, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([rtc_daemon::command::DAEMON_WORD, name]);
    if name == "start" {
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"]);
    }
    command.args(words).env("RTC_HOME", home).env("XDG_RUNTIME_DIR", runtime_dir).stdin(Stdio::null());
    let output = command.output()?;
    // Nothing to stop is as good as stopped.
    let nothing_to_stop = name == "stop" && output.status.code() == Some(3);
    if !output.status.success() && !nothing_to_stop {
        bail!("rtcd {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
