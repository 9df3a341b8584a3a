//! The engines that are measured, behind what the works ask of them.
//!
//! Each replica numbers nodes, tree nodes and counters from 0 and keeps whatever handles its engine gives for them, as a
//! program that uses it would. Unless said otherwise every editing call is one commit.

mod automerge;
mod cola;
mod diamond;
mod loro;
mod rtc;
mod yrs;

use anyhow::{Result, bail};

use crate::trace::Splice;

/// Three coordinates; both kinds of generated work are exact in 32 bits.
pub type Position = [f32; 3];

/// What not every engine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ability {
    /// Holds values in nodes.
    Nodes,
    /// Counts.
    Counters,
    /// Moves nodes of a tree without ever making a cycle.
    Tree,
    /// Takes edits back.
    Undo,
    /// Holds a text.
    Text,
}

/// One engine.
pub trait Engine {
    /// As it stands in the table.
    fn name(&self) -> &'static str;
    /// Whether it is able to.
    fn can(&self, ability: Ability) -> bool;
    /// Of longer text traces it is left out: it would take many minutes.
    fn text_edits_max(&self) -> usize {
        usize::MAX
    }
    /// An empty replica; numbers are ordered as the engine orders concurrent edits of their owners.
    fn create(&self, number: u8) -> Box<dyn Replica>;
    /// A replica of what [`Replica::save`] gave.
    fn load(&self, number: u8, saved: &[u8]) -> Result<Box<dyn Replica>>;
}

/// One replica; what needs an ability its engine has not is an error.
pub trait Replica {
    /// Makes nodes 0 to `count` with a position of zeros, in as many commits as it likes.
    fn create_nodes(&mut self, _count: u32) -> Result<()> {
        bail!("no nodes")
    }
    /// Finds the nodes that another replica made.
    fn find_nodes(&mut self, _count: u32) -> Result<()> {
        bail!("no nodes")
    }
    /// Sets a node's position.
    fn set_position(&mut self, _node: u32, _position: Position) -> Result<()> {
        bail!("no nodes")
    }
    /// A node's position.
    fn position(&self, _node: u32) -> Result<Position> {
        bail!("no nodes")
    }

    /// Makes counters 0 to `count`, which stand at 0, in as many commits as it likes.
    fn create_counters(&mut self, _count: u32) -> Result<()> {
        bail!("no counters")
    }
    /// Finds the counters that another replica made.
    fn find_counters(&mut self, _count: u32) -> Result<()> {
        bail!("no counters")
    }
    /// Counts one up.
    fn increment(&mut self, _counter: u32) -> Result<()> {
        bail!("no counters")
    }
    /// What a counter stands at.
    fn counter(&self, _counter: u32) -> Result<u64> {
        bail!("no counters")
    }

    /// Makes the tree node of the next number, below another or as a root.
    fn grow(&mut self, _parent: Option<u32>) -> Result<()> {
        bail!("no tree")
    }
    /// Finds the tree nodes that one other replica made.
    fn find_tree(&mut self, _count: u32) -> Result<()> {
        bail!("no tree")
    }
    /// Moves a tree node below another; the work asks for no cycles.
    fn move_below(&mut self, _node: u32, _parent: u32) -> Result<()> {
        bail!("no tree")
    }
    /// The parent of a tree node that is no root.
    fn parent(&self, _node: u32) -> Result<Option<u32>> {
        bail!("no tree")
    }

    /// From now on each edit can be undone by itself.
    fn track_undo(&mut self) -> Result<()> {
        bail!("no undo")
    }
    /// Undoes the last edit that is not undone; nothing but undos has come since the first.
    fn undo(&mut self) -> Result<()> {
        bail!("no undo")
    }

    /// Makes the text, which is empty.
    fn create_text(&mut self) -> Result<()> {
        bail!("no text")
    }
    /// Finds the text that another replica made.
    fn find_text(&mut self) -> Result<()> {
        bail!("no text")
    }
    /// Makes the splices, each of which sees those before it, in one commit, or as few as the engine allows.
    fn splice(&mut self, _splices: &[Splice]) -> Result<()> {
        bail!("no text")
    }
    /// What the text reads.
    fn text(&self) -> Result<String> {
        bail!("no text")
    }

    /// What was committed here since this was last called or something was merged, for replicas that have the rest.
    fn updates(&mut self) -> Result<Vec<u8>>;
    /// Takes in another's updates.
    fn merge(&mut self, updates: &[u8]) -> Result<()>;
    /// What it holds, for [`Replica::updates_for`].
    fn version(&mut self) -> Result<Vec<u8>> {
        bail!("no comparison")
    }
    /// What it holds and a replica of that version lacks.
    fn updates_for(&mut self, _version: &[u8]) -> Result<Vec<u8>> {
        bail!("no comparison")
    }
    /// From now on [`Replica::live`] follows each commit.
    fn go_live(&mut self) -> Result<()> {
        Ok(())
    }
    /// The last commit as a message for replicas that have all before it.
    fn live(&mut self) -> Result<Vec<u8>> {
        self.updates()
    }
    /// Takes in a live message over the connection to its sender, which is known by a number.
    fn take_live(&mut self, _sender: u8, message: &[u8]) -> Result<()> {
        self.merge(message)
    }
    /// Bytes of each live message that sign it, which most engines leave to others.
    fn signature_bytes(&self) -> usize {
        0
    }
    /// Everything, history included, as it would be kept in a file.
    fn save(&mut self) -> Result<Vec<u8>>;
    /// The part of the live heap that only stands for a file.
    fn file_bytes(&self) -> usize {
        0
    }
}

/// All engines; ours is the first.
pub fn all() -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(rtc::Rtc),
        Box::new(loro::Loro),
        Box::new(automerge::Automerge),
        Box::new(yrs::Yrs),
        Box::new(cola::Cola),
        Box::new(diamond::DiamondTypes),
    ]
}
