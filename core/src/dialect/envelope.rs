//! What both dialects put around the ops of a message, under different names.

use std::collections::BTreeMap;

use super::{Dialect, DialectError};
use crate::id::Actor;
use crate::message::{Head, Message, SHORT_LINK_BYTES};
use crate::value::Value;

/// One message, its ops not yet translated.
pub(super) struct Envelope<'a> {
    pub(super) dialect: Dialect,
    /// The id that undo and redo name.
    pub(super) id: &'a str,
    /// Ours, without ops.
    pub(super) message: Message,
    pub(super) ops: Vec<&'a BTreeMap<String, Value>>,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(index: usize, value: &'a Value) -> Result<Self, DialectError> {
        let map = value.as_map().ok_or(DialectError::NotAMessage { index })?;
        let field = |field, expected| DialectError::Field { index, field, expected };
        let get = |names: [&str; 2]| names.iter().find_map(|&name| map.get(name));
        let text =
            |names: [&'static str; 2]| get(names).and_then(Value::as_text).ok_or(field(names[0], "text"));
        let session = text(["sessionId", "client"])?;
        let lamport =
            get(["lamportTime", "lt"]).and_then(whole).ok_or(field("lamportTime", "a whole number"))?;
        let clock = get(["clock", "clock"]).and_then(Value::as_map).ok_or(field("clock", "a map"))?;
        let entries = clock.iter().map(|(name, seq)| {
            let seq = whole(seq).ok_or(field("clock", "a map to whole numbers"))?;
            Ok((Actor::from_name(name), seq))
        });
        let mut entries: BTreeMap<Actor, u64> = entries.collect::<Result<_, _>>()?;
        let actor = Actor::from_name(session);
        let seq = entries
            .remove(&actor)
            .filter(|&seq| seq > 0)
            .ok_or(field("clock", "one with the session itself"))?;
        let link = [0; SHORT_LINK_BYTES];
        let others = entries.into_iter().filter(|&(_, seq)| seq > 0);
        let message = Message {
            actor,
            seq,
            lamport,
            clock: others.map(|(actor, seq)| Head { actor, seq, link }).collect(),
            time_ms: time_ms(map),
            request: None,
            note: None,
            ops: Vec::new(),
        };
        let ops = map.get("ops").and_then(Value::as_list).ok_or(field("ops", "a list"))?;
        let ops = ops
            .iter()
            .map(|op| op.as_map().ok_or(field("ops", "a list of maps")))
            .collect::<Result<Vec<_>, _>>()?;
        let dialect =
            if map.contains_key("sessionId") && !says_ot(&ops) { Dialect::Otype } else { Dialect::Ot };
        Ok(Self { dialect, id: text(["id", "id"])?, message, ops })
    }
}

/// `ot` also writes the long names of the envelope, so only its ops tell.
fn says_ot(ops: &[&BTreeMap<String, Value>]) -> bool {
    ops.iter().any(|op| op.contains_key("ot"))
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_integer()?.try_into().ok(),
        _ => None,
    }
}

/// `timestamp` is in milliseconds, `ts` in seconds.
fn time_ms(map: &BTreeMap<String, Value>) -> Option<u64> {
    let number = |name: &str| map.get(name).and_then(Value::as_number);
    let ms = number("timestamp").or_else(|| number("ts").map(|seconds| seconds * 1000.0))?;
    crate::value::Number::new(ms.trunc())?.as_integer()?.try_into().ok()
}
