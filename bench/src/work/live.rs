//! W2: each of 100,000 sets becomes a message at once; another replica takes them in one by one, a third as one batch.

use anyhow::Result;

use super::local_sets::{EDITS, NODES, apply, check, uniform};
use super::{Plan, Work};
use crate::engine::{Ability, Engine};
use crate::measure::cpu_seconds;
use crate::sheet::{Better, Metric, Sheet};

const SENT: Metric = Metric {
    work: "W2",
    case: "",
    name: "local set and outbound live message",
    unit: "M/s",
    better: Better::Higher,
    target: Some(2.0),
};
const MESSAGE: Metric =
    Metric { name: "bytes per live message", unit: "B", better: Better::Lower, target: Some(40.0), ..SENT };
const TAKEN: Metric = Metric { name: "live messages taken in singly", target: Some(2.5), ..SENT };
const BATCH: Metric = Metric { name: "the same taken in as one batch", target: Some(6.0), ..SENT };

/// The work.
pub(super) struct Live;

impl Work for Live {
    fn id(&self) -> &'static str {
        "W2"
    }

    fn title(&self) -> &'static str {
        "live messages"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Nodes]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        let edits = uniform(plan.seed, EDITS);
        let rate = |seconds: f64| f64::from(EDITS) / seconds / 1e6;
        let mut sender = engine.create(1);
        sender.create_nodes(NODES)?;
        let founding = sender.updates()?;
        let join = |number| {
            let mut replica = engine.create(number);
            replica.merge(&founding)?;
            replica.find_nodes(NODES)?;
            Ok::<_, anyhow::Error>(replica)
        };
        let (mut single, mut batch) = (join(2)?, join(3)?);
        let version = batch.version()?;

        sender.go_live()?;
        let mut messages = Vec::with_capacity(edits.len());
        let (seconds, ()) = cpu_seconds(|| {
            edits.iter().try_for_each(|&edit| {
                apply(&mut *sender, &[edit])?;
                messages.push(sender.live()?);
                Ok(())
            })
        })?;
        sheet.note(SENT, engine.name(), rate(seconds));
        let bytes: usize = messages.iter().map(|message| message.len() - sender.signature_bytes()).sum();
        sheet.note(MESSAGE, engine.name(), bytes as f64 / f64::from(EDITS));

        let (seconds, ()) =
            cpu_seconds(|| messages.iter().try_for_each(|message| single.take_live(1, message)))?;
        sheet.note(TAKEN, engine.name(), rate(seconds));
        check(&*single, &edits)?;

        let diff = sender.updates_for(&version)?;
        let (seconds, ()) = cpu_seconds(|| batch.merge(&diff))?;
        sheet.note(BATCH, engine.name(), rate(seconds));
        check(&*batch, &edits)
    }
}
