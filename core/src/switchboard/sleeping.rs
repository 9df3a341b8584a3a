//! Rooms that sleep: out of memory, and still members of their connections.
//!
//! What a [`Sleeper`] cannot deal with waits, in order, and the room is asked for with [`Output::Wake`]; whoever owns the disk reads it and
//! gives it to [`Switchboard::rouse`]. What finds no place is dropped and repaired like anything that a connection loses.

use std::collections::{BTreeSet, VecDeque};

use super::member::{Member, secrets_of};
use super::{Output, Switchboard};
use crate::founding::Founding;
use crate::id::{PeerKey, RoomId};
use crate::room::{self, Gist, Room, Sleeper};
use crate::sync::{LinkId, Now, RoomFrame};
use crate::ticket::Secret;

/// Inputs that wait for one room to wake; the rest is dropped. A connection has far fewer under way, unless it floods.
const WAITING_MAX: usize = 1024;
/// The same in bytes, of what is long.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A room that sleeps, and what proves that we belong to it.
pub(super) struct Dormant {
    pub(super) sleeper: Sleeper,
    /// Never none; the current one first.
    pub(super) secrets: Vec<Secret>,
    /// What waits for it to be awake; none where nothing woke it.
    waiting: Option<VecDeque<room::Input>>,
    waiting_bytes: usize,
    /// Over which connections something found no place there.
    missed: BTreeSet<LinkId>,
}

impl Dormant {
    pub(super) fn secrets_for(&self, keys: &[PeerKey]) -> Vec<Secret> {
        secrets_of(keys, |key| self.sleeper.gist().standing_of(key), &self.secrets)
    }

    /// When it has to be woken; never while it is.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.sleeper.wake_at().filter(|_| self.waiting.is_none())
    }

    /// Keeps an input until the room is awake.
    fn wait(&mut self, input: room::Input) {
        let waiting = self.waiting.get_or_insert_default();
        let bytes = if let room::Input::Frame { frame, .. } = &input { long_bytes(frame) } else { 0 };
        let is_lost = waiting.len() >= WAITING_MAX || self.waiting_bytes + bytes > WAITING_BYTES_MAX;
        match input {
            room::Input::Frame { link, .. } | room::Input::Digest { link, .. } if is_lost => {
                self.missed.insert(link);
            }
            room::Input::PeerDown { link } => {
                // The room need not hear that a peer came and went, however often it does.
                let came = |input: &room::Input| matches!(input, room::Input::PeerUp { link: of, .. } if *of == link);
                let Some(at) = waiting.iter().rposition(came) else { return waiting.push_back(input) };
                let mut later = waiting.split_off(at);
                later.retain(|input| link_of(input) != Some(link));
                waiting.append(&mut later);
                self.missed.remove(&link);
            }
            input => {
                self.waiting_bytes += bytes;
                waiting.push_back(input);
            }
        }
    }
}

/// Over which connection an input came.
fn link_of(input: &room::Input) -> Option<LinkId> {
    match input {
        room::Input::PeerUp { link, .. }
        | room::Input::PeerDown { link }
        | room::Input::Frame { link, .. }
        | room::Input::Digest { link, .. }
        | room::Input::Unsent { link, .. }
        | room::Input::Missed { link } => Some(*link),
        _ => None,
    }
}

/// Bytes of what is long in a frame; of all else a room that wakes takes so many at most as it takes frames.
fn long_bytes(frame: &RoomFrame) -> usize {
    match frame {
        RoomFrame::Run { run } => run.body_bytes(),
        RoomFrame::Backlog { content } | RoomFrame::Horizon { content, .. } => content.len(),
        RoomFrame::GroundPiece { bytes, .. } => bytes.len(),
        RoomFrame::Fork { proof } => proof.len(),
        _ => 0,
    }
}

impl Switchboard {
    /// Adds a room that sleeps since before this process began.
    pub fn add_asleep(&mut self, gist: Gist, secrets: Vec<Secret>, now: Now, out: &mut Vec<Output>) {
        assert!(!secrets.is_empty(), "a room has a secret");
        let id = gist.room();
        let sleeper = Sleeper::new(gist, self.me);
        self.asleep.insert(
            id,
            Dormant { sleeper, secrets, waiting: None, waiting_bytes: 0, missed: BTreeSet::new() },
        );
        self.open(id, now, out);
    }

