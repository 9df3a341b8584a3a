//! The keeper's part (DESIGN §3, law 14): when the owner's daemon writes a horizon, and where.
//!
//! A horizon waits for every member that was seen within the absence limit, and for the undo window. A keeper that may have lost what
//! it told, as after a power cut or from a backup, also catches up with each of these members first: one of them may stand on a horizon
//! that the keeper does not remember, and there must be no second one beside it.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{ApiError, Code, Compact, Compacted, Policy};
use crate::author::About;
use crate::canonical::{DecodeError, Reader, Writer};
use crate::clock::VersionVector;
use crate::horizon::Horizon;
use crate::id::{Actor, PeerKey};
use crate::members::Role;
use crate::op::TABLE_VERSION;
use crate::planted::{Bug, planted};
use crate::room::{Output, Room, commit};
use crate::store::{FORKS, LANDMARK, MEMBERS, POLICY};
use crate::sync::Now;
use crate::ticket::Landmark;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// As long as nobody says otherwise.
const POLICY_DEFAULT: Policy = Policy { undo_window_ms: 7 * DAY_MS, absence_limit_ms: 30 * DAY_MS };
/// How often a keeper looks whether there is enough to let go.
const LOOK_MS: u64 = 60 * 60 * 1000;
/// Messages from which on it is worth a horizon by itself, which costs every member a walk over what it holds.
const MESSAGES_MIN: u64 = 10_000;
/// What a room's keeper knows of its members, and its policy.
pub(super) struct Keeper {
    policy: Option<Policy>,
    members: BTreeMap<PeerKey, Member>,
    /// Of whom nothing is missing here, or was when they were here.
    met: BTreeSet<PeerKey>,
    look_at_us: u64,
    /// Whether something may be lost that was told before the room slept: what it has told since proves nothing of that.
    in_doubt: bool,
}

/// One member.
#[derive(Default)]
struct Member {
    /// When it was connected last, in milliseconds since 1970.
    seen_ms: u64,
    /// What was on its disk then.
    durable: VersionVector,
}

impl Default for Keeper {
    fn default() -> Self {
        // Not at once: it asks for the history, which a room that has just been opened leaves alone.
        Self {
            policy: None,
            members: BTreeMap::new(),
            met: BTreeSet::new(),
            look_at_us: LOOK_MS * 1000,
            in_doubt: false,
        }
    }
}

impl Keeper {
    fn policy(&self) -> Policy {
        self.policy.unwrap_or(POLICY_DEFAULT)
    }

    /// Notes what a member has on its disk; it is here now.
    pub(super) fn meet(&mut self, peer: PeerKey, durable: &VersionVector, now: Now) {
        let member = self.members.entry(peer).or_default();
        member.seen_ms = now.wall_ms.max(member.seen_ms);
        member.durable.join(durable);
    }

    /// Nothing that a member has is missing here.
    pub(super) fn catch_up(&mut self, peer: PeerKey) {
        self.met.insert(peer);
    }

    /// Of whom nothing is missing here; given once.
    pub(super) fn take_met(&mut self) -> BTreeSet<PeerKey> {
        std::mem::take(&mut self.met)
    }

    /// Recalls what was known of those, when to look again, if that is known, and whether something may be lost.
    pub(super) fn recall(&mut self, met: BTreeSet<PeerKey>, look_at_us: Option<u64>, in_doubt: bool) {
        self.in_doubt = in_doubt;
        self.met.extend(met);
        self.look_at_us = look_at_us.unwrap_or(self.look_at_us);
    }

    fn encode_members(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(self.members.len());
        for (key, Member { seen_ms, durable }) in &self.members {
            writer.array(3).bytes(&key.0).uint(*seen_ms).array(durable.len());
            for (actor, seq) in durable.iter() {
                writer.array(2).bytes(&actor.0).uint(seq);
            }
        }
        writer.finish()
    }

    fn decode_members(bytes: &[u8]) -> Result<BTreeMap<PeerKey, Member>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut members = BTreeMap::new();
        for _ in 0..reader.array(bytes.len(), "members")? {
            reader.array_of(3, "a member")?;
            let (key, seen_ms) = (PeerKey(reader.bytes_of()?), reader.uint()?);
            let mut durable = VersionVector::default();
            for _ in 0..reader.array(bytes.len(), "a vector")? {
                reader.array_of(2, "an entry")?;
                durable.raise(Actor(reader.bytes_of()?), reader.uint()?);
            }
            members.insert(key, Member { seen_ms, durable });
        }
        reader.finish()?;
        Ok(members)
    }
}

