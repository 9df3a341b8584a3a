//! What one connected peer holds, what it has been sent, and how the rest reaches it.
//!
//! A peer's `sent` vector is a cursor: live runs move it where they continue it, backlog runs move it under credit,
//! and what the peer tells of itself corrects it. So one rule serves live edits, gaps and reunions.

use crate::branch::{Branch, Branches};
use crate::clock::VersionVector;
use crate::founding::Founding;
use crate::id::{Actor, Dot, PeerKey};
use crate::limits::{CREDIT_BYTES, HEARTBEAT_MS};
use crate::planted::{Bug, planted};
use crate::room::crowd::Neighbour;
use crate::room::doubt::Doubts;
use crate::room::forks::Informed;
use crate::room::handover::{Handing, HorizonProof};
use crate::room::packed::{Packed, Range};
use crate::room::{Output, Refusal, Room};
use crate::sync::frame::{Digest, Sight};
use crate::sync::survey::Survey;
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run, backlog};

/// A peer that takes no run in while it tells that many times what it holds has lost those under way. Connections lose nothing
/// while they last, and a slow one needs seconds for a large run.
const IDLE_TELLS_MAX: u32 = 8;

/// One connected member.
pub(super) struct Peer {
    pub(super) key: PeerKey,
    /// What it is known to hold, or was sent over this connection.
    pub(super) sent: VersionVector,
    /// What it is to hold: moves on when it tells what it holds, and with our own messages.
    pub(super) goal: VersionVector,
    /// What it last told that it holds.
    pub(super) told: VersionVector,
    /// What is on its disk.
    pub(super) durable: VersionVector,
    /// What it held when it first told and is not known to be here; until it tells there is no saying what it has.
    pub(super) first: Option<VersionVector>,
    pub(super) in_sync: bool,
    /// When it was last known to hold the same, or came.
    pub(super) agreed_us: u64,
    /// What both held when they were last in sync.
    pub(super) acked: Option<Digest>,
    /// Whether it lacks messages that are forgotten here: then it is offered what is left of them.
    pub(super) lacks_ground: bool,
    /// Whether what is being read for it proves the horizon.
    pub(super) is_offered: bool,
    /// How often it was sent what it holds others of, instead of standing on what it hands over.
    pub(super) partings: u8,
    /// What of a ground it has been handed.
    pub(super) handing: Option<Handing>,
    /// What it last told that it sees.
    pub(super) sight: Option<Sight>,
    /// Of what it was last told what is seen here.
    pub(super) sight_told: Option<Digest>,
    pub(super) synced: bool,
    /// Whether a run had to be dropped: then it must send again also what it has sent.
    pub(super) ask_again: bool,
    /// Bytes of backlog it still takes. What is packed at once may overdraw it, so that nothing is too large.
    pub(super) credit: i64,
    pub(super) credit_due: u64,
    /// What is being read for it.
    pub(super) reading: Option<Vec<Range>>,
    pub(super) runs_sent: u64,
    pub(super) runs_taken: u64,
    /// How many runs it had taken in when it last told what it holds, and how often before that.
    pub(super) runs_taken_told: (u64, u32),
    /// How often it was told what is held here.
    pub(super) tells: u64,
    /// Finding out what it holds.
    pub(super) survey: Option<Survey>,
    /// Whether its messages are those held here.
    pub(super) doubts: Doubts,
    /// Which forks it knows of.
    pub(super) informed: Informed,
    pub(super) crowd: Neighbour,
}

impl Peer {
    pub(super) fn new(key: PeerKey, now: Now) -> Self {
        Self {
            key,
            sent: VersionVector::default(),
            goal: VersionVector::default(),
            told: VersionVector::default(),
            durable: VersionVector::default(),
            first: None,
            in_sync: false,
            agreed_us: now.monotonic_us,
            acked: None,
            lacks_ground: false,
            is_offered: false,
            partings: 0,
            handing: None,
            sight: None,
            sight_told: None,
            synced: false,
            ask_again: false,
            credit: CREDIT_BYTES as i64,
            credit_due: 0,
            reading: None,
            runs_sent: 0,
            runs_taken: 0,
            runs_taken_told: (0, 0),
            tells: 0,
            survey: None,
            doubts: Doubts::default(),
            informed: Informed::default(),
            crowd: Neighbour::default(),
        }
    }

