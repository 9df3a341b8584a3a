//! A long list of characters with a count of those that show, so that a position is found without walking there.
//!
//! Runs of consecutive characters that show alike stand in leaves of bounded size; over the leaves lies a tree of sums
//! (Fenwick 1994). A leaf that is full splits, and the sums are made anew: once in many insertions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use super::{Char, number};

/// Runs of one leaf; few in unit tests, so that leaves split there.
const LEAF_RUNS_MAX: usize = if cfg!(test) { 4 } else { 64 };

/// Whether characters show.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct State {
    pub(super) is_shown: bool,
    pub(super) deletions: u32,
}

impl State {
    fn is_visible(self) -> bool {
        self.is_shown && self.deletions == 0
    }
}

/// Consecutive characters.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    len: u32,
    state: State,
}

impl Run {
    fn end(&self) -> u32 {
        self.first + self.len
    }

    fn visible(&self) -> usize {
        if self.state.is_visible() { self.len as usize } else { 0 }
    }
}

#[derive(Clone)]
struct Leaf {
    runs: Vec<Run>,
    /// Where it stands among the leaves.
    rank: u32,
}

impl Leaf {
    fn visible(&self) -> usize {
        self.runs.iter().map(Run::visible).sum()
    }
}

/// The list.
#[derive(Clone)]
pub(super) struct List {
    /// In the order they were made.
    leaves: Vec<Leaf>,
    /// In the order they stand.
    order: Vec<u32>,
    /// Of each place in that order a partial sum of what shows.
    sums: Vec<usize>,
    visible: usize,
    /// The leaf of every run, by its first character.
    homes: BTreeMap<u32, u32>,
}

/// Where a run stands.
#[derive(Clone, Copy)]
struct Place {
    leaf: u32,
    index: usize,
}

impl List {
    /// Only the start.
    pub(super) fn new() -> Self {
        let start = Run { first: 0, len: 1, state: State::default() };
        Self {
            leaves: vec![Leaf { runs: vec![start], rank: 0 }],
            order: vec![0],
            sums: vec![0, 0],
            visible: 0,
            homes: BTreeMap::from([(0, 0)]),
        }
    }

    /// Puts new characters, which do not show, right behind one.
    pub(super) fn insert_after(&mut self, char: Char, first: Char, len: u32) {
        let place = self.split(char.0 + 1).unwrap_or_else(|| {
            let place = self.place(char.0);
            Place { index: place.index + 1, ..place }
        });
        self.insert(place, Run { first: first.0, len, state: State::default() });
    }

    /// Puts new characters, which do not show, right before one.
    pub(super) fn insert_before(&mut self, char: Char, first: Char, len: u32) {
        let place = self.split(char.0).unwrap_or_else(|| self.place(char.0));
        self.insert(place, Run { first: first.0, len, state: State::default() });
    }

    /// Changes the state of the characters from `first` to before `end`, wherever they stand.
    pub(super) fn change(&mut self, first: u32, end: u32, change: impl Fn(&mut State)) {
        let mut at = first;
        while at < end {
            let place = self.place(at);
            let mut run = self.leaf(place).runs[place.index];
            let to = run.end().min(end);
            let mut state = run.state;
            change(&mut state);
            if state != run.state {
                if run.first < at {
                    self.split(at);
                }
                if to < run.end() {
                    self.split(to);
                }
                let place = self.place(at);
                let before = self.leaf(place).runs[place.index].visible();
                self.leaf_mut(place).runs[place.index].state = state;
                run = self.leaf(place).runs[place.index];
                self.count(place.leaf, before, run.visible());
                self.join(Place { index: place.index + 1, ..place });
                self.join(place);
            }
            at = to;
        }
    }

