//! Which acts upon a room's members count: seat after seat in the order of seniority, and of a seat key after key.

use std::collections::{BTreeMap, BTreeSet};

use super::{Act, Deed, Former, Member, Role};
use crate::clock::Stamp;
use crate::id::PeerKey;
use crate::limits::SEAT_KEYS_MAX;

/// Which acts count, and what follows for everybody's messages.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// In order of seniority.
    seats: Vec<Standing>,
    /// For which seat a key speaks, and which of the seat's keys it is; for several where somebody rotated to a key that had a seat.
    voices: BTreeMap<PeerKey, Vec<(usize, usize)>>,
    /// The acts that count.
    effective: BTreeSet<usize>,
}

/// How one seat stands.
#[derive(Clone, PartialEq, Debug)]
struct Standing {
    /// Never none; the newest last.
    keys: Vec<Tenure>,
    name: String,
    grants: Vec<Grant>,
    /// The acts upon it that count, rotations apart.
    acts: Vec<usize>,
}

/// A key, while it speaks for a seat.
#[derive(Clone, PartialEq, Debug)]
struct Tenure {
    key: PeerKey,
    /// The acts that brought it, of which any will do: who lost one says it again. None of the first one, and where they are forgotten,
    /// so that everybody has seen it.
    since: Vec<usize>,
    /// What it has signed when it gave way to the next one.
    gave_way: Option<Former>,
}

/// A key as it speaks for a seat.
struct Voice<'a> {
    place: usize,
    standing: &'a Standing,
    tenure: &'a Tenure,
    /// Who came after it.
    next: Option<&'a Tenure>,
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

impl Judgement {
    /// Judges acts upon members who were there before, in order of seniority. `has_seen(by, of)` says whether the act `by` has seen
    /// another one, by their places among the acts, which may come in any order.
    pub fn of(before: &[Member], acts: &[Act], has_seen: impl Fn(usize, usize) -> bool) -> Self {
        let mut bench = Bench { acts, has_seen: &has_seen, about: BTreeMap::new(), by: BTreeMap::new() };
        for (i, act) in acts.iter().enumerate() {
            bench.about.entry(act.subject).or_default().push(i);
            bench.by.entry(act.author()).or_default().push(i);
        }
        bench.about.values_mut().for_each(|about| about.sort_by_key(|&i| acts[i].stamp));
        let mut judgement = Self::default();
        for member in before {
            judgement.seat(Standing::of(member), &bench);
        }
        // What a member says comes after what made him one, so of all grants that count the least is always the next to seat somebody.
        let mut pending = BTreeSet::new();
        (0..judgement.seats.len()).for_each(|place| judgement.note_grants(place, &bench, &mut pending));
        while let Some((_, next)) = pending.pop_first() {
            if !judgement.has_seat(next, &bench) {
                judgement.seat(Standing::of(&Member::unknown(acts[next].subject)), &bench);
                judgement.note_grants(judgement.seats.len() - 1, &bench, &mut pending);
            }
        }
        judgement
    }

    /// Whether there is a seat that an act is about: one whose first key is its subject, or to which that was rotated before.
    fn has_seat(&self, act: usize, bench: &Bench<'_>) -> bool {
        let mut voices = self.voices(&bench.acts[act].subject);
        voices.any(|voice| voice.is_first() || voice.tenure.is_known_to(act, bench))
    }

    /// Notes what who holds a seat grants to others.
    fn note_grants(&self, place: usize, bench: &Bench<'_>, pending: &mut BTreeSet<(Stamp, usize)>) {
        let keys = self.seats[place].keys.iter();
        let acts = keys.flat_map(|tenure| bench.by.get(&tenure.key).into_iter().flatten().copied());
        let grants = acts.filter(|&i| bench.acts[i].role().is_some() && !bench.acts[i].is_own());
        pending.extend(grants.filter(|&i| self.allows(i, bench)).map(|i| (bench.acts[i].stamp, i)));
    }

