//! The characters of one property, or the elements of its list (DESIGN §3, law 9): which there are, across lives and resets,
//! which of them show, and what they hold.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::held::HeldOp;
use super::history::History;
use super::index::OpIx;
use crate::ground::{Flat, Keeping, Kept};
use crate::id::Dot;
use crate::op::array::Element;
use crate::op::text::{Anchors, CharId, Content, Side, Span, Writing, spans};
use crate::op::{Kind, NoEffect};
use crate::raw::Raw;
use crate::sequence::{Char, Letters, Sequence, Spot, Until};
use crate::value::Value;

/// The characters, and the ops whose characters could not be placed yet.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) sequence: Sequence,
    held: Held,
    /// What made the value of which the characters show that a ground keeps.
    ground: Option<OpIx>,
    /// Of each element that was set the ops that did and count, in order, and what they gave it.
    sets: BTreeMap<Char, Vec<(OpIx, Value)>>,
    /// Ops that name characters that are not here, by the message and the index of the op that would bring such a one.
    waiting: BTreeMap<(Dot, u32), Vec<OpIx>>,
    /// How often an op was tried.
    #[cfg(test)]
    pub(super) tries: usize,
}

/// What characters hold, by their numbers.
#[derive(Clone)]
enum Held {
    Letters(Letters),
    /// Nothing for what is only a position.
    Values(Vec<Value>),
}

impl Held {
    /// Holds what a value is made of, and says how much that is; nothing where it is something else.
    fn push(&mut self, value: &Value) -> Option<usize> {
        match (self, value) {
            (Self::Letters(letters), Value::Text(text)) => Some(letters.extend(text)),
            (Self::Values(values), Value::List(list)) => {
                values.extend_from_slice(list);
                Some(list.len())
            }
            (_, _) => None,
        }
    }

    /// Holds what a value is made of in those of the next places that show, and nothing in the others.
    fn push_parts(&mut self, value: &Value, kept: &[Kept]) {
        match (self, value) {
            (Self::Letters(letters), Value::Text(text)) => {
                let mut rest = text.as_str();
                for run in kept {
                    if !run.shows() {
                        letters.extend("\0");
                        continue;
                    }
                    let end =
                        rest.char_indices().nth(run.len() as usize).map_or(rest.len(), |(byte, _)| byte);
                    letters.extend(&rest[..end]);
                    rest = &rest[end..];
                }
            }
            (Self::Values(values), Value::List(list)) => {
                let mut rest = list.iter();
                for run in kept {
                    let shown = if run.shows() { run.len() as usize } else { 0 };
                    values.extend(rest.by_ref().take(shown).cloned());
                    values.extend((!run.shows()).then_some(Value::Null));
                }
            }
            (this, _) => this.skip(kept.iter().map(Kept::len).sum()),
        }
    }

    /// Holds nothing in the next places.
    fn skip(&mut self, len: u32) {
        match self {
            Self::Letters(letters) => {
                letters.extend(&"\0".repeat(len as usize));
            }
            Self::Values(values) => values.extend((0..len).map(|_| Value::Null)),
        }
    }
}

impl Script {
    pub(super) fn new(content: Content) -> Self {
        // The start has a number too.
        let held = match content {
            Content::Text => {
                let mut letters = Letters::default();
                letters.extend("\0");
                Held::Letters(letters)
            }
            Content::List => Held::Values(vec![Value::Null]),
        };
        Self {
            sequence: Sequence::new(),
            held,
            ground: None,
            sets: BTreeMap::new(),
            waiting: BTreeMap::new(),
            #[cfg(test)]
            tries: 0,
        }
    }

    pub(super) fn content(&self) -> Content {
        match self.held {
            Held::Letters(_) => Content::Text,
            Held::Values(_) => Content::List,
        }
    }

    /// Begins with what a ground keeps, where those that show are the value that an op made. None shows yet.
    pub(super) fn on(content: Content, kept: &Arc<[Kept]>, base: Option<(OpIx, &Value)>) -> Self {
        let mut script = Self::new(content);
        let flat = Flat::new(Arc::clone(kept));
        match base {
            None => script.held.skip(flat.len()),
            Some((by, value)) => {
                script.ground = Some(by);
                script.held.push_parts(value, kept);
            }
        }
        script.sequence = Sequence::on(flat);
        script
    }

