//! The characters of one text, or the elements of one list, in their order: a tree by FugueMax (Weidner & Kleppmann 2023,
//! "The Art of the Fugue").
//!
//! Each character stands on the left or on the right of its parent. Left ones sort by stamp, right ones by what followed where
//! they were inserted, the furthest first, and then by stamp; so runs typed at one spot never interleave, whether they were
//! typed forwards or backwards. The order is a function of what was placed, whatever came first. What is placed stays
//! for ever; whether it shows is a matter of [`Sequence::show`], [`Sequence::delete`] and [`Sequence::carry`].
//!
//! What a ground keeps comes first of all, as a chain of its own on the right of the start, behind what else stands there;
//! whatever is put on the right of one of these goes before the next of them.
//!
//! Characters have numbers in order of arrival. Those that arrive one after the other in one place form a chain, each on
//! the right of the one before, and only the chain is kept; what shows alike and stands together is one run of the [`list`].
//! Whoever types on makes a chain and a run longer, be it in one op or in many. Copies share what they do not change.

mod children;
mod kept;
mod letters;
mod list;
mod moves;
pub(crate) mod plain;
mod sorted;

pub(crate) use letters::Letters;

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::ground::Flat;
use children::{Child, Side};
use list::{List, State};
use moves::Moves;
use sorted::{Keyed, Sorted};

/// A character's number; the start of the text is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Char(u32);

impl Char {
    /// What stands before every character, and never shows.
    pub(crate) const START: Self = Self(0);

    /// The one that arrived next.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one that arrived so many later, if that many did.
    pub(crate) fn plus(self, more: u32) -> Self {
        Self(self.0.saturating_add(more))
    }

    /// It and all that arrived from it on to before `end`.
    pub(crate) fn until(self, end: Self) -> impl Iterator<Item = Self> {
        (self.0..end.0).map(Self)
    }

    /// Where what belongs to it stands among that of all characters.
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// Where characters go: see [`crate::op::text`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spot {
    /// On the left of a character.
    Before(Char),
    /// On the right of a character, until where.
    After(Char, Until),
    /// Behind everything that goes elsewhere, in the order of stamps.
    Last,
}

/// What followed where characters were inserted; nothing is the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// The same as with what they stand after.
    Inherited,
    /// That.
    Given(Option<Char>),
}

/// Characters in order. Ops have numbers of the caller's, whose stamps he compares.
#[derive(Clone)]
pub(crate) struct Sequence {
    /// The number of the next character.
    end: Char,
    /// Which ops brought which characters: in the order of characters, and in that of ops.
    brought: Sorted<ByChar>,
    bringers: Sorted<ByOp>,
    /// Characters that stand one after the other; each chain ends where the next begins.
    chains: Sorted<Chain>,
    /// The children of characters where there are other ones than the next of the chain.
    children: Sorted<Child>,
    list: List,
    moves: Moves,
    /// What a ground keeps: the characters from 1 on, with their names.
    flat: Option<Arc<Flat>>,
}

/// From here on characters were brought by ops, as [`ByOp`] has it.
#[derive(Clone, Copy)]
struct ByChar {
    first: Char,
    op: u32,
}

/// Consecutive characters of one op, or of as many consecutive ops, each of which brought one.
#[derive(Clone, Copy)]
struct ByOp {
    op: u32,
    first: Char,
    len: u32,
    is_each: bool,
}

#[derive(Clone, Copy)]
struct Chain {
    first: Char,
    until: Option<Char>,
    is_last: bool,
}

impl Keyed for ByChar {
    type Key = Char;

    fn key(&self) -> Char {
        self.first
    }
}

impl Keyed for ByOp {
    type Key = u32;

    fn key(&self) -> u32 {
        self.op
    }
}

impl Keyed for Chain {
    type Key = Char;

    fn key(&self) -> Char {
        self.first
    }
}

impl Sequence {
    /// No characters.
    pub(crate) fn new() -> Self {
        let mut chains = Sorted::new();
        chains.insert(Chain { first: Char::START, until: None, is_last: false });
        Self {
            end: Char(1),
            brought: Sorted::new(),
            bringers: Sorted::new(),
            chains,
            children: Sorted::new(),
            list: List::new(),
            moves: Moves::default(),
            flat: None,
        }
    }

