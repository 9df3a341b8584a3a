//! The order of characters in the plainest code: the judge of [`Sequence`](super::Sequence). Its cost is of no concern.

/// Characters in their order; `K` orders the ops that bring them.
pub(crate) struct Plain<K> {
    elements: Vec<Element<K>>,
}

/// A character: which op brought it, and which of that op's characters it is.
pub(crate) type Char<K> = (K, u32);

/// Where an op's characters go: see [`crate::op::text`].
#[derive(Clone, Copy)]
pub(crate) enum Spot<K> {
    Before(Char<K>),
    /// On the right of a character or the start, and until where.
    After(Option<Char<K>>, Until<K>),
    /// Behind everything that does not go there.
    Last,
}

/// What followed.
#[derive(Clone, Copy)]
pub(crate) enum Until<K> {
    /// As with what it stands after.
    Inherited,
    Given(Option<Char<K>>),
}

struct Element<K> {
    id: Char<K>,
    /// What it is below in the tree, and on which side.
    parent: Option<Char<K>>,
    side: Side,
    until: Option<Char<K>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    /// What a ground keeps: behind what goes to the right.
    Kept,
    Last,
}

impl<K: Copy + Ord> Plain<K> {
    pub(crate) fn new() -> Self {
        Self { elements: Vec::new() }
    }

    /// Begins with so many characters that a ground keeps, in their order.
    pub(crate) fn keep(&mut self, op: K, len: u32) {
        for offset in 0..len {
            let id = |offset| (op, offset);
            let (parent, until) =
                (offset.checked_sub(1).map(id), Some(offset + 1).filter(|&next| next < len).map(id));
            self.elements.push(Element { id: id(offset), parent, side: Side::Kept, until });
        }
    }

    /// Puts the characters of one op in their place. Says whether the characters that it goes by are there.
    pub(crate) fn place(&mut self, op: K, len: u32, spot: Spot<K>) -> bool {
        let (mut parent, mut side, until) = match spot {
            Spot::Before(right) => (Some(right), Side::Left, Some(right)),
            Spot::After(left, Until::Given(until)) => (left, Side::Right, until),
            Spot::After(left, Until::Inherited) => {
                let until = left.and_then(|left| self.index(left)).and_then(|at| self.elements[at].until);
                (left, Side::Right, until)
            }
            Spot::Last => (None, Side::Last, None),
        };
        if [parent, until].into_iter().flatten().any(|id| self.index(id).is_none()) {
            return false;
        }
        for offset in 0..len {
            self.insert(Element { id: (op, offset), parent, side, until });
            (parent, side) = (Some((op, offset)), Side::Right);
        }
        true
    }

    /// The characters in their order.
    pub(crate) fn order(&self) -> impl Iterator<Item = Char<K>> + '_ {
        self.elements.iter().map(|element| element.id)
    }

    fn index(&self, id: Char<K>) -> Option<usize> {
        self.elements.iter().position(|element| element.id == id)
    }

    fn insert(&mut self, new: Element<K>) {
        let siblings = (0..self.elements.len()).filter(|&at| self.elements[at].parent == new.parent);
        let next = siblings.into_iter().find(|&at| self.is_before(&new, &self.elements[at]));
        let at = match next {
            Some(next) => self.below(Some(self.elements[next].id)).min().unwrap_or(next),
            None if new.side == Side::Left => {
                new.parent.and_then(|parent| self.index(parent)).expect("a left sibling has a parent")
            }
            None => self.below(new.parent).max().map_or(0, |last| last + 1),
        };
        self.elements.insert(at, new);
    }

    /// Whether `new` goes before its sibling `old`, or `old` stands on the other side of their parent.
    fn is_before(&self, new: &Element<K>, old: &Element<K>) -> bool {
        let place = |id: Option<Char<K>>| id.and_then(|id| self.index(id)).unwrap_or(usize::MAX);
        match (new.side, old.side) {
            (Side::Left, Side::Left) => new.id > old.id,
            (Side::Last, Side::Last) => new.id < old.id,
            (Side::Right, Side::Right) if new.until == old.until => new.id > old.id,
            (Side::Right, Side::Right) => place(new.until) > place(old.until),
            // Left ones end at the parent itself.
            (Side::Left, _) | (_, Side::Left) => false,
            (Side::Right, Side::Kept | Side::Last) => true,
            (Side::Kept | Side::Last, _) => false,
        }
    }

    /// A character and everything below it in the tree; all there is for the start.
    fn below(&self, id: Option<Char<K>>) -> impl Iterator<Item = usize> + '_ {
        (0..self.elements.len()).filter(move |&at| {
            let mut up = Some(self.elements[at].id);
            while up != id {
                let Some(here) = up.and_then(|here| self.index(here)) else { return false };
                up = self.elements[here].parent;
            }
            true
        })
    }
}
