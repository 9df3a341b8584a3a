//! Finding out what a peer holds by its [ranges](crate::sync::ranges): ours where the sums are equal, its names where not.
//!
//! What comes out is the peer's version vector, at some moment since it began to tell.

use std::collections::BTreeMap;

use crate::clock::VersionVector;
use crate::limits::{RANGES_ASKED_MAX, STRANGERS_MAX};
use crate::planted::{Bug, planted};
use crate::sync::ranges::{NOBODY, Range, Ranges, Sums, Told, Wanted};

/// What a peer began to tell of what it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Opening {
    /// Of the exchange; another one in the next.
    pub number: u64,
    /// How many runs of this connection the peer had taken in by then.
    pub runs_taken: u64,
    /// Whether whatever it does not hold must be sent again, also if it was sent before.
    pub exact: bool,
    /// The sums of the parts of everything.
    pub sums: Sums,
}

/// How a range is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Sums,
    Names,
}

/// One exchange, from the side of who asks.
pub struct Survey {
    number: u64,
    runs_taken: u64,
    exact: bool,
    wanted: Vec<(Range, Ask)>,
    asked: BTreeMap<Range, Ask>,
    held: VersionVector,
    /// How many actors the peer named that are not known here.
    strangers: usize,
    /// For how many ranges it told sums.
    sums: usize,
    /// Whether something came since the peer last began to tell.
    moves: bool,
}

/// More actors that are not known here, or ranges with such, than a peer may tell of at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyStrangers;

impl Survey {
    /// Begins, with what is held here.
    pub fn begin(opening: &Opening, ours: &mut Ranges) -> Self {
        let Opening { number, runs_taken, exact, sums } = opening;
        let mut survey = Self {
            number: *number,
            runs_taken: *runs_taken,
            exact: *exact,
            wanted: Vec::new(),
            asked: BTreeMap::new(),
            held: VersionVector::default(),
            strangers: 0,
            sums: 0,
            moves: true,
        };
        survey.compare(Range::ALL, sums, ours);
        survey
    }

    /// The peer begins to tell anew while this is under way, which goes on: what is found is held then as well. Returns whether nothing
    /// came since the last time; then what was asked last has to be asked again.
    pub fn hear_again(&mut self, exact: bool) -> bool {
        self.exact |= exact;
        !std::mem::take(&mut self.moves)
    }

    /// What is to be asked now, under the number of the exchange; nothing where the peer has told all.
    pub fn ask(&mut self) -> Option<(u64, Wanted)> {
        if self.asked.is_empty() {
            // From the end, so that few are kept: what is found in a range is asked before the ranges beside it.
            let rest = self.wanted.len().saturating_sub(RANGES_ASKED_MAX);
            self.asked.extend(self.wanted.drain(rest..));
        }
        let mut wanted = Wanted::default();
        for (&range, ask) in &self.asked {
            match ask {
                Ask::Sums => wanted.sums.push(range),
                Ask::Names => wanted.names.push(range),
            }
        }
        (!self.asked.is_empty()).then_some((self.number, wanted))
    }

    /// The peer tells something. Returns whether that was asked for.
    pub fn hear(&mut self, number: u64, told: Told, ours: &mut Ranges) -> Result<bool, TooManyStrangers> {
        if number != self.number {
            return Ok(false);
        }
        let asked = self.asked.len();
        for (range, sums) in told.sums {
            if self.asked.remove(&range).is_some() {
                self.sums += 1;
                self.compare(range, &sums, ours);
            }
        }
        for (range, names) in told.names {
            if self.asked.remove(&range).is_none() {
                continue;
            }
            for (actor, seq) in names.into_iter().filter(|(actor, _)| range.contains(actor)) {
                self.strangers += usize::from(!ours.has(&actor));
                self.held.raise(actor, seq);
            }
        }
        // Sums are told of ranges that have some actors each, known ones or strangers.
        if self.strangers + self.sums.saturating_sub(ours.len()) > STRANGERS_MAX {
            return Err(TooManyStrangers);
        }
        let has_answers = self.asked.len() < asked;
        if has_answers {
            self.moves = true;
            self.wanted.extend(std::mem::take(&mut self.asked));
        }
        Ok(has_answers)
    }

    /// What the peer holds, what it had taken in when it began to tell, and whether that is exact; once all is told.
    pub fn finish(&mut self) -> Option<(VersionVector, u64, bool)> {
        let is_done = self.wanted.is_empty() && self.asked.is_empty();
        is_done.then(|| (std::mem::take(&mut self.held), self.runs_taken, self.exact))
    }

    fn compare(&mut self, range: Range, theirs: &Sums, ours: &mut Ranges) {
        let own = ours.sums(range, self.number);
        for ((part, theirs), own) in range.parts().zip(theirs).zip(own) {
            if *theirs == own || (planted(Bug::RangeUncompared) && part.number() % 16 == 7) {
                ours.names(part).for_each(|(actor, seq)| self.held.raise(actor, seq));
            } else if *theirs != NOBODY {
                // Who has few of them here lacks most.
                self.wanted.push((part, if ours.is_short(part) { Ask::Names } else { Ask::Sums }));
            }
        }
    }
}
