//! The proof of a fork: two runs of one actor that hang on one link and part at their first message, both signed by its key.
//!
//! Whoever holds it can check it alone, so it travels from peer to peer as it is: nobody is called a forker for what he did not sign.

use std::sync::Arc;

use crate::branch;
use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::{Keys, Link};
use crate::id::{Actor, Dot, RoomId};
use crate::limits::FORK_BYTES_MAX;
use crate::sync::{Run, backlog};
use crate::view::MessageView;

/// Bytes of the runs that a proof is made of: what packs into [`FORK_BYTES_MAX`] is hardly more.
pub(crate) const FORK_RUNS_BYTES_MAX: usize = 4 * FORK_BYTES_MAX;

/// What shows that an actor gave one number to two messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fork {
    dot: Dot,
    before: Link,
    /// The links of the two messages, the lesser first.
    firsts: [Link; 2],
    bytes: Arc<[u8]>,
}

/// Why something proves no fork.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ForkError {
    /// It cannot be read.
    #[error("the proof of a fork cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// It takes more than is kept.
    #[error("the proof of a fork takes {bytes} bytes, which exceeds {FORK_BYTES_MAX}")]
    TooLarge {
        /// What it takes.
        bytes: usize,
    },
    /// Its runs are not of one actor and one number, or they begin with the same message.
    #[error("the runs that are to prove a fork do not part")]
    NotParted,
    /// Its runs hang on something else than this room's chain.
    #[error("the runs that are to prove a fork of {dot} do not hang on its chain")]
    NotOfChain {
        /// Where it is to be.
        dot: Dot,
    },
    /// One of its runs is not signed by the actor's key.
    #[error("a run that is to prove a fork of {dot} is not its author's")]
    Signature {
        /// Where it is to be.
        dot: Dot,
    },
}

impl Fork {
    /// What two runs prove that follow the link `before`, the same whichever comes first.
    ///
    /// # Errors
    /// Where they prove nothing, or are too large to be kept.
    pub fn prove(room: &RoomId, before: Link, runs: [Run; 2], keys: &dyn Keys) -> Result<Self, ForkError> {
        let dot = Dot { actor: runs[0].actor, seq: runs[0].first };
        let firsts = firsts(before, &runs);
        let is_first = |body: &[u8]| MessageView::read(dot.actor, body).is_ok_and(|view| view.seq == dot.seq);
        let is_of_dot = |run: &Run| {
            run.actor == dot.actor && run.first == dot.seq && run.bodies.iter().next().is_some_and(is_first)
        };
        let [one, other] = &runs;
        let bytes = one.body_bytes() + other.body_bytes();
        if bytes > FORK_RUNS_BYTES_MAX {
            return Err(ForkError::TooLarge { bytes });
        }
        if !runs.iter().all(is_of_dot) || one.bodies.get(0) == other.bodies.get(0) {
            return Err(ForkError::NotParted);
        }
        if dot.seq == 1 && before != Link::origin(room, &dot.actor) {
            return Err(ForkError::NotOfChain { dot });
        }
        for run in &runs {
            let link = run.bodies.iter().fold(before, |link, body| link.next(body));
            if !keys.verify(&dot.actor.key(), &link, &run.signature) {
                return Err(ForkError::Signature { dot });
            }
        }
        let mut contents = runs.map(|run| backlog::pack(&[run]).remove(0).0);
        contents.sort();
        let mut writer = Writer::new();
        writer.array(3).bytes(&before.0);
        contents.iter().for_each(|content| _ = writer.bytes(content));
        let bytes = writer.finish();
        match bytes.len() {
            ..=FORK_BYTES_MAX => Ok(Self { dot, before, firsts, bytes: bytes.into() }),
            bytes => Err(ForkError::TooLarge { bytes }),
        }
    }

