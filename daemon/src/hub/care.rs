//! Looking after rooms: examined, copied, and rebuilt from what is whole, on threads of their own while the hub goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use rtc_core::api::{ApiError, Code, Finding, Health, Reply, RoomName};
use rtc_core::id::{Actor, RoomId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::backup;
use crate::doctor::{self, Case, Jobs, Patient};
use crate::durable::Scratch;
use crate::hub::opening::Opened;
use crate::hub::rooms::forks;
use crate::hub::{Call, Hub};
use crate::store::rebuild::{ROOM_FILE, Renewed, renew};
use crate::store::{Job, SqliteStore};

/// What a room that is being rebuilt says to clients.
const UNDER_REPAIR: &str = "it is being repaired";

/// What the threads report.
pub(super) enum News {
    /// Everything was looked at.
    Examined { call: Call, findings: Vec<Finding>, repair: bool, lease: Arc<()> },
    /// A backup was opened; these rooms were in it.
    Extracted { call: Call, rooms: Vec<(RoomId, Scratch)>, lease: Arc<()> },
    /// A room's file is new, or it is as it was.
    Rebuilt { room: RoomId, result: Result<Renewed, String> },
    /// A room that slept was read, or cannot be.
    Woken { room: RoomId, result: anyhow::Result<Box<Opened>> },
}

/// What is under way.
pub(super) struct Care {
    news: UnboundedSender<News>,
    rebuilds: BTreeMap<RoomId, Rebuild>,
    repairs: Vec<Repair>,
    jobs: Jobs,
    /// What makes rooms' files anew.
    threads: Vec<JoinHandle<()>>,
    /// Tells them to give up.
    ending: Arc<AtomicBool>,
}

/// A room on its way to a new file.
struct Rebuild {
    step: Step,
    /// Files from which it takes what its own has not.
    beside: Vec<Scratch>,
}

#[derive(PartialEq, Eq)]
enum Step {
    /// What was accepted goes to the disk first: its clients wait for that.
    Storing,
    /// Its store is being closed.
    Closing,
    /// A thread makes the new file.
    Working,
}

/// A client that waits for rooms to be rebuilt.
struct Repair {
    call: Call,
    findings: Vec<Finding>,
    rooms: BTreeSet<RoomId>,
}

impl Care {
    /// Its threads ask the stores through `jobs`.
    pub(super) fn new(jobs: Option<Sender<Job>>) -> (Self, UnboundedReceiver<News>) {
        let (news, heard) = unbounded_channel();
        let (rebuilds, repairs, jobs) = (BTreeMap::new(), Vec::new(), Jobs::new(jobs));
        let (threads, ending) = (Vec::new(), Arc::default());
        (Self { news, rebuilds, repairs, jobs, threads, ending }, heard)
    }

    /// What the threads tell goes there.
    pub(super) fn news(&self) -> UnboundedSender<News> {
        self.news.clone()
    }

    /// Lets go of the stores, which end now, and waits for the threads that make files: a room whose new file is not ready keeps the old
    /// one, and none is put in another's place once somebody else may open that.
    pub(super) fn end(&mut self) {
        self.jobs.end();
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that made a room's file died");
            }
        }
    }
}

impl Hub {
    /// Looks at everything, and answers, or repairs first.
    pub(super) fn doctor(&mut self, call: Call, repair: bool) {
        let patient = self.patient();
        let news = self.care.news.clone();
        begin(&call.clone(), "doctor", move || {
            let findings = doctor::examine(&patient);
            let lease = patient.lease;
            let _ = news.send(News::Examined { call, findings, repair, lease });
        });
    }

    /// Copies rooms into one file.
    pub(super) fn backup(&mut self, call: Call, room: &RoomName, file: String) {
        let rooms = match room {
            None => Ok(self.board.rooms().collect()),
            Some(_) => self.room_named(room.as_deref()).map(|room| vec![room]),
        };
        let (rooms, patient): (Vec<RoomId>, _) = match rooms {
            Ok(rooms) => (rooms, self.patient()),
            Err(error) => return call.answer(Err(error)),
        };
        begin(&call.clone(), "backup", move || call.answer(write_backup(&patient, &rooms, &file)));
    }

    /// Puts rooms back, from a backup and what is whole here, or from what is whole here alone.
    pub(super) fn restore(&mut self, call: Call, file: Option<String>) {
        let Some(file) = file else {
            let lost: BTreeSet<RoomId> = self.closed.keys().copied().collect();
            if lost.is_empty() {
                let error = ApiError::new(Code::NotFound, "no room of this daemon is lost")
                    .with_hint("where the disk itself is lost, ask a member for a ticket, and `rtc join` it");
                return call.answer(Err(error));
            }
            return self.repair(call, Vec::new(), lost.into_iter().map(|room| (room, None)).collect());
        };
        let dir = PathBuf::from(&self.places.data_dir);
        let (news, lease) = (self.care.news.clone(), self.keep_awake());
        begin(&call.clone(), "restore", move || match backup::read(Path::new(&file), &dir) {
            Ok(rooms) => _ = news.send(News::Extracted { call, rooms, lease }),
            Err(error) => {
                let text = format!("{file} cannot be restored: {error}");
                call.answer(Err(ApiError::new(Code::BadArgument, text).with_hint("take another backup")));
            }
        });
    }

