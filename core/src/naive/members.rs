//! DESIGN §6 in the plainest code: who the members are, and which messages count.

use std::collections::BTreeSet;

use super::{At, Fold};
use crate::id::PeerKey;
use crate::limits::SEAT_KEYS_MAX;
use crate::members::{Act, Charter, Deed, Former, Member, Role, Secret};
use crate::op::{Kind, NoEffect, Rule};

/// Who is judged, and what counts so far.
struct Room {
    /// All who are members or were, in the order in which they joined.
    seats: Vec<Seat>,
    acts: Vec<(At, Act)>,
    /// Those of them that count, each for the seat in that place.
    effective: BTreeSet<(usize, At)>,
}

/// A member as he began, and his keys.
struct Seat {
    begin: Member,
    /// Each key with the rotations that brought it: none for the first, and for what the ground brought.
    keys: Vec<(PeerKey, Vec<At>)>,
    former: Vec<Former>,
}

impl Seat {
    fn of(begin: Member) -> Self {
        let keys = begin.former.iter().map(|former| former.key).chain([begin.key]);
        Self { keys: keys.map(|key| (key, Vec::new())).collect(), former: begin.former.clone(), begin }
    }
}

impl Room {
    /// Where a key speaks for a seat: the seat's place, and which of its keys it is.
    fn voices(&self, key: &PeerKey) -> Vec<(usize, usize)> {
        let places = (0..self.seats.len()).flat_map(|place| {
            let keys = &self.seats[place].keys;
            (0..keys.len()).map(move |nth| (place, nth))
        });
        places.filter(|&(place, nth)| self.seats[place].keys[nth].0 == *key).collect()
    }

    /// Whether what a key did it did for a seat: it knew of the rotation to the key, and the rotation to the next one of it.
    fn speaks(
        &self,
        (place, nth): (usize, usize),
        sees: &dyn Fn(At) -> bool,
        is_seen_by: &dyn Fn(At) -> bool,
    ) -> bool {
        let keys = &self.seats[place].keys;
        let is_before_the_next =
            keys.get(nth + 1).is_none_or(|(_, next)| next.iter().any(|&next| is_seen_by(next)));
        self.is_known((place, nth), sees) && is_before_the_next
    }

    /// Whether who has seen that much knows that the key speaks for the seat.
    fn is_known(&self, (place, nth): (usize, usize), sees: &dyn Fn(At) -> bool) -> bool {
        let (_, since) = &self.seats[place].keys[nth];
        since.is_empty() || since.iter().any(|&since| sees(since))
    }

    /// Whether what was done for a seat counts with that role: some grant that counts, which it has seen, has seen everything that took
    /// the role away and has not seen it.
    fn counts(
        &self,
        fold: &Fold<'_>,
        place: usize,
        need: Role,
        sees: &dyn Fn(At) -> bool,
        is_seen_by: &dyn Fn(At) -> bool,
    ) -> bool {
        let about =
            self.acts.iter().filter(|(at, act)| self.effective.contains(&(place, *at)) && !act.is_rotation());
        let takes = |act: &Act| act.role().is_none_or(|role| role < need);
        let limits: Vec<At> =
            about.clone().filter(|(at, act)| takes(act) && !is_seen_by(*at)).map(|(at, _)| *at).collect();
        let mut grants = about.filter(|(at, act)| !act.is_own() && !takes(act) && sees(*at));
        limits.is_empty() && self.seats[place].begin.role >= Some(need)
            || grants.any(|(grant, _)| limits.iter().all(|&limit| fold.seen(*grant, limit)))
    }

    /// Whether a message or an op of a key counts with that role, for whichever seat.
    fn is_allowed(
        &self,
        fold: &Fold<'_>,
        key: &PeerKey,
        need: Role,
        sees: &dyn Fn(At) -> bool,
        is_seen_by: &dyn Fn(At) -> bool,
    ) -> bool {
        let mut voices = self.voices(key).into_iter();
        voices.any(|voice| {
            self.speaks(voice, sees, is_seen_by) && self.counts(fold, voice.0, need, sees, is_seen_by)
        })
    }

