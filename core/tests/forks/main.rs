//! Two machines that take themselves for one, and members that lie: what those who meet them find out, and that everybody hears of it.

mod ground;
mod world;

use std::collections::BTreeSet;

use rtc_core::branch;
use rtc_core::canonical::Writer;
use rtc_core::chain::{self, Ed25519, Keys};
use rtc_core::fork::{Fork, ForkError};
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::limits::{DOUBTS_MAX, FORKS_MAX, FORKS_OF_KEY_MAX, FORKS_OF_NOBODY_MAX, LINKS_TOLD_MAX};
use rtc_core::message::Message;
use rtc_core::room::{Input, Opening, Refusal, Room};
use rtc_core::sim::SimDisk;
use rtc_core::store::{FORKS, Store};
use rtc_core::sync::{LinkFrame, LinkId, RoomFrame, Run};

use world::{BOB, EVE, ONE, SEEDS, TWIN, World, founding, keys};

/// Whatever the lengths of the branches are, and whichever comes first.
#[test]
fn a_fork_is_found_on_first_contact_and_everybody_hears_of_it() {
    for common in [0, 1, 7, 40] {
        for (one, other) in [(1, 1), (3, 1), (1, 3), (2, 90), (90, 2), (30, 30)] {
            let mut world = World::forked(common, one, other);
            world.join(ONE, BOB);
            world.join(TWIN, EVE);
            world.beat(4);
            assert!((0..4).all(|at| world.forks(at).is_empty()), "nobody knows of both");
            world.join(BOB, EVE);
            world.beat(12);
            let dot = Dot { actor: World::actor(), seq: common as u64 + 1 };
            for at in 0..4 {
                assert_eq!(world.forks(at), [dot], "{at} after {common} common, then {one} and {other}");
                assert_eq!(world.machines[at].forked, [dot], "once");
            }
            world.check_whole(&[ONE, TWIN, BOB, EVE], common + one + other);
            // Whoever starts again finds what it left.
            world.restart(BOB);
            world.check_whole(&[ONE, TWIN, BOB, EVE], common + one + other);
        }
    }
}

/// A run is planned up to a signature that the store no longer has, the next time up to one that it has.
#[test]
fn a_fork_is_found_where_a_store_has_dropped_signatures() {
    let mut world = World::new();
    world.signatures_one_in = 90;
    for (at, count) in [(ONE, 250), (TWIN, 300)] {
        (0..2).for_each(|n| world.edit(at, &format!("common-{n}")));
        (0..count).for_each(|n| world.edit(at, &format!("{at}-{n}-{}", "long".repeat(60))));
    }
    world.join(TWIN, BOB);
    world.beat(4);
    world.part(TWIN, BOB);
    // Who holds more is sent nothing, so it is the other one that proves it.
    world.join(ONE, BOB);
    world.beat(24);
    let dot = Dot { actor: World::actor(), seq: 3 };
    assert!([ONE, BOB].into_iter().all(|at| world.forks(at) == [dot]));
}

#[test]
fn who_comes_later_hears_of_a_fork_and_who_knew_of_it_still_does_after_a_restart() {
    let mut world = World::forked(2, 1, 1);
    world.join(ONE, BOB);
    world.join(TWIN, BOB);
    world.beat(8);
    assert_eq!(world.forks(BOB).len(), 1);
    world.part(TWIN, BOB);
    world.part(ONE, BOB);
    world.restart(BOB);
    assert_eq!(world.forks(BOB).len(), 1);
    world.join(BOB, EVE);
    world.beat(4);
    assert_eq!(world.forks(EVE), world.forks(BOB));
}

#[test]
fn a_machine_that_is_two_goes_on_in_two_new_epochs() {
    let mut world = World::forked(3, 2, 2);
    world.join(ONE, BOB);
    world.join(TWIN, EVE);
    world.join(BOB, EVE);
    world.beat(12);
    for at in [ONE, TWIN] {
        world.edit(at, &format!("after-{at}"));
    }
    world.beat(8);
    world.check_whole(&[ONE, TWIN, BOB, EVE], 3 + 2 + 2 + 2);
    // What was before, two branches, and two epochs: what is random is the same in both, what they hold is not.
    assert_eq!(world.machines[ONE].room.vector().len(), 5);
}

