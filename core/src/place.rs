//! Where a node stands among its siblings: a dense order, so that between any two places there is always another.
//!
//! A place is a path of components, each a fraction and the stamp of the op that minted it, compared component by component;
//! a path comes before its extensions. Every place ends in its minter's stamp, so no two ops mint the same one. An op
//! writes its place without that last stamp, which it cannot know better than its reader:
//! `[[fraction, lamport, actor, seq, index]…, fraction]`, fractions in lower-case hex.

use std::cmp::Ordering;

use data_encoding::HEXLOWER;

use crate::clock::Stamp;
use crate::limits::{FRACTION_BYTES_MAX, LAMPORT_MAX, PLACE_COMPONENTS_MAX};
use crate::value::Value;

/// A place in the order of siblings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place(Vec<Component>);

/// One step of the path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Component {
    fraction: Fraction,
    stamp: Stamp,
}

/// A number between 0 and 1 in base 256, both excluded: not empty, and the last digit is not 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Fraction(Vec<u8>);

/// The fraction of a place that was not minted between others.
const HALF: [u8; 1] = [0x80];

/// Two places have no room for a third: their paths are as long as paths may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a place of {PLACE_COMPONENTS_MAX} components, or a fraction of {FRACTION_BYTES_MAX} bytes, is the longest there may be"
)]
pub struct NoRoom;

impl Place {
    /// The place of a node that was given none: after everything that was made before it.
    pub fn at(stamp: Stamp) -> Self {
        Self(vec![Component { fraction: Fraction::half(), stamp }])
    }

    /// A place after `low` and before `high`, ending in `stamp`. Where `low` is not below `high`, `high` is ignored.
    pub fn between(low: Option<&Self>, high: Option<&Self>, stamp: Stamp) -> Result<Self, NoRoom> {
        let low = low.map_or(&[][..], |place| &place.0);
        let high = high.map(|place| &place.0[..]).filter(|high| low < *high);
        let place = Self(between(low, high, stamp));
        debug_assert!(low < &place.0[..] && high.is_none_or(|high| &place.0[..] < high));
        let fits = place.0.iter().all(|component| component.fraction.0.len() <= FRACTION_BYTES_MAX);
        if fits && place.0.len() <= PLACE_COMPONENTS_MAX { Ok(place) } else { Err(NoRoom) }
    }

    /// What an op carries as its `place`.
    pub fn write(&self) -> Value {
        let (last, path) = self.0.split_last().expect("a place has a component");
        let mut list: Vec<Value> = path.iter().map(Component::write).collect();
        list.push(last.fraction.write());
        Value::List(list)
    }

    /// Reads what the op at `stamp` carries; nothing where it is no place, or a longer one than there may be.
    pub fn read(value: &Value, stamp: Stamp) -> Option<Self> {
        let (last, path) = value.as_list()?.split_last()?;
        if path.len() >= PLACE_COMPONENTS_MAX {
            return None;
        }
        let mut components = path.iter().map(Component::read).collect::<Option<Vec<_>>>()?;
        components.push(Component { fraction: Fraction::read(last)?, stamp });
        Some(Self(components))
    }

    /// The stamp of the op that minted it, which is not part of what [`Place::write`] writes.
    pub fn stamp(&self) -> Stamp {
        self.0.last().expect("a place has a component").stamp
    }

    /// Whether `value` is written as a place.
    pub fn is_written(value: &Value) -> bool {
        let any = Stamp { lamport: 0, actor: crate::id::Actor([0; 40]), seq: 0, index: 0 };
        Self::read(value, any).is_some()
    }

    /// Orders default places of two stamps without making them.
    pub(crate) fn compare(a: (Option<&Self>, Stamp), b: (Option<&Self>, Stamp)) -> Ordering {
        match (a.0, b.0) {
            (None, None) => a.1.cmp(&b.1),
            (Some(place), Some(other)) => place.cmp(other).then(a.1.cmp(&b.1)),
            (Some(place), None) => place.compare_to_default(b.1).then(a.1.cmp(&b.1)),
            (None, Some(other)) => other.compare_to_default(a.1).reverse().then(a.1.cmp(&b.1)),
        }
    }

    /// A number by which most are told apart that [`Place::compare`] orders: of two with different numbers the lesser comes
    /// first. It tells the fraction's first digits and the lamport time of the first component.
    pub(crate) fn rough(place: Option<&Self>, default: Stamp) -> u64 {
        const DIGITS: usize = 3;
        const LATEST: u64 = (1 << (64 - 8 * DIGITS)) - 1;
        let first = place.map(|place| &place.0[0]);
        let (fraction, stamp) =
            first.map_or((&HALF[..], default), |first| (&first.fraction.0[..], first.stamp));
        let mut digits = [0; 8];
        digits.iter_mut().zip(fraction).take(DIGITS).for_each(|(digit, &byte)| *digit = byte);
        // What goes on after these digits comes after all that does not.
        let time = if fraction.len() > DIGITS { LATEST } else { stamp.lamport.min(LATEST) };
        u64::from_be_bytes(digits) | time
    }

