//! How an op comes into a property: at its own cost, where that gives what computing everything anew would.

use super::{Author, Cell, Start};
use crate::op::Kind;
use crate::op::text::Anchors;
use crate::planted::{Bug, planted};
use crate::replica::current::Current;
use crate::replica::history::History;
use crate::replica::index::{ActorIx, OpIx};
use crate::replica::life::Life;
use crate::replica::verdicts::Verdicts;

/// An op on its way into a property, with what is asked about it again and again.
#[derive(Clone, Copy)]
pub(in crate::replica) struct Entrant<'a> {
    pub(in crate::replica) op: OpIx,
    pub(in crate::replica) kind: Kind,
    /// Who made it.
    pub(in crate::replica) actor: ActorIx,
    /// Where what it brings goes, where that is known already.
    pub(in crate::replica) anchors: Option<&'a Anchors>,
    /// Whether it counts as far as its mask, its verdict and its node's life go.
    pub(in crate::replica) counts: bool,
}

/// What becomes of a property when an op has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum Outcome {
    /// It shows what it showed, or is computed anew in any case.
    Same,
    /// It shows what the op made of it.
    Changed,
    /// It is to be computed anew.
    Stale,
}

impl Cell {
    /// Takes in an op.
    pub(in crate::replica) fn enter(
        &mut self,
        entrant: Entrant<'_>,
        life: &Life,
        history: &History,
        verdicts: &mut Verdicts,
    ) -> Outcome {
        let Entrant { op, kind, counts, .. } = entrant;
        let is_last = self.keep(entrant, history) || planted(Bug::ArrivalOrder);
        let is_reset = is_reset(kind);
        let counts = counts
            && !self.is_stale
            && (is_last || is_reset || !self.is_covered(op, life, history, verdicts));
        if self.enter_scripts(Entrant { counts, ..entrant }, history) {
            return Outcome::Stale;
        }
        if !counts || (is_reset && !is_last && self.outdoes(op, history)) {
            return Outcome::Same;
        }
        if is_last {
            self.append(op, is_reset, history, verdicts);
        } else if is_reset || !self.join(op, history, verdicts) {
            return Outcome::Stale;
        }
        self.is_changed = true;
        Outcome::Changed
    }

    /// Whether a reset changes nothing: a greater one stands, and there is no step that this one could have seen.
    fn outdoes(&self, reset: OpIx, history: &History) -> bool {
        let is_bare = self.open.is_empty() && self.late.is_empty();
        matches!(self.current, Current::Given(other) if is_bare && history.is_before(reset, other))
    }

    /// Keeps an op, in its place. Says whether it is the last one in order.
    fn keep(&mut self, Entrant { op, kind, actor, .. }: Entrant<'_>, history: &History) -> bool {
        let at = self.authors.partition_point(|author| author.actor < actor);
        if self.authors.get(at).is_none_or(|author| author.actor != actor) {
            self.authors.insert(at, Author { actor, resets: Vec::new(), steps: Vec::new() });
        }
        let list = match is_reset(kind) {
            true => &mut self.authors[at].resets,
            false => &mut self.authors[at].steps,
        };
        let is_last = self.newest.is_none_or(|newest| history.is_before(newest, op));
        if is_last {
            self.newest = Some(op);
            list.push(op);
        } else {
            list.insert(history.place_in(list, op), op);
        }
        match kind {
            Kind::Reset(_) | Kind::Insert => {}
            Kind::Write(content, _) => self.writes[content as usize] += 1,
            _ => self.others += 1,
        }
        is_last
    }

    /// Puts the characters of an op that was kept into their place, to show at once if the op counts. Says whether
    /// everything is to be computed anew: the first op that names characters came, or one that others had been waiting for.
    fn enter_scripts(&mut self, entrant: Entrant<'_>, history: &History) -> bool {
        let Entrant { op, kind, anchors, counts, .. } = entrant;
        let has_scripts = self.scripts.iter().any(Option::is_some);
        if has_scripts {
            let path = history.paths.text(self.path.at());
            let is_shown = counts && self.pure().is_some() && !history.is_overdue(history.owner(op));
            for script in self.scripts.iter_mut().flatten() {
                script.enter(op, anchors, path, is_shown, history);
            }
        }
        let is_first = match kind {
            Kind::Write(content, _) => self.number_characters(content, history),
            _ => false,
        };
        is_first || (has_scripts && history.is_overdue(history.owner(op)))
    }

    /// Applies a step that counts though it is not the last op in order, if that gives what folding anew would. Says whether
    /// it did.
    fn join(&mut self, step: OpIx, history: &History, verdicts: &mut Verdicts) -> bool {
        let is_last = self.open.last().is_none_or(|&last| history.is_before(last, step));
        let is_sum = self.faults.is_empty() && self.current.sums_with(step, history);
        if !is_last && !is_sum && !self.commutes(step, history) {
            return false;
        }
        if is_last {
            self.open.push(step);
        } else if is_sum || self.pure().is_some() {
            // Finding its place among many steps, and making room there, would cost more than the step.
            self.late.push(step);
        } else {
            self.open.insert(history.place_in(&self.open, step), step);
        }
        self.step(step, history, verdicts);
        true
    }

    /// Whether the steps that were applied and come after this one give the same with it before or after them.
    fn commutes(&self, step: OpIx, history: &History) -> bool {
        if self.pure().is_some() {
            return self.can_write(step, history);
        }
        let Some(first) = self.current.commutes_from(step, history) else { return false };
        let follows = history.is_before(first, step) || self.open.first() == Some(&first);
        // What failed may not fail with it.
        let before = |fault: &OpIx| history.is_before(*fault, step);
        // Where no author's last step has seen it, no earlier one has.
        let seen = |author: &Author| author.steps.last().is_some_and(|&last| history.has_seen(last, step));
        follows && self.faults.last().is_none_or(before) && !self.authors.iter().any(seen)
    }

    /// Applies an op that counts and is the last one in order.
    fn append(&mut self, op: OpIx, is_reset: bool, history: &History, verdicts: &mut Verdicts) {
        debug_assert!(!self.is_stale && self.newest == Some(op) && !history.is_masked(op));
        if is_reset {
            self.gather(history);
            self.open.retain(|&step| !history.has_seen(op, step) && !planted(Bug::ResetCoversAll));
            self.fold(Start::Reset(op), history, verdicts);
        } else {
            self.open.push(op);
            self.step(op, history, verdicts);
        }
    }
}

fn is_reset(kind: Kind) -> bool {
    matches!(kind, Kind::Reset(_) | Kind::Insert)
}
