//! Law 14 in the plainest code: what is left of messages when they are forgotten, and how others stand on that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::property::{Held, added_by};
use super::{At, Fold, GROUND, GROUND_ADDER, Life};
use crate::clock::Stamp;
use crate::ground::{Base, Form, Ground, GroundLife, GroundNode, Keeping, Kept, REQUESTS_KEPT, Unfoldable};
use crate::id::{Actor, Dot};
use crate::message::Message;
use crate::op::Kind;
use crate::op::text::{CharId, Content};
use crate::place::Place;
use crate::scene::Root;
use crate::sequence::plain::Char;

/// What is left of `messages`, which stand on `ground` and hold the causal past of each of them.
pub fn ground(ground: &Ground, root: &Root, messages: &[Message]) -> Result<Ground, Unfoldable> {
    Fold::run(ground, root, messages, &ground.version, |fold, _, _| fold.to_ground())
}

/// What made a base, and brought what the ground keeps.
pub(super) const BASE: At = (GROUND, u32::MAX);

impl Fold<'_> {
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
            Form::Whole => held.whole = Some(BASE),
            Form::Written(content) => {
                let mut script = self.script(key, path, content);
                script.show(BASE, 0);
                held.script = Some(script);
            }
        }
        Some(held)
    }

    /// What the ground keeps of a property: the name of each position, and of what shows there.
    pub(super) fn ground_kept(
        &self,
        key: &str,
        path: &str,
        content: Content,
    ) -> Vec<(CharId, Option<CharId>)> {
        let kept = self.ground.nodes.get(key).map(|node| node.kept(path, content)).unwrap_or_default();
        let chars = |run: &Kept| {
            let run = run.clone();
            (0..run.len()).map(move |nth| (run.position(nth), run.element(nth)))
        };
        kept.iter().flat_map(chars).collect()
    }

    /// Whether a message lies in the ground.
    pub(super) fn is_behind(&self, dot: &Dot) -> bool {
        self.ground.version.covers(dot) || self.ground.origins.contains(dot)
    }

    fn to_ground(&self) -> Result<Ground, Unfoldable> {
        let mut ground = Ground {
            version: self.ground.version.clone(),
            lamport: self.ground.lamport,
            requests: self.requests[self.requests.len().saturating_sub(REQUESTS_KEPT)..].to_vec(),
            origins: self.ground.origins.clone(),
            charter: self.charter.clone(),
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
                for (content, by_path) in [(Content::Text, &mut node.texts), (Content::List, &mut node.lists)]
                {
                    let kept = self.to_kept(&key, &path, content, held.as_ref());
                    if !kept.is_empty() {
                        by_path.insert(path.clone(), kept);
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
        let (by, code) = match held.by.0 {
            GROUND => {
                let base = &self.nodes[key].bases[path];
                (base.by, base.code)
            }
            _ => (self.stamp(held.by), self.op(held.by).code),
        };
        Base { by, code, form, value: held.value }
    }

    /// What is kept of all that was ever brought to a property that holds that.
    fn to_kept(&self, key: &str, path: &str, content: Content, held: Option<&Held>) -> Arc<[Kept]> {
        let mut fresh = self.script(key, path, content);
        if let Some(whole) = held.and_then(|held| held.whole) {
            fresh.show(whole, 0);
        }
        let script = held.and_then(|held| held.script.as_ref()).filter(|script| script.content == content);
        let script = script.unwrap_or(&fresh);
        let visible: BTreeMap<Char<At>, Char<At>> =
            script.visible().into_iter().map(|(element, position)| (position, element)).collect();
        let mut keeping = Keeping::new();
        for &position in &script.order {
            let name = self.position_id(position, script);
            match visible.get(&position) {
                Some(&element) => {
                    keeping.show(name, self.element_id(element, script).expect("what shows has a name"));
                }
                None => keeping.hide(|| name),
            }
        }
        keeping.finish()
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
