//! One property of one node: equal on every replica that has the same messages.
//!
//! The value is the greatest live reset and, in order, every other step that no live reset has seen (DESIGN §3, laws 3 and
//! 4). Ops are kept by author: what a reset has seen of an author is a prefix of that author's steps, so finding the
//! steps that count costs a binary search per author, however long the history.

mod enter;
mod footing;

use std::borrow::Cow;

use super::current::Current;
use super::history::History;
use super::index::{ActorIx, NodeIx, OpIx, PathIx};
use super::life::{Era, Life};
use super::script::Script;
use super::verdicts::Verdicts;
use super::writing::{Characters, Shows};
use crate::op::text::{Content, Span, Writing};
use crate::op::{Kind, NoEffect};
use crate::value::Value;
pub(super) use enter::{Entrant, Outcome};
use footing::{Footing, Start};

/// A property and everything that was ever done to it.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) node: NodeIx,
    pub(super) path: PathIx,
    authors: Vec<Author>,
    /// The last op in order, whatever became of it.
    newest: Option<OpIx>,
    /// The steps that count, in order.
    open: Vec<OpIx>,
    /// More of them, out of order: what came late where steps may come in any order.
    late: Vec<OpIx>,
    current: Current,
    /// How many steps there ever were that write characters, and how many that write elements.
    writes: [usize; 2],
    /// How many steps there ever were that do something else.
    others: usize,
    /// The characters, once an op has named some; and the elements.
    scripts: [Option<Box<Script>>; 2],
    /// What the ground has of it.
    footing: Option<Box<Footing>>,
    /// The open steps that could not be applied.
    faults: Vec<OpIx>,
    /// What is cached here is stale until the next refold.
    pub(super) is_stale: bool,
    /// The value may have changed since the changes were taken.
    pub(super) is_changed: bool,
}

/// What one actor did to the property, in order, masked ops and those of past lives included.
#[derive(Clone)]
struct Author {
    actor: ActorIx,
    resets: Vec<OpIx>,
    steps: Vec<OpIx>,
}

impl Cell {
    pub(super) fn new(node: NodeIx, path: PathIx) -> Self {
        Self {
            node,
            path,
            authors: Vec::new(),
            newest: None,
            open: Vec::new(),
            late: Vec::new(),
            current: Current::Absent,
            writes: [0; 2],
            others: 0,
            scripts: [None, None],
            footing: None,
            faults: Vec::new(),
            is_stale: false,
            is_changed: false,
        }
    }

    /// The value as it shows.
    pub(super) fn value(&self, history: &History) -> Option<Value> {
        match self.current {
            Current::Script(content) => self.script(content).map(Script::value),
            ref current => current.value(self.path, history).map(Cow::into_owned),
        }
    }

    /// How often ops were tried to be put into their place.
    #[cfg(test)]
    pub(super) fn tries(&self) -> usize {
        self.scripts.iter().flatten().map(|script| script.tries).sum()
    }

    fn script(&self, content: Content) -> Option<&Script> {
        self.scripts[content as usize].as_deref()
    }

    /// The ops of one actor on the property in which a span's characters are.
    pub(super) fn named(&self, span: &Span, history: &History) -> Vec<OpIx> {
        named(&self.authors, span, history)
    }

