//! Who is let near a room, and by which of its secrets: what its log says of members and of secrets, for the connections.

use data_encoding::BASE64_NOPAD;

use crate::id::PeerKey;
use crate::members::{Member, Role};
use crate::op::Options;
use crate::room::Room;
use crate::seal;
use crate::ticket::Secret;
use crate::value::Value;

/// Members to whom one message can hand a new secret.
pub const SEALED_MEMBERS_MAX: usize = 320;

/// How somebody stands to a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The room is open: whoever knows its secret belongs to it.
    Open,
    /// He is a member.
    Member(Role),
    /// He was a member.
    Removed,
    /// Nothing is said of him, or has not come here yet.
    Unknown,
}

/// A secret cannot be handed to that many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a room of {0} members keeps its secret: a new one can be handed to {SEALED_MEMBERS_MAX}")]
pub struct TooManyMembers(usize);

impl Room {
    /// How much was said of members and secrets so far.
    pub fn rules(&self) -> u64 {
        self.replica.rules()
    }

    /// How the owner of `key` stands to the room, as far as its messages are held.
    pub fn standing_of(&self, key: &PeerKey) -> Standing {
        if self.founding.as_ref().is_none_or(|founding| founding.first_member().is_none()) {
            return Standing::Open;
        }
        match self.replica.role(key) {
            Some(role) => Standing::Member(role),
            None if self.replica.members().iter().any(|member| member.key == *key) => Standing::Removed,
            None => Standing::Unknown,
        }
    }

    /// The newest secret that the log has for this machine, and the ones before it.
    pub fn newest_secret(&self) -> Option<(Secret, Vec<Secret>)> {
        let options = self.replica.charter().secret?.options;
        let bytes = |value: &Value| BASE64_NOPAD.decode(value.as_text()?.as_bytes()).ok();
        let Value::Map(sealed) = options.get("sealed")? else { return None };
        let sealed = bytes(sealed.get(&self.keys.public().to_string())?)?;
        let secret = self.keys.unseal(&self.id, &sealed)?;
        let former = options.get("old").and_then(bytes);
        let former = former.and_then(|locked| seal::unlock(&locked, &self.id, &secret));
        Some((secret, former.unwrap_or_default()))
    }

    /// The options of a `room.secret` that hands the secret `new` to all members but those `without` it, and with it the `former` ones, the
    /// newest first. `ephemeral` is random and used for nothing else.
    pub fn rotation(
        &self,
        new: &Secret,
        former: &[Secret],
        without: &[PeerKey],
        ephemeral: &[u8; 32],
    ) -> Result<Options, TooManyMembers> {
        let members = self.replica.members();
        let stays = |member: &&Member| member.role.is_some() && !without.contains(&member.key);
        let members: Vec<PeerKey> = members.iter().filter(stays).map(|member| member.key).collect();
        if members.len() > SEALED_MEMBERS_MAX {
            return Err(TooManyMembers(members.len()));
        }
        let text = |bytes: Vec<u8>| BASE64_NOPAD.encode(&bytes);
        // To a weak key nothing can be sealed: its owner has to be invited again.
        let sealed = members.into_iter().filter_map(|key| {
            let sealed = seal::seal(&key, &self.id, ephemeral, new)?;
            Some((key.to_string(), Value::from(text(sealed))))
        });
        let sealed = Value::Map(sealed.collect());
        let old = Value::from(text(seal::lock(former, &self.id, new)));
        Ok([("sealed".to_owned(), sealed), ("old".to_owned(), old)].into_iter().collect())
    }
}
