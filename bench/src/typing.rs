//! Typing that stands in for recorded traces.

use crate::random::Random;
use crate::trace::{Splice, Turn};

/// Characters typed in a row before the cursor goes elsewhere, on average.
const BURST: u32 = 40;
/// Of a hundred splices that many take a character back.
const BACKSPACES: u32 = 30;
/// Of a thousand splices that many paste, where the trace has such.
const PASTES: u32 = 5;
/// Turns of one person that the others do not see yet, at most.
const UNSEEN_MAX: u32 = 20;

/// The splices of one person.
pub fn alone(seed: u64, count: usize, pasted_max: u32) -> Vec<Splice> {
    let mut random = Random::new(seed);
    let mut cursor = Cursor::default();
    let mut splices = Vec::with_capacity(count);
    while splices.len() < count {
        let splice = if pasted_max > 1 && random.below(1000) < PASTES {
            cursor.paste(&mut random, pasted_max)
        } else {
            cursor.step(&mut random)
        };
        splices.push(splice);
    }
    splices
}

/// The turns of several people, in rounds: each types for a while without seeing the others; all see the round before. Nobody
/// deletes in a round what others may delete too, so that the length of the text is the same for every engine.
pub fn together(seed: u64, count: usize, authors: usize) -> Vec<Turn> {
    let mut random = Random::new(seed);
    let mut turns: Vec<Turn> = Vec::with_capacity(count);
    let mut len = 0;
    let mut seen = Vec::new();
    while turns.len() < count {
        let mut heads = Vec::new();
        let mut grown = 0;
        for author in 0..authors {
            let mut cursor = Cursor { len, at: random.below(len as u32 + 1) as usize };
            let mut parents = seen.clone();
            for _ in 0..=random.below(UNSEEN_MAX) {
                let splice = if author == 0 { cursor.step(&mut random) } else { cursor.letter(&mut random) };
                turns.push(Turn { author, parents, splices: vec![splice] });
                parents = vec![turns.len() - 1];
            }
            heads.extend(parents);
            grown += cursor.len as isize - len as isize;
        }
        len = len.strict_add_signed(grown);
        seen = heads;
    }
    turns.truncate(count);
    turns
}

/// Where somebody types in a text of which only the length matters.
#[derive(Default)]
struct Cursor {
    len: usize,
    at: usize,
}

impl Cursor {
    fn step(&mut self, random: &mut Random) -> Splice {
        if random.below(BURST) == 0 {
            self.at = random.below(self.len as u32 + 1) as usize;
        }
        if self.at > 0 && random.below(100) < BACKSPACES {
            self.at -= 1;
            self.len -= 1;
            return Splice { at: self.at, deleted: 1, inserted: String::new() };
        }
        self.letter(random)
    }

    fn letter(&mut self, random: &mut Random) -> Splice {
        let splice = Splice { at: self.at, deleted: 0, inserted: letters(random, 1) };
        self.at += 1;
        self.len += 1;
        splice
    }

    /// Something else in place of what follows; short pastes are the most frequent.
    fn paste(&mut self, random: &mut Random, pasted_max: u32) -> Splice {
        let bound = 1 + random.below(pasted_max);
        let inserted = 1 + random.below(bound) as usize;
        let deleted = (random.below(bound) as usize).min(self.len - self.at);
        let splice = Splice { at: self.at, deleted, inserted: letters(random, inserted) };
        self.len = self.len - deleted + inserted;
        self.at += inserted;
        splice
    }
}

fn letters(random: &mut Random, count: usize) -> String {
    (0..count).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}
