//! The letters of characters, by number: UTF-8 that only grows.

use std::ops::Range;

use super::{Char, number};

/// From one mark to the next.
const MARK_CHARS: usize = 64;

/// Letters.
#[derive(Clone, Default)]
pub(crate) struct Letters {
    text: String,
    chars: usize,
    /// Where every [`MARK_CHARS`]th character begins, in bytes.
    marks: Vec<u32>,
}

impl Letters {
    /// Gives the next characters their letters, and says how many they are.
    pub(crate) fn extend(&mut self, text: &str) -> usize {
        let before = self.chars;
        for (byte, _) in text.char_indices() {
            if self.chars.is_multiple_of(MARK_CHARS) {
                self.marks.push(number(self.text.len() + byte));
            }
            self.chars += 1;
        }
        self.text.push_str(text);
        self.chars - before
    }

    /// The letters of consecutive characters.
    pub(crate) fn slice(&self, chars: Range<Char>) -> &str {
        &self.text[self.byte(chars.start.0 as usize)..self.byte(chars.end.0 as usize)]
    }

    fn byte(&self, char: usize) -> usize {
        if self.text.len() == self.chars || char == self.chars {
            return self.text.len() - (self.chars - char);
        }
        let mark = self.marks[char / MARK_CHARS] as usize;
        let rest = self.text[mark..].char_indices().nth(char % MARK_CHARS);
        mark + rest.map_or(0, |(byte, _)| byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_that_were_given_whatever_their_width() {
        for alphabet in ["abc", "aé🙂"] {
            let all: Vec<char> = alphabet.chars().cycle().take(300).collect();
            let mut letters = Letters::default();
            assert_eq!(letters.extend(&all[..70].iter().collect::<String>()), 70);
            assert!(all[70..].iter().all(|letter| letters.extend(&letter.to_string()) == 1));
            for (from, to) in [(0, 0), (0, 300), (63, 65), (64, 128), (199, 300), (300, 300)] {
                let expected: String = all[from..to].iter().collect();
                assert_eq!(letters.slice(Char(number(from))..Char(number(to))), expected);
            }
        }
    }
}
