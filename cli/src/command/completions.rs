//! `rtc completions`: what a shell needs to complete this program's words.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::session::Session;

/// What `rtc completions` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc completions bash > ~/.local/share/bash-completion/completions/rtc
  rtc completions zsh > ~/.zfunc/_rtc
  rtc completions fish > ~/.config/fish/completions/rtc.fish")]
pub struct Args {
    /// For which shell
    shell: Shell,
}

/// Prints the completions.
pub fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rtc", &mut script);
    Ok(session.out.line(String::from_utf8_lossy(&script).trim_end())?)
}
