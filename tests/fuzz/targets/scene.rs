//! A few people who edit and hear of each other: every replica of theirs shows what the naive fold says, however it got there.

use std::collections::BTreeMap;

use rtc_core::author::{About, Author};
use rtc_core::chain::Link;
use rtc_core::clock::VersionVector;
use rtc_core::ground::Ground;
use rtc_core::id::{Actor, RoomId};
use rtc_core::message::{Head, Message};
use rtc_core::naive;
use rtc_core::replica::{Replica, Stretch};
use rtc_core::scene::Root;

use super::Choices;

const ROOM: RoomId = RoomId([1; 32]);
/// Steps of one run: what needs more is beyond a fuzzer.
const STEPS_MAX: usize = 40;

struct Person {
    author: Author,
    replica: Replica,
    held: VersionVector,
}

/// Every message made, in a causal order, with its body and its link.
type Made = Vec<(Message, Vec<u8>, Link)>;

impl Person {
    fn new(name: &str) -> Self {
        let author = Author::new(&ROOM, Actor::from_name(name));
        Self { author, replica: Replica::new(Root::default()), held: VersionVector::default() }
    }

    fn write(&mut self, choices: &mut Choices<'_>, made: &mut Made) {
        let edits: Vec<_> = (0..=choices.below(3)).map(|_| choices.edit()).collect();
        let request = ["r", "s"].get(choices.below(8)).copied();
        let about = About { request, ..About::default() };
        // What cannot be made is said, and nothing has happened.
        let _ = self.author.commit(&edits, about, &mut self.replica, |new| {
            self.held.raise(new.dot.actor, new.dot.seq);
            made.push((new.view().to_message(), new.body.clone(), new.link));
        });
    }

    /// Hears of all that somebody held.
    fn hear(&mut self, held: &VersionVector, made: &Made) {
        for (message, _, link) in made {
            let dot = message.dot();
            if held.covers(&dot) && !self.held.covers(&dot) {
                assert!(self.replica.apply(message), "it is new");
                self.held.raise(dot.actor, dot.seq);
                self.author
                    .hear(Head { actor: dot.actor, seq: dot.seq, link: link.short() }, message.lamport);
            }
        }
    }
}

pub(super) fn replica(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut people = ["a", "b", "c"].map(Person::new);
    let mut made = Made::new();
    for _ in 0..STEPS_MAX {
        if choices.are_made() {
            break;
        }
        let step = choices.byte();
        let (me, other) = (usize::from(step) % 3, usize::from(step / 3) % 3);
        if step >= 192 && me != other {
            let held = people[other].held.clone();
            people[me].hear(&held, &made);
        } else {
            people[me].write(&mut choices, &mut made);
        }
    }
    for person in &people {
        let held: Vec<Message> = made
            .iter()
            .map(|(message, ..)| message)
            .filter(|message| person.held.covers(&message.dot()))
            .cloned()
            .collect();
        check(&person.replica, &held);
    }
    let all: Vec<Message> = made.iter().map(|(message, ..)| message.clone()).collect();
    let mut backwards = Replica::new(Root::default());
    for message in all.iter().rev() {
        assert!(backwards.apply(message) && !backwards.apply(message), "it counts once");
    }
    check(&backwards, &all);
    check_put_away(&backwards, &made);
}

/// Compares a replica with the naive fold of what it holds.
fn check(replica: &Replica, held: &[Message]) {
    let folded = naive::fold(&Root::default(), held);
    assert_eq!(replica.image(), folded.scene);
    assert_eq!(replica.state_hash(), folded.scene.hash());
    assert_eq!(replica.ineffective_ops(), folded.ineffective.len());
    for dot in held.iter().map(Message::dot) {
        assert_eq!(replica.is_undone(&dot), folded.undone.contains(&dot), "{dot}");
    }
}

/// A snapshot shows the same, and so does what stands on the ground that everything leaves.
fn check_put_away(replica: &Replica, made: &Made) {
    let mut by_actor: BTreeMap<Actor, Vec<&[u8]>> = BTreeMap::new();
    for (message, body, _) in made {
        by_actor.entry(message.actor).or_default().push(body);
    }
    let pack =
        |(actor, bodies): (&Actor, &Vec<&[u8]>)| Stretch::pack(*actor, 1, bodies).expect("they are few");
    let history: Vec<Stretch> = by_actor.iter().flat_map(pack).collect();
    let snapshot = replica.snapshot(&history).expect("nothing is missing");
    let opened = Replica::open(snapshot).expect("it was just written");
    assert_eq!((opened.image(), opened.state_hash()), (replica.image(), replica.state_hash()));
    if let Ok(ground) = replica.ground() {
        assert_eq!(Ground::decode(&ground.encode()).as_ref(), Ok(&ground));
        assert_eq!(Replica::on(&ground, Root::default()).image(), replica.image());
    }
}

/// Steps at random: the fuzzer makes sense of them.
pub(super) fn recipes() -> Vec<Vec<u8>> {
    let mut random = rtc_core::sim::Random::new(1);
    (0..8).map(|_| (0..200).map(|_| random.bytes::<1>()[0]).collect()).collect()
}
