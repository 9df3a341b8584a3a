//! Where rtc keeps its things, from `RTC_HOME`, the platform's conventions and nothing else.

use std::path::PathBuf;

/// Directories and files of one daemon. Nothing is created by asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// Identity, rooms, address book.
    pub data_dir: PathBuf,
    /// The settings (TOML).
    pub config_file: PathBuf,
    /// The log.
    pub log_file: PathBuf,
    /// The local socket; its directory is the user's alone.
    pub socket: PathBuf,
    /// Shared by all daemons of this user on this host, whatever their homes: rendezvous files.
    pub user_runtime_dir: PathBuf,
    /// Where number records and key locks live: volatile (tmpfs), the user's, never below `RTC_HOME`.
    pub volatile_dir: PathBuf,
}