/// Every machine forks again and again, from what it saved at some time, and people write on whatever they hold.
#[test]
fn forks_in_forks_give_the_same_everywhere_in_whatever_order_they_are_found() {
    for order in 0..6 {
        let mut world = World::forked(2, 3, 1);
        // Three of one number, and a fork on a branch.
        world.machines.extend((EVE + 1..SEEDS.len()).map(World::machine));
        let (third, fourth) = (EVE + 1, EVE + 2);
        (0..2)
            .for_each(|n| [third, fourth].into_iter().for_each(|at| world.edit(at, &format!("common-{n}"))));
        world.edit(third, "third");
        world.edit(fourth, "one-0");
        world.edit(fourth, "fourth");
        let makers = [[ONE, TWIN, third, fourth], [fourth, third, TWIN, ONE], [third, ONE, fourth, TWIN]];
        let makers = makers[order % 3];
        world.join(makers[0], BOB);
        world.join(makers[1], EVE);
        world.beat(2);
        world.edit(BOB, "on-the-first");
        world.edit(EVE, "on-the-second");
        world.part(makers[0], BOB);
        world.join(makers[2], BOB);
        world.beat(if order < 3 { 2 } else { 12 });
        world.join(BOB, EVE);
        world.beat(8);
        world.edit(EVE, "between");
        world.restart(EVE);
        world.join(BOB, EVE);
        world.join(makers[3], EVE);
        world.join(makers[0], EVE);
        world.join(makers[1], EVE);
        world.beat(60);
        let all = [ONE, TWIN, BOB, EVE, third, fourth];
        world.check_whole(&all, 2 + 3 + 1 + 1 + 1 + 3);
        let [first, second] = [3, 4].map(|seq| Dot { actor: World::actor(), seq });
        assert!(all.iter().all(|&at| world.forks(at) == [first, second]), "{order}");
    }
}

#[test]
fn who_hears_his_own_chain_go_on_elsewhere_begins_a_new_epoch_and_forks_nothing() {
    let mut world = World::forked(3, 2, 0);
    world.join(ONE, BOB);
    world.join(TWIN, BOB);
    world.beat(2);
    world.edit(TWIN, "late");
    world.edit(ONE, "later");
    world.beat(8);
    assert!((0..3).all(|at| world.forks(at).is_empty() && world.machines[at].refused.is_empty()));
    assert_eq!(world.machines[BOB].room.messages(), 7);
    let states: BTreeSet<_> = (0..3).map(|at| world.machines[at].room.replica().state_hash()).collect();
    assert_eq!(states.len(), 1);
}

#[test]
fn what_proves_nothing_is_refused_and_not_passed_on() {
    let mut world = World::forked(2, 1, 1);
    world.join(ONE, EVE);
    world.beat(2);
    let mut elsewhere = World::forked(2, 1, 1);
    elsewhere.join(ONE, BOB);
    elsewhere.join(TWIN, BOB);
    elsewhere.beat(8);
    let fact = elsewhere.machines[BOB].disk.fact(FORKS).unwrap().unwrap();
    // A list of one proof, which is a list of three.
    let begin = fact.windows(2).position(|pair| pair == [0x83, 0x58]).unwrap();
    let proof = &fact[begin..];
    let hear = |world: &mut World, proof: &[u8]| {
        let frame = RoomFrame::Fork { proof: proof.into() };
        world.give(EVE, Input::Frame { link: LinkId(ONE as u64), frame });
    };
    let (room, me) = (founding().room(), keys(EVE));
    let mut refused = 0;
    for bit in 0..proof.len() * 8 {
        let mut damaged = proof.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Of what is packed some bits say nothing.
        if Fork::read(&room, &damaged, &*me).is_err() {
            hear(&mut world, &damaged);
            refused += 1;
        }
    }
    assert!(refused > proof.len() * 7, "{refused} of {} bits", proof.len() * 8);
    let refusals = &world.machines[EVE].refused;
    assert!(refusals.len() == refused && refusals.iter().all(|why| matches!(why, Refusal::Proof { .. })));
    assert!(world.forks(EVE).is_empty() && world.frames.is_empty());
    hear(&mut world, proof);
    assert_eq!(world.forks(EVE), elsewhere.forks(BOB));
}

