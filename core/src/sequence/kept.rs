//! What a ground keeps, as the beginning of a sequence: characters that have names of their own.

use std::ops::Range;
use std::sync::Arc;

use super::children::{Child, PLACE_MIDDLE, Side};
use super::list::State;
use super::{Chain, Char, Sequence};
use crate::ground::Flat;
use crate::op::text::{CharId, Span};

/// The first of them.
const FIRST: Char = Char(1);

impl Sequence {
    /// The characters that a ground keeps, none of which shows yet.
    pub(crate) fn on(flat: Flat) -> Self {
        let mut sequence = Self::new();
        if flat.len() > 0 {
            let (parent, side, place) = (Char::START, Side::Right, PLACE_MIDDLE);
            sequence.list.insert_after(parent, FIRST, flat.len(), State::default());
            sequence.children.insert(Child { parent, side, place, char: FIRST });
            sequence.chains.insert(Chain { first: FIRST, until: None, is_last: false });
            sequence.end = FIRST.plus(flat.len());
            sequence.flat = Some(Arc::new(flat));
        }
        sequence
    }

    /// All characters in order, and whether they show.
    pub(crate) fn walk(&self) -> impl Iterator<Item = (Range<Char>, bool)> + '_ {
        let behind_start = |(chars, shows): (Range<Char>, bool)| (chars.start.max(FIRST)..chars.end, shows);
        self.list.walk().map(behind_start).filter(|(chars, _)| !chars.is_empty())
    }

    /// Those of some characters that a ground keeps, and the others.
    pub(crate) fn part(&self, chars: Range<Char>) -> (Range<Char>, Range<Char>) {
        let middle = self.kept_end().max(chars.start).min(chars.end);
        (chars.start..middle, middle..chars.end)
    }

    /// The name of a position that a ground keeps.
    pub(crate) fn kept_position(&self, char: Char) -> Option<CharId> {
        self.kept(char).map(|(flat, number)| flat.position(number))
    }

    /// The name of an element that shows on a ground.
    pub(crate) fn kept_element(&self, char: Char) -> Option<CharId> {
        self.kept(char).and_then(|(flat, number)| flat.element(number))
    }

    /// What shows on the ground.
    pub(crate) fn kept_shown(&self) -> Vec<Range<Char>> {
        self.flat.iter().flat_map(|flat| flat.shown()).map(chars).collect()
    }

    /// The position of that name that a ground keeps.
    pub(crate) fn find_position(&self, name: &CharId) -> Option<Char> {
        self.flat.as_ref()?.at(name).map(|number| FIRST.plus(number))
    }

    /// The element of that name that shows on a ground.
    pub(crate) fn find_element(&self, name: &CharId) -> Option<Char> {
        self.flat.as_ref()?.named(name).map(|number| FIRST.plus(number))
    }

    /// The elements that show on a ground and whose names a span holds.
    pub(crate) fn find_within(&self, span: &Span) -> Vec<Range<Char>> {
        self.flat.iter().flat_map(|flat| flat.within(span)).map(chars).collect()
    }

    /// Whether no element that shows on a ground is named between two, but what is deleted since.
    pub(crate) fn is_next_kept(&self, element: &CharId, next: &CharId) -> bool {
        let mut name = *element;
        while let Some(between) = self.flat.as_ref().and_then(|flat| flat.next(&name)) {
            let is_deleted =
                || self.find_element(&between).is_some_and(|char| self.are_deleted(char..char.next()));
            if between >= *next || !is_deleted() {
                return between == *next;
            }
            name = between;
        }
        false
    }

    /// Whether a ground keeps the character.
    pub(super) fn is_kept(&self, char: Char) -> bool {
        char != Char::START && char < self.kept_end()
    }

    /// What followed where a character was inserted: of those that a ground keeps the next.
    pub(super) fn until(&self, char: Char) -> Option<Char> {
        match self.is_kept(char) {
            true => Some(char.next()).filter(|&next| self.is_kept(next)),
            false => self.chain(char).until,
        }
    }

    fn kept(&self, char: Char) -> Option<(&Flat, u32)> {
        self.flat.as_deref().filter(|_| self.is_kept(char)).map(|flat| (flat, char.0 - FIRST.0))
    }

    fn kept_end(&self) -> Char {
        FIRST.plus(self.flat.as_ref().map_or(0, |flat| flat.len()))
    }
}

fn chars(numbers: Range<u32>) -> Range<Char> {
    FIRST.plus(numbers.start)..FIRST.plus(numbers.end)
}
