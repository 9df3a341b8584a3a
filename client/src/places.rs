//! Where rtc keeps its things, from `RTC_HOME`, the platform's conventions and nothing else.
//!
//! Every directory here is one user's alone: made with mode 0700, and refused where it is somebody else's, open to
//! others, or (in places others can write to) a link. docs/storage.md lists what lies where.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use nix::unistd::Uid;

/// The environment variable that puts one daemon's data, config, socket and log below one directory.
pub const HOME_VARIABLE: &str = "RTC_HOME";
/// Bytes of a Unix socket's path, without the closing zero: `sun_path` holds 108 on Linux, 104 elsewhere.
pub const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Hex digits of the home's hash that name its socket where its path is too long: 64 bits, collisions are chosen.
const HOME_HASH_DIGITS: usize = 16;
/// Where POSIX shared memory lives on Linux, a tmpfs everywhere it exists.
const SHARED_MEMORY_DIR: &str = "/dev/shm";

/// Directories and files of one daemon. Nothing is created by asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// Identity, rooms, address book.
    pub data_dir: PathBuf,
    /// The settings (TOML); need not exist.
    pub config_file: PathBuf,
    /// The log.
    pub log_file: PathBuf,
    /// The local socket; its directory is the user's alone.
    pub socket: PathBuf,
    /// Shared by all daemons of this user on this host, whatever their homes: rendezvous files.
    pub user_runtime_dir: PathBuf,
    /// Where number records and key locks live: volatile (tmpfs or ramfs, verified), the user's, never below
    /// `RTC_HOME`. None where this system has no such place: then every start begins a new epoch.
    pub volatile_dir: Option<PathBuf>,
}

