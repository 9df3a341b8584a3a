//! Which messages of one actor are held. They mostly come one after the other, so this is a few runs.

use super::index::MessageIx;

/// Numbers of an actor's messages, with where each is held.
#[derive(Default)]
pub(super) struct Runs(Vec<Run>);

/// Messages that follow one another in their actor's order and in that of arrival.
struct Run {
    seq: u64,
    message: MessageIx,
    count: u32,
}

impl Run {
    /// The number after its last.
    fn end(&self) -> u64 {
        self.seq + u64::from(self.count)
    }
}

impl Runs {
    /// Takes in a message. Says whether its number is new.
    pub(super) fn insert(&mut self, seq: u64, message: MessageIx) -> bool {
        let after = self.after(seq);
        if let Some(run) = after.checked_sub(1).map(|before| &mut self.0[before]) {
            if seq < run.end() {
                return false;
            }
            if seq == run.end() && message.0 == run.message.0 + run.count {
                run.count += 1;
                return true;
            }
        }
        self.0.insert(after, Run { seq, message, count: 1 });
        true
    }

    /// The message of that number.
    pub(super) fn get(&self, seq: u64) -> Option<MessageIx> {
        let run = &self.0[self.after(seq).checked_sub(1)?];
        let offset = u32::try_from(seq - run.seq).ok().filter(|&offset| offset < run.count)?;
        Some(MessageIx(run.message.0 + offset))
    }

    /// Whether that message of that number and the one that came `last` are of one run.
    pub(super) fn are_in_a_row(&self, seq: u64, message: MessageIx, last: MessageIx) -> bool {
        let run = self.after(seq).checked_sub(1).map(|at| &self.0[at]);
        run.is_some_and(|run| {
            self.get(seq) == Some(message) && message <= last && last.0 - run.message.0 < run.count
        })
    }

    /// All messages, by their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = MessageIx> + '_ {
        self.0.iter().flat_map(|run| (0..run.count).map(|offset| MessageIx(run.message.0 + offset)))
    }

    /// The message of the least number.
    pub(super) fn first(&self) -> Option<MessageIx> {
        self.0.first().map(|run| run.message)
    }

    /// The greatest number, 0 where none is held.
    pub(super) fn last(&self) -> u64 {
        self.0.last().map_or(0, |run| run.end() - 1)
    }

    /// The greatest number up to which all are held from the one after `seq` on; `seq` where that one is not.
    pub(super) fn gapless_from(&self, mut seq: u64) -> u64 {
        let runs = self.0[self.after(seq + 1).saturating_sub(1)..].iter();
        for run in runs {
            if run.seq > seq + 1 {
                break;
            }
            seq = seq.max(run.end() - 1);
        }
        seq
    }

    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|run| run.count as usize).sum()
    }

    /// The place after the last run that begins at `seq` or before.
    fn after(&self, seq: u64) -> usize {
        match self.0.last() {
            Some(last) if last.seq <= seq => self.0.len(),
            _ => self.0.partition_point(|run| run.seq <= seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_any_order_is_found() {
        for order in [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [2, 3, 6, 1, 4, 5], [5, 1, 2, 6, 3, 4]] {
            let mut runs = Runs::default();
            for (message, &seq) in (0..).zip(&order) {
                assert_eq!(runs.get(seq), None);
                assert!(runs.insert(seq, MessageIx(message)));
                assert!(!runs.insert(seq, MessageIx(9)));
                let held: Vec<u64> = order[..=message as usize].to_vec();
                let gapless = (1..).find(|seq| !held.contains(seq)).unwrap() - 1;
                assert_eq!((runs.len(), runs.gapless_from(0)), (held.len(), gapless), "{held:?}");
                assert_eq!(runs.last(), *held.iter().max().unwrap());
            }
            for (message, seq) in (0..).zip(order) {
                assert_eq!(runs.get(seq), Some(MessageIx(message)));
                for (last, other) in (0..).zip(order) {
                    let is_row = message <= last
                        && (message..=last).zip(seq..).all(|(at, seq)| order[at as usize] == seq);
                    let found = runs.are_in_a_row(seq, MessageIx(message), MessageIx(last));
                    assert_eq!(found, is_row, "{order:?}: {seq} to {other}");
                }
            }
        }
    }
}
