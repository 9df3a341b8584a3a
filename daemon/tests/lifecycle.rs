//! Daemons as processes: starting, meeting, stopping, being killed.
//!
//! This program is both the tests and, with a hidden first word, the daemon they start: no other file is needed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rtc_client::places::is_volatile;
use rtc_client::{Places, blocking};
use rtc_core::api::{Ask, Reply, Status};
use rtc_daemon::command::DAEMON_WORD;
use rtc_daemon::lock::Lock;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const TESTS: &[(&str, fn())] = &[
    ("start_returns_when_the_daemon_answers_and_stop_when_it_is_gone", start_and_stop),
    ("without_a_daemon_the_exit_code_is_3_and_a_bad_command_line_is_2", exit_codes),
    ("a_second_start_is_refused_and_names_the_holder", a_second_start),
    ("of_racing_starts_one_wins_and_the_others_use_it", racing_starts),
    ("a_killed_daemon_is_in_nobodys_way", a_killed_daemon),
    ("a_daemon_keeps_no_descriptor_of_its_caller", no_descriptor_is_kept),
    ("a_signal_stops_a_daemon_in_order", signals),
    ("a_copy_of_the_data_does_not_start_beside_the_original", a_copied_home),
    ("a_key_others_may_read_starts_nothing", an_exposed_key),
    ("broken_settings_start_nothing_and_later_change_nothing", broken_settings),
    ("a_home_too_deep_for_a_socket_works_all_the_same", a_deep_home),
    ("a_daemon_is_small_and_the_next_one_has_the_same_key", small_and_the_same),
];

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == DAEMON_WORD) {
        return rtc_daemon::daemon_main(std::env::args_os());
    }
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    if std::env::args().any(|word| word == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed |= !passed;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A home of its own, with runtime directories of its own; what still runs in it at the end is killed.
struct Home {
    dir: PathBuf,
    runtime: PathBuf,
    _dirs: (tempfile::TempDir, tempfile::TempDir),
}

impl Home {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        // Below the memory file system, so that key locks and number records of tests do not stay there.
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { dir: base.path().join("home"), runtime: memory.path().to_owned(), _dirs: (base, memory) }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(DAEMON_WORD).args(words);
        command.env("RTC_HOME", &self.dir).env("XDG_RUNTIME_DIR", &self.runtime).env_remove("RTC_LOG");
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn succeed(&self, words: &[&str]) {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}\nlog: {}", text(&output.stderr), self.log());
    }

    #[track_caller]
    fn refused(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    /// Where this home's things are, as a process of its environment sees them.
    fn places(&self) -> Places {
        let mut places = Places::of_home(&self.dir).unwrap();
        places.user_runtime_dir = self.runtime.join("rtc");
        places
    }

    fn status(&self) -> Option<Status> {
        match blocking::Client::connect(&self.places()).ok()?.ask(Ask::Status {}).ok()? {
            Reply::Status(status) => Some(*status),
            other => panic!("{other:?}"),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.status().expect("a daemon answers").pid.try_into().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.places().log_file).unwrap_or_default()
    }

    fn config(&self, text: &str) {
        rtc_client::places::private_dir(&self.dir).unwrap();
        fs::write(self.places().config_file, text).unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let lock = self.dir.join("data/lock");
        if !Lock::is_free(&lock).unwrap_or(true) {
            let pid = fs::read_to_string(&lock).unwrap_or_default().trim().parse();
            pid.map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL)).ok();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::sleep(Duration::from_millis(2));
    }
}

fn start_and_stop() {
    let home = Home::new();
    home.succeed(&["start"]);
    let status = home.status().expect("it answers at once");
    assert_eq!(status.data_dir, home.dir.join("data").display().to_string());
    assert!(status.mdns);
    let shown = home.run(&["status"]);
    assert!(text(&shown.stdout).contains(&format!("pid {}", status.pid)), "{}", text(&shown.stdout));
    home.succeed(&["stop"]);
    assert!(home.status().is_none());
    assert!(!home.places().socket.exists());
    assert!(Lock::is_free(&home.dir.join("data/lock")).unwrap());
    assert!(home.log().contains("stopped"), "{}", home.log());
    home.succeed(&["start", "--no-mdns"]);
    assert!(!home.status().unwrap().mdns);
    home.succeed(&["stop"]);
}

fn exit_codes() {
    let home = Home::new();
    assert!(home.refused(&["stop"], 3).contains("hint: start one with: rtcd start"));
    home.refused(&["status"], 3);
    home.refused(&["start", "--listne", "/ip4/0.0.0.0/tcp/0"], 2);
    assert!(home.refused(&["start", "--listen", "localhost"], 1).contains("an address looks like"));
    assert!(!home.dir.join("data/identity").exists());
}

fn a_second_start() {
    let home = Home::new();
    home.succeed(&["start"]);
    let pid = home.pid();
    for words in [&["start"][..], &["run"], &["start", "--foreground"]] {
        let says = home.refused(words, 1);
        assert!(says.contains("in use by another daemon") && says.contains(&format!("pid {pid}")), "{says}");
    }
    home.succeed(&["start", "--if-needed"]);
    assert_eq!(home.pid(), pid);
}

