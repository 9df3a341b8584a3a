//! `rtc demo`: three daemons meet, part, edit and agree. Real ones, in temporary homes, on loopback.

mod machine;

use std::path::Path;
use std::time::{Duration, Instant};

use rtc_client::places::is_volatile;
use rtc_core::api::{Ask, Invite, Reply};
use tokio::signal::unix::{SignalKind, signal};

use self::machine::Machine;
use crate::draw::{BOLD, DIM, GREEN, RESET};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::{age, draw};

/// How long any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a condition holds: far below the times that are shown.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What all three hold before they part.
const TOGETHER: [&str; 3] = [
    "desk node.insert tag=Group",
    "cube node.insert tag=Mesh parent=desk transform.position=[0,0,0] color='#ffffff'",
    "shelf node.insert tag=Group",
];
/// What Ada does while Cleo is away.
const ADA: [&str; 3] = [
    "cube vector3.add transform.position 1 0 0",
    "cube color.set color '#ff0000'",
    "cube node.move parent=shelf",
];
/// What Cleo does while the others are.
const CLEO: [&str; 4] = [
    "cube vector3.add transform.position 0 0 1.5",
    "cube color.set color '#0000ff'",
    "cube array.push tags heavy",
    "lamp node.insert tag=PointLight parent=desk",
];

/// What `rtc demo` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Three daemons start in temporary homes, listen on loopback, and find each other. One invites the
others into its room. Then one edits while another is stopped, and that one while the first is;
neither has seen the other's edits. When all run again, they merge. Nothing of it touches your own
daemon, and nothing is left behind.")]
pub struct Args {}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Printed {
    state_hash: String,
    messages: u64,
    steps: Vec<Step>,
}

/// One step of the show.
#[derive(serde::Serialize)]
struct Step {
    step: &'static str,
    ms: f64,
}

/// The machines, and what was shown so far.
struct Show {
    ada: Machine,
    bob: Machine,
    cleo: Machine,
    steps: Vec<Step>,
}

/// Runs the show; stops every daemon however it ends.
pub async fn run(_: Args, session: &mut Session) -> Result<(), Failure> {
    let dir = tempfile::Builder::new().prefix("rtc-demo-").tempdir()?;
    // Number records and locks go where memory is; made below a directory of the demo's own, they end with it.
    let memory = Path::new("/dev/shm");
    let runtime_dir = if is_volatile(memory) { memory } else { dir.path() };
    let runtime_dir = tempfile::Builder::new().prefix("rtc-demo-").tempdir_in(runtime_dir)?;
    let machine = |name| Machine::new(name, dir.path(), runtime_dir.path(), session.launcher.clone());
    let mut show =
        Show { ada: machine("ada")?, bob: machine("bob")?, cleo: machine("cleo")?, steps: Vec::new() };
    let mut terminated = signal(SignalKind::terminate())?;
    let shown = tokio::select! {
        shown = show.play(session) => shown,
        _ = tokio::signal::ctrl_c() => Err(Failure::silent(Exit::Interrupted)),
        _ = terminated.recv() => Err(Failure::silent(Exit::Interrupted)),
    };
    let stopped = show.stop_all().await;
    shown?;
    stopped
}

impl Show {
    async fn play(&mut self, session: &mut Session) -> Result<(), Failure> {
        let begun = Instant::now();
        self.meet(session).await?;
        self.part(session).await?;
        let room = self.reunite(session).await?;
        if session.out.json {
            let steps = std::mem::take(&mut self.steps);
            let state_hash = room.state_hash.to_string();
            let printed = Printed { state_hash, messages: room.messages, steps };
            return Ok(session.out.object("rtc.demo/1", &printed)?);
        }
        for machine in [&self.ada, &self.bob, &self.cleo] {
            let room = machine.room().await?;
            let (name, hash) = (machine.name, room.state_hash);
            session.out.line(format!("{BOLD}{name:<5}{RESET} state {GREEN}{hash}{RESET}"))?;
        }
        session.out.line("")?;
        for line in self.bob.tree().await? {
            session.out.line(line)?;
        }
        let took = age::precise(begun.elapsed());
        session.out.line(format!(
            "\nThe cube was moved by both, one colour won everywhere, and nothing was lost. All of it took {took}."
        ))?;
        Ok(())
    }

    /// Three daemons start, find each other, and share a room.
    async fn meet(&mut self, session: &mut Session) -> Result<(), Failure> {
        title("Three machines meet", session)?;
        let at = Instant::now();
        tokio::try_join!(self.ada.start(), self.bob.start(), self.cleo.start())?;
        self.step("three daemons start", at, session)?;

        let at = Instant::now();
        let (ada, bob, cleo) = (&self.ada, &self.bob, &self.cleo);
        tokio::try_join!(connected(ada, 2), connected(bob, 2), connected(cleo, 2))?;
        self.step("they find and connect to each other", at, session)?;

        let at = Instant::now();
        let invite = Invite { uses: 2, ..Invite::default() };
        let Reply::Ticket { ticket } = self.ada.ask(Ask::Invite(invite)).await? else {
            return Err(Failure::unexpected());
        };
        let timeout_ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let join = || Ask::Join { ticket: ticket.clone(), timeout_ms };
        tokio::try_join!(self.bob.ask(join()), self.cleo.ask(join()))?;
        self.step("ada invites bob and cleo into her room", at, session)?;

        edit(&self.ada, &TOGETHER, session).await?;
        let at = Instant::now();
        let messages = self.ada.room().await?.messages;
        equal(&[&self.ada, &self.bob, &self.cleo], messages).await?;
        self.step("all three show ada's scene", at, session)
    }

