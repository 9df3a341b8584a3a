//! A client's edits of a text.

use anyhow::Result;
use rtc_core::api::EditOp;
use rtc_core::limits::SPANS_MAX;
use rtc_core::value::Value;

use super::{RtcReplica, TEXT};
use crate::trace::Splice;

/// Splices of one commit at most: with their names they stay below what a message may hold.
const SPLICES_PER_COMMIT: usize = 256;
/// Bytes that one commit inserts at most, for the same reason.
const INSERTED_BYTES_PER_COMMIT: usize = 32 * 1024;

/// Edits of the text, written over those of the commit before.
#[derive(Default)]
pub(super) struct Typing {
    edits: Vec<EditOp>,
    count: usize,
    inserted_bytes: usize,
}

impl RtcReplica {
    /// Makes the splices, in as few commits as may be.
    pub(super) fn type_all(&mut self, splices: &[Splice]) -> Result<()> {
        let mut typing = std::mem::take(&mut self.typing);
        for splice in splices {
            let is_small = splice.deleted <= SPANS_MAX && splice.inserted.len() <= INSERTED_BYTES_PER_COMMIT;
            if is_small {
                self.type_one(splice, &mut typing)?;
            } else {
                parts(splice).iter().try_for_each(|part| self.type_one(part, &mut typing))?;
            }
        }
        self.commit(&typing.edits[..typing.count])?;
        self.typing = Typing { edits: typing.edits, ..Typing::default() };
        Ok(())
    }

    fn type_one(&mut self, splice: &Splice, typing: &mut Typing) -> Result<()> {
        if typing.count == SPLICES_PER_COMMIT
            || typing.inserted_bytes + splice.inserted.len() > INSERTED_BYTES_PER_COMMIT
        {
            self.commit(&typing.edits[..typing.count])?;
            (typing.count, typing.inserted_bytes) = (0, 0);
        }
        typing.inserted_bytes += splice.inserted.len();
        if typing.count == typing.edits.len() {
            typing.edits.push(EditOp::default());
        }
        write_edit(splice, &mut typing.edits[typing.count]);
        typing.count += 1;
        Ok(())
    }
}

/// The splice in parts each of which can be one op.
fn parts(splice: &Splice) -> Vec<Splice> {
    let deletion = |deleted| Splice { at: splice.at, deleted, inserted: String::new() };
    // No two characters need be in one span.
    let mut parts = vec![deletion(SPANS_MAX); splice.deleted / SPANS_MAX];
    parts.push(deletion(splice.deleted % SPANS_MAX));
    for (at, character) in (splice.at..).zip(splice.inserted.chars()) {
        let last = parts.last_mut().expect("there is the first");
        if last.inserted.len() + character.len_utf8() <= INSERTED_BYTES_PER_COMMIT {
            last.inserted.push(character);
        } else {
            parts.push(Splice { at, deleted: 0, inserted: character.into() });
        }
    }
    parts
}

/// Writes the client's edit that makes a splice over another.
fn write_edit(splice: &Splice, edit: &mut EditOp) {
    let otype = match (splice.deleted, splice.inserted.is_empty()) {
        (0, _) => "text.insert",
        (_, true) => "text.delete",
        (_, false) => "text.replace",
    };
    RtcReplica::refill(edit, otype, TEXT.0, TEXT.1);
    for (name, count) in [("position", Some(splice.at)), ("length", Some(splice.deleted).filter(|&n| n > 0))]
    {
        let count = count.map(|count| Value::number(count as f64).expect("a count is finite"));
        match (count, edit.options.get_mut(name)) {
            (Some(count), Some(old)) => *old = count,
            (Some(count), None) => drop(edit.options.insert(name.to_owned(), count)),
            (None, _) => drop(edit.options.remove(name)),
        }
    }
    match (&mut edit.value, splice.inserted.is_empty()) {
        (value, true) => *value = None,
        (Some(Value::Text(text)), false) => splice.inserted.clone_into(text),
        (value, false) => *value = Some(splice.inserted.as_str().into()),
    }
}
