//! The messages held: who made them, what their clocks cover, and their ops in order of arrival, by dense numbers.
//!
//! Lamports and clocks grow along each actor; admission sees to that. With it, what an op has seen of an actor is a
//! prefix of that actor's ops, and every question here is a comparison or a binary search.
//!
//! Nothing here is an object of its own: messages and ops are rows of columns, values the bytes they came as.

mod again;
mod clocks;
mod marks;
mod relics;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::columns::{Arena, Column};
use super::held::{HeldMessage, HeldOp, Marks, MessageRecord, OpRecord, Subject, TIME_ZERO, VOID, Wide};
use super::index::{ActorIx, CellIx, MessageIx, NodeIx, OpIx, PathIx, Texts};
use super::late::Late;
use super::runs::Runs;
use crate::clock::{Stamp, VersionVector};
use crate::id::{Actor, Dot, PeerKey};
use crate::op::{Kind, OpCode};
use crate::planted::{Bug, planted};
use crate::raw::Raw;
use crate::view::MessageView;
use again::Again;
pub(super) use again::{Issue, key};
use relics::Relics;

/// Everything held, as it came.
#[derive(Default)]
pub(super) struct History {
    /// The paths of properties.
    pub(super) paths: Texts,
    numbers: BTreeMap<Actor, ActorIx>,
    actors: Vec<ActorLog>,
    /// Of actors that begin later the number before the first.
    begins: BTreeMap<Actor, u64>,
    messages: Column<MessageRecord>,
    marks: Column<Marks>,
    /// What is too large for a message's record.
    wide: BTreeMap<MessageIx, Wide>,
    notes: BTreeMap<MessageIx, Box<str>>,
    /// When the first message was made, in milliseconds since 1970: the others tell how much later they were.
    time_base_ms: Option<u64>,
    /// The greatest message in the total order.
    greatest: Option<MessageIx>,
    /// The messages that were not the greatest when they came. The others are in the total order by themselves.
    late: Late,
    ops: Column<OpRecord>,
    /// Arguments and options.
    values: Arena,
    /// Of which node each cell is which property.
    cells: Column<(NodeIx, PathIx)>,
    /// What ops are about that neither a cell nor a node says.
    subjects: Column<Subject>,
    ground: Relics,
    again: Again,
}

/// What is known of one actor.
struct ActorLog {
    actor: Actor,
    held: Runs,
    /// The number before the first: 0 but for the branch of a fork.
    begin: u64,
    /// The highest number held without a gap after that.
    gapless: u64,
    /// The messages up to this number lie in the ground, which all later ones have seen.
    forgotten: u64,
    /// The highest number that the clock of a message held names.
    named: u64,
    /// Of each other actor where this one's clock advanced: from its message of that number on it covers that much.
    clock: BTreeMap<ActorIx, Vec<(u64, u64)>>,
}

impl ActorLog {
    /// The highest number held or forgotten without a gap; 0 where there is none.
    fn whole(&self) -> u64 {
        if self.gapless > self.begin { self.gapless } else { self.forgotten }
    }
}

impl History {
    pub(super) fn actor(&mut self, actor: Actor) -> ActorIx {
        if let Some(&ix) = self.numbers.get(&actor) {
            return ix;
        }
        let ix = ActorIx::of(self.actors.len());
        self.numbers.insert(actor, ix);
        let (held, clock) = (Runs::default(), BTreeMap::new());
        let begin = self.begins.get(&actor).copied().unwrap_or(0);
        self.actors.push(ActorLog { actor, held, begin, gapless: begin, forgotten: 0, named: 0, clock });
        ix
    }

