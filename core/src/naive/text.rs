//! Law 9 in the plainest code: the characters of one property, in order, and which of them show.

use std::collections::{BTreeMap, BTreeSet};

use super::property::Held;
use super::{At, Fold, GROUND};
use crate::ground;
use crate::id::Dot;
use crate::op::text::{Anchors, CharId, Side, Writing, spans};
use crate::op::{Kind, NoEffect, Options, Shape};
use crate::sequence::plain::{Char, Plain, Spot, Until};
use crate::value::Value;

/// The characters that were ever brought to a property, across lives and resets.
#[derive(Default)]
pub(super) struct Script {
    order: Vec<Char<At>>,
    pub(super) brought: BTreeMap<At, Vec<char>>,
    /// Where each op's went.
    pub(super) spots: BTreeMap<At, ground::Spot>,
    pub(super) shown: BTreeSet<Char<At>>,
    deleted: BTreeSet<Char<At>>,
}

impl Script {
    pub(super) fn text(&self) -> String {
        let visible = self.order.iter().filter(|&&id| self.shows(id));
        visible.map(|(op, offset)| self.brought[op][*offset as usize]).collect()
    }

    pub(super) fn shows(&self, id: Char<At>) -> bool {
        self.shown.contains(&id) && !self.deleted.contains(&id)
    }

    fn show(&mut self, op: At, from: usize) {
        let len = self.brought.get(&op).map_or(0, Vec::len);
        self.shown.extend((from..len).map(|offset| (op, offset_of(offset))));
    }
}

pub(super) fn offset_of(offset: usize) -> u32 {
    u32::try_from(offset).expect("a message has less than 2^32 characters")
}

/// What appending brings: the separator, which may not show, and the text.
fn appended(value: &Value, options: &Options) -> (usize, Vec<char>) {
    let separator = options.get("separator").and_then(Value::as_text).unwrap_or_default();
    let text = value.as_text().unwrap_or_default();
    (separator.chars().count(), separator.chars().chain(text.chars()).collect())
}

