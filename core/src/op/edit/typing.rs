//! An edit of a text that is a commit of its own, as nearly all are: from what the client wrote straight to the op's bytes.
//!
//! What is not plainly right goes the long way, which says what is wrong with it.

use super::naming::Naming;
use super::text::Plan;
use super::{Commit, Plain, Range};
use crate::api::EditOp;
use crate::canonical::Writer;
use crate::id::Dot;
use crate::limits::{PATH_BYTES_MAX, SPANS_MAX};
use crate::op::Known;
use crate::op::row::{Kind, Row};
use crate::op::text::{Content, encode_options};
use crate::replica::{Engine, Replica, Shows};
use crate::value::Value;

/// Writes the list of the one op that the edit becomes, and gives the op. Nothing if it is no such edit; what was written
/// then is worth nothing.
pub(super) fn write<'a>(
    edit: &'a EditOp,
    row: &'static Row,
    replica: &Replica,
    commit: Commit,
    writer: &mut Writer,
) -> Option<Plain<'a>> {
    let Kind::Write(Content::Text, writing) = row.kind else { return None };
    let (key, path) = (edit.key.as_str(), edit.path.as_deref()?);
    let range = range(edit).filter(|range| range.length.is_none() || writing.deletes())?;
    let text = match (&edit.value, writing.inserts()) {
        (Some(Value::Text(text)), true) => Some(text.as_str()),
        (None | Some(Value::Null), false) => None,
        (_, _) => return None,
    };
    // The history says where characters are, so whoever has put it away reads it.
    let engine: &Engine = replica;
    let cell = engine.property_number(key, path)?;
    let characters = engine.characters_at(Content::Text, cell);
    if !(1..=PATH_BYTES_MAX).contains(&path.len()) || characters.shows == Shows::Other {
        return None;
    }
    let sequence = &characters.sequence;
    let plan = Plan::new(sequence, writing, range).ok()?;
    let own = Dot { actor: commit.actor, seq: commit.seq };
    let naming = Naming { replica, own, base: replica.ops_held() };
    let spans = naming.spans(key, path, sequence, &plan.gone);
    let spot = plan.spot.filter(|_| text.is_some_and(|text| !text.is_empty()));
    let anchors = spot.map(|spot| naming.anchors(sequence, spot));
    let value = writer.array(1).array(5).uint(row.code.0.into()).text(key).text(path).len();
    let options = writer.text_or_null(text).len();
    let has_options = encode_options(anchors, &spans, own, writer);
    let end = writer.len();
    let plain = Plain { edit, known: Known { row, cell, named: None }, value, options, end };
    (has_options && spans.len() <= SPANS_MAX).then_some(plain)
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
