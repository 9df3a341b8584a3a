//! Beyond the LAN, on loopback: circuits through a relay, and doing without them.

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;

use super::super::address::{is_relayed, peer_id};
use super::super::limits::RELAY_ASKED_PER_PEER_MAX;
use super::super::swarm::build;
use super::*;

/// A relay.
pub(super) async fn relay(seed: u8) -> Node {
    relay_with(seed, RelayLimits::default()).await
}

/// A relay that does this much for others.
pub(super) async fn relay_with(seed: u8, limits: RelayLimits) -> Node {
    let home = tempfile::tempdir().unwrap();
    let wan = Some(WanConfig { relay: Some(limits), ..WanConfig::default() });
    Node::start_with(NetConfig { wan, ..Node::config(seed, &home) }, home).await
}

/// A node that listens at these addresses, and at the relay; it has a place there.
pub(super) async fn client(seed: u8, relay: &Node, listen: Vec<Multiaddr>) -> Node {
    client_of(seed, relay.address().with(id(relay)), listen).await
}

/// The same, with a relay at this address.
async fn client_of(seed: u8, at: Multiaddr, listen: Vec<Multiaddr>) -> Node {
    let home = tempfile::tempdir().unwrap();
    let wan = Some(WanConfig { relays: vec![at], relay: None });
    let node = Node::start_with(NetConfig { wan, listen, ..Node::config(seed, &home) }, home).await;
    let mut listening = node.handle.listening.clone();
    let reserved = listening.wait_for(|all| all.iter().any(is_relayed));
    timeout(PATIENCE, reserved).await.expect("a place in time").unwrap();
    node
}

/// The end of an address that names a node.
pub(super) fn id(node: &Node) -> Protocol<'static> {
    Protocol::P2p(peer_id(&node.key()).unwrap())
}

pub(super) fn circuit(node: &Node) -> Multiaddr {
    node.handle.listening().into_iter().find(is_relayed).expect("a place at a relay")
}

impl Node {
    /// The next link to `peer` that goes through a relay, or does not, whatever else happens meanwhile.
    pub(super) async fn linked(&mut self, peer: PeerKey, relayed: bool) -> UpLink {
        self.until("link up", |event| match event {
            NetEvent::Up { link, peer: other, source, sender, address, .. }
                if other == peer && is_relayed(&address) == relayed =>
            {
                Some(UpLink { link, peer, source, sender })
            }
            _ => None,
        })
        .await
    }

    /// Waits until the link to `peer` goes through a relay, or does not.
    async fn is_linked(&self, peer: PeerKey, relayed: bool) {
        let mut known = self.handle.known.clone();
        let holds = |known: &std::sync::Arc<[KnownPeer]>| {
            known.iter().any(|known| known.peer == peer && known.connected && known.relayed == relayed)
        };
        timeout(PATIENCE, known.wait_for(holds)).await.expect("in time").unwrap();
    }
}

async fn check_both_ways(a: &mut Node, from_a: &UpLink, b: &mut Node, from_b: &UpLink) {
    for number in 0..20 {
        send(&from_a.sender, Lane::Live, numbered(number, 1000)).await;
        send(&from_b.sender, Lane::Bulk, numbered(number, 100_000)).await;
        let frame = |event| match event {
            NetEvent::Frame { bytes, .. } => Some(bytes),
            _ => None,
        };
        assert_eq!(b.until("frame", frame).await, numbered(number, 1000));
        assert_eq!(a.until("frame", frame).await, numbered(number, 100_000));
    }
}

#[tokio::test]
async fn who_reaches_only_a_relay_is_reached_through_it_and_again_once_it_was_gone() {
    let relay = relay(1).await;
    let (mut a, mut b) = (client(2, &relay, vec![]).await, client(3, &relay, vec![]).await);
    b.handle.dial(circuit(&a), Source::Ticket).unwrap();
    let (from_a, from_b) = (a.linked(b.key(), true).await, b.linked(a.key(), true).await);
    check_both_ways(&mut a, &from_a, &mut b, &from_b).await;
    a.is_linked(b.key(), true).await;
    b.is_linked(a.key(), true).await;

    let relay = relay.restart().await;
    let (from_a, from_b) = (a.linked(b.key(), true).await, b.linked(a.key(), true).await);
    check_both_ways(&mut a, &from_a, &mut b, &from_b).await;
    b.is_linked(a.key(), true).await;
    // It carried everything and was told nothing.
    drop(relay);
}

#[tokio::test]
async fn a_direct_path_takes_the_place_of_a_relay() {
    let relay = relay(1).await;
    for (seed_a, seed_b) in [(2, 3), (5, 4)] {
        let loopback = || vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let mut a = client(seed_a, &relay, loopback()).await;
        let mut b = client(seed_b, &relay, loopback()).await;
        b.handle.dial(circuit(&a), Source::Ticket).unwrap();
        let (from_a, from_b) = (a.linked(b.key(), false).await, b.linked(a.key(), false).await);
        check_both_ways(&mut a, &from_a, &mut b, &from_b).await;
        a.is_linked(b.key(), false).await;
        b.is_linked(a.key(), false).await;
    }
}

/// Where a node listens by QUIC, once it does.
async fn quic(node: &Node) -> Multiaddr {
    let by_quic = |address: &&Multiaddr| address.iter().any(|part| part == Protocol::QuicV1);
    let mut listening = node.handle.listening.clone();
    let all = listening.wait_for(|all| all.iter().any(|address| by_quic(&address)));
    let all = timeout(PATIENCE, all).await.expect("in time").unwrap();
    all.iter().find(by_quic).expect("it was there").clone()
}

