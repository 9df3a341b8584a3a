//! Messages that are others, issued again because a horizon left those outside (DESIGN §3, law 14).
//!
//! Everybody goes on to name them, their ops and what these brought by what the message was before. Of several re-issues one
//! counts; the others bring nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::History;
use crate::clock::Stamp;
use crate::id::Dot;
use crate::message::Origin;
use crate::op::text::Span;
use crate::replica::index::{ActorIx, MessageIx, OpIx};

/// The re-issues held, which are few.
#[derive(Default)]
pub(super) struct Again {
    origins: BTreeMap<MessageIx, Origin>,
    /// By what they were.
    issues: BTreeMap<Dot, Vec<MessageIx>>,
    superseded: BTreeSet<MessageIx>,
    /// Originals that will come.
    expected: BTreeSet<Dot>,
    /// Those that lie in the ground, by what they were.
    pub(super) forgotten: BTreeSet<Dot>,
}

/// What becomes of messages when one more is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum Issue {
    /// It counts, as far as this goes.
    Counts,
    /// Another one is the same.
    Superseded,
    /// Another one that counted is the same, and does not count any more.
    Supersedes,
}

impl History {
    /// Notes what a message that came was before.
    pub(in crate::replica) fn issue(&mut self, message: MessageIx, origin: Option<Origin>) -> Issue {
        if origin.is_none() && self.again.issues.is_empty() && self.again.forgotten.is_empty() {
            return Issue::Counts;
        }
        let own = self.dot(message);
        let is_original = self.counting_issue(&own).is_some();
        let issue = if is_original { Issue::Supersedes } else { Issue::Counts };
        let counting = origin.and_then(|origin| self.counting_issue(&origin.dot));
        let is_held = |dot: &Dot| {
            self.find(dot).is_some() || self.is_dot_forgotten(dot) || self.again.expected.contains(dot)
        };
        let is_another =
            self.again.forgotten.contains(&own) || origin.is_some_and(|origin| is_held(&origin.dot));
        if let Some(origin) = origin {
            self.again.issues.entry(origin.dot).or_default().push(message);
            self.again.origins.insert(message, origin);
        }
        match counting {
            _ if is_another => {}
            Some(other) if self.compare_messages(message, other).is_gt() => {}
            Some(_) => return Issue::Supersedes,
            None => return issue,
        }
        self.again.superseded.insert(message);
        self.set_repeated(message);
        if is_original { issue } else { Issue::Superseded }
    }

    /// Says that these messages will be held: those that are the same do not count.
    pub(in crate::replica) fn expect(&mut self, dots: BTreeSet<Dot>) {
        self.again.expected = dots;
    }

    /// The re-issue that counts for a message.
    fn counting_issue(&self, dot: &Dot) -> Option<MessageIx> {
        self.issues_of(dot).iter().copied().find(|&message| !self.is_superseded(message))
    }

    /// The re-issues that count of the messages of that number of every actor whose text begins like this.
    pub(in crate::replica) fn issues_by_actor_text(
        &self,
        text: &str,
        seq: u64,
    ) -> impl Iterator<Item = MessageIx> {
        let dots = self.again.issues.keys();
        let dots = dots.filter(move |dot| dot.seq == seq && dot.actor.to_string().starts_with(text));
        dots.filter_map(|dot| self.counting_issue(dot))
    }

    /// Whether a message lies in the ground, as it was first issued or later.
    pub(in crate::replica) fn is_dot_forgotten(&self, dot: &Dot) -> bool {
        let actor = self.actor_number(&dot.actor);
        actor.is_some_and(|actor| self.is_forgotten(actor, dot.seq)) || self.again.forgotten.contains(dot)
    }

    /// Whether another message is the same and counts.
    pub(in crate::replica) fn is_superseded(&self, message: MessageIx) -> bool {
        self.again.superseded.contains(&message)
    }

