//! Which node hangs below which: a log of births and of moves that name a parent, in the total order.
//!
//! A late entry undoes what stands after it, goes in, and does the rest again (Kleppmann et al. 2021, "A highly-available
//! move operation for replicated trees"). Many late entries cost that once. The first insert of a key that nothing else
//! names cannot change what others mean, so it costs nothing but its place in the log. Doing again asks of an entry only
//! whether it would close a ring: when nodes live is judged once, and anew from where it changed.

use std::ops::Range;

use super::Engine;
use super::held::HeldOp;
use super::history::History;
use super::index::{NodeIx, OpIx};
use super::life::Era;
use super::node::NodeRecord;
use super::parents::Parents;
use super::verdicts::Verdicts;
use crate::op::{Kind, NoEffect};

/// The log, what it says, and what is to be done to it.
#[derive(Default)]
pub(super) struct Tree {
    log: Vec<Entry>,
    parents: Parents,
    /// Ops that may have to come into the log or out of it, some of them more than once.
    dirty: Vec<OpIx>,
    /// The first op from which on entries may mean something else, because a node they name lives at other times.
    unsure_from: Option<OpIx>,
    /// How many entries were done again so far.
    redone: u64,
}

/// A birth or a move.
#[derive(Clone, Copy)]
struct Entry {
    op: OpIx,
    node: NodeIx,
    /// The parent the op names; the root where an insert names none.
    parent: NodeIx,
    /// The node's parent before.
    before: Option<NodeIx>,
    is_birth: bool,
    outcome: Outcome,
}

/// What became of an entry. Births are always done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Ring,
    RootFixed,
    NodeMissing,
    ParentMissing,
}

impl Outcome {
    fn verdict(self) -> Result<(), NoEffect> {
        match self {
            Self::Done => Ok(()),
            Self::Ring => Err(NoEffect::Cycle),
            Self::RootFixed => Err(NoEffect::RootFixed),
            Self::NodeMissing => Err(NoEffect::NodeMissing),
            Self::ParentMissing => Err(NoEffect::ParentMissing),
        }
    }
}

/// An op that comes into the log or goes out of it.
struct Coming {
    op: OpIx,
    /// Where it stands, or belongs.
    at: usize,
    is_in: bool,
}

/// The entries that were taken off the log to let others come before them.
struct Tail {
    entries: Vec<Entry>,
    /// Where in the log the first one stood.
    start: usize,
    /// From where on they are undone.
    redo_at: usize,
    /// From where on nodes may live at other times.
    unsure_at: usize,
}

/// What entries are judged by.
struct World<'a> {
    nodes: &'a [NodeRecord],
    history: &'a History,
    verdicts: &'a mut Verdicts,
}

impl Tree {
    /// The op may be new in the log, or not belong there any more.
    pub(super) fn touch(&mut self, op: OpIx) {
        self.dirty.push(op);
    }

