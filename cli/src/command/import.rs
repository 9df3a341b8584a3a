//! `rtc import`: the nodes of a SceneGraph's JSON, in commits of bounded size, parents first.

use std::io::{IsTerminal, Read};

use rtc_core::api::EditOp;

use crate::failure::Failure;
use crate::graph;
use crate::pipeline::Pipeline;
use crate::session::Session;

/// The key of every room's root.
pub(super) const ROOT: &str = "scene";
/// Commits under way at once: enough that the daemon's disk is never waited for in vain.
const UNDER_WAY_MAX: usize = 16;

/// What `rtc import` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc import scene.json
  producer | rtc import -

Adds the graph's nodes below the room's root; of nodes that are there already, it sets the given properties.
The graph's own root stands for the room's.")]
pub struct Args {
    /// The file; `-` is stdin
    file: String,
    /// Describe the commits
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Printed {
    nodes: usize,
    unreachable: usize,
    commits: usize,
}

/// Reads the file, and makes the commits.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let import = graph::import(&read(&args.file, session)?, ROOT).map_err(|error| {
        Failure::usage(format!("{}: {error}", args.file)).with_hint("`rtc export` shows the format")
    })?;
    let printed =
        Printed { nodes: import.nodes, unreachable: import.unreachable, commits: import.commits.len() };
    commit(import.commits, args.message, session).await?;
    if session.out.json {
        return Ok(session.out.object("rtc.imported/1", &printed)?);
    }
    session.say(format!("{} nodes in {} commits", printed.nodes, printed.commits));
    if printed.unreachable > 0 {
        session
            .say(format!("{} nodes were left out: nothing leads to them from the root", printed.unreachable));
    }
    Ok(())
}

fn read(file: &str, session: &mut Session) -> Result<String, Failure> {
    let read = match file {
        "-" => {
            let mut text = String::new();
            session.input().read_to_string(&mut text).map(|_| text)
        }
        file => std::fs::read_to_string(file),
    };
    read.map_err(|error| Failure::file(file, &error))
}

/// Makes the commits in order, a few of them under way at once; the first that fails ends it.
pub(super) async fn commit(
    commits: Vec<Vec<EditOp>>,
    note: Option<String>,
    session: &mut Session,
) -> Result<(), Failure> {
    let total = commits.len();
    let shows_progress = std::io::stderr().is_terminal() && !session.globals.json;
    let mut pipeline = Pipeline::new(UNDER_WAY_MAX);
    let mut commits = commits.into_iter();
    for done in 1..=total {
        while !pipeline.is_full()
            && let Some(ops) = commits.next()
        {
            let edit = super::edit::commit(ops, note.clone(), session);
            pipeline.send((), edit, session).await?;
        }
        let ((), answer) = pipeline.next(session).await?;
        answer.map_err(|error| {
            let mut failure = Failure::from(error);
            let before = done - 1;
            failure.message =
                format!("{} (after {before} of {total} commits, which are kept)", failure.message);
            failure
        })?;
        if shows_progress {
            anstream::eprint!("\r{done} of {total} commits");
        }
    }
    if shows_progress {
        anstream::eprint!("\r\x1b[K");
    }
    Ok(())
}
