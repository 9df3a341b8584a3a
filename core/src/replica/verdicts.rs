//! Which ops have no effect, and why.

use std::collections::BTreeMap;

use super::index::OpIx;
use crate::op::NoEffect;

/// The ops without effect; all others have one, or are masked, or are overwritten.
#[derive(Clone, Default)]
pub(super) struct Verdicts(BTreeMap<OpIx, NoEffect>);

impl Verdicts {
    pub(super) fn set(&mut self, op: OpIx, verdict: Result<(), NoEffect>) {
        match verdict {
            Ok(()) => self.clear(op),
            Err(reason) => {
                self.0.insert(op, reason);
            }
        }
    }

    pub(super) fn clear(&mut self, op: OpIx) {
        self.0.remove(&op);
    }

    pub(super) fn get(&self, op: OpIx) -> Option<&NoEffect> {
        self.0.get(&op)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
