//! The characters of one property (DESIGN §3, law 9): which there are, across lives and resets, and which of them show.

use super::held::HeldOp;
use super::history::History;
use super::index::OpIx;
use crate::ground;
use crate::op::Kind;
use crate::op::text::{Anchors, CharId, Side, Span, Writing, spans};
use crate::raw::Raw;
use crate::sequence::{Char, Sequence, Spot, Until};
use crate::value::Value;

/// The characters, and the ops whose characters could not be placed yet.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) sequence: Sequence,
    /// They name characters that are not here.
    waiting: Vec<OpIx>,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { sequence: Sequence::new(), waiting: Vec::new() }
    }

    /// Puts characters of the ground into their place, whatever they said.
    pub(super) fn stand(&mut self, op: OpIx, chars: Vec<char>, spot: &ground::Spot, history: &History) {
        let char = |id: &CharId| {
            let op = history.op_at(&id.dot, id.index)?;
            self.sequence.char(op.0, id.offset)
        };
        let known = |id: &CharId| char(id).expect("the ground holds what its characters stand beside");
        let spot = match spot {
            ground::Spot::Before(id) => Spot::Before(known(id)),
            ground::Spot::After(left, until) => {
                let until = match until {
                    None => Until::Inherited,
                    Some(until) => Until::Given(until.as_ref().map(known)),
                };
                Spot::After(left.as_ref().map_or(Char::START, known), until)
            }
            ground::Spot::Last => Spot::Last,
        };
        self.sequence.place(op.0, chars, spot, |a, b| history.compare(OpIx(a), OpIx(b)));
    }

    /// Puts what an op brings into its place, if it brings anything.
    pub(super) fn enter(&mut self, op: OpIx, path: &str, history: &History) {
        if !self.try_enter(op, path, history) {
            self.waiting.push(op);
        }
    }

    /// Places what waits, as far as that is possible now.
    pub(super) fn retry(&mut self, path: &str, history: &History) {
        loop {
            let waiting = std::mem::take(&mut self.waiting);
            let before = waiting.len();
            for op in waiting {
                self.enter(op, path, history);
            }
            if self.waiting.len() == before {
                return;
            }
        }
    }

    fn try_enter(&mut self, op: OpIx, path: &str, history: &History) -> bool {
        let held = history.op(op);
        let start = Spot::After(Char::START, Until::Given(None));
        let (text, separator, spot) = match held.kind() {
            Some(Kind::Reset(reset)) => match reset(&held.value()) {
                Value::Text(text) => (text, String::new(), start),
                _ => return true,
            },
            Some(Kind::Insert) => match held.raw.get(path).and_then(Raw::as_text) {
                Some(text) => (text.to_owned(), String::new(), start),
                None => return true,
            },
            Some(Kind::Append(_)) => (text_of(held.raw), separator(held), Spot::Last),
            Some(Kind::Text(writing)) if writing.inserts() => match self.spot(op, history) {
                Some(spot) => (text_of(held.raw), String::new(), spot),
                None => return false,
            },
            _ => return true,
        };
        let compare = |a: u32, b: u32| history.compare(OpIx(a), OpIx(b));
        self.sequence.place(op.0, separator.chars().chain(text.chars()), spot, compare);
        true
    }

    fn spot(&self, op: OpIx, history: &History) -> Option<Spot> {
        let anchors = Anchors::read(&history.op(op).options(), history.dot(history.op(op).message));
        let char = |id: CharId| self.char(id, op, history);
        let left = match anchors.side {
            Side::Before(id) => return char(id).map(Spot::Before),
            Side::After(None) => Char::START,
            Side::After(Some(id)) => char(id)?,
        };
        let until = match anchors.until {
            None => Until::Inherited,
            Some(None) => Until::Given(None),
            Some(Some(id)) => Until::Given(Some(char(id)?)),
        };
        Some(Spot::After(left, until))
    }

    /// A character that `by` names: one that is here and that it has seen.
    fn char(&self, id: CharId, by: OpIx, history: &History) -> Option<Char> {
        let op = history.op_at(&id.dot, id.index).filter(|&op| history.has_seen(by, op))?;
        self.sequence.char(op.0, id.offset)
    }

    /// Lets the characters of a reset show.
    pub(super) fn show(&mut self, op: OpIx) {
        self.sequence.show(op.0, 0, true);
    }

    /// Whether an op that brings characters could be placed.
    pub(super) fn holds(&self, op: OpIx) -> bool {
        self.sequence.holds(op.0)
    }

    /// Lets what a step brings show, or not any more, and what it deletes be gone, or back. `ops` are all that touched the
    /// property by their actors, each actor's in order.
    pub(super) fn write(
        &mut self,
        step: OpIx,
        writing: Writing,
        counts: bool,
        history: &History,
        ops: &dyn Fn(&Span) -> Vec<OpIx>,
    ) {
        let held = history.op(step);
        if writing.deletes() {
            let own = history.dot(held.message);
            for span in spans(&held.options(), own) {
                for op in ops(&span).into_iter().filter(|&op| history.has_seen(step, op)) {
                    let position = history.position(op);
                    let is = |id: &CharId| (id.dot.seq, id.index) == position;
                    let from = if is(&span.first) { span.first.offset } else { 0 };
                    let to = if is(&span.last) { span.last.offset.saturating_add(1) } else { u32::MAX };
                    self.sequence.delete(op.0, from..to, counts);
                }
            }
        }
        if writing.inserts() {
            self.sequence.show(step.0, 0, counts);
        }
    }

    /// Lets what is appended show; the separator only where something shows before.
    pub(super) fn append(&mut self, step: OpIx, history: &History) {
        let len = separator(history.op(step)).chars().count();
        let skip = if self.sequence.len() == 0 { u32::try_from(len).unwrap_or(u32::MAX) } else { 0 };
        self.sequence.show(step.0, skip, true);
    }
}

fn text_of(value: Raw<'_>) -> String {
    value.as_text().unwrap_or_default().to_owned()
}

fn separator(op: HeldOp<'_>) -> String {
    op.text("separator").unwrap_or_default().to_owned()
}
