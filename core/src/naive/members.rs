//! DESIGN §6 in the plainest code: who the members are, and which messages count.

use std::collections::BTreeSet;

use super::{At, Fold};
use crate::id::PeerKey;
use crate::members::{Act, Charter, Member, Role, Secret};
use crate::op::{Kind, NoEffect, Rule};

/// Who is judged, and what counts so far.
struct Room {
    /// All who are members or were, as they began, in the order in which they joined.
    members: Vec<Member>,
    acts: Vec<(At, Act)>,
    /// Those of them that count.
    effective: BTreeSet<At>,
}

impl Room {
    fn place(&self, key: &PeerKey) -> Option<usize> {
        self.members.iter().position(|member| member.key == *key)
    }

    /// Whether what a key did counts with that role: some grant that counts, which it has seen, has seen everything that took the
    /// role away and has not seen it.
    fn counts(
        &self,
        fold: &Fold<'_>,
        key: &PeerKey,
        need: Role,
        sees: &dyn Fn(At) -> bool,
        is_seen_by: &dyn Fn(At) -> bool,
    ) -> bool {
        let about = self.acts.iter().filter(|(at, act)| self.effective.contains(at) && act.subject == *key);
        let takes = |act: &Act| act.role.is_none_or(|role| role < need);
        let limits: Vec<At> =
            about.clone().filter(|(at, act)| takes(act) && !is_seen_by(*at)).map(|(at, _)| *at).collect();
        let from_the_beginning = self.place(key).and_then(|place| self.members[place].role);
        let mut grants = about.filter(|(at, act)| act.author() != *key && !takes(act) && sees(*at));
        limits.is_empty() && from_the_beginning >= Some(need)
            || grants.any(|(grant, _)| limits.iter().all(|&limit| fold.seen(*grant, limit)))
    }

    /// Whether the author of an op was so much where he made it. No op has taken away its own right.
    fn is_allowed(&self, fold: &Fold<'_>, at: At, need: Role) -> bool {
        let author = fold.messages[at.0].actor.key();
        let is_seen_by = |limit| limit == at || fold.seen(limit, at);
        self.counts(fold, &author, need, &|grant| fold.seen(at, grant), &is_seen_by)
    }

    /// What a key may do who has seen everything.
    fn role(&self, fold: &Fold<'_>, key: &PeerKey) -> Option<Role> {
        Role::ALL.into_iter().find(|&role| self.counts(fold, key, role, &|_| true, &|_| false))
    }

    /// Judges what is said of the member in that place, by those before him and by himself.
    fn judge(&mut self, fold: &Fold<'_>, place: usize) {
        let key = self.members[place].key;
        let about = self.acts.iter().filter(|(_, act)| act.subject == key);
        let (own, others): (Vec<_>, Vec<_>) = about.cloned().partition(|(_, act)| act.author() == key);
        for (at, act) in others {
            let is_by_senior = self.place(&act.author()).is_some_and(|author| author < place);
            if is_by_senior && self.is_allowed(fold, at, Role::Owner) {
                self.effective.insert(at);
            }
        }
        // He may be less than he is, and leave, whatever else he says of himself without knowing of it.
        for (at, act) in own {
            let is_apart = |limit: At| self.act(limit).author() == key && !fold.seen(at, limit);
            let is_seen_by = |limit| limit == at || fold.seen(limit, at) || is_apart(limit);
            let need = act.role.unwrap_or(Role::Viewer);
            if self.counts(fold, &key, need, &|grant| fold.seen(at, grant), &is_seen_by) {
                self.effective.insert(at);
            }
        }
    }

    fn act(&self, at: At) -> &Act {
        &self.acts.iter().find(|(other, _)| *other == at).expect("it is one of them").1
    }

    /// Whom the least grant that counts makes a member who is none yet.
    fn next(&self, fold: &Fold<'_>) -> Option<PeerKey> {
        let mut grants = self.acts.iter().filter(|(at, act)| {
            act.role.is_some()
                && self.place(&act.subject).is_none()
                && self.place(&act.author()).is_some()
                && self.is_allowed(fold, *at, Role::Owner)
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
        let mut room = Room { members: begin.members, acts, effective: BTreeSet::new() };
        let mut place = 0;
        while place < room.members.len() {
            room.judge(self, place);
            place += 1;
            if place == room.members.len()
                && let Some(key) = room.next(self)
            {
                room.members.push(Member { key, role: None, name: String::new() });
            }
        }
        let (mut name, mut secret) = (begin.name, begin.secret);
        for (at, kind) in rules {
            let is_effective = match kind {
                Kind::Rule(Rule::Grant | Rule::Remove) => room.effective.contains(&at),
                _ => room.is_allowed(self, at, Role::Owner),
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
        let members = room.members.iter().map(|member| {
            let about = room
                .acts
                .iter()
                .rev()
                .filter(|(at, act)| room.effective.contains(at) && act.subject == member.key);
            let name = about.clone().find_map(|(_, act)| act.name.clone());
            let role = room.role(self, &member.key);
            Member { key: member.key, role, name: name.unwrap_or(member.name.clone()) }
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
            if room.counts(self, &message.actor.key(), Role::Editor, &sees, &is_seen_by) {
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
