//! `rtc doctor`: what may be wrong with disk, network and machine, one line each, with the exact fix.

use std::time::Duration;

use rtc_core::api::{Ask, Finding, Health, Reply};

use crate::draw::{GREEN, RED, RESET};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::session::Session;
use crate::{draw, short};

/// How long it may take, where `--timeout` does not say: every message of every room is read and verified.
pub(super) const CARE_TIMEOUT: Duration = Duration::from_secs(600);

/// What `rtc doctor` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Each message on the disk is verified: its chain, its signature, and that all of them give the scene that is shown.
With --repair, a damaged room is made anew from what is whole; the old file stays beside the new one as room.db.damaged-1, and
what is missing comes from the room's members. The exit code is 1 where something is wrong.")]
pub struct Args {
    /// Rebuild damaged rooms from what is whole; members send the rest
    #[arg(long)]
    repair: bool,
}

/// Prints the findings.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let findings = ask(Ask::Doctor { repair: args.repair }, session).await?;
    print(&findings, session)?;
    let is_bad = findings.iter().any(|finding| finding.health == Health::Bad);
    if is_bad { Err(Failure::silent(Exit::Refused)) } else { Ok(()) }
}

/// Asks what takes a while.
pub(super) async fn ask(ask: Ask, session: &mut Session) -> Result<Vec<Finding>, Failure> {
    let limit = session.globals.timeout.unwrap_or(CARE_TIMEOUT);
    match session.ask_within(ask, Globals::patience(limit)).await? {
        Reply::Findings(findings) => Ok(findings),
        _ => Err(Failure::unexpected()),
    }
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Findings<'a> {
    findings: &'a [Finding],
}

/// Prints findings, what needs a hand last.
pub(super) fn print(findings: &[Finding], session: &mut Session) -> Result<(), Failure> {
    if session.out.json {
        return Ok(session.out.object("rtc.findings/1", &Findings { findings })?);
    }
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.health);
    for finding in sorted {
        session.out.line(line(finding))?;
        if let Some(fix) = &finding.fix {
            session.out.line(format!("      fix: {}", draw::plain(fix)))?;
        }
    }
    Ok(())
}

fn line(finding: &Finding) -> String {
    let mark = match finding.health {
        Health::Good => format!("{GREEN}ok{RESET}  "),
        Health::Note => "note".to_owned(),
        Health::Bad => format!("{RED}bad{RESET} "),
    };
    let room = finding.room.map(|room| format!(" {}", short::short(room))).unwrap_or_default();
    format!("{mark}  {}{room}: {}", draw::plain(&finding.subject), draw::plain(&finding.says))
}
