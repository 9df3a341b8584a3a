//! What lets a daemon into a room: `rtc3…` or `rtc2…`, printed by `rtc invite` and redeemed by `rtc join`; `rtc1…` for open rooms.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::id::{Actor, Dot, PeerKey, RoomId, StateHash};
use crate::members::Former;

/// What the ticket of an open room begins with.
const OPEN: &str = "rtc1";
/// What an invitation's ticket begins with.
const INVITE: &str = "rtc2";
/// The same of a room that has forgotten something.
const INVITE_BEHIND_HORIZON: &str = "rtc3";
/// Bytes a ticket may decode to.
const TICKET_BYTES_MAX: usize = 4096;
/// Addresses a ticket may carry.
pub const TICKET_ADDRESSES_MAX: usize = 16;
/// Bytes of one address.
const ADDRESS_BYTES_MAX: usize = 256;

/// Proof of membership: whoever knows it belongs to the room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a ticket's secret is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// It is the room's own: an open room, which whoever knows it belongs to.
    Open(Secret),
    /// It is an invitation's: whoever made that admits who shows it, or does not.
    Invite(Secret),
}

/// A horizon that somebody stood on: by it a newcomer knows an older one, or another one, that he is handed instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Landmark {
    /// Its message.
    pub dot: Dot,
    /// The hash of what it leaves.
    pub ground: StateHash,
}

impl Landmark {
    /// Whether another horizon is surely older, or claims to be this one and is not. One of another epoch is neither: its place in the chain
    /// cannot be told. `keepers` are the keys that gave way before that of the other's author: one whose key gave way to this one's, as far
    /// as that shows, is older.
    pub fn refuses(&self, other: &Self, keepers: &[Former]) -> bool {
        let (actor, key) = (self.dot.actor, self.dot.actor.key());
        let is_of_epoch = other.dot.actor == actor;
        let is_of_keeper = other.dot.actor.key() == key || keepers.iter().any(|former| former.key == key);
        let is_older = other.dot.seq < self.dot.seq;
        !is_of_keeper || is_of_epoch && (is_older || (other.dot == self.dot && other.ground != self.ground))
    }

    /// The canonical bytes: `[actor, seq, ground]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Reads canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let landmark = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(landmark)
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(3).bytes(&self.dot.actor.0).uint(self.dot.seq).bytes(&self.ground.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array_of(3, "a horizon")?;
        let dot = Dot { actor: Actor(reader.bytes_of()?), seq: reader.uint()? };
        Ok(Self { dot, ground: StateHash(reader.bytes_of()?) })
    }
}

/// A room, the way into it, and where a member was last seen. As text it is one word that says whether it was copied whole.
///
/// ```
/// use rtc_core::id::{PeerKey, RoomId};
/// use rtc_core::ticket::{Pass, Secret, Ticket, TicketError};
///
/// let addresses = vec!["/ip4/192.0.2.1/tcp/4001".to_owned()];
/// let pass = Pass::Invite(Secret([2; 32]));
/// let ticket = Ticket { room: RoomId([1; 32]), pass, peer: PeerKey([3; 32]), addresses, horizon: None };
/// let text = ticket.to_string();
/// assert_eq!(text.parse(), Ok(ticket));
/// assert_eq!(text[1..].parse::<Ticket>(), Err(TicketError::NotATicket));
/// assert_eq!(text[..60].parse::<Ticket>(), Err(TicketError::Garbled));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// The room.
    pub room: RoomId,
    /// What opens it.
    pub pass: Pass,
    /// Who issued the ticket.
    pub peer: PeerKey,
    /// Where the issuer listens, as multiaddrs; may be empty.
    pub addresses: Vec<String>,
    /// The room's newest horizon, as the issuer stands on it; never in the ticket of an open room.
    pub horizon: Option<Landmark>,
}

impl Pass {
    /// The secret itself.
    pub fn secret(&self) -> &Secret {
        match self {
            Self::Open(secret) | Self::Invite(secret) => secret,
        }
    }
}

impl Ticket {
    fn prefix(&self) -> &'static str {
        match (self.pass, self.horizon) {
            (Pass::Open(_), _) => OPEN,
            (Pass::Invite(_), None) => INVITE,
            (Pass::Invite(_), Some(_)) => INVITE_BEHIND_HORIZON,
        }
    }
}

