//! What the ground has of a property: the value it starts from, and the characters that others may stand beside.

use std::ops::Range;

use super::{Cell, is_reset};
use crate::ground::{Base, Brought, Form, Spot, push_run};
use crate::op::Kind;
use crate::op::text::{Anchors, CharId, Content, Side, Span, Writing};
use crate::raw::Raw;
use crate::replica::current::Current;
use crate::replica::history::History;
use crate::replica::index::OpIx;
use crate::replica::life::Life;
use crate::replica::script::{Remains, Script};
use crate::replica::snapshot::Tally;
use crate::replica::verdicts::Verdicts;
use crate::value::Value;

/// What the ground has of a property.
#[derive(Clone, Default)]
pub(in crate::replica) struct Footing {
    base: Option<(OpIx, Form, Value)>,
    /// What the ops of the ground brought, characters and elements.
    texts: [Vec<Text>; 2],
}

/// What one op of the ground brought.
#[derive(Clone)]
struct Text {
    op: OpIx,
    spot: Spot,
    /// Those that show.
    shown: Vec<Range<u32>>,
    /// Of a move the element that stands there.
    element: Option<CharId>,
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
    /// The ops of one actor in which a span's characters are.
    pub(super) fn named(&self, span: &Span, history: &History) -> Vec<OpIx> {
        let Span { first, last } = span;
        let is_within =
            |op: &OpIx| ((first.dot, first.index)..=(last.dot, last.index)).contains(&history.op_name(*op));
        self.texts.iter().flatten().map(|text| text.op).filter(is_within).collect()
    }
}

impl Cell {
    /// Begins with what the ground has: the base with the number of its op, and what each op brought with that of its own.
    pub(in crate::replica) fn stand(
        &mut self,
        base: Option<(OpIx, &Base)>,
        brought: [&[(OpIx, &Brought)]; 2],
        history: &History,
    ) {
        let mut footing = Footing {
            base: base.map(|(by, base)| (by, base.form, base.value.clone())),
            texts: Default::default(),
        };
        let whole = base.filter(|(_, base)| base.form == Form::Whole);
        for content in Content::ALL {
            let mut script = Script::new(content);
            for &(op, brought) in brought[content as usize] {
                let whole = whole.filter(|(by, base)| *by == op && content.fits(&base.value));
                script.stand(op, brought, whole.map(|(_, base)| &base.value), history);
                let range = |(from, run): &(u32, Value)| *from..from + content.len(run).unwrap_or(0);
                footing.texts[content as usize].push(Text {
                    op,
                    spot: brought.spot,
                    shown: brought.shown.iter().map(range).collect(),
                    element: brought.element,
                });
            }
            let is_written = base.is_some_and(|(_, base)| base.form == Form::Written(content));
            if is_written || !brought[content as usize].is_empty() {
                self.scripts[content as usize] = Some(Box::new(script));
            }
        }
        self.footing = Some(Box::new(footing));
    }

    /// What the value starts from where no reset counts in a life that began in the ground.
    pub(super) fn ground_value(&mut self, history: &History) -> Current {
        let Some(footing) = &self.footing else { return Current::Absent };
        match &footing.base {
            Some((_, Form::Written(content), _)) => {
                let script = self.scripts[*content as usize].as_mut().expect("it stands on one");
                for text in &footing.texts[*content as usize] {
                    text.shown.iter().for_each(|offsets| script.show_some(text.op, offsets));
                }
                for text in &footing.texts[*content as usize] {
                    text.element.iter().for_each(|element| script.show_moved(text.op, element, history));
                }
                Current::Script(*content)
            }
            Some((by, _, value)) => Current::Whole(value.clone(), *by),
            None => Current::Absent,
        }
    }

