//! Rooms that come and go at a client's word: founded, chosen as the default one, left.

use rtc_core::api::{ApiError, Code, Reply};
use rtc_core::id::RoomId;

use crate::hub::care::begin;
use crate::hub::members::check_name;
use crate::hub::{Call, Hub};

/// What a room that is being left says to clients.
const UNDER_WAY: &str = "it is being left";
/// Letters of an id by which what was put aside is named to be deleted: as many as are shown. Fewer may be a slip.
const ID_LETTERS_MIN: usize = 8;

/// A room on its way out.
pub(super) struct Leaving {
    call: Call,
    delete: bool,
    /// Whether its store is being closed; before, what was accepted goes to the disk.
    is_closing: bool,
}

impl Hub {
    /// Founds a room, or gives the one that this request has founded before.
    pub(super) fn found(&mut self, name: &str, request: Option<&str>) -> Result<Reply, ApiError> {
        check_name(name)?;
        let nonce = request.map(nonce_of);
        let rooms: Vec<RoomId> = self.board.rooms().collect();
        for id in rooms {
            if self.board.founding(&id).is_some_and(|founding| Some(founding.nonce) == nonce) {
                return self.choose(&id.to_string());
            }
            if self.name_of(&id).as_deref() == Some(name) {
                let text = format!("there is a room {name:?} here already");
                return Err(ApiError::new(Code::BadArgument, text)
                    .with_hint("choose another name, or that room: `rtc room use`"));
            }
        }
        self.found_room(name, nonce).map_err(|error| {
            ApiError::new(Code::Internal, format!("the room cannot be founded: {error:#}"))
                .with_hint("`rtc doctor` looks at the disk")
        })?;
        self.tell_rooms_who_watches();
        let founded = self.default_room.and_then(|room| self.room_info(room));
        founded.map(Reply::Room).ok_or_else(|| ApiError::new(Code::Internal, "the room is not there"))
    }

    /// Makes a room the default one.
    pub(super) fn choose(&mut self, name: &str) -> Result<Reply, ApiError> {
        let room = self.room_named(Some(name))?;
        self.make_default(room).map_err(|error| {
            ApiError::new(Code::Internal, format!("{error:#}")).with_hint("`rtc doctor` looks at the disk")
        })?;
        let info = self.room_info(room);
        info.map(Reply::Room).ok_or_else(|| ApiError::new(Code::NotFound, "there is no such room"))
    }

    /// Takes part in a room no more, once all that was accepted is on the disk.
    pub(super) fn leave(&mut self, call: Call, name: &str, delete: bool, force: bool) {
        let room = match self.room_called(name) {
            Ok(room) => room,
            Err(error) => {
                return match self.give_up_join(name) {
                    Ok(false) => self.delete_left(call, name, delete && force, error),
                    Ok(true) => call.answer(Ok(Reply::Done {})),
                    Err(error) => call.answer(Err(error)),
                };
            }
        };
        // What was committed and not told yet is known to nobody else.
        self.flush();
        if let Err(error) = self.check_leaving(room, delete && !force) {
            return call.answer(Err(error));
        }
        // From here on nothing is accepted that would go with it.
        self.closed.insert(room, UNDER_WAY.to_owned());
        self.leavings.insert(room, Leaving { call, delete, is_closing: false });
        self.advance_leavings();
    }

    fn check_leaving(&mut self, room: RoomId, must_be_held: bool) -> Result<(), ApiError> {
        if self.is_under_repair(&room) || self.leavings.contains_key(&room) {
            return Err(ApiError::new(Code::Busy, "the room is being repaired or left")
                .with_hint("wait for that, and ask again"));
        }
        let is_empty = self.board.room(&room).is_some_and(|room| room.messages() == 0);
        if must_be_held && !is_empty && !self.is_in_sync(room) {
            return Err(ApiError::new(
                Code::NoPeer,
                "no connected member is known to hold all of the room: deleted here, it may be lost",
            )
            .with_hint(
                "`rtc backup` keeps it, `rtc room leave` puts it aside; --force deletes it all the same",
            ));
        }
        Ok(())
    }

