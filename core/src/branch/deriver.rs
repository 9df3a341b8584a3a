//! Messages as replicas see them, made of a journal's records one by one.

use std::collections::BTreeMap;

use super::Branches;
use crate::canonical::DecodeError;
use crate::clock::VersionVector;
use crate::id::{Actor, Dot};
use crate::message::{Head, Message, SHORT_LINK_BYTES};
use crate::store::{Record, Rename};
use crate::view::MessageView;

/// Translates the records of a journal, given in causal order from the first on that is not forgotten. In a room without branches it
/// keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct Deriver {
    branches: Branches,
    /// What is forgotten, which all that is not has seen.
    forgotten: VersionVector,
    /// What the newest message of each actor had seen.
    clocks: BTreeMap<Actor, VersionVector>,
    /// The links of those that have forked.
    links: BTreeMap<Dot, [u8; SHORT_LINK_BYTES]>,
}

impl Deriver {
    /// One for a room with these branches, of which so much is forgotten.
    pub fn new(branches: Branches, forgotten: VersionVector) -> Self {
        Self { branches, forgotten, clocks: BTreeMap::new(), links: BTreeMap::new() }
    }

    /// The message of a record as a replica sees it; without branches, as it is.
    ///
    /// # Errors
    /// Where the body is no message.
    pub fn derive(&mut self, record: &Record) -> Result<Message, DecodeError> {
        let view = MessageView::read(record.actor, &record.body)?;
        if self.branches.is_empty() {
            return Ok(view.to_message());
        }
        let dot = view.dot();
        if self.branches.family(dot.actor).next().is_some() {
            self.links.insert(dot, record.link.short());
        }
        let local = |head: &Head| {
            let Dot { actor, seq } = self.branches.find(head, |dot| self.links.get(dot).copied());
            Head { actor, seq, link: head.link }
        };
        let heads: Vec<Head> = view.clock.iter().map(local).collect();
        Ok(self.take(&view, &heads).unwrap_or_else(|| view.to_message()))
    }

    /// A message of a replica that went by the names before a fork was known.
    pub(crate) fn rename(&mut self, message: Message, rename: Option<&Rename>) -> Message {
        let of = |dot: Dot| rename.map_or(dot, |rename| rename.of(dot));
        let Dot { actor, .. } = of(message.dot());
        let local = |head: &Head| {
            let Dot { actor, seq } = of(Dot { actor: head.actor, seq: head.seq });
            Head { actor, seq, link: head.link }
        };
        let heads: Vec<Head> = message.clock.iter().map(local).collect();
        let message = Message { actor, ..message };
        MessageView::with(&message, |view| self.take(view, &heads)).unwrap_or(message)
    }

    /// A message that is called what it is called here, and so are those that its clock names; nothing where it stays as it is.
    pub(crate) fn take(&mut self, view: &MessageView<'_>, heads: &[Head]) -> Option<Message> {
        let mut seen = match self.clocks.remove(&view.actor) {
            Some(seen) => seen,
            None => {
                let before = self.branches.seen_before(&view.actor, |actor| self.clocks.get(actor));
                let mut seen = before.unwrap_or_default();
                seen.join(&self.forgotten);
                seen
            }
        };
        let derived = self.branches.derive(view, heads, &seen);
        let clock = derived.as_ref().map_or(heads, |message| &message.clock);
        clock.iter().for_each(|head| seen.raise(head.actor, head.seq));
        self.clocks.insert(view.actor, seen);
        derived
    }
}