    /// Lets a seat take its place behind all that are senior to it, and judges everything that is about it: one key after the other,
    /// since what is said of a later one has seen the rotation to it, and so decides nothing about that.
    fn seat(&mut self, mut standing: Standing, bench: &Bench<'_>) {
        let mut nth = 0;
        while let Some(tenure) = standing.keys.get(nth).cloned() {
            let about = bench.about.get(&tenure.key).map(Vec::as_slice).unwrap_or_default().iter().copied();
            let known = about.filter(|&i| tenure.is_known_to(i, bench));
            let (rotations, about): (Vec<usize>, Vec<usize>) =
                known.partition(|&i| bench.acts[i].is_rotation());
            let (own, mut others): (Vec<usize>, Vec<usize>) =
                about.into_iter().partition(|&i| bench.acts[i].is_own());
            others.retain(|&i| self.allows(i, bench));
            standing.take(others, bench);
            nth += 1;
            if nth < standing.keys.len() {
                // It gave way before all acts.
                continue;
            }
            // What a member says of himself gives him nothing.
            let own: Vec<usize> = own
                .into_iter()
                .filter(|&i| {
                    let is_allowed = standing.allows(i, bench);
                    if is_allowed {
                        standing.limit(i, bench);
                    }
                    is_allowed
                })
                .collect();
            let next = standing.rotations(&rotations, bench);
            let is_before = |i: usize| next.is_empty() || next.iter().any(|&next| (bench.has_seen)(next, i));
            standing.acts.extend(own.into_iter().filter(|&i| is_before(i)));
            self.effective.extend(&next);
            standing.rotate(next, bench);
        }
        if nth > 1 {
            standing.take(Vec::new(), bench);
        }
        for (nth, tenure) in standing.keys.iter().enumerate() {
            self.voices.entry(tenure.key).or_default().push((self.seats.len(), nth));
        }
        self.effective.extend(&standing.acts);
        let named = standing.acts.iter().filter(|&&i| bench.acts[i].name.is_some());
        if let Some(&last) = named.max_by_key(|&&i| bench.acts[i].stamp) {
            standing.name = bench.acts[last].name.clone().unwrap_or_default();
        }
        self.seats.push(standing);
    }

    /// Whether somebody's act upon another counts, who is junior to all that have a seat so far.
    fn allows(&self, act: usize, bench: &Bench<'_>) -> bool {
        let sees = |of| (bench.has_seen)(act, of);
        let is_seen_by = |by| by == act || (bench.has_seen)(by, act);
        let author = bench.acts[act].author();
        let mut voices = self.voices(&author);
        voices.any(|voice| voice.speaks(&sees, &is_seen_by) && voice.standing.allows(act, bench))
    }

    fn voices(&self, key: &PeerKey) -> impl Iterator<Item = Voice<'_>> {
        let voices = self.voices.get(key).into_iter().flatten();
        voices.map(|&(place, nth)| {
            let standing = &self.seats[place];
            let keys = &standing.keys;
            Voice { place, standing, tenure: &keys[nth], next: keys.get(nth + 1) }
        })
    }

    /// Whether a message of a key counts as one of at least that role: given which acts it has seen, and which have seen it.
    pub fn counts(
        &self,
        key: &PeerKey,
        need: Role,
        sees: impl Fn(usize) -> bool,
        is_seen_by: impl Fn(usize) -> bool,
    ) -> bool {
        let mut voices = self.voices(key);
        voices
            .any(|voice| voice.speaks(&sees, &is_seen_by) && voice.standing.counts(need, &sees, &is_seen_by))
    }

    /// Whether a message of a key is one of the first member, whatever he may do: given which acts it has seen, and which have seen it.
    pub fn is_of_first(
        &self,
        key: &PeerKey,
        sees: impl Fn(usize) -> bool,
        is_seen_by: impl Fn(usize) -> bool,
    ) -> bool {
        self.voices(key).any(|voice| voice.place == 0 && voice.speaks(&sees, &is_seen_by))
    }

    /// The acts by which all messages of a key that have seen them, which are none where that takes none, count as of at least that role,
    /// as far as is known; in one way or another.
    pub fn lasting(&self, key: &PeerKey, need: Role) -> impl Iterator<Item = Vec<usize>> {
        let voices = self.voices(key).filter(|voice| voice.next.is_none());
        voices.flat_map(move |Voice { standing, tenure, .. }| {
            let lasts = move |grant: &&Grant| {
                grant.role >= need && grant.unseen.iter().all(|&(_, left)| left >= Some(need))
            };
            let grants = standing.grants.iter().filter(lasts);
            // One rotation is as good as another.
            let since = tenure.since.first().copied();
            grants.map(move |grant| grant.act.into_iter().chain(since).collect())
        })
    }

    /// The act that made a key the member that it is: the first grant that nothing has taken away since. None of who was there before all
    /// acts, or is no member.
    pub fn admitted_by(&self, key: &PeerKey) -> Option<usize> {
        let lasts = |grant: &&Grant| grant.unseen.iter().all(|(_, left)| left.is_some());
        self.voices(key).find_map(|voice| voice.standing.grants.iter().find(lasts))?.act
    }

    /// The keys that stand otherwise than in another judgement, where the same acts have the same places.
    pub fn changed(&self, before: &Self) -> BTreeSet<PeerKey> {
        let keys = self.voices.keys().chain(before.voices.keys());
        let is_alike = |key: &PeerKey| {
            let stands =
                |voice: Voice<'_>| (voice.tenure.clone(), voice.next.cloned(), voice.standing.clone());
            self.voices(key).map(stands).eq(before.voices(key).map(stands))
        };
        keys.filter(|key| !is_alike(key)).copied().collect()
    }

    /// Whether an act counts.
    pub fn is_effective(&self, act: usize) -> bool {
        self.effective.contains(&act)
    }

    /// What a member may do who has seen everything; nothing where the key is none, or not any more.
    pub fn role(&self, key: &PeerKey) -> Option<Role> {
        let voices = self.voices(key).filter(|voice| voice.next.is_none());
        voices.filter_map(|voice| voice.standing.role()).max()
    }

    /// Whether a key is one of a member's or was, or of one who was a member.
    pub fn is_known(&self, key: &PeerKey) -> bool {
        self.voices.contains_key(key)
    }

    /// The newest key of the first member; none in an open room.
    pub fn first(&self) -> Option<PeerKey> {
        self.seats.first().map(Standing::key)
    }

    /// All who are members or were, in order of seniority.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.seats.iter().map(|standing| Member {
            key: standing.key(),
            role: standing.role(),
            name: standing.name.clone(),
            former: standing.keys.iter().filter_map(|tenure| tenure.gave_way).collect(),
        })
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