    /// Reads and checks a proof.
    ///
    /// # Errors
    /// Where it proves nothing.
    pub fn read(room: &RoomId, bytes: &[u8], keys: &dyn Keys) -> Result<Self, ForkError> {
        if bytes.len() > FORK_BYTES_MAX {
            return Err(ForkError::TooLarge { bytes: bytes.len() });
        }
        let (before, runs) = read(bytes)?;
        Self::prove(room, before, runs, keys)
    }

    /// Reads a proof that was checked before it was kept.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn recall(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (before, runs) = read(bytes)?;
        let dot = Dot { actor: runs[0].actor, seq: runs[0].first };
        Ok(Self { dot, before, firsts: firsts(before, &runs), bytes: bytes.into() })
    }

    /// The number that has two messages.
    pub fn dot(&self) -> Dot {
        self.dot
    }

    /// The link that both hang on. That it is of this room follows from itself for a first message only: of others whoever holds the
    /// message before compares.
    pub fn before(&self) -> Link {
        self.before
    }

    /// What the actors are called that go on from here with one of the messages each.
    pub fn branches(&self) -> [Actor; 2] {
        self.firsts.map(|first| branch::name(&self.dot, &first))
    }

    /// The branch that begins with the message of that link.
    pub fn branch_of(&self, first: &Link) -> Option<Actor> {
        self.firsts.contains(first).then(|| branch::name(&self.dot, first))
    }

    /// The two runs.
    ///
    /// # Errors
    /// Never for what was checked, or kept as it was.
    pub(crate) fn runs(&self) -> Result<[Run; 2], DecodeError> {
        read(&self.bytes).map(|(_, runs)| runs)
    }

    /// The bytes that [`Fork::read`] reads: `[link before, run, run]`, the runs as [`backlog::pack`] makes them, in the order of their
    /// bytes.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

/// Takes a proof apart.
fn read(bytes: &[u8]) -> Result<(Link, [Run; 2]), DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.array_of(3, "a fork")?;
    let before = Link(reader.bytes_of()?);
    let mut run = || -> Result<Run, DecodeError> {
        let runs = backlog::unpack(reader.slice(FORK_BYTES_MAX, "a run")?)?;
        let [run] = <[Run; 1]>::try_from(runs).map_err(|_| DecodeError::NotCanonical)?;
        Ok(run)
    };
    let runs = [run()?, run()?];
    reader.finish()?;
    Ok((before, runs))
}

