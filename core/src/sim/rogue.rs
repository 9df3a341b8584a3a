//! A member that lies: besides what its daemon does, it sends what no daemon of ours would.

use std::collections::BTreeMap;

use crate::chain::{Keys, Link, Signature};
use crate::id::{Actor, Dot, RoomId};
use crate::limits::{LAMPORT_MAX, MESSAGE_BYTES_MAX, RUN_MESSAGES_MAX, WAITING_MESSAGES_MAX};
use crate::message::{Head, Message};
use crate::op::{Op, OpCode};
use crate::room::Refusal;
use crate::sim::NetworkFaults;
use crate::sim::universe::Universe;
use crate::sync::{Lane, LinkFrame, LinkId, RoomFrame, Run};
use crate::value::Value;

/// What it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Tells some another message than others, under one number.
    Equivocate,
    /// Sends a lamport that does not follow from its past.
    Lamport,
    /// Sends a clock that names what is not there, or not so.
    Clock,
    /// Sends what exceeds a limit, or is nothing.
    Oversize,
    /// Sends a message in somebody else's name.
    Forge,
    /// Sends what somebody else made for another room.
    Replay,
    /// Sends many messages whose past nobody has.
    Flood,
    /// Says of members what it may not, as if it had not heard what others said.
    Claim,
}

/// The number a connection has for the one room there is.
const CHANNEL: u64 = 1;
/// Of 1,000 frames with messages, how many are withheld by who withholds.
const WITHHELD_PER_MILLE: u64 = 700;

impl Universe {
    /// Whether a peer keeps to itself what its daemon would send.
    pub(super) fn withholds(&mut self, peer: usize, lane: Lane, is_live: bool) -> bool {
        self.drawn.mischief.withhold
            && self.rogue == Some(peer)
            && (lane == Lane::Bulk || is_live)
            && self.random.per_mille(WITHHELD_PER_MILLE)
    }

    /// Whether what comes over a connection may be anything but honest and whole.
    pub(super) fn may_refuse(&self, link: LinkId, refusal: &Refusal) -> bool {
        let from = self.network.sender(link);
        let network = self.drawn.network;
        // Who misses some live runs and not others may read one by the wrong dictionary, and sees it by the signature.
        let is_misread = matches!(refusal, Refusal::Signature { .. }) && network != NetworkFaults::default();
        // Until a fork is known each has one branch, and refuses what others build on the other.
        is_misread || network.flip_per_mille > 0 || !self.is_honest(from) || !self.forks.is_empty()
    }

    /// Does something no daemon of ours does, if the misbehaving one runs.
    pub(super) fn mischief(&mut self, way: Way) -> Result<(), String> {
        let Some(rogue) = self.rogue.filter(|&rogue| self.peers[rogue].is_up()) else { return Ok(()) };
        let links: Vec<LinkId> = self.network.links_of(rogue).into_iter().map(|(link, _)| link).collect();
        let keys = self.peers[rogue].keys.clone();
        let room = self.peers[rogue].room_id();
        let actor = Actor::new(keys.public(), self.random.bits());
        let origin = Link::origin(&room, &actor);
        let mut message = message(actor, 1, 1);
        match way {
            Way::Equivocate => {
                self.equivocate(&links, actor, origin, &*keys);
                return Ok(());
            }
            Way::Lamport => {
                message.lamport = *self.random.pick(&[2, 1000, LAMPORT_MAX]);
            }
            Way::Clock => message.clock = self.false_clock(rogue),
            Way::Oversize => return self.send_rubbish(&links, &message, &origin, &*keys),
            Way::Forge => message = self.message_of_another(rogue, message),
            Way::Replay => return self.replay(rogue, &links),
            Way::Claim => message = self.claim(rogue, message),
            Way::Flood => {
                self.flood(&links, actor);
                return Ok(());
            }
        }
        let before = self.peers[rogue].disk.link(&message.actor, message.seq - 1).unwrap_or(origin);
        let run = run(&message, &before, &*keys);
        links.into_iter().for_each(|link| self.send_run(link, &run));
        Ok(())
    }

    /// Tells some peers that messages go on in one way, and others that they do in another.
    fn equivocate(&mut self, links: &[LinkId], actor: Actor, origin: Link, keys: &dyn Keys) {
        let common = self.random.below(3);
        self.forks.push(Dot { actor, seq: common + 1 });
        let lengths = [1 + self.random.below(3), 1 + self.random.below(3)];
        let runs = [0, 1].map(|branch| {
            let say = |seq: u64| match seq.checked_sub(common) {
                None | Some(0) => message(actor, seq, seq).ops,
                Some(1) => vec![op("node.insert", &format!("branch-{branch}"), &[])],
                Some(2) => vec![op("node.insert", &format!("branch-{branch}-later"), &[])],
                // By a name that both branches have for something.
                Some(_) => {
                    let first = Dot { actor, seq: common + 1 };
                    vec![op("meta.undo", "", &[("target", first.to_string())])]
                }
            };
            let messages = 1..=common + lengths[branch];
            let messages = messages.map(|seq| Message { ops: say(seq), ..message(actor, seq, seq) });
            let messages: Vec<Message> = messages.collect();
            let bodies: Vec<Vec<u8>> = messages.iter().map(Message::encode).collect();
            let last = bodies.iter().fold(origin, |link, body| link.next(body));
            Run { actor, first: 1, bodies: bodies.iter().collect(), signature: keys.sign(&last) }
        });
        let from = self.random.index(2);
        for (index, link) in links.iter().enumerate() {
            self.send_run(*link, &runs[(from + index) % 2]);
        }
    }

