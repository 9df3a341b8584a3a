//! The tree as the edits of one commit have made it so far, over the replica's.

use std::collections::BTreeMap;

use super::{EditFault, Texts};
use crate::clock::Stamp;
use crate::place::Place;
use crate::replica::Replica;

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
    /// Nodes that stand elsewhere than in the replica; none where they are removed.
    changed: BTreeMap<String, Option<Standing>>,
    pub(super) texts: Texts<'a>,
}

/// Where a node stands.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) parent: String,
    pub(crate) place: Place,
    pub(crate) birth: Stamp,
}

impl<'a> Draft<'a> {
    pub(super) fn new(replica: &'a Replica) -> Self {
        Self { replica, changed: BTreeMap::new(), texts: Texts::new(replica) }
    }

    pub(super) fn is_live(&self, key: &str) -> bool {
        self.changed.get(key).map_or_else(|| self.replica.is_live(key), Option::is_some)
    }

    pub(super) fn expect_live(&self, key: &str) -> Result<(), EditFault> {
        if self.is_live(key) { Ok(()) } else { Err(EditFault::NodeMissing { key: key.to_owned() }) }
    }

    pub(super) fn expect_parent(&self, key: &str) -> Result<(), EditFault> {
        if self.is_live(key) { Ok(()) } else { Err(EditFault::ParentMissing { key: key.to_owned() }) }
    }

    /// The parent of a live node that is not the root.
    pub(super) fn expect_movable(&self, key: &str) -> Result<String, EditFault> {
        self.expect_live(key)?;
        self.standing(key).map(|standing| standing.parent).ok_or(EditFault::RootFixed)
    }

    fn standing(&self, key: &str) -> Option<Standing> {
        match self.changed.get(key) {
            Some(changed) => changed.clone(),
            None => self.replica.standing(key),
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Result<(), EditFault> {
        self.expect_movable(key)?;
        self.changed.insert(key.to_owned(), None);
        Ok(())
    }

    pub(super) fn put(&mut self, key: &str, parent: String, place: Option<Place>, birth: Stamp) {
        let place = place.unwrap_or_else(|| Place::at(birth));
        self.changed.insert(key.to_owned(), Some(Standing { parent, place, birth }));
    }

    pub(super) fn relocate(&mut self, key: &str, parent: String, place: Option<Place>) {
        if let Some(standing) = self.standing(key) {
            let place = place.unwrap_or(standing.place);
            self.changed.insert(key.to_owned(), Some(Standing { parent, place, birth: standing.birth }));
        }
    }

    /// Whether `key` is `ancestor` or below it.
    pub(super) fn is_under(&self, key: &str, ancestor: &str) -> bool {
        let mut at = key.to_owned();
        // Hidden nodes may form a ring; no way up is longer than there are nodes.
        for _ in 0..=self.replica.nodes_live() + self.changed.len() {
            if at == ancestor {
                return true;
            }
            match self.standing(&at) {
                Some(standing) => at = standing.parent,
                None => return false,
            }
        }
        false
    }

    /// The parent of the node a position names.
    pub(super) fn parent_of_sibling(&self, position: Option<&Position>) -> Option<String> {
        match position? {
            Position::Before(key) | Position::After(key) => {
                self.standing(key).map(|standing| standing.parent)
            }
            Position::Index(_) => None,
        }
    }

    /// A place for `key` at that position below `parent`.
    pub(super) fn place(
        &self,
        key: &str,
        parent: &str,
        position: &Position,
        stamp: Stamp,
    ) -> Result<Place, EditFault> {
        let siblings = Siblings::of(self, key, parent);
        let find = |sibling: &String| {
            let missing = || EditFault::SiblingMissing { key: sibling.clone(), parent: parent.to_owned() };
            siblings.index_of(sibling).ok_or_else(missing)
        };
        let index = match position {
            Position::Before(sibling) => find(sibling)?,
            Position::After(sibling) => find(sibling)? + 1,
            Position::Index(index) => (*index).min(siblings.len()),
        };
        let low = index.checked_sub(1).and_then(|low| siblings.place(low));
        Ok(Place::between(low.as_ref(), siblings.place(index).as_ref(), stamp)?)
    }
}

/// The children of one node without the one that is to be placed.
enum Siblings<'a> {
    /// As the replica has them, the node itself standing at that index.
    Unchanged { replica: &'a Replica, parent: &'a str, own: Option<usize> },
    /// The commit has touched some.
    Drafted(Vec<(String, Standing)>),
}

impl<'a> Siblings<'a> {
    fn of(draft: &Draft<'a>, key: &str, parent: &'a str) -> Self {
        let replica = draft.replica;
        if draft.changed.is_empty() {
            return Self::Unchanged { replica, parent, own: replica.child_index(parent, key) };
        }
        let kept = (0..replica.child_count(parent)).filter_map(|index| replica.child(parent, index));
        let mut siblings: Vec<(String, Standing)> =
            kept.filter(|(key, _)| !draft.changed.contains_key(key)).collect();
        let drafted =
            draft.changed.iter().filter_map(|(key, standing)| Some((key.clone(), standing.clone()?)));
        siblings.extend(drafted.filter(|(_, standing)| standing.parent == parent));
        siblings.retain(|(sibling, _)| sibling != key);
        siblings.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place).then(a.birth.cmp(&b.birth)));
        Self::Drafted(siblings)
    }

    fn len(&self) -> usize {
        match self {
            Self::Unchanged { replica, parent, own } => {
                replica.child_count(parent) - usize::from(own.is_some())
            }
            Self::Drafted(siblings) => siblings.len(),
        }
    }

    fn index_of(&self, key: &str) -> Option<usize> {
        match self {
            Self::Unchanged { replica, parent, own } => {
                let index = replica.child_index(parent, key).filter(|index| Some(*index) != *own)?;
                Some(index - usize::from(own.is_some_and(|own| own < index)))
            }
            Self::Drafted(siblings) => siblings.iter().position(|(sibling, _)| sibling == key),
        }
    }

    fn place(&self, index: usize) -> Option<Place> {
        match self {
            Self::Unchanged { replica, parent, own } => {
                let index = index + usize::from(own.is_some_and(|own| own <= index));
                replica.child(parent, index).map(|(_, standing)| standing.place)
            }
            Self::Drafted(siblings) => siblings.get(index).map(|(_, standing)| standing.place.clone()),
        }
    }
}
