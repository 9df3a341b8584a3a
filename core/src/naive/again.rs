//! Law 14 in the plainest code: messages that were others, issued again because a horizon left those outside.

use std::collections::BTreeSet;

use super::{At, Fold, GROUND, clocks};
use crate::clock::{Stamp, VersionVector};
use crate::ground::Ground;
use crate::id::Dot;
use crate::message::{Message, Origin};
use crate::op::NoEffect;

/// The messages that lie in a horizon, and those that are not outside: whose past holds all that lies in it, and nothing outside.
pub fn inside(ground: &Ground, horizon: &VersionVector, messages: &[Message]) -> Vec<Message> {
    let mut sorted: Vec<&Message> = messages.iter().collect();
    sorted.sort_by_key(|message| (message.lamport, message.actor, message.seq));
    let clocks = clocks(ground, &sorted);
    let mut outside: BTreeSet<Dot> = BTreeSet::new();
    for dot in sorted.iter().map(|message| message.dot()).filter(|dot| !horizon.covers(dot)) {
        let clock = &clocks[&dot];
        let has_all = horizon.iter().all(|(actor, seq)| clock.get(&actor) >= seq);
        if !has_all || outside.iter().any(|other| clock.covers(other)) {
            outside.insert(dot);
        }
    }
    messages.iter().filter(|message| !outside.contains(&message.dot())).cloned().collect()
}

impl Fold<'_> {
    /// Law 14: of several messages that are one, issued again, all but the least in order; all where that one is there. What
    /// the ground holds issued again counts there.
    pub(super) fn supersede(&mut self) {
        let mut counting: BTreeSet<Dot> = self.ground.origins.clone();
        for message in &self.messages[1..] {
            if self.ground.origins.contains(&message.dot()) {
                self.superseded.insert(message.dot());
                continue;
            }
            let Some(Origin { dot, .. }) = self.origins.get(&message.dot()) else { continue };
            if self.clocks.contains_key(dot) || self.ground.version.covers(dot) || !counting.insert(*dot) {
                self.superseded.insert(message.dot());
            }
        }
        self.masked.extend(&self.superseded);
    }

    /// The identity by which others name a message: what it was before, where it is issued again.
    pub(super) fn name(&self, message: usize) -> Dot {
        let dot = self.messages[message].dot();
        self.origins.get(&dot).map_or(dot, |origin| origin.dot)
    }

    /// The identity by which others name an op, with its index in that message.
    pub(super) fn op_name(&self, (message, index): At) -> (Dot, u32) {
        let is_again = self.origins.contains_key(&self.messages[message].dot());
        (self.name(message), index.saturating_sub(u32::from(is_again)))
    }

    /// The op of that name.
    pub(super) fn named(&self, (dot, index): (Dot, u32)) -> Option<At> {
        let counts = |i: &usize| !self.superseded.contains(&self.messages[*i].dot());
        let message = (1..self.messages.len()).filter(counts).find(|&i| self.name(i) == dot)?;
        let at = (
            message,
            index.checked_add(u32::from(self.origins.contains_key(&self.messages[message].dot())))?,
        );
        ((at.1 as usize) < self.messages[message].ops.len()).then_some(at)
    }

    /// The stamp that an op had when its message was first issued: nodes' places end in it.
    pub(super) fn first_stamp(&self, at: At) -> Stamp {
        let stamp = self.stamp(at);
        match self.origins.get(&stamp.dot()) {
            None => stamp,
            Some(Origin { dot: Dot { actor, seq }, lamport }) => {
                Stamp { lamport: *lamport, actor: *actor, seq: *seq, index: at.1.saturating_sub(1) }
            }
        }
    }

    /// Whether an op's author knew another by its name: it has seen that, or the same op of a message that is the same.
    pub(super) fn knows(&self, by: At, op: At) -> bool {
        let same = (1..self.messages.len()).filter(|&i| i != by.0 && self.name(i) == self.name(op.0));
        self.seen(by, op) || op.0 != GROUND && by.0 != op.0 && same.into_iter().any(|i| self.seen(by, (i, 0)))
    }

    /// Whether a message lies in the horizon, as it was first issued or later.
    pub(super) fn lies_behind(&self, name: &Dot) -> bool {
        let is_issue = |i: usize| self.name(i) == *name && self.forgotten.covers(&self.messages[i].dot());
        let mut messages = 1..self.messages.len();
        self.forgotten.covers(name) || self.ground.origins.contains(name) || messages.any(is_issue)
    }

    /// The message that an undo or a redo is about, by its identity.
    pub(super) fn target(&self, by: usize, target: Dot) -> Result<Dot, NoEffect> {
        let own = self.messages[by].dot();
        let is = |i: &usize| self.messages[*i].dot() == target;
        let held = (1..self.messages.len()).find(is);
        let name = held.map_or(target, |message| self.name(message));
        if !self.forgotten.covers(&own) && [target, name].iter().any(|dot| self.lies_behind(dot)) {
            return Err(NoEffect::TargetForgotten);
        }
        let again: Vec<usize> = match held {
            Some(message) => vec![message],
            None => (1..self.messages.len()).filter(|&i| self.name(i) == target).collect(),
        };
        let Some(&first) = again.first() else { return Err(NoEffect::TargetMissing) };
        let clock = &self.clocks[&own];
        let is_known =
            self.name(by) != self.name(first) && again.iter().any(|&i| clock.covers(&self.messages[i].dot()));
        if is_known { Ok(self.name(first)) } else { Err(NoEffect::TargetUnseen) }
    }
}
