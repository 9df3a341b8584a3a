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

mod text;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::Node;
use crate::clock::{Stamp, VersionVector};
use crate::id::{Actor, Dot, PeerKey};
use crate::message::Message;
use crate::op::array::Element;
use crate::op::{Kind, Membership, NoEffect, Op, Row, Shape, node::DEFAULT_TAG};
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
}

/// Folds `messages`, given in any order and with any duplicates. Their clocks may be whole or advances.
pub fn fold(root: &Root, messages: &[Message]) -> Folded {
    let mut sorted: Vec<&Message> = messages.iter().collect();
    sorted.sort_by_key(|message| (message.lamport, message.actor, message.seq));
    sorted.dedup_by_key(|message| message.dot());
    let mut fold = Fold {
        clocks: clocks(&sorted),
        masked: repeated(&sorted),
        messages: sorted,
        ineffective: BTreeMap::new(),
        nodes: BTreeMap::new(),
        parents: BTreeMap::new(),
        root: root.clone(),
    };
    let undone = fold.undo();
    fold.masked.extend(undone.iter().copied());
    fold.scene_ops();
    let scene = fold.scene();
    Folded { scene, ineffective: fold.ineffective, undone }
}

/// Law 13: of several messages with one (key, request) all but the least in order.
fn repeated(sorted: &[&Message]) -> BTreeSet<Dot> {
    let mut first: BTreeSet<(PeerKey, &str)> = BTreeSet::new();
    sorted
        .iter()
        .filter(|message| {
            message.request.as_deref().is_some_and(|id| !first.insert((message.actor.key(), id)))
        })
        .map(|message| message.dot())
        .collect()
}

