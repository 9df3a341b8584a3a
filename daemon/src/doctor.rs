//! What may be wrong with a daemon's disk, network and machine: each looked at, each a line with the exact fix.

mod network;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Sender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::statvfs;
use rtc_client::Places;
use rtc_core::api::{Finding, Fork, Health};
use rtc_core::chain::Keys;
use rtc_core::clock::VersionVector;
use rtc_core::id::{Dot, RoomId, StateHash};

use crate::durable::Scratch;
use crate::net::Multiaddr;
use crate::socket::AGENT;
use crate::state::State;
use crate::store::Job;
use crate::store::examine::{Examined, examine as examine_file};
use crate::store::rebuild::ROOM_FILE;
use crate::store::schema;

/// The subject of findings about a room's file: what a repair rebuilds.
pub const STORE: &str = "store";
/// Less space than this and edits may soon not be durable: some ten thousand of them, and the log beside them.
const FREE_BYTES_MIN: u128 = 64 * 1024 * 1024;
/// How far a member's clock may be ahead before one of the two is wrong: far more than an unset one drifts in a week.
const SKEW_MS_MAX: u64 = 5 * 60 * 1000;

/// What is looked at.
pub struct Patient {
    /// Where things are.
    pub places: Places,
    /// The daemon's own files.
    pub state: State,
    /// Who verifies signatures.
    pub keys: Arc<dyn Keys>,
    /// Where the daemon listens.
    pub listening: Vec<Multiaddr>,
    /// Whether it looks for peers by mDNS.
    pub mdns: bool,
    /// The way to the stores.
    pub jobs: Jobs,
    /// Keeps the rooms awake for as long as they are looked at.
    pub lease: Arc<()>,
    /// The rooms.
    pub rooms: Vec<Case>,
}

/// The way to the stores for as long as the daemon does not stop: its stores end when nobody can ask them any more, and must not wait
/// for who reads a large room.
#[derive(Clone, Default)]
// A lock, because whoever stops takes the way from whoever is on it. It is held for queueing one job.
pub struct Jobs(Arc<Mutex<Option<Sender<Job>>>>);

impl Jobs {
    /// A way to the store's thread.
    pub fn new(jobs: Option<Sender<Job>>) -> Self {
        Self(Arc::new(Mutex::new(jobs)))
    }

    /// Ends every copy of this way.
    pub fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn send(&self, job: Job) -> bool {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

/// One room, as the hub has it.
pub struct Case {
    /// Which.
    pub room: RoomId,
    /// Why it is not open, if it is not.
    pub closed: Option<String>,
    /// Why it is not written.
    pub read_only: Option<String>,
    /// What people should know of it.
    pub alarm: Option<String>,
    /// Numbers that are proven to have two messages.
    pub forks: Vec<Fork>,
    /// Own messages, first and last number, that were told to peers and are not held any more.
    pub lost: Option<(u64, u64)>,
    /// What it holds and shows.
    pub shown: Option<(VersionVector, StateHash)>,
}

impl Case {
    /// A room that is not open.
    pub fn closed(room: RoomId, why: String) -> Self {
        Self {
            room,
            closed: Some(why),
            read_only: None,
            alarm: None,
            forks: Vec::new(),
            lost: None,
            shown: None,
        }
    }
}

impl Patient {
    /// A copy of a room's file as it is on the disk.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub fn copy(&self, room: RoomId) -> Result<Scratch, String> {
        let copy =
            Scratch::new(&self.places.data_dir).map_err(|error| format!("it cannot be copied: {error}"))?;
        let (reply, outcome) = sync_channel(1);
        let job = Job::Copy { room, to: copy.path().to_owned(), reply };
        let outcome = if self.jobs.send(job) { outcome.recv().ok() } else { None };
        match outcome {
            Some(Ok(())) => Ok(copy),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the daemon is stopping".to_owned()),
        }
    }

    /// A copy of the file of a room that nobody has open.
    fn copy_closed(&self, room: &RoomId) -> Result<Scratch, String> {
        let file = self.state.room_dir(room).join(ROOM_FILE);
        let copied = Scratch::new(&self.places.data_dir).and_then(|copy| {
            fs::copy(&file, copy.path())?;
            let log = file.with_extension("db-wal");
            if log.exists() {
                fs::copy(log, copy.log())?;
            }
            Ok(copy)
        });
        copied.map_err(|error| format!("{} cannot be copied: {error}", file.display()))
    }
}

/// Looks at everything.
pub fn examine(patient: &Patient) -> Vec<Finding> {
    let mut findings = vec![versions()];
    findings.extend(permissions(&patient.places));
    findings.push(space(&patient.places.data_dir));
    findings.push(volatile(&patient.places));
    findings.extend(network::examine(&patient.listening, patient.mdns));
    findings.extend(default_room(patient));
    let mut newest_ms = None;
    for case in &patient.rooms {
        findings.extend(room(patient, case, &mut newest_ms));
    }
    findings.push(clock(newest_ms));
    findings
}

fn versions() -> Finding {
    let (room, sqlite) = (schema::VERSION, rusqlite::version());
    Finding::new("versions", Health::Good, format!("{AGENT}, room format {room}, SQLite {sqlite}"))
}

fn default_room(patient: &Patient) -> Option<Finding> {
    let bad = |says: String, fix| Some(Finding::new("default room", Health::Bad, says).with_fix(fix));
    match patient.state.default_room() {
        Ok(Some(room)) if patient.rooms.iter().all(|case| case.room != room) => bad(
            format!("{room} is not on this disk"),
            "rtc restore FILE, or ask a member for a ticket, and `rtc join` it",
        ),
        Ok(_) => None,
        Err(error) => bad(
            error.to_string(),
            "`rtc join` a room, which becomes the default one, or name rooms with --room",
        ),
    }
}

fn permissions(places: &Places) -> Vec<Finding> {
    let owner = nix::unistd::geteuid().as_raw();
    let mut open = Vec::new();
    let mut dirs = vec![places.data_dir.clone()];
    while let Some(dir) = dirs.pop() {
        for path in
            fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()).chain([dir.clone()])
        {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            if found.is_dir() && path != dir {
                dirs.push(path);
            } else if !found.is_symlink() && (found.mode() & 0o077 != 0 || found.uid() != owner) {
                open.push(path);
            }
        }
    }
    let bad = |path: &std::path::PathBuf| {
        let says = format!("{} is not this user's alone", path.display());
        let fix = format!("chmod go-rwx '{0}', and chown it to the user who runs the daemon", path.display());
        Finding::new("permissions", Health::Bad, says).with_fix(fix)
    };
    match &open[..] {
        [] => vec![Finding::new("permissions", Health::Good, "only this user can read the data")],
        open => open.iter().map(bad).collect(),
    }
}

