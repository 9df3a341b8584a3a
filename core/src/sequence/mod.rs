//! The characters of one text in their order: a tree by FugueMax (Weidner & Kleppmann 2023, "The Art of the Fugue").
//!
//! Each character stands on the left or on the right of its parent. Left ones sort by stamp, right ones by what followed where
//! they were inserted, the furthest first, and then by stamp; so runs typed at one spot never interleave, whether they were
//! typed forwards or backwards. The order is a function of what was placed, whatever came first. What is placed stays
//! for ever; whether it shows is a matter of [`Sequence::show`] and [`Sequence::delete`].
//!
//! Characters have numbers in order of arrival. Those that arrive one after the other in one place form a chain, each on
//! the right of the one before, and only the chain is kept; what shows alike and stands together is one run of the [`list`].

mod list;
pub(crate) mod plain;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use list::List;

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
    /// All characters, by number.
    arena: Vec<char>,
    /// Which op brought which characters, in the order of characters.
    brought: Vec<Brought>,
    /// The same in the order of ops: op and index above.
    by_op: Vec<(u32, u32)>,
    /// Characters that stand one after the other; each chain ends where the next begins.
    chains: Vec<Chain>,
    /// The children of a character on one side, in order, where there are other ones than the next of its chain.
    children: BTreeMap<(Char, Side), Vec<Char>>,
    list: List,
}

#[derive(Clone, Copy)]
struct Brought {
    op: u32,
    first: Char,
}

#[derive(Clone, Copy)]
struct Chain {
    first: Char,
    until: Option<Char>,
    is_last: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Left,
    Right,
}

impl Sequence {
    /// No characters.
    pub(crate) fn new() -> Self {
        Self {
            arena: vec!['\0'],
            brought: Vec::new(),
            by_op: Vec::new(),
            chains: vec![Chain { first: Char::START, until: None, is_last: false }],
            children: BTreeMap::new(),
            list: List::new(),
        }
    }

    /// Puts the characters of one op in their place, where they do not show yet.
    pub(crate) fn place(
        &mut self,
        op: u32,
        text: impl IntoIterator<Item = char>,
        spot: Spot,
        compare: impl Fn(u32, u32) -> Ordering,
    ) {
        let first = self.end();
        let text: Vec<char> = text.into_iter().collect();
        let len = number(text.len());
        let at = self.by_op.partition_point(|&(other, _)| other < op);
        self.by_op.insert(at, (op, number(self.brought.len())));
        self.brought.push(Brought { op, first });
        if len == 0 {
            return;
        }
        if let Spot::After(parent, until) = spot {
            let chain = self.chain(parent);
            let is_same = match until {
                Until::Inherited => true,
                Until::Given(until) => until == chain.until,
            };
            let continues = parent != Char::START
                && parent.next() == first
                && is_same
                && !self.children.contains_key(&(parent, Side::Right));
            if continues {
                self.list.insert_after(parent, first, len);
                self.arena.extend(text);
                return;
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
                let until = self.chain(parent).until;
                (parent, Side::Right, Chain { first, until, is_last: false })
            }
            Spot::Last => (Char::START, Side::Right, Chain { first, until: None, is_last: true }),
        };
        let siblings = self.siblings(parent, side);
        let index = siblings.partition_point(|&sibling| !self.is_before(op, chain, sibling, side, &compare));
        let before = siblings.get(index).map(|&next| self.leftmost(next));
        match (before, side) {
            (Some(next), _) => self.list.insert_before(next, first, len),
            (None, Side::Left) => self.list.insert_before(parent, first, len),
            (None, Side::Right) => {
                let last = siblings.last().map_or(parent, |&last| self.rightmost(last));
                self.list.insert_after(last, first, len);
            }
        }
        let mut siblings = siblings;
        siblings.insert(index, first);
        self.children.insert((parent, side), siblings);
        // Not before: until here the last chain ended where these begin.
        self.chains.push(chain);
        self.arena.extend(text);
    }

    /// Whether the op's characters were placed.
    pub(crate) fn holds(&self, op: u32) -> bool {
        self.find(op).is_some()
    }

    /// One character of an op.
    pub(crate) fn char(&self, op: u32, offset: u32) -> Option<Char> {
        let chars = self.find(op)?;
        let at = chars.start.0.checked_add(offset)?;
        (at < chars.end.0).then_some(Char(at))
    }