/// The links of the first messages of two runs, the lesser first.
fn firsts(before: Link, runs: &[Run; 2]) -> [Link; 2] {
    let mut firsts = runs.each_ref().map(|run| before.next(run.bodies.iter().next().unwrap_or_default()));
    firsts.sort_unstable();
    firsts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Ed25519, Signature};
    use crate::message::Message;

    const ROOM: RoomId = RoomId([1; 32]);

    fn keys() -> Ed25519 {
        Ed25519::from_seed(&[7; 32])
    }

    fn before(seq: u64) -> Link {
        let origin = Link::origin(&ROOM, &Actor::new(keys().public(), 5));
        if seq == 1 { origin } else { origin.next(b"what was before") }
    }

    /// A message of that number and as many after it, told apart by a note.
    fn run(seq: u64, count: u64, note: &str) -> Run {
        let actor = Actor::new(keys().public(), 5);
        let body = |seq| {
            let note = Some(note.to_owned());
            Message {
                actor,
                seq,
                lamport: seq,
                clock: vec![],
                time_ms: None,
                request: None,
                note,
                ops: vec![],
            }
            .encode()
        };
        let bodies: Vec<Vec<u8>> = (seq..seq + count).map(body).collect();
        let link = bodies.iter().fold(before(seq), |link, body| link.next(body));
        Run { actor, first: seq, bodies: bodies.into_iter().collect(), signature: keys().sign(&link) }
    }

    #[test]
    fn two_runs_that_part_prove_a_fork_whichever_comes_first() {
        for seq in [1, 4] {
            let [one, other] = [run(seq, 1, "cube"), run(seq, 3, "lamp")];
            let fork = Fork::prove(&ROOM, before(seq), [one.clone(), other.clone()], &keys()).unwrap();
            assert_eq!(fork.dot(), Dot { actor: one.actor, seq });
            assert_eq!(Fork::prove(&ROOM, before(seq), [other, one], &keys()), Ok(fork.clone()));
            assert_eq!(Fork::read(&ROOM, fork.bytes(), &keys()), Ok(fork.clone()));
            for cut in 0..fork.bytes().len() {
                assert!(Fork::read(&ROOM, &fork.bytes()[..cut], &keys()).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn nobody_has_forked_who_did_not_sign_two_messages_of_one_number() {
        let check = |before, runs, room: &RoomId| Fork::prove(room, before, runs, &keys()).unwrap_err();
        let (one, other) = (run(1, 1, "cube"), run(1, 1, "lamp"));
        let dot = Dot { actor: one.actor, seq: 1 };
        let forged = Run { signature: Signature([3; 64]), ..other.clone() };
        assert_eq!(check(before(1), [one.clone(), forged], &ROOM), ForkError::Signature { dot });
        assert_eq!(check(before(1), [one.clone(), run(1, 2, "cube")], &ROOM), ForkError::NotParted);
        assert_eq!(check(before(1), [one.clone(), run(2, 1, "lamp")], &ROOM), ForkError::NotParted);
        let elsewhere = RoomId([2; 32]);
        assert_eq!(check(before(1), [one.clone(), other.clone()], &elsewhere), ForkError::NotOfChain { dot });
        assert_eq!(check(before(4), [one.clone(), other.clone()], &ROOM), ForkError::NotOfChain { dot });
        let renumbered = [one, other].map(|run| Run { first: 4, ..run });
        assert_eq!(check(before(1), renumbered, &ROOM), ForkError::NotParted);
        let signed_elsewhere = [run(4, 1, "cube"), run(4, 1, "lamp")];
        let dot = Dot { seq: 4, ..dot };
        assert_eq!(check(before(1), signed_elsewhere, &ROOM), ForkError::Signature { dot });
    }

    #[test]
    fn a_proof_that_takes_too_much_is_none() {
        // Descriptions that do not come again cannot be packed.
        let long = |seed: u8, count: u64| {
            let actor = Actor::new(keys().public(), 5);
            let body = |seq: u64| {
                let noise = (0..31_u8)
                    .map(|n| blake3::hash(&[&seq.to_be_bytes()[..], &[seed, n]].concat()).to_string());
                let note = Some(noise.collect::<String>()[..1_000].to_owned());
                Message {
                    actor,
                    seq,
                    lamport: seq,
                    clock: vec![],
                    time_ms: None,
                    request: None,
                    note,
                    ops: vec![],
                }
                .encode()
            };
            let bodies: Vec<Vec<u8>> = (1..=count).map(body).collect();
            let link = bodies.iter().fold(before(1), |link, body| link.next(body));
            Run { actor, first: 1, bodies: bodies.into_iter().collect(), signature: keys().sign(&link) }
        };
        // 400 are too much packed, 1,000 are not packed at all.
        for (count, is_packed) in [(400, true), (1_000, false)] {
            let proved = Fork::prove(&ROOM, before(1), [long(1, count), long(2, count)], &keys());
            let Err(ForkError::TooLarge { bytes }) = proved else { panic!("{count}: {proved:?}") };
            assert!(
                bytes > FORK_BYTES_MAX && (bytes <= FORK_RUNS_BYTES_MAX) == is_packed,
                "{count}: {bytes}"
            );
        }
        let bytes = vec![0; FORK_BYTES_MAX + 1];
        assert_eq!(Fork::read(&ROOM, &bytes, &keys()), Err(ForkError::TooLarge { bytes: bytes.len() }));
    }
}
