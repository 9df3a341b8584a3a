//! What must hold of a universe: all along, and when the faults are over.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Undo, Wait};
use crate::block::Bodies;
use crate::chain::Link;
use crate::ground::Ground;
use crate::id::{Actor, Dot, StateHash};
use crate::members::Role;
use crate::message::Message;
use crate::naive::{self, Folded};
use crate::op::NoEffect;
use crate::replica::{Replica, Stretch};
use crate::room::{self, Output, Room, Standing};
use crate::sim::Report;
use crate::sim::audit::audit;
use crate::sim::forgetting::KEEPER;
use crate::sim::peer::SimPeer;
use crate::sim::universe::{LOOK_MS, Universe};
use crate::store::Record;
use crate::sync::{RoomFrame, Run};

/// Looks after the faults by which all must agree.
const ROUNDS_MAX: u64 = 40;
/// So much longer it takes where history was let go: what an absent peer made is issued again by others after a minute.
const REISSUE_ROUNDS_MAX: u64 = 130;
/// Frames by which a universe does not end yet: agreement has to last.
const DELIVERIES_MIN: u64 = 2_000;
/// One universe in so many is looked at most closely.
pub(super) const CLOSE: u64 = 4;

impl Universe {
    /// Whoever holds the same shows the same, whenever that is.
    pub(super) fn look(&mut self) -> Result<(), String> {
        for peer in 0..self.peers.len() {
            let Some(room) = self.peers[peer].room() else { continue };
            let (digest, state) = (room.digest(), room.replica().state_hash());
            if *self.seen.entry(digest).or_insert(state) != state {
                return Err(format!("peer {peer} does not show what another showed of the same messages"));
            }
        }
        Ok(())
    }

    /// Whether the faults are over and everybody agrees; that has a limit.
    pub(super) fn is_over(&mut self) -> Result<bool, String> {
        let Some(peace_us) = self.peace_us.filter(|_| self.is_edited()) else { return Ok(false) };
        // Who withholds may come out with something at any time.
        self.calm_us = self.calm_us.max(peace_us);
        if self.readmit()? {
            self.calm_us = self.us;
            return Ok(false);
        }
        self.rounds = self.rounds.max((self.us - self.calm_us).div_ceil(LOOK_MS * 1000));
        let rounds_max = ROUNDS_MAX + if self.horizons > 0 { REISSUE_ROUNDS_MAX } else { 0 };
        match self.disagreement() {
            None => {
                self.calm_us = self.us;
                Ok(self.deliveries >= DELIVERIES_MIN)
            }
            Some(_) if self.rounds < rounds_max => Ok(false),
            Some(what) => {
                self.note_held();
                Err(format!("{what}, {} heartbeats after the faults ended", self.rounds))
            }
        }
    }

    /// Daemons of ours that took part.
    pub(super) fn honest(&self) -> Vec<usize> {
        (0..self.peers.len()).filter(|&peer| self.is_honest(peer) && self.peers[peer].life > 0).collect()
    }

    /// Of each peer what it holds, for the log.
    fn note_held(&mut self) {
        for peer in self.honest() {
            let Some(vector) = self.peers[peer].room().map(|room| room.vector()) else { continue };
            for (actor, seq) in vector.iter() {
                let link = self.peers[peer].disk.link(&actor, seq);
                self.note(|| format!("{peer} holds {actor}:{seq} {link:?}"));
            }
        }
    }

    fn disagreement(&mut self) -> Option<String> {
        let mut held = None;
        for peer in self.honest() {
            if !self.peers[peer].is_at_rest() {
                return Some(format!("peer {peer} is not at rest"));
            }
            let me = self.peers[peer].keys.public();
            // Who may not edit leaves it to others, if they have it; of his own nothing would count.
            let may_reissue = self.peers[peer].room()?.may(&me, Role::Editor);
            if may_reissue && self.has_outside(peer) {
                return Some(format!("peer {peer} has yet to issue messages again"));
            }
            let digest = self.peers[peer].room()?.digest();
            if *held.get_or_insert(digest) != digest {
                return Some(format!("peer {peer} does not hold what others hold"));
            }
        }
        self.unheard_fork()
    }

    /// Of forks of which both messages are held everybody is to know.
    fn unheard_fork(&mut self) -> Option<String> {
        for dot in self.forks.clone() {
            let held = self.honest().into_iter().flat_map(|peer| self.peers[peer].disk.links(&dot));
            let are_both_held = held.collect::<BTreeSet<Link>>().len() > 1;
            for peer in self.honest().into_iter().filter(|_| are_both_held) {
                let room = self.peers[peer].room()?;
                if !room.forks().any(|known| known == dot) {
                    return Some(format!("peer {peer} does not know of the fork at {dot}"));
                }
            }
        }
        None
    }

