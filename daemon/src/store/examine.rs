//! Whether a room's file holds what was written: every page, chain, signature and fact, and what the messages fold to.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rtc_core::branch::Branches;
use rtc_core::chain::Keys;
use rtc_core::clock::VersionVector;
use rtc_core::founding::Founding;
use rtc_core::id::{Actor, RoomId, StateHash};
use rtc_core::room::{Opening, Room};
use rtc_core::store::{FORKS, GROUND, Kept, OUTSIDE, Record, Store, StoreError};
use rtc_core::view::MessageView;

use super::reading::Refusal;
use super::schema::OpenError;
use super::{SqliteStore, fact};

/// Damaged pages that are named; one is enough to repair a room.
const PAGES_NAMED: usize = 3;
/// Messages folded at once.
const FOLDED_AT_ONCE: usize = 4096;

/// What was found in a room's file.
#[derive(Debug, Default)]
pub struct Examined {
    /// What is not as it was written.
    pub faults: Vec<String>,
    /// Messages that are whole.
    pub messages: u64,
    /// The newest time that a message's author claims, in milliseconds since 1970.
    pub newest_ms: Option<u64>,
    /// Which messages these are, and what they show, where nothing is wrong with them.
    pub folded: Option<(VersionVector, StateHash)>,
}

/// Reads everything in the file `path`, which nobody else has open.
///
/// # Errors
/// When it cannot be opened at all.
pub fn examine(path: &Path, room: RoomId, keys: &Arc<dyn Keys>) -> Result<Examined, OpenError> {
    let mut store = SqliteStore::open(path, room)?;
    let mut found = Examined::default();
    found.faults.extend(store.broken_pages());
    found.faults.extend(store.broken_facts());
    // A damaged one is named above; without it nobody is held to a role.
    let founding = store.fact("founding").ok().flatten().and_then(|bytes| Founding::decode(&bytes).ok());
    let opening = opening(room, founding, keys);
    let mut reading = Reading::new(opening.clone(), store.begin.branches().clone(), keys);
    if let Err(error) = reading.stand(&mut store) {
        found.faults.push(error.to_string());
        return Ok(found);
    }
    let scanned = store.scan(&mut |record| {
        found.messages += 1;
        let time_ms = MessageView::read(record.actor, &record.body).ok().and_then(|message| message.time_ms);
        found.newest_ms = found.newest_ms.max(time_ms);
        reading.take(record)
    });
    let read = scanned.and_then(|()| reading.finish());
    match read.and_then(|room| store.check_heads(&room.vector()).map(|()| room)) {
        Ok(mut whole) => {
            let folded = (whole.vector(), whole.replica().state_hash());
            found.faults.extend(store.kept_fault(opening, &folded));
            found.folded = Some(folded);
        }
        Err(error) => found.faults.push(error.to_string()),
    }
    Ok(found)
}

impl SqliteStore {
    /// Compares `held`, which came from the tables, with what the indexes say: a row that is lost with its page breaks no chain if
    /// it was an actor's last.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where they differ.
    pub fn check_heads(&mut self, held: &VersionVector) -> Result<(), StoreError> {
        let heads = self.heads().map_err(|refusal| self.judge_refusal(refusal))?;
        // Of a branch what it parts from counts as held, though it is another's.
        let base = |actor: &Actor| self.begin.branches().base(actor);
        let differs = |actor: &Actor| {
            heads.get(actor).copied().unwrap_or(0).max(base(actor)) != held.get(actor).max(base(actor))
        };
        let actors = heads.keys().copied().chain(held.iter().map(|(actor, _)| actor));
        match actors.into_iter().find(differs) {
            None => Ok(()),
            Some(actor) => {
                let (there, told) = (held.get(&actor), heads.get(&actor).copied().unwrap_or(0));
                let what = format!("{there} messages of {actor} are there where the index has {told}");
                Err(StoreError::Damaged(what))
            }
        }
    }

    /// What is wrong with what was put away of the room: with what came since, it must show what the messages give.
    fn kept_fault(&mut self, opening: Opening, folded: &(VersionVector, StateHash)) -> Option<String> {
        let open = || -> Result<_, String> {
            let Some(Kept { snapshot, history }) = self.kept().map_err(|error| error.to_string())? else {
                return Ok(None);
            };
            let room = Room::open_from(opening, &snapshot, history.into());
            let mut room = room.map_err(|error| error.to_string())?;
            let mut since = Vec::new();
            let scanned = self.scan_after_kept(&mut |record| {
                since.push(record);
                ControlFlow::Continue(())
            });
            scanned.and_then(|()| room.load(&since)).map_err(|error| error.to_string())?;
            Ok(Some((room.vector(), room.replica().state_hash())))
        };
        match open() {
            Ok(None) => None,
            Ok(Some(shown)) if shown == *folded => None,
            Ok(Some(_)) => {
                Some("what was put away of the room shows another scene than its messages give".into())
            }
            Err(error) => Some(format!("what was put away of the room cannot be opened: {error}")),
        }
    }

