//! The frames two daemons exchange, and their bytes: CBOR arrays that begin with a number for their kind.
//!
//! A frame of an unknown kind is skipped: a later version may say more than we understand.

mod parts;

use std::sync::Arc;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::{Link as ChainLink, Signature};
use crate::clock::VersionVector;
use crate::founding::FOUNDING_BYTES_MAX;
use crate::id::{Actor, PeerKey, Session, StateHash};
use crate::invite::InviteRefusal;
use crate::limits::{FORK_BYTES_MAX, FRAME_BYTES_MAX, GROUND_PIECE_BYTES_MAX};
use crate::members::{Former, read_former, write_former};
use crate::message::Head;
use crate::presence::Part;
use crate::sync::Run;
use crate::sync::ranges::{Told, Wanted};
use crate::sync::survey::Opening;
use crate::ticket::Secret;
pub use parts::Claim;
use parts::{
    decode_digests, decode_links, decode_ranges, decode_sums, decode_told, decode_vector, encode_links,
    encode_told, encode_vector,
};

/// The hash of a version vector: equal where the vectors are.
pub type Digest = [u8; 16];

/// What somebody sees of what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight {
    /// Equal where the same messages are held, on the same horizon, by the same version of the operation table: then the rest is to be
    /// equal as well.
    pub basis: Digest,
    /// The hash of the scene.
    pub state: StateHash,
}

/// What concerns the connection.
#[derive(Clone, PartialEq, Debug)]
pub enum LinkFrame {
    /// The first frame: a fresh nonce that proofs are bound to.
    Hello {
        /// Random.
        nonce: [u8; 32],
    },
    /// Proves membership in a room that is named only to those who know its secret.
    Open {
        /// The sender's number for the room on this connection.
        channel: u64,
        /// Names the room to who knows its secret; other on every connection.
        tag: [u8; 16],
        /// Shows that the sender knows it.
        proof: [u8; 32],
    },
    /// The sender has left the room.
    Close {
        /// The sender's number for it.
        channel: u64,
    },
    /// A heartbeat: the sender's digest of each room both are in.
    Beat {
        /// Answered by [`LinkFrame::Pong`].
        ping: u64,
        /// By the sender's numbers.
        digests: Vec<(u64, Digest)>,
    },
    /// The answer to a heartbeat.
    Pong {
        /// Its number.
        ping: u64,
    },
    /// The sender was invited into a room by the receiver, and asks to be admitted.
    Redeem(Claim),
    /// The answer: the sender of the claim is a member.
    Welcome {
        /// The claim's tag.
        tag: [u8; 16],
        /// The room's founding message.
        founding: Vec<u8>,
        /// What proves membership.
        secret: Secret,
    },
    /// The answer: the invitation is good no more.
    Refused {
        /// The claim's tag.
        tag: [u8; 16],
        /// Why.
        why: InviteRefusal,
    },
    /// The sender's rooms have links enough: where the receiver's have, too, it is to end this one.
    Farewell,
    /// A key that the sender had before, and that has signed that the sender's takes its place: who knows it by that one only may
    /// take it for that.
    Former(Former),
    /// A run that was just made, for a room.
    Live {
        /// The sender's number for it.
        channel: u64,
        /// What the connection's [`live::Encoder`](crate::sync::live::Encoder) made of it.
        content: Vec<u8>,
    },
    /// What else concerns a room.
    Room {
        /// The sender's number for it.
        channel: u64,
        /// The frame.
        frame: RoomFrame,
    },
}

