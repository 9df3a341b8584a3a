//! What the ground has of a property: the value it starts from, and the characters that others may stand beside.

use std::sync::Arc;

use super::{Author, Cell, is_reset};
use crate::ground::{Base, Form, Keeping, Kept};
use crate::op::Kind;
use crate::op::text::{CharId, Content};
use crate::replica::current::{Current, given};
use crate::replica::history::History;
use crate::replica::index::OpIx;
use crate::replica::life::Life;
use crate::replica::script::Script;
use crate::replica::snapshot::Tally;
use crate::replica::verdicts::Verdicts;
use crate::value::Value;

/// What the ground has of a property.
#[derive(Clone, Default)]
pub(in crate::replica) struct Footing {
    base: Option<(OpIx, Base)>,
    /// What it keeps of characters and of elements.
    kept: [Arc<[Kept]>; 2],
}

/// What a value starts from.
pub(super) enum Start {
    Nothing,
    Ground,
    Reset(OpIx),
}

impl Start {
    /// What a value starts from in a life with that greatest live reset.
    pub(super) fn of(greatest: Option<OpIx>, life: &Life, history: &History) -> Self {
        match greatest {
            Some(reset) => Self::Reset(reset),
            // Every reset has seen the ground.
            None if life.is_on_ground(history) => Self::Ground,
            None => Self::Nothing,
        }
    }
}

impl Footing {
    /// The characters that the ground keeps.
    pub(super) fn script(&self, content: Content) -> Script {
        let base = self.base.as_ref().filter(|(_, base)| base.is_made_of(content));
        Script::on(content, &self.kept[content as usize], base.map(|(by, base)| (*by, &base.value)))
    }
}

impl Cell {
    /// Begins with what the ground has: the base with the number of its op, and what is kept of characters and elements.
    pub(in crate::replica) fn stand(&mut self, base: Option<(OpIx, Base)>, kept: [Arc<[Kept]>; 2]) {
        let mut footing = Footing { base, kept };
        if let Some((_, Base { form: Form::Written(content), .. })) = footing.base {
            self.scripts[content as usize] = Some(Box::new(footing.script(content)));
            // The script has it from here on.
            footing.base.iter_mut().for_each(|(_, base)| base.value = Value::Null);
        }
        self.footing = Some(Box::new(footing));
    }

    /// What the value starts from where no reset counts in a life that began in the ground.
    pub(super) fn ground_value(&mut self) -> Current {
        match self.footing.as_ref().and_then(|footing| footing.base.as_ref()) {
            Some((_, Base { form: Form::Written(content), .. })) => {
                self.scripts[*content as usize].as_mut().expect("it stands on one").show_ground();
                Current::Script(*content)
            }
            Some((by, base)) => Current::Whole(base.value.clone(), *by),
            None => Current::Absent,
        }
    }

    /// What is left of the property when all its ops are forgotten: the value, and what is kept of characters and elements.
    /// The verdicts may be changed: they are the caller's copy.
    pub(in crate::replica) fn to_ground(
        &self,
        life: &Life,
        history: &History,
        verdicts: &mut Verdicts,
    ) -> (Option<Base>, [Arc<[Kept]>; 2]) {
        let mut ops = self.authors.iter().flat_map(|author| &author.steps);
        if self.script(Content::Text).is_none() && ops.any(|&op| is_append(op, history)) {
            // What it is once an op names its characters, as a later one may.
            let mut cell = self.clone();
            cell.number_characters(Content::Text, history);
            cell.refold(life, history, verdicts);
            return cell.to_ground(life, history, verdicts);
        }
        let form = match &self.current {
            Current::Absent => None,
            Current::Script(content) => Some(Form::Written(*content)),
            Current::Given(_) => Some(Form::Whole),
            Current::Whole(_, by) if is_reset(*by, history) => Some(Form::Whole),
            Current::Whole(..)
            | Current::Sum(_)
            | Current::Elements(_)
            | Current::Members(_)
            | Current::Entries(_) => Some(Form::Made),
        };
        let base = form.filter(|_| life.is_alive()).map(|form| {
            let by = self.made_by(life, history, verdicts);
            let value = self.value(history).expect("it is there");
            Base { by: history.stamp(by), code: history.op(by).code, form, value }
        });
        (base, Content::ALL.map(|content| self.to_kept(content, history)))
    }

    /// The ops that the value is made of: the greatest live reset, or what made it in the ground, and the steps that count and
    /// could be applied.
    pub(in crate::replica) fn makers(
        &self,
        life: &Life,
        history: &History,
        verdicts: &Verdicts,
    ) -> Vec<OpIx> {
        let start = self.start(life, history, verdicts);
        let steps = self.open.iter().chain(&self.late).copied().filter(|step| !self.faults.contains(step));
        let mut steps: Vec<OpIx> = steps.collect();
        steps.sort_by(|&a, &b| history.compare(a, b));
        start.into_iter().chain(steps).collect()
    }