    fn send_run(&mut self, link: LinkId, run: &Run) {
        let frame = RoomFrame::Run { run: run.clone() };
        self.send(link, Lane::Live, LinkFrame::Room { channel: CHANNEL, frame }.encode());
    }

    /// A head that is nobody's, or far beyond what there is.
    fn false_clock(&mut self, rogue: usize) -> Vec<Head> {
        let heads = heads(&self.peers[rogue].disk.messages());
        let Some((&actor, &(seq, _))) = heads.iter().nth(self.random.index(heads.len().max(1))) else {
            return Vec::new();
        };
        let seq = if self.random.per_mille(500) { seq } else { seq + 1 + self.random.below(1000) };
        vec![Head { actor, seq, link: self.random.bytes() }]
    }

    /// What another peer's next message could be, but for the signature.
    fn message_of_another(&mut self, rogue: usize, own: Message) -> Message {
        let me = self.peers[rogue].keys.public();
        let mut heads = heads(&self.peers[rogue].disk.messages());
        heads.retain(|actor, _| actor.key() != me);
        match heads.iter().nth(self.random.index(heads.len().max(1))) {
            Some((&actor, &(seq, lamport))) => message(actor, seq + 1, lamport + 1),
            None => own,
        }
    }

    /// What another peer made for another room, signed by it.
    fn replay(&mut self, rogue: usize, links: &[LinkId]) -> Result<(), String> {
        let other = (rogue + 1 + self.random.index(self.peers.len() - 1)) % self.peers.len();
        let keys = self.peers[other].keys.clone();
        let actor = Actor::new(keys.public(), self.random.bits());
        let elsewhere = RoomId(self.random.bytes());
        let run = run(&message(actor, 1, 1), &Link::origin(&elsewhere, &actor), &*keys);
        links.iter().for_each(|&link| self.send_run(link, &run));
        Ok(())
    }

    /// More messages than a buffer holds, each after one that is missing.
    fn flood(&mut self, links: &[LinkId], actor: Actor) {
        for first in (2..).step_by(RUN_MESSAGES_MAX).take(WAITING_MESSAGES_MAX / RUN_MESSAGES_MAX + 1) {
            let bodies = std::iter::repeat_n([0], RUN_MESSAGES_MAX).collect();
            let run = Run { actor, first: first as u64, bodies, signature: Signature([0; 64]) };
            links.iter().for_each(|&link| self.send_run(link, &run));
        }
    }

    fn send_rubbish(
        &mut self,
        links: &[LinkId],
        message: &Message,
        origin: &Link,
        keys: &dyn Keys,
    ) -> Result<(), String> {
        let mut run = run(message, origin, keys);
        let rubbish: [u8; 64] = self.random.bytes();
        let bytes = match self.random.below(4) {
            0 => rubbish.to_vec(),
            1 => {
                let frame = RoomFrame::Backlog { content: rubbish[..].into() };
                LinkFrame::Room { channel: CHANNEL, frame }.encode()
            }
            kind => {
                match kind {
                    2 => run.bodies = std::iter::repeat_n([0], RUN_MESSAGES_MAX + 1).collect(),
                    _ => run.bodies = [[0; MESSAGE_BYTES_MAX + 1]].into_iter().collect(),
                }
                LinkFrame::Room { channel: CHANNEL, frame: RoomFrame::Run { run } }.encode()
            }
        };
        links.iter().for_each(|&link| self.send(link, Lane::Live, bytes.clone()));
        Ok(())
    }
}

/// A message that says little.
fn message(actor: Actor, seq: u64, lamport: u64) -> Message {
    let code = OpCode::named("number.add").expect("it is in the table");
    let (path, value) = (Some("number".to_owned()), Value::number(1.0).unwrap_or_default());
    let op = Op { code, key: "cube".to_owned(), path, value, options: BTreeMap::new() };
    Message {
        actor,
        seq,
        lamport,
        clock: Vec::new(),
        time_ms: None,
        request: None,
        note: None,
        ops: vec![op],
    }
}

/// An op without a path or an argument.
fn op(otype: &str, key: &str, options: &[(&str, String)]) -> Op {
    let code = OpCode::named(otype).expect("it is in the table");
    let options = options.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())).collect();
    Op { code, key: key.to_owned(), path: None, value: Value::Null, options }
}

/// The message alone, as its author would sign it with these keys after `before`.
fn run(message: &Message, before: &Link, keys: &dyn Keys) -> Run {
    let Dot { actor, seq } = message.dot();
    let body = message.encode();
    let signature = keys.sign(&before.next(&body));
    Run { actor, first: seq, bodies: [body].into_iter().collect(), signature }
}

/// Of each actor the newest message's number and lamport.
fn heads(messages: &[Message]) -> BTreeMap<Actor, (u64, u64)> {
    messages.iter().map(|message| (message.actor, (message.seq, message.lamport))).collect()
}
