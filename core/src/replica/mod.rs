//! One copy of a room: state as a pure function of the set of messages held (DESIGN §3).
//!
//! Messages may come in any order and more than once; each costs about what it changes. Everything kept here besides the
//! messages is a cache of the fold that [`crate::naive`] spells out, and is settled whenever a call returns. The layers only
//! look downwards: masks decide which ops count, lives when nodes are alive, the tree and the cells build on both.

mod blame;
mod cell;
mod changes;
mod children;
mod cold;
mod columns;
mod current;
mod entries;
mod few;
mod form;
mod ground;
mod held;
mod history;
mod horizon;
mod index;
mod late;
mod life;
mod mask;
mod members;
mod node;
mod parents;
mod past;
mod read;
mod rights;
mod runs;
mod script;
mod siblings;
mod snapshot;
mod standing;
mod tree;
mod verdicts;
mod writing;

pub(crate) use children::{Children, Spot};
pub use form::Replica;
pub(crate) use index::{CellIx, NodeIx};
pub use read::FindError;
pub use snapshot::{SnapshotError, Stretch};
pub(crate) use writing::{Characters, Shows};

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ground::Ground;
use crate::id::Dot;
use crate::members::Charter;
use crate::message::Message;
use crate::op::text::Anchors;
use crate::op::{Kind, Named, NoEffect, OpView};
use crate::place::Place;
use crate::raw::Raw;
use crate::scene::Root;
use crate::view::MessageView;
use cell::{Cell, Entrant, Outcome};
use changes::Changes;
use held::{HeldOp, Subject};
use history::History;
use index::{ActorIx, MessageIx, OpIx, PathIx, Texts};
use life::{Era, Turned};
use mask::{Registers, Requests};
use node::NodeRecord;
use rights::Rights;
use tree::Tree;
use verdicts::Verdicts;

/// A replica that has its history at hand: what a [`Replica`] is once somebody asks for more than its snapshot says.
pub struct Engine {
    root: Root,
    /// What it stands on.
    ground: Arc<Ground>,
    history: History,
    verdicts: Verdicts,
    registers: Registers,
    requests: Requests,
    rights: Rights,
    /// The keys of nodes; the root's is the first.
    keys: Texts,
    nodes: Vec<NodeRecord>,
    nodes_live: usize,
    cells: Vec<Cell>,
    tree: Tree,
    /// The places that ops give.
    places: BTreeMap<OpIx, Place>,
    changes: Changes,
    /// The property that an op worked on last.
    last_cell: CellIx,
    /// Cells to fold anew before the next read.
    stale_cells: Vec<CellIx>,
    /// Nodes that may stand elsewhere before the next read.
    stale_nodes: Vec<NodeIx>,
    /// Whether messages came in an order in which their names meant something else.
    is_disordered: bool,
}

impl Engine {
    /// A room nobody has written to yet.
    pub fn new(root: Root) -> Self {
        let mut keys = Texts::default();
        let number = keys.number(&root.key);
        debug_assert_eq!(number, NodeRecord::ROOT.at());
        Self {
            rights: Rights::new(&Charter::begin(root.founder)),
            root,
            ground: Arc::default(),
            history: History::default(),
            verdicts: Verdicts::default(),
            registers: Registers::default(),
            requests: Requests::default(),
            keys,
            nodes: vec![NodeRecord::root()],
            nodes_live: 1,
            cells: Vec::new(),
            tree: Tree::default(),
            places: BTreeMap::new(),
            changes: Changes::default(),
            last_cell: CellIx(0),
            stale_cells: Vec::new(),
            stale_nodes: Vec::new(),
            is_disordered: false,
        }
    }

    /// Takes in a message, in any order. Says whether it is new.
    ///
    /// Clocks may be advances if each actor's messages come in their order, and must be whole otherwise. Whether the
    /// message may count at all is for admission to say, before.
    pub fn apply(&mut self, message: &Message) -> bool {
        MessageView::with(message, |view| self.apply_view(view))
    }

    /// Takes in a message as [`Engine::apply`] does, from where it was read.
    pub fn apply_view(&mut self, message: &MessageView<'_>) -> bool {
        let is_new = self.take_in(message);
        self.settle();
        is_new
    }

