//! The messages held: who made them, what their clocks cover, and their ops in order of arrival, by dense numbers.
//!
//! Lamports and clocks grow along each actor; admission sees to that. With it, what an op has seen of an actor is a
//! prefix of that actor's ops, and every question here is a comparison or a binary search.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::index::{ActorIx, CellIx, MessageIx, NodeIx, OpIx, PathIx, Texts};
use crate::clock::{Stamp, VersionVector};
use crate::id::{Actor, Dot};
use crate::message::Message;
use crate::op::{Kind, OpCode, Options, Row};
use crate::value::Value;

/// Everything held, as it came.
#[derive(Default)]
pub(super) struct History {
    /// The paths of properties.
    pub(super) paths: Texts,
    numbers: BTreeMap<Actor, ActorIx>,
    actors: Vec<ActorLog>,
    messages: Vec<HeldMessage>,
    ops: Vec<HeldOp>,
    /// All messages in the total order.
    order: Vec<MessageIx>,
    /// Ops of the ground that are named still, by actor, number and index.
    relics: BTreeMap<(ActorIx, u64, u32), OpIx>,
    /// The greatest lamport time of the ground.
    lamport_forgotten: u64,
}

/// What is known of one actor.
struct ActorLog {
    actor: Actor,
    held: BTreeMap<u64, MessageIx>,
    /// The highest number held without a gap.
    gapless: u64,
    /// The messages up to this number lie in the ground, which all later ones have seen.
    forgotten: u64,
    /// The highest number that the clock of a message held names.
    named: u64,
    /// Of each other actor where this one's clock advanced: from its message of that number on it covers that much.
    clock: BTreeMap<ActorIx, Vec<(u64, u64)>>,
}

/// One message, without its ops.
pub(super) struct HeldMessage {
    pub(super) actor: ActorIx,
    pub(super) seq: u64,
    pub(super) lamport: u64,
    pub(super) time_ms: Option<u64>,
    pub(super) note: Option<Box<str>>,
    pub(super) first_op: OpIx,
    pub(super) ops: u32,
    /// The register of its undos and redos stands at undone.
    pub(super) undone: bool,
    /// A lesser message carries the same request.
    pub(super) repeated: bool,
}

impl HeldMessage {
    /// Whether its scene ops count for nothing.
    pub(super) fn is_masked(&self) -> bool {
        self.undone || self.repeated
    }
}

/// One op.
pub(super) struct HeldOp {
    pub(super) message: MessageIx,
    pub(super) index: u32,
    pub(super) code: OpCode,
    /// None where the op can have no effect whatever the scene is.
    pub(super) row: Option<&'static Row>,
    pub(super) node: NodeIx,
    pub(super) path: Option<PathIx>,
    /// The property it works on.
    pub(super) cell: Option<CellIx>,
    /// The parent an insert or a move names.
    pub(super) parent: Option<NodeIx>,
    pub(super) value: Value,
    /// Boxed: most ops have none.
    pub(super) options: Option<Box<Options>>,
}

/// The options of an op without any.
static NO_OPTIONS: Options = Options::new();

impl HeldOp {
    pub(super) fn kind(&self) -> Option<Kind> {
        self.row.map(|row| row.kind)
    }

    pub(super) fn options(&self) -> &Options {
        self.options.as_deref().unwrap_or(&NO_OPTIONS)
    }

    pub(super) fn text(&self, option: &str) -> Option<&str> {
        self.options().get(option).and_then(Value::as_text)
    }

    /// Whether it is an insert that asks to be void on a live node.
    pub(super) fn is_if_absent(&self) -> bool {
        self.options().get("ifAbsent").and_then(Value::as_bool).unwrap_or(false)
    }
}

impl History {
    pub(super) fn actor(&mut self, actor: Actor) -> ActorIx {
        if let Some(&ix) = self.numbers.get(&actor) {
            return ix;
        }
        let ix = ActorIx::of(self.actors.len());
        self.numbers.insert(actor, ix);
        self.actors.push(ActorLog {
            actor,
            held: BTreeMap::new(),
            gapless: 0,
            forgotten: 0,
            named: 0,
            clock: BTreeMap::new(),
        });
        ix
    }

