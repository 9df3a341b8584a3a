//! From positions to characters: what clients write at a position goes beside characters that keep their identities.

use std::collections::BTreeMap;

use super::EditFault;
use crate::clock::Stamp;
use crate::id::Dot;
use crate::limits::SPANS_MAX;
use crate::op::row::{Kind, Row};
use crate::op::text::{Anchors, CharId, Side, Span, Writing};
use crate::op::{Op, Shape};
use crate::replica::{Characters, Replica, Shows};
use crate::sequence::{Char, Sequence, Spot, Until};
use crate::value::Value;

/// Where a client wants to write; positions count characters that show, and what lies beyond the end is the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Range {
    position: Option<usize>,
    length: Option<usize>,
}

impl Range {
    /// Takes the position and the length out of the value or the options, so that the value is the text that is inserted.
    pub(crate) fn take(row: &'static Row, op: &mut Op) -> Result<Self, EditFault> {
        let Kind::Text(writing) = row.kind else {
            if row.name == "text.init" && op.value == Value::Null {
                op.value = "".into();
            }
            return Ok(Self::default());
        };
        if let Some(option) = row.options.iter().find(|option| op.options.contains_key(option.name)) {
            // Identities are not for clients to make.
            return Err(EditFault::UnknownOption { row, name: option.name.to_owned() });
        }
        if let (Writing::Delete, Value::Number(_)) = (writing, &op.value) {
            op.options.entry("length".to_owned()).or_insert(std::mem::take(&mut op.value));
        }
        if let Value::Map(map) = &mut op.value {
            for name in ["position", "length"] {
                if let Some(value) = map.remove(name) {
                    op.options.entry(name.to_owned()).or_insert(value);
                }
            }
            let value = map.remove("value");
            if map.is_empty() {
                op.value = match value {
                    None if writing.inserts() => "".into(),
                    value => value.unwrap_or_default(),
                };
            }
        }
        let position = whole("position", op.options.remove("position"))?;
        let length = match writing.deletes() {
            true => whole("length", op.options.remove("length"))?,
            false => None,
        };
        Ok(Self { position, length })
    }
}

/// A whole number; one below 0 is 0.
fn whole(name: &'static str, value: Option<Value>) -> Result<Option<usize>, EditFault> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) if number.as_integer().is_some() => {
            Ok(Some(number.as_integer().and_then(|number| usize::try_from(number).ok()).unwrap_or(0)))
        }
        Some(_) => Err(EditFault::BadOption { name, expected: Shape::Number }),
    }
}

/// The texts that one commit writes into, as its edits have made them so far.
pub(crate) struct Texts<'a> {
    replica: &'a Replica,
    drafts: BTreeMap<(String, String), Draft<'a>>,
}

struct Draft<'a> {
    characters: Characters<'a>,
    /// How many ops of the commit are in it.
    ops: usize,
}

impl<'a> Texts<'a> {
    pub(crate) fn new(replica: &'a Replica) -> Self {
        Self { replica, drafts: BTreeMap::new() }
    }

    /// Makes identities of a range: `op` is to follow `earlier` in the commit; `is_last` says that nothing follows it.
    pub(crate) fn compile(
        &mut self,
        op: &mut Op,
        range: Range,
        earlier: &[Op],
        stamp: Stamp,
        is_last: bool,
    ) -> Result<(), EditFault> {
        let Some(Kind::Text(writing)) = op.code.row().map(|row| row.kind) else { return Ok(()) };
        let naming = self.naming(stamp);
        let draft = self.draft(op, earlier, &naming);
        if draft.characters.shows == Shows::Other {
            let path = op.path.clone().unwrap_or_default();
            return Err(EditFault::NotText { key: op.key.clone(), path });
        }
        let sequence = &draft.characters.sequence;
        let len = sequence.len();
        let (at, count) = match writing {
            Writing::Insert => (range.position.unwrap_or(len), 0),
            Writing::Delete => (range.position.unwrap_or(0), range.length.unwrap_or(1)),
            Writing::Replace => (range.position.unwrap_or(0), range.length.unwrap_or(len)),
        };
        let at = at.min(len);
        let pieces = sequence.pieces(at..at.saturating_add(count).min(len));
        let spot = sequence.spot(at);
        draft.name(op, writing, spot, &pieces, &naming)?;
        if !is_last {
            draft.write(op, number(earlier.len()), spot, &pieces, &naming);
        }
        Ok(())
    }

