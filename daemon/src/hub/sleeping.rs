//! Rooms that nobody has use for leave memory, and come back when somebody has: a client, a peer with something new, or their keeper.
//!
//! A room may sleep when nothing of it is under way and nothing new has come for a while. Its journal is closed then, and what it is known
//! by lies beside that. Whoever needs it awake waits, in order, while a thread reads it; the hub and all other rooms go on meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rtc_core::api::{Answer, ApiError, Ask, Code, Request, RoomName};
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::invite::Invites;
use rtc_core::room::{Gist, Room};
use rtc_core::store::StoreError;
use rtc_core::sync::LinkId;
use rtc_core::sync::frame::Claim;

use crate::asleep::Asleep;
use crate::hub::Hub;
use crate::hub::opening::{Opened, Opener, Waker};
use crate::number::NumberRecord;
use crate::socket::{Caller, SessionId};
use crate::state::StateError;
use crate::store::Job;
use crate::store::schema::OpenError;

/// Questions that wait for rooms to wake; one more is refused. Each connection has far fewer under way.
const QUESTIONS_MAX: usize = 4096;
/// Newcomers that wait for that; one more comes again with his next connection.
const CLAIMS_MAX: usize = 64;

/// How long after a room could not be opened that is tried again, in milliseconds: the system may be short of something.
const AGAIN_MS: [u64; 5] = [200, 400, 800, 1_600, 3_200];

/// Which rooms sleep, and who waits for them.
#[derive(Default)]
pub(super) struct Sleep {
    /// When something last happened to a room that is awake, on the monotonic clock.
    touched_us: BTreeMap<RoomId, u64>,
    /// Rooms that are being put away, to sleep then.
    drowsy: BTreeSet<RoomId>,
    /// Rooms whose journals are being closed, and whether they are to be opened at once again.
    closing: BTreeMap<RoomId, bool>,
    questions: VecDeque<Question>,
    claims: Vec<(RoomId, LinkId, PeerKey, Claim)>,
    /// Rooms that could not be opened: how often, and when that is tried again, on the monotonic clock.
    again: BTreeMap<RoomId, (usize, u64)>,
    waker: Option<Waker>,
    /// Held by whoever works on rooms elsewhere: none may fall asleep meanwhile.
    lease: Arc<()>,
}

/// What a client asked of rooms that sleep.
struct Question {
    rooms: Vec<RoomId>,
    caller: Caller,
    request: Request,
}

