//! Forgetting (DESIGN §3, law 14): which horizons a room follows, what it then stands on, and what of the messages left outside
//! becomes.

use std::collections::BTreeMap;

use crate::clock::VersionVector;
use crate::ground::{Ground, Unfoldable};
use crate::horizon::{Frontier, Horizon, NotNext};
use crate::id::{Actor, Dot, PeerKey};
use crate::members::Role;
use crate::message::Message;
use crate::replica::Replica;
use crate::room::footing::{Footing, FootingError, Standing, decode_outside, encode_outside};
use crate::room::{Output, Room, Waiting, packed};
use crate::scene::Root;
use crate::store::{Forgetting, OUTSIDE, Rename, StoreError};
use crate::sync::Now;
use crate::ticket::Landmark;
use crate::view::MessageView;

/// How long the author of a message that a horizon left outside has to issue it again before others do.
const REISSUE_GRACE_MS: u64 = 60_000;

/// What a room knows of horizons.
#[derive(Default)]
pub(super) struct Horizons {
    /// The one it stands on.
    pub(super) standing: Option<Standing>,
    /// Those that came and are still to be judged.
    heard: Vec<(Dot, Horizon)>,
    /// Messages that were left outside and have not been issued again, in order.
    outside: Vec<Outside>,
    /// Of each actor the greatest number that was issued again.
    claimed: BTreeMap<Actor, u64>,
    /// The one that the ticket into the room names.
    pub(super) landmark: Option<Landmark>,
    /// Why a horizon that came is not followed.
    pub(super) alarm: Option<String>,
}

/// A message that a horizon left outside.
struct Outside {
    message: Message,
    /// When it is to be issued again.
    due_us: u64,
}

