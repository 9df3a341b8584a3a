//! A room put away and opened again: what its log and its replica know, without the messages, which the store has.
//!
//! The layout is in docs/storage.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::Link;
use crate::clock::VersionVector;
use crate::id::{Actor, RoomId};
use crate::limits::LAMPORT_MAX;
use crate::replica::{Replica, SnapshotError, Stretch};
use crate::room::log::{ActorLog, Base, Log};
use crate::room::older::Older;
use crate::room::{Opening, Room};
use crate::scene::Root;

/// The layout this code writes; the first byte of every snapshot of a room.
const VERSION: u8 = 1;
/// Where what the checksum covers begins.
const HEADER_BYTES: usize = 1 + 32;
/// Separates these checksums from every other use of the hash function.
const CHECKSUM_CONTEXT: &str = "rtc 2026 room snapshot checksum 1";

impl Room {
    /// What the room knows, without the messages: [`Room::open_from`] reads it. Costs a walk over everything held. What was committed
    /// is to be flushed before.
    ///
    /// # Errors
    /// Where the replica has no snapshot.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        if self.horizon().is_some() || !self.log.branches.is_empty() {
            // What is left of forgotten messages is kept by itself, and what has forked is made of the messages.
            return Err(SnapshotError::Forgotten);
        }
        let replica = self.replica.snapshot_alone()?;
        let mut writer = Writer::new();
        writer.array(2);
        self.log.write(&mut writer);
        writer.bytes(&replica);
        let content = writer.finish();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
        bytes.push(VERSION);
        bytes.extend(checksum(&self.id, &content));
        bytes.extend(content);
        Ok(bytes)
    }

    /// A room as [`Room::snapshot`] put it away, with the messages that it held: each actor's in order, of which the store knows that
    /// they are those that were written. What came after is loaded next.
    ///
    /// # Errors
    /// Where the bytes are damaged, another room's or another version's: the room is then to be opened from its messages.
    pub fn open_from(
        opening: Opening,
        snapshot: &[u8],
        history: Arc<[Stretch]>,
    ) -> Result<Self, SnapshotError> {
        match snapshot.first() {
            Some(&VERSION) => {}
            found => return Err(SnapshotError::Version(found.copied().unwrap_or(0))),
        }
        let (header, content) = snapshot.split_at_checked(HEADER_BYTES).ok_or(SnapshotError::Checksum)?;
        if header[1..] != checksum(&opening.room, content) {
            return Err(SnapshotError::Checksum);
        }
        let mut reader = Reader::new(content);
        reader.array_of(2, "a room")?;
        let log = Log::read(opening.room, &mut reader, Arc::clone(&history))?;
        let replica = Replica::open_beside(reader.bytes(content.len(), "a replica")?, history)?;
        reader.finish()?;
        let is_known = opening.founding.is_some();
        let is_same = !is_known || *replica.root() == Root::of(opening.founding.as_ref());
        if log.vector() != replica.version_vector() || !is_same {
            return Err(SnapshotError::History);
        }
        Ok(Self { log, replica, ..Self::open(opening) })
    }

    /// Of each actor the number of the newest message and its link.
    pub fn heads(&self) -> Vec<(Actor, u64, Link)> {
        self.log.heads().collect()
    }
}

