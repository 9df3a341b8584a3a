//! What the ground has of a property: the value it starts from, and the characters that others may stand beside.

use std::collections::BTreeMap;

use super::{Cell, is_reset};
use crate::ground::{Base, Brought, Form, Spot};
use crate::op::Kind;
use crate::op::text::{Anchors, Side, Span};
use crate::replica::current::Current;
use crate::replica::history::History;
use crate::replica::index::OpIx;
use crate::replica::life::Life;
use crate::replica::script::Script;
use crate::replica::verdicts::Verdicts;
use crate::value::Value;

/// What the ground has of a property.
#[derive(Clone, Default)]
pub(in crate::replica) struct Footing {
    base: Option<(OpIx, Form, Value)>,
    texts: Vec<Text>,
}

/// The characters one op of the ground brought.
#[derive(Clone)]
struct Text {
    op: OpIx,
    spot: Spot,
    /// Those that show: offsets from and to.
    shown: Vec<(u32, u32)>,
}

impl Footing {
    /// The ops of one actor in which a span's characters are.
    pub(super) fn named(&self, span: &Span, history: &History) -> Vec<OpIx> {
        let is_within = |op: &OpIx| {
            let message = history.message_of(*op);
            let at = (message.seq, history.index(*op));
            Some(message.actor) == history.actor_number(&span.first.dot.actor)
                && (span.first.dot.seq, span.first.index) <= at
                && at <= (span.last.dot.seq, span.last.index)
        };
        self.texts.iter().map(|text| text.op).filter(is_within).collect()
    }
}

impl Cell {
    /// Begins with what the ground has: the base with the number of its op, and each text with that of its own.
    pub(in crate::replica) fn stand(
        &mut self,
        base: Option<(OpIx, &Base)>,
        texts: &[(OpIx, &Brought)],
        history: &History,
    ) {
        let mut footing = Footing {
            base: base.map(|(by, base)| (by, base.form, base.value.clone())),
            texts: Vec::with_capacity(texts.len()),
        };
        let whole = base.filter(|(_, base)| base.form == Form::Whole);
        let mut script = Script::new();
        for &(op, brought) in texts {
            let mut chars = vec!['\0'; brought.len as usize];
            if let Some((_, Base { value: Value::Text(text), .. })) = whole.filter(|(by, _)| *by == op) {
                chars = text.chars().collect();
            }
            let mut shown = Vec::new();
            for (from, text) in &brought.shown {
                let mut end = *from;
                for char in text.chars() {
                    chars[end as usize] = char;
                    end += 1;
                }
                shown.push((*from, end));
            }
            script.stand(op, chars, &brought.spot, history);
            footing.texts.push(Text { op, spot: brought.spot, shown });
        }
        let is_written = base.is_some_and(|(_, base)| base.form == Form::Written);
        if is_written || !texts.is_empty() {
            self.script = Some(Box::new(script));
        }
        self.footing = Some(Box::new(footing));
    }

    /// What the value starts from where no reset counts in a life that began in the ground.
    pub(super) fn ground_value(&mut self) -> Current {
        let Some(footing) = &self.footing else { return Current::Absent };
        match (&footing.base, &mut self.script) {
            (Some((_, Form::Written, _)), Some(script)) => {
                for text in &footing.texts {
                    for &(from, to) in &text.shown {
                        script.sequence.show_some(text.op.0, from..to);
                    }
                }
                Current::Script
            }
            (Some((by, _, value)), _) => Current::Whole(value.clone(), *by),
            (None, _) => Current::Absent,
        }
    }

    /// What is left of the property when all its ops are forgotten: the value, and every op's characters in order. The
    /// verdicts may be changed: they are the caller's copy.
    pub(in crate::replica) fn to_ground(
        &self,
        life: &Life,
        history: &History,
        verdicts: &mut Verdicts,
    ) -> (Option<Base>, Vec<Brought>) {
        let mut ops = self.authors.iter().flat_map(super::Author::ops);
        if self.script.is_none() && ops.any(|op| brings_text(op, history.paths.text(self.path.at()), history))
        {
            // What it is once an op names its characters, as a later one may.
            let mut cell = self.clone();
            cell.number_characters(history);
            cell.refold(life, history, verdicts);
            return cell.to_ground(life, history, verdicts);
        }
        let form = match &self.current {
            Current::Absent => None,
            Current::Script => Some(Form::Written),
            Current::Given(_) => Some(Form::Whole),
            Current::Whole(_, by) if is_reset(*by, history) => Some(Form::Whole),
            Current::Whole(..) | Current::Elements(_) | Current::Members(_) | Current::Entries(_) => {
                Some(Form::Made)
            }
        };
        let base = form.filter(|_| life.is_alive()).map(|form| {
            let by = self.made_by(life, history, verdicts);
            let value = match form {
                Form::Written => Value::Null,
                Form::Whole | Form::Made => self.value(history).expect("it is there"),
            };
            Base { by: history.stamp(by), code: history.op(by).code, form, value }
        });
        (base, self.to_brought(history))
    }