    /// What a ground keeps of all there is.
    pub(super) fn kept(&self, history: &History) -> Arc<[Kept]> {
        let sequence = &self.sequence;
        let name = |(op, offset)| {
            let (dot, index) = history.op_name(OpIx(op));
            CharId { dot, index, offset }
        };
        let brought = |char| name(sequence.origin(char).expect("the start never shows, and is not kept"));
        let position = |char| sequence.kept_position(char).unwrap_or_else(|| brought(char));
        let element = |char| sequence.kept_element(char).unwrap_or_else(|| brought(char));
        let mut keeping = Keeping::new();
        for (chars, shows) in sequence.walk() {
            match (shows, &self.held) {
                (false, _) => keeping.hide(|| position(chars.start)),
                (true, Held::Values(_)) => {
                    chars
                        .start
                        .until(chars.end)
                        .for_each(|char| keeping.show(position(char), element(sequence.element(char))));
                }
                (true, Held::Letters(_)) => {
                    let (kept, rest) = sequence.part(chars);
                    kept.start.until(kept.end).for_each(|char| keeping.show(position(char), element(char)));
                    for (op, offsets) in sequence.origins(rest) {
                        keeping.show_all(name((op, offsets.start)), offsets.end - offsets.start);
                    }
                }
            }
        }
        keeping.finish()
    }

    /// Puts what an op brings into its place, if it brings anything, and then whatever waited for that; the op's to show at
    /// once if it certainly counts. Its anchors may be known. What waits costs nothing until what it waits for comes.
    pub(super) fn enter(
        &mut self,
        op: OpIx,
        anchors: Option<&Anchors>,
        path: &str,
        counts: bool,
        history: &History,
    ) {
        if !self.enter_one(op, anchors, path, counts, history) || self.waiting.is_empty() {
            return;
        }
        let mut entered = vec![op];
        while let Some(op) = entered.pop() {
            let name = history.op_name(op);
            let waiting = self.waiting.remove(&name).unwrap_or_default();
            entered.extend(waiting.into_iter().filter(|&op| self.enter_one(op, None, path, false, history)));
        }
    }

    /// Puts what an op brings into its place. Says whether that is possible; otherwise the op waits.
    fn enter_one(
        &mut self,
        op: OpIx,
        anchors: Option<&Anchors>,
        path: &str,
        counts: bool,
        history: &History,
    ) -> bool {
        #[cfg(test)]
        {
            self.tries += 1;
        }
        let missing = self.try_enter(op, anchors, path, counts, history).err();
        if let Some(CharId { dot, index, .. }) = missing {
            self.waiting.entry((dot, index)).or_default().push(op);
        }
        missing.is_none()
    }

