//! The network: one long-lived stream of frames to each peer, found and kept connected by itself.
//!
//! It knows nothing of rooms or messages. The hub gets [`NetEvent`]s, sends through a [`LinkSender`], asks through a
//! [`NetHandle`], and never waits for any of them.

mod address;
mod book;
mod book_file;
mod choice;
mod dialer;
mod driver;
mod failure;
mod greeting;
mod handle;
mod limits;
mod link;
mod listeners;
#[cfg(feature = "wan")]
mod names;
mod piece;
mod queue;
#[doc(hidden)]
pub mod readers;
mod redial;
mod relays;
mod rendezvous;
mod start;
mod stream;
mod swarm;
#[cfg(feature = "wan")]
mod wan;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use libp2p::Multiaddr;
pub use libp2p::multiaddr::Error as MultiaddrError;
use rtc_core::id::PeerKey;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

pub use address::{peer_id, peer_key};
pub use book::AddressError;
pub use book_file::ReadBookError;
pub use handle::{KnownPeer, NetError, NetHandle};
pub use limits::RelayLimits;
pub use queue::{LinkSender, SendError};
pub use rtc_core::sync::{Lane, LinkId};
pub use start::{Net, StartError, start};

/// How to start the network.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// The Ed25519 seed of our key.
    pub seed: [u8; 32],
    /// Where to listen: `/ip4/…/tcp/…` or `/ip6/…/tcp/…`; port 0 takes any.
    pub listen: Vec<Multiaddr>,
    /// What to do where a port of `listen` is taken.
    pub taken_port: TakenPort,
    /// Whether to find peers by mDNS.
    pub mdns: bool,
    /// Where daemons of this user on this host find each other; created where missing, private.
    pub rendezvous_dir: Option<PathBuf>,
    /// The address book's file; created where missing.
    pub book: PathBuf,
    /// What to use beyond the LAN; `None` opens nothing there.
    pub wan: Option<WanConfig>,
}

/// What to use beyond the LAN.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct WanConfig {
    /// Relays through which peers may reach us: `/ip4/…/tcp/…/p2p/PEER`, or by QUIC; `/dns/NAME` may take the place of the IP address.
    pub relays: Vec<Multiaddr>,
    /// What to do for others as a relay; `None` is nothing.
    pub relay: Option<RelayLimits>,
}

/// What to do where a port is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TakenPort {
    /// Fail: somebody chose the port.
    Refuse,
    /// Take another: it was only remembered.
    TakeAnother,
}

/// How a peer or an address was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// By multicast on the LAN.
    Mdns,
    /// By a file on this host.
    Rendezvous,
    /// In a ticket.
    Ticket,
    /// Somebody named it.
    Added,
    /// It came to us, or told us itself.
    Inbound,
    /// The settings name it as a relay.
    Relay,
}

impl Source {
    /// Whether a person gave it, so that only a person takes it away.
    pub(crate) fn was_given(self) -> bool {
        match self {
            Self::Ticket | Self::Added => true,
            Self::Mdns | Self::Rendezvous | Self::Inbound | Self::Relay => false,
        }
    }

    /// The word the local API has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mdns => "mdns",
            Self::Rendezvous => "rendezvous",
            Self::Ticket => "ticket",
            Self::Added => "added",
            Self::Inbound => "inbound",
            Self::Relay => "relay",
        }
    }
}

/// A frame's share of the bytes that may wait for the hub; whoever has dealt with the frame drops it.
#[derive(Debug)]
pub struct HeardShare {
    _bytes: OwnedSemaphorePermit,
}

/// What the network tells the hub. Links wait for the hub to take these, which slows their peers down.
#[derive(Debug)]
pub enum NetEvent {
    /// We listen here now; sent whenever that changes.
    Listening {
        /// All addresses, without `/p2p`.
        addresses: Vec<Multiaddr>,
    },
    /// There is a link to `peer`, and no other: an earlier one is `Down` by now.
    Up {
        /// Its name.
        link: LinkId,
        /// The other end, proven.
        peer: PeerKey,
        /// Whether we dialled.
        outbound: bool,
        /// Where the other end is; of an inbound link not an address to dial.
        address: Multiaddr,
        /// How it was found.
        source: Source,
        /// The way to it.
        sender: LinkSender,
    },
    /// A whole frame came; in order per lane.
    Frame {
        /// By which link.
        link: LinkId,
        /// On which lane.
        lane: Lane,
        /// The frame.
        bytes: Vec<u8>,
        /// Its share of what may wait for the hub.
        share: HeardShare,
    },
    /// The link is no more; the last event of it.
    Down {
        /// Which link.
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
}
