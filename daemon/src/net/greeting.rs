//! What two daemons say on a fresh stream before the hub hears of it: a greeting each, and which stream is kept.
//!
//! The peer with the smaller key chooses. Its choice carries a token, which the other repeats in later greetings,
//! so that the chooser can tell a peer that lost the chosen stream from one whose dial merely crossed ours.

use libp2p::Multiaddr;
use rtc_core::canonical::{DecodeError, Reader, Writer};

use super::address::{is_dialable, is_loopback};
use super::limits::{ADDRESS_BYTES_MAX, AGENT_BYTES_MAX, PEER_ADDRESSES_MAX};

const KIND_GREETING: u64 = 1;
const KIND_CHOSEN: u64 = 2;

/// Names one choice of one daemon: eight random bytes.
pub(crate) type Token = [u8; 8];

/// Who is there, and where else to find him.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Greeting {
    /// Differs at each start of the daemon: a peer that restarted holds no earlier stream.
    pub(crate) incarnation: Token,
    /// The last choice this peer made that the sender has heard of.
    pub(crate) last_choice: Option<Token>,
    /// Program and version, for people.
    pub(crate) agent: String,
    /// Where the sender listens.
    pub(crate) addresses: Vec<Multiaddr>,
}

/// A frame of the control track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Control {
    /// The first frame each way.
    Greeting(Greeting),
    /// The stream is kept; only the smaller key says so.
    Chosen(Token),
    /// A later version's; to be ignored.
    Unknown(u64),
}

impl Greeting {
    /// A greeting repeated on a kept stream, where only its addresses matter.
    pub(crate) fn update() -> Self {
        Self { incarnation: [0; 8], last_choice: None, agent: String::new(), addresses: Vec::new() }
    }

    /// The greeting as a peer may have it: loopback addresses mean nothing elsewhere.
    pub(crate) fn for_remote(mut self, remote: &Multiaddr) -> Self {
        self.addresses = useful_from(remote, self.addresses);
        self
    }
}

/// The addresses of `addresses` that are worth dialling for one who sees the other at `remote`.
pub(crate) fn useful_from(remote: &Multiaddr, mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let same_host = is_loopback(remote);
    addresses.retain(|address| is_dialable(address) && (same_host || !is_loopback(address)));
    addresses.truncate(PEER_ADDRESSES_MAX);
    addresses
}

impl Control {
    /// The frame's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Greeting(greeting) => {
                writer.array(5).uint(KIND_GREETING).bytes(&greeting.incarnation);
                writer.bytes(greeting.last_choice.as_ref().map_or(&[], |token| token));
                writer.text(&greeting.agent).array(greeting.addresses.len());
                for address in &greeting.addresses {
                    writer.bytes(address.as_ref());
                }
            }
            Self::Chosen(token) => {
                writer.array(2).uint(KIND_CHOSEN).bytes(token);
            }
            Self::Unknown(kind) => {
                writer.array(1).uint(*kind);
            }
        }
        writer.finish()
    }

    /// Reads a frame. What follows the known items is a later version's and ignored, as are addresses of kinds we
    /// do not know.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const ITEMS_MAX: usize = 16;
        let mut reader = Reader::new(bytes);
        let items = reader.array(ITEMS_MAX, "control frame")?;
        match reader.uint()? {
            KIND_GREETING if items >= 5 => {
                let incarnation = reader.bytes_of()?;
                let last_choice = reader.bytes(8, "token")?.try_into().ok();
                let agent = reader.text(AGENT_BYTES_MAX, "agent")?;
                let count = reader.array(PEER_ADDRESSES_MAX, "addresses")?;
                let mut addresses = Vec::with_capacity(count);
                for _ in 0..count {
                    let address = reader.bytes(ADDRESS_BYTES_MAX, "address")?;
                    addresses.extend(Multiaddr::try_from(address));
                }
                Ok(Self::Greeting(Greeting { incarnation, last_choice, agent, addresses }))
            }
            KIND_CHOSEN if items >= 2 => Ok(Self::Chosen(reader.bytes_of()?)),
            kind => Ok(Self::Unknown(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(addresses: &[&str]) -> Greeting {
        Greeting {
            incarnation: [1; 8],
            last_choice: Some([2; 8]),
            agent: "rtcd/0.1.0".into(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn control_frames_round_trip() {
        let first = Greeting { last_choice: None, ..greeting(&[]) };
        let again = greeting(&["/ip4/192.0.2.1/tcp/1", "/ip6/2001:db8::1/tcp/2"]);
        for control in
            [Control::Greeting(first), Control::Greeting(again), Control::Chosen([3; 8]), Control::Unknown(9)]
        {
            assert_eq!(Control::decode(&control.encode()), Ok(control));
        }
    }

    #[test]
    fn too_many_addresses_are_refused_before_they_are_read() {
        let many = vec!["/ip4/192.0.2.1/tcp/1"; PEER_ADDRESSES_MAX + 1];
        let bytes = Control::Greeting(greeting(&many)).encode();
        assert!(matches!(Control::decode(&bytes), Err(DecodeError::TooLong { .. })));
        assert!(Control::decode(b"GET / HTTP/1.1").is_err());
    }

    #[test]
    fn what_is_too_long_is_refused_by_its_name() {
        let said = |agent: usize, address: usize| {
            let mut writer = Writer::new();
            writer.array(5).uint(KIND_GREETING).bytes(&[1; 8]).bytes(&[]).text(&"x".repeat(agent));
            writer.array(1).bytes(&vec![4; address]);
            Control::decode(&writer.finish()).err().map(|error| error.to_string())
        };
        let exceeds = |what, limit| Some(format!("{what} of {} exceeds {limit}", limit + 1));
        assert_eq!(said(AGENT_BYTES_MAX, ADDRESS_BYTES_MAX), None);
        assert_eq!(said(AGENT_BYTES_MAX + 1, 0), exceeds("agent", AGENT_BYTES_MAX));
        assert_eq!(said(0, ADDRESS_BYTES_MAX + 1), exceeds("address", ADDRESS_BYTES_MAX));
    }

    #[test]
    fn loopback_addresses_stay_on_their_host() {
        let both = greeting(&["/ip4/127.0.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1"]);
        let near: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
        let far: Multiaddr = "/ip4/192.0.2.2/tcp/9".parse().unwrap();
        assert_eq!(both.clone().for_remote(&near).addresses.len(), 2);
        assert_eq!(both.for_remote(&far).addresses, ["/ip4/192.0.2.1/tcp/1".parse().unwrap()]);
    }
}