    /// Everybody holds the same, shows what the naive fold shows, and lost nothing acknowledged.
    pub(super) fn judge(&mut self) -> Result<Report, String> {
        self.judge_all(&self.honest())?;
        let honest = self.honest().into_iter().map(|peer| &self.peers[peer]);
        if let Some(lost) = self.lost(honest.flat_map(|peer| peer.owed.iter().chain(&peer.told))).first() {
            return Err(format!("message {lost} was acknowledged, and is lost"));
        }
        let peer = self.honest()[0];
        let report = Report {
            faults: self.drawn,
            peers: self.peers.iter().filter(|peer| peer.life > 0).count() as u64,
            edits: self.edits_made,
            messages: self.peers[peer].disk.records().len() as u64,
            deliveries: self.deliveries,
            acknowledged: self.peers.iter().map(|peer| peer.owed.len() as u64).sum(),
            horizons: self.horizons,
            rounds: self.rounds,
            peaks: self.peaks,
            trace: self.trace.hash(),
            log: Vec::new(),
        };
        if self.seed.is_multiple_of(CLOSE) {
            self.judge_repetition(peer)?;
            self.judge_undo(peer)?;
        }
        Ok(report)
    }

    /// All hold the same, by the names that the plainest code gives it, and each came to it by a way that is allowed.
    fn judge_all(&mut self, members: &[usize]) -> Result<(), String> {
        let messages = self.peers[members[0]].disk.messages_plainly()?;
        let (horizon, ground) = (self.room(members[0])?.horizon(), self.room(members[0])?.ground());
        let naive = naive::fold_on(&ground, &self.root(), &messages);
        for &peer in members {
            let room = self.peers[peer].room_id();
            let keys = self.peers[peer].keys.clone();
            // Once for all: signatures cost more than everything else together.
            let keys = (peer == members[0]).then_some(&*keys);
            let disk = &self.peers[peer].disk;
            let journal = disk.records();
            audit(&room, disk.frontier(), &disk.branches(), journal, keys)
                .map_err(|what| format!("peer {peer}: {what}"))?;
            if journal.len() != messages.len() {
                return Err(format!("peer {peer} holds {} of {} messages", journal.len(), messages.len()));
            }
            if self.room(peer)?.horizon() != horizon {
                let alarm = self.room(peer)?.alarm().unwrap_or("nothing is wrong").to_owned();
                return Err(format!("peer {peer} does not follow the horizon of others: {alarm}"));
            }
            if let Some(alarm) = self.room(peer)?.alarm() {
                return Err(format!("peer {peer} is alarmed in the end: {alarm}"));
            }
            if self.state_hash(peer)? != naive.scene.hash() {
                return Err(format!("peer {peer} does not show the naive fold's scene"));
            }
            if self.room(peer)?.replica().charter() != naive.charter {
                return Err(format!("peer {peer} has other members than the naive fold"));
            }
            let keys = self.room(peer)?.own_keys();
            let standings = keys.iter().map(|key| self.room(peer).map(|room| room.standing_of(key)));
            let standings = standings.collect::<Result<Vec<_>, _>>()?;
            let is_known = standings.iter().any(|standing| *standing != Standing::Unknown);
            if !self.is_strict() && is_known && standings[0] == Standing::Unknown {
                return Err(format!("peer {peer} is none of the members any more"));
            }
            if let Some(void) = self.void_of(peer, &naive) {
                return Err(format!("message {void} of peer {peer} was acknowledged, and does not count"));
            }
        }
        Ok(())
    }

    /// What a peer was told is made, and has no effect though nobody is removed, and neither its disk nor that of who admitted it lost
    /// anything.
    fn void_of(&self, peer: usize, naive: &Folded) -> Option<Dot> {
        let SimPeer { owed, told, has_lost, .. } = &self.peers[peer];
        let is_void = |dot: &&Dot| naive.ineffective.get(&(**dot, 0)) == Some(&NoEffect::NotAllowed);
        let may_be_void = self.is_strict() || *has_lost || self.peers[KEEPER].has_lost;
        let mut made = owed.iter().chain(told).filter(|_| !may_be_void);
        made.find(is_void).copied()
    }

    fn state_hash(&mut self, peer: usize) -> Result<StateHash, String> {
        Ok(self.room(peer)?.replica().state_hash())
    }

    fn room(&mut self, peer: usize) -> Result<&mut Room, String> {
        self.peers[peer].room().ok_or_else(|| format!("peer {peer} is down in the end"))
    }

    /// Everything comes once more, and nothing happens.
    fn judge_repetition(&mut self, peer: usize) -> Result<(), String> {
        let before = self.state_hash(peer)?;
        let Some(&(link, _)) = self.network.links_of(peer).first() else { return Ok(()) };
        let now = self.peers[peer].clock.now(self.us);
        let runs = runs(self.peers[peer].disk.records());
        for run in runs {
            let mut outputs = Vec::new();
            let frame = RoomFrame::Run { run };
            let Some(room) = self.peers[peer].room() else { continue };
            room.handle(room::Input::Frame { link, frame }, now, &mut outputs);
            if outputs.iter().any(|output| matches!(output, Output::Store { .. })) {
                return Err(format!("peer {peer} takes for new what it holds"));
            }
        }
        if self.state_hash(peer)? != before {
            return Err(format!("repetition changes what peer {peer} shows"));
        }
        Ok(())
    }

