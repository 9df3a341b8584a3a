//! The live nodes below one, in order; in chunks, so that a place among very many costs little more than among a few.

use super::index::NodeIx;

/// Nodes in one chunk: to shift one costs less than to find its place.
const CHUNK_NODES_MAX: usize = 512;

/// Nodes in an order that who asks brings along.
#[derive(Clone, Default)]
pub(crate) struct Children {
    /// Empty only if there are no others. Nearly all nodes have no more below them than this.
    first: Vec<NodeIx>,
    /// None is empty.
    others: Vec<Vec<NodeIx>>,
}

/// Where a node stands in such a list, or would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    chunk: usize,
    offset: usize,
}

impl Children {
    pub(crate) fn len(&self) -> usize {
        self.chunks().map(Vec::len).sum()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = NodeIx> + '_ {
        self.chunks().flatten().copied()
    }

    fn chunks(&self) -> impl DoubleEndedIterator<Item = &Vec<NodeIx>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn chunk_mut(&mut self, at: usize) -> &mut Vec<NodeIx> {
        match at.checked_sub(1) {
            None => &mut self.first,
            Some(other) => &mut self.others[other],
        }
    }

    /// The node at that index.
    pub(crate) fn get(&self, mut index: usize) -> Option<NodeIx> {
        for chunk in self.chunks() {
            match chunk.get(index) {
                Some(&node) => return Some(node),
                None => index -= chunk.len(),
            }
        }
        None
    }

    /// The spot of the first node that does not come before the one sought, or the end.
    pub(crate) fn seek(&self, mut is_before: impl FnMut(NodeIx) -> bool) -> Spot {
        let last = self.others.last().unwrap_or(&self.first);
        // Most nodes come last.
        if last.last().is_none_or(|&last| is_before(last)) {
            return Spot { chunk: self.others.len(), offset: last.len() };
        }
        let mut is_passed = |chunk: &Vec<NodeIx>| chunk.last().is_some_and(|&last| is_before(last));
        let (chunk, nodes) = match self.others.is_empty() || !is_passed(&self.first) {
            true => (0, &self.first),
            false => {
                let other = self.others.partition_point(is_passed);
                (other + 1, &self.others[other])
            }
        };
        Spot { chunk, offset: nodes.partition_point(|&node| is_before(node)) }
    }

    /// How many nodes stand before a spot.
    pub(crate) fn index(&self, spot: Spot) -> usize {
        self.chunks().take(spot.chunk).map(Vec::len).sum::<usize>() + spot.offset
    }

    pub(crate) fn insert(&mut self, spot: Spot, node: NodeIx) {
        let Spot { chunk: at, offset } = spot;
        let is_last = at == self.others.len();
        let chunk = self.chunk_mut(at);
        if chunk.len() < CHUNK_NODES_MAX {
            chunk.insert(offset, node);
        } else if is_last && offset == chunk.len() {
            self.others.push(vec![node]);
        } else {
            let half = CHUNK_NODES_MAX / 2;
            let mut second = chunk.split_off(half);
            match offset.checked_sub(half) {
                Some(offset) => second.insert(offset, node),
                None => chunk.insert(offset, node),
            }
            self.others.insert(at, second);
        }
    }

    pub(crate) fn remove(&mut self, spot: Spot) -> NodeIx {
        let chunk = self.chunk_mut(spot.chunk);
        let node = chunk.remove(spot.offset);
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
            let spot = children.seek(|other| other < node);
            let at = plain.partition_point(|&other| other < node);
            assert_eq!(children.index(spot), at);
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
            let spot = children.seek(|other| other < node);
            assert_eq!(children.remove(spot), node);
        }
        assert_eq!((children.len(), children.get(0)), (0, None));
    }
}
