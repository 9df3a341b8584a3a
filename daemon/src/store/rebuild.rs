//! A room's file made anew from what is whole in others: damaged ones, and backups.
//!
//! Of each actor the messages up to the first that is missing or damaged are taken, with their past; the rest is for peers to send again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rtc_core::chain::{Keys, Link};
use rtc_core::founding::Founding;
use rtc_core::id::{Actor, RoomId};
use rtc_core::store::{Record, Store, StoreError};
use rtc_core::ticket::Secret;
use rtc_core::view::MessageView;
use rusqlite::{Connection, OpenFlags};

use super::reading::{block_row, record};
use super::schema::OpenError;
use super::{SqliteStore, block, fact};
use crate::durable;

/// Messages written in one transaction.
const WRITTEN_AT_ONCE: usize = 4096;

/// Why no file was made.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The new file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new file cannot be written.
    #[error(transparent)]
    Write(#[from] StoreError),
}

/// What a room's file is called, in the room's directory.
pub const ROOM_FILE: &str = "room.db";

/// Puts in the place of `room.db` in `dir`, which nobody has open, a file made of what is whole in all that was ever set aside there, and
/// in the files `beside`; returns how many messages that is. What was there is set aside as `room.db.damaged-1`, and so on.
pub fn renew(
    dir: &Path,
    beside: &[PathBuf],
    room: RoomId,
    secret: Option<Secret>,
    keys: &dyn Keys,
) -> Result<u64, RebuildError> {
    let io = |error| OpenError::Io { path: dir.to_owned(), error };
    let mut sources = set_aside(dir).map_err(io)?;
    sources.extend_from_slice(beside);
    let target = dir.join(ROOM_FILE).with_extension("db.unfinished");
    remove(&target).map_err(io)?;
    let messages = rebuild(&sources, &target, room, secret, keys)?;
    replace(dir, &target).map_err(io)?;
    Ok(messages)
}

/// The databases of a room's directory, the present one among them.
fn set_aside(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_a_log = name.ends_with("-wal") || name.ends_with("-journal");
        if name == ROOM_FILE || name.starts_with("room.db.damaged-") && !is_a_log {
            files.push(dir.join(name));
        }
    }
    files.sort();
    Ok(files)
}

/// Puts `target` in the place of the room's file. A write-ahead log of the old file must never meet the new one: it goes first, and a
/// crash in between finds it set aside beside the old file, where the next repair reads both.
fn replace(dir: &Path, target: &Path) -> io::Result<()> {
    let (file, log) = (dir.join(ROOM_FILE), dir.join("room.db-wal"));
    let aside = |nth: u32, end: &str| dir.join(format!("room.db.damaged-{nth}{end}"));
    let nth = (1..).find(|nth| !aside(*nth, "").exists()).expect("there are numbers enough");
    if file.exists() {
        fs::hard_link(&file, aside(nth, ""))?;
    }
    if log.exists() {
        fs::rename(&log, aside(nth, "-wal"))?;
        durable::sync_dir_of(&file)?;
    }
    fs::rename(target, &file)?;
    durable::sync_dir_of(&file)
}

/// Removes a database that is of no use, with its logs.
fn remove(file: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Makes the file `target` of what is whole in `sources`, and says how many messages that is. What is sealed or signed by others is taken
/// only if it verifies; our own last message is signed again where its signature is lost.
fn rebuild(
    sources: &[PathBuf],
    target: &Path,
    room: RoomId,
    secret: Option<Secret>,
    keys: &dyn Keys,
) -> Result<u64, RebuildError> {
    let mut found = Found::default();
    sources.iter().for_each(|source| found.read(source, &room));
    let chains: BTreeMap<Actor, Vec<Record>> =
        found.actors.iter().map(|(actor, pieces)| (*actor, pieces.chain(&room, *actor, keys))).collect();
    let records = admissible(chains, keys);
    if let Some(secret) = secret {
        found.facts.insert("secret".into(), secret.0.to_vec());
    }
    let mut store = SqliteStore::open(target, room)?;
    for piece in records.chunks(WRITTEN_AT_ONCE) {
        store.append(piece)?;
    }
    for (name, value) in &found.facts {
        store.set_fact(name, value)?;
    }
    Ok(records.len() as u64)
}

/// What can be read at all, whole or not.
#[derive(Default)]
struct Found {
    actors: BTreeMap<Actor, Pieces>,
    facts: BTreeMap<String, Vec<u8>>,
}

/// What there is of one actor.
#[derive(Default)]
struct Pieces {
    rows: BTreeMap<u64, Vec<Record>>,
    blocks: Vec<block::Row>,
}

impl Found {
    /// Takes what can be read from a file. One that cannot be is none: whatever is in it is damaged.
    fn read(&mut self, source: &Path, room: &RoomId) {
        // Not as rooms are opened: what marks the file as one may be what is damaged.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let Ok(connection) = Connection::open_with_flags(source, flags) else { return };
        if let Ok(facts) = fact::all(&connection, room) {
            let ours = |name: &str, value: &[u8]| match name {
                "founding" => Founding::room_of(value) == *room,
                // It stands on the order of arrival, which is another one in the new file.
                "snapshot" => false,
                _ => true,
            };
            self.facts.extend(facts.whole.into_iter().filter(|(name, value)| ours(name, value)));
        }
        // From both ends: past a damaged page there is more.
        for order in ["ASC", "DESC"] {
            if let Err(error) =
                self.read_rows(&connection, order).and_then(|()| self.read_blocks(&connection, order))
            {
                tracing::warn!(source = %source.display(), "not all of it can be read: {error}");
            }
        }
    }

    fn read_rows(&mut self, connection: &Connection, order: &str) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!(
            "SELECT actor, seq, link, body, signature FROM journal NOT INDEXED JOIN actor ON ix = actor_ix ORDER BY arrival {order}"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Ok(record) = record(row) else { continue };
            let there = self.actors.entry(record.actor).or_default().rows.entry(record.seq).or_default();
            if !there.contains(&record) {
                there.push(record);
            }
        }
        Ok(())
    }

    fn read_blocks(&mut self, connection: &Connection, order: &str) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!(
            "SELECT arrival, first, last, link, messages, places, seal, actor FROM block NOT INDEXED JOIN actor ON ix = actor_ix ORDER BY arrival {order}"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (Ok(block), Ok(actor)) = (block_row(row), row.get(7)) else { continue };
            let there = &mut self.actors.entry(Actor(actor)).or_default().blocks;
            if !there.iter().any(|other| (other.first, other.seal) == (block.first, block.seal)) {
                there.push(block);
            }
        }
        Ok(())
    }
}

