//! What lets a daemon into a room: `rtc2…`, printed by `rtc invite` and redeemed by `rtc join`; `rtc1…` for open rooms.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::id::{PeerKey, RoomId};

/// What the ticket of an open room begins with.
const OPEN: &str = "rtc1";
/// What an invitation's ticket begins with.
const INVITE: &str = "rtc2";
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

/// A room, the way into it, and where a member was last seen. As text it is one word that says whether it was copied whole.
///
/// ```
/// use rtc_core::id::{PeerKey, RoomId};
/// use rtc_core::ticket::{Pass, Secret, Ticket, TicketError};
///
/// let addresses = vec!["/ip4/192.0.2.1/tcp/4001".to_owned()];
/// let pass = Pass::Invite(Secret([2; 32]));
/// let ticket = Ticket { room: RoomId([1; 32]), pass, peer: PeerKey([3; 32]), addresses };
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
}

impl Pass {
    /// The secret itself.
    pub fn secret(&self) -> &Secret {
        match self {
            Self::Open(secret) | Self::Invite(secret) => secret,
        }
    }

    fn prefix(&self) -> &'static str {
        match self {
            Self::Open(_) => OPEN,
            Self::Invite(_) => INVITE,
        }
    }
}

/// A text that is no ticket of this format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TicketError {
    /// It begins with something else.
    #[error("a ticket begins with rtc2 or rtc1")]
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
        writer.array(4).bytes(&self.room.0).bytes(&self.pass.secret().0).bytes(&self.peer.0);
        writer.array(self.addresses.len());
        for address in &self.addresses {
            writer.text(address);
        }
        let mut bytes = writer.finish();
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        write!(f, "{}{}", self.pass.prefix(), BASE32_NOPAD.encode(&bytes).to_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let (prefix, code) = text.split_at_checked(4).ok_or(TicketError::NotATicket)?;
        // A picture of a ticket is smaller in capitals.
        let pass = match prefix.to_ascii_lowercase().as_str() {
            OPEN => Pass::Open,
            INVITE => Pass::Invite,
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
        reader.array_of(4, "a ticket")?;
        let ticket = Self {
            room: RoomId(reader.bytes_of()?),
            pass: pass(Secret(reader.bytes_of()?)),
            peer: PeerKey(reader.bytes_of()?),
            addresses: {
                let len = reader.array(TICKET_ADDRESSES_MAX, "addresses")?;
                (0..len).map(|_| reader.text(ADDRESS_BYTES_MAX, "address")).collect::<Result<_, _>>()?
            },
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

    #[test]
    fn a_ticket_round_trips_and_a_changed_one_is_garbled() {
        for pass in [Pass::Open(Secret([2; 32])), Pass::Invite(Secret([2; 32]))] {
            let ticket = Ticket {
                room: RoomId([1; 32]),
                pass,
                peer: PeerKey([3; 32]),
                addresses: vec!["/ip4/192.0.2.1/tcp/4001".into()],
            };
            let text = ticket.to_string();
            assert_eq!(text.parse().as_ref(), Ok(&ticket));
            assert_eq!(text.to_uppercase().parse(), Ok(ticket));
            let changed = text.replacen('q', "a", 1);
            assert_ne!(changed, text);
            assert_eq!(changed.parse::<Ticket>(), Err(TicketError::Garbled));
            assert_eq!(text[..text.len() - 1].parse::<Ticket>(), Err(TicketError::Garbled));
        }
        for text in ["", "rtc", "rtc3abc", "rtcé", "join"] {
            assert_eq!(text.parse::<Ticket>(), Err(TicketError::NotATicket));
        }
    }
}
