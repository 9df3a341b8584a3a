//! The journal of one room in SQLite: durable when it says so, self-verifying, and read-only for ever after the disk
//! failed once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rtc_core::chain::Link;
use rtc_core::id::{Actor, RoomId};
use rtc_core::store::{Forgetting, Kept, Record, Rename, Store, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};

use super::block::Block;
use super::fact;
use super::forget::Begin;
use super::kept::Mark;
use super::reading::{Chain, Refusal, link_before, open_block, out_of_range, packed, record, scan};
use super::schema::{self, OpenError};

/// Pages in the write-ahead log after which it is brought home: 4 MiB, so that opening after a crash stays quick.
const WAL_PAGES_MAX: i32 = 1_000;

/// One room's file.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) connection: Connection,
    pub(super) room: RoomId,
    /// Where its messages begin.
    pub(super) begin: Begin,
    /// The actors written or read so far.
    pub(super) actors: BTreeMap<Actor, ActorRow>,
    /// Actors that may have enough rows to pack.
    pub(super) unpacked: BTreeSet<Actor>,
    /// The block read last: runs are shorter.
    pub(super) opened: Option<Block>,
    /// Where what was put away stands, once it has been read.
    pub(super) mark: Option<Mark>,
    /// Pages the write-ahead log had after the last commit. Atomic only because SQLite's hook must be `Send`.
    wal_pages: Arc<AtomicI32>,
    /// Why nothing is written any more.
    poison: Option<String>,
}

/// What is known of an actor.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActorRow {
    pub(super) ix: i64,
    /// The number up to which its messages are in blocks.
    pub(super) packed: u64,
}

