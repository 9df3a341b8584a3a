//! Strings that come again: each is told once, and then by its number.

use super::range::{Coder, Odds};

/// Which strings come at one place of messages of one form.
#[derive(Clone, Default)]
pub(super) struct Names {
    last: Option<u32>,
    was_same: bool,
    same: [Odds; 2],
    next: Odds,
    new: Odds,
}

impl Names {
    /// Codes the number of a string out of `count`, or `count` for a new one. `order` says of each which one followed it,
    /// where they are keys of ops.
    pub(super) fn code(
        &mut self,
        coder: &mut impl Coder,
        order: Option<&mut Order>,
        count: u32,
        id: u32,
    ) -> u32 {
        let coded = self.code_number(coder, order.as_deref(), count, id);
        self.was_same = self.last == Some(coded);
        self.last = Some(coded);
        if let Some(order) = order {
            order.learn(coded);
        }
        coded
    }

    fn code_number(&mut self, coder: &mut impl Coder, order: Option<&Order>, count: u32, id: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        let same = self
            .last
            .filter(|_| coder.bit(&mut self.same[usize::from(self.was_same)], self.last == Some(id)));
        if let Some(same) = same {
            return same;
        }
        let next = order.and_then(Order::next);
        if let Some(next) = next.filter(|_| coder.bit(&mut self.next, next == Some(id))) {
            return next;
        }
        if coder.bit(&mut self.new, id == count) { count } else { coder.below(count, id) }
    }
}

/// The order in which keys were last named.
#[derive(Default)]
pub(super) struct Order {
    next: Vec<Option<u32>>,
    last: Option<u32>,
}

impl Order {
    fn next(&self) -> Option<u32> {
        *self.next.get(self.last? as usize)?
    }

    fn learn(&mut self, id: u32) {
        if let Some(last) = self.last.replace(id).filter(|&last| last != id) {
            let last = last as usize;
            if self.next.len() <= last {
                self.next.resize(last + 1, None);
            }
            self.next[last] = Some(id);
        }
    }
}
