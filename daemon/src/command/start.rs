//! `rtcd start`: a daemon in the background, or the one that is there.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rtc_client::{ClientError, Places, blocking};

use crate::boot::DATA_LOCK;
use crate::launch::{Launcher, READY_TIMEOUT, Report};
use crate::lock::Lock;

use super::{Failure, Flags, places, run};

/// How often it is looked whether another daemon answers yet, or is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub(super) struct Start {
    /// Stay in the foreground and log to stderr, as `run` does
    #[arg(long, conflicts_with = "if_needed")]
    foreground: bool,
    /// Succeed where a daemon is running already, or is being started by somebody else: returns when it answers
    #[arg(long)]
    if_needed: bool,
    #[command(flatten)]
    flags: Flags,
}

impl Start {
    pub(super) fn execute(&self, launcher: &Launcher) -> Result<ExitCode, Failure> {
        if self.foreground {
            return run::foreground(&self.flags);
        }
        let places = places()?;
        places.create()?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if self.if_needed && answers(&places)?.is_some() {
                return Ok(ExitCode::SUCCESS);
            }
            let said = launcher.launch(&self.flags.words(), &places.log_file);
            let log = places.log_file.display();
            match said
                .map_err(|error| Failure::refused(format!("the daemon did not start: {error}")))
                .map_err(|failure| failure.hint(format!("its log is {log}")))?
            {
                Report::Ready => {
                    let pid = answers(&places)?.ok_or_else(|| Failure::refused("the daemon ended again"))?;
                    eprintln!("rtcd is running (pid {pid})");
                    return Ok(ExitCode::SUCCESS);
                }
                Report::Failed(message) => return Err(Failure::refused(message)),
                Report::Held(message) if !self.if_needed => {
                    return Err(Failure::refused(message).hint("use it, or end it with: rtcd stop"));
                }
                // Somebody else was faster: theirs is ours, once it answers. If it goes away instead, it is our turn.
                Report::Held(message) => wait_for_the_other(&places, deadline, &message)?,
            }
        }
    }
}

/// Returns when a daemon answers, or none holds the data.
fn wait_for_the_other(places: &Places, deadline: Instant, holder: &str) -> Result<(), Failure> {
    let lock = places.data_dir.join(DATA_LOCK);
    loop {
        if Instant::now() > deadline {
            let message = format!("{holder}, and it does not answer at {}", places.socket.display());
            return Err(Failure::refused(message).hint("it may use another runtime directory; end it there"));
        }
        if answers(places)?.is_some() || Lock::is_free(&lock).unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// The process id of the daemon that answers, if one does.
fn answers(places: &Places) -> Result<Option<u32>, Failure> {
    match blocking::Client::connect(places) {
        Ok(client) => Ok(client.daemon().pid.or(Some(0))),
        // Broken: it was stopping while it was asked.
        Err(ClientError::NoDaemon { .. } | ClientError::Broken(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
