//! Rooms of the daemon: founded, opened from the disk, found by name.

use anyhow::Context;
use rtc_core::api::{ApiError, Code, Compact, Fork, Reply, RoomInfo};
use rtc_core::branch::Branch;
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Dot, RoomId, StateHash};
use rtc_core::room::{Room, Sleeper, Standing};
use rtc_core::store::{LANDMARK, Store};
use rtc_core::ticket::{Landmark, Secret};

use crate::boot::OnDisk;
use crate::hub::Hub;
use crate::hub::opening::{Opened, Opener};
use crate::number::{NumberRecord, Told};
use crate::store::{Job, SqliteStore};

/// How the room is called that every daemon begins with.
const FIRST_ROOM: &str = "home";
/// The fact that holds a room's founding message.
pub(super) const FOUNDING: &str = "founding";
/// The fact that holds a room's secret.
pub(super) const SECRET: &str = "secret";
/// The fact that holds the secrets it had before, the newest first.
pub(super) const FORMER_SECRETS: &str = "former-secrets";

impl Hub {
    /// Takes over the rooms on the disk, and founds one where there never was any.
    pub(super) fn open_rooms(&mut self, rooms: Vec<(RoomId, OnDisk)>) {
        let remembered = self.state.default_room();
        let never_had_one = matches!(remembered, Ok(None));
        self.default_room = remembered.unwrap_or_else(|error| {
            tracing::error!("the default room is not known: {error}");
            None
        });
        for (room, found) in rooms {
            let opened = match found {
                OnDisk::Asleep(asleep) => {
                    self.add_asleep(room, *asleep);
                    continue;
                }
                OnDisk::Open(store) => store.and_then(|store| self.open_room(room, *store)),
            };
            if let Err(error) = opened {
                tracing::error!(%room, "the room cannot be opened: {error:#}");
                self.closed.insert(room, format!("{error:#}"));
            }
        }
        // Where there was one and it is gone, that is for its owner to hear: a new one in its place would hide it.
        if self.board.rooms().next().is_none()
            && never_had_one
            && let Err(error) = self.found_room(FIRST_ROOM, None)
        {
            tracing::error!("no room can be founded: {error:#}");
        }
        self.mend_default_room();
    }

    /// Where there is one room, that is the default one, whatever became of the file that said so.
    pub(super) fn mend_default_room(&mut self) {
        let rooms: Vec<RoomId> = self.board.rooms().chain(self.closed.keys().copied()).collect();
        if let [room] = rooms[..]
            && self.default_room != Some(room)
            && let Err(error) = self.make_default(room)
        {
            tracing::error!("the default room is not remembered: {error:#}");
        }
    }

    /// Founds a room of this daemon's own, and makes it the default one.
    pub(super) fn found_room(&mut self, name: &str, nonce: Option<[u8; 16]>) -> anyhow::Result<()> {
        let (mut random, mut secret) = ([0; 16], [0; 32]);
        getrandom::fill(&mut random).context("no randomness")?;
        getrandom::fill(&mut secret).context("no randomness")?;
        let (nonce, time_ms) = (nonce.unwrap_or(random), self.clock.now().wall_ms);
        let founding =
            Founding { owner: self.me, nonce, name: name.to_owned(), time_ms, access: Access::Members };
        let room = founding.room();
        self.add_room(room, Some(&founding), Secret(secret), None)?;
        self.make_default(room)
    }

    pub(super) fn make_default(&mut self, room: RoomId) -> anyhow::Result<()> {
        self.state.set_default_room(&room).context("cannot remember the default room")?;
        self.default_room = Some(room);
        Ok(())
    }

    /// Makes a room's file and opens it; `horizon` is what its ticket names.
    pub(super) fn add_room(
        &mut self,
        room: RoomId,
        founding: Option<&Founding>,
        secret: Secret,
        horizon: Option<Landmark>,
    ) -> anyhow::Result<()> {
        let mut store = SqliteStore::open(&self.state.room_file(&room)?, room)?;
        // The secret comes first: a room with a secret can be opened, whatever else a crash prevents.
        store.set_fact(SECRET, &secret.0)?;
        if let Some(founding) = founding {
            store.set_fact(FOUNDING, &founding.encode())?;
        }
        if let Some(horizon) = horizon {
            store.set_fact(LANDMARK, &horizon.encode())?;
        }
        self.open_room(room, store)
    }