    /// The characters or elements, those that do not show included.
    pub(super) fn characters(
        &self,
        content: Content,
        life: &Life,
        history: &History,
        verdicts: &Verdicts,
    ) -> Characters<'_> {
        if let (true, Some(script)) = (self.current == Current::Script(content), self.script(content)) {
            return Characters { sequence: Cow::Borrowed(&script.sequence), shows: Shows::Sequence };
        }
        // Nothing was written into it so far: what it would be if something were.
        let mut cell = self.clone();
        cell.number_characters(content, history);
        cell.refold(life, history, &mut verdicts.clone());
        let shows = match &cell.current {
            Current::Absent => Shows::Nothing,
            _ if cell.is_written(content, history) => Shows::Sequence,
            _ => Shows::Other,
        };
        let reset = cell.untouched(history);
        let mut script = cell.scripts[content as usize].take().expect("it was numbered");
        if let (Shows::Sequence, Some(reset)) = (shows, reset) {
            script.show(reset);
        }
        Characters { sequence: Cow::Owned(script.sequence), shows }
    }

    /// Gives identities to the characters of all ops, if they have none. Says whether they had none.
    fn number_characters(&mut self, content: Content, history: &History) -> bool {
        if self.script(content).is_some() {
            return false;
        }
        let path = history.paths.text(self.path.at());
        let mut all: Vec<OpIx> = self.authors.iter().flat_map(Author::ops).collect();
        all.sort_by(|&a, &b| history.compare(a, b));
        let on_ground = self.footing.as_ref().map(|footing| footing.script(content));
        let mut script = Box::new(on_ground.unwrap_or_else(|| Script::new(content)));
        for op in all {
            script.enter(op, None, path, false, history);
        }
        self.scripts[content as usize] = Some(script);
        true
    }

    /// Lets a step that writes characters begin or cease to count, as its mask says now, if that is all that changes. Says
    /// whether it is; otherwise everything is to be computed anew.
    pub(super) fn toggle(&mut self, step: OpIx, life: &Life, history: &History, verdicts: &Verdicts) -> bool {
        let is_simple = !self.is_stale && self.pure().is_some() && self.faults.is_empty();
        if !is_simple || !self.can_write(step, history) || life.era(step, history) != Era::Current {
            return false;
        }
        if self.is_covered(step, life, history, verdicts) {
            return true;
        }
        self.gather(history);
        let place = history.place_in(&self.open, step);
        let is_open = self.open.get(place) == Some(&step);
        let counts = !history.is_masked(step);
        if is_open == counts {
            return true;
        }
        match counts {
            true => self.open.insert(place, step),
            // Without any step the reset's value would stand for itself again.
            false if self.open.len() == 1 => return false,
            false => drop(self.open.remove(place)),
        }
        if let Some(Kind::Write(content, writing)) = history.kind(step)
            && let Some(script) = &mut self.scripts[content as usize]
        {
            script.write(step, writing, counts, history, &|span| named(&self.authors, span, history));
        }
        self.is_changed = true;
        true
    }

    /// What the sequence holds that the value is, if nothing but writing into it was ever done between resets: steps then come
    /// in any order.
    fn pure(&self) -> Option<Content> {
        match self.current {
            Current::Script(content) if self.others == 0 => {
                let is_only = |&other: &Content| other == content || self.writes[other as usize] == 0;
                Content::ALL.iter().all(is_only).then_some(content)
            }
            _ => None,
        }
    }

    /// Whether the step writes, and everything it names is here.
    fn can_write(&self, step: OpIx, history: &History) -> bool {
        let Some(Kind::Write(content, writing)) = history.kind(step) else { return false };
        self.pure() == Some(content)
            && self.script(content).is_some_and(|script| script.check(step, writing, history).is_ok())
    }

    /// Puts late steps in their place among the others.
    fn gather(&mut self, history: &History) {
        if !self.late.is_empty() {
            self.open.append(&mut self.late);
            self.open.sort_by(|&a, &b| history.compare(a, b));
        }
    }

    /// Whether a step changes nothing, because a live reset has seen it.
    pub(super) fn is_covered(&self, step: OpIx, life: &Life, history: &History, verdicts: &Verdicts) -> bool {
        debug_assert!(!is_reset(step, history));
        self.last_resets(life, history, verdicts).any(|reset| history.has_seen(reset, step))
    }

    /// Computes everything anew from the ops of the node's current life.
    pub(super) fn refold(&mut self, life: &Life, history: &History, verdicts: &mut Verdicts) {
        let resets: Vec<OpIx> = self.last_resets(life, history, verdicts).collect();
        let greatest = resets.iter().copied().max_by(|&a, &b| history.compare(a, b));
        self.late.clear();
        // With their lamports: most comparisons need no more.
        let mut open: Vec<(u64, OpIx)> = Vec::new();
        if life.is_alive() {
            for author in &self.authors {
                let unseen = resets
                    .iter()
                    .map(|&reset| history.unseen_from(reset, author.actor))
                    .max()
                    .unwrap_or_default();
                let covered = author.steps.partition_point(|&step| history.position(step) < unseen);
                let past = author.steps.partition_point(|&step| life.era(step, history) != Era::Current);
                let counting = &author.steps[covered.max(past)..];
                let counting = counting.iter().filter(|&&step| !history.is_masked(step));
                open.extend(counting.map(|&step| (history.message_of(step).lamport, step)));
            }
        }
        open.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| history.compare(a.1, b.1)));
        self.open.clear();
        self.open.extend(open.into_iter().map(|(_, step)| step));
        self.fold(Start::of(greatest, life, history), history, verdicts);
        (self.is_stale, self.is_changed) = (false, true);
    }

    /// Judges anew the ops from `from` on: the node was dead at some of them, and is not any more, or the other way round.
    pub(super) fn judge_from(&mut self, from: OpIx, life: &Life, history: &History, verdicts: &mut Verdicts) {
        for fault in self.faults.drain(..) {
            verdicts.clear(fault);
        }
        for author in &self.authors {
            for list in [&author.resets, &author.steps] {
                for &op in &list[history.place_in(list, from)..] {
                    judge(op, life, history, verdicts);
                }
            }
        }
    }

    /// Each author's last reset that counts; the earlier ones have seen nothing that it has not.
    fn last_resets<'a>(
        &'a self,
        life: &'a Life,
        history: &'a History,
        verdicts: &'a Verdicts,
    ) -> impl Iterator<Item = OpIx> + 'a {
        self.authors.iter().filter_map(move |author| {
            let live = |&&reset: &&OpIx| !history.is_masked(reset) && !is_void(reset, verdicts);
            let last = author.resets.iter().rev().find(live).copied()?;
            (life.era(last, history) == Era::Current).then_some(last)
        })
    }

    /// Sets the value to what it starts from and applies the open steps.
    fn fold(&mut self, start: Start, history: &History, verdicts: &mut Verdicts) {
        for fault in self.faults.drain(..) {
            verdicts.clear(fault);
        }
        self.scripts.iter_mut().flatten().for_each(|script| script.clear());
        self.current = match start {
            Start::Nothing => Current::Absent,
            Start::Ground => self.ground_value(),
            Start::Reset(reset) => reset_value(reset, self.path, history),
        };
        for i in 0..self.open.len() {
            self.step(self.open[i], history, verdicts);
        }
    }

    fn step(&mut self, step: OpIx, history: &History, verdicts: &mut Verdicts) {
        let result = match history.kind(step) {
            Some(Kind::Write(content, writing)) => self.write(step, content, Some(writing), history),
            Some(Kind::Append(_)) if self.is_written(Content::Text, history) => {
                self.write(step, Content::Text, None, history)
            }
            _ => match self.current {
                // Steps that know nothing of characters work on what shows, and end their identities.
                Current::Script(content) => self.step_on_script(step, content, history),
                _ => self.current.step(step, self.path, history),
            },
        };
        if let Err(reason) = result {
            verdicts.set(step, Err(reason));
            self.faults.push(step);
        }
    }

    /// Whether the value is made of characters that have identities, or may have them from here on.
    fn is_written(&self, content: Content, history: &History) -> bool {
        self.script(content).is_some()
            && match &self.current {
                Current::Absent => true,
                Current::Script(of) => *of == content,
                Current::Given(_) | Current::Whole(..) => self
                    .untouched(history)
                    .and_then(|_| self.value(history))
                    .is_some_and(|it| content.fits(&it)),
                Current::Sum(_) | Current::Elements(_) | Current::Members(_) | Current::Entries(_) => false,
            }
    }

    /// Inserts, deletes and so on or, where nothing is said, appends.
    fn write(
        &mut self,
        step: OpIx,
        content: Content,
        writing: Option<Writing>,
        history: &History,
    ) -> Result<(), NoEffect> {
        if !self.is_written(content, history) {
            return Err(NoEffect::BadCurrent { expected: content.shape() });
        }
        let untouched = self.untouched(history);
        let script = self.scripts[content as usize].as_mut().expect("it is written");
        if let Some(writing) = writing {
            script.check(step, writing, history)?;
        }
        if let Some(reset) = untouched {
            script.show(reset);
        }
        self.current = Current::Script(content);
        match writing {
            Some(writing) => {
                script.write(step, writing, true, history, &|span| named(&self.authors, span, history));
            }
            None => script.append(step, history),
        }
        Ok(())
    }

    fn step_on_script(&mut self, step: OpIx, content: Content, history: &History) -> Result<(), NoEffect> {
        let Some(script) = self.script(content) else { return Ok(()) };
        let mut current = match script.elements() {
            Some(elements) => Current::Elements(elements),
            None => Current::Whole(script.value(), step),
        };
        current.step(step, self.path, history)?;
        self.current = current;
        Ok(())
    }
}

