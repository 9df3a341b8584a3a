//! One simulated daemon: its switchboard while it runs; its disk, its clocks and its volatile place always.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::api::{ApiError, Compact, Compacted, Edited, Govern, Says, Wait};
use crate::chain::Keys;
use crate::founding::Founding;
use crate::ground::Ground;
use crate::id::{Actor, Dot, RoomId};
use crate::message::Message;
use crate::replica::SnapshotError;
use crate::room::{self, Opening, Room};
use crate::sim::clock::SimClock;
use crate::sim::keys::Signer;
use crate::sim::{Random, SimDisk, edits};
use crate::store::{
    FORKS, Forgetting, GROUND, Kept, MEMBERS, OUTSIDE, POLICY, Record, Rename, Store, StoreError,
};
use crate::switchboard::{Input, Output, Switchboard};
use crate::sync::Now;
use crate::ticket::Secret;

pub(super) struct SimPeer {
    pub(super) signer: Signer,
    pub(super) keys: Arc<dyn Keys>,
    /// Whether it tells by ranges what it holds.
    pub(super) is_vast: bool,
    pub(super) is_crowded: bool,
    founding: Founding,
    room: RoomId,
    secret: Secret,
    pub(super) board: Option<Switchboard>,
    pub(super) disk: SimDisk,
    /// What its room keeps of forgotten messages.
    pub(super) ground: Ground,
    pub(super) clock: SimClock,
    /// An old state of the disk, to be put back one day.
    image: Option<SimDisk>,
    /// The number record of the volatile place.
    number: Option<(u64, u64)>,
    /// Counts starts: what a former process had under way does not reach the next.
    pub(super) life: u64,
    /// What the store was handed and has not committed.
    writing: VecDeque<(u64, Vec<Record>)>,
    /// Whether a commit is under way.
    is_committing: bool,
    /// Whether the process knows that the disk is full.
    was_told_full: bool,
    /// Whether its disk ever lost something that was told.
    pub(super) has_lost: bool,
    /// Whether its disk has an older fact than its room told it in this life.
    pub(super) has_stale_fact: bool,
    /// Whether the store has failed for good in this life.
    pub(super) has_failed: bool,
    /// How many more outputs are carried out before the process crashes.
    pub(super) crash_in: Option<u64>,
    /// Until when the process is stopped.
    pub(super) paused_until: u64,
    epochs: Random,
    edits_made: u64,
    /// Edits that are not answered yet, and when they are to be.
    unanswered: BTreeMap<u64, Wait>,
    /// Messages whose clients were told that they are durable.
    pub(super) owed: BTreeSet<Dot>,
    /// Messages whose clients were told that they are made.
    pub(super) told: BTreeSet<Dot>,
    pub(super) answers: u64,
}

/// In a crowded universe so many connected peers are no crowd yet.
const CROWD_ABOVE: usize = 2;
/// In a crowded universe each peer leans on so many: not always enough to hold it together.
const CROWD_LEANS: usize = 1;

/// What a commit came to.
pub(super) struct Committed {
    /// What the room is to hear.
    pub(super) report: Option<room::Input>,
    /// Whether it has to be tried again.
    pub(super) retry: bool,
}

impl SimPeer {
    pub(super) fn new(signer: Signer, founding: &Founding, secret: Secret, random: &mut Random) -> Self {
        Self {
            keys: signer.keys(),
            signer,
            is_vast: false,
            is_crowded: false,
            founding: founding.clone(),
            room: founding.room(),
            secret,
            board: None,
            disk: SimDisk::new(founding.room()),
            ground: Ground::default(),
            clock: SimClock::default(),
            image: None,
            number: None,
            life: 0,
            writing: VecDeque::new(),
            is_committing: false,
            was_told_full: false,
            has_lost: false,
            has_stale_fact: false,
            has_failed: false,
            crash_in: None,
            paused_until: 0,
            epochs: Random::new(random.bits()),
            edits_made: 0,
            unanswered: BTreeMap::new(),
            owed: BTreeSet::new(),
            told: BTreeSet::new(),
            answers: 0,
        }
    }