impl Log {
    fn write(&self, writer: &mut Writer) {
        let ix: BTreeMap<Actor, u64> = self.actors.keys().copied().zip(0..).collect();
        writer.array(2).array(self.actors.len());
        for (actor, log) in &self.actors {
            writer
                .array(7)
                .bytes(&actor.0)
                .uint(log.head())
                .bytes(&log.head_link().0)
                .uint(log.head_lamport());
            let clock: Vec<(u64, u64)> =
                log.clock.iter().filter_map(|(other, seq)| Some((*ix.get(&other)?, seq))).collect();
            writer.array(clock.len());
            for (other, seq) in clock {
                writer.array(2).uint(other).uint(seq);
            }
            let signed = self.signed(actor);
            writer.array(signed.len());
            signed.into_iter().for_each(|count| _ = writer.uint(count));
            writer.uint(self.entries(actor).count() as u64);
        }
        let mut arrivals: Vec<(u64, u64, u64)> = Vec::new();
        for (actor, &ix) in &ix {
            let first = arrivals.len();
            for arrival in self.entries(actor).map(|entry| entry.arrival) {
                match arrivals[first..].last_mut() {
                    Some((begin, _, count)) if *begin + *count == arrival => *count += 1,
                    Some(_) | None => arrivals.push((arrival, ix, 1)),
                }
            }
        }
        arrivals.sort_unstable();
        writer.array(arrivals.len() * 2);
        for (_, ix, count) in arrivals {
            writer.uint(ix).uint(count);
        }
    }

    /// How many messages of an actor are unsigned, then how many signed, and so on.
    fn signed(&self, actor: &Actor) -> Vec<u64> {
        let mut counts = vec![0];
        for signed in self.entries(actor).map(|entry| entry.signed) {
            if (counts.len() % 2 == 0) != signed {
                counts.push(0);
            }
            *counts.last_mut().expect("there is always a count") += 1;
        }
        counts
    }

    fn read(room: RoomId, reader: &mut Reader<'_>, history: Arc<[Stretch]>) -> Result<Self, DecodeError> {
        // Every item takes a byte at least.
        let limit = reader.rest().len();
        let malformed = || DecodeError::NotCanonical;
        reader.array_of(2, "a log")?;
        let mut heads = Vec::new();
        let mut signed = BTreeMap::new();
        for _ in 0..reader.array(limit, "actors")? {
            reader.array_of(7, "an actor")?;
            let actor = Actor(reader.bytes_of()?);
            let base = Base { seq: reader.uint()?, link: Link(reader.bytes_of()?), lamport: reader.uint()? };
            let mut clock = Vec::new();
            for _ in 0..reader.array(limit, "clock entries")? {
                reader.array_of(2, "a clock entry")?;
                clock.push((index(reader.uint()?)?, reader.uint()?));
            }
            let mut counts = Vec::new();
            for _ in 0..reader.array(limit, "signatures")? {
                counts.push(reader.uint()?);
            }
            let held = reader.uint()?;
            if held > base.seq || base.lamport > LAMPORT_MAX || base.seq > LAMPORT_MAX {
                return Err(malformed());
            }
            signed.insert(actor, counts);
            heads.push((actor, base, clock, held));
        }
        let mut arrivals = Vec::new();
        for _ in 0..reader.array(limit, "arrivals")? / 2 {
            let (actor, ..) = heads.get(index(reader.uint()?)?).ok_or_else(malformed)?;
            arrivals.push((*actor, reader.uint()?));
        }
        let names: Vec<Actor> = heads.iter().map(|(actor, ..)| *actor).collect();
        let begin = names.iter().map(|actor| (*actor, Link::origin(&room, actor))).collect();
        let mut log = Self::new(room);
        for (actor, base, clock, held) in heads {
            let clock: Option<VersionVector> =
                clock.into_iter().map(|(other, seq)| Some((*names.get(other)?, seq))).collect();
            log.messages += held;
            let clock = clock.ok_or_else(malformed)?;
            log.actors.insert(actor, ActorLog { base, entries: Vec::new(), clock });
        }
        log.arrived = log.messages;
        log.older = Older::new(begin, history, arrivals, signed);
        Ok(log)
    }
}

fn index(number: u64) -> Result<usize, DecodeError> {
    usize::try_from(number).map_err(|_| DecodeError::NotCanonical)
}

/// Of a room's snapshot: it also tells one room's from another's.
fn checksum(room: &RoomId, content: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT).update(&room.0).update(content).finalize().as_bytes()
}
