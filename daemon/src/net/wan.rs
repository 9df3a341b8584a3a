//! What the swarm has beyond the LAN: circuits through relays, QUIC, names, and finding a direct path
//! behind both ends' routers.
//!
//! None of this is trusted with anything: over a circuit, too, both ends prove their keys to each other, and the relay
//! carries what it cannot read.

use std::num::NonZeroU32;
use std::time::Duration;

use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, autonat, dcutr, identify, noise, quic, relay, yamux};
use tracing::debug;

use super::names::Named;
use super::{RelayLimits, WanConfig, limits};

/// What peers that identify each other say they speak.
const IDENTITY_PROTOCOL: &str = "/rtc/1";
/// How soon a token of a relay's rate limits comes back.
const TOKEN_AFTER: Duration = Duration::from_millis(50);

/// The behaviours beyond the LAN.
#[derive(NetworkBehaviour)]
pub(crate) struct Wan {
    circuits: relay::client::Behaviour,
    /// Tells a peer where we see it, which hole punching needs; names no address of ours that was not confirmed.
    identify: identify::Behaviour,
    dcutr: dcutr::Behaviour,
    /// Asks relays whether others can reach us where they see us.
    reachable: autonat::v2::client::Behaviour,
    relay: Toggle<relay::Behaviour>,
    /// Answers that.
    reaches: Toggle<autonat::v2::server::Behaviour>,
}

/// Adds to `tcp` what `config` wants.
pub(crate) fn extend(
    keys: &Keypair,
    config: &WanConfig,
    tcp: Boxed<(PeerId, StreamMuxerBox)>,
) -> Result<(Boxed<(PeerId, StreamMuxerBox)>, Wan), noise::Error> {
    let us = keys.public().to_peer_id();
    let (circuits, client) = relay::client::new(us);
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(limits::WAN_STREAMS_MAX);
    let circuits = circuits
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keys)?)
        .multiplex(muxer)
        .timeout(limits::CIRCUIT_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let mut quic = quic::Config::new(keys);
    quic.max_idle_timeout = u32::try_from(limits::QUIC_IDLE_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    quic.keep_alive_interval = limits::QUIC_IDLE_TIMEOUT / 3;
    quic.handshake_timeout = limits::HANDSHAKE_TIMEOUT;
    quic.max_concurrent_stream_limit = u32::try_from(limits::WAN_STREAMS_MAX).unwrap_or(u32::MAX);
    let quic = quic::tokio::Transport::new(quic).map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let direct = quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed();
    let transport = circuits.or_transport(Named::new(direct)).map(|either, _| either.into_inner()).boxed();
    let identity = identify::Config::new(IDENTITY_PROTOCOL.to_owned(), keys.public())
        .with_agent_version(super::driver::AGENT.to_owned())
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let wan = Wan {
        circuits: client,
        identify: identify::Behaviour::new(identity),
        dcutr: dcutr::Behaviour::new(us),
        reachable: autonat::v2::client::Behaviour::default(),
        relay: Toggle::from(config.relay.as_ref().map(|most| relay::Behaviour::new(us, service(most)))),
        reaches: Toggle::from(config.relay.as_ref().map(|_| autonat::v2::server::Behaviour::default())),
    };
    Ok((transport, wan))
}

/// What a relay does for others, at most this much. Whoever exceeds it is refused, and tries again.
pub(crate) fn service(most: &RelayLimits) -> relay::Config {
    let tokens = |count| NonZeroU32::new(count).expect("limits are not zero");
    let config = relay::Config {
        max_reservations: most.reservations,
        // Of these two libp2p lets one more through than it says; a test counts them.
        max_reservations_per_peer: most.reservations_per_peer.saturating_sub(1),
        max_circuits_per_peer: most.circuits_per_peer.saturating_sub(1),
        max_circuits: most.circuits,
        max_circuit_duration: most.circuit_duration,
        max_circuit_bytes: most.circuit_bytes,
        reservation_rate_limiters: Vec::new(),
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    };
    config
        .reservation_rate_per_peer(tokens(limits::RELAY_ASKED_PER_PEER_MAX), TOKEN_AFTER)
        .circuit_src_per_peer(tokens(limits::RELAY_ASKED_PER_PEER_MAX), TOKEN_AFTER)
}

/// Writes down what happened; nothing else follows from these events.
pub(crate) fn on_event(event: &WanEvent) {
    match event {
        WanEvent::Relay(event) => debug!(?event, "as a relay"),
        WanEvent::Circuits(event) => debug!(?event, "through a relay"),
        WanEvent::Dcutr(event) => debug!(?event, "a direct path was tried"),
        WanEvent::Reachable(event) => debug!(?event, "a relay has looked for us"),
        WanEvent::Reaches(event) => debug!(?event, "looked for a peer"),
        WanEvent::Identify(_) => {}
    }
}
