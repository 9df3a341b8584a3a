//! Ops of the ground that made what it has: they come before all others, and without the rest of their messages.

use std::collections::BTreeMap;

use super::{History, Marks, MessageRecord, Wide};
use crate::clock::Stamp;
use crate::ground::Ground;
use crate::id::Dot;
use crate::op::OpCode;
use crate::raw::Raw;
use crate::replica::held::Subject;
use crate::replica::index::{ActorIx, MessageIx, OpIx};

/// The ops of the ground that are held.
#[derive(Default)]
pub(super) struct Relics {
    /// By actor, number of the message, and index in it.
    by_name: BTreeMap<(ActorIx, u64, u32), OpIx>,
    /// The index of each, by its number.
    indexes: Vec<u32>,
    messages: usize,
    lamport: u64,
}

impl Relics {
    /// None yet, of a ground whose greatest lamport time is that.
    pub(super) fn new(lamport: u64) -> Self {
        Self { lamport, ..Self::default() }
    }

    pub(super) fn push(&mut self, name: (ActorIx, u64, u32), op: OpIx, message: MessageIx) {
        debug_assert_eq!(op.at(), self.indexes.len(), "they come before all others");
        self.by_name.insert(name, op);
        self.indexes.push(name.2);
        self.messages = self.messages.max(message.at() + 1);
    }

    pub(super) fn find(&self, actor: ActorIx, seq: u64, index: u32) -> Option<OpIx> {
        self.by_name.get(&(actor, seq, index)).copied()
    }

    /// Any op of a message.
    pub(super) fn of_message(&self, actor: ActorIx, seq: u64) -> Option<OpIx> {
        let name = |index| (actor, seq, index);
        self.by_name.range(name(0)..=name(u32::MAX)).next().map(|(_, &op)| op)
    }

    /// The op's index in its message, if it is one of these.
    pub(super) fn index(&self, op: OpIx) -> Option<u32> {
        self.indexes.get(op.at()).copied()
    }

    /// The messages of which some are held: the first ones, by number.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// The greatest lamport time of the ground.
    pub(super) fn lamport(&self) -> u64 {
        self.lamport
    }
}

impl History {
    /// Begins with a ground that stands for these messages.
    pub(in crate::replica) fn stand_on(&mut self, ground: &Ground) {
        let Ground { version, lamport, origins, .. } = ground;
        debug_assert!(self.messages.len() == 0, "nothing stands below a ground");
        for (actor, seq) in version.iter() {
            let ix = self.actor(actor);
            let log = &mut self.actors[ix.at()];
            (log.forgotten, log.gapless) = (seq, seq);
        }
        self.ground = Relics::new(*lamport);
        self.again.forgotten.clone_from(origins);
    }

    /// An op of the ground; all of them come before the first message. What it did is the ground's business.
    pub(in crate::replica) fn relic(
        &mut self,
        stamp: &Stamp,
        code: OpCode,
        subject: Subject,
        options: Raw<'_>,
    ) -> OpIx {
        let actor = self.actor(stamp.actor);
        if let Some(op) = self.ground.find(actor, stamp.seq, stamp.index) {
            return op;
        }
        let message = match self.ground.of_message(actor, stamp.seq) {
            Some(other) => self.owner(other),
            None => {
                let ix = MessageIx::of(self.messages.len());
                let wide = Wide { seq: stamp.seq, lamport: stamp.lamport, time_ms: None };
                let first_op = OpIx::of(self.ops.len());
                self.wide.insert(ix, wide);
                self.messages.push(MessageRecord { actor, seq: 0, lamport: 0, time: 0, first_op });
                self.marks.push(Marks::default());
                ix
            }
        };
        let op = self.push_op(message, code, subject, [Raw::NULL, options]);
        self.ground.push((actor, stamp.seq, stamp.index), op, message);
        op
    }

    /// How many messages are held.
    pub(in crate::replica) fn count(&self) -> usize {
        self.messages.len() - self.ground.messages()
    }

    /// The op of that message and index, held or of the ground.
    pub(in crate::replica) fn op_at(&self, dot: &Dot, index: u32) -> Option<OpIx> {
        match self.find(dot) {
            Some(message) => self.ops_of(message).nth(index as usize),
            None => self.relic_at(dot, index),
        }
    }

    /// The op of the ground of that message and index.
    fn relic_at(&self, dot: &Dot, index: u32) -> Option<OpIx> {
        self.ground.find(self.actor_number(&dot.actor)?, dot.seq, index)
    }

    /// Whether there are messages that lie in the ground.
    pub(in crate::replica) fn is_on_ground(&self) -> bool {
        self.actors.iter().any(|log| log.forgotten > 0)
    }

    /// Whether a message of that number lies in the ground.
    pub(in crate::replica) fn is_forgotten(&self, actor: ActorIx, seq: u64) -> bool {
        seq <= self.actors[actor.at()].forgotten
    }

    /// The messages of an actor up to that number lie in the ground.
    pub(in crate::replica) fn forgotten(&self, actor: ActorIx) -> u64 {
        self.actors[actor.at()].forgotten
    }

    /// Whether the op lies in the ground.
    pub(in crate::replica) fn is_relic(&self, op: OpIx) -> bool {
        self.ground.index(op).is_some()
    }
}
