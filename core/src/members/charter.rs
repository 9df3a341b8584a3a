//! What a room's ops about itself come to: its members, its name and its newest secret.

use super::{Member, Role};
use crate::canonical::{DecodeError, Reader, Writer};
use crate::founding::ROOM_NAME_BYTES_MAX;
use crate::id::{Actor, Dot, PeerKey};
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
        self.members.iter().find(|member| member.key == *key)?.role
    }

    /// Writes `[[[key, role, name]…], name, secret]`: roles count from 0 for none, and a secret is `[actor, seq, options]`.
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(3).array(self.members.len());
        for Member { key, role, name } in &self.members {
            writer.array(3).bytes(&key.0).uint(role.map_or(0, |role| role as u64 + 1)).text(name);
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
            reader.array_of(3, "a member")?;
            let key = PeerKey(reader.bytes_of()?);
            let role = match reader.uint()? {
                0 => None,
                1 => Some(Role::Viewer),
                2 => Some(Role::Editor),
                3 => Some(Role::Owner),
                _ => return Err(DecodeError::Unexpected { expected: "a role", offset: 0 }),
            };
            members.push(Member { key, role, name: reader.text(ROOM_NAME_BYTES_MAX, "member's name")? });
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