    /// Which op brought the character, and which of its characters it is; nothing for the start.
    pub(crate) fn origin(&self, char: Char) -> Option<(u32, u32)> {
        let at = self.brought.partition_point(|brought| brought.first <= char).checked_sub(1)?;
        let Brought { op, first } = self.brought[at];
        Some((op, char.0 - first.0))
    }

    /// Whether the op's characters from `skip` on may show.
    pub(crate) fn show(&mut self, op: u32, skip: u32, shown: bool) {
        if let Some(chars) = self.find(op) {
            self.list.change(chars.start.0 + skip, chars.end.0, |state| state.is_shown = shown);
        }
    }

    /// Lets some of the op's characters show.
    pub(crate) fn show_some(&mut self, op: u32, offsets: Range<u32>) {
        if let Some(chars) = self.find(op) {
            let start = chars.start.0;
            self.list.change(start + offsets.start, start + offsets.end, |state| state.is_shown = true);
        }
    }

    /// How many characters the op brought.
    pub(crate) fn len_of(&self, op: u32) -> u32 {
        self.find(op).map_or(0, |chars| chars.end.0 - chars.start.0)
    }

    /// Counts one deletion more, or one less, of some of the op's characters.
    pub(crate) fn delete(&mut self, op: u32, offsets: Range<u32>, is_more: bool) {
        let Some(chars) = self.find(op) else { return };
        let from = chars.start.0.saturating_add(offsets.start).min(chars.end.0);
        let to = chars.start.0.saturating_add(offsets.end).min(chars.end.0);
        self.list.change(from, to, |state| {
            state.deletions = if is_more { state.deletions + 1 } else { state.deletions.saturating_sub(1) };
        });
    }

    /// Lets nothing show, and nothing be deleted.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// How many characters show.
    pub(crate) fn len(&self) -> usize {
        self.list.visible()
    }

