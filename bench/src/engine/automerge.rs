//! `automerge`: one map per node in the root, positions as 12 bytes, since it has no lists as plain values.
//!
//! It has counters and texts, and neither movable trees nor undo.

use anyhow::{Context, Result, bail};
use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};

use super::{Ability, Engine, Position};
use crate::trace::Splice;

/// The engine.
pub(super) struct Automerge;

impl Engine for Automerge {
    fn name(&self) -> &'static str {
        "automerge"
    }

    fn can(&self, ability: Ability) -> bool {
        match ability {
            Ability::Nodes | Ability::Counters | Ability::Text => true,
            Ability::Tree | Ability::Undo => false,
        }
    }

    fn text_edits_max(&self) -> usize {
        2_000
    }

    fn create(&self, number: u8) -> Box<dyn super::Replica> {
        Box::new(AutomergeReplica::of(AutoCommit::new(), number))
    }

    fn load(&self, number: u8, saved: &[u8]) -> Result<Box<dyn super::Replica>> {
        Ok(Box::new(AutomergeReplica::of(AutoCommit::load(saved)?, number)))
    }
}

struct AutomergeReplica {
    doc: AutoCommit,
    nodes: Vec<ObjId>,
    text: Option<ObjId>,
    known: Vec<ChangeHash>,
}

impl AutomergeReplica {
    fn of(doc: AutoCommit, number: u8) -> Self {
        let mut doc = doc.with_actor(ActorId::from(vec![number; 16]));
        let known = doc.get_heads();
        Self { doc, nodes: Vec::new(), text: None, known }
    }
}

impl super::Replica for AutomergeReplica {
    fn create_nodes(&mut self, count: u32) -> Result<()> {
        for number in 0..count {
            let node = self.doc.put_object(ROOT, format!("node-{number}"), ObjType::Map)?;
            self.doc.put(&node, "position", blob([0.0; 3]))?;
            self.nodes.push(node);
        }
        self.doc.commit();
        Ok(())
    }

    fn find_nodes(&mut self, count: u32) -> Result<()> {
        let find = |number| match self.doc.get(ROOT, format!("node-{number}"))? {
            Some((_, id)) => Ok(id),
            None => bail!("no node {number}"),
        };
        self.nodes = (0..count).map(find).collect::<Result<_>>()?;
        Ok(())
    }

    fn set_position(&mut self, node: u32, position: Position) -> Result<()> {
        self.doc.put(&self.nodes[node as usize], "position", blob(position))?;
        self.doc.commit();
        Ok(())
    }

    fn position(&self, node: u32) -> Result<Position> {
        let (value, _) = self.doc.get(&self.nodes[node as usize], "position")?.context("no position")?;
        let bytes: [u8; 12] = value.as_bytes().context("no bytes")?.try_into()?;
        let number = |at: usize| f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Ok([number(0), number(4), number(8)])
    }

    fn create_counters(&mut self, count: u32) -> Result<()> {
        for number in 0..count {
            self.doc.put(ROOT, format!("counter-{number}"), ScalarValue::counter(0))?;
        }
        self.doc.commit();
        Ok(())
    }

    fn find_counters(&mut self, _count: u32) -> Result<()> {
        Ok(())
    }

    fn increment(&mut self, counter: u32) -> Result<()> {
        self.doc.increment(ROOT, format!("counter-{counter}"), 1)?;
        self.doc.commit();
        Ok(())
    }

    fn counter(&self, counter: u32) -> Result<u64> {
        let (value, _) = self.doc.get(ROOT, format!("counter-{counter}"))?.context("no counter")?;
        match &value {
            Value::Scalar(scalar) => match scalar.as_ref() {
                ScalarValue::Counter(counter) => Ok(i64::from(counter).try_into()?),
                other => bail!("a counter {other:?}"),
            },
            Value::Object(kind) => bail!("a counter {kind:?}"),
        }
    }

    fn create_text(&mut self) -> Result<()> {
        self.text = Some(self.doc.put_object(ROOT, "text", ObjType::Text)?);
        self.doc.commit();
        Ok(())
    }

    fn find_text(&mut self) -> Result<()> {
        let (_, text) = self.doc.get(ROOT, "text")?.context("no text")?;
        self.text = Some(text);
        Ok(())
    }

    fn splice(&mut self, splices: &[Splice]) -> Result<()> {
        let text = self.text.as_ref().context("no text")?;
        for Splice { at, deleted, inserted } in splices {
            self.doc.splice_text(text, *at, isize::try_from(*deleted)?, inserted)?;
        }
        self.doc.commit();
        Ok(())
    }

    fn text(&self) -> Result<String> {
        Ok(self.doc.text(self.text.as_ref().context("no text")?)?)
    }

    fn updates(&mut self) -> Result<Vec<u8>> {
        let bytes = self.doc.save_after(&self.known);
        self.known = self.doc.get_heads();
        Ok(bytes)
    }

    fn merge(&mut self, updates: &[u8]) -> Result<()> {
        self.doc.load_incremental(updates)?;
        self.known = self.doc.get_heads();
        Ok(())
    }

    fn version(&mut self) -> Result<Vec<u8>> {
        Ok(self.doc.get_heads().iter().flat_map(|head| head.0).collect())
    }

    fn updates_for(&mut self, version: &[u8]) -> Result<Vec<u8>> {
        let heads = version.chunks(size_of::<ChangeHash>()).map(ChangeHash::try_from);
        // Heads it does not hold say nothing to it.
        let held = heads
            .filter(|head| head.as_ref().map_or(true, |head| self.doc.get_change_by_hash(head).is_some()));
        let held: Vec<ChangeHash> = held.collect::<Result<_, _>>()?;
        Ok(self.doc.save_after(&held))
    }

    fn live(&mut self) -> Result<Vec<u8>> {
        let change = self.doc.get_last_local_change().context("no change")?;
        Ok(change.raw_bytes().to_vec())
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.doc.save())
    }
}

fn blob(position: Position) -> ScalarValue {
    ScalarValue::Bytes(position.iter().flat_map(|number| number.to_le_bytes()).collect())
}