fn racing_starts() {
    let home = Home::new();
    let starts: Vec<Child> = (0..6)
        .map(|_| home.command(&["start", "--if-needed"]).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for start in starts {
        let output = start.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(home.status().is_some());
    }
    assert_eq!(home.log().matches("ready").count(), 1, "{}", home.log());
}

fn a_killed_daemon() {
    let home = Home::new();
    for _ in 0..5 {
        home.succeed(&["start"]);
        kill(home.pid(), Signal::SIGKILL).unwrap();
    }
    // Not even while it is still going.
    home.succeed(&["start", "--if-needed"]);
    home.succeed(&["stop"]);
}

fn no_descriptor_is_kept() {
    let home = Home::new();
    // Unlike Rust's own, these descriptors pass to children.
    let (read, write) = nix::unistd::pipe().unwrap();
    let starting = home.command(&["start"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(write);
    // These end with the last descriptor of theirs, in whatever process.
    assert!(starting.wait_with_output().unwrap().status.success());
    assert_eq!(File::from(read).read(&mut [0]).unwrap(), 0);
    let pid = home.pid();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let outside: Vec<PathBuf> = open
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| {
            target.starts_with("/") && !target.starts_with("/dev") && !target.starts_with("/proc")
        })
        .filter(|target| !target.starts_with(&home.dir) && !target.starts_with(&home.runtime))
        .collect();
    assert_eq!(outside, Vec::<PathBuf>::new());
    if let Ok(cwd) = fs::read_link(format!("/proc/{pid}/cwd")) {
        assert_eq!(cwd, Path::new("/"));
    }
    let session = nix::unistd::getsid(Some(pid)).unwrap();
    assert_eq!(session, pid);
}

fn signals() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let home = Home::new();
        let mut daemon = home.command(&["run"]).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        until("it answers", || home.status());
        kill(Pid::from_raw(daemon.id().try_into().unwrap()), signal).unwrap();
        let mut log = String::new();
        daemon.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(daemon.wait().unwrap().success(), "{log}");
        assert!(log.contains(signal.as_str()) && log.contains("stopped"), "{log}");
        assert!(!home.places().socket.exists());
    }
}

fn a_copied_home() {
    let home = Home::new();
    if !is_volatile(&home.runtime) && !is_volatile(Path::new("/dev/shm")) {
        return;
    }
    home.succeed(&["start"]);
    let mut copy = Home::new();
    copy.runtime = home.runtime.clone();
    rtc_client::places::private_dir(&copy.dir.join("data")).unwrap();
    fs::copy(home.dir.join("data/identity"), copy.dir.join("data/identity")).unwrap();
    for words in [&["start"][..], &["start", "--if-needed"]] {
        let says = copy.refused(words, 1);
        assert!(says.contains(&format!("pid {}", home.pid())), "{says}");
    }
    home.succeed(&["stop"]);
    copy.succeed(&["start"]);
}

fn an_exposed_key() {
    let home = Home::new();
    home.succeed(&["start"]);
    home.succeed(&["stop"]);
    let identity = home.dir.join("data/identity");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o644)).unwrap();
    let says = home.refused(&["start"], 1);
    assert!(says.contains("open to others (mode 644)") && says.contains("chmod 600"), "{says}");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
    home.succeed(&["start"]);
}

fn broken_settings() {
    let home = Home::new();
    home.config("mdns = true\nmdsn = true\n");
    let says = home.refused(&["start"], 1);
    assert!(says.contains("line 2, column 1: unknown field `mdsn`"), "{says}");
    home.config("mdns = false\nlog = \"debug\"\n");
    home.succeed(&["start"]);
    assert!(!home.status().unwrap().mdns);
    home.config("mdns = maybe\n");
    let broken = until("it is told", || home.status().filter(|status| status.config_error.is_some()));
    assert!(!broken.mdns);
    assert!(text(&home.run(&["status"]).stdout).contains("line 1"));
    home.config("mdns = true\n");
    until("it counts", || home.status().filter(|status| status.mdns && status.config_error.is_none()));
}

fn a_deep_home() {
    let mut home = Home::new();
    home.dir = home.dir.join("a-directory-of-a-long-name/".repeat(6));
    let socket = || {
        fs::read_dir(home.runtime.join("rtc"))
            .unwrap()
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|end| end == "sock"))
    };
    home.succeed(&["start"]);
    home.succeed(&["status"]);
    assert!(socket().is_some());
    home.succeed(&["stop"]);
    assert!(socket().is_none());
}

fn small_and_the_same() {
    let home = Home::new();
    home.succeed(&["start"]);
    let first = home.status().unwrap();
    if let Some(bytes) = first.resident_bytes {
        println!("resident: {:.1} MiB", bytes as f64 / f64::from(1 << 20));
        assert!(bytes < 40 << 20);
    }
    let pid = home.pid();
    home.succeed(&["stop"]);
    let begun = Instant::now();
    home.succeed(&["start"]);
    println!("start took {} ms", begun.elapsed().as_millis());
    let second = home.status().unwrap();
    assert_eq!(second.peer, first.peer);
    assert_ne!(home.pid(), pid);
}
