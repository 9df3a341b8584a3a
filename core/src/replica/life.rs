//! When a node is alive: equal on every replica that has the same messages.
//!
//! An insert on an absent or dead key starts a life; a removal ends it if it has seen all of that life's inserts (DESIGN §3,
//! law 6). Ops belong to the life their stamp falls into.

use std::collections::BTreeSet;

use super::few::Few;
use super::history::History;
use super::index::{ActorIx, OpIx};
use super::verdicts::Verdicts;
use crate::op::{Kind, NoEffect};

/// The lives of one key.
#[derive(Default)]
pub(super) struct Life {
    /// The root's first life begins before every op, and nothing ends it.
    is_root: bool,
    /// It lived in the ground, and does not live any more there.
    has_ended: bool,
    /// Every insert and removal of the key, in order, masked ones included.
    log: Few<OpIx>,
    /// Births and deaths in turn, in order.
    turns: Few<OpIx>,
    /// Of each actor the position after its last insert in the current life.
    inserts: Few<(ActorIx, (u64, u32))>,
    /// The last removal in the log.
    last_removal: Option<OpIx>,
}

/// What a stamp means to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Era {
    /// There was no node.
    Dead,
    /// A life that has ended.
    Past,
    /// The life that still lasts.
    Current,
}

/// How the lives changed.
pub(super) struct Turned {
    /// The first op from which on things are different.
    pub(super) from: OpIx,
    /// The births that are new, or are none any more.
    pub(super) births: Few<OpIx>,
}

impl Life {
    /// The root's.
    pub(super) fn of_root() -> Self {
        Self { is_root: true, ..Self::default() }
    }

    pub(super) fn is_root(&self) -> bool {
        self.is_root
    }

    pub(super) fn is_alive(&self) -> bool {
        self.is_root || self.turns.len() % 2 == 1
    }

    /// Whether a life of this key has begun, ever.
    pub(super) fn has_begun(&self) -> bool {
        self.is_root || self.has_ended || !self.turns.is_empty()
    }

    /// Begins with a life that lasts in the ground.
    pub(super) fn stand(&mut self, birth: OpIx, history: &History) {
        self.log.push(birth);
        self.turns.push(birth);
        self.note_insert(birth, history);
    }

    /// Begins with a life that has ended in the ground.
    pub(super) fn stand_ended(&mut self) {
        self.has_ended = true;
    }

    /// Whether the current life is one that the ground has.
    pub(super) fn is_on_ground(&self, history: &History) -> bool {
        self.is_root || self.birth().is_some_and(|birth| history.is_relic(birth))
    }

    /// The insert that began the current life; none for the root.
    pub(super) fn birth(&self) -> Option<OpIx> {
        if self.is_alive() { self.turns.last().copied() } else { None }
    }

    /// The insert that began the last life, and the removal that ended it; nothing where no insert began one.
    pub(super) fn last_turns(&self) -> Option<(OpIx, Option<OpIx>)> {
        match (self.turns.len() % 2 == 1, &self.turns[..]) {
            (true, [.., birth]) => Some((*birth, None)),
            (false, [.., birth, death]) => Some((*birth, Some(*death))),
            (_, _) => None,
        }
    }

    /// Whether the op is an insert that began a life.
    pub(super) fn is_birth(&self, op: OpIx, history: &History) -> bool {
        let at = history.place_in(&self.turns, op);
        at.is_multiple_of(2) && self.turns.get(at) == Some(&op)
    }

    /// What an op's stamp means; the op that begins a life belongs to it.
    pub(super) fn era(&self, op: OpIx, history: &History) -> Era {
        if self.is_root {
            return Era::Current;
        }
        let turns = match self.turns.last() {
            Some(&last) if !history.is_before(op, last) => self.turns.len(),
            _ => self.turns.partition_point(|&turn| !history.is_before(op, turn)),
        };
        match (turns % 2 == 1, turns == self.turns.len()) {
            (false, _) => Era::Dead,
            (true, false) => Era::Past,
            (true, true) => Era::Current,
        }
    }

