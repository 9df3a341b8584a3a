//! A room in which somebody has forked: the log of each branch, what messages are called there, and what becomes of what is held when a fork
//! is learnt.
//!
//! The log, the journal and the wire have what was signed, by the names of branches; the replica has it translated. Learning a fork renames
//! what is held of the branch that was taken for all there is, in memory and in the store in one step each.

use crate::chain::Link;
use crate::clock::VersionVector;
use crate::id::{Actor, Dot};
use crate::message::{Head, Message};
use crate::room::log::{ActorLog, Base, Log};
use crate::room::older::Older;
use crate::room::packed::Range;
use crate::room::waiting::Early;
use crate::room::{Output, Room};
use crate::store::Rename;
use crate::sync::Now;
use crate::view::MessageView;

impl Log {
    /// What the clock of a message names, by the names that it has here.
    pub(super) fn heads_here(&self, message: &MessageView<'_>) -> Vec<Head> {
        if self.branches.is_empty() {
            return message.clock.clone();
        }
        let may_come = |dot: &&Dot| dot.seq > self.floor(&dot.actor) && !self.is_outside(&dot.actor, dot.seq);
        let here = |head: &Head| {
            let meant = self.meant(head);
            let Dot { actor, seq } = *meant.iter().find(may_come).unwrap_or(&meant[0]);
            Head { actor, seq, link: head.link }
        };
        message.clock.iter().map(here).collect()
    }

    /// What a clock may mean by a name.
    fn meant(&self, head: &Head) -> Vec<Dot> {
        self.branches.meant(head, |dot| self.link(&dot.actor, dot.seq).map(|link| link.short()))
    }

    /// What the author of a message may have seen, by what its clock names.
    pub(super) fn named_by(&self, message: &MessageView<'_>) -> VersionVector {
        let meant = message.clock.iter().flat_map(|head| self.meant(head));
        let mut named: VersionVector = meant.map(|dot| (dot.actor, dot.seq)).collect();
        self.branches.with_bases(&mut named);
        named
    }

    /// The next message of its actor as the replica sees it, if that is not how it was signed.
    pub(super) fn derive(&self, message: &MessageView<'_>, heads: &[Head]) -> Option<Message> {
        if self.branches.is_empty() {
            return None;
        }
        let mut seen = self.actors.get(&message.actor).map(|log| log.clock.clone()).unwrap_or_default();
        seen.join(&self.frontier.version());
        seen.lower(&message.actor, 0);
        self.branches.derive(message, heads, &seen)
    }

    /// Whether the next message of an actor follows from one that is forgotten, or from none.
    pub(super) fn begins_on_forgotten(&self, actor: &Actor) -> bool {
        let head = self.head(actor);
        match self.branches.get(actor).filter(|branch| head <= branch.base) {
            Some(branch) => branch.base == 0 || branch.base <= self.floor(&branch.parent),
            None => head == self.floor(actor),
        }
    }

    /// Whether what is before a fork, without a signature, goes in one run with the branch that begins after it.
    pub(super) fn goes_on(&self, before: &Range, after: &Range) -> bool {
        let branch = self.branches.get(&after.0);
        let hangs_on = branch.is_some_and(|branch| (branch.parent, branch.base) == (before.0, before.2));
        hangs_on && after.1 == before.2 + 1 && !self.is_signed(&Dot { actor: before.0, seq: before.2 })
    }

    /// Lets those branches begin that hang on what is held.
    pub(super) fn begin_branches(&mut self) {
        loop {
            let absent = self.branches.iter().filter(|(actor, _)| !self.actors.contains_key(actor));
            let next = absent.filter_map(|(actor, branch)| {
                if branch.base == 0 {
                    let base = Base { seq: 0, link: branch.link, lamport: 0 };
                    return Some((actor, base, VersionVector::default()));
                }
                let is_at = |log: &&ActorLog| log.head() == branch.base && log.head_link() == branch.link;
                let parent = self.actors.get(&branch.parent).filter(is_at)?;
                let mut clock = parent.clock.clone();
                clock.raise(branch.parent, branch.base);
                let lamport = parent.head_lamport();
                Some((actor, Base { seq: branch.base, link: branch.link, lamport }, clock))
            });
            let next: Vec<_> = next.collect();
            if next.is_empty() {
                return;
            }
            for (actor, base, clock) in next {
                self.actors.insert(actor, ActorLog { base, entries: Vec::new(), clock });
            }
            self.digest = None;
            self.ranges = None;
        }
    }

