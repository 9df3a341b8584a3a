//! Who is where: every peer ever met, added or just found, with its addresses by source. Bounded; pure.
//!
//! What mDNS found and nobody met lives in memory only; who was met or added stays until the book is full of better.

use std::collections::BTreeMap;

use libp2p::Multiaddr;
use rtc_core::id::PeerKey;
use serde::{Deserialize, Serialize};

use super::Source;
use super::address::is_dialable;
use super::limits::{BOOK_PEERS_MAX, BOOK_STRAYS_MAX, PEER_ADDRESSES_MAX};

/// The format of the file.
const VERSION: u32 = 1;

/// All known peers.
#[derive(Debug, Default)]
pub(crate) struct Book {
    peers: BTreeMap<PeerKey, Entry>,
    /// Addresses somebody gave without a key; they leave once a peer has answered there.
    strays: Vec<Place>,
}

/// What is known of one peer.
#[derive(Debug)]
pub(crate) struct Entry {
    /// How it was found first.
    pub(crate) source: Source,
    /// Where it is or was, the most trusted first.
    pub(crate) places: Vec<Place>,
    /// When there was a link last, in milliseconds since 1970.
    pub(crate) met_ms: Option<u64>,
    /// Whether it is worth more than any stranger.
    pub(crate) preferred: bool,
    /// Why the last dial failed, if it did.
    pub(crate) failure: Option<String>,
}

/// One address and where it came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Dialable, without `/p2p`.
    pub(crate) address: Multiaddr,
    /// Who said so.
    pub(crate) source: Source,
}

/// An address the book does not take.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// Not of the form we dial.
    #[error(
        "{0} is no address to dial: write /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT, with /p2p/PEER if known (through a relay, it has to be)"
    )]
    NotDialable(Multiaddr),
    /// Of a form that needs more than a LAN.
    #[error("{0} leads beyond the LAN, which needs the setting network = \"wan\"")]
    BeyondLan(Multiaddr),
    /// Too many addresses without a key.
    #[error("more than {BOOK_STRAYS_MAX} addresses wait for their peers to answer")]
    TooMany,
}

impl Book {
    /// What is known of `peer`.
    pub(crate) fn get(&self, peer: &PeerKey) -> Option<&Entry> {
        self.peers.get(peer)
    }

    /// All peers.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&PeerKey, &Entry)> {
        self.peers.iter()
    }

    /// Whom strangers cannot crowd out.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = &PeerKey> {
        self.peers().filter(|(_, entry)| entry.preferred).map(|(peer, _)| peer)
    }

    /// Addresses without a known peer.
    pub(crate) fn strays(&self) -> &[Place] {
        &self.strays
    }

    /// Learns that `peer` may be at `address`; true when that is news. `in_use` peers are never pushed out.
    pub(crate) fn learn(&mut self, peer: PeerKey, place: Place, in_use: &dyn Fn(&PeerKey) -> bool) -> bool {
        if !is_dialable(&place.address) {
            return false;
        }
        if !self.peers.contains_key(&peer) && !self.make_room(in_use) {
            return false;
        }
        let source = place.source;
        let entry = self.peers.entry(peer).or_insert_with(|| Entry::new(source));
        entry.learn(place)
    }

    /// Learns an address whose peer will show when it answers.
    pub(crate) fn learn_stray(&mut self, place: Place) -> Result<(), AddressError> {
        if !is_dialable(&place.address) {
            return Err(AddressError::NotDialable(place.address));
        }
        if self.strays.iter().any(|stray| stray.address == place.address) {
            return Ok(());
        }
        if self.strays.len() == BOOK_STRAYS_MAX {
            return Err(AddressError::TooMany);
        }
        self.strays.push(place);
        Ok(())
    }

    /// A peer answered at a stray's address, or it turned out to be our own.
    pub(crate) fn drop_stray(&mut self, address: &Multiaddr) {
        self.strays.retain(|stray| stray.address != *address);
    }

    /// There is a link to `peer`; `found` is how, where the book does not know it yet.
    pub(crate) fn met(
        &mut self,
        peer: PeerKey,
        found: Source,
        now_ms: u64,
        in_use: &dyn Fn(&PeerKey) -> bool,
    ) {
        if self.peers.contains_key(&peer) || self.make_room(in_use) {
            let entry = self.peers.entry(peer).or_insert_with(|| Entry::new(found));
            entry.met_ms = Some(now_ms);
            entry.failure = None;
        }
    }

    /// Knows `peer` by its key, if by nothing else.
    pub(crate) fn name(&mut self, peer: PeerKey, in_use: &dyn Fn(&PeerKey) -> bool) {
        if !self.peers.contains_key(&peer) && self.make_room(in_use) {
            self.peers.insert(peer, Entry::new(Source::Ticket));
        }
    }

    /// Prefers `peer` to strangers; true when that is news.
    pub(crate) fn prefer(&mut self, peer: &PeerKey) -> bool {
        self.peers.get_mut(peer).is_some_and(|entry| !std::mem::replace(&mut entry.preferred, true))
    }

    /// The last dial of `peer` failed.
    pub(crate) fn failed(&mut self, peer: &PeerKey, failure: String) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failure = Some(failure);
        }
    }

    /// Somebody else is at `address`, or it is our own: gives back what was known of it.
    pub(crate) fn drop_address(&mut self, peer: &PeerKey, address: &Multiaddr) -> Option<Place> {
        let places = &mut self.peers.get_mut(peer)?.places;
        let nth = places.iter().position(|place| place.address == *address)?;
        Some(places.remove(nth))
    }

    /// A rendezvous file is the whole truth of its daemon: forgets rendezvous addresses of `peer` it no longer names.
    pub(crate) fn retain_rendezvous(&mut self, peer: &PeerKey, addresses: &[Multiaddr]) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry
                .places
                .retain(|place| place.source != Source::Rendezvous || addresses.contains(&place.address));
        }
    }

    /// Makes room for one more peer; false when all are worth keeping.
    fn make_room(&mut self, in_use: &dyn Fn(&PeerKey) -> bool) -> bool {
        if self.peers.len() < BOOK_PEERS_MAX {
            return true;
        }
        let least = self
            .peers
            .iter()
            .filter(|(peer, entry)| !in_use(peer) && !entry.was_given())
            .min_by_key(|(_, entry)| (entry.preferred, entry.met_ms))
            .map(|(peer, _)| *peer);
        least.is_some_and(|peer| self.peers.remove(&peer).is_some())
    }
}

