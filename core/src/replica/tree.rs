//! Which node hangs below which: a log of births and of moves that name a parent, in the total order.
//!
//! A late entry undoes what stands after it, goes in, and does the rest again (Kleppmann et al. 2021, "A highly-available
//! move operation for replicated trees"). Many late entries cost that once. The first insert of a key that nothing else
//! names cannot change what others mean, so it costs nothing but its place in the log.

use std::collections::BTreeSet;

use super::history::History;
use super::index::{NodeIx, OpIx};
use super::life::Era;
use super::node::NodeRecord;
use super::verdicts::Verdicts;
use crate::op::{Kind, NoEffect};

/// The log, and what is to be done to it.
#[derive(Default)]
pub(super) struct Tree {
    log: Vec<Entry>,
    /// Ops that may have to come into the log or out of it.
    dirty: BTreeSet<OpIx>,
    /// The first op from which on entries may mean something else, because a node they name lives at other times.
    unsure_from: Option<OpIx>,
}

/// A birth or a move.
struct Entry {
    op: OpIx,
    node: NodeIx,
    /// The node's parent before, and whether this changed it.
    before: Option<NodeIx>,
    applied: bool,
}

impl Tree {
    /// The op may be new in the log, or not belong there any more.
    pub(super) fn touch(&mut self, op: OpIx) {
        self.dirty.insert(op);
    }

    /// The moves of a node that took effect, in order. Costs a walk over the log.
    pub(super) fn moves_of(&self, node: NodeIx, history: &History) -> impl Iterator<Item = OpIx> {
        let moved = move |entry: &&Entry| entry.node == node && entry.applied && is_move(entry.op, history);
        self.log.iter().filter(moved).map(|entry| entry.op)
    }

    /// A node that moves name lives at other times from `from` on.
    pub(super) fn doubt(&mut self, from: OpIx, history: &History) {
        self.unsure_from = history.lesser(self.unsure_from, Some(from));
    }

    /// Makes the parents of all nodes what the log says. Gives the nodes whose parent may have changed.
    pub(super) fn settle(
        &mut self,
        nodes: &mut [NodeRecord],
        history: &History,
        verdicts: &mut Verdicts,
    ) -> Vec<NodeIx> {
        let mut touched = Vec::new();
        let changes = self.changes(nodes, history);
        let mut replay_from = self.unsure_from.take();
        for &op in &changes {
            if !is_exempt(op, nodes, history) {
                replay_from = history.lesser(replay_from, Some(op));
            }
        }
        let Some(start) = history.lesser(replay_from, changes.first().copied()) else { return touched };
        let replays = |op: OpIx| replay_from.is_some_and(|from| !history.is_before(op, from));
        let start = match self.log.last() {
            Some(last) if history.is_before(last.op, start) => self.log.len(),
            _ => self.log.partition_point(|entry| history.is_before(entry.op, start)),
        };
        let tail = self.log.split_off(start);
        for entry in tail.iter().rev().take_while(|entry| replays(entry.op)).filter(|entry| entry.applied) {
            nodes[entry.node.at()].parent = entry.before;
        }
        let mut changes = changes.into_iter().peekable();
        for entry in tail {
            while let Some(op) = changes.next_if(|&change| history.is_before(change, entry.op)) {
                self.apply(op, nodes, history, verdicts, &mut touched);
            }
            if changes.next_if_eq(&entry.op).is_some() {
                // It goes. Undone above, unless it is exempt.
                if !replays(entry.op) && entry.applied {
                    nodes[entry.node.at()].parent = entry.before;
                }
                if is_move(entry.op, history) {
                    // Of a former birth the node's life has judged already.
                    verdicts.clear(entry.op);
                }
                touched.push(entry.node);
            } else if replays(entry.op) {
                self.apply(entry.op, nodes, history, verdicts, &mut touched);
            } else {
                self.log.push(entry);
            }
        }
        for op in changes {
            self.apply(op, nodes, history, verdicts, &mut touched);
        }
        touched
    }

    /// The dirty ops that really come or go, in order.
    fn changes(&mut self, nodes: &[NodeRecord], history: &History) -> Vec<OpIx> {
        let mut changes: Vec<OpIx> = std::mem::take(&mut self.dirty).into_iter().collect();
        changes.retain(|&op| {
            let at = match self.log.last() {
                Some(last) if history.is_before(last.op, op) => self.log.len(),
                _ => self.log.partition_point(|entry| history.is_before(entry.op, op)),
            };
            let is_in = self.log.get(at).is_some_and(|entry| entry.op == op);
            is_in != belongs(op, nodes, history)
        });
        changes.sort_by(|&a, &b| history.compare(a, b));
        changes
    }