    pub(super) fn hear_care(&mut self, news: News) {
        match news {
            News::Examined { call, findings, repair, lease: _lease } => {
                let is_damage =
                    |finding: &&Finding| finding.subject == doctor::STORE && finding.health == Health::Bad;
                let damaged = findings.iter().filter(is_damage).filter_map(|finding| finding.room);
                let damaged: BTreeSet<RoomId> = damaged.filter(|_| repair).collect();
                self.repair(call, findings, damaged.into_iter().map(|room| (room, None)).collect());
            }
            News::Extracted { call, rooms, lease: _lease } => {
                let rooms = rooms.into_iter().map(|(room, file)| (room, Some(file))).collect();
                self.repair(call, Vec::new(), rooms);
            }
            News::Rebuilt { room, result } => self.reopen(room, result),
            News::Woken { room, result } => self.woken(room, result),
        }
    }

    /// Rebuilds rooms, each with what a file beside has, and then answers.
    fn repair(&mut self, call: Call, findings: Vec<Finding>, rooms: Vec<(RoomId, Option<Scratch>)>) {
        if rooms.is_empty() {
            return call.answer(Ok(Reply::Findings(findings)));
        }
        self.care.repairs.push(Repair {
            call,
            findings,
            rooms: rooms.iter().map(|(room, _)| *room).collect(),
        });
        for (room, beside) in rooms {
            let rebuild = self.care.rebuilds.entry(room);
            let rebuild = rebuild.or_insert(Rebuild { step: Step::Storing, beside: Vec::new() });
            // Where a thread is at work already, the file comes too late for it, and a client may ask again.
            rebuild.beside.extend(beside);
        }
        self.advance_rebuilds();
    }

    /// Closes the rooms that are to be rebuilt, as soon as nothing of theirs is on its way to the disk.
    pub(super) fn advance_rebuilds(&mut self) {
        let is_stored = |room: &RoomId| !self.unstored.keys().any(|(of, _)| of == room);
        let ready = self
            .care
            .rebuilds
            .iter()
            .filter(|(room, rebuild)| rebuild.step == Step::Storing && is_stored(room));
        for room in ready.map(|(room, _)| *room).collect::<Vec<_>>() {
            if self.close_room(room, UNDER_REPAIR) {
                self.care.rebuilds.get_mut(&room).expect("it is ready").step = Step::Closing;
            } else {
                self.rebuild(room);
            }
        }
    }

    /// Closes a room towards peers and clients, and then its store, of which [`Done::Closed`](crate::store::Done::Closed) tells. Says
    /// whether it was open.
    pub(super) fn close_room(&mut self, room: RoomId, why: &str) -> bool {
        let mut outputs = Vec::new();
        let was_open = self.board.remove_room(&room, &mut outputs);
        self.outputs(outputs);
        self.forget_open(&room);
        self.closed.insert(room, why.to_owned());
        if was_open {
            self.store.send(Job::Close { room, asleep: None });
        }
        was_open
    }

    /// Whether a room is being rebuilt.
    pub(super) fn is_under_repair(&self, room: &RoomId) -> bool {
        self.care.rebuilds.contains_key(room)
    }

    /// Goes on with a room whose store is closed now.
    pub(super) fn rebuild_closed(&mut self, room: RoomId) {
        if self.care.rebuilds.get(&room).is_some_and(|rebuild| rebuild.step == Step::Closing) {
            self.rebuild(room);
        }
    }

    fn rebuild(&mut self, room: RoomId) {
        if self.care.ending.load(Ordering::Relaxed) {
            return;
        }
        let Some(rebuild) = self.care.rebuilds.get_mut(&room) else { return };
        rebuild.step = Step::Working;
        let beside = std::mem::take(&mut rebuild.beside);
        let (dir, secret) = (self.state.room_file(&room), self.state.secret(&room));
        let (keys, news, ending) = (self.keys.clone(), self.care.news.clone(), self.care.ending.clone());
        let work = move || {
            let files: Vec<PathBuf> = beside.iter().map(|file| file.path().to_owned()).collect();
            let result = dir.map_err(|error| error.to_string()).and_then(|file| {
                let dir = file.parent().expect("it is in a directory");
                renew(dir, &files, room, secret, &keys, &ending).map_err(|error| error.to_string())
            });
            let _ = news.send(News::Rebuilt { room, result });
        };
        self.care.threads.retain(|thread| !thread.is_finished());
        match thread::Builder::new().name("rebuild".into()).spawn(work) {
            Ok(thread) => self.care.threads.push(thread),
            Err(error) => {
                let result = Err(format!("no thread can do it: {error}"));
                let _ = self.care.news.send(News::Rebuilt { room, result });
            }
        }
    }

