//! A long list of characters with a count of those that show, so that a position is found without walking there.
//!
//! Runs of consecutive characters that show alike stand in leaves of bounded size; over the leaves lies a tree of sums
//! (Fenwick 1994). A leaf that is full splits, and the sums are made anew: once in many insertions. Copies share leaves
//! until one of them changes them.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::sorted::{Keyed, Sorted};
use super::{Char, number};

/// Runs of one leaf; few in unit tests, so that leaves split there.
const LEAF_RUNS_MAX: usize = if cfg!(test) { 4 } else { 64 };

/// Pieces of a list that are remembered as not being as they were put there hidden; with more, all may be.
const TOUCHED_MAX: usize = 64;

/// Characters for each leaf that are looked up one by one in less time than all leaves are made anew.
const TOUCHED_PER_LEAF_MAX: usize = 16;

/// Whether characters show: they do if they are to, are not deleted and have not been moved away.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct State(u32);

impl State {
    const SHOWN: u32 = 1 << 31;
    const AWAY: u32 = 1 << 30;

    /// That of characters that are to show.
    pub(super) fn shown(is_shown: bool) -> Self {
        Self::default().with(Self::SHOWN, is_shown)
    }

    pub(super) fn with_shown(self, is_shown: bool) -> Self {
        self.with(Self::SHOWN, is_shown)
    }

    pub(super) fn with_away(self, is_away: bool) -> Self {
        self.with(Self::AWAY, is_away)
    }

    pub(super) fn deleted_once_more(self) -> Self {
        Self(self.0 + 1)
    }

    pub(super) fn deleted_once_less(self) -> Self {
        Self(self.0 & (Self::SHOWN | Self::AWAY) | (self.0 & !(Self::SHOWN | Self::AWAY)).saturating_sub(1))
    }

    pub(super) fn is_deleted(self) -> bool {
        self.0 & !(Self::SHOWN | Self::AWAY) > 0
    }

    pub(super) fn is_visible(self) -> bool {
        self.0 == Self::SHOWN
    }

    fn with(self, bit: u32, is_set: bool) -> Self {
        if is_set { Self(self.0 | bit) } else { Self(self.0 & !bit) }
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

    fn visible(&self) -> u32 {
        if self.state.is_visible() { self.len } else { 0 }
    }

    /// Whether `next` may be joined to it.
    fn goes_on(&self, next: &Self) -> bool {
        self.end() == next.first && self.state == next.state
    }
}

/// In which leaf the run stands that begins with a character.
#[derive(Clone, Copy)]
struct Home {
    first: u32,
    leaf: u32,
}

impl Keyed for Home {
    type Key = u32;

    fn key(&self) -> u32 {
        self.first
    }
}

/// The list.
#[derive(Clone)]
pub(super) struct List {
    /// The runs of each leaf; leaves are in the order they were made.
    leaves: Vec<Arc<Vec<Run>>>,
    /// How much each of them shows.
    shown: Vec<u32>,
    /// The leaves in the order they stand.
    order: Vec<u32>,
    /// Of each leaf where it stands.
    ranks: Vec<u32>,
    /// Of each place in that order a partial sum of what shows.
    sums: Vec<u32>,
    visible: u32,
    homes: Sorted<Home>,
    /// Where something was put last, or something changed: whoever types on looks there.
    last: Place,
    /// All that may show or be deleted; none where that is too much to remember.
    touched: Option<Vec<Range<u32>>>,
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
        let mut list = Self {
            leaves: vec![Arc::new(vec![start])],
            shown: vec![0],
            order: vec![0],
            ranks: vec![0],
            sums: vec![0, 0],
            visible: 0,
            homes: Sorted::new(),
            last: Place { leaf: 0, index: 0 },
            touched: Some(Vec::new()),
        };
        list.homes.insert(Home { first: 0, leaf: 0 });
        list
    }

