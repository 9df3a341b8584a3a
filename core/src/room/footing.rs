//! What a room stands on: the ground that a horizon leaves, and what is needed to judge the messages after it.
//!
//! A message counts only if it has seen all that lies in the horizon. Its clock names what is new since its author's message before; so
//! of the last message of each author in the horizon it must be known whom it had seen to the end.

use crate::block;
use crate::canonical::{DecodeError, Reader, Writer};
use crate::clock::VersionVector;
use crate::ground::Ground;
use crate::horizon::Horizon;
use crate::id::{Actor, Dot, StateHash};
use crate::limits::{FRONTIER_BYTES_MAX, GROUND_BYTES_MAX, GROUND_PACKED_BYTES_MAX};
use crate::message::Message;
use crate::op::TABLE_VERSION;

/// Separates these hashes from every other use of the hash function.
const HASH_CONTEXT: &str = "rtc 2026 footing 1";

/// A ground, and who in it had seen whom.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Footing {
    pub(super) ground: Ground,
    /// For each actor of the ground in order a bit for each: whether its last message had seen the other's last.
    seen: Vec<Box<[u8]>>,
}

/// A footing as its horizon names it and as it travels and rests.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// The horizon's message.
    pub(super) dot: Dot,
    pub(super) horizon: Horizon,
    pub(super) packed: PackedFooting,
}

/// The bytes of a footing, deflated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PackedFooting {
    /// How many they are when they are inflated.
    pub(super) whole_bytes: usize,
    pub(super) deflated: std::sync::Arc<[u8]>,
}

/// Why a ground that a horizon names is not stood on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FootingError {
    /// It is larger than this version takes.
    #[error(
        "a ground of {bytes} bytes, {packed} packed, exceeds {GROUND_BYTES_MAX} or {GROUND_PACKED_BYTES_MAX}"
    )]
    TooLarge {
        /// Unpacked.
        bytes: u64,
        /// Packed.
        packed: u64,
    },
    /// It is not what the ticket into the room names.
    #[error("the horizon {dot} is older than {named}, which the ticket names, or another one of that number")]
    Landmark {
        /// The horizon.
        dot: Dot,
        /// The ticket's.
        named: Dot,
    },
    /// It cannot be read.
    #[error("the ground cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// It was folded by another version of the operation table.
    #[error(
        "the horizon {dot} was folded by operation table {table}, this one is {TABLE_VERSION}: use the newer rtc everywhere"
    )]
    Table {
        /// The horizon.
        dot: Dot,
        /// Its table.
        table: u32,
    },
    /// It is not what the horizon says.
    #[error("the horizon {dot} says ground {said}, what is held gives {found}")]
    Hash {
        /// The horizon.
        dot: Dot,
        /// What it says.
        said: StateHash,
        /// What was computed.
        found: StateHash,
    },
    /// An op in it is not known here.
    #[error("nothing is forgotten: {0}")]
    Unfoldable(#[from] crate::ground::Unfoldable),
}

impl Footing {
    /// A ground; `has_seen` says whether the first actor's last message in it had seen the second's.
    pub(super) fn of(ground: Ground, has_seen: impl Fn(&Actor, &Actor) -> bool) -> Self {
        let actors: Vec<Actor> = ground.version.iter().map(|(actor, _)| actor).collect();
        let row = |of: &Actor| {
            let mut bits = vec![0_u8; actors.len().div_ceil(8)].into_boxed_slice();
            for (ix, _) in actors.iter().enumerate().filter(|(_, other)| has_seen(of, other)) {
                bits[ix / 8] |= 1 << (ix % 8);
            }
            bits
        };
        Self { seen: actors.iter().map(row).collect(), ground }
    }

    /// Whom the last message of an actor had seen to the end, and to which number that is.
    pub(super) fn clock(&self, actor: &Actor) -> VersionVector {
        let Some(bits) = self.ground.version.iter().position(|(of, _)| of == *actor).map(|ix| &self.seen[ix])
        else {
            return VersionVector::default();
        };
        let all = self.ground.version.iter().enumerate();
        let seen = all.filter(|(ix, (other, _))| bits[ix / 8] & 1 << (ix % 8) != 0 && other != actor);
        seen.map(|(_, head)| head).collect()
    }

    /// The hash that its horizon names.
    pub(super) fn hash(&self) -> StateHash {
        StateHash(blake3::derive_key(HASH_CONTEXT, &self.encode()))
    }

