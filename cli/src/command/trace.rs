//! `rtc trace`: how far a message has come.

use rtc_core::api::{Ask, Reach, Reply, Trace, Traced};

use super::log::{self, Printed};
use crate::draw::{GREEN, RED, RESET};
use crate::failure::Failure;
use crate::session::Session;
use crate::short;

/// What `rtc trace` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The first line is the message as `rtc log` prints it; then where it is: here, and at each connected member of the room.
Members that are not connected get it when they are: `rtc peers` lists them.")]
pub struct Args {
    /// The message's id, or the beginning of one, as `rtc log` shows it
    message: String,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct PrintedTrace<'a> {
    message: Printed<'a>,
    durable: bool,
    peers: &'a [Traced],
}

/// Prints where the message is.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let ask = Ask::Trace { room: session.room(), message: args.message };
    let Reply::Trace(trace) = session.ask(ask).await? else { return Err(Failure::unexpected()) };
    let Trace { message, durable, peers } = *trace;
    if session.out.json {
        let printed = PrintedTrace { message: Printed::of(&message), durable, peers: &peers };
        return Ok(session.out.object("rtc.trace/1", &printed)?);
    }
    let forks = log::forks(session).await?;
    session.out.line(log::line(&message, &short::dot(&message.id), &forks))?;
    session.out.line(line("here", if durable { Reach::Durable } else { Reach::Held }))?;
    for Traced { peer, reach } in &peers {
        session.out.line(line(&short::short(peer), *reach))?;
    }
    if peers.is_empty() {
        session.say("no member of the room is connected");
    }
    Ok(())
}

fn line(whose: &str, reach: Reach) -> String {
    let says = match reach {
        Reach::Durable => format!("{GREEN}on the disk{RESET}"),
        Reach::Held => "part of the scene".to_owned(),
        Reach::Sent => "on its way".to_owned(),
        Reach::Lacking => format!("{RED}not there yet{RESET}"),
    };
    format!("  {whose:<10} {says}")
}
