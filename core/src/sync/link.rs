//! One connection to one peer: which rooms both are in, whether it is alive, and how far away it is.
//!
//! A room is named only by a tag and a proof that nobody without its secret can make, tell apart or replay: both are
//! bound to this connection's nonces and keys. To who has no common room, nothing is said of any.

use std::collections::BTreeMap;

use crate::canonical::DecodeError;
use crate::id::{PeerKey, RoomId};
use crate::limits::{HEARTBEAT_MS, LINK_ROOMS_MAX, SILENCE_MS};
use crate::sync::frame::Digest;
use crate::sync::{LinkFrame, Now, RoomFrame, live};
use crate::ticket::Secret;

/// A connection; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// What the other side did, as far as it concerns anybody.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    /// Both are in this room now.
    Opened(RoomId),
    /// The peer has left this room.
    Closed(RoomId),
    /// The peer's digests of rooms both are in.
    Digests(BTreeMap<RoomId, Digest>),
    /// A frame for a room both are in.
    Room(RoomId, RoomFrame),
    /// A live run for a room both are in, which cannot be read since one before it did not come.
    Missed(RoomId),
    /// Nothing that concerns a room.
    Nothing,
}

/// Why a connection has to end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer sent what is no frame.
    #[error("invalid frame: {0}")]
    Frame(#[from] DecodeError),
    /// The peer spoke before it said hello, or said it twice.
    #[error("the peer did not begin with one hello")]
    Hello,
    /// The peer opened more rooms than it may.
    #[error("the peer opened more than {LINK_ROOMS_MAX} rooms")]
    Rooms,
}

/// The state of one connection.
pub struct Link {
    me: PeerKey,
    peer: PeerKey,
    nonce: [u8; 32],
    peer_nonce: Option<[u8; 32]>,
    rooms: BTreeMap<RoomId, Secret>,
    /// Our numbers of rooms we have opened; one is never used again.
    channels: BTreeMap<RoomId, u64>,
    channel_next: u64,
    /// What the peer has opened, whether or not we know the room (yet).
    opened: BTreeMap<u64, Opened>,
    /// Whether somebody has asked and heard that the peer is a member of a room of ours.
    met: bool,
    live_out: live::Encoder,
    live_in: live::Decoder,
    ping: u64,
    ping_sent_us: u64,
    round_trip_us: Option<u64>,
    heard_us: u64,
    beat_us: u64,
}

/// A room as the peer has opened it.
struct Opened {
    tag: [u8; 16],
    proof: [u8; 32],
    room: Option<RoomId>,
}

