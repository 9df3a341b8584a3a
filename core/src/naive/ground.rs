//! Law 14 in the plainest code: what is left of messages when they are forgotten, and how others stand on that.

use std::collections::{BTreeMap, BTreeSet};

use super::property::{Held, added_by};
use super::text::{Script, offset_of, parts};
use super::{At, Fold, GROUND, GROUND_ADDER, Life};
use crate::clock::Stamp;
use crate::ground::{
    Base, Brought, Form, Ground, GroundLife, GroundNode, REQUESTS_KEPT, Spot, Unfoldable, push_run,
};
use crate::id::{Actor, Dot};
use crate::message::Message;
use crate::op::text::{CharId, Content};
use crate::op::{Kind, OpCode};
use crate::place::Place;
use crate::scene::Root;
use crate::sequence::plain::{self, Char, Until};
use crate::value::Value;

/// What is left of `messages`, which stand on `ground` and hold the causal past of each of them.
pub fn ground(ground: &Ground, root: &Root, messages: &[Message]) -> Result<Ground, Unfoldable> {
    Fold::run(ground, root, messages, &ground.version, |fold, _, _| fold.to_ground())
}

/// What made a base.
const BASE: At = (GROUND, u32::MAX);

impl<'a> Fold<'a> {
    /// Begins with what the ground holds.
    pub(super) fn stand(&mut self) {
        let root = self.root.clone();
        // Before every message, so its stamp is never compared: the root has no siblings.
        let nowhere = Place::at(Stamp { lamport: 0, actor: Actor([0; 40]), seq: 0, index: 0 });
        let life = |alive, tag: String, name: String| Life {
            alive,
            tag,
            name,
            birth: None,
            place: nowhere.clone(),
            inserts: Vec::new(),
            bases: BTreeMap::new(),
            properties: BTreeMap::new(),
        };
        self.nodes.insert(root.key, life(true, root.tag, root.name));
        for (key, node) in &self.ground.nodes {
            self.parents.extend(node.parent.iter().map(|parent| (key.clone(), parent.clone())));
            let life = match &node.life {
                GroundLife::Never => continue,
                GroundLife::Ended => life(false, String::new(), String::new()),
                GroundLife::Lives { stands, tag, name, properties } => {
                    let mut life = life(true, tag.clone(), name.clone());
                    if let Some((_, place)) = stands {
                        life.place = place.clone();
                    }
                    life.bases = properties.clone();
                    life
                }
            };
            self.nodes.insert(key.clone(), life);
        }
    }

    /// What a property of a node that lives since the ground holds there.
    pub(super) fn base(&self, key: &str, path: &str) -> Option<Held> {
        let base = self.nodes[key].bases.get(path)?;
        let mut held =
            Held { adders: added_by(&base.value, GROUND_ADDER), ..Held::made(base.value.clone(), BASE, 0) };
        match base.form {
            Form::Made => {}
            Form::Whole => {
                let content = if base.value.as_list().is_some() { Content::List } else { Content::Text };
                let texts = self.ground_texts(key, path, content);
                let brought = texts.iter().position(|brought| brought.by == base.by);
                held.whole = Some(brought.map_or(BASE, |n| (GROUND, offset_of(n))));
            }
            Form::Written(content) => {
                let mut script = self.script(key, path, content);
                for (n, brought) in (0..).zip(self.ground_texts(key, path, content)) {
                    for (from, run) in &brought.shown {
                        let to = from + content.len(run).expect("a run of the content's");
                        script.shown.extend((*from..to).map(|offset| ((GROUND, n), offset)));
                    }
                    let element = brought.element.and_then(|id| self.ground_char(key, path, content, &id));
                    script.moves.extend(element.map(|element| (element, (GROUND, n))));
                }
                held.value = script.value();
                held.script = Some(script);
            }
        }
        Some(held)
    }

