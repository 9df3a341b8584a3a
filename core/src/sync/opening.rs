//! Which rooms both ends of a connection are in, said to nobody who is not.
//!
//! Who dialled opens its rooms, among as many openings that mean nothing as hide how many they are. Who listens answers those it
//! recognises with the like, and says nothing else: whoever knows no secret of its rooms learns neither that it has some nor
//! that it has none. An opening is a tag and a proof that nobody without the room's secret can make, tell apart or replay: both are
//! bound to this connection's nonces and keys.

use std::collections::BTreeMap;

use crate::id::{PeerKey, RoomId};
use crate::limits::{LINK_OPENINGS_MIN, LINK_ROOMS_MAX};
use crate::sync::LinkFrame;
use crate::sync::frame::Claim;
use crate::sync::link::LinkError;
use crate::ticket::Secret;

/// Names a secret on one connection, alike from both sides.
pub(super) type Tag = [u8; 16];

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Ours is the one that dialled: it opens rooms.
    Dialled,
    /// Ours is the one that was dialled: it answers.
    Listened,
}

/// What two ends have said of rooms to each other.
pub(super) struct Openings {
    sides: Sides,
    end: End,
    /// Makes the openings that mean nothing.
    chaff: [u8; 32],
    /// Ours, each with whatever proves that we belong to it.
    rooms: BTreeMap<RoomId, Vec<Secret>>,
    /// The same by what it is called on this connection, once the peer has said hello.
    known: BTreeMap<Tag, Known>,
    /// Our numbers of rooms both are in; one is never used again.
    channels: BTreeMap<RoomId, u64>,
    channel_next: u64,
    /// How many openings of ours the peer keeps, those that mean nothing among them.
    sent: usize,
    /// What the peer has opened, whether or not we know the room (yet).
    opened: BTreeMap<u64, Opened>,
}

/// The two ends of a connection, as proofs are bound to them.
pub(super) struct Sides {
    me: PeerKey,
    nonce: [u8; 32],
    peer: PeerKey,
    peer_nonce: Option<[u8; 32]>,
}

/// What proves that we belong to a room.
struct Known {
    room: RoomId,
    secret: Secret,
    /// The channel on which we have offered it.
    offered: Option<u64>,
}

/// A room as the peer has opened it.
struct Opened {
    tag: Tag,
    proof: [u8; 32],
    room: Option<RoomId>,
}

impl Openings {
    /// Nothing said yet; `random` is used for no other connection.
    pub(super) fn new(me: PeerKey, peer: PeerKey, end: End, random: [u8; 32]) -> Self {
        let derived = |what: &[u8]| *blake3::keyed_hash(&random, what).as_bytes();
        Self {
            sides: Sides { me, nonce: derived(b"nonce"), peer, peer_nonce: None },
            end,
            chaff: derived(b"chaff"),
            rooms: BTreeMap::new(),
            known: BTreeMap::new(),
            channels: BTreeMap::new(),
            channel_next: 1,
            sent: 0,
            opened: BTreeMap::new(),
        }
    }

    /// The two ends.
    pub(super) fn sides(&self) -> &Sides {
        &self.sides
    }

    /// The peer's first word: from now on rooms can be opened.
    pub(super) fn hear_hello(&mut self, nonce: [u8; 32], out: &mut Vec<LinkFrame>) {
        self.sides.peer_nonce = Some(nonce);
        for room in self.rooms.keys().copied().collect::<Vec<_>>() {
            self.know(room);
        }
        self.offer_all(out);
    }

