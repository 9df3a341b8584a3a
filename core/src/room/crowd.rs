//! The live lane of a room in which an author cannot send to everybody: a mesh of few neighbours, each of whom passes on what is new.
//!
//! A room of up to [`FULL_MESH_MAX`] connected peers is no crowd and has no mesh: the author sends to all. In a crowd each peer leans on a few
//! others, drawn by lot; who leans and who is leant on send each other whatever is new to them. Of each actor a peer needs one
//! neighbour that feeds it, and tells those that come later to spare it that actor. So a run takes a tree of its own through the mesh, and comes
//! to each peer about once, however many they are.
//!
//! All of it is a hint. Where it fails, be it that a neighbour passes nothing on, digests show what is missing: in a crowd they are told to a
//! few at a time, and to all once the room has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::{Keys, Link};
use crate::clock::VersionVector;
use crate::id::{Actor, PeerKey, RoomId};
use crate::limits::{FULL_MESH_MAX, MESH_LEANS, MESH_SPARED_MAX};
use crate::room::waiting::Early;
use crate::room::{Output, Room};
use crate::sync::frame::Digest;
use crate::sync::{Lane, LinkId, RoomFrame, Run};

/// Peers that are told the digest at a heartbeat whether or not the room is at rest, in turn: so what was lost is found however busy it is.
const DIGEST_TURN: usize = 2;

/// What a room knows of its crowd.
pub(super) struct Crowd {
    /// Connected peers up to which there is none.
    full_mesh_max: usize,
    leans: usize,
    /// Draws the lots; unknown to others, so that nobody can arrange to be leant on.
    salt: [u8; 32],
    /// Over which connection what is new of an actor came first.
    feeders: BTreeMap<Actor, LinkId>,
    /// Whose turn it was last to be told the digest.
    turn: LinkId,
    /// The digest a heartbeat ago.
    rest: Option<Digest>,
}

/// A connected peer's place in the crowd.
#[derive(Default)]
pub(super) struct Neighbour {
    /// Whether it leans on us.
    leans: bool,
    /// Whether we lean on it.
    is_leant_on: bool,
    /// Actors that others feed it.
    spared: BTreeSet<Actor>,
    /// Actors that it was told to spare us.
    declined: BTreeSet<Actor>,
    is_digest_due: bool,
    digest_told: Option<Digest>,
    /// Whether it was told what is held since the last heartbeat.
    is_told: bool,
    /// Whether it has told its digest since the last heartbeat.
    has_told_digest: bool,
}

impl Neighbour {
    /// Whether what is new goes both ways.
    pub(super) fn is_in_mesh(&self) -> bool {
        self.leans || self.is_leant_on
    }

    /// Whether it is to be passed on what is new of that actor.
    fn takes(&self, actor: &Actor) -> bool {
        self.is_in_mesh() && !self.spared.contains(actor)
    }

    /// Whether it is to be sent by its author what is new of him, in a crowd or not.
    pub(super) fn takes_from_author(&self, actor: &Actor, in_crowd: bool) -> bool {
        (self.is_in_mesh() || !in_crowd) && !self.spared.contains(actor)
    }

    /// What of `newest` we feed the peer.
    pub(super) fn fed(&self, newest: &VersionVector) -> impl Iterator<Item = (Actor, u64)> {
        newest.iter().filter(|(actor, _)| self.takes(actor))
    }

    /// The peer tells the digest of what it holds.
    pub(super) fn hear_digest(&mut self) {
        self.has_told_digest = true;
    }

    /// The peer is told what is held here.
    pub(super) fn tell(&mut self) {
        self.is_told = true;
    }
}

impl Crowd {
    /// That of a room and a machine with these keys.
    pub(super) fn new(room: &RoomId, keys: &dyn Keys) -> Self {
        // A signature that nobody ever sees is a secret.
        let secret = keys.sign(&Link(room.0));
        Self {
            full_mesh_max: FULL_MESH_MAX,
            leans: MESH_LEANS,
            salt: blake3::derive_key("rtc 2026 crowd lots v1", &secret.0),
            feeders: BTreeMap::new(),
            turn: LinkId(0),
            rest: None,
        }
    }

