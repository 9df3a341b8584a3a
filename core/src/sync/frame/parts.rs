//! What several frames have in common: vectors, digests, claims, and what is told of ranges.

use crate::canonical::{DecodeError, Reader, Writer};
use crate::clock::VersionVector;
use crate::id::Actor;
use crate::limits::{LAMPORT_MAX, LINK_ROOMS_MAX, LINKS_TOLD_MAX, RANGE_NAMES_MAX, RANGES_ASKED_MAX};
use crate::message::Head;
use crate::sync::frame::Digest;
use crate::sync::ranges::{PARTS, Range, Sum, Sums, Told};

/// Shows that somebody has an invitation's secret, to who made it and to nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Names the invitation to who knows its secret; other on every connection.
    pub tag: [u8; 16],
    /// Shows that the sender knows it.
    pub proof: [u8; 32],
}

/// Actors a vector may list in one frame.
const VECTOR_ENTRIES_MAX: usize = 65_536;

pub(super) fn encode_vector(vector: &VersionVector, writer: &mut Writer) {
    writer.array(vector.len() * 2);
    for (actor, seq) in vector.iter() {
        writer.bytes(&actor.0).uint(seq);
    }
}

pub(super) fn decode_vector(reader: &mut Reader<'_>) -> Result<VersionVector, DecodeError> {
    let len = reader.array(VECTOR_ENTRIES_MAX * 2, "a version vector")?;
    (0..len / 2).map(|_| decode_entry(reader)).collect()
}

pub(super) fn decode_entry(reader: &mut Reader<'_>) -> Result<(Actor, u64), DecodeError> {
    let (actor, seq) = (Actor(reader.bytes_of()?), reader.uint()?);
    match seq {
        // Each message has a greater lamport than its actor's one before, so no number is greater than that.
        1..=LAMPORT_MAX => Ok((actor, seq)),
        _ => Err(unexpected("a message's number")),
    }
}

pub(super) fn decode_sums(reader: &mut Reader<'_>) -> Result<Sums, DecodeError> {
    let bytes = reader.bytes_of::<{ PARTS * size_of::<Sum>() }>()?;
    let mut sums = Sums::default();
    sums.as_flattened_mut().copy_from_slice(&bytes);
    Ok(sums)
}

pub(super) fn decode_range(reader: &mut Reader<'_>) -> Result<Range, DecodeError> {
    Range::new(reader.uint()?).ok_or(unexpected("a range's number"))
}

pub(super) fn decode_ranges(reader: &mut Reader<'_>) -> Result<Vec<Range>, DecodeError> {
    let len = reader.array(RANGES_ASKED_MAX, "ranges asked for")?;
    (0..len).map(|_| decode_range(reader)).collect()
}

pub(super) fn encode_told(told: &Told, writer: &mut Writer) {
    writer.array(told.sums.len() * 2);
    for (range, sums) in &told.sums {
        writer.uint(range.number()).bytes(sums.as_flattened());
    }
    writer.array(told.names.len() * 2);
    for (range, names) in &told.names {
        writer.uint(range.number()).array(names.len() * 2);
        for (actor, seq) in names {
            writer.bytes(&actor.0).uint(*seq);
        }
    }
}

pub(super) fn decode_told(reader: &mut Reader<'_>) -> Result<Told, DecodeError> {
    let sums = reader.array(RANGES_ASKED_MAX * 2, "sums of ranges")? / 2;
    let sums =
        (0..sums).map(|_| Ok((decode_range(reader)?, decode_sums(reader)?))).collect::<Result<_, _>>()?;
    let names = reader.array(RANGES_ASKED_MAX * 2, "names of ranges")? / 2;
    let of_range = |_| {
        let range = decode_range(reader)?;
        let names = reader.array(RANGE_NAMES_MAX * 2, "actors of a range")? / 2;
        Ok((range, (0..names).map(|_| decode_entry(reader)).collect::<Result<_, _>>()?))
    };
    Ok(Told { sums, names: (0..names).map(of_range).collect::<Result<_, _>>()? })
}

pub(super) fn encode_links(links: &[Head], writer: &mut Writer) {
    writer.array(links.len() * 3);
    for Head { actor, seq, link } in links {
        writer.bytes(&actor.0).uint(*seq).bytes(link);
    }
}

pub(super) fn decode_links(reader: &mut Reader<'_>) -> Result<Vec<Head>, DecodeError> {
    let len = reader.array(LINKS_TOLD_MAX * 3, "links")? / 3;
    let link = |_| {
        let (actor, seq) = decode_entry(reader)?;
        Ok(Head { actor, seq, link: reader.bytes_of()? })
    };
    (0..len).map(link).collect()
}

pub(super) fn unexpected(expected: &'static str) -> DecodeError {
    DecodeError::Unexpected { expected, offset: 0 }
}

pub(super) fn decode_digests(reader: &mut Reader<'_>) -> Result<Vec<(u64, Digest)>, DecodeError> {
    let len = reader.array(LINK_ROOMS_MAX, "rooms of a connection")?;
    (0..len)
        .map(|_| {
            reader.array_of(2, "a digest")?;
            Ok((reader.uint()?, reader.bytes_of()?))
        })
        .collect()
}