/// Of another room nothing is said here, and of a chain that is not held only what is checked.
#[test]
fn a_proof_of_messages_that_nobody_holds_is_not_kept() {
    let mut elsewhere = World::forked(2, 1, 1);
    elsewhere.join(ONE, BOB);
    elsewhere.join(TWIN, BOB);
    elsewhere.beat(8);
    let mut world = World::forked(0, 5, 0);
    let proofs = elsewhere.proofs(BOB);
    world.join(BOB, EVE);
    let frame = |frame: &RoomFrame| Input::Frame { link: LinkId(EVE as u64), frame: frame.clone() };
    world.give(BOB, frame(&proofs[0]));
    assert!(world.forks(BOB).is_empty() && world.machines[BOB].refused.is_empty(), "nothing of it is held");
    world.join(ONE, BOB);
    world.beat(2);
    world.give(BOB, frame(&proofs[0]));
    let dot = Dot { actor: World::actor(), seq: 3 };
    let error = ForkError::NotOfChain { dot };
    assert_eq!(
        world.machines[BOB].refused,
        [Refusal::Proof { error }],
        "it hangs on another chain than the one held"
    );
}

/// Two first messages of one actor, each as its key would sign it alone.
fn pair(seed: u8, epoch: u64) -> [Run; 2] {
    pair_in(founding().room(), seed, epoch)
}

fn pair_in(room: RoomId, seed: u8, epoch: u64) -> [Run; 2] {
    let keys = Ed25519::from_seed(&[seed; 32]);
    let actor = Actor::new(keys.public(), epoch);
    ["cube", "lamp"].map(|note| {
        let note = Some(note.to_owned());
        let message = Message {
            actor,
            seq: 1,
            lamport: 1,
            clock: vec![],
            time_ms: None,
            request: None,
            note,
            ops: vec![],
        };
        let body = message.encode();
        let signature = keys.sign(&chain::Link::origin(&room, &actor).next(&body));
        Run { actor, first: 1, bodies: [body].into_iter().collect(), signature }
    })
}

fn hear(world: &mut World, frame: RoomFrame) {
    world.give(BOB, Input::Frame { link: LinkId(EVE as u64), frame });
}

#[test]
fn nobody_hides_anothers_fork_behind_many_of_his_own() {
    let mut world = World::new();
    world.join(BOB, EVE);
    let mut fork = |seed, epoch| {
        pair(seed, epoch).into_iter().for_each(|run| hear(&mut world, RoomFrame::Run { run }));
        world.forks(BOB)
    };
    let of_key = |forks: Vec<Dot>, seed| {
        let key = Ed25519::from_seed(&[seed; 32]).public();
        forks.iter().filter(|dot| dot.actor.key() == key).count()
    };
    for epoch in 1..FORKS_OF_KEY_MAX as u64 + 6 {
        let forks = fork(100, epoch);
        assert_eq!(of_key(forks, 100), FORKS_OF_KEY_MAX.min(usize::try_from(epoch).unwrap()));
    }
    assert_eq!(of_key(fork(101, 1), 101), 1);
    for seed in 102..190 {
        let forks = fork(seed, 1);
        assert!(forks.len() <= FORKS_MAX && of_key(forks, 100) == FORKS_OF_KEY_MAX);
    }
    assert_eq!(world.forks(BOB).len(), FORKS_MAX);
}

