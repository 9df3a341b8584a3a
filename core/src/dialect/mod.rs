//! The messages of `vuer.rtc` (dialect `otype`) and `vuer-rtc` (dialect `ot`), translated into ours.
//!
//! A pure translation: sessions become actors by name, lamports are taken as given, and a session's own clock entry
//! numbers its messages. What cannot be expressed becomes an op without effect, never an error: one odd op must not hide a history.

mod envelope;
mod ot;
mod otype;
mod vector;
mod writing;

pub use vector::{Difference, Order, Vector, VectorError, describe, unsupported};

use std::collections::BTreeMap;

use crate::id::Dot;
use crate::message::Message;
use crate::op::{Op, OpCode};
use crate::replica::Replica;
use crate::scene::Root;
use crate::value::Value;
use envelope::Envelope;
use writing::{Writer, Writing};

/// Which package wrote a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// `vuer.rtc` of the package vuer.
    Otype,
    /// `vuer-rtc`.
    Ot,
}

/// A translated history.
#[derive(Clone, PartialEq, Debug)]
pub struct History {
    /// Who wrote it.
    pub dialect: Dialect,
    /// The root its scene begins with.
    pub root: Root,
    /// Its messages, in the order they were given, each once.
    pub messages: Vec<Message>,
}

/// A history that cannot be translated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DialectError {
    /// Something else than a map stands where a message should.
    #[error("message {index} is not a map")]
    NotAMessage {
        /// Which of the messages, from 0.
        index: usize,
    },
    /// A field is missing, or holds something else.
    #[error("message {index}: field {field} should be {expected}")]
    Field {
        /// Which of the messages, from 0.
        index: usize,
        /// The field's name.
        field: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
    /// One history in two dialects.
    #[error("message {index} is of another dialect than the first")]
    Mixed {
        /// Which of the messages, from 0.
        index: usize,
    },
    /// Two different messages with one number.
    #[error("message {index} contradicts an earlier one of the same session and number")]
    Contradiction {
        /// Which of the messages, from 0.
        index: usize,
    },
}

impl History {
    /// Translates messages of either dialect; the first one tells which.
    pub fn read(messages: &[Value]) -> Result<Self, DialectError> {
        let envelopes = messages.iter().enumerate().map(|(index, value)| Envelope::read(index, value));
        let envelopes = envelopes.collect::<Result<Vec<_>, _>>()?;
        let dialect = envelopes.first().map_or(Dialect::Otype, |first| first.dialect);
        if let Some(index) = envelopes.iter().position(|envelope| envelope.dialect != dialect) {
            return Err(DialectError::Mixed { index });
        }
        let ids: BTreeMap<&str, Dot> =
            envelopes.iter().map(|envelope| (envelope.id, envelope.message.dot())).collect();
        let (root, first_insert) = match dialect {
            Dialect::Otype => (Root::default(), None),
            Dialect::Ot => ot::root(&envelopes),
        };
        // In the total order, since positions in texts mean something only after what their writer had seen.
        let mut sorted: Vec<usize> = (0..envelopes.len()).collect();
        sorted.sort_by_key(|&index| {
            let message = &envelopes[index].message;
            (message.lamport, message.actor, message.seq, index)
        });
        let mut read: BTreeMap<Dot, Message> = BTreeMap::new();
        let mut writer = Writer::new(root.clone());
        for index in sorted {
            let envelope = &envelopes[index];
            let mut message = envelope.message.clone();
            let mut writing = writer.begin(envelope, &read);
            for (place, op) in envelope.ops.iter().enumerate() {
                if let Some(writing) = writing.as_mut().filter(|_| writing::is_writing(op)) {
                    writing.translate(op, dialect, &mut message.ops);
                    continue;
                }
                match dialect {
                    Dialect::Otype => message.ops.extend(otype::ops(op, &ids)),
                    Dialect::Ot => {
                        let makes_root = first_insert == Some((message.dot(), place));
                        message.ops.extend(ot::ops(op, &ids, makes_root));
                    }
                }
            }
            let named = writing.map(Writing::end).unwrap_or_default();
            writer.end(named);
            match read.get(&message.dot()) {
                Some(earlier) if *earlier != message => return Err(DialectError::Contradiction { index }),
                Some(_) => {}
                None => {
                    read.insert(message.dot(), message);
                }
            }
        }
        let mut history = Self { dialect, root, messages: Vec::with_capacity(read.len()) };
        for envelope in &envelopes {
            history.messages.extend(read.remove(&envelope.message.dot()));
        }
        Ok(history)
    }
}

/// Folds messages of either dialect and gives their scene in the vectors' shape ([`describe`]).
pub fn replay(messages: &[Value]) -> Result<Value, DialectError> {
    let history = History::read(messages)?;
    let mut replica = Replica::new(history.root);
    replica.apply_all(&history.messages);
    Ok(describe(&replica.image()))
}

/// The op of that name; one of no known operation where there is none.
fn op(name: &str, key: &str, path: Option<&str>, value: Value, options: BTreeMap<String, Value>) -> Op {
    // 0 is no operation and never will be: families count from 1.
    let code = OpCode::named(name).unwrap_or(OpCode(0));
    Op { code, key: key.to_owned(), path: path.map(str::to_owned), value, options }
}

/// Sets a property to any value: these packages do not check the type a `set` names.
fn reset(name: &str, key: &str, path: Option<&str>, value: Value) -> Op {
    let fits =
        OpCode::named(name).and_then(OpCode::row).is_some_and(|row| row.argument.check(&value).is_ok());
    let name = match &value {
        _ if fits => name,
        Value::Null => name,
        Value::Bool(_) => "boolean.set",
        Value::Number(_) => "number.set",
        Value::Text(_) => "string.set",
        Value::List(_) => "array.set",
        Value::Map(_) => "object.set",
    };
    op(name, key, path, value, BTreeMap::new())
}

/// An undo or a redo of the message with that id. One of no message here keeps its id, and has no effect.
fn meta(name: &str, target: &str, ids: &BTreeMap<&str, Dot>) -> Op {
    let target = ids.get(target).map_or_else(|| target.to_owned(), Dot::to_string);
    op(name, "", None, Value::Null, BTreeMap::from([("target".to_owned(), target.into())]))
}
