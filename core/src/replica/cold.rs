//! A replica that was opened from a snapshot and has not needed its history yet.
//!
//! Most of what is asked, and most messages that come, need no more than a snapshot holds. What does is for the
//! [`Engine`] that [`Cold::thaw`] makes of the history and of what was taken in since: the same that it would be had it
//! never been away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Engine;
use super::index::{NodeIx, PathIx};
use super::snapshot::{Snapshot, SnapshotError, Stretch, Tally, request_hash};
use crate::api::{Change, Node};
use crate::block;
use crate::canonical::Reader;
use crate::clock::{Stamp, VersionVector};
use crate::id::{Actor, Dot, PeerKey, StateHash};
use crate::members::Charter;
use crate::message::Message;
use crate::op::{Kind, OpView, TABLE_VERSION};
use crate::planted::{Bug, planted};
use crate::raw::Raw;
use crate::scene::{Root, state_hash};
use crate::value::Value;
use crate::view::MessageView;

/// Messages taken in before the history is read after all: kept as they are, they take more memory than in an engine.
const SINCE_MAX: usize = 4096;
/// Messages of the history that are looked at together.
const THAWED_AT_ONCE: usize = 4096;

/// What is known without the history.
pub(super) struct Cold {
    snapshot: Snapshot,
    /// What the messages taken in since have seen of others, and those before them.
    clocks: BTreeMap<Actor, VersionVector>,
    version: VersionVector,
    since: Vec<Message>,
    requests: BTreeSet<[u8; 8]>,
    lamport_max: u64,
    ineffective: usize,
    /// Properties as the messages taken in since left them, by node and path.
    touched: BTreeMap<(usize, Box<str>), Property>,
    /// Properties that may show differently since the changes were taken.
    changed: BTreeSet<(usize, Box<str>)>,
}

/// One property.
struct Property {
    value: Value,
    tally: Tally,
}

impl Cold {
    pub(super) fn open(bytes: Vec<u8>, beside: Option<Arc<[Stretch]>>) -> Result<Self, SnapshotError> {
        let mut snapshot = Snapshot::read(bytes, beside)?;
        let mut clocks = BTreeMap::new();
        let mut version = VersionVector::default();
        for (actor, seq, mut clock) in std::mem::take(&mut snapshot.actors) {
            version.raise(actor, seq);
            // Whatever comes has seen all that is forgotten.
            clock.join(&snapshot.ground.version);
            clocks.insert(actor, clock);
        }
        Ok(Self {
            lamport_max: snapshot.lamport_max,
            ineffective: snapshot.ineffective,
            snapshot,
            clocks,
            version,
            since: Vec::new(),
            requests: BTreeSet::new(),
            touched: BTreeMap::new(),
            changed: BTreeSet::new(),
        })
    }

    /// Takes in a message and says whether it is new, unless that needs the history: then nothing here means anything any
    /// more but what [`Cold::thaw`] makes of it.
    ///
    /// No undo or redo of it counts: one that has seen it would have brought it along, since a snapshot lacks nothing that it
    /// names.
    pub(super) fn take_in(&mut self, view: &MessageView<'_>) -> Option<bool> {
        let held = self.version.get(&view.actor);
        if view.seq <= held {
            return Some(false);
        }
        // What was issued again before it came takes the place of the other.
        let is_original = self.snapshot.origins.contains(&view.dot());
        if view.seq != held + 1 || self.since.len() == SINCE_MAX || is_original {
            return None;
        }
        if let Some(request) = view.request {
            let key = view.actor.key();
            // Of several with one request the least counts.
            if self.may_hold_request(&key, request) {
                return None;
            }
            self.requests.insert(request_hash(&key, request));
        }
        let clock = self.clocks.entry(view.actor).or_insert_with(|| self.snapshot.ground.version.clone());
        view.clock.iter().for_each(|head| clock.raise(head.actor, head.seq));
        if self.snapshot.root.founder.is_some() && !self.is_editor(view) {
            return None;
        }
        for (index, op) in (0..).zip(view.ops()) {
            self.enter(op, index, view)?;
        }
        self.version.raise(view.actor, view.seq);
        self.lamport_max = self.lamport_max.max(view.lamport);
        self.since.push(view.to_message());
        Some(true)
    }

    /// Whether the author of a message that is being taken in is certainly an editor: what is said of the room since would need the
    /// history.
    fn is_editor(&self, view: &MessageView<'_>) -> bool {
        let clock = &self.clocks[&view.actor];
        let grants = self.snapshot.editors.get(&view.actor.key());
        let mut grants = grants.into_iter().flatten();
        grants.any(|dots| dots.iter().all(|dot| clock.covers(dot)))
    }

