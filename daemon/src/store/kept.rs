//! What was put away of a room: its snapshot, where in the journal that stands, and how to know that the messages it was made of are
//! still as they were.
//!
//! Messages in blocks are not written again: their packed bytes are hashed, and read when the room is opened. Only those that were
//! rows are packed beside the snapshot.

use std::collections::BTreeMap;

use rtc_core::block::BlockError;
use rtc_core::canonical::{DecodeError, Reader, Writer};
use rtc_core::chain::Link;
use rtc_core::id::Actor;
use rtc_core::limits::BLOCK_BYTES_MAX;
use rtc_core::replica::Stretch;
use rtc_core::store::{Kept, StoreError};
use rusqlite::{Connection, OptionalExtension};

use super::SqliteStore;
use super::reading::{Refusal, link_before, open_block};

/// The fact that holds it.
const SNAPSHOT: &str = "snapshot";
/// The layout this code writes; the first byte of the fact.
const VERSION: u8 = 1;
/// Where what the checksum covers begins.
const HEADER_BYTES: usize = 1 + 32;
/// Separates these checksums from every other use of the hash function.
const CHECKSUM_CONTEXT: &str = "rtc 2026 kept room checksum 1";

/// Where in the journal a snapshot stands.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// When the last message of it arrived.
    pub(super) arrival: i64,
    /// The newest message of each actor.
    pub(super) heads: BTreeMap<Actor, Head>,
}

/// The newest message of an actor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) link: Link,
    /// The number up to which the actor's messages were in blocks.
    packed: u64,
}

/// What the fact says.
struct Written {
    mark: Mark,
    /// Of the blocks' packed bytes.
    blocks: [u8; 32],
    /// The messages that were in no block.
    rows: Vec<Stretch>,
    snapshot: Vec<u8>,
}

impl SqliteStore {
    pub(super) fn write_kept(
        &mut self,
        snapshot: &[u8],
        heads: &[(Actor, u64, Link)],
    ) -> Result<bool, Refusal> {
        let Some(mark) = self.mark(heads)? else { return Ok(false) };
        let mut rows = Vec::new();
        for (actor, head) in &mark.heads {
            let records = self.read_range(actor, head.packed + 1, head.seq)?;
            let bodies: Vec<&[u8]> = records.iter().map(|record| &record.body[..]).collect();
            rows.extend(Stretch::pack(*actor, head.packed + 1, &bodies).map_err(unpackable)?);
        }
        let (blocks, _) = blocks(&self.connection, &mark)?;
        let bytes = Written { mark, blocks, rows, snapshot: snapshot.to_vec() }.encode();
        self.write(|transaction| {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO fact VALUES (?1, ?2)")?
                .execute(rusqlite::params![SNAPSHOT, bytes])?;
            Ok(())
        })?;
        Ok(true)
    }

