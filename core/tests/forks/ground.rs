//! Forks in rooms that forget: whoever comes to a horizon, by whatever way, knows what the branches in it are.

use rtc_core::branch::name;
use rtc_core::chain::Link;
use rtc_core::id::{Actor, Dot};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::room::Input;
use rtc_core::store::{Record, Store};
use rtc_core::sync::{LinkId, RoomFrame, Run};
use rtc_core::value::Value;

use crate::world::{BOB, EVE, ONE, SEEDS, TWIN, World, keys};

/// Who sends what no daemon of ours does.
const LIAR: usize = 9;

/// The keeper holds both branches and has let go everything, while nobody was there. Comes with what was signed on each machine.
fn forgotten(common: usize, one: usize, other: usize) -> (World, [Vec<Record>; 2]) {
    let mut world = World::forked(common, one, other);
    let signed = [ONE, TWIN].map(|at| signed(&mut world, at));
    for at in [ONE, TWIN] {
        world.join(at, BOB);
        world.beat(12);
    }
    [ONE, TWIN].into_iter().for_each(|at| world.part(at, BOB));
    world.compact();
    assert_eq!(world.machines[BOB].room.messages(), 1, "the horizon");
    (world, signed)
}

/// What a machine has made, as long as it knows of no fork.
fn signed(world: &mut World, at: usize) -> Vec<Record> {
    world.machines[at].disk.read(&World::actor(), 1, u64::MAX).unwrap()
}

fn insert(key: &str) -> Op {
    let code = OpCode::named("node.insert").unwrap();
    Op { code, key: key.into(), path: None, value: Value::Null, options: [].into() }
}

/// Messages that follow a record, as their key would sign them; the first names `heads`.
fn run(actor: Actor, before: &Record, lamport: u64, heads: &[Head], ops: &[Op]) -> Run {
    let mut heads = heads.to_vec();
    heads.sort_by_key(|head| head.actor);
    let bodies = (1..).zip(ops).map(|(n, op)| {
        let clock = if n == 1 { heads.clone() } else { Vec::new() };
        let message = Message {
            actor,
            seq: before.seq + n,
            lamport: lamport + n,
            clock,
            time_ms: None,
            request: None,
            note: None,
            ops: vec![op.clone()],
        };
        message.encode()
    });
    let bodies: Vec<Vec<u8>> = bodies.collect();
    let link = bodies.iter().fold(before.link, |link, body| link.next(body));
    let signature = keys(ONE).sign(&link);
    Run { actor, first: before.seq + 1, bodies: bodies.into_iter().collect(), signature }
}

/// The keeper's horizon, as clocks name it, and its lamport.
fn horizon(world: &mut World) -> (Head, u64) {
    let Dot { actor, seq } = world.machines[BOB].room.horizon().unwrap();
    let Record { link, body, .. } = world.machines[BOB].disk.read(&actor, seq, seq).unwrap().remove(0);
    (Head { actor, seq, link: link.short() }, Message::decode(actor, &body).unwrap().lamport)
}

/// The newest of these, as clocks name it.
fn last(records: &[Record]) -> Head {
    let Record { actor, seq, link, .. } = records.last().unwrap();
    Head { actor: *actor, seq: *seq, link: link.short() }
}

/// What the branch is called that begins with a message.
fn branch(first: &Record) -> Actor {
    name(&Dot { actor: first.actor, seq: first.seq }, &first.link)
}

/// A run of what was signed on a machine, by the name of that actor.
fn run_of(actor: Actor, records: &[Record]) -> RoomFrame {
    let bodies = records.iter().map(|record| record.body.clone()).collect();
    let signature = records.last().unwrap().signature.unwrap();
    RoomFrame::Run { run: Run { actor, first: records[0].seq, bodies, signature } }
}

fn tell(world: &mut World, at: usize, frame: RoomFrame) {
    let link = LinkId(LIAR as u64);
    world.give(at, Input::PeerUp { link, peer: keys(ONE).public() });
    world.give(at, Input::Frame { link, frame });
    world.give(at, Input::PeerDown { link });
}

#[test]
fn with_a_ground_come_the_forks_whose_branches_lie_in_it() {
    for common in [0, 1, 4] {
        let (mut world, _) = forgotten(common, 5, 3);
        world.join(BOB, EVE);
        world.deliver();
        world.check_same(&[BOB, EVE], common + 8);
        world.beat(8);
        world.restart(EVE);
        world.check_same(&[BOB, EVE], common + 8);
        // One who comes later has it from her.
        world.restart(TWIN);
        world.join(EVE, TWIN);
        world.beat(8);
        world.check_same(&[BOB, EVE, TWIN], common + 8);
    }
}

#[test]
fn what_an_author_made_meanwhile_counts_once_whomever_it_meets_first() {
    let mut world = World::forked(4, 5, 3);
    for at in [ONE, TWIN] {
        world.join(at, BOB);
        world.beat(1);
        world.part(at, BOB);
    }
    assert!(world.forks(ONE).is_empty(), "it has not heard of the other");
    for n in 5..8 {
        world.edit(ONE, &format!("one-{n}"));
    }
    world.edit(TWIN, "other-3");
    world.compact();
    world.join(BOB, EVE);
    world.beat(4);
    world.part(BOB, EVE);
    for at in [ONE, TWIN] {
        world.join(EVE, at);
        world.beat(8);
    }
    world.join(BOB, EVE);
    world.beat(20);
    world.check_same(&[ONE, TWIN, BOB, EVE], 4 + 5 + 3 + 3 + 1);
}

