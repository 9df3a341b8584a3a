//! Horizons (DESIGN §3, law 14): where they may lie, what they leave, and standing on that.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::history::History;
use super::index::{ActorIx, MessageIx, NodeIx, PathIx};
use super::node::Shown;
use crate::branch::{Branches, Deriver};
use crate::clock::{Stamp, VersionVector};
use crate::ground::{Ground, Unfoldable};
use crate::id::{Actor, Dot};
use crate::message::Message;
use crate::place::Place;
use crate::store::Rename;
use crate::view::MessageView;

impl Engine {
    /// Whether all that `version` covers is held or forgotten, and its past with it: a horizon may hold so much.
    pub fn is_cut(&self, version: &VersionVector) -> bool {
        let held = self.version_vector();
        version.iter().all(|(actor, seq)| {
            held.get(&actor) >= seq
                && self.history.actor_number(&actor).is_some_and(|ix| {
                    self.history.is_forgotten(ix, seq)
                        || held.iter().all(|(other, _)| self.sees(ix, seq, &other) <= version.get(&other))
                })
        })
    }

    /// The greatest cut within `limit` of which all later messages that are held have seen everything: a horizon there leaves
    /// none of them outside. It never lies before the ground, and nothing in it is of a kind that a newer version may know.
    ///
    /// Costs a look at every message, and one at every actor for each that is the first behind a cut which was tried.
    pub fn clean_cut(&self, limit: &VersionVector) -> VersionVector {
        if !self.history.is_closed() {
            return self.ground.version.clone();
        }
        let mut order: Vec<MessageIx> = self.history.newest().collect();
        order.reverse();
        let may_go = |&&message: &&MessageIx| {
            limit.covers(&self.history.dot(message)) && self.unfoldable(message).is_none()
        };
        let within = order.iter().take_while(may_go).count();
        Cutting::new(&self.history, order).cut(within)
    }

    /// What is left of the messages that `version` covers, which [`Engine::is_cut`] and are no fewer than those of the ground.
    /// Costs what applying them costs.
    ///
    /// # Errors
    /// Where one of them holds an op that a newer version may know: nothing is forgotten past it.
    pub fn ground_at(&self, version: &VersionVector) -> Result<Ground, Unfoldable> {
        let mut replica = self.emptied(&self.ground);
        replica.apply_each(self.messages(|actor, seq| version.get(&self.history.actor_of(actor)) >= seq));
        replica.ground()
    }

    /// Stands on the ground of a horizon: forgets what lies in it, and drops what it leaves outside. Gives the latter, in the
    /// order of their stamps and with clocks that name no links. Costs what applying the rest costs.
    pub fn stand(&mut self, ground: &Ground) -> Vec<Message> {
        let outside = self.history.outside(&ground.version);
        let is_outside = |actor: ActorIx, seq: u64| outside.get(&actor).is_some_and(|&first| first <= seq);
        let is_forgotten =
            |actor: ActorIx, seq: u64| ground.version.get(&self.history.actor_of(actor)) >= seq;
        let mut standing = self.emptied(ground);
        standing.apply_each(self.messages(|actor, seq| !is_forgotten(actor, seq) && !is_outside(actor, seq)));
        let dropped = self.messages(is_outside).collect();
        standing.drop_changes();
        standing.follow(self);
        *self = standing;
        dropped
    }

    /// Takes in everything again in the total order, so that every name means from the beginning what it means.
    pub(super) fn apply_anew(&mut self) {
        let held: BTreeSet<Dot> = self.history.newest().map(|message| self.history.dot(message)).collect();
        let mut anew = self.emptied(&self.ground);
        anew.history.expect(self.history.origins().intersection(&held).copied().collect());
        anew.apply_each(self.messages(|_, _| true));
        anew.drop_changes();
        anew.follow(self);
        *self = anew;
    }

    /// Lets the branches of forks begin after what they hang on, and takes in everything again by the names that they give it: what is
    /// renamed is of a branch, and so is what others meant by it. Costs what applying everything costs, where something is renamed, or is held
    /// of what was not known to be a branch.
    pub fn rename(&mut self, branches: &Branches, rename: Option<&Rename>) {
        let held = self.version_vector();
        let is_news = |actor: &Actor| {
            held.get(actor) > self.ground.version.get(actor) && !self.history.begins().contains_key(actor)
        };
        let is_otherwise = rename.is_some() || branches.iter().any(|(actor, _)| is_news(&actor));
        let begins = branches.iter().map(|(actor, branch)| (actor, branch.base));
        self.history.begin_after(begins);
        if !is_otherwise {
            return;
        }
        let mut deriver = Deriver::new(branches.clone(), self.ground.version.clone());
        let messages: Vec<Message> =
            self.messages(|_, _| true).map(|message| deriver.rename(message, rename)).collect();
        let held: BTreeSet<Dot> = messages.iter().map(Message::dot).collect();
        let origins = messages.iter().filter_map(|message| Some(message.origin()?.dot));
        let mut anew = self.emptied(&self.ground);
        anew.history.expect(origins.filter(|origin| held.contains(origin)).collect());
        anew.apply_each(messages.into_iter());
        anew.drop_changes();
        anew.follow(self);
        *self = anew;
    }

