//! Forgetting: the keeper lets history go at any moment, and what must hold of that.

use std::collections::BTreeSet;

use crate::api::{Code, Compact, Compacted};
use crate::id::{Actor, Dot};
use crate::members::Role;
use crate::message::Message;
use crate::naive;
use crate::room::{self, Input};
use crate::sim::SimDisk;
use crate::sim::judge::CLOSE;
use crate::sim::universe::{Event, OUTAGE_MS, TROUBLE_MS, Universe};
use crate::store::{Forgetting, Record};

/// The peer whose user founded the room.
pub(super) const KEEPER: usize = 0;
/// Of 1,000 universes, in how many the keeper lets history go.
const FORGETFUL_PER_MILLE: u64 = 400;
/// Of universes with forks one in so many has no horizons: those tell of a fork that nothing else would.
const FORKS_ALONE: u64 = 9;
/// How often it does so at most.
const COMPACTIONS_MAX: u64 = 4;
/// Of 1,000 times, how often the keeper's process ends in the middle of it, where processes crash.
const CRASHES_PER_MILLE: u64 = 300;
/// Outputs among which that crash comes.
const STEPS: u64 = 8;
/// Nobody is away for so long.
const FOREVER_MS: u64 = u64::MAX;

impl Universe {
    /// Sets when the keeper lets history go; mostly never.
    pub(super) fn plan_forgetting(&mut self) {
        let has_forks_alone = self.drawn.mischief.equivocate > 0 && self.seed.is_multiple_of(FORKS_ALONE);
        if has_forks_alone || !self.random.per_mille(FORGETFUL_PER_MILLE) {
            return;
        }
        for _ in 0..1 + self.random.below(COMPACTIONS_MAX) {
            self.soon(TROUBLE_MS + OUTAGE_MS, Event::Compact);
        }
    }

    /// The keeper lets go what it may, if it runs.
    pub(super) fn compact(&mut self) -> Result<(), String> {
        let keeper = &self.peers[KEEPER];
        if !keeper.is_up() || keeper.paused_until > self.us {
            return Ok(());
        }
        // Who lost a horizon hears of it from those it waits for; whom it does not wait for it may contradict.
        let limits = if keeper.has_lost { &[FOREVER_MS][..] } else { &[0, 2_000, FOREVER_MS] };
        let ask = Compact {
            undo_window_ms: Some(*self.random.pick(&[0, 0, 1_000, 5_000])),
            absence_limit_ms: Some(*self.random.pick(limits)),
            remember: self.random.per_mille(300),
            dry_run: self.random.per_mille(100),
            ..Compact::default()
        };
        if self.faults.process.crashes > 0 && self.random.per_mille(CRASHES_PER_MILLE) {
            self.peers[KEEPER].crash_in = Some(self.random.below(STEPS));
        }
        let (done, outputs) = self.peers[KEEPER].compact(&ask, self.us);
        match done {
            Ok(Compacted { horizon: Some(dot), messages, .. }) => {
                self.note(|| format!("the horizon {dot} lets {messages} messages go"));
                self.horizons += 1;
                if ask.absence_limit_ms == Some(FOREVER_MS) {
                    self.check_everybody_has(&outputs)?;
                }
            }
            Ok(_) => {}
            Err(error) if error.code == Code::Internal => return Err(format!("the keeper: {error}")),
            Err(error) => self.note(|| format!("nothing is let go: {error}")),
        }
        self.outputs(KEEPER, outputs)
    }

    /// A keeper that waits for everybody lets nothing go that a member lacks which it knows, and which lost nothing.
    fn check_everybody_has(&mut self, outputs: &[crate::switchboard::Output]) -> Result<(), String> {
        use crate::switchboard::Output::Room;
        let forgetting = outputs.iter().find_map(|output| match output {
            Room { output: room::Output::Forget(forgetting), .. } => Some(forgetting),
            _ => None,
        });
        let Some(Forgetting { frontier, .. }) = forgetting.map(|forgetting| &**forgetting) else {
            return Ok(());
        };
        let keys: BTreeSet<_> = frontier.iter().map(|(actor, _)| actor.key()).collect();
        for peer in self.honest() {
            let me = self.peers[peer].keys.public();
            // Nobody waits for one who is no member any more.
            if !self.peers[KEEPER].room().is_some_and(|room| room.may(&me, Role::Viewer)) {
                continue;
            }
            let state = &mut self.peers[peer];
            // A copy has the same key and perhaps more.
            if state.has_lost || self.drawn.disk.copies > 0 || !keys.contains(&state.keys.public()) {
                continue;
            }
            if state.room().is_some_and(|room| !frontier.is_seen_by(&room.vector())) {
                return Err(format!("the keeper does not wait for peer {peer}"));
            }
        }
        Ok(())
    }