/// A small ground is there sooner than the proofs of many forks.
#[test]
fn who_is_of_several_branches_knows_all_their_forks_before_it_forgets() {
    let mut world = World::new();
    world.machines.extend((EVE + 1..SEEDS.len()).map(World::machine));
    let others = [TWIN, EVE + 1, EVE + 2];
    (0..12).for_each(|n| world.edit(ONE, &format!("n-{n}")));
    for (common, at) in [3, 5, 7].into_iter().zip(others) {
        (0..common).for_each(|n| world.edit(at, &format!("n-{n}")));
        world.edit(at, &format!("of-{at}"));
    }
    let signed = signed(&mut world, ONE);
    tell(&mut world, BOB, run_of(World::actor(), &signed[..9]));
    for at in others {
        world.join(at, BOB);
        world.beat(20);
        world.part(at, BOB);
    }
    assert_eq!(world.forks(BOB).len(), 3);
    assert!(world.forks(ONE).is_empty());
    world.compact();
    world.join(ONE, BOB);
    world.join(EVE, BOB);
    world.beat(20);
    world.check_same(&[ONE, BOB, EVE], 12 + 3);
}

/// A ground may be offered and never come: what was told of it is of use all the same.
#[test]
fn a_fork_that_came_before_what_it_hangs_on_is_known_once_that_is_there() {
    let mut world = World::forked(4, 5, 3);
    let signed = signed(&mut world, ONE);
    for at in [ONE, TWIN] {
        world.join(at, BOB);
        world.beat(1);
        world.part(at, BOB);
    }
    world.restart(ONE);
    world.compact();
    world.is_grounded = true;
    world.join(BOB, EVE);
    world.beat(2);
    assert!(world.forks(EVE).len() == 1 && world.machines[EVE].room.branches().is_empty());
    world.restart(EVE);
    tell(&mut world, EVE, run_of(World::actor(), &signed));
    world.join(ONE, EVE);
    world.beat(2);
    assert_eq!(world.machines[EVE].room.branches(), world.machines[BOB].room.branches());
    world.is_grounded = false;
    world.join(BOB, EVE);
    world.beat(20);
    world.check_same(&[ONE, BOB, EVE], 12);
}

/// Who hands over a ground may keep to itself what is to be known of it.
#[test]
fn of_a_ground_that_came_without_proofs_nobody_takes_what_is_his_for_others() {
    let mut world = World::forked(4, 5, 3);
    let other = signed(&mut world, TWIN);
    for at in [ONE, TWIN] {
        world.join(at, BOB);
        world.beat(1);
        world.part(at, BOB);
    }
    world.edit(ONE, "late");
    let signed = signed(&mut world, ONE);
    world.compact();
    world.is_secret = true;
    world.join(BOB, EVE);
    world.beat(100);
    assert!(world.machines[EVE].room.horizon().is_some() && world.forks(EVE).is_empty());
    // By the name that its author may have for it: what she makes of it is to be another thing later.
    let (head, lamport) = horizon(&mut world);
    let undone = Dot { actor: World::actor(), seq: 10 }.to_string();
    let undo = Op {
        code: OpCode::named("meta.undo").unwrap(),
        key: String::new(),
        path: None,
        value: Value::Null,
        options: [("target".to_owned(), undone.as_str().into())].into(),
    };
    let other = Head { actor: branch(&other[4]), ..last(&other) };
    let run = run(branch(&signed[4]), &signed[8], lamport, &[other, head], &[insert("undone"), undo]);
    for at in [BOB, EVE] {
        tell(&mut world, at, RoomFrame::Run { run: run.clone() });
        assert_eq!(world.machines[at].room.messages(), 3);
    }
    world.part(BOB, EVE);
    world.join(EVE, ONE);
    world.beat(30);
    assert_eq!(world.machines[ONE].room.horizon(), None, "it would take its own for somebody else's");
    world.is_secret = false;
    world.part(EVE, ONE);
    world.join(EVE, BOB);
    world.beat(8);
    world.check_same(&[BOB, EVE], 12);
    world.join(EVE, ONE);
    world.beat(60);
    world.check_same(&[BOB, EVE, ONE], 13);
}

