//! `rtc presence`: shows who you are to others in the room.

use std::collections::BTreeMap;

use rtc_client::ClientError;
use rtc_core::api::{Ask, Present};
use rtc_core::op::Shape;
use rtc_core::presence::FIELDS;
use rtc_core::value::Value;

use crate::failure::Failure;
use crate::session::Session;

/// What `rtc presence` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc presence name=Ann color='#ff8000' selection=cube-1,lamp
  rtc presence name='The camera' camera='{\"position\":[0,1,5]}'

Fields: name, color, selection (keys, or a list as JSON), cursor, camera, extra (JSON, or text).
`rtc who` lists who shows something, and `rtc watch --presence` follows it.")]
pub struct Args {
    /// What to show
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<String>,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Shown<'a> {
    fields: &'a BTreeMap<String, Value>,
}

/// Shows it for as long as the program runs.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let fields: BTreeMap<String, Value> =
        args.fields.iter().map(|word| field(word)).collect::<Result<_, _>>()?;
    let room = session.room();
    session.ask(Ask::Present(Present { room, fields: fields.clone() })).await?;
    if session.out.json {
        session.out.object("rtc.presence/1", &Shown { fields: &fields })?;
        session.out.flush()?;
    }
    session.say("others see you; end with Ctrl-C");
    session.client().await?.ended().await;
    Err(ClientError::Broken("the daemon ended it".to_owned()).into())
}

fn field(word: &str) -> Result<(String, Value), Failure> {
    let Some((name, text)) = word.split_once('=') else {
        return Err(Failure::usage(format!("`{word}` is no field")).with_hint("write it like name=Ann"));
    };
    // The daemon says what is wrong with a field that it does not know.
    let shape = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape);
    let json = || serde_json::from_str::<Value>(text).ok();
    let value = match shape {
        Some(Shape::List) => json().filter(|value| value.as_list().is_some()).unwrap_or_else(|| keys(text)),
        Some(Shape::Any) => json().unwrap_or_else(|| text.into()),
        Some(_) | None => text.into(),
    };
    Ok((name.to_owned(), value))
}

fn keys(text: &str) -> Value {
    Value::List(text.split(',').filter(|key| !key.is_empty()).map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_shape() {
        let read = |word: &str| serde_json::to_string(&field(word).unwrap().1).unwrap();
        assert_eq!(read("name=5"), r#""5""#);
        assert_eq!(read("selection=cube,lamp"), r#"["cube","lamp"]"#);
        assert_eq!(read(r#"selection=["a,b"]"#), r#"["a,b"]"#);
        assert_eq!(read("camera={\"fov\":50}"), r#"{"fov":50}"#);
        assert_eq!(read("extra=a=b"), r#""a=b""#);
        assert!(field("name").is_err());
    }
}
