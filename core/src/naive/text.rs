//! Law 9 in the plainest code: the characters of one property, or the elements of its list, in order, and which of them show.

use std::collections::{BTreeMap, BTreeSet};

use super::ground::BASE;
use super::property::Held;
use super::{At, Fold, GROUND};
use crate::canonical::Writer;
use crate::op::text::{Anchors, CharId, Content, Side, Writing, spans};
use crate::op::{Kind, NoEffect, Options};
use crate::raw::Raw;
use crate::sequence::plain::{Char, Plain, Spot, Until};
use crate::value::Value;

/// The characters that were ever brought to a property, across lives and resets.
pub(super) struct Script {
    pub(super) content: Content,
    pub(super) order: Vec<Char<At>>,
    /// What the ground keeps: the name of each position, and of what shows there.
    kept: Vec<(CharId, Option<CharId>)>,
    /// What each op brought, and the ground; a move brings a position.
    brought: BTreeMap<At, Vec<Value>>,
    shown: BTreeSet<Char<At>>,
    deleted: BTreeSet<Char<At>>,
    /// What was done to one element, in order.
    moves: Vec<(Char<At>, At)>,
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
    fn value_of(&self, element: Char<At>) -> Value {
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

    /// Lets what an op brought show, or what shows on the ground.
    pub(super) fn show(&mut self, op: At, from: usize) {
        if op == BASE {
            let shown = (0..).zip(&self.kept).filter(|(_, (_, element))| element.is_some());
            self.shown.extend(shown.map(|(offset, _)| (BASE, offset)));
            return;
        }
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
            let options = encoded(&op.options);
            for span in spans(Raw::of_checked(&options).get("spans"), self.name(at.0)) {
                let gone = script.order.iter().copied().filter(|&char| {
                    let id = self.element_id(char, script);
                    id.is_some_and(|id| span.first <= id && id <= span.last) && self.knows(at, char.0)
                });
                let gone: Vec<Char<At>> = gone.collect();
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
            kept: self.ground_kept(key, path, content),
            brought: BTreeMap::new(),
            shown: BTreeSet::new(),
            deleted: BTreeSet::new(),
            moves: Vec::new(),
            sets: Vec::new(),
        };
        let mut plain = Plain::new();
        plain.keep(BASE, offset_of(script.kept.len()));
        script.brought.insert(BASE, self.ground_parts(key, path, &script));
        for (at, row) in self.ops() {
            let brings = row.ok().and_then(|row| self.brings(at, row.kind, key, path, &script));
            let Some((parts, spot)) = brings else { continue };
            if plain.place(at, offset_of(parts.len()), spot) {
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
        script: &Script,
    ) -> Option<(Vec<Value>, Spot<At>)> {
        let (op, content) = (self.op(at), script.content);
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
                Some((parts(content, &op.value)?, self.spot(at, script)?))
            }
            Kind::Write(of, Writing::Move) if of == content => {
                Some((vec![Value::Null], self.spot(at, script)?))
            }
            _ => None,
        }
    }

    /// Where an insert goes; nothing where it names characters of messages that it has not seen.
    fn spot(&self, at: At, script: &Script) -> Option<Spot<At>> {
        let options = encoded(&self.op(at).options);
        let anchors = Anchors::read(Raw::of_checked(&options), self.name(at.0));
        let char = |id| match self.position(at, id, script) {
            None if self.is_behind(&id.dot) => Some(None),
            found => found.map(Some),
        };
        let left = match anchors.side {
            Side::Before(id) => return char(id).map(|found| found.map_or(Spot::Last, Spot::Before)),
            Side::After(None) => None,
            Side::After(Some(id)) => match char(id)? {
                // What was dropped has nothing beside it.
                None => return Some(Spot::Last),
                found => found,
            },
        };
        let until = match anchors.until {
            None => Until::Inherited,
            Some(None) => Until::Given(None),
            Some(Some(id)) => char(id)?.map_or(Until::Inherited, |until| Until::Given(Some(until))),
        };
        Some(Spot::After(left, until))
    }

    /// The element that a step names: no position of another, and one that it has seen.
    fn item(&self, at: At, script: &Script) -> Option<Char<At>> {
        let options = encoded(&self.op(at).options);
        let id = CharId::read(Raw::of_checked(&options).get("item")?, self.name(at.0))?;
        let Some(op) = self.named((id.dot, id.index)) else {
            let is_it = |(_, element): &(CharId, Option<CharId>)| *element == Some(id);
            return script.kept.iter().position(is_it).map(|offset| (BASE, offset_of(offset)));
        };
        let item = Some((op, id.offset)).filter(|item| self.knows(at, op) && script.order.contains(item))?;
        let kind = self.op(op).code.row().map(|row| row.kind);
        (!matches!(kind, Some(Kind::Write(_, Writing::Move)))).then_some(item)
    }

    /// The position that an op names, if it has seen that.
    fn position(&self, by: At, id: CharId, script: &Script) -> Option<Char<At>> {
        if let Some(at) = self.named((id.dot, id.index)) {
            return self.knows(by, at).then_some((at, id.offset));
        }
        let offset = script.kept.iter().position(|(position, _)| *position == id)?;
        Some((BASE, offset_of(offset)))
    }

    /// The name of a position.
    pub(super) fn position_id(&self, (op, offset): Char<At>, script: &Script) -> CharId {
        match op.0 {
            GROUND => script.kept[offset as usize].0,
            _ => self.brought_id((op, offset)),
        }
    }

    /// The name of an element; none of what does not show on the ground.
    pub(super) fn element_id(&self, (op, offset): Char<At>, script: &Script) -> Option<CharId> {
        match op.0 {
            GROUND => script.kept[offset as usize].1,
            _ => Some(self.brought_id((op, offset))),
        }
    }

    fn brought_id(&self, (op, offset): Char<At>) -> CharId {
        let (dot, index) = self.op_name(op);
        CharId { dot, index, offset }
    }

    /// What shows on the ground holds, and nothing where nothing shows.
    fn ground_parts(&self, key: &str, path: &str, script: &Script) -> Vec<Value> {
        let base = self.nodes.get(key).and_then(|life| life.bases.get(path));
        let base = base.filter(|base| base.is_made_of(script.content));
        let parts = base.and_then(|base| parts(script.content, &base.value)).unwrap_or_default();
        let mut parts = parts.into_iter();
        let part =
            |(_, element): &(CharId, Option<CharId>)| element.and_then(|_| parts.next()).unwrap_or_default();
        script.kept.iter().map(part).collect()
    }
}
