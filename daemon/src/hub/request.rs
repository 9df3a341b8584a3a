//! One function per request of the local API.

use rtc_core::api::{
    ApiError, Ask, Code, Edit, Govern, Member, Peer, Reply, Request, RoomName, Status, Trace, Undo,
};
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::limits::SUBSCRIPTIONS_MAX;
use rtc_core::members;
use rtc_core::room::{self, Beside};
use rtc_core::switchboard::Input;

use crate::hub::reading::Reading;
use crate::hub::{Call, Hub, Watch};
use crate::net::{KnownPeer, Multiaddr, Source, peer_id};
use crate::resident;
use crate::socket::{AGENT, Caller, SocketEvent};
use crate::watch::Current;

impl Hub {
    pub(super) fn hear_client(&mut self, event: SocketEvent) {
        match event {
            SocketEvent::Call { caller, request } => {
                if let Some((caller, request)) = self.wake_for(caller, request) {
                    self.serve(caller, request);
                }
            }
            SocketEvent::Gone { session } => {
                self.watches.retain(|watch| watch.call.caller.session() != session);
                self.forget_questions(session);
                self.joins.retain(|join| join.call.caller.session() != session);
                self.verifications.retain(|verification| verification.call.caller.session() != session);
                self.calls.retain(|_, (_, call)| call.caller.session() != session);
                self.tell_rooms_who_watches();
                self.end_sessions(session);
            }
        }
    }

    pub(super) fn serve(&mut self, caller: Caller, request: Request) {
        let call = Call { caller, id: request.id };
        let answered = match request.ask {
            Ask::Status {} => Ok(Reply::Status(Box::new(self.status()))),
            Ask::Peers {} => Ok(Reply::Peers(self.peers())),
            Ask::Rooms {} => Ok(Reply::Rooms(self.room_infos())),
            Ask::Found { name, request } => self.found(&name, request.as_deref()),
            Ask::Use { room } => self.choose(&room),
            Ask::Leave { room, delete, force } => return self.leave(call, &room, delete, force),
            Ask::Edit(edit) => return self.edit(call, edit),
            Ask::Members { room } => self.members(&room),
            Ask::Govern(govern) => return self.govern(call, govern),
            Ask::Undo(undo) => return self.undo(call, undo, false),
            Ask::Redo(undo) => return self.undo(call, undo, true),
            Ask::Node { room, key, at } => return self.read(call, &room, at, Reading::Node { key }),
            Ask::Value { room, key, path, at } => {
                return self.read(call, &room, at, Reading::Value { key, path });
            }
            Ask::Scene { room, at } => return self.read(call, &room, at, Reading::Scene),
            Ask::Log { room, limit, at } => return self.read(call, &room, at, Reading::Log { limit }),
            Ask::Blame { room, key, path, all, at } => {
                return self.read(call, &room, at, Reading::Blame { key, path, all });
            }
            Ask::Trace { room, message } => self.trace(&room, &message),
            Ask::Watch { room, presence, drafts } => match self.watch(&call, &room, presence, drafts) {
                Ok(()) => {
                    call.answer_more(Reply::Watching {});
                    return self.tell_shown(&call);
                }
                Err(error) => Err(error),
            },
            Ask::Unwatch { watch } => {
                let session = call.caller.session();
                self.watches.retain(|other| other.call.caller.session() != session || other.call.id != watch);
                // Its room may not be awake yet.
                self.forget_question(session, watch);
                call.caller.unwatch(watch);
                self.tell_rooms_who_watches();
                Ok(Reply::Done {})
            }
            Ask::Present(present) => self.present(&call, present),
            Ask::Who { room } => self.who(&room),
            Ask::Stage(stage) => self.stage(&call, stage),
            Ask::Commit(commit) => return self.commit(call, commit),
            Ask::Cancel(cancel) => self.cancel(&call, &cancel),
            Ask::Invite(ask) => return self.invite(call, ask),
            Ask::Invites { room } => self.list_invites(room.as_deref()),
            Ask::RevokeInvite { room, id } => return self.revoke_invite(call, room.as_deref(), &id),
            Ask::Compact(ask) => self.compact(&ask),
            Ask::Join { ticket, timeout_ms } => return self.join(call, &ticket, timeout_ms),
            Ask::AddPeer { address } => self.dial(&address, Source::Added).map(|()| Reply::Done {}),
            Ask::Doctor { repair } => return self.doctor(call, repair),
            Ask::Backup { room, file } => return self.backup(call, &room, file),
            Ask::Restore { file } => return self.restore(call, file),
            Ask::Verify { room, bundle, timeout_ms } => {
                return self.verify(call, &room, bundle, timeout_ms);
            }
            Ask::BackupIdentity { file } => self.back_up_identity(&file),
            Ask::RestoreIdentity { file } => self.restore_identity(&file),
            Ask::RotateIdentity { from } => self.rotate_identity(&from),
            Ask::Stop {} => {
                tracing::info!("a client asked to stop");
                self.stop.send_replace(true);
                self.stopping = true;
                Ok(Reply::Done {})
            }
        };
        call.answer(answered);
    }

