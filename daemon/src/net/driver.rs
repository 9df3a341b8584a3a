//! The swarm's task: it alone touches the swarm, decides what becomes of each connection, and waits for nobody.
//!
//! It selects over commands, reports of links, found peers and the swarm's events, and answers each at once. Whatever
//! could wait (the hub, a disk, a peer) is another task's.

mod hearing;
mod life;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, mdns};
use rtc_core::id::PeerKey;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use super::address::{peer_id, peer_key, split_peer};
use super::choice::{Choices, Verdict};
use super::dialer::Dialer;
use super::greeting::{Greeting, Token, useful_from};
use super::handle::Command;
use super::limits::{BOOK_WRITE_DELAY, CONNECTIONS_PER_PEER_MAX, PEER_ADDRESSES_MAX};
use super::link::{Keep, Link, LinkEnd, Report};
use super::rendezvous::Found;
use super::stream::{StreamEvent, StreamOutcome};
use super::swarm::{Behaviour, BehaviourEvent, prefer, set_mdns};
use super::{KnownPeer, LinkId, NetEvent, Source, start};

pub(crate) use hearing::Hearing;

/// What we say of ourselves to peers.
pub(crate) const AGENT: &str = concat!("rtcd/", env!("CARGO_PKG_VERSION"));

/// Where the task's work comes from, besides the swarm.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) found: mpsc::Receiver<Found>,
    pub(crate) stopped: oneshot::Receiver<()>,
}

/// Where its results go; none of these can make it wait.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// For links to use, not for the task itself.
    pub(crate) events: mpsc::Sender<NetEvent>,
    /// For links to use: bytes that may wait for the hub.
    pub(crate) heard: Arc<Semaphore>,
    /// For links to use.
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) listening: watch::Sender<Vec<Multiaddr>>,
    pub(crate) known: watch::Sender<Arc<[KnownPeer]>>,
    pub(crate) book: watch::Sender<String>,
    pub(crate) refused: mpsc::Sender<PeerKey>,
}

/// The swarm's task.
pub(crate) struct Driver {
    us: PeerKey,
    keys: Keypair,
    incarnation: Token,
    swarm: Swarm<Behaviour>,
    dialer: Dialer,
    choices: Choices,
    connections: HashMap<ConnectionId, Connection>,
    links: HashMap<LinkId, LinkState>,
    tasks: JoinSet<LinkEnd>,
    links_made: u64,
    hearing: Hearing,
    write_book_at: Option<Instant>,
    outputs: Outputs,
}

/// An established connection.
struct Connection {
    peer: PeerKey,
    /// Whether we dialled it to have a link.
    outbound: bool,
    /// Whether it goes through a relay.
    relayed: bool,
    address: Multiaddr,
    source: Source,
}

/// What the task keeps of a link.
struct LinkState {
    peer: PeerKey,
    connection: ConnectionId,
    outbound: bool,
    relayed: bool,
    address: Multiaddr,
    task: tokio::task::Id,
    keep: Option<oneshot::Sender<Keep>>,
    stop: Option<oneshot::Sender<String>>,
    done: Option<oneshot::Receiver<()>>,
}

impl Driver {
    /// A task that has not begun.
    pub(crate) fn new(
        us: PeerKey,
        keys: Keypair,
        incarnation: Token,
        swarm: Swarm<Behaviour>,
        hearing: Hearing,
        dialer: Dialer,
        outputs: Outputs,
    ) -> Self {
        Self {
            us,
            keys,
            incarnation,
            swarm,
            dialer,
            choices: Choices::new(us),
            connections: HashMap::new(),
            links: HashMap::new(),
            tasks: JoinSet::new(),
            links_made: 0,
            hearing,
            write_book_at: None,
            outputs,
        }
    }

