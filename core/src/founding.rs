//! A room's founding message: what its id is the hash of.

use crate::canonical::{DecodeError, Reader, Writer};
use crate::id::{PeerKey, RoomId};

/// Bytes a founding message may take.
pub const FOUNDING_BYTES_MAX: usize = 1024;
/// Bytes of a room's name.
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
}

impl Founding {
    /// The canonical bytes: `[1, owner, nonce, name, time_ms]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(5).uint(1).bytes(&self.owner.0).bytes(&self.nonce).text(&self.name).uint(self.time_ms);
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
        if reader.uint()? != 1 {
            return Err(DecodeError::Unexpected { expected: "founding format 1", offset: 1 });
        }
        let founding = Self {
            owner: PeerKey(reader.bytes_of()?),
            nonce: reader.bytes_of()?,
            name: reader.text(ROOM_NAME_BYTES_MAX, "room name")?,
            time_ms: reader.uint()?,
        };
        reader.finish()?;
        if founding.encode() != bytes { Err(DecodeError::NotCanonical) } else { Ok(founding) }
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
        };
        assert_eq!(Founding::decode(&founding.encode()), Ok(founding.clone()));
        let other = Founding { nonce: [3; 16], ..founding.clone() };
        assert_ne!(founding.room(), other.room());
    }
}
