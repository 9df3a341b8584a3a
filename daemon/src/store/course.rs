//! An actor's messages, put together from what can be read of them under any of its names: as far as each follows from the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use rtc_core::branch::{self, Branches};
use rtc_core::chain::{Keys, Link};
use rtc_core::id::{Actor, Dot};
use rtc_core::store::Record;

use super::block;
use super::forget::Begin;

/// What there is of one actor.
#[derive(Default)]
pub(super) struct Pieces {
    pub(super) rows: BTreeMap<u64, Vec<Record>>,
    pub(super) blocks: Vec<block::Row>,
}

impl Pieces {
    /// The first number that there is anything of.
    pub(super) fn first(&self) -> Option<u64> {
        let blocks = self.blocks.iter().filter_map(|block| u64::try_from(block.first).ok());
        self.rows.keys().copied().chain(blocks).min()
    }
}

/// What there is of one actor under any of its names.
pub(super) struct Family<'a> {
    pub(super) pieces: Vec<&'a Pieces>,
    /// Whether nobody wants to know any more.
    pub(super) ending: &'a AtomicBool,
}

impl Family<'_> {
    /// The actor's messages after where the new file begins. Sources that have forgotten less, or knew of no fork, may have to be followed from
    /// before that, since blocks are whole or nothing.
    pub(super) fn chain_after(
        &self,
        begin: &Begin,
        begins: &[Begin],
        actor: Actor,
        keys: &dyn Keys,
    ) -> Vec<Record> {
        let (cut, link) = begin.of(&actor);
        let course = Course::of(begin.branches(), actor);
        let ways = starts(begin, begins, actor).filter(|(seq, _)| *seq <= cut).map(|start| {
            let mut chain = self.chain(start, &course, keys);
            let passed = usize::try_from(cut - start.0).unwrap_or(usize::MAX);
            let passes = match passed.checked_sub(1) {
                None => start.1 == link,
                Some(last) => chain.get(last).is_some_and(|record| record.link == link),
            };
            if passes { chain.split_off(passed) } else { Vec::new() }
        });
        ways.max_by_key(Vec::len).unwrap_or_default()
    }

    /// Whether the message with that number and link is the actor's.
    pub(super) fn has(
        &self,
        begin: &Begin,
        begins: &[Begin],
        actor: Actor,
        end: (u64, Link),
        keys: &dyn Keys,
    ) -> bool {
        let course = Course { end: Some(end), ..Course::of(begin.branches(), actor) };
        starts(begin, begins, actor).filter(|(seq, _)| *seq <= end.0).any(|start| {
            let last = self.chain(start, &course, keys).last().map(|record| (record.seq, record.link));
            last.unwrap_or(start) == end
        })
    }

    /// An actor's messages after `start`, its number and link, as far as each follows from the one before. Signatures that are not its
    /// own are left out.
    fn chain(&self, start: (u64, Link), course: &Course, keys: &dyn Keys) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        loop {
            let next = start.0 + records.len() as u64 + 1;
            if next > course.last() || self.ending.load(Ordering::Relaxed) {
                return records;
            }
            let link = records.last().map_or(start.1, |record| record.link);
            if let Some(record) = self.row(next, link, course, keys) {
                records.push(record);
                continue;
            }
            let before = |first: i64| {
                let passed = u64::try_from(first).ok()?.checked_sub(start.0 + 1)?;
                match usize::try_from(passed).ok()?.checked_sub(1) {
                    None => Some(start.1),
                    Some(index) => records.get(index).map(|record| record.link),
                }
            };
            let has_next = |block: &&block::Row| {
                (block.first..=block.last).contains(&i64::try_from(next).unwrap_or(i64::MAX))
            };
            let opened = |row: &block::Row| {
                let block = row.open(course.actor, before(row.first)).ok()?;
                let records: Vec<Record> = block.records(next, course.last()).collect();
                records.iter().all(|record| course.has(record)).then_some(records)
            };
            let Some(block) =
                self.pieces.iter().flat_map(|pieces| &pieces.blocks).filter(has_next).find_map(opened)
            else {
                return records;
            };
            records.extend(block.into_iter().map(|record| with_good_signature(record, keys)));
        }
    }

    /// The row of message `seq`, if it follows from `before`: a signed one where there is a choice.
    fn row(&self, seq: u64, before: Link, course: &Course, keys: &dyn Keys) -> Option<Record> {
        let follows = |record: &&Record| before.next(&record.body) == record.link && course.has(record);
        let rows = self.pieces.iter().filter_map(|pieces| pieces.rows.get(&seq));
        let candidates = rows.flatten().filter(follows);
        let candidates = candidates
            .map(|record| with_good_signature(Record { actor: course.actor, ..record.clone() }, keys));
        candidates.max_by_key(|record| record.signature.is_some())
    }
}

/// Where an actor's messages may begin: each a number and the link of that message.
fn starts(begin: &Begin, begins: &[Begin], actor: Actor) -> impl Iterator<Item = (u64, Link)> {
    let signed = begin.branches().signed(&actor);
    let origin = (0, Link::origin(begin.room(), &signed));
    let of_sources = begins.iter().flat_map(|begin| [begin.of(&actor), begin.of(&signed)]);
    let all: BTreeSet<(u64, Link)> = of_sources.chain([begin.of(&actor), origin]).collect();
    all.into_iter()
}

/// Which messages of all that the key has signed as one actor are of one name: those of its branch, of the branches that it parts from, and
/// none after it parts itself.
struct Course {
    actor: Actor,
    /// Where forks are on its way, by number: who has signed there, and which branch it is.
    way: BTreeMap<u64, (Actor, Actor)>,
    /// Its last message, where it parts itself.
    end: Option<(u64, Link)>,
}

impl Course {
    fn of(branches: &Branches, actor: Actor) -> Self {
        let mut way = BTreeMap::new();
        let mut name = actor;
        while let Some(branch) = branches.get(&name) {
            way.insert(branch.base + 1, (branch.signed, name));
            name = branch.parent;
        }
        let children = branches.iter().filter(|(_, branch)| branch.parent == actor);
        Self { actor, way, end: children.map(|(_, branch)| (branch.base, branch.link)).min() }
    }

    fn last(&self) -> u64 {
        self.end.map_or(u64::MAX, |(seq, _)| seq)
    }

    fn has(&self, record: &Record) -> bool {
        let is_its = |(seq, link)| record.seq < seq || (record.seq, record.link) == (seq, link);
        let is_first = |&(actor, name): &(Actor, Actor)| {
            branch::name(&Dot { actor, seq: record.seq }, &record.link) == name
        };
        self.end.is_none_or(is_its) && self.way.get(&record.seq).is_none_or(is_first)
    }
}

fn with_good_signature(mut record: Record, keys: &dyn Keys) -> Record {
    let Record { actor, link, .. } = &record;
    record.signature = record.signature.filter(|signature| keys.verify(&actor.key(), link, signature));
    record
}
