//! Elements that were moved: each shows where the last of its moves put it (Kleppmann 2020, "Moving Elements in List CRDTs").
//!
//! A move brings a position of its own, a character of the sequence like any other. Of all the positions of an element
//! one shows, so two who move it at once never make two of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::{Char, Sequence};

/// Which elements were moved where.
#[derive(Clone, Default)]
pub(super) struct Moves {
    /// Of each element that was moved the moves that count, in order, with the positions they brought.
    of: Arc<BTreeMap<Char, Vec<(u32, Char)>>>,
    /// The element of each position that a move brought.
    elements: Arc<BTreeMap<Char, Char>>,
}

impl Sequence {
    /// Lets a move of an element to the position that the op brought count, or not any more.
    pub(crate) fn carry(
        &mut self,
        op: u32,
        element: Char,
        counts: bool,
        compare: impl Fn(u32, u32) -> Ordering,
    ) {
        let Some(position) = self.char(op, 0) else { return };
        Arc::make_mut(&mut self.moves.elements).insert(position, element);
        let moves = Arc::make_mut(&mut self.moves.of).entry(element).or_default();
        let at = moves.partition_point(|&(other, _)| compare(other, op) == Ordering::Less);
        let is_there = moves.get(at).is_some_and(|&(other, _)| other == op);
        match (counts, is_there) {
            (true, false) => moves.insert(at, (op, position)),
            (false, true) => drop(moves.remove(at)),
            (true, true) | (false, false) => {}
        }
        self.list.change(position.0, position.0 + 1, |state| state.with_shown(false));
        self.follow(element..element.next());
    }

    /// The element that shows at a position.
    pub(crate) fn element(&self, position: Char) -> Char {
        self.moves.elements.get(&position).copied().unwrap_or(position)
    }

    /// The elements that show at these positions, in pieces that one after the other arrived.
    pub(crate) fn elements(&self, positions: Range<usize>) -> Vec<Range<Char>> {
        let pieces = self.pieces(positions);
        if self.moves.elements.is_empty() {
            return pieces;
        }
        let mut elements: Vec<Range<Char>> = Vec::new();
        for position in pieces.into_iter().flat_map(|piece| piece.start.0..piece.end.0) {
            let element = self.element(Char(position));
            match elements.last_mut() {
                Some(last) if last.end == element => last.end = element.next(),
                _ => elements.push(element..element.next()),
            }
        }
        elements
    }

    /// Lets moved elements show where they are, after something changed about them.
    pub(super) fn follow(&mut self, elements: Range<Char>) {
        if self.moves.of.is_empty() {
            return;
        }
        let moves = Arc::clone(&self.moves.of);
        for (element, moves) in moves.range(elements) {
            let here = self.list.state(*element).with_away(false);
            self.list.change(element.0, element.0 + 1, |state| state.with_away(!moves.is_empty()));
            for (at, (_, position)) in (1..).zip(moves) {
                let is_shown = at == moves.len() && here.is_visible();
                self.list.change(position.0, position.0 + 1, |state| state.with_shown(is_shown));
            }
        }
    }
}
