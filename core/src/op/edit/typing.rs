//! A commit that only writes into one text, as nearly all that write do: from what the client wrote straight to the ops'
//! bytes.
//!
//! What is not plainly right goes the long way, which says what is wrong with it.

use std::borrow::Cow;
use std::ops::Range as Span;

use super::naming::Naming;
use super::text::Plan;
use super::{Commit, Plain, Range};
use crate::api::EditOp;
use crate::canonical::Writer;
use crate::id::Dot;
use crate::limits::{COMMIT_OPS_MAX, PATH_BYTES_MAX, SPANS_MAX};
use crate::op::row::{Kind, Row};
use crate::op::text::{self, Anchors, Content, Writing, encode_options};
use crate::op::{Known, Named, row_named};
use crate::replica::{CellIx, Engine, Replica, Shows};
use crate::sequence::{Char, Sequence, Spot, Until};
use crate::value::Value;

/// A text while a commit is written.
struct Page<'a, 'b> {
    naming: Naming<'b>,
    key: &'a str,
    path: &'a str,
    cell: Option<CellIx>,
    sequence: Cow<'b, Sequence>,
    /// How many ops are finished.
    finished: u32,
    /// The one that is not: the next edit may go on with it.
    op: Option<Op<'a>>,
}

/// An op that edits become.
struct Op<'a> {
    edit: &'a EditOp,
    row: &'static Row,
    text: Option<Cow<'a, str>>,
    anchors: Option<Anchors>,
    spans: Vec<text::Span>,
    run: Run,
}

/// How edits may go on with an op.
enum Run {
    /// They may not.
    Over,
    /// Typing on where it ended. The last so many characters are not in the sequence yet.
    Typed { end: usize, more: u32 },
    /// Deleting on where it began. The op does not name all that goes if there is more than it was made with.
    Gone { at: usize, chars: Vec<Span<Char>>, is_more: bool },
}

/// Writes the list of ops that the edits become, of which the first is of that row, and gives the op if it is one. Nothing if
/// they are no such commit; what was written then is worth nothing.
pub(super) fn write<'a>(
    edits: &'a [EditOp],
    row: &'static Row,
    replica: &Replica,
    commit: Commit,
    writer: &mut Writer,
) -> Option<Option<Plain<'a>>> {
    let Kind::Write(Content::Text, _) = row.kind else { return None };
    let EditOp { key, path, .. } = edits.first().filter(|_| edits.len() <= COMMIT_OPS_MAX)?;
    let path = path.as_deref().filter(|path| (1..=PATH_BYTES_MAX).contains(&path.len()))?;
    // The history says where characters are, so whoever has put it away reads it.
    let engine: &Engine = replica;
    let cell = engine.property_number(key, path)?;
    let characters = engine.characters_at(Content::Text, cell);
    if characters.shows == Shows::Other {
        return None;
    }
    let own = Dot { actor: commit.actor, seq: commit.seq };
    let naming = Naming { replica, own, base: replica.ops_held() };
    let mut page = Page { naming, key, path, cell, sequence: characters.sequence, finished: 0, op: None };
    let start = writer.len();
    writer.array(1);
    for (left, edit) in (0..edits.len()).rev().zip(edits) {
        page.take(edit, left == 0, writer)?;
    }
    let plain = page.finish(writer)?;
    if page.finished == 1 {
        return Some(Some(plain));
    }
    writer.set_array(start, page.finished as usize);
    Some(None)
}

