//! Earlier versions of rooms, folded on a thread of their own so that the hub goes on meanwhile.
//!
//! The messages come from the journal, in pieces between which edits are made durable. One version is kept for a while:
//! whoever looks at one asks again. Reading one costs what opening the room as it was then would cost, in time and in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtc_core::api::{ApiError, Code};
use rtc_core::branch::{Branches, Deriver};
use rtc_core::clock::VersionVector;
use rtc_core::ground::Ground;
use rtc_core::id::{Actor, PeerKey, RoomId};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::store::{Record, StoreError};
use rtc_core::view::MessageView;

use crate::store::{Job, StoreThread};

/// Questions that wait while one is being answered; more are refused.
const QUESTIONS_MAX: usize = 32;
/// Messages read at once: few milliseconds in which nothing else becomes durable.
const READ_AT_ONCE: u64 = 2048;
/// How long the last version is kept after it was asked for.
const KEPT: Duration = Duration::from_secs(60);

/// What is to be done with an earlier version.
pub struct Question {
    /// Of which room.
    pub room: RoomId,
    /// Its first member, where it has members.
    pub founder: Option<PeerKey>,
    /// Which messages; everything they have seen is among them.
    pub version: VersionVector,
    /// The branches of its forks.
    pub branches: Branches,
    /// What is left of forgotten messages, which the version holds.
    pub ground: Box<Ground>,
    /// Takes the version, or why there is none.
    pub then: Then,
}

/// What is done with a version once it is there.
pub type Then = Box<dyn FnOnce(Result<&Replica, ApiError>) + Send>;

/// The way to the thread. Dropping it gives up what is under way and waits for the end.
pub struct PastThread {
    questions: Option<SyncSender<Question>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PastThread {
    /// Starts a thread that reads from `store`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn(store: &StoreThread) -> std::io::Result<Self> {
        let (questions, queue) = sync_channel(QUESTIONS_MAX);
        let stopping = Arc::new(AtomicBool::new(false));
        let worker = Worker { jobs: store.sender(), stopping: Arc::clone(&stopping), kept: None };
        let thread = thread::Builder::new().name("past".into()).spawn(move || worker.run(&queue))?;
        Ok(Self { questions: Some(questions), stopping, thread: Some(thread) })
    }

    /// Queues a question; never waits.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn ask(&self, question: Question) -> Result<(), ApiError> {
        let Some(questions) = &self.questions else { return Err(stopping()) };
        match questions.try_send(question) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                let text = format!("{QUESTIONS_MAX} questions about earlier versions wait already");
                Err(ApiError::new(Code::Busy, text).with_hint("try again in a while"))
            }
            Err(TrySendError::Disconnected(_)) => Err(stopping()),
        }
    }
}

impl Drop for PastThread {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.questions = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of earlier versions died");
        }
    }
}

struct Worker {
    jobs: Option<Sender<Job>>,
    stopping: Arc<AtomicBool>,
    kept: Option<(RoomId, VersionVector, Replica)>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Question>) {
        while let Some(question) = self.next(queue) {
            let replica = match self.kept.take() {
                Some((of, at, replica)) if (of, &at) == (question.room, &question.version) => Ok(replica),
                Some(_) | None => self.fold(&question),
            };
            let Question { room, version, then, .. } = question;
            match replica {
                Ok(replica) => {
                    then(Ok(&replica));
                    self.kept = Some((room, version, replica));
                }
                Err(error) => then(Err(error)),
            }
        }
    }

    /// The next question; what is kept is dropped when none comes for long.
    fn next(&mut self, queue: &Receiver<Question>) -> Option<Question> {
        if self.kept.is_some() {
            match queue.recv_timeout(KEPT) {
                Ok(question) => return Some(question),
                Err(RecvTimeoutError::Timeout) => self.kept = None,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        queue.recv().ok()
    }

    fn fold(&self, question: &Question) -> Result<Replica, ApiError> {
        let Question { room, founder, version, branches, ground, .. } = question;
        let (mut messages, mut records) = (Vec::new(), Vec::new());
        let mut deriver = Deriver::new(branches.clone(), ground.version.clone());
        let mut derive = |record: &Record| {
            deriver.derive(record).map_err(|error| unreadable(*room, &StoreError::Damaged(error.to_string())))
        };
        for (actor, last) in version.iter() {
            let mut next = ground.version.get(&actor).max(branches.base(&actor)) + 1;
            while next <= last {
                let piece = (actor, next, last.min(next + READ_AT_ONCE - 1));
                let read = self.read(*room, piece)?;
                match branches.is_empty() {
                    true => messages.extend(read.iter().map(&mut derive).collect::<Result<Vec<_>, _>>()?),
                    false => records.extend(read),
                }
                next = piece.2 + 1;
            }
        }
        // What a message means in which others have forked follows from what was seen before. Lamports grow along every causal path.
        let lamport = |record: &Record| {
            MessageView::read(record.actor, &record.body).map_or(0, |message| message.lamport)
        };
        records.sort_by_cached_key(lamport);
        messages.extend(records.iter().map(derive).collect::<Result<Vec<_>, _>>()?);
        let root = Root { founder: *founder, ..Root::default() };
        let goes_on = || !self.stopping.load(Ordering::Relaxed);
        Replica::at_on(ground, root, version, messages, goes_on).ok_or_else(stopping)
    }

    /// Messages of an actor, all that are asked for.
    fn read(&self, room: RoomId, range: (Actor, u64, u64)) -> Result<Vec<Record>, ApiError> {
        let (reply, records) = sync_channel(1);
        let job = Job::Fetch { room, range, reply };
        let is_sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !is_sent || self.stopping.load(Ordering::Relaxed) {
            return Err(stopping());
        }
        let records = records.recv().map_err(|_| stopping())?;
        let (actor, first, last) = range;
        let records = records.map_err(|error| unreadable(room, &error))?;
        if records.len() as u64 != last - first + 1 {
            let text = format!("messages of {actor} up to {last} are not on the disk");
            return Err(unreadable(room, &StoreError::Failed(text)));
        }
        Ok(records)
    }
}

fn unreadable(room: RoomId, error: &StoreError) -> ApiError {
    tracing::error!(%room, "an earlier version cannot be read: {error}");
    ApiError::new(Code::Internal, format!("the version cannot be read: {error}"))
        .with_hint("`rtc status` says what is wrong with the room")
}

fn stopping() -> ApiError {
    ApiError::new(Code::Stopping, "the daemon is stopping")
}
