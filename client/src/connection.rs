//! A connection to the daemon: many questions under way at once, each answer found by its number.
//!
//! Two tasks serve a connection: one writes requests, one reads answers and owns the list of who waits. A question
//! takes one of a bounded number of slots until its last answer came, so no queue here grows without limit.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rtc_core::api::{Answer, ApiError, Ask, Code, Hello, PROTOCOL, Reply, Request};
use rtc_core::limits::REQUESTS_IN_FLIGHT_MAX;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::ClientError;
use crate::frame::{self, FrameError};
use crate::places::Places;

/// Questions under way at once: enough to keep the daemon's commits full, and half of what it takes before it stops
/// reading.
pub const IN_FLIGHT_MAX: usize = REQUESTS_IN_FLIGHT_MAX / 2;
/// Answers of one question that wait to be taken; more of them make the whole connection wait.
const UNTAKEN_MAX: usize = 256;
/// A daemon says hello at once; one that does not is stuck.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames are written together up to this size: one system call for many small requests.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// A connection to the daemon. Clones share it; it closes with the last one.
#[derive(Clone, Debug)]
pub struct Client {
    daemon: Arc<Hello>,
    next_id: Arc<AtomicU64>,
    slots: Arc<Semaphore>,
    frames: mpsc::Sender<Vec<u8>>,
    waiting: mpsc::UnboundedSender<Waiting>,
}

/// Who waits for the answers to a request.
#[derive(Debug)]
struct Waiting {
    id: u64,
    answers: mpsc::Sender<Result<Reply, ClientError>>,
    /// Freed with this entry, when the last answer came.
    _slot: Option<OwnedSemaphorePermit>,
}

/// The answers to one question, as they come.
#[derive(Debug)]
pub struct Replies {
    id: u64,
    answers: mpsc::Receiver<Result<Reply, ClientError>>,
}

impl Client {
    /// Connects to the daemon of these places.
    pub async fn connect(places: &Places) -> Result<Self, ClientError> {
        Self::connect_to(&places.socket).await
    }

    /// Connects to the daemon that listens on `socket`, and exchanges hellos with it.
    pub async fn connect_to(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                ClientError::NoDaemon { socket: socket.to_owned() }
            }
            // It ended while it was called.
            ErrorKind::ConnectionReset => ClientError::Broken(source.to_string()),
            _ => ClientError::Unreachable { socket: socket.to_owned(), source },
        })?;
        let (reader, mut writer) = stream.into_split();
        // A frame is read in several parts, and many small ones come together: one system call for all of them.
        let mut reader = BufReader::new(reader);
        let hello = tokio::time::timeout(HELLO_TIMEOUT, greet(&mut reader, &mut writer));
        let daemon = hello.await.map_err(|_| ClientError::Timeout(HELLO_TIMEOUT))??;
        let (frames, frames_rx) = mpsc::channel(IN_FLIGHT_MAX);
        let (waiting, waiting_rx) = mpsc::unbounded_channel();
        tokio::spawn(write_requests(writer, frames_rx));
        tokio::spawn(read_answers(reader, waiting_rx));
        Ok(Self {
            daemon: Arc::new(daemon),
            next_id: Arc::new(AtomicU64::new(1)),
            slots: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            frames,
            waiting,
        })
    }

    /// What the daemon said of itself.
    pub fn daemon(&self) -> &Hello {
        &self.daemon
    }

    /// Asks a question with one answer, and waits for it.
    pub async fn ask(&self, ask: Ask) -> Result<Reply, ClientError> {
        self.send(ask).await?.one().await
    }

    /// Asks a question, waiting only for a free slot: its answers are taken from the result. Requests arrive in the
    /// order in which they were sent, so many can be under way at once.
    pub async fn send(&self, ask: Ask) -> Result<Replies, ClientError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        self.request(ask, Some(slot)).await
    }

    /// Asks a question whose answers go on ([`Ask::Watch`]) until [`Ask::Unwatch`] or the end of the connection.
    /// Whoever does not take them makes the others on this connection wait, and is told by the daemon that it lagged.
    pub async fn stream(&self, ask: Ask) -> Result<Replies, ClientError> {
        self.request(ask, None).await
    }

    /// Returns when the connection has ended, and with it all that is bound to it.
    pub async fn ended(&self) {
        self.waiting.closed().await;
    }

    async fn request(&self, ask: Ask, slot: Option<OwnedSemaphorePermit>) -> Result<Replies, ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame =
            frame::encode(&Request { id, ask }).map_err(|error| ClientError::TooLarge(error.to_string()))?;
        let (answers_tx, answers) = mpsc::channel(UNTAKEN_MAX);
        let closed = |_| ClientError::Broken("the daemon ended it".to_owned());
        // Registered before it is written: the answer cannot come before somebody waits for it.
        self.waiting.send(Waiting { id, answers: answers_tx, _slot: slot }).map_err(|_| closed(()))?;
        self.frames.send(frame).await.map_err(|_| closed(()))?;
        Ok(Replies { id, answers })
    }
}

