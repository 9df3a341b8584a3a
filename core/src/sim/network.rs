//! The network between simulated daemons: connections, cuts, and what becomes of a frame on its way.

use crate::limits::{BLOCK_BYTES_MAX, CREDIT_BYTES};
use crate::sim::universe::{Event, Universe};
use crate::switchboard::Input;
use crate::sync::frame::{is_about_room, is_heartbeat};
use crate::sync::{End as Side, Lane, LinkId};

/// How often two daemons that are not connected try it.
const REDIAL_MS: u64 = 200;
/// How much longer everything takes to and from a slow peer.
const SLOW_MS: u64 = 300;
/// Backlog under way over one connection: what credit allows, and what is read at once on top of that.
const BACKLOG_BYTES_MAX: usize = CREDIT_BYTES + BLOCK_BYTES_MAX;

/// All connections there ever were, and what is cut.
pub(super) struct Network {
    count: usize,
    ends: Vec<End>,
    /// Of each pair, the lesser first, the connection it has: the lesser's end.
    wires: Vec<Option<LinkId>>,
    /// From whom to whom nothing goes, and how often that was said.
    cuts: Vec<u32>,
    slow: Vec<bool>,
}

/// One side of a connection.
struct End {
    owner: usize,
    other: LinkId,
    is_open: bool,
    /// When the newest frame of each lane arrives here: later ones do not overtake it.
    arrivals: [u64; 2],
    /// Bytes of backlog under way from here.
    backlog_bytes: usize,
    /// What of the connection itself was said into a cut: a stream says it again until it gets there.
    held_up: Vec<(Lane, Vec<u8>)>,
}

impl Network {
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            ends: Vec::new(),
            wires: vec![None; count * count],
            cuts: vec![0; count * count],
            slow: vec![false; count],
        }
    }

    /// Every two peers, the lesser first.
    pub(super) fn pairs(&self) -> Vec<(usize, usize)> {
        (0..self.count).flat_map(|a| (a + 1..self.count).map(move |b| (a, b))).collect()
    }

    pub(super) fn set_slow(&mut self, peer: usize, is_slow: bool) {
        self.slow[peer] = is_slow;
    }

    pub(super) fn is_slow(&self, peer: usize) -> bool {
        self.slow[peer]
    }

    /// The ends that may send again what was held up.
    fn freed(&mut self) -> Vec<LinkId> {
        let ends =
            (0..).map(LinkId).zip(&self.ends).filter(|(_, end)| end.is_open && !end.held_up.is_empty());
        let ends: Vec<(LinkId, usize)> = ends.map(|(link, end)| (link, end.owner)).collect();
        let is_free = |&(link, from): &(LinkId, usize)| !self.is_cut(from, self.sender(link));
        ends.into_iter().filter(is_free).map(|(link, _)| link).collect()
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.count + to] > 0
    }

    /// A connection's end, by its number.
    fn end(&mut self, link: LinkId) -> &mut End {
        &mut self.ends[usize::try_from(link.0).expect("an index")]
    }

    /// Who is at the other end of a connection.
    pub(super) fn sender(&self, link: LinkId) -> usize {
        let other = |link: LinkId| &self.ends[usize::try_from(link.0).expect("an index")];
        other(other(link).other).owner
    }

    /// The connections that a peer takes for open, and who is at their other ends.
    pub(super) fn links_of(&self, peer: usize) -> Vec<(LinkId, usize)> {
        let links = (0..).map(LinkId).zip(&self.ends).filter(|(_, end)| end.is_open && end.owner == peer);
        links.map(|(link, _)| (link, self.sender(link))).collect()
    }

    fn wire(&mut self, a: usize, b: usize) -> &mut Option<LinkId> {
        &mut self.wires[a.min(b) * self.count + a.max(b)]
    }
}

impl Universe {
    /// Tries to connect two peers, and tries again for ever: daemons redial.
    pub(super) fn connect(&mut self, a: usize, b: usize) -> Result<(), String> {
        self.at_us(self.us + REDIAL_MS * 1000, Event::Connect { a, b });
        let is_there = |peer: usize| self.peers[peer].is_up() && self.peers[peer].paused_until <= self.us;
        let keys = [a, b].map(|peer| self.peers[peer].keys.public());
        let is_cut = self.network.is_cut(a, b) || self.network.is_cut(b, a);
        if !is_there(a) || !is_there(b) || is_cut || keys[0] == keys[1] || self.network.wire(a, b).is_some() {
            return Ok(());
        }
        self.note(|| format!("{a} and {b} are connected"));
        let first = self.network.ends.len() as u64;
        let links = [LinkId(first), LinkId(first + 1)];
        *self.network.wire(a, b) = Some(links[0]);
        for (owner, other) in [(a, links[1]), (b, links[0])] {
            let end =
                End { owner, other, is_open: true, arrivals: [0; 2], backlog_bytes: 0, held_up: Vec::new() };
            self.network.ends.push(end);
        }
        for (index, peer) in [a, b].into_iter().enumerate() {
            let (link, peer_key, random) = (links[index], keys[1 - index], self.random.bytes());
            let end = if index == 0 { Side::Dialled } else { Side::Listened };
            self.input(peer, Input::LinkUp { link, peer: peer_key, end, random })?;
        }
        Ok(())
    }

