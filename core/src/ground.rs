//! What is left of messages that a horizon lets go: the ground on which all later ones stand (DESIGN §3, law 14).
//!
//! A ground stands before every later message, and every later message has seen all of it; so of each property the value is
//! enough, with the op that made it, of each node one life and one place, and of undone and overwritten ops nothing.
//!
//! Characters and elements of lists keep their identities only where a later message may name them. Who writes goes by what
//! he sees: he names a character that shows, or the start, as what he writes behind, and what stands right behind that, be
//! it shown or not, as what he writes before. So of each text and list there is left what shows and what follows each of
//! those, in order ([`Kept`]), and nothing of the tree that gave the order: whatever comes between two of them stands on the right of
//! the one or on the left of the other, and the former come first.
//!
//! What was dropped only those name who undid something behind the horizon without knowing of it, or who had not seen all that lies in
//! it and issue their messages again: what they insert beside it goes to the end, and what else they do to it has no effect.
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
mod flat;
mod format;
mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clock::{Stamp, VersionVector};
use crate::id::{Dot, PeerKey};
use crate::members::Charter;
use crate::op::text::Content;
use crate::op::{NoEffect, OpCode};
use crate::place::Place;
use crate::value::Value;
pub(crate) use flat::Flat;
pub(crate) use kept::Keeping;
pub use kept::Kept;

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
    /// The members of the room, its name and its newest secret; nothing in an open room.
    pub charter: Charter,
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
    /// What is kept of the characters that were ever brought to each of its paths, across lives.
    pub texts: BTreeMap<String, Arc<[Kept]>>,
    /// The same of elements of lists.
    pub lists: BTreeMap<String, Arc<[Kept]>>,
}

impl GroundNode {
    /// What is kept of a path, of characters or of elements.
    pub(crate) fn kept(&self, path: &str, content: Content) -> Arc<[Kept]> {
        let by_path = match content {
            Content::Text => &self.texts,
            Content::List => &self.lists,
        };
        by_path.get(path).cloned().unwrap_or_default()
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
    /// The value. Where its characters or elements have identities, they are those kept that show.
    pub value: Value,
}

impl Base {
    /// Whether the value is made of such characters or elements.
    pub(crate) fn is_made_of(&self, content: Content) -> bool {
        match self.form {
            Form::Whole => content.fits(&self.value),
            Form::Made => false,
            Form::Written(of) => of == content,
        }
    }
}

/// In which way a property holds its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As a reset left it: where it is text or a list, its characters or elements have identities too.
    Whole,
    /// As a step made it: where it is text or a list, its characters or elements have none.
    Made,
    /// As steps wrote it, into characters or elements that have identities.
    Written(Content),
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
