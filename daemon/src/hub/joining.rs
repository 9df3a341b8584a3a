//! Rooms joined by ticket: open ones at once, others as soon as who has made the invitation lets us in.
//!
//! A join that waits for that is remembered until it is answered, over restarts too.

use rtc_core::api::{ApiError, Code, Joining, Reply};
use rtc_core::founding::Founding;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::invite::InviteRefusal;
use rtc_core::ticket::{Landmark, Pass, Secret, Ticket};

use crate::hub::{Call, Hub, Join};
use crate::net::{Multiaddr, Source};

/// Joins that may wait at once.
const JOINS_MAX: usize = 64;

impl Hub {
    /// Takes up the joins that waited when the daemon ended.
    pub(super) fn recall_joins(&mut self) {
        match self.state.joins() {
            Ok(tickets) => tickets.into_iter().for_each(|ticket| {
                self.dial_all(&ticket);
                self.tickets.insert(ticket.room, ticket);
            }),
            Err(error) => tracing::error!("rooms to be joined are not known: {error}"),
        }
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
        let (room, peer) = (ticket.room, ticket.peer);
        if let Err(error) = self.begin_join(ticket) {
            tracing::error!(%room, "cannot join: {error:#}");
            let error = ApiError::new(Code::Internal, format!("cannot join the room: {error:#}"));
            return call.answer(Err(error.with_hint("`rtc doctor` looks at the disk")));
        }
        let deadline_us = self.clock.now().after_ms(timeout_ms);
        self.joins.push(Join { room, call, deadline_us });
        if peer == self.me || (!self.tickets.contains_key(&room) && self.is_in_sync(room)) {
            self.finish_joins(room);
        }
    }

    fn begin_join(&mut self, ticket: Ticket) -> anyhow::Result<()> {
        let room = ticket.room;
        match ticket.pass {
            Pass::Open(secret) => self.enter(room, None, secret, None)?,
            Pass::Invite(_) if ticket.peer == self.me => {
                anyhow::ensure!(self.board.secret(&room).is_some(), "the invitation is this machine's own");
                self.make_default(room)?;
            }
            Pass::Invite(invite) => {
                anyhow::ensure!(
                    self.tickets.len() < JOINS_MAX,
                    "more than {JOINS_MAX} rooms are being joined"
                );
                self.tickets.insert(room, ticket.clone());
                self.keep_joins()?;
                self.redeem(&ticket.peer, invite);
            }
        }
        self.dial_all(&ticket);
        Ok(())
    }

    /// Shows a peer that has just connected the invitations it has made.
    pub(super) fn redeem_all(&mut self, peer: &PeerKey) {
        let tickets = self.tickets.values().filter(|ticket| ticket.peer == *peer);
        let secrets: Vec<Secret> = tickets.map(|ticket| *ticket.pass.secret()).collect();
        secrets.into_iter().for_each(|invite| self.redeem(peer, invite));
    }

    fn redeem(&mut self, peer: &PeerKey, invite: Secret) {
        let mut outputs = Vec::new();
        self.board.redeem(peer, invite, &mut outputs);
        self.outputs(outputs);
    }

    /// Who has made an invitation has let us in.
    pub(super) fn hear_welcome(&mut self, invite: Secret, founding: &[u8], secret: Secret) {
        let Some(room) = self.room_of_invite(&invite) else { return };
        let founding = Founding::decode(founding).ok().filter(|founding| founding.room() == room);
        let Some(founding) = founding else {
            return tracing::warn!(%room, "who lets us in says what the room is not founded by");
        };
        tracing::info!(%room, "we are a member");
        let horizon = self.tickets.get(&room).and_then(|ticket| ticket.horizon);
        match self.enter(room, Some(&founding), secret, horizon).and_then(|()| self.end_join(room)) {
            Ok(()) if self.is_in_sync(room) => self.finish_joins(room),
            Ok(()) => {}
            Err(error) => {
                // Asked again with the next connection, or by the next daemon.
                tracing::error!(%room, "cannot join: {error:#}");
                let error = ApiError::new(Code::Internal, format!("cannot join the room: {error:#}"));
                self.answer_joins(room, &error.with_hint("`rtc doctor` looks at the disk"));
            }
        }
    }

    /// Who has made an invitation does not let us in.
    pub(super) fn hear_refusal(&mut self, invite: Secret, why: InviteRefusal) {
        let Some(room) = self.room_of_invite(&invite) else { return };
        tracing::info!(%room, "we are not let in: {why}");
        if let Err(error) = self.end_join(room) {
            tracing::error!(%room, "it will be asked for again: {error:#}");
        }
        let error = ApiError::new(Code::BadTicket, why.to_string());
        self.answer_joins(
            room,
            &error.with_hint("ask who has given you the ticket for a new one: `rtc invite`"),
        );
    }

