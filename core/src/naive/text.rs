//! Law 9 in the plainest code: the characters of one property, in order, and which of them show.

use std::collections::{BTreeMap, BTreeSet};

use super::{At, Fold};
use crate::id::Dot;
use crate::op::text::{Anchors, CharId, Side, Writing, spans};
use crate::op::{Kind, NoEffect, Options, Shape};
use crate::sequence::plain::{Char, Plain, Spot, Until};
use crate::value::Value;

/// The characters that were ever brought to a property, across lives and resets.
pub(super) struct Script {
    order: Vec<Char<At>>,
    brought: BTreeMap<At, Vec<char>>,
    shown: BTreeSet<Char<At>>,
    deleted: BTreeSet<Char<At>>,
}

impl Script {
    pub(super) fn text(&self) -> String {
        let visible = self.order.iter().filter(|id| self.shown.contains(id) && !self.deleted.contains(id));
        visible.map(|(op, offset)| self.brought[op][*offset as usize]).collect()
    }

    fn show(&mut self, op: At, from: usize) {
        let len = self.brought.get(&op).map_or(0, Vec::len);
        self.shown.extend((from..len).map(|offset| (op, offset_of(offset))));
    }
}

fn offset_of(offset: usize) -> u32 {
    u32::try_from(offset).expect("a message has less than 2^32 characters")
}

/// What appending brings: the separator, which may not show, and the text.
fn appended(value: &Value, options: &Options) -> (usize, Vec<char>) {
    let separator = options.get("separator").and_then(Value::as_text).unwrap_or_default();
    let text = value.as_text().unwrap_or_default();
    (separator.chars().count(), separator.chars().chain(text.chars()).collect())
}

impl Fold<'_> {
    /// Applies one step that inserts, deletes or appends. `whole` is the reset whose value `current` still is.
    pub(super) fn write(
        &self,
        at: At,
        path: &str,
        current: &mut Option<Value>,
        whole: Option<At>,
        script: &mut Option<Script>,
    ) -> Result<(), NoEffect> {
        let op = self.op(at);
        let kind = op.code.row().expect("only known ops are logged").kind;
        let is_fresh = match (&script, &current, whole) {
            (Some(_), _, _) => false,
            (None, None, _) | (None, Some(Value::Text(_)), Some(_)) => true,
            (None, Some(_), _) => match kind {
                Kind::Append(step) => {
                    *current = Some(step(current.as_ref(), &op.value, &op.options)?);
                    return Ok(());
                }
                _ => return Err(NoEffect::BadCurrent { expected: Shape::Text }),
            },
        };
        let mut written =
            if is_fresh { self.script(&op.key, path) } else { script.take().expect("it is there") };
        if let (true, Some(whole)) = (is_fresh, whole) {
            written.show(whole, 0);
        }
        let result = self.write_on(at, kind, &mut written);
        if result.is_ok() || !is_fresh {
            *current = Some(written.text().into());
            *script = Some(written);
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
            for span in spans(&op.options, self.messages[at.0].dot()) {
                let gone = script.order.iter().filter(|&&(op, offset)| {
                    let dot = self.messages[op.0].dot();
                    let id = CharId { dot, index: op.1, offset };
                    span.first <= id && id <= span.last && self.seen(at, op)
                });
                script.deleted.extend(gone);
            }
        }
        script.show(at, 0);
        Ok(())
    }

    /// All characters that were ever brought to a property, in order; none of them shows yet.
    fn script(&self, key: &str, path: &str) -> Script {
        let mut plain = Plain::new();
        let mut brought = BTreeMap::new();
        for (at, row) in self.ops() {
            let op = self.op(at);
            let Ok(row) = row else { continue };
            if op.key != key || (row.kind.is_property() && op.path.as_deref() != Some(path)) {
                continue;
            }
            let (chars, spot) = match row.kind {
                Kind::Reset(reset) => match reset(&op.value) {
                    Value::Text(text) => {
                        (text.chars().collect(), Some(Spot::After(None, Until::Given(None))))
                    }
                    _ => continue,
                },
                Kind::Insert => match op.value.as_map().and_then(|map| map.get(path)) {
                    Some(Value::Text(text)) => {
                        (text.chars().collect(), Some(Spot::After(None, Until::Given(None))))
                    }
                    _ => continue,
                },
                Kind::Append(_) => (appended(&op.value, &op.options).1, Some(Spot::Last)),
                Kind::Text(Writing::Insert | Writing::Replace) => {
                    let text = op.value.as_text().unwrap_or_default();
                    (text.chars().collect(), self.spot(at))
                }
                _ => continue,
            };
            let chars: Vec<char> = chars;
            let Some(spot) = spot else { continue };
            if plain.place(at, offset_of(chars.len()), spot) {
                brought.insert(at, chars);
            }
        }
        Script { order: plain.order().collect(), brought, shown: BTreeSet::new(), deleted: BTreeSet::new() }
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
        let at = (self.message_index(&id.dot)?, id.index);
        (self.messages[at.0].ops.len() > id.index as usize && self.seen(by, at)).then_some((at, id.offset))
    }

    fn message_index(&self, dot: &Dot) -> Option<usize> {
        self.messages.iter().position(|message| message.dot() == *dot)
    }
}
