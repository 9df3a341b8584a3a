//! One client's connection: hellos, then requests in and answers out, until one side ends it.

use std::time::Duration;

use rtc_client::frame::{self, FrameError};
use rtc_core::api::{Answer, ApiError, Code, Hello, PROTOCOL, Request};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::outbox::Budget;
use super::{Caller, SessionId, SocketEvent, told};

/// A client says hello at once; one that does not holds a place others may need.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// At the end a client has this long to take what it was answered.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The program and version this daemon calls itself.
pub const AGENT: &str = concat!("rtcd ", env!("CARGO_PKG_VERSION"));

/// Why no more requests are read.
enum End {
    /// The client sent its last one.
    Finished,
    /// Where the next frame begins is not known any more; the client is told this.
    Lost(ApiError),
    /// The connection failed, the hub is gone, or the daemon stops.
    Over,
}

/// Serves one client, as if there were no other.
pub async fn run_alone<R, W>(
    session: SessionId,
    reader: R,
    writer: W,
    events: mpsc::Sender<SocketEvent>,
    shutdown: watch::Receiver<bool>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    run(Caller::new(session, Budget::default()), reader, writer, events, shutdown).await;
}

/// Serves one client.
pub(super) async fn run<R, W>(
    caller: Caller,
    reader: R,
    mut writer: W,
    events: mpsc::Sender<SocketEvent>,
    mut shutdown: watch::Receiver<bool>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // Requests come many at once, and each is read in parts: one system call for all of them.
    let mut reader = BufReader::new(reader);
    if !greet(&mut reader, &mut writer).await {
        return;
    }
    let writing = write_frames(&mut writer, &caller);
    tokio::pin!(writing);
    let mut connected = true;
    let end = tokio::select! {
        end = read_requests(&mut reader, &caller, &events) => end,
        () = &mut writing => { connected = false; End::Over }
        () = told(&mut shutdown) => End::Over,
    };
    match end {
        End::Finished => tokio::select! {
            () = caller.answered() => {}
            () = &mut writing => connected = false,
            () = told(&mut shutdown) => {}
        },
        End::Lost(error) => caller.answer(vec![unaddressed(error)]),
        End::Over => {}
    }
    caller.finish();
    if connected && timeout(FLUSH_TIMEOUT, writing).await.is_err() {
        tracing::debug!(?caller, "a client did not take its answers");
    }
    caller.close();
    // A hub that is gone needs not be told.
    let _ = events.send(SocketEvent::Gone { session: caller.session() }).await;
}

/// Exchanges hellos; false where there is nothing to talk about.
async fn greet(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) -> bool {
    let ours = Hello { protocol: PROTOCOL, agent: AGENT.to_owned(), pid: Some(std::process::id()) };
    let ours = frame::encode(&ours).expect("a hello is far below the limit of a frame");
    let refused = match timeout(HELLO_TIMEOUT, frame::read_bytes(reader)).await {
        Err(_) | Ok(Ok(None) | Err(FrameError::Io(_))) => return false,
        Ok(Err(error)) => Some(bad_request(&error)),
        Ok(Ok(Some(bytes))) => match frame::decode::<Hello>(&bytes) {
            Ok(theirs) if theirs.protocol == PROTOCOL => None,
            Ok(theirs) => Some(other_version(&theirs)),
            Err(error) => Some(bad_request(&error)),
        },
    };
    let answer =
        refused.as_ref().map(|error| super::encoded(&unaddressed(error.clone()))).unwrap_or_default();
    let written = writer.write_all(&[ours, answer].concat()).await;
    written.is_ok() && refused.is_none()
}

async fn read_requests(
    reader: &mut (impl AsyncRead + Unpin),
    caller: &Caller,
    events: &mpsc::Sender<SocketEvent>,
) -> End {
    loop {
        caller.takes_requests().await;
        let bytes = match frame::read_bytes(reader).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return End::Finished,
            Err(FrameError::Io(_)) => return End::Over,
            Err(error @ (FrameError::TooLong { .. } | FrameError::Content(_))) => {
                return End::Lost(ApiError::new(Code::TooLarge, error.to_string()));
            }
        };
        match request(&bytes) {
            Ok(request) if !caller.begin(request.id) => {
                let error = format!("request {} is still under way; number requests anew", request.id);
                caller.answer(vec![unaddressed(ApiError::new(Code::BadRequest, error))]);
            }
            Ok(request) => {
                let call = SocketEvent::Call { caller: caller.clone(), request };
                if events.send(call).await.is_err() {
                    return End::Over;
                }
            }
            // The frame was whole, so the next one begins where it should.
            Err(answer) => caller.answer(vec![*answer]),
        }
    }
}

/// Decodes a request, or says what is wrong with it to whom it may concern.
fn request(bytes: &[u8]) -> Result<Request, Box<Answer>> {
    #[derive(Deserialize)]
    struct Addressed {
        id: u64,
    }
    frame::decode(bytes).map_err(|error| {
        let id = frame::decode(bytes).map_or(0, |Addressed { id }| id);
        Box::new(Answer { id, more: false, result: Err(bad_request(&error)) })
    })
}

/// Writes what is queued until there will be no more, or the client takes no more.
async fn write_frames(writer: &mut (impl AsyncWrite + Unpin), caller: &Caller) {
    while let Some((bytes, answered)) = caller.next().await {
        if writer.write_all(&bytes).await.is_err() {
            return caller.close();
        }
        caller.written(&answered);
    }
}

/// An error that answers no request in particular.
fn unaddressed(error: ApiError) -> Answer {
    Answer { id: 0, more: false, result: Err(error) }
}

fn bad_request(error: &FrameError) -> ApiError {
    ApiError::new(Code::BadRequest, error.to_string())
}

fn other_version(theirs: &Hello) -> ApiError {
    let message = format!("{AGENT} speaks protocol {PROTOCOL}, {} speaks {}", theirs.agent, theirs.protocol);
    let hint = "use programs of one version; after an upgrade, stop the daemon and start it again";
    ApiError::new(Code::Version, message).with_hint(hint)
}
