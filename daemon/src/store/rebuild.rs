//! A room's file made anew from what is whole in others: damaged ones, and backups.
//!
//! Of what is left of forgotten messages the newest that is whole is taken, and after it of each actor the messages up to the first that
//! is missing or damaged, with their past; the rest is for peers to send again. Forks are what any of the files proves: a message is of the
//! branch that its link says, whatever name it has in its file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use rtc_core::branch::{Branches, Deriver, Known};
use rtc_core::chain::Keys;
use rtc_core::fork::Fork;
use rtc_core::founding::Founding;
use rtc_core::horizon::Frontier;
use rtc_core::id::{Actor, RoomId};
use rtc_core::limits::FORKS_MAX;
use rtc_core::room::Room;
use rtc_core::store::{FORKS, Forgetting, GROUND, OUTSIDE, Record, Store, StoreError};
use rtc_core::ticket::Secret;
use rtc_core::view::MessageView;
use rusqlite::{Connection, OpenFlags};

use super::course::{Family, Pieces};
use super::examine::opening;
use super::forget::{Begin, FRONTIER};
use super::reading::{block_row, record};
use super::schema::{self, OpenError};
use super::{SqliteStore, fact};
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
    /// Nobody waits for it any more.
    #[error("the daemon is stopping")]
    Ending,
}

/// What a room's file is called, in the room's directory.
pub const ROOM_FILE: &str = "room.db";

/// What a new file is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewed {
    /// How many messages are in it.
    pub messages: u64,
    /// Whether there is none because messages were forgotten, and what was left of them is nowhere whole.
    pub lacks_ground: bool,
}

/// Puts in the place of `room.db` in `dir`, which nobody has open, a file made of what is whole in all that was ever set aside there, and
/// in the files `beside`. What was there is set aside as `room.db.damaged-1`, and so on. Once `ending` is true, it soon
/// gives up, and leaves all as it was.
pub fn renew(
    dir: &Path,
    beside: &[PathBuf],
    room: RoomId,
    secret: Option<Secret>,
    keys: &Arc<dyn Keys>,
    ending: &AtomicBool,
) -> Result<Renewed, RebuildError> {
    let io = |error| OpenError::Io { path: dir.to_owned(), error };
    let mut sources = set_aside(dir).map_err(io)?;
    sources.extend_from_slice(beside);
    let target = dir.join(ROOM_FILE).with_extension("db.unfinished");
    remove(&target).map_err(io)?;
    let renewed = rebuild(&sources, &target, room, secret, keys, ending)?;
    if ending.load(Ordering::Relaxed) {
        // Then not all was read.
        remove(&target).map_err(io)?;
        return Err(RebuildError::Ending);
    }
    replace(dir, &target).map_err(io)?;
    Ok(renewed)
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

/// Makes the file `target` of what is whole in `sources`. What is sealed or signed by others is taken only if it verifies; our own last
/// message, by whichever key, is signed again where its signature is lost.
fn rebuild(
    sources: &[PathBuf],
    target: &Path,
    room: RoomId,
    secret: Option<Secret>,
    keys: &Arc<dyn Keys>,
    ending: &AtomicBool,
) -> Result<Renewed, RebuildError> {
    let mut found = Found::new(ending);
    sources.iter().for_each(|source| found.read(source, &room));
    let forks = Known::encode_all(found.forks(room, &**keys).iter());
    let base = found.base(room, &forks, keys);
    let begin = base.begin(room).with_forks(&forks);
    let branches = begin.branches();
    let actors: BTreeSet<Actor> =
        found.actors.keys().copied().chain(branches.iter().map(|(name, _)| name)).collect();
    let chain = |actor: Actor| {
        let family = found.family(branches, actor);
        (actor, family.chain_after(&begin, &found.begins, actor, &**keys))
    };
    let records = admissible(&base, branches, actors.into_iter().map(chain).collect(), &**keys);
    if let Some(secret) = secret {
        found.facts.insert("secret".into(), secret.0.to_vec());
    }
    let mut store = SqliteStore::open(target, room)?;
    if let Some(forgetting) = &base.forgetting {
        store.forget(forgetting)?;
    }
    if !found.forks.is_empty() {
        store.rename(&[], &forks)?;
    }
    for piece in records.chunks(WRITTEN_AT_ONCE).take_while(|_| !ending.load(Ordering::Relaxed)) {
        store.append(piece)?;
    }
    for (name, value) in &found.facts {
        store.set_fact(name, value)?;
    }
    let lacks_ground = base.forgetting.is_none() && records.is_empty() && found.has_forgotten(branches);
    Ok(Renewed { messages: records.len() as u64, lacks_ground })
}

/// What the messages of the new file follow: the room's beginning, or what is left of forgotten messages.
struct Base {
    forgetting: Option<Forgetting>,
    /// The room as it stands there.
    room: Room,
}

impl Base {
    fn begin(&self, room: RoomId) -> Begin {
        Begin::new(room, self.forgetting.as_ref().map(|left| left.frontier.clone()).unwrap_or_default())
    }
}

/// What can be read at all, whole or not.
struct Found<'a> {
    /// Whether it is to be read no further.
    ending: &'a AtomicBool,
    actors: BTreeMap<Actor, Pieces>,
    facts: BTreeMap<String, Vec<u8>>,
    /// What each source has kept of forgotten messages, where all of it is as it was written.
    left: Vec<Forgetting>,
    /// Where the messages of each source begin.
    begins: Vec<Begin>,
    /// Whether a source had forgotten anything.
    forgot: bool,
    /// Whether the format of a source leaves that open.
    may_have_forgotten: bool,
    /// The forks that any source knows of, by their proofs.
    forks: BTreeMap<Arc<[u8]>, Told>,
}

