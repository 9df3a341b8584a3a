//! The `rtc` command: talks to people, and to the daemon through its local API alone.
//!
//! [`main`] is the whole program but for the daemon, which the caller links or finds: it hands in a [`Launcher`].

pub mod age;
pub mod args;
pub mod at;
pub mod command;
pub mod draw;
pub mod exit;
pub mod failure;
pub mod flat;
pub mod globals;
pub mod grammar;
pub mod graph;
pub mod launch;
pub mod output;
pub mod pipeline;
pub mod reference;
pub mod session;
pub mod short;
pub mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use anstream::ColorChoice;

use crate::failure::Failure;
use crate::globals::{Color, Globals};
use crate::output::Output;
use crate::session::Session;

pub use crate::launch::Launcher;

/// Runs the command line `args`, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>, launcher: Launcher) -> ExitCode {
    let cli = match args::parse(args) {
        Ok(cli) => cli,
        Err(error) => return clap_exit(&error),
    };
    let globals = cli.globals;
    choose_color(&globals);
    let json = globals.json;
    let session = Session::new(globals, Output::stdout(json), launcher);
    let ended =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::from).and_then(
            |runtime| {
                let ended = runtime.block_on(command::run(cli.command, session));
                // A thread may still wait for a line of stdin that nobody will type.
                runtime.shutdown_background();
                ended
            },
        );
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(json);
            failure.exit.code().into()
        }
    }
}

/// Says what clap has to say: help and the version are no errors.
fn clap_exit(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when this cannot be printed.
    let _ = error.print();
    u8::try_from(error.exit_code()).unwrap_or(exit::Exit::Usage.code()).into()
}

fn choose_color(globals: &Globals) {
    match globals.color {
        Color::Auto => {}
        Color::Always => ColorChoice::Always.write_global(),
        Color::Never => ColorChoice::Never.write_global(),
    }
}