    /// Forgets what it is known to hold: that is told again, by other names. Says whether something is being read for it.
    pub(super) fn begin_again(&mut self, branches: &Branches) -> bool {
        (self.sent, self.goal) = Default::default();
        for (_, Branch { parent, base, .. }) in branches.iter() {
            self.durable.lower(&parent, base);
        }
        (self.first, self.acked, self.survey, self.handing) = (None, None, None, None);
        (self.in_sync, self.is_offered) = (false, false);
        self.doubts = Doubts::default();
        self.informed.begin_again();
        self.reading.take().is_some()
    }

    /// Whether nothing is on its way to the peer, which has taken in that many runs.
    pub(super) fn has_arrived(&mut self, runs_taken: u64) -> bool {
        let (before, tells) = self.runs_taken_told;
        self.runs_taken_told = (runs_taken, if runs_taken == before { tells.saturating_add(1) } else { 0 });
        if self.runs_taken_told.1 >= IDLE_TELLS_MAX {
            self.runs_sent = runs_taken;
        }
        runs_taken == self.runs_sent
    }

    /// The peer takes that many more bytes of backlog.
    pub(super) fn give_credit(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_add(bytes).min(CREDIT_BYTES as i64);
    }

    /// The peer sent these, so it has them.
    pub(super) fn has(&mut self, actor: Actor, seq: u64) {
        self.sent.raise(actor, seq);
    }

    /// Whether the run is what it lacks next, as far as is known.
    pub(super) fn may_follow(&self, run: &Run) -> bool {
        !self.lacks_ground && self.first.is_some() && self.sent.get(&run.actor) + 1 == run.first
    }

    /// Sends it a run that is new.
    pub(super) fn follow(&mut self, link: LinkId, run: &Run, out: &mut Vec<Output>) {
        self.goal.raise(run.actor, run.last());
        self.sent.raise(run.actor, run.last());
        self.runs_sent += 1;
        let frame = RoomFrame::Run { run: run.clone() };
        out.push(Output::Send { link, lane: Lane::Live, frame });
    }

    /// Whether a message is on its way to the peer, or there.
    pub(super) fn is_sent(&self, dot: &Dot) -> bool {
        self.sent.covers(dot)
    }
}

impl Room {
    pub(super) fn peer_up(&mut self, link: LinkId, key: PeerKey, now: Now, out: &mut Vec<Output>) {
        self.flush(now, out);
        if self.peers.is_empty() {
            self.settle_us = now.after_ms(HEARTBEAT_MS);
        }
        self.peers.insert(link, Peer::new(key, now));
        self.draw_lots(out);
        if let Some(founding) = &self.founding {
            let frame = RoomFrame::Founding { bytes: founding.encode() };
            out.push(Output::Send { link, lane: Lane::Live, frame });
        }
        self.send_vector(link, true, out);
        // Of what it has already, this is the only word that it is on our disk; in a vast room that comes once both hold the same.
        if !self.is_vast() {
            self.ack(link, self.log.vector(), out);
        }
        self.show_to(link, key, out);
    }

    pub(super) fn peer_down(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        self.remember_members(now, out);
        let gone = self.peers.remove(&link);
        if self.peers.is_empty() {
            self.packed = Packed::default();
            self.log.drop_ranges();
        }
        if gone.is_some_and(|peer| peer.reading.is_some()) {
            self.reads_orphaned.insert(link);
        }
        self.draw_lots(out);
        self.forget_feeder(link, out);
        self.waiting.forget(link);
        self.forget_shows(link, out);
        self.fetch.take_if(|fetch| fetch.is_from(link));
    }

