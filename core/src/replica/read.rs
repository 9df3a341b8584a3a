//! Reading a replica: nodes, values, the scene, the log.

use std::collections::BTreeMap;

use super::Engine;
use super::index::{CellIx, MessageIx, NodeIx, OpIx, PathIx};
use super::node::NodeRecord;
use crate::api::{Ineffective, LogEntry, Node};
use crate::clock::VersionVector;
use crate::id::{Dot, PeerKey, StateHash};
use crate::op::node::DEFAULT_TAG;
use crate::op::{Kind, Op, TABLE_VERSION};
use crate::scene::{Root, Scene, state_hash};
use crate::value::Value;

/// A text that names no message, or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FindError {
    /// No message held goes by it.
    #[error("no message goes by that id")]
    Missing,
    /// More than one does.
    #[error("{matches} messages go by that id")]
    Ambiguous {
        /// How many.
        matches: usize,
    },
}

impl Engine {
    /// The node the scene begins with.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The live node of that key, be it part of the scene or hidden below a removed one.
    pub fn node(&self, key: &str) -> Option<Node> {
        self.live(key).map(|node| self.describe(node))
    }

    /// Whether there is a live node of that key.
    pub fn is_live(&self, key: &str) -> bool {
        self.live(key).is_some()
    }

    /// The property of a live node, none within if it was never touched.
    pub(crate) fn property_number(&self, key: &str, path: &str) -> Option<Option<CellIx>> {
        let node = self.live(key)?;
        let path = self.history.paths.find(path).map(PathIx::of);
        Some(path.and_then(|path| self.nodes[node.at()].cell(path)))
    }

    /// What a live node's property holds.
    pub fn value(&self, key: &str, path: &str) -> Option<Value> {
        let node = self.live(key)?;
        let path = PathIx::of(self.history.paths.find(path)?);
        let cell = self.nodes[node.at()].cell(path)?;
        self.cells[cell.at()].value(&self.history)
    }