    /// What of all this decides about later ops; nothing where no op counts.
    pub(in crate::replica) fn tally(
        &self,
        life: &Life,
        history: &History,
        verdicts: &Verdicts,
    ) -> Option<Tally> {
        let steps = self.open.last().into_iter().chain(&self.late).copied();
        let counting = self.start(life, history, verdicts).into_iter().chain(steps);
        let last = history.stamp(counting.max_by(|&a, &b| history.compare(a, b))?);
        Some(Tally { last, steps: self.open.len() + self.late.len(), faults: self.faults.len() })
    }

    /// The op that the steps start from: the greatest live reset, or what made the value in the ground.
    fn start(&self, life: &Life, history: &History, verdicts: &Verdicts) -> Option<OpIx> {
        let greatest = self.last_resets(life, history, verdicts).max_by(|&a, &b| history.compare(a, b));
        greatest.or_else(|| self.ground_maker().filter(|_| life.is_on_ground(history)))
    }

    /// The reset whose value it still is, be it held or of the ground.
    pub(super) fn untouched(&self, history: &History) -> Option<OpIx> {
        match &self.current {
            Current::Given(by) | Current::Whole(_, by) => Some(*by).filter(|&by| is_reset(by, history)),
            Current::Absent
            | Current::Sum(_)
            | Current::Elements(_)
            | Current::Script(_)
            | Current::Members(_)
            | Current::Entries(_) => None,
        }
    }

    /// The op that made the value what it is in the ground.
    pub(super) fn ground_maker(&self) -> Option<OpIx> {
        self.footing.as_ref()?.base.as_ref().map(|(by, _)| *by)
    }

    /// The op that made the value what it is: the last step applied, else what it starts from.
    fn made_by(&self, life: &Life, history: &History, verdicts: &Verdicts) -> OpIx {
        let steps = self.open.iter().chain(&self.late).copied().filter(|step| !self.faults.contains(step));
        let step = steps.max_by(|&a, &b| history.compare(a, b));
        step.or_else(|| self.start(life, history, verdicts)).expect("a value has a maker")
    }

    fn to_kept(&self, content: Content, history: &History) -> Arc<[Kept]> {
        let Some(script) = self.script(content) else { return self.unwritten(content, history) };
        if self.current == Current::Script(content) {
            return script.kept(history);
        }
        let mut script = script.clone();
        script.clear();
        if let Some(reset) = self.untouched(history) {
            script.show(reset);
        }
        script.kept(history)
    }

    /// What is kept where nothing was ever written or appended: the resets stand at the start, the greatest first, and the
    /// ground's behind them.
    fn unwritten(&self, content: Content, history: &History) -> Arc<[Kept]> {
        let len = |op: OpIx| given(op, self.path, history).and_then(|value| content.len(&value)).unwrap_or(0);
        let brings = |op: &OpIx| !history.is_superseded(history.owner(*op)) && len(*op) > 0;
        let last = |of: &dyn Fn(&Author) -> usize| {
            let lasts = self
                .authors
                .iter()
                .filter_map(|author| author.resets[..of(author)].iter().rev().copied().find(brings));
            lasts.max_by(|&a, &b| history.compare(a, b))
        };
        let first = |op: OpIx| {
            let (dot, index) = history.op_name(op);
            CharId { dot, index, offset: 0 }
        };
        let newest = last(&|author| author.resets.len());
        let shown = self.untouched(history);
        let held = shown.filter(|op| !history.is_relic(*op)).filter(brings);
        let mut keeping = Keeping::new();
        if let Some(newest) = newest.filter(|newest| Some(*newest) != held) {
            keeping.hide(|| first(newest));
        }
        let older = held.and_then(|held| {
            keeping.show_all(first(held), len(held));
            last(&|author| history.place_in(&author.resets, held))
        });
        if let Some(older) = older {
            keeping.hide(|| first(older));
        }
        let footing = self.footing.as_deref();
        let is_shown = shown.is_some() && shown == self.ground_maker();
        for run in footing.iter().flat_map(|footing| footing.kept[content as usize].iter()) {
            for nth in 0..run.len() {
                match run.element(nth).filter(|_| is_shown) {
                    Some(element) => keeping.show(run.position(nth), element),
                    None => keeping.hide(|| run.position(nth)),
                }
            }
        }
        keeping.finish()
    }
}

fn is_append(op: OpIx, history: &History) -> bool {
    matches!(history.kind(op), Some(Kind::Append(_)))
}
