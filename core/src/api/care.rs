//! What looking after a daemon finds: one line each, with the exact fix.

use serde::{Deserialize, Serialize};

use crate::id::RoomId;

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at, such as `store` or `disk space`.
    pub subject: String,
    /// Of which room, where it is one's.
    #[serde(default)]
    pub room: Option<RoomId>,
    /// How it is.
    pub health: Health,
    /// What was found, in a sentence without a full stop.
    pub says: String,
    /// What to do about it, where there is something.
    #[serde(default)]
    pub fix: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is lost by it.
    Note,
    /// Something does not work, or is not there.
    Bad,
}

impl Finding {
    /// A finding that needs no fix.
    pub fn new(subject: &str, health: Health, says: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), room: None, health, says: says.into(), fix: None }
    }

    /// The same finding with what to do about it.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same finding of a room.
    #[must_use]
    pub fn of(mut self, room: RoomId) -> Self {
        self.room = Some(room);
        self
    }
}
