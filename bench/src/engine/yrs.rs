//! `yrs`: one map per node in the map `scene`, and its text; it has neither counters nor movable trees.
//!
//! Each client counts in an entry of its own, which is how counters are made with it. Deleted content is kept (`skip_gc`),
//! since the others keep their history too. Saved with the second version of its format, exchanged with the first.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use yrs::undo::{Options as UndoOptions, UndoManager};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, ClientID, Doc, GetString, Map, MapPrelim, MapRef, Number, Options, Out, ReadTxn, StateVector, Text,
    TextRef, Transact, TransactionMut, Update,
};

use super::{Ability, Engine, Position};
use crate::trace::Splice;

/// The engine.
pub(super) struct Yrs;

impl Engine for Yrs {
    fn name(&self) -> &'static str {
        "yrs"
    }

    fn can(&self, ability: Ability) -> bool {
        ability != Ability::Tree
    }

    fn create(&self, number: u8) -> Box<dyn super::Replica> {
        Box::new(YrsReplica::new(number))
    }

    fn load(&self, number: u8, saved: &[u8]) -> Result<Box<dyn super::Replica>> {
        let replica = YrsReplica::new(number);
        replica.doc.transact_mut().apply_update(Update::decode_v2(saved)?)?;
        Ok(Box::new(replica))
    }
}

struct YrsReplica {
    doc: Doc,
    scene: MapRef,
    client: String,
    nodes: Vec<MapRef>,
    counters: Vec<MapRef>,
    text: TextRef,
    known: StateVector,
    /// The last commit as a message, once these are asked for.
    live: Option<Vec<u8>>,
    undo: Option<UndoManager<()>>,
}

impl YrsReplica {
    fn new(number: u8) -> Self {
        let mut options = Options::with_client_id(ClientID::new(u64::from(number)));
        options.skip_gc = true;
        let doc = Doc::with_options(options);
        let scene = doc.get_or_insert_map("scene");
        let text = doc.get_or_insert_text("text");
        Self {
            doc,
            scene,
            client: number.to_string(),
            nodes: Vec::new(),
            counters: Vec::new(),
            text,
            known: StateVector::default(),
            live: None,
            undo: None,
        }
    }

    fn create_maps(&self, what: &str, count: u32) -> Vec<MapRef> {
        let mut txn = self.doc.transact_mut();
        let names = (0..count).map(|number| format!("{what}-{number}"));
        names.map(|name| self.scene.insert(&mut txn, name, MapPrelim::default())).collect()
    }

    fn find_maps(&self, what: &str, count: u32) -> Result<Vec<MapRef>> {
        let txn = self.doc.transact();
        let find = |number| match self.scene.get(&txn, &format!("{what}-{number}")) {
            Some(Out::YMap(map)) => Ok(map),
            other => bail!("{what} {number} is {other:?}"),
        };
        (0..count).map(find).collect()
    }
}

impl super::Replica for YrsReplica {
    fn create_nodes(&mut self, count: u32) -> Result<()> {
        self.nodes = self.create_maps("node", count);
        let mut txn = self.doc.transact_mut();
        for node in &self.nodes {
            node.insert(&mut txn, "position", any([0.0; 3]));
        }
        Ok(())
    }

    fn find_nodes(&mut self, count: u32) -> Result<()> {
        self.nodes = self.find_maps("node", count)?;
        Ok(())
    }

    fn set_position(&mut self, node: u32, position: Position) -> Result<()> {
        let mut txn = self.doc.transact_mut();
        self.nodes[node as usize].insert(&mut txn, "position", any(position));
        finish(&mut txn, &mut self.live);
        Ok(())
    }

    fn position(&self, node: u32) -> Result<Position> {
        let txn = self.doc.transact();
        let Some(Out::Any(Any::Array(list))) = self.nodes[node as usize].get(&txn, "position") else {
            bail!("no position");
        };
        let [Any::Number(x), Any::Number(y), Any::Number(z)] = *list else { bail!("no vector") };
        Ok([x, y, z].map(|number| float(number) as f32))
    }

