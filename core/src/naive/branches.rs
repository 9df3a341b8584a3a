//! Forks in the plainest code: of a set of messages in which an actor gave one number to two, each named by the branch it is of.
//!
//! No room does this yet: rooms keep the message that came first and refuse what is built on the other (docs/reliability.md). This is the rule
//! that merging them has to meet; `core/tests/laws/branches.rs` holds it.
//!
//! A branch begins with every message that hangs on the same link as another, and ends before the next such; it is an actor of its own, of
//! the same key, whose numbers count from 1. What comes before a fork keeps its name. So names, and with them the order and the
//! scene, are a function of the set: of what came first, or of which fork became known first, they know nothing.
//!
//! What a message names is what its author had seen: heads by their links, and what is named in ops by its number, which in one
//! past only liars give to two.
//!
//! ```
//! use rtc_core::chain::Link;
//! use rtc_core::id::{Actor, RoomId};
//! use rtc_core::message::Message;
//! use rtc_core::naive::{Signed, branches};
//!
//! let actor = Actor::from_name("alice");
//! let origin = Link::origin(&RoomId([1; 32]), &actor);
//! let first = |note: &str| {
//!     let note = Some(note.to_owned());
//!     Signed::new(origin, Message { actor, seq: 1, lamport: 1, clock: vec![], time_ms: None, request: None, note, ops: vec![] })
//! };
//! let [one, other] = [first("one"), first("other")];
//! assert_eq!(branches(&[one.clone()]), [(one.link, one.message.clone())]);
//! let both = branches(&[one, other]);
//! assert!(both.len() == 2 && both.iter().all(|(_, message)| message.actor != actor && message.seq == 1));
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::canonical::Writer;
use crate::chain::Link;
use crate::id::{Actor, Dot};
use crate::message::{Head, Message};
use crate::op::text::{CharId, Span};
use crate::op::{Op, Shape};
use crate::raw::Raw;
use crate::value::Value;

/// A message as its author signed it, and its place in the chain.
#[derive(Clone, PartialEq, Debug)]
pub struct Signed {
    /// The message, by the names its author knew.
    pub message: Message,
    /// The link it hangs on.
    pub before: Link,
    /// Its link.
    pub link: Link,
}

impl Signed {
    /// The message that hangs on `before`.
    pub fn new(before: Link, message: Message) -> Self {
        Self { link: before.next(&message.encode()), message, before }
    }
}

/// Names the messages of a set, which holds the past of each, given in any order and with any duplicates; each comes with its link. Their
/// clocks are whole afterwards, and they come in the order of their names.
pub fn branches(messages: &[Signed]) -> Vec<(Link, Message)> {
    let tree = Tree::of(messages);
    let mut named: Vec<(Link, Message)> =
        tree.messages.values().map(|signed| (signed.link, tree.translate(signed))).collect();
    named.sort_by_key(|(_, message)| message.dot());
    named
}

struct Tree<'a> {
    messages: BTreeMap<Link, &'a Signed>,
    /// What each branch is called, by the link of its first message.
    branches: BTreeMap<Link, Actor>,
}

impl<'a> Tree<'a> {
    fn of(messages: &'a [Signed]) -> Self {
        let messages: BTreeMap<Link, &Signed> = messages.iter().map(|signed| (signed.link, signed)).collect();
        let mut after: BTreeMap<Link, Vec<&Signed>> = BTreeMap::new();
        messages.values().for_each(|signed| after.entry(signed.before).or_default().push(signed));
        // In the order of their links: should two hash to one name, or to one that the key has given itself, the later gets another.
        let mut taken: BTreeSet<Actor> = messages.values().map(|signed| signed.message.actor).collect();
        let mut branches = BTreeMap::new();
        let mut begins: Vec<&Signed> =
            after.into_values().filter(|after| after.len() > 1).flatten().collect();
        begins.sort_by_key(|signed| signed.link);
        for signed in begins {
            let mut names = (0_u64..).map(|again| branch(signed, again));
            let name = names.find(|name| taken.insert(*name)).expect("names have no end");
            branches.insert(signed.link, name);
        }
        Self { messages, branches }
    }