    /// Opens a room's new file, or leaves it closed with the reason, and tells who waits.
    fn reopen(&mut self, room: RoomId, result: Result<Renewed, String>) {
        self.care.rebuilds.remove(&room);
        let file = self.state.room_dir(&room).join(ROOM_FILE);
        let opened = result.and_then(|renewed| {
            let store = SqliteStore::open(&file, room).map_err(|error| error.to_string())?;
            self.open_room(room, store).map_err(|error| format!("{error:#}"))?;
            Ok(renewed)
        });
        self.tell_rooms_who_watches();
        let finding = match opened {
            Ok(Renewed { messages, lacks_ground }) => {
                let mut says = format!(
                    "rebuilt from {messages} whole messages; what else there was comes from its members, once in reach"
                );
                if lacks_ground {
                    says += "; what was left of forgotten messages is damaged too, and with it what was built on it";
                }
                Finding::new(doctor::STORE, Health::Note, says).of(room)
            }
            Err(error) => {
                tracing::error!(%room, "the room cannot be rebuilt: {error}");
                self.closed.insert(room, error.clone());
                Finding::new(doctor::STORE, Health::Bad, format!("cannot be rebuilt: {error}"))
                    .with_fix("ask a member for a ticket, and `rtc join` it")
                    .of(room)
            }
        };
        for repair in &mut self.care.repairs {
            if repair.rooms.remove(&room) {
                repair.tell(finding.clone());
            }
        }
        for done in self.care.repairs.extract_if(.., |repair| repair.rooms.is_empty()) {
            done.call.answer(Ok(Reply::Findings(done.findings)));
        }
    }

    /// What there is to look at, as it stands.
    pub(super) fn patient(&mut self) -> Patient {
        let ids: Vec<RoomId> = self.board.rooms().collect();
        let mut rooms: Vec<Case> = ids.into_iter().filter_map(|room| self.case(room)).collect();
        let closed = self.closed.iter().filter(|(room, _)| self.board.secret(room).is_none());
        rooms.extend(closed.map(|(&room, why)| Case::closed(room, why.clone())));
        Patient {
            places: self.places.clone(),
            state: self.state.clone(),
            keys: self.keys.clone(),
            listening: self.listening.clone(),
            mdns: self.settings.borrow().settings.mdns,
            jobs: self.care.jobs.clone(),
            lease: self.keep_awake(),
            rooms,
        }
    }

    fn case(&mut self, id: RoomId) -> Option<Case> {
        let told = self.numbers.get(&id).and_then(|number| number.proof());
        let me = self.me;
        let room = self.board.room(&id)?;
        let held = room.vector();
        let untold = told.and_then(|told| {
            let own = Actor::new(me, told.epoch);
            let there = held.get(&own);
            // What was told from a fork on is there, by the name of its branch.
            let is_lost = there < told.seq && room.branches().closed(&own).is_none();
            is_lost.then_some((there + 1, told.seq))
        });
        Some(Case {
            room: id,
            closed: None,
            read_only: room.read_only().map(str::to_owned),
            alarm: room.alarm().map(str::to_owned),
            forks: forks(room, me),
            lost: untold,
            shown: Some((held, room.replica().state_hash())),
        })
    }
}

impl Repair {
    /// Takes what became of a room. What was wrong with it before is then only worth knowing.
    fn tell(&mut self, finding: Finding) {
        for before in self.findings.iter_mut().filter(|before| before.room == finding.room) {
            before.health = before.health.min(finding.health);
            before.fix = None;
        }
        self.findings.push(finding);
    }
}

/// Does what takes long on a thread of its own.
pub(super) fn begin(call: &Call, name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.into()).spawn(work) {
        call.answer(Err(ApiError::new(Code::Internal, format!("no thread can do it: {error}"))));
    }
}

fn write_backup(patient: &Patient, rooms: &[RoomId], file: &str) -> Result<Reply, ApiError> {
    let path = Path::new(file);
    let write = || {
        let mut writer = backup::Writer::new(path).map_err(|error| error.to_string())?;
        let mut findings = Vec::new();
        for room in rooms {
            let copy = patient.copy(*room)?;
            let bytes = writer.add(room, copy.path()).map_err(|error| error.to_string())?;
            findings.push(Finding::new("backup", Health::Good, format!("{bytes} bytes in {file}")).of(*room));
        }
        writer.finish(path).map_err(|error| error.to_string())?;
        Ok(findings)
    };
    write().map(Reply::Findings).map_err(|error: String| {
        ApiError::new(Code::Internal, format!("{file} cannot be written: {error}"))
            .with_hint("check that its directory is there, writable, and has space")
    })
}
