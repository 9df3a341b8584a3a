//! `rtc compact`: lets old messages go and keeps what they left.

use jiff::{SignedDuration, Span, SpanRelativeTo};
use rtc_core::api::{Ask, Compact, Compacted, Reply};
use std::time::Duration;

use crate::failure::Failure;
use crate::session::Session;
use crate::{age, short};

/// What `rtc compact` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
What is let go can no longer be undone, blamed, or read with --at; the scene stays as it is.
The owner's daemon does this by itself once enough is old; a member that comes back after the
absence limit gets what is left, and its own edits are issued again.")]
pub struct Args {
    /// Only say what it would do
    #[arg(long)]
    dry_run: bool,
    /// Keep everything younger than that, such as '7 days' or '1h 30m'
    #[arg(long, value_name = "DURATION", value_parser = parse)]
    undo_window: Option<u64>,
    /// Wait for no member that was not seen for that long
    #[arg(long, value_name = "DURATION", value_parser = parse)]
    absence_limit: Option<u64>,
    /// Let the daemon go by the two from now on, also when it compacts by itself
    #[arg(long, conflicts_with = "dry_run")]
    remember: bool,
}

/// A length of time in milliseconds.
fn parse(text: &str) -> Result<u64, String> {
    let malformed = || "expected a length of time, such as '7 days' or '1h 30m'".to_owned();
    let span: Span = text.parse().map_err(|_| malformed())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| malformed())?;
    let duration: SignedDuration = duration;
    u64::try_from(duration.as_millis()).map_err(|_| malformed())
}

/// Compacts the room.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let Args { dry_run, undo_window, absence_limit, remember } = args;
    let ask = Compact {
        room: session.room(),
        dry_run,
        undo_window_ms: undo_window,
        absence_limit_ms: absence_limit,
        remember,
    };
    let Reply::Compacted(done) = session.ask(Ask::Compact(ask)).await? else {
        return Err(Failure::unexpected());
    };
    if session.out.json {
        return Ok(session.out.object("rtc.compacted/1", &done)?);
    }
    session.out.line(line(&done, dry_run))?;
    for key in &done.waits_for {
        session.out.line(format!("  what {} is not known to hold stays", short::short(key)))?;
    }
    let Compacted { policy, .. } = done;
    session.say(format!(
        "Kept for undo: {}. Absent members are waited for: {}.",
        age::long(Duration::from_millis(policy.undo_window_ms)),
        age::long(Duration::from_millis(policy.absence_limit_ms)),
    ));
    Ok(())
}

fn line(done: &Compacted, dry_run: bool) -> String {
    let Compacted { messages, bytes, ground_bytes, kept, .. } = *done;
    if messages == 0 {
        return "nothing is old enough to be let go".to_owned();
    }
    let verb = if dry_run { "would let go" } else { "let go" };
    format!(
        "{verb} {} ({}), keeps {} and {} of what is left",
        age::count(messages, "message"),
        age::size(bytes),
        age::count(kept, "message"),
        age::size(ground_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, expected) in [("0s", Some(0)), ("7 days", Some(604_800_000)), ("1h 30m", Some(5_400_000))]
        {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
        assert!(parse("soon").is_err() && parse("-1 day").is_err());
    }
}