    /// Closes the rooms that are to be left, as soon as nothing of theirs is on its way to the disk.
    pub(super) fn advance_leavings(&mut self) {
        let is_stored = |room: &RoomId| !self.unstored.keys().any(|(of, _)| of == room);
        let ready = self.leavings.iter().filter(|(room, leaving)| !leaving.is_closing && is_stored(room));
        for room in ready.map(|(room, _)| *room).collect::<Vec<_>>() {
            self.leavings.get_mut(&room).expect("it is ready").is_closing = true;
            if !self.close_room(room, UNDER_WAY) {
                self.leave_closed(room);
            }
        }
    }

    /// Goes on with a room whose store is closed now.
    pub(super) fn leave_closed(&mut self, room: RoomId) {
        if !self.leavings.get(&room).is_some_and(|leaving| leaving.is_closing) {
            return;
        }
        let Some(Leaving { call, delete, .. }) = self.leavings.remove(&room) else { return };
        self.send_away(room);
        if let Err(error) = self.state.put_aside(&room) {
            self.closed.insert(room, format!("it was to be left, and cannot be put aside: {error}"));
            return call.answer(Err(ApiError::new(
                Code::Internal,
                format!("the room cannot be put aside: {error}"),
            )
            .with_hint("`rtc doctor` looks at the disk")));
        }
        self.closed.remove(&room);
        self.invites.remove(&room);
        tracing::info!(%room, delete, "the room is left");
        self.mend_default_room();
        if delete { self.delete(call, room) } else { call.answer(Ok(Reply::Done {})) }
    }

    /// Tells whoever waits for something of a room that it is gone.
    fn send_away(&mut self, room: RoomId) {
        let gone = || {
            Err(ApiError::new(Code::NotFound, "the room was left").with_hint("`rtc join` comes back to it"))
        };
        self.watches.extract_if(.., |watch| watch.room == room).for_each(|watch| watch.call.answer(gone()));
        self.joins.extract_if(.., |join| join.room == room).for_each(|join| join.call.answer(gone()));
        for (_, (_, call)) in self.calls.extract_if(.., |_, (of, _)| *of == room) {
            call.answer(gone());
        }
    }

    /// Deletes what was put aside of a room that goes by `name`; `missing` says why it is no room of ours.
    fn delete_left(&mut self, call: Call, name: &str, delete: bool, missing: ApiError) {
        let left = self.state.left().unwrap_or_default();
        let is_named = name.len() >= ID_LETTERS_MIN;
        let mut named = left.into_iter().filter(|room| is_named && room.to_string().starts_with(name));
        match (named.next(), named.next()) {
            (Some(room), None) if delete => self.delete(call, room),
            (Some(_), None) => call.answer(Err(ApiError::new(Code::NotFound, "the room is left already")
                .with_hint("`rtc room rm --force` deletes what is kept of it, which others may not have"))),
            _ => call.answer(Err(missing)),
        }
    }

    /// Deletes what was put aside of a room, on a thread: it may be much.
    fn delete(&self, call: Call, room: RoomId) {
        let state = self.state.clone();
        begin(&call.clone(), "delete", move || {
            let deleted = state.delete_left(&room).map(|()| Reply::Done {});
            call.answer(deleted.map_err(|error| {
                ApiError::new(Code::Internal, format!("the room is left, and cannot be deleted: {error}"))
                    .with_hint("remove its directory by hand")
            }));
        });
    }
}

/// Asked again with one request id, one room is founded.
fn nonce_of(request: &str) -> [u8; 16] {
    let hash = blake3::derive_key("rtc 2026 founding request 1", request.as_bytes());
    *hash.first_chunk().expect("16 of 32 bytes")
}