/// What a fork hangs on is not forgotten because something of that number is, of another branch.
#[test]
fn a_fork_beside_a_long_forgotten_branch_is_not_forgotten() {
    let (mut world, [signed, other]) = forgotten(4, 2, 16);
    let (head, lamport) = horizon(&mut world);
    world.join(BOB, EVE);
    world.beat(4);
    world.part(BOB, EVE);
    for (at, key) in [(BOB, "one"), (EVE, "other")] {
        let ops = [insert("common"), insert(key)];
        let run = run(branch(&signed[4]), &signed[5], lamport, &[last(&other), head], &ops);
        tell(&mut world, at, RoomFrame::Run { run });
        assert_eq!(world.machines[at].room.messages(), 3);
    }
    // Whoever has not heard what it hangs on cannot say where it lies.
    world.restart(TWIN);
    world.join(BOB, EVE);
    world.beat(8);
    world.check_same(&[BOB, EVE], 22);
    assert_eq!(world.machines[BOB].room.messages(), 1 + 1 + 2);
    world.join(BOB, TWIN);
    world.beat(20);
    world.check_same(&[BOB, EVE, TWIN], 22);
}

/// Who learnt of a fork before a horizon, and who does after it, give the same verdict.
#[test]
fn when_a_third_branch_became_known_is_no_matter() {
    let (mut world, [signed, _]) = forgotten(4, 5, 3);
    let (head, lamport) = horizon(&mut world);
    let third = run(World::actor(), &signed[3], lamport, &[head], &[insert("third")]);
    // She holds the first branch alone, and has not heard of the horizon.
    tell(&mut world, EVE, run_of(World::actor(), &signed[..9]));
    tell(&mut world, EVE, RoomFrame::Run { run: third.clone() });
    assert_eq!(world.forks(EVE).len(), 1);
    assert_eq!(world.machines[EVE].room.horizon(), None);
    world.join(EVE, BOB);
    world.beat(20);
    world.check_same(&[EVE, BOB], 12);
    let first = Dot { actor: World::actor(), seq: 5 };
    let actor = name(&first, &signed[3].link.next(third.bodies.get(0)));
    for at in [EVE, BOB] {
        tell(&mut world, at, RoomFrame::Run { run: Run { actor, ..third.clone() } });
    }
    world.beat(20);
    world.check_same(&[EVE, BOB], 12);
    // It names the horizon alone, and nothing of the other branches.
    [EVE, BOB].into_iter().for_each(|at| assert_eq!(world.machines[at].room.messages(), 1));
}

/// A clock of somebody who knows nothing of the fork, and names what is not held yet, means whichever branch is part of the room.
#[test]
fn what_is_not_held_yet_is_not_taken_for_what_is_outside() {
    let mut world = World::forked(4, 8, 8);
    let signed = [ONE, TWIN].map(|at| signed(&mut world, at));
    // So that the branch which is left outside is the first by name.
    let [outer, inner] = match branch(&signed[0][4]) < branch(&signed[1][4]) {
        true => [&signed[0], &signed[1]],
        false => [&signed[1], &signed[0]],
    };
    // Of the other branch the keeper has heard, and nothing of it is held there.
    tell(&mut world, BOB, run_of(World::actor(), &inner[..9]));
    let mut elsewhere = World::forked(4, 8, 8);
    elsewhere.join(ONE, BOB);
    elsewhere.join(TWIN, BOB);
    elsewhere.beat(8);
    let proof = elsewhere.proofs(BOB).remove(0);
    tell(&mut world, BOB, proof);
    assert_eq!(world.forks(BOB).len(), 1);
    world.compact();
    let held = |world: &World| world.machines[BOB].room.messages();
    assert_eq!(held(&world), 1);
    tell(&mut world, BOB, run_of(branch(&outer[4]), &outer[4..6]));
    assert_eq!(held(&world), 1, "it is left outside");
    // Somebody who has only ever met the inner branch builds on what is not here yet.
    let author = Actor::new(keys(TWIN).public(), 77);
    let link = Link::origin(&world.machines[BOB].room.id(), &author);
    let origin = Record { actor: author, seq: 0, link, body: Vec::new(), signature: None };
    let last = inner.last().unwrap();
    let head = Head { actor: World::actor(), seq: last.seq, link: last.link.short() };
    let lamport = Message::decode(World::actor(), &last.body).unwrap().lamport;
    let built = run(author, &origin, lamport, &[head], &[insert("built")]);
    let link = LinkId(LIAR as u64);
    world.give(BOB, Input::PeerUp { link, peer: keys(ONE).public() });
    for frame in [RoomFrame::Run { run: built }, run_of(branch(&inner[4]), &inner[9..])] {
        world.give(BOB, Input::Frame { link, frame });
    }
    assert_eq!(held(&world), 1 + 3 + 1);
}

/// What an author has seen of a ground is not news to him, also where he stands on it since a restart.
#[test]
fn nobody_names_twice_what_lies_in_the_ground() {
    let mut world = World::forked(4, 5, 3);
    world.join(EVE, ONE);
    world.beat(4);
    world.edit(EVE, "before");
    for at in [ONE, TWIN, EVE] {
        world.join(at, BOB);
    }
    world.beat(12);
    world.edit(EVE, "after");
    world.compact_but(1_000);
    assert_eq!(world.machines[BOB].room.messages(), 2, "that, and the horizon");
    world.beat(8);
    world.check_same(&[BOB, EVE], 4 + 5 + 3 + 2);
    world.restart(EVE);
    world.edit(EVE, "at last");
    world.join(BOB, EVE);
    world.beat(8);
    world.check_same(&[BOB, EVE], 4 + 5 + 3 + 3);
}
