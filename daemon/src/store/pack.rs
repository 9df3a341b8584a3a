//! Packing: what no longer changes goes from rows into blocks, in steps that a commit can wait for.

use rtc_core::id::Actor;
use rtc_core::limits::BLOCK_BYTES_MAX;
use rtc_core::store::Record;
use rusqlite::Connection;

use super::SqliteStore;
use super::block;
use super::forget::Begin;
use super::reading::{Chain, Refusal, link_before, out_of_range, record};
use super::sqlite::ActorRow;

/// An actor's newest messages that stay rows, at least one: new rows count their arrival from the last.
const ROWS_KEPT: i64 = 256;
/// Older ones from which on they are packed: smaller blocks are larger a message.
const PACK_MESSAGES_MIN: i64 = 4096;
/// Messages of one block: packing them takes 20 to 50 ms on a busy machine, for which a commit may have to wait.
const PACK_MESSAGES_MAX: i64 = 8192;
/// Bytes of bodies that a block is filled up to, for the same reason; it ends with the next signature.
const PACK_BYTES: usize = 1024 * 1024;
/// Free pages that the file keeps for what comes next.
const FREE_PAGES_MAX: i64 = 64;
/// Free pages that are given back in one step.
const FREED_PAGES: i64 = 512;

impl SqliteStore {
    /// Makes a block of the oldest rows of `actor`, if they are enough; returns whether they were.
    pub(super) fn pack_actor(&mut self, actor: Actor) -> Result<bool, Refusal> {
        let Some(ActorRow { ix, packed }) = self.actor_row(&actor)? else { return Ok(false) };
        let newest: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(seq) FROM journal WHERE actor_ix = ?1")?
            .query_row([ix], |row| row.get(0))?;
        let first = i64::try_from(packed).map_err(|_| out_of_range(packed))? + 1;
        let last = newest.unwrap_or(0) - ROWS_KEPT;
        if last - first + 1 < PACK_MESSAGES_MIN {
            return Ok(false);
        }
        let last = last.min(first + PACK_MESSAGES_MAX - 1);
        let rows = oldest_rows(&self.connection, &self.begin, actor, ix, first, last)?;
        let begins_branch = self.begin.branches().get(&actor).is_some_and(|branch| branch.base == packed);
        let Some(block) = block::Row::pack(&rows, begins_branch) else { return Ok(false) };
        self.write(|transaction| {
            let block::Row { arrival, first, last, link, messages, places, seal } = &block;
            transaction
                .prepare_cached("INSERT INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(rusqlite::params![arrival, ix, first, last, link, messages, places, seal])?;
            transaction
                .prepare_cached("DELETE FROM journal WHERE actor_ix = ?1 AND seq <= ?2")?
                .execute([ix, *last])?;
            Ok(())
        })?;
        // It is read again where it is needed: then it is known with its block.
        self.actors.remove(&actor);
        Ok(true)
    }

    /// Gives back a few free pages, where there are many; returns whether there are still.
    pub(super) fn free_pages(&mut self) -> Result<bool, Refusal> {
        let free: i64 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        let excess = free - FREE_PAGES_MAX;
        if excess <= 0 {
            return Ok(false);
        }
        self.write(|transaction| {
            let sql = format!("PRAGMA incremental_vacuum({})", excess.min(FREED_PAGES));
            let mut statement = transaction.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })?;
        Ok(excess > FREED_PAGES)
    }
}

/// The rows of an actor that one block takes, verified, each with its arrival.
fn oldest_rows(
    connection: &Connection,
    begin: &Begin,
    actor: Actor,
    ix: i64,
    first: i64,
    last: i64,
) -> Result<Vec<(i64, Record)>, Refusal> {
    let link = link_before(connection, begin, &actor, ix, first)?;
    let mut chain = Chain { seq: u64::try_from(first - 1).expect("numbers begin with 1"), link };
    let mut statement = connection.prepare_cached(
        "SELECT ?4, seq, link, body, signature, arrival FROM journal WHERE actor_ix = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq",
    )?;
    let mut rows = statement.query(rusqlite::params![ix, first, last, &actor.0[..]])?;
    let (mut taken, mut bytes, mut signed) = (Vec::new(), 0, false);
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        bytes += record.body.len();
        if bytes > BLOCK_BYTES_MAX || bytes > PACK_BYTES && signed {
            break;
        }
        signed |= record.signature.is_some();
        chain.admit(&record)?;
        taken.push((row.get(5)?, record));
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use rtc_core::chain::{Link, Signature};
    use rtc_core::store::{Store, StoreError};
    use rtc_core::sync::run::{Step, backlog_run};
    use rusqlite::types::Value;

    use super::super::sqlite::tests::{Place, ROOM, records, scanned};
    use super::*;

    /// Two actors' messages as they arrived, in pieces of some hundreds.
    fn arrival() -> Vec<Record> {
        let (ada, bob) = (records("ada", 14_000), records("bob", 6_000));
        let pieces = ada.chunks(700).zip(bob.chunks(300));
        pieces.flat_map(|(ada, bob)| [ada, bob].concat()).collect()
    }

    fn pack_all(store: &mut SqliteStore) {
        while store.pack().unwrap() {}
    }

    fn count(store: &SqliteStore, table: &str) -> i64 {
        store.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn unsigned(records: &[Record]) -> Vec<Record> {
        records.iter().map(|record| Record { signature: None, ..record.clone() }).collect()
    }

    /// Where the runs end that who has nothing yet is sent.
    fn runs(records: &[Record], actor: Actor) -> Vec<usize> {
        let steps: Vec<Step> = records.iter().filter(|record| record.actor == actor).map(Step::of).collect();
        let mut ends = vec![0];
        while let Some((messages, _)) = backlog_run(steps[ends[ends.len() - 1]..].iter().copied()) {
            ends.push(ends[ends.len() - 1] + messages);
        }
        ends
    }

    fn check(store: &mut SqliteStore, arrival: &[Record]) {
        let all = scanned(store).unwrap();
        assert_eq!(unsigned(&all), unsigned(arrival));
        assert!(all.iter().zip(arrival).all(|(now, then)| now.signature.is_none() || now == then));
        for actor in [arrival[0].actor, arrival[700].actor] {
            assert_eq!(runs(&all, actor), runs(arrival, actor));
            let of_actor: Vec<_> = all.iter().filter(|record| record.actor == actor).collect();
            for (from, to) in [(1, u64::MAX), (5, 5), (1_000, 13_000), (5_000, 5_001), (20_000, 20_001)] {
                let there = of_actor.iter().copied().filter(|record| (from..=to).contains(&record.seq));
                assert!(store.read(&actor, from, to).unwrap().iter().eq(there), "{from} to {to}");
            }
        }
    }

    #[test]
    fn what_is_packed_is_read_as_it_was() {
        let (place, arrival) = (Place::new(), arrival());
        let mut store = place.open();
        store.append(&arrival).unwrap();
        pack_all(&mut store);
        assert_eq!((count(&store, "block"), count(&store, "journal") < 6_000), (3, true));
        check(&mut store, &arrival);
        drop(store);
        check(&mut place.open(), &arrival);
    }

    #[test]
    fn what_is_appended_later_comes_later_and_what_is_there_stays() {
        let (place, arrival) = (Place::new(), arrival());
        let mut store = place.open();
        let (before, after) = arrival.split_at(15_000);
        store.append(before).unwrap();
        pack_all(&mut store);
        store.append(&before[3_000..3_003]).unwrap();
        store.append(after).unwrap();
        store.append(&before[..3]).unwrap();
        check(&mut store, &arrival);
        pack_all(&mut store);
        check(&mut store, &arrival);
        let fork = Record { link: Link([0; 32]), ..arrival[1].clone() };
        assert!(matches!(store.append(&[fork]), Err(StoreError::Damaged(_))));
        check(&mut store, &arrival);
    }

    #[test]
    fn what_nobody_signed_stays_as_it_is() {
        let place = Place::new();
        let mut store = place.open();
        store.append(&unsigned(&records("ada", 6_000))).unwrap();
        pack_all(&mut store);
        assert_eq!((count(&store, "block"), count(&store, "journal")), (0, 6_000));
    }

    #[test]
    fn pages_that_became_free_are_given_back() {
        let (place, arrival) = (Place::new(), arrival());
        let mut store = place.open();
        store.append(&arrival).unwrap();
        let pages = |store: &SqliteStore| -> i64 {
            store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
        };
        let before = pages(&store);
        pack_all(&mut store);
        let after = pages(&store);
        assert!(after < before / 2, "{before} pages became {after}");
    }

    #[test]
    fn on_a_full_disk_rows_stay_rows() {
        let place = Place::new();
        let mut store = place.open();
        let actor = Actor::from_name("ada");
        let mut link = Link::origin(&ROOM, &actor);
        let arrival: Vec<_> = (1..=5_000_u64)
            .map(|seq| {
                // Nothing that could be packed.
                let body = Link([3; 32]).next(&seq.to_be_bytes()).0.to_vec();
                link = link.next(&body);
                Record { actor, seq, link, body, signature: Some(Signature([5; 64])) }
            })
            .collect();
        store.append(&arrival).unwrap();
        let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        store.connection.pragma_update(None, "max_page_count", pages).unwrap();
        assert!(matches!(store.pack(), Err(StoreError::Full)));
        assert_eq!((count(&store, "block"), store.read_only_because()), (0, None));
        assert_eq!(scanned(&mut store).unwrap(), arrival);
        store.connection.pragma_update(None, "max_page_count", 100_000).unwrap();
        // As after the next commit.
        store.append(&arrival[4_999..]).unwrap();
        pack_all(&mut store);
        assert_eq!(count(&store, "block"), 1);
        assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(&arrival));
    }

    /// After a crash the file has its old content and some beginning of the write-ahead log.
    #[test]
    fn a_crash_at_any_write_leaves_rows_or_blocks() {
        let (place, arrival) = (Place::new(), arrival());
        let mut store = place.open();
        store.append(&arrival).unwrap();
        drop(store);
        let home = std::fs::read(place.dir.path().join("room.db")).unwrap();
        let mut store = place.open();
        assert!(store.pack().unwrap());
        let log = std::fs::read(place.dir.path().join("room.db-wal")).unwrap();
        assert_eq!(std::fs::read(place.dir.path().join("room.db")).unwrap(), home, "it is all in the log");
        drop(store);
        let mut blocks = Vec::new();
        for part in 0..=20 {
            let crashed = Place::new();
            std::fs::write(crashed.dir.path().join("room.db"), &home).unwrap();
            std::fs::write(crashed.dir.path().join("room.db-wal"), &log[..log.len() * part / 20]).unwrap();
            let mut store = crashed.open();
            assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(&arrival), "{part} of 20");
            blocks.push(count(&store, "block"));
        }
        assert_eq!((blocks[0], blocks[20]), (0, 1));
    }