    /// Puts new characters right behind one.
    pub(super) fn insert_after(&mut self, char: Char, first: Char, len: u32, state: State) {
        let Place { leaf, index } = self.place(char.0);
        let new = Run { first: first.0, len, state };
        if state != State::default() {
            self.touch(first.0, new.end());
        }
        let runs = Arc::make_mut(&mut self.leaves[leaf as usize]);
        let run = &mut runs[index];
        if run.end() > char.0 + 1 {
            let rest = Run { first: char.0 + 1, len: run.end() - char.0 - 1, state: run.state };
            run.len -= rest.len;
            runs.splice(index + 1..index + 1, [new, rest]);
            self.settle(leaf, rest.first);
            self.settle(leaf, new.first);
            self.last = Place { leaf, index: index + 1 };
        } else if run.goes_on(&new) {
            run.len += len;
            self.last = Place { leaf, index };
        } else {
            runs.insert(index + 1, new);
            self.settle(leaf, new.first);
            self.last = Place { leaf, index: index + 1 };
        }
        self.count(leaf, 0, new.visible());
        self.split_leaf(leaf);
    }

    /// Puts new characters right before one.
    pub(super) fn insert_before(&mut self, char: Char, first: Char, len: u32, state: State) {
        let Place { leaf, index } = self.place(char.0);
        let run = self.leaves[leaf as usize][index];
        if run.first < char.0 {
            return self.insert_after(Char(char.0 - 1), first, len, state);
        }
        if let Some(before) = index.checked_sub(1) {
            let before = self.leaves[leaf as usize][before];
            return self.insert_after(Char(before.end() - 1), first, len, state);
        }
        let new = Run { first: first.0, len, state };
        if state != State::default() {
            self.touch(first.0, new.end());
        }
        Arc::make_mut(&mut self.leaves[leaf as usize]).insert(index, new);
        self.settle(leaf, new.first);
        self.count(leaf, 0, new.visible());
        self.split_leaf(leaf);
    }

    /// Changes the state of the characters from `first` to before `end`, wherever they stand.
    pub(super) fn change(&mut self, first: u32, end: u32, change: impl Fn(State) -> State) {
        self.touch(first, end);
        let mut at = first;
        while at < end {
            let place = self.place(at);
            let run = self.leaves[place.leaf as usize][place.index];
            let to = run.end().min(end);
            let state = change(run.state);
            if state != run.state {
                self.change_in(place, run, at..to, state);
            }
            at = to;
        }
    }

    /// Changes the state of characters of one run.
    fn change_in(&mut self, Place { leaf, index }: Place, run: Run, chars: Range<u32>, state: State) {
        let changed = Run { first: chars.start, len: chars.end - chars.start, state };
        let left = Run { len: chars.start - run.first, ..run };
        let right = Run { first: chars.end, len: run.end() - chars.end, ..run };
        let runs = Arc::make_mut(&mut self.leaves[leaf as usize]);
        runs[index] = changed;
        let mut at = index;
        if left.len > 0 {
            runs.insert(at, left);
            at += 1;
        } else if at > 0 && runs[at - 1].goes_on(&changed) {
            runs[at - 1].len += changed.len;
            runs.remove(at);
            at -= 1;
        }
        let (mut gone, mut new) = (None, None);
        if right.len > 0 {
            runs.insert(at + 1, right);
            new = Some(right.first);
        } else if let Some(&next) = runs.get(at + 1).filter(|next| runs[at].goes_on(next)) {
            runs[at].len += next.len;
            runs.remove(at + 1);
            gone = Some(next.first);
        }
        match runs[at].first == changed.first {
            true if left.len > 0 => self.settle(leaf, changed.first),
            true => {}
            false => self.homes.remove(changed.first),
        }
        self.last = Place { leaf, index: at };
        gone.into_iter().for_each(|first| self.homes.remove(first));
        new.into_iter().for_each(|first| self.settle(leaf, first));
        let before = if run.state.is_visible() { changed.len } else { 0 };
        self.count(leaf, before, changed.visible());
        self.split_leaf(leaf);
    }

    /// Whether all of the characters from `first` to before `end` are in such a state.
    pub(super) fn all(&self, first: u32, end: u32, is: impl Fn(State) -> bool) -> bool {
        let mut at = first;
        while at < end {
            let place = self.place(at);
            let run = self.leaves[place.leaf as usize][place.index];
            if !is(run.state) {
                return false;
            }
            at = run.end();
        }
        true
    }