    /// Lets an op of a message take effect, unless that needs the history.
    fn enter(&mut self, op: &OpView<'_>, index: u32, message: &MessageView<'_>) -> Option<()> {
        let kind = op.resolve().ok()?.kind;
        let (node, path) = (self.snapshot.find(op.key)?, op.path?);
        let MessageView { lamport, actor, seq, .. } = *message;
        let stamp = Stamp { lamport, actor, seq, index };
        if self.snapshot.node(node).birth.is_some_and(|birth| stamp < birth) {
            // It belongs to an earlier life, or to none.
            return None;
        }
        // From here on it is an op of the current life: without undos, removals and inserts that lasts.
        let before = self.tally(node, path);
        let is_last = before.is_none_or(|before| before.last < stamp);
        let Tally { steps, faults, .. } = before.unwrap_or(Tally { last: stamp, steps: 0, faults: 0 });
        let property = match kind {
            // The value is that of a reset which comes after this one, and no step counts.
            Kind::Reset(_) if !is_last && steps == 0 => return Some(()),
            // It is the greatest reset now, and no step is left that it has not seen.
            Kind::Reset(make) if is_last && (steps == 0 || self.is_seen_by(message)) => {
                self.ineffective = self.ineffective.checked_sub(faults)?;
                Property {
                    value: make(&op.value.decode()),
                    tally: Tally { last: stamp, steps: 0, faults: 0 },
                }
            }
            // It comes after every reset, so none has seen it, and after every step, so it is applied to what they gave.
            Kind::Step(step) | Kind::Sum(step, _) if is_last => {
                let value = self.value_of(node, path);
                Property {
                    value: step(value.as_ref(), &op.value.decode(), &op.options.decode_map()).ok()?,
                    tally: Tally { last: stamp, steps: steps.checked_add(1)?, faults },
                }
            }
            // Whatever else there is, or may be one day: the history knows.
            _ => return None,
        };
        let name = (node, Box::from(path));
        self.changed.insert(name.clone());
        self.touched.insert(name, property);
        Some(())
    }

    /// Whether a message that is being taken in has seen all that are held.
    fn is_seen_by(&self, message: &MessageView<'_>) -> bool {
        let clock = &self.clocks[&message.actor];
        self.version.iter().all(|(other, seq)| other == message.actor || clock.get(&other) >= seq)
    }

    /// What decides about later ops on a property.
    fn tally(&self, node: usize, path: &str) -> Option<Tally> {
        match self.touched(node, path) {
            Some(touched) => Some(touched.tally),
            None => self.snapshot.property(node, path).map(|property| property.tally),
        }
    }

    fn value_of(&self, node: usize, path: &str) -> Option<Value> {
        match self.touched(node, path) {
            Some(touched) => Some(touched.value.clone()),
            None => self.snapshot.property(node, path)?.value.map(Raw::decode),
        }
    }

    fn touched(&self, node: usize, path: &str) -> Option<&Property> {
        // Mostly there is nothing, and no name to be made for it.
        if self.touched.is_empty() { None } else { self.touched.get(&(node, path.into())) }
    }

    /// The engine that holds the history and what was taken in since.
    ///
    /// The bytes are those that were written: the checksum says so. What could still not be read of them is not held.
    pub(super) fn thaw(&self) -> Engine {
        let mut bodies = Vec::new();
        for (actor, block) in self.snapshot.history() {
            bodies.extend(block::decode(block).ok().map(|bodies| (actor, bodies)));
        }
        let all = bodies.iter().flat_map(|(actor, bodies)| bodies.iter().map(|body| (*actor, body)));
        let mut all: Vec<(u64, Actor, &[u8])> =
            all.map(|(actor, body)| (lamport(body).unwrap_or(0), actor, body)).collect();
        // Nothing is late in this order, and each actor's messages stay in theirs.
        all.sort_by_key(|&(lamport, actor, _)| (lamport, actor));
        let mut engine = Engine::on(&self.snapshot.ground, self.snapshot.root.clone());
        for some in all.chunks(THAWED_AT_ONCE) {
            let views = some.iter().filter_map(|&(_, actor, body)| MessageView::read(actor, body).ok());
            let is_undo =
                |view: &MessageView<'_>| view.ops().any(|op| op.path.is_none() && op.key.is_empty());
            engine.apply_views(views.filter(|view| !(planted(Bug::UndoForgotten) && is_undo(view))));
        }
        engine.apply_all(&self.since);
        engine.drop_changes();
        for (node, path) in &self.changed {
            engine.mark_changed(self.snapshot.node(*node).key, path);
        }
        engine
    }

    pub(super) fn root(&self) -> &Root {
        &self.snapshot.root
    }

    pub(super) fn charter(&self) -> &Charter {
        &self.snapshot.charter
    }

    pub(super) fn is_live(&self, key: &str) -> bool {
        self.snapshot.find(key).is_some()
    }

    pub(super) fn node(&self, key: &str) -> Option<Node> {
        self.snapshot.find(key).map(|node| self.describe(node))
    }