    pub(super) fn frame(&mut self, link: LinkId, frame: RoomFrame, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        match frame {
            RoomFrame::Vector { held, runs_taken, exact } => {
                if exact {
                    peer.credit = CREDIT_BYTES as i64;
                }
                self.flush(now, out);
                self.hear_held(link, held, runs_taken, exact, now, out);
            }
            RoomFrame::Ranges(opening) => {
                self.flush(now, out);
                self.hear_ranges(link, &opening, now, out);
            }
            RoomFrame::RangesWanted { number, wanted } => self.hear_wanted(link, number, &wanted, out),
            RoomFrame::RangesTold { number, told } => {
                self.flush(now, out);
                self.hear_told(link, number, told, now, out);
            }
            RoomFrame::Kept { digest } => self.hear_kept(link, digest, out),
            RoomFrame::Lean { leans } => self.hear_lean(link, leans, out),
            RoomFrame::Spare { actor } => self.hear_spare(link, actor),
            RoomFrame::Run { run } => {
                peer.runs_taken += 1;
                self.take_run(link, run, None, now, out);
            }
            RoomFrame::Backlog { content } => self.hear_backlog(link, &content, now, out),
            RoomFrame::Credit { bytes } => {
                peer.give_credit(bytes);
                self.pump(link, out);
            }
            RoomFrame::Ack { durable } => {
                // Only of actors known here: of others a peer may claim any number.
                for (actor, seq) in durable.iter().filter(|(actor, _)| self.log.head(actor) > 0) {
                    peer.durable.raise(actor, seq);
                    peer.sent.raise(actor, seq);
                }
                self.check_peer_waits(out);
            }
            RoomFrame::Founding { bytes } => self.hear_founding(&bytes, now, out),
            RoomFrame::Horizon { before, content, whole_bytes, packed_bytes, keepers, voucher } => {
                let proof = HorizonProof { before, content: &content, keepers: &keepers, voucher: &voucher };
                self.hear_horizon(link, &proof, [whole_bytes, packed_bytes], now, out);
            }
            RoomFrame::GroundWanted { ground, from } => self.hand_over(link, ground, from, now, out),
            RoomFrame::GroundPiece { ground, from, bytes } => {
                self.hear_piece(link, ground, from, &bytes, now, out);
            }
            RoomFrame::Links { links } => self.hear_links(link, &links, now, out),
            RoomFrame::Fork { proof } => self.hear_fork(link, &proof, now, out),
            RoomFrame::Sight(sight) => self.hear_sight(link, sight, out),
            RoomFrame::Show { session, seq, part, content } => {
                self.hear_show(link, (session, seq), part, &content, now, out);
            }
        }
    }

