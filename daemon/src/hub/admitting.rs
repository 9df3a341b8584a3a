//! Invitations, on the side of who makes them: issued, listed, revoked, and redeemed by those who come.
//!
//! Somebody who comes is counted first, then made a member, then welcomed; each waits until the one before is on the disk. So a crash
//! in between admits nobody twice, and who was counted comes again and is let in.

use rtc_core::api::{self, ApiError, Code, Invited, Reply, Says};
use rtc_core::founding::Access;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::invite::{Invite, InviteId, InviteRefusal, Invites};
use rtc_core::members::Role;
use rtc_core::store::StoreError;
use rtc_core::sync::LinkId;
use rtc_core::sync::frame::Claim;
use rtc_core::ticket::{Pass, Secret, Ticket};

use crate::hub::members::check_name;
use crate::hub::{Call, Hub};
use crate::store::Job;

/// The fact that holds a room's invitations.
pub(super) const INVITES: &str = "invites";

/// What goes on once something is on the disk.
pub(super) enum Errand {
    /// A client is answered.
    Answer(Call, Reply),
    /// Who is counted is made a member.
    Grant(Newcomer),
    /// Who is a member is welcomed.
    Welcome(Newcomer),
}

/// Who has shown an invitation of ours.
pub(super) struct Newcomer {
    link: LinkId,
    claim: Claim,
    peer: PeerKey,
    invite: InviteId,
    role: Role,
    name: String,
}

impl Hub {
    /// Makes an invitation, and answers with its ticket once it is on the disk.
    pub(super) fn invite(&mut self, call: Call, ask: api::Invite) {
        if let Err(error) = self.try_invite(&call, ask) {
            call.answer(Err(error));
        }
    }

    fn try_invite(&mut self, call: &Call, ask: api::Invite) -> Result<(), ApiError> {
        let id = self.room_named(ask.room.as_deref())?;
        let (peer, addresses) = (self.me, self.ticket_addresses(ask.addresses));
        let ticket = |pass, horizon| {
            let ticket = Ticket { room: id, pass, peer, addresses, horizon };
            Reply::Ticket { ticket: ticket.to_string() }
        };
        if self.access(id) == Access::Open {
            let secret = self.board.secret(&id).ok_or_else(no_room)?;
            call.answer(Ok(ticket(Pass::Open(secret), None)));
            return Ok(());
        }
        // What is promised is to be kept: only an owner's grants count.
        if self.own_role(id) != Some(Role::Owner) {
            return Err(ApiError::new(Code::NotAllowed, "only an owner of the room invites")
                .with_hint("`rtc members` shows who is one"));
        }
        let name = ask.name.unwrap_or_default();
        if !name.is_empty() {
            check_name(&name)?;
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| ApiError::new(Code::Internal, format!("no randomness: {error}")))?;
        let made_ms = self.clock.now().wall_ms;
        let invite = Invite {
            secret: Secret(secret),
            role: ask.role,
            name,
            made_ms,
            expires_ms: made_ms.saturating_add(ask.lasts_ms),
            uses: ask.uses,
            revoked: false,
            redeemed: Vec::new(),
        };
        let horizon = self.board.room(&id).and_then(|room| room.landmark());
        let reply = ticket(Pass::Invite(invite.secret), horizon);
        let issued = self.invites.entry(id).or_default().issue(invite);
        issued.map_err(|error| {
            ApiError::new(Code::BadArgument, error.to_string())
                .with_hint("`rtc invite list` shows them, `rtc invite revoke` ends one")
        })?;
        self.keep_invites(id, Errand::Answer(call.clone(), reply));
        Ok(())
    }

    /// The invitations into a room that this daemon has made, the oldest first.
    pub(super) fn list_invites(&mut self, room: Option<&str>) -> Result<Reply, ApiError> {
        let room = self.room_named(room)?;
        let now_ms = self.clock.now().wall_ms;
        let invites = self.invites.get(&room).into_iter().flat_map(Invites::iter);
        let told = invites.map(|invite| Invited {
            id: invite.id().to_string(),
            role: invite.role,
            name: invite.name.clone(),
            made_ms: invite.made_ms,
            expires_ms: invite.expires_ms,
            uses: invite.uses,
            redeemed: invite.redeemed.clone(),
            ended: invite.ended(now_ms).map(|why| why.to_string()),
        });
        Ok(Reply::Invites(told.collect()))
    }

    /// Takes an invitation back, and answers once that is on the disk.
    pub(super) fn revoke_invite(&mut self, call: Call, room: Option<&str>, id: &str) {
        let revoked = self.room_named(room).and_then(|room| {
            let id: InviteId = id.parse().map_err(|error: rtc_core::invite::NotAnInvite| {
                ApiError::new(Code::BadArgument, error.to_string())
            })?;
            let is_there = self.invites.entry(room).or_default().revoke(id);
            is_there.then_some(room).ok_or_else(|| {
                ApiError::new(Code::NotFound, "there is no such invitation into this room")
                    .with_hint("`rtc invite list` shows those this machine has made")
            })
        });
        match revoked {
            Ok(room) => self.keep_invites(room, Errand::Answer(call, Reply::Done {})),
            Err(error) => call.answer(Err(error)),
        }
    }

    /// Takes in what the disk has of a room's invitations.
    pub(super) fn recall_invites(&mut self, room: RoomId, bytes: &[u8]) {
        match Invites::decode(bytes) {
            Ok(invites) => drop(self.invites.insert(room, invites)),
            Err(error) => tracing::error!(%room, "its invitations cannot be read, so none is good: {error}"),
        }
    }

