//! Every limit and interval of the network, each with its reason.

use std::time::Duration;

/// Bytes of a greeting or any other control frame: sixteen addresses and room to grow.
pub(crate) const CONTROL_BYTES_MAX: usize = 8 * 1024;
/// Listen addresses one greeting may carry, and addresses kept per peer: a laptop with many interfaces has fewer.
pub(crate) const PEER_ADDRESSES_MAX: usize = 16;
/// Bytes of one address as text.
pub(crate) const ADDRESS_BYTES_MAX: usize = 256;
/// Bytes of a peer's self-description.
pub(crate) const AGENT_BYTES_MAX: usize = 64;

/// Live frames that wait for one slow peer; beyond, sync takes over.
pub(crate) const LIVE_FRAMES_MAX: usize = 1024;
/// Backlog frames that wait for one slow peer: its credit is spent long before.
pub(crate) const BULK_FRAMES_MAX: usize = 256;
/// Bytes that wait for one slow peer, per lane: one frame of the largest size and a margin.
pub(crate) const LANE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of frames that wait for the hub, of all links together: one frame of the largest size and a margin. Counted
/// alone, a few hundred frames could be a gigabyte.
pub(crate) const HEARD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes gathered into one write: several pieces cost one encryption and one system call.
pub(crate) const WRITE_BYTES: usize = 64 * 1024;
/// Bytes asked of the stream at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Connections altogether: a room of 16 with reconnections under way has plenty, and memory stays bounded.
pub(crate) const CONNECTIONS_MAX: u32 = 64;
/// Connections others made: our own dials always find a place.
pub(crate) const CONNECTIONS_INBOUND_MAX: u32 = 56;
/// Connections per peer, a preferred one too: two that crossed, one dying, one to replace it.
pub(crate) const CONNECTIONS_PER_PEER_MAX: usize = 4;
/// Unfinished handshakes others began: they cost us a key agreement each.
pub(crate) const HANDSHAKES_INBOUND_MAX: u32 = 32;
/// With so many links nobody is in a hurry to find more: a room wants somewhat fewer, and small ones have less.
pub(crate) const LINKS_CALM: usize = 24;
/// With so many links a peer whom nobody asked for is dialled this often: in a large room enough to meet who is new, or was cut off.
pub(crate) const EXPLORE_EVERY: Duration = Duration::from_secs(1);
/// A peer that our rooms can do without is left alone this long.
pub(crate) const SPARE_PAUSE: Duration = Duration::from_secs(600);
/// Unfinished dials of ours.
pub(crate) const DIALS_MAX: usize = 48;
/// Unfinished dials to one peer: a dial into a black hole hangs, so a fresh one must not wait for it.
pub(crate) const DIALS_PER_PEER_MAX: u8 = 4;
/// Yamux streams per connection: we need one.
pub(crate) const STREAMS_MAX: usize = 8;
/// Inbound streams whose protocol is being negotiated, per connection.
pub(crate) const STREAMS_NEGOTIATING_MAX: usize = 2;

/// A TCP connect may take this long: below the kernel's first repetition of a lost SYN, which we beat by dialling anew.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(900);
/// Connecting, encryption and multiplexing together.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Opening the stream and exchanging greetings.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// A greeted stream that is not chosen by then is not wanted.
pub(crate) const CHOICE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without our stream is closed after this: whoever made it does not speak our protocol.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes unacknowledged this long end the connection, so that closing one into a black hole does not hang.
pub(crate) const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(10);
/// Ending all links at shutdown.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// A listener that failed is opened again after this.
pub(crate) const RELISTEN_AFTER: Duration = Duration::from_secs(1);
/// After a bug in the network's task it begins anew this much later.
pub(crate) const REBUILD_AFTER: Duration = Duration::from_secs(1);

