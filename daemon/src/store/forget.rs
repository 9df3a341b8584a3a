//! Forgetting on the disk: what is left of messages takes their place, in one transaction.

use rtc_core::branch::Branches;
use rtc_core::chain::Link;
use rtc_core::horizon::Frontier;
use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::store::{FORKS, Forgetting, GROUND, OUTSIDE, Record, StoreError};
use rusqlite::{Connection, Transaction};

use super::block::Block;
use super::kept::SNAPSHOT;
use super::reading::{Refusal, open_block};
use super::schema;
use super::{SqliteStore, fact};

/// The fact that says where each actor's messages begin.
pub(super) const FRONTIER: &str = "frontier";

/// Where the messages of a room begin: with the first of each actor, after what is forgotten, or where a branch parts from another.
#[derive(Clone, Debug)]
pub(super) struct Begin {
    room: RoomId,
    frontier: Frontier,
    branches: Branches,
}

impl Begin {
    pub(super) fn read(connection: &Connection, room: RoomId) -> Self {
        let text = fact::read(connection, &room, FRONTIER).ok().flatten();
        // One that was damaged begins nowhere: the first message of each actor is missing then, and named.
        let frontier = text.and_then(|text| Frontier::decode(std::str::from_utf8(&text).ok()?));
        let forks = fact::read(connection, &room, FORKS).ok().flatten();
        Self::new(room, frontier.unwrap_or_default()).with_forks(&forks.unwrap_or_default())
    }

    pub(super) fn new(room: RoomId, frontier: Frontier) -> Self {
        Self { room, frontier, branches: Branches::default() }
    }

    /// The same with the branches that the fact [`FORKS`] proves.
    pub(super) fn with_forks(self, forks: &[u8]) -> Self {
        Self { branches: Branches::read(forks).unwrap_or_default(), ..self }
    }

    pub(super) fn branches(&self) -> &Branches {
        &self.branches
    }

    pub(super) fn room(&self) -> &RoomId {
        &self.room
    }

    /// The number of the last message before those of an actor, 0 where there is none, and the link that its next one hangs on.
    pub(super) fn of(&self, actor: &Actor) -> (u64, Link) {
        match self.frontier.get(actor) {
            Some(cut) => (cut.seq, cut.link),
            None => self.branches.origin(&self.room, actor),
        }
    }

    /// The actors of whom something is forgotten.
    pub(super) fn cuts(&self) -> impl Iterator<Item = (Actor, u64, Link)> {
        self.frontier.iter().map(|(&actor, cut)| (actor, cut.seq, cut.link))
    }
}

impl SqliteStore {
    pub(super) fn write_forgotten(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        let Forgetting { ground, outside, frontier, .. } = forgetting;
        let begin = self.begin.clone();
        self.write(|transaction| {
            unpack_what_stays(transaction, &begin, forgetting)?;
            drop_rows(transaction, forgetting)?;
            let frontier = frontier.encode();
            for (name, value) in [(GROUND, &ground[..]), (OUTSIDE, outside), (FRONTIER, frontier.as_bytes())]
            {
                fact::write(transaction, &begin.room, name, value)?;
            }
            transaction.execute("DELETE FROM fact WHERE name = ?1", [SNAPSHOT])?;
            // Whoever knows nothing of it would miss the first messages.
            schema::raise_version(transaction, schema::FORGOTTEN)?;
            Ok(())
        })?;
        self.begin = Begin { frontier: frontier.clone(), ..begin };
        self.read_anew();
        Ok(())
    }

    /// Forgets what is known of rows that are others now.
    pub(super) fn read_anew(&mut self) {
        self.unpacked.extend(std::mem::take(&mut self.actors).into_keys());
        (self.opened, self.mark) = (None, None);
    }
}

/// Makes rows of those messages in blocks that stay, each with its arrival, and drops the blocks: what stays is packed again by and by.
fn unpack_what_stays(
    transaction: &Transaction<'_>,
    begin: &Begin,
    forgetting: &Forgetting,
) -> Result<(), Refusal> {
    let mut blocks =
        transaction.prepare("SELECT actor, actor_ix, first, last FROM block JOIN actor ON ix = actor_ix")?;
    let mut blocks = blocks.query([])?;
    while let Some(row) = blocks.next()? {
        let (actor, ix): (Actor, i64) = (Actor(row.get(0)?), row.get(1)?);
        let (first, last): (i64, i64) = (row.get(2)?, row.get(3)?);
        let stays = |seq: u64| forgetting.keeps(&Dot { actor, seq });
        if !(first.unsigned_abs()..=last.unsigned_abs()).any(stays) {
            continue;
        }
        let block = open_block(transaction, begin, actor, ix, last.unsigned_abs())?;
        unpack(transaction, ix, &block, stays)?;
    }
    transaction.execute("DELETE FROM block", [])?;
    Ok(())
}

/// Makes rows of those messages of a block that stay, each with its arrival; `ix` is its actor's.
pub(super) fn unpack(
    transaction: &Transaction<'_>,
    ix: i64,
    block: &Block,
    stays: impl Fn(u64) -> bool,
) -> Result<(), Refusal> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO journal (arrival, actor_ix, seq, link, body, signature) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for index in 0..block.len() {
        let Record { seq, link, body, signature, .. } = block.record(index);
        if stays(seq) {
            let signature = signature.as_ref().map(|signature| &signature.0[..]);
            let arrival = block.arrival(index);
            insert.execute(rusqlite::params![arrival, ix, seq.cast_signed(), link.0, body, signature])?;
        }
    }
    Ok(())
}