/// Of each message the whole vector clock.
fn clocks(sorted: &[&Message]) -> BTreeMap<Dot, VersionVector> {
    let mut by_seq = sorted.to_vec();
    by_seq.sort_by_key(|message| (message.actor, message.seq));
    let mut clocks = BTreeMap::new();
    let mut clock: (Option<Actor>, VersionVector) = (None, VersionVector::default());
    for message in by_seq {
        if clock.0 != Some(message.actor) {
            clock = (Some(message.actor), VersionVector::default());
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

/// Place, birth and key: siblings sort by these.
type Sibling<'a> = (&'a Place, Option<At>, &'a str);

struct Fold<'a> {
    messages: Vec<&'a Message>,
    clocks: BTreeMap<Dot, VersionVector>,
    masked: BTreeSet<Dot>,
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
    properties: BTreeMap<String, Vec<At>>,
}

impl<'a> Fold<'a> {
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
            if !row.kind.is_meta() || self.masked.contains(&self.messages[at.0].dot()) {
                continue;
            }
            let target = self.op(at).options["target"].as_text().and_then(|text| text.parse::<Dot>().ok());
            let target = target.expect("the row's check has read it");
            let own = self.messages[at.0].dot();
            let verdict = if !self.clocks.contains_key(&target) {
                Err(NoEffect::TargetMissing)
            } else if target == own || !self.clocks[&own].covers(&target) {
                Err(NoEffect::TargetUnseen)
            } else {
                match row.kind {
                    Kind::Undo => undone.insert(target),
                    _ => undone.remove(&target),
                };
                Ok(())
            };
            self.judge(at, verdict);
        }
        undone
    }

    fn scene_ops(&mut self) {
        let root = self.root.clone();
        // Before every message, so its stamp is never compared: the root has no siblings.
        let place = Place::at(Stamp { lamport: 0, actor: Actor([0; 40]), seq: 0, index: 0 });
        let life = Life {
            alive: true,
            tag: root.tag,
            name: root.name,
            birth: None,
            place,
            inserts: Vec::new(),
            properties: BTreeMap::new(),
        };
        self.nodes.insert(root.key, life);
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
                    Kind::Undo | Kind::Redo => Ok(()),
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
            let stamp = self.stamp(at);
            let given = op.options.get("place").and_then(|value| Place::read(value, stamp));
            let life = Life {
                alive: true,
                tag: text("tag").unwrap_or(DEFAULT_TAG).to_owned(),
                name: text("name").unwrap_or_default().to_owned(),
                birth: Some(at),
                place: given.unwrap_or(Place::at(stamp)),
                inserts: Vec::new(),
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
        let stamp = self.stamp(at);
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
            for (path, log) in &life.properties {
                if let Some(value) = self.value(path, log, &mut verdicts) {
                    properties.insert(path.clone(), value);
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

    /// Laws 3, 4, 8 and 9: the value of one property, `log` being what was done to it in order.
    fn value(&self, path: &str, log: &[At], verdicts: &mut Vec<(At, NoEffect)>) -> Option<Value> {
        let kind = |at: At| self.op(at).code.row().expect("only known ops are logged").kind;
        let resets: Vec<At> =
            log.iter().copied().filter(|&at| matches!(kind(at), Kind::Reset(_) | Kind::Insert)).collect();
        let mut current = None;
        // Of a list, who added each element.
        let mut adders: Vec<Vec<u32>> = Vec::new();
        // Of a text or a list, the reset whose value it still is; and its characters, once some step has named them.
        let mut whole = resets.last().copied();
        let mut script = None;
        let index_in_log =
            |at: At| u32::try_from(log.iter().position(|&x| x == at).unwrap_or(0)).unwrap_or(0);
        if let Some(&winner) = resets.last() {
            let op = self.op(winner);
            let value = match kind(winner) {
                Kind::Reset(reset) => reset(&op.value),
                _ => op.value.as_map().and_then(|map| map.get(path)).expect("it set this path").clone(),
            };
            adders = added_by(&value, index_in_log(winner));
            current = Some(value);
        }
        for &at in log {
            if resets.contains(&at) || resets.iter().any(|&reset| self.seen(reset, at)) {
                continue;
            }
            let op = self.op(at);
            if let Some(elements) = script.as_ref().and_then(text::Script::elements) {
                adders = elements.into_iter().map(|by| vec![index_in_log(by)]).collect();
            }
            if let Kind::Write(..) | Kind::Append(_) = kind(at) {
                let result = self.write(at, path, &mut current, whole, &mut script);
                verdicts.extend(result.err().map(|reason| (at, reason)));
                continue;
            }
            let wrong = |expected| NoEffect::BadCurrent { expected };
            let result = match kind(at) {
                Kind::Step(step) | Kind::Sum(step, _) => step(current.as_ref(), &op.value, &op.options)
                    .map(|value| (added_by(&value, index_in_log(at)), value)),
                Kind::List(step) => match current.clone().unwrap_or(Value::List(Vec::new())) {
                    Value::List(values) => {
                        let zip = values.into_iter().zip(adders.clone());
                        let mut list = zip.map(|(value, adders)| Element { value, adders }).collect();
                        let seen = |adder: u32| self.seen(at, log[adder as usize]);
                        step(&mut list, &op.value, &op.options, index_in_log(at), &seen);
                        let (values, adders) =
                            list.into_iter().map(|element| (element.value, element.adders)).unzip();
                        Ok((adders, Value::List(values)))
                    }
                    _ => Err(wrong(Shape::List)),
                },
                Kind::Member(membership) => match current.clone().unwrap_or(Value::List(Vec::new())) {
                    Value::List(values) => {
                        let set = values.into_iter().zip(adders.clone()).collect();
                        let seen = |adder: u32| self.seen(at, log[adder as usize]);
                        Ok(change_set(set, &op.value, membership, index_in_log(at), seen))
                    }
                    _ => Err(wrong(Shape::List)),
                },
                Kind::Entries(write) => match current.clone().unwrap_or(Value::Map(BTreeMap::new())) {
                    Value::Map(mut map) => {
                        write(&op.value, &mut |key, value| match value {
                            Some(value) => drop(map.insert(key.to_owned(), value.clone())),
                            None => drop(map.remove(key)),
                        });
                        Ok((Vec::new(), Value::Map(map)))
                    }
                    _ => Err(wrong(Shape::Map)),
                },
                _ => unreachable!("resets were skipped, and nothing else is logged"),
            };
            match result {
                Ok((who, value)) => (adders, current, whole, script) = (who, Some(value), None, None),
                Err(reason) => verdicts.push((at, reason)),
            }
        }
        current
    }
}

/// Adds an element to a set, or takes away those of its adders that were seen. The list becomes one without equal elements,
/// in the order of values.
fn change_set(
    list: Vec<(Value, Vec<u32>)>,
    element: &Value,
    membership: Membership,
    by: u32,
    seen: impl Fn(u32) -> bool,
) -> (Vec<Vec<u32>>, Value) {
    let mut set: BTreeMap<Value, Vec<u32>> = BTreeMap::new();
    for (value, adders) in list {
        set.entry(value).or_default().extend(adders);
    }
    match membership {
        Membership::Add => set.entry(element.clone()).or_default().push(by),
        Membership::Remove => {
            set.entry(element.clone()).or_default().retain(|&adder| !seen(adder));
            set.retain(|_, adders| !adders.is_empty());
        }
    }
    let (values, adders) = set.into_iter().unzip();
    (adders, Value::List(values))
}

/// One adder for each element, where `value` is a list.
fn added_by(value: &Value, by: u32) -> Vec<Vec<u32>> {
    vec![vec![by]; value.as_list().map_or(0, <[Value]>::len)]
}
