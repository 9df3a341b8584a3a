//! Peers that break the protocol, and programs that never knew it: none of it reaches the hub, and no link suffers.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{self, Swarm, SwarmEvent, dummy};
use rtc_core::id::PeerKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::address::{multiaddr, peer_id, peer_key, socket_addr};
use super::super::greeting::{Control, Greeting};
use super::super::limits::{
    CONNECTIONS_INBOUND_MAX, CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, HANDSHAKES_INBOUND_MAX, STREAMS_MAX,
};
use super::super::piece::{Cutter, Track};
use super::super::stream::StreamOutcome;
use super::super::swarm::{Behaviour, BehaviourEvent, build, transport};
use super::super::{KnownPeer, NetEvent};
use super::{Lane, Node, PATIENCE, Source, linked_pair};

#[tokio::test]
async fn a_foreign_program_is_dropped_and_left_alone() {
    let mut a = Node::start(1, None).await;
    let keys = Keypair::ed25519_from_bytes([9; 32]).unwrap();
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(PATIENCE * 10);
    let transport = transport(&keys, STREAMS_MAX).unwrap();
    let mut foreign = Swarm::new(transport, dummy::Behaviour, keys.public().to_peer_id(), config);
    foreign.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let a_id = peer_id(&a.key()).unwrap();
    let mut handle = Some(a.handle.clone());
    let dropped = async {
        loop {
            match foreign.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    handle.take().unwrap().dial(address, Source::Added).unwrap();
                }
                SwarmEvent::ConnectionClosed { peer_id, .. } if peer_id == a_id => return,
                _ => {}
            }
        }
    };
    timeout(PATIENCE, dropped).await.expect("dropped in time");
    // Nothing was told, and nothing is tried again.
    let again =
        async { while !matches!(foreign.select_next_some().await, SwarmEvent::IncomingConnection { .. }) {} };
    assert!(timeout(Duration::from_millis(800), again).await.is_err(), "dialled again");
    assert!(a.events.try_recv().is_err());
}

#[tokio::test]
async fn strangers_and_all_together_find_so_many_places_and_one_that_goes_makes_room() {
    let mut b = Node::start(2, None).await;
    let mut strangers = BTreeMap::new();
    for seed in (10..).take(CONNECTIONS_INBOUND_MAX as usize + 1) {
        let stranger = Node::start(seed, None).await;
        stranger.dial(&b);
        strangers.insert(stranger.key(), stranger);
    }
    let mut inside = Vec::new();
    for _ in 0..CONNECTIONS_INBOUND_MAX {
        inside.push(b.up().await.peer);
    }
    let outsider = *strangers.keys().find(|key| !inside.contains(key)).expect("one is too many");
    let mut known = strangers[&outsider].handle.known.clone();
    let has_tried = timeout(PATIENCE, known.wait_for(|known| !known.is_empty()));
    has_tried.await.expect("in time").unwrap();
    // Our own dials find the places that strangers are not let into, and no more.
    let rest = CONNECTIONS_MAX - CONNECTIONS_INBOUND_MAX;
    let mut dialled = Vec::new();
    for seed in (100..).take(rest as usize + 1) {
        let node = Node::start(seed, None).await;
        let peer = peer_id(&node.key()).unwrap();
        b.handle.dial(node.address().with_p2p(peer).unwrap(), Source::Added).unwrap();
        dialled.push(node);
    }
    for _ in 0..rest {
        let peer = b.up().await.peer;
        assert!(dialled.iter().any(|node| node.key() == peer));
    }
    let mut known = b.handle.known.clone();
    let is_refused = |peer: &KnownPeer| !peer.connected && peer.failure.is_some();
    let refused = timeout(PATIENCE, known.wait_for(|known| known.iter().any(is_refused)));
    refused.await.expect("in time").unwrap();
    strangers.remove(&inside[0]);
    // Had there been room before, it would be up before the other one is down.
    let next = b.until("news", |event| match event {
        NetEvent::Listening { .. } => None,
        event => Some(event),
    });
    assert!(matches!(next.await, NetEvent::Down { .. }));
    // One place is for whom we dial; each is free once the swarm has heard of it, too.
    strangers.remove(&inside[1]);
    let mut is_up = false;
    while !is_up {
        strangers[&outsider].dial(&b);
        let up = b.until("the outsider", |event| match event {
            NetEvent::Up { peer, .. } if peer == outsider => Some(()),
            _ => None,
        });
        is_up = timeout(Duration::from_millis(200), up).await.is_ok();
    }
}

/// Tries again what a machine that stands still for seconds can spoil.
const ATTEMPTS: usize = 5;

#[tokio::test]
async fn a_handshake_too_many_is_refused_at_once() {
    let b = Node::start(2, None).await;
    let port = socket_addr(&b.address()).unwrap();
    for _ in 0..ATTEMPTS {
        let mut silent = Vec::new();
        for _ in 0..=HANDSHAKES_INBOUND_MAX {
            silent.push(tokio::net::TcpStream::connect(port).await.unwrap());
        }
        let last = silent.last_mut().expect("there are some");
        let closed = timeout(PATIENCE, last.read(&mut [0; 1])).await.expect("closed in time");
        assert!(matches!(closed, Ok(0) | Err(_)));
        // The others have their time.
        let first = silent[0].try_read(&mut [0; 1]);
        if first.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
            return;
        }
    }
    panic!("the first was closed as early as the last");
}

