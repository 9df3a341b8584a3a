//! Whether a ground that was read can be stood on: everything that is named in it is there.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{is_move, unexpected};
use super::run::Rest;
use super::{Brought, Form, Ground, GroundLife, Spot};
use crate::canonical::DecodeError;
use crate::clock::Stamp;
use crate::id::Dot;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::op::text::{CharId, Content};

impl Ground {
    /// Whether everything that is named is there.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        let covers = |stamp: &Stamp| self.version.covers(&stamp.dot()) && stamp.lamport <= self.lamport;
        let roots =
            self.nodes.values().filter(|node| matches!(node.life, GroundLife::Lives { stands: None, .. }));
        if roots.clone().count() > 1 || roots.clone().any(|root| root.parent.is_some()) {
            return Err(unexpected("one root, which stands below nothing"));
        }
        for node in self.nodes.values() {
            for texts in node.texts.values().chain(node.lists.values()) {
                check_texts(texts, covers)?;
                if texts.iter().filter_map(|brought| brought.origin).any(|dot| !self.origins.contains(&dot)) {
                    return Err(unexpected("messages that were issued again"));
                }
            }
            let GroundLife::Lives { stands, properties, .. } = &node.life else { continue };
            if stands.as_ref().is_some_and(|(birth, _)| !covers(birth)) {
                return Err(unexpected("a birth behind the horizon"));
            }
            for (path, base) in properties {
                let content = if base.value.as_list().is_some() { Content::List } else { Content::Text };
                let whole = (base.form == Form::Whole).then(|| content.len(&base.value)).flatten();
                let (chars, texts) = (whole.unwrap_or(0), node.brought(path, content));
                let is_brought = |brought: &Brought| brought.by == base.by && brought.len == chars;
                if !covers(&base.by) || (chars > 0 && !texts.iter().any(is_brought)) {
                    return Err(unexpected("a value's op and its characters"));
                }
            }
        }
        Ok(())
    }
}

fn check_texts(texts: &[Brought], covers: impl Fn(&Stamp) -> bool) -> Result<(), DecodeError> {
    let mut held: BTreeMap<(Dot, u32), u32> = BTreeMap::new();
    let mut before = None;
    let (mut positions, mut moved) = (BTreeSet::new(), BTreeSet::new());
    for brought in texts {
        let is_there = |id: &CharId| held.get(&(id.dot, id.index)).is_some_and(|&len| id.offset < len);
        let named = match &brought.spot {
            Spot::Before(id) => [Some(id), None],
            Spot::After(left, until) => [left.as_ref(), until.as_ref().and_then(Option::as_ref)],
            Spot::Last => [None, None],
        };
        if brought.len == 0 || brought.len as usize > MESSAGE_BYTES_MAX {
            return Err(unexpected("as many characters as one op can bring"));
        }
        let follows = before.replace(brought.by).is_none_or(|before| before < brought.by);
        if !follows || !covers(&brought.by) || !named.into_iter().flatten().all(is_there) {
            return Err(unexpected("characters after those they stand beside"));
        }
        let mut free = 0;
        for (from, run) in &brought.shown {
            let len = Rest::of(run).len();
            let end = u64::from(*from) + len;
            // A gap lies between two runs.
            if u64::from(*from) < free || len == 0 || end > u64::from(brought.len) {
                return Err(unexpected("runs of the characters there are"));
            }
            free = end + 1;
        }
        if let Some(id) = &brought.element
            && (!is_there(id) || positions.contains(&(id.dot, id.index)) || !moved.insert(*id))
        {
            return Err(unexpected("the one move of an element"));
        }
        if is_move(brought.code) {
            positions.insert(brought.name());
        }
        if held.insert(brought.name(), brought.len).is_some() {
            return Err(unexpected("each op once"));
        }
    }
    Ok(())
}
