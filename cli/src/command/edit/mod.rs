//! `rtc edit`: one commit from the command line, or one for each line of stdin.

mod lines;
mod options;

use rtc_core::api::{Ask, Edit, EditOp, Edited, Reply, Stage, Wait};

use crate::age;
use crate::command::commit::{self, DRAFT};
use crate::failure::Failure;
use crate::grammar;
use crate::session::Session;
use crate::short;

pub use options::rearrange;

/// What `rtc edit` takes.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "rtc edit [OPTIONS] NODE OTYPE [PATH] [VALUE…] [NAME=VALUE…] [+ NODE OTYPE …]\n       rtc edit [OPTIONS] -"
)]
#[command(after_help = "\
Examples:
  rtc edit cube-1 node.insert tag=Mesh name='A cube' transform.position=[0,1,0]
  rtc edit cube-1 vector3.add transform.position -1 0 -1.5e-3
  rtc edit cube-1 string.concat label more separator=', '
  rtc edit cube-1 node.move parent=shelf index=0
  rtc edit a number.add x 1 + b number.add x -1        # two edits, one commit
  rtc edit --stage cube-1 vector3.set transform.position 2 0 0   # then: rtc commit
  rtc edit -m 'wider' cube-1 vector3.multiply transform.scale 2 1 1
  rtc edit a string.set label -- --verbatim            # after --, nothing is an option
  producer | rtc edit -                                # JSON lines

`rtc ops` lists the operations; `rtc ops vector3.add` explains one.

Node operations take no PATH but key=value words: tag, name, parent, before, after, index; for
node.insert any other key is a property. Values are read by the operation's argument: what may be
anything is JSON where it parses, and text where not. A word + separates edits of one commit; \\+ is
a plus.

JSON lines: each line is one edit, or a list of edits for one commit, or for the draft, named as in vuer.rtc:
  {\"key\":\"cube-1\",\"otype\":\"vector3.add\",\"path\":\"transform.position\",\"value\":[1,0,0]}

Prints the id of each message it made.")]
pub struct Args {
    /// Describe the commit
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Put the edits into a draft instead of a commit: others see them, and `rtc commit` keeps them. Setting a
    /// property takes the place of what was staged for it before
    #[arg(long, conflicts_with = "message")]
    stage: bool,
    /// Drop what the draft holds first
    #[arg(long, requires = "stage")]
    replace: bool,
    /// Which draft; ten minutes after its last edit it is dropped
    #[arg(long, default_value = DRAFT, requires = "stage", value_name = "NAME")]
    draft: String,
    /// The edits; `-` reads them from stdin
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "WORD")]
    pub words: Vec<String>,
}

/// Makes the commit, and prints its id.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    if args.stage {
        let (draft, replace) = (Some(args.draft), args.replace);
        let mut stage = Stage { room: session.room(), draft, ops: Vec::new(), replace };
        if args.words == ["-"] {
            return lines::stage(&stage, session).await;
        }
        stage.ops = parse(&args.words)?;
        return self::stage(stage, session).await;
    }
    if args.words == ["-"] {
        return lines::run(args.message, session).await;
    }
    let ops = parse(&args.words)?;
    let ask = Ask::Edit(commit(ops, args.message, session));
    match session.ask_edit(ask).await? {
        Reply::Edited(edited) => print(&edited, session),
        _ => Err(Failure::unexpected()),
    }
}

fn parse(words: &[String]) -> Result<Vec<EditOp>, Failure> {
    grammar::parse(words).map_err(|error| Failure::usage(error.to_string()).with_hint(error.hint()))
}

/// Puts edits into a draft.
async fn stage(stage: Stage, session: &mut Session) -> Result<(), Failure> {
    let Reply::Staged(staged) = session.ask(Ask::Stage(stage)).await? else {
        return Err(Failure::unexpected());
    };
    session.say(format!("{} staged; `rtc commit` keeps them", age::count(staged.edits.into(), "edit")));
    commit::print(staged, session)
}

/// A commit of `ops`, as this run's options want it.
pub fn commit(ops: Vec<EditOp>, note: Option<String>, session: &Session) -> Edit {
    let timeout_ms = timeout_ms(session);
    Edit { room: session.room(), ops, note, request: None, wait: session.globals.wait, timeout_ms }
}

/// How long the daemon is to wait for peers, where it is to wait for them.
pub fn timeout_ms(session: &Session) -> Option<u64> {
    match session.globals.wait {
        Wait::Local | Wait::Durable => None,
        Wait::Peers(_) => u64::try_from(session.globals.peer_timeout().as_millis()).ok(),
    }
}

/// Prints what became of a commit: its id, and on stderr which of its edits have no effect.
pub fn print(edited: &Edited, session: &mut Session) -> Result<(), Failure> {
    for ineffective in &edited.ineffective {
        session.say(format!(
            "\x1b[1;33mwarning:\x1b[0m edit {} is kept, and has no effect now: {}",
            ineffective.index + 1,
            ineffective.reason
        ));
    }
    if session.out.json {
        return Ok(session.out.object("rtc.edited/1", edited)?);
    }
    // People read ids, programs use them.
    let id = if session.out.terminal { short::dot(&edited.id) } else { edited.id.to_string() };
    Ok(session.out.line(id)?)
}
