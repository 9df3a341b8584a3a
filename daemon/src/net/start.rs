//! Starts the network and ends it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use rtc_core::id::PeerKey;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use super::address::{Road, multiaddr, peer_key, road, socket_addr, split_peer};
use super::book_file::{self, ReadBookError};
use super::dialer::Dialer;
use super::driver::{Driver, Hearing, Inputs, Outputs};
use super::limits::{COMMANDS_MAX, HEARD_BYTES_MAX, RENDEZVOUS_FILES_MAX, REPORTS_MAX};
use super::listeners::Listeners;
use super::relays::Relays;
use super::rendezvous::{Lines, Rendezvous};
use super::{NetConfig, NetEvent, NetHandle, TakenPort, swarm};

/// Owns the network's tasks. Dropped without [`Net::shutdown`], it ends them at once.
#[derive(Debug)]
pub struct Net {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Why the network does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is not of the form we listen on.
    #[error("cannot listen on {0}: write /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT")]
    NotListenable(Multiaddr),
    /// The host does not let us listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: Multiaddr,
        /// Why not.
        source: io::Error,
    },
    /// The program was built without what is needed beyond the LAN.
    #[error("this rtcd was built for one LAN only; build it with: cargo install --path . --features wan")]
    LanOnly,
    /// An address of a relay is not of the form we can use.
    #[error("{0} is no relay: write /ip4/ADDRESS/tcp/PORT/p2p/PEER or /dns/NAME/tcp/PORT/p2p/PEER")]
    NotARelay(Multiaddr),
    /// The address book is there and unreadable.
    #[error(transparent)]
    Book(#[from] ReadBookError),
    /// The host has no randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The key does not work, which no seed of 32 bytes should do.
    #[error("the key cannot be used: {0}")]
    Key(String),
}