    /// Works until stopped.
    async fn work(&mut self, inputs: &mut Inputs) {
        loop {
            self.act(Instant::now());
            let wake_at = self.wake_at();
            let timer = async {
                match wake_at {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Stopped also when whoever could stop us is gone.
                _ = &mut inputs.stopped => return,
                Some(command) = inputs.commands.recv() => self.on_command(command),
                Some(report) = inputs.reports.recv() => self.on_report(report),
                Some(Found { peer, addresses }) = inputs.found.recv() => {
                    self.dialer.found(peer, &addresses, Source::Rendezvous, Instant::now());
                }
                event = self.swarm.select_next_some() => self.on_swarm(event),
                Some(end) = self.tasks.join_next_with_id() => self.on_link_end(end),
                () = timer => {}
            }
        }
    }

    /// What is due by the clock or follows from the last event.
    fn act(&mut self, now: Instant) {
        let is_busy = |peer: &PeerKey, direct: bool| {
            let mut connections = self.connections.values();
            connections.any(|known| known.outbound && known.peer == *peer && !(direct && known.relayed))
        };
        for dial in self.dialer.due(now, is_busy) {
            let attempt = dial.connection_id();
            if let Err(error) = self.swarm.dial(dial) {
                self.dial_failed(attempt, &error);
            }
        }
        if self.dialer.take_changed() {
            self.outputs.known.send_replace(self.dialer.known_peers().into());
            self.write_book_at.get_or_insert(now + BOOK_WRITE_DELAY);
        }
        if self.write_book_at.take_if(|at| *at <= now).is_some() {
            let text = self.dialer.book_json();
            self.outputs.book.send_if_modified(|old| {
                let differs = *old != text;
                *old = text;
                differs
            });
        }
        self.listen(now);
    }

    fn wake_at(&self) -> Option<Instant> {
        let Hearing { listeners, relays, .. } = &self.hearing;
        let all = [self.dialer.wake_at(), self.write_book_at, listeners.wake_at(), relays.wake_at()];
        all.into_iter().flatten().min()
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { address, source } => {
                if let Err(error) = self.dialer.given(&address, source, Instant::now()) {
                    warn!(%error, "an address was not taken");
                }
            }
            Command::Disconnect { link, why } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.end(&why);
                }
            }
            Command::Prefer(peer) => {
                self.dialer.prefer(&peer, Instant::now());
                if let Some(id) = peer_id(&peer) {
                    prefer(&mut self.swarm, &id);
                }
            }
            Command::Spare(peer) => self.dialer.spare(peer, Instant::now()),
            Command::SetMdns(on) => self.set_mdns(on),
            #[cfg(test)]
            Command::Panic => panic!("as a test wants it"),
        }
    }

    fn set_mdns(&mut self, on: bool) {
        let listening = self.outputs.listening.borrow().clone();
        if let Err(error) = set_mdns(&mut self.swarm, on, &listening) {
            // Peers can still be added, and those of this host found.
            warn!(%error, "no discovery by mDNS");
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => self.on_stream(event),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                self.on_mdns(found)
            }
            // A peer that mDNS misses may be there all the same.
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Expired(_))) => {}
            #[cfg(feature = "wan")]
            SwarmEvent::Behaviour(BehaviourEvent::Wan(event)) => super::wan::on_event(&event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connection(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                debug!(%connection_id, ?cause, "connection closed");
                // The link reads what came before, and then finds its stream closed.
                self.connections.remove(&connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dial_failed(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                debug!(from = %send_back_addr, %error, "a connection to us failed");
            }
            SwarmEvent::NewListenAddr { listener_id, address } => self.on_listening(listener_id, address),
            SwarmEvent::ExpiredListenAddr { address, .. } | SwarmEvent::ExternalAddrExpired { address } => {
                self.set_listening(|listening| listening.retain(|known| *known != address));
            }
            // A place at a relay, by the address under which we know the relay.
            SwarmEvent::ExternalAddrConfirmed { address } => self.reachable_at(address),
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                self.on_listener_closed(listener_id, &addresses, &reason);
            }
            SwarmEvent::ListenerError { error, .. } => warn!(%error, "a connection could not be accepted"),
            // Behaviours without events, and what later versions of libp2p may add.
            _ => {}
        }
    }

    fn on_mdns(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let now = Instant::now();
        for (peer, address) in found {
            if let Some(peer) = peer_key(&peer) {
                let (address, _) = split_peer(&address);
                self.dialer.found(peer, &[address], Source::Mdns, now);
            }
        }
    }

    fn dial_failed(&mut self, attempt: ConnectionId, error: &libp2p::swarm::DialError) {
        debug!(%attempt, %error, "a dial failed");
        if let Some(peer) = self.dialer.failed(attempt, error) {
            // Full: the file is looked at after a later dial.
            let _ = self.outputs.refused.try_send(peer);
        }
    }

    fn on_connection(&mut self, id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(peer) = peer_key(&id) else {
            self.swarm.close_connection(connection);
            return;
        };
        let relayed = endpoint.is_relayed();
        let address = match endpoint {
            // Whoever comes through a relay has no address but the relay's.
            ConnectedPoint::Listener { local_addr, .. } if relayed => local_addr.clone(),
            ConnectedPoint::Listener { .. } | ConnectedPoint::Dialer { .. } => {
                endpoint.get_remote_address().clone()
            }
        };
        let outbound = match endpoint {
            ConnectedPoint::Dialer { role_override, .. } => role_override.is_dialer(),
            ConnectedPoint::Listener { .. } => false,
        };
        let began = self.dialer.began(&connection);
        let source = if outbound {
            self.dialer.reached(connection, peer, &address, Instant::now())
        } else {
            self.dialer.source(&peer)
        };
        let (address, _) = split_peer(&address);
        let others = || self.connections.values().filter(|other| other.peer == peer);
        if others().count() >= CONNECTIONS_PER_PEER_MAX {
            self.swarm.close_connection(connection);
            return;
        }
        // Overlapping dials may all succeed in the end; one is enough.
        let another = others().any(|other| other.outbound && (relayed || !other.relayed));
        let dialled = outbound && !another && self.choices.is_open(&peer, relayed);
        let known = Connection { peer, outbound: dialled, relayed, address, source };
        self.connections.insert(connection, known);
        if dialled {
            self.swarm.behaviour_mut().streams.open(id, connection);
        } else if began {
            self.swarm.close_connection(connection);
        }
        // What libp2p dialled for itself, to see whether a peer can be reached there, ends when it is idle.
    }

    fn on_stream(&mut self, event: StreamEvent) {
        let Some(connection) = self.connections.get(&event.connection) else { return };
        match event.outcome {
            StreamOutcome::Open(stream) => self.begin_link(event.connection, stream),
            StreamOutcome::Foreign => {
                info!(peer = %connection.peer, "a peer does not speak our protocol");
                self.dialer.foreign(connection.peer, Instant::now());
                self.swarm.close_connection(event.connection);
            }
            StreamOutcome::Failed(error) => {
                debug!(peer = %connection.peer, %error, "no stream to a peer");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    fn begin_link(&mut self, id: ConnectionId, stream: libp2p::Stream) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (peer, outbound, relayed) = (connection.peer, connection.outbound, connection.relayed);
        if outbound && !self.choices.is_open(&peer, relayed) {
            // The peer's own dial won while we opened ours. Greeting now would say that we had lost that link.
            self.swarm.close_connection(id);
            return;
        }
        self.links_made += 1;
        let link = LinkId(self.links_made);
        let (keep_tx, keep) = oneshot::channel();
        let (stop_tx, stop) = oneshot::channel();
        let (done, done_rx) = oneshot::channel();
        let mut addresses = self.outputs.listening.borrow().clone();
        addresses.truncate(PEER_ADDRESSES_MAX);
        let greeting = Greeting {
            incarnation: self.incarnation,
            last_choice: self.choices.told(&peer),
            agent: AGENT.into(),
            addresses,
        };
        let task = Link {
            id: link,
            peer,
            outbound,
            address: connection.address.clone(),
            source: connection.source,
            stream,
            greeting,
            chooses: self.choices.is_ours(&peer),
            listening: self.outputs.listening.subscribe(),
            reports: self.outputs.reports.clone(),
            events: self.outputs.events.clone(),
            heard: Arc::clone(&self.outputs.heard),
            keep,
            stop,
            done,
        };
        let state = LinkState {
            peer,
            connection: id,
            outbound,
            relayed,
            address: connection.address.clone(),
            task: self.tasks.spawn(task.run()).id(),
            keep: Some(keep_tx),
            stop: Some(stop_tx),
            done: Some(done_rx),
        };
        self.links.insert(link, state);
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Greeted { link, greeting } => {
                let Some(state) = self.links.get(&link) else { return };
                debug!(peer = %state.peer, agent = %greeting.agent, "greeted");
                let (peer, outbound, relayed) = (state.peer, state.outbound, state.relayed);
                let addresses = useful_from(&state.address, greeting.addresses.clone());
                self.dialer.told(peer, addresses, Instant::now());
                let Ok(token) = start::random() else {
                    self.refuse(link, "no randomness to choose with");
                    return;
                };
                let verdict = self.choices.greeted(link, peer, outbound, relayed, &greeting, token);
                self.carry_out(link, token, verdict);
            }
            Report::Chosen { link, token } => {
                let Some(state) = self.links.get(&link) else { return };
                let verdict = self.choices.chosen(link, state.peer, state.relayed, token);
                self.carry_out(link, token, verdict);
            }
            Report::Moved { link, addresses } => {
                let Some(state) = self.links.get(&link) else { return };
                self.dialer.told(state.peer, useful_from(&state.address, addresses), Instant::now());
            }
        }
    }

    fn carry_out(&mut self, link: LinkId, token: Token, verdict: Verdict) {
        match verdict {
            Verdict::Wait => {}
            Verdict::Refuse => self.refuse(link, "another link to the peer is kept"),
            Verdict::Keep { replaces } => {
                let after = replaces.and_then(|old| self.links.get_mut(&old)).and_then(|old| {
                    old.end("another link to the peer replaces it");
                    old.done.take()
                });
                let Some(state) = self.links.get_mut(&link) else { return };
                if let Some(keep) = state.keep.take() {
                    // A link that ended meanwhile is reported by its end.
                    let _ = keep.send(Keep { token, after });
                }
                let (peer, relayed, connection) = (state.peer, state.relayed, state.connection);
                let (outbound, address) = (state.outbound, state.address.clone());
                let source = self.connections.get(&connection).map_or(Source::Inbound, |found| found.source);
                self.dialer.linked(peer, relayed, source, Instant::now(), unix_ms());
                if !relayed {
                    self.linked_directly(&peer, outbound, &address);
                }
            }
        }
    }

    fn refuse(&mut self, link: LinkId, why: &str) {
        if let Some(link) = self.links.get_mut(&link) {
            link.end(why);
        }
    }

    fn on_link_end(&mut self, end: Result<(tokio::task::Id, LinkEnd), JoinError>) {
        let (link, reason) = match end {
            Ok((_, LinkEnd { link, reason })) => (link, reason),
            Err(error) => {
                let mut links = self.links.iter();
                let Some((&link, _)) = links.find(|(_, state)| state.task == error.id()) else { return };
                return self.tell_failed(link, format!("its task failed: {error}"));
            }
        };
        let Some(state) = self.links.remove(&link) else { return };
        debug!(peer = %state.peer, %reason, "a link ended");
        self.swarm.close_connection(state.connection);
        self.connections.remove(&state.connection);
        if self.choices.ended(link, &state.peer) {
            self.hearing.relays.lost(&state.peer);
            self.dialer.lost(state.peer, Instant::now());
        }
    }
}

impl LinkState {
    /// Asks the link's task to end; what it says follows.
    fn end(&mut self, why: &str) {
        if let Some(stop) = self.stop.take() {
            // A task that has ended by itself does not listen.
            let _ = stop.send(why.to_owned());
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("us", &self.us)
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// Now, for the address book.
fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
