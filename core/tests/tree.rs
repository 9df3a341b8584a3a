//! Nodes and where they stand, from histories of nothing else: deep chains, parents that come late or are dead, places, undone
//! moves. Any delivery gives the naive fold's scene, and however much comes late at once, the log is done again once at most.

use proptest::prelude::*;
use rtc_core::clock::{Stamp, VersionVector};
use rtc_core::id::{Actor, PeerKey};
use rtc_core::message::{Head, Message};
use rtc_core::naive;
use rtc_core::op::{Op, OpCode};
use rtc_core::place::Place;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

const ACTORS: u8 = 3;
const KEYS: u8 = 12;

/// One message of one op to be.
#[derive(Clone, Copy, Debug)]
struct Step {
    actor: u8,
    /// Whether the actor hears of everything before it writes.
    hears: bool,
    what: u8,
    key: u8,
    parent: u8,
    place: u8,
    target: u16,
}

fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..ACTORS, prop::bool::weighted(0.2), 0..32_u8, 0..KEYS, 0..=KEYS, any::<u8>(), any::<u16>());
    let step = step.prop_map(|(actor, hears, what, key, parent, place, target)| Step {
        actor,
        hears,
        what,
        key,
        parent,
        place,
        target,
    });
    prop::collection::vec(step, 1..count)
}

/// How many messages come at once: lone ones have a way of their own.
fn batches() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![2 => Just(1), 1 => 1..24_u8], 1..8)
}

fn actor(number: u8) -> Actor {
    Actor::new(PeerKey([number + 1; 32]), 1)
}

fn key(number: u8) -> String {
    if number == KEYS { "scene".to_owned() } else { format!("k{number}") }
}

