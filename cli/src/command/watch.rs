//! `rtc watch`: changes as they happen.

use std::collections::BTreeMap;

use rtc_core::api::{Ask, Change, Event, Reply};

use crate::draw::{DIM, RESET};
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc watch` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints a line for each message, and below it what the scene shows differently.
With --json, each event is one object on a line, after one that says that the subscription stands.
With --presence and --drafts, it begins with what others show by now; what they show next comes at most thirty times a second.
A reader that is too slow is told how much it missed.")]
pub struct Args {
    /// Print who comes, goes, and shows what
    #[arg(long)]
    presence: bool,
    /// Print drafts, and what the scene would show with them
    #[arg(long)]
    drafts: bool,
}

/// Prints events until the daemon or the reader ends.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let room = session.room();
    let Args { presence, drafts } = args;
    let mut replies = session.stream(Ask::Watch { room, presence, drafts }).await?;
    while let Some(reply) = replies.next().await {
        match reply? {
            // Programs wait for this line: from here on nothing is missed.
            Reply::Watching {} if session.out.json => {
                session.out.object("rtc.watching/1", &BTreeMap::<(), ()>::new())?;
            }
            Reply::Watching {} => session.say("watching; end with Ctrl-C"),
            Reply::Event(event) if session.out.json => print_json(&event, session)?,
            Reply::Event(event) => print(&event, session)?,
            _ => return Err(Failure::unexpected()),
        }
        // Whoever reads a pipe wants each event when it happens.
        session.out.flush()?;
    }
    Ok(())
}

/// What `--json` prints of a message.
#[derive(serde::Serialize)]
struct Printed<'a> {
    message: super::log::Printed<'a>,
    changes: &'a [Change],
}

fn print_json(event: &Event, session: &mut Session) -> Result<(), Failure> {
    Ok(match event {
        Event::Message { message, changes } => {
            let message = super::log::Printed::of(message);
            session.out.object("rtc.event/1", &Printed { message, changes })
        }
        Event::Presence { .. } | Event::Draft { .. } | Event::Lagged { .. } => {
            session.out.object("rtc.event/1", event)
        }
    }?)
}

fn print(event: &Event, session: &mut Session) -> Result<(), Failure> {
    match event {
        Event::Message { message, changes } => {
            session.out.line(super::log::line(message, &short::dot(&message.id), &[]))?;
            for change in changes {
                session.out.line(format!("    {}", draw::change(change)))?;
            }
        }
        Event::Presence { session: shown, fields, .. } if fields.is_empty() => {
            session.out.line(format!("{DIM}{shown}{RESET} is gone"))?;
        }
        Event::Presence { session: shown, fields, .. } => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}={}", draw::plain(name), draw::value(value)))
                .collect();
            session.out.line(format!("{DIM}{shown}{RESET} is here: {}", fields.join(" ")))?;
        }
        Event::Draft { session: shown, edits, .. } if edits.is_empty() => {
            session.out.line(format!("{DIM}{shown}{RESET} drafts nothing more"))?;
        }
        Event::Draft { session: shown, edits, changes, .. } => {
            let count = age::count(edits.len() as u64, "edit");
            session.out.line(format!("{DIM}{shown}{RESET} drafts {count}, not kept yet"))?;
            for change in changes {
                session.out.line(format!("    {}", draw::change(change)))?;
            }
        }
        Event::Lagged { dropped: 0 } => {
            session.say("history was let go, and edits that came too late for it are issued again, or a number turned out to have two messages: read the scene anew");
        }
        Event::Lagged { dropped } => {
            session.say(format!("{dropped} events were missed: read the scene again, e.g. with `rtc tree`"));
        }
    }
    Ok(())
}
