//! Who may do what in a room, as a pure function of what was said about that and of who had seen what (DESIGN §6).
//!
//! A room with members begins with its founder, an owner. An owner has power over every member *junior* to him: seniority is the
//! order in which members joined, by the stamps of the first grants that count, so whoever appointed a member, or appointed him who
//! did, is senior to it. Nobody has power over a senior, and over himself only to become less. So who a member is depends on his
//! seniors alone, and [`Judgement::of`] finds the members in their order.
//!
//! What takes a right away, a removal or a grant of a lesser role, takes it for every message of that key which it had not seen, and for
//! every grant that has not seen it: a removal beats what is concurrent, and whoever is admitted again counts from then on.
//!
//! ```
//! use rtc_core::clock::Stamp;
//! use rtc_core::id::{Actor, PeerKey};
//! use rtc_core::members::{Act, Judgement, Member, Role};
//!
//! let (founder, guest) = (PeerKey([1; 32]), PeerKey([2; 32]));
//! let stamp = Stamp { lamport: 1, actor: Actor::new(founder, 7), seq: 1, index: 0 };
//! let admits = Act { stamp, subject: guest, role: Some(Role::Viewer), name: None };
//! let judgement = Judgement::of(&[Member::founder(founder)], &[admits], |_, _| false);
//! assert_eq!(judgement.role(&guest), Some(Role::Viewer));
//! let [sees, is_seen] = [|_| true, |_| false];
//! assert!(judgement.counts(&guest, Role::Viewer, sees, is_seen) && !judgement.counts(&guest, Role::Editor, sees, is_seen));
//! ```

mod charter;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use charter::{Charter, Secret};

use crate::clock::Stamp;
use crate::id::PeerKey;
use crate::op::room::{GRANT, REMOVE};
use crate::op::{Op, OpCode};

/// What a member may do; each role may do what those below may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// He reads.
    Viewer,
    /// He edits.
    Editor,
    /// He says who the members are and how the room is called.
    Owner,
}

/// A member, or one who was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub key: PeerKey,
    /// What he may do; none where he was removed.
    pub role: Option<Role>,
    /// How he is called, for people; empty where nobody said.
    pub name: String,
}

/// What one op says about one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// Its place in the order of all ops.
    pub stamp: Stamp,
    /// Whom it is about.
    pub subject: PeerKey,
    /// What he is to be; none where he is removed.
    pub role: Option<Role>,
    /// How he is to be called, if it says so.
    pub name: Option<String>,
}

/// Which acts count, and what follows for everybody's messages.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// In order of seniority.
    members: Vec<Standing>,
    places: BTreeMap<PeerKey, usize>,
    /// The acts that count.
    effective: BTreeSet<usize>,
}

/// How one key stands.
#[derive(Clone, PartialEq, Debug)]
struct Standing {
    key: PeerKey,
    name: String,
    grants: Vec<Grant>,
}

/// A right that was given.
#[derive(Clone, PartialEq, Debug)]
struct Grant {
    /// None where it was there from the beginning, which everybody has seen.
    act: Option<usize>,
    role: Role,
    /// The acts that it has not seen and that take something away, with what they leave: of one actor's that leave the same the
    /// first, since the others have seen no less.
    unseen: Vec<(usize, Option<Role>)>,
}

impl Role {
    /// All of them, the greatest first.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Editor, Self::Viewer];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
        }
    }

    /// The role of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Member {
    /// The first member of every room.
    pub fn founder(key: PeerKey) -> Self {
        Self { key, role: Some(Role::Owner), name: String::new() }
    }
}

impl Act {
    /// What an op says about a member; nothing where it is about something else or can have no effect.
    pub fn of(stamp: Stamp, op: &Op) -> Option<Self> {
        let text = |name: &str| op.options.get(name).and_then(|value| value.as_text());
        let role = match op.code {
            GRANT => text("role").and_then(Role::of_word),
            REMOVE => None,
            OpCode(_) => return None,
        };
        op.resolve().ok()?;
        let subject = op.value.as_text()?.parse().ok()?;
        Some(Self { stamp, subject, role, name: text("name").map(str::to_owned) })
    }

    /// Who says it.
    pub fn author(&self) -> PeerKey {
        self.stamp.actor.key()
    }

    /// Whether it is about who says it.
    fn is_own(&self) -> bool {
        self.author() == self.subject
    }

    /// What its author has to be. Over himself everybody has the power to be no more than he is, and to leave.
    fn need(&self) -> Role {
        match self.is_own() {
            true => self.role.unwrap_or(Role::Viewer),
            false => Role::Owner,
        }
    }
}

