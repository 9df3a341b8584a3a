//! Why a command did not do as asked, for people and for programs: what, what to do next, and the exit code.

use std::io::ErrorKind;

use rtc_client::ClientError;
use serde::Serialize;

use crate::exit::Exit;

/// Why a command did not do as asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// What was wrong, without a full stop; empty where there is nothing to say.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What `--json` prints of a failure, on stderr.
#[derive(Serialize)]
struct Printed<'a> {
    exit: u8,
    message: &'a str,
    hint: Option<&'a str>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The command ends with `exit` and has said all there is to say.
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// The daemon answered, but not to the question.
    pub fn unexpected() -> Self {
        ClientError::Unexpected("another kind of reply").into()
    }

    /// A file that cannot be used.
    pub fn file(name: &str, error: &std::io::Error) -> Self {
        Self::new(Exit::Refused, format!("{name}: {error}")).with_hint("check the name and its permissions")
    }

    /// The same failure with what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says it on stderr.
    pub fn print(&self, json: bool) {
        if self.message.is_empty() {
            return;
        }
        if json {
            let hint = self.hint.as_deref();
            let body = Printed { exit: self.exit.code(), message: &self.message, hint };
            anstream::eprintln!("{}", crate::output::with_schema("rtc.error/1", &body));
            return;
        }
        anstream::eprintln!("\x1b[1;31merror:\x1b[0m {}", self.message);
        if let Some(hint) = &self.hint {
            anstream::eprintln!("\x1b[1;36mhint:\x1b[0m {hint}");
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::NoDaemon { .. } => Some("start one with `rtc start`".to_owned()),
            ClientError::Unreachable { .. } => {
                Some("the socket belongs to one user: run this as the user who started the daemon".to_owned())
            }
            ClientError::Version { pid, .. } => Some(match pid {
                Some(pid) => format!("restart it with this version: `kill {pid}`, then `rtc start`"),
                None => "restart it with this version: `rtc stop`, then `rtc start`".to_owned(),
            }),
            ClientError::Refused(error) => error.hint.clone(),
            ClientError::Broken(_) => {
                Some("see whether it runs with `rtc status`; its log says why it ended".to_owned())
            }
            ClientError::Timeout(_) => Some("give it longer with --timeout, e.g. --timeout 60s".to_owned()),
            ClientError::TooLarge(_) => Some("split it into smaller commits".to_owned()),
            ClientError::Unexpected(_) => {
                Some("the daemon may be of another version: `rtc stop`, then `rtc start`".to_owned())
            }
        };
        Self { exit: Exit::of_error(&error), message: error.to_string(), hint }
    }
}

/// Output that cannot be written. A reader that has enough (`rtc log | head`) is no failure.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::silent(Exit::Ok),
            _ => Self::new(Exit::Refused, format!("the output cannot be written: {error}")),
        }
    }
}
