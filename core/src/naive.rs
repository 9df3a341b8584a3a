//! The laws of the fold in the plainest code: sort all messages, fold everything from scratch. The judge of the replica.
//!
//! It shares the rows' step functions with the replica and nothing else. Its cost is of no concern.
//!
//! ```
//! use rtc_core::{naive, replica::Replica, scene::Root};
//!
//! let nothing = naive::fold(&Root::default(), &[]);
//! assert_eq!(nothing.scene.hash(), Replica::new(Root::default()).state_hash());
//! ```

mod again;
mod branches;
mod ground;
mod members;
mod property;
mod text;

pub use again::inside;
pub use branches::{Signed, branches, branches_beside};
pub use ground::ground;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::Node;
use crate::clock::{Stamp, VersionVector};
use crate::ground::{Base, Ground, REQUESTS_KEPT};
use crate::id::{Actor, Dot, PeerKey};
use crate::members::Charter;
use crate::message::{Message, Origin};
use crate::op::{Kind, NoEffect, Op, Row, node::DEFAULT_TAG};
use crate::place::Place;
use crate::scene::{Root, Scene};
use crate::value::Value;

/// What a set of messages means.
#[derive(Clone, PartialEq, Debug)]
pub struct Folded {
    /// The live nodes.
    pub scene: Scene,
    /// The ops without effect, by message and index.
    pub ineffective: BTreeMap<(Dot, u32), NoEffect>,
    /// The messages that are undone.
    pub undone: BTreeSet<Dot>,
    /// The members of the room, its name and its newest secret.
    pub charter: Charter,
}

/// Folds `messages`, given in any order and with any duplicates. Their clocks may be whole or advances.
pub fn fold(root: &Root, messages: &[Message]) -> Folded {
    fold_on(&Ground::default(), root, messages)
}

/// Folds messages that stand on `ground`: those that are part of it are left out, and all others have seen it.
pub fn fold_on(ground: &Ground, root: &Root, messages: &[Message]) -> Folded {
    Fold::run(ground, root, messages, &ground.version, |fold, scene, undone| Folded {
        scene,
        charter: fold.charter,
        ineffective: fold.ineffective,
        undone,
    })
}

/// Folds all messages while a horizon holds those that `horizon` covers, and nobody has forgotten them yet.
pub fn fold_behind(horizon: &VersionVector, root: &Root, messages: &[Message]) -> Folded {
    Fold::run(&Ground::default(), root, messages, horizon, |fold, scene, undone| Folded {
        scene,
        charter: fold.charter,
        ineffective: fold.ineffective,
        undone,
    })
}

/// Of each message the whole vector clock.
fn clocks(ground: &Ground, sorted: &[&Message]) -> BTreeMap<Dot, VersionVector> {
    let mut by_seq = sorted.to_vec();
    by_seq.sort_by_key(|message| (message.actor, message.seq));
    let mut clocks = BTreeMap::new();
    let mut clock: (Option<Actor>, VersionVector) = (None, VersionVector::default());
    for message in by_seq {
        if clock.0 != Some(message.actor) {
            clock = (Some(message.actor), ground.version.clone());
        }
        clock.1.raise(message.actor, message.seq);
        for head in &message.clock {
            clock.1.raise(head.actor, head.seq);
        }
        clocks.insert(message.dot(), clock.1.clone());
    }
    clocks
}

/// An op: the index of its message in order, and its own in it.
type At = (usize, u32);

/// The message whose ops are the ground's.
const GROUND: usize = 0;
/// The adder of what a list on the ground holds.
const GROUND_ADDER: u32 = u32::MAX;
static NO_MESSAGE: Message = Message {
    actor: Actor([0; 40]),
    seq: 0,
    lamport: 0,
    clock: Vec::new(),
    time_ms: None,
    request: None,
    note: None,
    ops: Vec::new(),
};

/// Place, birth and key: siblings sort by these.
type Sibling<'a> = (&'a Place, Option<At>, &'a str);

