//! Streams beyond their limits, opened by a peer that speaks the transport and no protocol above it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, TransportEvent};
use libp2p::core::upgrade::Version;
use libp2p::core::{Endpoint, Transport};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, noise, tcp, yamux};
use tokio::time::timeout;

use super::super::limits::{STREAMS_MAX, STREAMS_NEGOTIATING_MAX};
use super::super::swarm::transport;
use super::{Node, PATIENCE};

/// What both sides of every stream say first (multistream-select 1.0).
const NEGOTIATION: &[u8] = b"\x13/multistream/1.0.0\n";

/// What is not served at once is not served within this.
const SOON: Duration = Duration::from_millis(500);

fn keys(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap()
}

/// Connects without a limit on streams.
async fn dial(address: Multiaddr) -> StreamMuxerBox {
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(1000);
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&keys(9)).unwrap())
        .multiplex(muxer);
    let how = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let (_, muxer) = transport.dial(address, how).unwrap().await.unwrap();
    StreamMuxerBox::new(muxer)
}

/// Waits for `work` on streams of `muxer`, which moves nothing unless it is asked to.
async fn driven<T>(muxer: &mut StreamMuxerBox, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let both = poll_fn(|cx| {
        let _ = muxer.poll_unpin(cx);
        work.as_mut().poll(cx)
    });
    timeout(PATIENCE, both).await.expect("in time")
}

/// Opens so many streams, the first first, and says `first` on each: until something is said, the other side knows of none.
async fn open(muxer: &mut StreamMuxerBox, count: usize, first: &[u8]) -> Vec<SubstreamBox> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await.unwrap();
        driven(muxer, async {
            stream.write_all(first).await?;
            stream.flush().await
        })
        .await
        .unwrap();
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn a_stream_too_many_ends_its_connection() {
    let mut listening = transport(&keys(2), STREAMS_MAX).unwrap();
    listening.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let TransportEvent::NewAddress { listen_addr, .. } = listening.select_next_some().await else {
        panic!("it listens first")
    };
    let accepted = async {
        loop {
            if let TransportEvent::Incoming { upgrade, .. } = listening.select_next_some().await {
                return upgrade.await.unwrap().1;
            }
        }
    };
    let (mut greedy, mut ours) = futures::future::join(dial(listen_addr), accepted).await;
    let opening = async {
        let streams = open(&mut greedy, STREAMS_MAX + 1, b"hello").await;
        let end = poll_fn(|cx| match greedy.poll_unpin(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        });
        drop((end.await, streams));
    };
    let mut taken = Vec::new();
    let taking = async {
        while let Ok(stream) = poll_fn(|cx| ours.poll_inbound_unpin(cx)).await {
            taken.push(stream);
        }
        ours.close().await
    };
    let both = futures::future::join(opening, taking);
    let _ = timeout(PATIENCE, both).await.expect("both see the end in time");
    assert_eq!(taken.len(), STREAMS_MAX);
}

#[tokio::test]
async fn a_stream_beside_too_many_that_say_nothing_waits_for_one_of_them() {
    let b = Node::start(2, None).await;
    let mut muxer = dial(b.address()).await;
    let silent = open(&mut muxer, STREAMS_NEGOTIATING_MAX, &NEGOTIATION[..1]).await;
    let mut last = open(&mut muxer, 1, NEGOTIATION).await.pop().expect("there is one");
    let mut answer = [0; NEGOTIATION.len()];
    let early = timeout(SOON, driven(&mut muxer, last.read_exact(&mut answer))).await;
    assert!(early.is_err(), "served beside the others");
    drop(silent);
    driven(&mut muxer, last.read_exact(&mut answer)).await.expect("it is served");
    assert_eq!(answer, NEGOTIATION);
}

/// Whether the connection goes on with so many streams.
#[cfg(feature = "wan")]
async fn takes(node: &Node, count: usize) -> bool {
    let mut muxer = dial(node.address()).await;
    let silent = open(&mut muxer, count - 1, &NEGOTIATION[..1]).await;
    let mut last = open(&mut muxer, 1, NEGOTIATION).await.pop().expect("there is one");
    drop(silent);
    driven(&mut muxer, last.read_exact(&mut [0; NEGOTIATION.len()])).await.is_ok()
}

#[tokio::test]
#[cfg(feature = "wan")]
async fn beyond_the_lan_a_connection_has_more_streams_and_one_too_many_ends_it() {
    use super::super::limits::WAN_STREAMS_MAX;
    let (lan, wan) = (Node::start(2, None).await, super::wan::relay(3).await);
    for (node, most) in [(&lan, STREAMS_MAX), (&wan, WAN_STREAMS_MAX)] {
        // One more is the node's own: it asks who we are.
        assert!(takes(node, most - 1).await, "{most} are too many");
        assert!(!takes(node, most + 1).await, "{most} are not the most");
    }
}
