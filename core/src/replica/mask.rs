//! Which messages count for nothing: undone ones, repetitions of a request, and those of who was no editor.
//!
//! Undo and redo are a last-writer-wins register per target (DESIGN §3, law 5). Of several messages of one key with one
//! request the least in order counts, and of the others nothing, their undos and redos included (law 13).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Engine;
use super::held::HeldMessage;
use super::history::{History, Issue, key};
use super::index::{ActorIx, CellIx, MessageIx, OpIx};
use super::verdicts::Verdicts;
use crate::id::{Dot, PeerKey};
use crate::op::{Kind, NoEffect};

/// The undos and redos of every target, which may not be held yet, in order.
#[derive(Default)]
pub(super) struct Registers(BTreeMap<(ActorIx, u64), Vec<OpIx>>);

impl Registers {
    /// Takes in an undo or a redo.
    pub(super) fn enter(&mut self, target: (ActorIx, u64), op: OpIx, history: &History) {
        let register = self.0.entry(target).or_default();
        let at = history.place_in(register, op);
        register.insert(at, op);
    }

    /// Judges every undo and redo of a target. They are few: people undo by hand.
    pub(super) fn judge(&self, target: (ActorIx, u64), history: &History, verdicts: &mut Verdicts) {
        for &op in self.0.get(&target).into_iter().flatten() {
            match history.is_mute(history.owner(op)) {
                true => verdicts.clear(op),
                false => verdicts.set(op, effect(op, history)),
            }
        }
    }

    /// Whether the target is undone.
    pub(super) fn is_undone(&self, target: (ActorIx, u64), history: &History) -> bool {
        let counts = |op: &&OpIx| !history.is_mute(history.owner(**op)) && effect(**op, history).is_ok();
        let last = self.0.get(&target).and_then(|register| register.iter().rev().find(counts));
        last.is_some_and(|&op| matches!(history.kind(op), Some(Kind::Undo)))
    }
}

/// Whether an undo or a redo counts.
fn effect(op: OpIx, history: &History) -> Result<(), NoEffect> {
    let (actor, seq) = history.op(op).target.expect("an undo or a redo has a target");
    let dot = Dot { actor: history.actor_of(actor), seq };
    let held = history.find_by(actor, seq);
    let name = held.map_or(dot, |message| history.name(message));
    if history.is_dot_forgotten(&dot) || history.is_dot_forgotten(&name) {
        return Err(NoEffect::TargetForgotten);
    }
    let target = held.or_else(|| history.issues_of(&dot).first().copied()).ok_or(NoEffect::TargetMissing)?;
    let has_seen = match held {
        Some(message) => history.has_seen_message(op, message),
        None => history.knows_message(op, target),
    };
    let is_own = history.name(target) == history.name(history.owner(op));
    if has_seen && !is_own { Ok(()) } else { Err(NoEffect::TargetUnseen) }
}

/// The messages that carry requests: of each key and request the least.
#[derive(Default)]
pub(super) struct Requests {
    held: BTreeMap<(PeerKey, Box<str>), MessageIx>,
    /// Those of the others.
    repeated: BTreeMap<MessageIx, Box<str>>,
    /// Those of the ground, each with its place among them.
    forgotten: BTreeMap<(PeerKey, Box<str>), usize>,
}

impl Requests {
    /// Takes in a message with a request. Gives the one that is a repetition now, if there is one.
    pub(super) fn enter(
        &mut self,
        request: &str,
        message: MessageIx,
        history: &History,
    ) -> Option<MessageIx> {
        let name = (history.name(message).actor.key(), request.into());
        let repeated = match self.held.entry(name) {
            Entry::Vacant(entry) if !self.forgotten.contains_key(entry.key()) => {
                entry.insert(message);
                return None;
            }
            Entry::Occupied(mut entry) if history.compare_messages(message, *entry.get()).is_lt() => {
                entry.insert(message)
            }
            Entry::Vacant(_) | Entry::Occupied(_) => message,
        };
        self.repeated.insert(repeated, request.into());
        Some(repeated)
    }

    /// Keeps the request of a message that does not count.
    pub(super) fn keep(&mut self, request: &str, message: MessageIx) -> Option<MessageIx> {
        self.repeated.insert(message, request.into());
        None
    }

