//! `loro`: one map per node in the map `scene`, its counters, its movable tree and its text.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use loro::{
    ExportMode, LoroCounter, LoroDoc, LoroMap, LoroText, LoroTree, LoroValue, TreeID, TreeParentId,
    UndoManager, ValueOrContainer, VersionVector,
};

use super::{Ability, Engine, Position};
use crate::trace::Splice;

/// The engine.
pub(super) struct Loro;

impl Engine for Loro {
    fn name(&self) -> &'static str {
        "loro"
    }

    fn can(&self, _ability: Ability) -> bool {
        true
    }

    fn create(&self, number: u8) -> Box<dyn super::Replica> {
        Box::new(LoroReplica::of(LoroDoc::new(), number))
    }

    fn load(&self, number: u8, saved: &[u8]) -> Result<Box<dyn super::Replica>> {
        Ok(Box::new(LoroReplica::of(LoroDoc::from_snapshot(saved)?, number)))
    }
}

struct LoroReplica {
    doc: LoroDoc,
    scene: LoroMap,
    nodes: Vec<LoroMap>,
    counters: Vec<LoroCounter>,
    tree: LoroTree,
    tree_nodes: Vec<TreeID>,
    tree_numbers: BTreeMap<TreeID, u32>,
    text: LoroText,
    known: VersionVector,
    undo: Option<UndoManager>,
}

impl LoroReplica {
    fn of(doc: LoroDoc, number: u8) -> Self {
        doc.set_peer_id(u64::from(number)).expect("no transaction is open");
        Self {
            scene: doc.get_map("scene"),
            nodes: Vec::new(),
            counters: Vec::new(),
            tree: doc.get_tree("tree"),
            tree_nodes: Vec::new(),
            tree_numbers: BTreeMap::new(),
            text: doc.get_text("text"),
            known: doc.oplog_vv(),
            undo: None,
            doc,
        }
    }

    fn enter_tree(&mut self, id: TreeID) {
        self.tree_numbers.insert(id, self.tree_nodes.len() as u32);
        self.tree_nodes.push(id);
    }
}

impl super::Replica for LoroReplica {
    fn create_nodes(&mut self, count: u32) -> Result<()> {
        for number in 0..count {
            let node = self.scene.insert_container(&format!("node-{number}"), LoroMap::new())?;
            node.insert("position", list([0.0; 3]))?;
            self.nodes.push(node);
        }
        self.doc.commit();
        Ok(())
    }

    fn find_nodes(&mut self, count: u32) -> Result<()> {
        let find = |number| match self.scene.get(&format!("node-{number}")) {
            Some(ValueOrContainer::Container(container)) => {
                container.into_map().ok().with_context(|| format!("node {number} is no map"))
            }
            other => bail!("node {number} is {other:?}"),
        };
        self.nodes = (0..count).map(find).collect::<Result<_>>()?;
        Ok(())
    }

    fn set_position(&mut self, node: u32, position: Position) -> Result<()> {
        self.nodes[node as usize].insert("position", list(position))?;
        self.doc.commit();
        Ok(())
    }

    fn position(&self, node: u32) -> Result<Position> {
        let Some(ValueOrContainer::Value(LoroValue::List(list))) = self.nodes[node as usize].get("position")
        else {
            bail!("no position");
        };
        let [LoroValue::Double(x), LoroValue::Double(y), LoroValue::Double(z)] = list[..] else {
            bail!("no vector");
        };
        Ok([x as f32, y as f32, z as f32])
    }

    fn create_counters(&mut self, count: u32) -> Result<()> {
        for number in 0..count {
            let counter = self.scene.insert_container(&format!("counter-{number}"), LoroCounter::new())?;
            self.counters.push(counter);
        }
        self.doc.commit();
        Ok(())
    }

