//! Where the swarm can be reached: its listeners, and places at relays, each opened again when it closes.

use std::io;
use std::time::Instant;

use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use rtc_core::id::PeerKey;
use tracing::{debug, info, warn};

use super::Driver;
use crate::net::WanConfig;
use crate::net::address::{is_relayed, peer_id, sibling};
use crate::net::listeners::Listeners;
use crate::net::relays::Relays;

/// All of it, and what is wanted.
#[derive(Debug)]
pub(crate) struct Hearing {
    pub(crate) listeners: Listeners,
    pub(crate) relays: Relays,
    /// What there is beyond the LAN.
    pub(crate) wan: Option<WanConfig>,
}

impl Driver {
    /// Opens what closed, and asks for places at relays.
    pub(super) fn listen(&mut self, now: Instant) {
        let Hearing { listeners, relays, .. } = &mut self.hearing;
        for address in listeners.due(now) {
            match self.swarm.listen_on(address.clone()) {
                Ok(listener) => listeners.opened(listener, address),
                Err(error) => {
                    debug!(%error, %address, "cannot listen again yet");
                    listeners.refused(address, now);
                }
            }
        }
        for (relay, circuit) in relays.due(now) {
            match self.swarm.listen_on(circuit) {
                Ok(listener) => relays.asked(&relay, listener),
                Err(error) => {
                    debug!(%error, %relay, "cannot ask for a place at the relay yet");
                    relays.refused(&relay, now);
                }
            }
        }
    }

    /// There is a direct link to `peer`, which is at `address`. A relay of ours is to reserve a place, and to see us by the
    /// other protocol as well: who finds us through it may know only that one's way through both our routers.
    pub(super) fn linked_directly(&mut self, peer: &PeerKey, outbound: bool, address: &Multiaddr) {
        if !self.hearing.relays.linked(peer, Instant::now()) || !outbound {
            return;
        }
        let (Some(id), Some(sibling)) = (peer_id(peer), sibling(address)) else { return };
        // No dial of the dialer's: it becomes no link, and ends when both have said where they see each other.
        let dial = DialOpts::peer_id(id).condition(PeerCondition::Always).addresses(vec![sibling]).build();
        if let Err(error) = self.swarm.dial(dial) {
            debug!(%error, relay = %peer, "the relay cannot see us by the other protocol");
        }
    }

    pub(super) fn on_listening(&mut self, listener: ListenerId, address: Multiaddr) {
        if is_relayed(&address) {
            // By the relay's own opinion of where it is; what counts is where we found it.
            return;
        }
        self.hearing.listeners.heard(listener, &address);
        if self.hearing.wan.as_ref().is_some_and(|wan| wan.relay.is_some()) {
            // A relay that knows no address of its own gives nobody a place.
            self.swarm.add_external_address(address.clone());
        }
        self.reachable_at(address);
    }

    pub(super) fn reachable_at(&mut self, address: Multiaddr) {
        debug!(%address, "listening");
        self.set_listening(|listening| {
            listening.push(address);
            listening.sort_unstable();
            listening.dedup();
        });
    }

    pub(super) fn on_listener_closed(
        &mut self,
        listener: ListenerId,
        addresses: &[Multiaddr],
        reason: &Result<(), io::Error>,
    ) {
        let now = Instant::now();
        let (choices, dialer) = (&self.choices, &self.dialer);
        let is_linked = |relay: &PeerKey| choices.current(relay).is_some() && !dialer.is_relayed(relay);
        if let Some(relay) = self.hearing.relays.closed(listener, now, is_linked) {
            info!(?reason, %relay, "the place at a relay is lost");
            return;
        }
        warn!(?reason, "a listener closed, opening it again");
        self.set_listening(|listening| listening.retain(|known| !addresses.contains(known)));
        self.hearing.listeners.closed(listener, now);
    }

    pub(super) fn set_listening(&mut self, change: impl FnOnce(&mut Vec<Multiaddr>)) {
        self.outputs.listening.send_modify(change);
        self.dialer.listens(&self.outputs.listening.borrow(), Instant::now());
    }
}
