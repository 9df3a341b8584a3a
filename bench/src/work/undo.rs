//! W8: the last of 100,000 edits is undone, then the one before it, and so on: 100 times.

use anyhow::Result;

use super::local_sets::{EDITS, NODES, apply, check, uniform};
use super::{Plan, Work};
use crate::engine::{Ability, Engine};
use crate::measure::cpu_seconds;
use crate::sheet::{Better, Metric, Sheet};

const UNDOS: u32 = 100;

const FIRST: Metric = Metric {
    work: "W8",
    case: "",
    name: "undo one edit in 100,000: the first",
    unit: "us",
    better: Better::Lower,
    target: Some(1.0),
};
const EACH: Metric = Metric { name: "undo one edit in 100,000: each after it", ..FIRST };

/// The work.
pub(super) struct Undo;

impl Work for Undo {
    fn id(&self) -> &'static str {
        "W8"
    }

    fn title(&self) -> &'static str {
        "undo"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Nodes, Ability::Undo]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        let edits = uniform(plan.seed, EDITS);
        let mut replica = engine.create(1);
        replica.create_nodes(NODES)?;
        replica.track_undo()?;
        apply(&mut *replica, &edits)?;
        let (seconds, ()) = cpu_seconds(|| replica.undo())?;
        sheet.note(FIRST, engine.name(), seconds * 1e6);
        check(&*replica, &edits[..edits.len() - 1])?;
        let (seconds, ()) = cpu_seconds(|| (1..UNDOS).try_for_each(|_| replica.undo()))?;
        sheet.note(EACH, engine.name(), seconds * 1e6 / f64::from(UNDOS - 1));
        check(&*replica, &edits[..edits.len() - UNDOS as usize])
    }
}