impl Fold<'_> {
    /// Applies one step that inserts, deletes or appends.
    pub(super) fn write(&self, at: At, path: &str, held: &mut Option<Held>) -> Result<(), NoEffect> {
        let op = self.op(at);
        let kind = op.code.row().expect("only known ops are logged").kind;
        let is_fresh = match &held {
            Some(Held { script: Some(_), .. }) => false,
            None | Some(Held { value: Value::Text(_), whole: Some(_), .. }) => true,
            Some(Held { value, .. }) => match kind {
                Kind::Append(step) => {
                    *held = Some(Held::made(step(Some(value), &op.value, &op.options)?, at, 0));
                    return Ok(());
                }
                _ => return Err(NoEffect::BadCurrent { expected: Shape::Text }),
            },
        };
        let by = held.as_ref().map(|held| held.by);
        let mut written = match held.as_mut().and_then(|held| held.script.take()) {
            Some(script) => script,
            None => self.script(&op.key, path),
        };
        if let Some(whole) = held.as_ref().and_then(|held| held.whole).filter(|_| is_fresh) {
            written.show(whole, 0);
        }
        let result = self.write_on(at, kind, &mut written);
        if result.is_ok() || !is_fresh {
            let by = by.filter(|_| result.is_err()).unwrap_or(at);
            let value = written.text().into();
            *held = Some(Held { script: Some(written), ..Held::made(value, by, 0) });
        }
        result
    }

    fn write_on(&self, at: At, kind: Kind, script: &mut Script) -> Result<(), NoEffect> {
        let op = self.op(at);
        let writing = match kind {
            Kind::Text(writing) => writing,
            _ => {
                let (separator, _) = appended(&op.value, &op.options);
                script.show(at, if script.text().is_empty() { separator } else { 0 });
                return Ok(());
            }
        };
        let is_empty = op.value.as_text().is_none_or(str::is_empty);
        if writing.inserts() && !is_empty && !script.brought.contains_key(&at) {
            return Err(NoEffect::AnchorMissing);
        }
        if writing.deletes() {
            let path = op.path.as_deref().expect("the row's check has seen it");
            for span in spans(&op.options, self.messages[at.0].dot()) {
                let gone = script.order.iter().filter(|&&(brought, offset)| {
                    let id = self.char_id(&op.key, path, (brought, offset));
                    span.first <= id && id <= span.last && self.seen(at, brought)
                });
                script.deleted.extend(gone);
            }
        }
        script.show(at, 0);
        Ok(())
    }

    /// All characters that were ever brought to a property, in order; none of them shows yet.
    pub(super) fn script(&self, key: &str, path: &str) -> Script {
        let mut script = Script::default();
        let mut plain = Plain::new();
        for (n, brought) in (0..).zip(self.ground_texts(key, path)) {
            let at = (GROUND, n);
            let is_placed = plain.place(at, brought.len, self.ground_spot(key, path, &brought.spot));
            debug_assert!(is_placed, "the ground holds what its texts stand beside");
            script.spots.insert(at, brought.spot);
            script.brought.insert(at, self.ground_chars(key, path, brought));
        }
        for (at, row) in self.ops() {
            let Some((chars, spot)) = row.ok().and_then(|row| self.brings(at, row.kind, key, path)) else {
                continue;
            };
            let Some(spot) = spot else { continue };
            if plain.place(at, offset_of(chars.len()), spot) {
                script.spots.insert(at, self.named_spot(key, path, spot));
                script.brought.insert(at, chars);
            }
        }
        script.order = plain.order().collect();
        script
    }

    /// What an op brings to a property, and where it goes; nowhere where it names characters that it has not seen.
    fn brings(&self, at: At, kind: Kind, key: &str, path: &str) -> Option<(Vec<char>, Option<Spot<At>>)> {
        let op = self.op(at);
        if op.key != key || (kind.is_property() && op.path.as_deref() != Some(path)) {
            return None;
        }
        let start = Some(Spot::After(None, Until::Given(None)));
        let (text, spot) = match kind {
            Kind::Reset(reset) => (reset(&op.value), start),
            Kind::Insert => (op.value.as_map()?.get(path)?.clone(), start),
            Kind::Append(_) => return Some((appended(&op.value, &op.options).1, Some(Spot::Last))),
            Kind::Text(Writing::Insert | Writing::Replace) => (op.value.clone(), self.spot(at)),
            _ => return None,
        };
        match (kind, text.as_text()) {
            (_, Some(text)) => Some((text.chars().collect(), spot)),
            (Kind::Text(_), None) => Some((Vec::new(), spot)),
            _ => None,
        }
    }

    /// Where an insert goes; nothing where it names characters of messages that it has not seen.
    fn spot(&self, at: At) -> Option<Spot<At>> {
        let anchors = Anchors::read(&self.op(at).options, self.messages[at.0].dot());
        let left = match anchors.side {
            Side::Before(id) => return self.char(at, id).map(Spot::Before),
            Side::After(None) => None,
            Side::After(Some(id)) => Some(self.char(at, id)?),
        };
        let until = match anchors.until {
            None => Until::Inherited,
            Some(None) => Until::Given(None),
            Some(Some(id)) => Until::Given(Some(self.char(at, id)?)),
        };
        Some(Spot::After(left, until))
    }

    fn char(&self, by: At, id: CharId) -> Option<Char<At>> {
        if self.ground.version.covers(&id.dot) {
            let op = self.op(by);
            return self.ground_char(&op.key, op.path.as_deref()?, &id);
        }
        let at = (self.message_index(&id.dot)?, id.index);
        (self.messages[at.0].ops.len() > id.index as usize && self.seen(by, at)).then_some((at, id.offset))
    }

    fn message_index(&self, dot: &Dot) -> Option<usize> {
        self.messages.iter().position(|message| message.dot() == *dot)
    }
}
