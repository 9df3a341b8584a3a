//! Keeps peers connected: what the book knows, what the schedule wants, and which dials are under way. No IO.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use rtc_core::id::PeerKey;
use rtc_core::limits::ROOM_LINKS_WANTED;

use super::address::{
    Road, circuit, is_beyond_lan, is_by_name, is_dialable, is_loopback, peer_id, peer_key, road, split_peer,
};
use super::book::{AddressError, Book, Entry, Place};
use super::failure::{describe, is_refused};
use super::limits::{DIALS_MAX, FOREIGN_PAUSE, LINKS_CALM, SPARE_PAUSE, YIELD_TO_SMALLER};
use super::redial::{Pause, Schedule, Target, Why};
use super::{KnownPeer, Source};

/// A link that ended sooner than this was not wanted by one end: hurry would be a storm.
const SHORT_LINK: Duration = Duration::from_secs(2);
/// Redialling waits this long after such a link.
const AFTER_SHORT_LINK: Duration = Duration::from_secs(1);

/// Relays are asked for one peer this often at most.
const ASK_RELAYS_AFTER: Duration = Duration::from_secs(1);

/// Hole punching by one circuit has succeeded by then, or failed.
const PUNCHING: Duration = Duration::from_secs(5);
/// A link that ends within this after its peer was spared has ended for that.
const SPARED_WITHIN: Duration = Duration::from_secs(5);

/// Whom to dial, when and where.
#[derive(Debug)]
pub(crate) struct Dialer {
    us: PeerKey,
    /// Whether circuits, QUIC and relays may be dialled.
    wan: bool,
    book: Book,
    schedule: Schedule,
    /// Dials under way.
    attempts: HashMap<ConnectionId, Target>,
    /// When relays were asked for whom last.
    asked: BTreeMap<PeerKey, Instant>,
    /// Peers that our rooms can do without, and since when.
    spared: BTreeMap<PeerKey, Instant>,
    /// Peers with a link.
    linked: HashMap<PeerKey, Linked>,
    /// Where we listen: dialling it would only find ourselves.
    listening: BTreeSet<Multiaddr>,
    /// Whether what a reader of the book can see has changed.
    changed: bool,
}

/// A link, as far as it matters to whom we dial.
#[derive(Clone, Copy, Debug)]
struct Linked {
    since: Instant,
    /// Whether it goes through a relay, so that a direct one would be better.
    relayed: bool,
}

impl Dialer {
    /// Wants everybody the book knows. `wan`: also by roads beyond the LAN.
    pub(crate) fn new(us: PeerKey, wan: bool, book: Book, seed: u64, now: Instant) -> Self {
        let mut schedule = Schedule::new(seed);
        for (peer, entry) in book.peers().filter(|(peer, _)| **peer != us) {
            let why = if entry.was_given() { Why::Given } else { Why::Found };
            schedule.want(Target::Peer(*peer), now, now + yield_time(&us, peer), why);
        }
        for stray in book.strays() {
            schedule.want(Target::Stray(stray.address.clone()), now, now, Why::Given);
        }
        Self {
            us,
            wan,
            book,
            schedule,
            attempts: HashMap::new(),
            asked: BTreeMap::new(),
            spared: BTreeMap::new(),
            linked: HashMap::new(),
            listening: BTreeSet::new(),
            changed: true,
        }
    }

    /// Forgets everything but the book: there is no link, and no dial under way.
    pub(crate) fn begin_anew(&mut self, seed: u64, now: Instant) {
        *self = Self::new(self.us, self.wan, std::mem::take(&mut self.book), seed, now);
    }

    /// Wants these relays, whatever becomes of them.
    pub(crate) fn give_relays<'a>(
        &mut self,
        relays: impl Iterator<Item = (PeerKey, &'a Multiaddr)>,
        now: Instant,
    ) {
        let us = self.us;
        for (peer, address) in relays.filter(|(peer, _)| *peer != us) {
            self.learn(peer, Place { address: address.clone(), source: Source::Relay }, now);
            self.schedule.want(Target::Peer(peer), now, now, Why::Given);
        }
    }

