//! Whether a run of messages may become part of the room: its chain, its signature, its past and its lamports.
//!
//! The verdict depends on the run and its past alone, so every replica gives the same, whenever it is asked.

use crate::canonical::DecodeError;
use crate::chain::{Keys, Link};
use crate::fork::ForkError;
use crate::horizon::Cut;
use crate::id::{Actor, Dot};
use crate::limits::{CLOCK_ENTRIES_MAX, SHOWN_SESSIONS_MAX, STRANGERS_MAX};
use crate::message::Head;
use crate::planted::{Bug, planted};
use crate::room::Room;
use crate::room::footing::FootingError;
use crate::room::log::Log;
use crate::sync::Run;
use crate::view::MessageView;

/// A message that may be applied.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    pub(super) message: MessageView<'a>,
    /// What its clock names, by the names that it has here.
    pub(super) heads: Vec<Head>,
    pub(super) body: &'a [u8],
    pub(super) link: Link,
}

/// What is to be done with a run.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// Everything in it is held already.
    Known,
    /// It waits for this message. `verified` runs have a good chain and signature.
    Waits { missing: Dot, verified: bool },
    /// It goes on with an actor that has forked, and does not say as which branch: who sent it has yet to learn of that.
    Forked,
    /// Its beginning is forgotten, and without that nobody can say what it is: it has to be sent again from there on.
    Straddles,
    /// From this message on it is outside of the horizon (law 14): it is no part of the room, and its author issues it again.
    Outside(Dot),
    /// What of it is new, to be applied in order.
    Fits(Vec<Admitted<'a>>),
}

/// Why a run can never be part of the room.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a message of this format.
    #[error("message {dot} is malformed: {error}")]
    Malformed {
        /// Which.
        dot: Dot,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// Its actor did not sign it.
    #[error("the signature over message {dot} is not its author's")]
    Signature {
        /// Which.
        dot: Dot,
    },
    /// There are two messages with this number: its actor has forked.
    #[error("message {dot} is another one than the one held")]
    Fork {
        /// Which.
        dot: Dot,
    },
    /// It is built on another message of this number than the one held.
    #[error("it is built on a message {dot} that is another one than the one held")]
    Branch {
        /// Which number.
        dot: Dot,
    },
    /// What is told as the proof of a fork is none.
    #[error(transparent)]
    Proof {
        /// What is wrong with it.
        error: ForkError,
    },
    /// It stands at another place of the chain than it says.
    #[error("message {dot} calls itself number {found}")]
    Sequence {
        /// Which.
        dot: Dot,
        /// What it calls itself.
        found: u64,
    },
    /// Its lamport does not follow from its past.
    #[error("message {dot} has lamport {found} where its past gives {derived}")]
    Lamport {
        /// Which.
        dot: Dot,
        /// What it claims.
        found: u64,
        /// What its past gives.
        derived: u64,
    },
    /// It claims to have seen less than its author's message before.
    #[error("the clock of message {dot} goes back")]
    Clock {
        /// Which.
        dot: Dot,
    },
    /// A ground that cannot be stood on.
    #[error(transparent)]
    Ground(#[from] FootingError),
    /// It shows what is no presence, or no draft.
    #[error("what a session of it shows cannot be read: {error}")]
    Show {
        /// What is wrong with it.
        error: DecodeError,
    },
    /// More of its sessions show something than may.
    #[error("more than {SHOWN_SESSIONS_MAX} of its sessions show something")]
    Shows,
    /// They show more than they may in so short a time.
    #[error("its sessions show more than they may in so short a time")]
    ShowsTooOften,
    /// A horizon that is not the keeper's, or none.
    #[error("what is offered as a horizon is none of the room's keeper")]
    Horizon,
    /// What was packed is not what can be packed.
    #[error("a backlog cannot be unpacked: {error}")]
    Backlog {
        /// What is wrong with it.
        error: DecodeError,
    },
    /// More actors unknown here were named than are remembered.
    #[error("actors unknown here exceed {STRANGERS_MAX}")]
    Strangers,
    /// A later message of a run names heads of other actors.
    #[error("message {dot} advances its clock inside a run")]
    AdvanceInside {
        /// Which.
        dot: Dot,
    },
}

/// Judges `run` against what is held. `verified` says that its chain and signature were found good before.
pub(super) fn judge<'a>(
    run: &'a Run,
    verified: bool,
    log: &Log,
    keys: &dyn Keys,
) -> Result<Verdict<'a>, Refusal> {
    let floor = log.begin(&run.actor);
    if run.last() <= floor {
        return Ok(Verdict::Known);
    }
    // Of a run that goes on with a branch only what is before the fork has the name that it has.
    let end = log.branches.closed(&run.actor).unwrap_or(u64::MAX);
    if end < run.first || end < run.last() && log.head(&run.actor) >= end {
        return Ok(Verdict::Forked);
    }
    if run.first <= floor {
        return Ok(Verdict::Straddles);
    }
    if log.is_outside(&run.actor, run.first) {
        return Ok(Verdict::Outside(Dot { actor: run.actor, seq: run.first }));
    }
    let Some(mut link) = log.link(&run.actor, run.first - 1) else {
        return Ok(Verdict::Waits { missing: Dot { actor: run.actor, seq: run.first - 1 }, verified: false });
    };
    let head = if planted(Bug::DuplicatesApplied) { run.first - 1 } else { log.head(&run.actor) };
    let mut links = Vec::with_capacity(run.bodies.len());
    let mut fork = None;
    for (seq, body) in (run.first..).zip(&run.bodies) {
        link = link.next(body);
        if seq <= head && log.link(&run.actor, seq) != Some(link) && !planted(Bug::ChainUnchecked) {
            fork = fork.or(Some(Dot { actor: run.actor, seq }));
        }
        links.push(link);
    }
    if run.last() <= head && fork.is_none() {
        return Ok(Verdict::Known);
    }
    let last = Dot { actor: run.actor, seq: run.last() };
    if !verified && !keys.verify(&run.actor.key(), &link, &run.signature) {
        return Err(Refusal::Signature { dot: last });
    }
    // Nobody is called a forker for what it did not sign.
    if let Some(dot) = fork {
        return Err(Refusal::Fork { dot });
    }
    let mut admitted: Vec<Admitted<'_>> = Vec::with_capacity(run.bodies.len());
    for ((seq, body), link) in
        (run.first..).zip(&run.bodies).zip(links).filter(|((seq, _), _)| (head + 1..=end).contains(seq))
    {
        let dot = Dot { actor: run.actor, seq };
        let message =
            MessageView::read(run.actor, body).map_err(|error| Refusal::Malformed { dot, error })?;
        if message.seq != seq {
            return Err(Refusal::Sequence { dot, found: message.seq });
        }
        if seq > run.first && !message.clock.is_empty() {
            return Err(Refusal::AdvanceInside { dot });
        }
        let heads = log.heads_here(&message);
        if log.is_outside(&run.actor, seq) || lacks_forgotten(&message, &heads, log) {
            return Ok(Verdict::Outside(dot));
        }
        if let Some(missing) = first_missing(&message, &heads, log)? {
            return Ok(Verdict::Waits { missing, verified: true });
        }
        let before = admitted.last().map(|before| before.message.lamport);
        check_lamport(&message, &heads, before, log)?;
        admitted.push(Admitted { message, heads, body, link });
    }
    Ok(Verdict::Fits(admitted))
}