/// A fork as sources tell of it.
struct Told {
    fork: Fork,
    /// Its parents, as each [`Known`] has one.
    parents: BTreeSet<Option<Actor>>,
}

impl<'a> Found<'a> {
    fn new(ending: &'a AtomicBool) -> Self {
        let (actors, facts, forks) = Default::default();
        let (left, begins) = (Vec::new(), Vec::new());
        Self { ending, actors, facts, left, begins, forgot: false, may_have_forgotten: false, forks }
    }

    /// Takes what can be read from a file. One that cannot be is none: whatever is in it is damaged.
    fn read(&mut self, source: &Path, room: &RoomId) {
        // Not as rooms are opened: what marks the file as one may be what is damaged.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let Ok(connection) = Connection::open_with_flags(source, flags) else { return };
        let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        match version {
            Ok(schema::FORGOTTEN) => self.forgot = true,
            Ok(schema::BRANCHED) => self.may_have_forgotten = true,
            Ok(_) | Err(_) => {}
        }
        if let Ok(mut facts) = fact::all(&connection, room) {
            self.take_left(&mut facts, room);
            let forks = facts.whole.remove(FORKS).and_then(|fact| Known::decode_all(&fact).ok());
            for known in forks.into_iter().flatten() {
                let told = self.forks.entry(known.fork.bytes().clone());
                let told = told.or_insert_with(|| Told { fork: known.fork, parents: BTreeSet::new() });
                told.parents.insert(known.parent);
            }
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

    /// Takes out of the facts what is left of forgotten messages. It is of use only together, and only from one source.
    fn take_left(&mut self, facts: &mut fact::Facts, room: &RoomId) {
        let left = [GROUND, OUTSIDE, FRONTIER];
        self.forgot |= facts.broken.iter().any(|name| left.contains(&&**name));
        let [ground, outside, frontier] = left.map(|name| facts.whole.remove(name));
        self.forgot |= ground.is_some() || frontier.is_some();
        let frontier = frontier.and_then(|text| Frontier::decode(std::str::from_utf8(&text).ok()?));
        self.begins.extend(frontier.clone().map(|frontier| Begin::new(*room, frontier)));
        if let (Some(ground), Some(outside), Some(frontier)) = (ground, outside, frontier) {
            self.left.push(Forgetting { ground, outside, frontier, outside_from: BTreeMap::new() });
        }
    }

    /// The forks that the sources prove, with the actor that each is of where all of them are known: to a source that knew of fewer it was
    /// of another. Where the message that it hangs on is not whole, it is as the source has it that knew most.
    fn forks(&self, room: RoomId, keys: &dyn Keys) -> Vec<Known> {
        let mut forks: Vec<_> = self.forks.values().collect();
        forks.sort_by_key(|told| told.fork.dot().seq);
        let mut all = Vec::new();
        for Told { fork, parents } in forks.into_iter().take(FORKS_MAX) {
            let (signed, last) = (fork.dot().actor, (fork.dot().seq - 1, fork.before()));
            let begin = Begin::new(room, Frontier::default()).with_forks(&Known::encode_all(all.iter()));
            let branches = begin.branches();
            let is_open = |actor: &Actor| {
                let (base, closed) = (branches.base(actor), branches.closed(actor));
                (*actor == signed || base < last.0) && closed.is_none_or(|closed| last.0 <= closed)
            };
            let mut names: Vec<Actor> = branches.family(signed).chain([signed]).filter(is_open).collect();
            // What a source says is mostly so.
            names.sort_by_key(|actor| !parents.contains(&Some(*actor)));
            let has =
                |actor: &Actor| self.family(branches, *actor).has(&begin, &self.begins, *actor, last, keys);
            let parent = names.into_iter().find(has);
            let parent =
                parent.or_else(|| parents.iter().flatten().copied().max_by_key(|actor| branches.base(actor)));
            // Where one source has forgotten the fork, only one of the branches is part of the room.
            let is_forgotten = |parent: &Actor| {
                let cuts = self.left.iter().filter_map(|left| left.frontier.get(parent));
                cuts.into_iter().any(|cut| cut.seq >= fork.dot().seq)
            };
            all.push(Known { fork: fork.clone(), parent: parent.filter(|parent| !is_forgotten(parent)) });
        }
        all
    }

    /// What there is of an actor under any of its names.
    fn family(&self, branches: &Branches, actor: Actor) -> Family<'_> {
        let names: BTreeSet<Actor> = branches.family(actor).chain([actor]).collect();
        Family {
            pieces: names.iter().filter_map(|name| self.actors.get(name)).collect(),
            ending: self.ending,
        }
    }

    /// Whether a source had forgotten anything: where its format does not say so, whether somebody's messages begin with neither the first
    /// one nor that of a branch.
    fn has_forgotten(&self, branches: &Branches) -> bool {
        let begins_late = |(actor, pieces): (&Actor, &Pieces)| {
            pieces.first().is_some_and(|seq| seq > branches.base(actor) + 1)
        };
        self.forgot || self.may_have_forgotten && self.actors.iter().any(begins_late)
    }

    /// What the new file begins with: of what is left of forgotten messages that which covers most and is what its horizon names.
    /// Horizons are one chain, so who covers most covers all.
    fn base(&mut self, id: RoomId, forks: &[u8], keys: &Arc<dyn Keys>) -> Base {
        let covered =
            |left: &Forgetting| left.frontier.iter().map(|(_, cut)| u128::from(cut.seq)).sum::<u128>();
        self.left.sort_by_key(covered);
        let founding = self.facts.get("founding").and_then(|bytes| Founding::decode(bytes).ok());
        let opening = opening(id, founding, keys);
        while let Some(left) = self.left.pop() {
            let mut room = Room::open(opening.clone());
            room.recall(FORKS, forks);
            match room.restore(&left.ground, &left.outside) {
                Ok(()) if room.forgotten() == left.frontier.version() => {
                    return Base { forgetting: Some(left), room };
                }
                Ok(()) => tracing::warn!(room = %id, "what is left of forgotten messages is of others"),
                Err(error) => tracing::warn!(room = %id, "it is not taken: {error}"),
            }
        }
        Base { forgetting: None, room: Room::open(opening) }
    }

    fn read_rows(&mut self, connection: &Connection, order: &str) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!(
            "SELECT actor, seq, link, body, signature FROM journal NOT INDEXED JOIN actor ON ix = actor_ix ORDER BY arrival {order}"
        ))?;
        let mut rows = statement.query([])?;
        while let (false, Some(row)) = (self.ending.load(Ordering::Relaxed), rows.next()?) {
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
        while let (false, Some(row)) = (self.ending.load(Ordering::Relaxed), rows.next()?) {
            let (Ok(block), Ok(actor)) = (block_row(row), row.get(7)) else { continue };
            let there = &mut self.actors.entry(Actor(actor)).or_default().blocks;
            // One that only claims to be the same may be damaged.
            if !there.contains(&block) {
                there.push(block);
            }
        }
        Ok(())
    }
}

