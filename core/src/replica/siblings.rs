//! Where nodes stand among their siblings, for those who want to put one in between.

use super::Replica;
use super::index::NodeIx;
use crate::op::Standing;
use crate::place::Place;

impl Replica {
    /// Where a live node stands; nothing for the root.
    pub(crate) fn standing(&self, key: &str) -> Option<Standing> {
        self.stands(self.live(key)?)
    }

    /// How many live nodes stand below that one.
    pub(crate) fn child_count(&self, parent: &str) -> usize {
        self.live(parent).map_or(0, |parent| self.nodes[parent.at()].children.len())
    }

    /// The child at that index, with where it stands.
    pub(crate) fn child(&self, parent: &str, index: usize) -> Option<(String, Standing)> {
        let child = *self.nodes[self.live(parent)?.at()].children.get(index)?;
        Some((self.key(child).to_owned(), self.stands(child)?))
    }

    /// At which index of the parent's children a live node stands; nothing where it stands elsewhere.
    pub(crate) fn child_index(&self, parent: &str, key: &str) -> Option<usize> {
        let (parent, child) = (self.live(parent)?, self.live(key)?);
        let shown = self.nodes[child.at()].shown?;
        (shown.parent == parent).then(|| self.place_among_siblings(child, parent))
    }

    fn stands(&self, node: NodeIx) -> Option<Standing> {
        let shown = self.nodes[node.at()].shown?;
        let birth = self.history.stamp(shown.birth);
        let given = shown.placed_by.and_then(|op| self.places.get(&op)).cloned();
        Some(Standing {
            parent: self.key(shown.parent).to_owned(),
            place: given.unwrap_or(Place::at(birth)),
            birth,
        })
    }
}