    /// Reads a room from the disk and opens it towards the peers.
    pub(super) fn open_room(&mut self, id: RoomId, store: SqliteStore) -> anyhow::Result<()> {
        let number = NumberRecord::open(self.places.volatile_dir.as_deref(), self.me, id);
        let epoch_proof = number.proof().map(|told| (told.epoch, told.seq));
        let opener = Opener { room: id, keys: self.keys.clone(), epoch_proof };
        let Opened { room, secrets, invites, since, store } = opener.open(store)?;
        self.state.keep_secret(&id, &secrets[0])?;
        if let Some(invites) = invites {
            self.recall_invites(id, &invites);
        }
        self.kept.entry(id).or_default().messages = since;
        self.closed.remove(&id);
        self.store.send(Job::Adopt { room: id, store: Box::new(store) });
        self.numbers.insert(id, number);
        self.touch(id);
        let mut outputs = Vec::new();
        self.board.add_room(room, secrets, self.clock.now(), &mut outputs);
        self.outputs(outputs);
        Ok(())
    }

    /// Remembers what proves membership in a room, the current secret first.
    pub(super) fn keep_secrets(&mut self, room: RoomId, secrets: &[Secret]) {
        let Some((current, former)) = secrets.split_first() else { return };
        tracing::info!(%room, "the room has another secret");
        let former: Vec<u8> = former.iter().flat_map(|secret| secret.0).collect();
        for (name, value) in [(FORMER_SECRETS, former), (SECRET, current.0.to_vec())] {
            self.store.send(Job::SetFact { room, token: 0, name: name.to_owned(), value });
        }
        if let Err(error) = self.state.keep_secret(&room, current) {
            tracing::error!(%room, "the second copy of its secret is the one before: {error}");
        }
    }

    /// Records the number that is about to be told.
    pub(super) fn record_number(&mut self, room: RoomId, epoch: u64, seq: u64) {
        let Some(record) = self.numbers.get_mut(&room) else { return };
        if let Err(error) = record.write(Told { epoch, seq }) {
            // Told all the same, it might be given out again after a crash: better to end now than to fork later.
            tracing::error!(%room, "an outdated number record can be neither replaced nor removed, so the daemon stops: {error}");
            self.stopping = true;
        }
    }

    /// The room a client means, if it is open.
    pub(super) fn room_named(&mut self, name: Option<&str>) -> Result<RoomId, ApiError> {
        let room = match name {
            Some(name) => self.room_called(name)?,
            None => self.default_room().ok_or_else(|| {
                ApiError::new(Code::NotFound, "which room is the default one is not known").with_hint(
                    "name one with --room, or choose: `rtc room use ROOM`; `rtc room list` lists them",
                )
            })?,
        };
        match self.closed.get(&room) {
            None => Ok(room),
            Some(why) => Err(ApiError::new(Code::ReadOnly, format!("room {room} cannot be opened: {why}"))
                .with_hint(
                    "`rtc doctor --repair` fetches it from its members; or name another room with --room",
                )),
        }
    }

    /// The room that goes by `name`, open or not.
    pub(super) fn room_called(&mut self, name: &str) -> Result<RoomId, ApiError> {
        let rooms: std::collections::BTreeSet<RoomId> =
            self.board.rooms().chain(self.closed.keys().copied()).collect();
        let named: Vec<_> =
            rooms.iter().copied().filter(|id| self.name_of(id).as_deref() == Some(name)).collect();
        let is_beginning = |id: &RoomId| !name.is_empty() && id.to_string().starts_with(name);
        let begun: Vec<_> = rooms.into_iter().filter(is_beginning).collect();
        match (&named[..], &begun[..]) {
            ([room], _) | ([], [room]) => Ok(*room),
            ([], []) => Err(ApiError::new(Code::NotFound, format!("there is no room `{name}`"))
                .with_hint("`rtc rooms` lists them")),
            _ => Err(ApiError::new(Code::Ambiguous, format!("more than one room goes by `{name}`"))
                .with_hint("use its id: `rtc rooms` lists them")),
        }
    }

    /// How a room is called, as far as is known.
    pub(super) fn name_of(&mut self, id: &RoomId) -> Option<String> {
        let asleep = self.board.asleep(id).map(|sleeper| sleeper.gist().name.clone());
        asleep.or_else(|| self.board.room(id)?.name())
    }

