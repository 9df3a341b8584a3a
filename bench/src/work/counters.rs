//! W3: 10 replicas count one of 100 counters up 10,000 times each, one commit each; then one takes in the others.

use anyhow::{Result, ensure};

use super::{Plan, Work};
use crate::engine::{Ability, Engine};
use crate::measure::cpu_seconds;
use crate::random::Random;
use crate::sheet::{Better, Metric, Sheet};

const REPLICAS: u8 = 10;
const INCREMENTS: u32 = 10_000;
const COUNTERS: u32 = 100;

const MADE: Metric = Metric {
    work: "W3",
    case: "",
    name: "increments made, one commit each",
    unit: "M/s",
    better: Better::Higher,
    target: Some(5.0),
};
const MERGED: Metric = Metric { name: "increments merged, one batch per replica", target: Some(6.0), ..MADE };
const BYTES: Metric = Metric {
    name: "bytes per increment, as one batch",
    unit: "B",
    better: Better::Lower,
    target: None,
    ..MADE
};

/// The work.
pub(super) struct Counters;

impl Work for Counters {
    fn id(&self) -> &'static str {
        "W3"
    }

    fn title(&self) -> &'static str {
        "counters"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Counters]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        let mut random = Random::new(plan.seed);
        let mut expected = vec![0; COUNTERS as usize];
        let mut founder = engine.create(1);
        founder.create_counters(COUNTERS)?;
        let founding = founder.updates()?;
        let mut replicas = vec![founder];
        for number in 2..=REPLICAS {
            let mut replica = engine.create(number);
            replica.merge(&founding)?;
            replica.find_counters(COUNTERS)?;
            replicas.push(replica);
        }
        let mut made_seconds = 0.0;
        for replica in &mut replicas {
            let increments: Vec<u32> = (0..INCREMENTS).map(|_| random.below(COUNTERS)).collect();
            increments.iter().for_each(|&counter| expected[counter as usize] += 1);
            made_seconds +=
                cpu_seconds(|| increments.iter().try_for_each(|&counter| replica.increment(counter)))?.0;
        }
        let all = f64::from(INCREMENTS) * f64::from(REPLICAS);
        sheet.note(MADE, engine.name(), all / made_seconds / 1e6);

        let updates = replicas.iter_mut().map(|replica| replica.updates()).collect::<Result<Vec<_>>>()?;
        let bytes: usize = updates.iter().map(Vec::len).sum();
        sheet.note(BYTES, engine.name(), bytes as f64 / all);
        let first = &mut replicas[0];
        let (seconds, ()) = cpu_seconds(|| updates[1..].iter().try_for_each(|update| first.merge(update)))?;
        sheet.note(MERGED, engine.name(), f64::from(INCREMENTS) * f64::from(REPLICAS - 1) / seconds / 1e6);
        let last = &mut replicas[usize::from(REPLICAS) - 1];
        updates[..updates.len() - 1].iter().try_for_each(|update| last.merge(update))?;
        for replica in [&replicas[0], &replicas[usize::from(REPLICAS) - 1]] {
            for (counter, &expected) in (0..).zip(&expected) {
                let found = replica.counter(counter)?;
                ensure!(found == expected, "counter {counter} stands at {found} and should at {expected}");
            }
        }
        Ok(())
    }
}