    /// Lets nothing show, and nothing be deleted.
    pub(super) fn clear(&mut self) {
        let mut runs: Vec<Run> = Vec::new();
        for run in self.runs() {
            match runs.last_mut() {
                Some(last) if last.end() == run.first => last.len += run.len,
                _ => runs.push(Run { state: State::default(), ..*run }),
            }
        }
        let mut leaves = Vec::new();
        self.homes.clear();
        for (rank, runs) in (0..).zip(runs.chunks(LEAF_RUNS_MAX / 2)) {
            self.homes.extend(runs.iter().map(|run| (run.first, rank)));
            leaves.push(Leaf { runs: runs.to_vec(), rank });
        }
        self.order = (0..number(leaves.len())).collect();
        self.leaves = leaves;
        self.sum();
    }

    /// How many characters show.
    pub(super) fn visible(&self) -> usize {
        self.visible
    }

    /// The characters that show, in order.
    pub(super) fn shown(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.runs().filter(|run| run.state.is_visible()).map(|run| run.first..run.end())
    }

    /// The character that shows at `position`; the last one beyond the end.
    pub(super) fn at(&self, position: usize) -> Option<Char> {
        let position = position.min(self.visible.checked_sub(1)?);
        let (place, skipped) = self.seek(position);
        Some(Char(self.leaf(place).runs[place.index].first + number(position - skipped)))
    }

    /// What shows at these positions.
    pub(super) fn pieces(&self, positions: Range<usize>) -> Vec<Range<u32>> {
        let end = positions.end.min(self.visible);
        let mut pieces: Vec<Range<u32>> = Vec::new();
        if positions.start >= end {
            return pieces;
        }
        let (place, skipped) = self.seek(positions.start);
        let mut skip = positions.start - skipped;
        let mut left = end - positions.start;
        let ranks = self.leaf(place).rank as usize..self.order.len();
        let runs = ranks.flat_map(|rank| &self.leaves[self.order[rank] as usize].runs).skip(place.index);
        for run in runs.filter(|run| run.state.is_visible()) {
            let from = run.first + number(std::mem::take(&mut skip));
            let to = run.end().min(from.saturating_add(number(left)));
            left -= (to - from) as usize;
            pieces.push(from..to);
            if left == 0 {
                break;
            }
        }
        pieces
    }

    /// What stands right behind a character.
    pub(super) fn following(&self, char: Char) -> Option<Char> {
        let place = self.place(char.0);
        let leaf = self.leaf(place);
        if char.0 + 1 < leaf.runs[place.index].end() {
            return Some(char.next());
        }
        let next = leaf.runs.get(place.index + 1).or_else(|| {
            let next = *self.order.get(leaf.rank as usize + 1)?;
            self.leaves[next as usize].runs.first()
        });
        next.map(|run| Char(run.first))
    }

    /// Which of two characters stands first.
    pub(super) fn compare(&self, a: Char, b: Char) -> Ordering {
        let (x, y) = (self.place(a.0), self.place(b.0));
        let ranks = self.leaf(x).rank.cmp(&self.leaf(y).rank);
        ranks.then(x.index.cmp(&y.index)).then(a.cmp(&b))
    }

