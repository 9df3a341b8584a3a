//! The local socket: clients in, questions to the hub, answers and events back.
//!
//! The hub never waits for a client here, and a client that never reads costs bounded memory. What kind of pipe it is
//! that clients come through is known to `unix.rs` alone.

mod caller;
mod outbox;
mod session;
mod unix;

use std::time::Duration;

use rtc_client::frame;
use rtc_core::api::{Answer, ApiError, Code, Request};
use rtc_core::limits::SESSIONS_MAX;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use outbox::Budget;

pub use caller::Caller;
pub use session::AGENT;
#[doc(hidden)]
pub use session::run_alone as serve_one;
pub use unix::{BindError, Listener};

/// When the system has no descriptors left, accepting again at once would only heat the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One local client, for as long as the daemon runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// What comes in from clients.
#[derive(Debug)]
pub enum SocketEvent {
    /// A client asks something.
    Call {
        /// Who; answers go there.
        caller: Caller,
        /// What.
        request: Request,
    },
    /// A client is gone, and with it its subscriptions and its presence. After it, nothing of that session comes.
    Gone {
        /// Which.
        session: SessionId,
    },
}

/// Serves clients until `shutdown` says so; then answers that were given are still written, and all sessions end.
///
/// Their questions go to `events`, and while that is full nobody's are read.
pub async fn serve(
    listener: Listener,
    events: mpsc::Sender<SocketEvent>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut sessions = JoinSet::new();
    let mut last_id = 0;
    let budget = Budget::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = sessions.join_next() => continue,
            () = told(&mut shutdown) => break,
        };
        match accepted {
            Ok((_, mut writer)) if sessions.len() >= SESSIONS_MAX => {
                // It fits into the socket's buffer, so this does not wait.
                let _ = writer.write_all(&refusal()).await;
            }
            Ok((reader, writer)) => {
                last_id += 1;
                let caller = Caller::new(SessionId(last_id), budget.clone());
                sessions.spawn(session::run(caller, reader, writer, events.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // New clients find no daemon from here on.
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

/// Returns when `shutdown` is true, or its owner is gone.
async fn told(shutdown: &mut watch::Receiver<bool>) {
    // An error says that nobody is left who could tell.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn refusal() -> Vec<u8> {
    let error =
        ApiError::new(Code::Busy, format!("{SESSIONS_MAX} clients are connected, which is the limit"))
            .with_hint("end one of them, then try again");
    encoded(&Answer { id: 0, more: false, result: Err(error) })
}

/// The frame of an answer; of an error in its place where it is too large for one.
fn encoded(answer: &Answer) -> Vec<u8> {
    frame::encode(answer).unwrap_or_else(|error| {
        let error = ApiError::new(Code::TooLarge, format!("the answer does not fit: {error}"));
        let answer = Answer { id: answer.id, more: false, result: Err(error) };
        frame::encode(&answer).expect("an error of one sentence is far below the limit of a frame")
    })
}

#[cfg(test)]
mod tests;
