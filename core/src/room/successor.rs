//! A key of this machine that gave way to another: wherever it is a member, the new one takes its place, as soon as the room is awake.
//!
//! Nothing has to be remembered for that. A room says by itself whether it still knows the old key, so a crash, a room that slept, was put
//! aside or came from a backup, and a horizon that left the rotation outside are all one case. Nor does it matter whether the room is
//! complete: what is said is each step from key to key as it was, so that it is one with what others may hold of it already.

use crate::author::About;
use crate::chain::Link;
use crate::id::{Dot, PeerKey};
use crate::members::Former;
use crate::op::Op;
use crate::room::{Output, Room};
use crate::sync::Now;

/// What a room has looked at: how much was said of it, and its horizon.
pub(super) type Looked = (u64, Option<Dot>);

impl Room {
    /// Whether a key is this machine's, or was.
    pub fn is_own(&self, key: &PeerKey) -> bool {
        self.keys.public() == *key || self.keys.former().contains(key)
    }

    /// This machine's keys, the newest first.
    pub fn own_keys(&self) -> Vec<PeerKey> {
        [self.keys.public()].into_iter().chain(self.keys.former().into_iter().rev()).collect()
    }

    /// Whether a former key may be a member still.
    pub(super) fn is_succession_due(&self) -> bool {
        !self.keys.former().is_empty()
            && self.read_only.is_none()
            && self.succeeded != Some((self.rules(), self.horizon()))
    }

    /// Takes the place of our former keys.
    pub(super) fn succeed(&mut self, now: Now, out: &mut Vec<Output>) {
        if !self.is_succession_due() {
            return;
        }
        let me = self.keys.public();
        let members = self.replica.members();
        let seats = members.iter().filter(|member| member.role.is_some() && !member.has_key(&me));
        let former = self.keys.former();
        if let Some(oldest) = former.iter().position(|key| seats.clone().any(|seat| seat.key == *key)) {
            let mut ops = self.steps_from(&former[oldest..]);
            // Nobody else can tell any more what that key has made in time.
            if let Some(dot) = self.horizon().filter(|dot| former.contains(&dot.actor.key()))
                && let Some(horizon) = self.log.link(&dot.actor, dot.seq)
                && let Some(op) = ops.last_mut()
            {
                Former::vouch(op, &horizon);
            }
            let about = About { time_ms: Some(now.wall_ms), ..About::default() };
            // So few always fit; were it otherwise, the next start would try again.
            let _ = self.make(now, out, |author, _| author.say(&ops, about));
            self.flush(now, out);
        }
        self.succeeded = Some((self.rules(), self.horizon()));
    }

    /// How the newest key came after those, one after the other.
    fn steps_from(&self, former: &[PeerKey]) -> Vec<Op> {
        let me = self.keys.public();
        let nexts = former.iter().skip(1).chain([&me]);
        let steps = former.iter().zip(nexts).filter_map(|(old, next)| {
            let step = self.keys.give_way(old, next)?;
            Some(if *next == me { step.op() } else { step.op_after(&self.keys.give_way(next, &me)?) })
        });
        steps.collect()
    }

    /// Whose horizons count now: the newest key of who founded the room.
    pub(super) fn keeper_key(&self) -> Option<PeerKey> {
        let founding = self.founding.as_ref()?;
        self.replica.keeper().filter(|_| founding.first_member().is_some()).or(Some(founding.owner))
    }

    /// Whether a message that is held is of who founded the room, in whichever of his keys that was his then.
    pub(super) fn is_by_keeper(&self, dot: &Dot) -> bool {
        self.founding.as_ref().is_some_and(|founding| match founding.first_member() {
            Some(_) => self.replica.is_by_keeper(dot),
            None => founding.owner == dot.actor.key(),
        })
    }

    /// Whether a horizon may be followed that is handed over, which `newest` has made or vouches for, after those `keepers`: it has to be the
    /// keeper's key as he is known here, or a later one of his. With one that gave way anybody may have made it who has found that key
    /// since, unless it is held, and the rotation had seen it.
    pub(super) fn is_for_keeper(
        &self,
        (dot, link): (&Dot, &Link),
        keepers: &[Former],
        newest: PeerKey,
    ) -> bool {
        let is_known = |key: PeerKey| key == newest || keepers.iter().any(|former| former.key == key);
        let is_held = || self.log.link(&dot.actor, dot.seq) == Some(*link);
        self.keeper_key().is_some_and(is_known)
            || is_held() && self.is_by_keeper(dot)
            || self.is_rotation_unheard(&newest)
    }

    /// Whether this machine is the keeper's, and that this key gave way is known to nobody else, as far as is known here: then others have
    /// only the horizons that were made with it.
    fn is_rotation_unheard(&self, former: &PeerKey) -> bool {
        let is_own = self.keys.former().contains(former) && self.keeper_key() == Some(self.keys.public());
        let has_seen = |rotation: &Dot| {
            let held = self.log.vector();
            let mut others = held.iter().filter(|(actor, _)| !self.is_own(&actor.key()));
            let told = |peer: &crate::room::peer::Peer| peer.told.get(&rotation.actor) >= rotation.seq;
            self.peers.values().any(told)
                || others.any(|(actor, seq)| {
                    let seen = self.replica.version_of(&Dot { actor, seq });
                    seen.is_some_and(|seen| seen.get(&rotation.actor) >= rotation.seq)
                })
        };
        is_own && !self.replica.rotations_of(former).any(|rotation| has_seen(&rotation))
    }

    /// How the founder's keys followed upon each other up to the author of a horizon, for those who have no message of the room.
    pub(super) fn keepers_before(&self, author: &PeerKey) -> Vec<Former> {
        self.keepers().into_iter().take_while(|former| former.key != *author).collect()
    }

    /// The keys that the founder had before.
    pub(super) fn keepers(&self) -> Vec<Former> {
        let founder = self.replica.members().into_iter().next();
        founder.map(|founder| founder.former).unwrap_or_default()
    }
}