/// What is not kept is not remembered for anybody either, and whoever tells it may do so as often as it likes.
#[test]
fn to_a_fork_that_is_not_kept_there_is_no_answer() {
    let mut world = World::new();
    world.join(BOB, EVE);
    world.frames.clear();
    let room = founding().room();
    for _ in 0..2 {
        for epoch in 1..FORKS_OF_KEY_MAX as u64 + 6 {
            let (runs, keys) = (pair(100, epoch), Ed25519::from_seed(&[100; 32]));
            let origin = chain::Link::origin(&room, &runs[0].actor);
            let fork = Fork::prove(&room, origin, runs, &keys).unwrap();
            hear(&mut world, RoomFrame::Fork { proof: fork.bytes().clone() });
        }
        let answers = world.frames.drain(..).filter(|(.., frame)| matches!(frame, RoomFrame::Fork { .. }));
        assert_eq!(answers.count(), FORKS_OF_KEY_MAX);
    }
    assert_eq!(world.forks(BOB).len(), FORKS_OF_KEY_MAX);
}

/// Whatever kept it from taking the proof, and however long that lasts.
#[test]
fn a_peer_that_did_not_take_a_proof_is_told_again_over_the_same_connection() {
    let mut world = World::forked(2, 3, 4);
    world.join(ONE, BOB);
    world.join(TWIN, BOB);
    world.beat(8);
    world.is_secret = true;
    world.join(BOB, EVE);
    world.beat(100);
    assert!(world.forks(EVE).is_empty());
    world.is_secret = false;
    world.beat(140);
    world.check_whole(&[ONE, TWIN, BOB, EVE], 2 + 3 + 4);
}

#[test]
fn after_a_fork_what_is_new_is_sent_at_once_as_before() {
    let mut world = World::forked(2, 3, 4);
    let all = [ONE, TWIN, BOB, EVE];
    for (a, b) in [(BOB, EVE), (ONE, EVE), (ONE, BOB), (TWIN, BOB), (TWIN, EVE), (ONE, TWIN)] {
        world.join(a, b);
    }
    world.beat(20);
    world.check_whole(&all, 2 + 3 + 4);
    for (n, at) in (1..).zip(all) {
        world.edit(at, &format!("new-{n}"));
        assert!(all.iter().all(|&to| world.machines[to].room.messages() == 2 + 3 + 4 + n), "{at}");
    }
}

/// Anybody can take the runs of a proof for another actor's of that key.
#[test]
fn a_fork_is_of_the_actor_that_signed_it_and_of_no_branch() {
    let mut world = World::forked(2, 6, 4);
    let signed = world.machines[ONE].disk.read(&World::actor(), 1, 8).unwrap();
    world.join(ONE, BOB);
    world.join(TWIN, BOB);
    world.beat(12);
    let branch = branch::name(&Dot { actor: World::actor(), seq: 3 }, &signed[2].link);
    let theirs =
        Message { note: Some("another".into()), ..Message::decode(branch, &signed[6].body).unwrap() };
    let theirs = theirs.encode();
    let signature = keys(ONE).sign(&signed[5].link.next(&theirs));
    let [ours, theirs] = [(signed[6].body.clone(), signed[6].signature.unwrap()), (theirs, signature)].map(
        |(body, signature)| Run { actor: branch, first: 7, bodies: [body].into_iter().collect(), signature },
    );
    let fork = Fork::prove(&founding().room(), signed[5].link, [ours, theirs], &*keys(ONE)).unwrap();
    let before = world.machines[BOB].room.branches().clone();
    let frame = RoomFrame::Fork { proof: fork.bytes().clone() };
    world.give(BOB, Input::Frame { link: LinkId(ONE as u64), frame });
    let error = ForkError::NotOfChain { dot: fork.dot() };
    assert!(world.machines[BOB].refused.contains(&Refusal::Proof { error }));
    assert_eq!(*world.machines[BOB].room.branches(), before);
}