/// What concerns one room.
#[derive(Clone, PartialEq, Debug)]
pub enum RoomFrame {
    /// What the sender holds, applied.
    Vector {
        /// Of each actor the highest number.
        held: VersionVector,
        /// How many runs of this connection the sender had taken in by then.
        runs_taken: u64,
        /// Whether whatever is not in `held` must be sent again, also if it was sent before.
        exact: bool,
    },
    /// Messages that were just made. A [`Link`](crate::sync::Link) sends them as [`LinkFrame::Live`]; whoever keeps no
    /// dictionary may send them as they are.
    Run {
        /// The messages.
        run: Run,
    },
    /// Messages that the receiver lacks; they count against credit.
    Backlog {
        /// What [`backlog::pack`](crate::sync::backlog::pack) made of them.
        content: Arc<[u8]>,
    },
    /// The sender has taken in that many bytes of backlog, and so many more may come.
    Credit {
        /// What backlogs [cost](crate::sync::backlog::cost).
        bytes: u64,
    },
    /// These are on the sender's disk.
    Ack {
        /// Of each actor mentioned the highest number.
        durable: VersionVector,
    },
    /// The room's founding message.
    Founding {
        /// Its canonical bytes; their hash is the room's id.
        bytes: Vec<u8>,
    },
    /// The horizon that the sender stands on: the receiver lacks messages that are forgotten, and may ask for what is left of them.
    Horizon {
        /// The link that its message hangs on.
        before: ChainLink,
        /// The run that begins with it, as [`backlog::pack`](crate::sync::backlog::pack) made it: the signature at its end proves that it
        /// is the keeper's.
        content: Arc<[u8]>,
        /// How long the ground is.
        whole_bytes: u64,
        /// The same, deflated.
        packed_bytes: u64,
        /// How the keys of the room's founder followed upon each other, up to the one that has signed, or vouches for it.
        keepers: Vec<Former>,
        /// Where that gave way: a run, packed likewise, that begins with an actor's first message, in which the newest key vouches. Else empty.
        voucher: Vec<u8>,
    },
    /// Asks for a piece of a ground.
    GroundWanted {
        /// Its hash, as its horizon names it.
        ground: StateHash,
        /// From which of its deflated bytes on.
        from: u64,
    },
    /// A piece of a ground.
    GroundPiece {
        /// Its hash, as its horizon names it.
        ground: StateHash,
        /// Where the piece begins.
        from: u64,
        /// The piece.
        bytes: Vec<u8>,
    },
    /// What the sender sees, now that it is at rest.
    Sight(Sight),
    /// Which messages the sender holds, of numbers that the receiver may hold others of: of one actor at growing distances back to where
    /// its chain begins, or of several their newest.
    Links {
        /// In the order of the actors.
        links: Vec<Head>,
    },
    /// Somebody gave one number to two messages.
    Fork {
        /// The bytes of a [`Fork`](crate::fork::Fork).
        proof: Arc<[u8]>,
    },
    /// What one of the sender's sessions shows now, and until it shows something else, or the connection ends.
    Show {
        /// Which session.
        session: Session,
        /// Counts up with what the session shows: less is older.
        seq: u64,
        /// Which part of it.
        part: Part,
        /// What [`Show::encode`](crate::presence::Show::encode) made of it.
        content: Vec<u8>,
    },
    /// What the sender holds, where a vector would be long: the receiver asks for what differs.
    Ranges(Opening),
    /// Asks what the sender of [`RoomFrame::Ranges`] holds in some ranges.
    RangesWanted {
        /// The exchange, which sums depend on.
        number: u64,
        /// Which.
        wanted: Wanted,
    },
    /// What the sender holds in ranges that it was asked for; those left out may be asked for again.
    RangesTold {
        /// The exchange.
        number: u64,
        /// What it holds.
        told: Told,
    },
    /// In a crowd: whether the sender leans on the receiver, who is to send it all that is new.
    Lean {
        /// Whether it does.
        leans: bool,
    },
    /// In a crowd: another neighbour feeds the sender what is new of an actor.
    Spare {
        /// Whose messages.
        actor: Actor,
    },
    /// Whatever has this digest is on the sender's disk.
    Kept {
        /// Of all that it held.
        digest: Digest,
    },
}

