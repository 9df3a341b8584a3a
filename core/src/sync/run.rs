//! A run: consecutive messages of one actor under one signature, the unit in which messages travel.
//!
//! Only the first message of a run may name heads of other actors. So a run has one past, is applied as a whole, and two
//! runs never wait for each other.

use crate::block::Bodies;
use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::Signature;
use crate::clock::VersionVector;
use crate::id::Actor;
use crate::limits::{
    BACKLOG_RUN_MESSAGES_MAX, LAMPORT_MAX, MESSAGE_BYTES_MAX, RUN_BYTES_MAX, RUN_MESSAGES_MAX,
};
use crate::store::Record;
use crate::view::MessageView;

/// Bytes of bodies one backlog run is filled up to; it ends at the first signature past that.
const BACKLOG_RUN_BYTES: usize = 48 * 1024;

/// Consecutive messages of one actor; the signature is over the last one's link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Who made them.
    pub actor: Actor,
    /// The number of the first.
    pub first: u64,
    /// Their canonical bytes, at least one and at most [`RUN_MESSAGES_MAX`].
    pub bodies: Bodies,
    /// Over the link of the last.
    pub signature: Signature,
}

impl Run {
    /// The number of the last message.
    pub fn last(&self) -> u64 {
        self.first + self.bodies.len() as u64 - 1
    }

    /// What who holds the run holds of its actor.
    pub fn head(&self) -> VersionVector {
        [(self.actor, self.last())].into_iter().collect()
    }

    /// What the messages take.
    pub fn body_bytes(&self) -> usize {
        self.bodies.bytes()
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.actor.0).uint(self.first).bytes(&self.signature.0).array(self.bodies.len());
        for body in &self.bodies {
            writer.bytes(body);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let actor = Actor(reader.bytes_of()?);
        let first = reader.uint()?;
        let signature = Signature(reader.bytes_of()?);
        let len = reader.array(RUN_MESSAGES_MAX, "messages of a run")?;
        let bodies =
            (0..len).map(|_| reader.slice(MESSAGE_BYTES_MAX, "message")).collect::<Result<Bodies, _>>()?;
        if bodies.is_empty() || !(1..=LAMPORT_MAX).contains(&first) {
            return Err(DecodeError::Unexpected { expected: "a run of at least one message", offset: 0 });
        }
        Ok(Self { actor, first, bodies, signature })
    }
}

/// A stored message, as far as it says where runs end.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What its body takes.
    pub body_bytes: usize,
    /// Whether there is a signature over its link.
    pub signed: bool,
    /// Whether it names heads of others: then a run can begin, but not go on with it.
    pub advances: bool,
}

impl Step {
    /// What `record` says; a body that is no message names nobody.
    pub fn of(record: &Record) -> Self {
        let message = MessageView::read(record.actor, &record.body);
        Self {
            body_bytes: record.body.len(),
            signed: record.signature.is_some(),
            advances: message.is_ok_and(|message| !message.clock.is_empty()),
        }
    }
}

/// The backlog run that begins with the first of these consecutive messages: how many it has and what their bodies take; none where
/// no signature ends it.
pub fn backlog_run(messages: impl IntoIterator<Item = Step>) -> Option<(usize, usize)> {
    let mut body_bytes = 0;
    let mut run = None;
    for (index, message) in messages.into_iter().take(BACKLOG_RUN_MESSAGES_MAX).enumerate() {
        let full = body_bytes >= BACKLOG_RUN_BYTES && run.is_some();
        if index > 0 && (message.advances || full) {
            break;
        }
        body_bytes += message.body_bytes;
        if message.signed && body_bytes > RUN_BYTES_MAX && run.is_some() {
            break;
        }
        if message.signed {
            run = Some((index + 1, body_bytes));
        }
    }
    run
}
