//! Many settled messages of one actor as one row: their bytes packed, where each stood in the order of arrival, and the signatures
//! that end runs.
//!
//! What is read is verified as a whole: the bytes by the chain from the message before to the block's link, the rest by its seal.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rtc_core::block::{self, Bodies};
use rtc_core::canonical::{DecodeError, Reader, Writer};
use rtc_core::chain::{Link, Signature};
use rtc_core::id::Actor;
use rtc_core::limits::{BACKLOG_RUN_MESSAGES_MAX, BLOCK_MESSAGES_MAX};
use rtc_core::store::{Record, StoreError};
use rtc_core::sync::run::{self, Step};

/// A row of the table `block`.
#[derive(PartialEq, Eq)]
pub(super) struct Row {
    /// When the first message arrived.
    pub(super) arrival: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    /// Of the last message.
    pub(super) link: [u8; 32],
    /// The bodies, as [`block::encode`] packs them.
    pub(super) messages: Vec<u8>,
    /// `[[arrival, messages, gap, messages, …], [index, signature, …]]`: both count from the first message.
    pub(super) places: Vec<u8>,
    /// The link that `places` would have after the last message.
    pub(super) seal: [u8; 32],
}

/// A block that was verified.
#[derive(Debug)]
pub(super) struct Block {
    actor: Actor,
    first: u64,
    bodies: Bodies,
    links: Vec<Link>,
    arrivals: Vec<i64>,
    signatures: BTreeMap<usize, Signature>,
}

impl Row {
    /// Packs as many of these consecutive messages, each with its arrival, as end with a run; none where no run ends. The last run
    /// is left out where there are others: with more messages it might be longer. Where a branch begins, `begins_branch`, all signatures
    /// are kept that a run may end with which begins before.
    pub(super) fn pack(rows: &[(i64, Record)], begins_branch: bool) -> Option<Self> {
        let mut ends = run_ends(rows);
        if ends.len() > 1 {
            ends.pop();
        }
        if begins_branch {
            let reached = rows.iter().take(*ends.last()?).take(BACKLOG_RUN_MESSAGES_MAX).enumerate();
            ends.extend(reached.filter(|(_, (_, row))| row.signature.is_some()).map(|(index, _)| index + 1));
            ends.sort_unstable();
            ends.dedup();
        }
        let rows = &rows[..*ends.last()?];
        let ((arrival, first), (_, last)) = (rows.first()?, rows.last()?);
        let bodies: Vec<&[u8]> = rows.iter().map(|(_, record)| &record.body[..]).collect();
        let places = write_places(rows, &ends);
        Some(Self {
            arrival: *arrival,
            first: i64::try_from(first.seq).ok()?,
            last: i64::try_from(last.seq).ok()?,
            link: last.link.0,
            messages: block::encode(&bodies).ok()?,
            seal: last.link.next(&places).0,
            places,
        })
    }

    /// Unpacks the row of `actor`; `before` is the link of the message before it.
    pub(super) fn open(&self, actor: Actor, before: Option<Link>) -> Result<Block, StoreError> {
        let damaged = |what: &str| {
            StoreError::Damaged(format!("messages {actor}:{} to {} {what}", self.first, self.last))
        };
        let mut link = before.ok_or_else(|| damaged("have no message before them"))?;
        let bodies = block::decode(&self.messages).map_err(|error| damaged(&format!("are a {error}")))?;
        let mut links = Vec::with_capacity(bodies.len());
        for body in bodies.iter() {
            link = link.next(body);
            links.push(link);
        }
        let count = self.last.checked_sub(self.first).and_then(|more| usize::try_from(more).ok());
        if bodies.is_empty() || count != Some(bodies.len() - 1) || link.0 != self.link {
            return Err(damaged("do not follow from what is before them"));
        }
        if link.next(&self.places).0 != self.seal {
            return Err(damaged("have lost their places"));
        }
        let (arrivals, signatures) =
            read_places(&self.places).map_err(|_| damaged("have places that are none"))?;
        if arrivals.len() != bodies.len() || arrivals[0] != self.arrival {
            return Err(damaged("have the places of others"));
        }
        let first = u64::try_from(self.first).map_err(|_| damaged("have no numbers"))?;
        Ok(Block { actor, first, bodies, links, arrivals, signatures })
    }
}