    /// The lot of a peer: those with the least are leant on.
    fn lot(&self, peer: &PeerKey) -> [u8; 32] {
        *blake3::keyed_hash(&self.salt, &peer.0).as_bytes()
    }
}

impl Room {
    /// Takes more than so many connected peers for a crowd, in which each leans on so many others.
    pub fn crowd_above(&mut self, peers: usize, leans: usize) {
        (self.crowd.full_mesh_max, self.crowd.leans) = (peers, leans);
    }

    pub(super) fn is_crowd(&self) -> bool {
        self.peers.len() > self.crowd.full_mesh_max
    }

    /// Whether a run came as a crowd's do: perhaps by several ways.
    pub(super) fn is_of_crowd(&self, Early { from, live, .. }: &Early) -> bool {
        *live && (self.is_crowd() || self.peers.get(from).is_some_and(|peer| peer.crowd.is_in_mesh()))
    }

    /// Peers have come or gone: leans on those whose lot it is now.
    pub(super) fn draw_lots(&mut self, out: &mut Vec<Output>) {
        let in_crowd = self.peers.iter().filter(|_| self.is_crowd());
        let mut lots: Vec<_> = in_crowd.map(|(&link, peer)| (self.crowd.lot(&peer.key), link)).collect();
        lots.sort_unstable();
        lots.truncate(self.crowd.leans);
        let drawn: BTreeSet<LinkId> = lots.into_iter().map(|(_, link)| link).collect();
        let mut changed = Vec::new();
        for (&link, peer) in &mut self.peers {
            let leans = drawn.contains(&link);
            if std::mem::replace(&mut peer.crowd.is_leant_on, leans) != leans {
                changed.push(link);
            }
        }
        changed.into_iter().for_each(|link| self.lean(link, out));
    }

    /// Says whether we lean on the peer, and that it is to spare us nothing; and what is held, from where on it is to send what is new.
    fn lean(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.crowd.declined.clear();
        let frame = RoomFrame::Lean { leans: peer.crowd.is_leant_on };
        out.push(Output::Send { link, lane: Lane::Live, frame });
        // Before it has told anything, it is about to be told.
        if peer.first.is_some() {
            self.send_vector(link, false, out);
        }
    }

    /// A peer leans on us, or not any more. It is spared nothing from then on.
    pub(super) fn hear_lean(&mut self, link: LinkId, leans: bool, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.crowd.leans = leans;
        peer.crowd.spared.clear();
        if leans && peer.first.is_some() && !peer.crowd.is_told {
            self.send_vector(link, false, out);
        }
    }

    /// Others feed that actor to the peer.
    pub(super) fn hear_spare(&mut self, link: LinkId, actor: Actor) {
        if let Some(peer) = self.peers.get_mut(&link)
            && peer.crowd.spared.len() < MESH_SPARED_MAX
        {
            peer.crowd.spared.insert(actor);
        }
    }

    /// A peer is gone: what it fed may come from any other now.
    pub(super) fn forget_feeder(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let fed = self.crowd.feeders.extract_if(.., |_, feeder| *feeder == link);
        let fed: BTreeSet<Actor> = fed.map(|(actor, _)| actor).collect();
        self.want_again(&fed, out);
    }