impl SqliteStore {
    /// Opens, or makes, the journal of `room` in the file `path`.
    pub fn open(path: &Path, room: RoomId) -> Result<Self, OpenError> {
        let mut connection = schema::open(path)?;
        let wal_pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&wal_pages);
        connection
            .wal_hook(Some(move |_: &mut Wal, pages| {
                seen.store(pages, Ordering::Relaxed);
                Ok(())
            }))
            .and_then(|()| Ok((all_actors(&connection)?, Begin::read(&connection, room))))
            .map(|(unpacked, begin)| Self {
                connection,
                room,
                begin,
                actors: BTreeMap::new(),
                unpacked,
                opened: None,
                mark: None,
                wal_pages,
                poison: None,
            })
            .map_err(|error| OpenError::Sqlite { path: path.to_owned(), error })
    }

    /// Why nothing is written any more, if that is so.
    pub fn read_only_because(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        self.poison.as_ref().map_or(Ok(()), |why| Err(StoreError::Failed(why.clone())))
    }

    /// Runs `work` in one transaction; afterwards all of it is durable, or none of it is there.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal>,
    ) -> Result<T, StoreError> {
        self.check_writable()?;
        let outcome = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        // A failed COMMIT can leave its transaction open, and then what follows would join it.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            return Err(self.judge(error));
        }
        match outcome {
            Ok(value) => {
                self.bring_the_log_home();
                Ok(value)
            }
            Err(refusal) => {
                let error = self.judge_refusal(refusal);
                if matches!(error, StoreError::Full) {
                    self.make_room();
                }
                Err(error)
            }
        }
    }

    /// The write-ahead log holds a page once for every commit that changed it, the file once: on a full disk that may
    /// be the space a later try needs.
    fn make_room(&mut self) {
        self.checkpoint(CheckpointMode::TRUNCATE);
    }

    pub(super) fn judge_refusal(&mut self, refusal: Refusal) -> StoreError {
        match refusal {
            Refusal::Sqlite(error) => self.judge(error),
            Refusal::Store(error) => error,
        }
    }

    /// What SQLite's error means; poisons the store unless it is certain that nothing was lost.
    fn judge(&mut self, error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                let what = error.to_string();
                self.poison(&what);
                StoreError::Damaged(what)
            }
            _ => {
                let what = error.to_string();
                self.poison(&what);
                StoreError::Failed(what)
            }
        }
    }

    fn poison(&mut self, why: &str) {
        tracing::error!(room = %self.room, why, "the disk failed: the room is read-only until its store is checked");
        self.poison = Some(format!("{why}; nothing is written until it is checked"));
        // Closing would sync again, and a second sync can succeed without the data: the kernel dropped it.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Moves the write-ahead log into the file once it is long. What was committed is durable either way, so a failure
    /// here only ends further writing.
    fn bring_the_log_home(&mut self) {
        if self.wal_pages.load(Ordering::Relaxed) < WAL_PAGES_MAX {
            return;
        }
        self.checkpoint(CheckpointMode::PASSIVE);
    }

    fn checkpoint(&mut self, mode: CheckpointMode) {
        match self.connection.wal_checkpoint_v2(None::<&str>, mode) {
            Ok(_) => self.wal_pages.store(0, Ordering::Relaxed),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {}
            Err(error) => self.poison(&error.to_string()),
        }
    }

    pub(super) fn actor_row(&mut self, actor: &Actor) -> Result<Option<ActorRow>, Refusal> {
        if let Some(&row) = self.actors.get(actor) {
            return Ok(Some(row));
        }
        let found = self
            .connection
            .prepare_cached("SELECT ix FROM actor WHERE actor = ?1")?
            .query_row([&actor.0[..]], |row| row.get(0))
            .optional()?;
        let Some(ix) = found else { return Ok(None) };
        let packed = packed(&self.connection, ix)?.max(self.begin.of(actor).0);
        let row = ActorRow { ix, packed };
        self.actors.insert(*actor, row);
        Ok(Some(row))
    }

    pub(super) fn read_range(
        &mut self,
        actor: &Actor,
        mut from: u64,
        to: u64,
    ) -> Result<Vec<Record>, Refusal> {
        let mut records = Vec::new();
        let Some(ActorRow { ix, packed }) = self.actor_row(actor)? else { return Ok(records) };
        from = from.max(self.begin.of(actor).0 + 1);
        while from <= to.min(packed) {
            let block = match self.opened.take() {
                Some(block) if block.actor() == *actor && block.seqs().contains(&from) => block,
                Some(_) | None => open_block(&self.connection, &self.begin, *actor, ix, from)?,
            };
            records.extend(block.records(from, to));
            from = block.seqs().end() + 1;
            self.opened = Some(block);
        }
        // Numbers past SQLite's integers were never stored.
        let (Ok(first), last) = (i64::try_from(from), i64::try_from(to).unwrap_or(i64::MAX)) else {
            return Ok(records);
        };
        if first <= last {
            let link = link_before(&self.connection, &self.begin, actor, ix, first)?;
            let mut chain = Chain { seq: from - 1, link };
            let mut statement = self.connection.prepare_cached(
                "SELECT ?4, seq, link, body, signature FROM journal WHERE actor_ix = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq",
            )?;
            let mut rows = statement.query(rusqlite::params![ix, first, last, &actor.0[..]])?;
            while let Some(row) = rows.next()? {
                let record = record(row)?;
                chain.admit(&record)?;
                records.push(record);
            }
        }
        Ok(records)
    }
}

