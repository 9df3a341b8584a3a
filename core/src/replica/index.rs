//! Dense numbers for what the fold touches often, so that its paths compare integers instead of texts.

use std::collections::BTreeMap;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(crate) struct $name(pub(super) u32);

        impl $name {
            /// The number of what stands at `index`.
            pub(crate) fn of(index: usize) -> Self {
                Self(u32::try_from(index).expect("memory ends before 2^32 of them"))
            }

            /// Where it stands.
            pub(crate) fn at(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}
number! {
    /// An actor, in order of first mention.
    ActorIx
    /// A message, in order of arrival.
    MessageIx
    /// An op, in order of arrival.
    OpIx
    /// A node's key, in order of first mention.
    NodeIx
    /// A property's path, in order of first mention.
    PathIx
    /// One property of one node.
    CellIx
}

/// At how many places a text is looked for before it is in the ordered map: with four places to a text it hardly ever is.
const NEAR: usize = 4;

/// The numbers of texts, from 0 in order of first mention.
#[derive(Default)]
pub(super) struct Texts {
    numbers: BTreeMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    /// The number that was asked for last: it mostly is again, where somebody types or moves one thing after the other.
    last: usize,
    /// Where texts are likely to be found: at the place that their bytes give or soon after, their number and 1.
    ///
    /// Peers choose the texts, so they can choose some that fall to one place. What finds no room there is found in the
    /// ordered map, which nobody can slow down.
    likely: Vec<u32>,
}

impl Texts {
    /// The number of a text, a new one where it has none.
    pub(super) fn number(&mut self, text: &str) -> usize {
        if let Some(number) = self.find(text) {
            self.last = number;
            return number;
        }
        let number = self.texts.len();
        let shared: Arc<str> = text.into();
        let narrow = u32::try_from(number).expect("memory ends before 2^32 of them");
        self.numbers.insert(shared.clone(), narrow);
        self.texts.push(shared);
        if self.likely.len() < self.texts.len() * 2 {
            self.likely = vec![0; self.texts.len() * 8];
            for (text, number) in self.texts.iter().zip(1..) {
                note(&mut self.likely, text, number);
            }
        } else {
            note(&mut self.likely, text, narrow + 1);
        }
        number
    }

    /// The number of a text that has one.
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        if self.texts.get(self.last).is_some_and(|last| **last == *text) {
            return Some(self.last);
        }
        let place = place(text, self.likely.len());
        for &likely in self.likely.iter().skip(place).take(NEAR) {
            let number = likely.checked_sub(1)? as usize;
            if *self.texts[number] == *text {
                return Some(number);
            }
        }
        self.numbers.get(text).map(|&number| number as usize)
    }

    pub(super) fn text(&self, number: usize) -> &str {
        &self.texts[number]
    }

    /// All texts with their numbers, in the order of the texts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.numbers.iter().map(|(text, &number)| (&**text, number as usize))
    }
}

/// Puts a number at a text's place or soon after, if there is room.
fn note(likely: &mut [u32], text: &str, number: u32) {
    let place = place(text, likely.len());
    if let Some(free) = likely.iter_mut().skip(place).take(NEAR).find(|number| **number == 0) {
        *free = number;
    }
}

/// A place among so many that a text's bytes give.
fn place(text: &str, places: usize) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = text.len() as u64;
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    for word in words.iter().chain([&last]) {
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    // The product's upper half scales the hash to the places.
    let scaled = u128::from(hash) * places as u128;
    usize::try_from(scaled >> 64).expect("less than the places")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_keeps_its_number() {
        let mut texts = Texts::default();
        assert_eq!(texts.find(""), None);
        let all: Vec<String> = (0..5_000).map(|i| format!("{}node-{i}", "x".repeat(i % 20))).collect();
        for (number, text) in all.iter().enumerate() {
            assert_eq!((texts.find(text), texts.number(text)), (None, number));
            assert_eq!((texts.find(text), texts.number(text)), (Some(number), number));
        }
        for (number, text) in all.iter().enumerate() {
            assert_eq!((texts.find(text), texts.text(number)), (Some(number), text.as_str()));
        }
        assert!(texts.iter().is_sorted() && texts.iter().count() == all.len());
    }
}