    /// The request of each message that carries one.
    pub(super) fn by_message(&self) -> BTreeMap<MessageIx, &str> {
        let held = self.held.iter().map(|((_, request), &message)| (message, &**request));
        held.chain(self.repeated.iter().map(|(&message, request)| (message, &**request))).collect()
    }

    /// All requests, those of the ground included.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerKey, &str)> {
        self.held.keys().chain(self.forgotten.keys()).map(|(key, request)| (key, &**request))
    }

    pub(super) fn find(&self, key: &PeerKey, request: &str) -> Option<MessageIx> {
        self.held.get(&(*key, request.into())).copied()
    }

    /// Takes in the next request of the ground.
    pub(super) fn forget(&mut self, key: PeerKey, request: &str) {
        let place = self.forgotten.len();
        self.forgotten.insert((key, request.into()), place);
    }

    /// Those that count, in the order of their messages.
    pub(super) fn in_order(&self, history: &History) -> Vec<(PeerKey, String)> {
        let mut forgotten: Vec<_> = self.forgotten.iter().map(|(request, place)| (place, request)).collect();
        forgotten.sort();
        let mut held: Vec<_> = self.held.iter().map(|(request, message)| (*message, request)).collect();
        held.sort_by(|(a, _), (b, _)| history.compare_messages(*a, *b));
        let requests = forgotten.into_iter().map(|(_, request)| request);
        let requests = requests.chain(held.into_iter().map(|(_, request)| request));
        requests.map(|(key, request)| (*key, request.to_string())).collect()
    }
}

impl Engine {
    /// Lets a message that came know whether it counts. Gives the one that is a repetition of a request now, if there is one.
    pub(super) fn mask_new(
        &mut self,
        message: MessageIx,
        request: Option<&str>,
        issue: Issue,
    ) -> Option<MessageIx> {
        let repeated = request.and_then(|request| match issue {
            Issue::Superseded => self.requests.keep(request, message),
            Issue::Counts | Issue::Supersedes => self.requests.enter(request, message, &self.history),
        });
        if repeated == Some(message) {
            self.history.set_repeated(message);
        }
        // Whoever has seen it knows the other by its name, and what is held of him did not.
        let is_late_word = issue == Issue::Superseded && self.history.is_overdue(message);
        self.is_disordered |=
            issue == Issue::Supersedes || is_late_word || self.is_undone_by_other_name(message);
        let [named, own] = self.targets(message);
        self.history.set_undone(message, self.registers.is_undone(named, &self.history));
        self.registers.judge(own, &self.history, &mut self.verdicts);
        if named != own {
            self.registers.judge(named, &self.history, &mut self.verdicts);
        }
        repeated
    }

    /// Lets others know that a message came, whose ops are in their places.
    pub(super) fn mask_others(&mut self, message: MessageIx, repeated: Option<MessageIx>) {
        if let Some(other) = repeated.filter(|&other| other != message) {
            self.set_repeated(other);
        }
        if self.history.has_issues() {
            // Whether somebody knew what he undid may depend on this one.
            self.targets(message).into_iter().for_each(|target| self.follow_register(target));
        }
    }

    /// What undos may call a message: by what it was, and by what it is.
    fn targets(&mut self, message: MessageIx) -> [(ActorIx, u64); 2] {
        let HeldMessage { actor, seq, .. } = self.history.message(message);
        match self.history.is_again(message) {
            true => [key(&self.history.name(message), &mut self.history), (actor, seq)],
            false => [(actor, seq); 2],
        }
    }

    pub(super) fn enter_meta(&mut self, op: OpIx) {
        let target = self.target(op);
        self.registers.enter(target, op, &self.history);
        self.follow_register(target);
    }

    /// Lets a message know what its undos and redos say.
    pub(super) fn follow_register(&mut self, target: (ActorIx, u64)) {
        self.registers.judge(target, &self.history, &mut self.verdicts);
        let undone = self.registers.is_undone(target, &self.history);
        let dot = Dot { actor: self.history.actor_of(target.0), seq: target.1 };
        let held =
            self.history.find_by(target.0, target.1).filter(|&message| !self.history.is_again(message));
        let all = held.into_iter().chain(self.history.issues_of(&dot).iter().copied());
        let changed = |&message: &MessageIx| self.history.is_undone(message) != undone;
        for message in all.filter(changed).collect::<Vec<_>>() {
            self.history.set_undone(message, undone);
            self.follow_mask(message);
        }
    }

