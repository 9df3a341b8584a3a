//! Who owns a data directory or a key: whoever holds the lock on a file. The kernel lets go of it when its holder
//! ends, however that happens.
//!
//! The file carries the holder's process id for the message only; nothing is ever decided by it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often a taken lock is tried again, [`RETRY`] apart: `rtcd stop` looks at it for an instant, a killed holder takes
/// a moment to be gone, and one that just began has not yet written its process id.
const ATTEMPTS: u32 = 10;
/// The pause between two attempts.
const RETRY: Duration = Duration::from_millis(10);

/// Ownership, until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why something is not ours to use.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{what} is in use by another daemon{}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// What is locked, for people.
        what: String,
        /// The holder, as far as it said.
        pid: Option<u32>,
    },
    /// The file system has no locks, or refused.
    #[error("cannot lock {}: {error}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Lock {
    /// Takes the lock on `path`, which stands for `what`.
    pub fn take(path: &Path, what: &str) -> Result<Self, LockError> {
        let failed = |error| LockError::Io { path: path.to_owned(), error };
        let mut file = open(path).map_err(failed)?;
        for _ in 0..ATTEMPTS {
            match file.try_lock() {
                Ok(()) => {
                    // For the message only, so a full disk is no reason not to start.
                    let _ = write_pid(&mut file);
                    return Ok(Self { file });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(RETRY),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(LockError::Held { what: what.to_owned(), pid: holder_pid(&mut file) })
    }

    /// Whether nobody holds the lock on `path` at this instant.
    pub fn is_free(path: &Path) -> io::Result<bool> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
            // Shared, so that two who look do not see each other.
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
            },
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The next one to look shall not be told of a process that is gone.
        let _ = self.file.set_len(0);
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_a_dropped_one_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path, "it").unwrap();
        assert!(!Lock::is_free(&path).unwrap());
        let refused = Lock::take(&path, "it").unwrap_err();
        let us = std::process::id();
        assert_eq!(refused.to_string(), format!("it is in use by another daemon (pid {us})"));
        drop(lock);
        assert!(Lock::is_free(&path).unwrap());
        Lock::take(&path, "it").unwrap();
    }

    #[test]
    fn what_a_killed_holder_wrote_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, format!("{}\nand a longer text\n", std::process::id())).unwrap();
        let _lock = Lock::take(&path, "it").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn somebody_who_only_looks_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        drop(Lock::take(&path, "it").unwrap());
        let looking = File::open(&path).unwrap();
        looking.lock_shared().unwrap();
        thread::scope(|scope| {
            let taking = scope.spawn(|| Lock::take(&path, "it").map(drop));
            drop(looking);
            taking.join().unwrap().unwrap();
        });
    }
}
