//! Nodes by their numbers, and where they stand among their siblings, for those who want to put one in between.

use super::Engine;
use super::children::Children;
use super::index::NodeIx;
use crate::clock::Stamp;
use crate::op::Standing;
use crate::place::Place;

impl Engine {
    /// The number of a key that was ever named.
    pub(crate) fn number(&self, key: &str) -> Option<NodeIx> {
        self.keys.find(key).map(NodeIx::of)
    }

    /// The key of a number, if that is one of this replica.
    pub(crate) fn key_of(&self, node: NodeIx) -> Option<&str> {
        (node.at() < self.nodes.len()).then(|| self.key(node))
    }

    /// The number that the next new key gets.
    pub(crate) fn next_number(&self) -> NodeIx {
        NodeIx::of(self.nodes.len())
    }

    pub(crate) fn is_live_node(&self, node: NodeIx) -> bool {
        self.nodes.get(node.at()).is_some_and(|record| record.life.is_alive())
    }

    /// The last parent of a node, dead nodes included.
    pub(crate) fn last_parent(&self, node: NodeIx) -> Option<NodeIx> {
        self.tree.parents().of(node)
    }

    /// Whether a live node is another or below it, through dead nodes' last parents too.
    pub(crate) fn is_under(&self, node: NodeIx, ancestor: NodeIx) -> bool {
        self.tree.parents().is_under(node, ancestor)
    }

    /// Where a live node stands; nothing for the root.
    pub(crate) fn standing(&self, node: NodeIx) -> Option<Standing> {
        let shown = self.nodes.get(node.at())?.shown?;
        let (place, birth) = self.rank(node);
        Some(Standing { parent: shown.parent, place: place.cloned(), birth, is_live: true })
    }

    /// What a live node that is not the root is sorted by among its siblings; without a place, the stamp alone.
    pub(crate) fn rank(&self, node: NodeIx) -> (Option<&Place>, Stamp) {
        let shown = self.nodes[node.at()].shown.expect("only live nodes are siblings");
        (shown.placed_by.and_then(|op| self.places.get(&op)), self.history.stamp(shown.birth))
    }

    /// The live nodes below one.
    pub(crate) fn children(&self, parent: NodeIx) -> Option<&Children> {
        self.nodes.get(parent.at()).map(|record| &record.children)
    }
}
