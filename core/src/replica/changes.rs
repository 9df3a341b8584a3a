//! What the scene shows differently since somebody last asked.
//!
//! A subscriber that does what the changes say to the scene it read before has the scene as it is. Nodes that hang hidden
//! below a removed one are no part of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::children::{Children, Spot};
use super::index::{CellIx, NodeIx};
use super::node::{NodeRecord, Shown};
use crate::api::Change;

/// What may show differently.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) cells: Vec<CellIx>,
    /// Nodes that stand elsewhere, with where they stood before.
    pub(super) nodes: Vec<(NodeIx, Option<Shown>)>,
}

impl Engine {
    /// What the scene shows differently since this was last called: nodes, parents before children, then nodes that are
    /// gone (with all that is still below them), then properties. A property may be told that has the value it had.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let changes = std::mem::take(&mut self.changes);
        let moved: BTreeMap<NodeIx, Option<Shown>> = changes.nodes.into_iter().collect();
        let mut told = BTreeSet::new();
        let mut entered = BTreeSet::new();
        let mut removed = Vec::new();
        for (&node, before) in &moved {
            self.nodes[node.at()].is_changed = false;
            if !self.is_reachable(node) {
                removed.extend(before.map(|_| node));
                continue;
            }
            told.insert(node);
            if !before.is_some_and(|before| self.was_reachable(before.parent, &moved)) {
                entered.extend(self.subtree(node));
            }
        }
        told.extend(&entered);
        let mut list = self.tell_nodes(&told);
        list.extend(removed.into_iter().map(|node| Change::Removed { key: self.key(node).to_owned() }));
        self.tell_properties(changes.cells, &entered, &mut list);
        list
    }

    /// Forgets what changed: nobody who wants to know has read the scene yet.
    pub fn drop_changes(&mut self) {
        for ix in self.changes.cells.drain(..) {
            self.cells[ix.at()].is_changed = false;
        }
        for (node, _) in self.changes.nodes.drain(..) {
            self.nodes[node.at()].is_changed = false;
        }
    }

    /// Whether a node certainly was part of the scene: it is, and nothing on the way up to the root has moved.
    fn was_reachable(&self, node: NodeIx, moved: &BTreeMap<NodeIx, Option<Shown>>) -> bool {
        self.is_reachable(node)
            && self.tree.parents().ancestors(node).all(|above| !moved.contains_key(&above))
    }

    /// A node that is part of the scene, and everything below it.
    fn subtree(&self, node: NodeIx) -> Vec<NodeIx> {
        let mut nodes = vec![node];
        let mut next = 0;
        while let Some(&node) = nodes.get(next) {
            nodes.extend(self.nodes[node.at()].children.iter());
            next += 1;
        }
        nodes
    }

    /// Tells nodes, each after its parent and after the siblings before it, if those are told too.
    fn tell_nodes(&self, nodes: &BTreeSet<NodeIx>) -> Vec<Change> {
        let mut families: BTreeMap<Option<NodeIx>, Vec<(usize, NodeIx)>> = BTreeMap::new();
        for &node in nodes {
            let place = self.spot_of(node).map_or(0, |(siblings, spot)| siblings.index(spot));
            let parent = self.nodes[node.at()].shown.map(|shown| shown.parent);
            families.entry(parent).or_default().push((place, node));
        }
        let is_told = |parent: &Option<NodeIx>| parent.is_some_and(|parent| nodes.contains(&parent));
        let mut next: Vec<Option<NodeIx>> =
            families.keys().filter(|parent| !is_told(parent)).copied().collect();
        let mut list = Vec::with_capacity(nodes.len());
        while let Some(parent) = next.pop() {
            let Some(mut family) = families.remove(&parent) else { continue };
            family.sort_unstable();
            list.extend(family.iter().map(|&(_, node)| self.tell_node(node)));
            next.extend(family.into_iter().map(|(_, node)| Some(node)));
        }
        list
    }

    fn tell_node(&self, node: NodeIx) -> Change {
        let (tag, name) = self.tag_and_name(node);
        let key = |node: NodeIx| self.key(node).to_owned();
        let parent = self.nodes[node.at()].shown.map(|shown| key(shown.parent));
        let after = self.spot_of(node).and_then(|(siblings, spot)| siblings.before(spot)).map(key);
        Change::Node { key: key(node), tag: tag.to_owned(), name: name.to_owned(), parent, after }
    }

    /// Where a node stands among its siblings; nothing for the root.
    fn spot_of(&self, node: NodeIx) -> Option<(&Children, Spot)> {
        let shown = self.nodes[node.at()].shown?;
        let siblings = &self.nodes[shown.parent.at()].children;
        Some((siblings, self.spot_among_siblings(node, shown)))
    }

    /// Tells the properties that changed, and all of the nodes that came into the scene.
    fn tell_properties(&mut self, cells: Vec<CellIx>, entered: &BTreeSet<NodeIx>, list: &mut Vec<Change>) {
        let mut told: BTreeSet<CellIx> = BTreeSet::new();
        for ix in cells {
            self.cells[ix.at()].is_changed = false;
            if self.is_reachable(self.cells[ix.at()].node) {
                told.insert(ix);
            }
        }
        for &node in entered {
            told.extend(self.nodes[node.at()].cells());
        }
        for ix in told {
            let cell = &self.cells[ix.at()];
            list.push(Change::Property {
                key: self.key(cell.node).to_owned(),
                path: self.history.paths.text(cell.path.at()).to_owned(),
                value: cell.value(&self.history),
            });
        }
    }

    /// Whether a node is part of the scene: alive, and below the root by live nodes only.
    pub(super) fn is_reachable(&self, node: NodeIx) -> bool {
        let mut reached = false;
        let live = |at: NodeIx| self.nodes[at.at()].life.is_alive();
        let all_live =
            self.tree.parents().ancestors(node).inspect(|&at| reached |= at == NodeRecord::ROOT).all(live);
        all_live && reached
    }
}