    /// Takes in an insert or a removal. Says how the lives changed, if they did.
    pub(super) fn enter(&mut self, op: OpIx, history: &History, verdicts: &mut Verdicts) -> Option<Turned> {
        let at = history.place_in(&self.log, op);
        let is_last = at == self.log.len();
        self.log.insert(at, op);
        let is_removal = matches!(history.kind(op), Some(Kind::Remove));
        if is_removal && self.last_removal.is_none_or(|last| history.is_before(last, op)) {
            self.last_removal = Some(op);
        }
        if history.is_masked(op) {
            return None;
        }
        if is_last {
            return self
                .walk(op, history, verdicts)
                .then(|| Turned { from: op, births: if is_removal { Few::None } else { Few::One(op) } });
        }
        let removal_follows = self.last_removal.is_some_and(|last| !history.is_before(last, op));
        if !is_removal && !removal_follows && self.era(op, history) == Era::Current {
            // One more insert of a living node, with nothing after it that could end the life.
            let verdict = self.insert_on_live(op, history);
            verdicts.set(op, verdict);
            return None;
        }
        self.rewalk(history, verdicts)
    }

    /// Computes the lives anew. Says how they changed, if they did.
    pub(super) fn rewalk(&mut self, history: &History, verdicts: &mut Verdicts) -> Option<Turned> {
        let old = std::mem::take(&mut self.turns);
        self.inserts.clear();
        for i in 0..self.log.len() {
            let op = self.log[i];
            match history.is_masked(op) {
                true => verdicts.clear(op),
                false => {
                    self.walk(op, history, verdicts);
                }
            }
        }
        let same = old.iter().zip(self.turns.iter()).take_while(|(old, new)| old == new).count();
        let from = history.lesser(old.get(same).copied(), self.turns.get(same).copied())?;
        // Births stand at even places; those before the first difference are the same.
        let births = |turns: &[OpIx]| -> BTreeSet<OpIx> {
            (same..turns.len()).filter(|i| i.is_multiple_of(2)).map(|i| turns[i]).collect()
        };
        let changed = births(&old).symmetric_difference(&births(&self.turns)).copied().collect();
        Some(Turned { from, births: changed })
    }

    /// Lives through one op that comes after all before it. Says whether it is a birth or a death.
    fn walk(&mut self, op: OpIx, history: &History, verdicts: &mut Verdicts) -> bool {
        let (turns, verdict) = match (history.kind(op), self.is_alive()) {
            (Some(Kind::Insert), false) => {
                self.inserts.clear();
                self.note_insert(op, history);
                (true, Ok(()))
            }
            (Some(Kind::Insert), true) => (false, self.insert_on_live(op, history)),
            (_, _) if self.is_root => (false, Err(NoEffect::RootFixed)),
            (_, false) => (false, Err(NoEffect::NodeMissing)),
            (_, true) if self.has_seen_inserts(op, history) => (true, Ok(())),
            (_, true) => (false, Err(NoEffect::KeptByInsert)),
        };
        if turns {
            self.turns.push(op);
        }
        verdicts.set(op, verdict);
        turns
    }

    fn insert_on_live(&mut self, op: OpIx, history: &History) -> Result<(), NoEffect> {
        if history.op(op).is_if_absent() {
            return Err(NoEffect::NodeExists);
        }
        self.note_insert(op, history);
        Ok(())
    }

    fn note_insert(&mut self, op: OpIx, history: &History) {
        let actor = history.message_of(op).actor;
        let (seq, index) = history.position(op);
        let after = (seq, index + 1);
        match self.inserts.iter_mut().find(|(other, _)| *other == actor) {
            Some((_, last)) => *last = after.max(*last),
            None => self.inserts.push((actor, after)),
        }
    }

    fn has_seen_inserts(&self, removal: OpIx, history: &History) -> bool {
        self.inserts.iter().all(|&(actor, after)| history.unseen_from(removal, actor) >= after)
    }
}