    /// Fails where an op names a character that is not here.
    fn try_enter(
        &mut self,
        op: OpIx,
        anchors: Option<&Anchors>,
        path: &str,
        counts: bool,
        history: &History,
    ) -> Result<(), CharId> {
        if history.is_superseded(history.owner(op)) {
            return Ok(());
        }
        let held = history.op(op);
        let start = Spot::After(Char::START, Until::Given(None));
        match held.kind() {
            Some(Kind::Reset(reset)) => self.bring(op, &reset(&held.value()), start, false, history),
            Some(Kind::Insert) => {
                if let Some(value) = held.raw.get(path) {
                    self.bring(op, &value.decode(), start, false, history);
                }
            }
            Some(Kind::Append(_)) if self.content() == Content::Text => {
                let text = separator(held).to_owned() + held.raw.as_text().unwrap_or_default();
                self.bring_text(op, &text, Spot::Last, false, history);
            }
            Some(Kind::Write(content, writing)) if content == self.content() => {
                if writing == Writing::Move {
                    let spot = self.spot(op, anchors, history)?;
                    self.bring(op, &Value::List(vec![Value::Null]), spot, false, history);
                } else if writing.inserts() {
                    let spot = self.spot(op, anchors, history)?;
                    match held.raw.as_text() {
                        Some(text) => self.bring_text(op, text, spot, counts, history),
                        None => self.bring(op, &held.value(), spot, counts, history),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn bring(&mut self, op: OpIx, value: &Value, spot: Spot, counts: bool, history: &History) {
        if let Some(len) = self.held.push(value) {
            self.place(op, len, spot, counts, history);
        }
    }

    fn bring_text(&mut self, op: OpIx, text: &str, spot: Spot, counts: bool, history: &History) {
        if let Held::Letters(letters) = &mut self.held {
            let len = letters.extend(text);
            self.place(op, len, spot, counts, history);
        }
    }

    fn place(&mut self, op: OpIx, len: usize, spot: Spot, counts: bool, history: &History) {
        let len = u32::try_from(len).expect("a message has less than 2^32 bytes");
        self.sequence.place(op.0, len, spot, counts, |a, b| history.compare(OpIx(a), OpIx(b)));
    }

    fn spot(&self, op: OpIx, anchors: Option<&Anchors>, history: &History) -> Result<Spot, CharId> {
        let read = || Anchors::read(history.raw(op).rest(), history.name(history.owner(op)));
        let anchors = anchors.copied().unwrap_or_else(read);
        // Whoever knows a message as one that is the same may come before it.
        let is_before = |char: &Char| {
            !history.has_issues()
                || self.sequence.origin(*char).is_none_or(|(by, _)| history.is_before(OpIx(by), op))
        };
        let char = |id: CharId| match self.position(id, op, history).filter(is_before) {
            None if history.is_dot_forgotten(&id.dot) => Ok(None),
            found => found.map(Some).ok_or(id),
        };
        let left = match anchors.side {
            Side::Before(id) => return char(id).map(|found| found.map_or(Spot::Last, Spot::Before)),
            Side::After(None) => Char::START,
            Side::After(Some(id)) => match char(id)? {
                Some(left) => left,
                // What was dropped has nothing beside it.
                None => return Ok(Spot::Last),
            },
        };
        let until = match anchors.until {
            None => Until::Inherited,
            Some(None) => Until::Given(None),
            Some(Some(id)) => char(id)?.map_or(Until::Inherited, |until| Until::Given(Some(until))),
        };
        Ok(Spot::After(left, until))
    }

    /// A position that `by` names: one that is here and that it has seen.
    fn position(&self, id: CharId, by: OpIx, history: &History) -> Option<Char> {
        self.sequence.find_position(&id).or_else(|| self.brought(id, by, history))
    }

    fn brought(&self, id: CharId, by: OpIx, history: &History) -> Option<Char> {
        let op = history.op_named(&id.dot, id.index).filter(|&op| history.knows(by, op))?;
        self.sequence.char(op.0, id.offset)
    }

    /// The element that a step is about; nothing where what it names is no element, but where one was moved to.
    fn item(&self, step: OpIx, history: &History) -> Option<Char> {
        let held = history.op(step);
        let id = CharId::read(held.option("item")?, history.name(held.message))?;
        if let Some(element) = self.sequence.find_element(&id) {
            return Some(element);
        }
        history.op_named(&id.dot, id.index).filter(|&op| !is_move(op, history))?;
        self.brought(id, step, history)
    }

    /// Whether everything is here that a step names.
    pub(super) fn check(&self, step: OpIx, writing: Writing, history: &History) -> Result<(), NoEffect> {
        if writing.names_item() && self.item(step, history).is_none() {
            return Err(NoEffect::ElementMissing);
        }
        let brings = writing == Writing::Move || (writing.inserts() && !self.is_empty(history.raw(step)));
        if brings && !self.sequence.holds(step.0) { Err(NoEffect::AnchorMissing) } else { Ok(()) }
    }

    fn is_empty(&self, value: Raw<'_>) -> bool {
        match self.content() {
            Content::Text => value.as_text().is_none_or(str::is_empty),
            Content::List => value.is_numbers(0),
        }
    }

    /// Lets nothing show, as if no step had been taken.
    pub(super) fn clear(&mut self) {
        self.sequence.clear();
        self.sets.clear();
    }

    /// Lets what shows on the ground show.
    pub(super) fn show_ground(&mut self) {
        for chars in self.sequence.kept_shown() {
            self.sequence.show(chars, true);
        }
    }

    /// Lets what a reset brought show, be it held or of the ground.
    pub(super) fn show(&mut self, reset: OpIx) {
        if self.ground == Some(reset) {
            return self.show_ground();
        }
        let chars = self.sequence.chars(reset.0);
        self.sequence.show(chars, true);
    }

    /// Lets a step take effect, or not any more. `ops` are all that touched the property by a span's actor within it, in
    /// order.
    pub(super) fn write(
        &mut self,
        step: OpIx,
        writing: Writing,
        counts: bool,
        history: &History,
        ops: &dyn Fn(&Span) -> Vec<OpIx>,
    ) {
        if writing.deletes() {
            for chars in self.spanned(step, history, ops) {
                self.sequence.delete(chars, counts);
            }
        }
        if writing.inserts() {
            let chars = self.sequence.chars(step.0);
            self.sequence.show(chars, counts);
        }
        if let Some(element) = Some(writing).filter(|w| w.names_item()).and_then(|_| self.item(step, history))
        {
            match writing {
                Writing::Set => self.set(step, element, counts, history),
                _ => self.sequence.carry(step.0, element, counts, |a, b| history.compare(OpIx(a), OpIx(b))),
            }
        }
    }

    /// The characters that a step deletes.
    fn spanned(&self, step: OpIx, history: &History, ops: &dyn Fn(&Span) -> Vec<OpIx>) -> Vec<Range<Char>> {
        let held = history.op(step);
        let mut all: Vec<Range<Char>> = Vec::new();
        for span in spans(held.option("spans"), history.name(held.message)) {
            all.extend(self.sequence.find_within(&span));
            let in_one = (span.first.dot, span.first.index) == (span.last.dot, span.last.index);
            let take = |op: OpIx| {
                if !history.knows(step, op) || is_move(op, history) {
                    return;
                }
                let name = history.op_name(op);
                let is = |id: &CharId| (id.dot, id.index) == name;
                let chars = self.sequence.chars(op.0);
                let from = if is(&span.first) { chars.start.plus(span.first.offset) } else { chars.start };
                let to = if is(&span.last) { chars.start.plus(span.last.offset).plus(1) } else { chars.end };
                let to = to.min(chars.end);
                match all.last_mut() {
                    _ if from >= to => {}
                    Some(last) if last.end == from => last.end = to,
                    _ => all.push(from..to),
                }
            };
            match in_one {
                true => history.op_named(&span.first.dot, span.first.index).into_iter().for_each(take),
                false => match self.typed(step, &span, history) {
                    Some(chars) => all.push(chars),
                    None => ops(&span).into_iter().for_each(take),
                },
            }
        }
        all
    }

    /// The characters of a span, if it is what somebody typed letter by letter, all of which `step` knows: the ops of a span
    /// need not be looked at one by one then.
    fn typed(&self, step: OpIx, span: &Span, history: &History) -> Option<Range<Char>> {
        let first = history.op_named(&span.first.dot, span.first.index)?;
        let last = history.op_named(&span.last.dot, span.last.index)?;
        let is_typed = self.content() == Content::Text
            && (span.first.offset, span.last.offset) == (0, 0)
            && history.are_in_a_row(first, last)
            && history.knows(step, last);
        if is_typed { self.sequence.row(first.0, last.0) } else { None }
    }

    fn set(&mut self, step: OpIx, element: Char, counts: bool, history: &History) {
        let sets = self.sets.entry(element).or_default();
        let at = sets.partition_point(|&(other, _)| history.is_before(other, step));
        let is_there = sets.get(at).is_some_and(|&(other, _)| other == step);
        match (counts, is_there) {
            (true, false) => sets.insert(at, (step, history.op(step).value())),
            (false, true) => drop(sets.remove(at)),
            (true, true) | (false, false) => {}
        }
    }

    /// Lets what is appended show; the separator only where something shows before.
    pub(super) fn append(&mut self, step: OpIx, history: &History) {
        let mut chars = self.sequence.chars(step.0);
        if self.sequence.len() == 0 {
            let separator = separator(history.op(step));
            chars.start = chars.start.plus(Content::Text.len(&separator.into()).unwrap_or(0)).min(chars.end);
        }
        self.sequence.show(chars, true);
    }

    /// What shows.
    pub(super) fn value(&self) -> Value {
        match &self.held {
            Held::Letters(letters) => {
                let mut text = String::with_capacity(self.sequence.len());
                self.sequence.shown().for_each(|chars| text.push_str(letters.slice(chars)));
                text.into()
            }
            Held::Values(values) => Value::List(self.shown(values).map(|(_, value)| value.clone()).collect()),
        }
    }

    /// What shows as a list of values, each added by the op that gave it; nothing for a text.
    pub(super) fn elements(&self) -> Option<Vec<Element>> {
        let Held::Values(values) = &self.held else { return None };
        let element = |(by, value): (u32, &Value)| Element { value: value.clone(), adders: vec![by] };
        Some(self.shown(values).map(element).collect())
    }

    /// The values that show, in order, with the numbers of the ops that gave them.
    fn shown<'a>(&'a self, values: &'a [Value]) -> impl Iterator<Item = (u32, &'a Value)> {
        let positions = self.sequence.shown().flat_map(|chars| chars.start.until(chars.end));
        positions.map(|position| self.element(self.sequence.element(position), values))
    }

    /// What an element holds, with the number of the op that gave it.
    fn element<'a>(&'a self, element: Char, values: &'a [Value]) -> (u32, &'a Value) {
        match self.sets.get(&element).and_then(|sets| sets.last()) {
            Some((by, value)) => (by.0, value),
            None => {
                let by = self.sequence.origin(element).map(|(op, _)| OpIx(op)).or(self.ground);
                (by.expect("what shows was brought, or is of the ground").0, &values[element.at()])
            }
        }
    }
}

fn separator(op: HeldOp<'_>) -> &str {
    op.text("separator").unwrap_or_default()
}

fn is_move(op: OpIx, history: &History) -> bool {
    matches!(history.kind(op), Some(Kind::Write(_, Writing::Move)))
}

#[cfg(test)]
mod tests {
    use crate::id::{Actor, Dot};
    use crate::message::Message;
    use crate::op::text::CharId;
    use crate::op::{Op, OpCode};
    use crate::replica::Replica;
    use crate::replica::cell::Cell;
    use crate::scene::Root;
    use crate::value::Value;

    /// So much is typed, and so much else waits.
    const TYPED: u64 = 200;

    fn message(name: &str, seq: u64, otype: &str, value: Value, after: Option<CharId>) -> Message {
        let actor = Actor::from_name(name);
        let own = Dot { actor, seq };
        let op = Op {
            code: OpCode::named(otype).unwrap(),
            key: "n".to_owned(),
            path: (otype == "text.insert").then(|| "body".to_owned()),
            value,
            options: after.map(|id| ("after".to_owned(), id.write(own))).into_iter().collect(),
        };
        let (clock, ops) = (Vec::new(), vec![op]);
        Message { actor, seq, lamport: seq, clock, time_ms: None, request: None, note: None, ops }
    }

    #[test]
    fn what_waits_for_a_character_costs_nothing_until_it_comes() {
        let mut replica = Replica::new(Root::default());
        replica.apply(&message("me", 1, "node.insert", Value::Null, None));
        // All that is typed waits for what was typed before; the rest waits for ever.
        for seq in (2..TYPED + 2).rev() {
            let before = Dot { actor: Actor::from_name("me"), seq: seq - 1 };
            let after = Some(CharId { dot: before, index: 0, offset: 0 }).filter(|id| id.dot.seq > 1);
            let never = CharId { dot: Dot { seq: 1 << 40, ..before }, index: 0, offset: 0 };
            replica.apply(&message("you", TYPED + 2 - seq, "text.insert", "?".into(), Some(never)));
            replica.apply(&message("me", seq, "text.insert", "a".into(), after));
        }
        assert_eq!(replica.value("n", "body"), Some("a".repeat(usize::try_from(TYPED).unwrap()).into()));
        let tries: usize = replica.cells.iter().map(Cell::tries).sum();
        assert_eq!(tries as u64, TYPED + TYPED + (TYPED - 1));
    }
}