    /// We are in `room`, as each of `secrets` proves; whatever proved it before does not any more. Returns whether the peer turns out to be
    /// in it as well, which it was not known to be.
    pub(super) fn add_room(&mut self, room: RoomId, secrets: Vec<Secret>, out: &mut Vec<LinkFrame>) -> bool {
        if self.rooms.get(&room) == Some(&secrets) {
            return false;
        }
        self.known.retain(|_, known| known.room != room || secrets.contains(&known.secret));
        self.rooms.insert(room, secrets);
        self.know(room);
        if self.channels.contains_key(&room) {
            return false;
        }
        let waiting = self.opened.iter().filter(|(_, opened)| opened.room.is_none());
        let waiting: Vec<u64> = waiting.map(|(&channel, _)| channel).collect();
        let shared = waiting.into_iter().any(|channel| self.recognise(channel, out) == Some(room));
        if !shared {
            self.offer_all(out);
        }
        shared
    }

    /// We are not in `room` any more, or not with this peer.
    pub(super) fn remove_room(&mut self, room: &RoomId, out: &mut Vec<LinkFrame>) {
        self.rooms.remove(room);
        let opened = self.opened.values_mut().filter(|opened| opened.room == Some(*room));
        opened.for_each(|opened| opened.room = None);
        let mut closed: Vec<u64> = self.channels.remove(room).into_iter().collect();
        self.known.retain(|_, known| {
            let stays = known.room != *room;
            closed.extend(known.offered.filter(|channel| !stays && !closed.contains(channel)));
            stays
        });
        closed.into_iter().for_each(|channel| self.close(channel, out));
    }

    /// The peer has opened something. Gives the room that both turn out to be in.
    pub(super) fn hear_open(
        &mut self,
        channel: u64,
        tag: Tag,
        proof: [u8; 32],
        out: &mut Vec<LinkFrame>,
    ) -> Result<Option<RoomId>, LinkError> {
        if self.opened.len() >= LINK_ROOMS_MAX || self.opened.contains_key(&channel) {
            return Err(LinkError::Rooms);
        }
        self.opened.insert(channel, Opened { tag, proof, room: None });
        Ok(self.recognise(channel, out))
    }

    /// The peer has closed what it opened. Gives the room that both were in.
    pub(super) fn hear_close(&mut self, channel: u64, out: &mut Vec<LinkFrame>) -> Option<RoomId> {
        let room = self.opened.remove(&channel)?.room?;
        let ours = self.channels.remove(&room)?;
        // What we offered stays so; what only answered the peer's opening goes with it.
        if !self.known.values().any(|known| known.offered == Some(ours)) {
            self.close(ours, out);
        }
        Some(room)
    }

    /// The room that the peer means by `channel`.
    pub(super) fn room(&self, channel: u64) -> Option<RoomId> {
        self.opened.get(&channel).and_then(|opened| opened.room)
    }

    /// By which number we speak of a room both are in.
    pub(super) fn channel(&self, room: &RoomId) -> Option<u64> {
        self.channels.get(room).copied()
    }

