//! The names of characters and of what is deleted, as a commit writes them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops;

use crate::id::Dot;
use crate::limits::SPANS_MAX;
use crate::op::text::{Anchors, CharId, Content, Side, Span};
use crate::op::{Op, list, text};
use crate::replica::Replica;
use crate::sequence::{Char, Sequence, Spot, Until};
use crate::value::Value;

/// Numbers and identities of ops: those of the commit come after all that are held.
pub(super) struct Naming<'a> {
    pub(super) replica: &'a Replica,
    pub(super) own: Dot,
    pub(super) base: u32,
}

impl Naming<'_> {
    pub(super) fn place(&self, sequence: &mut Sequence, index: u32, len: u32, spot: Spot) {
        sequence.place(self.base + index, len, spot, false, |a, b| self.compare(a, b));
    }

    pub(super) fn compare(&self, a: u32, b: u32) -> Ordering {
        match a.max(b) >= self.base {
            true => a.cmp(&b),
            false => self.replica.compare_ops(a, b),
        }
    }

    /// Lets an op name what it deletes. Gives deletions to come before it where that is more than one op can name.
    pub(super) fn name_gone(
        &self,
        op: &mut Op,
        sequence: &Sequence,
        content: Content,
        gone: &[ops::Range<Char>],
    ) -> Vec<Op> {
        let mut spans = self.spans(&op.key, op.path.as_deref().unwrap_or_default(), sequence, gone);
        let mut before = Vec::new();
        while spans.len() > SPANS_MAX {
            let code = match content {
                Content::Text => text::DELETE,
                Content::List => list::DELETE,
            };
            let mut deletion = Op { code, value: Value::Null, options: BTreeMap::new(), ..op.clone() };
            self.write_spans(&mut deletion, &spans.split_off(spans.len() - SPANS_MAX));
            before.push(deletion);
        }
        if !spans.is_empty() {
            self.write_spans(op, &spans);
        }
        before
    }

    fn write_spans(&self, op: &mut Op, spans: &[Span]) {
        let spans = spans.iter().map(|span| span.write(self.own)).collect();
        op.options.insert("spans".to_owned(), Value::List(spans));
    }

    /// The position of that name.
    pub(super) fn find(&self, sequence: &Sequence, id: CharId) -> Option<Char> {
        sequence.find_position(&id).or_else(|| sequence.char(self.op_number(&id)?, id.offset))
    }

    /// The character or element of that name.
    pub(super) fn find_element(&self, sequence: &Sequence, id: CharId) -> Option<Char> {
        sequence.find_element(&id).or_else(|| sequence.char(self.op_number(&id)?, id.offset))
    }

    fn id(&self, op: u32, offset: u32) -> CharId {
        match op.checked_sub(self.base) {
            Some(index) => CharId { dot: self.own, index, offset },
            None => self.replica.char_id(op, offset),
        }
    }

    /// The name of a position.
    fn position(&self, sequence: &Sequence, char: Char) -> Option<CharId> {
        sequence.kept_position(char).or_else(|| self.brought(sequence, char))
    }

    /// The name of a character or an element.
    pub(super) fn element(&self, sequence: &Sequence, char: Char) -> Option<CharId> {
        sequence.kept_element(char).or_else(|| self.brought(sequence, char))
    }

    fn brought(&self, sequence: &Sequence, char: Char) -> Option<CharId> {
        sequence.origin(char).map(|(op, offset)| self.id(op, offset))
    }

    pub(super) fn anchors(&self, sequence: &Sequence, spot: Spot) -> Anchors {
        match spot {
            Spot::Before(right) => Anchors {
                side: self.position(sequence, right).map_or(Side::After(None), Side::Before),
                until: None,
            },
            Spot::After(left, until) => Anchors {
                side: Side::After(self.position(sequence, left)),
                until: match until {
                    Until::Inherited => None,
                    Until::Given(until) => Some(until.and_then(|until| self.position(sequence, until))),
                },
            },
            Spot::Last => Anchors { side: Side::After(None), until: None },
        }
    }

    /// The fewest spans that hold these characters, and no others that are not deleted already.
    pub(super) fn spans(
        &self,
        key: &str,
        path: &str,
        sequence: &Sequence,
        pieces: &[ops::Range<Char>],
    ) -> Vec<Span> {
        // Each with the numbers of its first and its last op, where it is none that a ground keeps.
        let mut all: Vec<(Option<(u32, u32)>, Span)> = Vec::new();
        for piece in pieces {
            let (kept, rest) = sequence.part(piece.clone());
            let names = kept.start.until(kept.end).filter_map(|char| sequence.kept_element(char));
            all.extend(names.map(|name| (None, Span { first: name, last: name })));
            for (ops, offsets) in sequence.rows(rest) {
                let last = ops.end - 1;
                let span = |first: u32, last: u32| {
                    let end = CharId { offset: offsets.end - 1, ..self.id(last, 0) };
                    (Some((first, last)), Span { first: self.id(first, offsets.start), last: end })
                };
                match last < self.base && self.replica.are_in_a_row(ops.start, last) {
                    true => all.push(span(ops.start, last)),
                    false => all.extend(ops.map(|op| span(op, op))),
                }
            }
        }
        // What was typed at once goes at once, wherever it stands.
        all.sort_unstable_by_key(|(_, span)| span.first);
        let mut spans: Vec<Span> = Vec::new();
        let mut before = None;
        for (ops, next) in all {
            let first = ops.map(|(first, _)| first);
            match spans.last_mut() {
                Some(span) if self.is_next(key, path, sequence, (before, span.last), (first, next.first)) => {
                    span.last = next.last
                }
                _ => spans.push(next),
            }
            before = ops.map(|(_, last)| last);
        }
        spans
    }

    /// Whether nothing stands between `char` and `next` among the characters of their actor, but what is deleted already.
    /// With each comes the number of its op, where it is none that a ground keeps.
    fn is_next(
        &self,
        key: &str,
        path: &str,
        sequence: &Sequence,
        (first, char): (Option<u32>, CharId),
        (last, next): (Option<u32>, CharId),
    ) -> bool {
        if char.dot.actor != next.dot.actor {
            return false;
        }
        let is_alone = || {
            let between = self.replica.ops_within(key, path, &Span { first: char, last: next });
            between.into_iter().all(|op| sequence.are_deleted(sequence.chars(op)))
        };
        let (first, last) = match (first, last) {
            (Some(first), Some(last)) => (first, last),
            (None, None) => return sequence.is_next_kept(&char, &next) && is_alone(),
            (_, _) => return false,
        };
        let chars = sequence.chars(first);
        if first == last {
            return sequence.are_deleted(chars.start.plus(char.offset).next()..chars.start.plus(next.offset));
        }
        if first.max(last) >= self.base {
            return false;
        }
        // Ops that came one after the other, of one message or of consecutive ones.
        let is_adjacent = first + 1 == last && next.dot.seq <= char.dot.seq + 1;
        // Mostly what came right after `first` still shows, so that nobody has to look for all that came between.
        let is_followed = || {
            let after = self.id(first + 1, 0);
            let is_between = after.dot.actor == char.dot.actor && char < after && after < next;
            is_between && !sequence.are_deleted(sequence.chars(first + 1))
        };
        let start = sequence.chars(last).start;
        sequence.are_deleted(chars.start.plus(char.offset).next()..chars.end)
            && sequence.are_deleted(start..start.plus(next.offset))
            && (is_adjacent || (!is_followed() && is_alone()))
    }

    fn op_number(&self, id: &CharId) -> Option<u32> {
        match id.dot == self.own {
            true => Some(self.base + id.index),
            false => self.replica.op_number(id),
        }
    }
}
