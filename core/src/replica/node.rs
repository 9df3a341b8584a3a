//! One key of the scene: its lives, where it stands, and what stands below it.

use super::children::Children;
use super::history::History;
use super::index::{CellIx, NodeIx, OpIx, PathIx};
use super::life::Life;

/// What is known of one key, whether a node of that key is alive or not.
#[derive(Default)]
pub(super) struct NodeRecord {
    pub(super) life: Life,
    /// The properties that were ever named, by path.
    cells: Vec<(PathIx, CellIx)>,
    /// The moves that give a place, in order.
    pub(super) placings: Vec<OpIx>,
    /// How many ops that matter to the tree name this key, besides its first insert.
    pub(super) named: u32,
    /// How many moves name this key, as the node or as the parent.
    pub(super) moves: u32,
    /// How many inserts name this key as the node.
    pub(super) inserts: u32,
    /// It may stand elsewhere since the changes were taken.
    pub(super) is_changed: bool,
    /// Where it shows; none while it is dead, and for the root.
    pub(super) shown: Option<Shown>,
    /// The live nodes below it, in order.
    pub(super) children: Children,
}

/// Where a live node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) parent: NodeIx,
    /// The insert that began its life.
    pub(super) birth: OpIx,
    /// The op that gave it its place; none for a place that is the birth's own stamp.
    pub(super) placed_by: Option<OpIx>,
    /// Where that is among siblings, roughly.
    pub(super) rough: u64,
}

impl NodeRecord {
    /// The root is the first key of every replica.
    pub(super) const ROOT: NodeIx = NodeIx(0);

    /// The root's.
    pub(super) fn root() -> Self {
        Self { life: Life::of_root(), ..Self::default() }
    }

    /// The properties that were ever named.
    pub(super) fn cells(&self) -> impl Iterator<Item = CellIx> + '_ {
        self.cells.iter().map(|&(_, cell)| cell)
    }

    /// The property of that path.
    pub(super) fn cell(&self, path: PathIx) -> Option<CellIx> {
        let at = self.cells.binary_search_by_key(&path, |&(path, _)| path).ok()?;
        Some(self.cells[at].1)
    }

    /// Adds a property that was not named before.
    pub(super) fn add_cell(&mut self, path: PathIx, cell: CellIx) {
        let at = self.cells.partition_point(|&(other, _)| other < path);
        self.cells.insert(at, (path, cell));
    }

    /// Where the node stands below its last parent. The tree is settled.
    pub(super) fn stand(
        &self,
        parent: Option<NodeIx>,
        history: &History,
        is_effective: impl Fn(OpIx) -> bool,
        gives_place: impl Fn(OpIx) -> bool,
        rough: impl Fn(OpIx, Option<OpIx>) -> u64,
    ) -> Option<Shown> {
        let (birth, parent) = (self.life.birth()?, parent?);
        let of_this_life = |op: &&OpIx| history.is_before(birth, **op);
        let counts = |op: &&OpIx| !history.is_masked(**op) && is_effective(**op);
        let moved = self.placings.iter().rev().take_while(of_this_life).find(counts).copied();
        let given = || Some(birth).filter(|&birth| gives_place(birth));
        let placed_by = moved.or_else(given);
        let is_there = |shown: &&Shown| (shown.birth, shown.placed_by) == (birth, placed_by);
        let old = self.shown.as_ref().filter(is_there).map(|shown| shown.rough);
        Some(Shown { parent, birth, placed_by, rough: old.unwrap_or_else(|| rough(birth, placed_by)) })
    }
}