impl Entry {
    fn new(source: Source) -> Self {
        Self { source, places: Vec::new(), met_ms: None, preferred: false, failure: None }
    }

    /// Whether somebody asked for this peer by name.
    pub(crate) fn was_given(&self) -> bool {
        self.places.iter().any(|place| place.source.was_given())
    }

    /// Whether the peer outlives the daemon.
    fn is_lasting(&self) -> bool {
        self.met_ms.is_some() || self.preferred || self.was_given()
    }

    fn learn(&mut self, place: Place) -> bool {
        if let Some(known) = self.places.iter_mut().find(|known| known.address == place.address) {
            // What a person said outlives what the network says, and what was found, what the peer itself repeats.
            if !known.source.was_given() && place.source != Source::Inbound {
                known.source = place.source;
            }
            return false;
        }
        if self.places.len() == PEER_ADDRESSES_MAX {
            let Some(oldest) = self.places.iter().rposition(|known| !known.source.was_given()) else {
                return false;
            };
            self.places.remove(oldest);
        }
        self.places.insert(0, place);
        true
    }
}

/// The book as a file.
#[derive(Debug, Serialize, Deserialize)]
struct BookFile {
    version: u32,
    peers: Vec<PeerLine>,
    #[serde(default)]
    addresses: Vec<PlaceLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PeerLine {
    peer: PeerKey,
    source: Source,
    met_ms: Option<u64>,
    #[serde(default)]
    preferred: bool,
    addresses: Vec<PlaceLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlaceLine {
    address: String,
    source: Source,
}

/// A file that is no address book of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    /// Not the JSON we write.
    #[error("the address book is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Of a later daemon.
    #[error("the address book has version {0}, this daemon reads {VERSION}")]
    Version(u32),
}

impl Book {
    /// The file's content. Addresses that hold only here and now (rendezvous), or that the settings repeat (relays), stay
    /// out of it.
    pub(crate) fn to_json(&self) -> String {
        let peers = self.peers.iter().filter(|(_, entry)| entry.is_lasting());
        let peers = peers.map(|(peer, entry)| PeerLine {
            peer: *peer,
            source: entry.source,
            met_ms: entry.met_ms,
            preferred: entry.preferred,
            addresses: lines(&entry.places),
        });
        let file = BookFile { version: VERSION, peers: peers.collect(), addresses: lines(&self.strays) };
        serde_json::to_string_pretty(&file).expect("plain structs with string keys are always JSON")
    }