    /// A replica of the same room that holds nothing but a ground.
    fn emptied(&self, ground: &Ground) -> Self {
        let mut emptied = Self::on(ground, self.root.clone());
        emptied.history.begin_after(self.history.begins().clone());
        emptied
    }

    /// How many messages of `other` the message `seq` of an actor has seen, itself included.
    fn sees(&self, actor: ActorIx, seq: u64, other: &Actor) -> u64 {
        let other = self.history.actor_number(other);
        other.map_or(0, |other| if other == actor { seq } else { self.history.cover(actor, seq, other) })
    }

    /// Why nothing is forgotten past a message, if so.
    pub(super) fn unfoldable(&self, message: MessageIx) -> Option<Unfoldable> {
        let unknown = self.history.ops_of(message).filter(|&op| self.history.kind(op).is_none());
        let mut reasons = unknown.filter_map(|op| {
            let reason = self.op(op).resolve().err()?;
            Unfoldable::check(self.history.dot(message), self.history.index(op), &reason).err()
        });
        reasons.next()
    }

    /// Those messages held that are wanted, by actor and number, in the total order. Their clocks are advances.
    fn messages(&self, is_wanted: impl Fn(ActorIx, u64) -> bool) -> impl Iterator<Item = Message> {
        let mut heads = self.history.heads();
        let requests = self.requests.by_message();
        let mut all: Vec<MessageIx> = self.history.newest().collect();
        all.reverse();
        all.into_iter().filter_map(move |ix| {
            let held = self.history.message(ix);
            is_wanted(held.actor, held.seq).then(|| Message {
                actor: self.history.actor_of(held.actor),
                seq: held.seq,
                lamport: held.lamport,
                clock: heads.remove(&(held.actor, held.seq)).unwrap_or_default(),
                time_ms: self.history.time_ms(ix),
                request: requests.get(&ix).map(|request| (*request).to_owned()),
                note: self.history.note(ix).map(str::to_owned),
                ops: self.ops(ix).collect(),
            })
        })
    }

    /// Takes in messages as [`Engine::apply_all`] does. None of them is whole for longer than it takes.
    fn apply_each(&mut self, messages: impl Iterator<Item = Message>) {
        messages.for_each(|message| {
            MessageView::with(&message, |view| self.take_in(view));
        });
        self.settle();
    }

    /// Notes what shows differently than in the replica that was before, and what had not been told of that.
    fn follow(&mut self, before: &Self) {
        let stale: BTreeSet<NodeIx> = before.stale_nodes.iter().copied().collect();
        let untold: BTreeMap<NodeIx, Option<Shown>> = before.changes.nodes.iter().copied().collect();
        for (key, number) in before.keys.iter() {
            let old = NodeIx::of(number);
            let node = self.node_number(key);
            let shown = untold.get(&old).copied().unwrap_or(before.nodes[old.at()].shown);
            let is_told_anyway = untold.contains_key(&old) || stale.contains(&old);
            let stands_elsewhere = || self.rank_there(node) != before.rank_there(old);
            if is_told_anyway || stands_elsewhere() || self.told(node) != before.told(old) {
                // Of where it stood only the parent is looked at.
                let shown =
                    shown.map(|shown| Shown { parent: self.node_number(before.key(shown.parent)), ..shown });
                self.nodes[node.at()].is_changed = true;
                self.changes.nodes.push((node, shown));
            }
            for cell in before.nodes[old.at()].cells().map(|cell| &before.cells[cell.at()]) {
                let path = before.history.paths.text(cell.path.at());
                let value = cell.value(&before.history);
                let path = PathIx::of(self.history.paths.number(path));
                let ix = self.cell_number(node, path);
                let is_changed =
                    cell.is_changed || cell.is_stale || self.cells[ix.at()].value(&self.history) != value;
                if is_changed && !std::mem::replace(&mut self.cells[ix.at()].is_changed, true) {
                    self.changes.cells.push(ix);
                }
            }
        }
    }

    /// By what a node is sorted among its siblings, if it is there.
    fn rank_there(&self, node: NodeIx) -> Option<(Option<&Place>, Stamp)> {
        self.nodes[node.at()].shown.map(|_| self.rank(node))
    }

