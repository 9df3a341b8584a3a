//! `rtc room`: rooms are made, chosen, looked at and left.

use clap::Subcommand;
use rtc_core::api::{Ask, At, Reply, RoomInfo, Says};
use rtc_core::id::Dot;

use super::{export, import, members, rooms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::{at, draw, graph};

/// What `rtc room` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: RoomCommand,
}

/// What can be done with rooms.
#[derive(Subcommand, Debug)]
enum RoomCommand {
    /// Make a room, which becomes the default one
    #[command(after_help = "\
Examples:
  rtc room create lab
  rtc room create copy --from lab
  rtc room create before-lunch --from 'lab@12:00'")]
    Create {
        /// How it is called
        name: String,
        /// Begin with a copy of what another room shows: its nodes and their values, without their history. A version is what
        /// --at takes elsewhere
        #[arg(long, value_name = "ROOM[@VERSION]", value_parser = parse_source)]
        from: Option<Source>,
    },
    /// List the rooms this daemon holds, as `rtc rooms` does
    List,
    /// Print what there is to say of a room
    Info {
        /// Its name, its id, or the beginning of that; the default room where absent
        room: Option<String>,
    },
    /// Give the room another name, for all its members; owners may
    Rename {
        /// How it is to be called
        name: String,
    },
    /// Make a room the default one: commands without --room mean it
    Use {
        /// Its name, its id, or the beginning of that
        room: String,
    },
    /// Take part in a room no more; what is held of it is put aside
    #[command(after_help = "\
Nothing is deleted: whoever joins the room again with a ticket has what was held, too. `rtc room rm` deletes it.")]
    Leave {
        /// Its name, its id, or the beginning of that
        room: String,
    },
    /// Leave a room and delete what is held of it on this machine
    #[command(after_help = "\
Other members keep theirs. Refused while no connected member is known to hold all of it, unless with --force.
Of a room that was left already, name the id, and --force: nobody knows whether others have it.")]
    Rm {
        /// Its name, its id, or the beginning of that
        room: String,
        /// Delete also what nobody else is known to hold
        #[arg(long)]
        force: bool,
    },
}

/// Of which room a copy is made, and of which version.
#[derive(Clone, PartialEq, Debug)]
struct Source {
    room: String,
    at: Option<At>,
}

fn parse_source(text: &str) -> Result<Source, String> {
    let (room, version) = match text.rsplit_once('@') {
        Some((room, version)) => (room, Some(version)),
        None => (text, None),
    };
    match room {
        "" => Err("expected a room, or ROOM@VERSION".to_owned()),
        room => Ok(Source { room: room.to_owned(), at: version.map(at::parse).transpose()? }),
    }
}

/// What `--json` prints of a room that was left.
#[derive(serde::Serialize)]
struct Left {
    room: String,
    deleted: bool,
}

/// Does it, and prints the room.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    match args.command {
        RoomCommand::Create { name, from } => create(name, from, session).await,
        RoomCommand::List => rooms::run(rooms::Args {}, session).await,
        RoomCommand::Info { room } => {
            let wanted = room.or_else(|| session.room());
            info(wanted.as_deref(), session).await
        }
        RoomCommand::Rename { name } => {
            members::govern(Says::RoomRename { name }, session).await?;
            info(session.room().as_deref(), session).await
        }
        RoomCommand::Use { room } => {
            let info = ask_room(Ask::Use { room }, session).await?;
            print(&info, session)
        }
        RoomCommand::Leave { room } => leave(room, false, false, session).await,
        RoomCommand::Rm { room, force } => leave(room, true, force, session).await,
    }
}

async fn ask_room(ask: Ask, session: &mut Session) -> Result<RoomInfo, Failure> {
    match session.ask(ask).await? {
        Reply::Room(info) => Ok(info),
        _ => Err(Failure::unexpected()),
    }
}

fn print(info: &RoomInfo, session: &mut Session) -> Result<(), Failure> {
    if session.out.json {
        return Ok(session.out.object("rtc.room/1", info)?);
    }
    Ok(session.out.line(rooms::line(info))?)
}

