//! What a relay does for others, and no more: each limit is small enough here to be reached.

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{Swarm, SwarmEvent};

use super::super::limits::{
    CIRCUIT_BYTES_MAX, CIRCUIT_DURATION_MAX, CONNECTIONS_INBOUND_MAX, CONNECTIONS_MAX, RELAY_CIRCUITS_MAX,
    RELAY_CIRCUITS_PER_PEER_MAX, RELAY_CONNECTIONS_MAX, RELAY_RESERVATIONS_MAX,
    RELAY_RESERVATIONS_PER_PEER_MAX,
};
use super::super::swarm::{Behaviour, build};
use super::super::wan::service;
use super::wan::{circuit, client, id, relay_with};
use super::*;

/// Asks the relay for a place by a connection of its own; the place is there as long as what is returned. An error is what
/// the relay said.
async fn place(seed: u8, relay: &Node) -> Result<Swarm<Behaviour>, String> {
    let keys = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let mut swarm = build(&keys, Some(&WanConfig::default())).unwrap();
    let at = relay.address().with(id(relay)).with(Protocol::P2pCircuit);
    swarm.listen_on(at).unwrap();
    let answer = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { .. } => return Ok(()),
                SwarmEvent::ListenerClosed { reason, .. } => return Err(format!("{reason:?}")),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, answer).await.expect("an answer in time").map(|()| swarm)
}

/// A relay of these limits has places for the first two, none for the outsider until one of them is gone, and some for others.
async fn check_places(limits: RelayLimits, first: [u8; 2], outsider: u8, others: &[u8]) {
    let relay = relay_with(1, limits).await;
    let kept = place(first[0], &relay).await.unwrap();
    let goes = place(first[1], &relay).await.unwrap();
    let refused = place(outsider, &relay).await.err().expect("one is too many");
    assert!(refused.contains("ResourceLimitExceeded"), "{refused}");
    for other in others {
        place(*other, &relay).await.unwrap();
    }
    drop(goes);
    let again = async { while place(outsider, &relay).await.is_err() {} };
    timeout(PATIENCE, again).await.expect("a place becomes free");
    drop(kept);
}

#[tokio::test]
async fn a_place_too_many_is_refused_until_one_is_free() {
    let limits = RelayLimits { reservations: 2, ..RelayLimits::default() };
    check_places(limits, [2, 3], 4, &[]).await;
}

#[tokio::test]
async fn a_place_too_many_of_one_peer_is_refused_and_others_are_not() {
    let limits = RelayLimits { reservations_per_peer: 2, ..RelayLimits::default() };
    check_places(limits, [2, 2], 2, &[3, 4]).await;
}

/// Waits until a relay has refused `node` a circuit to `peer`, with this limit as the reason.
async fn is_refused(node: &Node, peer: PeerKey) {
    let mut known = node.handle.known.clone();
    let says =
        |known: &KnownPeer| known.failure.as_ref().is_some_and(|why| why.contains("resource limit exceeded"));
    let refused = known.wait_for(|known| known.iter().any(|known| known.peer == peer && says(known)));
    timeout(PATIENCE, refused).await.expect("in time").unwrap();
}

#[tokio::test]
async fn a_circuit_too_many_is_refused_until_one_is_free() {
    let relay = relay_with(1, RelayLimits { circuits: 1, ..RelayLimits::default() }).await;
    let mut a = client(2, &relay, vec![]).await;
    let (b, c) = (client(3, &relay, vec![]).await, client(4, &relay, vec![]).await);
    b.handle.dial(circuit(&a), Source::Ticket).unwrap();
    a.linked(b.key(), true).await;
    c.handle.dial(circuit(&a), Source::Ticket).unwrap();
    is_refused(&c, a.key()).await;
    drop(b);
    a.linked(c.key(), true).await;
}

