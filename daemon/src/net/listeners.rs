//! Where the swarm should listen, and which of that has to be opened again. Pure.

use std::collections::HashMap;
use std::time::Instant;

use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;

use super::address::socket_addr;
use super::limits::RELISTEN_AFTER;

/// All listeners, open or failed.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    open: HashMap<ListenerId, Multiaddr>,
    failed: Vec<(Instant, Multiaddr)>,
}

impl Listeners {
    /// `listener` is open at `address`, as it was asked for.
    pub(crate) fn opened(&mut self, listener: ListenerId, address: Multiaddr) {
        self.open.insert(listener, address);
    }

    /// `listener` hears at `address`: should it fail, it is opened again on the port it got.
    pub(crate) fn heard(&mut self, listener: ListenerId, address: &Multiaddr) {
        // A QUIC listener takes any port again: whoever dialled it is told, and TCP is there meanwhile.
        let port = socket_addr(address).map(|socket| socket.port());
        if let (Some(port), Some(wanted)) = (port, self.open.get_mut(&listener)) {
            wanted.pop();
            wanted.push(Protocol::Tcp(port));
        }
    }

    /// `listener` has closed by itself.
    pub(crate) fn closed(&mut self, listener: ListenerId, now: Instant) {
        if let Some(address) = self.open.remove(&listener) {
            self.refused(address, now);
        }
    }

    /// Every one has closed.
    pub(crate) fn all_closed(&mut self, now: Instant) {
        for address in std::mem::take(&mut self.open).into_values() {
            self.refused(address, now);
        }
    }

    /// `address` could not be opened.
    pub(crate) fn refused(&mut self, address: Multiaddr, now: Instant) {
        self.failed.push((now + RELISTEN_AFTER, address));
    }

    /// Addresses to open again now; each is then [`Self::opened`] or [`Self::refused`].
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Multiaddr> {
        self.failed.extract_if(.., |(at, _)| *at <= now).map(|(_, address)| address).collect()
    }

    /// When something is due.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.failed.iter().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_closed_is_opened_again_on_its_port() {
        let (mut listeners, id, now) = (Listeners::default(), ListenerId::next(), Instant::now());
        listeners.opened(id, "/ip4/0.0.0.0/tcp/0".parse().unwrap());
        listeners.heard(id, &"/ip4/192.0.2.1/tcp/4001".parse().unwrap());
        listeners.closed(id, now);
        assert_eq!(listeners.due(now), []);
        assert_eq!(listeners.wake_at(), Some(now + RELISTEN_AFTER));
        assert_eq!(listeners.due(now + RELISTEN_AFTER), ["/ip4/0.0.0.0/tcp/4001".parse().unwrap()]);
        assert_eq!(listeners.wake_at(), None);
    }
}