struct Fold<'a> {
    ground: &'a Ground,
    /// What lies in the horizon: the ground's messages, and perhaps some that are still held.
    forgotten: &'a VersionVector,
    /// The requests that counted, in order.
    requests: Vec<(PeerKey, String)>,
    /// The first of them is none: ops with its number are the ground's.
    messages: Vec<&'a Message>,
    clocks: BTreeMap<Dot, VersionVector>,
    /// The messages that are others, issued again.
    origins: BTreeMap<Dot, Origin>,
    /// Those of them that do not count.
    superseded: BTreeSet<Dot>,
    masked: BTreeSet<Dot>,
    /// Those whose authors were no editors where they made them.
    void: BTreeSet<Dot>,
    charter: Charter,
    ineffective: BTreeMap<(Dot, u32), NoEffect>,
    nodes: BTreeMap<String, Life>,
    /// The last parent of each key, dead ones included.
    parents: BTreeMap<String, String>,
    root: Root,
}

/// The last life of a key.
struct Life {
    alive: bool,
    tag: String,
    name: String,
    birth: Option<At>,
    place: Place,
    inserts: Vec<At>,
    /// What properties held before all ops in `properties`.
    bases: BTreeMap<String, Base>,
    properties: BTreeMap<String, Vec<At>>,
}

impl<'a> Fold<'a> {
    /// Folds, and gives `end` what came of it.
    fn run<T>(
        ground: &'a Ground,
        root: &Root,
        messages: &'a [Message],
        forgotten: &'a VersionVector,
        end: impl FnOnce(Self, Scene, BTreeSet<Dot>) -> T,
    ) -> T {
        let mut sorted: Vec<&Message> =
            messages.iter().filter(|message| !ground.version.covers(&message.dot())).collect();
        sorted.sort_by_key(|message| (message.lamport, message.actor, message.seq));
        sorted.dedup_by_key(|message| message.dot());
        let mut fold = Fold {
            ground,
            forgotten,
            requests: ground.requests.clone(),
            clocks: clocks(ground, &sorted),
            origins: sorted.iter().filter_map(|message| Some((message.dot(), message.origin()?))).collect(),
            superseded: BTreeSet::new(),
            masked: BTreeSet::new(),
            void: BTreeSet::new(),
            charter: Charter::default(),
            messages: [&NO_MESSAGE].into_iter().chain(sorted).collect(),
            ineffective: BTreeMap::new(),
            nodes: BTreeMap::new(),
            parents: BTreeMap::new(),
            root: root.clone(),
        };
        fold.supersede();
        fold.mask_repeated();
        fold.judge_members();
        let undone = fold.undo();
        fold.masked.extend(undone.iter().chain(&fold.void).copied());
        fold.stand();
        fold.scene_ops();
        let scene = fold.scene();
        end(fold, scene, undone)
    }

    /// Law 13: of several messages with one (key, request) all but the least in order.
    fn mask_repeated(&mut self) {
        let mut first: BTreeSet<(PeerKey, String)> = self.requests.iter().cloned().collect();
        let mut is_behind = true;
        for message in &self.messages[1..] {
            // What lies in the horizon comes before everything else.
            if is_behind && !self.forgotten.covers(&message.dot()) {
                is_behind = false;
                self.requests.drain(..self.requests.len().saturating_sub(REQUESTS_KEPT));
                first = self.requests.iter().cloned().collect();
            }
            let Some(request) = &message.request else { continue };
            if self.superseded.contains(&message.dot()) {
                continue;
            }
            let author = self.origins.get(&message.dot()).map_or(message.actor, |origin| origin.dot.actor);
            let request = (author.key(), request.clone());
            if first.insert(request.clone()) {
                self.requests.push(request);
            } else {
                self.masked.insert(message.dot());
            }
        }
    }