    /// Where the journal stands, if these are exactly the heads of what it holds. (An actor's newest message is always a row.)
    fn mark(&mut self, heads: &[(Actor, u64, Link)]) -> Result<Option<Mark>, Refusal> {
        let mut statement = self.connection.prepare_cached(
            "SELECT actor, seq, link, max(arrival) FROM journal JOIN actor ON ix = actor_ix GROUP BY actor_ix",
        )?;
        let mut held: BTreeMap<Actor, (i64, [u8; 32])> = BTreeMap::new();
        let mut arrival = 0;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let actor = Actor(row.get(0).map_err(damaged)?);
            held.insert(actor, (row.get(1).map_err(damaged)?, row.get(2).map_err(damaged)?));
            arrival = arrival.max(row.get(3)?);
        }
        drop(rows);
        drop(statement);
        let is_held =
            |(actor, seq, link): &(Actor, u64, Link)| held.get(actor) == Some(&(seq.cast_signed(), link.0));
        if held.len() != heads.len() || !heads.iter().all(is_held) {
            return Ok(None);
        }
        let mut mark = Mark { arrival, heads: BTreeMap::new() };
        for &(actor, seq, link) in heads {
            let packed = self.actor_row(&actor)?.map_or(0, |row| row.packed);
            mark.heads.insert(actor, Head { seq, link, packed });
        }
        Ok(Some(mark))
    }

    pub(super) fn read_kept(&mut self) -> Result<Option<Kept>, Refusal> {
        self.mark = None;
        let Some(written) = fact(&self.connection)? else { return Ok(None) };
        let Written { mark, blocks: hash, rows, snapshot } = match Written::decode(&written) {
            Ok(written) => written,
            Err(why) => {
                tracing::warn!(room = %self.room, "what was kept of the room is not used: {why}");
                return Ok(None);
            }
        };
        let (found, mut history) = blocks(&self.connection, &mark)?;
        if found != hash || !self.holds(&mark)? {
            tracing::warn!(room = %self.room, "what was kept of the room is not used: the journal is not as it was");
            return Ok(None);
        }
        history.extend(rows);
        // Each actor's in order: what was in blocks is older than what was in rows.
        history.sort_by_key(|part| part.actor);
        self.mark = Some(mark);
        Ok(Some(Kept { snapshot, history }))
    }

    /// Whether the messages are held at which a mark stands.
    fn holds(&mut self, mark: &Mark) -> Result<bool, Refusal> {
        for (actor, head) in &mark.heads {
            let Some(row) = self.actor_row(actor)? else { return Ok(false) };
            let next = i64::try_from(head.seq).unwrap_or(i64::MAX - 1) + 1;
            let link = match link_before(&self.connection, &self.room, actor, row.ix, next)? {
                None if head.seq <= row.packed => {
                    let block = open_block(&self.connection, &self.room, *actor, row.ix, head.seq)?;
                    block.records(head.seq, head.seq).next().map(|record| record.link)
                }
                link => link,
            };
            if link != Some(head.link) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Mark {
    /// The number of the newest message of an actor that is kept.
    pub(super) fn seq(&self, actor: &Actor) -> u64 {
        self.heads.get(actor).map_or(0, |head| head.seq)
    }
}

fn fact(connection: &Connection) -> Result<Option<Vec<u8>>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT value FROM fact WHERE name = ?1")?;
    Ok(statement.query_row([SNAPSHOT], |row| row.get(0)).optional()?)
}

/// The blocks of what is kept, as they are, and the hash of all of them.
fn blocks(connection: &Connection, mark: &Mark) -> Result<([u8; 32], Vec<Stretch>), Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT actor, first, last, messages FROM block JOIN actor ON ix = actor_ix ORDER BY actor, last",
    )?;
    let mut rows = statement.query([])?;
    let mut hasher = blake3::Hasher::new();
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        let actor = Actor(row.get(0).map_err(damaged)?);
        let (first, last): (i64, i64) = (row.get(1).map_err(damaged)?, row.get(2).map_err(damaged)?);
        if mark.heads.get(&actor).is_none_or(|head| last.unsigned_abs() > head.packed) {
            continue;
        }
        let block: Vec<u8> = row.get(3).map_err(damaged)?;
        let first = first.unsigned_abs();
        hasher.update(&actor.0).update(&first.to_be_bytes());
        hasher.update(&(block.len() as u64).to_be_bytes()).update(&block);
        blocks.push(Stretch { actor, first, block });
    }
    Ok((*hasher.finalize().as_bytes(), blocks))
}

/// What has the wrong shape was not written like that.
fn damaged(_: rusqlite::Error) -> StoreError {
    StoreError::Damaged("a row has not the shape of one".into())
}

fn unpackable(error: BlockError) -> Refusal {
    StoreError::Damaged(error.to_string()).into()
}

impl Written {
    fn encode(&self) -> Vec<u8> {
        let Self { mark, blocks, rows, snapshot } = self;
        let mut writer = Writer::new();
        writer.array(5).uint(mark.arrival.unsigned_abs()).bytes(blocks).array(mark.heads.len());
        for (actor, head) in &mark.heads {
            writer.array(4).bytes(&actor.0).uint(head.seq).bytes(&head.link.0).uint(head.packed);
        }
        writer.array(rows.len());
        for Stretch { actor, first, block } in rows {
            writer.array(3).bytes(&actor.0).uint(*first).bytes(block);
        }
        writer.bytes(snapshot);
        let content = writer.finish();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
        bytes.push(VERSION);
        bytes.extend(checksum(&content));
        bytes.extend(content);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let split = bytes.split_at_checked(HEADER_BYTES).filter(|(header, _)| header[0] == VERSION);
        let (header, content) = split.ok_or("it has another layout")?;
        if header[1..] != checksum(content) {
            return Err("its checksum does not hold".to_owned());
        }
        Self::read(content).map_err(|error| error.to_string())
    }

    fn read(content: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(content);
        reader.array_of(5, "a kept room")?;
        let arrival = reader.uint()?.cast_signed();
        let blocks = reader.bytes_of()?;
        let mut heads = BTreeMap::new();
        for _ in 0..reader.array(content.len(), "heads")? {
            reader.array_of(4, "a head")?;
            let actor = Actor(reader.bytes_of()?);
            let (seq, link, packed) = (reader.uint()?, Link(reader.bytes_of()?), reader.uint()?);
            heads.insert(actor, Head { seq, link, packed });
        }
        let mut rows = Vec::new();
        for _ in 0..reader.array(content.len(), "blocks")? {
            reader.array_of(3, "a block")?;
            let (actor, first) = (Actor(reader.bytes_of()?), reader.uint()?);
            rows.push(Stretch { actor, first, block: reader.bytes(BLOCK_BYTES_MAX, "block")? });
        }
        let snapshot = reader.bytes(content.len(), "snapshot")?;
        reader.finish()?;
        Ok(Self { mark: Mark { arrival, heads }, blocks, rows, snapshot })
    }
}

