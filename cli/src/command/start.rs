//! `rtc start`: the daemon's own `start`, under the name people look for.

use std::ffi::OsString;

use super::stop::forward;
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc start` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc start
  rtc start --listen /ip4/0.0.0.0/tcp/4001 --no-mdns
  rtc start --foreground

Commands that need the daemon start it by themselves. All options are those of `rtcd start`.")]
pub struct Args {
    /// Options of `rtcd start`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<OsString>,
}

/// Starts the daemon, and returns when it answers.
pub async fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    forward("start", args.options, session).await?;
    if session.out.json {
        let status = session.status().await?;
        session.out.object("rtc.started/1", &*status)?;
    }
    Ok(())
}
