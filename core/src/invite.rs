//! The invitations into one room, as the daemon that made them keeps them: never in the room's log.
//!
//! Each is judged by that one daemon alone, so an invitation for one admits one, whoever comes at the same time. A use is counted, durably,
//! before the newcomer becomes a member; who was counted and then lost his way, to a crash or a cut, is not counted again.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD_NOCASE;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::founding::ROOM_NAME_BYTES_MAX;
use crate::id::PeerKey;
use crate::members::Role;
use crate::ticket::Secret;

/// Invitations one room keeps; those that can admit nobody any more make room for new ones.
pub const INVITES_MAX: usize = 256;
/// Whom one invitation may admit.
pub const INVITE_USES_MAX: u32 = 1024;

/// An invitation's name: what `rtc invite list` shows and its secret gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InviteId([u8; 5]);

/// A text that is no invitation's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an invitation is named by the 8 letters that `rtc invite list` shows")]
pub struct NotAnInvite;

/// One invitation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invite {
    /// What its ticket proves.
    pub secret: Secret,
    /// What it makes a newcomer.
    pub role: Role,
    /// How the newcomer is to be called; empty where nobody said.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// How many it may admit.
    pub uses: u32,
    /// Whether it was taken back.
    pub revoked: bool,
    /// Who has redeemed it, in order.
    pub redeemed: Vec<PeerKey>,
}

/// Why an invitation admits somebody no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InviteRefusal {
    /// It came too late.
    #[error("the invitation has expired")]
    Expired,
    /// As many as it may admit have come.
    #[error("the invitation was used already")]
    Spent,
    /// It was taken back.
    #[error("the invitation was revoked")]
    Revoked,
    /// Who comes was admitted by it, and removed since.
    #[error("you were a member by this invitation, and were removed")]
    Removed,
    /// Who made it is not an owner any more.
    #[error("who made the invitation may not invite any more")]
    Powerless,
}

/// An invitation that cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InviteError {
    /// There are as many as there may be.
    #[error("more than {INVITES_MAX} open invitations into one room")]
    TooMany,
    /// For none, or for too many.
    #[error("an invitation for {0}: it admits from 1 to {INVITE_USES_MAX}")]
    Uses(u32),
}

/// All invitations of one room, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Invites(Vec<Invite>);

impl Invite {
    /// Its name.
    pub fn id(&self) -> InviteId {
        let hash = blake3::derive_key("rtc 2026 invite id v1", &self.secret.0);
        InviteId(*hash.first_chunk().expect("5 of 32 bytes"))
    }

    /// Whom it can still admit.
    pub fn uses_left(&self) -> u32 {
        self.uses.saturating_sub(u32::try_from(self.redeemed.len()).unwrap_or(u32::MAX))
    }

    /// Why it admits nobody new at that time, if it does not.
    pub fn ended(&self, now_ms: u64) -> Option<InviteRefusal> {
        match () {
            () if self.revoked => Some(InviteRefusal::Revoked),
            () if self.uses_left() == 0 => Some(InviteRefusal::Spent),
            () if self.expires_ms <= now_ms => Some(InviteRefusal::Expired),
            () => None,
        }
    }
}

impl Invites {
    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Invite> {
        self.0.iter()
    }

    /// Makes one. What can admit nobody any more, and is not needed to know who came, may go for it.
    pub fn issue(&mut self, invite: Invite) -> Result<InviteId, InviteError> {
        if !(1..=INVITE_USES_MAX).contains(&invite.uses) {
            return Err(InviteError::Uses(invite.uses));
        }
        if self.0.len() >= INVITES_MAX {
            let over = self.0.iter().position(|other| other.ended(invite.made_ms).is_some());
            self.0.remove(over.ok_or(InviteError::TooMany)?);
        }
        let id = invite.id();
        self.0.push(invite);
        Ok(id)
    }

    /// Takes one back: it admits nobody from now on. Returns false where there is none of that name.
    pub fn revoke(&mut self, id: InviteId) -> bool {
        let invite = self.0.iter_mut().find(|invite| invite.id() == id);
        invite.map(|invite| invite.revoked = true).is_some()
    }

    /// Judges who has proven to know the secret of the invitation `id`, and counts him; he is to be admitted once that is durable.
    /// Who was counted before is not counted again.
    pub fn redeem(&mut self, id: InviteId, peer: PeerKey, now_ms: u64) -> Result<&Invite, InviteRefusal> {
        let invite = self.0.iter_mut().find(|invite| invite.id() == id).ok_or(InviteRefusal::Revoked)?;
        match invite.ended(now_ms) {
            Some(InviteRefusal::Revoked) => return Err(InviteRefusal::Revoked),
            _ if invite.redeemed.contains(&peer) => {}
            Some(refusal) => return Err(refusal),
            None => invite.redeemed.push(peer),
        }
        Ok(invite)
    }

    /// The canonical bytes: `[1, [secret, role, name, made, expires, uses, revoked, [key…]]…]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(2).uint(1).array(self.0.len());
        for invite in &self.0 {
            writer.array(8).bytes(&invite.secret.0).text(invite.role.word()).text(&invite.name);
            writer.uint(invite.made_ms).uint(invite.expires_ms).uint(invite.uses.into());
            writer.uint(invite.revoked.into()).array(invite.redeemed.len());
            for peer in &invite.redeemed {
                writer.bytes(&peer.0);
            }
        }
        writer.finish()
    }

    /// Reads what [`Invites::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array_of(2, "invitations")?;
        if reader.uint()? != 1 {
            return Err(DecodeError::Unexpected { expected: "invitations of format 1", offset: 1 });
        }
        let len = reader.array(INVITES_MAX, "invitations")?;
        let invites = (0..len).map(|_| read(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self(invites))
    }
}

