//! What a ground keeps of one text or list, by number and by name.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use super::Kept;
use crate::op::text::{CharId, Span};

/// Characters by number: from 0 on, as they stand.
#[derive(Debug)]
pub(crate) struct Flat {
    kept: Arc<[Kept]>,
    /// The number of the first character of each run, and how many there are.
    starts: Vec<u32>,
    /// The runs by the names of their positions: those that one op brought, and those that were typed.
    by_op: Vec<u32>,
    typed: Vec<u32>,
    /// The runs of elements that were moved.
    moved: BTreeMap<CharId, u32>,
}

impl Flat {
    /// They are no more than 2^32.
    pub(crate) fn new(kept: Arc<[Kept]>) -> Self {
        let mut starts = vec![0];
        let (mut by_op, mut typed, mut moved) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (number, run) in (0..).zip(kept.iter()) {
            starts.push(starts[starts.len() - 1] + run.len());
            match run {
                Kept::Typed { .. } => typed.push(number),
                Kept::Shown { .. } | Kept::Moved { .. } | Kept::Hidden(_) => by_op.push(number),
            }
            if let Kept::Moved { element, .. } = run {
                moved.insert(*element, number);
            }
        }
        for runs in [&mut by_op, &mut typed] {
            runs.sort_by_key(|&run| kept[run as usize].position(0));
        }
        Self { kept, starts, by_op, typed, moved }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.starts[self.kept.len()]
    }

    /// Those that show.
    pub(crate) fn shown(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let runs = self.kept.iter().zip(&self.starts);
        runs.filter(|(run, _)| run.shows()).map(|(run, &start)| start..start + run.len())
    }

    /// The name of the place where a character stands.
    pub(crate) fn position(&self, char: u32) -> CharId {
        let (run, nth) = self.place(char);
        run.position(nth)
    }

    /// The name of a character that shows.
    pub(crate) fn element(&self, char: u32) -> Option<CharId> {
        let (run, nth) = self.place(char);
        run.element(nth)
    }

    /// The character that stands at the place of that name.
    pub(crate) fn at(&self, position: &CharId) -> Option<u32> {
        self.find(position).map(|(run, nth)| self.starts[run as usize] + nth)
    }

    /// The character that shows and has that name.
    pub(crate) fn named(&self, element: &CharId) -> Option<u32> {
        if let Some(&run) = self.moved.get(element) {
            return Some(self.starts[run as usize]);
        }
        let (run, nth) = self.find(element)?;
        (self.kept[run as usize].element(nth) == Some(*element)).then(|| self.starts[run as usize] + nth)
    }

    /// The characters that show and whose names a span holds.
    pub(crate) fn within(&self, span: &Span) -> Vec<Range<u32>> {
        let Span { first, last } = span;
        let mut within = Vec::new();
        for runs in [&self.by_op, &self.typed] {
            // The run before the first that begins in the span may end there.
            let begin =
                runs.partition_point(|&run| self.kept[run as usize].position(0) < *first).saturating_sub(1);
            for &number in &runs[begin..] {
                let run = &self.kept[number as usize];
                if run.position(0) > *last {
                    break;
                }
                if run.element(0) != Some(run.position(0)) {
                    continue;
                }
                let is_before = |name: &CharId, nth: u32| run.position(nth) < *name;
                let from = partition(run.len(), |nth| is_before(first, nth));
                let to = partition(run.len(), |nth| run.position(nth) <= *last);
                let start = self.starts[number as usize];
                if from < to {
                    within.push(start + from..start + to);
                }
            }
        }
        let moved = self.moved.range(first..=last).map(|(_, &run)| self.starts[run as usize]);
        within.extend(moved.map(|char| char..char + 1));
        within
    }

    /// The least name of a character that shows beyond a name.
    pub(crate) fn next(&self, name: &CharId) -> Option<CharId> {
        let next = |runs: &[u32]| {
            let begin =
                runs.partition_point(|&run| self.kept[run as usize].position(0) <= *name).saturating_sub(1);
            runs[begin..].iter().map(|&run| &self.kept[run as usize]).find_map(|run| {
                let nth = partition(run.len(), |nth| run.position(nth) <= *name);
                run.element(nth).filter(|element| nth < run.len() && *element == run.position(nth))
            })
        };
        let moved =
            self.moved.range((Bound::Excluded(name), Bound::Unbounded)).next().map(|(element, _)| *element);
        [next(&self.by_op), next(&self.typed), moved].into_iter().flatten().min()
    }

    /// Whether every name is that of one place, and that of one element.
    pub(super) fn is_unambiguous(&self) -> bool {
        let is_apart = |pair: &[u32]| {
            let [before, next] = [pair[0], pair[1]].map(|run| &self.kept[run as usize]);
            before.position(before.len() - 1) < next.position(0)
        };
        let runs = |runs: &[u32]| runs.windows(2).all(is_apart);
        let is_typed = |run: &u32| self.last_at(&self.typed, &self.kept[*run as usize].position(0)).is_some();
        let moves = self.kept.iter().filter(|run| matches!(run, Kept::Moved { .. })).count();
        let is_elsewhere =
            |element: &CharId| self.find(element).is_none_or(|(run, _)| !self.kept[run as usize].shows());
        runs(&self.by_op)
            && runs(&self.typed)
            && !self.by_op.iter().any(is_typed)
            && self.moved.len() == moves
            && self.moved.keys().all(is_elsewhere)
    }

    fn place(&self, char: u32) -> (&Kept, u32) {
        let run = self.starts.partition_point(|&start| start <= char) - 1;
        (&self.kept[run], char - self.starts[run])
    }

    fn find(&self, position: &CharId) -> Option<(u32, u32)> {
        self.last_at(&self.by_op, position).or_else(|| self.last_at(&self.typed, position))
    }

    /// The run among some in which a place is, and which of it.
    fn last_at(&self, runs: &[u32], position: &CharId) -> Option<(u32, u32)> {
        let at = runs.partition_point(|&run| self.kept[run as usize].position(0) <= *position);
        let number = runs[at.checked_sub(1)?];
        let run = &self.kept[number as usize];
        let nth = partition(run.len(), |nth| run.position(nth) < *position);
        (nth < run.len() && run.position(nth) == *position).then_some((number, nth))
    }
}

/// How many of the numbers below `len` come before the first for which that does not hold.
fn partition(len: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut from, mut to) = (0, len);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) { from = middle + 1 } else { to = middle }
    }
    from
}