    /// An undo does what the naive fold says, a redo leaves nothing of it, and a snapshot forgets neither.
    fn judge_undo(&mut self, peer: usize) -> Result<(), String> {
        let mut messages = self.peers[peer].disk.messages();
        let before = self.state_hash(peer)?;
        if messages.is_empty() {
            return Ok(());
        }
        let ground = self.room(peer)?.ground();
        let mut reopened = self.reopen(peer, &ground, &messages)?;
        let target = self.random.pick(&messages).dot();
        let me = self.peers[peer].keys.public();
        let room = self.peers[peer].room().expect("it was just asked");
        let may_undo = room.may(&me, Role::Editor);
        if !may_undo || !room.replica().is_undoable(&target) || room.replica().is_undone(&target) {
            return Ok(());
        }
        for redo in [false, true] {
            let message = self.undo(peer, target, redo)?;
            reopened.apply(&message);
            messages.push(message);
            let naive = naive::fold_on(&ground, &self.root(), &messages).scene.hash();
            let shown = self.state_hash(peer)?;
            let what = if redo { "a redo" } else { "an undo" };
            if shown != naive || (redo && shown != before) {
                return Err(format!("{what} of {target} is not exact on peer {peer}"));
            }
            if reopened.state_hash() != shown {
                return Err(format!("a snapshot of peer {peer} and {what} do not give what they should"));
            }
        }
        Ok(())
    }

    fn undo(&mut self, peer: usize, target: Dot, redo: bool) -> Result<Message, String> {
        let now = self.peers[peer].clock.now(self.us);
        let room = self.peers[peer].room().expect("it is up in the end");
        let undo = Undo { target: Some(target.to_string()), wait: Wait::Local, ..Undo::default() };
        let mut outputs = Vec::new();
        room.handle(room::Input::Undo { token: 0, undo, redo }, now, &mut outputs);
        room.handle(room::Input::Flush, now, &mut outputs);
        let made = outputs.iter().find_map(|output| match output {
            Output::Store { records, .. } => records.first(),
            _ => None,
        });
        let made = made.ok_or("what can be undone is not")?;
        Message::decode(made.actor, &made.body).map_err(|error| error.to_string())
    }

    /// What a snapshot of the replica gives.
    fn reopen(&mut self, peer: usize, ground: &Ground, messages: &[Message]) -> Result<Replica, String> {
        let branches = self.peers[peer].disk.branches();
        if *ground != Ground::default() || !branches.is_empty() {
            let mut reopened = Replica::on(ground, self.root());
            reopened.rename(&branches, None);
            reopened.apply_all(messages);
            return Ok(reopened);
        }
        let mut bodies: BTreeMap<Actor, Vec<Vec<u8>>> = BTreeMap::new();
        for message in messages {
            bodies.entry(message.actor).or_default().push(message.encode());
        }
        let stretches = bodies.iter().map(|(&actor, bodies)| Stretch::pack(actor, 1, bodies));
        let history = stretches.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let history = history.concat();
        let replica = self.peers[peer].room().ok_or("a peer is down in the end")?.replica();
        let bytes = replica.snapshot(&history).map_err(|error| error.to_string())?;
        let reopened = Replica::open(bytes).map_err(|error| error.to_string())?;
        match reopened.state_hash() == replica.state_hash() {
            true => Ok(reopened),
            false => Err(format!("a snapshot of peer {peer} shows something else")),
        }
    }

    /// What is whole on some disk of ours.
    pub(super) fn sound_anywhere(&self) -> BTreeSet<Dot> {
        let honest = (0..self.peers.len()).filter(|&peer| self.is_honest(peer));
        honest.flat_map(|peer| self.peers[peer].disk.sound()).collect()
    }

    /// A disk has lost messages. What is on no other is gone, and nobody can be blamed for it.
    pub(super) fn forgive(&mut self) {
        let lost = self.lost(self.peers.iter().flat_map(|peer| &peer.owed));
        for peer in &mut self.peers {
            peer.owed.retain(|dot| !lost.contains(dot));
        }
    }
}

/// A journal as runs, each up to a signature.
fn runs(journal: &[Record]) -> Vec<Run> {
    let mut by_actor: Vec<&Record> = journal.iter().collect();
    by_actor.sort_by_key(|record| (record.actor, record.seq));
    let mut runs = Vec::new();
    let mut bodies = Bodies::default();
    for (index, Record { actor, seq, body, signature, .. }) in by_actor.iter().enumerate() {
        if index > 0 && by_actor[index - 1].actor != *actor {
            // What comes before a fork may be without.
            bodies = Bodies::default();
        }
        bodies.push(body);
        if let Some(signature) = *signature {
            let bodies = std::mem::take(&mut bodies);
            let first = seq + 1 - bodies.len() as u64;
            runs.push(Run { actor: *actor, first, bodies, signature });
        }
    }
    runs
}