/// A text that is no ticket of this format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TicketError {
    /// It begins with something else.
    #[error("a ticket begins with rtc3, rtc2 or rtc1")]
    NotATicket,
    /// It was cut or changed on the way.
    #[error("the ticket is incomplete or was changed: copy it whole")]
    Garbled,
    /// Its content is not a ticket's.
    #[error("the ticket's content is invalid: {0}")]
    Content(#[from] DecodeError),
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::new();
        let horizon = self.horizon.filter(|_| self.prefix() == INVITE_BEHIND_HORIZON);
        writer
            .array(4 + horizon.iter().len())
            .bytes(&self.room.0)
            .bytes(&self.pass.secret().0)
            .bytes(&self.peer.0);
        writer.array(self.addresses.len());
        for address in &self.addresses {
            writer.text(address);
        }
        horizon.iter().for_each(|horizon| horizon.write(&mut writer));
        let mut bytes = writer.finish();
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        write!(f, "{}{}", self.prefix(), BASE32_NOPAD.encode(&bytes).to_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let (prefix, code) = text.split_at_checked(4).ok_or(TicketError::NotATicket)?;
        // A picture of a ticket is smaller in capitals.
        let (pass, items): (fn(Secret) -> Pass, _) = match prefix.to_ascii_lowercase().as_str() {
            OPEN => (Pass::Open, 4),
            INVITE => (Pass::Invite, 4),
            INVITE_BEHIND_HORIZON => (Pass::Invite, 5),
            _ => return Err(TicketError::NotATicket),
        };
        if code.len() > TICKET_BYTES_MAX * 8 / 5 {
            return Err(TicketError::Garbled);
        }
        let bytes = BASE32_NOPAD.decode(code.to_uppercase().as_bytes()).map_err(|_| TicketError::Garbled)?;
        let (bytes, sum) = bytes.split_last_chunk::<4>().ok_or(TicketError::Garbled)?;
        if checksum(bytes) != *sum {
            return Err(TicketError::Garbled);
        }
        let mut reader = Reader::new(bytes);
        reader.array_of(items, "a ticket")?;
        let ticket = Self {
            room: RoomId(reader.bytes_of()?),
            pass: pass(Secret(reader.bytes_of()?)),
            peer: PeerKey(reader.bytes_of()?),
            addresses: {
                let len = reader.array(TICKET_ADDRESSES_MAX, "addresses")?;
                (0..len).map(|_| reader.text(ADDRESS_BYTES_MAX, "address")).collect::<Result<_, _>>()?
            },
            horizon: if items == 5 { Some(Landmark::read(&mut reader)?) } else { None },
        };
        reader.finish()?;
        Ok(ticket)
    }
}

/// Tells a ticket that lost a letter from one that is refused.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let hash = blake3::derive_key("rtc 2026 ticket checksum v1", bytes);
    [hash[0], hash[1], hash[2], hash[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Signature;

    #[test]
    fn a_ticket_round_trips_and_a_changed_one_is_garbled() {
        let dot = Dot { actor: Actor([4; 40]), seq: 5 };
        let landmark = Landmark { dot, ground: StateHash([6; 32]) };
        for (pass, horizon, prefix) in [
            (Pass::Open(Secret([2; 32])), None, OPEN),
            (Pass::Invite(Secret([2; 32])), None, INVITE),
            (Pass::Invite(Secret([2; 32])), Some(landmark), INVITE_BEHIND_HORIZON),
        ] {
            let ticket = Ticket {
                room: RoomId([1; 32]),
                pass,
                peer: PeerKey([3; 32]),
                addresses: vec!["/ip4/192.0.2.1/tcp/4001".into()],
                horizon,
            };
            let text = ticket.to_string();
            assert!(text.starts_with(prefix));
            assert_eq!(text.parse().as_ref(), Ok(&ticket));
            assert_eq!(text.to_uppercase().parse(), Ok(ticket));
            let changed = text.replacen('q', "a", 1);
            assert_ne!(changed, text);
            assert_eq!(changed.parse::<Ticket>(), Err(TicketError::Garbled));
            assert_eq!(text[..text.len() - 1].parse::<Ticket>(), Err(TicketError::Garbled));
        }
        for text in ["", "rtc", "rtc4abc", "rtcé", "join"] {
            assert_eq!(text.parse::<Ticket>(), Err(TicketError::NotATicket));
        }
    }

    #[test]
    fn a_landmark_refuses_what_is_surely_older_or_another() {
        let at = |epoch, seq, ground| Landmark {
            dot: Dot { actor: Actor::new(PeerKey([1; 32]), epoch), seq },
            ground: StateHash([ground; 32]),
        };
        let landmark = at(1, 5, 1);
        for (other, is_refused) in [
            (at(1, 5, 1), false),
            (at(1, 5, 2), true),
            (at(1, 4, 1), true),
            (at(1, 6, 2), false),
            (at(2, 1, 2), false),
        ] {
            assert_eq!(landmark.refuses(&other, &[]), is_refused, "{other:?}");
        }
        let of_key =
            |key| Landmark { dot: Dot { actor: Actor::new(PeerKey([key; 32]), 1), seq: 9 }, ..landmark };
        let former = |key| Former { key: PeerKey([key; 32]), signature: Signature([0; 64]) };
        for (key, keepers, is_refused) in [
            (2, &[][..], true),
            (2, &[former(0)], true),
            (2, &[former(0), former(1)], false),
            (1, &[former(0)], false),
        ] {
            assert_eq!(landmark.refuses(&of_key(key), keepers), is_refused, "{key} {keepers:?}");
        }
        assert_eq!(Landmark::decode(&landmark.encode()), Ok(landmark));
    }
}