impl Net {
    /// Ends all links, writes the address book, and returns when nothing runs any more.
    pub async fn shutdown(mut self) {
        drop(self.stop.take());
        // Shutting down is bounded by itself, and if that panics it has ended, too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the network; the first event tells where it listens.
pub async fn start(
    config: NetConfig,
    events: mpsc::Sender<NetEvent>,
) -> Result<(NetHandle, Net), StartError> {
    let keys =
        Keypair::ed25519_from_bytes(config.seed).map_err(|error| StartError::Key(error.to_string()))?;
    let key = peer_key(&keys.public().to_peer_id()).ok_or_else(|| StartError::Key("not Ed25519".into()))?;
    if config.wan.is_some() && !cfg!(feature = "wan") {
        return Err(StartError::LanOnly);
    }
    let relays = relays(&config)?;
    let book = book_file::read(&config.book)?;
    let mut swarm =
        swarm::build(&keys, config.wan.as_ref()).map_err(|error| StartError::Key(error.to_string()))?;
    swarm::prefer_known(&mut swarm, book.preferred());
    let mut listeners = Listeners::default();
    for address in free_addresses(&config)? {
        let listener = swarm.listen_on(address.clone()).map_err(|error| StartError::Listen {
            address: address.clone(),
            source: io::Error::other(error),
        })?;
        listeners.opened(listener, address);
    }
    if let Err(error) = swarm::set_mdns(&mut swarm, config.mdns, &[]) {
        // Peers can still be added, and those of this host found.
        warn!(%error, "no discovery by mDNS");
    }

    let (commands_tx, commands) = mpsc::channel(COMMANDS_MAX);
    let (reports_tx, reports) = mpsc::channel(REPORTS_MAX);
    let (listening_tx, listening) = watch::channel(Vec::new());
    let (known_tx, known) = watch::channel(Arc::from([]));
    let (book_tx, book_rx) = watch::channel(String::new());
    let (stop, stopped) = oneshot::channel();
    let mut helpers = JoinSet::new();
    helpers.spawn(book_file::keep_written(config.book, book_rx));
    let (found, refused_tx) = meet(&mut helpers, config.rendezvous_dir, key, listening.clone());
    helpers.spawn(tell_listening(listening.clone(), events.clone()));

    let [seed, incarnation] = [random()?, random()?];
    let mut dialer = Dialer::new(key, config.wan.is_some(), book, u64::from_ne_bytes(seed), Instant::now());
    dialer.give_relays(relays.all(), Instant::now());
    let inputs = Inputs { commands, reports, found, stopped };
    let outputs = Outputs {
        events,
        heard: Arc::new(Semaphore::new(HEARD_BYTES_MAX)),
        reports: reports_tx,
        listening: listening_tx,
        known: known_tx,
        book: book_tx,
        refused: refused_tx,
    };
    let wan = config.wan.is_some();
    let driver = Driver::new(
        key,
        keys,
        incarnation,
        swarm,
        Hearing { listeners, relays, wan: config.wan },
        dialer,
        outputs,
    );
    let task = tokio::spawn(driver.run(inputs, helpers));
    let handle = NetHandle { key, wan, commands: commands_tx, listening, known };
    Ok((handle, Net { stop: Some(stop), task }))
}

/// Eight bytes nobody else has.
pub(crate) fn random() -> Result<[u8; 8], getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The relays of the settings.
fn relays(config: &NetConfig) -> Result<Relays, StartError> {
    let addresses = config.wan.iter().flat_map(|wan| &wan.relays);
    let relays: Result<Vec<_>, _> = addresses
        .map(|address| match split_peer(address) {
            (bare, Some(peer)) if matches!(road(&bare), Some(Road::Tcp | Road::Quic)) => Ok((peer, bare)),
            _ => Err(StartError::NotARelay(address.clone())),
        })
        .collect();
    Ok(Relays::new(&relays?))
}

/// Starts the rendezvous, if there is one; else its lines lead nowhere.
fn meet(
    helpers: &mut JoinSet<()>,
    dir: Option<std::path::PathBuf>,
    key: PeerKey,
    listening: watch::Receiver<Vec<Multiaddr>>,
) -> (mpsc::Receiver<super::rendezvous::Found>, mpsc::Sender<PeerKey>) {
    let (found_tx, found) = mpsc::channel(RENDEZVOUS_FILES_MAX);
    let (refused_tx, refused) = mpsc::channel(RENDEZVOUS_FILES_MAX);
    if let Some(dir) = dir {
        let lines = Lines { listening, refused, found: found_tx };
        helpers.spawn(Rendezvous::new(dir, key).run(lines));
    }
    (found, refused_tx)
}

/// Tells the hub where we listen, so that the swarm's task need not wait for the hub.
async fn tell_listening(mut listening: watch::Receiver<Vec<Multiaddr>>, events: mpsc::Sender<NetEvent>) {
    while listening.changed().await.is_ok() {
        let addresses = listening.borrow_and_update().clone();
        if events.send(NetEvent::Listening { addresses }).await.is_err() {
            return;
        }
    }
}

/// The addresses to listen on, each free at this moment; beyond the LAN by QUIC, too.
fn free_addresses(config: &NetConfig) -> Result<Vec<Multiaddr>, StartError> {
    let mut free = Vec::new();
    for address in &config.listen {
        let mut socket = socket_addr(address).ok_or_else(|| StartError::NotListenable(address.clone()))?;
        let taken = |source| StartError::Listen { address: address.clone(), source };
        if let Err(error) = swarm::is_free(socket) {
            let another = config.taken_port == TakenPort::TakeAnother
                && socket.port() != 0
                && error.kind() == io::ErrorKind::AddrInUse;
            if !another {
                return Err(taken(error));
            }
            warn!(%address, "the port is taken, listening on another");
            socket.set_port(0);
        }
        free.push(multiaddr(socket));
        if config.wan.is_some() {
            let udp = Multiaddr::from(socket.ip()).with(Protocol::Udp(socket.port()));
            free.push(udp.with(Protocol::QuicV1));
        }
    }
    Ok(free)
}