fn drop_rows(transaction: &Transaction<'_>, forgetting: &Forgetting) -> Result<(), Refusal> {
    let mut actors = transaction.prepare("SELECT actor, ix FROM actor")?;
    let mut actors = actors.query([])?;
    let mut delete =
        transaction.prepare("DELETE FROM journal WHERE actor_ix = ?1 AND (seq <= ?2 OR seq >= ?3)")?;
    while let Some(row) = actors.next()? {
        let (actor, ix): (Actor, i64) = (Actor(row.get(0)?), row.get(1)?);
        let cut = forgetting.frontier.get(&actor).map_or(0, |cut| cut.seq.cast_signed());
        let outside = forgetting.outside_from.get(&actor).map_or(i64::MAX, |first| first.cast_signed());
        delete.execute([ix, cut, outside])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rtc_core::horizon::Cut;
    use rtc_core::store::Store;

    use super::super::sqlite::tests::{Place, records, scanned};
    use super::*;

    fn unsigned(records: Vec<Record>) -> Vec<Record> {
        records.into_iter().map(|record| Record { signature: None, ..record }).collect()
    }

    /// Of one most is forgotten and the end is outside, of the other everything is forgotten.
    fn forgetting(ada: &[Record], bob: &[Record]) -> Forgetting {
        let cut =
            |record: &Record| (record.actor, Cut { seq: record.seq, lamport: record.seq, link: record.link });
        Forgetting {
            ground: b"ground".to_vec(),
            outside: b"outside".to_vec(),
            frontier: [cut(&ada[9_499]), cut(&bob[699])].into_iter().collect(),
            outside_from: BTreeMap::from([(ada[0].actor, 13_990)]),
        }
    }

    fn version(store: &SqliteStore) -> i64 {
        store.connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_stays_is_read_as_it_was_and_goes_on() {
        let place = Place::new();
        let (ada, bob) = (records("ada", 14_000), records("bob", 705));
        let mut store = place.open();
        store.append(&ada[..9_000]).unwrap();
        store.append(&bob[..700]).unwrap();
        store.append(&ada[9_000..]).unwrap();
        while store.pack().unwrap() {}
        assert_eq!(version(&store), schema::WHOLE);
        store.forget(&forgetting(&ada, &bob)).unwrap();
        for _ in 0..2 {
            assert_eq!(version(&store), schema::FORGOTTEN);
            assert_eq!(unsigned(scanned(&mut store).unwrap()), unsigned(ada[9_500..13_989].to_vec()));
            let all = store.read(&ada[0].actor, 1, u64::MAX).unwrap();
            assert_eq!(unsigned(all), unsigned(ada[9_500..13_989].to_vec()));
            assert_eq!(store.read(&bob[0].actor, 1, u64::MAX).unwrap(), []);
            assert_eq!(store.fact(GROUND).unwrap().as_deref(), Some(&b"ground"[..]));
            assert_eq!(store.fact(OUTSIDE).unwrap().as_deref(), Some(&b"outside"[..]));
            while store.pack().unwrap() {}
            drop(store);
            store = place.open();
        }
        // What comes next follows from what is forgotten; what is forgotten does not come back.
        store.append(&bob[650..]).unwrap();
        store.append(&ada[13_980..]).unwrap();
        assert_eq!(store.read(&bob[0].actor, 1, u64::MAX).unwrap(), bob[700..]);
        assert_eq!(scanned(&mut store).unwrap().len(), 5 + 4_500);
        let heads = [&ada[13_999], &bob[704]].map(|last| (last.actor, last.seq, last.link));
        assert!(store.keep(b"room", &heads).unwrap());
        assert!(store.kept().unwrap().is_some());
    }

    #[test]
    fn what_is_kept_stands_where_nothing_came_after() {
        let place = Place::new();
        let (ada, bob) = (records("ada", 14_000), records("bob", 700));
        let mut store = place.open();
        store.append(&[&ada[..], &bob[..]].concat()).unwrap();
        store.forget(&forgetting(&ada, &bob)).unwrap();
        let heads = [&ada[13_988], &bob[699]].map(|last| (last.actor, last.seq, last.link));
        assert!(store.keep(b"room", &heads).unwrap());
        drop(store);
        assert!(place.open().kept().unwrap().is_some());
    }

    #[test]
    fn a_full_disk_forgets_nothing() {
        let place = Place::new();
        let (ada, bob) = (records("ada", 14_000), records("bob", 700));
        let arrival = [&ada[..], &bob[..]].concat();
        let mut store = place.open();
        store.append(&arrival).unwrap();
        while store.pack().unwrap() {}
        let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        store.connection.pragma_update(None, "max_page_count", pages).unwrap();
        let large = Forgetting { ground: vec![7; 4 * 1024 * 1024], ..forgetting(&ada, &bob) };
        assert!(matches!(store.forget(&large), Err(StoreError::Full)));
        for _ in 0..2 {
            assert_eq!(version(&store), schema::WHOLE);
            assert_eq!(unsigned(scanned(&mut store).unwrap()), unsigned(arrival.clone()));
            drop(store);
            store = place.open();
        }
        store.forget(&large).unwrap();
        assert_eq!(scanned(&mut store).unwrap().len(), 13_989 - 9_500);
    }
}