    pub(super) fn cut(&mut self, from: usize, to: usize) -> Result<(), String> {
        self.network.cuts[from * self.network.count + to] += 1;
        Ok(())
    }

    pub(super) fn heal(&mut self, from: usize, to: usize) -> Result<(), String> {
        let cuts = &mut self.network.cuts[from * self.network.count + to];
        *cuts = cuts.saturating_sub(1);
        self.send_held_up();
        Ok(())
    }

    /// Mends every cable.
    pub(super) fn mend(&mut self) {
        self.network.cuts.fill(0);
        self.network.slow.fill(false);
        self.send_held_up();
    }

    fn send_held_up(&mut self) {
        for link in self.network.freed() {
            for (lane, bytes) in std::mem::take(&mut self.network.end(link).held_up) {
                self.send(link, lane, bytes);
            }
        }
    }

    /// A connection ends at one side; the other learns it, unless nothing gets there.
    pub(super) fn unplug(&mut self, link: LinkId) {
        let end = self.network.end(link);
        let (from, other) = (end.owner, end.other);
        if !std::mem::replace(&mut end.is_open, false) {
            return;
        }
        let to = self.network.end(other).owner;
        let wire = self.network.wire(from, to);
        if wire.is_some_and(|wire| wire == link || wire == other) {
            *wire = None;
        }
        if self.network.end(other).is_open && !self.network.is_cut(from, to) {
            self.soon(1, Event::LinkDown { link: other });
        }
    }

    pub(super) fn link_down(&mut self, link: LinkId) -> Result<(), String> {
        let peer = self.network.end(link).owner;
        if self.put_off(peer, |link| Event::LinkDown { link }, link) {
            return Ok(());
        }
        self.network.end(link).is_open = false;
        self.input(peer, Input::LinkDown { link })
    }

    pub(super) fn send(&mut self, link: LinkId, lane: Lane, mut bytes: Vec<u8>) {
        let end = self.network.end(link);
        let (from, other) = (end.owner, end.other);
        let is_open = end.is_open;
        let to = self.network.end(other).owner;
        if !is_open || !self.network.end(other).is_open {
            return;
        }
        // What concerns the connection itself comes as a stream delivers it; rooms must bear worse.
        let hard = is_about_room(&bytes);
        if self.network.is_cut(from, to) {
            if !hard && !is_heartbeat(&bytes) {
                self.network.end(link).held_up.push((lane, bytes));
            }
            return;
        }
        let faults = self.faults.network;
        if hard && self.random.per_mille(faults.drop_per_mille) {
            return;
        }
        let is_twice = hard && self.random.per_mille(faults.duplicate_per_mille);
        let copy = is_twice.then(|| bytes.clone());
        if hard && self.random.per_mille(faults.flip_per_mille) {
            let bit = self.random.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let backlog_bytes = if lane == Lane::Bulk { bytes.len() } else { 0 };
        let end = self.network.end(link);
        end.backlog_bytes += backlog_bytes;
        self.peaks.backlog_bytes = self.peaks.backlog_bytes.max(end.backlog_bytes as u64);
        self.travel(other, lane, hard, bytes, backlog_bytes);
        if let Some(copy) = copy {
            self.travel(other, lane, hard, copy, 0);
        }
    }

    fn travel(&mut self, link: LinkId, lane: Lane, hard: bool, bytes: Vec<u8>, backlog_bytes: usize) {
        let faults = self.faults.network;
        let slow = [self.network.end(link).owner, self.network.sender(link)];
        let slow_ms = SLOW_MS * u64::from(slow.into_iter().any(|peer| self.network.is_slow(peer)));
        let delay_us = 100 + self.random.below((1 + faults.delay_ms_max + slow_ms) * 1000);
        let mut us = self.us + delay_us;
        if !(faults.reorder && hard) {
            let last = &mut self.network.end(link).arrivals[lane as usize];
            us = us.max(*last);
            *last = us;
        }
        self.at_us(us, Event::Deliver { link, bytes, backlog_bytes });
    }

    pub(super) fn deliver(
        &mut self,
        link: LinkId,
        bytes: Vec<u8>,
        backlog_bytes: usize,
    ) -> Result<(), String> {
        let end = self.network.end(link);
        let (peer, other, is_open) = (end.owner, end.other, end.is_open);
        if self.peers[peer].paused_until > self.us {
            self.at_us(self.peers[peer].paused_until, Event::Deliver { link, bytes, backlog_bytes });
            return Ok(());
        }
        let under_way = &mut self.network.end(other).backlog_bytes;
        if *under_way > BACKLOG_BYTES_MAX {
            return Err(format!("{under_way} bytes of backlog are under way to peer {peer}"));
        }
        *under_way -= backlog_bytes;
        if !is_open || !self.peers[peer].is_up() {
            return Ok(());
        }
        self.deliveries += 1;
        self.trace.add_bytes(&bytes);
        let from = self.network.sender(link);
        self.note(|| format!("{from} → {peer}: {} bytes, kind {:?}", bytes.len(), bytes.get(1)));
        self.input(peer, Input::Frame { link, bytes })?;
        self.check_bounds(peer)
    }
}