const HELLO: u64 = 0;
const OPEN: u64 = 1;
const CLOSE: u64 = 2;
const BEAT: u64 = 3;
const PONG: u64 = 4;
const REDEEM: u64 = 5;
const WELCOME: u64 = 6;
const REFUSED: u64 = 7;
const FAREWELL: u64 = 8;
const FORMER: u64 = 9;
const VECTOR: u64 = 16;
const RUN: u64 = 17;
const CREDIT: u64 = 18;
const ACK: u64 = 19;
const FOUNDING: u64 = 20;
const BACKLOG: u64 = 21;
const LIVE: u64 = 22;
const HORIZON: u64 = 23;
const GROUND_WANTED: u64 = 24;
const GROUND_PIECE: u64 = 25;
const SIGHT: u64 = 26;
const LINKS: u64 = 27;
const FORK: u64 = 28;
const RANGES: u64 = 32;
const RANGES_WANTED: u64 = 33;
const RANGES_TOLD: u64 = 34;
const KEPT: u64 = 35;
const LEAN: u64 = 36;
const SPARE: u64 = 37;
const PRESENCE: u64 = 40;
const DRAFT: u64 = 41;

/// Whether a frame concerns a room: one that does not is about the connection. Looks at nothing but its kind.
pub fn is_about_room(frame: &[u8]) -> bool {
    let kind = frame.get(1).copied().map(u64::from);
    kind.is_some_and(|kind| (VECTOR..=LIVE).contains(&kind))
}

/// Whether a frame is a heartbeat or its answer, which another one makes up for. Looks at nothing but its kind.
pub fn is_heartbeat(frame: &[u8]) -> bool {
    matches!(frame.get(1).copied().map(u64::from), Some(BEAT | PONG))
}

impl LinkFrame {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Hello { nonce } => writer.array(2).uint(HELLO).bytes(nonce),
            Self::Open { channel, tag, proof } => {
                writer.array(4).uint(OPEN).uint(*channel).bytes(tag).bytes(proof)
            }
            Self::Close { channel } => writer.array(2).uint(CLOSE).uint(*channel),
            Self::Beat { ping, digests } => {
                writer.array(3).uint(BEAT).uint(*ping).array(digests.len());
                for (channel, digest) in digests {
                    writer.array(2).uint(*channel).bytes(digest);
                }
                &mut writer
            }
            Self::Pong { ping } => writer.array(2).uint(PONG).uint(*ping),
            Self::Redeem(Claim { tag, proof }) => writer.array(3).uint(REDEEM).bytes(tag).bytes(proof),
            Self::Welcome { tag, founding, secret } => {
                writer.array(4).uint(WELCOME).bytes(tag).bytes(founding).bytes(&secret.0)
            }
            Self::Refused { tag, why } => writer.array(3).uint(REFUSED).bytes(tag).uint(why.number()),
            Self::Farewell => writer.array(1).uint(FAREWELL),
            Self::Former(Former { key, signature }) => {
                writer.array(3).uint(FORMER).bytes(&key.0).bytes(&signature.0)
            }
            Self::Live { channel, content } => writer.array(3).uint(LIVE).uint(*channel).bytes(content),
            Self::Room { channel, frame } => frame.encode(*channel, &mut writer),
        };
        writer.finish()
    }

    /// Reads a frame; nothing where its kind is unknown.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(DecodeError::TooLong { what: "frame", found: bytes.len(), limit: FRAME_BYTES_MAX });
        }
        let mut reader = Reader::new(bytes);
        let items = reader.array(8, "a frame")?;
        let frame = match reader.uint()? {
            HELLO => Self::Hello { nonce: reader.bytes_of()? },
            OPEN => {
                Self::Open { channel: reader.uint()?, tag: reader.bytes_of()?, proof: reader.bytes_of()? }
            }
            CLOSE => Self::Close { channel: reader.uint()? },
            BEAT => Self::Beat { ping: reader.uint()?, digests: decode_digests(&mut reader)? },
            PONG => Self::Pong { ping: reader.uint()? },
            REDEEM => Self::Redeem(Claim { tag: reader.bytes_of()?, proof: reader.bytes_of()? }),
            WELCOME => Self::Welcome {
                tag: reader.bytes_of()?,
                founding: reader.bytes(FOUNDING_BYTES_MAX, "founding message")?,
                secret: Secret(reader.bytes_of()?),
            },
            REFUSED => {
                Self::Refused { tag: reader.bytes_of()?, why: InviteRefusal::of_number(reader.uint()?) }
            }
            FAREWELL => Self::Farewell,
            FORMER => Self::Former(Former {
                key: PeerKey(reader.bytes_of()?),
                signature: Signature(reader.bytes_of()?),
            }),
            LIVE => Self::Live { channel: reader.uint()?, content: reader.bytes(FRAME_BYTES_MAX, "a run")? },
            kind @ (VECTOR..=BACKLOG | HORIZON..=FORK | RANGES..=SPARE | PRESENCE | DRAFT) => {
                let channel = reader.uint()?;
                Self::Room { channel, frame: RoomFrame::decode(kind, items, &mut reader)? }
            }
            _ => return Ok(None),
        };
        reader.finish()?;
        Ok(Some(frame))
    }
}