fn checksum(content: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT).update(content).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use rtc_core::block;
    use rtc_core::store::{Record, Store};

    use super::super::sqlite::tests::{Place, records, scanned};
    use super::*;

    fn heads(records: &[&[Record]]) -> Vec<(Actor, u64, Link)> {
        let mut heads: Vec<_> = records
            .iter()
            .map(|of| &of[of.len() - 1])
            .map(|last| (last.actor, last.seq, last.link))
            .collect();
        heads.sort_unstable();
        heads
    }

    fn after_kept(store: &mut SqliteStore) -> Vec<Record> {
        let mut all = Vec::new();
        let visit = &mut |record| {
            all.push(record);
            std::ops::ControlFlow::Continue(())
        };
        store.scan_after_kept(visit).unwrap();
        all
    }

    /// The bodies that come out of a history are those of these messages.
    fn check_history(kept: &Kept, of: &[&[Record]]) {
        for records in of {
            let parts = kept.history.iter().filter(|part| part.actor == records[0].actor);
            let mut bodies = Vec::new();
            for part in parts {
                assert_eq!(part.first, bodies.len() as u64 + 1);
                bodies.extend(block::decode(&part.block).unwrap().iter().map(<[u8]>::to_vec));
            }
            assert!(records.iter().map(|record| &record.body).eq(&bodies));
        }
    }

    /// What is visited of what was kept, and of what came since, with blocks made before and after.
    #[test]
    fn what_was_kept_is_found_with_its_messages_and_the_rest_comes_after_it() {
        let place = Place::new();
        let (ada, bob) = (records("ada", 14_000), records("bob", 700));
        let mut store = place.open();
        store.append(&ada[..9_000]).unwrap();
        while store.pack().unwrap() {}
        store.append(&[&bob[..500], &ada[9_000..9_100]].concat()).unwrap();
        assert!(store.keep(b"room", &heads(&[&ada[..9_100], &bob[..500]])).unwrap());
        let since = [&bob[500..], &ada[9_100..]].concat();
        store.append(&since).unwrap();
        for _ in 0..2 {
            drop(store);
            store = place.open();
            let kept = store.kept().unwrap().expect("it was kept");
            assert_eq!(kept.snapshot, b"room");
            check_history(&kept, &[&ada[..9_100], &bob[..500]]);
            let unsigned = |records: Vec<Record>| -> Vec<_> {
                records.into_iter().map(|record| Record { signature: None, ..record }).collect()
            };
            assert_eq!(unsigned(after_kept(&mut store)), unsigned(since.clone()));
            // The second time, messages of both sides of the mark are in one block.
            while store.pack().unwrap() {}
        }
        assert!(store.keep(b"anew", &heads(&[&ada, &bob])).unwrap());
        assert_eq!(store.kept().unwrap().expect("it was kept").snapshot, b"anew");
        assert_eq!(after_kept(&mut store), []);
        assert_eq!(scanned(&mut store).unwrap().len(), 14_700);
    }

    #[test]
    fn nothing_is_kept_of_what_the_journal_does_not_hold() {
        let place = Place::new();
        let (ada, bob) = (records("ada", 3), records("bob", 2));
        let mut store = place.open();
        store.append(&[&ada[..], &bob[..]].concat()).unwrap();
        let mut other = heads(&[&ada, &bob]);
        other[0].2 = Link([0; 32]);
        for heads in [heads(&[&ada[..2], &bob]), heads(&[&ada]), other] {
            assert!(!store.keep(b"room", &heads).unwrap());
        }
        assert_eq!(store.kept().unwrap(), None);
    }

    #[test]
    fn what_is_not_as_it_was_is_not_used() {
        for statement in [
            "UPDATE block SET messages = CAST(substr(messages, 1, 999) || x'00' || substr(messages, 1001) AS BLOB)",
            "DELETE FROM block",
            "DELETE FROM journal WHERE seq = 9000",
            "UPDATE journal SET link = zeroblob(32) WHERE seq = 9000",
            "DELETE FROM fact",
            "UPDATE fact SET value = x'00'",
            "UPDATE fact SET value = zeroblob(100)",
            "UPDATE fact SET value = CAST(x'02' || substr(value, 2) AS BLOB)",
            "UPDATE fact SET value = CAST(substr(value, 1, 999) || x'00' || substr(value, 1001) AS BLOB)",
            "UPDATE fact SET value = substr(value, 1, length(value) - 1)",
        ] {
            let place = Place::new();
            let ada = records("ada", 9_000);
            let mut store = place.open();
            store.append(&ada).unwrap();
            while store.pack().unwrap() {}
            assert!(store.keep(b"room", &heads(&[&ada])).unwrap());
            assert!(store.kept().unwrap().is_some());
            drop(store);
            let mut store = place.open();
            store.connection.execute_batch(statement).unwrap();
            assert_eq!(store.kept().unwrap(), None, "{statement}");
        }
    }
}