    /// Puts so many characters of one op in their place, to show or not. The op has brought none so far, or it was the last to
    /// bring any and is the last in number.
    pub(crate) fn place(
        &mut self,
        op: u32,
        len: u32,
        spot: Spot,
        is_shown: bool,
        compare: impl Fn(u32, u32) -> Ordering,
    ) {
        if len == 0 {
            return;
        }
        let (first, state) = (self.end, State::shown(is_shown));
        if let Spot::After(parent, until) = spot {
            // Nothing can stand beside what was placed last.
            let continues = parent != Char::START && parent.next() == first;
            if continues && (until == Until::Inherited || until == Until::Given(self.until(parent))) {
                self.list.insert_after(parent, first, len, state);
                return self.note(op, len);
            }
        }
        let (parent, side, chain) = match spot {
            Spot::Before(parent) => {
                (parent, Side::Left, Chain { first, until: Some(parent), is_last: false })
            }
            Spot::After(parent, Until::Given(until)) => {
                (parent, Side::Right, Chain { first, until, is_last: false })
            }
            Spot::After(parent, Until::Inherited) => {
                let until = self.until(parent);
                (parent, Side::Right, Chain { first, until, is_last: false })
            }
            Spot::Last => (Char::START, Side::Right, Chain { first, until: None, is_last: true }),
        };
        match (self.make_child(parent, side, op, chain, compare), side) {
            ([_, Some(next)], _) => self.list.insert_before(self.leftmost(next), first, len, state),
            ([_, None], Side::Left) => self.list.insert_before(parent, first, len, state),
            ([last, None], Side::Right) => {
                let last = last.map_or(parent, |last| self.rightmost(last));
                self.list.insert_after(last, first, len, state);
            }
        }
        // Not before: until here the last chain ended where these begin.
        self.chains.insert(chain);
        self.note(op, len);
    }

    /// Notes that the next characters are the op's.
    fn note(&mut self, op: u32, len: u32) {
        let first = self.end;
        self.end = Char(first.0 + len);
        if let Some(last) = self.bringers.last_mut().filter(|last| last.first.0 + last.len == first.0) {
            let is_next = last.op + last.len == op && (last.is_each || last.len == 1);
            if len == 1 && is_next {
                (last.len, last.is_each) = (last.len + 1, true);
                return;
            }
            if last.op == op && !last.is_each {
                last.len += len;
                return;
            }
            if last.is_each && last.op + last.len - 1 == op {
                // One of many that brought one each brings more.
                last.len -= 1;
                let first = Char(first.0 - 1);
                self.bringers.insert(ByOp { op, first, len: len + 1, is_each: false });
                self.brought.insert(ByChar { first, op });
                return;
            }
        }
        self.bringers.insert(ByOp { op, first, len, is_each: false });
        self.brought.insert(ByChar { first, op });
    }

    /// Whether the op's characters were placed; it brought some.
    pub(crate) fn holds(&self, op: u32) -> bool {
        self.find(op).is_some()
    }

    /// One character of an op.
    pub(crate) fn char(&self, op: u32, offset: u32) -> Option<Char> {
        let chars = self.find(op)?;
        let at = chars.start.0.checked_add(offset)?;
        (at < chars.end.0).then_some(Char(at))
    }

    /// Which op brought the character, and which of its characters it is; nothing for the start, and for what a ground keeps.
    pub(crate) fn origin(&self, char: Char) -> Option<(u32, u32)> {
        let entry = self.bringer(char)?;
        let offset = char.0 - entry.first.0;
        Some(if entry.is_each { (entry.op + offset, 0) } else { (entry.op, offset) })
    }

    /// All characters of an op that was placed.
    pub(crate) fn chars(&self, op: u32) -> Range<Char> {
        self.find(op).unwrap_or(Char::START..Char::START)
    }

    /// The last character of an op that brought some.
    pub(crate) fn last_of(&self, op: u32) -> Option<Char> {
        self.find(op).map(|chars| Char(chars.end.0 - 1))
    }

