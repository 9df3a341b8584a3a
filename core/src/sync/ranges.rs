//! What a room holds, as hashes of ranges of its actors: two that differ in few of very many find those in a few round trips.
//!
//! Each actor has a place by a hash of its name, so ranges fill evenly whoever writes; a range is all places that begin with some
//! hexadecimal digits. The hash of a range is a function of what is held in it. Asks are answered from that alone, without
//! a memory of who asked what, so an exchange that was cut goes on wherever it is taken up.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::chain::Link;
use crate::id::Actor;
use crate::limits::{RANGE_ANSWER_BYTES_MAX, RANGE_NAMES_MAX};

/// Parts of a range.
pub const PARTS: usize = 16;
/// Digits of the narrowest ranges.
const DIGITS_MAX: u32 = 15;
/// Actors up to which a range is hashed as a whole: fewer hashes to keep.
const WHOLE_MAX: u64 = 8;
/// Actors up to which a range is told by their names even to who asks for sums: those would take as long.
pub(super) const FEW: u64 = 3;
/// Bytes of an actor and its number, about.
const NAME_BYTES: usize = 48;

/// The hash of a range as one exchange tells it. Two that are equal by chance, or because somebody looked for them, are
/// different in the next exchange.
pub type Sum = [u8; 6];
/// The sums of a range's parts; zeros where there is nobody.
pub type Sums = [Sum; PARTS];
/// What nobody has.
pub(super) const NOBODY: Sum = [0; 6];

/// All actors whose places begin with certain hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Range(u64);

impl Range {
    /// Every actor.
    pub const ALL: Self = Self(1);

    /// The range that a number stands for: a 1 and its digits, at most 15.
    pub fn new(number: u64) -> Option<Self> {
        (number > 0 && (63 - number.leading_zeros()).is_multiple_of(4)).then_some(Self(number))
    }

    /// The number that stands for it.
    pub fn number(self) -> u64 {
        self.0
    }

    fn digits(self) -> u32 {
        (63 - self.0.leading_zeros()) / 4
    }

    fn is_narrowest(self) -> bool {
        self.digits() == DIGITS_MAX
    }

    /// Its parts, in order; a narrowest range has none.
    pub fn parts(self) -> impl Iterator<Item = Self> {
        (0..PARTS as u64).filter(move |_| !self.is_narrowest()).map(move |digit| Self(self.0 << 4 | digit))
    }

    /// The part that a place is in, which is in this range.
    fn part_with(self, place: u64) -> Self {
        Self(self.0 << 4 | (place >> (60 - 4 * self.digits()) & 0xf))
    }

    fn places(self) -> RangeInclusive<u64> {
        // The 1 before the digits is shifted out.
        let first = self.0.checked_shl(64 - 4 * self.digits()).unwrap_or(0);
        first..=first | u64::MAX >> (4 * self.digits())
    }

    /// Whether an actor's place is in it.
    pub fn contains(self, actor: &Actor) -> bool {
        self.places().contains(&place(actor))
    }
}

fn place(actor: &Actor) -> u64 {
    let hash = *blake3::Hasher::new_derive_key("rtc 2026 place v1").update(&actor.0).finalize().as_bytes();
    u64::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}

/// What is told of ranges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Of these the sums of their parts.
    pub sums: Vec<(Range, Sums)>,
    /// Of these the highest number held of each of their actors.
    pub names: Vec<(Range, Vec<(Actor, u64)>)>,
}

/// What somebody wants to be told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Of these ranges the sums, or names if they are few.
    pub sums: Vec<Range>,
    /// Of these the names, or sums if they are too many.
    pub names: Vec<Range>,
}

/// What is held, by ranges. It follows [`Ranges::touch`] when it is next looked at, and costs then what has changed.
#[derive(Default)]
pub struct Ranges {
    actors: BTreeMap<(u64, Actor), (u64, Link)>,
    /// The ranges of more actors than [`WHOLE_MAX`], and their parts.
    nodes: BTreeMap<Range, Node>,
    touched: BTreeSet<Actor>,
}

#[derive(Default)]
struct Node {
    actors: u64,
    hash: Option<[u8; 32]>,
}

impl Ranges {
    /// Notes that what is held of an actor has changed.
    pub fn touch(&mut self, actor: Actor) {
        self.touched.insert(actor);
    }

    /// Follows what was touched; `head` tells the number and the link of an actor's newest message.
    pub fn follow(&mut self, head: impl Fn(&Actor) -> Option<(u64, Link)>) {
        for actor in std::mem::take(&mut self.touched) {
            let Some(head) = head(&actor) else { continue };
            let place = place(&actor);
            match self.actors.insert((place, actor), head) {
                None => self.count(Range::ALL, place),
                Some(_) => self.spoil(place),
            }
        }
    }

