//! W1: one user sets positions of 1,000 nodes 100,000 times, one commit each; then the room is saved and opened again.
//!
//! Two kinds of data: uniform random positions of random nodes, and drags, in which a node moves on by about the same
//! step 60 times.

use anyhow::{Result, ensure};

use super::{Plan, Work};
use crate::engine::{Ability, Engine, Position, Replica};
use crate::measure::{cpu_seconds, live_heap_bytes};
use crate::random::Random;
use crate::sheet::{Better, Metric, Sheet};

/// Nodes.
pub const NODES: u32 = 1_000;
/// Edits.
pub const EDITS: u32 = 100_000;
/// Edits of one drag.
const DRAG_EDITS: u32 = 60;

const MADE: Metric = Metric {
    work: "W1",
    case: "",
    name: "local sets, one commit each",
    unit: "M/s",
    better: Better::Higher,
    target: Some(5.0),
};
const HEAP: Metric = Metric {
    work: "W1",
    case: "",
    name: "live heap per edit, with history",
    unit: "B",
    better: Better::Lower,
    target: Some(60.0),
};
const SAVED: Metric = Metric {
    work: "W1",
    case: "",
    name: "saved size per edit, uniform",
    unit: "B",
    better: Better::Lower,
    target: Some(12.5),
};
const SAVED_DRAGS: Metric = Metric { name: "saved size per edit, dragged", target: Some(1.5), ..SAVED };
const OPENED: Metric = Metric {
    work: "W1",
    case: "",
    name: "open and read 1,000 values",
    unit: "ms",
    better: Better::Lower,
    target: Some(1.0),
};

/// One edit.
pub type Edit = (u32, Position);

/// The work.
pub(super) struct LocalSets;

impl Work for LocalSets {
    fn id(&self) -> &'static str {
        "W1"
    }

    fn title(&self) -> &'static str {
        "local sets"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Nodes]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        let edits = uniform(plan.seed, EDITS);
        let mut replica = engine.create(1);
        replica.create_nodes(NODES)?;
        let (seconds, ()) = cpu_seconds(|| apply(&mut *replica, &edits))?;
        sheet.note(MADE, engine.name(), f64::from(EDITS) / seconds / 1e6);
        check(&*replica, &edits)?;

        let saved = replica.save()?;
        sheet.note(SAVED, engine.name(), saved.len() as f64 / f64::from(EDITS));
        drop(replica);
        let (seconds, opened) = cpu_seconds(|| {
            let mut opened = engine.load(2, &saved)?;
            opened.find_nodes(NODES)?;
            for node in 0..NODES {
                std::hint::black_box(opened.position(node)?);
            }
            Ok(opened)
        })?;
        sheet.note(OPENED, engine.name(), seconds * 1e3);
        check(&*opened, &edits)?;
        drop(opened);

        let (bytes, replica) = live_heap_bytes(|| {
            let mut replica = engine.create(1);
            replica.create_nodes(NODES)?;
            apply(&mut *replica, &edits)?;
            Ok(replica)
        })?;
        if let Some(bytes) = bytes {
            sheet.note(HEAP, engine.name(), (bytes - replica.file_bytes() as f64) / f64::from(EDITS));
        }
        drop(replica);

        let drags = drags(plan.seed, EDITS);
        let mut replica = engine.create(1);
        replica.create_nodes(NODES)?;
        apply(&mut *replica, &drags)?;
        check(&*replica, &drags)?;
        sheet.note(SAVED_DRAGS, engine.name(), replica.save()?.len() as f64 / f64::from(EDITS));
        Ok(())
    }
}

/// Makes the edits, one commit each.
pub fn apply(replica: &mut dyn Replica, edits: &[Edit]) -> Result<()> {
    edits.iter().try_for_each(|&(node, position)| replica.set_position(node, position))
}

/// Whether every node is where the last of the edits put it.
pub fn check(replica: &dyn Replica, edits: &[Edit]) -> Result<()> {
    let mut expected = vec![[0.0; 3]; NODES as usize];
    for &(node, position) in edits {
        expected[node as usize] = position;
    }
    for (node, expected) in (0..).zip(expected) {
        let found = replica.position(node)?;
        ensure!(found == expected, "node {node} is at {found:?} and should be at {expected:?}");
    }
    Ok(())
}

/// Random nodes to random places.
pub fn uniform(seed: u64, count: u32) -> Vec<Edit> {
    let mut random = Random::new(seed);
    (0..count).map(|_| (random.below(NODES), [random.unit(), random.unit(), random.unit()])).collect()
}

/// Random nodes moved on by a random step that wavers, in thousandths.
fn drags(seed: u64, count: u32) -> Vec<Edit> {
    let mut random = Random::new(seed);
    let mut places = vec![[0_i32; 3]; NODES as usize];
    let mut edits = Vec::with_capacity(count as usize);
    while edits.len() < count as usize {
        let node = random.below(NODES);
        let place = &mut places[node as usize];
        let step = [(); 3].map(|()| random.below(21) as i32 - 10);
        for _ in 0..DRAG_EDITS.min(count - edits.len() as u32) {
            for (coordinate, step) in place.iter_mut().zip(step) {
                *coordinate += step + random.below(3) as i32 - 1;
            }
            edits.push((node, place.map(|coordinate| coordinate as f32 / 1000.0)));
        }
    }
    edits
}