    /// Notes that characters may show or be deleted.
    fn touch(&mut self, first: u32, end: u32) {
        let Some(touched) = &mut self.touched else { return };
        if let Some(last) = touched.last_mut().filter(|last| last.start <= first && first <= last.end) {
            last.end = end.max(last.end);
        } else if touched.len() < TOUCHED_MAX {
            touched.push(first..end);
        } else {
            self.touched = None;
        }
    }

    /// Lets nothing show, and nothing be deleted. Costs what was touched, or a walk over everything where that is less.
    pub(super) fn clear(&mut self) {
        let touched = self.touched.take().filter(|touched| {
            let chars: usize = touched.iter().map(|chars| (chars.end - chars.start) as usize).sum();
            chars <= TOUCHED_PER_LEAF_MAX * self.leaves.len()
        });
        match touched {
            Some(touched) => {
                touched
                    .into_iter()
                    .for_each(|chars| self.change(chars.start, chars.end, |_| State::default()));
            }
            None => self.clear_all(),
        }
        self.touched = Some(Vec::new());
    }

    fn clear_all(&mut self) {
        let mut runs: Vec<Run> = Vec::new();
        for run in self.runs() {
            match runs.last_mut() {
                Some(last) if last.end() == run.first => last.len += run.len,
                _ => runs.push(Run { state: State::default(), ..*run }),
            }
        }
        let leaves: Vec<Arc<Vec<Run>>> =
            runs.chunks(LEAF_RUNS_MAX / 2).map(|runs| Arc::new(runs.to_vec())).collect();
        let mut homes: Vec<Home> = Vec::with_capacity(runs.len());
        for (leaf, runs) in (0..).zip(&leaves) {
            homes.extend(runs.iter().map(|run| Home { first: run.first, leaf }));
        }
        homes.sort_unstable_by_key(Home::key);
        self.homes = Sorted::new();
        homes.into_iter().for_each(|home| self.homes.insert(home));
        self.order = (0..number(leaves.len())).collect();
        self.ranks = self.order.clone();
        self.shown = vec![0; leaves.len()];
        self.leaves = leaves;
        self.last = Place { leaf: 0, index: 0 };
        self.sum();
    }

    /// How many characters show.
    pub(super) fn visible(&self) -> usize {
        self.visible as usize
    }