    fn op(&self, at: At) -> &'a Op {
        &self.messages[at.0].ops[at.1 as usize]
    }

    fn stamp(&self, at: At) -> Stamp {
        let message = self.messages[at.0];
        Stamp { lamport: message.lamport, actor: message.actor, seq: message.seq, index: at.1 }
    }

    /// Law 2.
    fn seen(&self, by: At, op: At) -> bool {
        if by.0 == op.0 {
            return op.1 < by.1;
        }
        if op.0 == GROUND {
            return true;
        }
        self.clocks[&self.messages[by.0].dot()].covers(&self.messages[op.0].dot())
    }

    /// Every op in order, with its row or the reason why it has none.
    fn ops(&self) -> Vec<(At, Result<&'static Row, NoEffect>)> {
        let mut ops = Vec::new();
        for (i, message) in self.messages.iter().enumerate() {
            for (index, op) in (0..).zip(&message.ops) {
                ops.push(((i, index), op.resolve()));
            }
        }
        ops
    }

    fn judge(&mut self, at: At, verdict: Result<(), NoEffect>) {
        if let Err(reason) = verdict {
            self.ineffective.insert((self.messages[at.0].dot(), at.1), reason);
        }
    }

    /// Law 5: the messages that are undone.
    fn undo(&mut self) -> BTreeSet<Dot> {
        let mut undone = BTreeSet::new();
        for (at, row) in self.ops() {
            let Ok(row) = row else { continue };
            if !matches!(row.kind, Kind::Undo | Kind::Redo)
                || self.masked.contains(&self.messages[at.0].dot())
                || self.void.contains(&self.messages[at.0].dot())
            {
                continue;
            }
            let target = self.op(at).options["target"].as_text().and_then(|text| text.parse::<Dot>().ok());
            let target = target.expect("the row's check has read it");
            let verdict = self.target(at.0, target).map(|target| match row.kind {
                Kind::Undo => drop(undone.insert(target)),
                _ => drop(undone.remove(&target)),
            });
            self.judge(at, verdict);
        }
        let messages = (1..self.messages.len()).filter(|&i| undone.contains(&self.name(i)));
        let messages = messages.map(|i| (self.messages[i].dot(), self.name(i)));
        // What lies behind the horizon is done with, however often it is issued again.
        let messages = messages.filter(|(dot, name)| self.forgotten.covers(dot) || !self.lies_behind(name));
        messages.map(|(dot, _)| dot).collect()
    }

    fn scene_ops(&mut self) {
        for (at, row) in self.ops() {
            if self.masked.contains(&self.messages[at.0].dot()) {
                continue;
            }
            let verdict = match row {
                Err(reason) => Err(reason),
                Ok(row) => match row.kind {
                    Kind::Reset(_)
                    | Kind::Step(_)
                    | Kind::Sum(..)
                    | Kind::List(_)
                    | Kind::Write(..)
                    | Kind::Append(_)
                    | Kind::Member(_)
                    | Kind::Entries(_) => self.property(at),
                    Kind::Insert => self.insert(at),
                    Kind::Remove => self.remove(at),
                    Kind::Move => self.move_node(at),
                    Kind::Origin if at.1 > 0 || !self.origins.contains_key(&self.messages[at.0].dot()) => {
                        Err(NoEffect::Misplaced)
                    }
                    Kind::Undo | Kind::Redo | Kind::Horizon | Kind::Origin | Kind::Rule(_) => continue,
                },
            };
            self.judge(at, verdict);
        }
    }

    fn is_live(&self, key: &str) -> bool {
        self.nodes.get(key).is_some_and(|life| life.alive)
    }

    /// Whether `key` is `ancestor` or below it, through dead nodes' last parents too. A key that was never inserted
    /// stands nowhere: the walk ends there, even where it is the ancestor itself.
    fn is_under(&self, key: &str, ancestor: &str) -> bool {
        let mut at = key;
        // Nodes that waited for each other as parents form a hidden ring, which no walk may follow for ever.
        let mut passed = BTreeSet::new();
        while self.nodes.contains_key(at) && passed.insert(at) {
            if at == ancestor {
                return true;
            }
            match self.parents.get(at) {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        false
    }

    fn property(&mut self, at: At) -> Result<(), NoEffect> {
        let op = self.op(at);
        let path = op.path.clone().expect("the row's check has seen it");
        let life = self.nodes.get_mut(&op.key).filter(|life| life.alive).ok_or(NoEffect::NodeMissing)?;
        life.properties.entry(path).or_default().push(at);
        Ok(())
    }

    /// Laws 6 and 7.
    fn insert(&mut self, at: At) -> Result<(), NoEffect> {
        let op = self.op(at);
        let text = |name: &str| op.options.get(name).and_then(Value::as_text);
        if !self.is_live(&op.key) {
            let mut parent = text("parent").unwrap_or(&self.root.key).to_owned();
            if parent == op.key || self.is_under(&parent, &op.key) {
                parent = self.root.key.clone();
            }
            self.parents.insert(op.key.clone(), parent);
            let stamp = self.first_stamp(at);
            let given = op.options.get("place").and_then(|value| Place::read(value, stamp));
            let life = Life {
                alive: true,
                tag: text("tag").unwrap_or(DEFAULT_TAG).to_owned(),
                name: text("name").unwrap_or_default().to_owned(),
                birth: Some(at),
                place: given.unwrap_or(Place::at(stamp)),
                inserts: Vec::new(),
                bases: BTreeMap::new(),
                properties: BTreeMap::new(),
            };
            self.nodes.insert(op.key.clone(), life);
        } else if op.options.get("ifAbsent").and_then(Value::as_bool) == Some(true) {
            return Err(NoEffect::NodeExists);
        }
        let life = self.nodes.get_mut(&op.key).expect("it is live now");
        life.inserts.push(at);
        for path in op.value.as_map().into_iter().flat_map(BTreeMap::keys) {
            life.properties.entry(path.clone()).or_default().push(at);
        }
        Ok(())
    }

    fn remove(&mut self, at: At) -> Result<(), NoEffect> {
        let key = &self.op(at).key;
        if *key == self.root.key {
            return Err(NoEffect::RootFixed);
        }
        let life = self.nodes.get(key).filter(|life| life.alive).ok_or(NoEffect::NodeMissing)?;
        if !life.inserts.iter().all(|&insert| self.seen(at, insert)) {
            return Err(NoEffect::KeptByInsert);
        }
        self.nodes.get_mut(key).expect("it is live").alive = false;
        Ok(())
    }

    fn move_node(&mut self, at: At) -> Result<(), NoEffect> {
        let op = self.op(at);
        if op.key == self.root.key {
            return Err(NoEffect::RootFixed);
        }
        if !self.is_live(&op.key) {
            return Err(NoEffect::NodeMissing);
        }
        if let Some(parent) = op.options.get("parent").and_then(Value::as_text) {
            if !self.is_live(parent) {
                return Err(NoEffect::ParentMissing);
            }
            if self.is_under(parent, &op.key) {
                return Err(NoEffect::Cycle);
            }
            self.parents.insert(op.key.clone(), parent.to_owned());
        }
        let stamp = self.first_stamp(at);
        if let Some(place) = op.options.get("place").and_then(|value| Place::read(value, stamp)) {
            self.nodes.get_mut(&op.key).expect("it is live").place = place;
        }
        Ok(())
    }

    fn scene(&mut self) -> Scene {
        let live: Vec<String> =
            self.nodes.iter().filter(|(_, life)| life.alive).map(|(key, _)| key.clone()).collect();
        let mut children: BTreeMap<&str, Vec<Sibling<'_>>> = BTreeMap::new();
        for key in &live {
            if let Some(parent) = self.parents.get(key) {
                let life = &self.nodes[key];
                children.entry(parent).or_default().push((&life.place, life.birth, key));
            }
        }
        let mut nodes = BTreeMap::new();
        let mut verdicts = Vec::new();
        for key in &live {
            let life = &self.nodes[key];
            let mut siblings = children.remove(key.as_str()).unwrap_or_default();
            siblings.sort();
            let mut properties = BTreeMap::new();
            for path in life.paths() {
                if let Some(held) = self.value(key, path, &mut verdicts) {
                    properties.insert(path.to_owned(), held.value);
                }
            }
            let node = Node {
                key: key.clone(),
                tag: life.tag.clone(),
                name: life.name.clone(),
                parent: self.parents.get(key).cloned(),
                children: siblings.iter().map(|(_, _, key)| (*key).to_owned()).collect(),
                properties,
            };
            nodes.insert(key.clone(), node);
        }
        for (at, reason) in verdicts {
            self.judge(at, Err(reason));
        }
        let deleted = self.nodes.iter().filter(|(_, life)| !life.alive).map(|(key, _)| key.clone()).collect();
        Scene { root: self.root.key.clone(), nodes, deleted }
    }
}

impl Life {
    /// Every path that something was done to.
    fn paths(&self) -> BTreeSet<&str> {
        self.bases.keys().chain(self.properties.keys()).map(String::as_str).collect()
    }
}