    /// What changes tell of a node.
    fn told(&self, node: NodeIx) -> Option<(&str, &str, &str)> {
        let shown = self.nodes[node.at()].shown?;
        let (tag, name) = self.tag_and_name(node);
        Some((self.key(shown.parent), tag, name))
    }
}

impl History {
    /// Of each actor with messages that a horizon leaves outside, the number of the first: they have not seen all of it, or
    /// have seen one that has not.
    fn outside(&self, horizon: &VersionVector) -> BTreeMap<ActorIx, u64> {
        let numbers: Vec<(ActorIx, u64)> =
            horizon.iter().filter_map(|(actor, seq)| Some((self.actor_number(&actor)?, seq))).collect();
        let first = |actor: ActorIx| horizon.get(&self.actor_of(actor)).max(self.before_first(actor)) + 1;
        let behind: Vec<(ActorIx, u64)> =
            self.lasts().filter(|&(actor, last)| first(actor) <= last).collect();
        // Of actors that the horizon holds and of whom nothing is, nobody has seen anything.
        let is_all = numbers.len() == horizon.len();
        let lacks = |&(actor, _): &(ActorIx, u64)| {
            !is_all || numbers.iter().any(|&(other, seq)| self.cover(actor, first(actor), other) < seq)
        };
        let mut outside: BTreeMap<ActorIx, u64> =
            behind.iter().filter(|held| lacks(held)).map(|&(actor, _)| (actor, first(actor))).collect();
        loop {
            let before = outside.clone();
            for &(actor, last) in &behind {
                let touched = before.iter().filter_map(|(&other, &seq)| self.first_to_see(actor, other, seq));
                let touched = touched.min().map(|seq| seq.max(first(actor))).filter(|&seq| seq <= last);
                if let Some(seq) = touched {
                    let least = outside.entry(actor).or_insert(seq);
                    *least = seq.min(*least);
                }
            }
            if outside == before {
                return outside;
            }
        }
    }
}

/// A cut that is moved back until it is clean.
struct Cutting<'a> {
    history: &'a History,
    /// Everything held, in the total order.
    order: Vec<MessageIx>,
    /// Where each message stands there.
    places: BTreeMap<(ActorIx, u64), usize>,
}

impl<'a> Cutting<'a> {
    fn new(history: &'a History, order: Vec<MessageIx>) -> Self {
        let name = |&message: &MessageIx| {
            let message = history.message(message);
            (message.actor, message.seq)
        };
        let places = order.iter().map(name).zip(0..).collect();
        Self { history, order, places }
    }

    /// The greatest clean cut that holds at most so many of the messages: the first ones in order, for whoever has seen a
    /// message comes after it.
    fn cut(&self, within: usize) -> VersionVector {
        let mut held: BTreeMap<ActorIx, u64> = BTreeMap::new();
        let mut lasts: BTreeMap<ActorIx, u64> = BTreeMap::new();
        for (actor, last) in self.history.lasts() {
            held.insert(actor, self.history.before_first(actor));
            lasts.insert(actor, last);
        }
        for &message in &self.order[..within] {
            let message = self.history.message(message);
            held.insert(message.actor, message.seq);
        }
        let mut cut = within;
        let mut stale: Vec<ActorIx> = held.keys().copied().collect();
        loop {
            let behind = stale.iter().filter(|actor| held[*actor] < lasts[*actor]);
            let unseen = behind.map(|&actor| self.first_unseen(actor, held[&actor] + 1, &lasts)).min();
            let Some(clean) = unseen.filter(|&unseen| unseen < cut) else { break };
            stale.clear();
            for &message in self.order[clean..cut].iter().rev() {
                let message = self.history.message(message);
                held.insert(message.actor, message.seq - 1);
                stale.push(message.actor);
            }
            stale.sort_unstable();
            stale.dedup();
            cut = clean;
        }
        let is_there = |(actor, seq): &(ActorIx, u64)| {
            *seq > self.history.before_first(*actor) || *seq == self.history.forgotten(*actor)
        };
        held.into_iter().filter(is_there).map(|(actor, seq)| (self.history.actor_of(actor), seq)).collect()
    }

    /// The place of the first message that the message `seq` of an actor has not seen.
    fn first_unseen(&self, actor: ActorIx, seq: u64, lasts: &BTreeMap<ActorIx, u64>) -> usize {
        let next = |&other: &ActorIx| {
            let seen = self.history.cover(actor, seq, other).max(self.history.before_first(other));
            self.places.get(&(other, seen + 1))
        };
        lasts.keys().filter_map(next).min().copied().unwrap_or(self.order.len())
    }
}