    fn edit(&mut self, call: Call, edit: Edit) {
        match self.room_named(edit.room.as_deref()) {
            Ok(room) => {
                let token = self.owe(call, room);
                self.input(Input::Room { room, input: room::Input::Edit { token, edit } });
            }
            Err(error) => call.answer(Err(error)),
        }
    }

    fn undo(&mut self, call: Call, undo: Undo, redo: bool) {
        match self.room_named(undo.room.as_deref()) {
            Ok(room) => {
                let token = self.owe(call, room);
                self.input(Input::Room { room, input: room::Input::Undo { token, undo, redo } });
            }
            Err(error) => call.answer(Err(error)),
        }
    }

    fn govern(&mut self, call: Call, mut govern: Govern) {
        let governed = self.room_named(govern.room.as_deref()).and_then(|room| {
            self.change_secret(room, &mut govern.says)?;
            Ok(room)
        });
        match governed {
            Ok(room) => {
                let token = self.owe(call, room);
                self.input(Input::Room { room, input: room::Input::Govern { token, govern } });
            }
            Err(error) => call.answer(Err(error)),
        }
    }

    fn members(&mut self, room: &RoomName) -> Result<Reply, ApiError> {
        let id = self.room_named(room.as_deref())?;
        let room =
            self.board.room(&id).ok_or_else(|| ApiError::new(Code::NotFound, "there is no such room"))?;
        let founding = room.founding().map(|founding| (founding.owner, founding.time_ms));
        let founded_ms =
            |key: &PeerKey| founding.filter(|(owner, _)| owner == key).map(|(_, time_ms)| time_ms);
        let me = self.me;
        let replica = room.replica();
        let member = |members::Member { key, role, name, former }| {
            let former: Vec<PeerKey> = former.iter().map(|former| former.key).collect();
            let (by, since_ms) = match replica.admitted(&key) {
                Some((by, time_ms)) => (Some(by), time_ms),
                None => (None, founded_ms(former.first().unwrap_or(&key)).filter(|_| role.is_some())),
            };
            Member { key, role, name, own: key == me, since_ms, by, former }
        };
        Ok(Reply::Members(replica.members().into_iter().map(member).collect()))
    }

    /// Remembers whom to answer when the room does, and that it has something to sign by then.
    pub(super) fn owe(&mut self, call: Call, room: RoomId) -> u64 {
        self.edited.insert(room);
        self.calls_made += 1;
        self.calls.insert(self.calls_made, (room, call));
        self.calls_made
    }

    fn watch(&mut self, call: &Call, room: &RoomName, presence: bool, drafts: bool) -> Result<(), ApiError> {
        let room = self.room_named(room.as_deref())?;
        let session = call.caller.session();
        let held = self.watches.iter().filter(|watch| watch.call.caller.session() == session).count();
        if held >= SUBSCRIPTIONS_MAX {
            let text = format!("more than {SUBSCRIPTIONS_MAX} subscriptions in one session");
            return Err(ApiError::new(Code::TooLarge, text).with_hint("end one, or open another connection"));
        }
        self.watches.push(Watch { room, call: call.clone(), presence, drafts });
        self.tell_rooms_who_watches();
        Ok(())
    }

