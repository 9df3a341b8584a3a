//! A disk in memory: what was committed survives a crash, what was not does not. It may be full for a while.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::id::{Actor, Dot};
use crate::store::{Forgetting, GROUND, OUTSIDE, Record, Store, StoreError};

/// The journal and the facts of one room, as they survive a crash.
#[derive(Clone, Default)]
pub struct SimDisk {
    journal: Vec<Record>,
    index: BTreeMap<(Actor, u64), usize>,
    facts: BTreeMap<String, Vec<u8>>,
    is_full: bool,
}

impl SimDisk {
    /// Takes away its space, or gives it back.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }
}

impl Store for SimDisk {
    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        if self.is_full {
            return Err(StoreError::Full);
        }
        for record in records {
            let at = self.journal.len();
            if *self.index.entry((record.actor, record.seq)).or_insert(at) == at {
                self.journal.push(record.clone());
            }
        }
        Ok(())
    }

    fn read(&mut self, actor: &Actor, from: u64, to: u64) -> Result<Vec<Record>, StoreError> {
        let found = self.index.range((*actor, from)..=(*actor, to));
        Ok(found.map(|(_, &at)| self.journal[at].clone()).collect())
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), StoreError> {
        let _ = self.journal.iter().cloned().try_for_each(visit);
        Ok(())
    }

    fn forget(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        if self.is_full {
            return Err(StoreError::Full);
        }
        self.journal.retain(|record| forgetting.keeps(&Dot { actor: record.actor, seq: record.seq }));
        let place = |(at, record): (usize, &Record)| ((record.actor, record.seq), at);
        self.index = self.journal.iter().enumerate().map(place).collect();
        self.set_fact(GROUND, &forgetting.ground)?;
        self.set_fact(OUTSIDE, &forgetting.outside)
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.facts.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.facts.get(name).cloned())
    }
}