    /// The message that an undo or a redo is about: by what that was before, if its author knew.
    fn target(&mut self, op: OpIx) -> (ActorIx, u64) {
        let target = self.history.op(op).target.expect("an undo or a redo has a target");
        let held = self.history.find_by(target.0, target.1);
        match held.filter(|&message| self.history.has_seen_message(op, message)) {
            Some(message) => key(&self.history.name(message), &mut self.history),
            None => target,
        }
    }

    /// Whether an undo or a redo came before the message that it names by another name than the one that counts.
    pub(super) fn is_undone_by_other_name(&self, message: MessageIx) -> bool {
        let HeldMessage { actor, seq, .. } = self.history.message(message);
        let metas = || self.registers.0.get(&(actor, seq)).into_iter().flatten();
        self.history.is_again(message) && metas().any(|&op| self.history.has_seen_message(op, message))
    }

    /// Judges what says that a message was another.
    pub(super) fn judge_origin(&mut self, op: OpIx) {
        let message = self.history.owner(op);
        let is_first = self.history.index(op) == 0 && self.history.is_again(message);
        let is_fine = is_first || self.history.is_masked(op);
        self.verdicts.set(op, if is_fine { Ok(()) } else { Err(NoEffect::Misplaced) });
    }

    /// A lesser message with the same request came: of this one nothing counts any more.
    pub(super) fn set_repeated(&mut self, message: MessageIx) {
        self.history.set_repeated(message);
        self.follow_mute(message);
        self.forget_rules(message);
    }

    /// A message's author was an editor, or was none after all.
    pub(super) fn set_void(&mut self, message: MessageIx, void: bool) {
        self.history.set_void(message, void);
        self.follow_mute(message);
    }

    /// Lets everything that depends on a message know that it began or ceased to count, its undos and redos included.
    fn follow_mute(&mut self, message: MessageIx) {
        self.follow_mask(message);
        for op in self.history.ops_of(message) {
            if matches!(self.history.kind(op), Some(Kind::Undo | Kind::Redo)) {
                let target = self.target(op);
                self.follow_register(target);
            }
        }
    }

    /// Lets everything that depends on a message's scene ops know that they began or ceased to count.
    pub(super) fn follow_mask(&mut self, message: MessageIx) {
        for op in self.history.ops_of(message) {
            let held = self.history.op(op);
            let node = held.node;
            match held.kind() {
                None => self.judge_void(op),
                Some(
                    Kind::Reset(_)
                    | Kind::Step(_)
                    | Kind::Sum(..)
                    | Kind::List(_)
                    | Kind::Write(..)
                    | Kind::Append(_)
                    | Kind::Member(_)
                    | Kind::Entries(_),
                ) => {
                    let cell = held.cell.expect("a property op has a cell");
                    let life = &self.nodes[node.at()].life;
                    super::cell::judge(op, life, &self.history, &mut self.verdicts);
                    self.toggle_cell(op, cell);
                }
                Some(Kind::Insert | Kind::Remove) => {
                    let turned = self.nodes[node.at()].life.rewalk(&self.history, &mut self.verdicts);
                    self.follow_life(node, turned);
                    for cell in self.initial_cells(op) {
                        self.mark_cell(cell);
                    }
                }
                Some(Kind::Move) => self.follow_move(op),
                Some(Kind::Origin) => self.judge_origin(op),
                Some(Kind::Undo | Kind::Redo | Kind::Horizon | Kind::Rule(_)) => {}
            }
        }
    }

    /// Lets a cell know that one of its ops began or ceased to count.
    fn toggle_cell(&mut self, op: OpIx, ix: CellIx) {
        let cell = &mut self.cells[ix.at()];
        let was_changed = cell.is_changed;
        let life = &self.nodes[cell.node.at()].life;
        if !cell.toggle(op, life, &self.history, &self.verdicts) {
            self.mark_cell(ix);
        } else if cell.is_changed && !was_changed {
            self.changes.cells.push(ix);
        }
    }
}