async fn create(name: String, from: Option<Source>, session: &mut Session) -> Result<(), Failure> {
    // Read first: where there is nothing to copy, no room is made.
    let graph = match from {
        Some(Source { room, at }) => Some(export::read(Some(room), at, session).await?),
        None => None,
    };
    let mut info = ask_room(Ask::Found { name, request: None }, session).await?;
    if let Some(graph) = graph {
        let copy = graph::import(&graph, import::ROOT).map_err(|_| Failure::unexpected())?;
        session.globals.room = Some(info.room.to_string());
        import::commit(copy.commits, None, session).await?;
        info = ask_room(Ask::Use { room: info.room.to_string() }, session).await?;
    }
    print(&info, session)
}

async fn info(wanted: Option<&str>, session: &mut Session) -> Result<(), Failure> {
    let Reply::Rooms(rooms) = session.ask(Ask::Rooms {}).await? else { return Err(Failure::unexpected()) };
    let named = |info: &&RoomInfo| match wanted {
        None => info.default,
        Some(name) => info.name == name || info.room.to_string().starts_with(name),
    };
    let mut found = rooms.iter().filter(named);
    let info =
        match (found.next(), found.next()) {
            (Some(info), None) => info,
            (None, _) => {
                return Err(Failure::new(Exit::NotFound, "there is no such room")
                    .with_hint("`rtc room list` lists them"));
            }
            _ => {
                return Err(Failure::usage("more than one room goes by that")
                    .with_hint("use its id: `rtc room list`"));
            }
        };
    if session.out.json {
        return Ok(session.out.object("rtc.room/1", info)?);
    }
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let Reply::Members(members) = session.ask(Ask::Members { room: Some(info.room.to_string()) }).await?
    else {
        return Err(Failure::unexpected());
    };
    let own = match (info.open, info.role) {
        (true, _) => "none: the room is open, whoever has a ticket may edit".to_owned(),
        (false, Some(role)) => role.to_string(),
        (false, None) => "none: this machine is not a member".to_owned(),
    };
    let mut lines = vec![
        ("room", info.room.to_string()),
        ("name", draw::plain(&info.name).to_string()),
        ("own role", own),
        ("default", yes(info.default)),
        ("asleep", yes(info.asleep)),
        ("nodes", info.nodes.to_string()),
        ("messages", info.messages.to_string()),
        ("waiting for their past", info.waiting.to_string()),
        ("operations without effect", info.ineffective_ops.to_string()),
        ("connected members", info.peers_connected.to_string()),
        ("state", info.state_hash.to_string()),
    ];
    lines.extend(info.horizon.map(|horizon| ("horizon", horizon.to_string())));
    lines.extend(info.read_only.as_ref().map(|why| ("read-only", draw::plain(why).to_string())));
    lines.extend(info.alarm.as_ref().map(|why| ("alarm", draw::plain(why).to_string())));
    for fork in &info.forks {
        lines.push(("fork", rooms::fork(fork)));
        let begins = fork.branches.iter().map(|&actor| Dot { actor, seq: fork.message.seq });
        lines.extend(begins.map(|first| ("branch, from its first on", first.to_string())));
    }
    let members = members.iter().filter(|member| member.role.is_some());
    lines.extend(members.map(|member| ("member", members::line(member, &[]))));
    for (what, text) in lines {
        session.out.line(format!("{what:<26} {text}"))?;
    }
    Ok(())
}

async fn leave(room: String, delete: bool, force: bool, session: &mut Session) -> Result<(), Failure> {
    session.ask(Ask::Leave { room: room.clone(), delete, force }).await?;
    if session.out.json {
        return Ok(session.out.object("rtc.room-left/1", &Left { room, deleted: delete })?);
    }
    session.say(match delete {
        true => "left, and deleted here; other members keep theirs",
        false => "left; what was held is put aside, for whoever joins again with a ticket",
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_room_and_perhaps_a_version() {
        let check = |text: &str, room: &str, at: Option<At>| {
            assert_eq!(parse_source(text), Ok(Source { room: room.to_owned(), at }), "{text}");
        };
        check("lab", "lab", None);
        check("lab@k7f2q3ab:12", "lab", Some(At::Message("k7f2q3ab:12".to_owned())));
        check("a@b@k7f2q3ab:12", "a@b", Some(At::Message("k7f2q3ab:12".to_owned())));
        for text in ["", "@12:00", "lab@", "lab@some day"] {
            assert!(parse_source(text).is_err(), "{text}");
        }
    }
}
