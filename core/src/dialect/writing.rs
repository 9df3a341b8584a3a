//! Texts of both dialects: positions (`otype`) and foreign character ids (`ot`) become our identities.
//!
//! A position means something only to who has seen what its writer had, so each message that writes is translated against
//! a replica of its causal past.

use std::collections::BTreeMap;

use super::envelope::Envelope;
use super::{Dialect, op};
use crate::clock::{Stamp, VersionVector};
use crate::id::Dot;
use crate::message::Message;
use crate::op::text::CharId;
use crate::op::{Op, Range, Texts};
use crate::replica::Replica;
use crate::scene::Root;
use crate::value::Value;

/// A character's name in `ot` (`agent:number`) within a node and path.
type Names = BTreeMap<(String, String, String, u64), CharId>;

/// What is known of the messages read so far.
pub(super) struct Writer {
    root: Root,
    /// The past of the message that wrote last.
    replica: Replica,
    names: Names,
}

/// One message that writes.
pub(super) struct Writing<'a> {
    texts: Texts<'a>,
    replica: &'a Replica,
    stamp: Stamp,
    known: &'a Names,
    new: Names,
}

/// Whether an op inserts or deletes characters, or sets them in `ot`.
pub(super) fn is_writing(op: &BTreeMap<String, Value>) -> bool {
    name(op).starts_with("text.")
}

fn name(op: &BTreeMap<String, Value>) -> &str {
    op.get("ot").or(op.get("otype")).and_then(Value::as_text).unwrap_or_default()
}

impl Writer {
    pub(super) fn new(root: Root) -> Self {
        Self { replica: Replica::new(root.clone()), root, names: Names::new() }
    }

    /// Gets ready for a message; nothing for one that writes no text. `read` are those before it in the total order.
    pub(super) fn begin(
        &mut self,
        envelope: &Envelope<'_>,
        read: &BTreeMap<Dot, Message>,
    ) -> Option<Writing<'_>> {
        if !envelope.ops.iter().any(|op| is_writing(op)) {
            return None;
        }
        let message = &envelope.message;
        let mut clock: VersionVector = message.clock.iter().map(|head| (head.actor, head.seq)).collect();
        clock.raise(message.actor, message.seq - 1);
        let past: Vec<&Message> = read.values().filter(|message| clock.covers(&message.dot())).collect();
        let is_ahead =
            |message: &Message| self.replica.contains(&message.dot()) && !clock.covers(&message.dot());
        if read.values().any(is_ahead) {
            self.replica = Replica::new(self.root.clone());
        }
        self.replica.apply_all(past);
        let stamp = Stamp { lamport: message.lamport, actor: message.actor, seq: message.seq, index: 0 };
        let (replica, known) = (&self.replica, &self.names);
        Some(Writing { texts: Texts::new(replica), replica, stamp, known, new: Names::new() })
    }

    /// Keeps the names that a message gave.
    pub(super) fn end(&mut self, names: Names) {
        for (name, id) in names {
            self.names.entry(name).or_insert(id);
        }
    }
}