/// Why there is no place to put things.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Neither `RTC_HOME` nor a home directory.
    #[error("this user has no home directory, and {HOME_VARIABLE} is not set")]
    NoHome,
    /// The socket's path does not fit, not even in the runtime directory.
    #[error("socket path of {bytes} bytes exceeds {SOCKET_PATH_BYTES_MAX}: {}", path.display())]
    SocketPathTooLong {
        /// The shortest that was tried.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// Something of that name is no directory, or a link in a place others can write to.
    #[error("{} is not a directory of its own", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {owner}, not to {us}", path.display())]
    NotOurs {
        /// Which.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
        /// Our uid.
        us: u32,
    },
    /// Others may read or write it.
    #[error("{0} is open to others (mode {mode:03o}); make it private with: chmod 700 {0}", path.display())]
    OpenToOthers {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Places {
    /// The places of this process's user and environment.
    pub fn from_env() -> Result<Self, PlaceError> {
        Surroundings::of_this_process().places()
    }

    /// The places of a daemon whose `RTC_HOME` is `home`, whatever this process's is.
    pub fn of_home(home: &Path) -> Result<Self, PlaceError> {
        let here = Surroundings::of_this_process();
        Surroundings { home: Some(home.as_os_str().to_owned()), ..here }.places()
    }

    /// Makes every directory that is missing, and checks that each is the user's alone.
    ///
    /// The data directory may be a link the user made; what lies in shared places may not.
    pub fn create(&self) -> Result<(), PlaceError> {
        private_dir(&resolved(&self.data_dir))?;
        for file in [&self.log_file, &self.socket] {
            if let Some(dir) = file.parent() {
                private_dir(&resolved_unless_shared(dir, self))?;
            }
        }
        private_dir(&self.user_runtime_dir)?;
        self.volatile_dir.as_deref().map_or(Ok(()), private_dir)
    }
}

/// Makes `path` with mode 0700 where it is missing, and refuses it where it is not a directory, not ours, or open
/// to others.
///
/// Once it is ours and private, nobody else can change that, so the check holds after it was made.
pub fn private_dir(path: &Path) -> Result<(), PlaceError> {
    let failed = |error| PlaceError::Io { path: path.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(path).or_else(|error| match error.kind() {
        // A dangling link or a file: named by the check below.
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(failed(error)),
    })?;
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() {
        return Err(PlaceError::NotADirectory { path: path.to_owned() });
    }
    let us = Uid::effective().as_raw();
    if found.uid() != us {
        return Err(PlaceError::NotOurs { path: path.to_owned(), owner: found.uid(), us });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PlaceError::OpenToOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

/// The directory a link of the user's leads to; the path itself where it is none, or leads nowhere.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn resolved_unless_shared(dir: &Path, places: &Places) -> PathBuf {
    if dir == places.user_runtime_dir { dir.to_owned() } else { resolved(dir) }
}

/// What places follow from.
#[derive(Clone, Debug)]
struct Surroundings {
    home: Option<OsString>,
    runtime_base: Option<OsString>,
    temp_dir: PathBuf,
    shared_memory_dir: PathBuf,
    uid: u32,
}

impl Surroundings {
    fn of_this_process() -> Self {
        Self {
            home: std::env::var_os(HOME_VARIABLE),
            runtime_base: std::env::var_os("XDG_RUNTIME_DIR"),
            temp_dir: std::env::temp_dir(),
            shared_memory_dir: SHARED_MEMORY_DIR.into(),
            uid: Uid::effective().as_raw(),
        }
    }

    fn places(&self) -> Result<Places, PlaceError> {
        let home = self.home_dir()?;
        let user_runtime_dir = match self.runtime_base() {
            Some(base) => base.join("rtc"),
            None => self.temp_dir.join(format!("rtc-{}", self.uid)),
        };
        let volatile_dir = self.volatile_dir(home.as_deref());
        match home {
            Some(home) => Ok(Places {
                data_dir: home.join("data"),
                config_file: home.join("config.toml"),
                log_file: home.join("log").join("rtcd.log"),
                socket: home_socket(&home, &user_runtime_dir)?,
                user_runtime_dir,
                volatile_dir,
            }),
            None => {
                let dirs = ProjectDirs::from("", "", "rtc").ok_or(PlaceError::NoHome)?;
                Ok(Places {
                    data_dir: dirs.data_local_dir().to_owned(),
                    config_file: dirs.config_local_dir().join("config.toml"),
                    log_file: dirs.state_dir().unwrap_or(dirs.data_local_dir()).join("rtcd.log"),
                    socket: fitting(user_runtime_dir.join("rtcd.sock"))?,
                    user_runtime_dir,
                    volatile_dir,
                })
            }
        }
    }

    /// `RTC_HOME` as an absolute path; unset and empty are the same.
    fn home_dir(&self) -> Result<Option<PathBuf>, PlaceError> {
        let Some(home) = self.home.as_ref().filter(|home| !home.is_empty()) else {
            return Ok(None);
        };
        let home = Path::new(home);
        std::path::absolute(home).map(Some).map_err(|error| PlaceError::Io { path: home.to_owned(), error })
    }

    /// `XDG_RUNTIME_DIR`, where it is what the convention says: absolute, there, and ours. Under `su` and `sudo` it
    /// often names the runtime directory of the user before.
    fn runtime_base(&self) -> Option<PathBuf> {
        let base = PathBuf::from(self.runtime_base.as_ref()?);
        let found = fs::metadata(&base).ok()?;
        (base.is_absolute() && found.is_dir() && found.uid() == self.uid).then_some(base)
    }

    fn volatile_dir(&self, home: Option<&Path>) -> Option<PathBuf> {
        let in_runtime = self.runtime_base().map(|base| (base.clone(), base.join("rtc")));
        let shared = &self.shared_memory_dir;
        let in_memory = Some((shared.clone(), shared.join(format!("rtc-{}", self.uid))));
        [in_runtime, in_memory]
            .into_iter()
            .flatten()
            .find(|(base, dir)| is_volatile(base) && home.is_none_or(|home| !lies_below(dir, base, home)))
            .map(|(_, dir)| dir)
    }
}

/// Whether `dir`, directly in `base`, lies below `home` when links are followed.
fn lies_below(dir: &Path, base: &Path, home: &Path) -> bool {
    dir.starts_with(home) || resolved(base).starts_with(resolved(home))
}

/// The socket below `home`, or, where that path is too long for one, in the runtime directory under a name made of
/// the home's hash.
fn home_socket(home: &Path, user_runtime_dir: &Path) -> Result<PathBuf, PlaceError> {
    let below = home.join("run").join("rtcd.sock");
    if below.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(below);
    }
    let hash = blake3::hash(home.as_os_str().as_bytes()).to_hex();
    fitting(user_runtime_dir.join(format!("{}.sock", &hash[..HOME_HASH_DIGITS])))
}

fn fitting(path: PathBuf) -> Result<PathBuf, PlaceError> {
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        return Err(PlaceError::SocketPathTooLong { path, bytes });
    }
    Ok(path)
}

/// Whether what is written below `path` is gone after a reboot, whatever happens: tmpfs or ramfs.
#[cfg(target_os = "linux")]
pub fn is_volatile(path: &Path) -> bool {
    use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
    /// What `statfs` says of a ramfs (linux/magic.h).
    const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
    statfs(path).is_ok_and(|found| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&found.filesystem_type()))
}

/// Whether what is written below `path` is gone after a reboot, whatever happens. Unknown here, so no.
#[cfg(not(target_os = "linux"))]
pub fn is_volatile(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn surroundings(base: &Path) -> Surroundings {
        Surroundings {
            home: None,
            runtime_base: None,
            temp_dir: base.to_owned(),
            shared_memory_dir: base.join("no-such-place"),
            uid: Uid::effective().as_raw(),
        }
    }

    #[test]
    fn a_home_holds_everything_but_what_daemons_share() {
        let base = tempfile::tempdir().unwrap();
        let home = base.path().join("home");
        let places =
            Surroundings { home: Some(home.clone().into()), ..surroundings(base.path()) }.places().unwrap();
        for path in [&places.data_dir, &places.config_file, &places.log_file, &places.socket] {
            assert!(path.starts_with(&home), "{}", path.display());
        }
        assert!(!places.user_runtime_dir.starts_with(&home));
        assert_eq!(places.volatile_dir, None);
        places.create().unwrap();
        places.create().unwrap();
        assert_eq!(fs::metadata(&places.data_dir).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_home_too_deep_for_a_socket_gets_one_in_the_runtime_directory() {
        let base = tempfile::tempdir().unwrap();
        let socket = |home: &str| {
            let home = base.path().join(home.repeat(50)).into_os_string();
            Surroundings { home: Some(home), ..surroundings(base.path()) }.places().unwrap().socket
        };
        let (one, other) = (socket("deep/"), socket("down/"));
        assert_eq!(one.parent(), other.parent());
        assert_ne!(one, other);
        assert!(one.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
    }

    #[test]
    fn an_empty_home_is_none_and_a_relative_one_becomes_absolute() {
        let base = tempfile::tempdir().unwrap();
        let home =
            |home: &str| Surroundings { home: Some(home.into()), ..surroundings(base.path()) }.home_dir();
        assert_eq!(home("").unwrap(), None);
        assert_eq!(home("x").unwrap(), Some(std::env::current_dir().unwrap().join("x")));
    }

    #[test]
    fn a_runtime_directory_that_is_not_there_or_not_ours_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        let with = |runtime: &Path, uid| {
            let runtime_base = Some(runtime.as_os_str().to_owned());
            Surroundings { runtime_base, uid, ..surroundings(base.path()) }.places().unwrap().user_runtime_dir
        };
        let us = Uid::effective().as_raw();
        assert_eq!(with(base.path(), us), base.path().join("rtc"));
        assert_eq!(with(&base.path().join("gone"), us), base.path().join(format!("rtc-{us}")));
        assert_eq!(with(base.path(), us + 1), base.path().join(format!("rtc-{}", us + 1)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn volatile_is_a_verified_memory_file_system_and_never_below_a_home() {
        let base = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in(SHARED_MEMORY_DIR).unwrap();
        let volatile = |shared: &Path, home: Option<&Path>| {
            let home = home.map(|home| home.as_os_str().to_owned());
            let around =
                Surroundings { home, shared_memory_dir: shared.to_owned(), ..surroundings(base.path()) };
            around.places().unwrap().volatile_dir
        };
        assert!(volatile(memory.path(), None).unwrap().starts_with(memory.path()));
        assert_eq!(volatile(memory.path(), Some(memory.path())), None);
        let link = base.path().join("link");
        symlink(memory.path(), &link).unwrap();
        assert_eq!(volatile(memory.path(), Some(&link)), None);
        if !is_volatile(base.path()) {
            assert_eq!(volatile(base.path(), None), None);
        }
    }

    #[test]
    fn directories_open_to_others_and_links_are_refused() {
        let base = tempfile::tempdir().unwrap();
        let open = base.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(private_dir(&open), Err(PlaceError::OpenToOthers { mode: 0o750, .. })));
        let (private, link) = (base.path().join("private"), base.path().join("link"));
        private_dir(&private).unwrap();
        symlink(&private, &link).unwrap();
        assert!(matches!(private_dir(&link), Err(PlaceError::NotADirectory { .. })));
        fs::write(base.path().join("file"), "").unwrap();
        assert!(matches!(private_dir(&base.path().join("file")), Err(PlaceError::NotADirectory { .. })));
    }

    #[test]
    fn a_data_directory_may_be_a_link_of_the_users() {
        let base = tempfile::tempdir().unwrap();
        let home = base.path().join("home");
        let places =
            Surroundings { home: Some(home.clone().into()), ..surroundings(base.path()) }.places().unwrap();
        let elsewhere = base.path().join("elsewhere");
        private_dir(&elsewhere).unwrap();
        private_dir(&home).unwrap();
        symlink(&elsewhere, &places.data_dir).unwrap();
        places.create().unwrap();
    }
}
