//! The branches of forks: which actor each message of a room is of, and what its names mean, once an actor gave one number to two
//! messages (DESIGN §6).
//!
//! From a fork on each branch is an actor of its own: of the same key, with an epoch that is a hash of its first message's signed actor,
//! number and link, and with numbers that go on. What comes before keeps its name; that actor is *closed* there. Bodies, links and signatures
//! stay what was signed: only what replicas are given is translated, where a room takes a message in and where a journal is read.
//!
//! A [`Branches`] is made of the proofs that are known, and of nothing else. Names depend on what was signed alone, so they are the same
//! whichever fork is learnt first. [`crate::naive::branches`] is the same in the plainest code.

mod deriver;
mod translate;

use std::collections::BTreeMap;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::Link;
use crate::clock::VersionVector;
use crate::fork::Fork;
use crate::id::{Actor, Dot, RoomId};
use crate::limits::{FORK_BYTES_MAX, FORKS_MAX};
use crate::message::{Head, Message, SHORT_LINK_BYTES};
use crate::planted::{Bug, planted};
use crate::store::Rename;
use crate::view::MessageView;

pub use deriver::Deriver;
pub(crate) use translate::translate;

/// The actors that forks have made, by what is known of forks; usually none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Branches {
    branches: BTreeMap<Actor, Branch>,
    /// Of actors that branch the number after which they do.
    closed: BTreeMap<Actor, u64>,
}

/// One branch of a fork.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branch {
    /// Who signed it, as the signature has it.
    pub signed: Actor,
    /// The number before its first.
    pub base: u64,
    /// The link that its first message hangs on.
    pub link: Link,
    /// Whose message that is, by the name that it has here; where there is none, who signed it.
    pub parent: Actor,
}

/// A fork that is known, as the fact [`FORKS`](crate::store::FORKS) keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its proof.
    pub fork: Fork,
    /// Of which actor its branches are made; none where that lies before a horizon, and only one of them is part of the room, and where it is
    /// not known yet.
    pub parent: Option<Actor>,
}

/// What the branch of an actor is called that begins with the message of that number and link.
pub fn name(signed: &Dot, first: &Link) -> Actor {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 branch v1");
    hasher.update(&signed.actor.0).update(&signed.seq.to_be_bytes()).update(&first.0);
    let mut epoch = [0; 8];
    epoch.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    Actor::new(signed.actor.key(), u64::from_be_bytes(epoch))
}

impl Known {
    /// Adds a fork of `parent`, by the name that this has so far, to those that are known. `held` is the branch that what is held of the
    /// parent after the fork turns out to be, if anything is. Says what is called otherwise from now on.
    pub fn learn(all: &mut Vec<Self>, fork: Fork, parent: Actor, held: Option<Actor>) -> Option<Rename> {
        let seq = fork.dot().seq;
        let rename = held.map(|to| Rename { from: parent, seq, to });
        for known in all.iter_mut() {
            let before = known.parent.map(|parent| Dot { actor: parent, seq: known.fork.dot().seq - 1 });
            known.parent = before.map(|before| rename.map_or(before, |rename| rename.of(before)).actor);
        }
        all.push(Self { fork, parent: Some(parent) });
        rename
    }

    /// The fact: `[[parent or null, proof]…]`.
    pub fn encode_all<'a>(all: impl ExactSizeIterator<Item = &'a Self>) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(all.len());
        for Self { fork, parent } in all {
            let parent = parent.map(|actor| actor.to_string());
            writer.array(2).text_or_null(parent.as_deref()).bytes(fork.bytes());
        }
        writer.finish()
    }

    /// Reads the fact, as it is or as a list of proofs alone, which it was before there were branches. Proofs were checked before they were
    /// kept, and are not again.
    ///
    /// # Errors
    /// Where it is not what [`Known::encode_all`] writes.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::new();
        for _ in 0..reader.array(FORKS_MAX, "forks")? {
            let (mut ahead, mut parent) = (reader.clone(), Ok(None));
            if ahead.array_of(2, "a fork").is_ok() {
                reader = ahead;
                parent = reader.str_or_null(bytes.len(), "an actor")?.map(str::parse).transpose();
            }
            let parent = parent.map_err(|_| DecodeError::NotCanonical)?;
            let fork = Fork::recall(reader.slice(FORK_BYTES_MAX, "a fork")?)?;
            all.push(Self { fork, parent });
        }
        reader.finish()?;
        Ok(all)
    }
}

