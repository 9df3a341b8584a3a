//! A room out of memory, towards its peers: they hear of it what they would hear if it were awake, as long as nothing is new to either side.
//!
//! Whatever it cannot deal with from its [`Gist`] wakes it: the room is opened again, takes its peers over with [`Room::rouse`], and is
//! given what came meanwhile in the order in which it came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::VersionVector;
use crate::id::PeerKey;
use crate::limits::{CREDIT_BYTES, FULL_MESH_MAX};
use crate::presence::Show;
use crate::room::gist::Gist;
use crate::room::peer::Peer;
use crate::room::tally::Tally;
use crate::room::{Input, Output, Room};
use crate::sync::frame::Digest;
use crate::sync::{Lane, LinkId, Now, RoomFrame};

/// A room that sleeps.
pub struct Sleeper {
    gist: Gist,
    guests: BTreeMap<LinkId, Guest>,
    /// Members that left since: when, and what was on their disks then.
    left: Vec<(PeerKey, VersionVector, Now)>,
    /// When the keeper is to look after the room.
    look_at_us: Option<u64>,
    /// The epoch in which it numbers messages, and the last number.
    told: Option<(u64, u64)>,
    /// Whether something may be lost that was told before that.
    in_doubt: bool,
    met: BTreeSet<PeerKey>,
    /// The number of what was shown last: peers count on greater ones.
    shown: u64,
    tally: Tally,
}

/// A connected member. What it holds and was sent is what is held here, once it has told.
struct Guest {
    peer: Peer,
    /// Whether all of that is known to be on its disk.
    is_durable: bool,
}

impl Guest {
    fn of(mut peer: Peer, vector: Option<&VersionVector>) -> Self {
        let is_durable = vector == Some(&peer.durable);
        for held in [&mut peer.sent, &mut peer.told, &mut peer.goal] {
            *held = VersionVector::default();
        }
        if is_durable {
            peer.durable = VersionVector::default();
        }
        Self { peer, is_durable }
    }

    /// The peer again, which holds what is held here if it has told that.
    fn into_peer(self, vector: &VersionVector) -> Peer {
        let Self { mut peer, is_durable } = self;
        if peer.first.is_some() {
            for held in [&mut peer.sent, &mut peer.told, &mut peer.goal] {
                held.clone_from(vector);
            }
        }
        if is_durable {
            peer.durable.clone_from(vector);
        }
        peer
    }
}

impl Room {
    /// Whether every connected peer was last known to hold exactly what is held here, and nothing is on its way to it.
    pub fn is_in_sync_with_all(&mut self) -> bool {
        let digest = self.log.digest();
        self.peers.values().all(|peer| {
            let is_at_rest = peer.reading.is_none() && peer.survey.is_none();
            is_at_rest && peer.in_sync && peer.acked == Some(digest) && peer.first.is_some()
        })
    }

    /// Lets the room go from memory. `gist` is what it has given, and all of it is on the disk.
    pub fn fall_asleep(mut self, gist: Gist, now: Now, out: &mut Vec<Output>) -> Sleeper {
        self.remember_members(now, out);
        let vector = self.log.vector();
        let told = self.commits.actor().map(|actor| (actor.epoch(), self.log.head(&actor)));
        Sleeper {
            look_at_us: self.keeper_wakes_at(),
            told: told.or(self.epoch_proof),
            in_doubt: !self.has_proof(),
            met: self.keeper.take_met(),
            shown: self.shows.newest(),
            tally: self.take_tally(),
            guests: self
                .peers
                .into_iter()
                .map(|(link, peer)| (link, Guest::of(peer, Some(&vector))))
                .collect(),
            left: Vec::new(),
            gist,
        }
    }

