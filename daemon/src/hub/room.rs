//! Rooms of the daemon: found, opened from the disk, joined by ticket.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context;
use rtc_core::api::{ApiError, Code, Reply, RoomInfo};
use rtc_core::founding::Founding;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::room::{Opening, Room};
use rtc_core::store::Store;
use rtc_core::ticket::{Secret, Ticket};

use crate::hub::{Call, Hub, Join};
use crate::net::Source;
use crate::number::NumberRecord;
use crate::state::DefaultRoom;
use crate::store::sqlite::SqliteStore;
use crate::store::thread::Job;

/// The fact that holds a room's founding message.
pub(super) const FOUNDING: &str = "founding";
/// The fact that holds a room's secret.
const SECRET: &str = "secret";

/// Where the rooms of this daemon are.
pub struct RoomsDir {
    /// One directory per room, named by its id.
    pub dir: PathBuf,
    /// Which room commands mean that name none.
    pub default: DefaultRoom,
    /// Where number records go, if there is a place that forgets with the machine.
    pub volatile_dir: Option<PathBuf>,
}

impl Hub {
    /// Opens every room on the disk, and founds one where there is none.
    pub(super) fn open_rooms(&mut self) -> anyhow::Result<()> {
        let dir = self.rooms.dir.clone();
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let name = entry?.file_name();
            let Some(room) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            self.open_room(room).with_context(|| format!("cannot open room {room}"))?;
        }
        if self.board.rooms().next().is_none() {
            let room = self.found_room("home")?;
            self.rooms.default.set(room).context("cannot remember the default room")?;
        }
        Ok(())
    }

    /// Founds a room of this daemon's own.
    fn found_room(&mut self, name: &str) -> anyhow::Result<RoomId> {
        let (mut nonce, mut secret) = ([0; 16], [0; 32]);
        getrandom::fill(&mut nonce).context("no randomness")?;
        getrandom::fill(&mut secret).context("no randomness")?;
        let time_ms = self.clock.now().wall_ms;
        let founding = Founding { owner: self.me, nonce, name: name.to_owned(), time_ms };
        let room = founding.room();
        self.add_room(room, Some(&founding), Secret(secret))?;
        Ok(room)
    }

    /// Makes a room's file and opens it.
    fn add_room(&mut self, room: RoomId, founding: Option<&Founding>, secret: Secret) -> anyhow::Result<()> {
        let mut store = self.store_of(room)?;
        // The secret comes first: a room with a secret can be opened, whatever else a crash prevents.
        store.set_fact(SECRET, &secret.0)?;
        if let Some(founding) = founding {
            store.set_fact(FOUNDING, &founding.encode())?;
        }
        drop(store);
        self.open_room(room)
    }

    fn store_of(&self, room: RoomId) -> anyhow::Result<SqliteStore> {
        Ok(SqliteStore::open(&self.rooms.dir.join(room.to_string()), room)?)
    }

    /// Reads a room from the disk and opens it towards the peers.
    fn open_room(&mut self, id: RoomId) -> anyhow::Result<()> {
        let mut store = self.store_of(id)?;
        let Some(secret) = store.fact(SECRET)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
            // A crash came between making the file and writing the secret: nothing can be in it.
            tracing::warn!(room = %id, "a room without a secret is left out");
            return Ok(());
        };
        let founding = store.fact(FOUNDING)?.map(|bytes| Founding::decode(&bytes)).transpose()?;
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).context("no randomness")?;
        let number = self.rooms.volatile_dir.as_ref().map(|dir| NumberRecord::open(dir, &self.me, &id));
        let number = number.transpose().unwrap_or_else(|error| {
            tracing::warn!("no number record, so every start begins a new epoch: {error}");
            None
        });
        let mut room = Room::open(Opening {
            room: id,
            founding,
            keys: self.keys.clone(),
            epoch_fresh: u64::from_be_bytes(epoch),
            epoch_proof: number.as_ref().and_then(NumberRecord::proof),
        });
        let mut damage = None;
        store.scan(&mut |record| match room.load(&record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                damage = Some(error);
                ControlFlow::Break(())
            }
        })?;
        if let Some(error) = damage {
            return Err(error.into());
        }
        self.store.send(Job::Adopt { room: id, store: Box::new(store) });
        self.numbers.extend(number.map(|number| (id, number)));
        let mut outputs = Vec::new();
        let now = self.clock.now();
        self.board.add_room(room, Secret(secret), now, &mut outputs);
        self.outputs(outputs);
        Ok(())
    }

    /// Records the number that is about to be told. A record that cannot be written must not be believed later.
    pub(super) fn record_number(&mut self, room: RoomId, epoch: u64, seq: u64) {
        let Some(record) = self.numbers.get_mut(&room) else { return };
        if let Err(error) = record.write(epoch, seq) {
            tracing::error!(%room, "cannot record a number; the next start begins a new epoch: {error}");
            if let Some(record) = self.numbers.remove(&room) {
                record.forget();
            }
        }
    }

    /// The room a client means.
    pub(super) fn room_named(&mut self, name: Option<&str>) -> Result<RoomId, ApiError> {
        let Some(name) = name else {
            return self.default_room().ok_or_else(|| ApiError::new(Code::NotFound, "there is no default room"));
        };
        let rooms: Vec<_> = self.board.rooms().collect();
        let by_name = |id: &RoomId, board: &mut rtc_core::switchboard::Switchboard| {
            board.room(id).and_then(|room| room.founding()).is_some_and(|founding| founding.name == name)
        };
        let named: Vec<_> = rooms.iter().copied().filter(|id| by_name(id, &mut self.board)).collect();
        let begun: Vec<_> = rooms.into_iter().filter(|id| id.to_string().starts_with(name)).collect();
        match (&named[..], &begun[..]) {
            ([room], _) | ([], [room]) => Ok(*room),
            ([], []) => Err(ApiError::new(Code::NotFound, format!("there is no room `{name}`"))
                .with_hint("`rtc rooms` lists them")),
            _ => Err(ApiError::new(Code::Ambiguous, format!("more than one room goes by `{name}`"))
                .with_hint("use its id: `rtc rooms` lists them")),
        }
    }

    fn default_room(&self) -> Option<RoomId> {
        let default = self.rooms.default.get().filter(|room| self.board.secret(room).is_some());
        default.or_else(|| self.board.rooms().next())
    }

    /// All rooms, the default one first.
    pub(super) fn room_infos(&mut self) -> Vec<RoomInfo> {
        let rooms: Vec<_> = self.board.rooms().collect();
        let mut infos: Vec<_> = rooms.into_iter().filter_map(|room| self.room_info(room)).collect();
        infos.sort_by_key(|info| !info.default);
        infos
    }

    fn room_info(&mut self, id: RoomId) -> Option<RoomInfo> {
        let default = self.default_room() == Some(id);
        let room = self.board.room(&id)?;
        Some(RoomInfo {
            room: id,
            name: room.founding().map(|founding| founding.name.clone()).unwrap_or_default(),
            default,
            messages: room.messages(),
            waiting: room.waiting() as u64,
            read_only: room.read_only().map(str::to_owned),
            peers_connected: u32::try_from(room.peers_connected()).unwrap_or(u32::MAX),
            nodes: room.replica().nodes_live() as u64,
            state_hash: room.replica().state_hash(),
            ineffective_ops: room.replica().ineffective_count(),
        })
    }

    /// Joins a room; the answer comes when the first sync is done.
    pub(super) fn join(&mut self, call: Call, ticket: &str, timeout_ms: u64) {
        let ticket: Ticket = match ticket.parse() {
            Ok(ticket) => ticket,
            Err(error) => {
                let error = ApiError::new(Code::BadTicket, error.to_string())
                    .with_hint("ask a member for a new one: `rtc invite`");
                return call.answer(Err(error));
            }
        };
        if let Err(error) = self.enter(&ticket) {
            tracing::error!(room = %ticket.room, "cannot join: {error:#}");
            return call.answer(Err(ApiError::new(Code::Internal, format!("cannot join the room: {error:#}"))));
        }
        for address in &ticket.addresses {
            self.dial(address, Some(ticket.peer), Source::Ticket).unwrap_or_else(|error| {
                tracing::warn!(address, "an address of the ticket is of no use: {}", error.message);
            });
        }
        let deadline_us = self.clock.now().after_ms(timeout_ms);
        self.joins.push(Join { room: ticket.room, call, deadline_us });
        if ticket.peer == self.me || self.is_in_sync(ticket.room) {
            self.finish_joins(ticket.room);
        }
    }

    /// Becomes a member of the ticket's room and makes it the default one.
    fn enter(&mut self, ticket: &Ticket) -> anyhow::Result<()> {
        if self.board.secret(&ticket.room).is_none() {
            self.add_room(ticket.room, None, ticket.secret)?;
        }
        self.rooms.default.set(ticket.room).context("cannot remember the default room")
    }

    fn is_in_sync(&mut self, room: RoomId) -> bool {
        let links: Vec<_> = self.board.links().map(|(link, _)| link).collect();
        self.board.room(&room).is_some_and(|room| links.iter().any(|link| room.in_sync(*link)))
    }

    /// Answers those who wait for the first sync of `room`.
    pub(super) fn finish_joins(&mut self, room: RoomId) {
        let done: Vec<_> = self.joins.extract_if(.., |join| join.room == room).collect();
        let Some(info) = self.room_info(room).filter(|_| !done.is_empty()) else { return };
        for join in done {
            join.call.answer(Ok(Reply::Joined(info.clone())));
        }
    }

    pub(super) fn expire_joins(&mut self) {
        let now_us = self.clock.now().monotonic_us;
        for join in self.joins.extract_if(.., |join| join.deadline_us <= now_us) {
            let error = ApiError::new(Code::Timeout, "the room is joined, but no member was reached yet")
                .with_hint("it syncs by itself once one is; `rtc peers add ADDRESS` helps where multicast is blocked");
            join.call.answer(Err(error));
        }
    }

    /// A ticket into a room.
    pub(super) fn invite(&mut self, room: RoomId, addresses: bool) -> Result<Reply, ApiError> {
        let secret = self.board.secret(&room).ok_or_else(|| ApiError::new(Code::NotFound, "there is no such room"))?;
        let addresses = if addresses { self.ticket_addresses() } else { Vec::new() };
        Ok(Reply::Ticket { ticket: Ticket { room, secret, peer: self.me, addresses }.to_string() })
    }

    fn ticket_addresses(&self) -> Vec<String> {
        let mut addresses = self.listening.clone();
        // Somebody elsewhere tries the addresses that can work first.
        addresses.sort_by_key(|address| address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1"));
        addresses.truncate(rtc_core::ticket::TICKET_ADDRESSES_MAX);
        addresses
    }

    pub(super) fn dial(&mut self, address: &str, peer: Option<PeerKey>, source: Source) -> Result<(), ApiError> {
        self.net.dial(address, peer, source).map_err(|error| {
            ApiError::new(Code::BadArgument, format!("`{address}` is no address to dial: {error}"))
                .with_hint("write it like /ip4/192.0.2.1/tcp/4001")
        })
    }
}
