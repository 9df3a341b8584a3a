//! The store's own thread: the one place where the daemon waits for the disk.
//!
//! What is queued when a commit begins goes into that commit, so the disk's slowness is the batching window and
//! nobody waits for a timer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtc_core::chain::Link;
use rtc_core::id::{Actor, RoomId};
use rtc_core::store::{Forgetting, Record, Rename, StoreError};
use tokio::sync::mpsc::UnboundedSender;

use super::copy::Disk;
use super::pending::Room;
use super::schema::OpenError;
use super::sqlite::SqliteStore;
use crate::asleep::Asleep;

/// Bytes of messages one transaction may hold: beyond it a group no longer gets cheaper, only later.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What the thread is asked to do. Jobs of one room are done in order.
pub enum Job {
    /// Takes over a room that was opened, and scanned, by the caller.
    Adopt {
        /// The room.
        room: RoomId,
        /// Its journal.
        store: Box<dyn Disk>,
    },
    /// Opens, or makes, a room's journal. Answered by [`Done::Opened`].
    Open {
        /// The room.
        room: RoomId,
        /// Its file; the directory exists.
        path: PathBuf,
    },
    /// Makes records durable. Answered by [`Done::Committed`] or [`Done::Failed`].
    Append {
        /// The room.
        room: RoomId,
        /// A number greater than those of the room's earlier appends.
        batch: u64,
        /// The records, in causal order.
        records: Vec<Record>,
    },
    /// Remembers a fact, after what was appended before. Answered by [`Done::FactSet`].
    SetFact {
        /// The room.
        room: RoomId,
        /// Repeated in the answer.
        token: u64,
        /// Its name.
        name: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// Reads records, with everything that was appended before and is on the disk. The caller bounds how many it asks
    /// for at once. Answered by [`Done::Read`].
    Read {
        /// The room.
        room: RoomId,
        /// Repeated in the answer.
        token: u64,
        /// Actors, each with its first and last number.
        ranges: Vec<(Actor, u64, u64)>,
    },
    /// Reads records for whoever holds the other end of `reply`, with everything that was appended before and is on the
    /// disk. The caller bounds how many it asks for at once: the disk does nothing else meanwhile.
    Fetch {
        /// The room.
        room: RoomId,
        /// An actor, with its first and last number.
        range: (Actor, u64, u64),
        /// Takes the records, fewer where some are missing, without making the thread wait.
        reply: SyncSender<Result<Vec<Record>, StoreError>>,
    },
    /// Copies a room, with everything that was appended before and is on the disk, into a file of its own.
    Copy {
        /// The room.
        room: RoomId,
        /// The file; replaced.
        to: PathBuf,
        /// Takes the outcome, without making the thread wait.
        reply: SyncSender<Result<(), StoreError>>,
    },
    /// Keeps what a room knows, after what was appended. Answered by [`Done::Kept`].
    Keep {
        /// The room.
        room: RoomId,
        /// What it gave.
        snapshot: Vec<u8>,
        /// Its actors, each with its newest message's number and link.
        heads: Vec<(Actor, u64, Link)>,
    },
    /// Puts what is left of messages in their place, after what was appended. Answered by [`Done::Forgotten`]. Where it fails the room is
    /// written no more: what is appended later does not follow from what is there.
    Forget {
        /// The room.
        room: RoomId,
        /// What is left of what.
        forgetting: Box<Forgetting>,
    },
    /// Gives messages other names and sets the fact of forks, after what was appended. As an append it is tried again while the disk is full,
    /// before anything that is appended later; where it fails otherwise, [`Done::Failed`] tells.
    Rename {
        /// The room.
        room: RoomId,
        /// Which get which.
        renames: Vec<Rename>,
        /// The fact [`FORKS`](rtc_core::store::FORKS).
        forks: Vec<u8>,
    },
    /// Ends a room, after what was appended. Answered by [`Done::Closed`].
    Close {
        /// The room.
        room: RoomId,
        /// What to remember then, where it only falls asleep, and in which directory.
        asleep: Option<(Box<Asleep>, PathBuf)>,
    },
}

/// What became of a job.
#[derive(Debug)]
pub enum Done {
    /// This batch of the room, and every earlier one, is on the disk.
    Committed {
        /// The room.
        room: RoomId,
        /// The last batch of the group.
        batch: u64,
        /// How long it took to write them.
        took: Duration,
    },
    /// This batch is not on the disk, and neither is any later one; `u64::MAX` where names could not be changed and no batch waits.
    ///
    /// After [`StoreError::Full`] the thread keeps it and tries again: a [`Done::Committed`] follows as soon as there is
    /// space, without further jobs. After any other error the room is written no more; each later batch fails too.
    Failed {
        /// The room.
        room: RoomId,
        /// The first batch that is not on the disk.
        batch: u64,
        /// Why.
        error: StoreError,
    },
    /// To [`Job::SetFact`].
    FactSet {
        /// The room.
        room: RoomId,
        /// The job's.
        token: u64,
        /// Whether it is on the disk. It is not tried again.
        result: Result<(), StoreError>,
    },
    /// To [`Job::Open`].
    Opened {
        /// The room.
        room: RoomId,
        /// Whether it can be used.
        result: Result<(), OpenError>,
    },
    /// To [`Job::Read`].
    Read {
        /// The room.
        room: RoomId,
        /// The job's.
        token: u64,
        /// The records, range by range; fewer where some are missing.
        records: Result<Vec<Record>, StoreError>,
    },
    /// To [`Job::Keep`].
    Kept {
        /// The room.
        room: RoomId,
        /// Whether it is kept: see [`rtc_core::store::Store::keep`].
        result: Result<bool, StoreError>,
    },
    /// To [`Job::Forget`].
    Forgotten {
        /// The room.
        room: RoomId,
        /// Whether it is on the disk.
        result: Result<(), StoreError>,
    },
    /// To [`Job::Close`].
    Closed {
        /// The room.
        room: RoomId,
    },
}

/// The way to the store's thread. Dropping it finishes what was sent and waits for the end.
#[derive(Debug)]
pub struct StoreThread {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread. What it did goes to `done`; that channel closes when the thread ends, also if it dies.
///
/// # Errors
/// When the system has no thread to give.
pub fn spawn(done: UnboundedSender<Done>) -> std::io::Result<StoreThread> {
    let (jobs, queue) = channel();
    let worker = Worker { done, rooms: BTreeMap::new(), unpacked: BTreeSet::new() };
    let thread = thread::Builder::new().name("store".into()).spawn(move || worker.run(&queue))?;
    Ok(StoreThread { jobs: Some(jobs), thread: Some(thread) })
}

impl StoreThread {
    /// Queues `job`; never waits. The caller counts what it has outstanding, and stops when that is too much.
    pub fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A thread that died has closed `done`, which its owner reads.
            let _ = jobs.send(job);
        }
    }