    /// The canonical bytes: `[ground, [bits…]]`.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(2).bytes(&self.ground.encode()).array(self.seen.len());
        self.seen.iter().for_each(|bits| _ = writer.bytes(bits));
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array_of(2, "a footing")?;
        let ground = Ground::decode(reader.slice(bytes.len(), "ground")?)?;
        let actors = ground.version.len();
        reader.array_of(actors, "who has seen whom")?;
        let mut seen = Vec::with_capacity(actors);
        for _ in 0..actors {
            let bits = reader.slice(actors.div_ceil(8), "a row of bits")?;
            if bits.len() != actors.div_ceil(8) {
                return Err(DecodeError::NotCanonical);
            }
            seen.push(bits.into());
        }
        reader.finish()?;
        Ok(Self { ground, seen })
    }

    /// The bytes, deflated.
    pub(super) fn pack(&self) -> PackedFooting {
        let bytes = self.encode();
        PackedFooting { whole_bytes: bytes.len(), deflated: block::deflate(&bytes).into() }
    }
}

impl PackedFooting {
    /// Reads a footing, which must be the one that the horizon names.
    pub(super) fn open(&self, dot: Dot, horizon: &Horizon) -> Result<Footing, FootingError> {
        let (bytes, packed) = (self.whole_bytes as u64, self.deflated.len() as u64);
        if self.whole_bytes > GROUND_BYTES_MAX || self.deflated.len() > GROUND_PACKED_BYTES_MAX {
            return Err(FootingError::TooLarge { bytes, packed });
        }
        if !horizon.is_foldable() {
            return Err(FootingError::Table { dot, table: horizon.table });
        }
        // Nothing deflated becomes that much (RFC 1951: 258 bytes for two bits).
        if bytes > packed.saturating_mul(1032) {
            return Err(DecodeError::NotCanonical.into());
        }
        let bytes =
            block::inflate(&self.deflated, self.whole_bytes).map_err(|_| DecodeError::NotCanonical)?;
        let (said, found) = (horizon.ground, StateHash(blake3::derive_key(HASH_CONTEXT, &bytes)));
        if said != found {
            return Err(FootingError::Hash { dot, said, found });
        }
        let footing = Footing::decode(&bytes)?;
        if footing.ground.version != horizon.frontier.version() {
            return Err(DecodeError::NotCanonical.into());
        }
        Ok(footing)
    }
}

impl Standing {
    /// The bytes that the store keeps.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Horizon { before, frontier, ground, table } = &self.horizon;
        let mut writer = Writer::new();
        writer
            .array(7)
            .text(&self.dot.to_string())
            .text_or_null(before.map(|dot| dot.to_string()).as_deref());
        writer.text(&frontier.encode()).bytes(&ground.0).uint((*table).into());
        writer.uint(self.packed.whole_bytes as u64).bytes(&self.packed.deflated);
        writer.finish()
    }

    /// Reads what the store kept.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const MALFORMED: DecodeError = DecodeError::NotCanonical;
        let mut reader = Reader::new(bytes);
        reader.array_of(7, "a ground")?;
        let dot = |text: &str| text.parse::<Dot>().map_err(|_| MALFORMED);
        let this = dot(reader.str(bytes.len(), "message id")?)?;
        let before = reader.str_or_null(bytes.len(), "message id")?.map(dot).transpose()?;
        let frontier = crate::horizon::Frontier::decode(reader.str(FRONTIER_BYTES_MAX, "frontier")?);
        let horizon = Horizon {
            before,
            frontier: frontier.ok_or(MALFORMED)?,
            ground: StateHash(reader.bytes_of()?),
            table: u32::try_from(reader.uint()?).map_err(|_| MALFORMED)?,
        };
        let whole_bytes = usize::try_from(reader.uint()?).map_err(|_| MALFORMED)?;
        let deflated = reader.slice(bytes.len(), "ground")?.into();
        reader.finish()?;
        Ok(Self { dot: this, horizon, packed: PackedFooting { whole_bytes, deflated } })
    }
}

/// Messages that a horizon left outside, as the store keeps them: `[[actor, body]…]`.
pub(super) fn encode_outside<'a>(messages: impl ExactSizeIterator<Item = &'a Message>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(messages.len());
    for message in messages {
        writer.array(2).bytes(&message.actor.0).bytes(&message.encode());
    }
    writer.finish()
}

/// Reads what [`encode_outside`] wrote.
pub(super) fn decode_outside(bytes: &[u8]) -> Result<Vec<Message>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut messages = Vec::new();
    for _ in 0..reader.array(bytes.len(), "messages")? {
        reader.array_of(2, "a message")?;
        let actor = Actor(reader.bytes_of()?);
        messages.push(Message::decode(actor, reader.slice(bytes.len(), "message")?)?);
    }
    reader.finish()?;
    Ok(messages)
}
