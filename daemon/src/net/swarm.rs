//! The libp2p swarm as we use it: TCP, Noise, yamux, limits on everything, mDNS that can be switched.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, ListenerId};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::behaviour::{ExpiredListenAddr, FromSwarm, NewListenAddr};
use libp2p::swarm::{self, NetworkBehaviour, Swarm};
use libp2p::{Multiaddr, PeerId, connection_limits, mdns, noise, tcp, yamux};
use rtc_core::id::PeerKey;
use socket2::{Domain, SockRef, Socket, Type};

use super::address::peer_id;
use super::stream::Streams;
use super::{WanConfig, limits};

/// All behaviours of the swarm.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    /// Our protocol.
    pub(crate) streams: Streams,
    mdns: Toggle<mdns::tokio::Behaviour>,
    #[cfg(feature = "wan")]
    wan: Toggle<super::wan::Wan>,
}

/// The transport: TCP that gives up early, authenticated by Noise.
pub(crate) fn transport(
    keys: &Keypair,
    streams_max: usize,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(streams_max);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let tcp = TransportTimeout::with_outgoing_timeout(tcp, limits::CONNECT_TIMEOUT);
    Ok(tcp
        .map(|stream, _| {
            end_when_unacknowledged(&stream.0, limits::UNACKNOWLEDGED_TIMEOUT);
            stream
        })
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keys)?)
        .multiplex(muxer)
        .timeout(limits::HANDSHAKE_TIMEOUT)
        .boxed())
}

/// Lets the kernel give a connection up when nothing sent on it arrives. Without, one that is closed while its buffers
/// are full and its link is cut would hold its place for a quarter of an hour.
fn end_when_unacknowledged(stream: &tokio::net::TcpStream, after: Duration) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(after)) {
        tracing::debug!(%error, "cannot bound how long sent bytes may wait");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (SockRef::from(stream), after);
}

/// The swarm of `keys`, listening nowhere yet.
pub(crate) fn build(keys: &Keypair, wan: Option<&WanConfig>) -> Result<Swarm<Behaviour>, noise::Error> {
    let (connections, streams) = match wan {
        None => (limits::CONNECTIONS_MAX, limits::STREAMS_MAX),
        Some(WanConfig { relay: None, .. }) => (limits::CONNECTIONS_MAX, limits::WAN_STREAMS_MAX),
        Some(WanConfig { relay: Some(relay), .. }) => (relay.connections, limits::WAN_STREAMS_MAX),
    };
    let own = limits::CONNECTIONS_MAX - limits::CONNECTIONS_INBOUND_MAX;
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established(Some(connections))
        .with_max_established_incoming(Some(connections - own))
        .with_max_pending_incoming(Some(limits::HANDSHAKES_INBOUND_MAX));
    let transport = transport(keys, streams)?;
    #[cfg(feature = "wan")]
    let (transport, wan) = match wan {
        Some(config) => {
            let (transport, wan) = super::wan::extend(keys, config, transport)?;
            (transport, Some(wan))
        }
        None => (transport, None),
    };
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        streams: Streams::default(),
        mdns: Toggle::from(None),
        #[cfg(feature = "wan")]
        wan: Toggle::from(wan),
    };
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(limits::IDLE_TIMEOUT)
        .with_max_negotiating_inbound_streams(limits::STREAMS_NEGOTIATING_MAX);
    Ok(Swarm::new(transport, behaviour, keys.public().to_peer_id(), config))
}

/// Lets `peer` in even where strangers have taken every place.
pub(crate) fn prefer(swarm: &mut Swarm<Behaviour>, peer: &PeerId) {
    swarm.behaviour_mut().limits.bypass_peer_id(peer);
}

/// The same for everybody who was preferred in earlier lives.
pub(crate) fn prefer_known<'a>(swarm: &mut Swarm<Behaviour>, peers: impl Iterator<Item = &'a PeerKey>) {
    peers.filter_map(peer_id).for_each(|id| prefer(swarm, &id));
}

/// Whether mDNS is on.
pub(crate) fn is_mdns_on(swarm: &Swarm<Behaviour>) -> bool {
    swarm.behaviour().mdns.is_enabled()
}

/// Switches mDNS on or off; `listening` is where the swarm listens now.
pub(crate) fn set_mdns(swarm: &mut Swarm<Behaviour>, on: bool, listening: &[Multiaddr]) -> io::Result<()> {
    let peer = *swarm.local_peer_id();
    let toggle = &mut swarm.behaviour_mut().mdns;
    if toggle.is_enabled() == on {
        return Ok(());
    }
    if let Some(old) = toggle.as_mut() {
        // Its tasks outlive it by up to a query interval; without addresses they have nothing to announce.
        for addr in listening {
            let listener_id = ListenerId::next();
            old.on_swarm_event(FromSwarm::ExpiredListenAddr(ExpiredListenAddr { listener_id, addr }));
        }
        *toggle = Toggle::from(None);
        return Ok(());
    }
    let config = mdns::Config {
        ttl: limits::MDNS_TTL,
        query_interval: limits::MDNS_QUERY_INTERVAL,
        // IPv6 would be instead of IPv4, not beside it.
        enable_ipv6: false,
    };
    let mut new = mdns::tokio::Behaviour::new(config, peer)?;
    for addr in listening {
        // The swarm told these before the behaviour was there to hear.
        let listener_id = ListenerId::next();
        new.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr }));
    }
    *toggle = Toggle::from(Some(new));
    Ok(())
}

/// Whether `socket` can be listened on without sharing it. The transport itself binds with `SO_REUSEPORT`, so a second
/// daemon of the same user would silently take half of the first one's connections.
pub(crate) fn is_free(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier daemon that linger in TIME_WAIT do not hold its port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}
