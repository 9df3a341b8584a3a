//! `rtc export`: the scene as the JSON of vuer.rtc's SceneGraph, written as it comes.

use rtc_core::api::{Ask, Node, Reply};

use crate::at::Version;
use crate::failure::Failure;
use crate::graph;
use crate::session::Session;

/// What `rtc export` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  rtc export > scene.json

The object holds `nodes`, by key, and `rootKey`; properties stand beside a node's key, tag, name and children.
Properties with the name of such a field stand in a map `properties`.")]
pub struct Args {
    #[command(flatten)]
    version: Version,
}

/// Prints the scene.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let room = session.room();
    let mut replies = session.stream(Ask::Scene { room, at: args.version.at }).await?;
    let mut root = None;
    let mut nodes: Vec<Node> = Vec::new();
    while let Some(reply) = session.next(&mut replies).await? {
        let Reply::Scene(more) = reply else { return Err(Failure::unexpected()) };
        nodes.extend(more);
        for node in nodes.drain(..) {
            // The root comes first.
            let before = match &root {
                None if session.out.json => "{\"schema\":\"rtc.scene-graph/1\",\"nodes\":{",
                None => "{\"nodes\":{",
                Some(_) => ",",
            };
            root.get_or_insert_with(|| node.key.clone());
            session.out.line(format!("{before}{}", graph::entry(&node)))?;
        }
    }
    let root = root.ok_or_else(Failure::unexpected)?;
    Ok(session.out.line(format!("}},\"rootKey\":{}}}", crate::draw::json(&root.into())))?)
}