    /// Whether the author of an op was an owner where he made it. No op has taken away its own right.
    fn is_by_owner(&self, fold: &Fold<'_>, at: At) -> bool {
        let author = fold.messages[at.0].actor.key();
        let is_seen_by = |limit| limit == at || fold.seen(limit, at);
        self.is_allowed(fold, &author, Role::Owner, &|grant| fold.seen(at, grant), &is_seen_by)
    }

    /// What may be done for a seat by whoever has seen everything.
    fn role(&self, fold: &Fold<'_>, place: usize) -> Option<Role> {
        Role::ALL.into_iter().find(|&role| self.counts(fold, place, role, &|_| true, &|_| false))
    }

    /// Judges what is said of the last member, by those before him and by himself, of one of his keys after the other.
    fn judge(&mut self, fold: &Fold<'_>) {
        let place = self.seats.len() - 1;
        let mut nth = 0;
        while let Some(&(key, _)) = self.seats[place].keys.get(nth) {
            let is_about = |(at, act): &&(At, Act)| {
                act.subject == key && self.is_known((place, nth), &|since| fold.seen(*at, since))
            };
            let about: Vec<(At, Act)> = self.acts.iter().filter(is_about).cloned().collect();
            for (at, act) in &about {
                if !act.is_own() && !act.is_rotation() && self.is_by_senior(fold, *at) {
                    self.effective.insert((place, *at));
                }
            }
            nth += 1;
            if nth < self.seats[place].keys.len() {
                continue;
            }
            // He may be less than he is, and leave, whatever else he says of himself without knowing of it.
            let mut own = Vec::new();
            for (at, act) in about.iter().filter(|(_, act)| act.is_own()) {
                if self.is_own_right(fold, place, *at, act) {
                    self.effective.insert((place, *at));
                    own.push((place, *at));
                }
            }
            let mut next: Vec<(At, PeerKey, Former)> = Vec::new();
            for (at, act) in &about {
                let Deed::Rotate { former, next: to } = act.deed else { continue };
                let keys = &self.seats[place].keys;
                let is_new = keys.len() < SEAT_KEYS_MAX && keys.iter().all(|(key, _)| *key != to);
                if is_new
                    && next.iter().all(|&(other, key, _)| key == to && !fold.seen(*at, other))
                    && self.is_own_right(fold, place, *at, act)
                {
                    next.push((*at, to, former));
                }
            }
            if let Some(&(_, key, former)) = next.first() {
                // Of the old key counts what a rotation has seen.
                let is_late =
                    |own: &&(usize, At)| !next.iter().any(|&(rotation, ..)| fold.seen(rotation, own.1));
                own.iter().filter(is_late).for_each(|own| _ = self.effective.remove(own));
                self.effective.extend(next.iter().map(|&(at, ..)| (place, at)));
                self.seats[place].keys.push((key, next.iter().map(|&(at, ..)| at).collect()));
                self.seats[place].former.push(former);
            }
        }
    }

    /// Whether an owner among those before the last member says it.
    fn is_by_senior(&self, fold: &Fold<'_>, at: At) -> bool {
        let last = self.seats.len() - 1;
        let (sees, is_seen_by) = (|grant| fold.seen(at, grant), |limit| limit == at || fold.seen(limit, at));
        let voices = self.voices(&fold.messages[at.0].actor.key());
        voices.into_iter().any(|voice| {
            voice.0 < last
                && self.speaks(voice, &sees, &is_seen_by)
                && self.counts(fold, voice.0, Role::Owner, &sees, &is_seen_by)
        })
    }

    /// Whether a member says of himself what he may.
    fn is_own_right(&self, fold: &Fold<'_>, place: usize, at: At, act: &Act) -> bool {
        let is_apart = |limit: At| self.act(limit).is_own() && !fold.seen(at, limit);
        let is_seen_by = |limit| limit == at || fold.seen(limit, at) || is_apart(limit);
        let need = act.role().unwrap_or(Role::Viewer);
        self.counts(fold, place, need, &|grant| fold.seen(at, grant), &is_seen_by)
    }

    fn act(&self, at: At) -> &Act {
        &self.acts.iter().find(|(other, _)| *other == at).expect("it is one of them").1
    }

