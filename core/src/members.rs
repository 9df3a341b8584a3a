//! Who may do what in a room, as a pure function of what was said about that and of who had seen what (DESIGN §6).
//!
//! A room with members begins with its founder, an owner. An owner has power over every member *junior* to him: seniority is the
//! order in which members joined, by the stamps of the first grants that count, so whoever appointed a member, or appointed him who
//! did, is senior to it. Nobody has power over a senior, and over himself only to become less. So who a member is depends on his
//! seniors alone, and [`Judgement::of`] finds the members in their order.
//!
//! What takes a right away, a removal or a grant of a lesser role, takes it for every message of that key which it had not seen, and for
//! every grant that has not seen it: a removal beats what is concurrent, and whoever is admitted again counts from then on.
//!
//! A member's *seat* outlives his key: a rotation, said by a new key that the old one has signed, hands it on. From then on the new key
//! speaks for the seat where it has seen the rotation, and of the old one counts what the rotation has seen. What is said of an old key is
//! said of the seat, and of a new one if it was said knowing of the rotation. Rotating needs a right that no removal has taken away, so
//! nobody comes back by it; of several rotations of one key the least stamp counts, with others to the same key that know of none. So
//! whoever has lost what he said says it again, one key after the other as they followed upon each other, and it is one rotation with what
//! the others hold: who knew of either goes on, and of an old key counts what either has seen.
//!
//! ```
//! use rtc_core::clock::Stamp;
//! use rtc_core::id::{Actor, PeerKey};
//! use rtc_core::members::{Act, Deed, Judgement, Member, Role};
//!
//! let (founder, guest) = (PeerKey([1; 32]), PeerKey([2; 32]));
//! let stamp = Stamp { lamport: 1, actor: Actor::new(founder, 7), seq: 1, index: 0 };
//! let admits = Act { stamp, subject: guest, deed: Deed::Grant(Role::Viewer), name: None };
//! let judgement = Judgement::of(&[Member::founder(founder)], &[admits], |_, _| false);
//! assert_eq!(judgement.role(&guest), Some(Role::Viewer));
//! let [sees, is_seen] = [|_| true, |_| false];
//! assert!(judgement.counts(&guest, Role::Viewer, sees, is_seen) && !judgement.counts(&guest, Role::Editor, sees, is_seen));
//! ```

mod charter;
mod judgement;
mod succession;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use charter::{Charter, Secret};
pub(crate) use charter::{read_former, write_former};
pub use judgement::Judgement;
pub use succession::{Former, is_succession};

use crate::clock::Stamp;
use crate::id::PeerKey;
use crate::op::room::{GRANT, REMOVE, ROTATE};
use crate::op::{Op, OpCode};

/// What a member may do; each role may do what those below may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// He reads.
    Viewer,
    /// He edits.
    Editor,
    /// He says who the members are and how the room is called.
    Owner,
}

/// A member, or one who was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who: the newest of his keys.
    pub key: PeerKey,
    /// What he may do; none where he was removed.
    pub role: Option<Role>,
    /// How he is called, for people; empty where nobody said.
    pub name: String,
    /// The keys he had before, the first one first.
    pub former: Vec<Former>,
}

/// What one op says about one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// Its place in the order of all ops.
    pub stamp: Stamp,
    /// Whom it is about.
    pub subject: PeerKey,
    /// What becomes of him.
    pub deed: Deed,
    /// How he is to be called, if it says so.
    pub name: Option<String>,
}

/// What becomes of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// He is that.
    Grant(Role),
    /// He is a member no more.
    Remove,
    /// His key, the subject, gives way to the `next` one, which is that of the op's author or gave way to it.
    Rotate {
        /// The old key, with what it has signed.
        former: Former,
        /// The new one.
        next: PeerKey,
    },
}

impl Role {
    /// All of them, the greatest first.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Editor, Self::Viewer];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
        }
    }

    /// The role of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Member {
    /// The first member of every room.
    pub fn founder(key: PeerKey) -> Self {
        Self { role: Some(Role::Owner), ..Self::unknown(key) }
    }

    /// One of whom nothing is said yet.
    pub(crate) fn unknown(key: PeerKey) -> Self {
        Self { key, role: None, name: String::new(), former: Vec::new() }
    }

    /// The key he began with, by which seats are told apart.
    pub fn first_key(&self) -> PeerKey {
        self.former.first().map_or(self.key, |former| former.key)
    }

    /// Whether one of his keys came back, which cannot be.
    pub(crate) fn has_a_key_twice(&self) -> bool {
        let keys: BTreeSet<PeerKey> = self.former.iter().map(|former| former.key).chain([self.key]).collect();
        keys.len() <= self.former.len()
    }

    /// Whether a key is his or was.
    pub fn has_key(&self, key: &PeerKey) -> bool {
        self.key == *key || self.former.iter().any(|former| former.key == *key)
    }
}

impl Act {
    /// What an op says about a member; nothing where it is about something else or can have no effect.
    pub fn of(stamp: Stamp, op: &Op) -> Option<Self> {
        op.resolve().ok()?;
        let text = |name: &str| op.options.get(name).and_then(|value| value.as_text());
        let deed = match op.code {
            GRANT => Deed::Grant(text("role").and_then(Role::of_word)?),
            REMOVE => Deed::Remove,
            ROTATE => {
                let (former, next) = Former::of(op, &stamp.actor.key())?;
                Deed::Rotate { former, next }
            }
            OpCode(_) => return None,
        };
        let subject = op.value.as_text()?.parse().ok()?;
        Some(Self { stamp, subject, deed, name: text("name").map(str::to_owned) })
    }

    /// Who says it.
    pub fn author(&self) -> PeerKey {
        self.stamp.actor.key()
    }

    /// Whether it is about who says it.
    pub(crate) fn is_own(&self) -> bool {
        self.author() == self.subject
    }

    pub(crate) fn is_rotation(&self) -> bool {
        self.next_key().is_some()
    }

    /// To which key the subject gives way, if it does.
    pub(crate) fn next_key(&self) -> Option<PeerKey> {
        match self.deed {
            Deed::Rotate { next, .. } => Some(next),
            Deed::Grant(_) | Deed::Remove => None,
        }
    }

    /// What it makes somebody; none where it removes him, and where it leaves him what he is.
    pub(crate) fn role(&self) -> Option<Role> {
        match self.deed {
            Deed::Grant(role) => Some(role),
            Deed::Remove | Deed::Rotate { .. } => None,
        }
    }

    /// What the seat has to be for which it is said. Over himself everybody has the power to be no more than he is, to leave, and to take
    /// another key.
    pub(crate) fn need(&self) -> Role {
        match self.is_own() || self.is_rotation() {
            true => self.role().unwrap_or(Role::Viewer),
            false => Role::Owner,
        }
    }
}

#[cfg(test)]
mod tests;
