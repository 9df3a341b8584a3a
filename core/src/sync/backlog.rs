//! A backlog frame's content: runs in a causal order, their messages packed by actor.
//!
//! What it says does not depend on who gets it: so what one peer was sent can be sent to the next.

use std::collections::BTreeMap;

use crate::block;
use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::Signature;
use crate::id::Actor;
use crate::limits::{
    BACKLOG_COST_MIN, BACKLOG_RUN_MESSAGES_MAX, BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX, FRAME_BYTES_MAX,
    LAMPORT_MAX, PIECE_BYTES_MAX, RUN_BYTES_MAX,
};
use crate::sync::Run;

/// What a frame is cut to where it would exceed [`PIECE_BYTES_MAX`]: parts are never quite alike.
const CUT_BYTES: usize = PIECE_BYTES_MAX / 8 * 7;
/// Bytes of bodies that are packed first, to see how much that takes off.
const PORTION_BYTES: usize = PIECE_BYTES_MAX * 8;
/// Actors one frame may pack, and runs it may have: no more than it has bytes to name them.
const RUNS_MAX: usize = 65_536;

/// Packs `runs` into few frames that stay below [`PIECE_BYTES_MAX`], or have one run; says how many runs each has.
///
/// The runs stand in a causal order, and stay in it. Together they have at most [`BLOCK_BYTES_MAX`] and [`BLOCK_MESSAGES_MAX`].
pub fn pack(runs: &[Run]) -> Vec<(Vec<u8>, usize)> {
    let mut frames = Vec::new();
    let mut rest = runs;
    // How much packing takes off is known when something was packed; it is about the same for what follows.
    let mut portion = PORTION_BYTES;
    let mut may_grow = true;
    while !rest.is_empty() {
        let (now, bytes) = fitting(rest, portion);
        let packed = pack_one(&rest[..now]);
        portion = bytes * CUT_BYTES / packed.len();
        let is_too_large = packed.len() > PIECE_BYTES_MAX && now > 1;
        let is_too_small = packed.len() < CUT_BYTES / 2 && may_grow && fitting(rest, portion).0 > now;
        if !is_too_large && !is_too_small {
            frames.push((packed, now));
            rest = &rest[now..];
        }
        // What was too much once with the runs that follow would be again.
        may_grow = !is_too_large;
    }
    frames
}

/// How many runs have no more than so many bytes of bodies, but at least one; and how many bytes.
fn fitting(runs: &[Run], body_bytes_max: usize) -> (usize, usize) {
    let mut bytes = runs[0].body_bytes();
    let more = runs[1..].iter().take_while(|run| {
        let fits = bytes + run.body_bytes() <= body_bytes_max;
        bytes += if fits { run.body_bytes() } else { 0 };
        fits
    });
    (1 + more.count(), bytes)
}

/// What a frame with this content costs of the receiver's credit, in bytes.
pub fn cost(content: &[u8]) -> usize {
    content.len().max(BACKLOG_COST_MIN)
}

/// `[[actor, first, block, …], [block, messages, signature, …]]`
fn pack_one(runs: &[Run]) -> Vec<u8> {
    let mut blocks: Vec<(Actor, u64, Vec<&[u8]>)> = Vec::new();
    let mut of_actor: BTreeMap<Actor, usize> = BTreeMap::new();
    let mut order = Vec::with_capacity(runs.len());
    for run in runs {
        let goes_on = of_actor.get(&run.actor).copied().filter(|&index| {
            let (_, first, bodies) = &blocks[index];
            first + bodies.len() as u64 == run.first
        });
        let index = goes_on.unwrap_or(blocks.len());
        if goes_on.is_none() {
            of_actor.insert(run.actor, index);
            blocks.push((run.actor, run.first, Vec::new()));
        }
        blocks[index].2.extend(&run.bodies);
        order.push(index);
    }
    let mut writer = Writer::new();
    writer.array(2).array(blocks.len() * 3);
    for (actor, first, bodies) in &blocks {
        let block = block::encode(bodies).expect("a backlog holds no more than a block");
        writer.bytes(&actor.0).uint(*first).bytes(&block);
    }
    writer.array(runs.len() * 3);
    for (run, index) in runs.iter().zip(order) {
        writer.uint(index as u64).uint(run.bodies.len() as u64).bytes(&run.signature.0);
    }
    writer.finish()
}