/// Why a horizon is not followed.
#[derive(Debug, thiserror::Error)]
enum NotFollowed {
    #[error(transparent)]
    NotNext(#[from] NotNext),
    #[error("message {0} that the horizon holds is another one here")]
    Other(Dot),
    #[error("the horizon does not hold the past of what it holds")]
    Open,
    #[error(transparent)]
    Footing(#[from] FootingError),
}

impl Horizons {
    /// Notes a message that has been taken in: a horizon is judged once it is applied.
    pub(super) fn note(&mut self, message: &MessageView<'_>, owner: Option<PeerKey>) {
        // Without a founding message nobody knows yet whose horizons count.
        if owner.is_none_or(|owner| owner == message.actor.key())
            && let Some(horizon) = Horizon::of(message)
        {
            self.heard.push((message.dot(), horizon));
        }
        if let Some(origin) = message.origin() {
            self.claim(&origin.dot);
            self.outside.retain(|outside| origin_of(&outside.message) != origin.dot);
        }
    }

    /// Messages are called otherwise.
    pub(super) fn rename(&mut self, rename: &Rename) {
        self.heard.iter_mut().for_each(|(dot, _)| *dot = rename.of(*dot));
    }

    fn claim(&mut self, origin: &Dot) {
        let claimed = self.claimed.entry(origin.actor).or_default();
        *claimed = origin.seq.max(*claimed);
    }

    /// Whether a later message of the actor is said to have been issued again.
    pub(super) fn is_claimed_after(&self, dot: &Dot) -> bool {
        self.claimed.get(&dot.actor).is_some_and(|claimed| *claimed > dot.seq)
    }

    /// When the next message is to be issued again.
    pub(super) fn due_us(&self) -> Option<u64> {
        self.outside.iter().map(|outside| outside.due_us).min()
    }

    /// Whether nothing is left to be judged or issued again.
    pub(super) fn is_settled(&self) -> bool {
        self.heard.is_empty() && self.outside.is_empty()
    }

    fn encode_outside(&self) -> Vec<u8> {
        encode_outside(self.outside.iter().map(|outside| &outside.message))
    }
}

impl Room {
    /// Stands on what the store has kept of forgotten messages; what it holds beside that is loaded next.
    ///
    /// # Errors
    /// Where it is not what was kept.
    pub fn restore(&mut self, ground: &[u8], outside: &[u8]) -> Result<(), StoreError> {
        let damaged = |what: &dyn std::fmt::Display| {
            StoreError::Damaged(format!("what is kept of forgotten messages: {what}"))
        };
        let standing = Standing::decode(ground).map_err(|error| damaged(&error))?;
        let footing =
            standing.packed.open(standing.dot, &standing.horizon).map_err(|error| damaged(&error))?;
        self.replica = Replica::on(&footing.ground, Root::of(self.founding.as_ref()));
        footing.ground.origins.iter().for_each(|origin| self.horizons.claim(origin));
        self.log.stand(
            standing.dot,
            &standing.horizon.frontier,
            &footing,
            &footing.ground.version,
            &BTreeMap::new(),
            |_| None,
        );
        self.replica.rename(&self.log.branches, None);
        self.horizons.standing = Some(standing);
        self.leave_outside(decode_outside(outside).map_err(|error| damaged(&error))?, Now::default());
        Ok(())
    }

    /// What people should know: that a peer sees something else, or why a horizon that came is not followed, and nothing forgotten.
    pub fn alarm(&self) -> Option<&str> {
        self.witness.alarm().or(self.horizons.alarm.as_deref())
    }

    /// The horizon that the room stands on, for a ticket.
    pub fn landmark(&self) -> Option<Landmark> {
        self.horizons
            .standing
            .as_ref()
            .map(|standing| Landmark { dot: standing.dot, ground: standing.horizon.ground })
    }

    /// The horizon that the room stands on.
    pub fn horizon(&self) -> Option<Dot> {
        self.horizons.standing.as_ref().map(|standing| standing.dot)
    }

    /// What is left of forgotten messages; the empty ground where none are.
    pub fn ground(&self) -> Ground {
        let standing = self.horizons.standing.as_ref();
        let footing =
            standing.and_then(|standing| standing.packed.open(standing.dot, &standing.horizon).ok());
        footing.map(|footing| footing.ground).unwrap_or_default()
    }

    /// Whom the last forgotten message of an actor had seen to the end.
    pub(super) fn forgotten_clock(&self, actor: &Actor) -> VersionVector {
        let standing = self.horizons.standing.as_ref();
        let footing =
            standing.and_then(|standing| standing.packed.open(standing.dot, &standing.horizon).ok());
        footing.map(|footing| footing.clock(actor)).unwrap_or_default()
    }

    /// Which messages are forgotten.
    pub fn forgotten(&self) -> VersionVector {
        self.log.frontier.version()
    }

    /// Judges the horizons that came, and stands on those that count.
    pub(super) fn follow_horizons(&mut self, now: Now, out: &mut Vec<Output>) {
        let Some(owner) = self.founding.as_ref().map(|founding| founding.owner) else { return };
        for (dot, horizon) in std::mem::take(&mut self.horizons.heard) {
            // Whoever was handed the ground of a later one may still hear of those before.
            let is_past = horizon.frontier.is_seen_by(&self.forgotten());
            if dot.actor.key() != owner || is_past && self.horizon().is_some() {
                continue;
            }
            match self.footing_of(dot, &horizon) {
                Ok(footing) => self.stand(dot, horizon, footing, now, out),
                Err(why) => self.horizons.alarm = Some(format!("the horizon {dot} is not followed: {why}")),
            }
        }
    }

    /// What a horizon leaves, made of what is held.
    fn footing_of(&self, dot: Dot, horizon: &Horizon) -> Result<Footing, NotFollowed> {
        let before = self.horizons.standing.as_ref().map(|standing| (&standing.dot, &standing.horizon));
        let mut seen = self.replica.version_of(&dot).unwrap_or_default();
        if let Some((_, before)) = before {
            // Whatever counts has seen all of that.
            seen.join(&before.frontier.version());
        }
        horizon.check(before, &seen)?;
        if !horizon.is_foldable() {
            return Err(FootingError::Table { dot, table: horizon.table }.into());
        }
        for (&actor, cut) in horizon.frontier.iter() {
            let last = Dot { actor, seq: cut.seq };
            let held = self.log.link(&actor, cut.seq).zip(self.log.lamport(&last));
            if held != Some((cut.link, cut.lamport)) {
                return Err(NotFollowed::Other(last));
            }
        }
        let version = horizon.frontier.version();
        if !self.replica.is_cut(&version) {
            return Err(NotFollowed::Open);
        }
        let footing = self.footing_at(&version).map_err(FootingError::from)?;
        let (said, found) = (horizon.ground, footing.hash());
        if said != found {
            return Err(FootingError::Hash { dot, said, found }.into());
        }
        Ok(footing)
    }

    /// What is left when the messages of a version are forgotten, which is a cut and holds what is forgotten already.
    pub(super) fn footing_at(&self, version: &VersionVector) -> Result<Footing, Unfoldable> {
        let ground = self.replica.ground_at(version)?;
        let before = self.horizons.standing.as_ref();
        let before = before.and_then(|standing| standing.packed.open(standing.dot, &standing.horizon).ok());
        let forgotten = |actor: &Actor| before.as_ref().map_or(0, |before| before.ground.version.get(actor));
        let clock = |(actor, seq): (Actor, u64)| {
            let clock = match before.as_ref().filter(|_| forgotten(&actor) == seq) {
                Some(before) => before.clock(&actor),
                None => {
                    let mut clock = self.replica.version_of(&Dot { actor, seq }).unwrap_or_default();
                    // Whatever is not forgotten has seen all that is.
                    before.iter().for_each(|before| clock.join(&before.ground.version));
                    clock
                }
            };
            (actor, clock)
        };
        let clocks: BTreeMap<Actor, VersionVector> = version.iter().map(clock).collect();
        let has_seen = |of: &Actor, other: &Actor| of == other || clocks[of].get(other) >= version.get(other);
        Ok(Footing::of(ground, has_seen))
    }

    /// Of a version the links and the lamports.
    pub(super) fn frontier(&self, version: &VersionVector) -> Frontier {
        let cut = |(actor, seq)| {
            let (link, lamport) = (self.log.link(&actor, seq)?, self.log.lamport(&Dot { actor, seq })?);
            Some((actor, crate::horizon::Cut { seq, lamport, link }))
        };
        version.iter().filter_map(cut).collect()
    }

    /// Forgets what lies in a horizon and drops what it leaves outside. From here on the room is the one that never held either.
    pub(super) fn stand(
        &mut self,
        dot: Dot,
        horizon: Horizon,
        footing: Footing,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        self.flush(now, out);
        let dropped = self.replica.stand(&footing.ground);
        footing.ground.origins.iter().for_each(|origin| self.horizons.claim(origin));
        let mut outside_from: BTreeMap<Actor, u64> = BTreeMap::new();
        for message in &dropped {
            let first = outside_from.entry(message.actor).or_insert(message.seq);
            *first = message.seq.min(*first);
        }
        let kept = self.replica.version_vector();
        let version_of = |dot: &Dot| self.replica.version_of(dot);
        self.log.stand(dot, &horizon.frontier, &footing, &kept, &outside_from, version_of);
        // Whatever waited may wait for what is forgotten.
        self.waiting = Waiting::default();
        self.ask_again();
        self.packed = packed::Packed::default();
        self.renew_author();
        let frontier = horizon.frontier.clone();
        let standing = Standing { dot, horizon, packed: footing.pack() };
        let ground = standing.encode();
        self.horizons.standing = Some(standing);
        self.horizons.alarm = None;
        self.leave_outside(dropped, now);
        let outside = self.horizons.encode_outside();
        out.push(Output::Forget(Box::new(Forgetting { ground, outside, frontier, outside_from })));
        self.tell_otherwise(out);
    }

    /// Tells subscribers that something shows otherwise, which is no message's doing.
    pub(super) fn tell_otherwise(&mut self, out: &mut Vec<Output>) {
        let has_changed = !self.replica.take_changes().is_empty();
        if has_changed && self.watched {
            out.push(Output::Event(Box::new(crate::api::Event::Lagged { dropped: 0 })));
        }
    }

    /// Keeps messages until they are issued again: our own at once, others' if nobody else does.
    fn leave_outside(&mut self, messages: Vec<Message>, now: Now) {
        let me = self.keys.public();
        for mut message in messages {
            // That of a branch may be longer than one that is read again, and nobody asks for it.
            message.clock.clear();
            let due_us =
                if message.actor.key() == me { now.monotonic_us } else { now.after_ms(REISSUE_GRACE_MS) };
            let origin = origin_of(&message);
            if self.horizons.outside.iter().all(|held| origin_of(&held.message) != origin) {
                self.horizons.outside.push(Outside { message, due_us });
            }
        }
    }

    /// Whether what is issued again from here is kept, and counts.
    pub(super) fn may_reissue(&self) -> bool {
        self.read_only.is_none() && self.may(&self.keys.public(), Role::Editor)
    }

    /// Issues again what is due.
    pub(super) fn reissue(&mut self, now: Now, out: &mut Vec<Output>) {
        if !self.may_reissue() || self.horizons.due_us().is_none_or(|due| due > now.monotonic_us) {
            return;
        }
        let is_due = |outside: &mut Outside| outside.due_us <= now.monotonic_us;
        for Outside { message, .. } in self.horizons.outside.extract_if(.., is_due).collect::<Vec<_>>() {
            if let Err(error) = self.make_again(&message, now, out) {
                // It is lost to everybody who has the horizon, but not from this disk.
                let text =
                    format!("message {} was left outside and cannot be issued again: {error}", message.dot());
                self.horizons.alarm = Some(text);
                self.horizons.outside.push(Outside { message, due_us: u64::MAX });
            }
        }
        self.flush(now, out);
        out.push(Output::Fact { name: OUTSIDE, value: self.horizons.encode_outside() });
    }
}

/// The message by which all re-issues of one are known.
fn origin_of(message: &Message) -> Dot {
    message.origin().map_or(message.dot(), |origin| origin.dot)
}
