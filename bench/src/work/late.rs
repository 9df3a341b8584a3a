//! W9: messages that somebody made having seen 1 % of the history arrive when all of it is there, one by one.

use anyhow::{Result, ensure};

use super::local_sets::{self, EDITS, uniform};
use super::tree;
use super::{Plan, Work};
use crate::engine::{Ability, Engine, Replica};
use crate::forest::{self, Forest};
use crate::measure::cpu_seconds;
use crate::random::Random;
use crate::sheet::{Better, Metric, Sheet};
use crate::trace::{ALONE, Splice, Trace};

/// Messages that come late.
const LATE: usize = 20;
/// Moves in the tree's history.
const MOVES: usize = 10_000;
/// What the author of the late ones had seen.
const SEEN_PART: usize = 100;

const PROPERTY: Metric = Metric {
    work: "W9",
    case: "",
    name: "a late message: property, each of 20",
    unit: "us",
    better: Better::Lower,
    target: Some(1.0),
};
const PROPERTY_FIRST: Metric = Metric { name: "a late message: property, the first", ..PROPERTY };
const TEXT: Metric = Metric { name: "a late message: text, each of 20", target: Some(2.0), ..PROPERTY };
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

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        if engine.can(Ability::Nodes) {
            property(engine, plan.seed, sheet)?;
        }
        if plan.has_text(engine) {
            text(engine, plan, sheet)?;
        }
        if engine.can(Ability::Tree) {
            moves(engine, plan.seed, sheet)?;
        }
        Ok(())
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
    there.go_live()?;
    let mut messages = Vec::new();
    for edit in late {
        local_sets::apply(&mut *there, &[edit])?;
        messages.push(there.live()?);
    }
    local_sets::apply(&mut *here, unseen)?;
    let from_here = here.updates()?;
    let seconds = take_in(&mut *here, &messages)?;
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

fn text(engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let Trace { splices, end } = ALONE[0].read(&plan.traces, plan.text_edits, plan.seed)?;
    let (seen, unseen) = splices.split_at(splices.len() / SEEN_PART);
    let mut here = engine.create(1);
    here.create_text()?;
    type_each(&mut *here, seen)?;
    let mut there = engine.create(2);
    there.merge(&here.updates()?)?;
    there.find_text()?;
    let len = there.text()?.chars().count() as u32;
    there.go_live()?;
    let mut messages = Vec::new();
    let mut random = Random::new(plan.seed);
    for typed in 0..LATE as u32 {
        let at = random.below(len + typed + 1) as usize;
        type_each(&mut *there, &[Splice { at, deleted: 0, inserted: "~".to_owned() }])?;
        messages.push(there.live()?);
    }
    type_each(&mut *here, unseen)?;
    let from_here = here.updates()?;
    let seconds = take_in(&mut *here, &messages)?;
    sheet.note(TEXT, engine.name(), mean(&seconds) * 1e6);
    there.merge(&from_here)?;
    let (one, other) = (here.text()?, there.text()?);
    ensure!(one == other, "one text reads otherwise than the other");
    ensure!(one.len() == end.len() + LATE, "{} characters where {} should be", one.len(), end.len() + LATE);
    Ok(())
}

/// Makes the splices, one commit each.
fn type_each(replica: &mut dyn Replica, splices: &[Splice]) -> Result<()> {
    splices.iter().try_for_each(|splice| replica.splice(std::slice::from_ref(splice)))
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
    there.go_live()?;
    let mut messages = Vec::new();
    for one in &late {
        forest::apply(&mut *there, &[*one])?;
        messages.push(there.live()?);
    }
    forest::apply(&mut *here, &unseen)?;
    let seconds = take_in(&mut *here, &messages)?;
    sheet.note(TREE, engine.name(), mean(&seconds) * 1e6);
    // The n-th moves of both have one lamport time, and the first replica's comes first.
    for (at, &one) in unseen.iter().enumerate() {
        forest.apply(one);
        late.get(at).map(|&other| forest.apply(other));
    }
    forest.check(&*here)
}

/// The CPU seconds of taking in each.
fn take_in(replica: &mut dyn Replica, messages: &[Vec<u8>]) -> Result<Vec<f64>> {
    messages.iter().map(|message| Ok(cpu_seconds(|| replica.take_live(1, message))?.0)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