/// Unpacks a frame's content.
pub fn unpack(content: &[u8]) -> Result<Vec<Run>, DecodeError> {
    let mut reader = Reader::new(content);
    reader.array_of(2, "a backlog")?;
    let (mut messages, mut body_bytes) = (0, 0);
    let mut blocks = Vec::new();
    for _ in 0..triples(&mut reader, "blocks")? {
        let (actor, first) = (Actor(reader.bytes_of()?), reader.uint()?);
        let block = reader.bytes(FRAME_BYTES_MAX, "a block")?;
        let (count, bytes) = block::size(&block).map_err(|_| unexpected("a block"))?;
        // Before any is unpacked: many blocks are no way around the limits of one.
        messages += count;
        body_bytes += bytes;
        for (what, found, limit) in [
            ("messages of a backlog", messages, BLOCK_MESSAGES_MAX),
            ("backlog", body_bytes, BLOCK_BYTES_MAX),
        ] {
            if found > limit {
                return Err(DecodeError::TooLong { what, found, limit });
            }
        }
        if !(1..=LAMPORT_MAX - count as u64).contains(&first) {
            return Err(unexpected("a message's number"));
        }
        blocks.push((actor, first, block));
    }
    let mut unpacked = Vec::with_capacity(blocks.len());
    for (actor, first, block) in blocks {
        unpacked.push((actor, first, 0, block::decode(&block).map_err(|_| unexpected("a block"))?));
    }
    let mut runs = Vec::new();
    for _ in 0..triples(&mut reader, "runs")? {
        let (index, messages) = (small(reader.uint()?), small(reader.uint()?));
        let signature = Signature(reader.bytes_of()?);
        let (actor, first, taken, bodies) = unpacked.get_mut(index).ok_or(unexpected("a block's number"))?;
        let end = *taken + messages.min(BACKLOG_RUN_MESSAGES_MAX + 1);
        if !(1..=BACKLOG_RUN_MESSAGES_MAX).contains(&messages) || end > bodies.len() {
            return Err(unexpected("a run of messages that are there"));
        }
        let (first, of_run) = (*first + *taken as u64, bodies.part(*taken..end));
        let run = Run { actor: *actor, first, bodies: of_run, signature };
        if run.body_bytes() > RUN_BYTES_MAX {
            return Err(DecodeError::TooLong { what: "run", found: run.body_bytes(), limit: RUN_BYTES_MAX });
        }
        *taken = end;
        runs.push(run);
    }
    reader.finish()?;
    match unpacked.iter().all(|(_, _, taken, bodies)| *taken == bodies.len()) {
        true => Ok(runs),
        false => Err(unexpected("a signature over every message")),
    }
}

fn triples(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, DecodeError> {
    let items = reader.array(RUNS_MAX * 3, what)?;
    if items.is_multiple_of(3) { Ok(items / 3) } else { Err(unexpected(what)) }
}

fn unexpected(expected: &'static str) -> DecodeError {
    DecodeError::Unexpected { expected, offset: 0 }
}

fn small(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of two actors in turn.
    fn runs(count: u64, body_bytes: usize) -> Vec<Run> {
        let body =
            |seq: u64| seq.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().repeat(8)[..body_bytes].to_vec();
        let run = |index: u64| Run {
            actor: Actor::from_name(["a", "b"][usize::from(index & 1 == 1)]),
            first: index / 2 * 3 + 1,
            bodies: (0..3).map(|at| body(index * 3 + at)).collect(),
            signature: Signature(index.to_be_bytes().repeat(8).try_into().expect("64 bytes")),
        };
        (0..count).map(run).collect()
    }

    #[test]
    fn runs_come_back_in_their_order() {
        for runs in [runs(1, 50), runs(7, 50), runs(40, 0)] {
            let frames = pack(&runs);
            assert_eq!(frames.len(), 1);
            assert_eq!(unpack(&frames[0].0), Ok(runs));
        }
        assert!(pack(&[]).is_empty());
    }

    #[test]
    fn what_is_too_much_for_one_frame_goes_in_several() {
        let runs = runs(2000, 40);
        let frames = pack(&runs);
        assert!(frames.len() > 1 && frames.iter().all(|(frame, _)| frame.len() <= PIECE_BYTES_MAX));
        let unpacked: Vec<_> = frames.iter().map(|(frame, _)| unpack(frame).unwrap()).collect();
        assert!(unpacked.iter().map(Vec::len).eq(frames.iter().map(|&(_, runs)| runs)));
        assert_eq!(unpacked.concat(), runs);
    }

    #[test]
    fn what_is_damaged_is_an_error_or_runs_within_the_limits() {
        let (frame, _) = pack(&runs(4, 20)).remove(0);
        for cut in 0..frame.len() {
            assert!(unpack(&frame[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for run in unpack(&flipped).into_iter().flatten() {
                let messages = run.bodies.len();
                assert!((1..=BACKLOG_RUN_MESSAGES_MAX).contains(&messages), "bit {bit}: {messages} messages");
            }
        }
    }

    #[test]
    fn messages_that_nobody_signed_are_refused() {
        let all = runs(1, 20);
        let block = block::encode(&all[0].bodies.iter().collect::<Vec<_>>()).unwrap();
        let frame = |messages: u64| {
            let mut writer = Writer::new();
            writer.array(2).array(3).bytes(&all[0].actor.0).uint(1).bytes(&block);
            writer.array(3).uint(0).uint(messages).bytes(&[0; 64]);
            writer.finish()
        };
        assert!(unpack(&frame(3)).is_ok());
        for messages in [0, 2, 4, u64::MAX] {
            assert!(unpack(&frame(messages)).is_err(), "{messages} of 3");
        }
    }
}
