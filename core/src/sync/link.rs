//! One connection to one peer: which rooms both are in, whether it is alive, and how far away it is.

use std::collections::BTreeMap;

use crate::canonical::DecodeError;
use crate::id::{PeerKey, RoomId};
use crate::invite::InviteRefusal;
use crate::limits::{HEARTBEAT_MS, LINK_CLAIMS_MAX, LINK_ROOMS_MAX, SEAT_KEYS_MAX, SILENCE_MS};
use crate::sync::frame::{Claim, Digest};
use crate::sync::opening::{End, Openings};
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
    /// The peer says that we have invited it: see [`Link::has_proven`].
    Claimed(Claim),
    /// We are a member of a room, by the invitation of that secret.
    Welcomed {
        /// The invitation's.
        invite: Secret,
        /// The room's founding message, as the peer says.
        founding: Vec<u8>,
        /// The room's.
        secret: Secret,
    },
    /// The invitation of that secret is good no more.
    Refused {
        /// The invitation's.
        invite: Secret,
        /// Why.
        why: InviteRefusal,
    },
    /// A live run for a room both are in, which cannot be read since one before it did not come.
    Missed(RoomId),
    /// The peer would do without this connection.
    Farewell,
    /// The peer had another key before: see [`Link::keys`].
    Succeeds,
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
    peer: PeerKey,
    /// The keys that the peer had before.
    former: Vec<PeerKey>,
    /// What it has said of such so far, true or not: each costs us a look at a signature.
    former_said: usize,
    openings: Openings,
    /// Secrets of invitations that the peer has made and we redeem.
    invites: Vec<Secret>,
    /// Claims of the peer's heard so far.
    claims: usize,
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

