//! What a journal has to be, told once more in plain words: the judge of what rooms admit.
//!
//! It shares formats with the room and nothing else.

use std::collections::BTreeMap;

use crate::branch::Branches;
use crate::chain::{Keys, Link};
use crate::horizon::{Cut, Frontier};
use crate::id::{Actor, Dot, RoomId};
use crate::message::Head;
use crate::store::Record;
use crate::view::MessageView;

/// Checks a journal, in the order of arrival: every message continues its actor's chain, has its past before it and a
/// lamport that follows from that, and a signature vouches for it. `forgotten` is what was before all of them, `branches` what forks have made. `keys` verifies
/// signatures, if they are to be looked at.
pub(super) fn audit(
    room: &RoomId,
    forgotten: &Frontier,
    branches: &Branches,
    journal: &[Record],
    keys: Option<&dyn Keys>,
) -> Result<(), String> {
    let mut chains: BTreeMap<Actor, Vec<(Link, u64)>> = BTreeMap::new();
    let mut unsigned: BTreeMap<Actor, u64> = BTreeMap::new();
    for Record { actor, seq, link, body, signature } in journal {
        let wrong = |what: &str| Err(format!("message {actor}:{seq} {what}"));
        let Ok(message) = MessageView::read(*actor, body) else { return wrong("cannot be read") };
        let cut = forgotten.get(actor).copied();
        let base = match (cut, branches.get(actor)) {
            (Some(cut), _) => cut,
            (None, Some(branch)) => {
                let parent = chains.get(&branch.parent).and_then(|chain| chain.last()).copied();
                let is_there = parent.is_some_and(|(link, _)| link == branch.link);
                let is_forgotten = forgotten.get(&branch.parent).is_some_and(|cut| cut.link == branch.link);
                if branch.base > 0 && !is_there && !is_forgotten {
                    return wrong("came before what its branch hangs on");
                }
                let lamport = parent.map(|(_, lamport)| lamport);
                let lamport = lamport.or(forgotten.get(&branch.parent).map(|cut| cut.lamport)).unwrap_or(0);
                Cut { seq: branch.base, lamport, link: branch.link }
            }
            (None, None) => Cut { seq: 0, lamport: 0, link: Link::origin(room, actor) },
        };
        if branches.closed(actor).is_some_and(|closed| closed < *seq) {
            return wrong("is called by the name of several");
        }
        let chain = chains.get(actor).map_or(&[][..], Vec::as_slice);
        if message.seq != *seq || base.seq + chain.len() as u64 + 1 != *seq {
            return wrong("is held twice or without the one before it");
        }
        let (before, mut past) = chain.last().copied().unwrap_or((base.link, base.lamport));
        if before.next(body) != *link {
            return wrong("does not continue its actor's chain in this room");
        }
        for head in &message.clock {
            let links = |dot: &Dot| {
                let first = forgotten.get(&dot.actor).map_or(branches.base(&dot.actor), |cut| cut.seq) + 1;
                let at = usize::try_from(dot.seq.wrapping_sub(first)).unwrap_or(usize::MAX);
                chains.get(&dot.actor)?.get(at).map(|(link, _)| link.short())
            };
            let Dot { actor, seq } = branches.find(head, links);
            let head = Head { actor, seq, link: head.link };
            let base = forgotten.get(&head.actor).copied();
            if base.is_some_and(|base| head.seq < base.seq) {
                // Its author's later ones have been seen as well.
                continue;
            }
            let first = base.map_or(branches.base(&head.actor), |base| base.seq) + 1;
            let at = usize::try_from(head.seq.wrapping_sub(first)).unwrap_or(usize::MAX);
            let held = chains.get(&head.actor).and_then(|chain| chain.get(at)).copied();
            let held =
                held.or(base.filter(|base| base.seq == head.seq).map(|base| (base.link, base.lamport)));
            match held {
                None => return wrong("came before its past"),
                Some((link, _)) if link.short() != head.link => return wrong("was made on another past"),
                Some((_, lamport)) => past = past.max(lamport),
            }
        }
        if message.lamport != past + 1 {
            return wrong("has a lamport that does not follow from its past");
        }
        chains.entry(*actor).or_default().push((*link, message.lamport));
        // What a fork hangs on the proof of that vouches for.
        let is_proven = branches
            .of_parent(actor)
            .any(|branch| branches.get(&branch).map(|branch| branch.link) == Some(*link));
        match signature {
            None if is_proven => _ = unsigned.remove(actor),
            None => drop(unsigned.entry(*actor).or_insert(*seq)),
            Some(signature) if keys.is_none_or(|keys| keys.verify(&actor.key(), link, signature)) => {
                unsigned.remove(actor);
            }
            Some(_) => return wrong("has a signature that is not its actor's"),
        }
    }
    match unsigned.first_key_value() {
        None => Ok(()),
        Some((actor, seq)) => Err(format!("nobody vouches for message {actor}:{seq}")),
    }
}
