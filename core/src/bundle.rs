//! What is needed to find out why two peers see different scenes of the same messages: the messages, and what each of them saw.
//!
//! `rtc verify --peers` writes one as JSON, `rtc replay` folds it again. docs/reliability.md says what to do with it.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::canonical::DecodeError;
use crate::ground::Ground;
use crate::id::{Actor, PeerKey, RoomId, StateHash};
use crate::message::Message;
use crate::replica::Replica;
use crate::scene::Root;
use crate::store::Record;
use crate::value::Value;

/// The format that this code writes.
pub const FORMAT: u32 = 1;

/// Messages, and what was seen of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// The [`FORMAT`].
    pub bundle: u32,
    /// Of which room.
    pub room: RoomId,
    /// The room's first member, where it has members.
    #[serde(default)]
    pub founder: Option<PeerKey>,
    /// The version of the operation table of whoever wrote it.
    pub table: u32,
    /// Who wrote it.
    pub peer: PeerKey,
    /// What is left of forgotten messages, in base64, where some are.
    pub ground: Option<String>,
    /// All others, in the order in which they came.
    pub messages: Vec<Packed>,
    /// What each peer says that it sees of them, its writer among them.
    pub seen: BTreeMap<PeerKey, StateHash>,
    /// The scene as its writer sees it, as [`describe`](crate::dialect::describe) tells it. What another one sees is in that one's bundle.
    pub scene: Value,
}

/// A message as it travels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Packed {
    /// Who made it.
    pub actor: Actor,
    /// Its canonical bytes, in base64.
    pub body: String,
}

/// Why a bundle cannot be folded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BundleError {
    /// A later rtc wrote it.
    #[error("bundle format {0} is not known, this rtc knows {FORMAT}; use the newer rtc")]
    Newer(u32),
    /// Something in it is no base64.
    #[error("a message or the ground is not base64: {0}")]
    Base64(#[from] data_encoding::DecodeError),
    /// Something in it cannot be read.
    #[error("a message or the ground cannot be read: {0}")]
    Malformed(#[from] DecodeError),
}

impl Packed {
    /// A message of the store.
    pub fn of(record: &Record) -> Self {
        Self { actor: record.actor, body: BASE64.encode(&record.body) }
    }
}

impl Bundle {
    /// A ground as it stands in [`Bundle::ground`].
    pub fn pack_ground(ground: &Ground) -> String {
        BASE64.encode(&ground.encode())
    }

    /// What the messages show here and now.
    ///
    /// # Errors
    /// Where it is not what [`Packed::of`] and [`Bundle::pack_ground`] made, or of a later format.
    pub fn fold(&self) -> Result<Replica, BundleError> {
        if self.bundle != FORMAT {
            return Err(BundleError::Newer(self.bundle));
        }
        let root = Root { founder: self.founder, ..Root::default() };
        let mut replica = match &self.ground {
            None => Replica::new(root),
            Some(ground) => Replica::on(&Ground::decode(&BASE64.decode(ground.as_bytes())?)?, root),
        };
        let message = |packed: &Packed| -> Result<Message, BundleError> {
            Ok(Message::decode(packed.actor, &BASE64.decode(packed.body.as_bytes())?)?)
        };
        let messages: Vec<Message> = self.messages.iter().map(message).collect::<Result<_, _>>()?;
        replica.apply_all(&messages);
        Ok(replica)
    }
}