    /// Takes in a message without its ops; nothing where it is held already.
    pub(super) fn push(&mut self, message: &Message) -> Option<MessageIx> {
        let actor = self.actor(message.actor);
        let ix = MessageIx::of(self.messages.len());
        let log = &mut self.actors[actor.at()];
        if message.seq <= log.forgotten || log.held.contains_key(&message.seq) {
            return None;
        }
        log.held.insert(message.seq, ix);
        while log.held.contains_key(&(log.gapless + 1)) {
            log.gapless += 1;
        }
        for head in &message.clock {
            let other = self.actor(head.actor);
            let named = &mut self.actors[other.at()].named;
            *named = head.seq.max(*named);
            advance(self.actors[actor.at()].clock.entry(other).or_default(), message.seq, head.seq);
        }
        self.messages.push(HeldMessage {
            actor,
            seq: message.seq,
            lamport: message.lamport,
            time_ms: message.time_ms,
            note: message.note.as_deref().map(Into::into),
            first_op: OpIx::of(self.ops.len()),
            ops: u32::try_from(message.ops.len()).expect("a message holds at most MESSAGE_OPS_MAX ops"),
            undone: false,
            repeated: false,
        });
        let place = self.order.partition_point(|&other| self.compare_messages(other, ix) == Ordering::Less);
        self.order.insert(place, ix);
        Some(ix)
    }

    /// Begins with a ground that stands for these messages.
    pub(super) fn stand_on(&mut self, version: &VersionVector, lamport: u64) {
        debug_assert!(self.messages.is_empty());
        for (actor, seq) in version.iter() {
            let ix = self.actor(actor);
            let log = &mut self.actors[ix.at()];
            (log.forgotten, log.gapless) = (seq, seq);
        }
        self.lamport_forgotten = lamport;
    }

    /// An op of the ground that is named still. What it did is not its business any more, but the ground's.
    pub(super) fn relic(&mut self, stamp: &Stamp, code: OpCode, node: NodeIx, path: Option<PathIx>) -> OpIx {
        let actor = self.actor(stamp.actor);
        let at = |index| (actor, stamp.seq, index);
        if let Some(&op) = self.relics.get(&at(stamp.index)) {
            return op;
        }
        let message = match self.relics.range(at(0)..=at(u32::MAX)).next() {
            Some((_, &other)) => self.op(other).message,
            None => {
                self.messages.push(HeldMessage {
                    actor,
                    seq: stamp.seq,
                    lamport: stamp.lamport,
                    time_ms: None,
                    note: None,
                    first_op: OpIx::of(self.ops.len()),
                    ops: 0,
                    undone: false,
                    repeated: false,
                });
                MessageIx::of(self.messages.len() - 1)
            }
        };
        let op = self.push_op(HeldOp {
            message,
            index: stamp.index,
            code,
            row: code.row(),
            node,
            path,
            cell: None,
            parent: None,
            value: Value::Null,
            options: None,
        });
        self.relics.insert(at(stamp.index), op);
        op
    }

    /// Gives an op of the ground the options that matter still.
    pub(super) fn set_options(&mut self, op: OpIx, options: Options) {
        self.ops[op.at()].options = Some(Box::new(options));
    }

    /// Whether a message of that number lies in the ground.
    pub(super) fn is_forgotten(&self, actor: ActorIx, seq: u64) -> bool {
        seq <= self.actors[actor.at()].forgotten
    }

    /// Whether the op lies in the ground.
    pub(super) fn is_relic(&self, op: OpIx) -> bool {
        let message = self.message_of(op);
        self.is_forgotten(message.actor, message.seq)
    }

    /// The greatest lamport time held or forgotten; 0 where there is none.
    pub(super) fn lamport_max(&self) -> u64 {
        self.order.last().map_or(self.lamport_forgotten, |&message| self.message(message).lamport)
    }

