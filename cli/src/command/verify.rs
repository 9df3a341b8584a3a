//! `rtc verify --peers`: whether everybody who holds the same messages sees the same scene.

use std::path::PathBuf;
use std::time::Duration;

use rtc_core::api::{Ask, Health, Reply};

use super::backup::absolute;
use super::doctor::print;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::session::Session;

/// Peers tell what they see once they have been at rest for a heartbeat; large scenes take some more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `rtc verify` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Waits until the room's connected peers hold the same messages and have said what they see, at most for --timeout. Where one sees
another scene, the messages and the scene as it is here go into a file, which `rtc replay --check` folds again, and the exit code is 1.
What this machine alone can check, its disk, is for `rtc doctor`.")]
pub struct Args {
    /// Compare with the room's connected peers
    #[arg(long, required = true)]
    peers: bool,
    /// Where the messages go if somebody sees something else
    #[arg(long, value_name = "FILE", default_value = "rtc-bundle.json")]
    bundle: PathBuf,
}

/// Asks, and prints how that came out.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let bundle = absolute(&args.bundle)?;
    let limit = session.globals.timeout.unwrap_or(PATIENCE);
    let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let ask = Ask::Verify { room: session.room(), bundle, timeout_ms };
    let Reply::Findings(findings) = session.ask_within(ask, Globals::patience(limit)).await? else {
        return Err(Failure::unexpected());
    };
    if findings.is_empty() {
        session.say("No peer is connected: there is nobody to compare with.".to_owned());
    }
    print(&findings, session)?;
    let is_bad = findings.iter().any(|finding| finding.health == Health::Bad);
    if is_bad { Err(Failure::silent(Exit::Refused)) } else { Ok(()) }
}