    #[test]
    fn damage_of_a_block_is_named_and_never_served() {
        let place = Place::new();
        let mut store = place.open();
        let ada = records("ada", 18_000);
        store.append(&ada).unwrap();
        pack_all(&mut store);
        assert_eq!(count(&store, "block"), 2);
        store.connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
        let actor = ada[0].actor;
        let refused = |store: &mut SqliteStore, what: &str| {
            store.opened = None;
            store.actors.clear();
            for outcome in [scanned(store), store.read(&actor, 1, u64::MAX), store.read(&actor, 9_000, 9_000)]
            {
                let Err(StoreError::Damaged(why)) = outcome else { panic!("{what} is served") };
                assert!(why.contains("shape") || why.contains(&actor.to_string()), "{why}");
            }
            assert!(store.read_only_because().is_none(), "{what}");
        };
        let (arrival, first): (i64, i64) = store
            .connection
            .query_row("SELECT arrival, first FROM block ORDER BY arrival DESC", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert!((4_000..9_000).contains(&first), "{first}");
        for column in ["link", "messages", "places", "seal"] {
            let whole: Vec<u8> = store
                .connection
                .query_row(&format!("SELECT {column} FROM block WHERE arrival = ?1"), [arrival], |row| {
                    row.get(0)
                })
                .unwrap();
            let set = format!("UPDATE block SET {column} = ?1 WHERE arrival = ?2");
            let put = |store: &SqliteStore, value: Value| {
                store.connection.execute(&set, rusqlite::params![value, arrival]).unwrap();
            };
            for bit in (0..whole.len() * 8).step_by((whole.len() * 8 / 20) | 1) {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                put(&store, Value::Blob(flipped));
                refused(&mut store, &format!("bit {bit} of {column}"));
            }
            put(&store, Value::Blob(whole[1..].to_vec()));
            refused(&mut store, &format!("cut {column}"));
            put(&store, Value::Blob(whole));
        }
        for statement in [
            "UPDATE block SET first = first - 1 WHERE first > 1",
            "UPDATE block SET first = first + 1 WHERE first > 1",
            "UPDATE block SET last = last + 1 WHERE first > 1",
            "UPDATE block SET last = last - 1 WHERE first > 1",
            "UPDATE block SET first = first + 1, last = last + 1 WHERE first > 1",
            "UPDATE block SET arrival = arrival + 100000 WHERE first > 1",
            "UPDATE block SET arrival = arrival - 1 WHERE first > 1",
            "UPDATE block SET link = zeroblob(32) WHERE first = 1",
            "DELETE FROM block WHERE first = 1",
        ] {
            store.connection.execute_batch("SAVEPOINT whole").unwrap();
            store.connection.execute_batch(statement).unwrap();
            refused(&mut store, statement);
            store.connection.execute_batch("ROLLBACK TO whole; RELEASE whole").unwrap();
        }
        assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(&ada));
    }
}
