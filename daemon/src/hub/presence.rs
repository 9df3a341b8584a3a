//! Sessions: who of this daemon's clients shows something in which room, and drafts that are kept for no connection in particular.
//!
//! What is shown is in the rooms. Here is whose it is, and so when it ends.

use std::collections::BTreeMap;

use rtc_core::api::{
    ApiError, Cancel, Code, Commit, Edit, EditOp, Event, Present, Reply, RoomName, Stage, Staged,
};
use rtc_core::id::{RoomId, Session};
use rtc_core::limits::{DRAFT_IDLE_MS, KEY_BYTES_MAX};
use rtc_core::presence::Show;
use rtc_core::preview::Preview;
use rtc_core::room::{self, Room};
use rtc_core::switchboard::Input;
use rtc_core::sync::Now;

use crate::hub::reading::Reading;
use crate::hub::{Call, Hub};
use crate::socket::SessionId;

/// Whose a session is.
#[derive(Default)]
pub(super) struct Sessions {
    connections: BTreeMap<(SessionId, RoomId), Session>,
    drafts: BTreeMap<(RoomId, String), Kept>,
}

/// A draft by name.
struct Kept {
    session: Session,
    /// When it ends, unless something is staged before.
    until_us: u64,
}

impl Sessions {
    /// When a draft ends for having been idle.
    pub(super) fn wakes_at(&self) -> Option<u64> {
        self.drafts.values().map(|kept| kept.until_us).min()
    }

    /// Keeps a draft by its name, from now on for as long as a draft may be idle.
    fn keep(&mut self, room: RoomId, name: String, session: Session, now: Now) {
        self.drafts.insert((room, name), Kept { session, until_us: now.after_ms(DRAFT_IDLE_MS) });
    }

    /// Takes away drafts in which nothing was staged for so long.
    fn take_idle(&mut self, now: Now) -> Vec<(RoomId, String, Session)> {
        let is_idle = |_: &(RoomId, String), kept: &mut Kept| kept.until_us <= now.monotonic_us;
        let idle = self.drafts.extract_if(.., is_idle);
        idle.map(|((room, name), kept)| (room, name, kept.session)).collect()
    }

    /// The session that has this draft, if there is one.
    fn of_draft(&self, call: &Call, room: RoomId, draft: &Option<String>) -> Option<Session> {
        match draft {
            None => self.connections.get(&(call.caller.session(), room)).copied(),
            Some(name) => self.drafts.get(&(room, name.clone())).map(|kept| kept.session),
        }
    }
}

impl Hub {
    /// Shows who a client is.
    pub(super) fn present(&mut self, call: &Call, present: Present) -> Result<Reply, ApiError> {
        let Present { room, fields } = present;
        let room = self.room_named(room.as_deref())?;
        let session = self.session_of(call, room)?;
        let show = Show::Presence(fields);
        self.room(&room)?.check_show(session, &show)?;
        self.show(room, session, show);
        Ok(Reply::Done {})
    }

    pub(super) fn who(&mut self, room: &RoomName) -> Result<Reply, ApiError> {
        let (room, now) = (self.room_named(room.as_deref())?, self.clock.now());
        Ok(Reply::Who(self.room(&room)?.shown(now)))
    }

    /// Adds edits to a draft.
    pub(super) fn stage(&mut self, call: &Call, stage: Stage) -> Result<Reply, ApiError> {
        let Stage { room, draft, ops, replace } = stage;
        check_name(draft.as_deref())?;
        let room = self.room_named(room.as_deref())?;
        let session = match (&draft, self.sessions.of_draft(call, room, &draft)) {
            (_, Some(session)) => session,
            (None, None) => self.session_of(call, room)?,
            (Some(_), None) => fresh_session()?,
        };
        let show = self.room(&room)?.staged(session, ops, replace)?;
        self.show(room, session, show);
        if let Some(name) = draft {
            let Self { sessions, board, clock, .. } = self;
            // Those that were committed are of no use.
            sessions.drafts.retain(|(room, _), kept| {
                board.room(room).is_some_and(|room| !room.draft(kept.session).is_empty())
            });
            sessions.keep(room, name, session, clock.now());
        }
        self.staged(room, session)
    }

    fn staged(&mut self, room: RoomId, session: Session) -> Result<Reply, ApiError> {
        let edits = u32::try_from(self.room(&room)?.draft(session).len()).unwrap_or(u32::MAX);
        Ok(Reply::Staged(Staged { edits }))
    }

    /// Makes a draft one message, and answers as to an edit.
    pub(super) fn commit(&mut self, call: Call, commit: Commit) {
        let Commit { room, draft, note, request, wait, timeout_ms } = commit;
        let found = self.room_named(room.as_deref()).and_then(|room| {
            // Without one, only a request that was answered before has something to say.
            let session = self.sessions.of_draft(&call, room, &draft);
            session.map_or_else(fresh_session, Ok).map(|session| (room, session))
        });
        match found {
            Ok((room, session)) => {
                let token = self.owe(call, room);
                let edit = Edit { room: None, ops: Vec::new(), note, request, wait, timeout_ms };
                self.input(Input::Room { room, input: room::Input::Commit { token, session, edit } });
            }
            Err(error) => call.answer(Err(error)),
        }
    }