    /// Takes in many messages and settles once: late ones then cost one replay of the tree together. Says how many are new.
    pub fn apply_all<'a>(&mut self, messages: impl IntoIterator<Item = &'a Message>) -> usize {
        let messages = messages.into_iter();
        let count = messages.filter(|message| MessageView::with(message, |view| self.take_in(view))).count();
        self.settle();
        count
    }

    /// Takes in many messages as [`Engine::apply_all`] does, from where they were read. Each is looked at as it comes, so they
    /// may be read one by one.
    pub fn apply_views<'a>(
        &mut self,
        messages: impl IntoIterator<Item = impl Borrow<MessageView<'a>>>,
    ) -> usize {
        let count = messages.into_iter().filter(|message| self.take_in(message.borrow())).count();
        self.settle();
        count
    }

    fn take_in(&mut self, message: &MessageView<'_>) -> bool {
        let Some(ix) = self.history.push(message) else { return false };
        let issue = self.history.issue(ix, message.origin());
        for op in message.ops() {
            self.push_op(ix, op);
        }
        let repeated = self.mask_new(ix, message.request, issue);
        self.judge_author(ix);
        let actor = self.history.message(ix).actor;
        // A message that was another named characters as that one.
        let is_again = self.history.is_again(ix);
        for (op, view) in self.history.ops_of(ix).zip(message.ops()) {
            let anchors = view.anchors().filter(|_| !is_again);
            self.enter(op, actor, anchors);
        }
        self.mask_others(ix, repeated);
        true
    }

    /// Gives an op its numbers.
    fn push_op(&mut self, message: MessageIx, op: &OpView<'_>) {
        let kind = op.resolve().ok().map(|row| row.kind);
        let known = op.known.and_then(|known| known.named).and_then(|named| self.named(op.key, named));
        let property = op.path.filter(|_| kind.is_some_and(Kind::is_property));
        let property = property.map(|path| Subject::Cell(self.property(op, path)));
        if let Some(subject) = property.or(known) {
            self.history.push_op(message, op.code, subject, [op.value, op.options]);
            return;
        }
        let node = self.node_number(op.key);
        let path = op.path.map(|path| PathIx::of(self.history.paths.number(path)));
        let subject = match (kind, path) {
            (Some(Kind::Insert | Kind::Move), _) => {
                let parent = op.options.get("parent").and_then(Raw::as_text);
                Subject::Standing { node, parent: parent.map(|key| self.node_number(key)) }
            }
            (Some(Kind::Undo | Kind::Redo | Kind::Origin), _) => {
                let target = op.options.get("target").or_else(|| op.options.get("of")).and_then(Raw::as_text);
                let target = target.and_then(|text| text.parse::<Dot>().ok());
                let Dot { actor, seq } = target.expect("the row's check has read it");
                Subject::Message { node, actor: self.history.actor(actor), seq }
            }
            (Some(Kind::Remove | Kind::Horizon | Kind::Rule(_)), _) => Subject::Node(node),
            (_, path) => Subject::Void { code: op.code, node, path },
        };
        let is_standing = matches!(subject, Subject::Standing { .. });
        let ix = self.history.push_op(message, op.code, subject, [op.value, op.options]);
        if !is_standing {
            return;
        }
        let stamp = self.history.first_stamp(ix);
        let given = op.options.get("place").and_then(|place| Place::read(&place.decode(), stamp));
        let is_first = matches!(kind, Some(Kind::Insert)) && self.history.is_again(message);
        self.places.extend(given.or_else(|| is_first.then(|| Place::at(stamp))).map(|place| (ix, place)));
    }

    /// The property of that path that an op works on: mostly the one its author found, or that of the op before, or one of the
    /// same path.
    fn property(&mut self, op: &OpView<'_>, path: &str) -> CellIx {
        let known = op.known.and_then(|known| known.cell).unwrap_or(self.last_cell);
        let same = self.cells.get(known.at()).map(|cell| (cell.node, cell.path));
        let same = same.filter(|(_, known)| self.history.paths.text(known.at()) == path);
        self.last_cell = match same {
            Some((node, _)) if self.keys.text(node.at()) == op.key => known,
            _ => {
                let node = self.node_number(op.key);
                let known = same.map(|(_, path)| path);
                let path = known.unwrap_or_else(|| PathIx::of(self.history.paths.number(path)));
                self.cell_number(node, path)
            }
        };
        self.last_cell
    }

    /// What an op is about whose author found out.
    fn named(&mut self, key: &str, named: Named<'_>) -> Option<Subject> {
        match named {
            Named::Anchors(_) => None,
            Named::Nodes { node, parent } => Some(Subject::Standing {
                node: self.node_known(node, key),
                parent: parent.map(|(key, parent)| self.node_known(Some(parent), key)),
            }),
            Named::Message(Dot { actor, seq }) => {
                let actor = self.history.actor(actor);
                Some(Subject::Message { node: self.node_number(key), actor, seq })
            }
        }
    }

    /// The number of a key that may be the one `known`.
    fn node_known(&mut self, known: Option<NodeIx>, key: &str) -> NodeIx {
        let is_it = |node: &NodeIx| self.key_of(*node) == Some(key);
        known.filter(is_it).unwrap_or_else(|| self.node_number(key))
    }

    fn node_number(&mut self, key: &str) -> NodeIx {
        let ix = NodeIx::of(self.keys.number(key));
        if ix.at() == self.nodes.len() {
            self.nodes.push(NodeRecord::default());
        }
        ix
    }

    fn cell_number(&mut self, node: NodeIx, path: PathIx) -> CellIx {
        if let Some(cell) = self.nodes[node.at()].cell(path) {
            return cell;
        }
        let ix = self.history.push_cell(node, path);
        self.cells.push(Cell::new(node, path));
        self.nodes[node.at()].add_cell(path, ix);
        ix
    }

    /// Puts a new op of an actor where it belongs, and lets it take effect if it counts. Who read it may know its anchors.
    fn enter(&mut self, op: OpIx, actor: ActorIx, anchors: Option<&Anchors>) {
        match self.history.kind(op) {
            None => self.judge_void(op),
            Some(
                kind @ (Kind::Reset(_)
                | Kind::Step(_)
                | Kind::Sum(..)
                | Kind::List(_)
                | Kind::Write(..)
                | Kind::Append(_)
                | Kind::Member(_)
                | Kind::Entries(_)),
            ) => self.enter_property(op, kind, actor, anchors),
            Some(Kind::Insert) => self.enter_insert(op, actor),
            Some(Kind::Remove) => self.enter_life(op),
            Some(Kind::Move) => self.enter_move(op),
            Some(Kind::Undo | Kind::Redo) => self.enter_meta(op),
            Some(Kind::Horizon) => {}
            Some(Kind::Origin) => self.judge_origin(op),
            Some(Kind::Rule(_)) => self.enter_rule(op),
        }
    }

    /// An op that can have no effect whatever the scene is.
    fn judge_void(&mut self, op: OpIx) {
        let verdict = match self.history.is_masked(op) {
            true => Ok(()),
            false => self.op(op).resolve().map(|_| ()),
        };
        self.verdicts.set(op, verdict);
    }

    fn enter_property(&mut self, op: OpIx, kind: Kind, actor: ActorIx, anchors: Option<&Anchors>) {
        let cell = self.history.cell(op);
        let life = &self.nodes[self.cells[cell.at()].node.at()].life;
        let era = if self.history.is_masked(op) { None } else { Some(life.era(op, &self.history)) };
        if era == Some(Era::Dead) {
            self.verdicts.set(op, Err(NoEffect::NodeMissing));
        }
        self.enter_cell(Entrant { op, kind, actor, anchors, counts: era == Some(Era::Current) }, cell);
    }

    /// Puts a reset or a step into its cell. What the node's life says about it is known.
    fn enter_cell(&mut self, entrant: Entrant<'_>, ix: CellIx) {
        let cell = &mut self.cells[ix.at()];
        let was_changed = cell.is_changed;
        let life = &self.nodes[cell.node.at()].life;
        match cell.enter(entrant, life, &self.history, &mut self.verdicts) {
            Outcome::Same => {}
            Outcome::Changed if was_changed => {}
            Outcome::Changed => self.changes.cells.push(ix),
            Outcome::Stale => self.mark_cell(ix),
        }
    }

    fn enter_insert(&mut self, op: OpIx, actor: ActorIx) {
        let held = self.history.op(op);
        let (node, parent) = (held.node, held.parent);
        let record = &mut self.nodes[node.at()];
        record.inserts += 1;
        record.named += u32::from(record.inserts > 1);
        if let Some(parent) = parent {
            self.nodes[parent.at()].named += 1;
        }
        self.enter_life(op);
        let counts = self.verdicts.get(op).is_none()
            && !self.history.is_masked(op)
            && self.nodes[node.at()].life.era(op, &self.history) == Era::Current;
        for cell in self.initial_cells(op) {
            self.enter_cell(Entrant { op, kind: Kind::Insert, actor, anchors: None, counts }, cell);
        }
    }

    /// The cells of an insert's initial properties.
    fn initial_cells(&mut self, op: OpIx) -> Vec<CellIx> {
        let held = self.history.op(op);
        let node = held.node;
        let names: Vec<String> = held.raw.entries().map(|(name, _)| name.to_owned()).collect();
        let paths: Vec<PathIx> =
            names.iter().map(|name| PathIx::of(self.history.paths.number(name))).collect();
        paths.into_iter().map(|path| self.cell_number(node, path)).collect()
    }

    fn enter_life(&mut self, op: OpIx) {
        let node = self.history.op(op).node;
        let turned = self.nodes[node.at()].life.enter(op, &self.history, &mut self.verdicts);
        self.follow_life(node, turned);
    }

    /// Lets everything that depends on a node's lives know that they changed.
    fn follow_life(&mut self, node: NodeIx, turned: Option<Turned>) {
        let Some(Turned { from, births }) = turned else { return };
        let record = &self.nodes[node.at()];
        for &op in births.iter() {
            self.tree.touch(op);
        }
        if record.moves > 0 {
            self.tree.doubt(from, &self.history);
        }
        let first = self.history.place_in(&record.placings, from);
        let placings = record.placings[first..].to_vec();
        let cells: Vec<CellIx> = record.cells().collect();
        for cell in cells {
            let life = &self.nodes[node.at()].life;
            self.cells[cell.at()].judge_from(from, life, &self.history, &mut self.verdicts);
            self.mark_cell(cell);
        }
        for op in placings {
            self.judge_reorder(op);
        }
        self.stale_nodes.push(node);
    }

    fn enter_move(&mut self, op: OpIx) {
        let HeldOp { node, parent, .. } = self.history.op(op);
        if let Some(parent) = parent {
            for named in [node, parent] {
                self.nodes[named.at()].named += 1;
                self.nodes[named.at()].moves += 1;
            }
        }
        if self.places.contains_key(&op) {
            let placings = &mut self.nodes[node.at()].placings;
            let at = self.history.place_in(placings, op);
            placings.insert(at, op);
        }
        self.note_move(op, node, parent);
    }

    /// Lets the tree know that a move may have begun or ceased to count.
    fn follow_move(&mut self, op: OpIx) {
        let held = self.history.op(op);
        self.note_move(op, held.node, held.parent);
    }

    fn note_move(&mut self, op: OpIx, node: NodeIx, parent: Option<NodeIx>) {
        match parent {
            // The tree judges it when it settles: undone and redone in between, it stays as it was.
            Some(_) => self.tree.touch(op),
            None => self.judge_reorder(op),
        }
        self.stale_nodes.push(node);
    }

    /// Judges a move that names no parent: it needs no place in the tree's log.
    fn judge_reorder(&mut self, op: OpIx) {
        let held = self.history.op(op);
        if held.parent.is_some() {
            return;
        }
        let life = &self.nodes[held.node.at()].life;
        let verdict = if self.history.is_masked(op) {
            Ok(())
        } else if life.is_root() {
            Err(NoEffect::RootFixed)
        } else if life.era(op, &self.history) == Era::Dead {
            Err(NoEffect::NodeMissing)
        } else {
            Ok(())
        };
        self.verdicts.set(op, verdict);
    }

    fn mark_cell(&mut self, ix: CellIx) {
        let cell = &mut self.cells[ix.at()];
        if !cell.is_stale {
            cell.is_stale = true;
            self.stale_cells.push(ix);
        }
    }

    /// Brings every cache up to date.
    fn settle(&mut self) {
        if std::mem::take(&mut self.is_disordered) {
            return self.apply_anew();
        }
        self.judge_rules();
        for ix in self.stale_cells.drain(..) {
            let cell = &mut self.cells[ix.at()];
            if !cell.is_changed {
                self.changes.cells.push(ix);
            }
            cell.refold(&self.nodes[cell.node.at()].life, &self.history, &mut self.verdicts);
        }
        let moved = self.tree.settle(&self.nodes, &self.history, &mut self.verdicts);
        self.stale_nodes.extend(moved);
        self.stand_nodes();
    }
}
