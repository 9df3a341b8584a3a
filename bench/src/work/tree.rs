//! W7: 10,000 tree nodes are made and 10,000 moves, one commit each; then two replicas make 5,000 moves each, unaware of
//! one another, and one takes in the other's.

use anyhow::{Context, Result};

use super::{Plan, Work};
use crate::engine::{Ability, Engine};
use crate::forest::{Forest, apply};
use crate::measure::cpu_seconds;
use crate::random::Random;
use crate::sheet::{Better, Metric, Sheet};

/// Tree nodes.
pub const NODES: u32 = 10_000;
/// Moves in order.
const MOVES: usize = 10_000;
/// Moves of each side meanwhile.
const MOVES_CONCURRENT: usize = 5_000;

const CREATED: Metric = Metric {
    work: "W7",
    case: "",
    name: "tree nodes created, one commit each",
    unit: "M/s",
    better: Better::Higher,
    target: Some(4.0),
};
const MOVED: Metric = Metric { name: "tree nodes moved, one commit each", ..CREATED };
const MERGED: Metric = Metric {
    work: "W7",
    case: "",
    name: "merge of 5,000 concurrent moves",
    unit: "ms",
    better: Better::Lower,
    target: Some(5.0),
};

/// The work.
pub(super) struct Tree;

impl Work for Tree {
    fn id(&self) -> &'static str {
        "W7"
    }

    fn title(&self) -> &'static str {
        "movable tree"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Tree]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        let mut random = Random::new(plan.seed);
        let mut forest = Forest::random(NODES, &mut random);
        let parents = forest.parents().to_vec();
        let mut here = engine.create(1);
        let (seconds, ()) = cpu_seconds(|| parents.iter().try_for_each(|&parent| here.grow(parent)))?;
        sheet.note(CREATED, engine.name(), f64::from(NODES) / seconds / 1e6);

        let moves = forest.draw_moves(MOVES, &mut random);
        let (seconds, ()) = cpu_seconds(|| apply(&mut *here, &moves))?;
        sheet.note(MOVED, engine.name(), MOVES as f64 / seconds / 1e6);
        forest.check(&*here)?;

        let mut there = engine.create(2);
        there.merge(&here.updates()?)?;
        there.find_tree(NODES)?;
        let moves_here = forest.clone().draw_moves(MOVES_CONCURRENT, &mut random);
        let moves_there = forest.clone().draw_moves(MOVES_CONCURRENT, &mut random);
        apply(&mut *here, &moves_here)?;
        apply(&mut *there, &moves_there)?;
        let (from_here, from_there) = (here.updates()?, there.updates()?);
        let (seconds, ()) = cpu_seconds(|| here.merge(&from_there))?;
        sheet.note(MERGED, engine.name(), seconds * 1e3);
        there.merge(&from_here)?;
        // The n-th moves of both have one lamport time, and the first replica's comes first.
        for (one, other) in moves_here.into_iter().zip(moves_there) {
            forest.apply(one);
            forest.apply(other);
        }
        forest.check(&*here).context("after the merge")?;
        forest.check(&*there).context("after the merge, on the other side")
    }
}
