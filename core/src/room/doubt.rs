//! Whether who holds the same numbers holds the same messages: where two do not, somebody has forked, and each side sends the other
//! what proves it.
//!
//! Vectors name no links. Doubt comes from a run that does not continue the chain here, from a clock that names another message than
//! the one held, and from digests that differ though the vectors do not. Then links are compared: of an actor those at growing distances
//! back, so that the messages from the last common one on are at most twice those that differ, and come as a backlog.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::id::{Actor, Dot};
use crate::limits::{DOUBTS_MAX, LINKS_TOLD_MAX};
use crate::message::Head;
use crate::planted::{Bug, planted};
use crate::room::log::Log;
use crate::room::{Output, Refusal, Room};
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run};

/// How long an answer to a doubt may take until it is raised again.
const DOUBT_AGAIN_MS: u64 = 2_000;
/// How often in a row a peer tells the same numbers, under another digest, until that is no matter of what is under way.
const SAME_TELLS_MIN: u32 = 2;
/// How long after the newest messages of all actors were compared they are compared again.
const COMPARE_AGAIN_MS: u64 = 10_000;

/// What is doubtful of one peer's messages.
#[derive(Default)]
pub(super) struct Doubts {
    /// When it was last asked about an actor.
    asked_us: BTreeMap<Actor, u64>,
    /// How often in a row it told the same numbers as are held here, without being known to hold the same.
    same_tells: u32,
    /// The actor after which a comparison of all goes on.
    compared: Option<Actor>,
    /// When the next one begins.
    compare_us: u64,
}

/// How the links that somebody tells of an actor compare with those held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Parting {
    /// Those of both are the same.
    None,
    /// Some differ; this number is common to both.
    After(u64),
    /// Some differ, and none is known to be common.
    Somewhere,
}

impl Doubts {
    /// Notes whether it told the same numbers as are held here.
    pub(super) fn hear(&mut self, is_same: bool) {
        self.same_tells = if is_same { self.same_tells.saturating_add(1) } else { 0 };
    }
}

impl Room {
    /// What a refused run says of its actor, or of those that it names.
    pub(super) fn look_into(
        &mut self,
        link: LinkId,
        run: &Run,
        refusal: &Refusal,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if let Refusal::Fork { dot } = refusal {
            self.prove(link, run, *dot, out);
        } else if let Refusal::Branch { dot } = refusal {
            self.doubt(link, &dot.actor, now, out);
        } else if let Refusal::Signature { dot } = refusal {
            // Good or not, it hangs on something else than what is held.
            self.doubt(link, &dot.actor, now, out);
        }
    }

    /// Tells a peer which messages of an actor are held, since it seems to hold others.
    fn doubt(&mut self, link: LinkId, actor: &Actor, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let asked_us = &mut peer.doubts.asked_us;
        asked_us.retain(|_, asked_us| now.monotonic_us.saturating_sub(*asked_us) < DOUBT_AGAIN_MS * 1000);
        let links = self.log.ladder(actor);
        if self.forks.has_outside(actor)
            || asked_us.contains_key(actor)
            || asked_us.len() >= DOUBTS_MAX
            || links.is_empty()
        {
            return;
        }
        asked_us.insert(*actor, now.monotonic_us);
        out.push(Output::Send { link, lane: Lane::Live, frame: RoomFrame::Links { links } });
    }

    /// A peer's digest differs from ours: tells it the newest links, if it is not the numbers that differ.
    pub(super) fn compare_heads(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let doubts = &mut peer.doubts;
        let is_due = doubts.same_tells >= SAME_TELLS_MIN && now.monotonic_us >= doubts.compare_us;
        if !is_due || planted(Bug::ForkUnnoticed) {
            return;
        }
        let links: Vec<Head> = self.log.heads_after(doubts.compared).take(LINKS_TOLD_MAX).collect();
        doubts.compared = links.last().map(|head| head.actor).filter(|_| links.len() == LINKS_TOLD_MAX);
        if doubts.compared.is_none() {
            doubts.compare_us = now.after_ms(COMPARE_AGAIN_MS);
        }
        out.push(Output::Send { link, lane: Lane::Live, frame: RoomFrame::Links { links } });
    }

    /// A peer tells which messages it holds: of those that differ it is sent ours, or told more, so that it can say since when.
    pub(super) fn hear_links(&mut self, link: LinkId, links: &[Head], now: Now, out: &mut Vec<Output>) {
        for of_actor in links.chunk_by(|one, next| one.actor == next.actor) {
            let actor = of_actor[0].actor;
            match self.log.parting(of_actor) {
                Parting::None => {}
                Parting::Somewhere => self.doubt(link, &actor, now, out),
                Parting::After(seq) => {
                    let Some(peer) = self.peers.get_mut(&link) else { return };
                    peer.sent.lower(&actor, seq);
                    peer.goal.raise(actor, self.log.head(&actor));
                }
            }
        }
        self.pump(link, out);
    }
}

impl Log {
    /// The links of an actor's messages at growing distances back from the newest to the first that is held; none where none is.
    fn ladder(&self, actor: &Actor) -> Vec<Head> {
        let (first, head) = (self.begin(actor).max(1), self.head(actor));
        let distances = std::iter::successors(Some(0_u64), |back| Some(back * 2 + 1));
        let down = distances.map(|back| head.saturating_sub(back)).take_while(|&seq| seq > first);
        let seqs = down.chain((head >= first).then_some(first));
        seqs.filter_map(|seq| self.head_at(&Dot { actor: *actor, seq })).collect()
    }

    /// The newest message of each actor that comes after one.
    fn heads_after(&self, actor: Option<Actor>) -> impl Iterator<Item = Head> {
        let after = actor.map_or(Bound::Unbounded, Bound::Excluded);
        let heads = self.actors.range((after, Bound::Unbounded));
        heads.map(|(&actor, log)| Head { actor, seq: log.head(), link: log.head_link().short() })
    }

    fn head_at(&self, dot: &Dot) -> Option<Head> {
        let link = self.link(&dot.actor, dot.seq)?.short();
        Some(Head { actor: dot.actor, seq: dot.seq, link })
    }

    /// Compares links of one actor.
    fn parting(&self, links: &[Head]) -> Parting {
        let held = |head: &&Head| self.link(&head.actor, head.seq).map(|link| link.short() == head.link);
        let same = links.iter().filter(|head| held(head) == Some(true)).map(|head| head.seq).max();
        if !links.iter().any(|head| held(&head) == Some(false)) {
            return Parting::None;
        }
        // The first of a chain hangs on what both know.
        let begins = links.iter().any(|head| head.seq == 1 && held(&head) == Some(false));
        same.or(begins.then_some(0)).map_or(Parting::Somewhere, Parting::After)
    }
}
