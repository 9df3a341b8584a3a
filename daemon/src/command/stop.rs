//! `rtcd stop`: returns when the daemon is gone, its data free for the next one.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rtc_client::{ClientError, Places, blocking};
use rtc_core::api::Ask;

use crate::boot::DATA_LOCK;
use crate::lock::Lock;

use super::{Failure, places};

/// A daemon finishes its commits before it goes; a slow disk may take long over that.
const GONE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is looked whether the daemon is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(super) fn execute() -> Result<ExitCode, Failure> {
    let places = places()?;
    let deadline = Instant::now() + GONE_TIMEOUT;
    let was_running = !is_gone(&places);
    let mut asked = false;
    while !is_gone(&places) {
        // A daemon that is starting does not answer yet, and one that starts anew with another key has to be asked again.
        asked = asked || ask(&places)?;
        if Instant::now() > deadline {
            return Err(Failure::refused(format!(
                "the daemon is not gone after {} s",
                GONE_TIMEOUT.as_secs()
            ))
            .hint(format!("its log is {}", places.log_file.display())));
        }
        thread::sleep(LOOK_AGAIN);
    }
    if was_running { Ok(ExitCode::SUCCESS) } else { Err(Failure::no_daemon()) }
}

/// Asks the daemon to stop; false where none has heard it.
fn ask(places: &Places) -> Result<bool, Failure> {
    match blocking::Client::connect(places).and_then(|client| client.ask(Ask::Stop {})) {
        Ok(_) => Ok(true),
        Err(ClientError::NoDaemon { .. } | ClientError::Broken(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether nobody holds the data: the lock is the last thing a daemon lets go of.
fn is_gone(places: &Places) -> bool {
    Lock::is_free(&places.data_dir.join(DATA_LOCK)).unwrap_or(false)
}
