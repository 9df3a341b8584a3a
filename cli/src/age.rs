//! Times and sizes as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a second, a minute, … are called, and how many of them the next one has.
const UNITS: [(&str, u64); 5] =
    [("second", 60), ("minute", 60), ("hour", 24), ("day", 365), ("year", u64::MAX)];

/// How long ago a moment was, such as `3 minutes ago`; `unknown` where it was not noted.
pub fn ago(time_ms: Option<u64>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let Some(time_ms) = time_ms else { return "at an unknown time".to_owned() };
    match now.checked_sub(Duration::from_millis(time_ms)) {
        Some(age) if age.as_secs() == 0 => "just now".to_owned(),
        Some(age) => format!("{} ago", long(age)),
        // Its author's clock is ahead of ours.
        None => "in the future".to_owned(),
    }
}

/// A length of time in its largest unit, such as `3 minutes`.
pub fn long(time: Duration) -> String {
    let mut count = time.as_secs();
    for (unit, next) in UNITS {
        if count < next {
            return format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
        }
        count /= next;
    }
    unreachable!("no length of time is longer than all units")
}

/// A length of time with three digits, such as `12.3 ms`.
pub fn precise(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        1_000_000.. => format!("{:.2} s", time.as_secs_f64()),
    }
}

/// A size, such as `12.3 MiB`.
pub fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

/// `1 node`, `2 nodes`.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let cases =
            [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (7_300, "2 hours"), (90_000, "1 day")];
        for (seconds, expected) in cases {
            assert_eq!(long(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(long(Duration::MAX), format!("{} years", u64::MAX / 31_536_000));
        assert_eq!(ago(Some(u64::MAX)), "in the future");
        assert_eq!(ago(Some(0)).split(' ').nth(1), Some("years"));
        assert_eq!(precise(Duration::from_micros(12_345)), "12.3 ms");
    }
}