impl Link {
    /// A connection to `peer` that has just come up; `nonce` is random. The first frame goes to `out`.
    pub fn new(me: PeerKey, peer: PeerKey, nonce: [u8; 32], now: Now, out: &mut Vec<LinkFrame>) -> Self {
        out.push(LinkFrame::Hello { nonce });
        Self {
            me,
            peer,
            nonce,
            peer_nonce: None,
            rooms: BTreeMap::new(),
            channels: BTreeMap::new(),
            channel_next: 1,
            opened: BTreeMap::new(),
            met: false,
            live_out: live::Encoder::default(),
            live_in: live::Decoder::default(),
            ping: 0,
            ping_sent_us: 0,
            round_trip_us: None,
            heard_us: now.monotonic_us,
            beat_us: now.monotonic_us,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// The last heartbeat's round trip.
    pub fn round_trip_us(&self) -> Option<u64> {
        self.round_trip_us
    }

    /// How long nothing has been heard.
    pub fn silent_us(&self, now: Now) -> u64 {
        now.monotonic_us.saturating_sub(self.heard_us)
    }

    /// Rooms both are in.
    pub fn shared_rooms(&self) -> impl Iterator<Item = RoomId> + '_ {
        self.opened.values().filter_map(|opened| opened.room)
    }

    /// Whether the peer has proven to be a member of a room of ours; true once per connection.
    pub fn has_just_proven(&mut self) -> bool {
        let news = !self.met && self.shared_rooms().next().is_some();
        self.met |= news;
        news
    }

    /// We are in `room`. Returns whether the peer is known to be as well.
    pub fn add_room(&mut self, room: RoomId, secret: Secret, out: &mut Vec<LinkFrame>) -> bool {
        self.rooms.insert(room, secret);
        let Some(peer_nonce) = self.peer_nonce else { return false };
        self.open(room, secret, peer_nonce, out);
        let waiting: Vec<u64> = self
            .opened
            .iter()
            .filter(|(_, opened)| opened.room.is_none())
            .map(|(&channel, _)| channel)
            .collect();
        waiting.into_iter().any(|channel| self.recognise(channel) == Some(room))
    }

    /// We have left `room`.
    pub fn remove_room(&mut self, room: &RoomId, out: &mut Vec<LinkFrame>) {
        self.rooms.remove(room);
        self.opened
            .values_mut()
            .filter(|opened| opened.room == Some(*room))
            .for_each(|opened| opened.room = None);
        if let Some(channel) = self.channels.remove(room) {
            out.push(LinkFrame::Close { channel });
        }
    }

    /// The frame that carries `frame` about `room`; none where the room is not open. Runs have to be sent in the order in which
    /// they were wrapped.
    pub fn wrap(&mut self, room: &RoomId, frame: RoomFrame) -> Option<LinkFrame> {
        let channel = *self.channels.get(room)?;
        Some(match frame {
            RoomFrame::Run { run } => LinkFrame::Live { channel, content: self.live_out.encode(&run) },
            frame => LinkFrame::Room { channel, frame },
        })
    }

    /// A run that was wrapped was not sent: what the peer would have learnt from it has to be told again.
    pub fn unsent(&mut self) {
        self.live_out.begin_anew();
    }

    /// Takes in the bytes of a frame.
    pub fn hear(&mut self, bytes: &[u8], now: Now, out: &mut Vec<LinkFrame>) -> Result<Heard, LinkError> {
        self.heard_us = now.monotonic_us;
        let Some(frame) = LinkFrame::decode(bytes)? else { return Ok(Heard::Nothing) };
        if matches!(frame, LinkFrame::Hello { .. }) == self.peer_nonce.is_some() {
            return Err(LinkError::Hello);
        }
        Ok(match frame {
            LinkFrame::Hello { nonce } => {
                self.peer_nonce = Some(nonce);
                for (room, secret) in self.rooms.clone() {
                    self.open(room, secret, nonce, out);
                }
                Heard::Nothing
            }
            LinkFrame::Open { channel, tag, proof } => self.hear_open(channel, tag, proof)?,
            LinkFrame::Close { channel } => match self.opened.remove(&channel).and_then(|opened| opened.room)
            {
                Some(room) => Heard::Closed(room),
                None => Heard::Nothing,
            },
            LinkFrame::Beat { ping, digests } => {
                out.push(LinkFrame::Pong { ping });
                // One of each room, however many the frame has: each is answered with a whole vector.
                let digests = digests.into_iter();
                let of_rooms = digests.filter_map(|(channel, digest)| Some((self.room(channel)?, digest)));
                Heard::Digests(of_rooms.collect())
            }
            LinkFrame::Pong { ping } if ping == self.ping => {
                self.round_trip_us = Some(now.monotonic_us.saturating_sub(self.ping_sent_us));
                Heard::Nothing
            }
            LinkFrame::Pong { .. } => Heard::Nothing,
            LinkFrame::Live { channel, content } => {
                // Read whether or not the room is known: the next one may build on it.
                let run = self.live_in.decode(&content)?;
                match (self.room(channel), run) {
                    (Some(room), Some(run)) => Heard::Room(room, RoomFrame::Run { run }),
                    (Some(room), None) => Heard::Missed(room),
                    (None, _) => Heard::Nothing,
                }
            }
            LinkFrame::Room { channel, frame } => match self.room(channel) {
                Some(room) => Heard::Room(room, frame),
                None => Heard::Nothing,
            },
        })
    }

    /// When [`Link::wake`] wants to be called, on the monotonic clock.
    pub fn wake_at(&self) -> u64 {
        self.beat_us
    }

    /// Sends the heartbeat that is due. `digest` tells our digest of a room. Returns false when the peer has been silent
    /// for too long to be there.
    pub fn wake(
        &mut self,
        now: Now,
        digest: impl Fn(&RoomId) -> Option<Digest>,
        out: &mut Vec<LinkFrame>,
    ) -> bool {
        if self.silent_us(now) > SILENCE_MS * 1000 {
            return false;
        }
        if now.monotonic_us >= self.beat_us {
            self.beat_us = now.after_ms(HEARTBEAT_MS);
            self.ping += 1;
            self.ping_sent_us = now.monotonic_us;
            let digests =
                self.shared_rooms().filter_map(|room| Some((*self.channels.get(&room)?, digest(&room)?)));
            out.push(LinkFrame::Beat { ping: self.ping, digests: digests.collect() });
        }
        true
    }

    fn room(&self, channel: u64) -> Option<RoomId> {
        self.opened.get(&channel).and_then(|opened| opened.room)
    }

    fn open(&mut self, room: RoomId, secret: Secret, peer_nonce: [u8; 32], out: &mut Vec<LinkFrame>) {
        if self.channels.contains_key(&room) {
            return;
        }
        let channel = self.channel_next;
        self.channel_next += 1;
        self.channels.insert(room, channel);
        let tag = tag(&secret, (&self.me, &self.nonce), (&self.peer, &peer_nonce));
        let proof = proof(&secret, (&self.me, &self.nonce), (&self.peer, &peer_nonce));
        out.push(LinkFrame::Open { channel, tag, proof });
    }

    fn hear_open(&mut self, channel: u64, tag: [u8; 16], proof: [u8; 32]) -> Result<Heard, LinkError> {
        if self.opened.len() >= LINK_ROOMS_MAX || self.opened.contains_key(&channel) {
            return Err(LinkError::Rooms);
        }
        self.opened.insert(channel, Opened { tag, proof, room: None });
        Ok(self.recognise(channel).map_or(Heard::Nothing, Heard::Opened))
    }

    /// Finds the room of ours that the peer's `channel` is about, if its proof holds.
    fn recognise(&mut self, channel: u64) -> Option<RoomId> {
        let peer_nonce = self.peer_nonce?;
        let (me, peer) = ((&self.me, &self.nonce), (&self.peer, &peer_nonce));
        let opened = self.opened.get(&channel)?;
        let (room, secret) = self.rooms.iter().find(|(_, secret)| tag(secret, me, peer) == opened.tag)?;
        let taken = self.opened.values().any(|other| other.room == Some(*room));
        // A hash equals another in constant time: how long a wrong proof takes tells nothing.
        let proven =
            blake3::Hash::from_bytes(proof(secret, peer, me)) == blake3::Hash::from_bytes(opened.proof);
        let room = (proven && !taken).then_some(*room)?;
        self.opened.get_mut(&channel)?.room = Some(room);
        Some(room)
    }
}

type Side<'a> = (&'a PeerKey, &'a [u8; 32]);

/// Names a room on one connection, alike from both sides.
fn tag(secret: &Secret, me: Side<'_>, peer: Side<'_>) -> [u8; 16] {
    let (low, high) = if me.0 < peer.0 { (me, peer) } else { (peer, me) };
    let hash = keyed(secret, b"tag", low, high);
    let mut tag = [0; 16];
    tag.copy_from_slice(&hash[..16]);
    tag
}

/// Shows that `from` knows the secret, to `to` alone.
fn proof(secret: &Secret, from: Side<'_>, to: Side<'_>) -> [u8; 32] {
    keyed(secret, b"proof", from, to)
}

fn keyed(secret: &Secret, what: &[u8], first: Side<'_>, second: Side<'_>) -> [u8; 32] {
    let key = blake3::derive_key("rtc 2026 room proof v1", &secret.0);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    for (key, nonce) in [first, second] {
        hasher.update(&key.0).update(nonce);
    }
    *hasher.update(what).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId([1; 32]);
    const SECRET: Secret = Secret([2; 32]);

    fn pair() -> (Link, Link, Vec<LinkFrame>, Vec<LinkFrame>) {
        let (a, b) = (PeerKey([10; 32]), PeerKey([11; 32]));
        let (mut to_b, mut to_a) = (Vec::new(), Vec::new());
        let left = Link::new(a, b, [5; 32], Now::default(), &mut to_b);
        let right = Link::new(b, a, [6; 32], Now::default(), &mut to_a);
        (left, right, to_b, to_a)
    }

    /// Delivers everything both say until they fall silent.
    fn talk(
        left: &mut Link,
        right: &mut Link,
        to_b: &mut Vec<LinkFrame>,
        to_a: &mut Vec<LinkFrame>,
    ) -> Vec<Heard> {
        let mut heard = Vec::new();
        while !to_a.is_empty() || !to_b.is_empty() {
            for frame in std::mem::take(to_b) {
                heard.push(right.hear(&frame.encode(), Now::default(), to_a).unwrap());
            }
            for frame in std::mem::take(to_a) {
                heard.push(left.hear(&frame.encode(), Now::default(), to_b).unwrap());
            }
        }
        heard.retain(|heard| *heard != Heard::Nothing);
        heard
    }

    #[test]
    fn members_recognise_a_room_whoever_joins_last() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, SECRET, &mut to_b);
        assert_eq!(talk(&mut left, &mut right, &mut to_b, &mut to_a), []);
        assert!(right.add_room(ROOM, SECRET, &mut to_a));
        assert_eq!(talk(&mut left, &mut right, &mut to_b, &mut to_a), [Heard::Opened(ROOM)]);
        assert_eq!(left.shared_rooms().collect::<Vec<_>>(), [ROOM]);
        assert_eq!(right.shared_rooms().collect::<Vec<_>>(), [ROOM]);
    }

    #[test]
    fn another_secret_opens_nothing() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, SECRET, &mut to_b);
        right.add_room(ROOM, Secret([3; 32]), &mut to_a);
        assert_eq!(talk(&mut left, &mut right, &mut to_b, &mut to_a), []);
        assert!(!left.has_just_proven() && !right.has_just_proven());
    }

    #[test]
    fn a_member_has_proven_it_once_however_often_it_comes_and_goes() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, SECRET, &mut to_b);
        right.add_room(ROOM, SECRET, &mut to_a);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        assert!(left.has_just_proven() && right.has_just_proven());
        right.remove_room(&ROOM, &mut to_a);
        right.add_room(ROOM, SECRET, &mut to_a);
        let heard = talk(&mut left, &mut right, &mut to_b, &mut to_a);
        assert_eq!(heard, [Heard::Closed(ROOM), Heard::Opened(ROOM)]);
        assert!(!left.has_just_proven());
    }

    #[test]
    fn a_proof_sent_back_opens_nothing() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, SECRET, &mut to_b);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        // The stranger answers with the member's own proof.
        let mut replayed = Vec::new();
        left.open(RoomId([9; 32]), SECRET, [6; 32], &mut replayed);
        let heard = left.hear(&replayed[0].encode(), Now::default(), &mut to_b).unwrap();
        assert_eq!(heard, Heard::Nothing);
    }

    #[test]
    fn a_heartbeat_tells_one_digest_of_a_room() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, SECRET, &mut to_b);
        right.add_room(ROOM, SECRET, &mut to_a);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        let beat = LinkFrame::Beat { ping: 1, digests: vec![(1, [0; 16]); LINK_ROOMS_MAX] };
        let heard = left.hear(&beat.encode(), Now::default(), &mut to_b).unwrap();
        assert_eq!(heard, Heard::Digests([(ROOM, [0; 16])].into()));
    }

    #[test]
    fn silence_ends_a_link_and_heartbeats_measure_it() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        let later = Now { monotonic_us: 500_000, wall_ms: 0 };
        assert!(left.wake(later, |_| None, &mut to_b));
        let mut answers = Vec::new();
        right.hear(&to_b[0].encode(), later, &mut answers).unwrap();
        let back = Now { monotonic_us: 500_700, wall_ms: 0 };
        left.hear(&answers[0].encode(), back, &mut to_b).unwrap();
        assert_eq!(left.round_trip_us(), Some(700));
        assert!(!left.wake(Now { monotonic_us: 2_100_000, wall_ms: 0 }, |_| None, &mut to_b));
    }
}
