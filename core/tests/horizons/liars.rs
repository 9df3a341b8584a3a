//! Members that say what is not so.

use rtc_core::api::Compact;
use rtc_core::author::Author;
use rtc_core::chain::{Keys, Link};
use rtc_core::founding::Access;
use rtc_core::id::{Actor, Dot};
use rtc_core::message::{Head, Message};
use rtc_core::store::Store;
use rtc_core::sync::{RoomFrame, Run};

use crate::world::{founding, keys};
use crate::{number, three};

/// A member says of a message that is yet to be made that it was issued again, and a horizon passes between the two.
#[test]
fn nobody_can_take_anothers_number() {
    for restarts in [false, true] {
        let mut world = three();
        let victim = world.add_one(2);
        world.settle();
        let (room, liar) = (founding(Access::Open).room(), Actor::new(keys(1).public(), 999));
        let next = Dot { seq: victim.seq + 1, ..victim };
        let claimed = Message {
            actor: next.actor,
            seq: next.seq,
            lamport: 1,
            clock: Vec::new(),
            time_ms: None,
            request: None,
            note: None,
            ops: Vec::new(),
        };
        let mut author = Author::resume(liar, 0, Link::origin(&room, &liar), 0);
        let made = author.reissue(&claimed).unwrap();
        let signature = keys(1).sign(&made.link);
        let run = Run { actor: liar, first: 1, bodies: [&made.body].into_iter().collect(), signature };
        world.frames.push_back((1, 2, RoomFrame::Run { run: run.clone() }));
        world.frames.push_back((1, 0, RoomFrame::Run { run }));
        world.deliver();
        if restarts {
            world.restart(2);
            world.join(0, 2);
        }
        world.part(0, 2);
        let edit = world.add_one(2);
        assert_ne!(edit.actor, next.actor, "the number is avoided");
        world.compact_all();
        world.join(0, 2);
        world.settle();
        world.check_equal();
        assert_eq!(world.value(0), number(6.0));
    }
}

/// A member names what its keeper made after a horizon, and nothing that lies in that: who stands on a later one could not tell whether it has
/// seen it.
#[test]
fn who_names_what_came_after_a_horizon_has_not_seen_what_lies_in_it() {
    let mut world = three();
    world.compact_all();
    world.settle();
    let seen = world.add_one(0);
    world.settle();
    world.ms += 300_000;
    let record = world.peers[0].disk.read(&seen.actor, seen.seq, seen.seq).unwrap().remove(0);
    let lamport = Message::decode(seen.actor, &record.body).unwrap().lamport;
    let (room, liar) = (founding(Access::Open).room(), Actor::new(keys(2).public(), 999));
    let message = Message {
        actor: liar,
        seq: 1,
        lamport: lamport + 1,
        clock: vec![Head { actor: seen.actor, seq: seen.seq, link: record.link.short() }],
        time_ms: Some(world.ms),
        request: None,
        note: None,
        ops: Vec::new(),
    };
    let body = message.encode();
    let link = Link::origin(&room, &liar).next(&body);
    let run =
        Run { actor: liar, first: 1, bodies: [&body].into_iter().collect(), signature: keys(2).sign(&link) };
    world.frames.push_back((2, 0, RoomFrame::Run { run: run.clone() }));
    world.frames.push_back((2, 1, RoomFrame::Run { run }));
    world.deliver();
    let ask = Compact { undo_window_ms: Some(100_000), ..Compact::default() };
    assert!(world.compact(0, &ask).unwrap().messages > 0, "{seen} lies in it");
    world.settle();
    let newcomer = world.add();
    world.join(0, newcomer);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(newcomer), number(5.0));
}
