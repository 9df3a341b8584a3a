//! Which messages count for nothing: undone ones, and repetitions of a request.
//!
//! Undo and redo are a last-writer-wins register per target (DESIGN §3, law 5). Of several messages of one key with one
//! request the least in order counts, and of the others nothing, their undos and redos included (law 13).

use std::collections::BTreeMap;

use super::history::History;
use super::index::{ActorIx, MessageIx, OpIx};
use super::verdicts::Verdicts;
use crate::id::PeerKey;
use crate::op::{Kind, NoEffect};

/// The undos and redos of every target, which may not be held yet, in order.
#[derive(Default)]
pub(super) struct Registers(BTreeMap<(ActorIx, u64), Vec<OpIx>>);

impl Registers {
    /// Takes in an undo or a redo.
    pub(super) fn enter(&mut self, target: (ActorIx, u64), op: OpIx, history: &History) {
        let register = self.0.entry(target).or_default();
        let at = history.place_in(register, op);
        register.insert(at, op);
    }

    /// Judges every undo and redo of a target. They are few: people undo by hand.
    pub(super) fn judge(&self, target: (ActorIx, u64), history: &History, verdicts: &mut Verdicts) {
        for &op in self.0.get(&target).into_iter().flatten() {
            match history.message_of(op).repeated {
                true => verdicts.clear(op),
                false => verdicts.set(op, effect(op, target, history)),
            }
        }
    }

    /// Whether the target is undone.
    pub(super) fn is_undone(&self, target: (ActorIx, u64), history: &History) -> bool {
        let counts = |op: &&OpIx| !history.message_of(**op).repeated && effect(**op, target, history).is_ok();
        let last = self.0.get(&target).and_then(|register| register.iter().rev().find(counts));
        last.is_some_and(|&op| matches!(history.op(op).kind(), Some(Kind::Undo)))
    }
}

/// Whether an undo or a redo counts.
fn effect(op: OpIx, (actor, seq): (ActorIx, u64), history: &History) -> Result<(), NoEffect> {
    let target = history.find_by(actor, seq).ok_or(NoEffect::TargetMissing)?;
    let message = history.message_of(op);
    let has_seen =
        history.op(op).message != target && history.cover(message.actor, message.seq, actor) >= seq;
    if has_seen { Ok(()) } else { Err(NoEffect::TargetUnseen) }
}

/// The messages that carry requests: of each key and request the least.
#[derive(Default)]
pub(super) struct Requests(BTreeMap<(PeerKey, Box<str>), MessageIx>);

impl Requests {
    /// Takes in a message with a request. Gives the one that is a repetition now, if there is one.
    pub(super) fn enter(
        &mut self,
        request: &str,
        message: MessageIx,
        history: &History,
    ) -> Option<MessageIx> {
        let key = history.dot(message).actor.key();
        match self.0.entry((key, request.into())) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(message);
                None
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let other = *entry.get();
                if history.compare_messages(message, other).is_lt() {
                    entry.insert(message);
                    return Some(other);
                }
                Some(message)
            }
        }
    }

    pub(super) fn find(&self, key: &PeerKey, request: &str) -> Option<MessageIx> {
        self.0.get(&(*key, request.into())).copied()
    }
}