impl Pieces {
    /// The actor's messages from the first on, as far as each follows from the one before. Signatures that are not its own are left out.
    fn chain(&self, room: &RoomId, actor: Actor, keys: &dyn Keys) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        let origin = Link::origin(room, &actor);
        loop {
            let next = records.len() as u64 + 1;
            let link = records.last().map_or(origin, |record| record.link);
            if let Some(record) = self.row(next, link, keys) {
                records.push(record);
                continue;
            }
            let before = |first: i64| match usize::try_from(first).ok()?.checked_sub(2) {
                None => Some(origin),
                Some(index) => records.get(index).map(|record| record.link),
            };
            let has_next = |block: &&block::Row| {
                (block.first..=block.last).contains(&i64::try_from(next).unwrap_or(i64::MAX))
            };
            let block = self.blocks.iter().filter(has_next);
            let Some(block) = block.into_iter().find_map(|row| row.open(actor, before(row.first)).ok())
            else {
                return records;
            };
            records.extend(block.records(next, u64::MAX).map(|record| with_good_signature(record, keys)));
        }
    }

    /// The row of message `seq`, if it follows from `before`: a signed one where there is a choice.
    fn row(&self, seq: u64, before: Link, keys: &dyn Keys) -> Option<Record> {
        let candidates =
            self.rows.get(&seq)?.iter().filter(|record| before.next(&record.body) == record.link);
        let candidates = candidates.map(|record| with_good_signature(record.clone(), keys));
        candidates.max_by_key(|record| record.signature.is_some())
    }
}

fn with_good_signature(mut record: Record, keys: &dyn Keys) -> Record {
    let Record { actor, link, .. } = &record;
    record.signature = record.signature.filter(|signature| keys.verify(&actor.key(), link, signature));
    record
}

/// Of these messages those that a room admits: with all of their past, and under a signature. In causal order.
fn admissible(mut chains: BTreeMap<Actor, Vec<Record>>, keys: &dyn Keys) -> Vec<Record> {
    loop {
        let order = causal_order(&chains);
        let mut held: BTreeMap<Actor, usize> = BTreeMap::new();
        order.iter().for_each(|(actor, _)| *held.entry(*actor).or_default() += 1);
        let mut is_cut = false;
        for (actor, chain) in &mut chains {
            let before = chain.len();
            chain.truncate(held.get(actor).copied().unwrap_or(0));
            if actor.key() == keys.public() {
                if let Some(last) = chain.last_mut() {
                    last.signature.get_or_insert_with(|| keys.sign(&last.link));
                }
            } else {
                let signed = chain.iter().rposition(|record| record.signature.is_some());
                chain.truncate(signed.map_or(0, |last| last + 1));
            }
            is_cut |= chain.len() < before;
        }
        if !is_cut {
            return order.into_iter().map(|(actor, index)| chains[&actor][index].clone()).collect();
        }
    }
}

/// Actor and index of each message whose past is there too. Lamports grow along every causal path, so their order is causal.
fn causal_order(chains: &BTreeMap<Actor, Vec<Record>>) -> Vec<(Actor, usize)> {
    let mut waiting = BTreeSet::new();
    for (actor, chain) in chains {
        for (index, record) in chain.iter().enumerate() {
            let Ok(message) = MessageView::read(*actor, &record.body) else { break };
            waiting.insert((message.lamport, *actor, index));
        }
    }
    let mut held: BTreeMap<Actor, usize> = BTreeMap::new();
    let mut order = Vec::with_capacity(waiting.len());
    for (_, actor, index) in waiting {
        let message = MessageView::read(actor, &chains[&actor][index].body).expect("it was read above");
        let seen = |other: &Actor| held.get(other).copied().unwrap_or(0) as u64;
        if seen(&actor) == index as u64 && message.clock.iter().all(|head| head.seq <= seen(&head.actor)) {
            held.insert(actor, index + 1);
            order.push((actor, index));
        }
    }
    order
}
