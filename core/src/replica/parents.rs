//! Who is above whom, as a dense table: the way up is the tree's hottest path.

use super::index::NodeIx;
use super::node::NodeRecord;

/// Of each node the last parent, dead nodes included; none before the first insert, and for the root. And the other way: what
/// hangs below each, in no order.
#[derive(Default)]
pub(super) struct Parents(Vec<Links>);

/// A node's neighbours in the forest.
#[derive(Clone, Copy, Default)]
struct Links {
    above: Link,
    /// The first below it.
    below: Link,
    /// Its neighbours among those below the same node.
    before: Link,
    after: Link,
}

/// A node, or none; smaller than an option of one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link(u32);

impl Default for Link {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<NodeIx> for Link {
    fn from(node: NodeIx) -> Self {
        Self(node.0)
    }
}

impl Link {
    const NONE: Self = Self(u32::MAX);

    fn node(self) -> Option<NodeIx> {
        (self != Self::NONE).then_some(NodeIx(self.0))
    }
}

impl Parents {
    pub(super) fn of(&self, node: NodeIx) -> Option<NodeIx> {
        self.links(node).above.node()
    }

    fn links(&self, node: NodeIx) -> Links {
        self.0.get(node.at()).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, node: NodeIx, parent: Option<NodeIx>) {
        let greatest = parent.map_or(node, |parent| node.max(parent));
        if greatest.at() >= self.0.len() {
            self.0.resize(greatest.at() + 1, Links::default());
        }
        let Links { above, before, after, .. } = self.0[node.at()];
        match (before.node(), above.node()) {
            (Some(before), _) => self.0[before.at()].after = after,
            (None, Some(above)) => self.0[above.at()].below = after,
            (None, None) => {}
        }
        if let Some(after) = after.node() {
            self.0[after.at()].before = before;
        }
        let next = parent
            .map_or(Link::NONE, |parent| std::mem::replace(&mut self.0[parent.at()].below, node.into()));
        if let Some(next) = next.node() {
            self.0[next.at()].before = node.into();
        }
        let links = &mut self.0[node.at()];
        (links.above, links.before, links.after) = (parent.map_or(Link::NONE, Link::from), Link::NONE, next);
    }

    /// Whether `node` is `ancestor` or below it, through dead nodes' last parents too. A key that was never inserted stands
    /// nowhere: the walk ends there, even where it is the ancestor itself.
    ///
    /// Walks up from the one and through all below the other by turns, and ends with whichever ends first: most nodes have
    /// few below them, and what has many stands high. Nodes that waited for each other as parents form a hidden ring; the
    /// way down passes each but once.
    pub(super) fn is_under(&self, node: NodeIx, ancestor: NodeIx) -> bool {
        if self.of(ancestor).is_none() && ancestor != NodeRecord::ROOT {
            return false;
        }
        let (mut up, mut down) = (node, ancestor);
        loop {
            if up == ancestor || down == node {
                return true;
            }
            let (Some(above), Some(next)) = (self.of(up), self.next_below(down, ancestor)) else {
                return false;
            };
            (up, down) = (above, next);
        }
    }

    /// What comes after `at` on a walk through all below `top`.
    fn next_below(&self, mut at: NodeIx, top: NodeIx) -> Option<NodeIx> {
        // Always one of those right below `at`.
        let mut next = self.links(at).below;
        loop {
            match next.node() {
                // Below itself it stands in a ring only.
                Some(node) if node == top => next = self.links(node).after,
                Some(node) => return Some(node),
                None if at == top => return None,
                None => {
                    let Links { above, after, .. } = self.links(at);
                    (at, next) = (above.node()?, after);
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Any forest, with rings and with keys that were never inserted, compared with the plain walk up.
    #[test]
    fn the_walk_from_both_ends_finds_what_the_walk_up_finds() {
        let mut number = 5_u64;
        let mut below = |limit: u64| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((number >> 33) % limit).unwrap()
        };
        for nodes in [2, 3, 5, 12] {
            let mut parents = Parents::default();
            for step in 0..400 {
                let (node, parent) = (NodeIx::of(1 + below(nodes - 1)), NodeIx::of(below(nodes)));
                if node != parent {
                    parents.set(node, (step % 5 != 0).then_some(parent));
                }
                for node in 0..nodes as usize {
                    for ancestor in (0..nodes as usize).map(NodeIx::of) {
                        let node = NodeIx::of(node);
                        let expected = parents.ancestors(node).any(|at| at == ancestor);
                        assert_eq!(parents.is_under(node, ancestor), expected, "{node:?}, {ancestor:?}");
                    }
                }
            }
        }
    }
}