    /// Rooms both are in.
    pub(super) fn shared_rooms(&self) -> impl Iterator<Item = RoomId> + '_ {
        self.channels.keys().copied()
    }

    /// Finds out what the room's secrets are called on this connection.
    fn know(&mut self, room: RoomId) {
        let secrets = self.rooms.get(&room).into_iter().flatten();
        for &secret in secrets {
            let Some(tag) = self.sides.tag(&secret, Purpose::Room) else { return };
            self.known.entry(tag).or_insert(Known { room, secret, offered: None });
        }
    }

    /// Offers what was not offered yet, if that is our part. They go in the order of their tags, which tells nothing.
    fn offer_all(&mut self, out: &mut Vec<LinkFrame>) {
        if self.end != End::Dialled || self.sides.peer_nonce.is_none() {
            return;
        }
        let is_new = |known: &Known| known.offered.is_none() && !self.channels.contains_key(&known.room);
        let new = self.known.iter().filter(|(_, known)| is_new(known));
        let new =
            new.filter_map(|(tag, known)| Some((*tag, self.sides.proof(&known.secret, Purpose::Room)?)));
        let mut offers: Vec<_> = new.take(LINK_ROOMS_MAX - self.sent).collect();
        if offers.is_empty() && self.sent > 0 {
            return;
        }
        let padded = offers.len().next_power_of_two().max(LINK_OPENINGS_MIN);
        // What rooms there may be later is not used up to hide those that came before.
        if self.sent == 0 || self.sent + padded <= LINK_ROOMS_MAX / 2 {
            offers.extend((offers.len()..padded).map(|index| self.meaningless(index as u64)));
        }
        offers.sort_unstable();
        for (tag, proof) in offers {
            let channel = self.open(tag, proof, out);
            if let Some(known) = self.known.get_mut(&tag) {
                known.offered = Some(channel);
            }
        }
    }

    /// An opening of no room, which looks like any other.
    fn meaningless(&self, index: u64) -> (Tag, [u8; 32]) {
        let made = |what: &[u8]| {
            let mut hasher = blake3::Hasher::new_keyed(&self.chaff);
            hasher.update(&self.channel_next.to_be_bytes()).update(&index.to_be_bytes()).update(what);
            *hasher.finalize().as_bytes()
        };
        (cut(made(b"tag")), made(b"proof"))
    }

    fn open(&mut self, tag: Tag, proof: [u8; 32], out: &mut Vec<LinkFrame>) -> u64 {
        let channel = self.channel_next;
        self.channel_next += 1;
        self.sent += 1;
        out.push(LinkFrame::Open { channel, tag, proof });
        channel
    }

    fn close(&mut self, channel: u64, out: &mut Vec<LinkFrame>) {
        self.sent -= 1;
        out.push(LinkFrame::Close { channel });
    }

    /// Finds the room of ours that the peer's `channel` is about, if its proof holds, and answers an opening that is no answer itself.
    fn recognise(&mut self, channel: u64, out: &mut Vec<LinkFrame>) -> Option<RoomId> {
        let opened = self.opened.get_mut(&channel)?;
        let known = self.known.get(&opened.tag)?;
        let (room, tag) = (known.room, opened.tag);
        let is_proven = self.sides.is_proof(&opened.proof, &known.secret, Purpose::Room);
        if !is_proven || self.channels.contains_key(&room) {
            return None;
        }
        opened.room = Some(room);
        let offered = known.offered;
        let proof = self.sides.proof(&known.secret, Purpose::Room)?;
        let ours = offered.unwrap_or_else(|| self.open(tag, proof, out));
        self.channels.insert(room, ours);
        Some(room)
    }
}

/// What a secret is shown for.
#[derive(Clone, Copy)]
enum Purpose {
    /// That one belongs to a room.
    Room,
    /// That one was invited.
    Invite,
}

impl Purpose {
    fn context(self) -> &'static str {
        match self {
            Self::Room => "rtc 2026 room proof v1",
            Self::Invite => "rtc 2026 invite proof v1",
        }
    }
}

type Side<'a> = (&'a PeerKey, &'a [u8; 32]);

impl Sides {
    /// What binds our proofs to this connection, with our key.
    pub(super) fn nonce(&self) -> [u8; 32] {
        self.nonce
    }

    /// Whether the peer has said hello.
    pub(super) fn is_known(&self) -> bool {
        self.peer_nonce.is_some()
    }

    /// What `secret` is called here; none before the peer has said hello.
    fn tag(&self, secret: &Secret, purpose: Purpose) -> Option<Tag> {
        let (me, peer) = self.both()?;
        let (low, high) = if me.0 < peer.0 { (me, peer) } else { (peer, me) };
        Some(cut(keyed(secret, purpose, b"tag", low, high)))
    }

    /// Shows the peer, and nobody else, that we know `secret`.
    fn proof(&self, secret: &Secret, purpose: Purpose) -> Option<[u8; 32]> {
        let (me, peer) = self.both()?;
        Some(keyed(secret, purpose, b"proof", me, peer))
    }