    /// Does the same for a writer who knows characters: text goes right behind `left` or the start, and `gone` go.
    pub(crate) fn compile_beside(
        &mut self,
        op: &mut Op,
        left: Option<CharId>,
        gone: &[CharId],
        earlier: &[Op],
        stamp: Stamp,
    ) -> Result<(), EditFault> {
        let Some(Kind::Text(writing)) = op.code.row().map(|row| row.kind) else { return Ok(()) };
        let naming = self.naming(stamp);
        let draft = self.draft(op, earlier, &naming);
        let sequence = &draft.characters.sequence;
        let spot =
            sequence.spot_after(left.and_then(|left| naming.find(sequence, left)).unwrap_or(Char::START));
        let gone = gone.iter().filter_map(|&id| naming.find(sequence, id));
        let pieces: Vec<_> = gone.map(|char| char..char.next()).collect();
        draft.name(op, writing, spot, &pieces, &naming)?;
        draft.write(op, number(earlier.len()), spot, &pieces, &naming);
        Ok(())
    }

    fn naming(&self, stamp: Stamp) -> Naming<'a> {
        let own = Dot { actor: stamp.actor, seq: stamp.seq };
        Naming { replica: self.replica, own, base: self.replica.ops_held() }
    }

    /// The text that `op` writes into, as `earlier` left it.
    fn draft(&mut self, op: &Op, earlier: &[Op], naming: &Naming<'_>) -> &mut Draft<'a> {
        let path = op.path.clone().unwrap_or_default();
        let replica = self.replica;
        let draft = self
            .drafts
            .entry((op.key.clone(), path.clone()))
            .or_insert_with(|| Draft { characters: replica.characters(&op.key, &path), ops: 0 });
        for (index, earlier) in earlier.iter().enumerate().skip(draft.ops) {
            draft.follow(earlier, number(index), (&op.key, &path), naming);
        }
        draft.ops = earlier.len() + 1;
        draft
    }
}

impl Draft<'_> {
    /// Does what an op of the commit does that is no writing of characters.
    fn follow(&mut self, op: &Op, index: u32, at: (&str, &str), naming: &Naming<'_>) {
        let Some(kind) = op.code.row().map(|row| row.kind).filter(|_| op.key == at.0) else { return };
        let is_here = op.path.as_deref() == Some(at.1);
        match kind {
            Kind::Reset(reset) if is_here => self.reset(&reset(&op.value), index, naming),
            Kind::Insert => {
                if let Some(value) = op.value.as_map().and_then(|map| map.get(at.1)) {
                    self.reset(value, index, naming);
                }
            }
            Kind::Remove => {
                self.characters.sequence.to_mut().clear();
                self.characters.shows = Shows::Nothing;
            }
            Kind::Append(_) if is_here && self.characters.shows != Shows::Other => {
                let separator = op.options.get("separator").and_then(Value::as_text).unwrap_or_default();
                let text = op.value.as_text().unwrap_or_default();
                let sequence = self.characters.sequence.to_mut();
                let skip = if sequence.len() == 0 { number(separator.chars().count()) } else { 0 };
                naming.place(sequence, index, separator.chars().chain(text.chars()), Spot::Last);
                sequence.show(naming.base + index, skip, true);
                self.characters.shows = Shows::Text;
            }
            Kind::Step(_) | Kind::List(_) | Kind::Member(_) | Kind::Entries(_)
                if is_here && self.characters.shows == Shows::Nothing =>
            {
                self.characters.shows = Shows::Other;
            }
            Kind::Reset(_)
            | Kind::Step(_)
            | Kind::List(_)
            | Kind::Member(_)
            | Kind::Entries(_)
            | Kind::Append(_)
            | Kind::Text(_)
            | Kind::Move
            | Kind::Undo
            | Kind::Redo => {}
        }
    }

    fn reset(&mut self, value: &Value, index: u32, naming: &Naming<'_>) {
        let sequence = self.characters.sequence.to_mut();
        sequence.clear();
        self.characters.shows = Shows::Other;
        if let Value::Text(text) = value {
            naming.place(sequence, index, text.chars(), Spot::After(Char::START, Until::Given(None)));
            sequence.show(naming.base + index, 0, true);
            self.characters.shows = Shows::Text;
        }
    }

    /// Gives an op the names of the characters that it goes by and of those that go.
    fn name(
        &self,
        op: &mut Op,
        writing: Writing,
        spot: Spot,
        pieces: &[std::ops::Range<Char>],
        naming: &Naming<'_>,
    ) -> Result<(), EditFault> {
        let sequence = &self.characters.sequence;
        let path = op.path.as_deref().unwrap_or_default();
        let spans = naming.spans(&op.key, path, sequence, pieces);
        if spans.len() > SPANS_MAX {
            return Err(EditFault::TooScattered { spans: spans.len() });
        }
        if writing.deletes() && !spans.is_empty() {
            let spans = spans.iter().map(|span| span.write(naming.own)).collect();
            op.options.insert("spans".to_owned(), Value::List(spans));
        }
        let is_empty = op.value.as_text().is_none_or(str::is_empty);
        if writing.inserts() && !is_empty {
            naming.anchors(sequence, spot).write(&mut op.options, naming.own);
        }
        Ok(())
    }

    fn write(
        &mut self,
        op: &Op,
        index: u32,
        spot: Spot,
        pieces: &[std::ops::Range<Char>],
        naming: &Naming<'_>,
    ) {
        let sequence = self.characters.sequence.to_mut();
        for piece in pieces {
            for (op, offsets) in sequence.origins(piece.clone()) {
                sequence.delete(op, offsets, true);
            }
        }
        let text = op.value.as_text().unwrap_or_default();
        naming.place(sequence, index, text.chars(), spot);
        sequence.show(naming.base + index, 0, true);
        self.characters.shows = Shows::Text;
    }
}