    /// Takes over what was known of peers while the room, which was opened anew, slept.
    pub fn rouse(&mut self, sleeper: Sleeper, now: Now, out: &mut Vec<Output>) {
        let Sleeper { gist, guests, left, look_at_us, told: _, in_doubt, met, shown, tally } = sleeper;
        self.keeper.recall(met, look_at_us, in_doubt);
        for (key, durable, then) in left {
            self.keeper.meet(key, &durable, then);
        }
        self.shows.go_on_after(shown);
        self.tally.add(tally);
        if self.log.digest() != gist.digest {
            // What the disk has is not what it had: peers are told as if they had just come.
            for (link, guest) in guests {
                self.peer_up(link, guest.peer.key, now, out);
            }
            return;
        }
        let vector = self.log.vector();
        (self.settled, self.recent, self.settle_us) = (vector.clone(), vector.clone(), now.monotonic_us);
        self.witness.sight = Some(gist.sight());
        for (link, guest) in guests {
            let peer = guest.into_peer(&vector);
            self.shows.meet(link, peer.key);
            self.peers.insert(link, peer);
        }
    }
}

impl Sleeper {
    /// A room that sleeps since before this process began.
    pub fn new(gist: Gist, me: PeerKey) -> Self {
        Self {
            look_at_us: Room::keeper_first_look(gist.keeper, me, gist.messages),
            gist,
            guests: BTreeMap::new(),
            left: Vec::new(),
            told: None,
            in_doubt: false,
            met: BTreeSet::new(),
            shown: 0,
            tally: Tally::default(),
        }
    }

    /// What it is known by.
    pub fn gist(&self) -> &Gist {
        &self.gist
    }

    /// The hash of what is held.
    pub fn digest(&self) -> Digest {
        self.gist.digest
    }

    /// The epoch in which this process numbers messages of the room, and the last number given; nothing was lost since.
    pub fn told(&self) -> Option<(u64, u64)> {
        self.told
    }

    /// Connected peers that are members.
    pub fn peers_connected(&self) -> usize {
        self.guests.len()
    }

    /// Whether the peer was last known to hold the same messages.
    pub fn in_sync(&self, link: LinkId) -> bool {
        self.guests.get(&link).is_some_and(|guest| guest.peer.in_sync)
    }

    /// As [`Room::lag`] has it.
    pub fn lag(&self, now: Now) -> Duration {
        let apart = self.guests.values().map(|guest| &guest.peer).filter(|peer| !peer.in_sync);
        let longest_us = apart.map(|peer| now.monotonic_us.saturating_sub(peer.agreed_us)).max();
        Duration::from_micros(longest_us.unwrap_or(0))
    }

    /// What happened since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// When it has to be woken, on the monotonic clock.
    pub fn wake_at(&self) -> Option<u64> {
        self.look_at_us
    }

    /// Takes in what happened, or gives it back where the room has to be awake for it.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) -> Option<Input> {
        match input {
            Input::Wake if self.look_at_us.is_some_and(|at| at <= now.monotonic_us) => Some(input),
            Input::Wake | Input::Flush | Input::SessionGone { .. } | Input::Unshown { .. } => None,
            // A crowd stays awake.
            Input::PeerUp { link, peer }
                if self.gist.vector.is_some() && self.guests.len() < FULL_MESH_MAX =>
            {
                self.peer_up(link, peer, now, out);
                None
            }
            Input::PeerDown { link } => {
                if let Some(Guest { peer, is_durable }) = self.guests.remove(&link) {
                    let all = self.gist.vector.clone().filter(|_| is_durable);
                    self.left.retain(|(key, ..)| *key != peer.key);
                    self.left.push((peer.key, all.unwrap_or(peer.durable), now));
                }
                None
            }
            Input::Digest { link, digest } if digest == self.gist.digest => {
                self.agree(link, now, out);
                None
            }
            Input::Frame { link, frame } => {
                let guest = self.guests.get_mut(&link)?;
                if guest.hear(&frame, &self.gist, out, link) {
                    self.met.extend(guest.peer.synced.then_some(guest.peer.key));
                    return None;
                }
                Some(Input::Frame { link, frame })
            }
            Input::PeerUp { .. }
            | Input::Digest { .. }
            | Input::Edit { .. }
            | Input::Undo { .. }
            | Input::Govern { .. }
            | Input::Show { .. }
            | Input::Commit { .. }
            | Input::Unsent { .. }
            | Input::Missed { .. }
            | Input::Committed { .. }
            | Input::StoreFailed { .. }
            | Input::Read { .. } => Some(input),
        }
    }

    /// Tells a peer what [`Room`] would, and remembers that it was told.
    fn peer_up(&mut self, link: LinkId, key: PeerKey, now: Now, out: &mut Vec<Output>) {
        let mut peer = Peer::new(key, now);
        peer.tells = 1;
        self.tally.rounds += 1;
        self.guests.insert(link, Guest { peer, is_durable: false });
        let held = self.gist.vector.clone().unwrap_or_default();
        let mut frames = vec![
            RoomFrame::Founding { bytes: self.gist.founding.encode() },
            RoomFrame::Vector { held: held.clone(), runs_taken: 0, exact: true },
        ];
        if !held.is_empty() {
            frames.push(RoomFrame::Ack { durable: held });
        }
        out.extend(frames.into_iter().map(|frame| Output::Send { link, lane: Lane::Live, frame }));
    }

    /// A peer holds the same.
    fn agree(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(Guest { peer, .. }) = self.guests.get_mut(&link) else { return };
        (peer.in_sync, peer.agreed_us) = (true, now.monotonic_us);
        let before = peer.acked.replace(self.gist.digest);
        let is_owner = self.gist.keeper == peer.key;
        let mut send = |frame| out.push(Output::Send { link, lane: Lane::Live, frame });
        match self.gist.vector.clone() {
            Some(held) if is_owner && before != peer.acked && !held.is_empty() => {
                send(RoomFrame::Ack { durable: held });
            }
            None if before.is_none() || (is_owner && before != peer.acked) => {
                send(RoomFrame::Kept { digest: self.gist.digest });
            }
            Some(_) | None => {}
        }
        let sight = self.gist.sight();
        if peer.sight_told.replace(sight.basis) != Some(sight.basis) {
            send(RoomFrame::Sight(sight));
        }
    }
}