fn space(dir: &Path) -> Finding {
    let free = match statvfs(dir) {
        // The widths of both differ between systems.
        Ok(found) => u128::from(found.blocks_available()) * u128::from(found.fragment_size()),
        Err(error) => return Finding::new("disk space", Health::Note, format!("is not known: {error}")),
    };
    let says = format!("{} MiB free for {}", free / 1024 / 1024, dir.display());
    if free >= FREE_BYTES_MIN {
        return Finding::new("disk space", Health::Good, says);
    }
    let fix = "make room: edits wait in memory while the disk is full, and become durable by themselves then";
    Finding::new("disk space", Health::Bad, says).with_fix(fix)
}

fn volatile(places: &Places) -> Finding {
    match &places.volatile_dir {
        Some(dir) => Finding::new(
            "volatile place",
            Health::Good,
            format!("number records are kept in {}", dir.display()),
        ),
        None => Finding::new(
            "volatile place",
            Health::Note,
            "there is no memory file system: every start begins a new epoch",
        )
        .with_fix("mount a tmpfs at /dev/shm, or set XDG_RUNTIME_DIR to a directory on one"),
    }
}

fn clock(newest_ms: Option<u64>) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let ahead_ms = newest_ms.unwrap_or(0).saturating_sub(u64::try_from(now).unwrap_or(u64::MAX));
    if ahead_ms <= SKEW_MS_MAX {
        return Finding::new("clock", Health::Good, "no message is from the future");
    }
    let says =
        format!("a message is from {} minutes ahead: this clock or its author's is wrong", ahead_ms / 60_000);
    Finding::new("clock", Health::Note, says).with_fix("set the clock: timedatectl set-ntp true")
}

fn room(patient: &Patient, case: &Case, newest_ms: &mut Option<u64>) -> Vec<Finding> {
    let (room, mut findings) = (case.room, Vec::new());
    let bad = |says: String| {
        Finding::new(STORE, Health::Bad, says)
            .with_fix("rtc doctor --repair, with a member in reach")
            .of(room)
    };
    if let Some(why) = &case.closed {
        findings.push(bad(format!("cannot be opened: {why}")));
    }
    if let Some(why) = &case.read_only {
        let fix = "once the disk is sound: rtc stop && rtc start";
        findings
            .push(Finding::new("room", Health::Bad, format!("is read-only: {why}")).with_fix(fix).of(room));
    }
    if let Some(alarm) = &case.alarm {
        let fix = "rtc verify --peers, which keeps what is needed to find out why";
        findings.push(Finding::new("room", Health::Bad, alarm.clone()).with_fix(fix).of(room));
    }
    findings.extend(case.forks.iter().map(|fork| forked(fork).of(room)));
    if let Some((first, last)) = case.lost {
        let says = format!(
            "its own messages {first} to {last} were told and are not on this disk; members send them back"
        );
        findings.push(Finding::new("room", Health::Note, says).of(room));
    }
    let copy = if case.closed.is_some() { patient.copy_closed(&room) } else { patient.copy(room) };
    let examined = copy
        .and_then(|copy| examine_file(copy.path(), room, &patient.keys).map_err(|error| error.to_string()));
    match examined {
        Ok(examined) => {
            *newest_ms = (*newest_ms).max(examined.newest_ms);
            findings.extend(examined.faults.iter().cloned().chain(differs(case, &examined)).map(bad));
            if findings.iter().all(|finding| finding.subject != STORE) {
                let says = format!("{} messages, each whole and signed", examined.messages);
                findings.push(Finding::new(STORE, Health::Good, says).of(room));
            }
        }
        Err(error) => findings.push(bad(error)),
    }
    findings
}

fn forked(fork: &Fork) -> Finding {
    let Dot { actor, seq } = fork.message;
    let says = format!("two messages have the number {seq} of {actor}: its machine runs twice, or lies");
    match fork.branches.is_empty() {
        false => Finding::new("room", Health::Note, format!("{says}; both are kept, with what came after them"))
            .with_fix("end one of the two machines: a copy of one needs an identity of its own"),
        true => Finding::new(
            "room",
            Health::Bad,
            format!("{says}; who holds the other one does not see what is made here"),
        )
        .with_fix("end one of the two machines; whoever holds the fewer messages leaves the room and joins it again"),
    }
}

/// What is shown must be what the messages on the disk give, where these are the same.
fn differs(case: &Case, examined: &Examined) -> Option<String> {
    let ((held, shown), (on_disk, folded)) = (case.shown.as_ref()?, examined.folded.as_ref()?);
    (held == on_disk && shown != folded)
        .then(|| "its messages fold to another scene than is shown".to_owned())
}
