//! Whether who holds the same sees the same: what peers say that their messages show, compared with what these show here.
//!
//! What is shown is a function of the messages held. Where two replicas disagree, one of the programs is wrong, or one of the memories:
//! no message can mend that, so people are told.

use std::collections::BTreeMap;

use crate::id::{Dot, PeerKey, StateHash};
use crate::op::TABLE_VERSION;
use crate::room::peer::Peer;
use crate::room::{Output, Room};
use crate::sync::frame::{Digest, Sight};
use crate::sync::{Lane, LinkId, RoomFrame};

/// For each of so many live nodes a room has to be at rest for one more heartbeat before its scene is hashed: hashing them takes some
/// hundredths of that, however busy the room is.
const NODES_PER_BEAT: usize = 10_000;
/// Peers that see something else and are remembered, connected or not; one is enough to be told.
const DISAGREEING_MAX: usize = 16;

/// What a room knows of what is seen of its messages, here and elsewhere.
#[derive(Default)]
pub(super) struct Witness {
    /// What was held at the last heartbeat, and for how many nothing had changed by then.
    rest: (Digest, usize),
    /// What was seen here when the room was last at rest.
    pub(super) sight: Option<Sight>,
    /// Who saw something else of the same when it last told, and how that is told to people.
    disagreeing: BTreeMap<PeerKey, String>,
}

/// How what a peer sees compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Agreement {
    /// It sees the same of the same.
    Same,
    /// It sees something else of the same.
    Other(StateHash),
    /// It holds other messages, stands on another horizon, is of another version, or has not told yet.
    NotCompared,
}

impl Witness {
    /// What people should know.
    pub(super) fn alarm(&self) -> Option<&str> {
        self.disagreeing.values().next().map(String::as_str)
    }

    fn compare(&self, theirs: Option<Sight>) -> Agreement {
        match self.sight.zip(theirs) {
            Some((ours, theirs)) if ours.basis != theirs.basis => Agreement::NotCompared,
            Some((ours, theirs)) if ours.state == theirs.state => Agreement::Same,
            Some((_, theirs)) => Agreement::Other(theirs.state),
            None => Agreement::NotCompared,
        }
    }
}

impl Room {
    /// What is seen here of what is held, if the room has been at rest with its peers.
    pub fn seen(&mut self) -> Option<StateHash> {
        let basis = self.basis();
        self.witness.sight.filter(|sight| sight.basis == basis).map(|sight| sight.state)
    }

    /// How what each connected peer sees compares with what is seen here.
    pub fn agreements(&mut self) -> Vec<(PeerKey, Agreement)> {
        let is_current = self.seen().is_some();
        let compared = self.peers.values().map(|peer| match is_current {
            true => (peer.key, self.witness.compare(peer.sight)),
            false => (peer.key, Agreement::NotCompared),
        });
        compared.collect()
    }

    /// Looks at what is held, once it has come to rest, and tells those who hold the same. A heartbeat has passed.
    pub(super) fn look(&mut self, out: &mut Vec<Output>) {
        let basis = self.basis();
        let (before, rests) = self.witness.rest;
        let rests = if before == basis { rests + 1 } else { 0 };
        self.witness.rest = (basis, rests);
        if self.witness.sight.is_none_or(|sight| sight.basis != basis) {
            if rests <= self.replica.nodes_live() / NODES_PER_BEAT
                || self.peers.values().all(|peer| !peer.in_sync)
            {
                return;
            }
            self.witness.sight = Some(Sight { basis, state: self.replica.state_hash() });
            // Others may have been faster.
            self.peers
                .keys()
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|link| self.judge_sight(link, out));
        }
        let Some(sight) = self.witness.sight else { return };
        let is_crowd = self.is_crowd();
        let comparing = |peer: &Peer| peer.in_sync && (!is_crowd || peer.crowd.is_in_mesh());
        for (&link, peer) in self.peers.iter_mut().filter(|(_, peer)| comparing(peer)) {
            if peer.sight_told.replace(sight.basis) != Some(sight.basis) {
                out.push(Output::Send { link, lane: Lane::Live, frame: RoomFrame::Sight(sight) });
            }
        }
    }

    /// A peer told what it sees.
    pub(super) fn hear_sight(&mut self, link: LinkId, sight: Sight, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.sight = Some(sight);
            self.judge_sight(link, out);
        }
    }

    fn judge_sight(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&link) else { return };
        match self.witness.compare(peer.sight) {
            Agreement::Same => _ = self.witness.disagreeing.remove(&peer.key),
            Agreement::Other(theirs) if self.witness.disagreeing.len() < DISAGREEING_MAX => {
                let ours = self.witness.sight.map(|sight| sight.state.to_string()).unwrap_or_default();
                let text = format!(
                    "{} sees another scene of the same messages: {theirs}, here it is {ours}",
                    peer.key
                );
                if self.witness.disagreeing.insert(peer.key, text.clone()).is_none() {
                    out.push(Output::Alarm(text));
                }
            }
            Agreement::Other(_) | Agreement::NotCompared => {}
        }
    }

    /// What the scene is a function of: equal where the messages held, the horizon and the operation table are.
    fn basis(&mut self) -> Digest {
        basis_of(&self.log.digest(), self.horizon())
    }
}

/// What the scene of a room is a function of, from the digest of what it holds and the horizon that it stands on.
pub(super) fn basis_of(digest: &Digest, horizon: Option<Dot>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 sight basis v1");
    hasher.update(digest).update(&TABLE_VERSION.to_be_bytes());
    if let Some(horizon) = horizon {
        hasher.update(&horizon.actor.0).update(&horizon.seq.to_be_bytes());
    }
    let mut basis = [0; 16];
    basis.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    basis
}
