//! Several networks in one process, over real sockets on loopback.

mod hostile;
#[cfg(feature = "wan")]
mod relay;
mod streams;
#[cfg(feature = "wan")]
mod wan;

use std::path::Path;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use rtc_core::id::PeerKey;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::address::socket_addr;
use super::handle::Command;
use super::limits::LIVE_FRAMES_MAX;
use super::*;

/// Nothing here takes this long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One network with a hub that only listens.
struct Node {
    config: NetConfig,
    handle: NetHandle,
    net: Option<Net>,
    events: mpsc::Receiver<NetEvent>,
    _home: TempDir,
}

/// What the hub keeps of a link.
#[derive(Debug, Clone)]
struct UpLink {
    link: LinkId,
    peer: PeerKey,
    source: Source,
    sender: LinkSender,
}

impl Node {
    async fn start(seed: u8, rendezvous_dir: Option<&Path>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let rendezvous_dir = rendezvous_dir.map(Path::to_owned);
        let config = NetConfig { rendezvous_dir, ..Self::config(seed, &home) };
        Self::start_with(config, home).await
    }

    /// On loopback, finding nobody by itself.
    fn config(seed: u8, home: &TempDir) -> NetConfig {
        NetConfig {
            seed: [seed; 32],
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            taken_port: TakenPort::Refuse,
            mdns: false,
            rendezvous_dir: None,
            book: home.path().join("peers.json"),
            wan: None,
        }
    }

    async fn start_with(config: NetConfig, home: TempDir) -> Self {
        let (events_tx, events) = mpsc::channel(64);
        let (handle, net) = start(config.clone(), events_tx).await.unwrap();
        let mut node = Self { config, handle, net: Some(net), events, _home: home };
        node.until("listening", |event| matches!(event, NetEvent::Listening { .. }).then_some(())).await;
        node
    }

    /// Stops and starts again with the same key, home and port.
    async fn restart(mut self) -> Self {
        self.config.listen = vec![self.address()];
        self.net.take().unwrap().shutdown().await;
        Self::start_with(self.config, self._home).await
    }

    fn key(&self) -> PeerKey {
        self.handle.key()
    }

    fn address(&self) -> Multiaddr {
        let listening = self.handle.listening();
        listening.iter().find(|address| socket_addr(address).is_some()).unwrap_or(&listening[0]).clone()
    }

    fn dial(&self, other: &Node) {
        self.handle.dial(other.address(), Source::Added).unwrap();
    }

    /// Takes events until `wanted` finds its own.
    async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(NetEvent) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {what} in time"))
    }

    async fn up(&mut self) -> UpLink {
        self.until("link up", |event| match event {
            NetEvent::Up { link, peer, source, sender, .. } => Some(UpLink { link, peer, source, sender }),
            NetEvent::Listening { .. } => None,
            other => panic!("{other:?} before any link"),
        })
        .await
    }

    async fn down(&mut self) -> (LinkId, String) {
        self.until("link down", |event| match event {
            NetEvent::Down { link, reason } => Some((link, reason)),
            NetEvent::Listening { .. } | NetEvent::Up { .. } | NetEvent::Frame { .. } => None,
        })
        .await
    }

    async fn frame(&mut self) -> (Lane, Vec<u8>) {
        self.until("frame", |event| match event {
            NetEvent::Frame { lane, bytes, .. } => Some((lane, bytes)),
            other => panic!("{other:?} instead of a frame"),
        })
        .await
    }
}

/// Queues `frame`, waiting for room as a hub never would.
async fn send(sender: &LinkSender, lane: Lane, frame: Vec<u8>) {
    while let Err(error) = sender.try_send(lane, frame.clone()) {
        assert_eq!(error, SendError::Full);
        tokio::task::yield_now().await;
    }
}