    /// Another way to the thread, which lasts as long as whoever holds it: the thread ends after both.
    pub fn sender(&self) -> Option<Sender<Job>> {
        self.jobs.clone()
    }

    /// Finishes what was sent, closes all rooms and waits until the thread is gone.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread died");
        }
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    done: UnboundedSender<Done>,
    rooms: BTreeMap<RoomId, Room>,
    /// Rooms whose store may have something to pack.
    unpacked: BTreeSet<RoomId>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        while let Some(first) = self.next(queue) {
            let mut bytes = 0;
            let mut job = first;
            while let Some(current) = job {
                bytes += current.bytes();
                self.take(current);
                job = if bytes < GROUP_BYTES_MAX { queue.try_recv().ok() } else { None };
            }
            self.commit_all();
        }
        self.rooms.values_mut().for_each(|room| room.full_until = None);
        self.commit_all();
    }

    /// The next job; or none, in time, when a full disk is to be tried again; or the end.
    #[expect(clippy::option_option, reason = "the outer one ends the thread, the inner one is a wake-up")]
    fn next(&mut self, queue: &Receiver<Job>) -> Option<Option<Job>> {
        // Nothing is packed while there is anything else to do, and a job waits for one step of it at most.
        while let Some(&room) = self.unpacked.first() {
            match queue.try_recv() {
                Ok(job) => return Some(Some(job)),
                Err(TryRecvError::Empty) => self.pack(room),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        let Some(retry) = self.rooms.values().filter_map(|room| room.full_until).min() else {
            return queue.recv().ok().map(Some);
        };
        match queue.recv_timeout(retry.saturating_duration_since(Instant::now())) {
            Ok(job) => Some(Some(job)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn pack(&mut self, room: RoomId) {
        let outcome = self.rooms.get_mut(&room).map_or(Ok(false), |held| held.store.pack());
        if let Err(error) = &outcome {
            tracing::warn!(%room, "its journal is not packed: {error}");
        }
        // What could not be packed is tried again after the next commit.
        if !outcome.unwrap_or(false) {
            self.unpacked.remove(&room);
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Adopt { room, store } => {
                self.unpacked.insert(room);
                self.rooms.insert(room, Room::new(store));
            }
            Job::Open { room, path } => {
                let result = SqliteStore::open(&path, room).map(|store| {
                    self.rooms.insert(room, Room::new(Box::new(store)));
                    self.unpacked.insert(room);
                });
                self.tell(Done::Opened { room, result });
            }
            Job::Append { room, batch, records } => match self.rooms.get_mut(&room) {
                Some(held) => held.queue(batch, records),
                None => self.tell(Done::Failed { room, batch, error: not_open() }),
            },
            Job::SetFact { room, token, name, value } => {
                let result = self.with_room(room, |held| held.set_fact(&name, &value));
                self.tell(Done::FactSet { room, token, result });
            }
            Job::Read { room, token, ranges } => {
                let records = self.with_room(room, |held| held.read(&ranges));
                self.tell(Done::Read { room, token, records });
            }
            Job::Fetch { room, range, reply } => {
                let records = self.with_room(room, |held| held.read(&[range]));
                // Whoever does not wait any more has no use for it.
                let _ = reply.try_send(records);
            }
            Job::Copy { room, to, reply } => {
                let outcome = self.with_room(room, |held| held.store.copy_to(&to));
                let _ = reply.try_send(outcome);
            }
            Job::Keep { room, snapshot, heads } => {
                let result = self.with_room(room, |held| held.store.keep(&snapshot, &heads));
                self.tell(Done::Kept { room, result });
            }
            Job::Forget { room, forgetting } => {
                let result = self.with_room(room, |held| held.forget(&forgetting));
                self.tell(Done::Forgotten { room, result });
            }
            Job::Rename { room, renames, forks } => {
                self.commit(room);
                if let Some(held) = self.rooms.get_mut(&room) {
                    held.rename(renames, forks);
                    self.commit(room);
                }
            }
            Job::Close { room, asleep } => {
                self.commit(room);
                // Closed first: it is remembered as it will be found.
                self.rooms.remove(&room);
                if let Some(Err(error)) = asleep.map(|(asleep, dir)| asleep.write(&dir)) {
                    tracing::warn!(%room, "the next daemon opens the room at its start: {error}");
                }
                self.tell(Done::Closed { room });
            }
        }
    }

    /// Does `work` after what was appended to the room before.
    fn with_room<T>(
        &mut self,
        room: RoomId,
        work: impl FnOnce(&mut Room) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.commit(room);
        self.rooms.get_mut(&room).map_or_else(|| Err(not_open()), work)
    }

    fn commit_all(&mut self) {
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        for room in rooms {
            self.commit(room);
        }
    }

    fn commit(&mut self, room: RoomId) {
        if let Some(outcome) = self.rooms.get_mut(&room).and_then(|held| held.commit(room)) {
            if matches!(outcome, Done::Committed { .. }) {
                self.unpacked.insert(room);
            }
            self.tell(outcome);
        }
    }

    fn tell(&self, done: Done) {
        // Nobody listens any more when the daemon is going down; what was asked is done all the same.
        let _ = self.done.send(done);
    }
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.iter().map(|record| record.body.len()).sum(),
            Self::SetFact { value, .. } | Self::Rename { forks: value, .. } => value.len(),
            Self::Keep { snapshot, .. } => snapshot.len(),
            Self::Forget { forgetting, .. } => forgetting.ground.len() + forgetting.outside.len(),
            Self::Adopt { .. }
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::Fetch { .. }
            | Self::Copy { .. }
            | Self::Close { .. } => 0,
        }
    }
}

fn not_open() -> StoreError {
    StoreError::Failed("the room is not open".into())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::{Arc, Mutex};

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use rtc_core::store::Store;

    use super::*;

    const ROOM: RoomId = RoomId([7; 32]);

    /// A disk whose answers the test gives; once none is left, it works.
    #[derive(Clone, Default)]
    struct Faulty(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        answers: Vec<StoreError>,
        appends: Vec<Vec<u64>>,
        actors: Vec<Actor>,
        renames: Vec<Rename>,
        gate: Option<Receiver<()>>,
        /// What packing answers; once none is left, there is nothing to pack.
        packs: Vec<Result<bool, StoreError>>,
        packed: Option<UnboundedSender<usize>>,
    }

    impl Disk for Faulty {}

    impl Store for Faulty {
        fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
            let gate = self.0.lock().unwrap().gate.take();
            if let Some(gate) = gate {
                gate.recv().unwrap();
            }
            let mut state = self.0.lock().unwrap();
            if !state.answers.is_empty() {
                return Err(state.answers.remove(0));
            }
            state.appends.push(records.iter().map(|record| record.seq).collect());
            state.actors.extend(records.iter().map(|record| record.actor));
            Ok(())
        }

        fn read(&mut self, actor: &Actor, from: u64, to: u64) -> Result<Vec<Record>, StoreError> {
            let state = self.0.lock().unwrap();
            let held = state.appends.concat();
            Ok(held
                .into_iter()
                .filter(|seq| (from..=to).contains(seq))
                .map(|seq| record(*actor, seq))
                .collect())
        }

        fn scan(&mut self, _: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), StoreError> {
            Ok(())
        }

        fn pack(&mut self) -> Result<bool, StoreError> {
            let mut state = self.0.lock().unwrap();
            let commits = state.appends.len();
            state.packed.as_ref().map(|packed| packed.send(commits));
            if state.packs.is_empty() { Ok(false) } else { state.packs.remove(0) }
        }

        fn forget(&mut self, _: &Forgetting) -> Result<(), StoreError> {
            Ok(())
        }

        fn rename(&mut self, renames: &[Rename], _: &[u8]) -> Result<(), StoreError> {
            let mut state = self.0.lock().unwrap();
            if !state.answers.is_empty() {
                return Err(state.answers.remove(0));
            }
            assert!(state.appends.is_empty(), "renamed first");
            state.renames.extend_from_slice(renames);
            Ok(())
        }

        fn set_fact(&mut self, _: &str, _: &[u8]) -> Result<(), StoreError> {
            Ok(())
        }

        fn fact(&mut self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }
    }

    fn actor() -> Actor {
        Actor::from_name("ada")
    }

    fn record(actor: Actor, seq: u64) -> Record {
        Record { actor, seq, link: Link([0; 32]), body: vec![0; 10], signature: None }
    }

    fn append(batch: u64) -> Job {
        Job::Append { room: ROOM, batch, records: vec![record(actor(), batch)] }
    }

    fn start(disk: &Faulty) -> (StoreThread, UnboundedReceiver<Done>) {
        let (tx, rx) = unbounded_channel();
        let thread = spawn(tx).unwrap();
        thread.send(Job::Adopt { room: ROOM, store: Box::new(disk.clone()) });
        (thread, rx)
    }

    fn next(done: &mut UnboundedReceiver<Done>) -> Done {
        done.blocking_recv().expect("the thread lives")
    }

    #[test]
    fn what_is_queued_while_the_disk_is_busy_becomes_one_commit() {
        let disk = Faulty::default();
        let (open, gate) = channel();
        disk.0.lock().unwrap().gate = Some(gate);
        let (thread, mut done) = start(&disk);
        (1..=100).for_each(|batch| thread.send(append(batch)));
        open.send(()).unwrap();
        let mut last = 0;
        while last < 100 {
            let Done::Committed { batch, .. } = next(&mut done) else { panic!("nothing fails here") };
            assert!(batch > last);
            last = batch;
        }
        assert_eq!(disk.0.lock().unwrap().appends.concat(), (1..=100).collect::<Vec<_>>());
        // The first commit may have begun with any number of them; the rest waited at the gate.
        assert!(disk.0.lock().unwrap().appends.len() <= 2);
    }

    #[test]
    fn a_full_disk_keeps_everything_and_tells_once_and_commits_when_there_is_space() {
        let disk = Faulty::default();
        disk.0.lock().unwrap().answers = vec![StoreError::Full, StoreError::Full];
        let (thread, mut done) = start(&disk);
        thread.send(append(1));
        assert!(matches!(next(&mut done), Done::Failed { batch: 1, error: StoreError::Full, .. }));
        thread.send(append(2));
        thread.send(Job::SetFact { room: ROOM, token: 9, name: "n".into(), value: Vec::new() });
        assert!(matches!(next(&mut done), Done::FactSet { token: 9, result: Err(StoreError::Full), .. }));
        assert!(matches!(next(&mut done), Done::Committed { batch: 2, .. }));
        assert_eq!(disk.0.lock().unwrap().appends, [[1, 2]]);
    }

    #[test]
    fn after_a_failure_nothing_that_builds_on_the_lost_is_written() {
        let disk = Faulty::default();
        disk.0.lock().unwrap().answers = vec![StoreError::Failed("fsync".into())];
        let (thread, mut done) = start(&disk);
        thread.send(append(1));
        assert!(matches!(next(&mut done), Done::Failed { batch: 1, error: StoreError::Failed(_), .. }));
        thread.send(append(2));
        assert!(matches!(next(&mut done), Done::Failed { batch: 2, error: StoreError::Failed(_), .. }));
        assert!(disk.0.lock().unwrap().appends.is_empty());
    }

    #[test]
    fn a_read_sees_what_was_appended_before_it() {
        let disk = Faulty::default();
        let (thread, mut done) = start(&disk);
        (1..=3).for_each(|batch| thread.send(append(batch)));
        thread.send(Job::Read { room: ROOM, token: 5, ranges: vec![(actor(), 2, 3), (actor(), 1, 1)] });
        let numbers = loop {
            match next(&mut done) {
                Done::Committed { .. } => {}
                Done::Read { token: 5, records, .. } => {
                    break records.unwrap().into_iter().map(|record| record.seq).collect::<Vec<_>>();
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(numbers, [2, 3, 1]);
    }

    #[test]
    fn what_waits_for_space_is_renamed_too_and_nothing_is_written_by_new_names_before_the_old_have_gone() {
        let disk = Faulty::default();
        disk.0.lock().unwrap().answers = vec![StoreError::Full, StoreError::Full];
        let (thread, mut done) = start(&disk);
        let to = Actor::from_name("branch");
        thread.send(append(1));
        thread.send(append(2));
        let renames = vec![Rename { from: actor(), seq: 2, to }];
        thread.send(Job::Rename { room: ROOM, renames: renames.clone(), forks: b"forks".to_vec() });
        let records = vec![record(to, 3)];
        thread.send(Job::Append { room: ROOM, batch: 3, records });
        assert!(matches!(next(&mut done), Done::Failed { batch: 1, error: StoreError::Full, .. }));
        assert!(matches!(next(&mut done), Done::Committed { batch: 3, .. }));
        let state = disk.0.lock().unwrap();
        assert_eq!(state.renames, renames);
        assert_eq!(state.appends, [[1, 2, 3]]);
        assert_eq!(state.actors, [actor(), to, to]);
    }

    #[test]
    fn a_disk_that_fails_to_rename_is_written_no_more() {
        let disk = Faulty::default();
        disk.0.lock().unwrap().answers = vec![StoreError::Failed("fsync".into())];
        let (thread, mut done) = start(&disk);
        thread.send(Job::Rename { room: ROOM, renames: Vec::new(), forks: Vec::new() });
        assert!(matches!(next(&mut done), Done::Failed { batch: u64::MAX, .. }));
        thread.send(append(1));
        assert!(matches!(next(&mut done), Done::Failed { batch: 1, error: StoreError::Failed(_), .. }));
        assert!(disk.0.lock().unwrap().appends.is_empty());
    }

    #[test]
    fn packing_goes_on_while_there_is_something_to_pack_and_again_after_a_commit() {
        let disk = Faulty::default();
        let (packed, mut steps) = unbounded_channel();
        {
            let mut state = disk.0.lock().unwrap();
            state.packs = vec![Ok(true), Err(StoreError::Full), Ok(true), Ok(true)];
            state.packed = Some(packed);
        }
        let (thread, mut done) = start(&disk);
        let before = [steps.blocking_recv(), steps.blocking_recv()];
        thread.send(append(1));
        assert!(matches!(next(&mut done), Done::Committed { batch: 1, .. }));
        let after = [steps.blocking_recv(), steps.blocking_recv(), steps.blocking_recv()];
        assert_eq!((before, after), ([Some(0); 2], [Some(1); 3]));
        thread.shutdown();
        assert!(steps.try_recv().is_err(), "nothing is packed once there is nothing to pack");
    }

    #[test]
    fn shutdown_finishes_what_was_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("room.db");
        let (tx, mut done) = unbounded_channel();
        let thread = spawn(tx).unwrap();
        thread.send(Job::Open { room: ROOM, path: path.clone() });
        let body = b"body".to_vec();
        let link = Link::origin(&ROOM, &actor()).next(&body);
        thread.send(Job::Append {
            room: ROOM,
            batch: 1,
            records: vec![Record { actor: actor(), seq: 1, link, body, signature: None }],
        });
        thread.shutdown();
        assert!(matches!(done.blocking_recv(), Some(Done::Opened { result: Ok(()), .. })));
        assert!(matches!(done.blocking_recv(), Some(Done::Committed { batch: 1, .. })));
        assert!(done.blocking_recv().is_none());
        assert_eq!(SqliteStore::open(&path, ROOM).unwrap().read(&actor(), 1, 1).unwrap().len(), 1);
    }

    #[test]
    fn a_room_that_is_not_open_is_said_to_be() {
        let (thread, mut done) = start(&Faulty::default());
        thread.send(Job::Close { room: ROOM, asleep: None });
        assert!(matches!(next(&mut done), Done::Closed { .. }));
        thread.send(append(1));
        assert!(matches!(next(&mut done), Done::Failed { batch: 1, .. }));
    }
}
