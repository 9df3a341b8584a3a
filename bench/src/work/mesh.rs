//! W4: ten replicas make 10,000 sets each while they are apart; then each compares versions with each other one and sends
//! what that lacks.

use anyhow::{Result, ensure};

use super::local_sets::{NODES, apply, uniform};
use super::{Plan, Work};
use crate::engine::{Ability, Engine};
use crate::measure::cpu_seconds;
use crate::sheet::{Better, Metric, Sheet};

const REPLICAS: u8 = 10;
const SETS: u32 = 10_000;

const SYNCED: Metric = Metric {
    work: "W4",
    case: "",
    name: "10 x 10,000 offline sets, full mesh",
    unit: "s",
    better: Better::Lower,
    target: Some(0.25),
};
const BYTES: Metric = Metric { name: "bytes per delivered edit", unit: "B", target: Some(13.0), ..SYNCED };

/// The work.
pub(super) struct Mesh;

impl Work for Mesh {
    fn id(&self) -> &'static str {
        "W4"
    }

    fn title(&self) -> &'static str {
        "full mesh"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Nodes]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        let mut founder = engine.create(1);
        founder.create_nodes(NODES)?;
        let founding = founder.updates()?;
        let mut replicas = vec![founder];
        for number in 2..=REPLICAS {
            let mut replica = engine.create(number);
            replica.merge(&founding)?;
            replica.find_nodes(NODES)?;
            replicas.push(replica);
        }
        for (replica, seed) in replicas.iter_mut().zip(plan.seed..) {
            apply(&mut **replica, &uniform(seed, SETS))?;
        }

        let mut bytes = 0;
        let (seconds, ()) = cpu_seconds(|| {
            // All visits begin at once, so each carries what its sender made.
            let versions =
                replicas.iter_mut().map(|replica| replica.version()).collect::<Result<Vec<_>>>()?;
            let mut visits = Vec::new();
            for (from, replica) in replicas.iter_mut().enumerate() {
                for (to, version) in versions.iter().enumerate().filter(|(to, _)| *to != from) {
                    visits.push((to, replica.updates_for(version)?));
                }
            }
            bytes = visits.iter().map(|(_, updates)| updates.len()).sum();
            visits.iter().try_for_each(|(to, updates)| replicas[*to].merge(updates))
        })?;
        let delivered = f64::from(SETS) * f64::from(REPLICAS) * f64::from(REPLICAS - 1);
        sheet.note(SYNCED, engine.name(), seconds);
        sheet.note(BYTES, engine.name(), bytes as f64 / delivered);

        // Engines order concurrent sets in their own ways; that of the winner is the last of somebody.
        let mut lasts = vec![[[0.0; 3]; REPLICAS as usize]; NODES as usize];
        for (replica, seed) in (0..usize::from(REPLICAS)).zip(plan.seed..) {
            for (node, position) in uniform(seed, SETS) {
                lasts[node as usize][replica] = position;
            }
        }
        for (node, lasts) in (0..).zip(&lasts) {
            let position = replicas[0].position(node)?;
            ensure!(lasts.contains(&position), "node {node} is at {position:?}, where nobody put it last");
            for replica in &replicas[1..] {
                let other = replica.position(node)?;
                ensure!(other == position, "node {node} is at {position:?} here and at {other:?} there");
            }
        }
        Ok(())
    }
}