impl Store for SqliteStore {
    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut actors = std::mem::take(&mut self.actors);
        let begin = self.begin.clone();
        let outcome = self.write(|transaction| {
            records.iter().try_for_each(|record| append_one(transaction, &begin, &mut actors, record))
        });
        // Row numbers given in a transaction that rolled back are nobody's.
        if outcome.is_ok() {
            self.actors = actors;
            self.unpacked.extend(records.iter().map(|record| record.actor));
        }
        outcome
    }

    fn read(&mut self, actor: &Actor, from: u64, to: u64) -> Result<Vec<Record>, StoreError> {
        let outcome = self.read_range(actor, from.max(1), to);
        outcome.map_err(|refusal| self.judge_refusal(refusal))
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), StoreError> {
        let outcome = scan(&self.connection, &self.begin, &Mark::default(), visit);
        outcome.map_err(|refusal| self.judge_refusal(refusal))
    }

    fn keep(&mut self, snapshot: &[u8], heads: &[(Actor, u64, Link)]) -> Result<bool, StoreError> {
        let outcome = self.write_kept(snapshot, heads);
        outcome.map_err(|refusal| self.judge_refusal(refusal))
    }

    fn kept(&mut self) -> Result<Option<Kept>, StoreError> {
        let outcome = self.read_kept();
        outcome.map_err(|refusal| self.judge_refusal(refusal))
    }

    fn scan_after_kept(
        &mut self,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let outcome =
            scan(&self.connection, &self.begin, self.mark.as_ref().unwrap_or(&Mark::default()), visit);
        outcome.map_err(|refusal| self.judge_refusal(refusal))
    }

    fn pack(&mut self) -> Result<bool, StoreError> {
        let outcome = match self.unpacked.first().copied() {
            None => self.free_pages(),
            Some(actor) => {
                // Once it has too few rows it is looked at again after its next append, and also after an error.
                self.unpacked.remove(&actor);
                self.pack_actor(actor).map(|packed| {
                    if packed {
                        self.unpacked.insert(actor);
                    }
                    true
                })
            }
        };
        outcome.map_err(|refusal| self.judge_refusal(refusal))
    }

    fn forget(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        self.write_forgotten(forgetting)
    }

    fn rename(&mut self, renames: &[Rename], forks: &[u8]) -> Result<(), StoreError> {
        self.write_renamed(renames, forks)
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let room = self.room;
        self.write(|transaction| Ok(fact::write(transaction, &room, name, value)?))
    }

    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        fact::read(&self.connection, &self.room, name).map_err(|refusal| self.judge_refusal(refusal))
    }
}

fn all_actors(connection: &Connection) -> rusqlite::Result<BTreeSet<Actor>> {
    let mut statement = connection.prepare("SELECT actor FROM actor")?;
    let actors = statement.query_map([], |row| Ok(Actor(row.get(0)?)))?;
    // One that was damaged is found where its messages are read.
    Ok(actors.flatten().collect())
}