/// Numbers and identities of ops: those of the commit come after all that are held.
struct Naming<'a> {
    replica: &'a Replica,
    own: Dot,
    base: u32,
}

impl Naming<'_> {
    fn place(&self, sequence: &mut Sequence, index: u32, text: impl IntoIterator<Item = char>, spot: Spot) {
        sequence.place(self.base + index, text, spot, |a, b| match a.max(b) >= self.base {
            true => a.cmp(&b),
            false => self.replica.compare_ops(a, b),
        });
    }

    fn find(&self, sequence: &Sequence, id: CharId) -> Option<Char> {
        let op = match id.dot == self.own {
            true => self.base + id.index,
            false => self.replica.op_number(&id)?,
        };
        sequence.char(op, id.offset)
    }

    fn id(&self, op: u32, offset: u32) -> CharId {
        match op.checked_sub(self.base) {
            Some(index) => CharId { dot: self.own, index, offset },
            None => self.replica.char_id(op, offset),
        }
    }

    fn char(&self, sequence: &Sequence, char: Char) -> Option<CharId> {
        sequence.origin(char).map(|(op, offset)| self.id(op, offset))
    }

    fn anchors(&self, sequence: &Sequence, spot: Spot) -> Anchors {
        match spot {
            Spot::Before(right) => Anchors {
                side: self.char(sequence, right).map_or(Side::After(None), Side::Before),
                until: None,
            },
            Spot::After(left, until) => Anchors {
                side: Side::After(self.char(sequence, left)),
                until: match until {
                    Until::Inherited => None,
                    Until::Given(until) => Some(until.and_then(|until| self.char(sequence, until))),
                },
            },
            Spot::Last => Anchors { side: Side::After(None), until: None },
        }
    }

    /// The fewest spans that hold these characters and no others.
    fn spans(
        &self,
        key: &str,
        path: &str,
        sequence: &Sequence,
        pieces: &[std::ops::Range<Char>],
    ) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let origins = pieces.iter().flat_map(|piece| sequence.origins(piece.clone()));
        for (op, offsets) in origins {
            let first = self.id(op, offsets.start);
            let last = CharId { offset: offsets.end - 1, ..first };
            match spans.last_mut() {
                Some(span) if self.is_next(key, path, sequence, span.last, first) => span.last = last,
                _ => spans.push(Span { first, last }),
            }
        }
        spans
    }

    /// Whether `next` follows `char` among the characters of their actor.
    fn is_next(&self, key: &str, path: &str, sequence: &Sequence, char: CharId, next: CharId) -> bool {
        if (char.dot, char.index) == (next.dot, next.index) {
            return char.offset + 1 == next.offset;
        }
        let is_held = |id: &CharId| id.dot != self.own;
        if char.dot.actor != next.dot.actor || char >= next || !is_held(&char) || !is_held(&next) {
            return false;
        }
        let is_end =
            self.replica.op_number(&char).is_some_and(|op| sequence.char(op, char.offset + 1).is_none());
        let between = || self.replica.ops_within(key, path, &Span { first: char, last: next });
        next.offset == 0 && is_end && between().into_iter().all(|op| sequence.char(op, 0).is_none())
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a commit holds at most MESSAGE_OPS_MAX ops, of MESSAGE_BYTES_MAX")
}