    /// Whom the least grant that counts makes a member, where that is about no seat yet.
    fn next(&self, fold: &Fold<'_>) -> Option<PeerKey> {
        let mut grants = self.acts.iter().filter(|(at, act)| {
            let has_seat = self
                .voices(&act.subject)
                .into_iter()
                .any(|(place, nth)| nth == 0 || self.is_known((place, nth), &|since| fold.seen(*at, since)));
            act.role().is_some() && !act.is_own() && !has_seat && self.is_by_owner(fold, *at)
        });
        grants.next().map(|(_, act)| act.subject)
    }
}

impl Fold<'_> {
    /// Judges all ops on the room, and everybody's messages by them.
    pub(super) fn judge_members(&mut self) {
        let is_rule = |row: Kind| matches!(row, Kind::Rule(_));
        let rules: Vec<(At, Kind)> = self
            .ops()
            .into_iter()
            .filter_map(|(at, row)| Some((at, row.ok()?.kind)))
            .filter(|(at, kind)| is_rule(*kind) && !self.masked.contains(&self.messages[at.0].dot()))
            .collect();
        let begin = match self.root.founder {
            None => {
                rules.iter().for_each(|(at, _)| self.judge(*at, Err(NoEffect::OpenRoom)));
                return;
            }
            Some(founder) if self.ground.charter.members.is_empty() => Charter::begin(Some(founder)),
            Some(_) => self.ground.charter.clone(),
        };
        let act = |(at, _): &(At, Kind)| Some((*at, Act::of(self.stamp(*at), self.op(*at))?));
        let acts = rules.iter().filter_map(act).collect();
        let mut room = Room { seats: Vec::new(), acts, effective: BTreeSet::new() };
        for member in begin.members {
            room.seats.push(Seat::of(member));
            room.judge(self);
        }
        while let Some(key) = room.next(self) {
            room.seats.push(Seat::of(Member::unknown(key)));
            room.judge(self);
        }
        let (mut name, mut secret) = (begin.name, begin.secret);
        for (at, kind) in rules {
            let is_effective = match kind {
                Kind::Rule(Rule::Grant | Rule::Remove | Rule::Rotate) => {
                    room.effective.iter().any(|&(_, act)| act == at)
                }
                _ => room.is_by_owner(self, at),
            };
            match kind {
                _ if !is_effective => self.judge(at, Err(NoEffect::NotAllowed)),
                Kind::Rule(Rule::Rename) => name = self.op(at).value.as_text().map(str::to_owned),
                Kind::Rule(Rule::Secret) => {
                    let (by, options) = (self.messages[at.0].dot(), self.op(at).options.clone());
                    secret = Some(Secret { by, options });
                }
                _ => {}
            }
        }
        self.void_messages(&room);
        let members = room.seats.iter().enumerate().map(|(place, seat)| {
            let mut about = room.acts.iter().rev().filter(|(at, _)| room.effective.contains(&(place, *at)));
            let name = about.find_map(|(_, act)| act.name.clone());
            Member {
                key: seat.keys[seat.keys.len() - 1].0,
                role: room.role(self, place),
                name: name.unwrap_or(seat.begin.name.clone()),
                former: seat.former.clone(),
            }
        });
        self.charter = Charter { members: members.collect(), name, secret };
    }

    /// What their authors were no editors for has no effect, be it undone or not.
    fn void_messages(&mut self, room: &Room) {
        for i in 1..self.messages.len() {
            let message = self.messages[i];
            let sees = |grant: At| self.clocks[&message.dot()].covers(&self.messages[grant.0].dot());
            let is_seen_by =
                |limit: At| limit.0 == i || self.clocks[&self.messages[limit.0].dot()].covers(&message.dot());
            if room.is_allowed(self, &message.actor.key(), Role::Editor, &sees, &is_seen_by) {
                continue;
            }
            self.void.insert(message.dot());
            for (index, op) in (0..).zip(&message.ops) {
                if !matches!(op.resolve().map(|row| row.kind), Ok(Kind::Rule(_) | Kind::Horizon)) {
                    self.judge((i, index), Err(NoEffect::NotAllowed));
                }
            }
        }
    }
}
