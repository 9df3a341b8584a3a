//! Standing on a ground, and becoming one: what is left when messages are forgotten (DESIGN §3, law 14).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::held::Subject;
use super::history::History;
use super::index::{NodeIx, PathIx};
use super::{Engine, Rights, Verdicts};
use crate::canonical::Writer;
use crate::clock::Stamp;
use crate::ground::{Ground, GroundLife, GroundNode, REQUESTS_KEPT, Unfoldable};
use crate::op::text::Content;
use crate::op::{Kind, OpCode};
use crate::place::Place;
use crate::raw::Raw;
use crate::scene::Root;
use crate::value::Value;

impl Engine {
    /// A room of which nothing is held but a ground. Messages that are part of it are not taken in any more; all others have
    /// seen it, which is for admission to say.
    pub fn on(ground: &Ground, root: Root) -> Self {
        let mut replica = Self::new(root);
        replica.ground = Arc::new(ground.clone());
        replica.history.stand_on(ground);
        if !ground.charter.members.is_empty() {
            replica.rights = Rights::new(&ground.charter);
        }
        for (key, request) in &ground.requests {
            replica.requests.forget(*key, request);
        }
        for (key, node) in &ground.nodes {
            replica.stand_node(key, node);
        }
        replica.settle();
        replica.drop_changes();
        replica
    }

    fn stand_node(&mut self, key: &str, ground: &GroundNode) {
        let node = self.node_number(key);
        let parent = ground.parent.as_deref().map(|parent| self.node_number(parent));
        let mut properties = &BTreeMap::new();
        match &ground.life {
            GroundLife::Never => {}
            GroundLife::Ended => self.nodes[node.at()].life.stand_ended(),
            GroundLife::Lives { stands: None, properties: of_root, .. } => properties = of_root,
            GroundLife::Lives { stands: Some((stamp, place)), tag, name, properties: held } => {
                properties = held;
                let mut options = BTreeMap::from([
                    ("tag".to_owned(), tag.as_str().into()),
                    ("name".to_owned(), name.as_str().into()),
                ]);
                if *place != Place::at(*stamp) {
                    // That there is one counts; what it is stands beside.
                    options.insert("place".to_owned(), Value::Null);
                }
                let mut writer = Writer::new();
                writer.value_map(&options);
                let (options, insert) = (writer.finish(), OpCode::named("node.insert").expect("it is a row"));
                let subject = Subject::Standing { node, parent: None };
                let birth = self.history.relic(stamp, insert, subject, Raw::of_checked(&options));
                if *place != Place::at(*stamp) {
                    self.places.insert(birth, place.clone());
                }
                self.nodes[node.at()].life.stand(birth, &self.history);
            }
        }
        self.tree.stand(node, parent);
        if let Some(parent) = parent {
            // It may never have been inserted, and is to be.
            self.nodes[parent.at()].named += 1;
        }
        let record = &mut self.nodes[node.at()];
        // Whoever inserts it again is not the first.
        record.inserts = 1;
        record.named += 1;
        self.stale_nodes.push(node);
        let paths: BTreeSet<&String> =
            ground.texts.keys().chain(ground.lists.keys()).chain(properties.keys()).collect();
        for path in paths {
            let ix = PathIx::of(self.history.paths.number(path));
            let cell = self.cell_number(node, ix);
            let relic = |history: &mut History, stamp: &Stamp, code: OpCode| {
                let is_insert = code.row().is_some_and(|row| matches!(row.kind, Kind::Insert));
                let standing = Subject::Standing { node, parent: None };
                let subject = if is_insert { standing } else { Subject::Cell(cell) };
                history.relic(stamp, code, subject, Raw::EMPTY_MAP)
            };
            let base = properties
                .get(path)
                .map(|base| (relic(&mut self.history, &base.by, base.code), base.clone()));
            self.cells[cell.at()].stand(base, Content::ALL.map(|content| ground.kept(path, content)));
            self.mark_cell(cell);
        }
    }

    /// What is left of the room when everything held is forgotten. Costs a walk over everything.
    ///
    /// # Errors
    /// Where an op is held that a newer version may know: nothing is forgotten past it.
    pub fn ground(&self) -> Result<Ground, Unfoldable> {
        if let Some(reason) = self.history.newest().find_map(|message| self.unfoldable(message)) {
            return Err(reason);
        }
        let mut requests = self.requests.in_order(&self.history);
        requests.drain(..requests.len().saturating_sub(REQUESTS_KEPT));
        let mut verdicts = self.verdicts.clone();
        let mut node = |number| self.to_ground(NodeIx::of(number), &mut verdicts);
        let nodes = self.keys.iter().map(|(key, number)| (key.to_owned(), node(number)));
        Ok(Ground {
            version: self.version_vector(),
            lamport: self.lamport_max(),
            requests,
            origins: self.history.origins(),
            charter: self.charter(),
            nodes: nodes.filter(|(_, node)| *node != GroundNode::default()).collect(),
        })
    }

    fn to_ground(&self, node: NodeIx, verdicts: &mut Verdicts) -> GroundNode {
        let record = &self.nodes[node.at()];
        let mut properties = BTreeMap::new();
        let (mut texts, mut lists) = (BTreeMap::new(), BTreeMap::new());
        for cell in record.cells().map(|cell| &self.cells[cell.at()]) {
            let path = self.history.paths.text(cell.path.at());
            let (base, [characters, elements]) = cell.to_ground(&record.life, &self.history, verdicts);
            properties.extend(base.map(|base| (path.to_owned(), base)));
            for (kept, by_path) in [(characters, &mut texts), (elements, &mut lists)] {
                if !kept.is_empty() {
                    by_path.insert(path.to_owned(), kept);
                }
            }
        }
        let (tag, name) = self.tag_and_name(node);
        let life = match (record.life.is_alive(), record.life.has_begun()) {
            (true, _) => GroundLife::Lives {
                stands: record.shown.map(|shown| {
                    let birth = self.history.stamp(shown.birth);
                    let place = shown.placed_by.and_then(|op| self.places.get(&op)).cloned();
                    (birth, place.unwrap_or(Place::at(birth)))
                }),
                tag: tag.to_owned(),
                name: name.to_owned(),
                properties,
            },
            (false, true) => GroundLife::Ended,
            (false, false) => GroundLife::Never,
        };
        GroundNode {
            parent: self.tree.parents().of(node).map(|parent| self.key(parent).to_owned()),
            life,
            texts,
            lists,
        }
    }
}
