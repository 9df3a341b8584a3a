//! The works: what is generated, done and measured. Every final state is checked against a model that is no engine.

mod counters;
mod late;
mod local_sets;
mod tree;
mod undo;

use anyhow::Result;

use crate::engine::{Ability, Engine};
use crate::sheet::Sheet;

/// One work.
pub trait Work {
    /// Its name in the table of issue and documentation.
    fn id(&self) -> &'static str;
    /// What it is.
    fn title(&self) -> &'static str;
    /// What an engine must be able to do to take part at all.
    fn needs(&self) -> &'static [Ability];
    /// Does it once with an engine. An error is a wrong state, never a slow one.
    fn run(&self, engine: &dyn Engine, seed: u64, sheet: &mut Sheet) -> Result<()>;
}

/// Those that are there.
pub fn all() -> Vec<Box<dyn Work>> {
    vec![
        Box::new(local_sets::LocalSets),
        Box::new(counters::Counters),
        Box::new(tree::Tree),
        Box::new(undo::Undo),
        Box::new(late::Late),
    ]
}

/// Those that are not there yet.
pub const MISSING: [(&str, &str); 5] = [
    ("W2", "live messages: local edit and outbound message, taken in singly and as one batch"),
    ("W4", "10 replicas × 10,000 offline sets, full mesh to equality"),
    ("W6", "text traces: edits applied locally, made as messages, received singly"),
    ("W6c", "concurrent text traces, received singly"),
    ("W9", "a late message: text"),
];