    /// Who is to be let in before strangers.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = &PeerKey> {
        self.book.preferred()
    }

    /// A person, or a ticket, names an address: it is tried at once and kept.
    pub(crate) fn given(
        &mut self,
        address: &Multiaddr,
        source: Source,
        now: Instant,
    ) -> Result<(), AddressError> {
        let (address, peer) = split_peer(address);
        let place = Place { address: address.clone(), source };
        self.changed = true;
        let Some(peer) = peer else {
            self.book.learn_stray(place)?;
            self.schedule.want(Target::Stray(address.clone()), now, now, Why::Given);
            return Ok(());
        };
        if peer == self.us {
            return Ok(());
        }
        if !is_dialable(&address) {
            return Err(AddressError::NotDialable(address));
        }
        self.learn(peer, place, now);
        if !self.linked.contains_key(&peer) {
            // Whoever asks by name knows better than an earlier verdict.
            self.schedule.unwant(&Target::Peer(peer));
            self.schedule.want(Target::Peer(peer), now, now, Why::Given);
        }
        Ok(())
    }

    /// mDNS or a rendezvous file says where `peer` is now.
    pub(crate) fn found(&mut self, peer: PeerKey, addresses: &[Multiaddr], source: Source, now: Instant) {
        if peer == self.us {
            return;
        }
        if source == Source::Rendezvous {
            self.book.retain_rendezvous(&peer, addresses);
        }
        for address in addresses {
            // Only what this host says of itself may be a loopback address.
            if source == Source::Rendezvous || !is_loopback(address) {
                self.learn(peer, Place { address: address.clone(), source }, now);
            }
        }
        if !self.linked.contains_key(&peer) && self.book.get(&peer).is_some() {
            self.schedule.want(Target::Peer(peer), now, now + yield_time(&self.us, &peer), Why::Found);
        }
    }

    /// `peer`, with whom there is a stream, says where it listens.
    pub(crate) fn told(&mut self, peer: PeerKey, addresses: Vec<Multiaddr>, now: Instant) {
        for address in addresses {
            let (address, named) = split_peer(&address);
            if named.is_none_or(|named| named == peer) {
                self.learn(peer, Place { address, source: Source::Inbound }, now);
            }
        }
    }

    fn learn(&mut self, peer: PeerKey, place: Place, now: Instant) {
        let linked = &self.linked;
        let is_news = self.book.learn(peer, place, &|peer| linked.contains_key(peer));
        self.changed |= is_news;
        if is_news && linked.get(&peer).is_some_and(|link| link.relayed) {
            self.schedule.want(Target::Direct(peer), now, now + yield_time(&self.us, &peer), Why::Given);
        }
    }

    /// Dials that are due; each must be started, or its end reported.
    /// `is_busy` tells whether a connection to the peer, if so a direct one, is being made a link.
    pub(crate) fn due(&mut self, now: Instant, is_busy: impl Fn(&PeerKey, bool) -> bool) -> Vec<DialOpts> {
        let room = DIALS_MAX.saturating_sub(self.attempts.len());
        let mut dials = Vec::new();
        let calm = self.linked.len() >= LINKS_CALM;
        for target in self.schedule.due(now, room, calm) {
            let dial = match &target {
                Target::Peer(peer) if is_busy(peer, false) => None,
                Target::Peer(peer) => {
                    let circuits = self.circuits_to(peer, now);
                    self.dial_peer(peer, circuits)
                }
                Target::Direct(peer) if is_busy(peer, true) => None,
                Target::Direct(peer) => {
                    dials.extend(self.circuit_again(peer, now));
                    self.dial_peer(peer, Vec::new())
                }
                Target::Stray(address) => {
                    Some(DialOpts::unknown_peer_id().address(address.clone()).allocate_new_port().build())
                }
            };
            match dial {
                Some(dial) => {
                    self.attempts.insert(dial.connection_id(), target);
                    dials.push(dial);
                }
                None => self.schedule.attempt_ended(&target),
            }
        }
        dials
    }

    /// A dial of the peer's direct addresses and of these circuits at once; `None` where there is none to dial.
    fn dial_peer(&mut self, peer: &PeerKey, circuits: Vec<Multiaddr>) -> Option<DialOpts> {
        let (Some(id), Some(entry)) = (peer_id(peer), self.book.get(peer)) else {
            self.schedule.unwant(&Target::Peer(*peer));
            self.schedule.unwant(&Target::Direct(*peer));
            return None;
        };
        let may_dial = |place: &&Place| match road(&place.address) {
            Some(Road::Tcp | Road::Quic) => {
                self.wan || !(place.source == Source::Relay || is_beyond_lan(&place.address))
            }
            Some(Road::Circuit) | None => false,
        };
        let places = entry.places.iter().filter(may_dial).filter(|place| may_look_up(entry, place));
        let is_relay = entry.places.iter().any(|place| place.source == Source::Relay);
        let direct = places.map(|place| &place.address).filter(|address| !self.listening.contains(*address));
        let addresses: Vec<_> = direct.cloned().chain(circuits).collect();
        if addresses.is_empty() {
            return None;
        }
        let dial = DialOpts::peer_id(id).condition(PeerCondition::Always).addresses(addresses);
        // Dialling from the listening port could meet the peer's own dial half-way, and neither would be the server. A
        // relay has to see that port all the same, to tell others how to get through our router.
        Some(if is_relay { dial.build() } else { dial.allocate_new_port().build() })
    }

    /// A dial of another circuit to `peer`, with whom there is one already: it becomes no link, but hole punching begins only with a
    /// circuit, and goes by what was known then. `None` while that may still be under way, and where it is the peer's to do.
    fn circuit_again(&mut self, peer: &PeerKey, now: Instant) -> Option<DialOpts> {
        let since = self.linked.get(peer).filter(|link| link.relayed)?.since;
        if self.us > *peer || now.saturating_duration_since(since) < PUNCHING {
            return None;
        }
        let circuits = self.circuits_to(peer, now);
        let dial = DialOpts::peer_id(peer_id(peer)?).condition(PeerCondition::Always);
        (!circuits.is_empty()).then(|| dial.addresses(circuits).build())
    }

    /// The circuits by which to try `peer` now: those it told us of, and where we know it well, those through our own relays,
    /// where it may have a place, too. Not at every attempt: relays count how often they are asked.
    fn circuits_to(&mut self, peer: &PeerKey, now: Instant) -> Vec<Multiaddr> {
        let asked =
            self.asked.get(peer).is_some_and(|at| now.saturating_duration_since(*at) < ASK_RELAYS_AFTER);
        let Some(entry) = self.book.get(peer).filter(|_| self.wan && !asked) else { return Vec::new() };
        let told = entry.places.iter().filter(|place| may_look_up(entry, place)).map(|place| &place.address);
        let mut circuits: Vec<_> =
            told.filter(|address| road(address) == Some(Road::Circuit)).cloned().collect();
        if entry.preferred {
            let through = |(relay, entry): (&PeerKey, &Entry)| {
                let place = entry.places.iter().find(|place| place.source == Source::Relay)?;
                circuit(&place.address, relay)
            };
            circuits.extend(self.book.peers().filter(|(relay, _)| *relay != peer).filter_map(through));
        }
        circuits.sort_unstable();
        circuits.dedup();
        if !circuits.is_empty() {
            self.asked.retain(|_, at| now.saturating_duration_since(*at) < ASK_RELAYS_AFTER);
            self.asked.insert(*peer, now);
        }
        circuits
    }

    /// When [`Self::due`] has something new; `None` while a dial has to end first.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if self.attempts.len() < DIALS_MAX { self.schedule.wake_at() } else { None }
    }

    /// Whether this connection is a dial of ours, and not one of libp2p's own.
    pub(crate) fn began(&self, attempt: &ConnectionId) -> bool {
        self.attempts.contains_key(attempt)
    }

    /// A dial of ours reached `peer` at `address`: returns how it had been found.
    pub(crate) fn reached(
        &mut self,
        attempt: ConnectionId,
        peer: PeerKey,
        address: &Multiaddr,
        now: Instant,
    ) -> Source {
        let target = self.attempts.remove(&attempt);
        if let Some(target) = &target {
            self.schedule.attempt_ended(target);
        }
        if let Some(Target::Stray(stray)) = target {
            let source =
                self.book.strays().iter().find(|place| place.address == stray).map(|place| place.source);
            self.schedule.unwant(&Target::Stray(stray.clone()));
            self.book.drop_stray(&stray);
            let place = Place { address: stray, source: source.unwrap_or(Source::Added) };
            self.changed |= self.book.learn(peer, place, &|peer| self.linked.contains_key(peer));
            if !self.linked.contains_key(&peer) {
                // It may have no room for us now; a link ends this.
                self.schedule.want(Target::Peer(peer), now, now + AFTER_SHORT_LINK, Why::Given);
            }
        }
        let (address, _) = split_peer(address);
        self.book.get(&peer).map_or(Source::Added, |entry| {
            entry
                .places
                .iter()
                .find(|place| place.address == address)
                .map_or(entry.source, |place| place.source)
        })
    }

    /// How `peer`, who dialled us, was found before.
    pub(crate) fn source(&self, peer: &PeerKey) -> Source {
        self.book.get(peer).map_or(Source::Inbound, |entry| entry.source)
    }

    /// A dial of ours failed. Returns the peer whose rendezvous file may be a dead daemon's.
    pub(crate) fn failed(&mut self, attempt: ConnectionId, error: &DialError) -> Option<PeerKey> {
        let target = self.attempts.remove(&attempt)?;
        self.schedule.attempt_ended(&target);
        let peer = match target {
            Target::Peer(peer) | Target::Direct(peer) => peer,
            Target::Stray(address) => {
                if matches!(error, DialError::LocalPeerId { .. }) {
                    self.book.drop_stray(&address);
                    self.schedule.unwant(&Target::Stray(address));
                    self.changed = true;
                }
                return None;
            }
        };
        if let DialError::LocalPeerId { address } = error {
            self.book.drop_address(&peer, &split_peer(address).0);
        }
        if let DialError::WrongPeerId { obtained, address } = error {
            self.found_instead(&peer, peer_key(obtained), &split_peer(address).0);
        }
        if self.linked.contains_key(&peer) {
            // Another dial, or the peer's own, was quicker.
            return None;
        }
        let failure = describe(error);
        let entry = self.book.get(&peer)?;
        if entry.failure.as_ref() != Some(&failure) {
            self.book.failed(&peer, failure);
            self.changed = true;
        }
        let refused = matches!(error, DialError::Transport(errors) if errors.iter().all(|(_, error)| is_refused(error)));
        let rendezvous = |place: &Place| place.source == Source::Rendezvous;
        (refused && self.book.get(&peer)?.places.iter().any(rendezvous)).then_some(peer)
    }

    /// Somebody else is where `peer` was to be, and perhaps it is the same machine with a new key. Where the address was given, or one of
    /// the two was met, that key is wanted there from now on. The address goes from the one to the other, and so does the pace: who has
    /// another key for every dial is not given more often than before, and is dialled as rarely as who is not there.
    fn found_instead(&mut self, peer: &PeerKey, other: Option<PeerKey>, address: &Multiaddr) {
        let was_met = |peer: &PeerKey| self.book.get(peer).is_some_and(|entry| entry.met_ms.is_some());
        let was_met = was_met(peer) || other.is_some_and(|other| was_met(&other));
        let (place, other) = match (self.book.drop_address(peer, address), other) {
            (Some(place), Some(other)) if !self.linked.contains_key(peer) => (place, other),
            _ => return,
        };
        let may_have_new_key = match place.source {
            Source::Ticket | Source::Added => true,
            Source::Mdns | Source::Inbound => was_met,
            // These say themselves who is there now.
            Source::Rendezvous | Source::Relay => false,
        };
        if may_have_new_key {
            self.book.learn(other, place, &|peer| self.linked.contains_key(peer));
            self.changed = true;
            if !self.linked.contains_key(&other) {
                self.schedule.want_as(&Target::Peer(*peer), Target::Peer(other));
            }
        }
    }

    /// Prefers `peer` to strangers. Beyond the LAN its key is enough to look for it: a relay in common may know it.
    pub(crate) fn prefer(&mut self, peer: &PeerKey, now: Instant) {
        if self.wan && *peer != self.us {
            let linked = &self.linked;
            self.book.name(*peer, &|peer| linked.contains_key(peer));
        }
        let is_news = self.book.prefer(peer);
        self.changed |= is_news;
        if is_news && self.wan && !self.linked.contains_key(peer) {
            self.schedule.want(Target::Peer(*peer), now, now + yield_time(&self.us, peer), Why::Found);
        }
    }

    /// There is a link to `peer`, through a relay or not.
    pub(crate) fn linked(&mut self, peer: PeerKey, relayed: bool, found: Source, now: Instant, now_ms: u64) {
        self.linked.insert(peer, Linked { since: now, relayed });
        self.schedule.unwant(&Target::Peer(peer));
        if relayed {
            self.schedule.want(Target::Direct(peer), now, now + yield_time(&self.us, &peer), Why::Given);
        } else {
            self.schedule.unwant(&Target::Direct(peer));
        }
        let linked = &self.linked;
        self.book.met(peer, found, now_ms, &|peer| linked.contains_key(peer));
        self.changed = true;
    }

    /// Whether the link to `peer` goes through a relay.
    pub(crate) fn is_relayed(&self, peer: &PeerKey) -> bool {
        self.linked.get(peer).is_some_and(|link| link.relayed)
    }

    /// The link to `peer` is down.
    pub(crate) fn lost(&mut self, peer: PeerKey, now: Instant) {
        let link = self.linked.remove(&peer);
        let short = link.is_some_and(|link| now.saturating_duration_since(link.since) < SHORT_LINK);
        self.schedule.unwant(&Target::Direct(peer));
        self.changed = true;
        let spared = self.spared.remove(&peer);
        if spared.is_some_and(|at| now.saturating_duration_since(at) < SPARED_WITHIN) {
            return self.schedule.pause(Target::Peer(peer), Pause::Spared, now, now + SPARE_PAUSE);
        }
        if self.linked.len() < ROOM_LINKS_WANTED {
            self.schedule.end_spares(now);
        }
        let wait = if short { AFTER_SHORT_LINK } else { yield_time(&self.us, &peer) };
        self.schedule.want(Target::Peer(peer), now, now + wait, Why::Lost);
    }

    /// Our rooms can do without `peer`: where the link to it ends now, it is left alone for a while.
    pub(crate) fn spare(&mut self, peer: PeerKey, now: Instant) {
        self.spared.retain(|_, at| now.saturating_duration_since(*at) < SPARED_WITHIN);
        self.spared.insert(peer, now);
    }

    /// `peer` does not speak our protocol.
    pub(crate) fn foreign(&mut self, peer: PeerKey, now: Instant) {
        self.schedule.pause(Target::Peer(peer), Pause::Foreign, now, now + FOREIGN_PAUSE);
        self.book.failed(&peer, "it does not speak our protocol".into());
        self.changed = true;
    }

    /// We listen elsewhere now, so the network has changed, and who was out of reach may not be any more.
    pub(crate) fn listens(&mut self, addresses: &[Multiaddr], now: Instant) {
        self.listening = addresses.iter().cloned().collect();
        self.schedule.hurry(now);
    }

    /// Whether the book has changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The book as a file.
    pub(crate) fn book_json(&self) -> String {
        self.book.to_json()
    }

    /// Everybody the book knows.
    pub(crate) fn known_peers(&self) -> Vec<KnownPeer> {
        let known = self.book.peers().map(|(peer, entry)| KnownPeer {
            peer: *peer,
            connected: self.linked.contains_key(peer),
            relayed: self.is_relayed(peer),
            addresses: entry.places.iter().map(|place| place.address.clone()).collect(),
            source: entry.source,
            preferred: entry.preferred,
            failure: entry.failure.clone(),
        });
        known.collect()
    }
}

