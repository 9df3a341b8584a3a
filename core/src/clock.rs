//! What has been seen: version vectors, and the place of an op in the one total order.

use std::collections::BTreeMap;

use crate::id::{Actor, Dot};

/// An op's place in the total order: by lamport, then actor bytes, then the message's number, then index in it.
///
/// DESIGN §3, law 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp {
    /// 1 + the greatest lamport in the message's causal past.
    pub lamport: u64,
    /// Who made the message.
    pub actor: Actor,
    /// The message's number.
    pub seq: u64,
    /// The op's index in its message.
    pub index: u32,
}

impl Stamp {
    /// The op's message.
    pub fn dot(&self) -> Dot {
        Dot { actor: self.actor, seq: self.seq }
    }
}

/// Of each actor the highest sequence number held without a gap; absent is 0.
///
/// ```
/// use rtc_core::clock::VersionVector;
/// use rtc_core::id::{Actor, Dot};
///
/// let (a, b) = (Actor::from_name("a"), Actor::from_name("b"));
/// let mut held: VersionVector = [(a, 3)].into_iter().collect();
/// held.join(&[(a, 1), (b, 2)].into_iter().collect());
/// assert!(held.covers(&Dot { actor: a, seq: 3 }) && !held.covers(&Dot { actor: b, seq: 3 }));
/// assert_eq!(held.iter().collect::<Vec<_>>(), [(a, 3), (b, 2)]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct VersionVector(BTreeMap<Actor, u64>);

impl VersionVector {
    /// The highest number held of `actor`, 0 when none is.
    pub fn get(&self, actor: &Actor) -> u64 {
        self.0.get(actor).copied().unwrap_or(0)
    }

    /// Whether the message `dot` names is held.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.get(&dot.actor) >= dot.seq
    }

    /// Raises the entry of `actor` to `seq`; never lowers it.
    pub fn raise(&mut self, actor: Actor, seq: u64) {
        if seq > 0 {
            let entry = self.0.entry(actor).or_insert(0);
            *entry = (*entry).max(seq);
        }
    }

    /// Lowers the entry of `actor` to at most `seq`; never raises it.
    pub fn lower(&mut self, actor: &Actor, seq: u64) {
        if seq == 0 {
            self.0.remove(actor);
        } else if let Some(entry) = self.0.get_mut(actor) {
            *entry = (*entry).min(seq);
        }
    }

    /// Raises every entry to `other`'s.
    pub fn join(&mut self, other: &Self) {
        for (actor, seq) in other.iter() {
            self.raise(actor, seq);
        }
    }

    /// The entry of the least actor.
    pub fn first(&self) -> Option<(Actor, u64)> {
        self.0.first_key_value().map(|(&actor, &seq)| (actor, seq))
    }

    /// All entries in the order of the actors.
    pub fn iter(&self) -> impl Iterator<Item = (Actor, u64)> + '_ {
        self.0.iter().map(|(&actor, &seq)| (actor, seq))
    }

    /// The number of actors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Actor, u64)> for VersionVector {
    fn from_iter<I: IntoIterator<Item = (Actor, u64)>>(entries: I) -> Self {
        let mut vector = Self::default();
        for (actor, seq) in entries {
            vector.raise(actor, seq);
        }
        vector
    }
}