impl Author {
    fn ops(&self) -> impl Iterator<Item = OpIx> + '_ {
        self.resets.iter().chain(&self.steps).copied()
    }
}

/// The ops of one actor in which a span's characters are.
fn named(authors: &[Author], span: &Span, history: &History) -> Vec<OpIx> {
    let mut ops: Vec<OpIx> = history.again_within(span).collect();
    let actor = history.actor_number(&span.first.dot.actor);
    let Some(author) = authors.iter().find(|author| Some(author.actor) == actor) else { return ops };
    let (first, last) = ((span.first.dot.seq, span.first.index), (span.last.dot.seq, span.last.index));
    for list in [&author.resets, &author.steps] {
        let from = list.partition_point(|&op| history.position(op) < first);
        let within = list[from..].iter().take_while(|&&op| history.position(op) <= last);
        ops.extend(within.filter(|&&op| !history.is_again(history.owner(op))));
    }
    ops
}

/// Judges one property op by its node's life alone; what its value is worth the fold says.
pub(super) fn judge(op: OpIx, life: &Life, history: &History, verdicts: &mut Verdicts) {
    let is_property = history.kind(op).is_some_and(Kind::is_property);
    if !is_property {
        // An insert's initial properties share its verdict.
        return;
    }
    let dead = !history.is_masked(op) && life.era(op, history) == Era::Dead;
    verdicts.set(op, if dead { Err(NoEffect::NodeMissing) } else { Ok(()) });
}

pub(super) fn is_reset(op: OpIx, history: &History) -> bool {
    matches!(history.kind(op), Some(Kind::Reset(_) | Kind::Insert))
}

/// Whether it is an insert that found the node alive and wanted it absent.
fn is_void(reset: OpIx, verdicts: &Verdicts) -> bool {
    verdicts.get(reset) == Some(&NoEffect::NodeExists)
}

fn reset_value(reset: OpIx, path: PathIx, history: &History) -> Current {
    let gives = match history.kind(reset) {
        Some(Kind::Reset(_)) => true,
        _ => history.raw(reset).get(history.paths.text(path.at())).is_some(),
    };
    if gives { Current::Given(reset) } else { Current::Absent }
}
