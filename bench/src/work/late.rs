//! W9: messages that somebody made having seen 1 % of the history arrive when all of it is there, one by one.

use anyhow::{Result, ensure};

use super::Work;
use super::local_sets::{self, EDITS, uniform};
use super::tree;
use crate::engine::{Ability, Engine, Replica};
use crate::forest::{self, Forest};
use crate::measure::cpu_seconds;
use crate::random::Random;
use crate::sheet::{Better, Metric, Sheet};

/// Messages that come late.
const LATE: usize = 20;
/// Moves in the tree's history.
const MOVES: usize = 10_000;
/// What the author of the late ones had seen.
const SEEN_PART: usize = 100;

const PROPERTY: Metric = Metric {
    work: "W9",
    name: "a late message: property, each of 20",
    unit: "us",
    better: Better::Lower,
    target: Some(1.0),
};
const PROPERTY_FIRST: Metric = Metric { name: "a late message: property, the first", ..PROPERTY };
const TREE: Metric = Metric { name: "a late message: tree, each of 20", target: Some(1000.0), ..PROPERTY };

/// The work.
pub(super) struct Late;

impl Work for Late {
    fn id(&self) -> &'static str {
        "W9"
    }

    fn title(&self) -> &'static str {
        "late messages"
    }

    fn needs(&self) -> &'static [Ability] {
        &[]
    }

    fn run(&self, engine: &dyn Engine, seed: u64, sheet: &mut Sheet) -> Result<()> {
        property(engine, seed, sheet)?;
        if engine.can(Ability::Tree) { moves(engine, seed, sheet) } else { Ok(()) }
    }
}

fn property(engine: &dyn Engine, seed: u64, sheet: &mut Sheet) -> Result<()> {
    let edits = uniform(seed, EDITS);
    let late = uniform(seed + 1, LATE as u32);
    let (seen, unseen) = edits.split_at(edits.len() / SEEN_PART);
    let mut here = engine.create(1);
    here.create_nodes(local_sets::NODES)?;
    local_sets::apply(&mut *here, seen)?;
    let mut there = engine.create(2);
    there.merge(&here.updates()?)?;
    there.find_nodes(local_sets::NODES)?;
    let mut updates = Vec::new();
    for edit in late {
        local_sets::apply(&mut *there, &[edit])?;
        updates.push(there.updates()?);
    }
    local_sets::apply(&mut *here, unseen)?;
    let from_here = here.updates()?;
    let seconds = take_in(&mut *here, &updates)?;
    sheet.note(PROPERTY_FIRST, engine.name(), seconds[0] * 1e6);
    sheet.note(PROPERTY, engine.name(), mean(&seconds) * 1e6);
    // Engines order concurrent sets in their own ways; each must agree with itself in another order of arrival.
    there.merge(&from_here)?;
    for node in 0..local_sets::NODES {
        let (one, other) = (here.position(node)?, there.position(node)?);
        ensure!(one == other, "node {node} is at {one:?} here and at {other:?} there");
    }
    Ok(())
}

fn moves(engine: &dyn Engine, seed: u64, sheet: &mut Sheet) -> Result<()> {
    let mut random = Random::new(seed);
    let mut forest = Forest::random(tree::NODES, &mut random);
    let mut here = engine.create(1);
    forest.parents().iter().try_for_each(|&parent| here.grow(parent))?;
    let seen = forest.draw_moves(MOVES / SEEN_PART, &mut random);
    let late = forest.clone().draw_moves(LATE, &mut random);
    let unseen = forest.clone().draw_moves(MOVES - seen.len(), &mut random);
    forest::apply(&mut *here, &seen)?;
    let mut there = engine.create(2);
    there.merge(&here.updates()?)?;
    there.find_tree(tree::NODES)?;
    let mut updates = Vec::new();
    for one in &late {
        forest::apply(&mut *there, &[*one])?;
        updates.push(there.updates()?);
    }
    forest::apply(&mut *here, &unseen)?;
    let seconds = take_in(&mut *here, &updates)?;
    sheet.note(TREE, engine.name(), mean(&seconds) * 1e6);
    // The n-th moves of both have one lamport time, and the first replica's comes first.
    for (at, &one) in unseen.iter().enumerate() {
        forest.apply(one);
        late.get(at).map(|&other| forest.apply(other));
    }
    forest.check(&*here)
}

/// The CPU seconds of taking in each.
fn take_in(replica: &mut dyn Replica, updates: &[Vec<u8>]) -> Result<Vec<f64>> {
    updates.iter().map(|update| Ok(cpu_seconds(|| replica.merge(update))?.0)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
