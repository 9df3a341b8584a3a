//! The command line: what can be said, in one declaration from which help, completions and docs/cli.md follow.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::command;
use crate::globals::Globals;

/// Width of generated text: that of the sources.
pub const HELP_COLUMNS: usize = 100;

const AFTER_HELP: &str = "\
Examples:
  rtc edit cube-1 node.insert tag=Mesh
  rtc edit cube-1 vector3.add transform.position -1 0 -1.5e-3
  rtc get cube-1 transform.position
  rtc tree --props
  rtc invite                     # on this machine
  rtc join rtc2…                 # on another one
  rtc demo                       # three daemons on this machine meet, part and agree

Data goes to stdout, everything else to stderr.
";

/// Edit a shared scene: offline at once, merged with everybody else's edits later, without a server.
#[derive(Parser, Debug)]
#[command(
    name = "rtc",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = after_help(), disable_help_subcommand = false, infer_subcommands = false)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

fn after_help() -> String {
    format!("{AFTER_HELP}\n{}", crate::exit::listing())
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Change the scene: one or more edits, as one commit
    Edit(command::edit::Args),
    /// Commit what `rtc edit --stage` staged, as one message
    Commit(command::commit::CommitArgs),
    /// Drop what `rtc edit --stage` staged
    Cancel(command::commit::CancelArgs),
    /// Print a node, or one property's value, as a line of JSON
    Get(command::get::Args),
    /// Print the scene as a tree
    Tree(command::tree::Args),
    /// Print the newest messages, newest first
    Log(command::log::Args),
    /// Print who made a value what it is, or put a node where it is
    Blame(command::blame::Args),
    /// Undo a message: your last one not yet undone, where none is named
    Undo(command::undo::Args),
    /// Redo an undone message: the last one you undid, where none is named
    Redo(command::undo::Args),
    /// Print changes as they happen, until Ctrl-C
    Watch(command::watch::Args),
    /// Print who is in the room, and who drafts something there
    Who(command::who::Args),
    /// Show others in the room who you are, until Ctrl-C
    Presence(command::presence::Args),
    /// Print how the daemon is, which rooms it holds, and whether they are in sync
    Status(command::status::Args),
    /// Print how far a message has come: to the disk here, and to each connected peer
    Trace(command::trace::Args),
    /// Say in a sentence why a peer is not in sync, or why a node is as it is
    Why(command::why::Args),
    /// List the peers this daemon knows, or add the address of one
    Peers(command::peers::Args),
    /// Print a ticket into a room
    Invite(command::invite::Args),
    /// List who is a member of the room, change what members may do, remove one
    Members(command::members::Args),
    /// Join a room with a ticket; it becomes the default room
    Join(command::join::Args),
    /// Make a room, choose the default one, look at one, leave one
    Room(command::room::Args),
    /// List the rooms this daemon holds
    Rooms(command::rooms::Args),
    /// Let the room's old messages go, and keep what they left; on the machine of its owner
    Compact(command::compact::Args),
    /// Print the scene as the JSON of vuer.rtc's SceneGraph
    Export(command::export::Args),
    /// Add the nodes of a SceneGraph's JSON to the scene
    Import(command::import::Args),
    /// Print this machine's key, copy it, bring it back
    Identity(command::identity::Args),
    /// Look at disk, network and machine, and name what is wrong with its fix
    Doctor(command::doctor::Args),
    /// Copy rooms into one file
    Backup(command::backup::Args),
    /// Put rooms back, from a backup or from their members
    Restore(command::restore::Args),
    /// Compare what is seen of a room with what its peers see
    Verify(command::verify::Args),
    /// List the operations, or explain one
    Ops(command::ops::Args),
    /// Fold messages of vuer.rtc from JSON files, without any daemon
    Replay(command::replay::Args),
    /// Show three daemons meet, part, edit and agree, in temporary homes
    Demo(command::demo::Args),
    /// Start the daemon in the background
    Start(command::start::Args),
    /// Stop the daemon
    Stop(command::stop::Args),
    /// Print completions for a shell
    Completions(command::completions::Args),
}

/// Understands a command line, the program's name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = Cli::try_parse_from(&args)?;
    match &cli.command {
        Command::Edit(edit) => Cli::try_parse_from(command::edit::rearrange(&args, &edit.words)?),
        _ => Ok(cli),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_holds_together() {
        Cli::command().debug_assert();
    }
}