    pub(super) fn push_op(&mut self, op: HeldOp) -> OpIx {
        self.ops.push(op);
        OpIx::of(self.ops.len() - 1)
    }

    pub(super) fn op(&self, op: OpIx) -> &HeldOp {
        &self.ops[op.at()]
    }

    pub(super) fn message(&self, message: MessageIx) -> &HeldMessage {
        &self.messages[message.at()]
    }

    pub(super) fn message_mut(&mut self, message: MessageIx) -> &mut HeldMessage {
        &mut self.messages[message.at()]
    }

    pub(super) fn message_of(&self, op: OpIx) -> &HeldMessage {
        self.message(self.op(op).message)
    }

    /// The ops of a message, in order.
    pub(super) fn ops_of(&self, message: MessageIx) -> impl Iterator<Item = OpIx> + use<> {
        let message = self.message(message);
        let first = message.first_op.0;
        (first..first + message.ops).map(OpIx)
    }

    pub(super) fn is_masked(&self, op: OpIx) -> bool {
        self.message_of(op).is_masked()
    }

    pub(super) fn actor_of(&self, ix: ActorIx) -> Actor {
        self.actors[ix.at()].actor
    }

    pub(super) fn ops_held(&self) -> u32 {
        OpIx::of(self.ops.len()).0
    }

    /// The number of an actor that was mentioned.
    pub(super) fn actor_number(&self, actor: &Actor) -> Option<ActorIx> {
        self.numbers.get(actor).copied()
    }

    pub(super) fn dot(&self, message: MessageIx) -> Dot {
        let message = self.message(message);
        Dot { actor: self.actor_of(message.actor), seq: message.seq }
    }

    pub(super) fn find(&self, dot: &Dot) -> Option<MessageIx> {
        self.actors[self.numbers.get(&dot.actor)?.at()].held.get(&dot.seq).copied()
    }

    /// The message of that number; `actor` may be one of whom nothing is held.
    pub(super) fn find_by(&self, actor: ActorIx, seq: u64) -> Option<MessageIx> {
        self.actors[actor.at()].held.get(&seq).copied()
    }

    /// The messages of every actor whose text begins like this, by number.
    pub(super) fn by_actor_text(&self, text: &str) -> impl Iterator<Item = &BTreeMap<u64, MessageIx>> {
        self.actors.iter().filter(move |log| log.actor.to_string().starts_with(text)).map(|log| &log.held)
    }

    pub(super) fn count(&self) -> usize {
        self.order.len()
    }

    /// All messages in the total order.
    pub(super) fn order(&self) -> &[MessageIx] {
        &self.order
    }

    pub(super) fn version_vector(&self) -> VersionVector {
        self.actors.iter().map(|log| (log.actor, log.gapless)).collect()
    }

    pub(super) fn stamp(&self, op: OpIx) -> Stamp {
        let HeldOp { message, index, .. } = self.op(op);
        let message = self.message(*message);
        Stamp {
            lamport: message.lamport,
            actor: self.actor_of(message.actor),
            seq: message.seq,
            index: *index,
        }
    }

    pub(super) fn compare_messages(&self, a: MessageIx, b: MessageIx) -> Ordering {
        let (x, y) = (self.message(a), self.message(b));
        let by_actor = || match x.actor == y.actor {
            true => Ordering::Equal,
            false => self.actor_of(x.actor).cmp(&self.actor_of(y.actor)),
        };
        x.lamport.cmp(&y.lamport).then_with(by_actor).then_with(|| x.seq.cmp(&y.seq))
    }

    /// The total order (DESIGN §3, law 1).
    pub(super) fn compare(&self, a: OpIx, b: OpIx) -> Ordering {
        let (x, y) = (self.op(a), self.op(b));
        match x.message == y.message {
            true => x.index.cmp(&y.index),
            false => self.compare_messages(x.message, y.message),
        }
    }

    pub(super) fn is_before(&self, a: OpIx, b: OpIx) -> bool {
        self.compare(a, b) == Ordering::Less
    }

