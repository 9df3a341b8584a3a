//! Starting a daemon in the background: a process of its own session that keeps nothing of whoever started it.
//!
//! The child tells its parent over its standard output how it went, in one line, and then lets go of that too. So the
//! parent knows without asking twice, and `$(rtcd start)` ends when `rtcd start` does.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::unistd;

use crate::boot::StartError;
use crate::lock::LockError;
use crate::logging;

/// The hidden word that makes a program the background daemon.
pub const DETACHED_WORD: &str = "__detached";
/// A daemon is ready in a fraction of a second; one with very many rooms on a slow disk gets a minute.
pub const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the system lists the descriptors of this process.
const DESCRIPTORS_DIR: &str = "/dev/fd";
/// Descriptors that are tried where the system lists none.
const DESCRIPTORS_GUESSED: i32 = 1024;

/// The command line that, with [`DETACHED_WORD`] and flags after it, is a daemon.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Words before the daemon's own.
    pub words: Vec<OsString>,
}

/// What a daemon in the background says of its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// Clients are answered.
    Ready,
    /// Another daemon has the data; the message names it.
    Held(String),
    /// It does not run, for this reason.
    Failed(String),
}

impl Launcher {
    /// Starts a daemon with `flags`, and waits for what it says.
    ///
    /// # Errors
    /// When it cannot be started, or says nothing.
    pub fn launch(&self, flags: &[OsString], log_file: &Path) -> io::Result<Report> {
        let mut child = Command::new(&self.program)
            .args(&self.words)
            .arg(DETACHED_WORD)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What goes wrong before the log is open is said here.
            .stderr(append_to(log_file)?)
            .spawn()?;
        let mut line = child.stdout.take().expect("it was asked for, above");
        let (said, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            let read = line.read_to_string(&mut text);
            // Whoever waited may have given up.
            let _ = said.send(read.map(|_| text));
        });
        match heard.recv_timeout(READY_TIMEOUT) {
            Ok(Ok(text)) => match Report::parse(text.trim_end()) {
                Some(report) => Ok(report),
                None => Err(silent(child.wait()?)),
            },
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let seconds = READY_TIMEOUT.as_secs();
                Err(io::Error::other(format!("it is not ready after {seconds} s, and goes on starting")))
            }
        }
    }
}

/// Opens the log as it is: only who holds the data may put a long one aside.
fn append_to(log_file: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).mode(0o600).open(log_file);
    file.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", log_file.display()))
    })
}

fn silent(status: ExitStatus) -> io::Error {
    io::Error::other(format!("it ended before it was ready ({status})"))
}

impl Report {
    /// What became of a start that failed.
    pub fn of(error: &StartError) -> Self {
        match error {
            StartError::Data(LockError::Held { .. }) => Self::Held(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }

    /// Tells the parent, and lets go of it.
    pub fn tell(&self) {
        let line = match self {
            Self::Ready => "ready".to_owned(),
            Self::Held(message) => format!("held {message}"),
            Self::Failed(message) => format!("failed {message}"),
        };
        // A parent that is gone needs not be told.
        let _ = writeln!(io::stdout(), "{line}");
        let _ = io::stdout().flush();
        if let Ok(null) = File::options().write(true).open("/dev/null") {
            let _ = unistd::dup2_stdout(&null);
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "ready" => Some(Self::Ready),
            Some(("held", message)) => Some(Self::Held(message.to_owned())),
            Some(("failed", message)) => Some(Self::Failed(message.to_owned())),
            _ => None,
        }
    }
}

/// Lets go of every descriptor beyond the standard three. To be called before anything is opened.
pub fn close_inherited() {
    let listed = fs::read_dir(DESCRIPTORS_DIR).map(|entries| {
        let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        entries.filter_map(name).collect::<Vec<i32>>()
    });
    let descriptors = listed.unwrap_or_else(|_| (0..DESCRIPTORS_GUESSED).collect());
    for descriptor in descriptors.into_iter().filter(|&descriptor| descriptor > 2) {
        // The one the list was read through is closed already.
        let _ = unistd::close(descriptor);
    }
}

/// Leaves the session, and with it the terminal, of whoever started this, and the directory they were in.
pub fn leave_session() -> io::Result<()> {
    unistd::setsid()?;
    std::env::set_current_dir("/")
}

/// Puts the log file, put aside first where it is long, in the place of stderr.
pub fn stderr_to(log_file: &Path) -> io::Result<()> {
    unistd::dup2_stderr(&logging::open_file(log_file)?).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        for (text, report) in [
            ("ready", Some(Report::Ready)),
            ("held by 7", Some(Report::Held("by 7".into()))),
            ("failed: not", None),
            ("failed not so", Some(Report::Failed("not so".into()))),
            ("", None),
        ] {
            assert_eq!(Report::parse(text), report);
        }
    }

    #[test]
    fn a_program_that_says_nothing_is_said_to_have_ended() {
        let dir = tempfile::tempdir().unwrap();
        let launcher = Launcher { program: "/bin/sh".into(), words: vec!["-c".into(), "exit 7".into()] };
        let error = launcher.launch(&[], &dir.path().join("log")).unwrap_err();
        assert!(error.to_string().contains("ended before it was ready (exit status: 7)"), "{error}");
    }
}
