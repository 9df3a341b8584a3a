//! The characters of a property, or the elements of its list, for those who want to write between them.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Engine;
use super::index::{CellIx, NodeIx, OpIx, PathIx};
use crate::op::text::{CharId, Content, Span};
use crate::sequence::Sequence;

/// What a property holds, as characters.
pub(crate) struct Characters<'a> {
    pub(crate) sequence: Cow<'a, Sequence>,
    pub(crate) shows: Shows,
}

/// What a property holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shows {
    Nothing,
    /// Characters with identities, or elements.
    Sequence,
    /// Something else, or the like without identities.
    Other,
}

impl Engine {
    /// The characters of a property, or the elements, those that do not show included.
    pub(crate) fn characters(&self, content: Content, key: &str, path: &str) -> Characters<'_> {
        let node = self.keys.find(key).map(NodeIx::of);
        let path = self.history.paths.find(path).map(PathIx::of);
        self.characters_at(content, node.zip(path).and_then(|(node, path)| self.nodes[node.at()].cell(path)))
    }

    /// The same of a property by its number; nothing stands for one that was never touched.
    pub(crate) fn characters_at(&self, content: Content, cell: Option<CellIx>) -> Characters<'_> {
        match cell.map(|cell| &self.cells[cell.at()]) {
            Some(cell) => {
                cell.characters(content, &self.nodes[cell.node.at()].life, &self.history, &self.verdicts)
            }
            None => Characters { sequence: Cow::Owned(Sequence::new()), shows: Shows::Nothing },
        }
    }

    /// How many ops are held: the number of the next.
    pub(crate) fn ops_held(&self) -> u32 {
        self.history.ops_held()
    }

    /// The total order of ops by their numbers.
    pub(crate) fn compare_ops(&self, a: u32, b: u32) -> Ordering {
        self.history.compare(OpIx(a), OpIx(b))
    }

    /// The identity of a character that an op brought.
    pub(crate) fn char_id(&self, op: u32, offset: u32) -> CharId {
        let (dot, index) = self.history.op_name(OpIx(op));
        CharId { dot, index, offset }
    }

    /// Whether the ops from one to another are those of consecutive messages of one actor.
    pub(crate) fn are_in_a_row(&self, first: u32, last: u32) -> bool {
        self.history.are_in_a_row(OpIx(first), OpIx(last))
    }

    /// The number of the op that brought a character.
    pub(crate) fn op_number(&self, id: &CharId) -> Option<u32> {
        self.history.op_named(&id.dot, id.index).map(|op| op.0)
    }

    /// The other ops with which the actor of a span touched the property from its first character to its last.
    pub(crate) fn ops_within(&self, key: &str, path: &str, span: &Span) -> Vec<u32> {
        let node = self.keys.find(key).map(NodeIx::of);
        let path = self.history.paths.find(path).map(PathIx::of);
        let cell = node.zip(path).and_then(|(node, path)| self.nodes[node.at()].cell(path));
        let ops = cell.map(|cell| self.cells[cell.at()].named(span, &self.history)).unwrap_or_default();
        let ends = [self.op_number(&span.first), self.op_number(&span.last)];
        ops.into_iter().map(|op| op.0).filter(|op| !ends.contains(&Some(*op))).collect()
    }
}