impl Judgement {
    /// Judges acts upon members who were there before, in order of seniority. `has_seen(by, of)` says whether the act `by` has seen
    /// another one, by their places among the acts, which may come in any order.
    pub fn of(before: &[Member], acts: &[Act], has_seen: impl Fn(usize, usize) -> bool) -> Self {
        let mut about: BTreeMap<PeerKey, Vec<usize>> = BTreeMap::new();
        let mut by: BTreeMap<PeerKey, Vec<usize>> = BTreeMap::new();
        for (i, act) in acts.iter().enumerate() {
            about.entry(act.subject).or_default().push(i);
            by.entry(act.author()).or_default().push(i);
        }
        about.values_mut().for_each(|about| about.sort_by_key(|&i| acts[i].stamp));
        let mut judgement = Self::default();
        let bench = Bench { acts, about, by, has_seen: &has_seen };
        for member in before {
            judgement.seat(Standing::of(member), &bench);
        }
        // What a member says comes after what made him one, so of all grants that count the least is always the next to seat somebody.
        let mut pending = BTreeSet::new();
        before.iter().for_each(|member| judgement.note_grants(&member.key, &bench, &mut pending));
        while let Some((_, next)) = pending.pop_first() {
            let key = acts[next].subject;
            if !judgement.places.contains_key(&key) {
                judgement.seat(Standing::of(&Member { key, role: None, name: String::new() }), &bench);
                judgement.note_grants(&key, &bench, &mut pending);
            }
        }
        judgement
    }

    /// Notes what a member grants to others.
    fn note_grants(&self, key: &PeerKey, bench: &Bench<'_>, pending: &mut BTreeSet<(Stamp, usize)>) {
        let acts = bench.by.get(key).into_iter().flatten().copied();
        let grants = acts.filter(|&i| bench.acts[i].role.is_some() && !bench.acts[i].is_own());
        pending.extend(grants.filter(|&i| self.allows(i, bench)).map(|i| (bench.acts[i].stamp, i)));
    }

    /// Lets a key take its place behind all who are senior to it, and judges everything that is about it.
    fn seat(&mut self, mut standing: Standing, bench: &Bench<'_>) {
        self.places.insert(standing.key, self.members.len());
        let about = bench.about.get(&standing.key).map(Vec::as_slice).unwrap_or_default();
        let (mut own, mut others): (Vec<usize>, Vec<usize>) =
            about.iter().partition(|&&i| bench.acts[i].is_own());
        others.retain(|&i| self.allows(i, bench));
        let grants = others.iter().filter_map(|&i| Some((i, bench.acts[i].role?)));
        standing.grants.extend(grants.map(|(i, role)| Grant { act: Some(i), role, unseen: Vec::new() }));
        others.iter().for_each(|&i| standing.limit(i, bench));
        // What a member says of himself gives him nothing.
        own.retain(|&i| {
            let is_allowed = standing.allows(i, bench);
            if is_allowed {
                standing.limit(i, bench);
            }
            is_allowed
        });
        let named = own.iter().chain(&others).filter(|&&i| bench.acts[i].name.is_some());
        if let Some(&last) = named.max_by_key(|&&i| bench.acts[i].stamp) {
            standing.name = bench.acts[last].name.clone().unwrap_or_default();
        }
        self.effective.extend(own.into_iter().chain(others));
        self.members.push(standing);
    }

    /// Whether somebody's act upon another counts.
    fn allows(&self, act: usize, bench: &Bench<'_>) -> bool {
        let Act { subject, .. } = &bench.acts[act];
        let author = bench.acts[act].author();
        self.is_senior(&author, subject)
            && self.standing(&author).is_some_and(|author| author.allows(act, bench))
    }

    /// Whether a message of a key counts as one of at least that role: given which acts it has seen, and which have seen it.
    pub fn counts(
        &self,
        key: &PeerKey,
        need: Role,
        sees: impl Fn(usize) -> bool,
        is_seen_by: impl Fn(usize) -> bool,
    ) -> bool {
        self.standing(key).is_some_and(|standing| standing.counts(need, &sees, &is_seen_by))
    }

