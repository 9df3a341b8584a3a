//! A room's founding message: what its id is the hash of.

use crate::canonical::{DecodeError, Reader, Writer};
use crate::id::{PeerKey, RoomId};

/// Bytes a founding message may take.
pub const FOUNDING_BYTES_MAX: usize = 1024;

/// Bytes of a room's name, and of a member's.
pub const ROOM_NAME_BYTES_MAX: usize = 128;

/// Who founded a room, and how it is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founding {
    /// The owner's key.
    pub owner: PeerKey,
    /// Random: two rooms of one owner and name are two rooms.
    pub nonce: [u8; 16],
    /// The room's first name, for people.
    pub name: String,
    /// When the owner's clock said it was founded, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who may edit.
    pub access: Access,
}

/// Who may edit a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everybody who knows its secret: founding format 1.
    Open,
    /// Its members, of whom the founder is the first: founding format 2.
    Members,
}

impl Founding {
    /// The canonical bytes: `[format, owner, nonce, name, time_ms]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .array(5)
            .uint(self.access.format())
            .bytes(&self.owner.0)
            .bytes(&self.nonce)
            .text(&self.name)
            .uint(self.time_ms);
        writer.finish()
    }

    /// Reads canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > FOUNDING_BYTES_MAX {
            let found = bytes.len();
            return Err(DecodeError::TooLong { what: "founding message", found, limit: FOUNDING_BYTES_MAX });
        }
        let mut reader = Reader::new(bytes);
        reader.array_of(5, "a founding message")?;
        let access = match reader.uint()? {
            1 => Access::Open,
            2 => Access::Members,
            _ => return Err(DecodeError::Unexpected { expected: "founding format 1 or 2", offset: 1 }),
        };
        let founding = Self {
            owner: PeerKey(reader.bytes_of()?),
            nonce: reader.bytes_of()?,
            name: reader.text(ROOM_NAME_BYTES_MAX, "room name")?,
            time_ms: reader.uint()?,
            access,
        };
        reader.finish()?;
        if founding.encode() != bytes { Err(DecodeError::NotCanonical) } else { Ok(founding) }
    }

    /// The room's first member, where it has members.
    pub fn first_member(&self) -> Option<PeerKey> {
        (self.access == Access::Members).then_some(self.owner)
    }

    /// The room's id.
    pub fn room(&self) -> RoomId {
        Self::room_of(&self.encode())
    }

    /// The id of the room that `bytes` found.
    pub fn room_of(bytes: &[u8]) -> RoomId {
        RoomId(blake3::derive_key("rtc 2026 room v1", bytes))
    }
}

impl Access {
    fn format(self) -> u64 {
        match self {
            Self::Open => 1,
            Self::Members => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_founding_message_round_trips_and_names_its_room() {
        let founding = Founding {
            owner: PeerKey([1; 32]),
            nonce: [2; 16],
            name: "lab".into(),
            time_ms: 1_700_000_000_000,
            access: Access::Open,
        };
        let another = Founding { nonce: [3; 16], ..founding.clone() };
        let with_members = Founding { access: Access::Members, ..founding.clone() };
        for other in [&another, &with_members] {
            assert_eq!(Founding::decode(&other.encode()).as_ref(), Ok(other));
            assert_ne!(founding.room(), other.room());
        }
        assert_eq!(Founding::decode(&founding.encode()), Ok(founding));
    }
}
