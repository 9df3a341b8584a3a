//! The exit codes: stable, closed, and told in one list that help and documentation print.

use rtc_client::ClientError;
use rtc_core::api::Code;

/// How a command ended, for whoever called it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Refused; nothing was changed.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No daemon answers, and none was started.
    NoDaemon = 3,
    /// There is no such node, property, message, room or operation.
    NotFound = 4,
    /// The edit is kept, but not on as many peers as asked.
    NoPeer = 5,
    /// The daemon is of another version.
    Version = 6,
    /// No answer in time, or the connection broke.
    Unanswered = 7,
    /// The edit is part of the scene, but not on the disk.
    NotDurable = 8,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Refused,
        Self::Usage,
        Self::NoDaemon,
        Self::NotFound,
        Self::NoPeer,
        Self::Version,
        Self::Unanswered,
        Self::NotDurable,
        Self::Interrupted,
    ];

    /// The number the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in a line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Refused => "refused: nothing was changed, or a check failed",
            Self::Usage => "the command line makes no sense",
            Self::NoDaemon => "no daemon answers, and none was started",
            Self::NotFound => "no such node, property, message, room or operation",
            Self::NoPeer => "the edit is kept, but not on as many peers as asked",
            Self::Version => "the daemon is of another version",
            Self::Unanswered => "no answer in time, or the connection broke: it may have happened or not",
            Self::NotDurable => "the edit is part of the scene, but not on the disk",
            Self::Interrupted => "ended by Ctrl-C",
        }
    }

    /// The code of a refusal by the daemon.
    pub fn of_code(code: Code) -> Self {
        match code {
            Code::BadRequest
            | Code::UnknownOperation
            | Code::BadArgument
            | Code::Ambiguous
            | Code::TooLarge
            | Code::Busy
            | Code::ReadOnly
            | Code::NotAllowed
            | Code::BadTicket
            | Code::Internal => Self::Refused,
            Code::Version => Self::Version,
            Code::NotFound => Self::NotFound,
            Code::NotDurable => Self::NotDurable,
            Code::NoPeer => Self::NoPeer,
            Code::Timeout | Code::Stopping => Self::Unanswered,
        }
    }

    /// The code of a question without an answer.
    pub fn of_error(error: &ClientError) -> Self {
        match error {
            ClientError::NoDaemon { .. } | ClientError::Unreachable { .. } => Self::NoDaemon,
            ClientError::Version { .. } => Self::Version,
            ClientError::Refused(error) => Self::of_code(error.code),
            ClientError::Broken(_) | ClientError::Timeout(_) => Self::Unanswered,
            ClientError::TooLarge(_) => Self::Refused,
            ClientError::Unexpected(_) => Self::Version,
        }
    }
}

/// The list as help shows it.
pub fn listing() -> String {
    let lines = Exit::ALL.iter().map(|exit| format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_codes_never_change() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]);
        assert_eq!(Exit::of_code(Code::NoPeer).code(), 5);
        assert_eq!(Exit::of_code(Code::NotFound).code(), 4);
    }
}