impl Room {
    /// Recalls a fact that was remembered with [`Output::Fact`], or that came with the room's ticket. One that cannot be read is forgotten:
    /// then the keeper waits longer, or by the usual policy, forks are heard of again, and the ticket says nothing.
    pub fn recall(&mut self, name: &str, bytes: &[u8]) {
        match name {
            LANDMARK => self.horizons.landmark = Landmark::decode(bytes).ok(),
            MEMBERS => self.keeper.members = Keeper::decode_members(bytes).unwrap_or_default(),
            POLICY => {
                let mut reader = Reader::new(bytes);
                let mut read = || -> Result<Policy, DecodeError> {
                    reader.array_of(2, "a policy")?;
                    Ok(Policy { undo_window_ms: reader.uint()?, absence_limit_ms: reader.uint()? })
                };
                self.keeper.policy = read().ok();
            }
            FORKS => self.recall_forks(bytes),
            _ => {}
        }
    }

    /// Whether nothing is lost that this daemon told, a horizon perhaps, which a second one must not pass by.
    pub(super) fn has_proof(&self) -> bool {
        let holds = |(epoch, seq)| seq > 0 && self.log.head(&Actor::new(self.keys.public(), epoch)) >= seq;
        !self.keeper.in_doubt && self.epoch_proof.is_some_and(holds)
    }

    /// When the keeper of a room looks first, in a process that has just begun; never where this is not his daemon, or there is little.
    pub(super) fn keeper_first_look(keeper: PeerKey, me: PeerKey, messages: u64) -> Option<u64> {
        (keeper == me && messages >= MESSAGES_MIN).then_some(LOOK_MS * 1000)
    }

    fn is_keeper(&self) -> bool {
        self.keeper_key() == Some(self.keys.public())
    }

    /// Remembers what a member that leaves has on its disk.
    pub(super) fn remember_members(&mut self, now: Now, out: &mut Vec<Output>) {
        if !self.is_keeper() {
            return;
        }
        for peer in self.peers.values() {
            self.keeper.meet(peer.key, &peer.durable, now);
        }
        out.push(Output::Fact { name: MEMBERS, value: self.keeper.encode_members() });
    }

    /// When the keeper looks again whether there is enough to let go; never where there cannot be.
    pub(super) fn keeper_wakes_at(&self) -> Option<u64> {
        (self.is_keeper() && self.log.messages() >= MESSAGES_MIN).then_some(self.keeper.look_at_us)
    }

    /// Writes a horizon where that is due and lets go enough.
    pub(super) fn keep_house(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.keeper_wakes_at().is_none_or(|at| at > now.monotonic_us) {
            return;
        }
        self.keeper.look_at_us = now.after_ms(LOOK_MS);
        let (cut, _) = self.cut(self.keeper.policy(), now, out);
        let (messages, _) = self.log.weigh(&cut);
        let kept = self.log.messages() - messages;
        if messages >= MESSAGES_MIN.max(kept) {
            // What keeps it from being done is told to who asks for it.
            let _ = self.compact(&Compact::default(), now, out);
        }
    }

