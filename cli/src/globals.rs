//! The options every subcommand takes, before or after it.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rtc_core::api::Wait;

/// How long a daemon may take to answer, where `--timeout` does not say.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an edit waits for peers, where `--timeout` does not say.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// What the daemon's own timeouts are given on top, so that it is the one to say what is missing.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// The options every subcommand takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Globals {
    /// The room: its name, its id, or an unambiguous beginning of the id; the default room where not given
    #[arg(long, global = true, env = "RTC_ROOM", hide_env_values = true, value_name = "ROOM")]
    pub room: Option<String>,
    /// Print every answer as one JSON object with a `schema` field (streams: one per line)
    #[arg(long, global = true)]
    pub json: bool,
    /// Fail where no daemon runs, instead of starting one
    #[arg(long, global = true)]
    pub no_autostart: bool,
    /// How long to wait, such as 500ms, 10s or 2m; a bare number is seconds
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// When an edit is done: `local` (part of the scene), `durable` (on the disk), `peer` or `peer:N` (on as many
    /// peers' disks too)
    #[arg(long, global = true, value_name = "WHEN", default_value = "durable", value_parser = parse_wait)]
    pub wait: Wait,
    /// When to use colours; NO_COLOR is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Globals {
    /// How long an edit waits for peers.
    pub fn peer_timeout(&self) -> Duration {
        self.timeout.unwrap_or(PEER_TIMEOUT)
    }

    /// How long to wait for the answer to an edit.
    pub fn edit_timeout(&self) -> Duration {
        match self.wait {
            Wait::Local | Wait::Durable => self.answer_timeout(),
            Wait::Peers(_) => self.peer_timeout() + ANSWER_MARGIN,
        }
    }

    /// How long to wait for any other answer.
    pub fn answer_timeout(&self) -> Duration {
        self.timeout.unwrap_or(ANSWER_TIMEOUT)
    }

    /// How long to wait for an answer the daemon itself gives up on after `limit`.
    pub fn patience(limit: Duration) -> Duration {
        limit + ANSWER_MARGIN
    }
}

/// A time such as `500ms`, `10s`, `2m`, `1h` or `3` (seconds).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale_s = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("the unit {unit:?} is not one of ms, s, m, h")),
    };
    let number = f64::from_str(number).map_err(|_| "expected a time such as 500ms, 10s or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * scale_s).map_err(|error| error.to_string())
}

/// `local`, `durable`, `peer` or `peer:N`.
pub fn parse_wait(text: &str) -> Result<Wait, String> {
    match text {
        "local" => Ok(Wait::Local),
        "durable" => Ok(Wait::Durable),
        "peer" => Ok(Wait::Peers(1)),
        _ => match text.strip_prefix("peer:").map(str::parse) {
            Some(Ok(count)) if count > 0 => Ok(Wait::Peers(count)),
            _ => Err("expected local, durable, peer or peer:N".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let cases = [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1.5", 1_500), ("1h", 3_600_000)];
        for (text, expected_ms) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(expected_ms)), "{text}");
        }
        for text in ["", "-1s", "10 parsecs", "s", "1e400"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn waiting_for_nobody_is_no_waiting() {
        assert_eq!(parse_wait("peer"), Ok(Wait::Peers(1)));
        assert_eq!(parse_wait("peer:3"), Ok(Wait::Peers(3)));
        for text in ["peer:0", "peer:", "peer:x", "Local", ""] {
            assert!(parse_wait(text).is_err(), "{text}");
        }
    }
}