impl Link {
    /// A connection to `peer` that has just come up, of which ours is that `end`; `random` is used for no other. The first frame goes
    /// to `out`.
    pub fn new(
        me: PeerKey,
        peer: PeerKey,
        end: End,
        random: [u8; 32],
        now: Now,
        out: &mut Vec<LinkFrame>,
    ) -> Self {
        let openings = Openings::new(me, peer, end, random);
        out.push(LinkFrame::Hello { nonce: openings.sides().nonce() });
        Self {
            peer,
            former: Vec::new(),
            former_said: 0,
            openings,
            invites: Vec::new(),
            claims: 0,
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

    /// The peer's key, and those it had before.
    pub fn keys(&self) -> impl Iterator<Item = PeerKey> + '_ {
        [self.peer].into_iter().chain(self.former.iter().copied())
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
        self.openings.shared_rooms()
    }

    /// Whether the peer has proven to be a member of a room of ours; true once per connection.
    pub fn has_just_proven(&mut self) -> bool {
        let news = !self.met && self.shared_rooms().next().is_some();
        self.met |= news;
        news
    }

    /// We are in `room`, as each of `secrets` proves; whatever proved it before does not any more. Returns whether the peer turns out to be
    /// in it as well.
    pub fn add_room(&mut self, room: RoomId, secrets: Vec<Secret>, out: &mut Vec<LinkFrame>) -> bool {
        self.openings.add_room(room, secrets, out)
    }

    /// We are not in `room` any more, or not with this peer.
    pub fn remove_room(&mut self, room: &RoomId, out: &mut Vec<LinkFrame>) {
        self.openings.remove_room(room, out);
    }

    /// Shows the peer that it has invited us, now or as soon as it has said hello.
    pub fn redeem(&mut self, invite: Secret, out: &mut Vec<LinkFrame>) {
        if !self.invites.contains(&invite) {
            self.invites.push(invite);
        }
        out.extend(self.openings.sides().claim(&invite).map(LinkFrame::Redeem));
    }

    /// Whether the peer has shown to know the secret of that invitation.
    pub fn has_proven(&self, claim: &Claim, invite: &Secret) -> bool {
        self.openings.sides().is_claim(claim, invite)
    }

    /// The frame that carries `frame` about `room`; none where the room is not open. Runs have to be sent in the order in which
    /// they were wrapped.
    pub fn wrap(&mut self, room: &RoomId, frame: RoomFrame) -> Option<LinkFrame> {
        let channel = self.openings.channel(room)?;
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
        if matches!(frame, LinkFrame::Hello { .. }) == self.openings.sides().is_known() {
            return Err(LinkError::Hello);
        }
        Ok(match frame {
            LinkFrame::Hello { nonce } => {
                self.openings.hear_hello(nonce, out);
                let sides = self.openings.sides();
                out.extend(
                    self.invites.iter().filter_map(|invite| sides.claim(invite)).map(LinkFrame::Redeem),
                );
                Heard::Nothing
            }
            LinkFrame::Redeem(claim) => {
                self.claims += 1;
                if self.claims > LINK_CLAIMS_MAX { Heard::Nothing } else { Heard::Claimed(claim) }
            }
            LinkFrame::Welcome { tag, founding, secret } => match self.take_invite(tag) {
                Some(invite) => Heard::Welcomed { invite, founding, secret },
                None => Heard::Nothing,
            },
            LinkFrame::Refused { tag, why } => match self.take_invite(tag) {
                Some(invite) => Heard::Refused { invite, why },
                None => Heard::Nothing,
            },
            LinkFrame::Open { channel, tag, proof } => {
                self.openings.hear_open(channel, tag, proof, out)?.map_or(Heard::Nothing, Heard::Opened)
            }
            LinkFrame::Close { channel } => {
                self.openings.hear_close(channel, out).map_or(Heard::Nothing, Heard::Closed)
            }
            LinkFrame::Beat { ping, digests } => {
                out.push(LinkFrame::Pong { ping });
                // One of each room, however many the frame has: each is answered with a whole vector.
                let digests = digests.into_iter();
                let of_rooms =
                    digests.filter_map(|(channel, digest)| Some((self.openings.room(channel)?, digest)));
                Heard::Digests(of_rooms.collect())
            }
            LinkFrame::Pong { ping } if ping == self.ping => {
                self.round_trip_us = Some(now.monotonic_us.saturating_sub(self.ping_sent_us));
                Heard::Nothing
            }
            LinkFrame::Pong { .. } => Heard::Nothing,
            LinkFrame::Farewell => Heard::Farewell,
            LinkFrame::Former(former) => {
                self.former_said += 1;
                let is_news = self.former_said < SEAT_KEYS_MAX && !self.former.contains(&former.key);
                if !is_news || !former.gives_way_to(&self.peer) {
                    return Ok(Heard::Nothing);
                }
                self.former.push(former.key);
                Heard::Succeeds
            }
            LinkFrame::Live { channel, content } => {
                // Read whether or not the room is known: the next one may build on it.
                let run = self.live_in.decode(&content)?;
                match (self.openings.room(channel), run) {
                    (Some(room), Some(run)) => Heard::Room(room, RoomFrame::Run { run }),
                    (Some(room), None) => Heard::Missed(room),
                    (None, _) => Heard::Nothing,
                }
            }
            LinkFrame::Room { channel, frame } => match self.openings.room(channel) {
                Some(room) => Heard::Room(room, frame),
                None => Heard::Nothing,
            },
        })
    }

    /// When [`Link::wake`] wants to be called, on the monotonic clock.
    pub fn wake_at(&self) -> u64 {
        self.beat_us
    }

    /// Sends the heartbeat that is due. `digest` gives our digest of a room, where the peer is to be told it. Returns false when the peer has been silent
    /// for too long to be there.
    pub fn wake(
        &mut self,
        now: Now,
        mut digest: impl FnMut(&RoomId) -> Option<Digest>,
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
                self.shared_rooms().filter_map(|room| Some((self.openings.channel(&room)?, digest(&room)?)));
            out.push(LinkFrame::Beat { ping: self.ping, digests: digests.collect() });
        }
        true
    }

