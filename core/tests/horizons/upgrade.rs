//! An operation that a version does not know is kept, passed on and never forgotten there, and takes effect once a newer version opens
//! what that one kept.

use std::ops::ControlFlow;

use rtc_core::api::Undo;
use rtc_core::chain::{Keys, Link};
use rtc_core::founding::Access;
use rtc_core::id::{Actor, Dot};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::planted::without;
use rtc_core::replica::Replica;
use rtc_core::room::Input;
use rtc_core::scene::Root;
use rtc_core::store::{Record, Store};
use rtc_core::sync::{LinkId, RoomFrame, Run};
use rtc_core::value::Value;

use crate::world::{World, founding, keys};
use crate::{number, three};

/// Somebody with a newer version, who counts on from what the first daemon holds; it tells that one.
fn count(world: &mut World, epoch: u64, lamport: u64, by: f64) -> Dot {
    let keys = keys(2);
    let actor = Actor::new(keys.public(), epoch);
    let mut clock: Vec<Head> = world.peers[0]
        .room
        .heads()
        .into_iter()
        .map(|(actor, seq, link)| Head { actor, seq, link: link.short() })
        .collect();
    clock.sort_by_key(|head| head.actor);
    let op = Op {
        code: counter(),
        key: "n".into(),
        path: Some("count".into()),
        value: Value::number(by).unwrap(),
        options: Default::default(),
    };
    let (seq, ops) = (1, vec![op]);
    let message = Message { actor, seq, lamport, clock, time_ms: None, request: None, note: None, ops };
    let body = message.encode();
    let signature = keys.sign(&Link::origin(&founding(Access::Open).room(), &actor).next(&body));
    let run = Run { actor, first: seq, bodies: [body].into_iter().collect(), signature };
    world.give(0, Input::Frame { link: LinkId(2), frame: RoomFrame::Run { run } });
    message.dot()
}

fn counter() -> OpCode {
    OpCode::named("counter.increment").unwrap()
}

fn records(world: &mut World, peer: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let keep = &mut |record| {
        records.push(record);
        ControlFlow::Continue(())
    };
    world.peers[peer].disk.scan(keep).unwrap();
    records
}

#[test]
fn an_operation_that_was_unknown_takes_effect_after_the_upgrade() {
    let (mut world, everything) = without(counter(), || {
        let mut world = three();
        count(&mut world, 101, 6, 3.0);
        let undone = count(&mut world, 102, 7, 40.0);
        world.settle();
        world.add_one(1);
        let undo = Undo { target: Some(undone.to_string()), ..Undo::default() };
        let [Ok(_)] = world.give(0, Input::Undo { token: 1, undo, redo: false })[..] else {
            panic!("what is not known is undone all the same")
        };
        world.settle();
        world.check_equal();
        assert_eq!(world.peers[1].room.replica().value("n", "count"), None);
        world.add_one(2);
        world.settle();
        let everything = records(&mut world, 1);
        // Only what was before can be let go.
        assert_eq!(world.compact_all().messages, 5);
        world.settle();
        world.check_equal();
        (world, everything)
    });
    let mut expected = Replica::new(Root::default());
    for record in &everything {
        expected.apply(&Message::decode(record.actor, &record.body).unwrap());
    }
    for peer in 0..3 {
        world.restart(peer);
        assert_eq!(world.hash(peer), expected.state_hash(), "peer {peer}");
        assert_eq!(world.peers[peer].room.replica().value("n", "count"), number(3.0));
    }
    for (a, b) in [(0, 1), (1, 2), (2, 0)] {
        world.join(a, b);
    }
    world.add_one(2);
    world.settle();
    world.check_equal();
    assert!(world.compact_all().messages > 5, "now it can be let go, too");
    world.settle();
    world.check_equal();
    assert_eq!(world.peers[2].room.replica().value("n", "count"), number(3.0));
}
