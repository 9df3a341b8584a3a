//! Earlier versions as people name them: by a message, or by a time.

use jiff::civil::{DateTime, Time};
use jiff::{Span, Timestamp, Zoned};
use rtc_core::api::At;

use crate::command::commit::DRAFT;

/// The option of every command that reads the scene.
#[derive(clap::Args, Clone, Debug)]
pub struct Version {
    /// Read an earlier version: what a message made of it (its id, as `rtc log` shows it), or how it was at a time, such as
    /// '10 min ago', 2026-11-21T10:00 or 10:00 (this machine's clock and time zone). A time means what authors' clocks
    /// said, and everything those edits had seen
    #[arg(long, value_name = "VERSION", value_parser = parse)]
    pub at: Option<At>,
}

/// The options of commands that read nodes.
#[derive(clap::Args, Clone, Debug)]
pub struct Sight {
    #[command(flatten)]
    version: Version,
    /// Read what it would be with a draft (see `rtc edit --stage`)
    #[arg(
        long,
        value_name = "DRAFT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DRAFT,
        conflicts_with = "at"
    )]
    preview: Option<String>,
}

impl Sight {
    /// What is to be read; as things stand where nothing.
    pub fn at(self) -> Option<At> {
        self.preview.map(|draft| At::Draft(Some(draft))).or(self.version.at)
    }
}

/// Reads a message's id, or a time: neither can be taken for the other, since ids have no blanks and letters before the colon.
pub fn parse(text: &str) -> Result<At, String> {
    match parse_time(text, &Zoned::now()) {
        Some(time_ms) => Ok(At::Time(time_ms)),
        None if is_id(text) => Ok(At::Message(text.to_owned())),
        None => Err("expected a message's id, such as k7f2q3ab:12, or a time, such as '10 min ago' or 2026-11-21T10:00"
            .to_owned()),
    }
}

/// Whether it may be an id, or the beginning of one: base32, then perhaps a number.
fn is_id(text: &str) -> bool {
    let (actor, seq) = text.split_once(':').unwrap_or((text, "1"));
    let is_base32 = |letter: u8| matches!(letter, b'a'..=b'z' | b'2'..=b'7');
    !actor.is_empty() && actor.bytes().all(is_base32) && seq.parse::<u64>().is_ok()
}

/// A moment in milliseconds since 1970, seen from `now`.
fn parse_time(text: &str, now: &Zoned) -> Option<u64> {
    let ago = || text.ends_with("ago").then(|| text.parse::<Span>().ok()).flatten();
    let local = |time: DateTime| Some(time.to_zoned(now.time_zone().clone()).ok()?.timestamp());
    let moment = if text == "now" {
        Some(now.timestamp())
    } else if let Some(span) = ago() {
        Some(now.checked_add(span).ok()?.timestamp())
    } else if let Ok(time) = text.parse::<Timestamp>() {
        Some(time)
    } else if text.contains('-') {
        local(text.parse::<DateTime>().ok()?)
    } else if text.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        local(now.date().to_datetime(text.parse::<Time>().ok()?))
    } else {
        None
    };
    u64::try_from(moment?.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let now: Zoned = "2026-11-21T12:00:00-05:00[-05:00]".parse().unwrap();
        let expected = expected.map(|text| text.parse::<Timestamp>().unwrap().as_millisecond());
        assert_eq!(parse_time(text, &now), expected.map(|time| u64::try_from(time).unwrap()), "{text}");
    }

    #[test]
    fn times_are_read_in_this_machines_zone_and_from_now() {
        check("now", Some("2026-11-21T17:00:00Z"));
        check("10 min ago", Some("2026-11-21T16:50:00Z"));
        check("1h 30m ago", Some("2026-11-21T15:30:00Z"));
        check("2 days ago", Some("2026-11-19T17:00:00Z"));
        check("2026-11-21T10:00", Some("2026-11-21T15:00:00Z"));
        check("2026-11-21 10:00:30", Some("2026-11-21T15:00:30Z"));
        check("2026-11-21", Some("2026-11-21T05:00:00Z"));
        check("2026-11-21T10:00Z", Some("2026-11-21T10:00:00Z"));
        check("2026-11-21T10:00+01:00", Some("2026-11-21T09:00:00Z"));
        check("10:00", Some("2026-11-21T15:00:00Z"));
        for text in ["", "ago", "10 min", "26:00", "2026-13-01", "k7f2q3ab:12", "23:12x"] {
            check(text, None);
        }
    }

    #[test]
    fn ids_are_no_times_and_times_no_ids() {
        for id in ["k7f2q3ab:12", "k7", "ago", "now2:7"] {
            assert_eq!(parse(id), Ok(At::Message(id.to_owned())));
        }
        assert!(matches!(parse("10:00"), Ok(At::Time(_))));
        for text in ["", ":", "10 min", "yesterday evening", "2026-13-01", "k7:x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
