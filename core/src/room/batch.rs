//! Batches on their way to the disk: what each makes durable, and who is told once it is.

use std::collections::BTreeMap;

use crate::clock::VersionVector;
use crate::room::{Output, Room};
use crate::store::{Record, StoreError};
use crate::sync::frame::Digest;
use crate::sync::{Lane, LinkId, Now, RoomFrame};

/// All batches under way, by their numbers.
#[derive(Default)]
pub(super) struct Batches {
    last: u64,
    under_way: BTreeMap<u64, Batch>,
}

/// What a batch owes to peers once it is durable.
#[derive(Default)]
pub(super) struct Batch {
    /// For bulk bytes that are dealt with then.
    credit: Option<(LinkId, u64)>,
    /// What is on the disk then, with everything before it.
    acks: BTreeMap<LinkId, VersionVector>,
    /// The same as the digest of everything.
    kept: BTreeMap<LinkId, Digest>,
}

impl Batch {
    /// What came from a peer, at the expense of that much credit.
    pub(super) fn of_peer(from: LinkId, credit: u64) -> Self {
        Self { credit: Some((from, credit)), ..Self::default() }
    }
}

impl Batches {
    /// The number of the newest one that is under way.
    pub(super) fn newest(&self) -> Option<u64> {
        self.under_way.last_key_value().map(|(&number, _)| number)
    }
}

impl Room {
    /// Hands records to the store as one batch.
    pub(super) fn store(&mut self, batch: Batch, records: Vec<Record>, out: &mut Vec<Output>) {
        self.batches.last += 1;
        let number = self.batches.last;
        out.push(Output::Store { batch: number, records });
        self.batches.under_way.insert(number, batch);
    }

    /// Tells a peer that it holds in common with us what `held` says, once all of it is on our disk.
    pub(super) fn ack(&mut self, link: LinkId, held: VersionVector, out: &mut Vec<Output>) {
        if self.store_failed || held.is_empty() || !self.peers.contains_key(&link) {
            return;
        }
        match self.batches.under_way.last_entry() {
            Some(mut newest) => newest.get_mut().acks.entry(link).or_default().join(&held),
            None => {
                let frame = RoomFrame::Ack { durable: held };
                out.push(Output::Send { link, lane: Lane::Live, frame });
            }
        }
    }

    /// Tells a peer which holds all that has this digest, as we do, once all of it is on our disk.
    pub(super) fn ack_all(&mut self, link: LinkId, digest: Digest, out: &mut Vec<Output>) {
        if self.store_failed {
            return;
        }
        match self.batches.under_way.last_entry() {
            Some(mut newest) => _ = newest.get_mut().kept.insert(link, digest),
            None => out.push(Output::Send { link, lane: Lane::Live, frame: RoomFrame::Kept { digest } }),
        }
    }

    pub(super) fn committed(&mut self, up_to: u64, now: Now, out: &mut Vec<Output>) {
        let mut acks: BTreeMap<LinkId, VersionVector> = BTreeMap::new();
        let later = self.batches.under_way.split_off(&up_to.saturating_add(1));
        for batch in std::mem::replace(&mut self.batches.under_way, later).into_values() {
            for (link, durable) in batch.acks {
                acks.entry(link).or_default().join(&durable);
            }
            let kept = batch.kept.into_iter().filter(|(link, _)| self.peers.contains_key(link));
            out.extend(kept.map(|(link, digest)| Output::Send {
                link,
                lane: Lane::Live,
                frame: RoomFrame::Kept { digest },
            }));
            if let Some((link, bytes)) = batch.credit {
                self.give_credit(link, bytes, out);
            }
        }
        for (link, durable) in acks.into_iter().filter(|(link, _)| self.peers.contains_key(link)) {
            out.push(Output::Send { link, lane: Lane::Live, frame: RoomFrame::Ack { durable } });
        }
        if self.batches.under_way.is_empty() && !self.store_failed {
            self.read_only = None;
        }
        self.commits.committed(up_to, out);
        self.check_peer_waits(out);
        self.commits.expire(now, out);
    }

    /// A full disk is tried again; anything else is final, since what was written may be lost unnoticed.
    pub(super) fn store_failed(&mut self, batch: u64, error: &StoreError, out: &mut Vec<Output>) {
        self.read_only = Some(error.to_string());
        if !matches!(error, StoreError::Full) {
            self.store_failed = true;
            self.batches.under_way.clear();
        }
        self.commits.failed(batch, error, out);
    }
}