    /// Orders this and the place of a node that was given none.
    fn compare_to_default(&self, stamp: Stamp) -> Ordering {
        let (first, rest) = self.0.split_first().expect("a place has a component");
        let longer = || if rest.is_empty() { Ordering::Equal } else { Ordering::Greater };
        first.fraction.0[..].cmp(&HALF[..]).then_with(|| first.stamp.cmp(&stamp)).then_with(longer)
    }
}

/// A path strictly between `low` and `high`, which differ, or open ends; it ends in `stamp`.
fn between(low: &[Component], high: Option<&[Component]>, stamp: Stamp) -> Vec<Component> {
    match (low.split_first(), high.and_then(|high| high.split_first())) {
        (None, None) => vec![Component { fraction: Fraction::half(), stamp }],
        (None, Some((first, _))) => vec![Component { fraction: first.fraction.below(), stamp }],
        (Some((lowest, low_rest)), Some((first, high_rest))) if lowest == first => {
            extend(lowest, between(low_rest, Some(high_rest), stamp))
        }
        (Some((lowest, low_rest)), first) => {
            // The minter's stamp is usually greater than what it has seen, so the same fraction does.
            let same = Component { fraction: lowest.fraction.clone(), stamp };
            if *lowest < same && first.is_none_or(|(first, _)| same < *first) {
                vec![same]
            } else {
                extend(lowest, between(low_rest, None, stamp))
            }
        }
    }
}

fn extend(first: &Component, rest: Vec<Component>) -> Vec<Component> {
    let mut path = Vec::with_capacity(1 + rest.len());
    path.push(first.clone());
    path.extend(rest);
    path
}

impl Fraction {
    fn half() -> Self {
        Self(HALF.to_vec())
    }

    /// A smaller fraction: one step of 2^-24 below while there is one, so that inserting in front again and again
    /// costs bytes only once in eight million times.
    fn below(&self) -> Self {
        let mut digits = [0; 4];
        for (digit, byte) in digits[1..].iter_mut().zip(&self.0) {
            *digit = *byte;
        }
        let steps = u32::from_be_bytes(digits);
        let mut smaller = steps.saturating_sub(1).to_be_bytes()[1..].to_vec();
        match steps {
            0 => smaller.extend(Self(self.0[3..].to_vec()).below().0),
            1 => smaller.push(0x80),
            2.. => {}
        }
        while smaller.last() == Some(&0) {
            smaller.pop();
        }
        Self(smaller)
    }

    fn write(&self) -> Value {
        HEXLOWER.encode(&self.0).into()
    }

    fn read(value: &Value) -> Option<Self> {
        let text = value.as_text().filter(|text| text.len() <= 2 * FRACTION_BYTES_MAX)?;
        let digits = HEXLOWER.decode(text.as_bytes()).ok()?;
        digits.last().is_some_and(|&last| last != 0).then_some(Self(digits))
    }
}

impl Component {
    fn write(&self) -> Value {
        let Stamp { lamport, actor, seq, index } = self.stamp;
        Value::List(vec![
            self.fraction.write(),
            integer(lamport),
            actor.to_string().into(),
            integer(seq),
            integer(index.into()),
        ])
    }

    fn read(value: &Value) -> Option<Self> {
        let [fraction, lamport, actor, seq, index] = value.as_list()? else { return None };
        let whole = |value: &Value| match value {
            Value::Number(number) => number.as_integer().and_then(|integer| u64::try_from(integer).ok()),
            _ => None,
        };
        let stamp = Stamp {
            lamport: whole(lamport)?,
            actor: actor.as_text()?.parse().ok()?,
            seq: whole(seq)?,
            index: whole(index)?.try_into().ok()?,
        };
        Some(Self { fraction: Fraction::read(fraction)?, stamp })
    }
}