/// Which rooms have to be awake for a question.
enum Needs<'a> {
    /// None.
    Nothing,
    /// The one that goes by that, or the default one.
    Room(&'a mut RoomName),
    /// The one that goes by that.
    Named(&'a mut String),
    /// The one of that ticket, where there is such a room.
    Ticket(&'a str),
    /// All of them.
    All,
}

fn needs(ask: &mut Ask) -> Needs<'_> {
    match ask {
        Ask::Status {}
        | Ask::Peers {}
        | Ask::Rooms {}
        | Ask::Found { .. }
        | Ask::Use { .. }
        | Ask::Unwatch { .. }
        | Ask::AddPeer { .. }
        | Ask::BackupIdentity { .. }
        | Ask::RestoreIdentity { .. }
        | Ask::Stop {} => Needs::Nothing,
        Ask::Members { room }
        | Ask::Node { room, .. }
        | Ask::Value { room, .. }
        | Ask::Scene { room, .. }
        | Ask::Log { room, .. }
        | Ask::Blame { room, .. }
        | Ask::Trace { room, .. }
        | Ask::Watch { room, .. }
        | Ask::Who { room }
        | Ask::Invites { room }
        | Ask::RevokeInvite { room, .. }
        | Ask::Verify { room, .. }
        | Ask::Backup { room: room @ Some(_), .. } => Needs::Room(room),
        Ask::Edit(edit) => Needs::Room(&mut edit.room),
        Ask::Undo(undo) | Ask::Redo(undo) => Needs::Room(&mut undo.room),
        Ask::Govern(govern) => Needs::Room(&mut govern.room),
        Ask::Present(present) => Needs::Room(&mut present.room),
        Ask::Stage(stage) => Needs::Room(&mut stage.room),
        Ask::Commit(commit) => Needs::Room(&mut commit.room),
        Ask::Cancel(cancel) => Needs::Room(&mut cancel.room),
        Ask::Invite(invite) => Needs::Room(&mut invite.room),
        Ask::Compact(compact) => Needs::Room(&mut compact.room),
        Ask::Leave { room, .. } => Needs::Named(room),
        Ask::Join { ticket, .. } => Needs::Ticket(ticket),
        Ask::Doctor { .. } | Ask::Backup { room: None, .. } | Ask::Restore { .. } => Needs::All,
    }
}

impl Hub {
    /// Something happens to a room, which stays awake for a while.
    pub(super) fn touch(&mut self, room: RoomId) {
        self.sleep.touched_us.insert(room, self.clock.now().monotonic_us);
    }

    /// A lease on all rooms that are awake.
    pub(super) fn keep_awake(&self) -> Arc<()> {
        Arc::clone(&self.sleep.lease)
    }

    /// How long nothing has to happen to a room until it sleeps; nothing where rooms never do.
    fn idle_us(&self) -> Option<u64> {
        let seconds = self.settings.borrow().settings.room_idle_s;
        (seconds > 0).then(|| seconds.saturating_mul(1_000_000))
    }

    /// When the next room may fall asleep, on the monotonic clock.
    pub(super) fn sleeps_at(&self) -> Option<u64> {
        let idle_us = self.idle_us()?;
        self.sleep.touched_us.values().min().map(|touched_us| touched_us.saturating_add(idle_us))
    }

    /// Lets a room sleep to which nothing has happened for long enough. One at a time: others, and heartbeats, come between.
    pub(super) fn sleep_due(&mut self) {
        let now_us = self.clock.now().monotonic_us;
        if self.sleeps_at().is_none_or(|at_us| at_us > now_us) {
            return;
        }
        let longest_idle = self.sleep.touched_us.iter().min_by_key(|(_, touched_us)| **touched_us);
        if let Some((&room, _)) = longest_idle {
            self.touch(room);
            self.let_sleep(room);
        }
    }

    /// Goes on with a room that was put away to sleep, or not.
    pub(super) fn sleep_kept(&mut self, room: RoomId) {
        if self.sleep.drowsy.remove(&room) {
            self.let_sleep(room);
        }
    }

    /// Lets a room sleep if it may, and asks again later where it may not.
    fn let_sleep(&mut self, room: RoomId) {
        if self.is_needed(&room) || !self.board.may_sleep(&room) {
            return;
        }
        if self.keep_to_sleep(room) {
            self.sleep.drowsy.insert(room);
            return;
        }
        let Some(gist) = self.board.room(&room).and_then(Room::gist) else { return };
        let mut outputs = Vec::new();
        let asleep = self.asleep(gist.clone());
        self.board.fall_asleep(gist, self.clock.now(), &mut outputs);
        self.outputs(outputs);
        self.forget_open(&room);
        self.sleep.closing.insert(room, false);
        tracing::debug!(%room, "nobody has use for the room, which sleeps");
        self.close_to_sleep(room, asleep);
    }

    /// Closes the journals of all rooms that may sleep, before the end: the next daemon opens those that it needs.
    pub(super) fn sleep_all(&mut self) {
        if self.idle_us().is_none() {
            return;
        }
        for room in self.sleep.touched_us.keys().copied().collect::<Vec<_>>() {
            // A ticket that is not redeemed yet may bring a newer secret, which only an open room takes.
            let is_open = !self.closed.contains_key(&room) && !self.tickets.contains_key(&room);
            if let Some(gist) = self.board.room(&room).filter(|_| is_open).and_then(Room::gist) {
                self.close_to_sleep(room, self.asleep(gist));
            }
        }
    }

    fn asleep(&self, gist: Gist) -> Asleep {
        let room = gist.room();
        let invites = self.invites.get(&room).map(Invites::encode);
        Asleep { gist, secrets: self.board.secrets(&room).to_vec(), invites }
    }

    fn close_to_sleep(&self, room: RoomId, asleep: Asleep) {
        let asleep = Some((Box::new(asleep), self.state.room_dir(&room)));
        self.store.send(Job::Close { room, asleep });
    }

    /// Forgets what is known of open rooms alone.
    pub(super) fn forget_open(&mut self, room: &RoomId) {
        self.numbers.remove(room);
        self.kept.remove(room);
        self.sleep.touched_us.remove(room);
        self.sleep.drowsy.remove(room);
    }

    /// Whether somebody waits for something of the room, or works on it.
    fn is_needed(&self, room: &RoomId) -> bool {
        let is_asked = self.watches.iter().any(|watch| watch.room == *room)
            || self.joins.iter().any(|join| join.room == *room)
            || self.tickets.contains_key(room)
            || self.calls.values().any(|(of, _)| of == room)
            || self.errands.values().any(|(of, _)| of == room)
            || self.sleep.questions.iter().any(|question| question.rooms.contains(room));
        let is_changing = self.closed.contains_key(room)
            || self.leavings.contains_key(room)
            || self.is_under_repair(room)
            || self.edited.contains(room)
            || self.unstored.keys().any(|(of, _)| of == room)
            || self.is_being_kept(room);
        // Whoever verifies asks again until the time is up.
        is_asked || is_changing || !self.verifications.is_empty() || Arc::strong_count(&self.sleep.lease) > 1
    }

    /// Takes over a room that sleeps since before this process began.
    pub(super) fn add_asleep(&mut self, room: RoomId, asleep: Asleep) {
        let Asleep { gist, secrets, invites } = asleep;
        invites.iter().for_each(|invites| self.recall_invites(room, invites));
        let mut outputs = Vec::new();
        self.board.add_asleep(gist, secrets, self.clock.now(), &mut outputs);
        self.outputs(outputs);
    }

    /// Reads a room that sleeps, as soon as its journal is closed.
    pub(super) fn wake_room(&mut self, room: RoomId) {
        if let Some(is_wanted) = self.sleep.closing.get_mut(&room) {
            *is_wanted = true;
            return;
        }
        let number = NumberRecord::open(self.places.volatile_dir.as_deref(), self.me, room);
        // What this process itself knows needs no proof.
        let told = self.board.asleep(&room).and_then(|sleeper| sleeper.told());
        let epoch_proof = told.or_else(|| number.proof().map(|told| (told.epoch, told.seq)));
        self.numbers.insert(room, number);
        let opener = Opener { room, keys: self.keys.clone(), epoch_proof };
        let file = self.state.room_file(&room);
        if self.sleep.waker.is_none() {
            match Waker::spawn(self.care.news()) {
                Ok(waker) => self.sleep.waker = Some(waker),
                Err(error) => return self.woken(room, Err(error.into())),
            }
        }
        if !self.sleep.waker.as_ref().is_some_and(|waker| waker.wake(opener, file)) {
            self.woken(room, Err(anyhow::anyhow!("the thread that opens rooms died")));
        }
    }

    /// The journal of a room that fell asleep is closed.
    pub(super) fn sleep_closed(&mut self, room: RoomId) {
        if self.sleep.closing.remove(&room) == Some(true) {
            self.wake_room(room);
        }
    }

    /// A room was read, or cannot be: then it is closed, as at the start.
    pub(super) fn woken(&mut self, room: RoomId, result: anyhow::Result<Box<Opened>>) {
        match result {
            Ok(_) if self.board.asleep(&room).is_none() => self.forget_open(&room),
            Err(error) if may_pass(&error) && self.is_tried_again(room) => {
                tracing::warn!(%room, "the room cannot be opened, which is tried again: {error:#}");
                return self.forget_open(&room);
            }
            Ok(opened) => {
                self.sleep.again.remove(&room);
                let Opened { room: held, since, store, .. } = *opened;
                self.kept.entry(room).or_default().messages = since;
                self.store.send(Job::Adopt { room, store: Box::new(store) });
                self.touch(room);
                let mut outputs = Vec::new();
                self.board.rouse(held, self.clock.now(), &mut outputs);
                self.outputs(outputs);
                self.tell_rooms_who_watches();
            }
            Err(error) => {
                tracing::error!(%room, "the room cannot be opened: {error:#}");
                self.sleep.again.remove(&room);
                let mut outputs = Vec::new();
                self.board.remove_room(&room, &mut outputs);
                self.outputs(outputs);
                self.forget_open(&room);
                self.closed.insert(room, format!("{error:#}"));
            }
        }
        self.serve_awake();
        for (room, link, peer, claim) in
            self.sleep.claims.extract_if(.., |claim| claim.0 == room).collect::<Vec<_>>()
        {
            tracing::debug!(%room, "a newcomer has waited for the room");
            self.hear_claim(link, peer, claim);
        }
    }

    /// Sets when a room is tried again that could not be opened. Returns false where that was done often enough.
    fn is_tried_again(&mut self, room: RoomId) -> bool {
        let (times, due_us) = self.sleep.again.entry(room).or_default();
        let Some(pause_ms) = AGAIN_MS.get(*times) else { return false };
        (*times, *due_us) = (*times + 1, self.clock.now().after_ms(*pause_ms));
        true
    }

    /// When the next room is tried again, on the monotonic clock.
    pub(super) fn tries_at(&self) -> Option<u64> {
        self.sleep.again.values().map(|(_, due_us)| *due_us).min()
    }

    /// Tries the rooms again whose time has come.
    pub(super) fn try_again(&mut self) {
        let now_us = self.clock.now().monotonic_us;
        let due = self.sleep.again.iter_mut().filter(|(_, (_, due_us))| *due_us <= now_us);
        // Until it is known how it went.
        let due: Vec<RoomId> = due.map(|(&room, (_, due_us))| (*due_us = u64::MAX, room).1).collect();
        for room in due {
            match self.board.asleep(&room) {
                Some(_) => self.wake_room(room),
                None => _ = self.sleep.again.remove(&room),
            }
        }
    }

    /// Keeps what somebody shows who was invited until the room is awake; returns it where it is.
    pub(super) fn wake_for_claim(
        &mut self,
        room: RoomId,
        (link, peer, claim): (LinkId, PeerKey, Claim),
    ) -> Option<Claim> {
        if self.board.asleep(&room).is_none() {
            return Some(claim);
        }
        if self.sleep.claims.len() < CLAIMS_MAX {
            self.sleep.claims.push((room, link, peer, claim));
            self.wake_up(room);
        }
        None
    }

    fn wake_up(&mut self, room: RoomId) {
        let mut outputs = Vec::new();
        self.board.wake_up(&room, &mut outputs);
        self.outputs(outputs);
    }

    /// Gives a question back, unless it has to wait for a room that sleeps. One that waits keeps to the room that it meant.
    pub(super) fn wake_for(&mut self, caller: Caller, mut request: Request) -> Option<(Caller, Request)> {
        let named = |hub: &mut Self, name: Option<&str>| hub.room_named(name).into_iter().collect();
        let (rooms, pinned): (Vec<RoomId>, _) = match needs(&mut request.ask) {
            Needs::Nothing => (Vec::new(), None),
            Needs::Room(room) => (named(self, room.as_deref()), Some(room)),
            Needs::Named(room) => {
                let rooms: Vec<RoomId> = named(self, Some(room));
                rooms.iter().for_each(|id| *room = id.to_string());
                (rooms, None)
            }
            Needs::Ticket(ticket) => {
                let ticket = ticket.parse::<rtc_core::ticket::Ticket>();
                (ticket.into_iter().map(|ticket| ticket.room).collect(), None)
            }
            Needs::All => (self.board.rooms().collect(), None),
        };
        let now_us = self.clock.now().monotonic_us;
        for room in &rooms {
            self.sleep.touched_us.entry(*room).and_modify(|touched_us| *touched_us = now_us);
        }
        let is_asleep = |room: &&RoomId| self.board.asleep(room).is_some();
        let asleep: Vec<RoomId> = rooms.iter().filter(is_asleep).copied().collect();
        if asleep.is_empty() {
            return Some((caller, request));
        }
        if let (Some(pinned), [room]) = (pinned, &rooms[..]) {
            *pinned = Some(room.to_string());
        }
        if self.sleep.questions.len() >= QUESTIONS_MAX {
            let error =
                ApiError::new(Code::Busy, format!("{QUESTIONS_MAX} questions wait for rooms to be opened"));
            let answer =
                Answer { id: request.id, more: false, result: Err(error.with_hint("try again in a while")) };
            caller.answer(vec![answer]);
            return None;
        }
        // All of them: none that is awake may fall asleep meanwhile.
        self.sleep.questions.push_back(Question { rooms, caller, request });
        asleep.into_iter().for_each(|room| self.wake_up(room));
        None
    }

    /// Answers, in order, what waited for no room that still sleeps.
    fn serve_awake(&mut self) {
        for question in std::mem::take(&mut self.sleep.questions) {
            match question.rooms.iter().any(|room| self.board.asleep(room).is_some()) {
                true => self.sleep.questions.push_back(question),
                false => self.serve(question.caller, question.request),
            }
        }
    }

    /// A client is gone, and does not wait any more.
    pub(super) fn forget_questions(&mut self, session: SessionId) {
        self.sleep.questions.retain(|question| question.caller.session() != session);
    }

    /// A client does not wait any more for what it has asked by that number.
    pub(super) fn forget_question(&mut self, session: SessionId, id: u64) {
        let is_it = |question: &Question| question.caller.session() == session && question.request.id == id;
        self.sleep.questions.retain(|question| !is_it(question));
    }

    /// Tells those who wait that the daemon ends, and waits for the room that is being opened.
    pub(super) fn end_sleep(&mut self) {
        for Question { caller, request, .. } in std::mem::take(&mut self.sleep.questions) {
            let error = ApiError::new(Code::Stopping, "the daemon is stopping");
            caller.answer(vec![Answer { id: request.id, more: false, result: Err(error) }]);
        }
        self.sleep.waker = None;
    }
}

/// Whether a room that could not be opened may be another time: what is damaged stays so.
fn may_pass(error: &anyhow::Error) -> bool {
    let is_of_system =
        |error: &OpenError| matches!(error, OpenError::Sqlite { .. } | OpenError::InUse { .. });
    error.chain().any(|cause| {
        cause.is::<std::io::Error>()
            || cause.downcast_ref().is_some_and(|error| matches!(error, StateError::Io { .. }))
            || cause.downcast_ref().is_some_and(is_of_system)
            || cause
                .downcast_ref()
                .is_some_and(|error| matches!(error, StoreError::Full | StoreError::Failed(_)))
    })
}
