//! Why a question to the daemon has no answer.

use std::path::PathBuf;

use rtc_core::api::{ApiError, PROTOCOL};

/// Why a question to the daemon has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no daemon is running (nobody answers at {})", .socket.display())]
    NoDaemon {
        /// The socket that was tried.
        socket: PathBuf,
    },
    /// The socket is there, and the system does not let this user or process in.
    #[error("the daemon's socket {} cannot be opened: {source}", .socket.display())]
    Unreachable {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The daemon speaks another version of the local protocol.
    #[error("the daemon ({agent}) speaks protocol {theirs}, this program speaks {PROTOCOL}")]
    Version {
        /// The daemon's program and version.
        agent: String,
        /// The protocol it speaks.
        theirs: u32,
        /// Its process, where it says.
        pid: Option<u32>,
    },
    /// The daemon said no, and why.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The connection ended before the answer: whether the daemon did as asked is not known.
    #[error("the connection to the daemon broke: {0}")]
    Broken(String),
    /// No answer within the time given: whether the daemon did as asked is not known.
    #[error("the daemon did not answer within {} s", .0.as_secs_f32())]
    Timeout(std::time::Duration),
    /// The question does not fit into one frame.
    #[error("the request is too large: {0}")]
    TooLarge(String),
    /// The daemon answered something else than was asked.
    #[error("the daemon answered something unexpected: {0}")]
    Unexpected(&'static str),
}

impl ClientError {
    /// Whether asking again, over a new connection, can help: the question was not refused, it was lost.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::NoDaemon { .. }
            | Self::Unreachable { .. }
            | Self::Version { .. }
            | Self::Refused(_)
            | Self::Timeout(_)
            | Self::TooLarge(_)
            | Self::Unexpected(_) => false,
        }
    }
}
