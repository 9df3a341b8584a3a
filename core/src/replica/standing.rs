//! Puts nodes where they stand: below their last parents, in order among their siblings.

use super::Engine;
use super::children::Spot;
use super::index::{NodeIx, OpIx};
use super::node::Shown;
use crate::place::Place;

impl Engine {
    /// Puts every node that may stand elsewhere where it stands.
    pub(super) fn stand_nodes(&mut self) {
        if let [node] = self.stale_nodes[..] {
            self.stale_nodes.clear();
            let shown = self.to_show(node);
            if self.nodes[node.at()].shown != shown {
                self.leave(node);
                self.show(node, shown);
                self.come(node);
            }
            return;
        }
        let mut stale = std::mem::take(&mut self.stale_nodes);
        stale.sort_unstable();
        stale.dedup();
        let moved = stale.into_iter().map(|node| (node, self.to_show(node)));
        let moved: Vec<(NodeIx, Option<Shown>)> =
            moved.filter(|(node, shown)| self.nodes[node.at()].shown != *shown).collect();
        // All leave before any comes: siblings are found by where they stand.
        moved.iter().for_each(|&(node, _)| self.leave(node));
        moved.iter().for_each(|&(node, shown)| self.show(node, shown));
        moved.iter().for_each(|&(node, _)| self.come(node));
    }

    /// Where a node stands. The tree is settled.
    fn to_show(&self, node: NodeIx) -> Option<Shown> {
        let is_effective = |op| self.verdicts.get(op).is_none();
        let gives_place = |op| self.places.contains_key(&op);
        let rough = |birth, placed_by: Option<OpIx>| {
            Place::rough(placed_by.and_then(|op| self.places.get(&op)), self.history.stamp(birth))
        };
        let parent = self.tree.parents().of(node);
        self.nodes[node.at()].stand(parent, &self.history, is_effective, gives_place, rough)
    }

    /// Takes a node from among its siblings.
    fn leave(&mut self, node: NodeIx) {
        if let Some(shown) = self.nodes[node.at()].shown {
            let spot = self.spot_among_siblings(node, shown);
            let gone = self.nodes[shown.parent.at()].children.remove(spot);
            debug_assert_eq!(gone, node);
            self.nodes_live -= 1;
        }
    }

    fn show(&mut self, node: NodeIx, shown: Option<Shown>) {
        let record = &mut self.nodes[node.at()];
        let before = std::mem::replace(&mut record.shown, shown);
        if !std::mem::replace(&mut record.is_changed, true) {
            self.changes.nodes.push((node, before));
        }
    }

    /// Puts a node among its siblings.
    fn come(&mut self, node: NodeIx) {
        if let Some(shown) = self.nodes[node.at()].shown {
            let spot = self.spot_among_siblings(node, shown);
            self.nodes[shown.parent.at()].children.insert(spot, node);
            self.nodes_live += 1;
        }
    }

    /// Where a node that is shown there stands, or belongs, among its siblings.
    pub(super) fn spot_among_siblings(&self, node: NodeIx, shown: Shown) -> Spot {
        let siblings = &self.nodes[shown.parent.at()].children;
        siblings.seek(shown.rough, |sibling| self.stands_before(sibling, node))
    }

    fn stands_before(&self, a: NodeIx, b: NodeIx) -> bool {
        let shown = |node: NodeIx| self.nodes[node.at()].shown.expect("only live nodes are siblings");
        let (x, y) = (shown(a), shown(b));
        match (x.placed_by, y.placed_by) {
            (None, None) => self.history.is_before(x.birth, y.birth),
            (Some(_), _) | (_, Some(_)) => Place::compare(self.rank(a), self.rank(b)).is_lt(),
        }
    }
}