    /// Whether `proof` shows that the peer knows `secret`.
    fn is_proof(&self, proof: &[u8; 32], secret: &Secret, purpose: Purpose) -> bool {
        // A hash equals another in constant time: how long a wrong proof takes tells nothing.
        self.both().is_some_and(|(me, peer)| {
            let expected = keyed(secret, purpose, b"proof", peer, me);
            blake3::Hash::from_bytes(expected) == blake3::Hash::from_bytes(*proof)
        })
    }

    /// Shows the peer, and nobody else, that we know the secret of an invitation; nothing before it has said hello.
    pub(super) fn claim(&self, invite: &Secret) -> Option<Claim> {
        let (tag, proof) = (self.tag(invite, Purpose::Invite)?, self.proof(invite, Purpose::Invite)?);
        Some(Claim { tag, proof })
    }

    /// Whether the peer has shown to know the secret of an invitation.
    pub(super) fn is_claim(&self, claim: &Claim, invite: &Secret) -> bool {
        self.tag(invite, Purpose::Invite) == Some(claim.tag)
            && self.is_proof(&claim.proof, invite, Purpose::Invite)
    }

    fn both(&self) -> Option<(Side<'_>, Side<'_>)> {
        Some(((&self.me, &self.nonce), (&self.peer, self.peer_nonce.as_ref()?)))
    }
}

fn cut(hash: [u8; 32]) -> Tag {
    *hash.first_chunk().expect("16 of 32 bytes")
}

fn keyed(secret: &Secret, purpose: Purpose, what: &[u8], first: Side<'_>, second: Side<'_>) -> [u8; 32] {
    let key = blake3::derive_key(purpose.context(), &secret.0);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    for (key, nonce) in [first, second] {
        hasher.update(&key.0).update(nonce);
    }
    *hasher.update(what).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openings(end: End) -> Openings {
        Openings::new(PeerKey([1; 32]), PeerKey([2; 32]), end, [3; 32])
    }

    fn room(number: u8) -> (RoomId, Vec<Secret>) {
        (RoomId([number; 32]), vec![Secret([number; 32])])
    }

    #[test]
    fn who_dials_says_nothing_of_how_many_rooms_it_has() {
        let check = |rooms: u8, openings_sent: usize| {
            let mut dialler = openings(End::Dialled);
            let mut out = Vec::new();
            for number in 0..rooms {
                let (room, secrets) = room(number);
                dialler.add_room(room, secrets, &mut out);
            }
            assert_eq!(out, []);
            dialler.hear_hello([4; 32], &mut out);
            assert_eq!(out.len(), openings_sent, "{rooms} rooms");
            let tags: Vec<Tag> = out.iter().filter_map(tag_of).collect();
            assert!(tags.is_sorted() && tags.len() == openings_sent);
        };
        for rooms in 0..=8 {
            check(rooms, 8);
        }
        check(9, 16);
        check(200, 256);
    }

    fn tag_of(frame: &LinkFrame) -> Option<Tag> {
        match frame {
            LinkFrame::Open { tag, .. } => Some(*tag),
            _ => None,
        }
    }

    #[test]
    fn who_listens_opens_nothing_by_itself() {
        let mut listener = openings(End::Listened);
        let mut out = Vec::new();
        let (one, secrets) = room(1);
        listener.add_room(one, secrets, &mut out);
        listener.hear_hello([4; 32], &mut out);
        let (two, secrets) = room(2);
        listener.add_room(two, secrets, &mut out);
        assert_eq!(out, []);
    }

    #[test]
    fn rooms_that_come_later_never_exceed_what_a_peer_takes() {
        let mut dialler = openings(End::Dialled);
        let mut out = Vec::new();
        dialler.hear_hello([4; 32], &mut out);
        for number in 0..=255 {
            let (room, secrets) = room(number);
            dialler.add_room(room, secrets, &mut out);
        }
        assert!(out.len() <= LINK_ROOMS_MAX);
        assert!(dialler.known.values().all(|known| known.offered.is_some()));
    }
}