    /// The ops whose characters or elements the ground holds, in order.
    pub(super) fn ground_texts(&self, key: &str, path: &str, content: Content) -> &'a [Brought] {
        let node = self.ground.nodes.get(key);
        node.map(|node| node.brought(path, content)).unwrap_or_default()
    }

    /// What an op brought; what those held that do not show is not known any more.
    pub(super) fn ground_parts(
        &self,
        key: &str,
        path: &str,
        content: Content,
        brought: &Brought,
    ) -> Vec<Value> {
        let life = self.ground.nodes.get(key).map(|node| &node.life);
        if let Some(GroundLife::Lives { properties, .. }) = life
            && let Some(Base { by, form: Form::Whole, value, .. }) = properties.get(path)
            && *by == brought.by
            && let Some(parts) = parts(content, value)
        {
            return parts;
        }
        let mut all = vec![Value::Null; brought.len as usize];
        for (from, run) in &brought.shown {
            for (offset, part) in (*from as usize..).zip(parts(content, run).into_iter().flatten()) {
                all[offset] = part;
            }
        }
        all
    }

    pub(super) fn ground_char(
        &self,
        key: &str,
        path: &str,
        content: Content,
        id: &CharId,
    ) -> Option<Char<At>> {
        let texts = self.ground_texts(key, path, content);
        let is_it = |brought: &Brought| brought.char(id.offset) == *id && id.offset < brought.len;
        let n = texts.iter().position(is_it)?;
        Some(((GROUND, offset_of(n)), id.offset))
    }

    pub(super) fn ground_spot(
        &self,
        key: &str,
        path: &str,
        content: Content,
        spot: &Spot,
    ) -> plain::Spot<At> {
        let char = |id: &CharId| self.ground_char(key, path, content, id);
        let char_or_end = |id: &Option<CharId>| match id {
            None => Some(None),
            Some(id) => char(id).map(Some),
        };
        let found = match spot {
            Spot::Before(id) => char(id).map(plain::Spot::Before),
            Spot::After(left, None) => {
                char_or_end(left).map(|left| plain::Spot::After(left, Until::Inherited))
            }
            Spot::After(left, Some(until)) => char_or_end(left)
                .zip(char_or_end(until))
                .map(|(left, until)| plain::Spot::After(left, Until::Given(until))),
            Spot::Last => None,
        };
        // What is not there has nothing beside it.
        found.unwrap_or(plain::Spot::Last)
    }

    /// The stamp and the code of an op, be it held or of the ground, and what its message was before.
    pub(super) fn maker(
        &self,
        key: &str,
        path: &str,
        content: Content,
        op: At,
    ) -> (Stamp, OpCode, Option<Dot>) {
        match op.0 {
            GROUND => {
                let brought = &self.ground_texts(key, path, content)[op.1 as usize];
                (brought.by, brought.code, brought.origin)
            }
            message => {
                let origin = self.origins.get(&self.messages[message].dot());
                (self.stamp(op), self.op(op).code, origin.map(|origin| origin.dot))
            }
        }
    }

    pub(super) fn char_id(&self, key: &str, path: &str, content: Content, char: Char<At>) -> CharId {
        let (op, offset) = char;
        match op.0 {
            GROUND => self.ground_texts(key, path, content)[op.1 as usize].char(offset),
            _ => {
                let (dot, index) = self.op_name(op);
                CharId { dot, index, offset }
            }
        }
    }

    pub(super) fn named_spot(&self, key: &str, path: &str, content: Content, spot: plain::Spot<At>) -> Spot {
        let id = |char| self.char_id(key, path, content, char);
        match spot {
            plain::Spot::Before(char) => Spot::Before(id(char)),
            plain::Spot::After(left, until) => {
                let until = match until {
                    Until::Inherited => None,
                    Until::Given(until) => Some(until.map(id)),
                };
                Spot::After(left.map(id), until)
            }
            plain::Spot::Last => Spot::Last,
        }
    }

    fn to_ground(&self) -> Result<Ground, Unfoldable> {
        let mut ground = Ground {
            version: self.ground.version.clone(),
            lamport: self.ground.lamport,
            requests: self.requests[self.requests.len().saturating_sub(REQUESTS_KEPT)..].to_vec(),
            origins: self.ground.origins.clone(),
            nodes: BTreeMap::new(),
        };
        ground.origins.extend(self.origins.values().map(|origin| origin.dot));
        for message in &self.messages[1..] {
            ground.version.raise(message.actor, message.seq);
            ground.lamport = ground.lamport.max(message.lamport);
        }
        for (at, row) in self.ops() {
            if let Err(reason) = row {
                Unfoldable::check(self.messages[at.0].dot(), at.1, &reason)?;
            }
        }
        for key in self.keys() {
            let mut node = GroundNode { parent: self.parents.get(&key).cloned(), ..GroundNode::default() };
            let mut properties = BTreeMap::new();
            for path in self.paths(&key) {
                let held = self.nodes.get(&key).filter(|life| life.alive);
                let held = held.and_then(|_| self.value(&key, &path, &mut Vec::new()));
                let script = held.as_ref().and_then(|held| held.script.as_ref());
                for (content, texts) in [(Content::Text, &mut node.texts), (Content::List, &mut node.lists)] {
                    let fresh = self.script(&key, &path, content);
                    let script = script.filter(|script| script.content == content).unwrap_or(&fresh);
                    let brought = self.to_brought(&key, &path, script);
                    if !brought.is_empty() {
                        texts.insert(path.clone(), brought);
                    }
                }
                properties.extend(held.map(|held| (path.clone(), self.to_base(&key, &path, held))));
            }
            node.life = match self.nodes.get(&key) {
                None => GroundLife::Never,
                Some(life) if !life.alive => GroundLife::Ended,
                Some(life) => GroundLife::Lives {
                    stands: self.birth(&key, life).map(|birth| (birth, life.place.clone())),
                    tag: life.tag.clone(),
                    name: life.name.clone(),
                    properties,
                },
            };
            if node != GroundNode::default() {
                ground.nodes.insert(key, node);
            }
        }
        Ok(ground)
    }

    fn birth(&self, key: &str, life: &Life) -> Option<Stamp> {
        if let Some(birth) = life.birth {
            return Some(self.stamp(birth));
        }
        match &self.ground.nodes.get(key)?.life {
            GroundLife::Lives { stands, .. } => stands.as_ref().map(|(birth, _)| *birth),
            GroundLife::Never | GroundLife::Ended => None,
        }
    }

    fn to_base(&self, key: &str, path: &str, held: Held) -> Base {
        let form = match (&held.script, held.whole) {
            (Some(script), _) => Form::Written(script.content),
            (None, Some(_)) => Form::Whole,
            (None, None) => Form::Made,
        };
        let value = if held.script.is_some() { Value::Null } else { held.value };
        let (by, code) = match held.by.0 {
            GROUND => {
                let base = &self.nodes[key].bases[path];
                (base.by, base.code)
            }
            _ => (self.stamp(held.by), self.op(held.by).code),
        };
        Base { by, code, form, value }
    }

    /// What ops brought, with what shows of it.
    fn to_brought(&self, key: &str, path: &str, script: &Script) -> Vec<Brought> {
        let visible = script.visible();
        let id = |char| self.char_id(key, path, script.content, char);
        let mut list = Vec::new();
        for (&at, parts) in script.brought.iter().filter(|(_, parts)| !parts.is_empty()) {
            let (by, code, origin) = self.maker(key, path, script.content, at);
            let len = offset_of(parts.len());
            let mut shown = Vec::new();
            for offset in (0..len).filter(|&offset| visible.iter().any(|(char, _)| *char == (at, offset))) {
                let value = script.value_of((at, offset));
                let run = if script.content == Content::List { Value::List(vec![value]) } else { value };
                push_run(&mut shown, offset, run);
            }
            let moved = visible.iter().find(|(char, position)| *position == (at, 0) && char != position);
            let element = moved.map(|(char, _)| id(*char));
            list.push(Brought { by, origin, code, spot: script.spots[&at], len, shown, element });
        }
        list
    }

    /// Every key that something was done to.
    fn keys(&self) -> BTreeSet<String> {
        let written = self.ops().into_iter().filter(|(_, row)| row.is_ok()).map(|(at, _)| &self.op(at).key);
        let written = written.filter(|key| !key.is_empty());
        self.ground.nodes.keys().chain(self.nodes.keys()).chain(written).cloned().collect()
    }

    /// Every path of a key that something was done to.
    fn paths(&self, key: &str) -> BTreeSet<String> {
        let ground = self.ground.nodes.get(key).into_iter();
        let ground = ground.flat_map(|node| node.texts.keys().chain(node.lists.keys()).cloned());
        let life =
            self.nodes.get(key).into_iter().flat_map(|life| life.paths().into_iter().map(str::to_owned));
        let mut paths: BTreeSet<String> = ground.chain(life).collect();
        for (at, row) in self.ops() {
            let op = self.op(at);
            match row {
                Ok(row) if op.key == key && matches!(row.kind, Kind::Insert) => {
                    paths.extend(op.value.as_map().into_iter().flat_map(|map| map.keys().cloned()));
                }
                Ok(row) if op.key == key && row.kind.is_property() => paths.extend(op.path.clone()),
                _ => {}
            }
        }
        paths
    }
}