    /// Whether a room is awake, nothing is under way in it or wrong with it, and every connected peer is known to hold the same.
    pub fn may_sleep(&mut self, id: &RoomId) -> bool {
        let Some(Member { room, .. }) = self.rooms.get_mut(id) else { return false };
        room.is_idle() && room.is_in_sync_with_all()
    }

    /// Lets a room go from memory that [may sleep](Self::may_sleep). `gist` is what it has just given, and all of it is on the disk.
    pub fn fall_asleep(&mut self, gist: Gist, now: Now, out: &mut Vec<Output>) {
        let id = gist.room();
        let Some(Member { room, secrets, .. }) = self.rooms.remove(&id) else { return };
        let mut outputs = Vec::new();
        let sleeper = room.fall_asleep(gist, now, &mut outputs);
        self.asleep.insert(
            id,
            Dormant { sleeper, secrets, waiting: None, waiting_bytes: 0, missed: BTreeSet::new() },
        );
        self.carry_out(id, outputs, out);
    }

    /// A room that sleeps.
    pub fn asleep(&self, id: &RoomId) -> Option<&Sleeper> {
        self.asleep.get(id).map(|dormant| &dormant.sleeper)
    }

    /// Whether a room and the peer of a connection were last known to hold the same messages.
    pub fn in_sync(&self, id: &RoomId, link: LinkId) -> bool {
        match self.rooms.get(id) {
            Some(member) => member.room.in_sync(link),
            None => self.asleep(id).is_some_and(|sleeper| sleeper.in_sync(link)),
        }
    }

    /// The founding message of a room, if it has come yet.
    pub fn founding(&self, id: &RoomId) -> Option<&Founding> {
        match self.rooms.get(id) {
            Some(member) => member.room.founding(),
            None => self.asleep(id).map(|sleeper| &sleeper.gist().founding),
        }
    }

    /// What happened to a room that sleeps since this was last asked.
    pub fn take_tally_asleep(&mut self, id: &RoomId) -> room::Tally {
        self.asleep.get_mut(id).map(|dormant| dormant.sleeper.take_tally()).unwrap_or_default()
    }

    /// Asks for a room to be woken, if it sleeps and nobody has asked yet.
    pub fn wake_up(&mut self, id: &RoomId, out: &mut Vec<Output>) {
        let Some(dormant) = self.asleep.get_mut(id).filter(|dormant| dormant.waiting.is_none()) else {
            return;
        };
        dormant.waiting = Some(VecDeque::new());
        out.push(Output::Wake { room: *id });
    }

    /// Takes back a room that was asked for, as the disk has it, and gives it what waited for it.
    pub fn rouse(&mut self, mut room: Room, now: Now, out: &mut Vec<Output>) {
        let id = room.id();
        let Some(Dormant { sleeper, secrets, waiting, missed, .. }) = self.asleep.remove(&id) else { return };
        let mut outputs = Vec::new();
        room.rouse(sleeper, now, &mut outputs);
        self.rooms.insert(id, Member { room, secrets, rules: 0 });
        self.carry_out(id, outputs, out);
        self.heed(id, now, out);
        let missed = missed.into_iter().map(|link| room::Input::Missed { link });
        for input in waiting.unwrap_or_default().into_iter().chain(missed) {
            self.room_input(id, input, now, out);
        }
    }

    /// Gives an input to a room that sleeps, or keeps it until the room is awake.
    pub(super) fn sleeper_input(&mut self, id: RoomId, input: room::Input, now: Now, out: &mut Vec<Output>) {
        let Some(dormant) = self.asleep.get_mut(&id) else { return };
        if dormant.waiting.is_some() {
            // Awake, it knows by itself what the time has come for.
            if !matches!(input, room::Input::Wake) {
                dormant.wait(input);
            }
            return;
        }
        let mut outputs = Vec::new();
        let unheard = dormant.sleeper.handle(input, now, &mut outputs);
        self.carry_out(id, outputs, out);
        if let Some(input) = unheard {
            self.wake_up(&id, out);
            self.sleeper_input(id, input, now, out);
        }
    }
}
