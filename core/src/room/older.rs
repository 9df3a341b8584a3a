//! The messages a room was opened with, as far as chains and plans go: read from their packed bodies once somebody asks.
//!
//! Most rooms that are opened are never asked: whoever comes back names the newest message, or nothing older than the opening.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::block;
use crate::canonical::{DecodeError, Reader};
use crate::chain::Link;
use crate::id::Actor;
use crate::replica::Stretch;
use crate::room::log::Entry;

/// Messages of the past; by default none.
#[derive(Default)]
pub(super) struct Older {
    /// The link that the first message of each actor hangs on.
    begin: BTreeMap<Actor, Link>,
    /// Each actor's in order.
    history: Arc<[Stretch]>,
    /// Who made how many of them one right after the other, in the order of arrival.
    arrivals: Vec<(Actor, u64)>,
    /// Of each actor how many are unsigned, then how many signed, then unsigned again and so on.
    signed: BTreeMap<Actor, Vec<u64>>,
    read: OnceLock<BTreeMap<Actor, Vec<Entry>>>,
}

impl Older {
    pub(super) fn new(
        begin: BTreeMap<Actor, Link>,
        history: Arc<[Stretch]>,
        arrivals: Vec<(Actor, u64)>,
        signed: BTreeMap<Actor, Vec<u64>>,
    ) -> Self {
        Self { begin, history, arrivals, signed, read: OnceLock::new() }
    }

    /// What is known of an actor's messages, from the first on.
    pub(super) fn of(&self, actor: &Actor) -> &[Entry] {
        self.read.get_or_init(|| self.read()).get(actor).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same, to be corrected.
    pub(super) fn of_mut(&mut self, actor: &Actor) -> &mut [Entry] {
        self.of(actor);
        // What the bodies said is known now.
        self.history = Arc::default();
        let entries = self.read.get_mut().and_then(|entries| entries.get_mut(actor));
        entries.map(Vec::as_mut_slice).unwrap_or_default()
    }

    fn read(&self) -> BTreeMap<Actor, Vec<Entry>> {
        let mut links = self.begin.clone();
        let mut entries: BTreeMap<Actor, Vec<Entry>> = BTreeMap::new();
        for Stretch { actor, block, .. } in self.history.iter() {
            // Whoever kept the history has checked that it is what was packed. What could still not be read is not held.
            let (Some(link), Ok(bodies)) = (links.get_mut(actor), block::decode(block)) else { continue };
            let of_actor = entries.entry(*actor).or_default();
            for body in bodies.iter() {
                *link = link.next(body);
                let (lamport, advances) = envelope(body).unwrap_or_default();
                let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
                of_actor.push(Entry {
                    link: *link,
                    lamport,
                    arrival: 0,
                    body_bytes,
                    signed: false,
                    advances,
                });
            }
        }
        let mut arrival = 0;
        let mut unmarked: BTreeMap<Actor, std::slice::IterMut<'_, Entry>> =
            entries.iter_mut().map(|(&actor, entries)| (actor, entries.iter_mut())).collect();
        for (actor, count) in &self.arrivals {
            for _ in 0..*count {
                let Some(entry) = unmarked.get_mut(actor).and_then(Iterator::next) else { break };
                entry.arrival = arrival;
                arrival += 1;
            }
        }
        for (actor, counts) in &self.signed {
            let mut of_actor = entries.get_mut(actor).map(|entries| entries.iter_mut()).unwrap_or_default();
            for (index, count) in counts.iter().enumerate() {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                of_actor.by_ref().take(count).for_each(|entry| entry.signed = index % 2 == 1);
            }
        }
        entries
    }
}

/// The lamport time that a message's bytes begin with, and whether it names heads of others.
fn envelope(body: &[u8]) -> Result<(u64, bool), DecodeError> {
    let mut reader = Reader::new(body);
    reader.array_of(8, "a message")?;
    let [_format, _seq, lamport] = [reader.uint()?, reader.uint()?, reader.uint()?];
    Ok((lamport, reader.array(body.len(), "clock entries")? > 0))
}