    /// Nobody feeds these actors any more: whoever was told to spare us one of them is not to.
    fn want_again(&mut self, fed: &BTreeSet<Actor>, out: &mut Vec<Output>) {
        let declined: Vec<LinkId> = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.crowd.declined.is_disjoint(fed))
            .map(|(&link, _)| link)
            .collect();
        declined.into_iter().for_each(|link| self.lean(link, out));
    }

    /// A run that came has just been applied: passes it on to neighbours that are not fed by others. Returns whom to tell that it is on the
    /// disk: of a crowd nobody but its author waits for that.
    pub(super) fn pass_on(&mut self, early: &Early, out: &mut Vec<Output>) -> Option<LinkId> {
        let Early { from, run, .. } = early;
        if !self.is_of_crowd(early) {
            if self.crowd.feeders.remove(&run.actor).is_some() {
                // Whoever was to feed it did not.
                self.want_again(&[run.actor].into(), out);
            }
            return Some(*from);
        }
        self.crowd.feeders.entry(run.actor).or_insert(*from);
        let (mut author, mut behind) = (None, Vec::new());
        for (&link, peer) in &mut self.peers {
            if peer.key == run.actor.key() {
                author = Some(link);
            } else if link == *from || !peer.crowd.takes(&run.actor) {
                continue;
            } else if peer.may_follow(run) {
                peer.follow(link, run, out);
            } else {
                peer.goal.raise(run.actor, run.last());
                behind.push(link);
            }
        }
        behind.into_iter().for_each(|link| self.pump(link, out));
        author
    }

    /// A run came by the crowd that is held already: unless it is this neighbour who feeds its actor, it need not.
    pub(super) fn decline(&mut self, link: LinkId, run: &Run, out: &mut Vec<Output>) {
        let feeder = *self.crowd.feeders.entry(run.actor).or_insert(link);
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.has(run.actor, run.last());
        let declined = &mut peer.crowd.declined;
        if feeder != link && declined.len() < MESH_SPARED_MAX && declined.insert(run.actor) {
            let frame = RoomFrame::Spare { actor: run.actor };
            out.push(Output::Send { link, lane: Lane::Live, frame });
        }
    }

    /// The digest to tell a peer with this heartbeat, if any.
    pub(crate) fn digest_for(&mut self, link: LinkId) -> Option<Digest> {
        let digest = self.log.digest();
        if !self.is_crowd() {
            return Some(digest);
        }
        let peer = &mut self.peers.get_mut(&link)?.crowd;
        std::mem::take(&mut peer.is_digest_due).then(|| *peer.digest_told.insert(digest))
    }

    /// A heartbeat has passed: whom to tell the digest next.
    pub(super) fn take_turns(&mut self) {
        for peer in self.peers.values_mut() {
            peer.crowd.is_told = false;
            peer.crowd.has_told_digest = false;
        }
        if !self.is_crowd() {
            return;
        }
        let digest = self.log.digest();
        let is_at_rest = self.crowd.rest.replace(digest) == Some(digest);
        for peer in self.peers.values_mut() {
            peer.crowd.is_digest_due |= is_at_rest && peer.crowd.digest_told != Some(digest);
        }
        for _ in 0..DIGEST_TURN {
            let next =
                self.peers.range(LinkId(self.crowd.turn.0 + 1)..).next().or(self.peers.first_key_value());
            let Some((&link, _)) = next else { return };
            self.crowd.turn = link;
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.crowd.is_digest_due = true;
            }
        }
    }

    /// A peer told what it holds: where that is more than is held here, it is told once in a heartbeat what is. Where neither is in a crowd
    /// both are told the other's digest, and so what it holds; who is in a crowd tells few its digest, also those who are in none.
    pub(super) fn answer_held(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&link) else { return };
        let is_told_otherwise = !self.is_crowd() && peer.crowd.has_told_digest;
        if is_told_otherwise || peer.crowd.is_told || self.read_only.is_some() {
            return;
        }
        if peer.told.iter().any(|(actor, seq)| self.log.head(&actor) < seq) {
            self.send_vector(link, false, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::{self, EditOp};
    use crate::chain::Ed25519;
    use crate::room::{Input, Opening};
    use crate::sync::Now;

    const LIAR: LinkId = LinkId(1);

    /// A room with so many peers, all of whom hold nothing.
    fn room(peers: u8) -> (Room, Vec<Output>) {
        let mut room = Room::open(Opening {
            room: RoomId([1; 32]),
            founding: None,
            keys: Arc::new(Ed25519::from_seed(&[1; 32])),
            epoch_fresh: 1,
            epoch_proof: None,
        });
        let mut out = Vec::new();
        for peer in 1..=peers {
            let link = LinkId(peer.into());
            room.handle(Input::PeerUp { link, peer: PeerKey([peer; 32]) }, Now::default(), &mut out);
            let held = VersionVector::default();
            hear(&mut room, link, RoomFrame::Vector { held, runs_taken: 0, exact: true }, &mut out);
        }
        (room, out)
    }

    fn hear(room: &mut Room, link: LinkId, frame: RoomFrame, out: &mut Vec<Output>) {
        room.handle(Input::Frame { link, frame }, Now::default(), out);
    }

    /// Whom an edit is sent to.
    fn told(room: &mut Room) -> BTreeSet<LinkId> {
        let mut out = Vec::new();
        let op = EditOp { otype: "node.insert".into(), key: "a".into(), ..EditOp::default() };
        let edit = api::Edit { ops: vec![op], ..api::Edit::default() };
        room.handle(Input::Edit { token: 1, edit }, Now::default(), &mut out);
        room.handle(Input::Flush, Now::default(), &mut out);
        let sends = out.iter().filter_map(|output| match output {
            Output::Send { link, frame: RoomFrame::Run { .. } | RoomFrame::Backlog { .. }, .. } => {
                Some(*link)
            }
            Output::Read { link, .. } => Some(*link),
            _ => None,
        });
        let told: BTreeSet<LinkId> = sends.collect();
        // What was read was not written yet, and is asked for again some day.
        told.iter().for_each(|&link| {
            room.handle(Input::Read { link, records: Vec::new() }, Now::default(), &mut Vec::new());
        });
        told
    }

    fn leans(out: &[Output]) -> usize {
        out.iter()
            .filter(|output| matches!(output, Output::Send { frame: RoomFrame::Lean { .. }, .. }))
            .count()
    }

    #[test]
    fn up_to_the_limit_an_author_tells_all_and_leans_on_nobody() {
        let most = u8::try_from(FULL_MESH_MAX).unwrap();
        let (mut full, out) = room(most);
        assert_eq!((told(&mut full).len(), leans(&out)), (FULL_MESH_MAX, 0));
        let (mut crowd, _) = room(most + 1);
        assert_eq!(told(&mut crowd).len(), MESH_LEANS);
        let mut out = Vec::new();
        crowd.handle(Input::PeerDown { link: LIAR }, Now::default(), &mut out);
        assert_eq!(told(&mut crowd).len(), FULL_MESH_MAX, "one less is no crowd any more");
    }

    #[test]
    fn who_leans_is_told_and_whom_it_spares_is_not() {
        let (mut room, mut out) = room(30);
        let before = told(&mut room);
        let leaning = (1..=30).map(LinkId).find(|link| !before.contains(link)).unwrap();
        hear(&mut room, leaning, RoomFrame::Lean { leans: true }, &mut out);
        assert!(told(&mut room).contains(&leaning));
        let actor = room.commits.actor().unwrap();
        hear(&mut room, leaning, RoomFrame::Spare { actor }, &mut out);
        assert!(!told(&mut room).contains(&leaning));
        hear(&mut room, leaning, RoomFrame::Lean { leans: true }, &mut out);
        assert!(told(&mut room).contains(&leaning), "it leans anew");
    }

    #[test]
    fn a_flood_of_leaning_and_sparing_takes_bounded_memory_and_changes_nothing_for_others() {
        let (mut room, mut out) = room(30);
        let before = told(&mut room);
        out.clear();
        for number in 0..3 * MESH_SPARED_MAX {
            let actor = Actor::from_name(&number.to_string());
            hear(&mut room, LIAR, RoomFrame::Spare { actor }, &mut out);
        }
        assert_eq!(room.peers[&LIAR].crowd.spared.len(), MESH_SPARED_MAX);
        for _ in 0..1_000 {
            hear(&mut room, LIAR, RoomFrame::Lean { leans: true }, &mut out);
        }
        assert!(
            out.len() <= 1 && room.peers[&LIAR].crowd.spared.is_empty(),
            "it is answered once a heartbeat"
        );
        let others =
            |told: BTreeSet<LinkId>| told.into_iter().filter(|link| *link != LIAR).collect::<Vec<_>>();
        assert_eq!(others(told(&mut room)), others(before));
    }
}
