//! The backlog on its way to a peer that lacks it: planned, read from the store, packed, and sent as far as credit goes.

use std::sync::Arc;

use crate::block::Bodies;
use crate::id::{Actor, Dot};
use crate::limits::{BLOCK_BYTES_MAX, CREDIT_BYTES};
use crate::room::log::PlannedRun;
use crate::room::packed::{Frames, Range};
use crate::room::{Output, Room};
use crate::store::Record;
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run, backlog};

/// Backlog that is read from the store and packed at once, in bytes of bodies; the run that passes it is the last.
const READ_BYTES: usize = 256 * 1024;
/// Messages of at least so many bytes count that many times: they gain little by being packed together, and whatever is live waits while
/// they are.
const LARGE: (usize, usize) = (4 * 1024, 4);
/// Credit is given back in portions of this many bytes: fewer frames, and the sender never runs dry.
const CREDIT_PORTION_BYTES: u64 = CREDIT_BYTES as u64 / 4;

impl Room {
    pub(super) fn pump_all(&mut self, out: &mut Vec<Output>) {
        for link in self.peers.keys().copied().collect::<Vec<_>>() {
            self.pump(link, out);
        }
    }

    /// Sends what the peer lacks next, as far as its credit goes, or asks the store for it.
    pub(super) fn pump(&mut self, link: LinkId, out: &mut Vec<Output>) {
        while let Some(ranges) = self.plan(link) {
            let Some(frames) = self.packed.get(&ranges) else {
                out.push(Output::Read { link, ranges: ranges.clone() });
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.reading = Some(ranges);
                }
                return;
            };
            self.send_backlog(link, &ranges, &frames, out);
        }
    }

    /// What the peer is to be sent next. Credit says whether, not how much: so peers that lack the same get the same frames.
    fn plan(&self, link: LinkId) -> Option<Vec<Range>> {
        let peer = self.peers.get(&link)?;
        let reads = peer.reading.is_some() || self.reads_orphaned.contains(&link);
        if peer.lacks_ground || peer.first.is_none() || reads || peer.credit <= 0 {
            return None;
        }
        let mut ranges = Vec::new();
        let (mut bytes, mut weight) = (0, 0);
        // Who knows nothing of a fork of first messages could not tell what a branch hangs on.
        let is_strange = |run: &PlannedRun| {
            let branch = self.log.branches.get(&run.actor);
            branch.is_some_and(|branch| branch.base == 0) && !peer.informed.knows(&run.actor)
        };
        for run in self.log.plan(&peer.sent, &peer.goal).filter(|run| !is_strange(run)) {
            if weight >= READ_BYTES || bytes + run.body_bytes > BLOCK_BYTES_MAX {
                break;
            }
            bytes += run.body_bytes;
            let messages = usize::try_from(run.last - run.first + 1).unwrap_or(usize::MAX);
            weight += run.body_bytes * if run.body_bytes / messages >= LARGE.0 { LARGE.1 } else { 1 };
            ranges.extend(run.ranges());
        }
        (!ranges.is_empty()).then_some(ranges)
    }

    /// Sends what the store had. What it no longer has is left out: the peer may get it from somebody else.
    pub(super) fn hear_read(&mut self, link: LinkId, records: Vec<Record>, now: Now, out: &mut Vec<Output>) {
        if self.reads_orphaned.remove(&link) || self.hear_proof_read(link, &records, now, out) {
            self.read_proof(link, out);
            return self.pump(link, out);
        }
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let Some(mut ranges) = peer.reading.take() else { return };
        if std::mem::take(&mut peer.is_offered) {
            self.send_horizon(link, &records, out);
            self.read_proof(link, out);
            return self.pump(link, out);
        }
        self.note_unsigned(&records);
        let mut records = records.into_iter().peekable();
        let mut runs = Vec::with_capacity(ranges.len());
        let (mut unended, mut joined) = (None, 0);
        // What has no signature of its own goes on with the range after it.
        let mut begun: Option<(Actor, u64, Bodies)> = None;
        for (index, &(actor, first, last)) in ranges.iter().enumerate() {
            let goes_on =
                ranges.get(index + 1).is_some_and(|next| self.log.goes_on(&(actor, first, last), next));
            let before = begun.take();
            let is_begun = before.is_some();
            let (actor_said, first_said, mut bodies) = before.unwrap_or((actor, first, Bodies::default()));
            let mut count = 0;
            let mut signature = None;
            while let Some(record) =
                records.next_if(|record| record.actor == actor && (first..=last).contains(&record.seq))
            {
                bodies.push(&record.body);
                signature = record.signature;
                count += 1;
            }
            let complete = count == last - first + 1;
            match signature {
                Some(signature) if complete => {
                    runs.push(Run { actor: actor_said, first: first_said, bodies, signature });
                }
                None if complete && goes_on => {
                    begun = Some((actor_said, first_said, bodies));
                    joined += 1;
                }
                None if complete => {
                    unended = Some(index - usize::from(is_begun));
                    break;
                }
                Some(_) | None => {}
            }
        }
        // From there on it is planned again, now that the log knows better where runs end.
        ranges.truncate(unended.unwrap_or(ranges.len()));
        let frames: Frames =
            backlog::pack(&runs).into_iter().map(|(content, runs)| (content.into(), runs as u64)).collect();
        if runs.len() + joined == ranges.len() {
            self.packed.keep(ranges.clone(), Arc::clone(&frames));
        }
        self.send_backlog(link, &ranges, &frames, out);
        self.read_proof(link, out);
        self.pump(link, out);
    }

    /// A store may drop a signature that a later one makes needless.
    pub(super) fn note_unsigned(&mut self, records: &[Record]) {
        for record in records.iter().filter(|record| record.signature.is_none()) {
            self.log.set_signed(&Dot { actor: record.actor, seq: record.seq }, false);
        }
    }

    fn send_backlog(&mut self, link: LinkId, ranges: &[Range], frames: &Frames, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        for (content, runs) in frames.iter() {
            peer.credit -= i64::try_from(backlog::cost(content)).unwrap_or(i64::MAX);
            peer.runs_sent += runs;
            let frame = RoomFrame::Backlog { content: Arc::clone(content) };
            out.push(Output::Send { link, lane: Lane::Bulk, frame });
        }
        for (index, &(actor, _, last)) in ranges.iter().enumerate() {
            // What goes with what is before a fork is held by another name then.
            let goes_along =
                index.checked_sub(1).is_some_and(|before| self.log.goes_on(&ranges[before], &ranges[index]));
            if !goes_along {
                peer.sent.raise(actor, last);
            }
        }
    }

    /// Gives back credit for bulk bytes that are dealt with.
    pub(super) fn give_credit(&mut self, link: LinkId, bytes: u64, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.credit_due += bytes;
        if peer.credit_due >= CREDIT_PORTION_BYTES {
            let frame = RoomFrame::Credit { bytes: std::mem::take(&mut peer.credit_due) };
            out.push(Output::Send { link, lane: Lane::Live, frame });
        }
    }
}