    /// Takes in a message without its ops; nothing where it is held already.
    pub(super) fn push(&mut self, message: &MessageView<'_>) -> Option<MessageIx> {
        let actor = self.actor_number(&message.actor).unwrap_or_else(|| self.actor(message.actor));
        let ix = MessageIx::of(self.messages.len());
        let log = &mut self.actors[actor.at()];
        if message.seq <= log.forgotten {
            return None;
        }
        if !log.held.insert(message.seq, ix) && !planted(Bug::DuplicatesApplied) {
            return None;
        }
        log.gapless = log.held.gapless_from(log.gapless);
        for head in &message.clock {
            let other = self.actor(head.actor);
            let named = &mut self.actors[other.at()].named;
            *named = head.seq.max(*named);
            advance(self.actors[actor.at()].clock.entry(other).or_default(), message.seq, head.seq);
        }
        let wide = Wide { seq: message.seq, lamport: message.lamport, time_ms: message.time_ms };
        let record = self.record(actor, wide).unwrap_or_else(|| {
            self.wide.insert(ix, wide);
            MessageRecord { actor, seq: 0, lamport: 0, time: 0, first_op: OpIx::of(self.ops.len()) }
        });
        self.messages.push(record);
        self.marks.push(Marks::default());
        if let Some(note) = message.note {
            self.notes.insert(ix, note.into());
        }
        self.put_in_order(ix);
        Some(ix)
    }

    /// The record of the message that comes next, if one can hold it.
    fn record(&mut self, actor: ActorIx, wide: Wide) -> Option<MessageRecord> {
        let time = match wide.time_ms {
            None => 0,
            Some(time_ms) => {
                let base = *self.time_base_ms.get_or_insert(time_ms);
                let time = time_ms.checked_add(TIME_ZERO)?.checked_sub(base)?;
                u32::try_from(time).ok().filter(|&time| time > 0)?
            }
        };
        let seq = u32::try_from(wide.seq).ok().filter(|&seq| seq > 0)?;
        let lamport = u32::try_from(wide.lamport).ok()?;
        Some(MessageRecord { actor, seq, lamport, time, first_op: OpIx::of(self.ops.len()) })
    }

    fn put_in_order(&mut self, message: MessageIx) {
        match self.greatest {
            Some(greatest) if self.compare_messages(message, greatest).is_lt() => {
                self.marks.get_mut(message.at()).set(Marks::LATE, true);
                self.late.push(message);
            }
            _ => self.greatest = Some(message),
        }
    }

    /// Takes in the next op of the message that came last.
    pub(super) fn push_op(
        &mut self,
        message: MessageIx,
        code: OpCode,
        subject: Subject,
        values: [Raw<'_>; 2],
    ) -> OpIx {
        let (code, subject) = match subject {
            Subject::Cell(cell) => (code, cell.0),
            Subject::Node(node) => (code, node.0),
            Subject::Void { .. } => (VOID, self.push_subject(subject)),
            Subject::Standing { .. } | Subject::Message { .. } => (code, self.push_subject(subject)),
        };
        let values = self.values.push(values);
        self.ops.push(OpRecord { message, subject, values, code });
        OpIx::of(self.ops.len() - 1)
    }

    fn push_subject(&mut self, subject: Subject) -> u32 {
        self.subjects.push(subject);
        OpIx::of(self.subjects.len() - 1).0
    }

    /// Gives a property its number.
    pub(super) fn push_cell(&mut self, node: NodeIx, path: PathIx) -> CellIx {
        self.cells.push((node, path));
        CellIx::of(self.cells.len() - 1)
    }

    pub(super) fn op(&self, op: OpIx) -> HeldOp<'_> {
        let OpRecord { message, subject, values, code } = *self.ops.get(op.at());
        let row = code.row();
        let mut held = HeldOp {
            message,
            code,
            row,
            node: NodeIx(subject),
            path: None,
            cell: None,
            parent: None,
            target: None,
            raw: self.values.get(values),
        };
        match row.map(|row| row.kind) {
            Some(Kind::Remove | Kind::Horizon | Kind::Rule(_)) => {}
            None | Some(Kind::Insert | Kind::Move | Kind::Undo | Kind::Redo | Kind::Origin) => {
                match *self.subjects.get(subject as usize) {
                    Subject::Standing { node, parent } => (held.node, held.parent) = (node, parent),
                    Subject::Message { node, actor, seq } => {
                        (held.node, held.target) = (node, Some((actor, seq)));
                    }
                    Subject::Void { code, node, path } => {
                        (held.code, held.node, held.path) = (code, node, path);
                    }
                    Subject::Cell(_) | Subject::Node(_) => debug_assert!(false, "the record says it itself"),
                }
            }
            Some(
                Kind::Reset(_)
                | Kind::Step(_)
                | Kind::Sum(..)
                | Kind::List(_)
                | Kind::Write(..)
                | Kind::Append(_)
                | Kind::Member(_)
                | Kind::Entries(_),
            ) => {
                let (node, path) = *self.cells.get(subject as usize);
                (held.node, held.path, held.cell) = (node, Some(path), Some(CellIx(subject)));
            }
        }
        held
    }

