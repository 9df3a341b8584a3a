//! The words of `rtcd`: one file each.

mod run;
mod start;
mod status;
mod stop;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rtc_client::{ClientError, PlaceError, Places};

use crate::config::{Overrides, Reach};
use crate::launch::{DETACHED_WORD, Launcher, close_inherited};

/// The word that makes the `rtc` program the daemon's.
pub const DAEMON_WORD: &str = "__daemon";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, with the reason on stderr
  2  the command line makes no sense
  3  no daemon is running

Environment:
  RTC_HOME  keeps data, settings, socket and log of one daemon below this directory";

/// The rtc daemon: holds this user's rooms, and shares them with its peers.
#[derive(Debug, Parser)]
#[command(name = "rtcd", bin_name = "rtcd", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the daemon in the background; returns when it answers
    Start(start::Start),
    /// Run the daemon in the foreground, for service managers
    Run(Flags),
    /// Stop the daemon; returns when it is gone
    Stop,
    /// Show how the daemon is
    Status,
    #[command(name = DETACHED_WORD, hide = true)]
    Detached(Flags),
}

/// What can be said on the command line instead of in the settings.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Listen for peers here (may be repeated), such as /ip4/0.0.0.0/tcp/4001; instead of the setting `listen`
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Do not look for peers by multicast DNS, whatever the setting `mdns` says
    #[arg(long)]
    no_mdns: bool,
    /// How far to go for peers: the LAN, or the internet with relays, QUIC and hole punching; instead of the setting `network`
    #[arg(long, value_name = "REACH")]
    network: Option<Reach>,
    /// Let peers elsewhere reach this daemon through a relay (may be repeated), such as /ip4/192.0.2.7/tcp/4001/p2p/PEER;
    /// instead of the setting `relays`. Implies `--network wan`
    #[arg(long, value_name = "ADDR")]
    relay_via: Vec<String>,
    /// Be a relay for others; instead of the setting `relay`. Implies `--network wan`
    #[arg(long)]
    relay: bool,
    /// What to log: error, warn, info, debug, trace, or levels by module; instead of the setting `log`
    #[arg(long, value_name = "LEVEL", env = "RTC_LOG")]
    log: Option<String>,
    /// Serve numbers for Prometheus here, such as 127.0.0.1:9464; instead of the setting `metrics`
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// Let a room leave memory after so many seconds without use, 0: never; instead of the setting `room_idle_s`
    #[arg(long, value_name = "SECONDS")]
    room_idle_s: Option<u64>,
}

/// Why a command was not done: what to print, and the exit code.
#[derive(Debug)]
struct Failure {
    code: Exit,
    message: String,
    hint: Option<String>,
}

/// The stable exit codes. Usage errors are clap's, with the same numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exit {
    Refused = 1,
    NoDaemon = 3,
}

/// The daemon's whole program; `args` are the process's, the program's name first. `rtc` puts [`DAEMON_WORD`] behind it.
pub fn daemon_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let words: Vec<OsString> =
        if args.get(1).is_some_and(|word| word == DAEMON_WORD) { vec![args.remove(1)] } else { Vec::new() };
    if args.get(1).is_some_and(|word| word == DETACHED_WORD) {
        // Before anything is opened: what is open now is somebody else's.
        close_inherited();
    }
    let command = match CommandLine::try_parse_from(args) {
        Ok(line) => line.command,
        Err(error) => {
            // A closed stderr is no reason to fail differently.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match command {
        Command::Start(start) => launcher(words).and_then(|launcher| start.execute(&launcher)),
        Command::Run(flags) => run::foreground(&flags),
        Command::Stop => stop::execute(),
        Command::Status => status::execute(),
        Command::Detached(flags) => return run::detached(&flags),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::from(failure.code as u8)
    })
}

fn launcher(words: Vec<OsString>) -> Result<Launcher, Failure> {
    let program: PathBuf = std::env::current_exe()
        .map_err(|error| Failure::refused(format!("cannot find this program's own file: {error}")))?;
    Ok(Launcher { program, words })
}

fn places() -> Result<Places, Failure> {
    Ok(Places::from_env()?)
}

impl Flags {
    fn overrides(&self) -> Overrides {
        let beyond = self.relay || !self.relay_via.is_empty();
        Overrides {
            listen: self.listen.clone(),
            mdns: self.no_mdns.then_some(false),
            network: self.network.or(beyond.then_some(Reach::Wan)),
            relays: self.relay_via.clone(),
            relay: self.relay.then_some(true),
            log: self.log.clone(),
            metrics: self.metrics.clone(),
            room_idle_s: self.room_idle_s,
        }
    }

    /// The words that give a child the same flags.
    fn words(&self) -> Vec<OsString> {
        let listen = self.listen.iter().flat_map(|address| ["--listen", address]);
        let mdns = self.no_mdns.then_some("--no-mdns");
        let network = self.network.map(|reach| match reach {
            Reach::Lan => "--network=lan",
            Reach::Wan => "--network=wan",
        });
        let relays = self.relay_via.iter().flat_map(|address| ["--relay-via", address]);
        let relay = self.relay.then_some("--relay");
        let log = self.log.iter().flat_map(|log| ["--log", log]);
        let metrics = self.metrics.iter().flat_map(|address| ["--metrics", address]);
        let beyond = network.into_iter().chain(relays).chain(relay);
        let words = listen.chain(mdns).chain(beyond).chain(log).chain(metrics).map(OsString::from);
        let idle = self.room_idle_s.map(|seconds| format!("--room-idle-s={seconds}").into());
        words.chain(idle).collect()
    }
}

impl Failure {
    fn refused(message: impl Into<String>) -> Self {
        Self { code: Exit::Refused, message: message.into(), hint: None }
    }

    fn no_daemon() -> Self {
        Self { code: Exit::NoDaemon, ..Self::refused("no daemon is running") }
            .hint("start one with: rtcd start")
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        Self::refused(error.to_string())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NoDaemon { .. } => Self::no_daemon(),
            ClientError::Version { pid: Some(pid), .. } => Self::refused(error.to_string())
                .hint(format!("end that daemon with: kill {pid}, then start this version's")),
            ClientError::Refused(refused) => {
                Self { hint: refused.hint.clone(), ..Self::refused(refused.to_string()) }
            }
            _ => Self::refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_child_gets_the_same_flags() {
        let flags = Flags {
            listen: vec!["/a".into(), "/b".into()],
            no_mdns: true,
            network: Some(Reach::Wan),
            relay_via: vec!["/c".into(), "/d".into()],
            relay: true,
            log: Some("debug".into()),
            metrics: Some("9464".into()),
            room_idle_s: Some(60),
        };
        let words = [OsString::from("rtcd"), "run".into()].into_iter().chain(flags.words());
        let Command::Run(again) = CommandLine::parse_from(words).command else { panic!("it says run") };
        assert_eq!(again.overrides(), flags.overrides());
    }
}
