//! The live nodes below one, in order; in chunks, so that a place among very many costs little more than among a few.

use super::index::NodeIx;

/// Nodes in one chunk: to shift one costs less than to find its place.
const CHUNK_NODES_MAX: usize = 512;

/// Nodes in an order that who asks brings along.
#[derive(Clone, Default)]
pub(crate) struct Children {
    /// None is empty.
    chunks: Vec<Vec<NodeIx>>,
}

/// Where a node stands in such a list, or would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    chunk: usize,
    offset: usize,
}

impl Children {
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = NodeIx> + '_ {
        self.chunks.iter().flatten().copied()
    }

    /// The node at that index.
    pub(crate) fn get(&self, mut index: usize) -> Option<NodeIx> {
        for chunk in &self.chunks {
            match chunk.get(index) {
                Some(&node) => return Some(node),
                None => index -= chunk.len(),
            }
        }
        None
    }

    /// The spot of the first node that does not come before the one sought, or the end.
    pub(crate) fn seek(&self, mut is_before: impl FnMut(NodeIx) -> bool) -> Spot {
        let Some(last) = self.chunks.last() else { return Spot { chunk: 0, offset: 0 } };
        // Most nodes come last.
        if is_before(last[last.len() - 1]) {
            return Spot { chunk: self.chunks.len() - 1, offset: last.len() };
        }
        let chunk = self.chunks.partition_point(|chunk| is_before(chunk[chunk.len() - 1]));
        Spot { chunk, offset: self.chunks[chunk].partition_point(|&node| is_before(node)) }
    }

    /// How many nodes stand before a spot.
    pub(crate) fn index(&self, spot: Spot) -> usize {
        self.chunks[..spot.chunk].iter().map(Vec::len).sum::<usize>() + spot.offset
    }

    pub(crate) fn insert(&mut self, spot: Spot, node: NodeIx) {
        let Spot { chunk: at, offset } = spot;
        let is_last = at + 1 == self.chunks.len();
        let Some(chunk) = self.chunks.get_mut(at) else {
            // Exactly: most nodes that have a child have one or few.
            self.chunks = Vec::with_capacity(1);
            self.chunks.push(vec![node]);
            return;
        };
        if chunk.len() < CHUNK_NODES_MAX {
            chunk.insert(offset, node);
        } else if is_last && offset == chunk.len() {
            self.chunks.push(vec![node]);
        } else {
            let half = CHUNK_NODES_MAX / 2;
            let mut second = chunk.split_off(half);
            match offset.checked_sub(half) {
                Some(offset) => second.insert(offset, node),
                None => chunk.insert(offset, node),
            }
            self.chunks.insert(at + 1, second);
        }
    }

    pub(crate) fn remove(&mut self, spot: Spot) -> NodeIx {
        let chunk = &mut self.chunks[spot.chunk];
        let node = chunk.remove(spot.offset);
        if chunk.is_empty() {
            self.chunks.remove(spot.chunk);
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
