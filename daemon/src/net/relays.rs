//! The relays of ours, and at which of them a place is reserved: there peers without a way to us find one. Pure.
//!
//! A place is asked for where there is a direct link to the relay, and asked for again where it was lost. Whether there
//! is a link is the dialer's business.

use std::collections::BTreeMap;
use std::time::Instant;

use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use rtc_core::id::PeerKey;

use super::address::circuit;
use super::limits::RELISTEN_AFTER;

/// All relays of ours.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    seats: BTreeMap<PeerKey, Seat>,
}

/// What we have at one relay.
#[derive(Debug)]
struct Seat {
    /// Where it listens, without `/p2p`.
    relay: Multiaddr,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// There is no direct link to the relay.
    Away,
    /// A place is to be asked for then.
    Wanted(Instant),
    /// It is reserved, or asked for.
    Reserved(ListenerId),
}

impl Relays {
    /// The relays at these addresses, with no place reserved.
    pub(crate) fn new(relays: &[(PeerKey, Multiaddr)]) -> Self {
        let seat = |relay: &Multiaddr| Seat { relay: relay.clone(), state: State::Away };
        Self { seats: relays.iter().map(|(peer, relay)| (*peer, seat(relay))).collect() }
    }

    /// All, with their addresses without `/p2p`.
    pub(crate) fn all(&self) -> impl Iterator<Item = (PeerKey, &Multiaddr)> {
        self.seats.iter().map(|(peer, seat)| (*peer, &seat.relay))
    }

    /// There is a direct link to `peer`. Returns whether it is a relay of ours.
    pub(crate) fn linked(&mut self, peer: &PeerKey, now: Instant) -> bool {
        let Some(seat) = self.seats.get_mut(peer) else { return false };
        if seat.state == State::Away {
            seat.state = State::Wanted(now);
        }
        true
    }

    /// There is no link to `peer` any more. A place there closes by itself.
    pub(crate) fn lost(&mut self, peer: &PeerKey) {
        if let Some(seat) = self.seats.get_mut(peer).filter(|seat| matches!(seat.state, State::Wanted(_))) {
            seat.state = State::Away;
        }
    }

    /// Where to ask for a place now: what to listen on. Each is then [`Self::asked`] or [`Self::refused`].
    pub(crate) fn due(&self, now: Instant) -> Vec<(PeerKey, Multiaddr)> {
        let due = self.seats.iter().filter(|(_, seat)| matches!(seat.state, State::Wanted(at) if at <= now));
        due.filter_map(|(peer, seat)| Some((*peer, circuit(&seat.relay, peer)?))).collect()
    }

    /// A place at `peer` is asked for; `listener` is its name.
    pub(crate) fn asked(&mut self, peer: &PeerKey, listener: ListenerId) {
        if let Some(seat) = self.seats.get_mut(peer) {
            seat.state = State::Reserved(listener);
        }
    }

    /// A place at `peer` cannot be asked for yet.
    pub(crate) fn refused(&mut self, peer: &PeerKey, now: Instant) {
        if let Some(seat) = self.seats.get_mut(peer) {
            seat.state = State::Wanted(now + RELISTEN_AFTER);
        }
    }

    /// `listener` has closed; the relay whose place it was, if it was one. `is_linked` are relays with a direct link.
    pub(crate) fn closed(
        &mut self,
        listener: ListenerId,
        now: Instant,
        is_linked: impl Fn(&PeerKey) -> bool,
    ) -> Option<PeerKey> {
        let (peer, seat) = self.seats.iter_mut().find(|(_, seat)| seat.state == State::Reserved(listener))?;
        seat.state = if is_linked(peer) { State::Wanted(now + RELISTEN_AFTER) } else { State::Away };
        Some(*peer)
    }

    /// There is no link, and no place.
    pub(crate) fn begin_anew(&mut self) {
        self.seats.values_mut().for_each(|seat| seat.state = State::Away);
    }

    /// When something is due.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let at = |seat: &Seat| match seat.state {
            State::Wanted(at) => Some(at),
            State::Away | State::Reserved(_) => None,
        };
        self.seats.values().filter_map(at).min()
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::super::address::peer_key;
    use super::*;

    #[test]
    fn a_place_is_asked_for_while_there_is_a_link_and_again_when_it_was_lost() {
        let id = Keypair::ed25519_from_bytes([7; 32]).unwrap().public().to_peer_id();
        let (relay, now) = (peer_key(&id).unwrap(), Instant::now());
        let mut relays = Relays::new(&[(relay, "/ip4/192.0.2.1/tcp/4001".parse().unwrap())]);
        assert_eq!((relays.due(now), relays.wake_at()), (vec![], None));
        assert!(relays.linked(&relay, now) && !relays.linked(&PeerKey([0; 32]), now));
        let place: Multiaddr = format!("/ip4/192.0.2.1/tcp/4001/p2p/{id}/p2p-circuit").parse().unwrap();
        assert_eq!(relays.due(now), [(relay, place.clone())]);
        let listener = ListenerId::next();
        relays.asked(&relay, listener);
        relays.linked(&relay, now);
        assert_eq!(relays.due(now), [], "one place is enough");

        assert_eq!(relays.closed(ListenerId::next(), now, |_| true), None);
        assert_eq!(relays.closed(listener, now, |_| true), Some(relay));
        assert_eq!((relays.due(now), relays.wake_at()), (vec![], Some(now + RELISTEN_AFTER)));
        assert_eq!(relays.due(now + RELISTEN_AFTER), [(relay, place)]);
        relays.lost(&relay);
        assert_eq!(relays.due(now + RELISTEN_AFTER), [], "without a link nobody is asked");

        relays.linked(&relay, now);
        relays.asked(&relay, listener);
        relays.lost(&relay);
        assert_eq!(relays.closed(listener, now, |_| false), Some(relay));
        assert_eq!(relays.wake_at(), None);
    }
}