    /// The text that shows.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(self.len());
        for chars in self.list.shown() {
            text.extend(&self.arena[chars.start as usize..chars.end as usize]);
        }
        text
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
            _ if right == self.chain(left).until => Spot::After(left, Until::Inherited),
            _ => Spot::After(left, Until::Given(right)),
        }
    }

    /// The characters that show at these positions, in pieces that one after the other arrived.
    pub(crate) fn pieces(&self, positions: Range<usize>) -> Vec<Range<Char>> {
        self.list.pieces(positions).into_iter().map(|piece| Char(piece.start)..Char(piece.end)).collect()
    }

    /// The ops that brought these characters, with offsets.
    pub(crate) fn origins(&self, chars: Range<Char>) -> Vec<(u32, Range<u32>)> {
        let mut at = self.brought.partition_point(|brought| brought.first <= chars.start).saturating_sub(1);
        let mut origins = Vec::new();
        while let Some(&Brought { op, first }) = self.brought.get(at) {
            if first >= chars.end {
                break;
            }
            let end = self.brought.get(at + 1).map_or(self.end(), |next| next.first);
            let (from, to) = (first.max(chars.start), end.min(chars.end));
            if from < to {
                origins.push((op, from.0 - first.0..to.0 - first.0));
            }
            at += 1;
        }
        origins
    }

    fn end(&self) -> Char {
        Char(number(self.arena.len()))
    }

    fn find(&self, op: u32) -> Option<Range<Char>> {
        let at = match self.by_op.last() {
            Some(&(last, _)) if last == op => self.by_op.len() - 1,
            _ => self.by_op.binary_search_by_key(&op, |&(op, _)| op).ok()?,
        };
        let at = self.by_op[at].1 as usize;
        let end = self.brought.get(at + 1).map_or(self.end(), |next| next.first);
        Some(self.brought[at].first..end)
    }

    fn chain_index(&self, char: Char) -> usize {
        match self.chains.last() {
            Some(last) if last.first <= char => self.chains.len() - 1,
            _ => self.chains.partition_point(|chain| chain.first <= char) - 1,
        }
    }

    fn chain(&self, char: Char) -> Chain {
        self.chains[self.chain_index(char)]
    }

    /// The next of a character's chain.
    fn next_of_chain(&self, char: Char) -> Option<Char> {
        let end = self.chains.get(self.chain_index(char) + 1).map_or(self.end(), |next| next.first);
        Some(char.next()).filter(|&next| next < end && char != Char::START)
    }

    fn has_right(&self, char: Char) -> bool {
        self.children.contains_key(&(char, Side::Right)) || self.next_of_chain(char).is_some()
    }

    /// The children on one side, in order.
    fn siblings(&self, parent: Char, side: Side) -> Vec<Char> {
        match (self.children.get(&(parent, side)), side) {
            (Some(children), _) => children.clone(),
            (None, Side::Left) => Vec::new(),
            (None, Side::Right) => self.next_of_chain(parent).into_iter().collect(),
        }
    }

    /// Whether what `op` brings goes before its sibling.
    fn is_before(
        &self,
        op: u32,
        new: Chain,
        sibling: Char,
        side: Side,
        compare: &impl Fn(u32, u32) -> Ordering,
    ) -> bool {
        let old = self.chain(sibling);
        let (other, _) = self.origin(sibling).expect("the start is nobody's child");
        let by_stamp = compare(op, other);
        match (new.is_last, old.is_last && old.first == sibling) {
            (true, true) => by_stamp == Ordering::Less,
            (true, false) => false,
            (false, true) => true,
            (false, false) if side == Side::Left || new.until == old.until => by_stamp == Ordering::Greater,
            (false, false) => match (new.until, old.until) {
                (None, _) => true,
                (_, None) => false,
                (Some(new), Some(old)) => self.list.compare(new, old) == Ordering::Greater,
            },
        }
    }

    /// The first character of the subtree.
    fn leftmost(&self, mut char: Char) -> Char {
        while let Some(&first) = self.children.get(&(char, Side::Left)).and_then(|children| children.first())
        {
            char = first;
        }
        char
    }

    /// The last character of the subtree.
    fn rightmost(&self, mut char: Char) -> Char {
        loop {
            let end = self.chains.get(self.chain_index(char) + 1).map_or(self.end(), |next| next.first);
            let forks = self.children.range((char, Side::Right)..(end, Side::Left));
            // Down the chain to the first character after which something else stands last.
            let last = forks.filter(|((_, side), _)| *side == Side::Right).find_map(|((at, _), children)| {
                children.last().filter(|&&last| last != at.next() || last >= end)
            });
            match last {
                Some(&last) => char = last,
                None => return Char(end.0 - 1),
            }
        }
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("memory ends before 2^32 characters")
}

#[cfg(test)]
mod tests {
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
        let mut gone = std::collections::BTreeSet::new();
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
            let text = (0..len).map(|offset| char::from_u32(0x4e00 + op * 4 + offset).unwrap());
            fast.place(op, text, spot, |a, b| a.cmp(&b));
            assert!(plain.place(op, len, plain_spot));
            fast.show(op, 0, true);
            all.extend((0..len).map(|offset| (op, offset)));
            if let Some(&(op, offset)) = all.get(below(2 * all.len() + 1)) {
                let is_more = gone.insert((op, offset)) || !gone.remove(&(op, offset));
                fast.delete(op, offset..offset + 1, is_more);
            }
            let visible: Vec<(u32, u32)> = plain.order().filter(|id| !gone.contains(id)).collect();
            let expected: String = visible
                .iter()
                .map(|(op, offset)| char::from_u32(0x4e00 + op * 4 + offset).unwrap())
                .collect();
            assert_eq!((fast.text(), fast.len()), (expected, visible.len()), "seed {seed}, op {op}");
            let (from, to) = (below(visible.len() + 1), below(visible.len() + 1));
            let pieces = fast.pieces(from.min(to)..from.max(to)).into_iter();
            let found: Vec<(u32, u32)> = pieces
                .flat_map(|piece| fast.origins(piece))
                .flat_map(|(op, offsets)| offsets.map(move |offset| (op, offset)))
                .collect();
            assert_eq!(found, visible[from.min(to)..from.max(to)], "seed {seed}, op {op}");
        }
        fast.clear();
        assert_eq!((fast.text(), fast.len()), (String::new(), 0));
    }

    #[test]
    fn characters_stand_where_the_plain_code_has_them_wherever_they_were_put() {
        (0..400).for_each(check);
    }
}