    fn hear_backlog(&mut self, link: LinkId, content: &[u8], now: Now, out: &mut Vec<Output>) {
        let runs = match backlog::unpack(content) {
            Ok(runs) => runs,
            // Nor is it credited: who sends such things sends few.
            Err(error) => return out.push(Output::Refused { link, refusal: Refusal::Backlog { error } }),
        };
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.runs_taken += runs.len() as u64;
        }
        let mut runs = runs.into_iter().peekable();
        while let Some(run) = runs.next() {
            // The frame is dealt with when the last of it is.
            let credit = if runs.peek().is_none() { backlog::cost(content) as u64 } else { 0 };
            self.take_run(link, run, Some(credit), now, out);
        }
    }

    /// A peer has told what it holds.
    pub(super) fn hear_held(
        &mut self,
        link: LinkId,
        held: VersionVector,
        runs_taken: u64,
        exact: bool,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let vector = self.log.vector();
        let is_crowd = self.is_crowd();
        let own = self.commits.actor().map(|actor| (actor, self.log.head(&actor)));
        let Some(peer) = self.peers.get_mut(&link) else { return };
        // With nothing under way, what the peer tells is all it has; else some of the rest is about to arrive.
        let arrived = peer.has_arrived(runs_taken) && peer.reading.is_none();
        let all = exact || arrived;
        peer.doubts.hear(held == vector);
        peer.told.clone_from(&held);
        if arrived {
            peer.credit = CREDIT_BYTES as i64;
        }
        if all {
            peer.sent = held.clone();
            if planted(Bug::CursorAhead) {
                held.iter().for_each(|(actor, seq)| peer.sent.raise(actor, seq + 1));
            }
        } else {
            // Of actors unknown here only what it says now: it may claim any number.
            let before = std::mem::replace(&mut peer.sent, held.clone());
            let known = before.iter().filter(|(actor, _)| self.log.head(actor) > 0);
            known.for_each(|(actor, seq)| peer.sent.raise(actor, seq));
        }
        peer.crowd.fed(&vector).for_each(|(actor, seq)| peer.goal.raise(actor, seq));
        let goal = if peer.first.is_none() || exact { vector } else { self.settled.clone() };
        peer.goal.join(&goal);
        // What is on its way by others is likely there before this would be.
        if let Some((actor, head)) = own.filter(|(actor, _)| peer.crowd.takes_from_author(actor, is_crowd)) {
            peer.goal.raise(actor, head);
        }
        let standing = self.horizons.standing.as_ref();
        peer.lacks_ground = standing.is_some_and(|standing| !standing.horizon.frontier.is_seen_by(&held));
        match &mut peer.first {
            // What it told before may have been by other names.
            Some(first) if exact && !peer.synced => *first = held,
            first => _ = first.get_or_insert(held),
        }
        self.check_synced(out);
        self.tell_forks(link, now, out);
        self.offer(link, out);
        self.pump(link, out);
        self.answer_held(link, out);
    }

    /// A run was dropped: any peer may be the one that can send it again.
    pub(super) fn ask_again(&mut self) {
        self.peers.values_mut().for_each(|peer| peer.ask_again = true);
    }

    /// Digests differ: both sides see it, and both tell what they hold.
    pub(super) fn hear_digest(&mut self, link: LinkId, digest: Digest, now: Now, out: &mut Vec<Output>) {
        let equal = self.log.digest() == digest;
        let vector = equal.then(|| self.log.vector());
        let keeper = self.keeper_key();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.in_sync = equal;
        peer.crowd.hear_digest();
        match vector {
            Some(vector) => {
                // What we got from others it cannot know to be on our disk; whoever keeps the room waits for that.
                let is_owner = keeper == Some(peer.key);
                peer.agreed_us = now.monotonic_us;
                peer.doubts.hear(false);
                let acked = peer.acked.replace(digest);
                let is_told = acked == Some(digest);
                peer.survey = None;
                peer.sent = vector.clone();
                peer.told.clone_from(&vector);
                // What it told first may have been by other names, and it tells nothing more while nothing differs.
                peer.first.take_if(|_| !peer.synced);
                peer.first.get_or_insert_with(|| vector.clone());
                if self.is_vast() && (acked.is_none() || (is_owner && !is_told)) {
                    self.ack_all(link, digest, out);
                } else if is_owner && !is_told {
                    self.ack(link, vector, out);
                }
            }
            // Nothing could be taken in, and would be sent in vain at every heartbeat.
            None if self.read_only.is_some() => {}
            None => {
                let exact = std::mem::take(&mut peer.ask_again);
                self.send_vector(link, exact, out);
                self.compare_heads(link, now, out);
            }
        }
        self.check_synced(out);
        self.tell_forks(link, now, out);
    }

    fn hear_founding(&mut self, bytes: &[u8], now: Now, out: &mut Vec<Output>) {
        if self.founding.is_some() || Founding::room_of(bytes) != self.id {
            return;
        }
        if let Ok(founding) = Founding::decode(bytes) {
            if let Some(first) = founding.first_member() {
                self.replica.found(first);
                self.tell_otherwise(out);
            }
            self.founding = Some(founding.clone());
            out.push(Output::Founded(founding));
            self.follow_horizons(now, out);
        }
    }

    pub(super) fn send_vector(&mut self, link: LinkId, exact: bool, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if exact {
            // Who hears this begins with full credit.
            peer.credit_due = 0;
        }
        self.tally.rounds += 1;
        peer.crowd.tell();
        peer.tells += 1;
        let (tells, runs_taken) = (peer.tells, peer.runs_taken);
        let frame = self.telling(tells, runs_taken, exact);
        out.push(Output::Send { link, lane: Lane::Live, frame });
    }

    /// Sends a run of our own to every peer, or neighbour, that has all before it; the others of them get it as backlog.
    pub(super) fn send_live(&mut self, run: &Run, out: &mut Vec<Output>) {
        let is_crowd = self.is_crowd();
        let mut behind = Vec::new();
        for (&link, peer) in &mut self.peers {
            peer.in_sync = false;
            if !peer.crowd.takes_from_author(&run.actor, is_crowd) {
                continue;
            }
            peer.goal.raise(run.actor, run.last());
            if peer.may_follow(run) {
                peer.follow(link, run, out);
            } else {
                behind.push(link);
            }
        }
        for link in behind {
            self.pump(link, out);
        }
    }

    /// A live run was dropped before it left: the cursor goes back to before it.
    pub(super) fn unsent(&mut self, link: LinkId, first: Dot) {
        if let Some(peer) = self.peers.get_mut(&link) {
            // Of several dropped one after the other, the first says how far back.
            peer.sent.lower(&first.actor, first.seq.saturating_sub(1));
            peer.runs_sent = peer.runs_sent.saturating_sub(1);
        }
    }

    /// A run of the peer was taken in but not understood.
    pub(super) fn missed(&mut self, link: LinkId) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.runs_taken += 1;
            peer.ask_again = true;
        }
    }

    pub(super) fn settle(&mut self, now: Now) {
        self.settle_us = now.after_ms(HEARTBEAT_MS);
        self.settled = std::mem::replace(&mut self.recent, self.log.vector());
    }

    /// Whether nothing that the peer first had is missing here.
    pub fn has_caught_up(&self, link: LinkId) -> bool {
        self.peers.get(&link).is_some_and(|peer| peer.synced)
    }

    /// Says once per connection that all the peer first had is here.
    pub(super) fn check_synced(&mut self, out: &mut Vec<Output>) {
        for (&link, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.synced) {
            if peer.first.as_mut().is_some_and(|first| self.log.strike_held(first)) {
                peer.synced = true;
                self.keeper.catch_up(peer.key);
                out.push(Output::Synced { link });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chain::Ed25519;
    use crate::id::RoomId;
    use crate::room::{Input, Opening};

    #[test]
    fn what_a_peer_claims_of_strangers_takes_no_more_than_one_frame() {
        let link = LinkId(1);
        let mut room = Room::open(Opening {
            room: RoomId([1; 32]),
            founding: None,
            keys: Arc::new(Ed25519::from_seed(&[1; 32])),
            epoch_fresh: 1,
            epoch_proof: None,
        });
        let mut out = Vec::new();
        room.handle(Input::PeerUp { link, peer: PeerKey([2; 32]) }, Now::default(), &mut out);
        for n in 1..100 {
            let held: VersionVector = [(Actor::from_name(&n.to_string()), n)].into_iter().collect();
            for frame in [
                RoomFrame::Ack { durable: held.clone() },
                RoomFrame::Vector { held, runs_taken: n, exact: false },
            ] {
                room.handle(Input::Frame { link, frame }, Now::default(), &mut out);
            }
        }
        let peer = &room.peers[&link];
        assert_eq!((peer.sent.len(), peer.durable.len()), (1, 0));
    }
}