    /// What is left of the property when all its ops are forgotten: the value, and every op's characters in order. The
    /// verdicts may be changed: they are the caller's copy.
    pub(in crate::replica) fn to_ground(
        &self,
        life: &Life,
        history: &History,
        verdicts: &mut Verdicts,
    ) -> (Option<Base>, [Vec<Brought>; 2]) {
        let path = history.paths.text(self.path.at());
        let brings = |content| {
            self.script(content).is_none()
                && self
                    .authors
                    .iter()
                    .flat_map(super::Author::ops)
                    .any(|op| brings(op, content, path, history))
        };
        let unnumbered = Content::ALL.map(brings);
        if unnumbered.contains(&true) {
            // What it is once an op names its characters, as a later one may.
            let mut cell = self.clone();
            for content in Content::ALL.into_iter().filter(|&content| unnumbered[content as usize]) {
                cell.number_characters(content, history);
            }
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
            let value = match form {
                Form::Written(_) => Value::Null,
                Form::Whole | Form::Made => self.value(history).expect("it is there"),
            };
            Base { by: history.stamp(by), code: history.op(by).code, form, value }
        });
        (base, Content::ALL.map(|content| self.to_brought(content, history)))
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
        self.footing.as_ref()?.base.as_ref().map(|(by, ..)| *by)
    }

    /// The op that made the value what it is: the last step applied, else what it starts from.
    fn made_by(&self, life: &Life, history: &History, verdicts: &Verdicts) -> OpIx {
        let steps = self.open.iter().chain(&self.late).copied().filter(|step| !self.faults.contains(step));
        let step = steps.max_by(|&a, &b| history.compare(a, b));
        step.or_else(|| self.start(life, history, verdicts)).expect("a value has a maker")
    }

    fn to_brought(&self, content: Content, history: &History) -> Vec<Brought> {
        let Some(script) = self.script(content) else { return Vec::new() };
        let mut remains = match self.current == Current::Script(content) {
            true => script.remains(history),
            false => Remains::default(),
        };
        let ground = self.footing.iter().flat_map(|footing| &footing.texts[content as usize]);
        let ground = ground.map(|text| (text.op, text.spot));
        let mut held: Vec<OpIx> = self.authors.iter().flat_map(super::Author::ops).collect();
        held.sort_by(|&a, &b| history.compare(a, b));
        let held = held.into_iter().filter_map(|op| Some((op, spot(op, history)?)));
        let brought = ground.chain(held).filter(|(op, _)| script.sequence.holds(op.0));
        let brought = brought.map(|(op, spot)| {
            let mut pieces = remains.pieces.remove(&op.0).unwrap_or_default();
            pieces.sort_by_key(|(from, _)| *from);
            let mut shown = Vec::new();
            pieces.into_iter().for_each(|(from, run)| push_run(&mut shown, from, run));
            Brought {
                by: history.stamp(op),
                origin: history.origin(op),
                code: history.op(op).code,
                spot,
                len: script.sequence.len_of(op.0),
                shown,
                element: remains.moved.remove(&op.0),
            }
        });
        brought.collect()
    }
}

/// Whether an op may bring characters, or elements.
fn brings(op: OpIx, content: Content, path: &str, history: &History) -> bool {
    let raw = history.raw(op);
    let fits = |raw: Raw<'_>| content.fits(&raw.decode());
    match history.kind(op) {
        Some(Kind::Insert) => raw.get(path).is_some_and(fits),
        Some(Kind::Append(_)) => content == Content::Text,
        Some(Kind::Reset(reset)) => content.fits(&reset(&raw.decode())),
        Some(Kind::Write(of, _)) => of == content,
        Some(
            Kind::Step(_)
            | Kind::Sum(..)
            | Kind::List(_)
            | Kind::Member(_)
            | Kind::Entries(_)
            | Kind::Remove
            | Kind::Move
            | Kind::Undo
            | Kind::Redo
            | Kind::Horizon
            | Kind::Origin,
        )
        | None => false,
    }
}

/// Where what an op brings goes, if it brings characters.
fn spot(op: OpIx, history: &History) -> Option<Spot> {
    let held = history.op(op);
    match held.kind()? {
        Kind::Reset(_) | Kind::Insert => Some(Spot::After(None, Some(None))),
        Kind::Append(_) => Some(Spot::Last),
        Kind::Write(_, writing) if writing.inserts() || writing == Writing::Move => {
            let anchors = Anchors::read(held.raw.rest(), history.name(held.message));
            Some(match anchors.side {
                Side::Before(id) => Spot::Before(id),
                Side::After(left) => Spot::After(left, anchors.until),
            })
        }
        Kind::Write(..)
        | Kind::Step(_)
        | Kind::Sum(..)
        | Kind::List(_)
        | Kind::Member(_)
        | Kind::Entries(_)
        | Kind::Remove
        | Kind::Move
        | Kind::Undo
        | Kind::Redo
        | Kind::Horizon
        | Kind::Origin => None,
    }
}
