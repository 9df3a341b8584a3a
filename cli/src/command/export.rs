//! `rtc export`: the scene as the JSON of vuer.rtc's SceneGraph, written as it comes.

use rtc_core::api::{Ask, At, Node, Reply, RoomName};

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
    let json = session.out.json;
    let mut write = |line: String, session: &mut Session| Ok(session.out.line(line)?);
    each_line(session.room(), args.version.at, json, session, &mut write).await
}

/// A room's scene in that format.
pub(super) async fn read(room: RoomName, at: Option<At>, session: &mut Session) -> Result<String, Failure> {
    let mut text = String::new();
    each_line(room, at, false, session, &mut |line, _| {
        text += &line;
        Ok(())
    })
    .await?;
    Ok(text)
}

/// Gives out the scene's JSON, a node on each line, as it comes.
async fn each_line(
    room: RoomName,
    at: Option<At>,
    names_schema: bool,
    session: &mut Session,
    write: &mut impl FnMut(String, &mut Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut replies = session.stream(Ask::Scene { room, at }).await?;
    let mut root = None;
    let mut nodes: Vec<Node> = Vec::new();
    while let Some(reply) = session.next(&mut replies).await? {
        let Reply::Scene(more) = reply else { return Err(Failure::unexpected()) };
        nodes.extend(more);
        for node in nodes.drain(..) {
            // The root comes first.
            let before = match &root {
                None if names_schema => "{\"schema\":\"rtc.scene-graph/1\",\"nodes\":{",
                None => "{\"nodes\":{",
                Some(_) => ",",
            };
            root.get_or_insert_with(|| node.key.clone());
            write(format!("{before}{}", graph::entry(&node)), session)?;
        }
    }
    let root = root.ok_or_else(Failure::unexpected)?;
    write(format!("}},\"rootKey\":{}}}", crate::draw::json(&root.into())), session)
}
