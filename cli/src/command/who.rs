//! `rtc who`: who is in the room, and what is drafted there.

use std::time::Duration;

use rtc_core::api::{Ask, Reply, Shown};

use crate::draw::{BOLD, DIM, RESET};
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc who` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Programs tell who their users are, and so does `rtc presence`. Drafts are what `rtc edit --stage` staged.
Nothing of it is history: it goes with its session.")]
pub struct Args {}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Who {
    sessions: Vec<Shown>,
}

/// Lists the sessions.
pub async fn run(_: Args, session: &mut Session) -> Result<(), Failure> {
    let room = session.room();
    let Reply::Who(sessions) = session.ask(Ask::Who { room }).await? else {
        return Err(Failure::unexpected());
    };
    if session.out.json {
        return Ok(session.out.object("rtc.who/1", &Who { sessions })?);
    }
    for shown in &sessions {
        session.out.line(line(shown))?;
    }
    if sessions.is_empty() {
        session.say("nobody shows anything here: `rtc presence name=…` does, for as long as it runs");
    }
    Ok(())
}

/// One session on a line.
fn line(shown: &Shown) -> String {
    let since = age::long(Duration::from_millis(shown.since_ms));
    let idle = age::long(Duration::from_millis(shown.idle_ms));
    let place = if shown.own { "this daemon".to_owned() } else { short::short(shown.peer) };
    let mut line = format!("{BOLD}{}{RESET} on {place}, for {since}, idle {idle}", name(shown));
    if let Some(selection) = shown.fields.get("selection").and_then(|value| value.as_list()) {
        let keys: Vec<String> = selection.iter().map(key).collect();
        line += &format!(", selects {}", keys.join(" "));
    }
    if shown.staged > 0 {
        line += &format!(", drafts {}", age::count(shown.staged.into(), "edit"));
    }
    line + &format!("  {DIM}{}{RESET}", shown.session)
}

/// What a session calls itself, as it may be shown.
pub fn name(shown: &Shown) -> String {
    let name = shown.fields.get("name").and_then(|name| name.as_text());
    name.map_or_else(|| "somebody".to_owned(), draw::plain)
}

fn key(value: &rtc_core::value::Value) -> String {
    value.as_text().map_or_else(|| draw::value(value), draw::plain)
}