fn read(reader: &mut Reader<'_>) -> Result<Invite, DecodeError> {
    reader.array_of(8, "an invitation")?;
    let secret = Secret(reader.bytes_of()?);
    let role = Role::of_word(&reader.text(16, "a role")?);
    let role = role.ok_or(DecodeError::Unexpected { expected: "a role", offset: 0 })?;
    Ok(Invite {
        secret,
        role,
        name: reader.text(ROOM_NAME_BYTES_MAX, "a name")?,
        made_ms: reader.uint()?,
        expires_ms: reader.uint()?,
        uses: u32::try_from(reader.uint()?).unwrap_or(u32::MAX),
        revoked: reader.uint()? != 0,
        redeemed: {
            let len = reader.array(INVITE_USES_MAX as usize, "who was admitted")?;
            (0..len).map(|_| reader.bytes_of().map(PeerKey)).collect::<Result<_, _>>()?
        },
    })
}

impl InviteRefusal {
    /// All of them, each at the place of the number that stands for it between daemons.
    const ALL: [Self; 5] = [Self::Expired, Self::Spent, Self::Revoked, Self::Removed, Self::Powerless];

    /// The number that stands for it.
    pub(crate) fn number(self) -> u64 {
        Self::ALL.into_iter().position(|other| other == self).expect("all are there") as u64
    }

    /// What a number stands for; one of a later version for the most general.
    pub(crate) fn of_number(number: u64) -> Self {
        let found = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied());
        found.unwrap_or(Self::Powerless)
    }
}

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD_NOCASE.encode(&self.0).to_lowercase())
    }
}

impl fmt::Debug for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteId({self})")
    }
}

impl FromStr for InviteId {
    type Err = NotAnInvite;

    fn from_str(text: &str) -> Result<Self, NotAnInvite> {
        let bytes = BASE32_NOPAD_NOCASE.decode(text.as_bytes()).map_err(|_| NotAnInvite)?;
        bytes.try_into().map(Self).map_err(|_| NotAnInvite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;

    fn invite(number: u8, uses: u32) -> Invite {
        Invite {
            secret: Secret([number; 32]),
            role: Role::Editor,
            name: String::new(),
            made_ms: 1000,
            expires_ms: 1000 + DAY_MS,
            uses,
            revoked: false,
            redeemed: Vec::new(),
        }
    }

    fn key(number: u8) -> PeerKey {
        PeerKey([number; 32])
    }

    /// What becomes of who comes, one after the other, to an invitation for so many.
    fn check(uses: u32, comers: &[(u8, u64)], expected: &[Option<InviteRefusal>]) {
        let mut invites = Invites::default();
        let id = invites.issue(invite(1, uses)).unwrap();
        let mut judge = |&(number, now_ms): &(u8, u64)| {
            let refusal = invites.redeem(id, key(number), now_ms).err();
            // A crash after each: what is kept is all there is.
            invites = Invites::decode(&invites.encode()).unwrap();
            refusal
        };
        assert_eq!(comers.iter().map(&mut judge).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn of_two_who_come_with_an_invitation_for_one_the_first_is_admitted_however_often_he_asks() {
        let spent = Some(InviteRefusal::Spent);
        check(1, &[(1, 2000), (2, 2000), (1, 2001), (2, 2001)], &[None, spent, None, spent]);
        check(2, &[(1, 2000), (1, 2000), (2, 2000), (3, 2000)], &[None, None, None, spent]);
    }

    #[test]
    fn who_comes_late_is_refused_but_not_who_was_counted_in_time() {
        let (end, late) = (1000 + DAY_MS, Some(InviteRefusal::Expired));
        check(3, &[(1, end - 1), (2, end), (1, end), (3, u64::MAX)], &[None, late, None, late]);
    }

    #[test]
    fn a_revoked_invitation_admits_nobody_not_even_who_was_counted() {
        let mut invites = Invites::default();
        let id = invites.issue(invite(1, 2)).unwrap();
        assert!(invites.redeem(id, key(1), 2000).is_ok());
        assert!(invites.revoke(id));
        for number in [1, 2] {
            assert_eq!(invites.redeem(id, key(number), 2000).err(), Some(InviteRefusal::Revoked));
        }
        assert!(!invites.revoke(invite(2, 1).id()));
    }

    #[test]
    fn open_invitations_are_bounded_and_ended_ones_make_room() {
        let mut invites = Invites::default();
        for number in 0..INVITES_MAX {
            let mut next = invite(0, 1);
            next.secret.0[..8].copy_from_slice(&number.to_be_bytes());
            invites.issue(next).unwrap();
        }
        assert_eq!(invites.issue(invite(9, 1)), Err(InviteError::TooMany));
        let oldest = invites.iter().next().unwrap().id();
        invites.revoke(oldest);
        let id = invites.issue(invite(9, 1)).unwrap();
        assert!(!invites.revoke(oldest) && invites.revoke(id));
        for uses in [0, INVITE_USES_MAX + 1] {
            assert_eq!(invites.issue(invite(8, uses)), Err(InviteError::Uses(uses)));
        }
    }

    #[test]
    fn names_and_bytes_round_trip() {
        let mut invites = Invites::default();
        let id = invites.issue(Invite { name: "ada".into(), ..invite(7, 3) }).unwrap();
        invites.redeem(id, key(5), 2000).unwrap();
        let bytes = invites.encode();
        assert_eq!(Invites::decode(&bytes), Ok(invites));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!("abc".parse::<InviteId>(), Err(NotAnInvite));
        for cut in 0..bytes.len() {
            assert!(Invites::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for refusal in InviteRefusal::ALL {
            assert_eq!(InviteRefusal::of_number(refusal.number()), refusal);
        }
    }
}