/// `b` dials this address, and it is where a link then leads.
async fn check_dial(b: &mut Node, address: Multiaddr) {
    b.handle.dial(address.clone(), Source::Added).unwrap();
    let up = b.until("link up", |event| match event {
        NetEvent::Up { address, .. } => Some(address),
        _ => None,
    });
    assert_eq!(up.await, address);
}

#[tokio::test]
async fn peers_meet_by_quic() {
    let (a, mut b) = (relay(2).await, relay(3).await);
    check_dial(&mut b, quic(&a).await).await;
}

/// The address with the name of this host in place of its IP address.
fn by_name(address: &Multiaddr) -> Multiaddr {
    address.replace(0, |_| Some(Protocol::Dns4("localhost".into()))).expect("there is a first part")
}

#[tokio::test]
async fn peers_meet_by_name() {
    let a = relay(2).await;
    for (seed, address) in [(3, by_name(&a.address())), (4, by_name(&quic(&a).await))] {
        check_dial(&mut relay(seed).await, address).await;
    }
}

#[tokio::test]
async fn a_relay_known_by_name_is_one_for_whoever_hears_of_it() {
    let relay = relay(1).await;
    let mut a = client_of(2, by_name(&relay.address()).with(id(&relay)), vec![]).await;
    let b = client(3, &relay, vec![]).await;
    assert!(circuit(&a).to_string().starts_with("/dns4/localhost/tcp/"), "{}", circuit(&a));
    b.handle.dial(circuit(&a), Source::Ticket).unwrap();
    a.linked(b.key(), true).await;
}

#[tokio::test]
async fn a_name_that_nobody_knows_says_so() {
    let a = relay(1).await;
    // Reserved by RFC 6761 for names that are never there.
    let nobody = peer_id(&relay(2).await.key()).unwrap();
    let address: Multiaddr = format!("/dns/nobody.invalid/tcp/1/p2p/{nobody}").parse().unwrap();
    a.handle.dial(address, Source::Added).unwrap();
    let mut known = a.handle.known.clone();
    let says = |why: &String| why.starts_with("/dns/nobody.invalid/tcp/1: ");
    let failed = known.wait_for(|known| known.iter().any(|known| known.failure.as_ref().is_some_and(says)));
    timeout(PATIENCE, failed).await.expect("in time").unwrap();
}

#[tokio::test]
async fn a_relay_tells_who_can_be_reached_where_it_sees_them() {
    let relay = relay(1).await;
    let keys = libp2p::identity::Keypair::ed25519_from_bytes([2; 32]).unwrap();
    let mut swarm = build(&keys, Some(&WanConfig::default())).unwrap();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let (mut ours, mut kept) = (None, Vec::new());
    let confirmed = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    ours = Some(address);
                    swarm.dial(relay.address()).unwrap();
                }
                // It has no link to keep it open, and asks every few seconds only.
                SwarmEvent::ConnectionClosed { num_established: 0, .. } => {
                    swarm.dial(relay.address()).unwrap()
                }
                // Streams the relay opens end its connections when they are dropped.
                SwarmEvent::Behaviour(event) => kept.push(event),
                SwarmEvent::ExternalAddrConfirmed { address } => return (address, ours),
                _ => {}
            }
        }
    };
    let (address, ours) = timeout(PATIENCE, confirmed).await.expect("in time");
    assert_eq!(Some(address), ours);
}

#[tokio::test]
async fn who_asks_a_relay_too_often_is_refused() {
    let relay = relay(1).await;
    let keys = libp2p::identity::Keypair::ed25519_from_bytes([2; 32]).unwrap();
    let mut swarm = build(&keys, Some(&WanConfig::default())).unwrap();
    let nobody = Protocol::P2p(peer_id(&PeerKey([0; 32])).unwrap());
    let circuit = relay.address().with(id(&relay)).with(Protocol::P2pCircuit).with(nobody);
    let refused = async {
        let mut asked = 0;
        swarm.dial(circuit.clone()).unwrap();
        loop {
            if let SwarmEvent::OutgoingConnectionError { error, .. } = swarm.select_next_some().await {
                asked += 1;
                let said = format!("{error:?}");
                if said.contains("ResourceLimitExceeded") {
                    return asked;
                }
                assert!(said.contains("NoReservation"), "{said}");
                swarm.dial(circuit.clone()).unwrap();
            }
        }
    };
    let asked = timeout(PATIENCE, refused).await.expect("in time");
    assert!(asked > RELAY_ASKED_PER_PEER_MAX, "{asked}");
}

#[tokio::test]
async fn who_is_known_well_is_found_at_a_relay_of_ours() {
    let relay = relay(1).await;
    let (mut a, b) = (client(2, &relay, vec![]).await, client(3, &relay, vec![]).await);
    // All that is known of it is its key.
    a.handle.prefer(b.key()).unwrap();
    a.linked(b.key(), true).await;
}

#[tokio::test]
async fn a_daemon_for_the_lan_takes_no_road_beyond_it() {
    let relay = relay(1).await;
    let a = client(2, &relay, vec![]).await;
    let b = Node::start(3, None).await;
    for address in [circuit(&a), quic(&relay).await, by_name(&relay.address())] {
        let refused = b.handle.dial(address, Source::Ticket).unwrap_err();
        assert!(refused.to_string().ends_with("needs the setting network = \"wan\""), "{refused}");
    }
    assert_eq!(b.handle.listening().len(), 1, "TCP, and nothing else");
}