async fn linked_pair() -> (Node, UpLink, Node, UpLink) {
    let (mut a, mut b) = (Node::start(1, None).await, Node::start(2, None).await);
    a.dial(&b);
    let (from_a, from_b) = (a.up().await, b.up().await);
    assert_eq!((from_a.peer, from_b.peer), (b.key(), a.key()));
    (a, from_a, b, from_b)
}

fn numbered(number: u32, bytes: usize) -> Vec<u8> {
    let mut frame = number.to_be_bytes().to_vec();
    frame.resize(bytes.max(4), u8::try_from(number % 251).unwrap());
    frame
}

/// Receives `count` numbered frames per lane and checks that each lane is whole and in order.
async fn check_stream(node: &mut Node, count: u32, bytes: impl Fn(Lane, u32) -> usize) {
    let mut next = [(Lane::Live, 0), (Lane::Bulk, 0)];
    while next.iter().any(|(_, next)| *next < count) {
        let (lane, frame) = node.frame().await;
        let (_, number) = next.iter_mut().find(|(known, _)| *known == lane).unwrap();
        assert_eq!(frame, numbered(*number, bytes(lane, *number)), "frame {number} of {lane:?}");
        *number += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_frames_each_way_arrive_whole_and_in_order_per_lane() {
    const COUNT: u32 = 10_000;
    let bytes = |lane: Lane, number: u32| match lane {
        Lane::Live => 40 + number as usize % 300,
        // Some of several pieces.
        Lane::Bulk => {
            if number.is_multiple_of(100) {
                50_000
            } else {
                100
            }
        }
    };
    let (mut a, from_a, mut b, from_b) = linked_pair().await;
    let write = |sender: LinkSender| async move {
        for number in 0..COUNT {
            send(&sender, Lane::Live, numbered(number, bytes(Lane::Live, number))).await;
            send(&sender, Lane::Bulk, numbered(number, bytes(Lane::Bulk, number))).await;
        }
    };
    let writers = [tokio::spawn(write(from_a.sender)), tokio::spawn(write(from_b.sender))];
    tokio::join!(check_stream(&mut a, COUNT, bytes), check_stream(&mut b, COUNT, bytes));
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_live_frame_overtakes_a_backlog() {
    let (_a, from_a, mut b, _) = linked_pair().await;
    let large = rtc_core::limits::FRAME_BYTES_MAX;
    from_a.sender.try_send(Lane::Bulk, numbered(1, large)).unwrap();
    from_a.sender.try_send(Lane::Live, b"now".to_vec()).unwrap();
    assert_eq!(b.frame().await, (Lane::Live, b"now".to_vec()));
    assert_eq!(b.frame().await, (Lane::Bulk, numbered(1, large)));
}

#[tokio::test]
async fn a_full_queue_says_so_and_a_closed_link_too() {
    let (a, from_a, mut b, _) = linked_pair().await;
    // On this one thread nothing is written while we do not wait.
    for number in 0..LIVE_FRAMES_MAX {
        from_a.sender.try_send(Lane::Live, numbered(u32::try_from(number).unwrap(), 8)).unwrap();
    }
    assert_eq!(from_a.sender.try_send(Lane::Live, Vec::new()), Err(SendError::Full));
    b.frame().await;
    a.handle.disconnect(from_a.link, "enough").unwrap();
    b.down().await;
    assert_eq!(from_a.sender.try_send(Lane::Live, Vec::new()), Err(SendError::Closed));
}

#[tokio::test]
async fn a_slow_hub_slows_its_peers_down_and_loses_nothing() {
    let (_a, from_a, mut b, _) = linked_pair().await;
    let mut sent = 0;
    // Far more than all buffers on the way hold: sending must stop by itself.
    let stuck = async {
        loop {
            send(&from_a.sender, Lane::Live, numbered(sent, 64 * 1024)).await;
            sent += 1;
        }
    };
    timeout(Duration::from_secs(1), stuck).await.unwrap_err();
    println!("{} KiB wait on the way", sent * 64);
    assert!(sent < 16 * 64, "64 MiB wait for a hub that takes nothing");
    for number in 0..sent {
        assert_eq!(b.frame().await, (Lane::Live, numbered(number, 64 * 1024)));
    }
}

#[tokio::test]
async fn dials_that_cross_leave_one_link() {
    for round in 0..10 {
        // Other keys each time, so that now one end chooses, now the other.
        let (seed_a, seed_b) = (u8::try_from(round + 1).unwrap(), u8::try_from(round + 100).unwrap());
        let (mut a, mut b) = (Node::start(seed_a, None).await, Node::start(seed_b, None).await);
        a.dial(&b);
        b.dial(&a);
        let (from_a, from_b) = (a.up().await, b.up().await);
        // Both ends mean the same stream, and it stays: what is sent on it arrives, and nothing else happens.
        for number in 0..100 {
            let frame = numbered(round * 100 + number, 8);
            from_a.sender.try_send(Lane::Live, frame.clone()).unwrap();
            from_b.sender.try_send(Lane::Live, frame.clone()).unwrap();
            assert_eq!(b.frame().await, (Lane::Live, frame.clone()));
            assert_eq!(a.frame().await, (Lane::Live, frame));
        }
    }
}

#[tokio::test]
async fn daemons_of_one_host_find_each_other_by_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("rendezvous");
    let mut a = Node::start(1, Some(&place)).await;
    let mut b = Node::start(2, Some(&place)).await;
    let started = Instant::now();
    let (from_a, from_b) = (a.up().await, b.up().await);
    println!("found each other in {:?}", started.elapsed());
    assert_eq!((from_a.peer, from_b.peer), (b.key(), a.key()));
    assert!([from_a.source, from_b.source].contains(&Source::Rendezvous));
    let mut c = Node::start(3, Some(&place)).await;
    let mut met = [c.up().await.peer, c.up().await.peer];
    met.sort_unstable();
    let mut both = [a.key(), b.key()];
    both.sort_unstable();
    assert_eq!(met, both);
    let key = c.key();
    c.net.take().unwrap().shutdown().await;
    assert!(!place.join(format!("{key}.addr")).exists(), "a stopped daemon leaves no file");
}

#[tokio::test]
async fn a_peer_that_goes_is_down_and_one_that_returns_is_up_again() {
    let (mut a, first, b, _) = linked_pair().await;
    let mut b = b.restart().await;
    assert_eq!(a.down().await.0, first.link);
    let returned = Instant::now();
    let again = a.up().await;
    println!("up again after {:?}", returned.elapsed());
    assert_eq!(again.peer, b.key());
    assert!(again.link > first.link);
    b.up().await;
    again.sender.try_send(Lane::Live, b"welcome".to_vec()).unwrap();
    assert_eq!(b.frame().await, (Lane::Live, b"welcome".to_vec()));
}

#[tokio::test]
async fn a_killed_network_is_down_at_its_peer() {
    let (mut a, first, mut b, _) = linked_pair().await;
    drop(b.net.take());
    assert_eq!(a.down().await.0, first.link);
}

#[tokio::test]
async fn the_book_brings_peers_together_after_both_restarted() {
    let (a, _, b, _) = linked_pair().await;
    let (mut a, mut b) = (a.restart().await, b.restart().await);
    assert_eq!(a.up().await.peer, b.key());
    assert_eq!(b.up().await.peer, a.key());
}

#[tokio::test]
async fn the_dialled_learns_where_the_dialler_listens() {
    let (a, _, mut b, _) = linked_pair().await;
    let address = a.address();
    let known = b.handle.known.clone();
    let knows = |peers: &std::sync::Arc<[KnownPeer]>| {
        peers.iter().any(|peer| peer.connected && peer.addresses.contains(&address))
    };
    let mut waits = known.clone();
    timeout(PATIENCE, waits.wait_for(knows)).await.expect("in time").unwrap();
    drop(a);
    b.down().await;
    let gone = |peers: &std::sync::Arc<[KnownPeer]>| peers.iter().all(|peer| !peer.connected);
    timeout(PATIENCE, waits.wait_for(gone)).await.expect("in time").unwrap();
}

#[tokio::test]
async fn a_preferred_peer_is_remembered_as_such() {
    let (a, _, mut b, _) = linked_pair().await;
    b.handle.prefer(a.key()).unwrap();
    let mut known = b.handle.known.clone();
    let prefers = |peers: &std::sync::Arc<[KnownPeer]>| peers.iter().any(|peer| peer.preferred);
    timeout(PATIENCE, known.wait_for(prefers)).await.expect("in time").unwrap();
    drop(a);
    b.down().await;
    let b = b.restart().await;
    let mut known = b.handle.known.clone();
    timeout(PATIENCE, known.wait_for(prefers)).await.expect("in time").unwrap();
}

#[tokio::test]
async fn a_taken_port_is_refused_or_replaced_as_configured() {
    let a = Node::start(1, None).await;
    let home = tempfile::tempdir().unwrap();
    let book = home.path().join("peers.json");
    let config = NetConfig { seed: [2; 32], listen: vec![a.address()], book, ..a.config.clone() };
    let (events, _kept) = mpsc::channel(8);
    let error = start(config.clone(), events).await.expect_err("the port is taken");
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    let b = Node::start_with(NetConfig { taken_port: TakenPort::TakeAnother, ..config }, home).await;
    assert_ne!(a.address(), b.address());
}

#[tokio::test]
async fn a_panic_in_the_swarms_task_costs_its_connections_and_nothing_else() {
    let (mut a, from_a, mut b, from_b) = linked_pair().await;
    let address = a.address();
    a.handle.prefer(b.key()).unwrap();
    for _ in 0..2 {
        a.handle.commands.try_send(Command::Panic).unwrap();
        // What is asked meanwhile is not forgotten.
        a.handle.dial("/ip4/127.0.0.1/tcp/9".parse().unwrap(), Source::Added).unwrap();
        let (link, reason) = a.down().await;
        assert!(link >= from_a.link && reason.contains("begins anew"), "{reason}");
        assert!(b.down().await.0 >= from_b.link);
        let (again, at_b) = (a.up().await, b.up().await);
        assert_eq!((again.peer, at_b.peer), (b.key(), a.key()));
        assert!(again.link > link, "no name is used twice");
        send(&again.sender, Lane::Live, numbered(1, 9)).await;
        send(&at_b.sender, Lane::Bulk, numbered(2, 9)).await;
        assert_eq!(b.frame().await, (Lane::Live, numbered(1, 9)));
        a.until("frame", |event| matches!(event, NetEvent::Frame { .. }).then_some(())).await;
    }
    let mut listening = a.handle.listening.clone();
    timeout(PATIENCE, listening.wait_for(|all| all.contains(&address))).await.expect("in time").unwrap();
    let mut known = a.handle.known.clone();
    let prefers = |peers: &std::sync::Arc<[KnownPeer]>| peers.iter().any(|peer| peer.preferred);
    timeout(PATIENCE, known.wait_for(prefers)).await.expect("in time").unwrap();
}

#[tokio::test]
async fn what_waits_for_the_hub_is_bounded_by_its_bytes() {
    let (_a, from_a, mut b, _) = linked_pair().await;
    let large = rtc_core::limits::FRAME_BYTES_MAX;
    let count = 20;
    let send_all = async {
        for number in 0..count {
            send(&from_a.sender, Lane::Bulk, numbered(number, large)).await;
        }
    };
    // The hub takes nothing: its queue has places left, and yet the sender has to stop.
    timeout(Duration::from_secs(1), send_all).await.unwrap_err();
    let (_, first) = b.frame().await;
    assert_eq!(first, numbered(0, large));
}
