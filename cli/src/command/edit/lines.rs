//! `rtc edit -`: a commit for each line, with many under way at once. With `--stage` a step of a draft for each.
//!
//! Lines are sent, and their ids printed, in order. A line that the daemon refuses is named and the others go on; after
//! one that is no edit at all nothing more is read, since what follows is not what its writer meant.

use std::io::{BufRead, Error, ErrorKind, Read};

use rtc_client::ClientError;
use rtc_client::connection::IN_FLIGHT_MAX;
use rtc_core::api::{Edited, Stage};
use rtc_core::limits::API_FRAME_BYTES_MAX;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::flat;
use crate::pipeline::Pipeline;
use crate::session::Session;

/// Lines read ahead of what is sent.
const LINES_AHEAD_MAX: usize = 64;

/// What `--json` prints of a line.
#[derive(serde::Serialize)]
struct EditedLine<'a> {
    line: u64,
    edited: &'a Edited,
}

/// What happens next.
enum Event {
    Line(Option<std::io::Result<String>>),
    Answer(Result<Edited, ClientError>),
}

/// Reads, sends and prints until stdin ends.
pub(super) async fn run(note: Option<String>, session: &mut Session) -> Result<(), Failure> {
    let mut lines = read_ahead(session.input());
    let mut pipeline = Pipeline::new(IN_FLIGHT_MAX);
    let (mut number, mut ended) = (0, false);
    let mut first_failure = None;
    while !ended || !pipeline.is_empty() {
        let limit = session.globals.edit_timeout();
        let event = tokio::select! {
            line = lines.recv(), if !ended && !pipeline.is_full() => Event::Line(line),
            answer = pipeline.answer(limit) => Event::Answer(answer),
        };
        let failed = match event {
            Event::Line(line) => {
                number += 1;
                let sent = match line {
                    Some(line) => send(number, line, &note, &mut pipeline, session).await,
                    None => Ok(false),
                };
                ended = !matches!(sent, Ok(true));
                sent.err().map(|failure| (number, failure))
            }
            Event::Answer(answer) => match pipeline.settle(answer, session).await? {
                Some((line, answer)) => settle(line, answer, session)?.map(|failure| (line, failure)),
                None => None,
            },
        };
        if let Some((line, mut failure)) = failed {
            failure.message = format!("line {line}: {}", failure.message);
            failure.print(session.out.json);
            first_failure.get_or_insert(Failure::silent(failure.exit));
        }
    }
    first_failure.map_or(Ok(()), Err)
}

/// Stages each line, one after the other, until stdin ends or a line cannot be staged.
pub(super) async fn stage(like: &Stage, session: &mut Session) -> Result<(), Failure> {
    let mut lines = read_ahead(session.input());
    let mut number = 0;
    while let Some(line) = lines.recv().await {
        number += 1;
        let line = line.map_err(|error| Failure::file("stdin", &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let staged = match flat::parse(&line) {
            Ok(ops) => super::stage(Stage { ops, ..like.clone() }, session).await,
            Err(error) => Err(Failure::usage(error.to_string())),
        };
        staged.map_err(|mut failure| {
            failure.message = format!("line {number}: {}", failure.message);
            failure
        })?;
        // Whoever reads a pipe wants each answer when it is there.
        session.out.flush()?;
    }
    Ok(())
}

/// Sends a line's commit. False where there is none to send and none to follow.
async fn send(
    number: u64,
    line: std::io::Result<String>,
    note: &Option<String>,
    pipeline: &mut Pipeline<u64>,
    session: &mut Session,
) -> Result<bool, Failure> {
    let line = line.map_err(|error| Failure::file("stdin", &error))?;
    if line.trim().is_empty() {
        return Ok(true);
    }
    let ops = flat::parse(&line).map_err(|error| {
        Failure::usage(error.to_string())
            .with_hint("nothing after this line was read; the lines before it count")
    })?;
    let edit = super::commit(ops, note.clone(), session);
    pipeline.send(number, edit, session).await.map(|()| true)
}

/// Prints the answer to a line; gives out why it was refused, where it was. Any other error ends the command.
fn settle(
    line: u64,
    answer: Result<Edited, ClientError>,
    session: &mut Session,
) -> Result<Option<Failure>, Failure> {
    match answer {
        Ok(edited) if session.out.json => {
            session.out.object("rtc.edited-line/1", &EditedLine { line, edited: &edited })?;
            Ok(None)
        }
        Ok(edited) => super::print(&edited, session).map(|()| None),
        Err(ClientError::Refused(error)) => Ok(Some(ClientError::Refused(error).into())),
        Err(error) => {
            let mut failure = Failure::from(error);
            failure.message = format!("line {line}: {}", failure.message);
            Err(failure)
        }
    }
}

/// Reads lines on a thread of their own: a terminal or a pipe may keep it waiting for ever.
fn read_ahead(mut input: Box<dyn BufRead + Send>) -> mpsc::Receiver<std::io::Result<String>> {
    let (lines, lines_rx) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        while let Some(line) = read_line(&mut input).transpose() {
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    lines_rx
}

/// The next line; an error where it is longer than any commit can be.
fn read_line(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = reader.by_ref().take(API_FRAME_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    if read == API_FRAME_BYTES_MAX && line.last() != Some(&b'\n') {
        let message = format!("line of more than {API_FRAME_BYTES_MAX} bytes");
        return Err(Error::new(ErrorKind::InvalidData, message));
    }
    let line =
        String::from_utf8(line).map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
    Ok((read > 0).then_some(line))
}
