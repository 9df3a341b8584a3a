//! `rtc demo`: three daemons.
use crate::failure::Failure;
use crate::session::Session;
/// What `rtc demo` takes.
#[derive(clap::Args, Debug)]
pub struct Args {}
/// Shows it.
pub async fn run(_: Args, _: &mut Session) -> Result<(), Failure> {
    Ok(())
}