    /// The grants by which all messages of a key that have seen one of them count as of at least that role, as far as is known; none
    /// within for one that everybody has seen.
    pub fn lasting(&self, key: &PeerKey, need: Role) -> impl Iterator<Item = Option<usize>> {
        let grants = self.standing(key).into_iter().flat_map(|standing| &standing.grants);
        let lasts = move |grant: &&Grant| {
            grant.role >= need && grant.unseen.iter().all(|&(_, left)| left >= Some(need))
        };
        grants.filter(lasts).map(|grant| grant.act)
    }

    /// The act that made a key the member that it is: the first grant that nothing has taken away since. None of who was there before all
    /// acts, or is no member.
    pub fn admitted_by(&self, key: &PeerKey) -> Option<usize> {
        let lasts = |grant: &&Grant| grant.unseen.iter().all(|(_, left)| left.is_some());
        self.standing(key)?.grants.iter().find(lasts)?.act
    }

    /// The keys that stand otherwise than in another judgement, where the same acts have the same places.
    pub fn changed(&self, before: &Self) -> BTreeSet<PeerKey> {
        let keys = self.places.keys().chain(before.places.keys());
        keys.filter(|key| self.standing(key) != before.standing(key)).copied().collect()
    }

    /// Whether an act counts.
    pub fn is_effective(&self, act: usize) -> bool {
        self.effective.contains(&act)
    }

    /// What a member may do who has seen everything; nothing where the key is none.
    pub fn role(&self, key: &PeerKey) -> Option<Role> {
        self.standing(key)?.role()
    }

    /// Whether `senior` joined before `junior`, who may be no member yet.
    pub fn is_senior(&self, senior: &PeerKey, junior: &PeerKey) -> bool {
        let Some(senior) = self.places.get(senior) else { return false };
        self.places.get(junior).is_none_or(|junior| senior < junior)
    }

    /// All who are members or were, in order of seniority.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.members.iter().map(|standing| Member {
            key: standing.key,
            role: standing.role(),
            name: standing.name.clone(),
        })
    }

    fn standing(&self, key: &PeerKey) -> Option<&Standing> {
        self.places.get(key).map(|&place| &self.members[place])
    }
}

/// What is to be judged.
struct Bench<'a> {
    acts: &'a [Act],
    /// Of each key the acts upon it, in the order of their stamps.
    about: BTreeMap<PeerKey, Vec<usize>>,
    /// And those that it says.
    by: BTreeMap<PeerKey, Vec<usize>>,
    has_seen: &'a dyn Fn(usize, usize) -> bool,
}

impl Standing {
    fn of(member: &Member) -> Self {
        let grant = member.role.map(|role| Grant { act: None, role, unseen: Vec::new() });
        Self { key: member.key, name: member.name.clone(), grants: grant.into_iter().collect() }
    }

    /// Takes in an act that counts, after those with lesser stamps, as far as it takes something away.
    fn limit(&mut self, act: usize, bench: &Bench<'_>) {
        let (stamp, left) = (bench.acts[act].stamp, bench.acts[act].role);
        if left == Some(Role::Owner) {
            return;
        }
        for grant in &mut self.grants {
            let is_seen = grant.act.is_some_and(|grant| grant == act || (bench.has_seen)(grant, act));
            let is_like = |&(other, other_left): &(usize, _)| {
                other_left == left && bench.acts[other].stamp.actor == stamp.actor
            };
            if !is_seen && !grant.unseen.iter().any(is_like) {
                grant.unseen.push((act, left));
            }
        }
    }

    fn counts(&self, need: Role, sees: &dyn Fn(usize) -> bool, is_seen_by: &dyn Fn(usize) -> bool) -> bool {
        self.grants.iter().any(|grant| {
            grant.role >= need
                && grant.act.is_none_or(sees)
                && grant.unseen.iter().all(|&(limit, left)| left >= Some(need) || is_seen_by(limit))
        })
    }

    /// Whether an act of this member's has the right it needs. It is part of its message, which it does not cut off.
    fn allows(&self, act: usize, bench: &Bench<'_>) -> bool {
        // Two of his daemons may lower him at once: what he says of himself nothing stops that he says without knowing of it.
        let is_apart = |limit: usize| {
            bench.acts[act].is_own() && bench.acts[limit].is_own() && !(bench.has_seen)(act, limit)
        };
        let is_seen_by = |limit| limit == act || (bench.has_seen)(limit, act) || is_apart(limit);
        self.counts(bench.acts[act].need(), &|grant| (bench.has_seen)(act, grant), &is_seen_by)
    }

    fn role(&self) -> Option<Role> {
        Role::ALL.into_iter().find(|&role| self.counts(role, &|_| true, &|_| false))
    }
}

#[cfg(test)]
mod tests;
