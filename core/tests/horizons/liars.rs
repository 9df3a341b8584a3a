//! Members that say what is not so.

use rtc_core::author::Author;
use rtc_core::chain::{Keys, Link};
use rtc_core::founding::Access;
use rtc_core::id::{Actor, Dot};
use rtc_core::message::Message;
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