impl Block {
    /// The numbers of its messages.
    pub(super) fn seqs(&self) -> RangeInclusive<u64> {
        self.first..=self.first + self.links.len() as u64 - 1
    }

    /// How many messages it has.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn actor(&self) -> Actor {
        self.actor
    }

    /// When the message with that index arrived, if there are so many.
    pub(super) fn arrival(&self, index: usize) -> Option<i64> {
        self.arrivals.get(index).copied()
    }

    /// The message with that index.
    pub(super) fn record(&self, index: usize) -> Record {
        Record {
            actor: self.actor,
            seq: self.first + index as u64,
            link: self.links[index],
            body: self.bodies.get(index).to_vec(),
            signature: self.signatures.get(&index).copied(),
        }
    }

    /// Those of its messages that have numbers from `from` to `to`.
    pub(super) fn records(&self, from: u64, to: u64) -> impl Iterator<Item = Record> {
        let index = |seq: u64| usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (index(from)..index(to.saturating_add(1)).min(self.links.len())).map(|index| self.record(index))
    }
}

/// After how many messages each run ends that who has nothing yet is sent.
fn run_ends(rows: &[(i64, Record)]) -> Vec<usize> {
    let steps: Vec<Step> = rows.iter().map(|(_, record)| Step::of(record)).collect();
    let mut ends = Vec::new();
    let mut end = 0;
    while let Some((messages, _)) = run::backlog_run(steps[end..].iter().copied()) {
        end += messages;
        ends.push(end);
    }
    ends
}

fn write_places(rows: &[(i64, Record)], ends: &[usize]) -> Vec<u8> {
    let mut arrivals = Vec::new();
    let mut next = 0;
    for (arrival, _) in rows {
        match arrivals.last_mut() {
            Some(messages) if *arrival == next => *messages += 1,
            Some(_) | None => arrivals.extend([arrival.abs_diff(next), 1]),
        }
        next = arrival + 1;
    }
    let mut writer = Writer::new();
    writer.array(2).array(arrivals.len());
    arrivals.into_iter().for_each(|number| _ = writer.uint(number));
    writer.array(ends.len() * 2);
    for end in ends {
        let index = end - 1;
        let signature = rows[index].1.signature.expect("a run ends with a signature");
        writer.uint(index as u64).bytes(&signature.0);
    }
    writer.finish()
}

fn read_places(places: &[u8]) -> Result<(Vec<i64>, BTreeMap<usize, Signature>), DecodeError> {
    let unexpected = || DecodeError::Unexpected { expected: "places", offset: 0 };
    let mut reader = Reader::new(places);
    reader.array_of(2, "places")?;
    let mut arrivals = Vec::new();
    let mut next = 0_i64;
    for _ in 0..reader.array(2 * BLOCK_MESSAGES_MAX, "arrivals")? / 2 {
        let gap = reader.uint()?;
        next = next.checked_add_unsigned(gap).ok_or_else(unexpected)?;
        let end = next.checked_add_unsigned(reader.uint()?).ok_or_else(unexpected)?;
        if end.abs_diff(next) > (BLOCK_MESSAGES_MAX - arrivals.len()) as u64 {
            return Err(unexpected());
        }
        arrivals.extend(next..end);
        next = end;
    }
    let mut signatures = BTreeMap::new();
    for _ in 0..reader.array(2 * BLOCK_MESSAGES_MAX, "signatures")? / 2 {
        let index = usize::try_from(reader.uint()?).map_err(|_| unexpected())?;
        signatures.insert(index, Signature(reader.bytes_of()?));
    }
    reader.finish()?;
    Ok((arrivals, signatures))
}
