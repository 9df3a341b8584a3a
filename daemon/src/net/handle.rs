//! What the hub asks of the network. Asking never waits.

use std::sync::Arc;

use libp2p::Multiaddr;
use rtc_core::id::PeerKey;
use tokio::sync::{mpsc, watch};

use super::address::{Road, is_beyond_lan, road, split_peer};
use super::book::AddressError;
use super::{LinkId, Source};

/// Asks the network; clones are the same.
#[derive(Clone, Debug)]
pub struct NetHandle {
    pub(crate) key: PeerKey,
    /// Whether roads beyond the LAN may be taken.
    pub(crate) wan: bool,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) listening: watch::Receiver<Vec<Multiaddr>>,
    pub(crate) known: watch::Receiver<Arc<[KnownPeer]>>,
}

/// A peer of the address book.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownPeer {
    /// Its key.
    pub peer: PeerKey,
    /// Whether there is a link now.
    pub connected: bool,
    /// Whether that link goes through a relay.
    pub relayed: bool,
    /// Where it is or was, without `/p2p`.
    pub addresses: Vec<Multiaddr>,
    /// How it was found first.
    pub source: Source,
    /// Whether strangers cannot crowd it out, see [`NetHandle::prefer`].
    pub preferred: bool,
    /// Why the last dial failed, if it did.
    pub failure: Option<String>,
}

/// What the network was asked.
#[derive(Debug)]
pub(crate) enum Command {
    Dial {
        address: Multiaddr,
        source: Source,
    },
    Disconnect {
        link: LinkId,
        why: String,
    },
    Prefer(PeerKey),
    Spare(PeerKey),
    SetMdns(bool),
    /// Fails, as if there were a bug.
    #[cfg(test)]
    Panic,
}

/// Why the network does not do as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetError {
    /// It cannot dial that.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// More was asked than it could do so far.
    #[error("too many requests to the network wait")]
    Busy,
    /// It has been shut down.
    #[error("the network is shut down")]
    Stopped,
}

impl NetHandle {
    /// Our own key.
    pub fn key(&self) -> PeerKey {
        self.key
    }

    /// Dials `address`, with or without `/p2p/…`, until somebody answers there, and remembers it.
    pub fn dial(&self, address: Multiaddr, source: Source) -> Result<(), NetError> {
        let (bare, peer) = split_peer(&address);
        match road(&bare) {
            Some(_) if !self.wan && is_beyond_lan(&bare) => {
                return Err(AddressError::BeyondLan(address).into());
            }
            // A relay is asked for a peer by its name.
            Some(Road::Circuit) if peer.is_none() => return Err(AddressError::NotDialable(address).into()),
            Some(Road::Tcp | Road::Quic | Road::Circuit) => {}
            None => return Err(AddressError::NotDialable(address).into()),
        }
        self.ask(Command::Dial { address, source })
    }

    /// Ends `link`; `Down` with `why` follows, and then the peer is dialled again.
    pub fn disconnect(&self, link: LinkId, why: impl Into<String>) -> Result<(), NetError> {
        self.ask(Command::Disconnect { link, why: why.into() })
    }

    /// Keeps a place for `peer` from now on, after restarts too, however many strangers connect or are found: the hub
    /// says this of who proved to belong to a room of ours.
    pub fn prefer(&self, peer: PeerKey) -> Result<(), NetError> {
        self.ask(Command::Prefer(peer))
    }

    /// Leaves `peer` alone for a while where its link ends within seconds: there are others enough.
    pub fn spare(&self, peer: PeerKey) -> Result<(), NetError> {
        self.ask(Command::Spare(peer))
    }

    /// Switches discovery by mDNS.
    pub fn set_mdns(&self, on: bool) -> Result<(), NetError> {
        self.ask(Command::SetMdns(on))
    }

    /// Where we listen now.
    pub fn listening(&self) -> Vec<Multiaddr> {
        self.listening.borrow().clone()
    }

    /// Everybody the address book knows, connected or not, as of the last change.
    pub fn known_peers(&self) -> Arc<[KnownPeer]> {
        self.known.borrow().clone()
    }

    fn ask(&self, command: Command) -> Result<(), NetError> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NetError::Busy,
            mpsc::error::TrySendError::Closed(_) => NetError::Stopped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::limits::COMMANDS_MAX;

    #[test]
    fn who_asks_too_much_is_told_so() {
        let (commands, mut asked) = mpsc::channel(COMMANDS_MAX);
        let (listening, known) = (watch::channel(Vec::new()).1, watch::channel(Arc::from([])).1);
        let handle = NetHandle { key: PeerKey([1; 32]), wan: false, commands, listening, known };
        for _ in 0..COMMANDS_MAX {
            handle.set_mdns(true).unwrap();
        }
        assert_eq!(handle.set_mdns(true), Err(NetError::Busy));
        asked.try_recv().unwrap();
        assert_eq!(handle.set_mdns(true), Ok(()));
        drop(asked);
        assert_eq!(handle.set_mdns(true), Err(NetError::Stopped));
    }
}
