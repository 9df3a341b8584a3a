//! What is left of messages that a horizon lets go: the ground on which all later ones stand (DESIGN §3, law 14).
//!
//! A ground stands before every later message, and every later message has seen all of it; so of each property the value is
//! enough, with the op that made it, of each node one life and one place, and of undone and overwritten ops nothing. Only
//! characters and elements of lists keep their identities, shown or not, since later ones may stand beside them; what
//! hidden ones held is gone.
//!
//! A text or list that is set often leaves a record of each value it held, for all of the characters can be named: whoever
//! writes behind the one that shows names the first of those that do not, and nothing keeps a later message, whose author
//! has not heard of the horizon, from naming any other. To drop them, what may be named would have to be a law: that a
//! character which a horizon drops is missing for everybody who has the horizon, be the messages still held or not.
//!
//! Folding a ground and later messages gives what folding all messages gives, bit for bit, except that what points behind
//! the horizon finds nothing there: an undo or a redo of a message in it has no effect, and of the requests in it the last
//! [`REQUESTS_KEPT`] are known.
//!
//! ```
//! use rtc_core::ground::Ground;
//! use rtc_core::replica::Replica;
//! use rtc_core::scene::Root;
//!
//! let room = Replica::new(Root::default());
//! let bytes = room.ground()?.encode();
//! let again = Replica::on(&Ground::decode(&bytes)?, Root::default());
//! assert_eq!(again.state_hash(), room.state_hash());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod format;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::{Stamp, VersionVector};
use crate::id::{Dot, PeerKey};
use crate::op::text::{CharId, Content};
use crate::op::{NoEffect, OpCode};
use crate::place::Place;
use crate::value::Value;
pub(crate) use run::push_run;

/// Requests that a ground remembers: clients repeat theirs within seconds, and this many are made in minutes at most.
pub const REQUESTS_KEPT: usize = 1024;

/// A set of messages, folded. The empty one is that of a new room.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ground {
    /// Which messages it stands for. Their causal past is among them.
    pub version: VersionVector,
    /// The greatest lamport time of them, 0 where there are none.
    pub lamport: u64,
    /// The last requests that counted, in the order of their messages.
    pub requests: Vec<(PeerKey, String)>,
    /// The messages that were issued again: what is issued once more counts no more.
    pub origins: BTreeSet<Dot>,
    /// Every key that ever lived or was written to, the root's included.
    pub nodes: BTreeMap<String, GroundNode>,
}

/// What is left of one key.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GroundNode {
    /// The last parent, that of an ended life too; none for the root, and for what never lived.
    pub parent: Option<String>,
    /// Whether it lives.
    pub life: GroundLife,
    /// The characters that were ever brought to each of its paths, across lives, by the ops that brought them, in order.
    pub texts: BTreeMap<String, Vec<Brought>>,
    /// The same of elements of lists.
    pub lists: BTreeMap<String, Vec<Brought>>,
}

impl GroundNode {
    /// What was ever brought to a path, as characters or as elements.
    pub(crate) fn brought(&self, path: &str, content: Content) -> &[Brought] {
        let by_path = match content {
            Content::Text => &self.texts,
            Content::List => &self.lists,
        };
        by_path.get(path).map(Vec::as_slice).unwrap_or_default()
    }
}

/// What is left of the lives of one key.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum GroundLife {
    /// It never lived.
    #[default]
    Never,
    /// It lived, and does not any more.
    Ended,
    /// It lives.
    Lives {
        /// The insert that began the life, and the place among its siblings; none for the root.
        stands: Option<(Stamp, Place)>,
        /// What it is.
        tag: String,
        /// Its name.
        name: String,
        /// What its properties hold, by path.
        properties: BTreeMap<String, Base>,
    },
}

/// What a property holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Base {
    /// The op that made it so: the reset where nothing was applied to it, else the last step that could be.
    pub by: Stamp,
    /// That op's code.
    pub code: OpCode,
    /// In which way it holds the value.
    pub form: Form,
    /// The value.
    pub value: Value,
}

/// In which way a property holds its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As a reset left it: where it is text or a list, its characters or elements have identities.
    Whole,
    /// As a step made it: where it is text or a list, its characters or elements have none.
    Made,
    /// As these characters or elements; the value is null.
    Written(Content),
}

/// The characters that one op brought to a property, or the elements, or one more position of an element.
#[derive(Clone, PartialEq, Debug)]
pub struct Brought {
    /// The op.
    pub by: Stamp,
    /// What its message was before, where that is one that was issued again.
    pub origin: Option<Dot>,
    /// Its code.
    pub code: OpCode,
    /// Where they went.
    pub spot: Spot,
    /// How many there are.
    pub len: u32,
    /// Those that show, where the property's form is [`Form::Written`]: runs of text or lists, each with the offset of its
    /// first. Elements are with the op that brought them, wherever they stand.
    pub shown: Vec<(u32, Value)>,
    /// Of a move the element that stands there.
    pub element: Option<CharId>,
}

impl Brought {
    /// The names of those it brought.
    pub(crate) fn char(&self, offset: u32) -> CharId {
        let (dot, index) = self.name();
        CharId { dot, index, offset }
    }

    /// The name of the op: its message's, and its index in what that was first.
    pub(crate) fn name(&self) -> (Dot, u32) {
        match self.origin {
            None => (self.by.dot(), self.by.index),
            Some(origin) => (origin, self.by.index.saturating_sub(1)),
        }
    }
}

/// Where characters went: see [`crate::op::text`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spot {
    /// On the left of a character.
    Before(CharId),
    /// On the right of a character, or of the start, and of what followed: as what it stands beside has it where absent.
    After(Option<CharId>, Option<Option<CharId>>),
    /// Behind everything.
    Last,
}

/// Messages that no horizon may pass yet: one of them holds an op that a newer version may know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("message {dot} cannot be folded: op {index}: {reason}")]
pub struct Unfoldable {
    /// The message.
    pub dot: Dot,
    /// The op's index in it.
    pub index: u32,
    /// What is not known of it.
    pub reason: NoEffect,
}

impl Unfoldable {
    /// Checks one op's fate: known now, or unknown for ever.
    pub(crate) fn check(dot: Dot, index: u32, reason: &NoEffect) -> Result<(), Self> {
        match reason {
            NoEffect::UnknownOperation { .. } | NoEffect::UnknownOption { .. } => {
                Err(Self { dot, index, reason: reason.clone() })
            }
            _ => Ok(()),
        }
    }
}