/// Whether the name in an address, if there is one, may be looked up: those of strangers could keep the resolver busy.
fn may_look_up(entry: &Entry, place: &Place) -> bool {
    let is_wanted = entry.preferred || place.source.was_given() || place.source == Source::Relay;
    is_wanted || !is_by_name(&place.address)
}

/// How long to let `peer` dial first.
fn yield_time(us: &PeerKey, peer: &PeerKey) -> Duration {
    if us < peer { Duration::ZERO } else { YIELD_TO_SMALLER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_dials_are_under_way_at_once() {
        let (us, now) = (PeerKey([1; 32]), Instant::now());
        let mut dialer = Dialer::new(us, false, Book::default(), 7, now);
        for port in 1..=DIALS_MAX + 1 {
            let address = format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap();
            dialer.given(&address, Source::Added, now).unwrap();
        }
        let dials = dialer.due(now, |_, _| false);
        assert_eq!(
            (dials.len(), dialer.due(now, |_, _| false).len(), dialer.wake_at()),
            (DIALS_MAX, 0, None)
        );
        dialer.failed(dials[0].connection_id(), &DialError::Aborted);
        assert_eq!(dialer.due(now, |_, _| false).len(), 1, "the one that waited");
    }

    fn id(seed: u8) -> libp2p::PeerId {
        libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap().public().to_peer_id()
    }

    /// Dials whoever is due first, before `until`, and finds another one there. Returns when that was.
    fn finds_instead(
        dialer: &mut Dialer,
        address: &Multiaddr,
        obtained: libp2p::PeerId,
        mut now: Instant,
        until: Instant,
    ) -> Option<Instant> {
        loop {
            let dials = dialer.due(now, |_, _| false);
            if let [dial] = &dials[..] {
                let error = DialError::WrongPeerId { obtained, address: address.clone() };
                dialer.failed(dial.connection_id(), &error);
                return Some(now);
            }
            now = dialer.wake_at().filter(|at| *at < until)?;
        }
    }

    #[test]
    fn who_has_another_key_is_wanted_where_he_was_met_or_given_and_nowhere_else() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let [old, new] = [2, 3].map(|seed| peer_key(&id(seed)).unwrap());
        let check = |source: Source, met: bool, is_wanted: bool| {
            let mut dialer = Dialer::new(PeerKey([1; 32]), false, Book::default(), 7, now);
            dialer.learn(old, Place { address: address.clone(), source }, now);
            if met {
                dialer.linked(old, false, source, now, 0);
                dialer.lost(old, now);
            }
            dialer.schedule.want(Target::Peer(old), now, now, Why::Found);
            finds_instead(&mut dialer, &address, id(3), now, now + hour).unwrap();
            assert!(dialer.book.get(&old).unwrap().places.is_empty(), "{source:?}");
            let places = dialer.book.get(&new).map(|entry| entry.places.clone()).unwrap_or_default();
            assert_eq!(places.iter().any(|place| place.source == source), is_wanted, "{source:?} {met}");
            let again = finds_instead(&mut dialer, &address, id(2), now, now + hour);
            assert_eq!(again.is_some(), is_wanted, "{source:?} {met}");
            assert_eq!(dialer.book.get(&old).unwrap().places.len(), usize::from(is_wanted), "he is back");
        };
        for met in [false, true] {
            check(Source::Added, met, true);
            check(Source::Ticket, met, true);
            check(Source::Mdns, met, met);
            check(Source::Inbound, met, met);
            check(Source::Rendezvous, met, false);
        }
    }

    #[test]
    fn who_has_another_key_for_every_dial_is_dialled_ever_more_rarely() {
        let start = Instant::now();
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let mut dialer = Dialer::new(PeerKey([1; 32]), false, Book::default(), 7, start);
        dialer.given(&address.clone().with_p2p(id(2)).unwrap(), Source::Added, start).unwrap();
        let (mut now, mut times, end) = (start, Vec::new(), start + Duration::from_secs(3600));
        for seed in (2..=250).cycle().skip(1) {
            let Some(at) = finds_instead(&mut dialer, &address, id(seed), now, end) else { break };
            times.push(at);
            now = at;
            assert_eq!(dialer.book.peers().filter(|(_, entry)| entry.was_given()).count(), 1);
        }
        assert!((100..250).contains(&times.len()), "{}", times.len());
        let late = times.iter().filter(|at| **at > start + Duration::from_secs(120));
        assert!(late.count() < 180, "twice a minute");
    }

    #[test]
    fn who_is_spared_is_left_alone_for_a_while_and_who_is_lost_is_not() {
        let id = id(2);
        let (us, peer, now) = (PeerKey([1; 32]), peer_key(&id).unwrap(), Instant::now());
        let check = |spared_after: Option<Duration>, lost_after: Duration, dials: usize| {
            let mut dialer = Dialer::new(us, false, Book::default(), 7, now);
            dialer.found(peer, &["/ip4/192.0.2.1/tcp/1".parse().unwrap()], Source::Mdns, now);
            dialer.linked(peer, false, Source::Mdns, now, 0);
            spared_after.into_iter().for_each(|after| dialer.spare(peer, now + after));
            dialer.lost(peer, now + lost_after);
            assert_eq!(dialer.due(now + lost_after + AFTER_SHORT_LINK, |_, _| false).len(), dials);
            dialer.found(peer, &[], Source::Mdns, now + lost_after);
            assert_eq!(dialer.due(now + lost_after + SPARE_PAUSE, |_, _| false).len(), 1);
        };
        check(None, Duration::ZERO, 1);
        check(Some(Duration::from_secs(60)), Duration::from_secs(61), 0);
        check(Some(Duration::ZERO), Duration::from_secs(60), 1);
    }

    #[test]
    fn who_was_spared_is_tried_again_where_there_are_few_others() {
        let key = |seed| peer_key(&id(seed)).unwrap();
        let now = Instant::now();
        let mut dialer = Dialer::new(PeerKey([1; 32]), false, Book::default(), 7, now);
        for seed in [2, 3] {
            dialer.found(key(seed), &["/ip4/192.0.2.1/tcp/1".parse().unwrap()], Source::Mdns, now);
            dialer.linked(key(seed), false, Source::Mdns, now, 0);
        }
        dialer.spare(key(2), now);
        dialer.lost(key(2), now);
        assert_eq!(dialer.due(now + AFTER_SHORT_LINK, |_, _| false).len(), 0);
        dialer.lost(key(3), now);
        assert_eq!(dialer.due(now + AFTER_SHORT_LINK, |_, _| false).len(), 2);
    }

    #[test]
    fn roads_beyond_the_lan_are_taken_where_that_is_wanted_and_relays_asked_not_too_often() {
        let key = |seed| peer_key(&id(seed)).unwrap();
        let now = Instant::now();
        let relay: Multiaddr = "/ip4/192.0.2.9/tcp/4001".parse().unwrap();
        let told: Multiaddr = format!("/ip4/192.0.2.8/tcp/1/p2p/{}/p2p-circuit", id(8)).parse().unwrap();
        for wan in [true, false] {
            let mut dialer = Dialer::new(key(1), wan, Book::default(), 7, now);
            let relays = if wan { vec![(key(9), &relay)] } else { Vec::new() };
            dialer.give_relays(relays.into_iter(), now);
            assert_eq!(dialer.circuits_to(&key(2), now), Vec::<Multiaddr>::new(), "nobody knows it");
            dialer.told(key(2), vec![told.clone()], now);
            let circuits = dialer.circuits_to(&key(2), now);
            assert_eq!(circuits, if wan { vec![told.clone()] } else { Vec::new() });
            assert_eq!(dialer.circuits_to(&key(2), now), Vec::<Multiaddr>::new(), "it was just asked for");
            dialer.prefer(&key(2), now);
            let later = dialer.circuits_to(&key(2), now + ASK_RELAYS_AFTER);
            let ours = circuit(&relay, &key(9)).unwrap();
            assert_eq!(later, if wan { vec![told.clone(), ours] } else { Vec::new() });
        }
    }

    #[test]
    fn names_are_looked_up_for_whom_somebody_wants() {
        let id = id(2);
        let (peer, now) = (peer_key(&id).unwrap(), Instant::now());
        let named: Multiaddr = "/dns/example.org/tcp/1".parse().unwrap();
        let through: Multiaddr = format!("/dns/example.org/tcp/1/p2p/{id}/p2p-circuit").parse().unwrap();
        let told = || {
            let mut dialer = Dialer::new(PeerKey([1; 32]), true, Book::default(), 7, now);
            dialer.told(peer, vec![named.clone(), through.clone()], now);
            dialer
        };
        let mut stranger = told();
        assert!(stranger.dial_peer(&peer, Vec::new()).is_none());
        assert_eq!(stranger.circuits_to(&peer, now), Vec::<Multiaddr>::new());
        let mut preferred = told();
        preferred.prefer(&peer, now);
        assert!(preferred.dial_peer(&peer, Vec::new()).is_some());
        assert_eq!(preferred.circuits_to(&peer, now).len(), 1);
        let mut given = told();
        given.given(&named.clone().with_p2p(id).unwrap(), Source::Added, now).unwrap();
        assert!(given.dial_peer(&peer, Vec::new()).is_some());
    }

    #[test]
    fn of_two_that_meet_through_a_relay_one_makes_another_circuit_now_and_then() {
        let mut keys = [2, 3].map(|seed| peer_key(&id(seed)).unwrap());
        keys.sort_unstable();
        let told: Multiaddr = format!("/ip4/192.0.2.8/tcp/1/p2p/{}/p2p-circuit", id(8)).parse().unwrap();
        let now = Instant::now();
        let circuits = |us: PeerKey, peer: PeerKey, relayed: bool, after: Duration| {
            let mut dialer = Dialer::new(us, true, Book::default(), 7, now);
            dialer.told(peer, vec![told.clone()], now);
            dialer.linked(peer, relayed, Source::Inbound, now, 0);
            dialer.due(now + after, |_, _| false).len()
        };
        let [small, large] = keys;
        assert_eq!(circuits(small, large, true, PUNCHING), 1);
        assert_eq!(circuits(small, large, true, PUNCHING / 2), 0, "one is under way");
        assert_eq!(circuits(large, small, true, PUNCHING), 0, "the other one does");
        assert_eq!(circuits(small, large, false, PUNCHING), 0, "there is a better link");
    }
}