impl Replies {
    /// The request's number on its connection: what [`Ask::Unwatch`] names.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The next answer; nothing after the last one.
    pub async fn next(&mut self) -> Option<Result<Reply, ClientError>> {
        self.answers.recv().await
    }

    /// The first answer, of a question that has one.
    pub async fn one(mut self) -> Result<Reply, ClientError> {
        let broken = || ClientError::Broken("the daemon ended it before answering".to_owned());
        self.next().await.unwrap_or_else(|| Err(broken()))
    }
}

/// Says hello and hears it. A daemon of another protocol may answer with its hello or with an error; both tell.
async fn greet(
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> Result<Hello, ClientError> {
    let agent = concat!("rtc-client ", env!("CARGO_PKG_VERSION")).to_owned();
    let ours = frame::encode(&Hello { protocol: PROTOCOL, agent, pid: None })
        .expect("a hello is far below the limit of a frame");
    // A daemon at its limit of sessions may answer and close before it reads: what it says counts, not the write.
    let written = writer.write_all(&ours).await;
    let Some(bytes) = frame::read_bytes(reader).await.map_err(broken)? else {
        return Err(broken(written.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into()).into()));
    };
    let theirs = match (frame::decode::<Hello>(&bytes), frame::decode::<Answer>(&bytes)) {
        (Ok(hello), _) => hello,
        (Err(_), Ok(Answer { result: Err(error), .. })) => return Err(error.into()),
        (Err(error), _) => return Err(broken(error)),
    };
    if theirs.protocol != PROTOCOL {
        return Err(ClientError::Version { agent: theirs.agent, theirs: theirs.protocol, pid: theirs.pid });
    }
    Ok(theirs)
}

fn broken(error: FrameError) -> ClientError {
    ClientError::Broken(error.to_string())
}

/// Writes frames in order, several at once where they are there, until nobody can send any more.
async fn write_requests(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut bytes) = frames.recv().await {
        while bytes.len() < WRITE_BYTES_MAX {
            match frames.try_recv() {
                Ok(frame) => bytes.extend_from_slice(&frame),
                Err(_) => break,
            }
        }
        // The reading side sees the same end, and tells everybody who waits.
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Hands each answer to who waits for it; at the end of the connection, tells all of them.
async fn read_answers(
    mut reader: BufReader<OwnedReadHalf>,
    mut waiting_rx: mpsc::UnboundedReceiver<Waiting>,
) {
    let mut waiting = BTreeMap::new();
    let end = loop {
        let answer = match frame::read::<Answer>(&mut reader).await {
            Ok(Some(answer)) => answer,
            Ok(None) => break End::Broken("the daemon closed it".to_owned()),
            Err(error) => break End::Broken(error.to_string()),
        };
        while let Ok(entry) = waiting_rx.try_recv() {
            waiting.insert(entry.id, entry);
        }
        match answer.result {
            // No request has the number 0: the daemon could not tell which one was meant.
            Err(error) if answer.id == 0 => break End::Refused(error),
            Ok(_) | Err(_) => deliver(&mut waiting, answer).await,
        }
    };
    waiting_rx.close();
    while let Some(entry) = waiting_rx.recv().await {
        waiting.insert(entry.id, entry);
    }
    for entry in waiting.into_values() {
        // Whoever left, or has answers untaken, finds the end of the stream instead.
        let _ = entry.answers.try_send(Err(end.error()));
    }
}

/// How a connection ended.
enum End {
    Broken(String),
    Refused(ApiError),
}

impl End {
    fn error(&self) -> ClientError {
        match self {
            Self::Broken(reason) => ClientError::Broken(reason.clone()),
            Self::Refused(error) => refused(error.clone()),
        }
    }
}

async fn deliver(waiting: &mut BTreeMap<u64, Waiting>, answer: Answer) {
    let Some(entry) = waiting.get(&answer.id) else { return };
    let delivered = entry.answers.send(answer.result.map_err(refused)).await;
    if !answer.more || delivered.is_err() {
        waiting.remove(&answer.id);
    }
}

fn refused(error: ApiError) -> ClientError {
    if error.code == Code::Stopping { ClientError::Broken(error.message) } else { error.into() }
}
