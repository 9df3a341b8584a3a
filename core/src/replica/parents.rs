//! Who is above whom, as a dense table: the way up is the tree's hottest path.

use super::index::NodeIx;
use super::node::NodeRecord;

/// Of each node the last parent, dead nodes included; none before the first insert, and for the root.
#[derive(Default)]
pub(super) struct Parents {
    above: Vec<Option<NodeIx>>,
    /// How many nodes each is the last parent of.
    below: Vec<u32>,
}

impl Parents {
    pub(super) fn of(&self, node: NodeIx) -> Option<NodeIx> {
        self.above.get(node.at()).copied().flatten()
    }

    pub(super) fn set(&mut self, node: NodeIx, parent: Option<NodeIx>) {
        let greatest = parent.map_or(node, |parent| node.max(parent));
        if greatest.at() >= self.above.len() {
            self.above.resize(greatest.at() + 1, None);
            self.below.resize(greatest.at() + 1, 0);
        }
        if let Some(old) = std::mem::replace(&mut self.above[node.at()], parent) {
            self.below[old.at()] -= 1;
        }
        if let Some(new) = parent {
            self.below[new.at()] += 1;
        }
    }

    /// Whether `node` is `ancestor` or below it, through dead nodes' last parents too. A key that was never inserted stands
    /// nowhere: the walk ends there, even where it is the ancestor itself.
    pub(super) fn is_under(&self, node: NodeIx, ancestor: NodeIx) -> bool {
        let has_below = self.below.get(ancestor.at()).is_some_and(|&below| below > 0);
        // Half of all nodes have nothing below them, and need no walk.
        (has_below || node == ancestor) && self.ancestors(node).any(|at| at == ancestor)
    }

    /// Of each of so many nodes whether it is one of `ends` or above one, keys that were never inserted included.
    pub(super) fn ways_up(&self, ends: [Option<NodeIx>; 2], nodes: usize) -> Vec<bool> {
        let mut above = vec![false; nodes];
        for end in ends {
            let mut next = end;
            while let Some(at) = next.filter(|at| !above[at.at()]) {
                above[at.at()] = true;
                next = self.of(at);
            }
        }
        above
    }

    /// The node and what is above it, up to the root or to a key that was never inserted.
    ///
    /// Nodes that waited for each other as parents form a hidden ring; Brent's algorithm ends the walk there, though some
    /// may be passed twice.
    pub(super) fn ancestors(&self, node: NodeIx) -> impl Iterator<Item = NodeIx> + '_ {
        let (mut landmark, mut steps, mut limit) = (node, 0_u64, 1_u64);
        let mut next = Some(node);
        std::iter::from_fn(move || {
            let at = next?;
            next = self.of(at);
            if next.is_none() && at != NodeRecord::ROOT {
                return None;
            }
            if next == Some(landmark) {
                next = None;
            }
            steps += 1;
            if steps == limit {
                (landmark, steps, limit) = (next.unwrap_or(at), 0, limit * 2);
            }
            Some(at)
        })
    }
}
