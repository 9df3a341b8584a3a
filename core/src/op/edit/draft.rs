//! The tree as the edits of one commit have made it so far, over the replica's.

use std::collections::BTreeMap;

use super::{EditFault, Texts};
use crate::clock::Stamp;
use crate::place::Place;
use crate::replica::{Children, NodeIx, Replica, Spot};

/// Where among siblings.
pub(super) enum Position {
    Before(String),
    After(String),
    /// Counted without the node itself; beyond the last is last.
    Index(usize),
}

/// What earlier edits of the commit changed.
pub(super) struct Draft<'a> {
    pub(super) replica: &'a Replica,
    /// The numbers of keys the replica has never heard of; they go on from its own.
    fresh: BTreeMap<String, NodeIx>,
    /// Nodes that stand elsewhere than in the replica, or do not live there, or not any more. Boxed: most commits have one,
    /// and a map makes room for many.
    changed: BTreeMap<NodeIx, Box<Standing>>,
    /// The children of nodes below which a place was sought, as the changes leave them.
    drafted: BTreeMap<NodeIx, Children>,
    pub(super) texts: Texts<'a>,
}

/// Where a node stands.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) parent: NodeIx,
    /// None where it is the birth's own.
    pub(crate) place: Option<Place>,
    pub(crate) birth: Stamp,
    /// Dead nodes keep their parent: what is below them still is.
    pub(crate) is_live: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(replica: &'a Replica) -> Self {
        Self {
            replica,
            fresh: BTreeMap::new(),
            changed: BTreeMap::new(),
            drafted: BTreeMap::new(),
            texts: Texts::new(replica),
        }
    }

    /// The node of a key, which may not live.
    fn node(&self, key: &str) -> Option<NodeIx> {
        self.replica.number(key).or_else(|| self.fresh.get(key).copied())
    }

    fn live(&self, key: &str) -> Option<NodeIx> {
        let is_live = |&node: &NodeIx| {
            self.changed.get(&node).map_or_else(|| self.replica.is_live_node(node), |changed| changed.is_live)
        };
        self.node(key).filter(is_live)
    }

    pub(super) fn key(&self, node: NodeIx) -> &str {
        let fresh = || self.fresh.iter().find(|(_, fresh)| **fresh == node).map(|(key, _)| &**key);
        self.replica.key_of(node).or_else(fresh).expect("every number is a key's")
    }

    pub(super) fn is_live(&self, key: &str) -> bool {
        self.live(key).is_some()
    }

    pub(super) fn expect_live(&self, key: &str) -> Result<(), EditFault> {
        if self.is_live(key) { Ok(()) } else { Err(EditFault::NodeMissing { key: key.to_owned() }) }
    }

    pub(super) fn expect_parent(&self, key: &str) -> Result<NodeIx, EditFault> {
        self.live(key).ok_or_else(|| EditFault::ParentMissing { key: key.to_owned() })
    }

    /// A live node that is not the root.
    pub(super) fn expect_movable(&self, key: &str) -> Result<NodeIx, EditFault> {
        let node = self.live(key).ok_or_else(|| EditFault::NodeMissing { key: key.to_owned() })?;
        if node == Replica::ROOT { Err(EditFault::RootFixed) } else { Ok(node) }
    }

    fn standing(&self, node: NodeIx) -> Option<Standing> {
        match self.changed.get(&node) {
            Some(changed) => Some(Standing::clone(changed)).filter(|changed| changed.is_live),
            None => self.replica.standing(node),
        }
    }

    /// The last parent of a node; none of the root.
    pub(super) fn parent(&self, node: NodeIx) -> Option<NodeIx> {
        let changed = self.changed.get(&node).map(|changed| changed.parent);
        changed.or_else(|| self.replica.last_parent(node))
    }

    pub(super) fn remove(&mut self, key: &str) -> Result<(), EditFault> {
        let node = self.expect_movable(key)?;
        if let Some(standing) = self.standing(node) {
            self.change(node, Standing { is_live: false, ..standing });
        }
        Ok(())
    }

    /// Begins a life.
    pub(super) fn put(&mut self, node: NodeIx, parent: NodeIx, place: Option<Place>, birth: Stamp) {
        self.change(node, Standing { parent, place, birth, is_live: true });
    }

    /// The number of a key, a new one where it has none.
    pub(super) fn mention(&mut self, key: &str) -> NodeIx {
        self.node(key).unwrap_or_else(|| {
            let node = NodeIx::of(self.replica.next_number().at() + self.fresh.len());
            self.fresh.insert(key.to_owned(), node);
            node
        })
    }

    pub(super) fn relocate(&mut self, node: NodeIx, parent: NodeIx, place: Option<Place>) {
        if let Some(standing) = self.standing(node) {
            let place = place.or(standing.place);
            self.change(node, Standing { parent, place, ..standing });
        }
    }

    /// Notes where a node stands, and lets the lists that are drafted already follow.
    fn change(&mut self, node: NodeIx, standing: Standing) {
        if let Some(old) = self.standing(node)
            && let Some(siblings) = self.drafted.get(&old.parent)
        {
            let spot = self.spot(siblings, node);
            self.drafted.entry(old.parent).and_modify(|siblings| {
                siblings.remove(spot);
            });
        }
        let (parent, is_live) = (standing.parent, standing.is_live);
        self.changed.insert(node, Box::new(standing));
        if is_live && let Some(siblings) = self.drafted.get(&parent) {
            let spot = self.spot(siblings, node);
            self.drafted.entry(parent).and_modify(|siblings| siblings.insert(spot, node));
        }
    }

    /// Whether `node` is `ancestor` or below it, through dead nodes' last parents too.
    pub(super) fn is_under(&self, node: NodeIx, ancestor: NodeIx) -> bool {
        let way_up = std::iter::successors(Some(node), |&at| self.parent(at));
        // Hidden nodes may form a ring; no way up is longer than there are nodes.
        let longest = self.replica.next_number().at() + self.fresh.len();
        way_up.take(longest).any(|at| at == ancestor)
    }

    /// The parent of the node a position names.
    pub(super) fn parent_of_sibling(&self, position: Option<&Position>) -> Option<NodeIx> {
        match position? {
            Position::Before(key) | Position::After(key) => self.parent(self.live(key)?),
            Position::Index(_) => None,
        }
    }

    /// A place for `node` at that position below `parent`.
    pub(super) fn place(
        &mut self,
        node: NodeIx,
        parent: NodeIx,
        position: &Position,
        stamp: Stamp,
    ) -> Result<Place, EditFault> {
        self.draft_children(parent);
        let none = Children::default();
        let drafted = self.drafted.get(&parent);
        let siblings = drafted.or_else(|| self.replica.children(parent)).unwrap_or(&none);
        let index_of = |node: NodeIx| {
            let is_here = self.standing(node).is_some_and(|standing| standing.parent == parent);
            is_here.then(|| siblings.index(self.spot(siblings, node)))
        };
        // From here on indexes count without the node itself.
        let own = index_of(node);
        let find = |key: &String| {
            let sibling = self.live(key).filter(|&sibling| sibling != node);
            let index = sibling.and_then(index_of);
            let missing =
                || EditFault::SiblingMissing { key: key.clone(), parent: self.key(parent).to_owned() };
            index.map(|index| index - usize::from(own.is_some_and(|own| own < index))).ok_or_else(missing)
        };
        let index = match position {
            Position::Before(sibling) => find(sibling)?,
            Position::After(sibling) => find(sibling)? + 1,
            Position::Index(index) => (*index).min(siblings.len() - usize::from(own.is_some())),
        };
        let place = |index: usize| {
            let sibling = siblings.get(index + usize::from(own.is_some_and(|own| own <= index)))?;
            let (place, birth) = self.rank(sibling);
            Some(place.cloned().unwrap_or_else(|| Place::at(birth)))
        };
        let low = index.checked_sub(1).and_then(place);
        Ok(Place::between(low.as_ref(), place(index).as_ref(), stamp)?)
    }

    /// Makes a list of its own for a parent, if anything has changed at all.
    fn draft_children(&mut self, parent: NodeIx) {
        if self.changed.is_empty() || self.drafted.contains_key(&parent) {
            return;
        }
        let replica = self.replica;
        let mut children = replica.children(parent).cloned().unwrap_or_default();
        for &node in self.changed.keys() {
            if replica.standing(node).is_some_and(|standing| standing.parent == parent) {
                let own = replica.rank(node);
                let rough = Place::rough(own.0, own.1);
                let spot = children.seek(rough, |other| Place::compare(replica.rank(other), own).is_lt());
                children.remove(spot);
            }
        }
        let here = |standing: &Standing| standing.is_live && standing.parent == parent;
        for (&node, _) in self.changed.iter().filter(|(_, standing)| here(standing)) {
            let spot = self.spot(&children, node);
            children.insert(spot, node);
        }
        self.drafted.insert(parent, children);
    }

    /// Where a node stands, or belongs, in a list of siblings.
    fn spot(&self, siblings: &Children, node: NodeIx) -> Spot {
        let own = self.rank(node);
        siblings.seek(Place::rough(own.0, own.1), |other| Place::compare(self.rank(other), own).is_lt())
    }

    fn rank(&self, node: NodeIx) -> (Option<&Place>, Stamp) {
        match self.changed.get(&node) {
            Some(changed) => (changed.place.as_ref(), changed.birth),
            None => self.replica.rank(node),
        }
    }
}
