//! The `rtc` program: the command line, and, started with a hidden first word, the daemon it talks to.
//!
//! One file is therefore enough for a daemon to start by itself; `rtc-cli` never links it.

use std::ffi::OsString;
use std::process::ExitCode;

use rtc_cli::Launcher;
use rtc_daemon::command::DAEMON_WORD;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|word| word == DAEMON_WORD) {
        return rtc_daemon::daemon_main(args);
    }
    // Where the system does not tell, the shell's search finds it as it found this one.
    let program = std::env::current_exe().unwrap_or_else(|_| "rtc".into());
    rtc_cli::main(args, Launcher { program, args: vec![DAEMON_WORD.into()] })
}