    /// The moves of a node that took effect, in order. Costs a walk over the log.
    pub(super) fn moves_of(&self, node: NodeIx) -> impl Iterator<Item = OpIx> + '_ {
        let moved =
            move |entry: &&Entry| entry.node == node && entry.outcome == Outcome::Done && !entry.is_birth;
        self.log.iter().filter(moved).map(|entry| entry.op)
    }

    /// Begins with a node that stands there in the ground.
    pub(super) fn stand(&mut self, node: NodeIx, parent: Option<NodeIx>) {
        self.parents.set(node, parent);
    }

    /// A node that moves name lives at other times from `from` on.
    pub(super) fn doubt(&mut self, from: OpIx, history: &History) {
        self.unsure_from = history.lesser(self.unsure_from, Some(from));
    }

    /// Who is above whom. The tree is settled.
    pub(super) fn parents(&self) -> &Parents {
        &self.parents
    }

    /// Makes the parents of all nodes what the log says. Gives the nodes that other ops than the touched ones may have moved.
    pub(super) fn settle(
        &mut self,
        nodes: &[NodeRecord],
        history: &History,
        verdicts: &mut Verdicts,
    ) -> Vec<NodeIx> {
        if self.dirty.is_empty() && self.unsure_from.is_none() {
            return Vec::new();
        }
        let mut world = World { nodes, history, verdicts };
        if self.unsure_from.is_none()
            && let [op] = self.dirty[..]
            && self.log.last().is_none_or(|last| history.is_before(last.op, op))
        {
            self.dirty.clear();
            let held = history.op(op);
            if belongs(op, &held, &world) {
                self.enter(op, &held, &mut world);
            }
            return Vec::new();
        }
        let comings = self.comings(&world);
        let unsure_at = self.unsure_from.take().map_or(self.log.len(), |from| self.seek(0, from, history));
        let matters = |coming: &&Coming| !is_exempt(coming.op, &world);
        let redo_at = comings.iter().find(matters).map_or(unsure_at, |coming| coming.at.min(unsure_at));
        let start = comings.first().map_or(redo_at, |coming| coming.at.min(redo_at));
        let tail = Tail { entries: self.log.split_off(start), start, redo_at, unsure_at };
        for entry in tail.entries[redo_at - start..].iter().rev() {
            self.undo(entry);
        }
        let end = start + tail.entries.len();
        let mut moved = Vec::new();
        if let [Coming { op, at, is_in: false }] = comings[..]
            && unsure_at == end
            && at == redo_at
        {
            self.enter(op, &history.op(op), &mut world);
            self.put_back(&tail, &mut world, &mut moved);
            return moved;
        }
        let mut next = start;
        for Coming { op, at, is_in } in comings {
            self.go_on(&tail, next..at, &mut world, &mut moved);
            next = at;
            if is_in {
                self.leave(&tail, at, &mut world);
                next += 1;
            } else {
                self.enter(op, &history.op(op), &mut world);
            }
        }
        self.go_on(&tail, next..end, &mut world, &mut moved);
        moved
    }

    /// The dirty ops that really come or go, in order.
    fn comings(&mut self, world: &World<'_>) -> Vec<Coming> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_by(|&a, &b| world.history.compare(a, b));
        dirty.dedup();
        let mut comings = Vec::with_capacity(dirty.len());
        let mut at = 0;
        for op in dirty {
            at = self.seek(at, op, world.history);
            let is_in = self.log.get(at).is_some_and(|entry| entry.op == op);
            if is_in != belongs(op, &world.history.op(op), world) {
                comings.push(Coming { op, at, is_in });
            }
        }
        comings
    }

    /// Where an op that does not come before `from` stands in the log, or belongs.
    fn seek(&self, mut from: usize, op: OpIx, history: &History) -> usize {
        let before = |entry: &Entry| history.is_before(entry.op, op);
        if self.log.last().is_none_or(before) {
            return self.log.len();
        }
        // Late ops come in flocks: most often the next is near.
        let mut step = 1;
        while self.log.get(from + step).is_some_and(before) {
            from += step;
            step *= 2;
        }
        let to = self.log.len().min(from + step);
        from + self.log[from..to].partition_point(before)
    }

    /// Puts old entries back, and does those again that may mean something else.
    fn go_on(&mut self, tail: &Tail, range: Range<usize>, world: &mut World<'_>, moved: &mut Vec<NodeIx>) {
        let redo = range.start.max(tail.redo_at).min(range.end);
        self.log.extend_from_slice(&tail.entries[range.start - tail.start..redo - tail.start]);
        for at in redo..range.end {
            let old = tail.entries[at - tail.start];
            let mut entry = old;
            if at >= tail.unsure_at && !entry.is_birth {
                entry.outcome = outcome_by_lives(&entry, world);
            }
            let outcome = self.do_last(entry);
            if outcome != old.outcome {
                world.verdicts.set(entry.op, outcome.verdict());
            }
            let stood = world.nodes[entry.node.at()].shown.map(|shown| shown.parent);
            if outcome != old.outcome || stood.is_some_and(|stood| Some(stood) != self.parents.of(entry.node))
            {
                moved.push(entry.node);
            }
        }
        self.redone += (range.end - redo) as u64;
    }

    /// Puts back what follows a lone late entry, and asks again only of those that may get another answer.
    ///
    /// The trees with and without the entry differ in one parent. Another asks whether its node is above its parent-to-be, and
    /// that can depend on the difference only if its node is one of those two parents or above them.
    fn put_back(&mut self, tail: &Tail, world: &mut World<'_>, moved: &mut Vec<NodeIx>) {
        let end = tail.start + tail.entries.len();
        let Some(late) = self.log.last().copied().filter(|late| !late.is_birth) else {
            return self.go_on(tail, tail.redo_at..end, world, moved);
        };
        let ends = [late.before, Some(late.parent)];
        let mut differs = late.outcome == Outcome::Done;
        let mut above = self.parents.ways_up(ends, world.nodes.len());
        for at in tail.redo_at..end {
            let old = tail.entries[at - tail.start];
            let is_near = differs && above[old.node.at()];
            if !is_near && !old.is_birth {
                self.do_as_before(old);
                // The node stands where it would without the late one.
                differs &= old.node != late.node || old.outcome != Outcome::Done;
                continue;
            }
            self.go_on(tail, at..at + 1, world, moved);
            if is_near {
                let same = self.log.last().is_some_and(|entry| entry.outcome == old.outcome);
                if !same || old.is_birth {
                    return self.go_on(tail, at + 1..end, world, moved);
                }
                above = self.parents.ways_up(ends, world.nodes.len());
            }
        }
    }

    /// Does an old move at the end of the log, knowing that it comes out the same.
    fn do_as_before(&mut self, mut entry: Entry) {
        entry.before = self.parents.of(entry.node);
        if entry.outcome == Outcome::Done {
            self.parents.set(entry.node, Some(entry.parent));
        }
        self.log.push(entry);
    }

    /// Lets an old entry go. It is undone already if it is one of those that would be done again.
    fn leave(&mut self, tail: &Tail, at: usize, world: &mut World<'_>) {
        let entry = &tail.entries[at - tail.start];
        if at < tail.redo_at {
            self.undo(entry);
        }
        if !entry.is_birth {
            // Of a former birth the node's life has judged already.
            world.verdicts.clear(entry.op);
        }
    }

    /// Does an op that was not in the log before.
    fn enter(&mut self, op: OpIx, held: &HeldOp<'_>, world: &mut World<'_>) {
        let is_birth = matches!(held.kind(), Some(Kind::Insert));
        let mut entry = Entry {
            op,
            node: held.node,
            parent: held.parent.unwrap_or(NodeRecord::ROOT),
            before: None,
            is_birth,
            outcome: Outcome::Done,
        };
        if is_birth {
            self.do_last(entry);
            return;
        }
        entry.outcome = outcome_by_lives(&entry, world);
        let outcome = self.do_last(entry);
        world.verdicts.set(op, outcome.verdict());
    }

    /// Does an entry at the end of the log. What lives say of it is known.
    fn do_last(&mut self, mut entry: Entry) -> Outcome {
        entry.before = self.parents.of(entry.node);
        if matches!(entry.outcome, Outcome::Done | Outcome::Ring) {
            // A birth may name its own node as the parent before it stands anywhere.
            let ring = entry.parent == entry.node || self.parents.is_under(entry.parent, entry.node);
            entry.outcome = if ring && !entry.is_birth { Outcome::Ring } else { Outcome::Done };
            if entry.outcome == Outcome::Done {
                let parent = if ring { NodeRecord::ROOT } else { entry.parent };
                self.parents.set(entry.node, Some(parent));
            }
        }
        self.log.push(entry);
        entry.outcome
    }

    fn undo(&mut self, entry: &Entry) {
        if entry.outcome == Outcome::Done {
            self.parents.set(entry.node, entry.before);
        }
    }
}

