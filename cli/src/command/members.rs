//! `rtc members`: who is in a room, and as what.

use clap::Subcommand;
use rtc_core::api::{Ask, Govern, Member, Reply, Says};
use rtc_core::id::PeerKey;
use rtc_core::members::Role;

use super::invite::parse_role;
use crate::draw::{BOLD, DIM, GREEN, RESET};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw, short};

/// What `rtc members` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Lists the members in the order in which they joined, each with since when he is one, and by whom. Owners have power over those who joined after them.
WHO is a name, or an unambiguous beginning of a key.")]
pub struct Args {
    #[command(subcommand)]
    command: Option<MembersCommand>,
}

/// What can be done with members.
#[derive(Subcommand, Debug)]
enum MembersCommand {
    /// Change what a member may do
    Role {
        /// Whom: a name, or the beginning of a key
        who: String,
        /// `owner`, `editor` or `viewer`
        #[arg(value_parser = parse_role)]
        role: Role,
    },
    /// Remove a member: what he writes from now on has no effect anywhere, and the room's secret is changed
    #[command(after_help = "\
What he wrote before stays; `rtc undo` takes it back. Naming this machine, it leaves for good: `rtc room leave` comes back.")]
    Remove {
        /// Whom: a name, or the beginning of a key
        who: String,
    },
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Members {
    members: Vec<Listed>,
}

/// A member, and whether he is there.
#[derive(serde::Serialize)]
struct Listed {
    key: PeerKey,
    role: Option<Role>,
    name: String,
    own: bool,
    online: bool,
    since_ms: Option<u64>,
    by: Option<PeerKey>,
    former: Vec<PeerKey>,
}

/// Does what was asked, and lists the members.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    match args.command {
        Some(MembersCommand::Role { who, role }) => {
            let key = member_called(&who, session).await?;
            govern(Says::MemberRole { key, role, name: None }, session).await?;
        }
        Some(MembersCommand::Remove { who }) => {
            let key = member_called(&who, session).await?;
            govern(Says::MemberRemove { key }, session).await?;
        }
        None => {}
    }
    list(session).await
}

/// Says something of the room.
pub(super) async fn govern(says: Says, session: &mut Session) -> Result<(), Failure> {
    let (room, wait) = (session.room(), session.globals.wait);
    let ask = Ask::Govern(Govern { room, says: vec![says], wait, ..Govern::default() });
    session.ask_edit(ask).await.map(drop)
}

async fn list(session: &mut Session) -> Result<(), Failure> {
    let members = members(session).await?;
    let Reply::Peers(peers) = session.ask(Ask::Peers {}).await? else { return Err(Failure::unexpected()) };
    let online: Vec<PeerKey> = peers.iter().filter(|peer| peer.connected).map(|peer| peer.peer).collect();
    if session.out.json {
        let listed = |Member { key, role, name, own, since_ms, by, former }| {
            let online = own || online.contains(&key);
            Listed { key, role, name, own, online, since_ms, by, former }
        };
        let members = members.into_iter().map(listed).collect();
        return Ok(session.out.object("rtc.members/1", &Members { members })?);
    }
    if members.is_empty() {
        session.say("the room is open: whoever has a ticket may edit, and nobody is a member");
    }
    for member in &members {
        let since = since(member, &members);
        session.out.line(line(member, &online) + &since)?;
    }
    Ok(())
}

/// Those who are members, not those who were.
async fn members(session: &mut Session) -> Result<Vec<Member>, Failure> {
    let ask = Ask::Members { room: session.room() };
    let Reply::Members(mut members) = session.ask(ask).await? else { return Err(Failure::unexpected()) };
    members.retain(|member| member.role.is_some());
    Ok(members)
}

async fn member_called(who: &str, session: &mut Session) -> Result<PeerKey, Failure> {
    let members = members(session).await?;
    let is_meant =
        |member: &&Member| member.name == who || keys(member).any(|key| key.to_string().starts_with(who));
    let mut found = members.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(member), None) => Ok(member.key),
        (None, _) => Err(Failure::new(Exit::NotFound, format!("there is no member `{who}`"))
            .with_hint("`rtc members` lists them")),
        (Some(_), Some(_)) => Err(Failure::usage(format!("more than one member goes by `{who}`"))
            .with_hint("use more of the key: `rtc members` lists them")),
    }
}

/// All keys of a member.
fn keys(member: &Member) -> impl Iterator<Item = PeerKey> {
    [member.key].into_iter().chain(member.former.iter().copied())
}

/// Since when he is one, by whom, and with which keys before, as far as that is known.
fn since(member: &Member, members: &[Member]) -> String {
    let when = member.since_ms.map(|time_ms| format!("since {}", age::ago(Some(time_ms))));
    let named = |key: PeerKey| {
        let name = members.iter().find(|other| keys(other).any(|its| its == key) && !other.name.is_empty());
        name.map_or_else(|| short::short(key), |other| format!("{:?}", draw::plain(&other.name)))
    };
    let by = member.by.map(|key| format!("by {}", named(key)));
    let former: Vec<String> = member.former.iter().map(|key| short::short(*key)).collect();
    let former = (!former.is_empty()).then(|| format!("formerly {}", former.join(" ")));
    let known: Vec<String> = when.into_iter().chain(by).chain(former).collect();
    if known.is_empty() { String::new() } else { format!("  {DIM}{}{RESET}", known.join(", ")) }
}

/// One member on a line, with those who are online known.
pub(super) fn line(member: &Member, online: &[PeerKey]) -> String {
    let role = member.role.map_or("", Role::word);
    let mut line = format!("{BOLD}{}{RESET}  {role:<6}", short::short(member.key));
    if !member.name.is_empty() {
        line += &format!("  {:?}", draw::plain(&member.name));
    }
    line += &match (member.own, online.contains(&member.key)) {
        (true, _) => format!("  {GREEN}this machine{RESET}"),
        (false, true) => format!("  {GREEN}connected{RESET}"),
        (false, false) => format!("  {DIM}not connected{RESET}"),
    };
    line
}