    /// Rooms make events only while somebody wants them.
    pub(super) fn tell_rooms_who_watches(&mut self) {
        for id in self.board.rooms().collect::<Vec<_>>() {
            let watches = || self.watches.iter().filter(|watch| watch.room == id);
            let watched = watches().next().is_some();
            let shows_watched = watches().any(|watch| watch.presence || watch.drafts);
            if let Some(room) = self.board.room(&id) {
                room.set_watched(watched);
                room.set_shows_watched(shows_watched);
            }
        }
    }

    fn trace(&mut self, room: &RoomName, message: &str) -> Result<Reply, ApiError> {
        let (id, me) = (self.room_named(room.as_deref())?, self.me);
        self.flush();
        let is_writing = self.unstored.keys().any(|(of, _)| *of == id);
        let room =
            self.board.room(&id).ok_or_else(|| ApiError::new(Code::NotFound, "there is no such room"))?;
        let dot = room.find(message)?;
        let entry = room.replica().log_entry(&dot, Some(&me));
        let entry =
            entry.ok_or_else(|| ApiError::new(Code::NotFound, "that message is not held any more"))?;
        let durable = !is_writing && room.read_only().is_none();
        Ok(Reply::Trace(Box::new(Trace { message: entry, durable, peers: room.trace(&dot) })))
    }

    fn status(&mut self) -> Status {
        let Current { settings, error } = self.settings.borrow().clone();
        Status {
            pid: std::process::id(),
            agent: AGENT.to_owned(),
            peer: self.me,
            uptime_ms: self.clock.now().monotonic_us / 1000,
            listening: self.listening.iter().map(|address| self.shown(address, settings.relay)).collect(),
            mdns: settings.mdns,
            data_dir: self.places.data_dir.display().to_string(),
            config_file: self.places.config_file.display().to_string(),
            config_error: error,
            resident_bytes: resident::bytes(),
            peers_connected: u32::try_from(self.links.len()).unwrap_or(u32::MAX),
            rooms: self.room_infos(),
            joining: self.joining(),
        }
    }

    /// An address of ours; with our name where we are a relay, since others' settings need that.
    fn shown(&self, address: &Multiaddr, relay: bool) -> String {
        let us = peer_id(&self.me).filter(|_| relay);
        match us.map(|us| address.clone().with_p2p(us)) {
            // One through another relay has the name already.
            Some(Ok(address)) | Some(Err(address)) => address.to_string(),
            None => address.to_string(),
        }
    }

    fn peers(&mut self) -> Vec<Peer> {
        let known = self.net.known_peers();
        known.iter().map(|known| self.peer(known)).collect()
    }

    fn peer(&mut self, known: &KnownPeer) -> Peer {
        let now = self.clock.now();
        let link = self.board.links().find(|(_, link)| link.peer() == known.peer);
        let link = link.map(|(id, link)| {
            let rooms: Vec<RoomId> = link.shared_rooms().collect();
            (id, rooms, link.round_trip_us(), link.silent_us(now) / 1000)
        });
        let (rooms, round_trip_us, silent_ms, in_sync, beside) = match link {
            Some((id, rooms, round_trip_us, silent_ms)) => {
                let in_sync = rooms.iter().all(|room| self.board.in_sync(room, id));
                let beside = rooms.iter().filter_map(|room| self.board.room(room)?.beside(id));
                let beside = beside.fold(Beside::default(), |sum, room| Beside {
                    behind: sum.behind + room.behind,
                    ahead: sum.ahead + room.ahead,
                });
                (rooms, round_trip_us, Some(silent_ms), in_sync, beside)
            }
            None => (Vec::new(), None, None, false, Beside::default()),
        };
        Peer {
            peer: known.peer,
            connected: silent_ms.is_some(),
            addresses: known.addresses.iter().map(ToString::to_string).collect(),
            source: if known.relayed { Source::Relay } else { known.source }.as_str().to_owned(),
            rooms,
            round_trip_us,
            silent_ms,
            in_sync,
            behind: beside.behind,
            ahead: beside.ahead,
        }
    }
}
