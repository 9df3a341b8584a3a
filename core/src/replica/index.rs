//! Dense numbers for what the fold touches often, so that its paths compare integers instead of texts.

use std::collections::BTreeMap;

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
    /// All texts, one behind the other.
    all: String,
    /// Where each ends.
    ends: Vec<usize>,
    /// Where texts are found: at the place that their bytes give or soon after, their number and 1.
    near: Vec<u32>,
    /// Those that found no room there.
    ///
    /// Peers choose the texts, so they can choose some that fall to one place; an ordered map nobody can slow down.
    far: BTreeMap<Box<str>, u32>,
}

impl Texts {
    /// The number of a text, a new one where it has none.
    pub(super) fn number(&mut self, text: &str) -> usize {
        if let Some(number) = self.find(text) {
            return number;
        }
        let number = self.ends.len();
        self.all.push_str(text);
        self.ends.push(self.all.len());
        if self.near.len() < self.ends.len() * 2 {
            self.near = vec![0; self.ends.len() * 8];
            self.far.clear();
            (0..=number).for_each(|number| self.note(number));
        } else {
            self.note(number);
        }
        number
    }

    /// The number of a text that has one.
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        let place = place(text, self.near.len());
        for &near in self.near.iter().skip(place).take(NEAR) {
            let number = near.checked_sub(1)? as usize;
            if self.text(number) == text {
                return Some(number);
            }
        }
        self.far.get(text).map(|&number| number as usize)
    }

    pub(super) fn text(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..self.ends[number]]
    }

    /// All texts with their numbers, in the order of the texts. Costs putting them in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        let mut all: Vec<(&str, usize)> =
            (0..self.ends.len()).map(|number| (self.text(number), number)).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// Lets a text be found.
    fn note(&mut self, number: usize) {
        let place = place(self.text(number), self.near.len());
        let narrow = u32::try_from(number).expect("memory ends before 2^32 of them");
        match self.near.iter_mut().skip(place).take(NEAR).find(|near| **near == 0) {
            Some(free) => *free = narrow + 1,
            None => drop(self.far.insert(self.text(number).into(), narrow)),
        }
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