    /// Whether the characters may show.
    pub(crate) fn show(&mut self, chars: Range<Char>, is_shown: bool) {
        self.list.change(chars.start.0, chars.end.0, |state| state.with_shown(is_shown));
        self.follow(chars);
    }

    /// Counts one deletion more, or one less, of the characters.
    pub(crate) fn delete(&mut self, chars: Range<Char>, is_more: bool) {
        let change = if is_more { State::deleted_once_more } else { State::deleted_once_less };
        self.list.change(chars.start.0, chars.end.0, change);
        self.follow(chars);
    }

    /// Whether all of the characters are deleted; so are no characters.
    pub(crate) fn are_deleted(&self, chars: Range<Char>) -> bool {
        self.list.all(chars.start.0, chars.end.0, State::is_deleted)
    }

    /// Lets nothing show, nothing be deleted and nothing be moved.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.moves = Moves::default();
    }

    /// How many characters show.
    pub(crate) fn len(&self) -> usize {
        self.list.visible()
    }

    /// The characters that show, in order.
    pub(crate) fn shown(&self) -> impl Iterator<Item = Range<Char>> + '_ {
        self.list.shown()
    }

    /// Where text goes that is to stand before the character that shows at `position`, or at the end.
    pub(crate) fn spot(&self, position: usize) -> Spot {
        let left = position.checked_sub(1).and_then(|left| self.list.at(left)).unwrap_or(Char::START);
        self.spot_after(left)
    }

    /// Where text goes that is to stand right behind a character, whatever shows.
    pub(crate) fn spot_after(&self, left: Char) -> Spot {
        let right = self.list.following(left);
        match right {
            Some(right) if self.has_right(left) => Spot::Before(right),
            _ if right == self.until(left) => Spot::After(left, Until::Inherited),
            _ => Spot::After(left, Until::Given(right)),
        }
    }

    /// The characters that show at these positions, in pieces that one after the other arrived.
    pub(crate) fn pieces(&self, positions: Range<usize>) -> Vec<Range<Char>> {
        self.list.pieces(positions)
    }

    /// The ops that brought these characters, with offsets.
    pub(crate) fn origins(&self, chars: Range<Char>) -> impl Iterator<Item = (u32, Range<u32>)> + '_ {
        self.rows(chars).flat_map(|(ops, offsets)| ops.map(move |op| (op, offsets.clone())))
    }

    /// The ops that brought these characters, with offsets: one op, or several each of which brought one character.
    pub(crate) fn rows(&self, chars: Range<Char>) -> impl Iterator<Item = (Range<u32>, Range<u32>)> + '_ {
        let mut at = chars.start;
        std::iter::from_fn(move || {
            if at >= chars.end {
                return None;
            }
            let entry = self.bringer(at)?;
            let from = at.0 - entry.first.0;
            let to = chars.end.0.min(entry.first.0 + entry.len) - entry.first.0;
            at = at.plus(to - from);
            Some(match entry.is_each {
                true => (entry.op + from..entry.op + to, 0..1),
                false => (entry.op..entry.op + 1, from..to),
            })
        })
    }

    /// The characters of all ops from one to another, if each of these brought one where the one before did.
    pub(crate) fn row(&self, first: u32, last: u32) -> Option<Range<Char>> {
        let entry = self.bringers.at_or_before(first).filter(|entry| entry.is_each)?;
        let char = |op: u32| Char(entry.first.0 + (op - entry.op));
        (first <= last && last - entry.op < entry.len).then(|| char(first)..char(last).next())
    }

    /// Whose characters a character belongs to; nothing for the start, and for what was not placed yet.
    fn bringer(&self, char: Char) -> Option<ByOp> {
        let is_here = |entry: &&ByOp| entry.first <= char && char.0 < entry.first.0 + entry.len;
        if let Some(last) = self.bringers.last().filter(is_here) {
            return Some(*last);
        }
        self.bringers.at_or_before(self.brought.at_or_before(char)?.op).filter(is_here).copied()
    }

    fn find(&self, op: u32) -> Option<Range<Char>> {
        let entry = self.bringers.at_or_before(op)?;
        let offset = op - entry.op;
        if entry.is_each {
            return (offset < entry.len)
                .then(|| Char(entry.first.0 + offset)..Char(entry.first.0 + offset + 1));
        }
        (offset == 0).then(|| entry.first..Char(entry.first.0 + entry.len))
    }

    fn chain(&self, char: Char) -> Chain {
        *self.chains.at_or_before(char).expect("the start is the first")
    }

    /// Where a character's chain ends.
    fn chain_end(&self, char: Char) -> Char {
        self.chains.after(char).map_or(self.end, |next| next.first)
    }

    /// The next of a character's chain.
    fn next_of_chain(&self, char: Char) -> Option<Char> {
        Some(char.next()).filter(|&next| char != Char::START && next < self.chain_end(char))
    }

    fn has_right(&self, char: Char) -> bool {
        self.next_of_chain(char).is_some() || self.children_of(char, Side::Right).next().is_some()
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("memory ends before 2^32 characters")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::plain::{self, Plain};
    use super::*;

    /// Places characters anywhere, as no honest writer would, hides and deletes some, and compares with the plain code.
    fn check(seed: u32) {
        let mut state = seed;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % limit
        };
        let (mut fast, mut plain) = (Sequence::new(), Plain::new());
        let mut all: Vec<(u32, u32)> = Vec::new();
        let (mut gone, mut hidden) = (BTreeSet::new(), BTreeSet::new());
        for op in 0..40_u32 {
            let any = all.get(below(all.len() + 1)).copied();
            let last = all.last().copied();
            let (spot, plain_spot) = match (below(6), any, last) {
                (0 | 1, Some(any), _) => {
                    let right = fast.char(any.0, any.1).unwrap();
                    (Spot::Before(right), plain::Spot::Before(any))
                }
                (2, any, _) => {
                    let until = all.get(below(all.len() + 1)).copied();
                    let char = |id: Option<(u32, u32)>| id.and_then(|(op, offset)| fast.char(op, offset));
                    (
                        Spot::After(char(any).unwrap_or(Char::START), Until::Given(char(until))),
                        plain::Spot::After(any, plain::Until::Given(until)),
                    )
                }
                (3, _, _) => (Spot::Last, plain::Spot::Last),
                (_, _, last) => {
                    let left = last.map_or(Char::START, |(op, offset)| fast.char(op, offset).unwrap());
                    (Spot::After(left, Until::Inherited), plain::Spot::After(last, plain::Until::Inherited))
                }
            };
            let len = u32::try_from(below(3)).unwrap();
            let is_late = below(2) == 0;
            fast.place(op, len, spot, !is_late, |a, b| a.cmp(&b));
            assert!(plain.place(op, len, plain_spot));
            if is_late {
                fast.show(fast.chars(op), true);
            }
            all.extend((0..len).map(|offset| (op, offset)));
            if let Some(&(op, offset)) = all.get(below(2 * all.len() + 1)) {
                let is_more = gone.insert((op, offset)) || !gone.remove(&(op, offset));
                let char = fast.char(op, offset).unwrap();
                fast.delete(char..char.next(), is_more);
            }
            if below(8) == 0 {
                fast.clear();
                fast.show(fast.chars(op), true);
                gone.clear();
                hidden = all.iter().copied().filter(|&(other, _)| other != op).collect();
            }
            let visible: Vec<(u32, u32)> =
                plain.order().filter(|id| !gone.contains(id) && !hidden.contains(id)).collect();
            let ids = |pieces: Vec<Range<Char>>| -> Vec<(u32, u32)> {
                let origins = pieces.into_iter().flat_map(|piece| fast.origins(piece));
                origins.flat_map(|(op, offsets)| offsets.map(move |offset| (op, offset))).collect()
            };
            assert_eq!(ids(fast.shown().collect()), visible, "seed {seed}, op {op}");
            assert_eq!(fast.len(), visible.len());
            let (from, to) = (below(visible.len() + 1), below(visible.len() + 1));
            let found = ids(fast.pieces(from.min(to)..from.max(to)));
            assert_eq!(found, visible[from.min(to)..from.max(to)], "seed {seed}, op {op}");
        }
        fast.clear();
        assert_eq!((fast.shown().count(), fast.len()), (0, 0));
    }

    #[test]
    fn characters_stand_where_the_plain_code_has_them_wherever_they_were_put() {
        (0..400).for_each(check);
    }
}