    pub(super) fn value(&self, key: &str, path: &str) -> Option<Value> {
        self.value_of(self.snapshot.find(key)?, path)
    }

    pub(super) fn scene(&self) -> impl Iterator<Item = Node> + '_ {
        let mut next: Vec<usize> = self.snapshot.find(&self.snapshot.root.key).into_iter().collect();
        // No node shows twice, whatever a snapshot may say.
        (0..self.snapshot.nodes()).map_while(move |_| {
            let node = next.pop()?;
            let from = next.len();
            next.extend(self.snapshot.children(node).filter_map(|key| self.snapshot.find(key)));
            next[from..].reverse();
            Some(self.describe(node))
        })
    }

    pub(super) fn live_nodes(&self) -> impl Iterator<Item = Node> + '_ {
        (0..self.snapshot.nodes()).map(|node| self.describe(node))
    }

    pub(super) fn nodes_live(&self) -> usize {
        self.snapshot.nodes()
    }

    pub(super) fn deleted(&self) -> Vec<String> {
        self.snapshot.dead().map(str::to_owned).collect()
    }

    pub(super) fn state_hash(&self) -> StateHash {
        state_hash(TABLE_VERSION, &self.snapshot.root.key, self.live_nodes())
    }

    pub(super) fn ineffective_ops(&self) -> usize {
        self.ineffective
    }

    pub(super) fn contains(&self, dot: &Dot) -> bool {
        dot.seq > self.snapshot.ground.version.get(&dot.actor) && self.version.covers(dot)
    }

    /// Whether a message was taken in since the snapshot: then every op of it has an effect.
    pub(super) fn is_since(&self, dot: &Dot) -> bool {
        self.since.iter().rev().any(|message| message.dot() == *dot)
    }

    pub(super) fn count(&self) -> usize {
        // Nothing is missing before what is held.
        let sum = |version: &VersionVector| version.iter().map(|(_, seq)| seq).sum::<u64>();
        let held = sum(&self.version) - sum(&self.snapshot.ground.version);
        usize::try_from(held).unwrap_or(usize::MAX)
    }

    pub(super) fn version_vector(&self) -> VersionVector {
        self.version.clone()
    }

    pub(super) fn lamport_max(&self) -> u64 {
        self.lamport_max
    }

    /// Whether a message with that request may be held; certainly not where this says no.
    pub(super) fn may_hold_request(&self, key: &PeerKey, request: &str) -> bool {
        self.snapshot.may_hold_request(key, request) || self.requests.contains(&request_hash(key, request))
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let changed = std::mem::take(&mut self.changed);
        let shown = changed.into_iter().filter(|&(node, _)| self.is_reachable(node));
        let tell = |(node, path): (usize, Box<str>)| Change::Property {
            key: self.snapshot.node(node).key.to_owned(),
            value: self.value_of(node, &path),
            path: path.into(),
        };
        shown.map(tell).collect()
    }

    pub(super) fn drop_changes(&mut self) {
        self.changed.clear();
    }

    /// Whether a node is below the root by live nodes only.
    fn is_reachable(&self, node: usize) -> bool {
        let parent = |&node: &usize| self.snapshot.find(self.snapshot.node(node).parent?);
        let way_up = std::iter::successors(Some(node), parent);
        way_up.take(self.snapshot.nodes()).any(|node| self.snapshot.node(node).key == self.snapshot.root.key)
    }

    fn describe(&self, node: usize) -> Node {
        let view = self.snapshot.node(node);
        let given = self.snapshot.properties(node);
        let mut properties: BTreeMap<String, Value> =
            given.filter_map(|property| Some((property.path.to_owned(), property.value?.decode()))).collect();
        let touched = self.touched.range((node, "".into())..(node + 1, "".into()));
        for ((_, path), property) in touched {
            properties.insert(path.as_ref().to_owned(), property.value.clone());
        }
        Node {
            key: view.key.to_owned(),
            tag: view.tag.to_owned(),
            name: view.name.to_owned(),
            parent: view.parent.map(str::to_owned),
            children: self.snapshot.children(node).map(str::to_owned).collect(),
            properties,
        }
    }
}

impl Engine {
    /// Notes that a property may show differently.
    fn mark_changed(&mut self, key: &str, path: &str) {
        let named = self.keys.find(key).map(NodeIx::of).zip(self.history.paths.find(path).map(PathIx::of));
        let Some(ix) = named.and_then(|(node, path)| self.nodes[node.at()].cell(path)) else { return };
        let cell = &mut self.cells[ix.at()];
        if !cell.is_changed {
            cell.is_changed = true;
            self.changes.cells.push(ix);
        }
    }
}

/// The lamport time that a message's bytes begin with.
fn lamport(body: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(body);
    reader.array_of(8, "a message").ok()?;
    let [_format, _seq, lamport] = [reader.uint().ok()?, reader.uint().ok()?, reader.uint().ok()?];
    Some(lamport)
}
