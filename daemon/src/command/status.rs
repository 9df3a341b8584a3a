//! `rtcd status`: how the daemon is, for people. Programs ask `rtc status --json`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use rtc_client::{ClientError, blocking};
use rtc_core::api::{Ask, Reply, Status};

use super::{Failure, places};

pub(super) fn execute() -> Result<ExitCode, Failure> {
    match blocking::Client::connect(&places()?)?.ask(Ask::Status {})? {
        Reply::Status(status) => {
            // Whoever reads the other end may have seen enough.
            let _ = io::stdout().write_all(shown(&status).as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(ClientError::Unexpected("not its status").into()),
    }
}

fn shown(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<10} {value}").expect("writing to a string does not fail");
    };
    line("running", format!("pid {}, {}, for {} s", status.pid, status.agent, status.uptime_ms / 1000));
    line("peer", status.peer.to_string());
    line("listening", status.listening.join(" "));
    line("mdns", if status.mdns { "on" } else { "off" }.to_owned());
    line("peers", format!("{} connected", status.peers_connected));
    line("data", status.data_dir.clone());
    line("settings", status.config_file.clone());
    if let Some(error) = &status.config_error {
        line("broken", error.clone());
    }
    if let Some(bytes) = status.resident_bytes {
        line("memory", format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    }
    for room in &status.rooms {
        let mark = if room.default { " (default)" } else { "" };
        line("room", format!("{} {}{mark}, {} messages", room.room, room.name, room.messages));
    }
    text
}
