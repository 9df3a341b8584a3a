//! A room as the disk has it, read where nobody waits for it: at the start, or on a thread of its own while the hub goes on.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rtc_core::chain::Keys;
use rtc_core::founding::Founding;
use rtc_core::id::RoomId;
use rtc_core::room::{Opening, Room};
use rtc_core::store::{FORKS, GROUND, Kept, LANDMARK, MEMBERS, OUTSIDE, POLICY, Record, Store, StoreError};
use rtc_core::ticket::Secret;
use tokio::sync::mpsc::UnboundedSender;

use crate::asleep::Asleep;
use crate::hub::admitting::INVITES;
use crate::hub::care::News;
use crate::hub::rooms::{FORMER_SECRETS, FOUNDING, SECRET};
use crate::state::StateError;
use crate::store::SqliteStore;

/// Bytes of records that a room takes in at once while it is opened: what they change is folded once for all of them.
const LOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Who opens a room.
pub(super) struct Opener {
    pub(super) room: RoomId,
    /// Signs for this machine.
    pub(super) keys: Arc<dyn Keys>,
    /// Proof that nothing told was lost.
    pub(super) epoch_proof: Option<(u64, u64)>,
}

/// A room that was read.
pub(super) struct Opened {
    pub(super) room: Room,
    /// The current one first.
    pub(super) secrets: Vec<Secret>,
    pub(super) invites: Option<Vec<u8>>,
    /// Messages that were not put away with the others.
    pub(super) since: u64,
    pub(super) store: SqliteStore,
}

impl Opener {
    /// Reads the room from its store.
    pub(super) fn open(self, mut store: SqliteStore) -> anyhow::Result<Opened> {
        let Some(secret) = store.fact(SECRET)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
            // Either a crash came between making the file and writing the secret, or the file was emptied.
            anyhow::bail!(
                "its file is empty: `rtc doctor --repair` fetches what it held, or join the room again with a ticket"
            );
        };
        let former = store.fact(FORMER_SECRETS)?.unwrap_or_default();
        let secrets = [&[secret], former.as_chunks::<32>().0].concat().into_iter().map(Secret).collect();
        let founding = store.fact(FOUNDING)?.map(|bytes| Founding::decode(&bytes)).transpose()?;
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let opening = Opening {
            room: self.room,
            founding,
            keys: self.keys,
            epoch_fresh: u64::from_be_bytes(epoch),
            epoch_proof: self.epoch_proof,
        };
        let facts =
            [GROUND, OUTSIDE, MEMBERS, POLICY, FORKS, LANDMARK].map(|name| store.fact(name).transpose());
        let [ground, outside, members, policy, forks, landmark] = facts.map(Option::transpose);
        // Before anything is loaded: it says of which branch a message is.
        let forks = forks?;
        let recall_forks = |room: &mut Room| forks.iter().for_each(|forks| room.recall(FORKS, forks));
        let (mut room, since) = match open_kept(&opening, &mut store, recall_forks) {
            Some(opened) => opened,
            None => {
                let mut room = Room::open(opening);
                recall_forks(&mut room);
                if let Some(ground) = ground? {
                    room.restore(&ground, &outside?.unwrap_or_default())?;
                }
                load(&mut room, |visit| store.scan(visit))?;
                let messages = room.messages();
                (room, messages)
            }
        };
        let remembered = [(MEMBERS, members?), (POLICY, policy?), (LANDMARK, landmark?)];
        for (name, value) in remembered {
            value.iter().for_each(|value| room.recall(name, value));
        }
        store.check_heads(&room.vector())?;
        let invites = store.fact(INVITES)?;
        Ok(Opened { room, secrets, invites, since, store })
    }

    /// Reads a room that sleeps from its journal, which is in that file.
    fn wake(self, file: Result<PathBuf, StateError>) -> anyhow::Result<Opened> {
        let file = file?;
        // First: what it says is about to be true no more.
        Asleep::forget(file.parent().expect("it is in a directory"))?;
        let store = SqliteStore::open(&file, self.room)?;
        self.open(store)
    }
}

/// The thread that opens rooms that wake, one after the other. Dropping it waits for the one that is being opened.
pub(super) struct Waker {
    asked: Option<Sender<(Opener, Result<PathBuf, StateError>)>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Waker {
    /// Starts the thread; it tells of each room with [`News::Woken`].
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn spawn(news: UnboundedSender<News>) -> std::io::Result<Self> {
        let (asked, queue): (_, Receiver<(Opener, _)>) = channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let is_stopping = Arc::clone(&stopping);
        let work = move || {
            for (opener, file) in queue {
                if is_stopping.load(Ordering::Relaxed) {
                    return;
                }
                let room = opener.room;
                // Whoever waits for the room has to hear of it, and the others are to be opened all the same.
                let result = catch_unwind(AssertUnwindSafe(|| opener.wake(file)));
                let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("reading it ended in a panic")));
                let result = result.map(Box::new);
                if news.send(News::Woken { room, result }).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("waker".into()).spawn(work)?;
        Ok(Self { asked: Some(asked), stopping, thread: Some(thread) })
    }

    /// Asks for a room, whose journal is in that file. Returns false where the thread has died.
    pub(super) fn wake(&self, opener: Opener, file: Result<PathBuf, StateError>) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.send((opener, file)).is_ok())
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.asked = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that opens rooms died");
        }
    }
}

/// A room as it was put away, if it was, with what came since, and how many messages that are. Where anything is not as it was, the
/// room is opened from its messages.
fn open_kept(
    opening: &Opening,
    store: &mut SqliteStore,
    recall_forks: impl Fn(&mut Room),
) -> Option<(Room, u64)> {
    let mut open = || -> anyhow::Result<_> {
        let Some(Kept { snapshot, history }) = store.kept()? else { return Ok(None) };
        let mut room = Room::open_from(opening.clone(), &snapshot, history.into())?;
        recall_forks(&mut room);
        let kept = room.messages();
        load(&mut room, |visit| store.scan_after_kept(visit))?;
        let since = room.messages() - kept;
        tracing::info!(room = %opening.room, kept, since, "the room is opened as it was put away");
        Ok(Some((room, since)))
    };
    open().unwrap_or_else(|error| {
        tracing::warn!(room = %opening.room, "what was kept of the room is not used: {error:#}");
        None
    })
}

/// Visits records as a store has them.
type Visit<'a> = dyn FnMut(Record) -> ControlFlow<()> + 'a;

/// Takes in what a scan of a room's journal visits.
fn load(
    room: &mut Room,
    scan: impl FnOnce(&mut Visit<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    let mut refused = None;
    scan(&mut |record| {
        bytes += record.body.len() + size_of_val(&record);
        records.push(record);
        if bytes < LOAD_BYTES_MAX {
            return ControlFlow::Continue(());
        }
        bytes = 0;
        match room.load(&std::mem::take(&mut records)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                refused = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    refused.map_or_else(|| room.load(&records), Err)
}
