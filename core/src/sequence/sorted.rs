//! Entries in the order of their keys, in chunks that copies share until one of them changes.
//!
//! Copying costs a count per chunk, so a commit's draft of a long text is made in no time. Finding costs two binary
//! searches, at the end none; inserting moves at most a chunk, and the list of chunks once in many insertions.

use std::sync::Arc;

/// Entries of one chunk; few in unit tests, so that chunks split there.
const CHUNK_ENTRIES_MAX: usize = if cfg!(test) { 4 } else { 128 };

/// What has a key.
pub(super) trait Keyed: Copy {
    type Key: Ord + Copy;

    fn key(&self) -> Self::Key;
}

/// Entries with different keys.
#[derive(Clone)]
pub(super) struct Sorted<T: Keyed> {
    /// None is empty.
    chunks: Vec<Arc<Vec<T>>>,
    /// The key of the first entry of each chunk: finding one looks into no other.
    firsts: Vec<T::Key>,
}

impl<T: Keyed> Sorted<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), firsts: Vec::new() }
    }

    /// The one with the greatest key.
    pub(super) fn last(&self) -> Option<&T> {
        self.chunks.last().and_then(|chunk| chunk.last())
    }

    /// The one with the greatest key, to be changed in all but its key.
    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.chunks.last_mut().and_then(|chunk| Arc::make_mut(chunk).last_mut())
    }

    /// The one with the greatest key that is not beyond `key`.
    pub(super) fn at_or_before(&self, key: T::Key) -> Option<&T> {
        match self.last() {
            Some(last) if last.key() <= key => Some(last),
            _ => {
                let (chunk, index) = self.seek(key);
                Some(&self.chunks.get(chunk)?[index.checked_sub(1)?])
            }
        }
    }

    /// The one with the least key beyond `key`.
    pub(super) fn after(&self, key: T::Key) -> Option<&T> {
        self.iter_after(key).next()
    }

    /// All with keys beyond `key`.
    pub(super) fn iter_after(&self, key: T::Key) -> impl Iterator<Item = &T> {
        let (chunk, index) = match self.last() {
            Some(last) if last.key() > key => self.seek(key),
            _ => (self.chunks.len(), 0),
        };
        self.chunks[chunk..].iter().flat_map(|chunk| chunk.iter()).skip(index)
    }

    /// Among the entries with keys between two, of which the first ones satisfy a condition: the last that does, and the
    /// first that does not.
    pub(super) fn part(
        &self,
        after: T::Key,
        before: T::Key,
        is_first: impl Fn(&T) -> bool,
    ) -> [Option<&T>; 2] {
        let is_within = |entry: &&T| after < entry.key() && entry.key() < before;
        let comes_first = |entry: &T| entry.key() <= after || is_within(&entry) && is_first(entry);
        let chunk = self.chunks.partition_point(|chunk| comes_first(&chunk[0]));
        let next = self.chunks.get(chunk).map(|chunk| &chunk[0]);
        let [last, next] = match chunk.checked_sub(1).map(|before| &self.chunks[before]) {
            None => [None, next],
            Some(chunk) => {
                let index = chunk.partition_point(comes_first);
                [chunk.get(index - 1), chunk.get(index).or(next)]
            }
        };
        [last.filter(is_within), next.filter(is_within)]
    }

    /// Puts an entry in its place; one with the same key goes.
    pub(super) fn insert(&mut self, entry: T) {
        if self.last().is_none_or(|last| last.key() < entry.key()) {
            return self.push(entry);
        }
        let (at, index) = self.seek(entry.key());
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        match index.checked_sub(1) {
            Some(before) if chunk[before].key() == entry.key() => chunk[before] = entry,
            _ => chunk.insert(index, entry),
        }
        self.firsts[at] = chunk[0].key();
        if chunk.len() > CHUNK_ENTRIES_MAX {
            let rest = chunk.split_off(CHUNK_ENTRIES_MAX / 2);
            self.firsts.insert(at + 1, rest[0].key());
            self.chunks.insert(at + 1, Arc::new(rest));
        }
    }

    /// Takes away the entry of that key.
    pub(super) fn remove(&mut self, key: T::Key) {
        let (at, index) = self.seek(key);
        let Some(index) = index.checked_sub(1) else { return };
        if self.chunks[at][index].key() != key {
            return;
        }
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        chunk.remove(index);
        match chunk.first() {
            Some(first) => self.firsts[at] = first.key(),
            None => {
                self.chunks.remove(at);
                self.firsts.remove(at);
            }
        }
    }

    fn push(&mut self, entry: T) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_ENTRIES_MAX => Arc::make_mut(chunk).push(entry),
            _ => {
                self.firsts.push(entry.key());
                self.chunks.push(Arc::new(vec![entry]));
            }
        }
    }

    /// The chunk where `key` is or belongs, and how many of its entries are not beyond `key`.
    fn seek(&self, key: T::Key) -> (usize, usize) {
        let chunk = self.firsts.partition_point(|&first| first <= key).saturating_sub(1);
        let index = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(|one| one.key() <= key));
        (chunk, index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    impl Keyed for (u32, u32) {
        type Key = u32;

        fn key(&self) -> u32 {
            self.0
        }
    }

    #[test]
    fn entries_are_found_as_in_a_map_and_copies_keep_theirs() {
        let mut state = 1_u32;
        let mut below = |limit: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % limit
        };
        let (mut sorted, mut map) = (Sorted::new(), BTreeMap::new());
        let mut copies = Vec::new();
        for round in 0..2_000 {
            let key = below(200);
            if below(3) == 0 {
                sorted.remove(key);
                map.remove(&key);
            } else {
                sorted.insert((key, round));
                map.insert(key, round);
            }
            if round % 100 == 0 {
                copies.push((sorted.clone(), map.clone()));
            }
            let key = below(220);
            let pair = |(&key, &value): (&u32, &u32)| (key, value);
            let (middle, end) = (key + below(50), key + 50);
            let [last, next] = sorted.part(key, end, |&(key, _)| key < middle);
            assert_eq!(last.copied(), map.range(key + 1..middle.max(key + 1)).next_back().map(pair));
            assert_eq!(next.copied(), map.range(middle.max(key + 1)..end).next().map(pair));
            assert_eq!(sorted.at_or_before(key).copied(), map.range(..=key).next_back().map(pair));
            assert_eq!(sorted.after(key).copied(), map.range(key + 1..).next().map(pair));
            assert_eq!(sorted.last().copied(), map.last_key_value().map(pair));
        }
        for (sorted, map) in copies {
            let held: BTreeMap<u32, u32> =
                sorted.chunks.iter().flat_map(|chunk| chunk.iter()).copied().collect();
            assert_eq!(held, map);
        }
    }
}
