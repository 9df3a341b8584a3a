//! `rtc verify --peers`: whether everybody who holds the same messages sees the same scene.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rtc_core::api::{Ask, Finding, Health};

use super::backup::absolute;
use super::doctor::{ask, print};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Peers tell what they see once they have been at rest for a heartbeat; large scenes take some more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks: half a heartbeat.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

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

/// Asks until every peer is compared, and prints how that came out.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let bundle = absolute(&args.bundle)?;
    let until = Instant::now() + session.globals.timeout.unwrap_or(PATIENCE);
    let is = |findings: &[Finding], health| findings.iter().any(|finding| finding.health == health);
    loop {
        let question = Ask::Verify { room: session.room(), bundle: bundle.clone() };
        let findings = ask(question, session).await?;
        let is_bad = is(&findings, Health::Bad);
        if !is_bad && is(&findings, Health::Note) && Instant::now() < until {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        if findings.is_empty() {
            session.say("No peer is connected: there is nobody to compare with.".to_owned());
        }
        print(&findings, session)?;
        return if is_bad { Err(Failure::silent(Exit::Refused)) } else { Ok(()) };
    }
}
