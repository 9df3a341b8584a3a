//! Forks in the plainest code: of a set of messages in which an actor gave one number to two, each named by the branch it is of.
//!
//! A branch begins with every message that hangs on the same link as another, and ends before the next such; it is an actor of its own, of
//! the same key, whose numbers go on. What comes before a fork keeps its name. So names, and with them the order and the
//! scene, are a function of the set: of what came first, or of which fork became known first, they know nothing.
//!
//! What a message names is what its author had seen: heads by their links, and what is named in ops by its number, which in one
//! past only liars give to two. [`crate::branch`] is what rooms do.
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

use crate::branch::{name, translate};
use crate::chain::Link;
use crate::id::{Actor, Dot};
use crate::message::{Head, Message, SHORT_LINK_BYTES};

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
    branches_beside(messages, &[])
}

/// The same of a set beside which others are known to be, as the proof of a fork shows them, though they are not held.
pub fn branches_beside(messages: &[Signed], known: &[Signed]) -> Vec<(Link, Message)> {
    let tree = Tree::of(messages, known);
    let mut named: Vec<(Link, Message)> =
        tree.messages.values().map(|signed| (signed.link, tree.translate(signed))).collect();
    named.sort_by_key(|(_, message)| message.dot());
    named
}

struct Tree<'a> {
    messages: BTreeMap<Link, &'a Signed>,
    /// By what clocks say of links.
    by_short: BTreeMap<[u8; SHORT_LINK_BYTES], &'a Signed>,
    /// By the names that branches would have which begin with them.
    by_name: BTreeMap<Actor, &'a Signed>,
    /// What each branch is called, by the link of its first message.
    branches: BTreeMap<Link, Actor>,
}

/// What a branch is called that begins with this message.
fn branch(first: &Signed) -> Actor {
    name(&first.message.dot(), &first.link)
}

impl<'a> Tree<'a> {
    fn of(messages: &'a [Signed], known: &'a [Signed]) -> Self {
        let messages: BTreeMap<Link, &Signed> = messages.iter().map(|signed| (signed.link, signed)).collect();
        let mut after: BTreeMap<Link, BTreeMap<Link, &Signed>> = BTreeMap::new();
        for signed in messages.values().copied().chain(known) {
            after.entry(signed.before).or_default().insert(signed.link, signed);
        }
        let begins = after.into_values().filter(|after| after.len() > 1).flatten();
        let branches = begins.map(|(link, signed)| (link, branch(signed))).collect();
        let by_short = messages.values().map(|signed| (signed.link.short(), *signed)).collect();
        let by_name = messages.values().map(|signed| (branch(signed), *signed)).collect();
        Self { messages, by_short, by_name, branches }
    }

    /// The message before in the chain.
    fn before(&self, signed: &Signed) -> Option<&'a Signed> {
        self.messages.get(&signed.before).copied()
    }

    /// The message and those before it in its chain, the newest first.
    fn chain(&self, signed: &'a Signed) -> impl Iterator<Item = &'a Signed> {
        std::iter::successors(Some(signed), |signed| self.before(signed))
    }

    /// The branches that a message is of, the outermost first.
    fn path(&self, signed: &'a Signed) -> Vec<Actor> {
        let mut path: Vec<Actor> =
            self.chain(signed).filter_map(|first| self.branches.get(&first.link)).copied().collect();
        path.reverse();
        path
    }

    fn name(&self, signed: &'a Signed) -> Dot {
        let actor = self.path(signed).last().copied().unwrap_or(signed.message.actor);
        Dot { actor, seq: signed.message.seq }
    }

    /// The messages that a message's author had seen: those before it, and those that their clocks and its own name, each with those
    /// before it. What these had seen its author says himself.
    fn past(&self, signed: &'a Signed) -> BTreeSet<Link> {
        let heads = self.chain(signed).flat_map(|own| &own.message.clock);
        let named = heads.filter_map(|head| self.by_short.get(&head.link).copied());
        let seen = named.chain(self.before(signed)).flat_map(|signed| self.chain(signed));
        seen.map(|signed| signed.link).collect()
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
        let seen: Vec<&Signed> = past.iter().map(|link| self.messages[link]).chain([signed]).collect();
        let rename = |dot: Dot| self.rename(dot, &seen);
        let ops = signed.message.ops.iter();
        Message {
            actor: own.actor,
            seq: own.seq,
            clock: clock.collect(),
            ops: ops.map(|op| translate(op, own, &rename, &|dot| dot.seq + 1)).collect(),
            ..signed.message.clone()
        }
    }

    /// The name of a message that an author who had seen so much calls `dot`. What it had not seen keeps the name that it gives it.
    fn rename(&self, dot: Dot, seen: &[&'a Signed]) -> Dot {
        // By a name of the time when it was written, which may have been that of a branch.
        let begin = self.by_name.get(&dot.actor).copied();
        if let Some(begin) = begin.filter(|begin| dot.seq < begin.message.seq) {
            let before = self.chain(begin).find(|signed| signed.message.seq == dot.seq);
            return before.map_or(dot, |before| self.name(before));
        }
        let is_called = |signed: &&&'a Signed| {
            let is_of = |first: &Signed| begin.is_some_and(|begin| begin.link == first.link);
            signed.message.seq == dot.seq
                && (signed.message.actor == dot.actor || self.chain(signed).any(is_of))
        };
        let called = seen.iter().filter(is_called);
        called.min_by_key(|signed| self.path(signed)).map_or(dot, |signed| self.name(signed))
    }
}
