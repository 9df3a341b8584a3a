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

/// The numbers of texts, from 0 in order of first mention.
#[derive(Default)]
pub(super) struct Texts {
    numbers: BTreeMap<Box<str>, usize>,
    texts: Vec<Box<str>>,
}

impl Texts {
    /// The number of a text, a new one where it has none.
    pub(super) fn number(&mut self, text: &str) -> usize {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len();
        self.numbers.insert(text.into(), number);
        self.texts.push(text.into());
        number
    }

    /// The number of a text that has one.
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        self.numbers.get(text).copied()
    }

    pub(super) fn text(&self, number: usize) -> &str {
        &self.texts[number]
    }

    /// All texts with their numbers, in the order of the texts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.numbers.iter().map(|(text, &number)| (&**text, number))
    }
}
