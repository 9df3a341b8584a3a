//! Who may do what, as far as the messages held say (DESIGN §6): which of them count, and which ops on the room.

use std::collections::BTreeSet;

use super::Engine;
use super::held::HeldMessage;
use super::history::History;
use super::index::{MessageIx, OpIx};
use crate::chain::Link;
use crate::id::{Dot, PeerKey};
use crate::members::{Act, Charter, Former, Judgement, Member, Role, Secret};
use crate::op::{Kind, NoEffect, Op, Rule};
use crate::planted::{Bug, planted};

/// From no message on.
const NEVER: u64 = u64::MAX;

/// What is said of the room, and the judgement of it.
pub(super) struct Rights {
    /// As it was before all messages held.
    before: Charter,
    /// The ops on the room, as they came.
    rules: Vec<OpIx>,
    /// Those of them on members, and their numbers.
    acts: Vec<Act>,
    ops: Vec<OpIx>,
    judgement: Judgement,
    /// Whether something has come that is not judged yet.
    is_stale: bool,
    /// Whether acts have other places than those they were judged in, so that nothing can be compared.
    is_anew: bool,
    /// From which message on all of an actor's count, as far as is known.
    certain: Vec<u64>,
    /// Ops of messages whose authors were no editors.
    ops_void: usize,
}

impl Rights {
    /// Those of a room of which nothing is held but that.
    pub(super) fn new(before: &Charter) -> Self {
        Self {
            before: before.clone(),
            rules: Vec::new(),
            acts: Vec::new(),
            ops: Vec::new(),
            judgement: Judgement::of(&before.members, &[], |_, _| false),
            is_stale: false,
            is_anew: false,
            certain: Vec::new(),
            ops_void: 0,
        }
    }

    pub(super) fn ops_void(&self) -> usize {
        self.ops_void
    }

    /// Whether a message counts as one of an editor.
    fn counts(&mut self, message: HeldMessage, history: &History) -> bool {
        let certain = self.certain.get(message.actor.at()).copied().unwrap_or(NEVER);
        if message.seq >= certain {
            return true;
        }
        let key = history.actor_of(message.actor).key();
        let sees = |act: usize| history.sees(message, history.message_of(self.ops[act]));
        let is_seen_by = |act: usize| history.sees(history.message_of(self.ops[act]), message);
        if self.judgement.lasting(&key, Role::Editor).any(|acts| acts.into_iter().all(sees)) {
            let at = message.actor.at();
            if self.certain.len() <= at {
                self.certain.resize(at + 1, NEVER);
            }
            self.certain[at] = message.seq;
            return true;
        }
        self.judgement.counts(&key, Role::Editor, sees, |act| is_seen_by(act) && !planted(Bug::CutAtWill))
    }

    /// Whether the author of an op was an owner where he made it.
    fn is_by_owner(&self, op: OpIx, history: &History) -> bool {
        let key = history.actor_of(history.message_of(op).actor).key();
        let sees = |act: usize| history.has_seen(op, self.ops[act]);
        self.judgement.counts(&key, Role::Owner, sees, |act| history.has_seen(self.ops[act], op))
    }
}

impl History {
    /// Whether a message has seen another, or is that.
    fn sees(&self, by: HeldMessage, of: HeldMessage) -> bool {
        by.actor == of.actor && by.seq >= of.seq || self.cover(by.actor, by.seq, of.actor) >= of.seq
    }
}

impl Engine {
    /// Lets a message that came know whether its author may edit, as far as is judged.
    pub(super) fn judge_author(&mut self, message: MessageIx) {
        if self.root.founder.is_some() && !self.rights.counts(self.history.message(message), &self.history) {
            self.history.set_void(message, true);
            self.rights.ops_void += self.ops_on_scene(message);
        }
    }

    /// Ops of a message that only editors may write.
    fn ops_on_scene(&self, message: MessageIx) -> usize {
        self.history.ops_of(message).filter(|&op| self.is_for_editors(op)).count()
    }

    fn is_for_editors(&self, op: OpIx) -> bool {
        !matches!(self.history.kind(op), Some(Kind::Rule(_) | Kind::Horizon))
    }

