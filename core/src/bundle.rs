//! What is needed to find out why two peers see different scenes of the same messages: the messages, and what each of them saw.
//!
//! `rtc verify --peers` writes one as JSON, `rtc replay` folds it again. docs/reliability.md says what to do with it.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::branch::{Branches, Deriver};
use crate::canonical::DecodeError;
use crate::chain::Link;
use crate::ground::Ground;
use crate::id::{Actor, PeerKey, RoomId, StateHash};
use crate::message::Message;
use crate::replica::Replica;
use crate::scene::Root;
use crate::store::Record;
use crate::value::Value;
use crate::view::MessageView;

/// The format that this code writes. It reads the first, too, which told of no forks.
pub const FORMAT: u32 = 2;

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
    /// The fact [`FORKS`](crate::store::FORKS), in base64, where there are branches.
    #[serde(default)]
    pub forks: Option<String>,
    /// All others, in the order in which they came, by the names that they have here.
    pub messages: Vec<Packed>,
    /// What each peer says that it sees of them, its writer among them.
    pub seen: BTreeMap<PeerKey, StateHash>,
    /// The scene as its writer sees it, as [`describe`](crate::dialect::describe) tells it. What another one sees is in that one's bundle.
    pub scene: Value,
}

/// A message as it was signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Packed {
    /// Who made it.
    pub actor: Actor,
    /// Its link, in base64.
    #[serde(default)]
    pub link: String,
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
        let (link, body) = (BASE64.encode(&record.link.0), BASE64.encode(&record.body));
        Self { actor: record.actor, link, body }
    }

    /// What it was made of, but for the signature.
    fn record(&self) -> Result<Record, BundleError> {
        let (actor, body) = (self.actor, BASE64.decode(self.body.as_bytes())?);
        let seq = MessageView::read(actor, &body)?.seq;
        let link = BASE64.decode(self.link.as_bytes())?.try_into().map(Link).unwrap_or(Link([0; 32]));
        Ok(Record { actor, seq, link, body, signature: None })
    }
}

impl Bundle {
    /// The forks as they stand in [`Bundle::forks`].
    pub fn pack_forks(fact: &[u8]) -> String {
        BASE64.encode(fact)
    }

    /// A ground as it stands in [`Bundle::ground`].
    pub fn pack_ground(ground: &Ground) -> String {
        BASE64.encode(&ground.encode())
    }

    /// What the messages show here and now.
    ///
    /// # Errors
    /// Where it is not what [`Packed::of`] and [`Bundle::pack_ground`] made, or of a later format.
    pub fn fold(&self) -> Result<Replica, BundleError> {
        if !(1..=FORMAT).contains(&self.bundle) {
            return Err(BundleError::Newer(self.bundle));
        }
        let root = Root { founder: self.founder, ..Root::default() };
        let ground = self.ground.as_ref().map(|ground| -> Result<Ground, BundleError> {
            Ok(Ground::decode(&BASE64.decode(ground.as_bytes())?)?)
        });
        let ground = ground.transpose()?.unwrap_or_default();
        let branches = self.forks.as_ref().map(|forks| -> Result<Branches, BundleError> {
            Ok(Branches::read(&BASE64.decode(forks.as_bytes())?)?)
        });
        let mut deriver = Deriver::new(branches.transpose()?.unwrap_or_default(), ground.version.clone());
        let message = |packed: &Packed| Ok(deriver.derive(&packed.record()?)?);
        let messages: Vec<Message> = self.messages.iter().map(message).collect::<Result<_, BundleError>>()?;
        let mut replica = Replica::on(&ground, root);
        replica.apply_all(&messages);
        Ok(replica)
    }
}