    /// Writes a horizon, or says what one would let go.
    ///
    /// # Errors
    /// Where this is not the keeper's daemon, and where nothing may be forgotten.
    pub fn compact(&mut self, ask: &Compact, now: Now, out: &mut Vec<Output>) -> Result<Compacted, ApiError> {
        if !self.is_keeper() {
            return Err(ApiError::new(Code::ReadOnly, "only the daemon of the room's owner lets history go")
                .with_hint("run it there: `rtc compact` on the machine that made the room"));
        }
        self.refuse_if_read_only()?;
        self.flush(now, out);
        let usual = self.keeper.policy();
        let policy = Policy {
            undo_window_ms: ask.undo_window_ms.unwrap_or(usual.undo_window_ms),
            absence_limit_ms: ask.absence_limit_ms.unwrap_or(usual.absence_limit_ms),
        };
        if ask.remember && !ask.dry_run {
            self.keeper.policy = Some(policy);
            let mut writer = Writer::new();
            writer.array(2).uint(policy.undo_window_ms).uint(policy.absence_limit_ms);
            out.push(Output::Fact { name: POLICY, value: writer.finish() });
        }
        let (cut, waits_for) = self.cut(policy, now, out);
        let (messages, bytes) = self.log.weigh(&cut);
        let kept = self.log.messages() - messages;
        let mut done = Compacted { horizon: None, messages, bytes, ground_bytes: 0, kept, waits_for, policy };
        if messages == 0 {
            return Ok(done);
        }
        let cannot =
            |why: &dyn std::fmt::Display| ApiError::new(Code::ReadOnly, format!("nothing is let go: {why}"));
        let footing = self.footing_at(&cut).map_err(|error| cannot(&error))?;
        done.ground_bytes = footing.pack().deflated.len() as u64;
        if ask.dry_run {
            return Ok(done);
        }
        let horizon = Horizon {
            before: self.horizon(),
            frontier: self.frontier(&cut),
            ground: footing.hash(),
            table: TABLE_VERSION,
        };
        let op = horizon.op().map_err(|error| cannot(&error))?;
        let about = About { time_ms: Some(now.wall_ms), ..About::default() };
        let made = self.make(now, out, |author, _| author.say(std::slice::from_ref(&op), about));
        done.horizon = Some(made.map_err(commit::refuse)?);
        self.flush(now, out);
        self.follow_horizons(now, out);
        match self.alarm() {
            Some(why) if self.horizon() != done.horizon => Err(ApiError::new(Code::Internal, why)),
            _ => Ok(done),
        }
    }

    /// The greatest cut that may be made, and who keeps it from being greater.
    fn cut(&mut self, policy: Policy, now: Now, out: &mut Vec<Output>) -> (VersionVector, Vec<PeerKey>) {
        self.note_authors();
        self.remember_members(now, out);
        let (limit, waits_for) = self.limit(policy, now);
        (self.replica.clean_cut(&limit), waits_for)
    }

    /// Whoever wrote is a member, met or not: it held what it had seen.
    fn note_authors(&mut self) {
        let horizon = self.horizon().and_then(|dot| self.replica.log_entry(&dot, &[]));
        let horizon_ms = horizon.and_then(|entry| entry.time_ms).unwrap_or(0);
        for dot in self.log.newest_of_actors().collect::<Vec<_>>() {
            let entry = self.replica.log_entry(&dot, &[]);
            let noted = entry.and_then(|entry| entry.time_ms).zip(self.replica.version_of(&dot));
            let key = dot.actor.key();
            if let Some((wall_ms, seen)) = noted {
                self.keeper.meet(key, &seen, Now { wall_ms, ..Now::default() });
            } else if !self.keeper.members.contains_key(&key) {
                // A keeper that lost its memory knows this one by the ground alone: not what it had seen, nor when.
                let own = [(dot.actor, dot.seq)].into_iter().collect();
                self.keeper.meet(key, &own, Now { wall_ms: horizon_ms, ..Now::default() });
            }
        }
    }

    /// What may be let go, and who keeps that from being more.
    fn limit(&self, policy: Policy, now: Now) -> (VersionVector, Vec<PeerKey>) {
        let me = self.keys.public();
        let old = self.replica.version_at(now.wall_ms.saturating_sub(policy.undo_window_ms));
        let absent_ms = now.wall_ms.saturating_sub(policy.absence_limit_ms);
        let mut members: BTreeMap<PeerKey, VersionVector> = BTreeMap::new();
        for (&key, member) in self.keeper.members.iter().filter(|(_, member)| member.seen_ms >= absent_ms) {
            members.entry(key).or_default().join(&member.durable);
        }
        // Whoever was removed is waited for no more.
        members.retain(|key, _| *key != me && self.may(key, Role::Viewer));
        let has_proof = self.has_proof();
        let mut limit = old.clone();
        let mut waits_for = Vec::new();
        for (key, holds) in members {
            let lacks = |(actor, seq): (Actor, u64)| holds.get(&actor).max(self.log.floor(&actor)) < seq;
            let may_know_more = !has_proof && !self.keeper.met.contains(&key);
            if may_know_more || old.iter().any(lacks) {
                waits_for.push(key);
            }
            for (actor, _) in old.iter() {
                let durable = holds.get(&actor) + u64::from(planted(Bug::HorizonTooFar));
                limit.lower(&actor, if may_know_more { self.log.floor(&actor) } else { durable });
            }
        }
        (limit, waits_for)
    }
}
