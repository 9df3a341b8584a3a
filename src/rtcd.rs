//! The `rtcd` program: the daemon alone, for service managers and machines where nobody types.

use std::process::ExitCode;

fn main() -> ExitCode {
    rtc_daemon::daemon_main(std::env::args_os())
}