/// Connections of a relay, and those others made.
pub(crate) const RELAY_CONNECTIONS_MAX: u32 = 256;
/// Yamux streams per connection beyond the LAN: a relay's has one for each circuit.
pub(crate) const WAN_STREAMS_MAX: usize = RELAY_CIRCUITS_PER_PEER_MAX + 16;
/// Places reserved at a relay altogether: more than its connections is none.
pub(crate) const RELAY_RESERVATIONS_MAX: usize = 256;
/// Places reserved at a relay by one peer: one per connection, of which few overlap.
pub(crate) const RELAY_RESERVATIONS_PER_PEER_MAX: usize = 4;
/// Circuits through a relay altogether: each holds two streams and a few buffers.
pub(crate) const RELAY_CIRCUITS_MAX: usize = 512;
/// Circuits through a relay from or to one peer: rooms of 16, and some that overlap.
pub(crate) const RELAY_CIRCUITS_PER_PEER_MAX: usize = 64;
/// Circuits, or places, one peer may ask a relay for at once; twenty more each second. Redialling asks for each absent
/// peer once a second.
#[cfg(feature = "wan")]
pub(crate) const RELAY_ASKED_PER_PEER_MAX: u32 = 64;
/// A circuit lasts this long; its ends make another, and sync goes on where it was.
pub(crate) const CIRCUIT_DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes a circuit carries, both directions together: a few large rooms a day.
pub(crate) const CIRCUIT_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Reaching a peer through a relay: two handshakes in a row, each over half the world.
#[cfg(feature = "wan")]
pub(crate) const CIRCUIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Names that are looked up at once: each holds a thread for as long as the host's resolver takes.
#[cfg(feature = "wan")]
pub(crate) const LOOKUPS_MAX: usize = 8;
/// Looking a name up: a resolver's first question may be lost, and its second not.
#[cfg(feature = "wan")]
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(7);
/// A QUIC connection that hears nothing ends after this: as long as our own heartbeats wait, twice.
#[cfg(feature = "wan")]
pub(crate) const QUIC_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// The peer with the greater key lets the other dial first.
pub(crate) const YIELD_TO_SMALLER: Duration = Duration::from_millis(300);
/// A peer that does not speak our protocol is left alone this long.
pub(crate) const FOREIGN_PAUSE: Duration = Duration::from_secs(3600);

/// How often mDNS asks; default (5 min) finds nothing when two halves of a LAN meet late.
pub(crate) const MDNS_QUERY_INTERVAL: Duration = Duration::from_secs(5);
/// How long an mDNS answer holds.
pub(crate) const MDNS_TTL: Duration = Duration::from_secs(60);

/// Peers in the address book.
pub(crate) const BOOK_PEERS_MAX: usize = 1024;
/// Addresses without a known peer in the address book.
pub(crate) const BOOK_STRAYS_MAX: usize = 64;
/// Bytes of the address book's file: far above what a full book needs.
pub(crate) const BOOK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Changes of the book within this time are one write.
pub(crate) const BOOK_WRITE_DELAY: Duration = Duration::from_millis(200);

/// Files read from the rendezvous directory.
pub(crate) const RENDEZVOUS_FILES_MAX: usize = 256;
/// Bytes of one rendezvous file.
pub(crate) const RENDEZVOUS_BYTES_MAX: u64 = 8 * 1024;
/// A rendezvous file whose daemon refuses dials is removed once it is this old.
pub(crate) const RENDEZVOUS_STALE: Duration = Duration::from_secs(60);
/// How often the rendezvous directory is read where it cannot be watched.
pub(crate) const RENDEZVOUS_POLL: Duration = Duration::from_secs(5);

/// Commands that wait for the swarm's task.
pub(crate) const COMMANDS_MAX: usize = 1024;
/// Reports of links that wait for the swarm's task.
pub(crate) const REPORTS_MAX: usize = 64;

/// How much a relay does for others. By default as much as the constants say; tests have less of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayLimits {
    /// Connections altogether.
    pub connections: u32,
    /// Places reserved altogether.
    pub reservations: usize,
    /// Places reserved by one peer.
    pub reservations_per_peer: usize,
    /// Circuits altogether.
    pub circuits: usize,
    /// Circuits from or to one peer.
    pub circuits_per_peer: usize,
    /// How long a circuit lasts.
    pub circuit_duration: Duration,
    /// Bytes a circuit carries.
    pub circuit_bytes: u64,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            connections: RELAY_CONNECTIONS_MAX,
            reservations: RELAY_RESERVATIONS_MAX,
            reservations_per_peer: RELAY_RESERVATIONS_PER_PEER_MAX,
            circuits: RELAY_CIRCUITS_MAX,
            circuits_per_peer: RELAY_CIRCUITS_PER_PEER_MAX,
            circuit_duration: CIRCUIT_DURATION_MAX,
            circuit_bytes: CIRCUIT_BYTES_MAX,
        }
    }
}
