//! Learning of a fork on the disk: the messages of a branch get its name, in one transaction with the proofs that say where it begins.

use rtc_core::id::Actor;
use rtc_core::store::{FORKS, Rename, StoreError};
use rusqlite::{OptionalExtension, Transaction};

use super::SqliteStore;
use super::fact;
use super::forget::{Begin, unpack};
use super::kept::SNAPSHOT;
use super::reading::{Refusal, open_block, out_of_range};
use super::schema;

impl SqliteStore {
    pub(super) fn write_renamed(&mut self, renames: &[Rename], forks: &[u8]) -> Result<(), StoreError> {
        let before = self.begin.clone();
        let begin = before.clone().with_forks(forks);
        self.write(|transaction| {
            renames.iter().try_for_each(|rename| rename_one(transaction, &before, rename))?;
            fact::write(transaction, begin.room(), FORKS, forks)?;
            transaction.execute("DELETE FROM fact WHERE name = ?1", [SNAPSHOT])?;
            if !begin.branches().is_empty() {
                // Whoever knows nothing of branches would miss their first messages.
                schema::raise_version(transaction, schema::BRANCHED)?;
            }
            Ok(())
        })?;
        self.begin = begin;
        self.unpacked.extend(renames.iter().map(|rename| rename.to));
        self.read_anew();
        Ok(())
    }
}

