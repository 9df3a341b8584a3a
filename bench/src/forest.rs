//! The model of a movable tree (Kleppmann et al. 2021): moves in order, those that would make a cycle skipped.

use anyhow::{Result, ensure};

use crate::engine::Replica;
use crate::random::Random;

/// A node and its new parent.
pub type Move = (u32, u32);

/// Of each node its parent; none of roots.
#[derive(Clone)]
pub struct Forest(Vec<Option<u32>>);

impl Forest {
    /// Nodes each of which has a random earlier one as parent, the first excepted.
    pub fn random(count: u32, random: &mut Random) -> Self {
        Self((0..count).map(|node| (node > 0).then(|| random.below(node))).collect())
    }

    /// The parents, in the order of the nodes.
    pub fn parents(&self) -> &[Option<u32>] {
        &self.0
    }

    /// Moves a node, unless that would make a cycle. Says whether it did.
    pub fn apply(&mut self, (node, parent): Move) -> bool {
        let mut above = Some(parent);
        while let Some(at) = above {
            if at == node {
                return false;
            }
            above = self.0[at as usize];
        }
        self.0[node as usize] = Some(parent);
        true
    }

    /// Draws that many moves, none of which makes a cycle or leaves a node where it is, and applies them.
    pub fn draw_moves(&mut self, count: usize, random: &mut Random) -> Vec<Move> {
        let nodes = self.0.len() as u32;
        let mut moves = Vec::with_capacity(count);
        while moves.len() < count {
            let (node, parent) = (random.below(nodes), random.below(nodes));
            if self.0[node as usize] != Some(parent) && self.apply((node, parent)) {
                moves.push((node, parent));
            }
        }
        moves
    }

    /// Whether a replica has the same tree.
    pub fn check(&self, replica: &dyn Replica) -> Result<()> {
        for (node, &expected) in (0..).zip(&self.0) {
            let found = replica.parent(node)?;
            ensure!(
                found == expected,
                "tree node {node} is below {found:?} and should be below {expected:?}"
            );
        }
        Ok(())
    }
}

/// Makes the moves, one commit each.
pub fn apply(replica: &mut dyn Replica, moves: &[Move]) -> Result<()> {
    moves.iter().try_for_each(|&(node, parent)| replica.move_below(node, parent))
}