    /// Reads a file's content; single addresses that make no sense are left out, limits hold as ever.
    pub(crate) fn from_json(text: &str) -> Result<Self, BookError> {
        let file: BookFile = serde_json::from_str(text)?;
        if file.version != VERSION {
            return Err(BookError::Version(file.version));
        }
        let mut book = Self::default();
        for line in file.peers {
            for place in line.addresses.iter().rev().filter_map(PlaceLine::parse) {
                book.learn(line.peer, place, &|_| false);
            }
            if book.peers.contains_key(&line.peer) || book.make_room(&|_| false) {
                let entry = book.peers.entry(line.peer).or_insert_with(|| Entry::new(line.source));
                entry.source = line.source;
                entry.met_ms = line.met_ms;
                entry.preferred = line.preferred;
            }
        }
        for place in file.addresses.iter().filter_map(PlaceLine::parse) {
            // A stray too many was one too many when it was written.
            let _ = book.learn_stray(place);
        }
        Ok(book)
    }
}

fn lines(places: &[Place]) -> Vec<PlaceLine> {
    let lasting = places.iter().filter(|place| !matches!(place.source, Source::Rendezvous | Source::Relay));
    let line = |place: &Place| PlaceLine { address: place.address.to_string(), source: place.source };
    lasting.map(line).collect()
}

impl PlaceLine {
    fn parse(&self) -> Option<Place> {
        Some(Place { address: self.address.parse().ok()?, source: self.source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> PeerKey {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(number as u64).to_be_bytes());
        PeerKey(key)
    }

    fn place(port: usize, source: Source) -> Place {
        Place { address: format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap(), source }
    }

    fn idle(_: &PeerKey) -> bool {
        false
    }

    #[test]
    fn who_was_met_or_given_outlives_the_daemon_and_who_was_only_found_does_not() {
        let mut book = Book::default();
        book.learn(key(1), place(1, Source::Mdns), &idle);
        book.learn(key(2), place(2, Source::Mdns), &idle);
        book.learn(key(2), place(9, Source::Rendezvous), &idle);
        book.met(key(2), Source::Mdns, 7, &idle);
        book.learn(key(3), place(3, Source::Ticket), &idle);
        book.learn_stray(place(4, Source::Added)).unwrap();
        let again = Book::from_json(&book.to_json()).unwrap();
        assert!(again.get(&key(1)).is_none());
        let met = again.get(&key(2)).unwrap();
        assert_eq!((met.met_ms, met.places.as_slice()), (Some(7), &[place(2, Source::Mdns)][..]));
        assert_eq!(again.get(&key(3)).unwrap().places, [place(3, Source::Ticket)]);
        assert_eq!(again.strays(), [place(4, Source::Added)]);
        assert_eq!(again.to_json(), book.to_json());
    }

    #[test]
    fn a_full_book_pushes_out_strangers_first_and_never_the_given_or_used() {
        let mut book = Book::default();
        book.learn(key(0), place(1, Source::Added), &idle);
        for number in 1..BOOK_PEERS_MAX {
            book.learn(key(number), place(1, Source::Mdns), &idle);
            if number > 2 {
                book.met(key(number), Source::Mdns, number as u64, &idle);
            }
        }
        assert!(book.prefer(&key(2)) && !book.prefer(&key(2)), "news once");
        let uses_1 = |peer: &PeerKey| *peer == key(1);
        assert!(book.learn(key(5000), place(1, Source::Mdns), &uses_1));
        assert!(book.get(&key(0)).is_some() && book.get(&key(1)).is_some() && book.get(&key(2)).is_some());
        assert!(book.get(&key(3)).is_none(), "the one met longest ago goes");
        assert_eq!(book.peers().count(), BOOK_PEERS_MAX);
    }

    #[test]
    fn too_many_addresses_of_nobody_are_refused() {
        let mut book = Book::default();
        for port in 1..=BOOK_STRAYS_MAX {
            book.learn_stray(place(port, Source::Added)).unwrap();
        }
        let said = book.learn_stray(place(9_999, Source::Added)).unwrap_err();
        assert!(said.to_string().contains(&format!("more than {BOOK_STRAYS_MAX} addresses")), "{said}");
        book.learn_stray(place(1, Source::Added)).expect("it is there already");
    }

    #[test]
    fn a_peer_with_many_addresses_keeps_the_given_and_the_newest() {
        let mut book = Book::default();
        book.learn(key(1), place(1, Source::Added), &idle);
        for port in 2..100 {
            assert!(book.learn(key(1), place(port, Source::Inbound), &idle));
        }
        let places = &book.get(&key(1)).unwrap().places;
        assert_eq!(places.len(), PEER_ADDRESSES_MAX);
        assert!(places.contains(&place(1, Source::Added)) && places.contains(&place(99, Source::Inbound)));
    }

    #[test]
    fn damage_and_later_versions_are_told() {
        assert!(matches!(Book::from_json("{"), Err(BookError::Damaged(_))));
        let later = r#"{"version": 2, "peers": []}"#;
        assert!(matches!(Book::from_json(later), Err(BookError::Version(2))));
        let odd = r#"{"version": 1, "peers": [], "addresses": [{"address": "x", "source": "added"}]}"#;
        assert_eq!(Book::from_json(odd).unwrap().strays(), []);
    }
}
