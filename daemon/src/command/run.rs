//! `rtcd run`, and the same in the background.

use std::process::ExitCode;

use rtc_client::Places;

use crate::boot;
use crate::launch::{Report, leave_session, stderr_to};

use super::{Failure, Flags, places};

/// Runs the daemon here, logging to stderr, until a signal or `rtcd stop` ends it.
pub(super) fn foreground(flags: &Flags) -> Result<ExitCode, Failure> {
    let ended = boot::run(&places()?, &flags.overrides(), boot::log_to_stderr, || {});
    ended.map_err(|error| Failure::refused(error.to_string()))
}

/// Is the daemon in the background: its parent hears how the start went, and the log everything after.
pub(super) fn detached(flags: &Flags) -> ExitCode {
    let failed = |report: Report| {
        report.tell();
        ExitCode::FAILURE
    };
    let places = match Places::from_env() {
        Ok(places) => places,
        Err(error) => return failed(Report::Failed(error.to_string())),
    };
    if let Err(error) = leave_session() {
        return failed(Report::Failed(format!("cannot leave the session: {error}")));
    }
    let log_file = places.log_file.clone();
    let begin_log = |settings: &_| {
        stderr_to(&log_file)?;
        boot::log_to_stderr(settings)
    };
    boot::run(&places, &flags.overrides(), begin_log, || Report::Ready.tell())
        .unwrap_or_else(|error| failed(Report::of(&error)))
}
