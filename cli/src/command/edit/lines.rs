//! `rtc edit -`: a commit for each line, with many under way at once.
//!
//! Lines are sent, and their ids printed, in order. A line that is refused is named and the others go on. A connection
//! that breaks is made again, and what was not answered is sent again as the same edits.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use rtc_client::connection::IN_FLIGHT_MAX;
use rtc_client::{ClientError, Replies, retry};
use rtc_core::api::{Ask, Edited, Reply};
use rtc_core::limits::API_FRAME_BYTES_MAX;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::flat;
use crate::session::{self, Session};

/// Lines read ahead of what is sent.
const LINES_AHEAD_MAX: usize = 64;
/// Connections that may break in a row before an answer came.
const BREAKS_MAX: u32 = 3;

/// What is under way.
struct Stream<'session> {
    session: &'session mut Session,
    note: Option<String>,
    /// Commits not answered yet, in the order of their lines.
    window: VecDeque<Pending>,
    breaks: u32,
    /// How the command ends, where a line was refused.
    failure: Option<Failure>,
}

/// One commit that is not answered yet.
struct Pending {
    line: u64,
    ask: Ask,
    /// None where it could not be sent.
    replies: Option<Replies>,
}

/// What `--json` prints of a line.
#[derive(serde::Serialize)]
struct EditedLine<'a> {
    line: u64,
    edited: &'a Edited,
}

/// Reads, sends and prints until stdin ends.
pub(super) async fn run(note: Option<String>, session: &mut Session) -> Result<(), Failure> {
    let mut lines = read_stdin();
    let mut stream = Stream { session, note, window: VecDeque::new(), breaks: 0, failure: None };
    let (mut number, mut ended) = (0, false);
    while !ended || !stream.window.is_empty() {
        let limit = stream.session.globals.edit_timeout();
        tokio::select! {
            line = lines.recv(), if !ended && stream.window.len() < IN_FLIGHT_MAX => match line {
                None => ended = true,
                Some(line) => {
                    number += 1;
                    ended = !stream.take(number, line).await?;
                }
            },
            answer = session::within(limit, answer_of_first(&mut stream.window)),
                if !stream.window.is_empty() => stream.settle(answer).await?,
        }
    }
    stream.failure.map_or(Ok(()), Err)
}

/// The answer to the oldest commit. Taking part of it back loses nothing: answers stay queued until taken.
async fn answer_of_first(window: &mut VecDeque<Pending>) -> Result<Edited, ClientError> {
    let broken = || ClientError::Broken("it ended before the answer".to_owned());
    let replies = window.front_mut().and_then(|pending| pending.replies.as_mut()).ok_or_else(broken)?;
    match replies.next().await {
        Some(Ok(Reply::Edited(edited))) => Ok(edited),
        Some(Ok(_)) => Err(ClientError::Unexpected("another kind of reply")),
        Some(Err(error)) => Err(error),
        None => Err(broken()),
    }
}

impl Stream<'_> {
    /// Sends a line. False where it is no edit: what follows is then not what its writer meant, and is not read.
    async fn take(&mut self, line: u64, text: std::io::Result<String>) -> Result<bool, Failure> {
        let text = text.map_err(|error| named(line, Failure::file("stdin", &error)))?;
        if text.trim().is_empty() {
            return Ok(true);
        }
        let ops = match flat::parse(&text) {
            Ok(ops) => ops,
            Err(error) => {
                let hint = "nothing from this line on was read; the lines before are committed";
                self.failed(line, Failure::usage(error.to_string()).with_hint(hint));
                return Ok(false);
            }
        };
        let edit = super::commit(ops, self.note.clone(), self.session);
        let ask = retry::with_request_id(Ask::Edit(edit));
        let replies = match self.session.client().await?.send(ask.clone()).await {
            Ok(replies) => Some(replies),
            // Sent again with what else was lost, when its turn comes.
            Err(error) if error.is_lost() => None,
            Err(error) => {
                self.failed(line, error.into());
                return Ok(true);
            }
        };
        self.window.push_back(Pending { line, ask, replies });
        Ok(true)
    }

    /// Takes note of the answer to the oldest commit.
    async fn settle(&mut self, answer: Result<Edited, ClientError>) -> Result<(), Failure> {
        match answer {
            Err(error) if error.is_lost() && self.breaks < BREAKS_MAX => {
                self.breaks += 1;
                return self.send_again().await;
            }
            Ok(_) | Err(_) => {}
        }
        let line = self.window.pop_front().map_or(0, |pending| pending.line);
        match answer {
            Ok(edited) => {
                self.breaks = 0;
                if self.session.out.json {
                    let printed = EditedLine { line, edited: &edited };
                    self.session.out.object("rtc.edited-line/1", &printed)?;
                    return Ok(());
                }
                super::print(&edited, self.session)
            }
            Err(ClientError::Refused(error)) => {
                self.failed(line, ClientError::Refused(error).into());
                Ok(())
            }
            Err(error) => Err(named(line, error.into())),
        }
    }

    /// Sends everything that is not answered over a new connection; what was done already is answered, not done again.
    async fn send_again(&mut self) -> Result<(), Failure> {
        let client = self.session.reconnect().await?;
        for pending in &mut self.window {
            pending.replies = match client.send(pending.ask.clone()).await {
                Ok(replies) => Some(replies),
                Err(error) if error.is_lost() => None,
                Err(error) => return Err(named(pending.line, error.into())),
            };
        }
        Ok(())
    }

    /// Names a line that was refused; the command ends with the first one's code.
    fn failed(&mut self, line: u64, failure: Failure) {
        let failure = named(line, failure);
        failure.print(self.session.out.json);
        self.failure.get_or_insert(Failure::silent(failure.exit));
    }
}

fn named(line: u64, mut failure: Failure) -> Failure {
    if !failure.message.is_empty() {
        failure.message = format!("line {line}: {}", failure.message);
    }
    failure
}

/// Reads lines on a thread of their own: a terminal or a pipe may keep it waiting for ever.
fn read_stdin() -> mpsc::Receiver<std::io::Result<String>> {
    let (lines, lines_rx) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let line = read_line(&mut stdin);
            let is_last = !matches!(line, Ok(Some(_)));
            let Some(line) = line.transpose() else { return };
            if lines.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    lines_rx
}

/// The next line; an error where it is longer than any commit can be.
fn read_line(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = reader.take(API_FRAME_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    if read == API_FRAME_BYTES_MAX && line.last() != Some(&b'\n') {
        let message = format!("line of more than {API_FRAME_BYTES_MAX} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
    }
    let line = String::from_utf8(line)
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string()))?;
    Ok((read > 0).then_some(line))
}
