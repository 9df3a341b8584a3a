//! `rtc get`: one node, or one property's value, as a line of JSON.

use rtc_core::api::{Ask, Reply};
use rtc_core::value::Value;
use serde::Serialize;

use crate::at::Sight;
use crate::draw;
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc get` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc get cube-1                        # {\"key\":\"cube-1\",\"tag\":\"Mesh\",…}
  rtc get cube-1 transform.position     # [5,5,0]
  rtc get cube-1 --at '10 min ago'      # as it was then
  rtc get cube-1 --preview              # with what is staged

A node or property that is not there prints nothing and exits with 4.")]
pub struct Args {
    /// The node's key
    node: String,
    /// The property's path
    path: Option<String>,
    #[command(flatten)]
    sight: Sight,
}

/// What `--json` prints of a property.
#[derive(Serialize)]
struct Property<'a> {
    key: &'a str,
    path: &'a str,
    value: &'a Value,
}

/// Prints the node or the value.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let (room, at) = (session.room(), args.sight.at());
    let Some(path) = args.path else {
        let Reply::Node(node) = session.ask(Ask::Node { room, key: args.node, at }).await? else {
            return Err(Failure::unexpected());
        };
        if session.out.json {
            return Ok(session.out.object("rtc.node/1", &node)?);
        }
        let json = serde_json::to_string(&node).expect("nodes are texts and finite values");
        return Ok(session.out.line(json)?);
    };
    let ask = Ask::Value { room, key: args.node.clone(), path: path.clone(), at };
    let Reply::Value(value) = session.ask(ask).await? else { return Err(Failure::unexpected()) };
    if session.out.json {
        let property = Property { key: &args.node, path: &path, value: &value };
        return Ok(session.out.object("rtc.value/1", &property)?);
    }
    Ok(session.out.line(draw::json(&value))?)
}