    /// Every node of the scene, parents before children and siblings in order.
    pub fn scene(&self) -> impl Iterator<Item = Node> + '_ {
        let mut next = vec![NodeRecord::ROOT];
        std::iter::from_fn(move || {
            let node = next.pop()?;
            next.extend(self.nodes[node.at()].children.iter().rev());
            Some(self.describe(node))
        })
    }

    /// Everything that is alive, hidden nodes included, as plain data.
    pub fn image(&self) -> Scene {
        Scene {
            root: self.root.key.clone(),
            nodes: self.live_nodes().map(|node| (self.key(node).to_owned(), self.describe(node))).collect(),
            deleted: self.deleted(),
        }
    }

    /// How many nodes are alive, the root and hidden ones included.
    pub fn nodes_live(&self) -> usize {
        self.nodes_live
    }

    /// The keys whose last life has ended, in order.
    pub fn deleted(&self) -> Vec<String> {
        let dead = |&(_, number): &(&str, usize)| {
            let life = &self.nodes[number].life;
            life.has_begun() && !life.is_alive()
        };
        self.keys.iter().filter(dead).map(|(key, _)| key.to_owned()).collect()
    }

    /// The hash that replicas with the same messages and the same operation table agree on. Costs a walk over all live nodes.
    pub fn state_hash(&self) -> StateHash {
        state_hash(TABLE_VERSION, &self.root.key, self.live_nodes().map(|node| self.describe(node)))
    }

    /// How many ops have no effect on the scene as it stands, those of undone and repeated messages not counted.
    pub fn ineffective_ops(&self) -> usize {
        self.verdicts.count() + self.rights.ops_void()
    }

    /// The ops of a message that have no effect, with their reasons.
    pub fn ineffective(&self, dot: &Dot) -> Vec<Ineffective> {
        let Some(message) = self.history.find(dot) else { return Vec::new() };
        let ops = (0..).zip(self.history.ops_of(message));
        let reasons = ops.filter_map(|(index, op)| {
            Some(Ineffective { index, reason: self.no_effect(message, op)?.to_string() })
        });
        reasons.collect()
    }

    /// Whether a message is undone.
    pub fn is_undone(&self, dot: &Dot) -> bool {
        self.history.find(dot).is_some_and(|message| self.history.is_undone(message))
    }

    /// Whether a message is held and has ops that an undo would mask.
    pub fn is_undoable(&self, dot: &Dot) -> bool {
        let is_scene = |op: OpIx| !self.history.kind(op).is_some_and(Kind::is_meta);
        self.history.find(dot).is_some_and(|message| self.history.ops_of(message).any(is_scene))
    }

    /// The message that this one undoes, if it undoes any; of several the first.
    pub fn undoes(&self, dot: &Dot) -> Option<Dot> {
        let is_undo = |op: &OpIx| matches!(self.history.kind(*op), Some(Kind::Undo));
        let undo = self.history.ops_of(self.history.find(dot)?).find(is_undo)?;
        let (actor, seq) = self.history.op(undo).target?;
        Some(Dot { actor: self.history.actor_of(actor), seq })
    }

    /// Whether a message is held.
    pub fn contains(&self, dot: &Dot) -> bool {
        self.history.find(dot).is_some()
    }

    /// How many messages are held.
    pub fn count(&self) -> usize {
        self.history.count()
    }

    /// Of each actor the highest number held without a gap.
    pub fn version_vector(&self) -> VersionVector {
        self.history.version_vector()
    }

    /// The lamport time of a message held.
    pub fn lamport(&self, dot: &Dot) -> Option<u64> {
        Some(self.history.message(self.history.find(dot)?).lamport)
    }

    /// The greatest lamport time held; 0 where nothing is.
    pub fn lamport_max(&self) -> u64 {
        self.history.lamport_max()
    }

    /// Whether the message `by`, which is held, was made with `dot` in its causal past. Not of itself.
    pub fn has_seen(&self, by: &Dot, dot: &Dot) -> bool {
        let (Some(by), Some(of)) = (self.history.find(by), self.history.find(dot)) else { return false };
        let (by, of) = (self.history.message(by), self.history.message(of));
        self.history.cover(by.actor, by.seq, of.actor) >= of.seq
    }

    /// The message that counts for a client's request (DESIGN §3, law 13).
    pub fn request(&self, key: &PeerKey, request: &str) -> Option<Dot> {
        self.requests.find(key, request).map(|message| self.history.dot(message))
    }

    /// Messages in the total order, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = Dot> + '_ {
        self.history.newest().map(|message| self.history.dot(message))
    }

    /// The one message that goes by `text`: a whole id, the first letters of its actor with its number (`k3f:17`), or the first
    /// letters of the id of the only message they fit. What was issued again goes by the id that it had, too, with its number.
    pub fn find(&self, text: &str) -> Result<Dot, FindError> {
        // No other id begins with a whole one.
        if let Some(dot) = text.parse().ok().filter(|dot| self.contains(dot)) {
            return Ok(dot);
        }
        let (actor, seq) = match text.split_once(':') {
            Some((actor, seq)) => (actor, Some(seq.parse::<u64>().map_err(|_| FindError::Missing)?)),
            None => (text, None),
        };
        let mut found = Vec::new();
        let mut matches = 0;
        for held in self.history.by_actor_text(actor) {
            match seq {
                Some(seq) => found.extend(held.get(seq)),
                None => {
                    found.extend(held.first());
                    matches += held.len().saturating_sub(1);
                }
            }
        }
        if let Some(seq) = seq.filter(|_| found.is_empty()) {
            found.extend(self.history.issues_by_actor_text(actor, seq));
        }
        match (matches + found.len(), found.first()) {
            (1, Some(&message)) => Ok(self.history.dot(message)),
            (_, None) => Err(FindError::Missing),
            (matches, Some(_)) => Err(FindError::Ambiguous { matches }),
        }
    }

    /// A message as people read it; `own` are the keys whose messages count as own.
    pub fn log_entry(&self, dot: &Dot, own: &[PeerKey]) -> Option<LogEntry> {
        let ops = self.ops(self.history.find(dot)?).map(|op| op.shown()).collect();
        Some(LogEntry { ops, ..self.log_line(dot, own)? })
    }

    /// A message as people read it, without its ops.
    pub(super) fn log_line(&self, dot: &Dot, own: &[PeerKey]) -> Option<LogEntry> {
        let ix = self.history.find(dot)?;
        let message = self.history.message(ix);
        Some(LogEntry {
            id: *dot,
            lamport: message.lamport,
            time_ms: self.history.time_ms(ix),
            note: self.history.note(ix).map(str::to_owned),
            undone: self.history.is_undone(ix),
            own: own.contains(&dot.actor.key()),
            ops: Vec::new(),
        })
    }

    pub(super) fn ops(&self, message: MessageIx) -> impl Iterator<Item = Op> + '_ {
        self.history.ops_of(message).map(|op| self.op(op))
    }

    /// An op as it came.
    pub(super) fn op(&self, op: OpIx) -> Op {
        let held = self.history.op(op);
        Op {
            code: held.code,
            key: self.key(held.node).to_owned(),
            path: held.path.map(|path| self.history.paths.text(path.at()).to_owned()),
            value: held.value(),
            options: held.options(),
        }
    }

    pub(super) fn key(&self, node: NodeIx) -> &str {
        self.keys.text(node.at())
    }

    pub(super) fn live(&self, key: &str) -> Option<NodeIx> {
        self.keys.find(key).map(NodeIx::of).filter(|node| self.nodes[node.at()].life.is_alive())
    }

    /// All live nodes, in the order of their keys.
    pub(super) fn live_nodes(&self) -> impl Iterator<Item = NodeIx> + '_ {
        let nodes = self.keys.iter().map(|(_, number)| NodeIx::of(number));
        nodes.filter(|node| self.nodes[node.at()].life.is_alive())
    }

    pub(crate) fn tag_and_name(&self, node: NodeIx) -> (&str, &str) {
        match self.nodes[node.at()].life.birth() {
            None => (&self.root.tag, &self.root.name),
            Some(birth) => {
                let op = self.history.op(birth);
                (op.text("tag").unwrap_or(DEFAULT_TAG), op.text("name").unwrap_or(""))
            }
        }
    }

    fn describe(&self, node: NodeIx) -> Node {
        let record = &self.nodes[node.at()];
        let (tag, name) = self.tag_and_name(node);
        let mut properties = BTreeMap::new();
        for cell in record.cells().map(|cell| &self.cells[cell.at()]) {
            if let Some(value) = cell.value(&self.history) {
                properties.insert(self.history.paths.text(cell.path.at()).to_owned(), value);
            }
        }
        Node {
            key: self.key(node).to_owned(),
            tag: tag.to_owned(),
            name: name.to_owned(),
            parent: record.shown.map(|shown| self.key(shown.parent).to_owned()),
            children: record.children.iter().map(|node| self.key(node).to_owned()).collect(),
            properties,
        }
    }
}
