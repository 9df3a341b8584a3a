//! What a room's ops about itself come to: its members, its name and its newest secret.

use super::{Former, Member, Role};
use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::Signature;
use crate::founding::ROOM_NAME_BYTES_MAX;
use crate::id::{Actor, Dot, PeerKey};
use crate::limits::SEAT_KEYS_MAX;
use crate::op::Options;

/// What is said of a room, as far as it counts. An open room has none.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Charter {
    /// All who are members or were, in order of seniority: the founder is the first.
    pub members: Vec<Member>,
    /// How the room is called, where that is not as its founding message says.
    pub name: Option<String>,
    /// The newest `room.secret` that counts.
    pub secret: Option<Secret>,
}

/// A `room.secret`: which message said it, and its options.
#[derive(Clone, PartialEq, Debug)]
pub struct Secret {
    /// The message.
    pub by: Dot,
    /// What it says.
    pub options: Options,
}

impl Charter {
    /// That of a room in which nothing was said yet; of an open one where nobody founded it as one with members.
    pub fn begin(founder: Option<PeerKey>) -> Self {
        Self { members: founder.map(Member::founder).into_iter().collect(), ..Self::default() }
    }

    /// What a member may do; nothing where the key is none.
    pub fn role(&self, key: &PeerKey) -> Option<Role> {
        self.members.iter().filter(|member| member.key == *key).filter_map(|member| member.role).max()
    }

    /// Writes `[[[key, role, name]…], name, secret]`: roles count from 0 for none, and a secret is `[actor, seq, options]`. Of a member
    /// with former keys also those, each with its signature: `[key, role, name, [key, signature, …]]`.
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(3).array(self.members.len());
        for Member { key, role, name, former } in &self.members {
            writer.array(3 + usize::from(!former.is_empty())).bytes(&key.0);
            writer.uint(role.map_or(0, |role| role as u64 + 1)).text(name);
            if !former.is_empty() {
                write_former(former, writer);
            }
        }
        writer.text_or_null(self.name.as_deref());
        match &self.secret {
            None => writer.null(),
            Some(Secret { by, options }) => {
                writer.array(3).bytes(&by.actor.0).uint(by.seq).value_map(options)
            }
        };
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array_of(3, "a charter")?;
        let mut members: Vec<Member> = Vec::new();
        for _ in 0..reader.array(reader.rest().len(), "members")? {
            let items = reader.array(4, "a member")?;
            let key = PeerKey(reader.bytes_of()?);
            let role = match reader.uint()? {
                0 => None,
                1 => Some(Role::Viewer),
                2 => Some(Role::Editor),
                3 => Some(Role::Owner),
                _ => return Err(DecodeError::Unexpected { expected: "a role", offset: 0 }),
            };
            let name = reader.text(ROOM_NAME_BYTES_MAX, "member's name")?;
            let former = match items {
                3 => Vec::new(),
                _ => read_former(reader)?,
            };
            if items < 3 || former.is_empty() != (items == 3) {
                return Err(DecodeError::NotCanonical);
            }
            members.push(Member { key, role, name, former });
        }
        let name = reader.text_or_null(ROOM_NAME_BYTES_MAX, "room name")?;
        let secret = match reader.array_or_null(3, "a secret")? {
            None => None,
            Some(3) => {
                let by = Dot { actor: Actor(reader.bytes_of()?), seq: reader.uint()? };
                Some(Secret { by, options: reader.value_map()? })
            }
            Some(_) => return Err(DecodeError::Unexpected { expected: "a secret", offset: 0 }),
        };
        Ok(Self { members, name, secret })
    }
}

/// Writes `[key, signature, …]`.
pub(crate) fn write_former(former: &[Former], writer: &mut Writer) {
    writer.array(2 * former.len());
    for Former { key, signature } in former {
        writer.bytes(&key.0).bytes(&signature.0);
    }
}

/// Reads what [`write_former`] writes.
pub(crate) fn read_former(reader: &mut Reader<'_>) -> Result<Vec<Former>, DecodeError> {
    let items = reader.array(2 * (SEAT_KEYS_MAX - 1), "former keys")?;
    if !items.is_multiple_of(2) {
        return Err(DecodeError::Unexpected { expected: "keys and signatures", offset: 0 });
    }
    let mut former =
        || Ok(Former { key: PeerKey(reader.bytes_of()?), signature: Signature(reader.bytes_of()?) });
    (0..items / 2).map(|_| former()).collect()
}
