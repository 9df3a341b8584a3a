//! `rtc tree`: the scene, drawn as it comes.

use rtc_core::api::{Ask, Reply};

use crate::at::Sight;
use crate::draw::Tree;
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc tree` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "With --json, each node is one object on a line, parents before their children.")]
pub struct Args {
    /// Show properties too
    #[arg(long)]
    props: bool,
    #[command(flatten)]
    sight: Sight,
}

/// Draws the scene.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let room = session.room();
    let mut replies = session.stream(Ask::Scene { room, at: args.sight.at() }).await?;
    let mut tree = Tree::with_properties(args.props);
    let mut lines = Vec::new();
    while let Some(reply) = session.next(&mut replies).await? {
        let Reply::Scene(nodes) = reply else { return Err(Failure::unexpected()) };
        for node in nodes {
            if session.out.json {
                session.out.object("rtc.node/1", &node)?;
                continue;
            }
            tree.push(node, &mut lines);
            for line in lines.drain(..) {
                session.out.line(line)?;
            }
        }
    }
    tree.finish(&mut lines);
    for line in lines {
        session.out.line(line)?;
    }
    Ok(())
}
