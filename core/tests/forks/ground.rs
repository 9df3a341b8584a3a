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

/// The keeper holds both branches and has let go everything, while nobody was there. Comes with what was signed on the first machine.
fn forgotten(common: usize, one: usize, other: usize) -> (World, Vec<Record>) {
    let mut world = World::forked(common, one, other);
    let signed = signed(&mut world, ONE);
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
    let bodies = (1..).zip(ops).map(|(n, op)| {
        let clock = if n == 1 { heads.to_vec() } else { Vec::new() };
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
