//! A run: consecutive messages of one actor under one signature, the unit in which messages travel.
//!
//! Only the first message of a run may name heads of other actors. So a run has one past, is applied as a whole, and two
//! runs never wait for each other.

use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::Signature;
use crate::clock::VersionVector;
use crate::id::Actor;
use crate::limits::{LAMPORT_MAX, MESSAGE_BYTES_MAX, RUN_MESSAGES_MAX};

/// Consecutive messages of one actor; the signature is over the last one's link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Who made them.
    pub actor: Actor,
    /// The number of the first.
    pub first: u64,
    /// Their canonical bytes, at least one and at most [`RUN_MESSAGES_MAX`].
    pub bodies: Vec<Vec<u8>>,
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
        self.bodies.iter().map(Vec::len).sum()
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
            (0..len).map(|_| reader.bytes(MESSAGE_BYTES_MAX, "message")).collect::<Result<Vec<_>, _>>()?;
        if bodies.is_empty() || !(1..=LAMPORT_MAX).contains(&first) {
            return Err(DecodeError::Unexpected { expected: "a run of at least one message", offset: 0 });
        }
        Ok(Self { actor, first, bodies, signature })
    }
}
