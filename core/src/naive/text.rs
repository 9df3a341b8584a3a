//! Law 9 in the plainest code: the characters of one property, or the elements of its list, in order, and which of them show.

use std::collections::{BTreeMap, BTreeSet};

use super::property::Held;
use super::{At, Fold, GROUND};
use crate::canonical::Writer;
use crate::ground;
use crate::op::text::{Anchors, CharId, Content, Side, Writing, spans};
use crate::op::{Kind, NoEffect, Options};
use crate::raw::Raw;
use crate::sequence::plain::{Char, Plain, Spot, Until};
use crate::value::Value;

/// The characters that were ever brought to a property, across lives and resets.
pub(super) struct Script {
    pub(super) content: Content,
    order: Vec<Char<At>>,
    /// What each op brought; a move brings a position.
    pub(super) brought: BTreeMap<At, Vec<Value>>,
    /// Where each op's went.
    pub(super) spots: BTreeMap<At, ground::Spot>,
    pub(super) shown: BTreeSet<Char<At>>,
    deleted: BTreeSet<Char<At>>,
    /// What was done to one element, in order.
    pub(super) moves: Vec<(Char<At>, At)>,
    sets: Vec<(Char<At>, At, Value)>,
}

impl Script {
    pub(super) fn value(&self) -> Value {
        let values = self.visible().into_iter().map(|(element, _)| self.value_of(element));
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
        (self.content == Content::List).then(|| self.visible().into_iter().map(|(of, _)| by(of)).collect())
    }

    /// What an element holds.
    pub(super) fn value_of(&self, element: Char<At>) -> Value {
        match self.set(element) {
            Some((_, value)) => value.clone(),
            None => self.brought[&element.0][element.1 as usize].clone(),
        }
    }

    fn set(&self, element: Char<At>) -> Option<(At, &Value)> {
        self.sets.iter().rev().find(|(of, ..)| *of == element).map(|(_, by, value)| (*by, value))
    }