    /// The invitation that the peer has answered; it is answered once.
    fn take_invite(&mut self, tag: [u8; 16]) -> Option<Secret> {
        let sides = self.openings.sides();
        let is_it = |invite: &Secret| sides.claim(invite).is_some_and(|claim| claim.tag == tag);
        let index = self.invites.iter().position(is_it)?;
        Some(self.invites.swap_remove(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Ed25519, Keys};
    use crate::members::Former;

    const ROOM: RoomId = RoomId([1; 32]);
    const SECRET: Secret = Secret([2; 32]);

    fn pair() -> (Link, Link, Vec<LinkFrame>, Vec<LinkFrame>) {
        let (a, b) = (PeerKey([10; 32]), PeerKey([11; 32]));
        let (mut to_b, mut to_a) = (Vec::new(), Vec::new());
        let left = Link::new(a, b, End::Dialled, [5; 32], Now::default(), &mut to_b);
        let right = Link::new(b, a, End::Listened, [6; 32], Now::default(), &mut to_a);
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
        left.add_room(ROOM, vec![SECRET], &mut to_b);
        assert_eq!(talk(&mut left, &mut right, &mut to_b, &mut to_a), []);
        assert!(right.add_room(ROOM, vec![SECRET], &mut to_a));
        assert_eq!(talk(&mut left, &mut right, &mut to_b, &mut to_a), [Heard::Opened(ROOM)]);
        assert!(are_in(&left, &right));
    }

    fn are_in(left: &Link, right: &Link) -> bool {
        let both = [left, right].map(|link| link.shared_rooms().collect::<Vec<_>>());
        both == [[ROOM], [ROOM]]
    }

    #[test]
    fn who_dialled_may_come_later_and_both_may_come_and_go() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        right.add_room(ROOM, vec![SECRET], &mut to_a);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        for _ in 0..3 {
            left.add_room(ROOM, vec![SECRET], &mut to_b);
            let heard = talk(&mut left, &mut right, &mut to_b, &mut to_a);
            assert_eq!(heard, [Heard::Opened(ROOM), Heard::Opened(ROOM)]);
            assert!(are_in(&left, &right));
            left.remove_room(&ROOM, &mut to_b);
            let heard = talk(&mut left, &mut right, &mut to_b, &mut to_a);
            assert_eq!(heard, [Heard::Closed(ROOM)]);
            assert_eq!(left.shared_rooms().chain(right.shared_rooms()).count(), 0);
        }
    }

    #[test]
    fn who_leaves_and_comes_back_before_the_answer_is_understood() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        right.add_room(ROOM, vec![SECRET], &mut to_a);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        for _ in 0..3 {
            left.add_room(ROOM, vec![SECRET], &mut to_b);
            left.remove_room(&ROOM, &mut to_b);
        }
        left.add_room(ROOM, vec![SECRET], &mut to_b);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        assert!(are_in(&left, &right));
        let about = left.wrap(&ROOM, RoomFrame::Credit { bytes: 1 }).unwrap();
        let heard = right.hear(&about.encode(), Now::default(), &mut to_a).unwrap();
        assert_eq!(heard, Heard::Room(ROOM, RoomFrame::Credit { bytes: 1 }));
        let about = right.wrap(&ROOM, RoomFrame::Credit { bytes: 2 }).unwrap();
        let heard = left.hear(&about.encode(), Now::default(), &mut to_b).unwrap();
        assert_eq!(heard, Heard::Room(ROOM, RoomFrame::Credit { bytes: 2 }));
    }