    /// A room lets messages go: what it keeps of them is what the plainest code makes of them, if it had them all.
    pub(super) fn forget(&mut self, peer: usize, forgetting: &Forgetting) -> Result<Option<Input>, String> {
        let root = self.root();
        let state = &mut self.peers[peer];
        let ground = state.room().ok_or("what does not run forgets")?.ground();
        let before = std::mem::replace(&mut state.ground, ground);
        if (peer == KEEPER || self.seed.is_multiple_of(CLOSE)) && !state.disk.is_rotten() {
            let is_forgotten = |message: &Message| {
                let dot = message.dot();
                forgetting.frontier.covers(&dot) && !before.version.covers(&dot)
            };
            let behind: Vec<Message> = state.handed().into_iter().filter(is_forgotten).collect();
            let branches = state.disk.branches();
            let held = |actor: &Actor| before.version.get(actor).max(branches.base(actor));
            let forgotten = state.ground.version.iter().map(|(actor, seq)| seq.saturating_sub(held(&actor)));
            let is_whole = forgotten.sum::<u64>() == behind.len() as u64;
            if is_whole && naive::ground(&before, &root, &behind).as_ref() != Ok(&state.ground) {
                return Err(format!("peer {peer} does not keep what the messages come to that it lets go"));
            }
        }
        Ok(state.forget(forgetting))
    }

    /// Replaces the disks of peers that stand on a horizon whose message is on no disk any more: nobody can be shown why they forgot,
    /// so what they keep is worth nothing to others.
    pub(super) fn replace_orphans(&mut self) -> Result<(), String> {
        for peer in self.honest() {
            // Where the store failed, what the room stands on is not what the disk has, and goes with the process.
            if self.peers[peer].has_failed {
                continue;
            }
            let Some(dot) = self.peers[peer].room().and_then(|room| room.horizon()) else { continue };
            let holds = |disk: &SimDisk| disk.link(&dot.actor, dot.seq).is_some() || disk.has_forgotten(&dot);
            if self.honest().into_iter().any(|other| holds(&self.peers[other].disk)) {
                continue;
            }
            if self.drawn.disk.flips + self.drawn.disk.restores == 0 {
                return Err(format!("peer {peer} stands on {dot}, which is on no disk"));
            }
            self.crash(peer);
            self.peers[peer].disk.lose_all();
            self.peers[peer].has_lost = true;
            self.forgive();
            self.start_soon(peer);
        }
        Ok(())
    }

    /// Notes which messages are others that were issued again.
    pub(super) fn note_reissues(&mut self, records: &[Record]) {
        for Record { actor, body, .. } in records.iter().filter(|_| self.horizons > 0) {
            let Ok(message) = Message::decode(*actor, body) else { continue };
            if let Some(origin) = message.origin() {
                self.reissues.entry(origin.dot).or_default().insert(message.dot());
            }
        }
    }

    /// The messages that are neither held nor forgotten as part of a horizon, nor waiting to be issued again.
    pub(super) fn lost<'a>(&self, dots: impl IntoIterator<Item = &'a Dot>) -> BTreeSet<Dot> {
        let held = self.sound_anywhere();
        let honest = (0..self.peers.len()).filter(|&peer| self.is_honest(peer));
        let disks: Vec<_> = honest.map(|peer| &self.peers[peer].disk).collect();
        let outside: BTreeSet<Dot> = disks.iter().flat_map(|disk| disk.outside()).collect();
        let is_kept = |dot: &Dot| {
            held.contains(dot) || outside.contains(dot) || disks.iter().any(|disk| disk.has_forgotten(dot))
        };
        let is_lost = |dot: &&Dot| !is_kept(dot) && !self.issued_again(dot).any(is_kept);
        dots.into_iter().filter(is_lost).copied().collect()
    }

    /// Whether a peer keeps a message that nobody has issued again, as far as it knows.
    pub(super) fn has_outside(&self, peer: usize) -> bool {
        let disk = &self.peers[peer].disk;
        let knows = |again: &Dot| disk.link(&again.actor, again.seq).is_some() || disk.has_forgotten(again);
        // What is on the disk may be older than what the room knows.
        disk.outside().iter().any(|dot| !self.issued_again(dot).any(knows))
    }

    /// The messages as which one was issued again, be it the first or itself another that was: all of them name the first.
    fn issued_again(&self, dot: &Dot) -> impl Iterator<Item = &Dot> {
        let mut of_first = self.reissues.iter();
        of_first
            .find(|(first, again)| *first == dot || again.contains(dot))
            .into_iter()
            .flat_map(|(_, again)| again)
    }
}