#[tokio::test]
async fn a_circuit_too_many_of_one_peer_is_refused_and_others_are_not() {
    let relay = relay_with(1, RelayLimits { circuits_per_peer: 1, ..RelayLimits::default() }).await;
    let (mut a, b) = (client(2, &relay, vec![]).await, client(3, &relay, vec![]).await);
    let (mut c, d) = (client(4, &relay, vec![]).await, client(5, &relay, vec![]).await);
    b.handle.dial(circuit(&a), Source::Ticket).unwrap();
    a.linked(b.key(), true).await;
    // Both ends of a circuit have it.
    for one in [&a, &b] {
        one.handle.dial(circuit(&c), Source::Ticket).unwrap();
        is_refused(one, c.key()).await;
    }
    d.handle.dial(circuit(&c), Source::Ticket).unwrap();
    c.linked(d.key(), true).await;
}

/// Two that are linked through a relay of these limits.
async fn linked_through(limits: RelayLimits) -> (Node, Node, UpLink, Node) {
    let relay = relay_with(1, limits).await;
    let (a, mut b) = (client(2, &relay, vec![]).await, client(3, &relay, vec![]).await);
    b.handle.dial(circuit(&a), Source::Ticket).unwrap();
    let from_b = b.linked(a.key(), true).await;
    (a, b, from_b, relay)
}

#[tokio::test]
async fn a_circuit_that_lasts_too_long_ends_and_is_made_again() {
    let limits = RelayLimits { circuit_duration: Duration::from_secs(2), ..RelayLimits::default() };
    let (a, mut b, first, _relay) = linked_through(limits).await;
    assert_eq!(b.down().await.0, first.link);
    b.linked(a.key(), true).await;
}

#[tokio::test]
async fn a_circuit_that_has_carried_too_much_ends_and_is_made_again() {
    const BYTES: usize = 64 * 1024;
    let limits = RelayLimits { circuit_bytes: BYTES as u64, ..RelayLimits::default() };
    let (mut a, mut b, from_b, _relay) = linked_through(limits).await;
    a.linked(b.key(), true).await;
    send(&from_b.sender, Lane::Live, numbered(1, BYTES / 4)).await;
    assert_eq!(a.frame().await, (Lane::Live, numbered(1, BYTES / 4)));
    send(&from_b.sender, Lane::Live, numbered(2, BYTES)).await;
    assert_eq!(b.down().await.0, from_b.link);
    b.linked(a.key(), true).await;
}

#[tokio::test]
async fn a_connection_to_a_relay_too_many_is_refused_until_one_is_gone() {
    let own = CONNECTIONS_MAX - CONNECTIONS_INBOUND_MAX;
    let mut relay = relay_with(1, RelayLimits { connections: own + 2, ..RelayLimits::default() }).await;
    let (first, second) = (Node::start(2, None).await, Node::start(3, None).await);
    for node in [&first, &second] {
        node.dial(&relay);
        assert_eq!(relay.up().await.peer, node.key());
    }
    let outsider = Node::start(4, None).await;
    outsider.dial(&relay);
    let mut known = outsider.handle.known.clone();
    timeout(PATIENCE, known.wait_for(|known| !known.is_empty())).await.expect("it tries in time").unwrap();
    drop(first);
    // Had there been room before, it would be up before the other one is down.
    let next = relay.until("news", |event| match event {
        NetEvent::Listening { .. } => None,
        event => Some(event),
    });
    assert!(matches!(next.await, NetEvent::Down { .. }));
    assert_eq!(relay.up().await.peer, outsider.key());
}

#[test]
fn by_default_a_relay_serves_to_the_limits() {
    let most = RelayLimits::default();
    assert_eq!(most.connections, RELAY_CONNECTIONS_MAX);
    let service = service(&most);
    assert_eq!(service.max_reservations, RELAY_RESERVATIONS_MAX);
    assert_eq!(service.max_reservations_per_peer + 1, RELAY_RESERVATIONS_PER_PEER_MAX);
    assert_eq!(service.max_circuits, RELAY_CIRCUITS_MAX);
    assert_eq!(service.max_circuits_per_peer + 1, RELAY_CIRCUITS_PER_PEER_MAX);
    assert_eq!(service.max_circuit_duration, CIRCUIT_DURATION_MAX);
    assert_eq!(service.max_circuit_bytes, CIRCUIT_BYTES_MAX);
}