fn op(name: &str, key: String, options: impl IntoIterator<Item = (&'static str, Value)>) -> Op {
    let options = options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Op { code: OpCode::named(name).unwrap(), key, path: None, value: Value::Null, options }
}

/// What actors write who number their messages and hear of each other.
struct Writers {
    clocks: Vec<VersionVector>,
    lamports: Vec<u64>,
    messages: Vec<Message>,
}

impl Writers {
    /// The first actor has made a chain of all keys, each below the one before, and the others know of it.
    fn of_chain() -> Self {
        let count = usize::from(ACTORS);
        let mut writers = Self {
            clocks: vec![VersionVector::default(); count],
            lamports: vec![0; count],
            messages: vec![],
        };
        for number in 0..KEYS {
            let parent = number.checked_sub(1).map_or("scene".to_owned(), key);
            writers.write(0, |_| op("node.insert", key(number), [("parent", parent.as_str().into())]));
        }
        (1..ACTORS).for_each(|actor| writers.hear(actor));
        writers
    }

    fn hear(&mut self, me: u8) {
        let me = usize::from(me);
        for other in 0..self.clocks.len() {
            let heard = self.clocks[other].clone();
            self.clocks[me].join(&heard);
        }
        self.lamports[me] = self.lamports.iter().copied().max().unwrap_or(0);
    }

    fn write(&mut self, me: u8, op: impl FnOnce(Stamp) -> Op) {
        let (at, me) = (usize::from(me), actor(me));
        let seq = self.clocks[at].get(&me) + 1;
        self.lamports[at] += 1;
        let stamp = Stamp { lamport: self.lamports[at], actor: me, seq, index: 0 };
        let others = self.clocks[at].iter().filter(|(other, _)| *other != me);
        self.messages.push(Message {
            actor: me,
            seq,
            lamport: stamp.lamport,
            clock: others.map(|(actor, seq)| Head { actor, seq, link: [0; 16] }).collect(),
            time_ms: None,
            request: None,
            note: None,
            ops: vec![op(stamp)],
        });
        self.clocks[at].raise(me, seq);
    }

    fn step(&mut self, step: Step) {
        if step.hears {
            self.hear(step.actor);
        }
        let target = self.messages[usize::from(step.target) % self.messages.len()].dot().to_string();
        self.write(step.actor, |stamp| {
            let parent = ("parent", key(step.parent).as_str().into());
            let early = Place::at(Stamp { lamport: u64::from(step.place) / 16, ..stamp });
            let place = match step.place % 4 {
                0 => Place::between(None, Some(&early), stamp).ok(),
                1 => Place::between(Some(&early), None, stamp).ok(),
                _ => None,
            };
            let place = place.map(|place| ("place", place.write()));
            match step.what {
                0..4 => op("node.insert", key(step.key), [parent].into_iter().chain(place)),
                4..7 => op("node.remove", key(step.key), []),
                7 => op("node.move", key(step.key), place),
                8..11 => op("meta.undo", String::new(), [("target", target.as_str().into())]),
                11 => op("meta.redo", String::new(), [("target", target.as_str().into())]),
                _ => op("node.move", key(step.key), [parent].into_iter().chain(place)),
            }
        });
    }
}

fn history(steps: &[Step]) -> Vec<Message> {
    let mut writers = Writers::of_chain();
    steps.iter().for_each(|&step| writers.step(step));
    writers.messages
}

/// Delivers the messages in batches, and compares all that is shown with the naive fold after each.
fn check(messages: &[Message], batches: &[u8]) {
    let mut replica = Replica::new(Root::default());
    let (mut done, mut turn) = (0, 0);
    while done < messages.len() {
        let size = usize::from(batches[turn % batches.len()]).min(messages.len() - done);
        let before = replica.tree_redone();
        replica.apply_all(&messages[done..done + size]);
        // Each op makes one entry at most.
        assert!(replica.tree_redone() - before <= done as u64, "a batch cost more than the log once");
        (done, turn) = (done + size, turn + 1);
        let folded = naive::fold(&Root::default(), &messages[..done]);
        assert_eq!(replica.image(), folded.scene);
        assert_eq!(replica.ineffective_ops(), folded.ineffective.len());
        for (dot, index) in folded.ineffective.keys() {
            assert!(replica.ineffective(dot).iter().any(|op| op.index == *index), "{dot}");
        }
    }
}

fn sorted(mut messages: Vec<Message>) -> Vec<Message> {
    messages.sort_by_key(|message| (message.lamport, message.actor, message.seq));
    messages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_delivery_gives_the_naive_fold(
        steps in steps(60),
        ranks in prop::collection::vec(any::<u16>(), 72),
        batches in batches(),
    ) {
        let mut ranked: Vec<(u16, Message)> = ranks.into_iter().zip(history(&steps)).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        let messages: Vec<Message> = ranked.into_iter().map(|(_, message)| message).collect();
        check(&messages, &batches);
    }

    /// What one actor wrote alone for long comes at once, when all else is there.
    #[test]
    fn late_batches_give_the_naive_fold(steps in steps(80), batches in batches()) {
        let (mut messages, late): (Vec<Message>, Vec<Message>) =
            history(&steps).into_iter().partition(|message| message.actor != actor(1));
        messages.extend(late);
        check(&messages, &batches);
    }

    #[test]
    fn in_order_nothing_is_done_again(steps in steps(80)) {
        let moves: Vec<Step> = steps.into_iter().filter(|step| !(8..12).contains(&step.what)).collect();
        let mut replica = Replica::new(Root::default());
        for message in sorted(history(&moves)) {
            replica.apply(&message);
        }
        prop_assert_eq!(replica.tree_redone(), 0);
    }
}

/// Moves by two actors who know nothing of each other: the other's come in one batch, or singly.
#[test]
fn a_late_batch_costs_its_suffix_once() {
    const MOVES: u64 = 400;
    let mut writers = Writers::of_chain();
    let mut number = 1_u64;
    for _ in 0..MOVES {
        for me in [1, 2] {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (node, parent) = (number.to_le_bytes()[5] % KEYS, number.to_le_bytes()[6] % (KEYS + 1));
            writers.write(me, |_| op("node.move", key(node), [("parent", key(parent).as_str().into())]));
        }
    }
    let (here, late): (Vec<Message>, Vec<Message>) =
        writers.messages.iter().cloned().partition(|message| message.actor != actor(2));
    let replica = || {
        let mut replica = Replica::new(Root::default());
        replica.apply_all(&here);
        assert_eq!(replica.tree_redone(), 0);
        replica
    };
    let mut batched = replica();
    batched.apply_all(&late);
    // The first late move stands behind the first of the other's.
    assert_eq!(batched.tree_redone(), MOVES - 1);
    let mut singly = replica();
    for message in &late {
        singly.apply(message);
    }
    // Nearly all nodes are on the ways that a late move changes here; of most others nothing is asked again.
    assert!(singly.tree_redone() < MOVES * MOVES / 2 && singly.tree_redone() > 0);
    let folded = naive::fold(&Root::default(), &writers.messages);
    assert_eq!(batched.image(), folded.scene);
    assert_eq!(singly.image(), folded.scene);
}
