//! Where somebody types: which character the next step of a text goes by, as far as the steps before tell.
//!
//! Characters are named by how many messages ago they came. Who types goes by the character just typed; who erases goes by the
//! one on the left of the one just erased. What is said here is only a guess, and costs bits where it is wrong.

/// How far back erased characters are followed.
const STEPS_MAX: usize = 64;

/// What a step names a character for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The text goes on its right.
    After,
    /// The text goes on its left.
    Before,
    /// The text goes somewhere before it.
    Until,
    /// It is erased.
    Erased,
}

impl Role {
    /// What the number that follows a form's beginning is, if it names a character.
    pub(super) fn of(beginning: &[u8]) -> Option<Self> {
        let roles: [(&[u8], Self); 4] = [
            (b"\x65after\x83", Self::After),
            (b"\x66before\x83", Self::Before),
            (b"\x65until\x83", Self::Until),
            (b"\x65spans\x81\x84", Self::Erased),
        ];
        roles.into_iter().find(|(end, _)| beginning.ends_with(end)).map(|(_, role)| role)
    }
}

/// The messages of a block as far as they brought or erased characters; numbers count from the block's first message.
#[derive(Default)]
pub(super) struct Cursor {
    /// The character on the left of what each message brought.
    left: Vec<i64>,
    erased: Vec<bool>,
    /// The character on the left of where the next step is thought to be.
    at: i64,
    /// What the last step of each kind named.
    until: i64,
}

impl Cursor {
    /// A message begins.
    pub(super) fn advance(&mut self) {
        let this = self.this();
        self.left.push(this - 1);
        self.erased.push(false);
    }

    /// How many messages ago the character came that the next step goes by.
    pub(super) fn foretell(&mut self, role: Role) -> i64 {
        let this = self.this() - 1;
        match role {
            Role::After | Role::Erased => this.wrapping_sub(self.at),
            Role::Before => this.wrapping_sub(self.at).wrapping_sub(1),
            Role::Until => this.wrapping_sub(self.until),
        }
    }

    /// So many it was.
    pub(super) fn learn(&mut self, role: Role, back: i64) {
        let this = self.this() - 1;
        let named = this.wrapping_sub(back);
        match role {
            Role::After => self.bring(named),
            Role::Before => {
                self.until = named;
                self.bring(self.left_of(named));
            }
            Role::Until => self.until = named,
            Role::Erased => {
                if let Some(erased) = index(named).and_then(|index| self.erased.get_mut(index)) {
                    *erased = true;
                }
                self.at = self.left_of(named);
            }
        }
    }

    fn bring(&mut self, left: i64) {
        if let Some(last) = self.left.last_mut() {
            *last = left;
        }
        self.at = self.this() - 1;
    }

    fn this(&self) -> i64 {
        i64::try_from(self.left.len()).expect("a block holds few messages")
    }

    /// The nearest character on the left that is not erased.
    fn left_of(&self, character: i64) -> i64 {
        let mut at = character;
        for _ in 0..STEPS_MAX {
            let Some(index) = index(at).filter(|&index| index < self.left.len()) else {
                return at.wrapping_sub(1);
            };
            at = self.left[index];
            if !self.erased.get(usize::try_from(at).unwrap_or(usize::MAX)).copied().unwrap_or(false) {
                break;
            }
        }
        at
    }
}

fn index(character: i64) -> Option<usize> {
    usize::try_from(character).ok()
}
