//! What a journal has to be, told once more in plain words: the judge of what rooms admit.
//!
//! It shares formats with the room and nothing else.

use std::collections::BTreeMap;

use crate::chain::{Keys, Link};
use crate::horizon::{Cut, Frontier};
use crate::id::{Actor, RoomId};
use crate::store::Record;
use crate::view::MessageView;

/// Checks a journal, in the order of arrival: every message continues its actor's chain, has its past before it and a
/// lamport that follows from that, and a signature vouches for it. `forgotten` is what was before all of them. `keys` verifies
/// signatures, if they are to be looked at.
pub(super) fn audit(
    room: &RoomId,
    forgotten: &Frontier,
    journal: &[Record],
    keys: Option<&dyn Keys>,
) -> Result<(), String> {
    let mut chains: BTreeMap<Actor, Vec<(Link, u64)>> = BTreeMap::new();
    let mut unsigned: BTreeMap<Actor, u64> = BTreeMap::new();
    for Record { actor, seq, link, body, signature } in journal {
        let wrong = |what: &str| Err(format!("message {actor}:{seq} {what}"));
        let Ok(message) = MessageView::read(*actor, body) else { return wrong("cannot be read") };
        let cut = forgotten.get(actor).copied();
        let base = cut.unwrap_or_else(|| Cut { seq: 0, lamport: 0, link: Link::origin(room, actor) });
        let chain = chains.get(actor).map_or(&[][..], Vec::as_slice);
        if message.seq != *seq || base.seq + chain.len() as u64 + 1 != *seq {
            return wrong("is held twice or without the one before it");
        }
        let (before, mut past) = chain.last().copied().unwrap_or((base.link, base.lamport));
        if before.next(body) != *link {
            return wrong("does not continue its actor's chain in this room");
        }
        for head in &message.clock {
            let base = forgotten.get(&head.actor).copied();
            if base.is_some_and(|base| head.seq < base.seq) {
                // Its author's later ones have been seen as well.
                continue;
            }
            let first = base.map_or(1, |base| base.seq + 1);
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
        match signature {
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
