//! What the daemon says about itself: lines on stderr, which for a daemon in the background is the log file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// A log longer than this is put aside when the daemon starts; one earlier log is kept.
pub const LOG_BYTES_MAX: u64 = 5 * 1024 * 1024;

/// What libraries say is for their makers: one line each that means nothing to a user, and, where multicast is blocked, an
/// error with every query. A level for one of these by name, such as `info,libp2p_mdns=debug`, brings it back.
const QUIET: &str = "libp2p_swarm=off,libp2p_mdns=off";

/// Changes what is logged while the daemon runs.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Begins to log what `filter` lets through. Colours are for people at a terminal.
///
/// # Errors
/// When this process logs already.
pub fn start(filter: &str, colours: bool) -> Result<LogControl, TryInitError> {
    let (layer, handle) = reload::Layer::new(parse_filter(filter).unwrap_or_default());
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours).with_target(false);
    tracing_subscriber::registry().with(layer).with(lines).try_init()?;
    Ok(LogControl { filter: handle })
}

impl LogControl {
    /// Logs what `filter` lets through from now on; one that means nothing changes nothing.
    pub fn set(&self, filter: &str) {
        if let Ok(filter) = parse_filter(filter) {
            // It fails only where the subscriber is gone, and then nothing is logged at all.
            let _ = self.filter.reload(filter);
        }
    }
}

/// What a `log` setting lets through, or why it means nothing.
pub fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    // The library cuts what it cannot read in pieces, and panics inside a letter of several bytes.
    if !text.is_ascii() {
        return Err("levels and modules have ASCII names".to_owned());
    }
    // A lone word would be taken for a module's name, and a misspelt level would log nothing.
    let words = text.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
    for word in words {
        word.parse::<LevelFilter>()
            .map_err(|_| format!("{word:?} is not error, warn, info, debug, trace or off"))?;
    }
    EnvFilter::builder().parse(format!("{QUIET},{text}")).map_err(|error| error.to_string())
}

/// Opens the log file `path` to append to, the user's alone; a long one is put aside first.
pub fn open_file(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_libraries_say_is_asked_for_by_name() {
        let filter = |text| parse_filter(text).unwrap().to_string();
        assert!(filter("info").contains("libp2p_mdns=off"), "{}", filter("info"));
        let named = filter("info,libp2p_mdns=debug");
        assert!(named.contains("libp2p_mdns=debug") && !named.contains("libp2p_mdns=off"), "{named}");
        assert!(parse_filter("inof").is_err());
        assert!(parse_filter("\",,\u{fffd}=\u{fffd}").is_err(), "and no panic");
    }

    #[test]
    fn a_long_log_is_put_aside_and_a_short_one_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rtcd.log");
        open_file(&path).unwrap().write_all(b"one\n").unwrap();
        open_file(&path).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
        open_file(&path).unwrap().set_len(LOG_BYTES_MAX + 1).unwrap();
        open_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert_eq!(fs::metadata(dir.path().join("rtcd.log.1")).unwrap().len(), LOG_BYTES_MAX + 1);
    }
}
