//! How connected peers stand to the room, for people: how much each lacks, and how far one message has come.

use std::collections::BTreeSet;

use crate::api::{Reach, Traced};
use crate::clock::VersionVector;
use crate::id::Dot;
use crate::room::Room;
use crate::room::peer::Peer;
use crate::sync::LinkId;

/// How a peer stands to the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// Messages here that it is not known to hold.
    pub behind: u64,
    /// Messages that it holds and that are not here.
    pub ahead: u64,
}

impl Room {
    /// How the peer of a connection stands to the room, as far as it has told; nothing where it is no member.
    pub fn beside(&self, link: LinkId) -> Option<Beside> {
        let peer = self.peers.get(&link)?;
        if peer.in_sync {
            return Some(Beside::default());
        }
        let here = self.log.vector();
        let missing = |of: &VersionVector, holds: &dyn Fn(&crate::id::Actor) -> u64| {
            of.iter().map(|(actor, seq)| seq.saturating_sub(holds(&actor).max(self.log.begin(&actor)))).sum()
        };
        Some(Beside {
            behind: missing(&here, &|actor| peer.told.get(actor).max(peer.durable.get(actor))),
            ahead: missing(&peer.told, &|actor| here.get(actor)),
        })
    }

    /// On how many peers' disks the message is.
    pub(super) fn peers_with(&self, dot: &Dot) -> usize {
        let with = self.peers.values().filter(|peer| peer.durable.covers(dot));
        with.map(|peer| peer.key).collect::<BTreeSet<_>>().len()
    }

    /// How far a message has come, peer by peer.
    pub fn trace(&self, dot: &Dot) -> Vec<Traced> {
        let reach = |peer: &Peer| {
            if peer.durable.covers(dot) {
                Reach::Durable
            } else if peer.in_sync || peer.told.covers(dot) {
                Reach::Held
            } else if peer.is_sent(dot) {
                Reach::Sent
            } else {
                Reach::Lacking
            }
        };
        let mut traced: Vec<Traced> =
            self.peers.values().map(|peer| Traced { peer: peer.key, reach: reach(peer) }).collect();
        // Of a peer on two connections the better news.
        traced.sort_by_key(|traced| (traced.peer, std::cmp::Reverse(traced.reach)));
        traced.dedup_by_key(|traced| traced.peer);
        traced
    }
}