    /// Whether a message was another before.
    pub(in crate::replica) fn is_again(&self, message: MessageIx) -> bool {
        self.again.origins.contains_key(&message)
    }

    /// What messages held and forgotten were before.
    pub(in crate::replica) fn origins(&self) -> BTreeSet<Dot> {
        self.again.forgotten.iter().chain(self.again.issues.keys()).copied().collect()
    }

    /// Whether any message was another before.
    pub(in crate::replica) fn has_issues(&self) -> bool {
        !self.again.issues.is_empty()
    }

    /// The re-issues held of a message.
    pub(in crate::replica) fn issues_of(&self, dot: &Dot) -> &[MessageIx] {
        self.again.issues.get(dot).map(Vec::as_slice).unwrap_or_default()
    }

    /// The identity by which others name a message.
    pub(in crate::replica) fn name(&self, message: MessageIx) -> Dot {
        self.again.origins.get(&message).map_or_else(|| self.dot(message), |origin| origin.dot)
    }

    /// The identity by which others name an op: its message's, and its index in that.
    pub(in crate::replica) fn op_name(&self, op: OpIx) -> (Dot, u32) {
        match self.again.origins.get(&self.owner(op)).map(|origin| origin.dot) {
            None => (self.dot(self.owner(op)), self.index(op)),
            Some(origin) => (origin, self.index(op).saturating_sub(1)),
        }
    }

    /// The op of that name.
    pub(in crate::replica) fn op_named(&self, dot: &Dot, index: u32) -> Option<OpIx> {
        match self.find(dot) {
            Some(message) if !self.is_again(message) && !self.is_superseded(message) => {
                self.ops_of(message).nth(index as usize)
            }
            Some(_) | None => self.ops_of(self.counting_issue(dot)?).nth((index as usize).checked_add(1)?),
        }
    }

    /// Ops of messages that were others, which a span of those holds.
    pub(in crate::replica) fn again_within(&self, span: &Span) -> impl Iterator<Item = OpIx> {
        let Span { first, last } = *span;
        let issues = self.again.issues.range(first.dot..=last.dot).flat_map(|(_, issues)| issues);
        let ops = issues.filter(|issue| !self.is_superseded(**issue)).flat_map(|&issue| self.ops_of(issue));
        let is_within = move |op: &OpIx| {
            let name = self.op_name(*op);
            (first.dot, first.index) <= name && name <= (last.dot, last.index)
        };
        ops.filter(is_within)
    }

    /// The stamp that an op had when its message was first issued: nodes' places end in it.
    pub(in crate::replica) fn first_stamp(&self, op: OpIx) -> Stamp {
        let stamp = self.stamp(op);
        match self.again.origins.get(&self.owner(op)) {
            None => stamp,
            Some(Origin { dot, lamport }) => Stamp {
                lamport: *lamport,
                actor: dot.actor,
                seq: dot.seq,
                index: stamp.index.saturating_sub(1),
            },
        }
    }

    /// Whether `by` has seen a message, by its name: that one or one that is the same.
    pub(in crate::replica) fn knows_message(&self, by: OpIx, message: MessageIx) -> bool {
        let own = self.message_of(by);
        let covers = |message: MessageIx| {
            let message = self.message(message);
            self.cover(own.actor, own.seq, message.actor) >= message.seq
        };
        let others = || self.again.issues.get(&self.name(message)).into_iter().flatten();
        covers(message) || !self.again.issues.is_empty() && others().any(|&other| covers(other))
    }

    /// Whether `by` knew the op by its name: it has seen that, or the same one of a message that is the same.
    pub(in crate::replica) fn knows(&self, by: OpIx, op: OpIx) -> bool {
        let (x, y) = (self.owner(by), self.owner(op));
        if x == y { op < by } else { self.knows_message(by, y) }
    }
}

/// An actor's part of a name, by number.
pub(in crate::replica) fn key(dot: &Dot, history: &mut History) -> (ActorIx, u64) {
    (history.actor(dot.actor), dot.seq)
}