    /// Gives up a join that waits, if there is one of a room whose id begins like that. Returns whether there was.
    pub(super) fn give_up_join(&mut self, beginning: &str) -> Result<bool, ApiError> {
        let is_meant = |room: &&RoomId| beginning.len() >= 8 && room.to_string().starts_with(beginning);
        let Some(room) = self.tickets.keys().find(is_meant).copied() else { return Ok(false) };
        self.end_join(room).map_err(|error| {
            ApiError::new(Code::Internal, format!("the join cannot be given up: {error:#}"))
                .with_hint("`rtc doctor` looks at the disk")
        })?;
        self.answer_joins(room, &ApiError::new(Code::NotFound, "the join was given up"));
        Ok(true)
    }

    fn room_of_invite(&self, invite: &Secret) -> Option<RoomId> {
        self.tickets.values().find(|ticket| ticket.pass.secret() == invite).map(|ticket| ticket.room)
    }

    fn end_join(&mut self, room: RoomId) -> anyhow::Result<()> {
        self.tickets.remove(&room);
        self.keep_joins()
    }

    fn keep_joins(&self) -> anyhow::Result<()> {
        let tickets: Vec<Ticket> = self.tickets.values().cloned().collect();
        Ok(self.state.set_joins(&tickets)?)
    }

    /// Holds a room from now on, which becomes the default one.
    fn enter(
        &mut self,
        room: RoomId,
        founding: Option<&Founding>,
        secret: Secret,
        horizon: Option<Landmark>,
    ) -> anyhow::Result<()> {
        if self.board.secret(&room).is_none() {
            // What was held of it when it was left is there again.
            self.state.bring_back(&room)?;
            self.add_room(room, founding, secret, horizon)?;
        } else {
            let mut outputs = Vec::new();
            self.board.learn_secret(&room, secret, self.clock.now(), &mut outputs);
            self.outputs(outputs);
        }
        self.make_default(room)
    }

    /// The rooms that others have not let us into yet.
    pub(super) fn joining(&self) -> Vec<Joining> {
        let connected = |peer: PeerKey| self.board.links().any(|(_, link)| link.peer() == peer);
        let told = self.tickets.values().map(|ticket| Joining {
            room: ticket.room,
            peer: ticket.peer,
            asked: connected(ticket.peer),
        });
        told.collect()
    }

    pub(super) fn is_in_sync(&mut self, room: RoomId) -> bool {
        let links: Vec<_> = self.board.links().map(|(link, _)| link).collect();
        links.iter().any(|link| self.board.in_sync(&room, *link))
    }

    /// Answers those who wait for the first sync of `room`.
    pub(super) fn finish_joins(&mut self, room: RoomId) {
        if self.tickets.contains_key(&room) {
            return;
        }
        let done: Vec<_> = self.joins.extract_if(.., |join| join.room == room).collect();
        let Some(info) = self.room_info(room).filter(|_| !done.is_empty()) else { return };
        for join in done {
            join.call.answer(Ok(Reply::Room(info.clone())));
        }
    }

    fn answer_joins(&mut self, room: RoomId, error: &ApiError) {
        for join in self.joins.extract_if(.., |join| join.room == room) {
            join.call.answer(Err(error.clone()));
        }
    }

    /// Answers those who wait for what has come true, or has not in time.
    pub(super) fn advance_joins(&mut self) {
        // Equal without anything having come: a room that was held already is joined again.
        for room in self.joins.iter().map(|join| join.room).collect::<Vec<_>>() {
            if self.is_in_sync(room) {
                self.finish_joins(room);
            }
        }
        let now_us = self.clock.now().monotonic_us;
        for join in self.joins.extract_if(.., |join| join.deadline_us <= now_us) {
            let error = match self.tickets.contains_key(&join.room) {
                true => ApiError::new(Code::Timeout, "who has made the invitation was not reached yet").with_hint(
                    "the join goes on in the background, `rtc status` shows it; `rtc peers add ADDRESS` helps where multicast is blocked",
                ),
                false => ApiError::new(Code::Timeout, "the room is joined, but no member was reached yet").with_hint(
                    "it syncs by itself once one is; `rtc peers add ADDRESS` helps where multicast is blocked",
                ),
            };
            join.call.answer(Err(error));
        }
    }

    fn dial_all(&mut self, ticket: &Ticket) {
        for address in &ticket.addresses {
            self.dial(address, Source::Ticket).unwrap_or_else(|error| {
                tracing::warn!(address, "an address of the ticket is of no use: {}", error.message);
            });
        }
        // Where no address leads to it, a relay in common may. A network that is too busy meets it by other ways, or later.
        let _ = self.net.prefer(ticket.peer);
    }

    pub(super) fn dial(&mut self, address: &str, source: Source) -> Result<(), ApiError> {
        let parsed = address.parse::<Multiaddr>().map_err(|error| error.to_string());
        let dialled =
            parsed.and_then(|address| self.net.dial(address, source).map_err(|error| error.to_string()));
        dialled.map_err(|error| {
            ApiError::new(Code::BadArgument, format!("`{address}` cannot be dialled: {error}"))
                .with_hint("write it like /ip4/192.0.2.1/tcp/4001")
        })
    }
}