    /// The elements that show, with the positions where they do, in order.
    pub(super) fn visible(&self) -> Vec<(Char<At>, Char<At>)> {
        let mut visible = Vec::new();
        for &position in &self.order {
            let moved = self.moves.iter().find(|(_, by)| *by == position.0);
            let element = moved.map_or(position, |(element, _)| *element);
            let last = self.moves.iter().rev().find(|(of, _)| *of == element);
            let stands_at = last.map_or(element, |(_, by)| (*by, 0));
            if stands_at == position && self.shown.contains(&element) && !self.deleted.contains(&element) {
                visible.push((element, position));
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

pub(super) fn offset_of(offset: usize) -> u32 {
    u32::try_from(offset).expect("a message has less than 2^32 characters")
}

/// What a value is made of; nothing where it is something else.
pub(super) fn parts(content: Content, value: &Value) -> Option<Vec<Value>> {
    match content {
        Content::Text => Some(value.as_text()?.chars().map(|char| char.to_string().into()).collect()),
        Content::List => value.as_list().map(<[Value]>::to_vec),
    }
}

/// What a step writes into; appending is writing text.
fn content_of(kind: Kind) -> Content {
    if let Kind::Write(content, _) = kind { content } else { Content::Text }
}

impl Fold<'_> {
    /// Applies one step that writes or appends.
    pub(super) fn write(&self, at: At, path: &str, held: &mut Option<Held>) -> Result<(), NoEffect> {
        let op = self.op(at);
        let kind = op.code.row().expect("only known ops are logged").kind;
        let content = content_of(kind);
        let script = held.as_mut().and_then(|held| held.script.take_if(|script| script.content == content));
        let is_fresh = script.is_none();
        let fits = |held: &Held| held.script.is_none() && held.whole.is_some() && content.fits(&held.value);
        if is_fresh && held.as_ref().is_some_and(|held| !fits(held)) {
            let Kind::Append(step) = kind else {
                return Err(NoEffect::BadCurrent { expected: content.shape() });
            };
            let current = held.as_ref().map(|held| &held.value);
            *held = Some(Held::made(step(current, &op.value, &op.options)?, at, 0));
            return Ok(());
        }
        let mut written = script.unwrap_or_else(|| self.script(&op.key, path, content));
        if let Some(whole) = held.as_ref().and_then(|held| held.whole).filter(|_| is_fresh) {
            written.show(whole, 0);
        }
        let result = self.write_on(at, kind, &mut written);
        if result.is_ok() || !is_fresh {
            let by = held.as_ref().map(|held| held.by).filter(|_| result.is_err()).unwrap_or(at);
            let value = written.value();
            *held = Some(Held { script: Some(written), ..Held::made(value, by, 0) });
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
            let path = op.path.as_deref().expect("the row's check has seen it");
            let options = encoded(&op.options);
            for span in spans(Raw::of_checked(&options).get("spans"), self.name(at.0)) {
                let gone = script.order.iter().filter(|&&(brought, offset)| {
                    let id = self.char_id(&op.key, path, script.content, (brought, offset));
                    span.first <= id && id <= span.last && self.knows(at, brought)
                });
                script.deleted.extend(gone);
            }
        }
        script.show(at, 0);
        Ok(())
    }

    /// All characters that were ever brought to a property, in order; none of them shows yet.
    pub(super) fn script(&self, key: &str, path: &str, content: Content) -> Script {
        let mut script = Script {
            content,
            order: Vec::new(),
            brought: BTreeMap::new(),
            spots: BTreeMap::new(),
            shown: BTreeSet::new(),
            deleted: BTreeSet::new(),
            moves: Vec::new(),
            sets: Vec::new(),
        };
        let mut plain = Plain::new();
        for (n, brought) in (0..).zip(self.ground_texts(key, path, content)) {
            let at = (GROUND, n);
            let spot = self.ground_spot(key, path, content, &brought.spot);
            if !plain.place(at, brought.len, spot) {
                plain.place(at, brought.len, Spot::Last);
            }
            script.spots.insert(at, brought.spot);
            script.brought.insert(at, self.ground_parts(key, path, content, brought));
        }
        for (at, row) in self.ops() {
            let brings = row.ok().and_then(|row| self.brings(at, row.kind, key, path, content));
            let Some((parts, spot)) = brings else { continue };
            if plain.place(at, offset_of(parts.len()), spot) {
                script.spots.insert(at, self.named_spot(key, path, content, spot));
                script.brought.insert(at, parts);
            }
        }
        script.order = plain.order().collect();
        script
    }

    /// What an op brings to a property, and where it goes.
    fn brings(
        &self,
        at: At,
        kind: Kind,
        key: &str,
        path: &str,
        content: Content,
    ) -> Option<(Vec<Value>, Spot<At>)> {
        let op = self.op(at);
        if self.superseded.contains(&self.messages[at.0].dot()) {
            return None;
        }
        if op.key != key || (kind.is_property() && op.path.as_deref() != Some(path)) {
            return None;
        }
        let start = Spot::After(None, Until::Given(None));
        match kind {
            Kind::Reset(reset) => Some((parts(content, &reset(&op.value))?, start)),
            Kind::Insert => Some((parts(content, op.value.as_map()?.get(path)?)?, start)),
            Kind::Append(_) if content == Content::Text => {
                let separator = op.options.get("separator").and_then(Value::as_text).unwrap_or_default();
                let text = separator.to_owned() + op.value.as_text().unwrap_or_default();
                Some((parts(content, &text.into())?, Spot::Last))
            }
            Kind::Write(of, Writing::Insert | Writing::Replace) if of == content => {
                Some((parts(content, &op.value)?, self.spot(at)?))
            }
            Kind::Write(of, Writing::Move) if of == content => Some((vec![Value::Null], self.spot(at)?)),
            _ => None,
        }
    }

    /// Where an insert goes; nothing where it names characters of messages that it has not seen.
    fn spot(&self, at: At) -> Option<Spot<At>> {
        let options = encoded(&self.op(at).options);
        let anchors = Anchors::read(Raw::of_checked(&options), self.name(at.0));
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
        let op = self.op(at);
        let options = encoded(&op.options);
        let item = CharId::read(Raw::of_checked(&options).get("item")?, self.name(at.0))?;
        let item = self.char(at, item).filter(|item| script.order.contains(item))?;
        let (_, code, _) = self.maker(&op.key, op.path.as_deref()?, script.content, item.0);
        let kind = code.row().map(|row| row.kind);
        (!matches!(kind, Some(Kind::Write(_, Writing::Move)))).then_some(item)
    }

    fn char(&self, by: At, id: CharId) -> Option<Char<At>> {
        if let Some(at) = self.named((id.dot, id.index)) {
            return self.knows(by, at).then_some((at, id.offset));
        }
        let op = self.op(by);
        self.ground_char(&op.key, op.path.as_deref()?, content_of(op.code.row()?.kind), &id)
    }
}