    /// Ada edits while Cleo is stopped, and Cleo while the others are: neither has seen what the other did.
    async fn part(&mut self, session: &mut Session) -> Result<(), Failure> {
        title("They part, and edit the same cube", session)?;
        let at = Instant::now();
        self.cleo.stop().await?;
        self.step("cleo goes away", at, session)?;

        edit(&self.ada, &ADA, session).await?;
        let at = Instant::now();
        let messages = self.ada.room().await?.messages;
        equal(&[&self.ada, &self.bob], messages).await?;
        self.step("bob, who is with her, has it too", at, session)?;

        let at = Instant::now();
        tokio::try_join!(self.ada.stop(), self.bob.stop())?;
        self.cleo.start().await?;
        self.step("ada and bob go away, cleo comes back to nobody", at, session)?;
        edit(&self.cleo, &CLEO, session).await
    }

    /// All run again, and hold the same.
    async fn reunite(&mut self, session: &mut Session) -> Result<rtc_core::api::RoomInfo, Failure> {
        title("They meet again", session)?;
        let messages = self.cleo.room().await?.messages + ADA.len() as u64;
        let at = Instant::now();
        tokio::try_join!(self.ada.start(), self.bob.start())?;
        self.step("ada and bob start", at, session)?;
        let at = Instant::now();
        equal(&[&self.ada, &self.bob, &self.cleo], messages).await?;
        self.step("all three hold the same scene, bit for bit", at, session)?;
        if !session.out.json {
            session.out.line("")?;
        }
        self.bob.room().await
    }

    /// Notes how long a step took.
    fn step(&mut self, step: &'static str, since: Instant, session: &mut Session) -> Result<(), Failure> {
        let took = since.elapsed();
        self.steps.push(Step { step, ms: took.as_secs_f64() * 1e3 });
        if session.out.json {
            return Ok(());
        }
        session.out.line(format!("{:>10}  {step}", age::precise(took)))?;
        Ok(session.out.flush()?)
    }

    async fn stop_all(&mut self) -> Result<(), Failure> {
        let stopped = tokio::join!(self.ada.stop(), self.bob.stop(), self.cleo.stop());
        stopped.0.and(stopped.1).and(stopped.2)
    }
}

fn title(title: &str, session: &mut Session) -> Result<(), Failure> {
    if session.out.json {
        return Ok(());
    }
    session.out.line(format!("{BOLD}{title}{RESET}"))?;
    Ok(session.out.flush()?)
}

/// Makes edits, and shows them as they would be typed.
async fn edit(machine: &Machine, lines: &[&str], session: &mut Session) -> Result<(), Failure> {
    for line in lines {
        if !session.out.json {
            session.out.line(format!(
                "{:>12}{DIM}{}$ rtc edit {}{RESET}",
                "",
                machine.name,
                draw::plain(line)
            ))?;
        }
        machine.edit(line).await?;
    }
    Ok(())
}

/// Waits until the machine has that many connections.
async fn connected(machine: &Machine, count: usize) -> Result<(), Failure> {
    until(&format!("{} has {count} peers", machine.name), async || {
        Ok(machine.peers().await?.iter().filter(|peer| peer.connected).count() >= count)
    })
    .await
}

/// Waits until the machines hold `messages` and show the same scene.
async fn equal(machines: &[&Machine], messages: u64) -> Result<(), Failure> {
    until("all machines hold the same", async || {
        let mut hashes = Vec::new();
        for machine in machines {
            let room = machine.room().await?;
            if room.messages < messages {
                return Ok(false);
            }
            hashes.push(room.state_hash);
        }
        Ok(hashes.windows(2).all(|pair| pair[0] == pair[1]))
    })
    .await
}

/// Waits until `holds`, or for [`PATIENCE`].
async fn until(what: &str, holds: impl AsyncFn() -> Result<bool, Failure>) -> Result<(), Failure> {
    let mut look = tokio::time::interval(LOOK_AGAIN);
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            look.tick().await;
            if holds().await? {
                return Ok(());
            }
        }
    });
    waited.await.unwrap_or_else(|_| {
        let waited = age::long(PATIENCE);
        Err(Failure::new(Exit::Unanswered, format!("after {waited} it is still not so that {what}"))
            .with_hint("see what `rtc demo` needs: connections between processes on 127.0.0.1"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar;

    #[test]
    fn every_edit_of_the_show_makes_sense() {
        for line in TOGETHER.iter().chain(&ADA).chain(&CLEO) {
            assert!(grammar::parse(&machine::words(line)).is_ok(), "{line}");
        }
    }
}