    /// The op that made the value what it is in the ground.
    pub(super) fn ground_maker(&self) -> Option<OpIx> {
        self.footing.as_ref()?.base.as_ref().map(|(by, ..)| *by)
    }

    /// The op that made the value what it is: the last step applied, else what it starts from.
    fn made_by(&self, life: &Life, history: &History, verdicts: &Verdicts) -> OpIx {
        let step = self.open.iter().rev().copied().find(|step| !self.faults.contains(step));
        let reset = || self.last_resets(life, history, verdicts).max_by(|&a, &b| history.compare(a, b));
        step.or_else(reset).or_else(|| self.ground_maker()).expect("a value has a maker")
    }

    fn to_brought(&self, history: &History) -> Vec<Brought> {
        let Some(script) = &self.script else { return Vec::new() };
        let sequence = &script.sequence;
        let mut shown = match self.current {
            Current::Script => shown(script),
            Current::Absent
            | Current::Given(_)
            | Current::Whole(..)
            | Current::Elements(_)
            | Current::Members(_)
            | Current::Entries(_) => BTreeMap::new(),
        };
        let ground = self.footing.iter().flat_map(|footing| &footing.texts).map(|text| (text.op, text.spot));
        let mut held: Vec<OpIx> = self.authors.iter().flat_map(super::Author::ops).collect();
        held.sort_by(|&a, &b| history.compare(a, b));
        let held = held.into_iter().filter_map(|op| Some((op, spot(op, history)?)));
        let brought = ground.chain(held).filter(|(op, _)| sequence.len_of(op.0) > 0);
        let brought = brought.map(|(op, spot)| Brought {
            by: history.stamp(op),
            code: history.op(op).code,
            spot,
            len: sequence.len_of(op.0),
            shown: shown.remove(&op).unwrap_or_default(),
        });
        brought.collect()
    }
}

/// The characters that show, by the op that brought them: runs by offset.
fn shown(script: &Script) -> BTreeMap<OpIx, Vec<(u32, String)>> {
    let sequence = &script.sequence;
    let text = sequence.text();
    let mut chars = text.chars();
    let mut by_op: BTreeMap<OpIx, BTreeMap<u32, char>> = BTreeMap::new();
    for piece in sequence.pieces(0..sequence.len()) {
        for (op, offsets) in sequence.origins(piece) {
            by_op.entry(OpIx(op)).or_default().extend(offsets.zip(&mut chars));
        }
    }
    let runs = |chars: BTreeMap<u32, char>| {
        let mut runs: Vec<(u32, String)> = Vec::new();
        let mut next = None;
        for (offset, char) in chars {
            match runs.last_mut().filter(|_| next == Some(offset)) {
                Some((_, text)) => text.push(char),
                None => runs.push((offset, char.to_string())),
            }
            next = Some(offset + 1);
        }
        runs
    };
    by_op.into_iter().map(|(op, chars)| (op, runs(chars))).collect()
}

/// Whether an op may bring characters.
fn brings_text(op: OpIx, path: &str, history: &History) -> bool {
    let raw = history.raw(op);
    match history.kind(op) {
        Some(Kind::Insert) => raw.get(path).is_some_and(|value| value.as_text().is_some()),
        Some(Kind::Append(_)) => true,
        _ => raw.as_text().is_some(),
    }
}

/// Where what an op brings goes, if it brings characters.
fn spot(op: OpIx, history: &History) -> Option<Spot> {
    let held = history.op(op);
    match held.kind()? {
        Kind::Reset(_) | Kind::Insert => Some(Spot::After(None, Some(None))),
        Kind::Append(_) => Some(Spot::Last),
        Kind::Text(writing) if writing.inserts() => {
            let anchors = Anchors::read(&held.options(), history.dot(held.message));
            Some(match anchors.side {
                Side::Before(id) => Spot::Before(id),
                Side::After(left) => Spot::After(left, anchors.until),
            })
        }
        Kind::Text(_)
        | Kind::Step(_)
        | Kind::List(_)
        | Kind::Member(_)
        | Kind::Entries(_)
        | Kind::Remove
        | Kind::Move
        | Kind::Undo
        | Kind::Redo => None,
    }
}
