//! Backlog as it was packed for one peer, kept for the next that lacks the same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::id::Actor;
use crate::limits::BACKLOG_CACHE_BYTES_MAX;

/// An actor's messages from a number to a number, both included.
pub(super) type Range = (Actor, u64, u64);
/// The contents of the frames that carry some ranges, and how many runs each has.
pub(super) type Frames = Arc<[(Arc<[u8]>, u64)]>;

/// What was packed, by the ranges it holds; when it is full, the oldest goes.
#[derive(Default)]
pub(super) struct Packed {
    frames: BTreeMap<Vec<Range>, Frames>,
    oldest: VecDeque<Vec<Range>>,
    bytes: usize,
}

impl Packed {
    /// The frames that carry these ranges, if they are kept.
    pub(super) fn get(&self, ranges: &Vec<Range>) -> Option<Frames> {
        self.frames.get(ranges).cloned()
    }

    /// Keeps the frames that carry these ranges.
    pub(super) fn keep(&mut self, ranges: Vec<Range>, frames: Frames) {
        let bytes = size(&ranges, &frames);
        if bytes > BACKLOG_CACHE_BYTES_MAX || self.frames.contains_key(&ranges) {
            return;
        }
        self.bytes += bytes;
        self.oldest.push_back(ranges.clone());
        self.frames.insert(ranges, frames);
        while self.bytes > BACKLOG_CACHE_BYTES_MAX
            && let Some(ranges) = self.oldest.pop_front()
        {
            let frames = self.frames.remove(&ranges);
            self.bytes -= frames.map_or(0, |frames| size(&ranges, &frames));
        }
    }
}

fn size(ranges: &[Range], frames: &Frames) -> usize {
    let contents: usize = frames.iter().map(|(content, _)| content.len()).sum();
    contents + 2 * size_of_val(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_for_the_newest() {
        let ranges = |n| vec![(Actor::from_name("a"), n, n)];
        let frames: Frames = [(vec![0; BACKLOG_CACHE_BYTES_MAX / 4].into(), 1)].into();
        let mut packed = Packed::default();
        for n in 1..=5 {
            packed.keep(ranges(n), Arc::clone(&frames));
            packed.keep(ranges(n), Arc::clone(&frames));
            assert!(packed.get(&ranges(n)).is_some() && packed.bytes <= BACKLOG_CACHE_BYTES_MAX);
        }
        assert_eq!((1..=5).filter(|&n| packed.get(&ranges(n)).is_some()).count(), 3);
        packed.keep(ranges(9), [(vec![0; BACKLOG_CACHE_BYTES_MAX].into(), 1)].into());
        assert!(packed.get(&ranges(9)).is_none() && packed.get(&ranges(5)).is_some());
    }
}
