//! The works: what is generated, done and measured. Every final state is checked against a model that is no engine.

mod counters;
mod late;
mod live;
mod local_sets;
mod mesh;
mod session;
mod text;
mod tree;
mod undo;

use std::path::PathBuf;

use anyhow::Result;

use crate::engine::{Ability, Engine};
use crate::sheet::Sheet;

/// What a run is to do.
pub struct Plan {
    /// The seed of what is generated.
    pub seed: u64,
    /// Where the recorded text traces are.
    pub traces: PathBuf,
    /// Edits of a text trace at most.
    pub text_edits: usize,
}

impl Plan {
    /// Whether an engine takes part in works on text.
    fn has_text(&self, engine: &dyn Engine) -> bool {
        engine.can(Ability::Text) && self.text_edits <= engine.text_edits_max()
    }
}

/// One work.
pub trait Work {
    /// Its name in the table of documentation.
    fn id(&self) -> &'static str;
    /// What it is.
    fn title(&self) -> &'static str;
    /// What an engine must be able to do to take part at all.
    fn needs(&self) -> &'static [Ability];
    /// Does it once with an engine. An error is a wrong state, never a slow one.
    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()>;
}

/// All works.
pub fn all() -> Vec<Box<dyn Work>> {
    vec![
        Box::new(local_sets::LocalSets),
        Box::new(live::Live),
        Box::new(counters::Counters),
        Box::new(mesh::Mesh),
        Box::new(text::Text),
        Box::new(session::Sessions),
        Box::new(tree::Tree),
        Box::new(undo::Undo),
        Box::new(late::Late),
    ]
}