    fn runs(&self) -> impl Iterator<Item = &Run> + '_ {
        self.order.iter().flat_map(|&leaf| &self.leaves[leaf as usize].runs)
    }

    fn leaf(&self, place: Place) -> &Leaf {
        &self.leaves[place.leaf as usize]
    }

    fn leaf_mut(&mut self, place: Place) -> &mut Leaf {
        &mut self.leaves[place.leaf as usize]
    }

    /// Where the run stands that holds a character.
    fn place(&self, char: u32) -> Place {
        let (&first, &leaf) = self.homes.range(..=char).next_back().expect("the start is the first");
        let index = self.leaves[leaf as usize].runs.iter().position(|run| run.first == first);
        Place { leaf, index: index.expect("its home is where it is") }
    }

    /// Makes a run begin with a character, which is not the first of one. Gives where it stands if it was not.
    fn split(&mut self, char: u32) -> Option<Place> {
        let (&first, _) = self.homes.range(..=char).next_back().expect("the start is the first");
        let place = self.place(first);
        let run = &mut self.leaf_mut(place).runs[place.index];
        if run.first == char || run.end() <= char {
            return None;
        }
        let rest = Run { first: char, len: run.end() - char, state: run.state };
        run.len = char - first;
        let visible = rest.visible();
        let place = Place { index: place.index + 1, ..place };
        // What the new run shows, the old one showed.
        self.count(place.leaf, visible, 0);
        self.insert_apart(place, rest);
        Some(self.place(char))
    }

    fn insert(&mut self, place: Place, run: Run) {
        let before =
            place.index.checked_sub(1).map(|index| &mut self.leaves[place.leaf as usize].runs[index]);
        match before.filter(|before| before.end() == run.first && before.state == run.state) {
            Some(before) => {
                before.len += run.len;
                self.count(place.leaf, 0, run.visible());
            }
            None => self.insert_apart(place, run),
        }
    }

    /// Inserts a run that stays one of its own.
    fn insert_apart(&mut self, place: Place, run: Run) {
        self.leaf_mut(place).runs.insert(place.index, run);
        self.homes.insert(run.first, place.leaf);
        self.count(place.leaf, 0, run.visible());
        if self.leaf(place).runs.len() > LEAF_RUNS_MAX {
            self.split_leaf(place.leaf);
        }
    }

    fn split_leaf(&mut self, leaf: u32) {
        let runs = self.leaves[leaf as usize].runs.split_off(LEAF_RUNS_MAX / 2);
        let new = number(self.leaves.len());
        for run in &runs {
            self.homes.insert(run.first, new);
        }
        let rank = self.leaves[leaf as usize].rank + 1;
        self.leaves.push(Leaf { runs, rank });
        self.order.insert(rank as usize, new);
        for (rank, &leaf) in (0..).zip(&self.order) {
            self.leaves[leaf as usize].rank = rank;
        }
        self.sum();
    }

    /// Makes a run one with the run before it in its leaf, if they are alike.
    fn join(&mut self, place: Place) {
        let runs = &mut self.leaves[place.leaf as usize].runs;
        let (Some(before), Some(run)) = (place.index.checked_sub(1), runs.get(place.index).copied()) else {
            return;
        };
        if runs[before].end() == run.first && runs[before].state == run.state {
            runs[before].len += run.len;
            runs.remove(place.index);
            self.homes.remove(&run.first);
        }
    }

    /// Notes that a leaf shows more, or less.
    fn count(&mut self, leaf: u32, before: usize, after: usize) {
        if before == after {
            return;
        }
        self.visible = self.visible + after - before;
        let mut at = self.leaves[leaf as usize].rank as usize + 1;
        while at < self.sums.len() {
            self.sums[at] = self.sums[at] + after - before;
            at += at & at.wrapping_neg();
        }
    }

    /// Makes the sums anew.
    fn sum(&mut self) {
        self.sums = vec![0; self.order.len() + 1];
        self.visible = 0;
        for (at, &leaf) in (1..).zip(&self.order) {
            let visible = self.leaves[leaf as usize].visible();
            self.visible += visible;
            self.sums[at] += visible;
            let above: usize = at + (at & at.wrapping_neg());
            if above < self.sums.len() {
                self.sums[above] += self.sums[at];
            }
        }
    }

    /// The run that shows something at `position`, which is less than what shows, and how much shows before that run.
    fn seek(&self, position: usize) -> (Place, usize) {
        let (mut rank, mut skipped) = (0, 0);
        let mut step = self.order.len().next_power_of_two();
        while step > 0 {
            let next = rank + step;
            if next < self.sums.len() && skipped + self.sums[next] <= position {
                rank = next;
                skipped += self.sums[next];
            }
            step /= 2;
        }
        let leaf = self.order[rank];
        for (index, run) in self.leaves[leaf as usize].runs.iter().enumerate() {
            if skipped + run.visible() > position {
                return (Place { leaf, index }, skipped);
            }
            skipped += run.visible();
        }
        unreachable!("the sums say that it shows here")
    }
}
