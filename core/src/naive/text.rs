//! Law 9 in the plainest code: the characters of one property, or the elements of its list, in order, and which of them show.

use std::collections::{BTreeMap, BTreeSet};

use super::{At, Fold};
use crate::canonical::Writer;
use crate::id::Dot;
use crate::op::text::{Anchors, CharId, Content, Side, Writing, spans};
use crate::op::{Kind, NoEffect, Options};
use crate::raw::Raw;
use crate::sequence::plain::{Char, Plain, Spot, Until};
use crate::value::Value;

/// The characters that were ever brought to a property, across lives and resets.
pub(super) struct Script {
    content: Content,
    order: Vec<Char<At>>,
    /// What each op brought; a move brings a position.
    brought: BTreeMap<At, Vec<Value>>,
    shown: BTreeSet<Char<At>>,
    deleted: BTreeSet<Char<At>>,
    /// What was done to one element, in order.
    moves: Vec<(Char<At>, At)>,
    sets: Vec<(Char<At>, At, Value)>,
}

impl Script {
    pub(super) fn value(&self) -> Value {
        let values = self.visible().into_iter().map(|element| match self.set(element) {
            Some((_, value)) => value.clone(),
            None => self.brought[&element.0][element.1 as usize].clone(),
        });
        match self.content {
            Content::Text => {
                values.map(|char| char.as_text().unwrap_or_default().to_owned()).collect::<String>().into()
            }
            Content::List => Value::List(values.collect()),
        }
    }

    /// Of a list, the ops that gave its elements their values.
    pub(super) fn elements(&self) -> Option<Vec<At>> {
        let by = |element: Char<At>| self.set(element).map_or(element.0, |(by, _)| by);
        (self.content == Content::List).then(|| self.visible().into_iter().map(by).collect())
    }

    fn set(&self, element: Char<At>) -> Option<(At, &Value)> {
        self.sets.iter().rev().find(|(of, ..)| *of == element).map(|(_, by, value)| (*by, value))
    }

    /// The elements that show, where they show.
    fn visible(&self) -> Vec<Char<At>> {
        let mut visible = Vec::new();
        for &position in &self.order {
            let moved = self.moves.iter().find(|(_, by)| *by == position.0);
            let element = moved.map_or(position, |(element, _)| *element);
            let last = self.moves.iter().rev().find(|(of, _)| *of == element);
            let stands_at = last.map_or(element, |(_, by)| (*by, 0));
            if stands_at == position && self.shown.contains(&element) && !self.deleted.contains(&element) {
                visible.push(element);
            }
        }
        visible
    }

    fn show(&mut self, op: At, from: usize) {
        let len = self.brought.get(&op).map_or(0, Vec::len);
        self.shown.extend((from..len).map(|offset| (op, offset_of(offset))));
    }
}

/// Options as they travel: names of characters are read from bytes.
fn encoded(options: &Options) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.value_map(options);
    writer.finish()
}

fn offset_of(offset: usize) -> u32 {
    u32::try_from(offset).expect("a message has less than 2^32 characters")
}

/// The characters of a value, or its elements; nothing where it is something else.
fn parts(content: Content, value: &Value) -> Option<Vec<Value>> {
    match content {
        Content::Text => Some(value.as_text()?.chars().map(|char| char.to_string().into()).collect()),
        Content::List => value.as_list().map(<[Value]>::to_vec),
    }
}

