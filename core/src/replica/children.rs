//! The live nodes below one, in order; in chunks, so that a place among very many costs little more than among a few.

use super::index::NodeIx;

/// Nodes in one chunk: to shift one costs less than to find its place.
const CHUNK_NODES_MAX: usize = 512;

/// Nodes in an order that who asks brings along, each with a number that tells it roughly: see [`Place::rough`](crate::place::Place).
#[derive(Clone, Default)]
pub(crate) struct Children {
    /// Empty only if there are no others. Nearly all nodes have no more below them than this.
    first: Vec<Child>,
    /// None is empty.
    others: Vec<Vec<Child>>,
}

#[derive(Clone, Copy)]
struct Child {
    rough: u64,
    node: NodeIx,
}

/// Where a node stands in such a list, or would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    chunk: usize,
    offset: usize,
    rough: u64,
}

impl Children {
    pub(crate) fn len(&self) -> usize {
        self.chunks().map(Vec::len).sum()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = NodeIx> + '_ {
        self.chunks().flatten().map(|child| child.node)
    }

    fn chunks(&self) -> impl DoubleEndedIterator<Item = &Vec<Child>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn chunk_mut(&mut self, at: usize) -> &mut Vec<Child> {
        match at.checked_sub(1) {
            None => &mut self.first,
            Some(other) => &mut self.others[other],
        }
    }

    /// The node at that index.
    pub(crate) fn get(&self, mut index: usize) -> Option<NodeIx> {
        for chunk in self.chunks() {
            match chunk.get(index) {
                Some(child) => return Some(child.node),
                None => index -= chunk.len(),
            }
        }
        None
    }

    /// The spot of the first node that does not come before the one sought, or the end. Of those with the rough number of the
    /// one sought, `is_before` says whether they come before it.
    pub(crate) fn seek(&self, rough: u64, is_before: impl Fn(NodeIx) -> bool) -> Spot {
        let is_before =
            |child: &Child| child.rough < rough || (child.rough == rough && is_before(child.node));
        let is_passed = |chunk: &Vec<Child>| chunk.last().is_none_or(is_before);
        let last = self.others.last().unwrap_or(&self.first);
        // Most nodes come last.
        let (chunk, offset) = if is_passed(last) {
            (self.others.len(), last.len())
        } else if self.others.is_empty() || !is_passed(&self.first) {
            (0, self.first.partition_point(is_before))
        } else {
            let other = self.others.partition_point(is_passed);
            (other + 1, self.others[other].partition_point(is_before))
        };
        Spot { chunk, offset, rough }
    }

    /// The node before a spot.
    pub(crate) fn before(&self, spot: Spot) -> Option<NodeIx> {
        let in_chunk = |chunk: usize| match chunk.checked_sub(1) {
            None => &self.first,
            Some(other) => &self.others[other],
        };
        let before = match spot.offset.checked_sub(1) {
            Some(offset) => in_chunk(spot.chunk).get(offset),
            None => in_chunk(spot.chunk.checked_sub(1)?).last(),
        };
        before.map(|child| child.node)
    }

    /// How many nodes stand before a spot.
    pub(crate) fn index(&self, spot: Spot) -> usize {
        self.chunks().take(spot.chunk).map(Vec::len).sum::<usize>() + spot.offset
    }

    pub(crate) fn insert(&mut self, spot: Spot, node: NodeIx) {
        let Spot { chunk: at, offset, rough } = spot;
        let child = Child { rough, node };
        let is_last = at == self.others.len();
        let chunk = self.chunk_mut(at);
        if chunk.len() < CHUNK_NODES_MAX {
            chunk.insert(offset, child);
        } else if is_last && offset == chunk.len() {
            self.others.push(vec![child]);
        } else {
            let half = CHUNK_NODES_MAX / 2;
            let mut second = chunk.split_off(half);
            match offset.checked_sub(half) {
                Some(offset) => second.insert(offset, child),
                None => chunk.insert(offset, child),
            }
            self.others.insert(at, second);
        }
    }

    pub(crate) fn remove(&mut self, spot: Spot) -> NodeIx {
        let chunk = self.chunk_mut(spot.chunk);
        let Child { node, .. } = chunk.remove(spot.offset);
        if chunk.is_empty() {
            match spot.chunk.checked_sub(1) {
                Some(other) => drop(self.others.remove(other)),
                None if self.others.is_empty() => {}
                None => self.first = self.others.remove(0),
            }
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_one_sorted_list_whatever_comes_and_goes() {
        let mut children = Children::default();
        let mut plain: Vec<NodeIx> = Vec::new();
        let mut number = 7_usize;
        for step in 0..20_000 {
            number = (number * 1_103_515_245 + 12_345) % (1 << 31);
            let node = NodeIx::of(if step < 2_000 { step } else { number % 4_096 });
            let spot = children.seek(node.at() as u64 / 3, |other| other < node);
            let at = plain.partition_point(|&other| other < node);
            assert_eq!(children.index(spot), at);
            assert_eq!(children.before(spot), at.checked_sub(1).map(|before| plain[before]));
            if plain.get(at) == Some(&node) {
                assert_eq!(children.remove(spot), plain.remove(at));
            } else {
                children.insert(spot, node);
                plain.insert(at, node);
            }
            assert_eq!((children.len(), children.get(at)), (plain.len(), plain.get(at).copied()));
            if step % 1_000 == 0 || step + 1 == 20_000 {
                assert_eq!(children.iter().collect::<Vec<_>>(), plain);
            }
        }
        for node in plain.drain(..).rev() {
            let spot = children.seek(node.at() as u64 / 3, |other| other < node);
            assert_eq!(children.remove(spot), node);
        }
        assert_eq!((children.len(), children.get(0)), (0, None));
    }
}
