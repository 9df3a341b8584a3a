//! `rtc invite`: tickets into a room, made, listed and taken back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use rtc_core::api::{Ask, Invite, Invited, Reply};
use rtc_core::members::Role;
use rtc_core::ticket::{Pass, Ticket};

use crate::draw::{BOLD, DIM, RESET};
use crate::failure::Failure;
use crate::globals::parse_duration;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc invite` takes.
#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
The ticket is the last line of stdout: rtc invite | tail -n 1
Whoever has it is let in, once, by this machine, which has to be in reach: pass it on as you would a password."
)]
pub struct Args {
    /// Into which room: its name, its id, or the beginning of that; the default room where absent
    room: Option<String>,
    /// What a newcomer may do: `owner`, `editor` or `viewer`
    #[arg(long, value_name = "ROLE", default_value = "editor", value_parser = parse_role)]
    role: Role,
    /// How the newcomer is to be called in the list of members
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For how long the ticket is good, such as 30m, 24h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    expires: Duration,
    /// How many it admits
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
    /// Leave this machine's addresses out: for peers that find it by mDNS, or when addresses change
    #[arg(long)]
    no_addresses: bool,
    /// Draw the ticket, too, for a camera; on stderr
    #[arg(long)]
    qr: bool,
    #[command(subcommand)]
    command: Option<InviteCommand>,
}

/// What else can be done with invitations.
#[derive(Subcommand, Debug)]
enum InviteCommand {
    /// List the invitations into the room that this machine has made
    List,
    /// Take an invitation back: its ticket admits nobody from now on
    Revoke {
        /// What `rtc invite list` calls it
        id: String,
    },
}

/// A role by its word.
pub fn parse_role(text: &str) -> Result<Role, String> {
    Role::of_word(text).ok_or_else(|| "expected owner, editor or viewer".to_owned())
}

/// What `--json` prints of a ticket.
#[derive(serde::Serialize)]
struct Printed {
    ticket: String,
}

/// What `--json` prints of a list.
#[derive(serde::Serialize)]
struct List {
    invites: Vec<Invited>,
}

/// What `--json` prints of one that was taken back.
#[derive(serde::Serialize)]
struct Revoked {
    id: String,
}

/// Makes an invitation and prints its ticket, or does what else was asked.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    match args.command {
        Some(InviteCommand::List) => list(session).await,
        Some(InviteCommand::Revoke { id }) => revoke(id, session).await,
        None => invite(args, session).await,
    }
}

async fn invite(args: Args, session: &mut Session) -> Result<(), Failure> {
    let ask = Ask::Invite(Invite {
        room: args.room.or_else(|| session.room()),
        addresses: !args.no_addresses,
        role: args.role,
        name: args.name,
        lasts_ms: u64::try_from(args.expires.as_millis()).unwrap_or(u64::MAX),
        uses: args.uses,
    });
    let Reply::Ticket { ticket } = session.ask(ask).await? else { return Err(Failure::unexpected()) };
    if session.out.json {
        return Ok(session.out.object("rtc.ticket/1", &Printed { ticket })?);
    }
    let is_open = ticket.parse().is_ok_and(|ticket: Ticket| matches!(ticket.pass, Pass::Open(_)));
    session.say(match is_open {
        true => "On the other machine: rtc join TICKET. The room is open: whoever has the ticket can read and edit it.".to_owned(),
        false => format!(
            "On the other machine: rtc join TICKET. It admits {} as {}, within {}.",
            age::count(args.uses.into(), "newcomer"),
            args.role,
            age::long(args.expires)
        ),
    });
    if args.qr {
        session.say(picture(&ticket));
    }
    Ok(session.out.line(ticket)?)
}

/// The ticket as a QR code of half blocks, dark on light whatever the terminal's colours.
fn picture(ticket: &str) -> String {
    // Capitals take less room in one, and tickets are the same in capitals.
    let Ok(code) = qrcode::QrCode::with_error_correction_level(ticket.to_uppercase(), qrcode::EcLevel::L)
    else {
        return "the ticket has too many addresses for a picture: --no-addresses".to_owned();
    };
    let drawn = code.render::<qrcode::render::unicode::Dense1x2>().build();
    drawn.lines().map(|line| format!("\x1b[30;107m{line}\x1b[0m\n")).collect()
}

async fn list(session: &mut Session) -> Result<(), Failure> {
    let ask = Ask::Invites { room: session.room() };
    let Reply::Invites(invites) = session.ask(ask).await? else { return Err(Failure::unexpected()) };
    if session.out.json {
        return Ok(session.out.object("rtc.invites/1", &List { invites })?);
    }
    for invite in &invites {
        session.out.line(line(invite))?;
    }
    Ok(())
}

fn line(invite: &Invited) -> String {
    let mut line = format!("{BOLD}{}{RESET}  {}", invite.id, invite.role);
    if !invite.name.is_empty() {
        line += &format!("  {:?}", draw::plain(&invite.name));
    }
    line += &format!("  {} of {} used", invite.redeemed.len(), invite.uses);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    line += &match &invite.ended {
        Some(why) => format!("  {}", draw::plain(why)),
        None => {
            let left = Duration::from_millis(invite.expires_ms).saturating_sub(now);
            format!("  good for another {}", age::long(left))
        }
    };
    if !invite.redeemed.is_empty() {
        let keys: Vec<String> = invite.redeemed.iter().map(short::short).collect();
        line += &format!("  {DIM}by {}{RESET}", keys.join(", "));
    }
    line
}

async fn revoke(id: String, session: &mut Session) -> Result<(), Failure> {
    session.ask(Ask::RevokeInvite { room: session.room(), id: id.clone() }).await?;
    if session.out.json {
        return Ok(session.out.object("rtc.invite-revoked/1", &Revoked { id })?);
    }
    session.say("revoked: its ticket admits nobody from now on; who came with it before stays a member");
    Ok(())
}
