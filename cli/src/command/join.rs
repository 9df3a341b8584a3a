//! `rtc join`: into a room with a ticket.

use std::io::Read;
use std::time::Duration;

use rtc_core::api::{Ask, Reply};
use rtc_core::ticket::Ticket;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::session::Session;
use crate::short;

/// How long the first sync may take, where `--timeout` does not say.
const FIRST_SYNC_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes read from stdin for a ticket: far more than one has.
const TICKET_BYTES_MAX: u64 = 64 * 1024;

/// What `rtc join` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Returns when the machine that made the ticket has let this one in and the first sync is done; the room is then the default one. The earlier
one is kept, unmerged. Where that takes longer than --timeout (60 s) the join goes on in the background, and `rtc status` shows it.")]
pub struct Args {
    /// The ticket that `rtc invite` printed; `-` reads it from stdin, where no other user of this machine sees it
    ticket: String,
}

/// Joins, and prints the room.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let text = if args.ticket == "-" { read_ticket(session)? } else { args.ticket };
    // Checked here too, so that a ticket cut in copying is named before a daemon is started for it.
    let ticket: Ticket = text.parse().map_err(|error: rtc_core::ticket::TicketError| {
        Failure::new(Exit::Refused, error.to_string())
            .with_hint("get one with `rtc invite` on the other machine")
    })?;
    let limit = session.globals.timeout.unwrap_or(FIRST_SYNC_TIMEOUT);
    let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    session.say(format_args!("asking {} to let this machine in", short::short(ticket.peer)));
    let ask = Ask::Join { ticket: ticket.to_string(), timeout_ms };
    let Reply::Room(room) = session.ask_within(ask, Globals::patience(limit)).await? else {
        return Err(Failure::unexpected());
    };
    if session.out.json {
        return Ok(session.out.object("rtc.room/1", &room)?);
    }
    Ok(session.out.line(super::rooms::line(&room))?)
}

fn read_ticket(session: &mut Session) -> Result<String, Failure> {
    let mut text = String::new();
    let read = session.input().take(TICKET_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::file("stdin", &error))?;
    // `rtc invite` may print other lines before.
    Ok(text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned())
}