impl Writing<'_> {
    /// The names of the characters that the message brought.
    pub(super) fn end(self) -> Names {
        self.new
    }

    /// Translates one op and puts what becomes of it behind `ops`.
    pub(super) fn translate(&mut self, map: &BTreeMap<String, Value>, dialect: Dialect, ops: &mut Vec<Op>) {
        let text = |name: &str| map.get(name).and_then(Value::as_text).unwrap_or_default();
        let value = map.get("value").cloned().unwrap_or_default();
        let mut single =
            op(name(map), text("key"), map.get("path").and_then(Value::as_text), value, BTreeMap::new());
        match dialect {
            Dialect::Otype => self.position(&mut single, ops),
            Dialect::Ot => self.ids(&mut single, map, ops),
        }
        ops.push(single);
    }

    fn stamp(&self, ops: &[Op]) -> Stamp {
        let index = u32::try_from(ops.len()).expect("a message read into memory holds less than 2^32 ops");
        Stamp { index, ..self.stamp }
    }

    /// What cannot be translated stays as it is, and has no effect.
    fn position(&mut self, single: &mut Op, ops: &mut Vec<Op>) {
        let Some(row) = single.code.row() else { return };
        let given = single.clone();
        let stamp = self.stamp(ops);
        let range = Range::take(row, single);
        match range.and_then(|range| self.texts.compile(single, range, ops, stamp, false)) {
            Ok(before) => ops.extend(before),
            Err(_) => *single = given,
        }
    }

    fn ids(&mut self, single: &mut Op, map: &BTreeMap<String, Value>, ops: &mut Vec<Op>) {
        let (key, path) = (single.key.clone(), single.path.clone().unwrap_or_default());
        let is_known = |names: &Names| {
            let from = (key.clone(), path.clone(), String::new(), 0);
            names.range(from..).next().is_some_and(|((k, p, ..), _)| (k, p) == (&key, &path))
        };
        let is_first = !is_known(self.known)
            && !is_known(&self.new)
            && self.replica.value(&key, &path).is_none_or(|value| value != Value::from(""))
            && !ops.iter().any(|op| op.key == key && op.path.as_deref() == Some(&path));
        let insert = |text: &str| op("text.insert", &key, Some(&path), text.into(), BTreeMap::new());
        let agent = self.stamp.actor;
        let agent = String::from_utf8_lossy(&agent.0).trim_end_matches('\0').to_owned();
        let (left, brought) = if name(map) == "text.init" {
            let text = single.value.as_text().unwrap_or_default().to_owned();
            if is_first {
                single.value = text.as_str().into();
                self.note((&key, &path), (&agent, 0), &text, ops);
                return;
            }
            // The rope is there: what a second init brings goes to its start.
            *single = insert(&text);
            (None, Some(((agent, 0), text)))
        } else {
            if is_first {
                // A rope takes the place of whatever was there.
                ops.push(op("text.init", &key, Some(&path), "".into(), BTreeMap::new()));
            }
            let list = single.value.as_list().unwrap_or_default();
            let left = list.first().and_then(Value::as_text).map(str::to_owned);
            let text = list.get(1).and_then(Value::as_text).unwrap_or_default().to_owned();
            let id = map.get("id").and_then(Value::as_text).and_then(split);
            single.value = if name(map) == "text.delete" { Value::Null } else { text.as_str().into() };
            (left, id.map(|(agent, number)| ((agent.to_owned(), number), text)))
        };
        let left = left.and_then(|left| split(&left).and_then(|id| self.find((&key, &path), id)));
        let mut gone = Vec::new();
        for span in map.get("rm").and_then(Value::as_list).into_iter().flatten() {
            let Some([Value::Text(id), Value::Number(len)]) = span.as_list() else { continue };
            let (Some((agent, first)), Some(len)) = (split(id), len.as_integer()) else { continue };
            let last = first.saturating_add(u64::try_from(len).unwrap_or(0));
            gone.extend((first..last).map_while(|number| self.find((&key, &path), (agent, number))));
        }
        let stamp = self.stamp(ops);
        let before = self.texts.compile_beside(single, left, &gone, ops, stamp);
        ops.extend(before);
        if let Some(((agent, number), text)) = brought {
            self.note((&key, &path), (&agent, number), &text, ops);
        }
    }

    /// Remembers the names of what the next op brings.
    fn note(&mut self, (key, path): (&str, &str), (agent, first): (&str, u64), text: &str, ops: &[Op]) {
        let Stamp { actor, seq, index, .. } = self.stamp(ops);
        for (offset, _) in (0..).zip(text.chars()) {
            let id = CharId { dot: Dot { actor, seq }, index, offset };
            let name = (key.to_owned(), path.to_owned(), agent.to_owned(), first + u64::from(offset));
            self.new.entry(name).or_insert(id);
        }
    }

    fn find(&self, (key, path): (&str, &str), (agent, number): (&str, u64)) -> Option<CharId> {
        let name = (key.to_owned(), path.to_owned(), agent.to_owned(), number);
        self.known.get(&name).or_else(|| self.new.get(&name)).copied()
    }
}

/// `agent:number`.
fn split(id: &str) -> Option<(&str, u64)> {
    let (agent, number) = id.rsplit_once(':')?;
    Some((agent, number.parse().ok()?))
}