    /// Does one birth or move at the end of the log.
    fn apply(
        &mut self,
        op: OpIx,
        nodes: &mut [NodeRecord],
        history: &History,
        verdicts: &mut Verdicts,
        touched: &mut Vec<NodeIx>,
    ) {
        let held = history.op(op);
        let node = held.node;
        let before = nodes[node.at()].parent;
        let parent = match held.kind() {
            Some(Kind::Insert) => Ok(parent_of_birth(op, nodes, history)),
            _ => parent_of_move(op, nodes, history),
        };
        let applied = parent.is_ok();
        match parent {
            Ok(parent) => nodes[node.at()].parent = Some(parent),
            Err(_) => debug_assert!(is_move(op, history)),
        }
        if is_move(op, history) {
            verdicts.set(op, parent.map(|_| ()));
        }
        self.log.push(Entry { op, node, before, applied });
        touched.push(node);
    }
}

fn is_move(op: OpIx, history: &History) -> bool {
    matches!(history.op(op).kind(), Some(Kind::Move))
}

/// Whether the op is a birth, or a move that counts.
fn belongs(op: OpIx, nodes: &[NodeRecord], history: &History) -> bool {
    let held = history.op(op);
    match held.kind() {
        Some(Kind::Insert) => nodes[held.node.at()].life.is_birth(op, history),
        _ => !history.is_masked(op),
    }
}

/// Whether no other op has to do with the node this one inserts.
fn is_exempt(op: OpIx, nodes: &[NodeRecord], history: &History) -> bool {
    let held = history.op(op);
    matches!(held.kind(), Some(Kind::Insert)) && nodes[held.node.at()].named == 0
}

/// The parent the insert names, or the root where that would close a ring.
fn parent_of_birth(op: OpIx, nodes: &[NodeRecord], history: &History) -> NodeIx {
    let held = history.op(op);
    let Some(parent) = held.parent else { return NodeRecord::ROOT };
    let ring = parent == held.node || (nodes[held.node.at()].named > 0 && is_under(parent, held.node, nodes));
    if ring { NodeRecord::ROOT } else { parent }
}

fn parent_of_move(op: OpIx, nodes: &[NodeRecord], history: &History) -> Result<NodeIx, NoEffect> {
    let held = history.op(op);
    let alive = |node: NodeIx| nodes[node.at()].life.era(op, history) != Era::Dead;
    let parent = held.parent.expect("only moves that name a parent are in the log");
    if nodes[held.node.at()].life.is_root() {
        Err(NoEffect::RootFixed)
    } else if !alive(held.node) {
        Err(NoEffect::NodeMissing)
    } else if !alive(parent) {
        Err(NoEffect::ParentMissing)
    } else if is_under(parent, held.node, nodes) {
        Err(NoEffect::Cycle)
    } else {
        Ok(parent)
    }
}

/// Whether `node` is `ancestor` or below it, through dead nodes' last parents too. A key that was never inserted stands
/// nowhere: the walk ends there, even where it is the ancestor itself.
pub(super) fn is_under(node: NodeIx, ancestor: NodeIx, nodes: &[NodeRecord]) -> bool {
    ancestors(node, nodes).any(|at| at == ancestor)
}

/// The node and what is above it, up to the root or to a key that was never inserted.
///
/// Nodes that waited for each other as parents form a hidden ring; Brent's algorithm ends the walk there, though some
/// may be passed twice.
pub(super) fn ancestors(node: NodeIx, nodes: &[NodeRecord]) -> impl Iterator<Item = NodeIx> + '_ {
    let (mut landmark, mut steps, mut limit) = (node, 0_u64, 1_u64);
    let mut next = Some(node);
    std::iter::from_fn(move || {
        let at = next?;
        let record = &nodes[at.at()];
        if record.parent.is_none() && !record.life.is_root() {
            return None;
        }
        next = record.parent;
        if next == Some(landmark) {
            next = None;
        }
        steps += 1;
        if steps == limit {
            (landmark, steps, limit) = (next.unwrap_or(at), 0, limit * 2);
        }
        Some(at)
    })
}