    /// What an op does; nothing where it can have no effect whatever the scene is.
    pub(super) fn kind(&self, op: OpIx) -> Option<Kind> {
        self.ops.get(op.at()).code.row().map(|row| row.kind)
    }

    /// The property that an op works on, if it works on one.
    pub(super) fn cell(&self, op: OpIx) -> CellIx {
        debug_assert!(self.kind(op).is_some_and(Kind::is_property));
        CellIx(self.ops.get(op.at()).subject)
    }

    /// The argument of an op.
    pub(super) fn raw(&self, op: OpIx) -> Raw<'_> {
        self.values.get(self.ops.get(op.at()).values)
    }

    pub(super) fn message(&self, message: MessageIx) -> HeldMessage {
        let &MessageRecord { actor, seq, lamport, .. } = self.messages.get(message.at());
        match seq {
            0 => {
                let Wide { seq, lamport, .. } = self.wide[&message];
                HeldMessage { actor, seq, lamport }
            }
            seq => HeldMessage { actor, seq: seq.into(), lamport: lamport.into() },
        }
    }

    pub(super) fn time_ms(&self, message: MessageIx) -> Option<u64> {
        let &MessageRecord { seq, time, .. } = self.messages.get(message.at());
        match (seq, time) {
            (0, _) => self.wide[&message].time_ms,
            (_, 0) => None,
            (_, time) => Some(self.time_base_ms? + u64::from(time) - TIME_ZERO),
        }
    }

    pub(super) fn note(&self, message: MessageIx) -> Option<&str> {
        self.notes.get(&message).map(|note| &**note)
    }

    pub(super) fn message_of(&self, op: OpIx) -> HeldMessage {
        self.message(self.owner(op))
    }

    /// The message that an op is part of.
    pub(super) fn owner(&self, op: OpIx) -> MessageIx {
        self.ops.get(op.at()).message
    }

    fn first_op(&self, message: MessageIx) -> u32 {
        match message.at() < self.messages.len() {
            true => self.messages.get(message.at()).first_op.0,
            false => self.ops_held(),
        }
    }

    /// The ops of a message, in order.
    pub(super) fn ops_of(&self, message: MessageIx) -> impl Iterator<Item = OpIx> + use<> {
        (self.first_op(message)..self.first_op(MessageIx(message.0 + 1))).map(OpIx)
    }

    /// An op's index in its message.
    pub(super) fn index(&self, op: OpIx) -> u32 {
        self.ground.index(op).unwrap_or_else(|| op.0 - self.first_op(self.owner(op)))
    }

    pub(super) fn actor_of(&self, ix: ActorIx) -> Actor {
        self.actors[ix.at()].actor
    }

    pub(super) fn ops_held(&self) -> u32 {
        OpIx::of(self.ops.len()).0
    }

    /// The number of an actor that was mentioned.
    pub(super) fn actor_number(&self, actor: &Actor) -> Option<ActorIx> {
        let last = self.last_author().filter(|last| self.actors[last.at()].actor == *actor);
        last.or_else(|| self.numbers.get(actor).copied())
    }

    /// Who made the message that came last: mostly whoever made the one before it, and whoever ops name.
    fn last_author(&self) -> Option<ActorIx> {
        let last = self.messages.len().checked_sub(1)?;
        Some(self.messages.get(last).actor)
    }

    pub(super) fn dot(&self, message: MessageIx) -> Dot {
        let message = self.message(message);
        Dot { actor: self.actor_of(message.actor), seq: message.seq }
    }

    pub(super) fn find(&self, dot: &Dot) -> Option<MessageIx> {
        self.find_by(self.actor_number(&dot.actor)?, dot.seq)
    }

    /// The message of that number; `actor` may be one of whom nothing is held.
    pub(super) fn find_by(&self, actor: ActorIx, seq: u64) -> Option<MessageIx> {
        self.actors[actor.at()].held.get(seq)
    }

    /// The messages held of the keys that are wanted.
    pub(super) fn of_keys(&self, is_wanted: impl Fn(&PeerKey) -> bool) -> Vec<MessageIx> {
        let logs = self.actors.iter().filter(|log| is_wanted(&log.actor.key()));
        logs.flat_map(|log| log.held.iter()).collect()
    }

    /// The messages of every actor whose text begins like this, by number.
    pub(super) fn by_actor_text(&self, text: &str) -> impl Iterator<Item = &Runs> {
        self.actors.iter().filter(move |log| log.actor.to_string().starts_with(text)).map(|log| &log.held)
    }

    /// All messages in the total order, the greatest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = MessageIx> + '_ {
        let is_late = |message: &MessageIx| self.marks.get(message.at()).has(Marks::LATE);
        let late = self.late.in_order(|a, b| self.compare_messages(a, b));
        let mut late = late.iter().rev().copied().peekable();
        let all = (self.ground.messages()..self.messages.len()).rev().map(MessageIx::of);
        let mut punctual = all.filter(move |message| !is_late(message)).peekable();
        std::iter::from_fn(move || match (late.peek(), punctual.peek()) {
            (Some(&a), Some(&b)) if self.compare_messages(a, b).is_gt() => late.next(),
            (Some(_), None) => late.next(),
            (_, _) => punctual.next(),
        })
    }

    /// The greatest lamport time held or forgotten; 0 where there is none.
    pub(super) fn lamport_max(&self) -> u64 {
        self.greatest.map_or(self.ground.lamport(), |message| self.message(message).lamport)
    }

    /// Whether nothing is missing before what is held, and nothing that a clock held names.
    pub(super) fn is_closed(&self) -> bool {
        self.actors.iter().all(|log| log.held.last().max(log.named).max(log.forgotten) == log.whole())
    }

    pub(super) fn version_vector(&self) -> VersionVector {
        self.actors.iter().map(|log| (log.actor, log.whole())).collect()
    }

    pub(super) fn stamp(&self, op: OpIx) -> Stamp {
        let message = self.message_of(op);
        Stamp {
            lamport: message.lamport,
            actor: self.actor_of(message.actor),
            seq: message.seq,
            index: self.index(op),
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
        let (x, y) = (self.owner(a), self.owner(b));
        if x == y {
            // The ops of a message came in order.
            self.ground.index(a).map_or_else(|| a.cmp(&b), |index| index.cmp(&self.index(b)))
        } else if self.greatest == Some(y) {
            Ordering::Less
        } else if self.greatest == Some(x) {
            Ordering::Greater
        } else {
            self.compare_messages(x, y)
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
        let (x, y) = (self.owner(by), self.owner(op));
        if x == y {
            return op < by;
        }
        let (x, y) = (self.message(x), self.message(y));
        self.cover(x.actor, x.seq, y.actor) >= y.seq
    }

    /// Whether the ops from one to another are those of consecutive messages of one actor, which are named as they came.
    pub(super) fn are_in_a_row(&self, first: OpIx, last: OpIx) -> bool {
        let (one, other) = (self.owner(first), self.owner(last));
        let message = self.message(one);
        let log = &self.actors[message.actor.at()];
        first <= last && !self.has_issues() && log.held.are_in_a_row(message.seq, one, other)
    }

    /// Whether a message held has seen this one: it comes after what it caused.
    pub(super) fn is_overdue(&self, message: MessageIx) -> bool {
        let message = self.message(message);
        let log = &self.actors[message.actor.at()];
        log.named >= message.seq || log.held.last() > message.seq
    }

    /// The first position (number, index) among `actor`'s ops that `by` has not seen.
    pub(super) fn unseen_from(&self, by: OpIx, actor: ActorIx) -> (u64, u32) {
        let message = self.message_of(by);
        match message.actor == actor {
            true => (message.seq, self.index(by)),
            false => (self.cover(message.actor, message.seq, actor).saturating_add(1), 0),
        }
    }

    /// An op's position (number, index) among its actor's ops.
    pub(super) fn position(&self, op: OpIx) -> (u64, u32) {
        (self.message_of(op).seq, self.index(op))
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