impl Guest {
    /// Takes in a frame that says nothing new of the room. Returns false for any other.
    fn hear(&mut self, frame: &RoomFrame, gist: &Gist, out: &mut Vec<Output>, link: LinkId) -> bool {
        let peer = &mut self.peer;
        match frame {
            RoomFrame::Founding { .. } => true,
            RoomFrame::Vector { held, runs_taken, exact } => {
                if gist.vector.as_ref() != Some(held) {
                    return false;
                }
                if peer.has_arrived(*runs_taken) || *exact {
                    peer.credit = CREDIT_BYTES as i64;
                }
                peer.first.get_or_insert_default();
                if !std::mem::replace(&mut peer.synced, true) {
                    out.push(Output::Synced { link });
                }
                true
            }
            RoomFrame::Ack { durable } => {
                let Some(vector) = &gist.vector else { return false };
                if !self.is_durable {
                    let known = durable.iter().filter(|(actor, _)| vector.get(actor) > 0);
                    known.for_each(|(actor, seq)| peer.durable.raise(actor, seq));
                    self.is_durable = vector.iter().all(|(actor, seq)| peer.durable.get(&actor) >= seq);
                }
                if self.is_durable {
                    peer.durable = VersionVector::default();
                }
                true
            }
            RoomFrame::Kept { digest } => {
                self.is_durable |= *digest == gist.digest;
                true
            }
            RoomFrame::Credit { bytes } => {
                peer.give_credit(*bytes);
                true
            }
            RoomFrame::Sight(sight) => {
                let ours = gist.sight();
                peer.sight = Some(*sight);
                // People have to be told.
                sight.basis != ours.basis || sight.state == ours.state
            }
            RoomFrame::Show { part, content, .. } => {
                Show::decode(*part, content).is_ok_and(|show| show.is_over())
            }
            RoomFrame::Run { .. }
            | RoomFrame::Backlog { .. }
            | RoomFrame::Horizon { .. }
            | RoomFrame::GroundWanted { .. }
            | RoomFrame::GroundPiece { .. }
            | RoomFrame::Ranges(_)
            | RoomFrame::RangesWanted { .. }
            | RoomFrame::RangesTold { .. }
            | RoomFrame::Links { .. }
            | RoomFrame::Fork { .. }
            | RoomFrame::Lean { .. }
            | RoomFrame::Spare { .. } => false,
        }
    }
}