impl<'a> Page<'a, '_> {
    /// Makes an op of an edit, or lets the one before do what it does. Does without following the op if it is the last.
    fn take(&mut self, edit: &'a EditOp, is_last: bool, writer: &mut Writer) -> Option<()> {
        let row = row_named(&edit.otype)?;
        let Kind::Write(Content::Text, writing) = row.kind else { return None };
        let range = range(edit).filter(|range| range.length.is_none() || writing.deletes())?;
        let text = match (&edit.value, writing.inserts()) {
            (Some(Value::Text(text)), true) => Some(text.as_str()),
            (None | Some(Value::Null), false) => None,
            (_, _) => return None,
        };
        if (edit.key.as_str(), edit.path.as_deref()) != (self.key, Some(self.path)) {
            return None;
        }
        if let Some(op) = &mut self.op {
            if op.go_on(writing, range, text, &mut self.sequence) {
                return Some(());
            }
            self.finish(writer)?;
        }
        let plan = Plan::new(&self.sequence, writing, range).ok()?;
        let spot = plan.spot.filter(|_| text.is_some_and(|text| !text.is_empty()));
        let anchors = spot.map(|spot| self.naming.anchors(&self.sequence, spot));
        let spans = self.naming.spans(self.key, self.path, &self.sequence, &plan.gone);
        let run =
            if is_last { Run::Over } else { self.follow(writing, plan, spot, text.unwrap_or_default()) };
        self.op = Some(Op { edit, row, text: text.map(Cow::Borrowed), anchors, spans, run });
        Some(())
    }

    /// Lets the sequence do what the next op does. Says how edits may go on with it.
    fn follow(&mut self, writing: Writing, plan: Plan, spot: Option<Spot>, text: &str) -> Run {
        let (index, len) = (self.finished, text.chars().count());
        let sequence = self.sequence.to_mut();
        plan.gone.iter().for_each(|gone| sequence.delete(gone.clone(), true));
        if let Some(spot) = spot {
            self.naming.place(sequence, index, number(len), spot);
            sequence.show(sequence.chars(self.naming.base + index), true);
        }
        match writing {
            Writing::Insert if len > 0 => Run::Typed { end: plan.at + len, more: 0 },
            Writing::Delete if !plan.gone.is_empty() => {
                Run::Gone { at: plan.at, chars: plan.gone, is_more: false }
            }
            _ => Run::Over,
        }
    }

    /// Writes the op that edits may have gone on with. Nothing if it is one that cannot be written like this.
    fn finish(&mut self, writer: &mut Writer) -> Option<Plain<'a>> {
        let Op { edit, row, text, anchors, mut spans, run } = self.op.take()?;
        match run {
            Run::Typed { more, .. } if more > 0 => {
                let naming = &self.naming;
                let op = naming.base + self.finished;
                let last = self.sequence.last_of(op)?;
                let spot = Spot::After(last, Until::Inherited);
                self.sequence.to_mut().place(op, more, spot, true, |a, b| naming.compare(a, b));
            }
            Run::Gone { chars, is_more: true, .. } => {
                spans = self.naming.spans(self.key, self.path, &self.sequence, &chars);
            }
            Run::Typed { .. } | Run::Gone { .. } | Run::Over => {}
        }
        self.finished += 1;
        let value = writer.array(5).uint(row.code.0.into()).text(self.key).text(self.path).len();
        let options = writer.text_or_null(text.as_deref()).len();
        let has_options = encode_options(anchors, &spans, self.naming.own, writer);
        let known = Known { row, cell: self.cell, named: anchors.map(Named::Anchors) };
        let plain = Plain { edit, known, value, options, end: writer.len() };
        (has_options && spans.len() <= SPANS_MAX).then_some(plain)
    }
}

impl Op<'_> {
    /// Does what an edit does that goes on where this one ended. Says whether it does.
    fn go_on(
        &mut self,
        writing: Writing,
        range: Range,
        text: Option<&str>,
        sequence: &mut Cow<'_, Sequence>,
    ) -> bool {
        let Some(position) = range.position else { return false };
        match (&mut self.run, writing, &mut self.text, text) {
            (Run::Typed { end, more }, Writing::Insert, Some(all), Some(text)) if position == *end => {
                let len = text.chars().count();
                all.to_mut().push_str(text);
                (*end, *more) = (*end + len, *more + number(len));
                true
            }
            (Run::Gone { at, chars, is_more }, Writing::Delete, _, _) => {
                let end = position.saturating_add(range.length.unwrap_or(1));
                if position != *at && end != *at {
                    return false;
                }
                let sequence = sequence.to_mut();
                for gone in sequence.pieces(position..end) {
                    sequence.delete(gone.clone(), true);
                    match chars.last_mut() {
                        Some(last) if gone.end == last.start => last.start = gone.start,
                        Some(last) if gone.start == last.end => last.end = gone.end,
                        _ => chars.push(gone),
                    }
                }
                (*at, *is_more) = (position, true);
                true
            }
            (_, _, _, _) => false,
        }
    }
}

/// The positions of an edit that gives nothing else.
fn range(edit: &EditOp) -> Option<Range> {
    let mut range = Range::default();
    for (name, value) in &edit.options {
        let Value::Number(number) = value else { return None };
        let number = usize::try_from(number.as_integer()?).ok()?;
        match name.as_str() {
            "position" => range.position = Some(number),
            "length" => range.length = Some(number),
            _ => return None,
        }
    }
    Some(range)
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("a commit's edits have less than 2^32 characters")
}
