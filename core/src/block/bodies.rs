//! The bytes of several messages, one after the other: one piece of memory, however many there are.

use std::ops::Range;

/// The canonical bytes of messages, in order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Bodies {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Bodies {
    /// Messages whose bytes stand one after the other, by where each ends.
    pub(super) fn new(bytes: Vec<u8>, ends: Vec<usize>) -> Self {
        debug_assert_eq!(ends.last().copied().unwrap_or(0), bytes.len());
        Self { bytes, ends }
    }

    /// The bytes of each message, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.into_iter()
    }

    /// The bytes of the message with that index.
    ///
    /// # Panics
    /// Panics where there are not so many.
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.start(index)..self.ends[index]]
    }

    /// A copy of the messages with those indexes.
    ///
    /// # Panics
    /// Panics where there are not so many.
    #[must_use]
    pub fn part(&self, indexes: Range<usize>) -> Self {
        let (start, end) = (self.start(indexes.start), self.start(indexes.end));
        let ends = self.ends[indexes].iter().map(|end| end - start).collect();
        Self { bytes: self.bytes[start..end].to_vec(), ends }
    }

    /// Adds a message behind the others.
    pub fn push(&mut self, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What they take together, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

/// The bytes of each message, in order.
pub struct Iter<'a> {
    bodies: &'a Bodies,
    left: Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left.next().map(|index| self.bodies.get(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Bodies {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter { bodies: self, left: 0..self.len() }
    }
}

impl<B: AsRef<[u8]>> FromIterator<B> for Bodies {
    fn from_iter<I: IntoIterator<Item = B>>(bodies: I) -> Self {
        let mut all = Self::default();
        bodies.into_iter().for_each(|body| all.push(body.as_ref()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_the_messages_of_the_whole() {
        let all = [&b"one"[..], b"", b"three", b"4"];
        let bodies: Bodies = all.into_iter().collect();
        assert!(bodies.iter().eq(all) && bodies.bytes() == 9);
        for (from, to) in [(0, 0), (0, 4), (1, 3), (4, 4)] {
            assert!(bodies.part(from..to).iter().eq(all[from..to].iter().copied()), "{from}..{to}");
        }
    }
}