    fn create_counters(&mut self, count: u32) -> Result<()> {
        self.counters = self.create_maps("counter", count);
        Ok(())
    }

    fn find_counters(&mut self, count: u32) -> Result<()> {
        self.counters = self.find_maps("counter", count)?;
        Ok(())
    }

    fn increment(&mut self, counter: u32) -> Result<()> {
        let counter = &self.counters[counter as usize];
        let mut txn = self.doc.transact_mut();
        let own = match counter.get(&txn, &self.client) {
            Some(Out::Any(Any::Number(own))) => float(own),
            _ => 0.0,
        };
        counter.insert(&mut txn, self.client.as_str(), Any::Number(Number::Float(own + 1.0)));
        Ok(())
    }

    fn counter(&self, counter: u32) -> Result<u64> {
        let txn = self.doc.transact();
        let mut sum = 0.0;
        for (_, value) in self.counters[counter as usize].iter(&txn) {
            let Out::Any(Any::Number(one)) = value else { bail!("no number") };
            sum += float(one);
        }
        Ok(sum as u64)
    }

    fn track_undo(&mut self) -> Result<()> {
        // Zero groups nothing, so each edit is a step.
        let mut undo =
            UndoManager::with_options(UndoOptions { capture_timeout_millis: 0, ..UndoOptions::default() });
        undo.expand_scope(&self.doc, &self.scene);
        self.undo = Some(undo);
        Ok(())
    }

    fn undo(&mut self) -> Result<()> {
        let undo = self.undo.as_mut().context("undo is not tracked")?;
        ensure!(undo.undo_blocking(), "nothing to undo");
        Ok(())
    }

    fn create_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn find_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn splice(&mut self, splices: &[Splice]) -> Result<()> {
        let mut txn = self.doc.transact_mut();
        for Splice { at, deleted, inserted } in splices {
            let at = u32::try_from(*at)?;
            if *deleted > 0 {
                self.text.remove_range(&mut txn, at, u32::try_from(*deleted)?);
            }
            self.text.insert(&mut txn, at, inserted);
        }
        finish(&mut txn, &mut self.live);
        Ok(())
    }

    fn text(&self) -> Result<String> {
        Ok(self.text.get_string(&self.doc.transact()))
    }

    fn updates(&mut self) -> Result<Vec<u8>> {
        let txn = self.doc.transact();
        let bytes = txn.encode_diff_v1(&self.known);
        self.known = txn.state_vector();
        Ok(bytes)
    }

    fn merge(&mut self, updates: &[u8]) -> Result<()> {
        let mut txn = self.doc.transact_mut();
        txn.apply_update(Update::decode_v1(updates)?)?;
        self.known = txn.state_vector();
        Ok(())
    }

    fn version(&mut self) -> Result<Vec<u8>> {
        Ok(self.doc.transact().state_vector().encode_v1())
    }

    fn updates_for(&mut self, version: &[u8]) -> Result<Vec<u8>> {
        Ok(self.doc.transact().encode_diff_v1(&StateVector::decode_v1(version)?))
    }

    fn go_live(&mut self) -> Result<()> {
        self.live = Some(Vec::new());
        Ok(())
    }

    fn live(&mut self) -> Result<Vec<u8>> {
        self.live.as_mut().map(std::mem::take).context("it is not live")
    }

    fn take_live(&mut self, _sender: u8, message: &[u8]) -> Result<()> {
        Ok(self.doc.transact_mut().apply_update(Update::decode_v1(message)?)?)
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.doc.transact().encode_state_as_update_v2(&StateVector::default()))
    }
}

fn finish(txn: &mut TransactionMut<'_>, live: &mut Option<Vec<u8>>) {
    if let Some(live) = live {
        txn.commit();
        *live = txn.encode_update_v1();
    }
}

fn any(position: Position) -> Any {
    Any::Array(Arc::new(position.map(|number| Any::Number(Number::Float(f64::from(number))))))
}

fn float(number: Number) -> f64 {
    match number {
        Number::Float(float) => float,
        Number::Int(integer) => integer as f64,
    }
}
