//! `rtc invite`: a ticket into a room.

use rtc_core::api::{Ask, Reply};

use crate::failure::Failure;
use crate::session::Session;

/// What `rtc invite` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The ticket is the last line of stdout: rtc invite | tail -n 1
Whoever has it can read and edit the room: pass it on as you would a password.")]
pub struct Args {
    /// Leave this machine's addresses out: for peers that find it by mDNS, or when addresses change
    #[arg(long)]
    no_addresses: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Printed {
    ticket: String,
}

/// Prints the ticket.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let ask = Ask::Invite { room: session.room(), addresses: !args.no_addresses };
    let Reply::Ticket { ticket } = session.ask(ask).await? else { return Err(Failure::unexpected()) };
    if session.out.json {
        return Ok(session.out.object("rtc.ticket/1", &Printed { ticket })?);
    }
    session.say("On the other machine: rtc join TICKET. Whoever has the ticket can read and edit the room.");
    Ok(session.out.line(ticket)?)
}