impl Fold<'_> {
    /// Applies one step that writes or appends. `whole` is the reset whose value `current` still is.
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
        let content = if let Kind::Write(content, _) = kind { content } else { Content::Text };
        let is_written = script.as_ref().is_some_and(|script| script.content == content);
        let is_fresh = script.is_none()
            && current.as_ref().is_none_or(|current| whole.is_some() && content.fits(current));
        if !is_written && !is_fresh {
            let Kind::Append(step) = kind else {
                return Err(NoEffect::BadCurrent { expected: content.shape() });
            };
            (*current, *script) = (Some(step(current.as_ref(), &op.value, &op.options)?), None);
            return Ok(());
        }
        let mut written =
            if is_fresh { self.script(&op.key, path, content) } else { script.take().expect("it is there") };
        if let (true, Some(whole)) = (is_fresh, whole) {
            written.show(whole, 0);
        }
        let result = self.write_on(at, kind, &mut written);
        if result.is_ok() || !is_fresh {
            *current = Some(written.value());
            *script = Some(written);
        }
        result
    }

    fn write_on(&self, at: At, kind: Kind, script: &mut Script) -> Result<(), NoEffect> {
        let op = self.op(at);
        let Kind::Write(_, writing) = kind else {
            let separator = op.options.get("separator").and_then(Value::as_text).unwrap_or_default();
            let skipped = if script.visible().is_empty() { separator.chars().count() } else { 0 };
            script.show(at, skipped);
            return Ok(());
        };
        let item = match writing {
            Writing::Move | Writing::Set => Some(self.item(at, script).ok_or(NoEffect::ElementMissing)?),
            Writing::Insert | Writing::Delete | Writing::Replace => None,
        };
        let is_empty = parts(script.content, &op.value).is_none_or(|parts| parts.is_empty());
        let brings = writing == Writing::Move || writing.inserts() && !is_empty;
        if brings && !script.brought.contains_key(&at) {
            return Err(NoEffect::AnchorMissing);
        }
        match (writing, item) {
            (Writing::Move, Some(item)) => script.moves.push((item, at)),
            (Writing::Set, Some(item)) => script.sets.push((item, at, op.value.clone())),
            (_, _) => {}
        }
        if writing.deletes() {
            let options = encoded(&op.options);
            for span in spans(Raw::of_checked(&options).get("spans"), self.messages[at.0].dot()) {
                let gone = script.order.iter().filter(|&&(op, offset)| {
                    let dot = self.messages[op.0].dot();
                    let id = CharId { dot, index: op.1, offset };
                    span.first <= id && id <= span.last && self.seen(at, op)
                });
                script.deleted.extend(gone);
            }
        }
        if writing.inserts() {
            script.show(at, 0);
        }
        Ok(())
    }

    /// All characters that were ever brought to a property, in order; none of them shows yet.
    fn script(&self, key: &str, path: &str, content: Content) -> Script {
        let mut plain = Plain::new();
        let mut brought = BTreeMap::new();
        for (at, row) in self.ops() {
            let op = self.op(at);
            let Ok(row) = row else { continue };
            if op.key != key || (row.kind.is_property() && op.path.as_deref() != Some(path)) {
                continue;
            }
            let start = Some(Spot::After(None, Until::Given(None)));
            let (parts, spot) = match row.kind {
                Kind::Reset(reset) => (parts(content, &reset(&op.value)), start),
                Kind::Insert => {
                    let initial = op.value.as_map().and_then(|map| map.get(path));
                    (initial.and_then(|value| parts(content, value)), start)
                }
                Kind::Append(_) if content == Content::Text => {
                    let separator = op.options.get("separator").and_then(Value::as_text).unwrap_or_default();
                    let text = separator.to_owned() + op.value.as_text().unwrap_or_default();
                    (parts(content, &text.into()), Some(Spot::Last))
                }
                Kind::Write(of, Writing::Insert | Writing::Replace) if of == content => {
                    (parts(content, &op.value), self.spot(at))
                }
                Kind::Write(of, Writing::Move) if of == content => (Some(vec![Value::Null]), self.spot(at)),
                _ => continue,
            };
            let (Some(parts), Some(spot)) = (parts, spot) else { continue };
            if plain.place(at, offset_of(parts.len()), spot) {
                brought.insert(at, parts);
            }
        }
        Script {
            content,
            order: plain.order().collect(),
            brought,
            shown: BTreeSet::new(),
            deleted: BTreeSet::new(),
            moves: Vec::new(),
            sets: Vec::new(),
        }
    }

    /// Where an insert goes; nothing where it names characters of messages that it has not seen.
    fn spot(&self, at: At) -> Option<Spot<At>> {
        let options = encoded(&self.op(at).options);
        let anchors = Anchors::read(Raw::of_checked(&options), self.messages[at.0].dot());
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

    /// The element that a step names: no position of another, and one that it has seen.
    fn item(&self, at: At, script: &Script) -> Option<Char<At>> {
        let options = encoded(&self.op(at).options);
        let item = CharId::read(Raw::of_checked(&options).get("item")?, self.messages[at.0].dot())?;
        let item = self.char(at, item).filter(|item| script.order.contains(item))?;
        let kind = self.op(item.0).code.row().map(|row| row.kind);
        (!matches!(kind, Some(Kind::Write(_, Writing::Move)))).then_some(item)
    }

    fn char(&self, by: At, id: CharId) -> Option<Char<At>> {
        let at = (self.message_index(&id.dot)?, id.index);
        (self.messages[at.0].ops.len() > id.index as usize && self.seen(by, at)).then_some((at, id.offset))
    }

    fn message_index(&self, dot: &Dot) -> Option<usize> {
        self.messages.iter().position(|message| message.dot() == *dot)
    }
}
