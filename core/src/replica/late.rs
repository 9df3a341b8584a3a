//! The messages that were not the greatest when they came. Nobody needs their order but who reads the log.

use std::cmp::Ordering;
use std::sync::OnceLock;

use super::index::MessageIx;

/// Late messages, put in order when somebody asks for it.
#[derive(Default)]
pub(super) struct Late {
    /// What was in order when somebody last asked, and behind it what came since.
    held: Vec<MessageIx>,
    in_order: OnceLock<Vec<MessageIx>>,
}

impl Late {
    /// Takes in one more.
    pub(super) fn push(&mut self, message: MessageIx) {
        if let Some(in_order) = self.in_order.take() {
            self.held = in_order;
        }
        self.held.push(message);
    }

    /// All of them in that order, which must be the same every time.
    pub(super) fn in_order(&self, compare: impl Fn(MessageIx, MessageIx) -> Ordering) -> &[MessageIx] {
        self.in_order.get_or_init(|| {
            let mut messages = self.held.clone();
            // Messages mostly come in runs that are in order, which this sort only has to join.
            messages.sort_by(|&a, &b| compare(a, b));
            messages
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_between_two_looks_is_in_order_at_the_second() {
        let mut late = Late::default();
        for (came, expected) in
            [(&[5, 2, 7][..], &[2, 5, 7][..]), (&[6, 1], &[1, 2, 5, 6, 7]), (&[], &[1, 2, 5, 6, 7])]
        {
            came.iter().for_each(|&message| late.push(MessageIx(message)));
            let found: Vec<u32> = late.in_order(|a, b| a.cmp(&b)).iter().map(|message| message.0).collect();
            assert_eq!(found, expected);
        }
    }
}