/// Of these messages those that a room admits: with all of their past, and under a signature. In causal order.
fn admissible(
    base: &Base,
    branches: &Branches,
    mut chains: BTreeMap<Actor, Vec<Record>>,
    keys: &dyn Keys,
) -> Vec<Record> {
    loop {
        let order = causal_order(base, branches, &chains);
        let mut held: BTreeMap<Actor, usize> = BTreeMap::new();
        order.iter().for_each(|(actor, _)| *held.entry(*actor).or_default() += 1);
        let mut is_cut = false;
        for (actor, chain) in &mut chains {
            let before = chain.len();
            chain.truncate(held.get(actor).copied().unwrap_or(0));
            if let Some(last) = chain.last_mut().filter(|last| last.signature.is_none()) {
                last.signature = keys.sign_as(&actor.key(), &last.link);
            }
            // What two branches hang on both of their signatures vouch for.
            let is_vouched_for =
                |record: &Record| record.signature.is_some() || branches.closed(actor) == Some(record.seq);
            let signed = chain.iter().rposition(is_vouched_for);
            chain.truncate(signed.map_or(0, |last| last + 1));
            is_cut |= chain.len() < before;
        }
        if !is_cut {
            return order.into_iter().map(|(actor, index)| chains[&actor][index].clone()).collect();
        }
    }
}