fn append_one(
    transaction: &Transaction<'_>,
    begin: &Begin,
    actors: &mut BTreeMap<Actor, ActorRow>,
    record: &Record,
) -> Result<(), Refusal> {
    let ActorRow { ix, packed } = match actors.get(&record.actor) {
        Some(&row) => row,
        None => {
            let ix = transaction
                .prepare_cached(
                    "INSERT INTO actor (actor) VALUES (?1) ON CONFLICT DO UPDATE SET actor = excluded.actor RETURNING ix",
                )?
                .query_row([&record.actor.0[..]], |row| row.get(0))?;
            let row = ActorRow { ix, packed: packed(transaction, ix)?.max(begin.of(&record.actor).0) };
            actors.insert(record.actor, row);
            row
        }
    };
    let there_with_another_content = || {
        let what = format!("message {}:{} is there with another content", record.actor, record.seq);
        Err(StoreError::Damaged(what).into())
    };
    if record.seq <= begin.of(&record.actor).0 {
        // What is left of it is there.
        return Ok(());
    }
    if record.seq <= packed {
        let block = open_block(transaction, begin, record.actor, ix, record.seq)?;
        let there = block.records(record.seq, record.seq).next();
        return match there.is_some_and(|there| there.link == record.link) {
            true => Ok(()),
            false => there_with_another_content(),
        };
    }
    let seq = i64::try_from(record.seq).map_err(|_| out_of_range(record.seq))?;
    let signature = record.signature.as_ref().map(|signature| &signature.0[..]);
    let added = transaction
        .prepare_cached(
            "INSERT INTO journal (actor_ix, seq, link, body, signature) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (actor_ix, seq) DO NOTHING",
        )?
        .execute(rusqlite::params![ix, seq, &record.link.0[..], record.body, signature])?;
    if added == 0 {
        let there: Vec<u8> = transaction
            .prepare_cached("SELECT link FROM journal WHERE actor_ix = ?1 AND seq = ?2")?
            .query_row([ix, seq], |row| row.get(0))?;
        if there != record.link.0 {
            return there_with_another_content();
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use rtc_core::chain::{Link, Signature};

    use super::*;

    pub(in crate::store) const ROOM: RoomId = RoomId([7; 32]);

    pub(in crate::store) struct Place {
        pub(in crate::store) dir: tempfile::TempDir,
    }

    impl Place {
        pub(in crate::store) fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        pub(in crate::store) fn open(&self) -> SqliteStore {
            SqliteStore::open(&self.dir.path().join("room.db"), ROOM).unwrap()
        }
    }

    /// The first `count` messages of the actor called `name`, truly chained.
    pub(in crate::store) fn records(name: &str, count: u64) -> Vec<Record> {
        let actor = Actor::from_name(name);
        let mut link = Link::origin(&ROOM, &actor);
        let record = |seq: u64| {
            let body = format!("message {seq} of {name}").into_bytes();
            link = link.next(&body);
            let signature = seq.is_multiple_of(3).then_some(Signature([5; 64]));
            Record { actor, seq, link, body, signature }
        };
        (1..=count).map(record).collect()
    }

    pub(in crate::store) fn scanned(store: &mut SqliteStore) -> Result<Vec<Record>, StoreError> {
        let mut all = Vec::new();
        store.scan(&mut |record| {
            all.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    fn damage(store: &mut SqliteStore, statement: &str) {
        store.connection.execute_batch(statement).unwrap();
    }

    #[test]
    fn what_was_appended_is_there_after_reopening_in_the_order_of_arrival() {
        let place = Place::new();
        let (ada, bob) = (records("ada", 4), records("bob", 2));
        let arrival = [&ada[..2], &bob[..], &ada[2..]].concat();
        let mut store = place.open();
        store.append(&arrival[..3]).unwrap();
        store.append(&arrival[3..]).unwrap();
        assert_eq!(scanned(&mut store).unwrap(), arrival);
        drop(store);
        let mut store = place.open();
        assert_eq!(scanned(&mut store).unwrap(), arrival);
        assert_eq!(store.read(&ada[0].actor, 1, u64::MAX).unwrap(), ada);
        assert_eq!(store.read(&ada[0].actor, 3, 3).unwrap(), ada[2..3]);
        assert_eq!(store.read(&ada[0].actor, 5, 9).unwrap(), []);
        assert_eq!(store.read(&Actor::from_name("eve"), 1, 9).unwrap(), []);
    }

    #[test]
    fn appending_the_same_again_changes_nothing() {
        let place = Place::new();
        let mut store = place.open();
        let ada = records("ada", 3);
        store.append(&ada[..2]).unwrap();
        store.append(&ada).unwrap();
        store.append(&ada).unwrap();
        assert_eq!(scanned(&mut store).unwrap(), ada);
    }

    #[test]
    fn another_message_with_the_same_number_is_refused_and_all_beside_it() {
        let place = Place::new();
        let mut store = place.open();
        let ada = records("ada", 2);
        store.append(&ada).unwrap();
        let fork = Record { link: Link([0; 32]), ..ada[1].clone() };
        let batch = [&records("bob", 1)[..], &[fork]].concat();
        assert!(matches!(store.append(&batch), Err(StoreError::Damaged(_))));
        assert_eq!(scanned(&mut store).unwrap(), ada);
        store.append(&records("bob", 2)).unwrap();
        assert_eq!(scanned(&mut store).unwrap().len(), 4);
    }

    #[test]
    fn a_visitor_may_stop_early() {
        let place = Place::new();
        let mut store = place.open();
        store.append(&records("ada", 5)).unwrap();
        let mut seen = 0;
        let visit = &mut |_| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.scan(visit).unwrap();
        assert_eq!(seen, 2);
    }

    #[test]
    fn damage_is_named_and_never_served() {
        for statement in [
            "UPDATE journal SET body = x'00' WHERE seq = 2",
            "UPDATE journal SET link = zeroblob(32) WHERE seq = 2",
            "UPDATE journal SET seq = 9 WHERE seq = 2",
            "DELETE FROM journal WHERE seq = 2",
            "PRAGMA ignore_check_constraints = ON; UPDATE journal SET link = x'00' WHERE seq = 2",
            "PRAGMA foreign_keys = OFF; UPDATE journal SET actor_ix = 99 WHERE seq = 2",
        ] {
            let place = Place::new();
            let mut store = place.open();
            let ada = records("ada", 4);
            store.append(&ada).unwrap();
            damage(&mut store, statement);
            assert!(matches!(scanned(&mut store), Err(StoreError::Damaged(_))), "{statement}");
            assert!(matches!(store.read(&ada[0].actor, 1, 4), Err(StoreError::Damaged(_))), "{statement}");
            assert_eq!(store.read(&ada[0].actor, 1, 1).unwrap(), ada[..1], "{statement}");
        }
    }

    #[test]
    fn a_range_is_verified_against_what_is_before_it() {
        let place = Place::new();
        let mut store = place.open();
        let ada = records("ada", 4);
        store.append(&ada).unwrap();
        damage(&mut store, "DELETE FROM journal WHERE seq = 2");
        assert!(matches!(store.read(&ada[0].actor, 3, 4), Err(StoreError::Damaged(_))));
        assert_eq!(store.read(&ada[0].actor, 4, 4).unwrap(), ada[3..]);
    }

    #[test]
    fn a_journal_of_another_room_is_damage() {
        let place = Place::new();
        place.open().append(&records("ada", 1)).unwrap();
        let mut store = SqliteStore::open(&place.dir.path().join("room.db"), RoomId([8; 32])).unwrap();
        assert!(matches!(scanned(&mut store), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_full_disk_writes_nothing_and_a_later_try_succeeds() {
        let place = Place::new();
        let mut store = place.open();
        let ada = records("ada", 3_000);
        store.append(&ada[..1]).unwrap();
        store.connection.pragma_update(None, "max_page_count", 12).unwrap();
        assert!(matches!(store.append(&ada[1..]), Err(StoreError::Full)));
        assert_eq!(store.read_only_because(), None);
        assert_eq!(scanned(&mut store).unwrap(), ada[..1]);
        store.connection.pragma_update(None, "max_page_count", 100_000).unwrap();
        store.append(&ada[1..]).unwrap();
        assert_eq!(scanned(&mut store).unwrap(), ada);
    }

    #[test]
    fn a_failed_disk_is_never_written_again_but_still_read() {
        let place = Place::new();
        let mut store = place.open();
        let ada = records("ada", 2);
        store.append(&ada[..1]).unwrap();
        let fsync = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        let failed = store.judge(rusqlite::Error::SqliteFailure(fsync, None));
        assert!(matches!(failed, StoreError::Failed(_)));
        assert!(matches!(store.append(&ada[1..]), Err(StoreError::Failed(_))));
        assert!(matches!(store.set_fact("name", b"value"), Err(StoreError::Failed(_))));
        assert_eq!(scanned(&mut store).unwrap(), ada[..1]);
    }

    #[test]
    fn facts_are_replaced_and_outlive_the_process() {
        let place = Place::new();
        let mut store = place.open();
        assert_eq!(store.fact("secret").unwrap(), None);
        store.set_fact("secret", b"one").unwrap();
        store.set_fact("secret", b"two").unwrap();
        drop(store);
        assert_eq!(place.open().fact("secret").unwrap().as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn the_log_is_brought_home_and_does_not_grow_without_end() {
        let place = Place::new();
        let mut store = place.open();
        let big = |seq| vec![u8::try_from(seq % 256).unwrap(); 60_000];
        let actor = Actor::from_name("ada");
        let mut link = Link::origin(&ROOM, &actor);
        for seq in 1..=200_u64 {
            link = link.next(&big(seq));
            store.append(&[Record { actor, seq, link, body: big(seq), signature: None }]).unwrap();
        }
        let log = std::fs::metadata(place.dir.path().join("room.db-wal")).unwrap().len();
        assert!(log < 6_000_000, "{log} bytes of log for 12 MB of messages");
        drop(store);
        assert_eq!(scanned(&mut place.open()).unwrap().len(), 200);
    }
}