    /// Of each actor the number of the newest message, as the indexes tell it.
    fn heads(&self) -> Result<BTreeMap<Actor, u64>, Refusal> {
        let mut statement = self.connection.prepare(
            "SELECT actor, max(coalesce((SELECT max(seq) FROM journal WHERE actor_ix = ix), 0),
                               coalesce((SELECT max(last) FROM block WHERE actor_ix = ix), 0)) FROM actor",
        )?;
        let mut rows = statement.query([])?;
        let mut heads = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let nobody = |_| StoreError::Damaged("an actor is nobody".into());
            let seq: i64 = row.get(1)?;
            heads.insert(Actor(row.get(0).map_err(nobody)?), seq.unsigned_abs());
        }
        for (actor, seq, _) in self.begin.cuts() {
            let head = heads.entry(actor).or_default();
            *head = seq.max(*head);
        }
        heads.retain(|_, seq| *seq > 0);
        Ok(heads)
    }

    fn broken_pages(&self) -> Vec<String> {
        let said = || {
            let mut statement = self.connection.prepare(&format!("PRAGMA integrity_check({PAGES_NAMED})"))?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            lines.collect::<rusqlite::Result<Vec<_>>>()
        };
        match said() {
            Ok(lines) => lines.into_iter().filter(|line| line != "ok").map(|line| plain(&line)).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    fn broken_facts(&self) -> Vec<String> {
        match fact::all(&self.connection, &self.room) {
            Err(error) => vec![error.to_string()],
            Ok(fact::Facts { whole, broken }) => {
                let said = |name: &String| format!("the fact `{}` is not what was written", plain(name));
                let mut faults: Vec<String> = broken.iter().map(said).collect();
                if !whole.contains_key("secret") {
                    faults.push("the room's secret is not there".into());
                }
                if whole.get("founding").is_some_and(|bytes| Founding::room_of(bytes) != self.room) {
                    faults.push("the founding message is another room's".into());
                }
                faults
            }
        }
    }
}

/// A room for looking only.
pub(super) fn opening(room: RoomId, founding: Option<Founding>, keys: &Arc<dyn Keys>) -> Opening {
    Opening { room, founding, keys: Arc::clone(keys), epoch_fresh: 0, epoch_proof: None }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Messages on their way through the checks that the store leaves to the room.
struct Reading<'a> {
    room: Room,
    keys: &'a Arc<dyn Keys>,
    records: Vec<Record>,
    /// Actors whose newest message so far has no signature over it.
    unsigned: BTreeMap<Actor, u64>,
    branches: Branches,
    fault: Option<StoreError>,
}

impl<'a> Reading<'a> {
    fn new(opening: Opening, branches: Branches, keys: &'a Arc<dyn Keys>) -> Self {
        let (records, unsigned) = (Vec::new(), BTreeMap::new());
        Self { room: Room::open(opening), keys, records, unsigned, branches, fault: None }
    }

    /// Begins with the forks that are known and what is left of forgotten messages.
    fn stand(&mut self, store: &mut SqliteStore) -> Result<(), StoreError> {
        if let Some(forks) = store.fact(FORKS)? {
            self.room.recall(FORKS, &forks);
        }
        match store.fact(GROUND)? {
            Some(ground) => self.room.restore(&ground, &store.fact(OUTSIDE)?.unwrap_or_default()),
            None => Ok(()),
        }
    }

    fn take(&mut self, record: Record) -> ControlFlow<()> {
        match &record.signature {
            Some(signature) if self.keys.verify(&record.actor.key(), &record.link, signature) => {
                self.unsigned.remove(&record.actor);
            }
            Some(_) => {
                let what =
                    format!("the signature over message {}:{} is not its author's", record.actor, record.seq);
                self.fault = Some(StoreError::Damaged(what));
                return ControlFlow::Break(());
            }
            None => _ = self.unsigned.insert(record.actor, record.seq),
        }
        self.records.push(record);
        if self.records.len() >= FOLDED_AT_ONCE {
            self.fold();
        }
        if self.fault.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn fold(&mut self) {
        if let Err(error) = self.room.load(&std::mem::take(&mut self.records)) {
            self.fault = Some(error);
        }
    }

    fn finish(mut self) -> Result<Room, StoreError> {
        if self.fault.is_none() {
            self.fold();
        }
        if let Some(error) = self.fault {
            return Err(error);
        }
        // What two branches hang on both of their signatures vouch for.
        self.unsigned.retain(|actor, seq| self.branches.closed(actor) != Some(*seq));
        match self.unsigned.first_key_value() {
            Some((actor, seq)) => Err(StoreError::Damaged(format!("nobody signed message {actor}:{seq}"))),
            None => Ok(self.room),
        }
    }
}