    pub(super) fn room_id(&self) -> RoomId {
        self.room
    }

    pub(super) fn is_up(&self) -> bool {
        self.board.is_some()
    }

    /// Its room, while it runs.
    pub(super) fn room(&mut self) -> Option<&mut Room> {
        self.board.as_mut()?.room(&self.room)
    }

    /// When it wants to be woken, in the time of the universe.
    pub(super) fn wake_us(&self) -> Option<u64> {
        let at = self.board.as_ref().and_then(Switchboard::wake_at)?;
        Some(self.clock.when(at)?.max(self.paused_until))
    }

    /// Whether everything it was asked to is done: written and answered.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_up() && self.writing.is_empty() && self.unanswered.is_empty()
    }

    /// Starts the process, if it does not run. Says whether messages were found to be damaged, and are gone.
    pub(super) fn start(&mut self, now: Now) -> Result<bool, String> {
        if self.board.is_some() {
            return Ok(false);
        }
        self.disk.open();
        let mut opened = self.open();
        let mut has_lost = false;
        if self.disk.is_rotten() {
            has_lost = self.disk.repair();
            if has_lost && opened.is_ok() {
                return Err("a daemon does not notice damage".to_owned());
            }
            opened = self.open();
        }
        let room = opened.map_err(|error| format!("a daemon cannot open what it wrote: {error}"))?;
        self.ground = room.ground();
        let mut board = Switchboard::new(&*self.keys);
        board.add_room(room, vec![self.secret], now, &mut Vec::new());
        self.board = Some(board);
        self.life += 1;
        self.has_lost |= has_lost;
        self.has_stale_fact = false;
        Ok(has_lost)
    }

    fn open(&mut self) -> Result<Room, StoreError> {
        let opening = Opening {
            room: self.room,
            founding: Some(self.founding.clone()),
            keys: self.keys.clone(),
            epoch_fresh: self.epochs.bits(),
            epoch_proof: self.number,
        };
        let mut records = Vec::new();
        let mut take = |record| {
            records.push(record);
            ControlFlow::Continue(())
        };
        let mut room = match self.disk.kept()? {
            Some(Kept { snapshot, history }) => {
                self.disk.scan_after_kept(&mut take)?;
                let opened = Room::open_from(opening, &snapshot, history.into());
                opened.map_err(|error| StoreError::Failed(format!("what was put away: {error}")))?
            }
            None => {
                self.disk.scan(&mut take)?;
                let mut room = Room::open(opening);
                if let Some(ground) = self.disk.fact(GROUND)? {
                    room.restore(&ground, &self.disk.fact(OUTSIDE)?.unwrap_or_default())?;
                }
                room
            }
        };
        for name in [MEMBERS, POLICY, FORKS] {
            self.disk.fact(name)?.iter().for_each(|value| room.recall(name, value));
        }
        room.load(&records)?;
        if self.is_vast {
            room.tell_ranges_above(0);
        }
        if self.is_crowded {
            room.crowd_above(CROWD_ABOVE, CROWD_LEANS);
        }
        Ok(room)
    }

    /// Puts the room away, if all of it is on the disk: the next start begins from there.
    pub(super) fn put_away(&mut self) -> Result<(), String> {
        let Some(room) = self.room() else { return Ok(()) };
        let snapshot = match room.snapshot() {
            Err(SnapshotError::Forgotten) => return Ok(()),
            made => made.map_err(|error| error.to_string())?,
        };
        let heads = room.heads();
        self.disk.keep(&snapshot, &heads).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Ends the process. Of what was being written as many batches as `torn` says reach the disk, each as a whole.
    pub(super) fn crash(&mut self, reboot: bool, torn: u64) {
        self.board = None;
        let torn = usize::try_from(torn).unwrap_or(usize::MAX);
        if !self.has_failed {
            let batches = self.writing.drain(..).take(torn);
            self.disk.keep_unconfirmed(batches.flat_map(|(_, records)| records));
        }
        self.writing.clear();
        let held = |(epoch, seq)| self.disk.link(&Actor::new(self.keys.public(), epoch), seq).is_some();
        self.has_lost |= self.number.is_some_and(|told| !held(told));
        (self.is_committing, self.was_told_full, self.has_failed) = (false, false, false);
        (self.crash_in, self.paused_until) = (None, 0);
        self.unanswered.clear();
        if reboot {
            self.number = None;
        }
    }

    /// Batches that were handed to the store and are not committed.
    pub(super) fn writing(&self) -> u64 {
        self.writing.len() as u64
    }

    /// Notes the state of the disk, as a backup does.
    pub(super) fn keep_image(&mut self) {
        self.image = Some(self.disk.clone());
    }

    /// Puts the noted state back. The process does not run.
    pub(super) fn restore(&mut self) -> bool {
        let image = self.image.take();
        let is_there = image.is_some();
        self.has_lost |= is_there;
        self.disk = image.unwrap_or_else(|| self.disk.clone());
        is_there
    }

    /// Takes over the disk of another machine, with its key, but not its volatile place.
    pub(super) fn become_copy(&mut self, disk: SimDisk, signer: Signer) {
        (self.disk, self.keys, self.signer) = (disk, signer.keys(), signer);
    }

    /// Has another key from the next start on, of which nothing was told yet.
    pub(super) fn rotate(&mut self, secret: [u8; 32]) {
        self.signer.rotate(secret);
        (self.keys, self.number) = (self.signer.keys(), None);
    }

    pub(super) fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        if let Some(board) = &mut self.board {
            board.handle(input, now, out);
        }
    }

    /// Lets the room's history go, as its keeper may.
    pub(super) fn compact(&mut self, ask: &Compact, us: u64) -> (Result<Compacted, ApiError>, Vec<Output>) {
        let mut outputs = Vec::new();
        let now = self.clock.now(us);
        let board = self.board.as_mut().expect("it runs");
        (board.compact(&self.room, ask, now, &mut outputs), outputs)
    }

    /// Everything that the store was handed as rooms see it, in the order of arrival.
    pub(super) fn handed(&self) -> Vec<Message> {
        let writing = self.writing.iter().flat_map(|(_, records)| records);
        let mut dots = BTreeSet::new();
        // What a crash or a fact came upon may be written and not confirmed.
        let handed = self.disk.records().iter().chain(writing);
        let handed = handed.filter(|record| dots.insert((record.actor, record.seq)));
        let mut deriver = self.disk.deriver();
        handed.filter_map(|record| deriver.derive(record).ok()).collect()
    }

    /// Lets the store forget, after what it was handed before. Says what the room is to hear if that fails.
    pub(super) fn forget(&mut self, forgetting: &Forgetting) -> Option<room::Input> {
        let done = self.write_pending().and_then(|()| self.disk.forget(forgetting));
        self.changed(done)
    }

    /// Lets the store give messages other names, after what it was handed before. Says what the room is to hear if that fails.
    pub(super) fn rename(&mut self, renames: &[Rename], forks: &[u8]) -> Option<room::Input> {
        let name = |dot, rename: &Rename| rename.of(dot);
        let told = [&mut self.owed, &mut self.told];
        for dots in told {
            *dots = dots.iter().map(|dot| renames.iter().fold(*dot, name)).collect();
        }
        let done = self.write_pending().and_then(|()| self.disk.rename(renames, forks));
        self.changed(done)
    }

    /// What was pending is written before a change, or never.
    fn changed(&mut self, done: Result<(), StoreError>) -> Option<room::Input> {
        match done {
            Ok(()) => {
                self.writing.iter_mut().for_each(|(_, records)| records.clear());
                None
            }
            Err(error) => {
                self.writing.clear();
                self.has_failed = true;
                Some(room::Input::StoreFailed {
                    batch: u64::MAX,
                    error: StoreError::Failed(error.to_string()),
                })
            }
        }
    }

    /// Lets the store remember a fact, after what it was handed before. What it cannot is not tried again.
    pub(super) fn remember(&mut self, name: &str, value: &[u8]) {
        let done = self.write_pending().and_then(|()| self.disk.set_fact(name, value));
        self.has_stale_fact |= done.is_err();
    }

    fn write_pending(&mut self) -> Result<(), StoreError> {
        let records: Vec<Record> =
            self.writing.iter().flat_map(|(_, records)| records.iter().cloned()).collect();
        if records.is_empty() { Ok(()) } else { self.append(&records) }
    }

    /// Writes, unless the store has failed: then nothing is written any more, as what came before it may be missing.
    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        match self.has_failed {
            true => Err(StoreError::Failed("it failed before".to_owned())),
            false => self.disk.append(records),
        }
    }

    /// Hands a batch to the store. Says whether a commit begins with it: those that come before it is done join it.
    pub(super) fn write(&mut self, batch: u64, records: Vec<Record>) -> bool {
        self.writing.push_back((batch, records));
        !std::mem::replace(&mut self.is_committing, true)
    }

    /// Makes everything durable that the store was handed, if the process that did so still runs.
    pub(super) fn commit(&mut self, life: u64) -> Committed {
        let nothing = Committed { report: None, retry: false };
        if life != self.life || self.board.is_none() {
            return nothing;
        }
        self.is_committing = false;
        let (Some(&(first, _)), Some(&(last, _))) = (self.writing.front(), self.writing.back()) else {
            return nothing;
        };
        let records: Vec<Record> =
            self.writing.iter().flat_map(|(_, records)| records.iter().cloned()).collect();
        match self.append(&records) {
            Ok(()) => {
                self.writing.clear();
                self.was_told_full = false;
                Committed { report: Some(room::Input::Committed { batch: last }), retry: false }
            }
            Err(error @ StoreError::Full) => {
                self.is_committing = true;
                let is_news = !std::mem::replace(&mut self.was_told_full, true);
                let report = is_news.then_some(room::Input::StoreFailed { batch: first, error });
                Committed { report, retry: true }
            }
            Err(error) => {
                self.writing.clear();
                self.has_failed = true;
                Committed { report: Some(room::Input::StoreFailed { batch: first, error }), retry: false }
            }
        }
    }

    /// The next edit of this peer's user.
    pub(super) fn next_edit(&mut self, bulky: bool, random: &mut Random) -> room::Input {
        self.edits_made += 1;
        let (input, wait) = edits::draw(self.edits_made, bulky, random);
        self.unanswered.insert(self.edits_made, wait);
        input
    }

    /// What this peer's user says of the room.
    pub(super) fn next_says(&mut self, says: Says) -> room::Input {
        self.edits_made += 1;
        self.unanswered.insert(self.edits_made, Wait::Durable);
        let govern = Govern { says: vec![says], ..Govern::default() };
        room::Input::Govern { token: self.edits_made, govern }
    }

    /// Reads for a peer, as the store's thread does: all of it or nothing.
    pub(super) fn read(&mut self, ranges: &[(Actor, u64, u64)]) -> Vec<Record> {
        let mut records = Vec::new();
        for (actor, from, to) in ranges {
            match self.disk.read(actor, *from, *to) {
                Ok(found) => records.extend(found),
                Err(_) => return Vec::new(),
            }
        }
        records
    }

    /// Notes the number that is about to be told.
    pub(super) fn note_number(&mut self, epoch: u64, seq: u64) {
        self.number = Some((epoch, seq));
    }

    /// Notes what a client is told.
    pub(super) fn answer(&mut self, token: u64, result: Result<Edited, ApiError>) -> Result<(), String> {
        let wait = self.unanswered.remove(&token).ok_or("an edit is answered twice, or was never made")?;
        self.answers += 1;
        if let Ok(Edited { id, .. }) = result {
            match wait {
                Wait::Local => self.told.insert(id),
                Wait::Durable | Wait::Peers(_) => self.owed.insert(id),
            };
        }
        Ok(())
    }
}