impl Tenure {
    /// Whether an act was said knowing of the rotation that brought this key.
    fn is_known_to(&self, act: usize, bench: &Bench<'_>) -> bool {
        self.since.is_empty() || self.since.iter().any(|&since| (bench.has_seen)(act, since))
    }
}

impl Voice<'_> {
    /// Whether the key is the one that the seat began with.
    fn is_first(&self) -> bool {
        self.standing.keys[0].key == self.tenure.key
    }

    /// Whether a message of the key is one for the seat: it has seen the rotation to the key, and the next one has seen it.
    fn speaks(&self, sees: &dyn Fn(usize) -> bool, is_seen_by: &dyn Fn(usize) -> bool) -> bool {
        let since = &self.tenure.since;
        let has_come = since.is_empty() || since.iter().any(|&since| sees(since));
        has_come && self.next.is_none_or(|next| next.since.iter().any(|&next| is_seen_by(next)))
    }
}

impl Standing {
    fn of(member: &Member) -> Self {
        let grant = member.role.map(|role| Grant { act: None, role, unseen: Vec::new() });
        let former = member.former.iter().map(|former| (former.key, Some(*former)));
        let keys = former.chain([(member.key, None)]);
        Self {
            keys: keys.map(|(key, gave_way)| Tenure { key, since: Vec::new(), gave_way }).collect(),
            name: member.name.clone(),
            grants: grant.into_iter().collect(),
            acts: Vec::new(),
        }
    }

    /// The newest key.
    fn key(&self) -> PeerKey {
        self.keys.last().expect("a seat has a key").key
    }

    /// Takes in what others say that counts: what it gives, and then what all acts so far take away.
    fn take(&mut self, others: Vec<usize>, bench: &Bench<'_>) {
        let grants = others.iter().filter_map(|&i| Some((i, bench.acts[i].role()?)));
        self.grants.extend(grants.map(|(i, role)| Grant { act: Some(i), role, unseen: Vec::new() }));
        self.acts.extend(others);
        self.acts.sort_by_key(|&i| bench.acts[i].stamp);
        self.grants.iter_mut().for_each(|grant| grant.unseen.clear());
        for act in self.acts.clone() {
            self.limit(act, bench);
        }
    }

    /// Takes in an act that counts, after those with lesser stamps, as far as it takes something away.
    fn limit(&mut self, act: usize, bench: &Bench<'_>) {
        let (stamp, left) = (bench.acts[act].stamp, bench.acts[act].role());
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

    /// Those of the newest key's rotations, in the order of their stamps, that count: the first that the seat has a right to, and others to
    /// the same key that know of none.
    fn rotations(&self, rotations: &[usize], bench: &Bench<'_>) -> Vec<usize> {
        let may_follow = |next: PeerKey| {
            self.keys.len() < SEAT_KEYS_MAX && self.keys.iter().all(|tenure| tenure.key != next)
        };
        let mut counting: Vec<usize> = Vec::new();
        for &act in rotations {
            let Some(next) = bench.acts[act].next_key() else { continue };
            let is_another =
                |&other: &usize| bench.acts[other].next_key() != Some(next) || (bench.has_seen)(act, other);
            if may_follow(next) && !counting.iter().any(is_another) && self.allows(act, bench) {
                counting.push(act);
            }
        }
        counting
    }

    /// Hands the seat on, as acts say that count.
    fn rotate(&mut self, since: Vec<usize>, bench: &Bench<'_>) {
        let Some(Deed::Rotate { former, next }) = since.first().map(|&act| bench.acts[act].deed) else {
            return;
        };
        self.keys.last_mut().expect("a seat has a key").gave_way = Some(former);
        self.keys.push(Tenure { key: next, since, gave_way: None });
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
        let said = &bench.acts[act];
        // Two of his daemons may lower him at once: what he says of himself nothing stops that he says without knowing of it.
        let is_apart = |limit: usize| {
            (said.is_own() || said.is_rotation())
                && bench.acts[limit].is_own()
                && !(bench.has_seen)(act, limit)
        };
        let is_seen_by = |limit| limit == act || (bench.has_seen)(limit, act) || is_apart(limit);
        self.counts(said.need(), &|grant| (bench.has_seen)(act, grant), &is_seen_by)
    }

    fn role(&self) -> Option<Role> {
        Role::ALL.into_iter().find(|&role| self.counts(role, &|_| true, &|_| false))
    }
}