    #[test]
    fn one_of_several_secrets_is_enough() {
        let (old, new) = (Secret([7; 32]), Secret([8; 32]));
        let check = |dialler: &[Secret], listener: &[Secret]| {
            let (mut left, mut right, mut to_b, mut to_a) = pair();
            left.add_room(ROOM, dialler.to_vec(), &mut to_b);
            right.add_room(ROOM, listener.to_vec(), &mut to_a);
            talk(&mut left, &mut right, &mut to_b, &mut to_a);
            are_in(&left, &right)
        };
        assert!(check(&[new, old], &[old]));
        assert!(check(&[old], &[new, old]));
        assert!(check(&[new, old], &[new, old]));
        assert!(!check(&[new], &[old]));
    }

    /// What a listener with these rooms answers to a stranger who says `frames`.
    fn answers(rooms: u8, frames: &[LinkFrame]) -> Vec<Vec<u8>> {
        let (_, mut right, _, mut to_a) = pair();
        for number in 0..rooms {
            right.add_room(RoomId([number; 32]), vec![Secret([number; 32])], &mut to_a);
        }
        for frame in frames {
            right.hear(&frame.encode(), Now::default(), &mut to_a).unwrap();
        }
        right.wake(Now { monotonic_us: 500_000, wall_ms: 0 }, |_| Some([0; 16]), &mut to_a);
        to_a.iter().map(LinkFrame::encode).collect()
    }

    #[test]
    fn strangers_hear_the_same_whatever_rooms_there_are() {
        let mut random = blake3::Hasher::new().update(b"strangers").finalize_xof();
        let mut bytes = || {
            let mut bytes = [0; 48];
            random.fill(&mut bytes);
            (*bytes.first_chunk::<16>().unwrap(), *bytes.last_chunk::<32>().unwrap())
        };
        // More than one connection takes, over as many connections as that needs.
        for connection in 0..20 {
            let mut frames = vec![LinkFrame::Hello { nonce: bytes().1 }];
            for channel in 0..500 {
                let (tag, proof) = bytes();
                frames.push(LinkFrame::Open { channel, tag, proof });
                let (tag, proof) = bytes();
                frames.push(LinkFrame::Redeem(Claim { tag, proof }));
            }
            frames.push(LinkFrame::Beat { ping: 1, digests: vec![(1, [0; 16]), (2, [1; 16])] });
            let nothing = answers(0, &frames);
            assert_eq!(nothing.len(), 3, "a hello, a pong and a beat");
            assert_eq!(nothing, answers(1, &frames), "connection {connection}");
            assert_eq!(nothing, answers(200, &frames), "connection {connection}");
        }
    }

    #[test]
    fn a_former_key_is_the_peers_if_it_has_signed() {
        let (old, other) = (Ed25519::from_seed(&[1; 32]).public(), Ed25519::from_seed(&[3; 32]).public());
        let keys = Ed25519::from_seed(&[2; 32]).after(&[[1; 32]]);
        let former = keys.give_way(&old, &keys.public()).unwrap();
        let said = |peer: PeerKey, frame: Former| {
            let mut link = Link::new(other, peer, End::Listened, [5; 32], Now::default(), &mut Vec::new());
            let mut hear = |frame: LinkFrame| link.hear(&frame.encode(), Now::default(), &mut Vec::new());
            hear(LinkFrame::Hello { nonce: [6; 32] }).unwrap();
            let heard = [1, 2].map(|_| hear(LinkFrame::Former(frame)).unwrap());
            (heard, link.keys().collect::<Vec<_>>())
        };
        let me = keys.public();
        assert_eq!(said(me, former), ([Heard::Succeeds, Heard::Nothing], vec![me, old]));
        let nothing = [Heard::Nothing, Heard::Nothing];
        assert_eq!(said(other, former), (nothing.clone(), vec![other]));
        assert_eq!(said(me, Former { key: other, ..former }), (nothing, vec![me]));
    }