impl RoomFrame {
    fn encode<'w>(&self, channel: u64, writer: &'w mut Writer) -> &'w mut Writer {
        match self {
            Self::Vector { held, runs_taken, exact } => {
                writer.array(5).uint(VECTOR).uint(channel).uint(*runs_taken).uint(u64::from(*exact));
                encode_vector(held, writer);
            }
            Self::Run { run } => {
                writer.array(6).uint(RUN).uint(channel);
                run.encode(writer);
            }
            Self::Backlog { content } => {
                writer.array(3).uint(BACKLOG).uint(channel).bytes(content);
            }
            Self::Credit { bytes } => {
                writer.array(3).uint(CREDIT).uint(channel).uint(*bytes);
            }
            Self::Ack { durable } => {
                writer.array(3).uint(ACK).uint(channel);
                encode_vector(durable, writer);
            }
            Self::Founding { bytes } => {
                writer.array(3).uint(FOUNDING).uint(channel).bytes(bytes);
            }
            Self::Horizon { before, content, whole_bytes, packed_bytes, keepers, voucher } => {
                // Whoever reads a voucher has read keepers, if only that there are none.
                let more = if voucher.is_empty() { usize::from(!keepers.is_empty()) } else { 2 };
                writer.array(6 + more).uint(HORIZON).uint(channel);
                writer.bytes(&before.0).bytes(content).uint(*whole_bytes).uint(*packed_bytes);
                if more > 0 {
                    write_former(keepers, writer);
                }
                if more > 1 {
                    writer.bytes(voucher);
                }
            }
            Self::GroundWanted { ground, from } => {
                writer.array(4).uint(GROUND_WANTED).uint(channel).bytes(&ground.0).uint(*from);
            }
            Self::GroundPiece { ground, from, bytes } => {
                writer.array(5).uint(GROUND_PIECE).uint(channel).bytes(&ground.0).uint(*from).bytes(bytes);
            }
            Self::Sight(Sight { basis, state }) => {
                writer.array(4).uint(SIGHT).uint(channel).bytes(basis).bytes(&state.0);
            }
            Self::Links { links } => {
                writer.array(3).uint(LINKS).uint(channel);
                encode_links(links, writer);
            }
            Self::Fork { proof } => {
                writer.array(3).uint(FORK).uint(channel).bytes(proof);
            }
            Self::Show { session, seq, part, content } => {
                let kind = match part {
                    Part::Presence => PRESENCE,
                    Part::Draft => DRAFT,
                };
                writer.array(5).uint(kind).uint(channel).bytes(&session.0).uint(*seq).bytes(content);
            }
            Self::Ranges(Opening { number, runs_taken, exact, sums }) => {
                writer.array(6).uint(RANGES).uint(channel).uint(*number).uint(*runs_taken);
                writer.uint(u64::from(*exact)).bytes(sums.as_flattened());
            }
            Self::RangesWanted { number, wanted } => {
                writer.array(5).uint(RANGES_WANTED).uint(channel).uint(*number);
                for ranges in [&wanted.sums, &wanted.names] {
                    writer.array(ranges.len());
                    ranges.iter().for_each(|range| _ = writer.uint(range.number()));
                }
            }
            Self::RangesTold { number, told } => {
                writer.array(5).uint(RANGES_TOLD).uint(channel).uint(*number);
                encode_told(told, writer);
            }
            Self::Kept { digest } => {
                writer.array(3).uint(KEPT).uint(channel).bytes(digest);
            }
            Self::Lean { leans } => {
                writer.array(3).uint(LEAN).uint(channel).uint(u64::from(*leans));
            }
            Self::Spare { actor } => {
                writer.array(3).uint(SPARE).uint(channel).bytes(&actor.0);
            }
        }
        writer
    }

    fn decode(kind: u64, items: usize, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            VECTOR => Self::Vector {
                runs_taken: reader.uint()?,
                exact: reader.uint()? != 0,
                held: decode_vector(reader)?,
            },
            RUN => Self::Run { run: Run::decode(reader)? },
            BACKLOG => Self::Backlog { content: reader.bytes(FRAME_BYTES_MAX, "a backlog")?.into() },
            CREDIT => Self::Credit { bytes: reader.uint()? },
            ACK => Self::Ack { durable: decode_vector(reader)? },
            HORIZON => Self::Horizon {
                before: ChainLink(reader.bytes_of()?),
                content: reader.bytes(FRAME_BYTES_MAX, "a horizon")?.into(),
                whole_bytes: reader.uint()?,
                packed_bytes: reader.uint()?,
                keepers: if items > 6 { read_former(reader)? } else { Vec::new() },
                voucher: if items > 7 { reader.bytes(FRAME_BYTES_MAX, "a horizon")? } else { Vec::new() },
            },
            GROUND_WANTED => {
                Self::GroundWanted { ground: StateHash(reader.bytes_of()?), from: reader.uint()? }
            }
            GROUND_PIECE => Self::GroundPiece {
                ground: StateHash(reader.bytes_of()?),
                from: reader.uint()?,
                bytes: reader.bytes(GROUND_PIECE_BYTES_MAX, "a piece of a ground")?,
            },
            SIGHT => Self::Sight(Sight { basis: reader.bytes_of()?, state: StateHash(reader.bytes_of()?) }),
            LINKS => Self::Links { links: decode_links(reader)? },
            FORK => Self::Fork { proof: reader.bytes(FORK_BYTES_MAX, "a fork")?.into() },
            PRESENCE | DRAFT => Self::Show {
                session: Session(reader.bytes_of()?),
                seq: reader.uint()?,
                part: if kind == PRESENCE { Part::Presence } else { Part::Draft },
                content: reader.bytes(FRAME_BYTES_MAX, "what a session shows")?,
            },
            RANGES => Self::Ranges(Opening {
                number: reader.uint()?,
                runs_taken: reader.uint()?,
                exact: reader.uint()? != 0,
                sums: decode_sums(reader)?,
            }),
            RANGES_WANTED => Self::RangesWanted {
                number: reader.uint()?,
                wanted: Wanted { sums: decode_ranges(reader)?, names: decode_ranges(reader)? },
            },
            RANGES_TOLD => Self::RangesTold { number: reader.uint()?, told: decode_told(reader)? },
            KEPT => Self::Kept { digest: reader.bytes_of()? },
            LEAN => Self::Lean { leans: reader.uint()? != 0 },
            SPARE => Self::Spare { actor: Actor(reader.bytes_of()?) },
            _ => Self::Founding { bytes: reader.bytes(FOUNDING_BYTES_MAX, "founding message")? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Signature;
    use crate::limits::LAMPORT_MAX;
    use crate::sync::ranges::{PARTS, Range};

    fn check(frame: LinkFrame) {
        let bytes = frame.encode();
        assert_eq!(LinkFrame::decode(&bytes), Ok(Some(frame)));
        for cut in 0..bytes.len() {
            assert!(LinkFrame::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn frames_round_trip_and_cut_ones_are_refused() {
        let actor = Actor::from_name("a");
        let range = |number| Range::new(number).unwrap();
        let held: VersionVector = [(actor, 3), (Actor::from_name("b"), 1)].into_iter().collect();
        let run = Run {
            actor,
            first: 2,
            bodies: [&[1, 2][..], &[]].into_iter().collect(),
            signature: Signature([7; 64]),
        };
        check(LinkFrame::Hello { nonce: [1; 32] });
        check(LinkFrame::Open { channel: 1, tag: [2; 16], proof: [3; 32] });
        check(LinkFrame::Close { channel: 1 });
        check(LinkFrame::Beat { ping: 9, digests: vec![(1, [4; 16])] });
        check(LinkFrame::Pong { ping: 9 });
        check(LinkFrame::Redeem(Claim { tag: [2; 16], proof: [3; 32] }));
        check(LinkFrame::Welcome { tag: [2; 16], founding: vec![1, 2], secret: Secret([4; 32]) });
        check(LinkFrame::Refused { tag: [2; 16], why: InviteRefusal::Spent });
        check(LinkFrame::Farewell);
        check(LinkFrame::Former(Former { key: PeerKey([3; 32]), signature: Signature([4; 64]) }));
        check(LinkFrame::Live { channel: 9, content: vec![1, 2, 3] });
        for frame in [
            RoomFrame::Vector { held: held.clone(), runs_taken: 5, exact: true },
            RoomFrame::Run { run },
            RoomFrame::Backlog { content: [1, 2, 3].into() },
            RoomFrame::Credit { bytes: 1000 },
            RoomFrame::Ack { durable: held },
            RoomFrame::Founding { bytes: vec![1, 2, 3] },
            RoomFrame::Horizon {
                before: ChainLink([5; 32]),
                content: [1, 2].into(),
                whole_bytes: 7,
                packed_bytes: 300,
                keepers: vec![Former { key: PeerKey([3; 32]), signature: Signature([4; 64]) }],
                voucher: vec![8, 9],
            },
            RoomFrame::Horizon {
                before: ChainLink([5; 32]),
                content: [1, 2].into(),
                whole_bytes: 7,
                packed_bytes: 300,
                keepers: Vec::new(),
                voucher: vec![8, 9],
            },
            RoomFrame::GroundWanted { ground: StateHash([6; 32]), from: 70_000 },
            RoomFrame::GroundPiece { ground: StateHash([6; 32]), from: 0, bytes: vec![1, 2, 3] },
            RoomFrame::Sight(Sight { basis: [7; 16], state: StateHash([8; 32]) }),
            RoomFrame::Show { session: Session([9; 8]), seq: 3, part: Part::Draft, content: vec![1, 2, 3] },
            RoomFrame::Ranges(Opening { number: 7, runs_taken: 8, exact: true, sums: [[9; 6]; PARTS] }),
            RoomFrame::RangesWanted {
                number: 7,
                wanted: Wanted { sums: vec![range(0x1a)], names: vec![range(0x1b), range(1)] },
            },
            RoomFrame::RangesTold {
                number: 7,
                told: Told {
                    sums: vec![(range(0x1f), [[3; 6]; PARTS])],
                    names: vec![(range(0x10), vec![(actor, 300)]), (range(0x11), vec![])],
                },
            },
            RoomFrame::Kept { digest: [4; 16] },
            RoomFrame::Links { links: vec![Head { actor, seq: 3, link: [5; 16] }] },
            RoomFrame::Fork { proof: [1, 2, 3].into() },
            RoomFrame::Lean { leans: true },
            RoomFrame::Spare { actor },
        ] {
            check(LinkFrame::Room { channel: 300, frame });
        }
    }

    #[test]
    fn nobody_holds_more_messages_than_there_can_be() {
        for seq in [u64::MAX, LAMPORT_MAX + 1] {
            let held: VersionVector = [(Actor::from_name("a"), seq)].into_iter().collect();
            let bytes = LinkFrame::Room { channel: 1, frame: RoomFrame::Ack { durable: held } }.encode();
            assert!(LinkFrame::decode(&bytes).is_err());
        }
    }

    #[test]
    fn unknown_kinds_are_skipped() {
        let mut writer = Writer::new();
        writer.array(2).uint(99).text("news");
        assert_eq!(LinkFrame::decode(&writer.finish()), Ok(None));
    }
}