    /// Why an op of a message has no effect, if so.
    pub(super) fn no_effect(&self, message: MessageIx, op: OpIx) -> Option<&NoEffect> {
        match self.history.is_void(message) && self.is_for_editors(op) {
            true => Some(&NoEffect::NotAllowed),
            false => self.verdicts.get(op),
        }
    }

    /// Takes in an op on the room.
    pub(super) fn enter_rule(&mut self, op: OpIx) {
        self.rights.is_stale = true;
        self.rights.rules.push(op);
        if self.root.founder.is_some()
            && !self.history.is_repeated(self.history.owner(op))
            && let Some(act) = Act::of(self.history.stamp(op), &self.op(op))
        {
            self.rights.acts.push(act);
            self.rights.ops.push(op);
        }
    }

    /// A message does not count any more, and what it said of the room neither.
    pub(super) fn forget_rules(&mut self, message: MessageIx) {
        if !self.history.ops_of(message).any(|op| matches!(self.history.kind(op), Some(Kind::Rule(_)))) {
            return;
        }
        let (rights, history) = (&mut self.rights, &self.history);
        (rights.is_stale, rights.is_anew) = (true, true);
        rights.judgement = Judgement::default();
        let mut ops = rights.ops.iter();
        rights.acts.retain(|_| ops.next().is_some_and(|&op| history.owner(op) != message));
        rights.ops.retain(|&op| history.owner(op) != message);
    }

    /// Judges the room anew if something was said of it, and lets everything know that counts now, or no longer.
    pub(super) fn judge_rules(&mut self) {
        if !std::mem::take(&mut self.rights.is_stale) {
            return;
        }
        let (rights, history) = (&mut self.rights, &self.history);
        let has_seen = |by: usize, of: usize| history.has_seen(rights.ops[by], rights.ops[of]);
        let judgement = Judgement::of(&rights.before.members, &rights.acts, has_seen);
        let changed = (!std::mem::take(&mut rights.is_anew)).then(|| judgement.changed(&rights.judgement));
        rights.judgement = judgement;
        rights.certain.clear();
        let effective = self.effective_rules();
        for &op in &self.rights.rules {
            let is_fine = self.history.is_repeated(self.history.owner(op)) || effective.contains(&op);
            self.verdicts.set(
                op,
                match self.root.founder {
                    _ if is_fine => Ok(()),
                    Some(_) => Err(NoEffect::NotAllowed),
                    None => Err(NoEffect::OpenRoom),
                },
            );
        }
        if self.root.founder.is_none() || planted(Bug::VoidOnArrival) {
            return;
        }
        let is_doubtful = |key: &PeerKey| changed.as_ref().is_none_or(|changed| changed.contains(key));
        for message in self.history.of_keys(is_doubtful) {
            let void = !self.rights.counts(self.history.message(message), &self.history);
            if void != self.history.is_void(message) {
                let ops = self.ops_on_scene(message);
                match void {
                    true => self.rights.ops_void += ops,
                    false => self.rights.ops_void -= ops,
                }
                self.set_void(message, void);
            }
        }
    }

    /// The ops on the room that count.
    fn effective_rules(&self) -> BTreeSet<OpIx> {
        let rights = &self.rights;
        let acts = (0..rights.ops.len()).filter(|&act| rights.judgement.is_effective(act));
        let acts = acts.map(|act| rights.ops[act]);
        let is_act = |op: OpIx| {
            matches!(self.history.kind(op), Some(Kind::Rule(Rule::Grant | Rule::Remove | Rule::Rotate)))
        };
        let others = rights.rules.iter().copied().filter(|&op| {
            !is_act(op)
                && !self.history.is_repeated(self.history.owner(op))
                && rights.is_by_owner(op, &self.history)
        });
        acts.chain(others).collect()
    }

    /// The last op of that kind that counts.
    fn last_rule(&self, rule: Rule) -> Option<OpIx> {
        let is_it = |op: &&OpIx| {
            matches!(self.history.kind(**op), Some(Kind::Rule(found)) if found == rule)
                && !self.history.is_repeated(self.history.owner(**op))
                && self.verdicts.get(**op).is_none()
        };
        self.rights.rules.iter().filter(is_it).copied().max_by(|&a, &b| self.history.compare(a, b))
    }

    /// The founding message has come, and says that the room has members: everything held is judged by that.
    pub fn found(&mut self, founder: PeerKey) {
        self.root.founder = Some(founder);
        self.apply_anew();
    }