    #[test]
    fn whoever_says_more_of_former_keys_than_anybody_has_is_not_heard() {
        let old = Ed25519::from_seed(&[1; 32]).public();
        let keys = Ed25519::from_seed(&[2; 32]).after(&[[1; 32]]);
        let former = keys.give_way(&old, &keys.public()).unwrap();
        let after = |lies: usize| {
            let (me, peer) = (PeerKey([3; 32]), keys.public());
            let mut link = Link::new(me, peer, End::Listened, [5; 32], Now::default(), &mut Vec::new());
            let mut hear =
                |frame: LinkFrame| link.hear(&frame.encode(), Now::default(), &mut Vec::new()).unwrap();
            hear(LinkFrame::Hello { nonce: [6; 32] });
            let lie = LinkFrame::Former(Former { key: PeerKey([4; 32]), ..former });
            assert!((0..lies).all(|_| hear(lie.clone()) == Heard::Nothing));
            hear(LinkFrame::Former(former))
        };
        assert_eq!(after(SEAT_KEYS_MAX - 2), Heard::Succeeds);
        assert_eq!(after(SEAT_KEYS_MAX - 1), Heard::Nothing);
    }

    #[test]
    fn another_secret_opens_nothing() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, vec![SECRET], &mut to_b);
        right.add_room(ROOM, vec![Secret([3; 32])], &mut to_a);
        assert_eq!(talk(&mut left, &mut right, &mut to_b, &mut to_a), []);
        assert!(!left.has_just_proven() && !right.has_just_proven());
    }

    #[test]
    fn a_member_has_proven_it_once_however_often_it_comes_and_goes() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, vec![SECRET], &mut to_b);
        right.add_room(ROOM, vec![SECRET], &mut to_a);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        assert!(left.has_just_proven() && right.has_just_proven());
        right.remove_room(&ROOM, &mut to_a);
        right.add_room(ROOM, vec![SECRET], &mut to_a);
        let heard = talk(&mut left, &mut right, &mut to_b, &mut to_a);
        assert_eq!(heard, [Heard::Closed(ROOM), Heard::Opened(ROOM)]);
        assert!(!left.has_just_proven());
    }

    #[test]
    fn a_proof_sent_back_opens_nothing() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, vec![SECRET], &mut to_b);
        talk(&mut left, &mut right, &mut to_b, &mut to_a);
        // The stranger answers with the member's own openings.
        let mut said = Vec::new();
        let mut left =
            Link::new(PeerKey([10; 32]), PeerKey([11; 32]), End::Dialled, [5; 32], Now::default(), &mut said);
        left.add_room(ROOM, vec![SECRET], &mut said);
        left.hear(&LinkFrame::Hello { nonce: [6; 32] }.encode(), Now::default(), &mut said).unwrap();
        for frame in &said[1..] {
            let heard = left.hear(&frame.encode(), Now::default(), &mut to_b).unwrap();
            assert_eq!(heard, Heard::Nothing);
        }
    }

    #[test]
    fn an_invitation_is_shown_to_who_made_it_and_answered_once() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        // Who was invited may be either end, and may ask before the hello.
        right.redeem(SECRET, &mut to_a);
        let heard = talk(&mut left, &mut right, &mut to_b, &mut to_a);
        let [Heard::Claimed(claim)] = heard[..] else { panic!("{heard:?}") };
        assert!(left.has_proven(&claim, &SECRET) && !left.has_proven(&claim, &Secret([3; 32])));
        // Sent back, it shows nothing.
        assert!(!right.has_proven(&claim, &SECRET));
        let why = InviteRefusal::Spent;
        for expected in [vec![Heard::Refused { invite: SECRET, why }], vec![]] {
            to_b.push(LinkFrame::Refused { tag: claim.tag, why });
            assert_eq!(talk(&mut left, &mut right, &mut to_b, &mut to_a), expected);
        }
    }

    #[test]
    fn a_heartbeat_tells_one_digest_of_a_room() {
        let (mut left, mut right, mut to_b, mut to_a) = pair();
        left.add_room(ROOM, vec![SECRET], &mut to_b);
        right.add_room(ROOM, vec![SECRET], &mut to_a);
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