    /// Counts an actor in a range and those below it that are kept.
    fn count(&mut self, range: Range, place: u64) {
        let node = self.nodes.entry(range).or_default();
        (node.actors, node.hash) = (node.actors + 1, None);
        if range.is_narrowest() || node.actors <= WHOLE_MAX {
            return;
        }
        if node.actors > WHOLE_MAX + 1 {
            return self.count(range.part_with(place), place);
        }
        // Its parts begin to be kept.
        for place in self.within(range).map(|(place, _, _)| place).collect::<Vec<_>>() {
            self.count(range.part_with(place), place);
        }
    }

    /// Forgets the hashes of all ranges that a place is in.
    fn spoil(&mut self, place: u64) {
        let mut range = Range::ALL;
        while let Some(node) = self.nodes.get_mut(&range) {
            node.hash = None;
            if range.is_narrowest() {
                return;
            }
            range = range.part_with(place);
        }
    }

    fn within(&self, range: Range) -> impl Iterator<Item = (u64, Actor, (u64, Link))> {
        let (first, last) = (*range.places().start(), *range.places().end());
        let held = self.actors.range((first, Actor([0; 40]))..=(last, Actor([0xff; 40])));
        held.map(|(&(place, actor), &head)| (place, actor, head))
    }

    /// Of each actor of a range the highest number held.
    pub fn names(&self, range: Range) -> impl Iterator<Item = (Actor, u64)> {
        self.within(range).map(|(_, actor, (seq, _))| (actor, seq))
    }

    /// How many actors there are.
    pub(super) fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether anything is held of an actor.
    pub fn has(&self, actor: &Actor) -> bool {
        self.actors.contains_key(&(place(actor), *actor))
    }

    /// How many actors of a range there are, if not more than `most`; else some number above.
    fn actors(&self, range: Range, most: u64) -> u64 {
        match self.nodes.get(&range) {
            Some(node) => node.actors,
            None => self.within(range).take(usize::try_from(most + 1).unwrap_or(usize::MAX)).count() as u64,
        }
    }

    /// Whether a range has so few actors that their names are as short as sums.
    pub(super) fn is_short(&self, range: Range) -> bool {
        self.actors(range, FEW) <= FEW
    }

    /// Equal where the same is held in a range; nothing where nobody is in it.
    fn hash(&mut self, range: Range) -> Option<[u8; 32]> {
        let (actors, known) = match self.nodes.get(&range) {
            Some(node) => (node.actors, node.hash),
            None => (self.actors(range, WHOLE_MAX), None),
        };
        if actors == 0 || known.is_some() {
            return known;
        }
        let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 range v1");
        if actors <= WHOLE_MAX || range.is_narrowest() {
            for (_, actor, (seq, link)) in self.within(range) {
                hasher.update(&actor.0).update(&seq.to_be_bytes()).update(&link.short());
            }
        } else {
            for part in range.parts() {
                hasher.update(&self.hash(part).unwrap_or_default());
            }
        }
        let hash = *hasher.finalize().as_bytes();
        if let Some(node) = self.nodes.get_mut(&range) {
            node.hash = Some(hash);
        }
        Some(hash)
    }

    /// The sum of a range in the exchange of that number.
    fn sum(&mut self, range: Range, number: u64) -> Sum {
        let Some(hash) = self.hash(range) else { return NOBODY };
        let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 range sum v1");
        let sum = hasher.update(&number.to_be_bytes()).update(&hash).finalize();
        *sum.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }

    /// The sums of a range's parts in the exchange of that number.
    pub fn sums(&mut self, range: Range, number: u64) -> Sums {
        let mut sums = [NOBODY; PARTS];
        for (sum, part) in sums.iter_mut().zip(range.parts()) {
            *sum = self.sum(part, number);
        }
        sums
    }

    /// Tells what is wanted, in a frame of bounded size: it may leave some out, but not the first.
    pub fn answer(&mut self, wanted: &Wanted, number: u64) -> Told {
        let sums = wanted.sums.iter().map(|&range| (range, FEW));
        let names = wanted.names.iter().map(|&range| (range, RANGE_NAMES_MAX as u64));
        let mut told = Told::default();
        let mut bytes = 0;
        for (range, names_max) in sums.chain(names) {
            let is_long = self.actors(range, names_max) > names_max && !range.is_narrowest();
            let names: Vec<_> = self.names(range).take(if is_long { 0 } else { RANGE_NAMES_MAX }).collect();
            bytes += if is_long { size_of::<Sums>() } else { names.len() * NAME_BYTES };
            if bytes > RANGE_ANSWER_BYTES_MAX {
                break;
            }
            match is_long {
                true => told.sums.push((range, self.sums(range, number))),
                false => told.names.push((range, names)),
            }
        }
        told
    }
}