/// Renames the rows of an actor from a number on. Of its blocks those with such messages become rows first: what an actor has in blocks comes
/// before what it has in rows, and what stays is packed again by and by.
fn rename_one(transaction: &Transaction<'_>, begin: &Begin, rename: &Rename) -> Result<(), Refusal> {
    let Rename { from, seq, to } = rename;
    let seq = i64::try_from(*seq).map_err(|_| out_of_range(*seq))?;
    let Some(ix) = ix_of(transaction, from)? else { return Ok(()) };
    for last in blocks_from(transaction, ix, seq)? {
        let block = open_block(transaction, begin, *from, ix, last.unsigned_abs())?;
        unpack(transaction, ix, &block, |_| true)?;
        transaction
            .prepare_cached("DELETE FROM block WHERE actor_ix = ?1 AND last = ?2")?
            .execute([ix, last])?;
    }
    transaction
        .prepare_cached("INSERT INTO actor (actor) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([&to.0[..]])?;
    let Some(to_ix) = ix_of(transaction, to)? else { return Ok(()) };
    transaction
        .prepare_cached("UPDATE journal SET actor_ix = ?1 WHERE actor_ix = ?2 AND seq >= ?3")?
        .execute([to_ix, ix, seq])?;
    Ok(())
}

fn ix_of(transaction: &Transaction<'_>, actor: &Actor) -> Result<Option<i64>, Refusal> {
    let mut statement = transaction.prepare_cached("SELECT ix FROM actor WHERE actor = ?1")?;
    Ok(statement.query_row([&actor.0[..]], |row| row.get(0)).optional()?)
}

/// The last numbers of an actor's blocks that have messages from `seq` on, in order.
fn blocks_from(transaction: &Transaction<'_>, ix: i64, seq: i64) -> Result<Vec<i64>, Refusal> {
    let mut statement = transaction
        .prepare_cached("SELECT last FROM block WHERE actor_ix = ?1 AND last >= ?2 ORDER BY last")?;
    let found = statement.query_map([ix, seq], |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
pub(in crate::store) mod tests {
    use std::collections::BTreeMap;

    use rtc_core::branch::Known;
    use rtc_core::chain::{Ed25519, Keys, Link};
    use rtc_core::fork::Fork;
    use rtc_core::limits::BACKLOG_RUN_MESSAGES_MAX;
    use rtc_core::message::Message;
    use rtc_core::op::{Op, OpCode};
    use rtc_core::store::{Record, Store};
    use rtc_core::sync::Run;
    use rtc_core::value::Value;

    use super::super::sqlite::tests::{Place, ROOM, records, scanned};
    use super::*;

    fn keys() -> Ed25519 {
        Ed25519::from_seed(&[7; 32])
    }

    fn ada() -> Actor {
        Actor::new(keys().public(), 5)
    }

    /// So many messages of Ada that follow `before`, from number `first` on, told apart by a note.
    fn chain(mut before: Link, first: u64, count: u64, note: &str) -> Vec<Record> {
        let record = |seq: u64| {
            let op = Op {
                code: OpCode::named("number.add").unwrap(),
                key: "scene".into(),
                path: Some("x".into()),
                value: Value::number(1.0).unwrap(),
                options: BTreeMap::new(),
            };
            let (actor, note, ops) = (ada(), Some(note.to_owned()), vec![op]);
            let (clock, time_ms, request) = (vec![], None, None);
            let message = Message { actor, seq, lamport: seq, clock, time_ms, request, note, ops };
            let body = message.encode();
            before = before.next(&body);
            let signs = seq.is_multiple_of(50) || seq + 1 == first + count;
            Record { actor, seq, link: before, body, signature: signs.then(|| keys().sign(&before)) }
        };
        (first..first + count).map(record).collect()
    }

    /// Ada's messages before a fork, those of both branches, by their names, and the fact that proves it.
    pub(in crate::store) struct Forked {
        pub(in crate::store) before: Vec<Record>,
        pub(in crate::store) one: Vec<Record>,
        pub(in crate::store) other: Vec<Record>,
        pub(in crate::store) fact: Vec<u8>,
    }

    impl Forked {
        pub(in crate::store) fn at(seq: u64, count: u64) -> Self {
            Self::after(chain(Link::origin(&ROOM, &ada()), 1, seq - 1, "before"), count)
        }

        /// With so many messages in each branch.
        fn after(before: Vec<Record>, count: u64) -> Self {
            let origin = Link::origin(&ROOM, &ada());
            let (link, seq) = before.last().map_or((origin, 1), |record| (record.link, record.seq + 1));
            let [one, other] = ["one", "other"].map(|note| chain(link, seq, count, note));
            let runs = [&one, &other].map(|branch| Run {
                actor: ada(),
                first: seq,
                bodies: [branch[0].body.clone()].into_iter().collect(),
                signature: keys().sign(&branch[0].link),
            });
            let fork = Fork::prove(&ROOM, link, runs, &keys()).unwrap();
            let named = |records: Vec<Record>| -> Vec<Record> {
                let name = fork.branch_of(&records[0].link).expect("it is a branch");
                records.into_iter().map(|record| Record { actor: name, ..record }).collect()
            };
            let (one, other) = (named(one), named(other));
            let fact = Known::encode_all([Known { fork, parent: Some(ada()) }].iter());
            Self { before, one, other, fact }
        }

        /// One of the branches as it is held before the fork is known.
        pub(in crate::store) fn one_as_signed(&self) -> Vec<Record> {
            self.one.iter().map(|record| Record { actor: ada(), ..record.clone() }).collect()
        }

        pub(in crate::store) fn renames(&self) -> [Rename; 1] {
            [Rename { from: ada(), seq: self.one[0].seq, to: self.one[0].actor }]
        }
    }

    /// A fork, and another one after the messages of its first branch, as it is known to who knows nothing of the first.
    pub(in crate::store) fn two_forks() -> (Forked, Forked) {
        let early = Forked::at(11, 10);
        let late = Forked::after([&early.before[..], &early.one_as_signed()].concat(), 5);
        (early, late)
    }

    fn unsigned(records: &[Record]) -> Vec<Record> {
        records.iter().map(|record| Record { signature: None, ..record.clone() }).collect()
    }

    fn pack_all(store: &mut SqliteStore) {
        while store.pack().unwrap() {}
    }

    /// What arrived, with a stranger's messages between: as it was signed, and by the names of the branches.
    fn arrival(forked: &Forked) -> [Vec<Record>; 2] {
        let bob = records("bob", 900);
        let one = forked.one_as_signed();
        let (early, late) = one.split_at(one.len() / 2);
        let (early_named, late_named) = forked.one.split_at(one.len() / 2);
        [[&forked.before, early, late], [&forked.before, early_named, late_named]]
            .map(|[before, early, late]| [before, &bob[..500], early, &bob[500..], late].concat())
    }

    #[test]
    fn what_is_of_a_branch_is_read_by_its_name_and_both_go_on() {
        // In the middle of a block, at its edge, in rows, and with the first message.
        for seq in [9_001, 8_193, 12_901, 1] {
            let (place, forked) = (Place::new(), Forked::at(seq, 5_000));
            let [signed, named] = arrival(&forked);
            let mut store = place.open();
            store.append(&signed).unwrap();
            pack_all(&mut store);
            assert!(store.keep(b"room", &[]).is_ok());
            store.rename(&forked.renames(), &forked.fact).unwrap();
            for _ in 0..2 {
                assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(&named), "{seq}");
                let all = store.read(&forked.one[0].actor, 1, u64::MAX).unwrap();
                assert_eq!(unsigned(&all), unsigned(&forked.one), "{seq}");
                let all = store.read(&ada(), 1, u64::MAX).unwrap();
                assert_eq!(unsigned(&all), unsigned(&forked.before), "{seq}");
                assert_eq!(store.fact(FORKS).unwrap().as_ref(), Some(&forked.fact));
                assert!(store.kept().unwrap().is_none());
                pack_all(&mut store);
                drop(store);
                store = place.open();
            }
            store.append(&forked.other).unwrap();
            store.append(&forked.one[4_000..]).unwrap();
            pack_all(&mut store);
            let held = [named, forked.other.clone()].concat();
            assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(&held), "{seq}");
            assert_eq!(
                unsigned(&store.read(&forked.other[0].actor, seq + 1_000, u64::MAX).unwrap()),
                unsigned(&forked.other[1_000..]),
            );
            let version: i64 =
                store.connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, schema::BRANCHED, "earlier versions refuse it");
        }
    }

    #[test]
    fn a_packed_branch_keeps_the_signatures_that_vouch_for_what_it_hangs_on() {
        let (place, forked) = (Place::new(), Forked::at(31, 6_000));
        let mut store = place.open();
        store.append(&[&forked.before[..], &forked.one_as_signed()].concat()).unwrap();
        store.rename(&forked.renames(), &forked.fact).unwrap();
        pack_all(&mut store);
        let signed = |records: &[Record]| -> Vec<u64> {
            let early = records.iter().take(BACKLOG_RUN_MESSAGES_MAX);
            early.filter(|record| record.signature.is_some()).map(|record| record.seq).collect()
        };
        let held = store.read(&forked.one[0].actor, 1, 5_000).unwrap();
        assert_eq!(signed(&held), signed(&forked.one));
        assert!(held[BACKLOG_RUN_MESSAGES_MAX..].iter().filter(|held| held.signature.is_some()).count() < 10);
    }

    #[test]
    fn a_full_disk_renames_nothing_and_can_be_asked_again() {
        let (place, forked) = (Place::new(), Forked::at(3_000, 6_000));
        let [signed, named] = arrival(&forked);
        let mut store = place.open();
        store.append(&signed).unwrap();
        pack_all(&mut store);
        let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        store.connection.pragma_update(None, "max_page_count", pages).unwrap();
        assert!(matches!(store.rename(&forked.renames(), &forked.fact), Err(StoreError::Full)));
        for _ in 0..2 {
            assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(&signed));
            assert_eq!(store.fact(FORKS).unwrap(), None);
            drop(store);
            store = place.open();
        }
        store.rename(&forked.renames(), &forked.fact).unwrap();
        assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(&named));
    }

    /// After a crash the file has its old content and some beginning of the write-ahead log.
    #[test]
    fn a_crash_at_any_write_leaves_all_names_or_none() {
        let (place, forked) = (Place::new(), Forked::at(3_000, 6_000));
        let [signed, named] = arrival(&forked);
        let mut store = place.open();
        store.append(&signed).unwrap();
        pack_all(&mut store);
        drop(store);
        let home = std::fs::read(place.dir.path().join("room.db")).unwrap();
        let mut store = place.open();
        store.rename(&forked.renames(), &forked.fact).unwrap();
        let log = std::fs::read(place.dir.path().join("room.db-wal")).unwrap();
        assert_eq!(std::fs::read(place.dir.path().join("room.db")).unwrap(), home, "it is all in the log");
        drop(store);
        let mut renamed = Vec::new();
        for part in 0..=20 {
            let crashed = Place::new();
            std::fs::write(crashed.dir.path().join("room.db"), &home).unwrap();
            std::fs::write(crashed.dir.path().join("room.db-wal"), &log[..log.len() * part / 20]).unwrap();
            let mut store = crashed.open();
            let is_renamed = store.fact(FORKS).unwrap().is_some();
            let there = if is_renamed { &named } else { &signed };
            assert_eq!(unsigned(&scanned(&mut store).unwrap()), unsigned(there), "{part} of 20");
            renamed.push(is_renamed);
        }
        assert!(!renamed[0] && renamed[20]);
    }
}