/// Actor and index of each message whose past is there too and that no horizon has left outside. Lamports grow along every causal path,
/// so their order is causal.
fn causal_order(
    base: &Base,
    branches: &Branches,
    chains: &BTreeMap<Actor, Vec<Record>>,
) -> Vec<(Actor, usize)> {
    let mut waiting = BTreeSet::new();
    for (actor, chain) in chains {
        for (index, record) in chain.iter().enumerate() {
            let Ok(message) = MessageView::read(*actor, &record.body) else { break };
            waiting.insert((message.lamport, *actor, index));
        }
    }
    let mut held = base.room.vector();
    let mut deriver = Deriver::new(branches.clone(), held.clone());
    let mut order = Vec::with_capacity(waiting.len());
    for (_, actor, index) in waiting {
        let record = &chains[&actor][index];
        if held.get(&actor).max(branches.base(&actor)) + 1 != record.seq {
            continue;
        }
        let clock = deriver.derive(record).expect("it was read above").clock;
        let has_past = clock.iter().all(|head| head.seq <= held.get(&head.actor));
        let message = MessageView::read(actor, &record.body).expect("it was read above");
        if has_past && !base.room.leaves_outside(&message) {
            held.raise(actor, record.seq);
            order.push((actor, index));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use rtc_core::api::{Compact, Edit, EditOp};
    use rtc_core::bundle::{Bundle, FORMAT, Packed};
    use rtc_core::chain::{Ed25519, Link};
    use rtc_core::founding::Access;
    use rtc_core::message::Message;
    use rtc_core::op::{Op, OpCode, TABLE_VERSION};
    use rtc_core::room::{Input, Output};
    use rtc_core::sync::Now;
    use rtc_core::value::Value;

    use super::super::examine::{Examined, examine};
    use super::super::rename::tests::{Forked, two_forks};
    use super::super::sqlite::tests::{ROOM, scanned};
    use super::*;

    const SECRET: Secret = Secret([9; 32]);

    fn keys(seed: u8) -> Arc<dyn Keys> {
        Arc::new(Ed25519::from_seed(&[seed; 32]))
    }

    fn founding() -> Founding {
        Founding {
            owner: keys(1).public(),
            nonce: [0; 16],
            name: "test".into(),
            time_ms: 0,
            access: Access::Open,
        }
    }

    /// The owner's daemon, as far as its disk goes.
    struct Owner {
        dir: tempfile::TempDir,
        room: Room,
        store: SqliteStore,
        ms: u64,
    }

    impl Owner {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let founding = founding();
            let id = founding.room();
            let mut store = SqliteStore::open(&dir.path().join(ROOM_FILE), id).unwrap();
            store.set_fact("secret", &SECRET.0).unwrap();
            store.set_fact("founding", &founding.encode()).unwrap();
            let room = Room::open(opening(id, Some(founding), &keys(1)));
            Self { dir, room, store, ms: 1_000 }
        }

        fn now(&mut self) -> Now {
            self.ms += 1_000;
            Now { monotonic_us: self.ms * 1_000, wall_ms: self.ms }
        }

        fn edit(&mut self, count: usize) {
            for _ in 0..count {
                let value = Some(Value::number(1.0).unwrap());
                let (otype, key, path) = ("number.add".into(), "scene".into(), Some("x".into()));
                let op = EditOp { otype, key, path, value, options: BTreeMap::new() };
                let edit = Edit {
                    room: None,
                    ops: vec![op],
                    note: None,
                    request: None,
                    wait: rtc_core::api::Wait::Local,
                    timeout_ms: None,
                };
                for input in [Input::Edit { token: 1, edit }, Input::Flush] {
                    let (mut out, now) = (Vec::new(), self.now());
                    self.room.handle(input, now, &mut out);
                    self.carry_out(out);
                }
            }
        }

        fn compact(&mut self) {
            let (mut out, now) = (Vec::new(), self.now());
            let ask = Compact { undo_window_ms: Some(0), absence_limit_ms: Some(0), ..Compact::default() };
            assert!(self.room.compact(&ask, now, &mut out).unwrap().horizon.is_some());
            self.carry_out(out);
        }

        fn carry_out(&mut self, out: Vec<Output>) {
            for output in out {
                match output {
                    Output::Store { batch, records } => {
                        self.store.append(&records).unwrap();
                        let (mut out, now) = (Vec::new(), self.now());
                        self.room.handle(Input::Committed { batch }, now, &mut out);
                        self.carry_out(out);
                    }
                    Output::Forget(forgetting) => self.store.forget(&forgetting).unwrap(),
                    Output::Fact { name, value } => self.store.set_fact(name, &value).unwrap(),
                    _ => {}
                }
            }
        }

        /// A copy of the file as it is.
        fn copy(&mut self, name: &str) -> PathBuf {
            use super::super::copy::Disk;
            let copy = self.dir.path().join(name);
            self.store.copy_to(&copy).unwrap();
            copy
        }

        /// The directory, with the file closed.
        fn close(self) -> tempfile::TempDir {
            self.dir
        }
    }

    fn seen(file: &Path) -> Examined {
        let examined = examine(file, founding().room(), &keys(1)).unwrap();
        assert_eq!(examined.faults, Vec::<String>::new());
        examined
    }

    fn renew_in(dir: &Path, beside: &[PathBuf]) -> Renewed {
        renew(dir, beside, founding().room(), Some(SECRET), &keys(1), &AtomicBool::new(false)).unwrap()
    }

    fn damage(file: &Path, fact: &str) {
        let connection = Connection::open(file).unwrap();
        let changed = "UPDATE fact SET value = CAST(x'00' || substr(value, 2) AS BLOB) WHERE name = ?1";
        assert_eq!(connection.execute(changed, [fact]).unwrap(), 1);
    }

    #[test]
    fn a_room_that_forgot_stands_where_it_stood() {
        let mut owner = Owner::new();
        owner.edit(20);
        owner.compact();
        owner.edit(5);
        let older = owner.copy("older");
        owner.compact();
        owner.edit(3);
        let whole = seen(&owner.copy("whole"));
        let dir = owner.close();
        let file = dir.path().join(ROOM_FILE);
        for beside in [vec![], vec![older]] {
            let renewed = renew_in(dir.path(), &beside);
            assert_eq!(renewed, Renewed { messages: whole.messages, lacks_ground: false });
            assert_eq!(seen(&file).folded, whole.folded);
            let connection = Connection::open(&file).unwrap();
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, schema::FORGOTTEN);
        }
    }

    #[test]
    fn what_was_signed_with_a_former_key_is_signed_again_with_it() {
        let mut owner = Owner::new();
        owner.edit(20);
        let dir = owner.close();
        let file = dir.path().join(ROOM_FILE);
        let connection = Connection::open(&file).unwrap();
        connection.execute("UPDATE journal SET signature = zeroblob(64) WHERE seq = 20", []).unwrap();
        drop(connection);
        let renewed_by = |keys: Ed25519| {
            let keys: Arc<dyn Keys> = Arc::new(keys);
            let renewed =
                renew(dir.path(), &[], founding().room(), Some(SECRET), &keys, &AtomicBool::new(false));
            renewed.unwrap().messages
        };
        assert_eq!(renewed_by(Ed25519::from_seed(&[2; 32])), 19, "somebody else cannot");
        assert_eq!(renewed_by(Ed25519::from_seed(&[2; 32]).after(&[[1; 32]])), 20);
        assert_eq!(seen(&file).messages, 20);
    }

    #[test]
    fn what_is_given_up_leaves_everything_as_it_was() {
        let mut owner = Owner::new();
        owner.edit(20);
        let dir = owner.close();
        let file = dir.path().join(ROOM_FILE);
        let before = fs::read(&file).unwrap();
        let ending = AtomicBool::new(true);
        let given_up = renew(dir.path(), &[], founding().room(), Some(SECRET), &keys(1), &ending);
        assert!(matches!(given_up, Err(RebuildError::Ending)));
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!((names, fs::read(&file).unwrap()), (vec![ROOM_FILE.into()], before));
        assert_eq!(renew_in(dir.path(), &[]).messages, 20);
    }

    #[test]
    fn where_what_is_left_is_damaged_it_comes_from_a_copy_or_from_peers() {
        for fact in [GROUND, OUTSIDE, FRONTIER] {
            let mut owner = Owner::new();
            owner.edit(20);
            owner.compact();
            let sound = owner.copy("sound");
            owner.edit(5);
            let whole = seen(&owner.copy("whole"));
            let dir = owner.close();
            let file = dir.path().join(ROOM_FILE);
            damage(&file, fact);
            let examined = examine(&file, founding().room(), &keys(1)).unwrap();
            assert!(examined.faults.iter().any(|fault| fault.contains(fact)), "{fact}: {examined:?}");
            let nothing = renew_in(dir.path(), &[]);
            assert_eq!(nothing, Renewed { messages: 0, lacks_ground: true }, "{fact}");
            assert_eq!(seen(&file).messages, 0);
            // What was built on it is still in what was set aside.
            let renewed = renew_in(dir.path(), &[sound]);
            assert_eq!(renewed, Renewed { messages: whole.messages, lacks_ground: false }, "{fact}");
            assert_eq!(seen(&file).folded, whole.folded, "{fact}");
        }
    }

    #[test]
    fn that_everything_left_of_forgotten_messages_is_lost_is_said_of_every_format() {
        for (version, forgets, lacks_ground) in [
            (schema::FORGOTTEN, true, true),
            (schema::BRANCHED, true, true),
            (schema::BRANCHED, false, false),
        ] {
            let mut owner = Owner::new();
            owner.edit(if forgets { 20 } else { 0 });
            if forgets {
                owner.compact();
                owner.edit(5);
            }
            let dir = owner.close();
            let connection = Connection::open(dir.path().join(ROOM_FILE)).unwrap();
            connection
                .execute("DELETE FROM fact WHERE name IN (?1, ?2, ?3)", [GROUND, OUTSIDE, FRONTIER])
                .unwrap();
            connection.pragma_update(None, "user_version", version).unwrap();
            drop(connection);
            assert_eq!(
                renew_in(dir.path(), &[]),
                Renewed { messages: 0, lacks_ground },
                "{version} {forgets}"
            );
        }
    }

    #[test]
    fn an_old_copy_that_forgot_nothing_and_what_came_after_make_a_whole() {
        let mut owner = Owner::new();
        owner.edit(20);
        let before = owner.copy("before");
        owner.compact();
        owner.edit(5);
        let whole = seen(&owner.copy("whole"));
        let dir = owner.close();
        let file = dir.path().join(ROOM_FILE);
        damage(&file, GROUND);
        let renewed = renew_in(dir.path(), &[before]);
        assert_eq!(renewed, Renewed { messages: 26, lacks_ground: false });
        assert_eq!(seen(&file).folded, whole.folded);
    }

    #[test]
    fn what_a_horizon_left_outside_does_not_come_back_from_an_old_copy() {
        let mut owner = Owner::new();
        owner.edit(5);
        let old = owner.copy("old");
        owner.compact();
        let whole = seen(&owner.copy("whole"));
        // Somebody wrote without having seen anything, and the horizon did not wait.
        let (id, bob) = (founding().room(), keys(2));
        let actor = Actor::new(bob.public(), 1);
        let op = Op {
            code: OpCode::named("number.add").unwrap(),
            key: "scene".into(),
            path: Some("x".into()),
            value: Value::number(100.0).unwrap(),
            options: BTreeMap::new(),
        };
        let (time_ms, request, note) = (None, None, None);
        let message =
            Message { actor, seq: 1, lamport: 1, clock: Vec::new(), time_ms, request, note, ops: vec![op] };
        let body = message.encode();
        let link = Link::origin(&id, &actor).next(&body);
        let signature = Some(bob.sign(&link));
        let mut store = SqliteStore::open(&old, id).unwrap();
        store.append(&[Record { actor, seq: 1, link, body, signature }]).unwrap();
        drop(store);
        let dir = owner.close();
        let renewed = renew_in(dir.path(), &[old]);
        assert_eq!(renewed, Renewed { messages: whole.messages, lacks_ground: false });
        assert_eq!(seen(&dir.path().join(ROOM_FILE)).folded, whole.folded);
    }

    /// What is kept of a room where peers see different scenes of it.
    fn bundled(file: &Path, forks: &[u8]) -> Bundle {
        let mut store = SqliteStore::open(file, ROOM).unwrap();
        Bundle {
            bundle: FORMAT,
            room: ROOM,
            founder: None,
            table: TABLE_VERSION,
            peer: keys(1).public(),
            ground: None,
            forks: Some(Bundle::pack_forks(forks)),
            messages: scanned(&mut store).unwrap().iter().map(Packed::of).collect(),
            seen: BTreeMap::new(),
            scene: Value::Null,
        }
    }

    /// What is signed by one key alone, so that the fork that parts its messages is all that they follow from.
    #[test]
    fn branches_are_mended_from_rows_and_blocks_under_any_name() {
        let room = ROOM;
        let renew_in = |dir: &Path, beside: &[PathBuf]| {
            renew(dir, beside, room, Some(SECRET), &keys(1), &AtomicBool::new(false)).unwrap().messages
        };
        for seq in [5_001, 1] {
            let forked = Forked::at(seq, 5_000);
            let dir = tempfile::tempdir().unwrap();
            let [file, before] = [ROOM_FILE, "before"].map(|name| dir.path().join(name));
            let mut store = SqliteStore::open(&before, room).unwrap();
            store.append(&[&forked.before[..], &forked.one_as_signed()].concat()).unwrap();
            while store.pack().unwrap() {}
            drop(store);
            let mut store = SqliteStore::open(&file, room).unwrap();
            store.append(&[&forked.before[..], &forked.one_as_signed()].concat()).unwrap();
            store.rename(&forked.renames(), &forked.fact).unwrap();
            store.append(&forked.other).unwrap();
            while store.pack().unwrap() {}
            drop(store);
            let all = forked.before.len() + 10_000;
            let held = |file: &Path| {
                let mut records = scanned(&mut SqliteStore::open(file, room).unwrap()).unwrap();
                records.sort_by_key(|record| (record.actor, record.seq));
                let dots: Vec<_> = records.iter().map(|record| (record.actor, record.link)).collect();
                dots
            };
            let whole = held(&file);
            assert_eq!((whole.len(), renew_in(dir.path(), &[])), (all, all as u64));
            assert_eq!(held(&file), whole);
            let shown = |file: &Path| {
                let examined = examine(file, room, &keys(1)).unwrap();
                assert_eq!(examined.faults, Vec::<String>::new());
                examined.folded.expect("nothing is wrong with it")
            };
            let folded = shown(&file);
            assert_eq!(folded.1, bundled(&file, &forked.fact).fold().unwrap().state_hash());
            // The one branch is lost; its messages are those of the plain name in a file of before.
            let lose = |file: &Path, actor: Actor| {
                let connection = Connection::open(file).unwrap();
                for table in ["journal", "block"] {
                    let lost = format!(
                        "DELETE FROM {table} WHERE actor_ix = (SELECT ix FROM actor WHERE actor = ?1)"
                    );
                    connection.execute(&lost, [&actor.0[..]]).unwrap();
                }
            };
            for set_aside in dir.path().read_dir().unwrap().map(|entry| entry.unwrap().path()) {
                if set_aside.to_string_lossy().contains("damaged") {
                    fs::remove_file(set_aside).unwrap();
                }
            }
            lose(&file, forked.one[0].actor);
            assert_eq!(renew_in(dir.path(), &[]), all as u64 - 5_000);
            assert_eq!(renew_in(dir.path(), &[before]), all as u64);
            assert_eq!((held(&file), shown(&file)), (whole, folded));
        }
    }

    /// One file knows of the one fork, another one of a later one alone, which hangs on a branch of the first.
    #[test]
    fn a_fork_is_of_the_branch_that_it_hangs_on_though_no_file_has_it_so() {
        let (early, late) = two_forks();
        for early_is_present in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let [file, beside] = [ROOM_FILE, "beside"].map(|name| dir.path().join(name));
            let [early_file, late_file] = if early_is_present { [&file, &beside] } else { [&beside, &file] };
            for (file, forked) in [(early_file, &early), (late_file, &late)] {
                let mut store = SqliteStore::open(file, ROOM).unwrap();
                store.rename(&[], &forked.fact).unwrap();
                store.append(&[&forked.before[..], &forked.one, &forked.other].concat()).unwrap();
            }
            let renewed = renew(dir.path(), &[beside], ROOM, Some(SECRET), &keys(1), &AtomicBool::new(false));
            let all = early.before.len() + 2 * early.one.len() + 2 * late.one.len();
            assert_eq!(renewed.unwrap().messages, all as u64, "{early_is_present}");
            assert_eq!(examine(&file, ROOM, &keys(1)).unwrap().faults, Vec::<String>::new());
        }
    }

    #[test]
    fn a_damaged_block_does_not_stand_for_the_whole_one_of_a_copy() {
        let mut owner = Owner::new();
        owner.edit(5000);
        while owner.store.pack().unwrap() {}
        let (sound, whole) = (owner.copy("sound"), seen(&owner.copy("whole")));
        let dir = owner.close();
        let file = dir.path().join(ROOM_FILE);
        let damage = "UPDATE block SET messages = CAST(x'00' || substr(messages, 2) AS BLOB)";
        assert_eq!(Connection::open(&file).unwrap().execute(damage, []).unwrap(), 1);
        assert!(renew_in(dir.path(), &[]).messages < whole.messages);
        assert_eq!(renew_in(dir.path(), &[sound]).messages, whole.messages);
        assert_eq!(seen(&file).folded, whole.folded);
    }
}