impl Engine {
    /// How many births and moves were done again so far because others came before them: for tests of what that costs.
    #[doc(hidden)]
    pub fn tree_redone(&self) -> u64 {
        self.tree.redone
    }
}

/// Whether the op is a birth, or a move that counts.
fn belongs(op: OpIx, held: &HeldOp<'_>, world: &World<'_>) -> bool {
    match held.kind() {
        Some(Kind::Insert) => world.nodes[held.node.at()].life.is_birth(op, world.history),
        _ => !world.history.is_masked(op),
    }
}

/// Whether no other op has to do with the node this one inserts.
fn is_exempt(op: OpIx, world: &World<'_>) -> bool {
    let held = world.history.op(op);
    matches!(held.kind(), Some(Kind::Insert)) && world.nodes[held.node.at()].named == 0
}

/// What becomes of a move if it closes no ring.
fn outcome_by_lives(entry: &Entry, world: &World<'_>) -> Outcome {
    let life = |node: NodeIx| &world.nodes[node.at()].life;
    let is_dead = |node: NodeIx| life(node).era(entry.op, world.history) == Era::Dead;
    if life(entry.node).is_root() {
        Outcome::RootFixed
    } else if is_dead(entry.node) {
        Outcome::NodeMissing
    } else if is_dead(entry.parent) {
        Outcome::ParentMissing
    } else {
        Outcome::Done
    }
}