    fn find_counters(&mut self, count: u32) -> Result<()> {
        let find = |number| match self.scene.get(&format!("counter-{number}")) {
            Some(ValueOrContainer::Container(container)) => {
                container.into_counter().ok().with_context(|| format!("counter {number} is none"))
            }
            other => bail!("counter {number} is {other:?}"),
        };
        self.counters = (0..count).map(find).collect::<Result<_>>()?;
        Ok(())
    }

    fn increment(&mut self, counter: u32) -> Result<()> {
        self.counters[counter as usize].increment(1.0)?;
        self.doc.commit();
        Ok(())
    }

    fn counter(&self, counter: u32) -> Result<u64> {
        Ok(self.counters[counter as usize].get_value() as u64)
    }

    fn grow(&mut self, parent: Option<u32>) -> Result<()> {
        let parent = parent.map_or(TreeParentId::Root, |parent| self.tree_nodes[parent as usize].into());
        let id = self.tree.create(parent)?;
        self.doc.commit();
        self.enter_tree(id);
        Ok(())
    }

    fn find_tree(&mut self, count: u32) -> Result<()> {
        let mut ids = self.tree.nodes();
        ensure!(ids.len() == count as usize, "{} tree nodes", ids.len());
        // One replica made them all, so they are in order of its counter.
        ids.sort_by_key(|id| id.counter);
        (self.tree_nodes, self.tree_numbers) = Default::default();
        ids.into_iter().for_each(|id| self.enter_tree(id));
        Ok(())
    }

    fn move_below(&mut self, node: u32, parent: u32) -> Result<()> {
        self.tree.mov(self.tree_nodes[node as usize], self.tree_nodes[parent as usize])?;
        self.doc.commit();
        Ok(())
    }

    fn parent(&self, node: u32) -> Result<Option<u32>> {
        match self.tree.parent(self.tree_nodes[node as usize]).context("no node")? {
            TreeParentId::Node(id) => Ok(Some(self.tree_numbers[&id])),
            TreeParentId::Root => Ok(None),
            other => bail!("a parent {other:?}"),
        }
    }

    fn track_undo(&mut self) -> Result<()> {
        let mut undo = UndoManager::new(&self.doc);
        undo.set_max_undo_steps(usize::MAX);
        // Nothing is grouped, so each edit is a step.
        undo.set_merge_interval(0);
        self.undo = Some(undo);
        Ok(())
    }

    fn undo(&mut self) -> Result<()> {
        let undo = self.undo.as_mut().context("undo is not tracked")?;
        ensure!(undo.undo()?, "nothing to undo");
        Ok(())
    }

    fn create_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn find_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn splice(&mut self, splices: &[Splice]) -> Result<()> {
        for Splice { at, deleted, inserted } in splices {
            if *deleted > 0 {
                self.text.delete(*at, *deleted)?;
            }
            if !inserted.is_empty() {
                self.text.insert(*at, inserted)?;
            }
        }
        self.doc.commit();
        Ok(())
    }

    fn text(&self) -> Result<String> {
        Ok(self.text.to_string())
    }

    fn updates(&mut self) -> Result<Vec<u8>> {
        let bytes = self.doc.export(ExportMode::updates(&self.known))?;
        self.known = self.doc.oplog_vv();
        Ok(bytes)
    }

    fn merge(&mut self, updates: &[u8]) -> Result<()> {
        let status = self.doc.import(updates)?;
        ensure!(status.pending.is_none_or(|pending| pending.is_empty()), "something is missing");
        self.known = self.doc.oplog_vv();
        Ok(())
    }

    fn version(&mut self) -> Result<Vec<u8>> {
        Ok(self.doc.oplog_vv().encode())
    }

    fn updates_for(&mut self, version: &[u8]) -> Result<Vec<u8>> {
        let version = VersionVector::decode(version)?;
        Ok(self.doc.export(ExportMode::updates(&version))?)
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.doc.export(ExportMode::Snapshot)?)
    }
}

fn list(position: Position) -> LoroValue {
    LoroValue::from(position.map(|number| LoroValue::Double(f64::from(number))).to_vec())
}