    /// Drops a draft.
    pub(super) fn cancel(&mut self, call: &Call, cancel: &Cancel) -> Result<Reply, ApiError> {
        let room = self.room_named(cancel.room.as_deref())?;
        let (session, _) = self.draft_of(call, room, &cancel.draft)?;
        let staged = self.staged(room, session);
        self.show(room, session, Show::Draft(Vec::new()));
        staged
    }

    /// Answers a question about a room as it would be with a draft.
    pub(super) fn preview(
        &mut self,
        call: &Call,
        room: RoomId,
        draft: &Option<String>,
        reading: Reading,
    ) -> Result<(), ApiError> {
        let (_, edits) = self.draft_of(call, room, draft)?;
        let replica = self.room(&room)?.replica();
        reading.answer_preview(&Preview::new(replica, &edits), replica, call);
        Ok(())
    }

    /// A draft that there is, and its edits.
    fn draft_of(
        &mut self,
        call: &Call,
        room: RoomId,
        draft: &Option<String>,
    ) -> Result<(Session, Vec<EditOp>), ApiError> {
        let session = self.sessions.of_draft(call, room, draft);
        let room = self.room(&room)?;
        let held = session.map(|session| (session, room.draft(session).to_vec()));
        held.filter(|(_, edits)| !edits.is_empty()).ok_or_else(|| {
            ApiError::new(Code::NotFound, "nothing is staged in that draft")
                .with_hint("stage edits first: `rtc edit --stage …`; `rtc who` lists drafts")
        })
    }

    /// Tells a new subscriber what it asked for, of what is shown by now.
    pub(super) fn tell_shown(&mut self, call: &Call) {
        let Some(watch) = self.watches.iter().rfind(|watch| watch.call.is(call)) else { return };
        let Some(room) = self.board.room(&watch.room).filter(|_| watch.presence || watch.drafts) else {
            return;
        };
        for event in room.shown_events().iter().filter(|event| watch.wants(event)) {
            call.caller.event(call.id, event);
        }
    }

    /// A client is gone, and with it what it showed.
    pub(super) fn end_sessions(&mut self, client: SessionId) {
        let of_client = |&(owner, _): &(SessionId, RoomId), _: &mut Session| owner == client;
        for ((_, room), session) in self.sessions.connections.extract_if(.., of_client).collect::<Vec<_>>() {
            self.input(Input::Room { room, input: room::Input::SessionGone { session } });
        }
    }

    /// Drops drafts that were idle for too long.
    pub(super) fn expire_drafts(&mut self) {
        for (room, name, session) in self.sessions.take_idle(self.clock.now()) {
            tracing::info!(%room, name, "a draft is dropped: nothing was staged in it for long");
            self.input(Input::Room { room, input: room::Input::SessionGone { session } });
        }
    }

    fn show(&mut self, room: RoomId, session: Session, show: Show) {
        self.input(Input::Room { room, input: room::Input::Show { session, show } });
    }

    /// The session that a client has in a room.
    fn session_of(&mut self, call: &Call, room: RoomId) -> Result<Session, ApiError> {
        let key = (call.caller.session(), room);
        if let Some(session) = self.sessions.connections.get(&key) {
            return Ok(*session);
        }
        let session = fresh_session()?;
        self.sessions.connections.insert(key, session);
        Ok(session)
    }

    pub(super) fn room(&mut self, room: &RoomId) -> Result<&mut Room, ApiError> {
        self.board.room(room).ok_or_else(|| ApiError::new(Code::NotFound, "there is no such room"))
    }
}

impl super::Watch {
    /// Whether it asked to be told of this.
    pub(super) fn wants(&self, event: &Event) -> bool {
        match event {
            Event::Message { .. } | Event::Lagged { .. } => true,
            Event::Presence { .. } => self.presence,
            Event::Draft { .. } => self.drafts,
        }
    }
}

fn fresh_session() -> Result<Session, ApiError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| ApiError::new(Code::Internal, format!("no randomness: {error}")))?;
    Ok(Session(bytes))
}

fn check_name(draft: Option<&str>) -> Result<(), ApiError> {
    match draft.map_or(1, str::len) {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => {
            let text = format!("the name of a draft has 1 to {KEY_BYTES_MAX} bytes, not {bytes}");
            Err(ApiError::new(Code::BadArgument, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_ends_when_nothing_was_staged_for_long() {
        let (room, session) = (RoomId([1; 32]), Session([2; 8]));
        let at = |ms: u64| Now { monotonic_us: ms * 1000, wall_ms: 0 };
        let mut sessions = Sessions::default();
        assert_eq!(sessions.wakes_at(), None);
        sessions.keep(room, "mine".to_owned(), session, at(5));
        sessions.keep(room, "mine".to_owned(), session, at(1000));
        assert_eq!(sessions.wakes_at(), Some(at(1000).after_ms(DRAFT_IDLE_MS)));
        assert_eq!(sessions.take_idle(at(DRAFT_IDLE_MS + 999)), []);
        let idle = sessions.take_idle(at(DRAFT_IDLE_MS + 1000));
        assert_eq!(idle, [(room, "mine".to_owned(), session)]);
        assert_eq!(sessions.wakes_at(), None);
    }
}
