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
    /// He was a member, or his key gave way to another.
    Removed,
    /// Nothing is said of him, or has not come here yet.
    Unknown,
}

/// A secret cannot be handed to that many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a room of {0} members keeps its secret: a new one can be handed to {SEALED_MEMBERS_MAX}")]
pub struct TooManyMembers(usize);

impl Standing {
    /// What he may do as a member.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Member(role) => Some(role),
            Self::Open | Self::Removed | Self::Unknown => None,
        }
    }
}

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
            None if self.replica.has_seat(key) => Standing::Removed,
            None => Standing::Unknown,
        }
    }

    /// The newest secret that the log has for this machine, and the ones before it.
    pub fn newest_secret(&self) -> Option<(Secret, Vec<Secret>)> {
        let options = self.replica.charter().secret?.options;
        let bytes = |value: &Value| BASE64_NOPAD.decode(value.as_text()?.as_bytes()).ok();
        let Value::Map(sealed) = options.get("sealed")? else { return None };
        // Who has handed it out may have known one of our former keys only.
        let secret = self.own_keys().into_iter().find_map(|key| {
            let sealed = bytes(sealed.get(&key.to_string())?)?;
            self.keys.unseal(&key, &self.id, &sealed)
        })?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::{Govern, Says};
    use crate::chain::{Ed25519, Keys};
    use crate::founding::{Access, Founding};
    use crate::room::{Input, Opening, Output};
    use crate::store::Record;
    use crate::sync::Now;

    fn key(seed: u8) -> PeerKey {
        Ed25519::from_seed(&[seed; 32]).public()
    }

    /// The room that the first key has founded, on the machine of another.
    fn room(seed: u8) -> Room {
        let (owner, name) = (key(1), "lab".to_owned());
        let founding = Founding { owner, nonce: [0; 16], name, time_ms: 0, access: Access::Members };
        let keys = Arc::new(Ed25519::from_seed(&[seed; 32]));
        let room = founding.room();
        Room::open(Opening { room, founding: Some(founding), keys, epoch_fresh: 1, epoch_proof: None })
    }

    fn say(room: &mut Room, says: Vec<Says>) -> Vec<Record> {
        let mut out = Vec::new();
        let govern = Govern { says, ..Govern::default() };
        room.handle(Input::Govern { token: 1, govern }, Now::default(), &mut out);
        room.handle(Input::Flush, Now::default(), &mut out);
        let stored = out.into_iter().filter_map(|output| match output {
            Output::Store { records, .. } => Some(records),
            _ => None,
        });
        stored.flatten().collect()
    }

    #[test]
    fn who_stays_reads_the_next_secret_and_who_is_removed_does_not() {
        let (first, second, third) = (Secret([10; 32]), Secret([11; 32]), Secret([12; 32]));
        let mut owner = room(1);
        let role = |seed| Says::MemberRole { key: key(seed), role: Role::Editor, name: None };
        let mut records = say(&mut owner, vec![role(2), role(3), role(4)]);
        for (removed, new, former) in [(3, second, vec![first]), (4, third, vec![second, first])] {
            let removed = key(removed);
            let options = owner.rotation(&new, &former, &[removed], &[9; 32]).unwrap();
            let says = vec![Says::MemberRemove { key: removed }, Says::RoomSecret { options }];
            records.extend(say(&mut owner, says));
            assert_eq!(owner.newest_secret(), Some((new, former)));
        }
        let seen_by = |seed| {
            let mut room = room(seed);
            room.load(&records).unwrap();
            (room.newest_secret(), [2, 3, 5].map(|other| room.standing_of(&key(other))))
        };
        let standings = [Standing::Member(Role::Editor), Standing::Removed, Standing::Unknown];
        assert_eq!(seen_by(2), (Some((third, vec![second, first])), standings));
        for outsider in [3, 4, 5] {
            assert_eq!(seen_by(outsider), (None, standings), "{outsider}");
        }
    }

    #[test]
    fn a_secret_is_handed_to_no_more_members_than_one_message_holds() {
        let mut owner = room(1);
        let grant = |number: usize| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_be_bytes());
            Says::MemberRole { key: Ed25519::from_seed(&seed).public(), role: Role::Viewer, name: None }
        };
        say(&mut owner, (1..SEALED_MEMBERS_MAX).map(grant).collect());
        let options = owner.rotation(&Secret([1; 32]), &[Secret([2; 32]); 64], &[], &[9; 32]).unwrap();
        assert_eq!(say(&mut owner, vec![Says::RoomSecret { options }]).len(), 1);
        say(&mut owner, vec![grant(SEALED_MEMBERS_MAX)]);
        let refused = owner.rotation(&Secret([1; 32]), &[], &[], &[9; 32]);
        assert_eq!(refused, Err(TooManyMembers(SEALED_MEMBERS_MAX + 1)));
    }
}