#[expect(clippy::cast_precision_loss, reason = "lamports, and the numbers below them, stay under 2^53")]
fn integer(number: u64) -> Value {
    debug_assert!(number <= LAMPORT_MAX);
    Value::number(number as f64).expect("an integer is finite")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Actor;

    fn stamp(lamport: u64) -> Stamp {
        Stamp { lamport, actor: Actor::from_name("a"), seq: 1, index: 0 }
    }

    /// Every gap of every list that every order of six insertions makes has room, and what is minted stands in it.
    #[test]
    fn between_any_two_places_there_is_another() {
        fn grow(places: &mut Vec<Place>, lamports: &[u64], deepest: &mut usize) {
            let Some((&lamport, rest)) = lamports.split_first() else { return };
            for gap in 0..=places.len() {
                let low = gap.checked_sub(1).map(|i| &places[i]);
                let place = Place::between(low, places.get(gap), stamp(lamport)).unwrap();
                assert!(low.is_none_or(|low| *low < place));
                assert!(places.get(gap).is_none_or(|high| place < *high));
                assert_eq!(Place::read(&place.write(), stamp(lamport)), Some(place.clone()));
                *deepest = (*deepest).max(place.0.len());
                places.insert(gap, place);
                grow(places, rest, deepest);
                places.remove(gap);
            }
        }
        let mut deepest = 0;
        grow(&mut Vec::new(), &[1, 2, 3, 4, 5, 6], &mut deepest);
        assert!(deepest <= 6);
        // A minter whose stamp is lower than what it inserts between finds room too.
        grow(&mut Vec::new(), &[6, 5, 4, 3, 2, 1], &mut deepest);
        grow(&mut vec![Place::at(stamp(9)), Place::at(stamp(10))], &[4, 20, 3, 12], &mut deepest);
    }

    #[test]
    fn the_rough_order_is_never_against_the_order() {
        let fractions =
            [vec![1], vec![127, 255], vec![128], vec![128, 0, 1], vec![128, 0, 1, 1], vec![128, 0, 1, 1, 7]];
        let stamps = [1, 2, 1 << 39, 1 << 40, 1 << 52].map(stamp);
        let component = |fraction: &Vec<u8>, stamp| Component { fraction: Fraction(fraction.clone()), stamp };
        let mut all: Vec<(Option<Place>, Stamp)> = stamps.map(|stamp| (None, stamp)).into();
        for first in fractions.iter().flat_map(|fraction| stamps.map(|stamp| component(fraction, stamp))) {
            let more = component(&vec![3], stamps[0]);
            all.push((Some(Place(vec![first.clone(), more])), stamps[2]));
            all.push((Some(Place(vec![first])), stamps[2]));
        }
        let mut told_apart = 0;
        for (place, birth) in &all {
            for (other, other_birth) in &all {
                let (a, b) = ((place.as_ref(), *birth), (other.as_ref(), *other_birth));
                let rough = Place::rough(a.0, a.1).cmp(&Place::rough(b.0, b.1));
                assert!(rough.is_eq() || rough == Place::compare(a, b), "{a:?}, {b:?}");
                told_apart += usize::from(rough.is_ne());
            }
        }
        assert!(told_apart > all.len() * all.len() / 2);
    }

    #[test]
    fn inserting_at_one_end_or_behind_one_node_does_not_lengthen_places() {
        let mut first = Place::at(stamp(1));
        let mut last = first.clone();
        let anchor = first.clone();
        let mut behind = Place::at(stamp(2));
        for lamport in 3..20_000 {
            first = Place::between(None, Some(&first), stamp(lamport)).unwrap();
            last = Place::between(Some(&last), None, stamp(lamport)).unwrap();
            behind = Place::between(Some(&anchor), Some(&behind), stamp(lamport)).unwrap();
            assert!(first.0.len() == 1 && first.0[0].fraction.0.len() <= 3);
            assert!(last.0.len() == 1 && last.0[0].fraction.0.len() == 1);
            assert!(behind.0.len() <= 2 && behind.0.last().unwrap().fraction.0.len() <= 3);
        }
    }

    #[test]
    fn below_every_fraction_there_is_a_smaller_one() {
        let mut fraction = Fraction(vec![0, 0, 3]);
        for _ in 0..10 {
            let smaller = fraction.below();
            assert!(smaller < fraction && smaller.0.last().is_some_and(|&last| last != 0), "{smaller:?}");
            fraction = smaller;
        }
        assert_eq!(Fraction(vec![1]).below(), Fraction(vec![0, 255, 255]));
        assert!(Fraction(vec![0, 0, 0, 1]).below() < Fraction(vec![0, 0, 0, 1]));
    }

    #[test]
    fn what_is_no_place_is_not_read_as_one() {
        for json in
            ["[]", "[\"\"]", "[\"00\"]", "[\"8000\"]", "[\"8G\"]", "[0]", "\"80\"", "[[\"80\",1],\"80\"]"]
        {
            assert!(!Place::is_written(&serde_json::from_str(json).unwrap()), "{json}");
        }
        let long = Value::List(vec!["80".into(); PLACE_COMPONENTS_MAX + 1]);
        assert!(!Place::is_written(&long));
    }
}