    fn keep_invites(&mut self, room: RoomId, errand: Errand) {
        let Some(value) = self.invites.get(&room).map(Invites::encode) else { return };
        let token = self.errand(room, errand);
        self.store.send(Job::SetFact { room, token, name: INVITES.to_owned(), value });
    }

    /// What goes on when the number that this gives comes back.
    pub(super) fn errand(&mut self, room: RoomId, errand: Errand) -> u64 {
        self.calls_made += 1;
        self.errands.insert(self.calls_made, (room, errand));
        self.calls_made
    }

    /// Somebody says that he was invited by us. Who cannot prove it hears nothing.
    pub(super) fn hear_claim(&mut self, link: LinkId, peer: PeerKey, claim: Claim) {
        let proven = self.invites.iter().find_map(|(&room, invites)| {
            let invite = invites.iter().find(|invite| self.board.has_proven(link, &claim, &invite.secret))?;
            let (invite, role, name) = (invite.id(), invite.role, invite.name.clone());
            Some((room, Newcomer { link, claim, peer, invite, role, name }))
        });
        let Some((room, newcomer)) = proven else { return };
        let Some(claim) = self.wake_for_claim(room, (link, peer, newcomer.claim)) else { return };
        let newcomer = Newcomer { claim, ..newcomer };
        if self.board.room(&room).is_none() {
            // It could not be opened, which is no fault of the invitation: the newcomer comes again.
            return;
        }
        if self.own_role(room) != Some(Role::Owner) {
            return self.refuse(&newcomer, InviteRefusal::Powerless);
        }
        // Who may do as much already uses nothing up, and is not demoted.
        if self.role(room, &peer) >= Some(newcomer.role) {
            return self.welcome(room, &newcomer);
        }
        let now_ms = self.clock.now().wall_ms;
        let judged = self.invites.entry(room).or_default().redeem(newcomer.invite, peer, now_ms);
        match judged.map(drop) {
            Ok(()) => self.keep_invites(room, Errand::Grant(newcomer)),
            Err(why) => self.refuse(&newcomer, why),
        }
    }

    /// Goes on with what waited for a fact to be on the disk.
    pub(super) fn fact_set(&mut self, token: u64, result: Result<(), StoreError>) {
        let Some((room, errand)) = self.errands.remove(&token) else { return };
        match (errand, result) {
            (Errand::Answer(call, reply), Ok(())) => call.answer(Ok(reply)),
            (Errand::Answer(call, _), Err(error)) => {
                let error =
                    ApiError::new(Code::NotDurable, format!("the invitation is not on the disk: {error}"));
                call.answer(Err(error.with_hint("`rtc doctor` looks at the disk")));
            }
            (Errand::Grant(newcomer), Ok(())) => self.grant(room, newcomer),
            // He asks again with his next connection.
            (Errand::Grant(_) | Errand::Welcome(_), _) => {}
        }
    }

    fn grant(&mut self, room: RoomId, newcomer: Newcomer) {
        // Of one invitation and one key there is one grant, however often it is asked for.
        let request = format!("{}:{}", newcomer.invite, newcomer.peer);
        let name = Some(newcomer.name.clone()).filter(|name| !name.is_empty());
        let says = Says::MemberRole { key: newcomer.peer, role: newcomer.role, name };
        let token = self.errand(room, Errand::Welcome(newcomer));
        self.say(room, token, says, request);
    }

    /// Goes on with what waited for a message to be on the disk. Returns false where nothing did.
    pub(super) fn message_made(&mut self, token: u64, result: &Result<api::Edited, ApiError>) -> bool {
        let Some((room, errand)) = self.errands.remove(&token) else { return false };
        match (errand, result) {
            // Not so where he was removed since: the grant was made before.
            (Errand::Welcome(newcomer), Ok(_)) => match self.role(room, &newcomer.peer) {
                Some(_) => self.welcome(room, &newcomer),
                None => self.refuse(&newcomer, InviteRefusal::Removed),
            },
            (Errand::Answer(..) | Errand::Grant(_) | Errand::Welcome(_), result) => {
                tracing::warn!(%room, ?result, "a newcomer is not admitted");
            }
        }
        true
    }

    fn welcome(&mut self, room: RoomId, newcomer: &Newcomer) {
        tracing::info!(%room, peer = %newcomer.peer, invite = %newcomer.invite, "a newcomer is a member");
        let mut outputs = Vec::new();
        self.board.welcome(newcomer.link, &newcomer.claim, &room, &mut outputs);
        self.outputs(outputs);
    }

    fn refuse(&mut self, newcomer: &Newcomer, why: InviteRefusal) {
        tracing::info!(peer = %newcomer.peer, invite = %newcomer.invite, "a newcomer is refused: {why}");
        let mut outputs = Vec::new();
        self.board.refuse(newcomer.link, &newcomer.claim, why, &mut outputs);
        self.outputs(outputs);
    }

    fn access(&mut self, room: RoomId) -> Access {
        let founding = self.board.room(&room).and_then(|room| room.founding());
        founding.map_or(Access::Open, |founding| founding.access)
    }

    fn ticket_addresses(&self, wanted: bool) -> Vec<String> {
        if !wanted {
            return Vec::new();
        }
        let mut addresses: Vec<_> = self.listening.iter().map(ToString::to_string).collect();
        // Somebody elsewhere tries the addresses that can work first.
        addresses.sort_by_key(|address| address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1"));
        addresses.truncate(rtc_core::ticket::TICKET_ADDRESSES_MAX);
        addresses
    }
}

fn no_room() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such room")
}
