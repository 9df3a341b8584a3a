//! Who made a property or a node what it is.

use super::Engine;
use super::index::{CellIx, NodeIx, OpIx, PathIx};
use crate::api::{Blamed, LogEntry};
use crate::id::{Dot, PeerKey};

impl Engine {
    /// The ops a property of a live node owes its value to, each by its message and its index in that, the last in order first:
    /// the reset that won, and every step that counts and could be applied. Of undone, repeated and overwritten ops there
    /// are none; of the ops of a ground there is the last. Empty where there is no such value.
    ///
    /// Nobody who comes after the first one has a part in the value: without him it would be the same.
    pub fn makers(&self, key: &str, path: &str) -> Vec<(Dot, u32)> {
        let cell = || -> Option<CellIx> {
            let path = PathIx::of(self.history.paths.find(path)?);
            self.nodes[self.live(key)?.at()].cell(path)
        };
        let Some(cell) = cell() else { return Vec::new() };
        let cell = &self.cells[cell.at()];
        let life = &self.nodes[cell.node.at()].life;
        self.newest_first(cell.makers(life, &self.history, &self.verdicts))
    }

    /// The ops that a node's last life consists of, each by its message and its index in that, the last in order first: the
    /// insert that began it, the moves that took effect, and the removal that ended it. Empty for the root, and for keys that
    /// never lived.
    pub fn movers(&self, key: &str) -> Vec<(Dot, u32)> {
        let Some(node) = self.keys.find(key).map(NodeIx::of) else { return Vec::new() };
        let record = &self.nodes[node.at()];
        let Some((birth, death)) = record.life.last_turns() else { return Vec::new() };
        let mut ops: Vec<OpIx> = self.tree.moves_of(node).chain(record.placings.iter().copied()).collect();
        ops.retain(|&op| {
            let counts = !self.history.is_masked(op) && self.verdicts.get(op).is_none();
            counts && self.history.is_before(birth, op)
        });
        ops.push(birth);
        ops.extend(death);
        self.newest_first(ops)
    }

    /// An op and the message it came in as people read them; `own` are the keys whose messages count as own. Nothing where it is
    /// not held, or not any more.
    pub fn blamed(&self, (dot, index): (Dot, u32), own: &[PeerKey]) -> Option<Blamed> {
        let op = self.op(self.history.op_at(&dot, index)?);
        let message = LogEntry { ops: vec![op.shown()], ..self.log_line(&dot, own)? };
        Some(Blamed { index, message })
    }

    fn newest_first(&self, mut ops: Vec<OpIx>) -> Vec<(Dot, u32)> {
        ops.sort_by(|&a, &b| self.history.compare(b, a));
        ops.dedup();
        let name = |op: OpIx| (self.history.dot(self.history.owner(op)), self.history.index(op));
        ops.into_iter().map(name).collect()
    }
}
