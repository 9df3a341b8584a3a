//! A daemon of its own for a test: a temporary home, found by nobody it is not shown to, and gone with the test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::crash::copy;

/// How long anything may take here. Generous: a loaded machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// One host: daemons on it share a runtime directory, and so find each other without multicast.
#[derive(Clone)]
pub(crate) struct Host {
    runtime: Rc<TempDir>,
}

/// One user's home on a host.
pub(crate) struct Home {
    dir: TempDir,
    host: Host,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        // Number records are believed only in a memory file system.
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { TempDir::with_prefix_in("rtc-test-", shm) } else { TempDir::new() };
        Self { runtime: Rc::new(dir.expect("a directory for the test")) }
    }

    pub(crate) fn home(&self) -> Home {
        let dir = TempDir::with_prefix("rtc-test-").expect("a directory for the test");
        Home { dir, host: self.clone() }
    }

    /// Two daemons that run and share nothing.
    pub(crate) fn strangers(&self) -> (Home, Home) {
        let (a, b) = (self.home(), self.home());
        a.start();
        b.start();
        (a, b)
    }

    /// Two daemons that run and share the first one's room.
    pub(crate) fn joined(&self) -> (Home, Home) {
        let (a, b) = self.strangers();
        b.join(&a);
        (a, b)
    }

    /// Forgets what memory forgets when a machine reboots.
    pub(crate) fn reboot(&self) {
        for entry in std::fs::read_dir(self.runtime.path()).expect("the runtime directory") {
            let path = entry.expect("an entry").path();
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.expect("nobody else holds it");
        }
    }
}

impl Home {
    /// A home on a host of its own.
    pub(crate) fn alone() -> Self {
        Host::new().home()
    }

    /// What a copy of this machine's disk and memory makes of it, while its daemon does not run.
    pub(crate) fn twin(&self) -> Self {
        let twin = Self::alone();
        copy(self.path(), twin.path());
        copy(self.host.runtime.path(), twin.host.runtime.path());
        twin
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `rtc` in this home; it never starts a daemon by itself.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare_command(env!("CARGO_BIN_EXE_rtc"), args);
        command.arg("--no-autostart");
        command
    }

    /// A program in this home, as it is.
    pub(crate) fn bare_command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear().stdin(Stdio::null());
        command.env("RTC_HOME", self.dir.path()).env("XDG_RUNTIME_DIR", self.host.runtime.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs `rtc` to its end.
    pub(crate) fn rtc(&self, args: &[&str]) -> Said {
        said(self.command(args).output().expect("rtc can be run"))
    }

    /// Runs `rtc`, which must succeed, and gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let said = self.rtc(args);
        assert_eq!(said.code, 0, "rtc {args:?}: {said:?}");
        said.out.trim_end().to_owned()
    }

    /// Runs `rtc` with this on its stdin, which must succeed.
    pub(crate) fn pipe(&self, args: &[&str], input: &str) {
        let mut command = self.command(args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("rtc can be run");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        let said = said(child.wait_with_output().expect("it ends"));
        assert_eq!(said.code, 0, "rtc {args:?}: {said:?}");
    }

    /// Runs `rtc --json`, which must succeed.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out)
            .unwrap_or_else(|error| panic!("rtc {args:?} printed no JSON ({error}): {out}"))
    }

    /// Runs `rtcd` to its end.
    pub(crate) fn rtcd(&self, args: &[&str]) -> Said {
        said(self.bare_command(env!("CARGO_BIN_EXE_rtcd"), args).output().expect("rtcd can be run"))
    }

    /// Starts the daemon on loopback, without multicast.
    pub(crate) fn start(&self) -> &Self {
        let said = self.rtcd(&["start", "--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"]);
        assert_eq!(said.code, 0, "{said:?}\n{}", self.log());
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        let pid = self.json(&["status"])["pid"].as_u64().expect("a numeric pid");
        u32::try_from(pid).expect("a pid")
    }

    /// Ends the daemon as a power cut would, and returns when it is gone.
    pub(crate) fn kill(&self) {
        let pid = self.pid();
        signal(pid, "KILL");
        eventually("the killed daemon is gone", || !is_running(pid));
    }

    pub(crate) fn state_hash(&self) -> String {
        self.room()["state_hash"].as_str().expect("a state hash").to_owned()
    }

    pub(crate) fn messages(&self) -> u64 {
        self.room()["messages"].as_u64().expect("a number of messages")
    }

    /// The default room, as status tells it.
    pub(crate) fn room(&self) -> Value {
        self.json(&["status"])["rooms"][0].clone()
    }

    /// Joins this home's daemon to the other's default room.
    pub(crate) fn join(&self, other: &Self) {
        let ticket = other.ok(&["invite"]).lines().last().expect("a ticket").to_owned();
        self.ok(&["join", &ticket]);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        rtc_client::Places::of_home(self.path()).expect("places").socket
    }

    pub(crate) fn log(&self) -> String {
        let places = rtc_client::Places::of_home(self.path()).expect("places");
        std::fs::read_to_string(places.log_file).unwrap_or_default()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let stopped = self.rtcd(&["stop"]);
        if !std::thread::panicking() && stopped.code > 3 {
            panic!("the daemon does not stop: {stopped:?}");
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.path().display(), self.log());
        }
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Sends a signal by process id.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill can be run").success(), "kill -{name} {pid}");
}

/// Whether the process exists and is no zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    // Its first thread may be gone while another one has its files open still.
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.is_some_and(|state| state != 'Z' || threads() > 1)
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// Waits until all show the same scene and hold the same number of messages, and gives the hash.
pub(crate) fn converged(homes: &[&Home]) -> String {
    let facts = |home: &&Home| {
        let room = home.room();
        (room["state_hash"].clone(), room["messages"].clone())
    };
    eventually("all show the same scene", || {
        let first = facts(&homes[0]);
        homes[1..].iter().all(|home| facts(home) == first)
    });
    homes[0].state_hash()
}