impl Branches {
    /// Those of the forks that are known.
    pub fn of<'a>(known: impl IntoIterator<Item = &'a Known>) -> Self {
        let mut all = Self::default();
        for Known { fork, parent } in known {
            let Some(parent) = *parent else { continue };
            let Dot { actor: signed, seq } = fork.dot();
            let base = seq - 1;
            for name in fork.branches() {
                all.branches.insert(name, Branch { signed, base, link: fork.before(), parent });
            }
            all.closed.entry(parent).and_modify(|closed| *closed = base.min(*closed)).or_insert(base);
        }
        all
    }

    /// Those of the fact [`FORKS`](crate::store::FORKS).
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(fact: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::of(&Known::decode_all(fact)?))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Actor, Branch)> + '_ {
        self.branches.iter().map(|(&name, &branch)| (name, branch))
    }

    /// The branch of that name, if that is one.
    pub fn get(&self, actor: &Actor) -> Option<&Branch> {
        self.branches.get(actor)
    }

    /// The branches that an actor goes on with, by name.
    pub fn of_parent(&self, actor: &Actor) -> impl Iterator<Item = Actor> + '_ {
        let parent = *actor;
        let branches = self.branches.iter().filter(move |(_, branch)| branch.parent == parent);
        branches.map(|(&name, _)| name)
    }

    /// The number before the first message of an actor: 0 but for branches.
    pub fn base(&self, actor: &Actor) -> u64 {
        self.branches.get(actor).map_or(0, |branch| branch.base)
    }

    /// The last number of an actor that branches after it.
    pub fn closed(&self, actor: &Actor) -> Option<u64> {
        self.closed.get(actor).copied()
    }

    /// Who signs as an actor: of a branch the actor that has forked.
    pub fn signed(&self, actor: &Actor) -> Actor {
        self.branches.get(actor).map_or(*actor, |branch| branch.signed)
    }

    /// The number before the first message of an actor, and the link that this one hangs on.
    pub fn origin(&self, room: &RoomId, actor: &Actor) -> (u64, Link) {
        match self.branches.get(actor) {
            Some(branch) => (branch.base, branch.link),
            None => (0, Link::origin(room, actor)),
        }
    }

    /// The actor that signed, and all branches of it; nothing where it has not forked.
    pub fn family(&self, actor: Actor) -> impl Iterator<Item = Actor> + '_ {
        let signed = self.signed(&actor);
        let has_forked = self.closed.contains_key(&actor) || self.branches.contains_key(&actor);
        let branches = self.branches.iter().filter(move |(_, branch)| branch.signed == signed);
        [signed].into_iter().chain(branches.map(|(&name, _)| name)).filter(move |_| has_forked)
    }

    /// What the message may be called here that somebody calls `dot`, who perhaps knows of no fork; nothing where its actor has not forked.
    pub fn namesakes(&self, dot: Dot) -> impl Iterator<Item = Dot> + '_ {
        let family = self.family(dot.actor);
        let has = move |actor: &Actor| {
            self.base(actor) < dot.seq && self.closed(actor).is_none_or(|closed| dot.seq <= closed)
        };
        family.filter(has).map(move |actor| Dot { actor, ..dot })
    }

    /// What a clock may mean by a name, of which there is always something; `short` tells the links of what is held. That is the one message of
    /// its link, once it is held; until then each that may still come to be it; and where all of that number are held, each of them, which are
    /// others.
    pub fn meant(&self, head: &Head, short: impl Fn(&Dot) -> Option<[u8; SHORT_LINK_BYTES]>) -> Vec<Dot> {
        let dot = Dot { actor: head.actor, seq: head.seq };
        // Who names a branch knows that fork, and perhaps none on it.
        let is_of_branch =
            |named: &Dot| self.base(&dot.actor) >= dot.seq || self.is_of(named.actor, dot.actor);
        let named: Vec<_> = self.namesakes(dot).filter(is_of_branch).map(|dot| (dot, short(&dot))).collect();
        for link in [Some(head.link), None] {
            let those = named.iter().filter(|(_, held)| *held == link).map(|(dot, _)| *dot);
            let those: Vec<Dot> = those.collect();
            if !those.is_empty() {
                return those;
            }
        }
        match named.is_empty() {
            true => vec![dot],
            false => named.into_iter().map(|(dot, _)| dot).collect(),
        }
    }

    /// What a clock means by a name, as far as that is known.
    pub fn find(&self, head: &Head, short: impl Fn(&Dot) -> Option<[u8; SHORT_LINK_BYTES]>) -> Dot {
        self.meant(head, short)[0]
    }

    /// Whether an actor is another, or goes on with it after forks.
    fn is_of(&self, actor: Actor, other: Actor) -> bool {
        std::iter::successors(Some(actor), |actor| Some(self.branches.get(actor)?.parent))
            .any(|actor| actor == other)
    }

    /// What the message is called here that somebody calls `dot` who had seen so much of each actor, by the names that they have here. Where
    /// he had seen none that it could be, it keeps the name.
    pub fn resolve(&self, dot: Dot, seen: impl Fn(&Actor) -> u64) -> Dot {
        let up =
            |actor: &Actor| Some(self.branches.get(actor).filter(|branch| dot.seq <= branch.base)?.parent);
        let actor = std::iter::successors(Some(dot.actor), up).last().unwrap_or(dot.actor);
        if self.closed(&actor).is_none_or(|closed| dot.seq <= closed) {
            return Dot { actor, ..dot };
        }
        self.seen_below(&actor, dot.seq, &seen).map_or(dot, |actor| Dot { actor, ..dot })
    }

    /// The branch of an actor, or of one of its branches, of which a message of that number was seen. Only liars have seen several: then
    /// the one of the least name, fork by fork.
    fn seen_below(&self, actor: &Actor, seq: u64, seen: &impl Fn(&Actor) -> u64) -> Option<Actor> {
        if self.closed(actor).is_none_or(|closed| seq <= closed) {
            return (seen(actor) >= seq || planted(Bug::BranchesMistaken)).then_some(*actor);
        }
        self.of_parent(actor).find_map(|branch| self.seen_below(&branch, seq, seen))
    }

    /// What the author had seen before an actor's first message; nothing for one that is no branch. `clock` tells what the newest message
    /// of an actor had seen.
    pub fn seen_before<'a>(
        &self,
        actor: &Actor,
        clock: impl Fn(&Actor) -> Option<&'a VersionVector>,
    ) -> Option<VersionVector> {
        let branch = self.branches.get(actor)?;
        let mut seen = clock(&branch.parent).cloned().unwrap_or_default();
        seen.raise(branch.parent, branch.base);
        Some(seen)
    }

    /// Adds to what is seen that of which it follows: whoever has seen a message of a branch has seen what that hangs on.
    pub(crate) fn with_bases(&self, seen: &mut VersionVector) {
        let up = |actor: &Actor| self.branches.get(actor).map(|branch| (branch.parent, branch.base));
        let all: Vec<(Actor, u64)> = seen.iter().collect();
        for (actor, _) in all {
            let bases = std::iter::successors(up(&actor), |(parent, _)| up(parent));
            bases.for_each(|(parent, base)| seen.raise(parent, base));
        }
    }

    /// The message as a replica of this room sees it: by the name of its branch, with a clock and with references by the names that they
    /// have here; nothing where that is the message as it is. It comes by the name that it has here; `heads` are what its clock names,
    /// by theirs, and `seen` is what its author had seen before.
    ///
    /// The first message of a branch tells all that was seen before: its clock may be longer than a clock that travels.
    pub fn derive(&self, view: &MessageView<'_>, heads: &[Head], seen: &VersionVector) -> Option<Message> {
        if self.is_empty() {
            return None;
        }
        let own = view.dot();
        let clock = self.clock(own, heads, seen);
        let had_seen = |actor: &Actor| match *actor == own.actor {
            true => own.seq,
            false => {
                let named = clock.binary_search_by_key(actor, |head| head.actor);
                named.map_or(seen.get(actor), |at| clock[at].seq)
            }
        };
        let name = |dot: Dot| self.resolve(dot, had_seen);
        let next = |dot: Dot| {
            let ends = self.family(dot.actor).flat_map(|actor| {
                let ends = [self.base(&actor), self.closed(&actor).unwrap_or(u64::MAX), had_seen(&actor)];
                ends.map(|end| end.saturating_add(1))
            });
            ends.filter(|&end| end > dot.seq).min().unwrap_or(u64::MAX)
        };
        let message = view.to_message();
        let ops = message.ops.iter().map(|op| translate(op, own, &name, &next)).collect();
        let derived = Message { clock, ops, ..message.clone() };
        (derived != message).then_some(derived)
    }

    /// The clock of a message, of which it is known what it names.
    fn clock(&self, own: Dot, heads: &[Head], seen: &VersionVector) -> Vec<Head> {
        let is_first = self.branches.get(&own.actor).is_some_and(|branch| own.seq == branch.base + 1);
        let mut advances: VersionVector = heads.iter().map(|head| (head.actor, head.seq)).collect();
        self.with_bases(&mut advances);
        if is_first {
            advances.join(seen);
        }
        let link = |actor: &Actor, seq: u64| {
            let named = heads.iter().find(|head| (head.actor, head.seq) == (*actor, seq));
            named.map_or([0; SHORT_LINK_BYTES], |head| head.link)
        };
        let is_news =
            |(actor, seq): &(Actor, u64)| *actor != own.actor && (is_first || *seq > seen.get(actor));
        let advances = advances.iter().filter(is_news);
        advances.map(|(actor, seq)| Head { actor, seq, link: link(&actor, seq) }).collect()
    }
}
