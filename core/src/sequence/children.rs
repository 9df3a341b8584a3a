//! The tree of characters: what stands on the left and on the right of one, in which order, and where its part of the text ends.

use std::cmp::Ordering;

use super::sorted::Keyed;
use super::{Chain, Char, Sequence};

/// A child of a character on one side, at its place among those.
#[derive(Clone, Copy)]
pub(super) struct Child {
    pub(super) parent: Char,
    pub(super) side: Side,
    /// From 1, with room for others between.
    pub(super) place: u64,
    pub(super) char: Char,
}

/// Where the first child of a character is placed, on either side.
pub(super) const PLACE_MIDDLE: u64 = 1 << 63;
/// From there to the next at either end: there are less than 2^31 to each side.
const PLACE_STEP: u64 = 1 << 32;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Left,
    Right,
}

impl Keyed for Child {
    type Key = (Char, Side, u64);

    fn key(&self) -> Self::Key {
        (self.parent, self.side, self.place)
    }
}

impl Sequence {
    /// Notes that the next chain begins with a child of `parent`, and gives its siblings on the same side right before and
    /// behind it.
    pub(super) fn make_child(
        &mut self,
        parent: Char,
        side: Side,
        op: u32,
        chain: Chain,
        compare: impl Fn(u32, u32) -> Ordering,
    ) -> [Option<Char>; 2] {
        if side == Side::Right
            && self.children_of(parent, side).next().is_none()
            && let Some(char) = self.next_of_chain(parent)
        {
            // It was not noted while it was the only one.
            self.children.insert(Child { parent, side, place: PLACE_MIDDLE, char });
        }
        let comes_first = |old: &Child| !self.is_before(op, chain, old.char, side, &compare);
        let siblings = self.children.part((parent, side, 0), (parent, side, u64::MAX), comes_first);
        let [last, next] = siblings.map(Option::<&Child>::copied);
        let place = match [last, next].map(|child| child.map(|child| child.place)) {
            [None, None] => Some(PLACE_MIDDLE),
            [Some(last), None] => last.checked_add(PLACE_STEP),
            [None, Some(next)] => next.checked_sub(PLACE_STEP),
            [Some(last), Some(next)] => Some(last + (next - last) / 2).filter(|&place| place > last),
        };
        match place {
            Some(place) => self.children.insert(Child { parent, side, place, char: chain.first }),
            None => self.make_room(parent, side, last, chain.first),
        }
        [last, next].map(|child| child.map(|child| child.char))
    }

    /// Notes a child behind another where there is no place left between that and the next.
    fn make_room(&mut self, parent: Char, side: Side, last: Option<Child>, new: Char) {
        let mut siblings: Vec<Char> = self.children_of(parent, side).collect();
        let at =
            last.and_then(|last| siblings.iter().position(|&char| char == last.char)).map_or(0, |at| at + 1);
        siblings.insert(at, new);
        let noted = self.children.iter_after((parent, side, 0));
        let noted: Vec<Child> =
            noted.take_while(|child| (child.parent, child.side) == (parent, side)).copied().collect();
        noted.iter().for_each(|child| self.children.remove(child.key()));
        let step = PLACE_MIDDLE / (siblings.len() as u64 + 1);
        for (nth, char) in (1..).zip(siblings) {
            self.children.insert(Child { parent, side, place: PLACE_MIDDLE / 2 + nth * step, char });
        }
    }

    pub(super) fn children_of(&self, parent: Char, side: Side) -> impl Iterator<Item = Char> {
        let is_child = move |child: &&Child| (child.parent, child.side) == (parent, side);
        self.children.iter_after((parent, side, 0)).take_while(is_child).map(|child| child.char)
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
        if self.is_kept(sibling) {
            return !new.is_last;
        }
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
    pub(super) fn leftmost(&self, mut char: Char) -> Char {
        while let Some(first) = self.children_of(char, Side::Left).next() {
            char = first;
        }
        char
    }

    /// The last character of the subtree.
    pub(super) fn rightmost(&self, mut char: Char) -> Char {
        loop {
            let end = self.chain_end(char);
            // Down the chain to the first character after which something else stands last.
            let mut forks = self.children.iter_after((char, Side::Right, 0)).peekable();
            let mut other = None;
            while let Some(fork) = forks.next_if(|fork| other.is_none() && fork.parent < end) {
                let is_last_child =
                    forks.peek().is_none_or(|next| (next.parent, next.side) != (fork.parent, fork.side));
                let is_of_chain = fork.char == fork.parent.next() && fork.char < end;
                if fork.side == Side::Right && is_last_child && !is_of_chain {
                    other = Some(fork.char);
                }
            }
            match other {
                Some(last) => char = last,
                None => return Char(end.0 - 1),
            }
        }
    }
}
