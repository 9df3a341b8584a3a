//! A map while its entries are written: of each key the last writer in order wins, be it a removal.
//!
//! Every key keeps who wrote it, removed ones too. So writes may come in any order, each at the cost of finding its key.

use std::collections::BTreeMap;

use super::history::History;
use super::index::OpIx;
use crate::op::EntryStep;
use crate::value::Value;

/// A map and who wrote its entries.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entries {
    held: BTreeMap<String, Entry>,
    /// The first in order of the writes here.
    first: OpIx,
}

/// What one key holds.
#[derive(Clone, PartialEq, Debug)]
struct Entry {
    /// None once it is removed.
    value: Option<Value>,
    /// None for what was there before all writes here.
    by: Option<OpIx>,
}

impl Entries {
    /// What was there before the write `first`.
    pub(super) fn new(map: BTreeMap<String, Value>, first: OpIx) -> Self {
        let before = |(key, value)| (key, Entry { value: Some(value), by: None });
        Self { held: map.into_iter().map(before).collect(), first }
    }

    /// The first in order of the writes here; nothing but writes has come since.
    pub(super) fn first(&self) -> OpIx {
        self.first
    }

    /// Lets an op write its entries, as if it came in its place.
    pub(super) fn write(&mut self, op: OpIx, step: EntryStep, history: &History) {
        if history.is_before(op, self.first) {
            self.first = op;
        }
        step(&history.op(op).value(), &mut |key, value| match self.held.get_mut(key) {
            Some(entry) if entry.by.is_some_and(|by| history.is_before(op, by)) => {}
            Some(entry) => *entry = Entry { value: value.cloned(), by: Some(op) },
            None => {
                self.held.insert(key.to_owned(), Entry { value: value.cloned(), by: Some(op) });
            }
        });
    }

    /// The map as it shows.
    pub(super) fn to_map(&self) -> BTreeMap<String, Value> {
        let shown = |(key, entry): (&String, &Entry)| Some((key.clone(), entry.value.clone()?));
        self.held.iter().filter_map(shown).collect()
    }
}