impl Room {
    /// Whether a message that comes after what is forgotten, and whose past is held, is left outside: then it is no part of the room.
    pub fn leaves_outside(&self, message: &MessageView<'_>) -> bool {
        lacks_forgotten(message, &self.log.heads_here(message), &self.log)
    }
}

/// Whether a message lacks part of what is forgotten, or names what is outside of the horizon. While a name may mean several messages, it
/// does only if that holds whichever is meant.
fn lacks_forgotten(message: &MessageView<'_>, heads: &[Head], log: &Log) -> bool {
    let lacks_part = || {
        let named = log.named_by(message);
        let sees = |actor: &Actor, seq: u64| log.seen(&message.actor, actor).max(named.get(actor)) >= seq;
        let lacks = |(actor, cut): (&Actor, &Cut)| *actor != message.actor && !sees(actor, cut.seq);
        // Whoever has seen the horizon has seen it all, but who stands on a later one could not tell: so that is asked only where it is more
        // than a clock names.
        let is_vast = log.frontier.iter().len() > CLOCK_ENTRIES_MAX;
        let sees_horizon = log.horizon.is_some_and(|horizon| sees(&horizon.actor, horizon.seq));
        !(is_vast && sees_horizon) && log.frontier.iter().any(lacks)
    };
    let is_first = log.begins_on_forgotten(&message.actor) && message.seq == log.head(&message.actor) + 1;
    is_first && lacks_part() || heads.iter().any(|head| log.is_outside(&head.actor, head.seq))
}

/// The first message that the clock of `message` names and that is not held.
fn first_missing(message: &MessageView<'_>, heads: &[Head], log: &Log) -> Result<Option<Dot>, Refusal> {
    for head in heads {
        // Where a branch begins is seen with the branch, and may be told once more.
        let is_old = head.seq <= log.seen(&message.actor, &head.actor)
            && log.branches.closed(&head.actor) != Some(head.seq);
        if is_old || head.actor == message.actor {
            return Err(Refusal::Clock { dot: message.dot() });
        }
        match log.link(&head.actor, head.seq) {
            Some(link) if link.short() == head.link || planted(Bug::ChainUnchecked) => {}
            Some(_) => return Err(Refusal::Branch { dot: Dot { actor: head.actor, seq: head.seq } }),
            None => return Ok(Some(Dot { actor: head.actor, seq: head.seq })),
        }
    }
    Ok(None)
}

/// `before` is the lamport of the message before it in the run.
fn check_lamport(
    message: &MessageView<'_>,
    heads: &[Head],
    before: Option<u64>,
    log: &Log,
) -> Result<(), Refusal> {
    let heads = heads.iter().map(|head| Dot { actor: head.actor, seq: head.seq });
    let predecessor = Dot { actor: message.actor, seq: message.seq - 1 };
    let before = before.or_else(|| log.lamport(&predecessor));
    let past = heads.filter_map(|head| log.lamport(&head)).chain(before);
    let derived = past.max().unwrap_or(0) + 1;
    if message.lamport == derived || (message.lamport > derived && planted(Bug::LamportLeaps)) {
        Ok(())
    } else {
        Err(Refusal::Lamport { dot: message.dot(), found: message.lamport, derived })
    }
}
