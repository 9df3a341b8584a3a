//! The subcommands, one file each: its arguments, what it asks the daemon, and what it prints.

pub mod backup;
pub mod blame;
pub mod commit;
pub mod compact;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod edit;
pub mod export;
pub mod get;
pub mod identity;
pub mod import;
pub mod invite;
pub mod join;
pub mod log;
pub mod members;
pub mod ops;
pub mod peers;
pub mod presence;
pub mod replay;
pub mod restore;
pub mod room;
pub mod rooms;
pub mod start;
pub mod status;
pub mod stop;
pub mod trace;
pub mod tree;
pub mod undo;
pub mod verify;
pub mod watch;
pub mod who;
pub mod why;

use crate::args::Command;
use crate::failure::Failure;
use crate::session::Session;

/// Runs one subcommand and sends on what it printed, also where it failed half-way.
pub async fn run(command: Command, mut session: Session) -> Result<(), Failure> {
    let session = &mut session;
    let ended = match command {
        Command::Edit(args) => edit::run(args, session).await,
        Command::Commit(args) => commit::commit(args, session).await,
        Command::Cancel(args) => commit::cancel(args, session).await,
        Command::Get(args) => get::run(args, session).await,
        Command::Tree(args) => tree::run(args, session).await,
        Command::Log(args) => log::run(args, session).await,
        Command::Blame(args) => blame::run(args, session).await,
        Command::Undo(args) => undo::run(undo::Direction::Undo, args, session).await,
        Command::Redo(args) => undo::run(undo::Direction::Redo, args, session).await,
        Command::Watch(args) => watch::run(args, session).await,
        Command::Who(args) => who::run(args, session).await,
        Command::Presence(args) => presence::run(args, session).await,
        Command::Status(args) => status::run(args, session).await,
        Command::Trace(args) => trace::run(args, session).await,
        Command::Why(args) => why::run(args, session).await,
        Command::Peers(args) => peers::run(args, session).await,
        Command::Invite(args) => invite::run(args, session).await,
        Command::Members(args) => members::run(args, session).await,
        Command::Join(args) => join::run(args, session).await,
        Command::Room(args) => room::run(args, session).await,
        Command::Rooms(args) => rooms::run(args, session).await,
        Command::Compact(args) => compact::run(args, session).await,
        Command::Export(args) => export::run(args, session).await,
        Command::Import(args) => import::run(args, session).await,
        Command::Identity(args) => identity::run(args, session).await,
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::Backup(args) => backup::run(args, session).await,
        Command::Restore(args) => restore::run(args, session).await,
        Command::Verify(args) => verify::run(args, session).await,
        Command::Ops(args) => ops::run(args, session),
        Command::Replay(args) => replay::run(args, session),
        Command::Demo(args) => demo::run(args, session).await,
        Command::Start(args) => start::run(args, session).await,
        Command::Stop(args) => stop::run(args, session).await,
        Command::Completions(args) => completions::run(args, session),
    };
    let flushed = session.out.flush();
    ended?;
    Ok(flushed?)
}