    /// The lesser of two ops, where there are two.
    pub(super) fn lesser(&self, a: Option<OpIx>, b: Option<OpIx>) -> Option<OpIx> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if self.is_before(b, a) { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// Where `op` stands, or belongs, in a list in the total order.
    pub(super) fn place_in(&self, sorted: &[OpIx], op: OpIx) -> usize {
        match sorted.last() {
            // Nearly every op is newer than what is there.
            Some(&last) if self.is_before(last, op) => sorted.len(),
            _ => sorted.partition_point(|&other| self.is_before(other, op)),
        }
    }

    /// How many messages of `other` the message `seq` of `actor` has seen.
    pub(super) fn cover(&self, actor: ActorIx, seq: u64, other: ActorIx) -> u64 {
        if actor == other {
            return seq.saturating_sub(1);
        }
        let forgotten = if self.is_forgotten(actor, seq) { 0 } else { self.actors[other.at()].forgotten };
        let Some(advances) = self.actors[actor.at()].clock.get(&other) else { return forgotten };
        match advances.partition_point(|&(from, _)| from <= seq) {
            0 => forgotten,
            count => advances[count - 1].1.max(forgotten),
        }
    }

    /// Whether `by` has seen `op` (DESIGN §3, law 2).
    pub(super) fn has_seen(&self, by: OpIx, op: OpIx) -> bool {
        let (x, y) = (self.op(by), self.op(op));
        if x.message == y.message {
            return y.index < x.index;
        }
        let (x, y) = (self.message(x.message), self.message(y.message));
        self.cover(x.actor, x.seq, y.actor) >= y.seq
    }

    /// Whether a message held has seen the op's: it comes after what it caused.
    pub(super) fn is_overdue(&self, op: OpIx) -> bool {
        let message = self.message_of(op);
        let log = &self.actors[message.actor.at()];
        log.named >= message.seq || log.held.last_key_value().is_some_and(|(&last, _)| last > message.seq)
    }

    /// The op of that message and index.
    pub(super) fn op_at(&self, dot: &Dot, index: u32) -> Option<OpIx> {
        let Some(message) = self.find(dot) else {
            return self.relics.get(&(self.actor_number(&dot.actor)?, dot.seq, index)).copied();
        };
        let message = self.message(message);
        (index < message.ops).then_some(OpIx(message.first_op.0.wrapping_add(index)))
    }

    /// The first position (number, index) among `actor`'s ops that `by` has not seen.
    pub(super) fn unseen_from(&self, by: OpIx, actor: ActorIx) -> (u64, u32) {
        let message = self.message_of(by);
        match message.actor == actor {
            true => (message.seq, self.op(by).index),
            false => (self.cover(message.actor, message.seq, actor).saturating_add(1), 0),
        }
    }

    /// An op's position (number, index) among its actor's ops.
    pub(super) fn position(&self, op: OpIx) -> (u64, u32) {
        (self.message_of(op).seq, self.op(op).index)
    }
}

/// Notes that from message `seq` on `value` messages of another actor are covered. Points stay increasing in both,
/// so a later message's whole clock may come before an earlier one's.
fn advance(points: &mut Vec<(u64, u64)>, seq: u64, value: u64) {
    let at = points.partition_point(|&(from, _)| from < seq);
    if at.checked_sub(1).is_some_and(|before| points[before].1 >= value) {
        return;
    }
    let covered = points[at..].iter().take_while(|&&(_, covered)| covered <= value).count();
    points.splice(at..at + covered, [(seq, value)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_clocks_in_any_order_and_advances_in_order_say_the_same() {
        let whole = [(1, 2), (2, 2), (3, 5), (4, 7), (5, 7)];
        let mut expected = Vec::new();
        for (seq, value) in [(1, 2), (3, 5), (4, 7)] {
            advance(&mut expected, seq, value);
        }
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1], [3, 0, 4, 1, 2]] {
            let mut points = Vec::new();
            for i in order {
                advance(&mut points, whole[i].0, whole[i].1);
            }
            assert_eq!(points, expected, "{order:?}");
        }
    }
}
