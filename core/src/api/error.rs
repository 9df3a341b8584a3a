//! Why the daemon did not do what it was asked.

use serde::{Deserialize, Serialize};

/// Why something was not done. `message` says what, `hint` what to do next.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of reason.
    pub code: Code,
    /// What was wrong, in a sentence without a full stop.
    pub message: String,
    /// What to do next, where there is something.
    #[serde(default)]
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same error with what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The kinds of reasons; the list is closed per [`PROTOCOL`](crate::api::PROTOCOL).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The frame or the request makes no sense.
    BadRequest,
    /// The two sides speak different protocols.
    Version,
    /// No such operation.
    UnknownOperation,
    /// An argument has the wrong shape.
    BadArgument,
    /// No such node, property, message or room.
    NotFound,
    /// More than one thing goes by that name.
    Ambiguous,
    /// A limit is exceeded; the message names it.
    TooLarge,
    /// Too much is under way; try again.
    Busy,
    /// The room accepts no edits now.
    ReadOnly,
    /// This daemon's role in the room does not permit it.
    NotAllowed,
    /// The edit is part of the replica, but not on the disk.
    NotDurable,
    /// The edit is kept, but not as many peers have it as were asked for.
    NoPeer,
    /// It took too long.
    Timeout,
    /// The ticket is no ticket, or admits nobody any more.
    BadTicket,
    /// The daemon is stopping.
    Stopping,
    /// A fault of the daemon's.
    Internal,
}