/// Before there were branches the proofs of forks alone were kept, and of both messages one.
#[test]
fn a_fork_that_an_earlier_version_kept_has_both_branches() {
    for other in [0, 4] {
        let mut world = World::forked(2, 3, 4);
        let mut elsewhere = World::forked(2, 3, 4);
        elsewhere.join(ONE, BOB);
        elsewhere.join(TWIN, BOB);
        elsewhere.beat(8);
        let RoomFrame::Fork { proof } = elsewhere.proofs(BOB).remove(0) else { panic!("it is a proof") };
        world.join(if other == 0 { ONE } else { TWIN }, BOB);
        world.beat(2);
        let mut old = Writer::new();
        old.array(1).bytes(&proof);
        world.machines[BOB].disk.set_fact(FORKS, &old.finish()).unwrap();
        world.restart(BOB);
        assert_eq!(world.forks(BOB), elsewhere.forks(BOB));
        world.join(EVE, BOB);
        world.beat(1);
        assert_eq!(world.machines[BOB].room.branches(), elsewhere.machines[BOB].room.branches());
        world.restart(BOB);
        world.join(ONE, BOB);
        world.join(TWIN, BOB);
        world.beat(8);
        world.check_whole(&[ONE, TWIN, BOB], 2 + 3 + 4);
    }
}

/// Of keys that are no members' there are as many as anybody likes.
#[test]
fn nobodys_forks_leave_room_for_those_of_members() {
    let mut world = World::new();
    let founding = Founding { owner: keys(BOB).public(), access: Access::Members, ..founding() };
    let room = founding.room();
    let opening =
        Opening { room, founding: Some(founding), keys: keys(BOB), epoch_fresh: 2, epoch_proof: None };
    (world.machines[BOB].room, world.machines[BOB].disk) = (Room::open(opening), SimDisk::new(room));
    world.join(BOB, EVE);
    for seed in 102..150 {
        pair_in(room, seed, 1).into_iter().for_each(|run| hear(&mut world, RoomFrame::Run { run }));
    }
    assert_eq!(world.forks(BOB).len(), FORKS_OF_NOBODY_MAX);
    pair_in(room, SEEDS[BOB], 7).into_iter().for_each(|run| hear(&mut world, RoomFrame::Run { run }));
    assert_eq!(world.forks(BOB).len(), FORKS_OF_NOBODY_MAX + 1);
}

#[test]
fn links_past_a_limit_are_refused_and_told_later() {
    let mut world = World::new();
    world.join(BOB, EVE);
    let actors = LINKS_TOLD_MAX as u64 + 30;
    for epoch in 1..=actors {
        let [run, _] = pair(100, epoch);
        hear(&mut world, RoomFrame::Run { run });
    }
    let held = world.machines[BOB].room.vector();
    world.frames.clear();
    let mut told = Vec::new();
    for _ in 0..4 {
        hear(&mut world, RoomFrame::Vector { held: held.clone(), runs_taken: 0, exact: false });
        world.give(BOB, Input::Digest { link: LinkId(EVE as u64), digest: [7; 16] });
        told.extend(world.frames.drain(..).filter_map(|(.., frame)| match frame {
            RoomFrame::Links { links } => Some(links),
            _ => None,
        }));
    }
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [LINKS_TOLD_MAX, 30]);
    let named: BTreeSet<Actor> = told.concat().iter().map(|head| head.actor).collect();
    assert_eq!(named.len() as u64, actors);
    let frame = RoomFrame::Links { links: vec![told[0][0]; LINKS_TOLD_MAX + 1] };
    assert!(LinkFrame::decode(&LinkFrame::Room { channel: 1, frame }.encode()).is_err());
}

#[test]
fn many_doubts_are_raised_one_after_the_other() {
    let mut world = World::new();
    world.join(BOB, EVE);
    let doubtful = DOUBTS_MAX as u64 + 6;
    let asked = |world: &mut World| {
        world.frames.clear();
        for epoch in 1..=doubtful {
            let [run, other] = pair(100, epoch);
            let misread = Run { signature: other.signature, ..run.clone() };
            hear(world, RoomFrame::Run { run });
            hear(world, RoomFrame::Run { run: Run { first: 2, ..misread } });
        }
        world.frames.iter().filter(|(.., frame)| matches!(frame, RoomFrame::Links { .. })).count()
    };
    assert_eq!(asked(&mut world), DOUBTS_MAX);
    assert_eq!(asked(&mut world), 0, "nothing was answered yet");
    world.ms += 2_000;
    assert_eq!(asked(&mut world), DOUBTS_MAX, "perhaps it was lost");
}