    /// The message before in the chain.
    fn before(&self, signed: &Signed) -> Option<&'a Signed> {
        self.messages.get(&signed.before).copied()
    }

    /// The message and those before it in its chain, the newest first.
    fn chain(&self, signed: &'a Signed) -> impl Iterator<Item = &'a Signed> {
        std::iter::successors(Some(signed), |signed| self.before(signed))
    }

    fn name(&self, signed: &'a Signed) -> Dot {
        let mut chain = self.chain(signed);
        let begin = chain.find_map(|first| Some((*self.branches.get(&first.link)?, first.message.seq)));
        let (actor, first) = begin.unwrap_or((signed.message.actor, 1));
        Dot { actor, seq: signed.message.seq - first + 1 }
    }

    /// The messages that a message's author had seen.
    fn past(&self, signed: &'a Signed) -> BTreeSet<Link> {
        let mut past = BTreeSet::new();
        let mut open = vec![signed];
        while let Some(signed) = open.pop() {
            let named = |head: &Head| self.messages.values().find(|other| other.link.short() == head.link);
            let heads = signed.message.clock.iter().filter_map(named).copied();
            for seen in heads.chain(self.before(signed)) {
                if past.insert(seen.link) {
                    open.push(seen);
                }
            }
        }
        past
    }

    fn translate(&self, signed: &'a Signed) -> Message {
        let own = self.name(signed);
        let past = self.past(signed);
        let mut newest: BTreeMap<Actor, (u64, Link)> = BTreeMap::new();
        for link in &past {
            let Dot { actor, seq } = self.name(self.messages[link]);
            let entry = newest.entry(actor).or_insert((seq, *link));
            *entry = (seq, *link).max(*entry);
        }
        newest.remove(&own.actor);
        let clock = newest.into_iter().map(|(actor, (seq, link))| Head { actor, seq, link: link.short() });
        let seen: Vec<(&Signed, Dot)> = past
            .iter()
            .map(|link| self.messages[link])
            .chain([signed])
            .map(|signed| (signed, self.name(signed)))
            .collect();
        let ops = signed.message.ops.iter();
        Message {
            actor: own.actor,
            seq: own.seq,
            clock: clock.collect(),
            ops: ops.map(|op| self.translate_op(op, signed.message.dot(), own, &seen)).collect(),
            ..signed.message.clone()
        }
    }

    /// The name of a message that an author who had seen so much calls `dot`. What it had not seen keeps the name that it gives it.
    fn rename(&self, dot: Dot, seen: &[(&'a Signed, Dot)]) -> Dot {
        // By a name of the time when it was written, which may have been that of a branch.
        let begins = |first: &Signed| (0..=u64::from(u8::MAX)).any(|again| branch(first, again) == dot.actor);
        let is_called = |signed: &'a Signed| match signed.message.actor == dot.actor {
            true => signed.message.seq == dot.seq,
            false => {
                signed.message.actor.key() == dot.actor.key()
                    && self
                        .chain(signed)
                        .nth(usize::try_from(dot.seq - 1).unwrap_or(usize::MAX))
                        .is_some_and(begins)
            }
        };
        let called = seen.iter().filter(|(signed, _)| is_called(signed));
        called.min_by_key(|(signed, _)| signed.link).map_or(dot, |(_, name)| *name)
    }

    fn translate_op(&self, op: &Op, signed: Dot, own: Dot, seen: &[(&'a Signed, Dot)]) -> Op {
        let Ok(row) = op.resolve() else { return op.clone() };
        let char = |id: CharId| CharId { dot: self.rename(id.dot, seen), ..id };
        let mut options = op.options.clone();
        for (name, value) in &mut options {
            let Some(option) = row.options.iter().find(|option| option.name == name) else { continue };
            let translated = match option.shape {
                Shape::Message => {
                    let dot = value.as_text().and_then(|text| text.parse().ok());
                    dot.map(|dot| self.rename(dot, seen).to_string().into())
                }
                Shape::Character | Shape::CharacterOrEnd => {
                    with_raw(value, |raw| CharId::read(raw, signed)).map(|id| char(id).write(own))
                }
                Shape::Spans => value.as_list().map(|spans| {
                    let spans = spans.iter().filter_map(|span| with_raw(span, |raw| Span::read(raw, signed)));
                    Value::List(
                        spans.flat_map(|span| self.split(span, seen)).map(|span| span.write(own)).collect(),
                    )
                }),
                Shape::Place => value.as_list().map(|place| {
                    Value::List(
                        place.iter().map(|component| self.translate_component(component, seen)).collect(),
                    )
                }),
                Shape::Nothing
                | Shape::Any
                | Shape::Element
                | Shape::Bool
                | Shape::Number
                | Shape::Text
                | Shape::Numbers(_)
                | Shape::Amount
                | Shape::Color
                | Shape::List
                | Shape::Map
                | Shape::Entry
                | Shape::Properties
                | Shape::Word(_)
                | Shape::Peer
                | Shape::Name => None,
            };
            *value = translated.unwrap_or_else(|| value.clone());
        }
        Op { options, ..op.clone() }
    }

    /// A component of a [`Place`](crate::place::Place), which names the op that minted it: places beside that one's must stay there.
    fn translate_component(&self, component: &Value, seen: &[(&'a Signed, Dot)]) -> Value {
        let read = || -> Option<Value> {
            let [fraction, lamport, actor, Value::Number(seq), index] = component.as_list()? else {
                return None;
            };
            let seq = seq.as_integer()?.try_into().ok()?;
            let Dot { actor, seq } = self.rename(Dot { actor: actor.as_text()?.parse().ok()?, seq }, seen);
            let seq = seq.to_string().parse().ok().and_then(Value::number)?;
            Some(Value::List(vec![
                fraction.clone(),
                lamport.clone(),
                actor.to_string().into(),
                seq,
                index.clone(),
            ]))
        };
        read().unwrap_or_else(|| component.clone())
    }

    /// A span of characters as spans of which each is of one branch.
    fn split(&self, span: Span, seen: &[(&'a Signed, Dot)]) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for seq in span.first.dot.seq..=span.last.dot.seq {
            let dot = Dot { seq, ..span.first.dot };
            let name = self.rename(dot, seen);
            let [first, last] = [
                if dot == span.first.dot { span.first } else { CharId { dot, index: 0, offset: 0 } },
                if dot == span.last.dot {
                    span.last
                } else {
                    CharId { dot, index: u32::MAX, offset: u32::MAX }
                },
            ]
            .map(|id| CharId { dot: name, ..id });
            match spans.last_mut() {
                Some(span) if (span.last.dot.actor, span.last.dot.seq + 1) == (name.actor, name.seq) => {
                    span.last = last
                }
                Some(_) | None => spans.push(Span { first, last }),
            }
        }
        spans
    }
}

/// What a branch is called that begins with this message, or its later choice where that name is taken.
fn branch(first: &Signed, again: u64) -> Actor {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 branch v1");
    hasher.update(&first.message.actor.0).update(&first.message.seq.to_be_bytes()).update(&first.link.0);
    let mut epoch = [0; 8];
    epoch.copy_from_slice(&hasher.update(&again.to_be_bytes()).finalize().as_bytes()[..8]);
    Actor::new(first.message.actor.key(), u64::from_be_bytes(epoch))
}

fn with_raw<T>(value: &Value, look: impl FnOnce(Raw<'_>) -> T) -> T {
    let mut writer = Writer::new();
    writer.value(value);
    look(Raw::of_checked(&writer.finish()))
}