    /// All characters in order, the start included, and whether they show.
    pub(super) fn walk(&self) -> impl Iterator<Item = (Range<Char>, bool)> + '_ {
        self.runs().map(|run| (Char(run.first)..Char(run.end()), run.state.is_visible()))
    }

    /// The characters that show, in order.
    pub(super) fn shown(&self) -> impl Iterator<Item = Range<Char>> + '_ {
        let visible = self.runs().filter(|run| run.state.is_visible());
        visible.map(|run| Char(run.first)..Char(run.end()))
    }

    /// The character that shows at `position`; the last one beyond the end.
    pub(super) fn at(&self, position: usize) -> Option<Char> {
        let position = number(position).min(self.visible.checked_sub(1)?);
        let (place, skipped) = self.seek(position);
        Some(Char(self.leaves[place.leaf as usize][place.index].first + (position - skipped)))
    }

    /// What shows at these positions.
    pub(super) fn pieces(&self, positions: Range<usize>) -> Vec<Range<Char>> {
        let end = positions.end.min(self.visible());
        let mut pieces: Vec<Range<Char>> = Vec::new();
        if positions.start >= end {
            return pieces;
        }
        let (start, mut left) = (number(positions.start), number(end - positions.start));
        let (place, skipped) = self.seek(start);
        let mut skip = start - skipped;
        let ranks = self.ranks[place.leaf as usize] as usize..self.order.len();
        let runs = ranks.flat_map(|rank| self.leaves[self.order[rank] as usize].iter()).skip(place.index);
        for run in runs.filter(|run| run.state.is_visible()) {
            let from = run.first + std::mem::take(&mut skip);
            let to = run.end().min(from.saturating_add(left));
            left -= to - from;
            pieces.push(Char(from)..Char(to));
            if left == 0 {
                break;
            }
        }
        pieces
    }

    /// What stands right behind a character.
    pub(super) fn following(&self, char: Char) -> Option<Char> {
        let place = self.place(char.0);
        let runs = &self.leaves[place.leaf as usize];
        if char.0 + 1 < runs[place.index].end() {
            return Some(char.next());
        }
        let next = runs.get(place.index + 1).or_else(|| {
            let next = *self.order.get(self.ranks[place.leaf as usize] as usize + 1)?;
            self.leaves[next as usize].first()
        });
        next.map(|run| Char(run.first))
    }

    /// Which of two characters stands first.
    pub(super) fn compare(&self, a: Char, b: Char) -> Ordering {
        let (x, y) = (self.place(a.0), self.place(b.0));
        let ranks = self.ranks[x.leaf as usize].cmp(&self.ranks[y.leaf as usize]);
        ranks.then(x.index.cmp(&y.index)).then(a.cmp(&b))
    }

    /// Whether a character shows.
    pub(super) fn state(&self, char: Char) -> State {
        let place = self.place(char.0);
        self.leaves[place.leaf as usize][place.index].state
    }

    fn runs(&self) -> impl Iterator<Item = &Run> + '_ {
        self.order.iter().flat_map(|&leaf| self.leaves[leaf as usize].iter())
    }

    /// Where the run stands that holds a character.
    fn place(&self, char: u32) -> Place {
        // The run may have gone elsewhere since, but a character is in one run alone.
        let last = self.leaves[self.last.leaf as usize].get(self.last.index);
        if last.is_some_and(|run| run.first <= char && char < run.end()) {
            return self.last;
        }
        let &Home { first, leaf } = self.homes.at_or_before(char).expect("the start is the first");
        let index = self.leaves[leaf as usize].iter().position(|run| run.first == first);
        Place { leaf, index: index.expect("its home is where it is") }
    }

    fn settle(&mut self, leaf: u32, first: u32) {
        self.homes.insert(Home { first, leaf });
    }

    /// Makes two leaves of one that holds too much.
    fn split_leaf(&mut self, leaf: u32) {
        if self.leaves[leaf as usize].len() <= LEAF_RUNS_MAX {
            return;
        }
        let runs = Arc::make_mut(&mut self.leaves[leaf as usize]).split_off(LEAF_RUNS_MAX / 2);
        let new = number(self.leaves.len());
        for run in &runs {
            self.settle(new, run.first);
        }
        let moved = runs.iter().map(Run::visible).sum();
        self.shown[leaf as usize] -= moved;
        self.shown.push(moved);
        self.leaves.push(Arc::new(runs));
        self.order.insert(self.ranks[leaf as usize] as usize + 1, new);
        self.ranks.push(0);
        for (rank, &leaf) in (0..).zip(&self.order) {
            self.ranks[leaf as usize] = rank;
        }
        self.sum();
    }

    /// Notes that a leaf shows more, or less.
    fn count(&mut self, leaf: u32, before: u32, after: u32) {
        if before == after {
            return;
        }
        self.visible = self.visible + after - before;
        let shown = &mut self.shown[leaf as usize];
        *shown = *shown + after - before;
        let mut at = self.ranks[leaf as usize] as usize + 1;
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
            let visible = self.shown[leaf as usize];
            self.visible += visible;
            self.sums[at] += visible;
            let above: usize = at + (at & at.wrapping_neg());
            if above < self.sums.len() {
                self.sums[above] += self.sums[at];
            }
        }
    }

    /// The run that shows something at `position`, which is less than what shows, and how much shows before that run.
    fn seek(&self, position: u32) -> (Place, u32) {
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
        for (index, run) in self.leaves[leaf as usize].iter().enumerate() {
            if skipped + run.visible() > position {
                return (Place { leaf, index }, skipped);
            }
            skipped += run.visible();
        }
        unreachable!("the sums say that it shows here")
    }
}
