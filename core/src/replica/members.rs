//! A set while ops add to it and remove from it: an element is in as long as an op that added it is left.
//!
//! A removal takes away the adders it has seen and no other, so only an addition that some removal has seen must come
//! before it; all else may come in any order, each at the cost of finding its element.

use std::collections::BTreeMap;

use super::history::History;
use super::index::OpIx;
use crate::op::Membership;
use crate::op::array::Element;
use crate::value::Value;

/// A set and who added its elements.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Members {
    /// Of each element the numbers of the ops that added it, at least one.
    held: BTreeMap<Value, Vec<u32>>,
    /// The first in order of the changes here.
    first: OpIx,
}

impl Members {
    /// What was there before the change `first`; equal elements become one.
    pub(super) fn new(list: Vec<Element>, first: OpIx) -> Self {
        let mut held: BTreeMap<Value, Vec<u32>> = BTreeMap::new();
        for element in list {
            held.entry(element.value).or_default().extend(element.adders);
        }
        Self { held, first }
    }

    /// The first in order of the changes here; nothing but such changes has come since.
    pub(super) fn first(&self) -> OpIx {
        self.first
    }

    /// Lets an op add its element or remove it, as if it came in its place. No removal held may have seen an addition.
    pub(super) fn change(&mut self, op: OpIx, membership: Membership, history: &History) {
        if history.is_before(op, self.first) {
            self.first = op;
        }
        let element = history.op(op).value();
        match (membership, self.held.get_mut(&element)) {
            (Membership::Add, Some(adders)) => adders.push(op.0),
            (Membership::Add, None) => {
                self.held.insert(element, vec![op.0]);
            }
            (Membership::Remove, Some(adders)) => {
                adders.retain(|&adder| !history.has_seen(op, OpIx(adder)));
                if adders.is_empty() {
                    self.held.remove(&element);
                }
            }
            (Membership::Remove, None) => {}
        }
    }

    /// The elements in the order of their values.
    pub(super) fn values(&self) -> Vec<Value> {
        self.held.keys().cloned().collect()
    }

    /// Takes the elements out, in the order of their values, with who added them.
    pub(super) fn take_elements(&mut self) -> Vec<Element> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|(value, adders)| Element { value, adders }).collect()
    }
}