#[tokio::test]
async fn a_connection_too_many_of_one_peer_is_closed_at_once() {
    let b = Node::start(2, None).await;
    for seed in (10..).take(ATTEMPTS) {
        let keys = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        let mut many = build(&keys, None).unwrap();
        let mut made = Vec::new();
        let closed = async {
            loop {
                if made.len() <= CONNECTIONS_PER_PEER_MAX {
                    let dial = DialOpts::unknown_peer_id().address(b.address()).allocate_new_port().build();
                    made.push(dial.connection_id());
                    many.dial(dial).unwrap();
                }
                loop {
                    match many.select_next_some().await {
                        SwarmEvent::ConnectionEstablished { .. }
                            if made.len() <= CONNECTIONS_PER_PEER_MAX =>
                        {
                            break;
                        }
                        SwarmEvent::ConnectionClosed { connection_id, .. } => return connection_id,
                        _ => {}
                    }
                }
            }
        };
        let closed = timeout(PATIENCE, closed).await.expect("closed in time");
        if made.get(CONNECTIONS_PER_PEER_MAX) == Some(&closed) {
            return;
        }
    }
    panic!("the last is not closed first");
}

/// Connects to `node` as a peer with our protocol, and returns the stream before a byte is said on it.
async fn hostile_stream(node: &Node, seed: u8) -> (Swarm<Behaviour>, libp2p::Stream) {
    let keys = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let mut hostile = build(&keys, None).unwrap();
    hostile.dial(node.address()).unwrap();
    let opened = async {
        loop {
            match hostile.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                    hostile.behaviour_mut().streams.open(peer_id, connection_id);
                }
                SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => match event.outcome {
                    StreamOutcome::Open(stream) => break stream,
                    other => panic!("{other:?}"),
                },
                _ => {}
            }
        }
    };
    let stream = timeout(PATIENCE, opened).await.expect("opened in time");
    (hostile, stream)
}

/// Says `bytes` to `node` and waits until it closes the stream.
async fn say_until_closed(node: &Node, seed: u8, bytes: &[u8]) {
    use futures::{AsyncReadExt, AsyncWriteExt};
    let (mut hostile, mut stream) = hostile_stream(node, seed).await;
    let mut heard = Vec::new();
    let talk = async {
        // The other end may close before it has read all of this.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let _ = stream.read_to_end(&mut heard).await;
    };
    let driven =
        async { while !matches!(hostile.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {} };
    timeout(PATIENCE, futures::future::join(talk, driven)).await.expect("closed in time");
}

fn control(payload: &[u8]) -> Vec<u8> {
    let (mut cutter, mut out) = (Cutter::new(Track::Control, payload.to_vec()), Vec::new());
    while !cutter.cut(&mut out) {}
    out
}

/// A seed whose key is smaller, or greater, than `key`.
fn seed_beside(key: PeerKey, order: Ordering) -> u8 {
    let key_of = |seed| Keypair::ed25519_from_bytes([seed; 32]).unwrap().public().to_peer_id();
    (10..250).find(|seed| peer_key(&key_of(*seed)).unwrap().cmp(&key) == order).unwrap()
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_before_the_link_is_agreed_never_reaches_the_hub() {
    let (_a, from_a, mut b, _) = linked_pair().await;
    let greeting = control(&Control::Greeting(Greeting::update()).encode());
    let live_frame = [1, 0, 1, 7];
    let said = [vec![0xff; 100], control(b"no cbor"), control(&[]), live_frame.to_vec()];
    let chooser = seed_beside(b.key(), Ordering::Less);
    for seed in [chooser, seed_beside(b.key(), Ordering::Greater)] {
        for said in &said {
            say_until_closed(&b, seed, said).await;
        }
    }
    say_until_closed(&b, chooser, &[&greeting[..], &live_frame].concat()).await;
    say_until_closed(&b, chooser, &[&greeting[..], &greeting].concat()).await;
    from_a.sender.try_send(Lane::Live, b"still here".to_vec()).unwrap();
    assert_eq!(b.frame().await, (Lane::Live, b"still here".to_vec()));
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_later_is_down_and_says_why() {
    let mut b = Node::start(2, None).await;
    let greeting = control(&Control::Greeting(Greeting::update()).encode());
    let hostile = seed_beside(b.key(), Ordering::Greater);
    say_until_closed(&b, hostile, &[&greeting[..], &[1, 0, 1, 7], &[0x7f, 0, 0]].concat()).await;
    let up = b.up().await;
    assert_eq!(b.frame().await, (Lane::Live, vec![7]));
    let (link, reason) = b.down().await;
    assert_eq!(link, up.link);
    assert!(reason.contains("broke the protocol"), "{reason}");
}

#[tokio::test]
async fn a_frame_without_an_end_is_cut_at_the_limit() {
    let mut b = Node::start(2, None).await;
    let greeting = control(&Control::Greeting(Greeting::update()).encode());
    let hostile = seed_beside(b.key(), Ordering::Greater);
    let piece = [&[0x81, 0x40, 0][..], &[7; 0x4000]].concat();
    let endless = piece.repeat(rtc_core::limits::FRAME_BYTES_MAX / 0x4000 + 1);
    say_until_closed(&b, hostile, &[greeting, endless].concat()).await;
    b.up().await;
    let (_, reason) = b.down().await;
    assert!(reason.contains("frame of more than 5242880 bytes"), "{reason}");
}

#[tokio::test]
async fn garbage_on_the_port_changes_nothing() {
    let (a, from_a, mut b, _) = linked_pair().await;
    let port = socket_addr(&b.address()).unwrap();
    assert_eq!(multiaddr(port), b.address());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 70_000], b"\x13/multistream/1.0.0\n", b""] {
        let mut stream = tokio::net::TcpStream::connect(port).await.unwrap();
        // The other end may close before it has read all of this.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        let _ = timeout(PATIENCE, closed).await.expect("closed in time");
    }
    from_a.sender.try_send(Lane::Live, b"still here".to_vec()).unwrap();
    assert_eq!(b.frame().await, (Lane::Live, b"still here".to_vec()));
    drop(a);
}
