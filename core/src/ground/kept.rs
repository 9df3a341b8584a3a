//! What a ground keeps of one text or list, in order: the characters that show, and what stands right behind each of them.

use std::sync::Arc;

use crate::id::Dot;
use crate::op::text::CharId;

/// Characters of a text, one behind the other; or elements of a list, or positions to which some were moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// So many characters of one op, which show.
    Shown {
        /// The first of them.
        first: CharId,
        /// How many there are; at least one.
        len: u32,
    },
    /// The first characters of the first ops of so many messages of one actor, each the next one: what was typed, and shows.
    Typed {
        /// The first of these messages.
        first: Dot,
        /// How many there are; at least two.
        len: u32,
    },
    /// An element that shows where a move has put it.
    Moved {
        /// What the move brought.
        position: CharId,
        /// What stands there.
        element: CharId,
    },
    /// What does not show, and stands right behind what does, or first of all.
    Hidden(CharId),
}

impl Kept {
    /// How many characters there are, of one at least.
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::Shown { len, .. } | Self::Typed { len, .. } => *len,
            Self::Moved { .. } | Self::Hidden(_) => 1,
        }
    }

    /// Whether they show.
    pub(crate) fn shows(&self) -> bool {
        !matches!(self, Self::Hidden(_))
    }

    /// The name of the place where one of them stands.
    pub(crate) fn position(&self, nth: u32) -> CharId {
        match self {
            Self::Shown { first, .. } => CharId { offset: first.offset.saturating_add(nth), ..*first },
            Self::Typed { first, .. } => typed(*first, nth),
            Self::Moved { position, .. } => *position,
            Self::Hidden(position) => *position,
        }
    }

    /// The name of what shows there.
    pub(crate) fn element(&self, nth: u32) -> Option<CharId> {
        match self {
            Self::Shown { .. } | Self::Typed { .. } => Some(self.position(nth)),
            Self::Moved { element, .. } => Some(*element),
            Self::Hidden(_) => None,
        }
    }
}

fn typed(first: Dot, nth: u32) -> CharId {
    CharId { dot: Dot { seq: first.seq.saturating_add(u64::from(nth)), ..first }, index: 0, offset: 0 }
}

/// Picks what is to be kept from all that stands there, in order.
pub(crate) struct Keeping {
    kept: Vec<Kept>,
    /// Whether what comes next stands behind the start or what shows.
    is_behind_shown: bool,
}

impl Keeping {
    pub(crate) fn new() -> Self {
        Self { kept: Vec::new(), is_behind_shown: true }
    }

    /// At this position that element shows.
    pub(crate) fn show(&mut self, position: CharId, element: CharId) {
        self.is_behind_shown = true;
        if position != element {
            self.kept.push(Kept::Moved { position, element });
            return;
        }
        match self.kept.last_mut() {
            Some(Kept::Shown { first, len })
                if position == (CharId { offset: first.offset.saturating_add(*len), ..*first }) =>
            {
                *len += 1;
            }
            Some(Kept::Typed { first, len }) if position == typed(*first, *len) => *len += 1,
            Some(last @ &mut Kept::Shown { first, len: 1 })
                if first == typed(first.dot, 0) && position == typed(first.dot, 1) =>
            {
                *last = Kept::Typed { first: first.dot, len: 2 };
            }
            Some(_) | None => self.kept.push(Kept::Shown { first: position, len: 1 }),
        }
    }

    /// So many characters of one op show. Gives what showing each of them gives.
    pub(crate) fn show_all(&mut self, first: CharId, count: u32) {
        for nth in 0..count.min(2) {
            let char = CharId { offset: first.offset + nth, ..first };
            self.show(char, char);
        }
        if let Some(Kept::Shown { len, .. }) = self.kept.last_mut() {
            *len += count.saturating_sub(2);
        }
    }

    /// Something does not show; its name is asked for where it is kept.
    pub(crate) fn hide(&mut self, position: impl FnOnce() -> CharId) {
        if std::mem::take(&mut self.is_behind_shown) {
            self.kept.push(Kept::Hidden(position()));
        }
    }

    pub(crate) fn finish(self) -> Arc<[Kept]> {
        self.kept.into()
    }
}
