//! Standing on a ground, and becoming one: what is left when messages are forgotten (DESIGN §3, law 14).

use std::collections::BTreeMap;

use super::index::{NodeIx, PathIx};
use super::{Replica, Verdicts};
use crate::ground::{Brought, Ground, GroundLife, GroundNode, REQUESTS_KEPT, Unfoldable};
use crate::op::OpCode;
use crate::place::Place;
use crate::scene::Root;
use crate::value::Value;

impl Replica {
    /// A room of which nothing is held but a ground. Messages that are part of it are not taken in any more; all others have
    /// seen it, which is for admission to say.
    pub fn on(ground: &Ground, root: Root) -> Self {
        let mut replica = Self::new(root);
        replica.history.stand_on(&ground.version, ground.lamport);
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
                let insert = OpCode::named("node.insert").expect("the table has it");
                let birth = self.history.relic(stamp, insert, node, None);
                let mut options: BTreeMap<String, Value> =
                    [("tag".to_owned(), tag.as_str().into()), ("name".to_owned(), name.as_str().into())]
                        .into();
                if *place != Place::at(*stamp) {
                    // That there is one counts; what it is stands beside.
                    options.insert("place".to_owned(), Value::Null);
                    self.places.insert(birth, place.clone());
                }
                self.history.set_options(birth, options);
                self.nodes[node.at()].life.stand(birth, &self.history);
            }
        }
        let record = &mut self.nodes[node.at()];
        record.parent = parent;
        // Whoever inserts it again is not the first.
        (record.inserts, record.named) = (1, 1);
        self.stale_nodes.insert(node);
        for path in
            ground.texts.keys().chain(properties.keys().filter(|path| !ground.texts.contains_key(*path)))
        {
            let path_ix = PathIx::of(self.history.paths.number(path));
            let base = properties.get(path);
            let base = base.map(|base| (self.history.relic(&base.by, base.code, node, Some(path_ix)), base));
            let texts = ground.texts.get(path).map(Vec::as_slice).unwrap_or_default();
            let number = |brought: &Brought, history: &mut super::History| {
                history.relic(&brought.by, brought.code, node, Some(path_ix))
            };
            let texts: Vec<_> =
                texts.iter().map(|brought| (number(brought, &mut self.history), brought)).collect();
            let cell = self.cell_number(node, path_ix);
            self.cells[cell.at()].stand(base, &texts, &self.history);
            self.mark_cell(cell);
        }
    }

    /// What is left of the room when everything held is forgotten. Costs a walk over everything.
    ///
    /// # Errors
    /// Where an op is held that a newer version may know: nothing is forgotten past it.
    pub fn ground(&self) -> Result<Ground, Unfoldable> {
        for &message in self.history.order() {
            for op in self.history.ops_of(message) {
                let held = self.history.op(op);
                if held.row.is_none()
                    && let Err(reason) = self.op(op).resolve()
                {
                    Unfoldable::check(self.history.dot(message), held.index, &reason)?;
                }
            }
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
            nodes: nodes.filter(|(_, node)| *node != GroundNode::default()).collect(),
        })
    }

    fn to_ground(&self, node: NodeIx, verdicts: &mut Verdicts) -> GroundNode {
        let record = &self.nodes[node.at()];
        let mut properties = BTreeMap::new();
        let mut texts = BTreeMap::new();
        for cell in record.cells.iter().map(|cell| &self.cells[cell.at()]) {
            let path = self.history.paths.text(cell.path.at());
            let (base, brought) = cell.to_ground(&record.life, &self.history, verdicts);
            properties.extend(base.map(|base| (path.to_owned(), base)));
            if !brought.is_empty() {
                texts.insert(path.to_owned(), brought);
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
        GroundNode { parent: record.parent.map(|parent| self.key(parent).to_owned()), life, texts }
    }
}
