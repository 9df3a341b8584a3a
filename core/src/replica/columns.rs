//! Memory that only grows, in pieces: nothing that is kept is ever copied to make room.

use crate::raw::Raw;

/// Items of one piece of a column.
const PIECE_ITEMS: usize = 1024;
/// Bytes of one piece of an arena.
const PIECE_BYTES: usize = 1 << 16;

/// A list that only grows.
pub(super) struct Column<T> {
    pieces: Vec<Vec<T>>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T> Column<T> {
    pub(super) fn len(&self) -> usize {
        match self.pieces.split_last() {
            Some((last, full)) => full.len() * PIECE_ITEMS + last.len(),
            None => 0,
        }
    }

    pub(super) fn push(&mut self, item: T) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE_ITEMS => last.push(item),
            _ => {
                // The first piece grows with what is there: most rooms are small, and most replicas of tests.
                let mut piece = Vec::with_capacity(if self.pieces.is_empty() { 0 } else { PIECE_ITEMS });
                piece.push(item);
                self.pieces.push(piece);
            }
        }
    }

    pub(super) fn get(&self, index: usize) -> &T {
        &self.pieces[index / PIECE_ITEMS][index % PIECE_ITEMS]
    }

    pub(super) fn get_mut(&mut self, index: usize) -> &mut T {
        &mut self.pieces[index / PIECE_ITEMS][index % PIECE_ITEMS]
    }
}

/// The canonical bytes of values.
#[derive(Default)]
pub(super) struct Arena {
    pieces: Vec<Vec<u8>>,
}

/// Where values begin in an arena.
#[derive(Clone, Copy)]
pub(super) struct Address {
    /// A number in its bytes, so that the address takes six of them.
    piece: [u8; 4],
    offset: u16,
}

impl Arena {
    /// Keeps two values, one behind the other. Nothing may follow them where they are now.
    pub(super) fn push(&mut self, values: [Raw<'_>; 2]) -> Address {
        debug_assert!(values.iter().all(|value| value.bytes() == value.memory()));
        let [one, other] = values.map(Raw::memory);
        let len = one.len() + other.len();
        let fits = |piece: &Vec<u8>| piece.len() + len <= PIECE_BYTES && piece.len() < PIECE_BYTES;
        if !self.pieces.last().is_some_and(fits) {
            let capacity = if self.pieces.is_empty() { len } else { len.max(PIECE_BYTES) };
            self.pieces.push(Vec::with_capacity(capacity));
        }
        let piece = self.pieces.len() - 1;
        let bytes = &mut self.pieces[piece];
        let address = Address {
            piece: u32::try_from(piece).expect("memory ends before 2^32 pieces").to_ne_bytes(),
            offset: u16::try_from(bytes.len()).expect("values begin within PIECE_BYTES"),
        };
        bytes.extend_from_slice(one);
        bytes.extend_from_slice(other);
        address
    }

    /// The first of the values kept there; the other follows it.
    pub(super) fn get(&self, address: Address) -> Raw<'_> {
        Raw::of_checked(
            &self.pieces[u32::from_ne_bytes(address.piece) as usize][usize::from(address.offset)..],
        )
    }
}
