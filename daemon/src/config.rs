//! The settings: a TOML file whose keys the flags mirror, and what the flags make of it.
//!
//! An unknown key is an error that names it and its line: a setting that does nothing is worse than none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::logging;
use crate::metrics::parse_address;

/// How the daemon runs. Each field is a key of the file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen for peers, as multiaddrs. Port 0 is the port of the last run, or any.
    pub listen: Vec<String>,
    /// Whether to look for peers on the LAN by multicast DNS.
    pub mdns: bool,
    /// How far this daemon goes for its peers.
    pub network: Reach,
    /// Relays through which peers elsewhere may reach this daemon, as multiaddrs that end in `/p2p/PEER`.
    pub relays: Vec<String>,
    /// Whether to be a relay for others.
    pub relay: bool,
    /// What to log: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by module
    /// (`info,rtc_daemon::net=debug`).
    pub log: String,
    /// Where to serve numbers for Prometheus: an address such as `127.0.0.1:9464`, or a port of the loopback interface. Empty: nowhere.
    pub metrics: String,
    /// After how many seconds without use a room leaves memory until somebody has use for it; 0: never.
    pub room_idle_s: u64,
}

/// How far a daemon goes for its peers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The LAN, and the addresses it is given.
    #[default]
    Lan,
    /// The internet: relays, QUIC and hole punching.
    Wan,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/0.0.0.0/tcp/0".to_owned()],
            mdns: true,
            network: Reach::Lan,
            relays: Vec::new(),
            relay: false,
            log: "info".to_owned(),
            metrics: String::new(),
            room_idle_s: 300,
        }
    }
}

/// What flags said: it counts more than the file, also when the file changes later.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Overrides {
    /// Instead of `listen`, unless empty.
    pub listen: Vec<String>,
    /// Instead of `mdns`.
    pub mdns: Option<bool>,
    /// Instead of `network`.
    pub network: Option<Reach>,
    /// Instead of `relays`, unless empty.
    pub relays: Vec<String>,
    /// Instead of `relay`.
    pub relay: Option<bool>,
    /// Instead of `log`.
    pub log: Option<String>,
    /// Instead of `metrics`.
    pub metrics: Option<String>,
    /// Instead of `room_idle_s`.
    pub room_idle_s: Option<u64>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is no TOML, or holds what is no setting.
    #[error("{}, line {line}, column {column}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value means nothing.
    #[error("{origin}: {key} = {value:?}: {message}")]
    Value {
        /// The file, or the flags.
        origin: String,
        /// The key.
        key: &'static str,
        /// What it is set to.
        value: String,
        /// Why that means nothing.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Settings {
    /// The settings in the file `path`, with `overrides`. No file is an empty file.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ConfigError::Io { path: path.to_owned(), error }),
        };
        let settings = Self::read(&text, path)?.with(overrides);
        settings.check("the command line")?;
        Ok(settings)
    }

    /// The settings that `text` says, which is that of the file `path`.
    pub fn read(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let settings: Self = toml::from_str(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            ConfigError::Invalid { path: path.to_owned(), line, column, message: error.message().to_owned() }
        })?;
        settings.check(&path.display().to_string())?;
        Ok(settings)
    }

    fn with(self, overrides: &Overrides) -> Self {
        let Overrides { listen, mdns, network, relays, relay, log, metrics, room_idle_s } = overrides.clone();
        // Who asks for the LAN alone need not take back what the file says beyond.
        let (file_relays, file_relay) =
            if network == Some(Reach::Lan) { (Vec::new(), false) } else { (self.relays, self.relay) };
        Self {
            listen: if listen.is_empty() { self.listen } else { listen },
            mdns: mdns.unwrap_or(self.mdns),
            network: network.unwrap_or(self.network),
            relays: if relays.is_empty() { file_relays } else { relays },
            relay: relay.unwrap_or(file_relay),
            log: log.unwrap_or(self.log),
            metrics: metrics.unwrap_or(self.metrics),
            room_idle_s: room_idle_s.unwrap_or(self.room_idle_s),
        }
    }

    fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, message: String| {
            Err(ConfigError::Value { origin: origin.to_owned(), key, value: value.to_owned(), message })
        };
        if let Some(address) = self.listen.iter().find(|address| !address.starts_with('/')) {
            return wrong("listen", address, "an address looks like /ip4/0.0.0.0/tcp/0".to_owned());
        }
        if !self.metrics.is_empty() && parse_address(&self.metrics).is_none() {
            return wrong("metrics", &self.metrics, "an address looks like 127.0.0.1:9464".to_owned());
        }
        self.check_reach().or_else(|(key, value, message)| wrong(key, &value, message.to_owned()))?;
        match logging::parse_filter(&self.log) {
            Ok(_) => Ok(()),
            Err(error) => wrong("log", &self.log, error),
        }
    }

    /// What is wrong with the settings beyond the LAN: key, value and why.
    fn check_reach(&self) -> Result<(), (&'static str, String, &'static str)> {
        let needs_wan = "that is beyond the LAN, and needs network = \"wan\"";
        match self.network {
            Reach::Lan if self.relay => Err(("relay", "true".to_owned(), needs_wan)),
            Reach::Lan if !self.relays.is_empty() => Err(("relays", self.relays.join(", "), needs_wan)),
            Reach::Lan => Ok(()),
            Reach::Wan if cfg!(feature = "wan") => Ok(()),
            Reach::Wan => {
                let says = "this rtcd was built for one LAN only; build it with: cargo install --path . --features wan";
                Err(("network", "wan".to_owned(), says))
            }
        }
    }
}

