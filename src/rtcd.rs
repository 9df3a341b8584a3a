//! The daemon as a program of its own, for service managers; `rtc` starts the same code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rtc_daemon::daemon_main(std::env::args_os())
}