    /// The members of the room, its name and its newest secret; nothing in an open room.
    pub fn charter(&self) -> Charter {
        if self.root.founder.is_none() {
            return Charter::default();
        }
        let before = &self.rights.before;
        let name = self.last_rule(Rule::Rename).map(|op| self.op(op).value);
        let secret = self
            .last_rule(Rule::Secret)
            .map(|op| Secret { by: self.history.dot(self.history.owner(op)), options: self.op(op).options });
        Charter {
            members: self.members(),
            name: name.and_then(|name| name.as_text().map(str::to_owned)).or_else(|| before.name.clone()),
            secret: secret.or_else(|| before.secret.clone()),
        }
    }

    /// How much was said of the room: nothing about it is otherwise while this is the same.
    pub fn rules(&self) -> u64 {
        self.rights.rules.len() as u64
    }

    /// All who are members of the room or were, in order of seniority; nobody in an open room.
    pub fn members(&self) -> Vec<Member> {
        self.rights.judgement.members().collect()
    }

    /// Whether a key is a member's or was, or that of one who was a member.
    pub fn has_seat(&self, key: &PeerKey) -> bool {
        self.rights.judgement.is_known(key)
    }

    /// Who made a key the member that it is, and when, as its clock said. Nothing of the founder, of who is no member, and where that is
    /// forgotten.
    pub fn admitted(&self, key: &PeerKey) -> Option<(PeerKey, Option<u64>)> {
        let message = self.history.owner(self.rights.ops[self.rights.judgement.admitted_by(key)?]);
        Some((self.history.dot(message).actor.key(), self.history.time_ms(message)))
    }

    /// Of each member the messages by which all of his that have seen them are an editor's, as far as is known, in one way or another.
    pub(super) fn editors(&self) -> Vec<(PeerKey, Vec<Vec<Dot>>)> {
        let Rights { judgement, ops, .. } = &self.rights;
        let dot = |act: usize| self.history.dot(self.history.owner(ops[act]));
        let members = judgement.members().map(|member| {
            let grants = judgement.lasting(&member.key, Role::Editor);
            (member.key, grants.map(|acts| acts.into_iter().map(dot).collect()).collect())
        });
        members.collect()
    }

    /// Whose horizons count now, in a room with members: the newest key of its first member.
    pub fn keeper(&self) -> Option<PeerKey> {
        self.rights.judgement.first()
    }

    /// The message with which the keeper's key took its place and vouched for a horizon of that link, which a former key has made.
    pub fn voucher(&self, horizon: &Link) -> Option<Dot> {
        let keeper = self.keeper()?;
        let dot = |op: OpIx| self.history.dot(self.history.owner(op));
        let rules = self.rights.ops.iter().copied();
        let mut own = rules.filter(|&op| dot(op).actor.key() == keeper);
        own.find(|&op| Former::vouches(&self.op(op), horizon)).map(dot)
    }

    /// The messages by which this key gave way to another.
    pub fn rotations_of(&self, key: &PeerKey) -> impl Iterator<Item = Dot> + '_ {
        let rules = self.rights.ops.iter().map(|&op| (self.history.dot(self.history.owner(op)), self.op(op)));
        let key = *key;
        let of_key = move |(dot, op): &(Dot, Op)| Former::gave_way(op, &dot.actor.key()) == Some(key);
        rules.filter(of_key).map(|(dot, _)| dot)
    }

    /// Whether a message that is held is one of the first member's, with whichever of his keys.
    pub fn is_by_keeper(&self, dot: &Dot) -> bool {
        self.history.find(dot).is_some_and(|message| {
            let (rights, message) = (&self.rights, self.history.message(message));
            let sees = |act: usize| self.history.sees(message, self.history.message_of(rights.ops[act]));
            let is_seen_by =
                |act: usize| self.history.sees(self.history.message_of(rights.ops[act]), message);
            rights.judgement.is_of_first(&dot.actor.key(), sees, is_seen_by)
        })
    }

    /// What a key may do who has seen everything held; nothing where it is no member, and in an open room.
    pub fn role(&self, key: &PeerKey) -> Option<Role> {
        self.rights.judgement.role(key)
    }
}