    fn default_room(&self) -> Option<RoomId> {
        // One that cannot be opened stays the default: what was meant for it must not land in another room.
        let known = |room: &RoomId| self.board.secret(room).is_some() || self.closed.contains_key(room);
        let mut rooms = self.board.rooms();
        // Where the one that was meant is not known, nobody guesses between several.
        let only = rooms.next().filter(|_| rooms.next().is_none() && self.closed.is_empty());
        self.default_room.filter(known).or(only)
    }

    /// All rooms, the default one first.
    pub(super) fn room_infos(&mut self) -> Vec<RoomInfo> {
        let rooms: Vec<_> = self.board.rooms().collect();
        let mut infos: Vec<_> = rooms.into_iter().filter_map(|room| self.room_info(room)).collect();
        let default = self.default_room();
        // One that is being left is still open.
        let closed = self.closed.iter().filter(|(room, _)| self.board.secret(room).is_none());
        infos.extend(closed.map(|(&room, why)| closed_info(room, why, default == Some(room))));
        infos.sort_by_key(|info| !info.default);
        infos
    }

    /// Lets a room's history go, or says what that would do.
    pub(super) fn compact(&mut self, ask: &Compact) -> Result<Reply, ApiError> {
        let id = self.room_named(ask.room.as_deref())?;
        self.flush();
        let mut outputs = Vec::new();
        let done = self.board.compact(&id, ask, self.clock.now(), &mut outputs);
        self.outputs(outputs);
        done.map(Reply::Compacted)
    }

    pub(super) fn room_info(&mut self, id: RoomId) -> Option<RoomInfo> {
        let default = self.default_room() == Some(id);
        let me = self.me;
        if let Some(sleeper) = self.board.asleep(&id) {
            return Some(asleep_info(id, sleeper, sleeper.gist().standing_of(&me), default));
        }
        let room = self.board.room(&id)?;
        let standing = room.standing_of(&me);
        Some(RoomInfo {
            room: id,
            name: room.name().unwrap_or_default(),
            role: standing.role(),
            open: standing == Standing::Open,
            default,
            asleep: false,
            messages: room.messages(),
            waiting: room.waiting() as u64,
            read_only: room.read_only().map(str::to_owned),
            peers_connected: u32::try_from(room.peers_connected()).unwrap_or(u32::MAX),
            nodes: room.replica().nodes_live() as u64,
            state_hash: room.replica().state_hash(),
            ineffective_ops: room.replica().ineffective_ops() as u64,
            horizon: room.horizon(),
            alarm: room.alarm().map(str::to_owned),
            forks: forks(room),
        })
    }
}

/// The forks that are known in a room.
pub(super) fn forks(room: &Room) -> Vec<Fork> {
    let branches = |message: Dot| {
        let is_its = move |branch: &Branch| (branch.signed, branch.base + 1) == (message.actor, message.seq);
        room.branches().iter().filter(move |(_, branch)| is_its(branch)).map(|(name, _)| name).collect()
    };
    let is_own = |message: &Dot| room.is_own(&message.actor.key());
    let fork = |message: Dot| Fork { message, own: is_own(&message), branches: branches(message) };
    room.forks().map(fork).collect()
}

/// What is told of a room that sleeps.
fn asleep_info(room: RoomId, sleeper: &Sleeper, standing: Standing, default: bool) -> RoomInfo {
    let gist = sleeper.gist();
    RoomInfo {
        room,
        name: gist.name.clone(),
        role: standing.role(),
        open: standing == Standing::Open,
        default,
        asleep: true,
        messages: gist.messages,
        waiting: 0,
        nodes: gist.nodes,
        state_hash: gist.state_hash,
        ineffective_ops: gist.ineffective_ops,
        peers_connected: u32::try_from(sleeper.peers_connected()).unwrap_or(u32::MAX),
        read_only: None,
        horizon: gist.horizon,
        alarm: None,
        forks: Vec::new(),
    }
}

/// What is told of a room that could not be opened.
fn closed_info(room: RoomId, why: &str, default: bool) -> RoomInfo {
    RoomInfo {
        room,
        name: String::new(),
        role: None,
        open: false,
        default,
        asleep: false,
        messages: 0,
        waiting: 0,
        nodes: 0,
        state_hash: StateHash([0; 32]),
        ineffective_ops: 0,
        peers_connected: 0,
        read_only: Some(why.to_owned()),
        horizon: None,
        alarm: None,
        forks: Vec::new(),
    }
}