    /// Gives messages the name of a branch. `clock` is what the last of those that keep their name had seen.
    fn rename(&mut self, rename: &Rename, clock: VersionVector) {
        self.gather();
        let Some(mut before) = self.actors.remove(&rename.from) else { return };
        let kept = usize::try_from(rename.seq - 1 - before.base.seq).unwrap_or(usize::MAX);
        let entries = before.entries.split_off(kept.min(before.entries.len()));
        let last = Base { seq: before.head(), link: before.head_link(), lamport: before.head_lamport() };
        let seen = std::mem::replace(&mut before.clock, clock);
        self.actors.insert(rename.to, ActorLog { base: last, entries, clock: seen });
        if last.seq > 0 {
            self.actors.insert(rename.from, before);
        }
        for (actor, log) in &mut self.actors {
            let seen = log.clock.get(&rename.from);
            if seen >= rename.seq {
                log.clock.lower(&rename.from, last.seq);
                log.clock.raise(rename.to, seen);
            }
            if *actor == rename.to {
                log.clock.raise(rename.from, last.seq);
            }
        }
        self.digest = None;
        self.ranges = None;
    }

    /// Has all that is known of messages in memory.
    fn gather(&mut self) {
        for (actor, log) in &mut self.actors {
            let older = self.older.of(actor);
            if !older.is_empty() {
                // Only rooms of which nothing is forgotten are put away.
                log.base = Base { seq: 0, link: Link::origin(&self.room, actor), lamport: 0 };
                log.entries.splice(..0, older.iter().copied());
            }
        }
        self.older = Older::default();
    }
}

impl Room {
    /// The message that had this name before its actor was known to have forked, if only one branch has one of that number.
    pub(super) fn find_renamed(&self, name: &str) -> Option<Dot> {
        let namesakes = self.log.branches.namesakes(name.parse().ok()?);
        let mut held = namesakes.filter(|dot| self.replica.contains(dot));
        held.next().filter(|_| held.next().is_none())
    }

    /// What a message is called now that was called so before; none of that name is held where this gives another.
    pub(super) fn go_by_branches(&mut self, rename: Option<Rename>, now: Now, out: &mut Vec<Output>) {
        if let Some(rename) = &rename {
            let last = Dot { actor: rename.from, seq: rename.seq - 1 };
            let forgotten = self.forgotten();
            let mut clock = match last.seq <= self.log.floor(&last.actor) {
                true => self.forgotten_clock(&last.actor),
                false => {
                    let mut clock = self.replica.version_of(&last).unwrap_or_default();
                    clock.join(&forgotten);
                    clock
                }
            };
            clock.lower(&last.actor, 0);
            self.log.rename(rename, clock);
            self.commits.rename(rename);
            self.horizons.rename(rename);
        }
        self.log.branches = self.forks.branches();
        self.log.begin_branches();
        self.replica.rename(&self.log.branches, rename.as_ref());
        self.renew_author();
        out.push(Output::Rename { renames: rename.into_iter().collect(), forks: self.forks.encode() });
        self.begin_again(now, out);
    }

    /// Takes the runs that waited for a message which is there now. Those that named another branch's of its number may have meant it: what
    /// a clock names is known for sure only once it is held.
    pub(super) fn release(&mut self, dot: &Dot) -> Vec<Early> {
        let mut released = self.waiting.release(dot);
        for namesake in self.log.branches.namesakes(*dot) {
            released.extend(self.waiting.release(&namesake));
        }
        released
    }

    /// Tells every peer anew what is held, as if it had just come: what it was told before were other names.
    fn begin_again(&mut self, now: Now, out: &mut Vec<Output>) {
        self.waiting = crate::room::Waiting::default();
        self.packed = crate::room::Packed::default();
        (self.settled, self.recent) = Default::default();
        for (&link, peer) in &mut self.peers {
            if peer.begin_again(&self.log.branches) {
                self.reads_orphaned.insert(link);
            }
        }
        if self.watched {
            self.replica.drop_changes();
            out.push(Output::Event(Box::new(crate::api::Event::Lagged { dropped: 0 })));
        }
        for link in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_forks(link, now, out);
            self.send_vector(link, true, out);
            if !self.is_vast() {
                self.ack(link, self.log.vector(), out);
            }
        }
    }
}