/// Line and column, from 1, of a byte of `text`.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&character| character != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, overrides: &Overrides) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let dir = format!("{}/", dir.path().display());
        Settings::load(&path, overrides).map_err(|error| error.to_string().replace(&dir, ""))
    }

    #[test]
    fn no_file_and_an_empty_one_are_the_defaults() {
        let nowhere = Settings::load(Path::new("/nonexistent/config.toml"), &Overrides::default());
        assert_eq!(nowhere.unwrap(), Settings::default());
        assert_eq!(load("# nothing\n", &Overrides::default()), Ok(Settings::default()));
    }

    #[test]
    fn every_key_can_be_set_and_flags_count_more() {
        let text =
            "listen = [\"/ip4/127.0.0.1/tcp/4001\"]\nmdns = false\nlog = \"debug\"\nmetrics = \"9464\"\n";
        let listen = vec!["/ip4/127.0.0.1/tcp/4001".to_owned()];
        let file = Settings {
            listen,
            mdns: false,
            log: "debug".into(),
            metrics: "9464".into(),
            ..Settings::default()
        };
        assert_eq!(load(text, &Overrides::default()), Ok(file.clone()));
        let flags = Overrides { mdns: Some(true), log: Some("warn".into()), ..Overrides::default() };
        assert_eq!(load(text, &flags), Ok(Settings { mdns: true, log: "warn".into(), ..file }));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, says) in [
            ("mdns = true\nmdsn = false\n", "config.toml, line 2, column 1: unknown field `mdsn`"),
            ("mdns = 3", "config.toml, line 1, column 8: invalid type: integer `3`, expected a boolean"),
            ("\n\nlog = \"a", "config.toml, line 3"),
            ("mdns = true\nmdns = true", "config.toml, line 2, column 1: duplicate key"),
            (
                "listen = [\"localhost:4001\"]",
                "config.toml: listen = \"localhost:4001\": an address looks like",
            ),
            ("metrics = \"here\"", "config.toml: metrics = \"here\": an address looks like 127.0.0.1:9464"),
            ("network = \"moon\"", "config.toml, line 1, column 11: unknown variant `moon`"),
            ("relay = true", "config.toml: relay = \"true\": that is beyond the LAN"),
            ("relays = [\"/x\"]", "config.toml: relays = \"/x\": that is beyond the LAN"),
            ("log = \"inof\"", "config.toml: log = \"inof\": \"inof\" is not error, warn"),
            ("log = \"info,rtc=loud\"", "config.toml: log = \"info,rtc=loud\": "),
        ] {
            let error = load(text, &Overrides::default()).unwrap_err();
            assert!(error.starts_with(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_daemon_built_for_the_lan_says_how_to_get_another() {
        let flags = Overrides { network: Some(Reach::Wan), relay: Some(true), ..Overrides::default() };
        let read = load("", &flags);
        if cfg!(feature = "wan") {
            assert_eq!(read.map(|settings| settings.relay), Ok(true));
        } else {
            let error = read.unwrap_err();
            assert!(
                error.starts_with("the command line: network = \"wan\": this rtcd was built for one LAN")
            );
            assert!(error.ends_with("--features wan"), "{error}");
        }
    }

    #[test]
    fn a_wrong_flag_is_not_blamed_on_the_file() {
        let flags = Overrides { listen: vec!["4001".into()], ..Overrides::default() };
        assert!(load("", &flags).unwrap_err().starts_with("the command line: listen = \"4001\""));
    }
}
