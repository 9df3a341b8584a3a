//! Who asks for a ground is handed each piece once, however often it asks, and nobody asks for what is too large.

use rtc_core::id::{Dot, StateHash};
use rtc_core::limits::{CREDIT_BYTES, GROUND_BYTES_MAX, GROUND_PACKED_BYTES_MAX, GROUND_PIECE_BYTES_MAX};
use rtc_core::op::TABLE_VERSION;
use rtc_core::room::{FootingError, Input, Refusal};
use rtc_core::sim::Random;
use rtc_core::store::LANDMARK;
use rtc_core::sync::{LinkId, RoomFrame};
use rtc_core::ticket::Landmark;

use crate::world::World;
use crate::{horizon_of, offer, three};

/// Where the pieces begin that the second daemon sends the newcomer when it asks for what begins at `from`.
fn handed(world: &mut World, late: usize, wanted: &RoomFrame, from: u64) -> Vec<u64> {
    let RoomFrame::GroundWanted { ground, .. } = *wanted else { panic!("{wanted:?} asks for nothing") };
    let frame = RoomFrame::GroundWanted { ground, from };
    world.give(1, Input::Frame { link: LinkId(late as u64), frame });
    let sent = std::mem::take(&mut world.frames).into_iter();
    sent.map(|(_, _, frame)| match frame {
        RoomFrame::GroundPiece { from, .. } => from,
        frame => panic!("{frame:?} is no answer"),
    })
    .collect()
}

#[test]
fn a_ground_is_handed_over_once_however_often_a_peer_asks() {
    let mut world = three();
    let mut random = Random::new(1);
    for n in 0..60 {
        let text: String =
            (0..8_000).map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap())).collect();
        world.edit(0, "string.set", "n", Some((&format!("p{n}"), text.as_str().into())));
    }
    world.settle();
    world.compact_all();
    world.settle();
    let late = world.add();
    world.join(late, 1);
    let wanted = loop {
        let (from, to, frame) = world.frames.pop_front().expect("it asks");
        if matches!(frame, RoomFrame::GroundWanted { .. }) {
            break frame;
        }
        world.give(to, Input::Frame { link: LinkId(from as u64), frame });
    };
    world.frames.clear();
    let at_once = (CREDIT_BYTES / GROUND_PIECE_BYTES_MAX * GROUND_PIECE_BYTES_MAX) as u64;
    let first = handed(&mut world, late, &wanted, 0);
    assert_eq!(first.len(), CREDIT_BYTES / GROUND_PIECE_BYTES_MAX);
    for from in [0, 1, at_once - 1, at_once + 1, 2 * at_once, u64::MAX] {
        assert_eq!(handed(&mut world, late, &wanted, from), [0; 0], "from {from}");
    }
    assert_eq!(handed(&mut world, late, &wanted, at_once)[0], at_once, "the next are sent");
    assert_eq!(handed(&mut world, late, &wanted, at_once), [0; 0]);
    // Who gave it up may begin again.
    world.ms += 5_000;
    assert_eq!(handed(&mut world, late, &wanted, 0), first);
    assert_eq!(handed(&mut world, late, &wanted, 0), [0; 0]);
    // Nothing of that keeps it from the newcomer.
    world.ms += 5_000;
    world.settle();
    world.check_equal();
}

#[test]
fn a_ground_that_is_too_large_is_refused_before_it_is_asked_for() {
    let most = [GROUND_BYTES_MAX, GROUND_PACKED_BYTES_MAX].map(|bytes| bytes as u64);
    for (more, is_refused) in [([0, 0], false), ([1, 0], true), ([0, 1], true)] {
        let mut world = three();
        let Input::Frame { link, mut frame } = offer(0, &horizon_of(&world, TABLE_VERSION), 0) else {
            panic!("an offer is a frame")
        };
        if let RoomFrame::Horizon { whole_bytes, packed_bytes, .. } = &mut frame {
            [*whole_bytes, *packed_bytes] = [most[0] + more[0], most[1] + more[1]];
        }
        world.give(1, Input::Frame { link, frame });
        let refused = matches!(&world.refused[..], [Refusal::Ground(FootingError::TooLarge { .. })]);
        assert_eq!((refused, world.frames.is_empty()), (is_refused, is_refused), "{:?}", world.refused);
    }
}

#[test]
fn a_newcomer_stands_on_no_other_horizon_than_its_ticket_names_or_a_newer_one() {
    let mut world = three();
    world.add_one(0);
    world.settle();
    world.compact_all();
    world.settle();
    let stood_on = world.peers[1].room.landmark().expect("it has forgotten");
    let at = |seq| Landmark { dot: Dot { seq, ..stood_on.dot }, ..stood_on };
    let other = Landmark { ground: StateHash([9; 32]), ..stood_on };
    for (named, is_refused) in [
        (at(stood_on.dot.seq + 1), true),
        (other, true),
        (stood_on, false),
        (at(stood_on.dot.seq - 1), false),
    ] {
        let late = world.add();
        world.peers[late].room.recall(LANDMARK, &named.encode());
        world.join(late, 1);
        world.settle();
        let refused = std::mem::take(&mut world.refused);
        let is_said =
            refused.iter().any(|refusal| matches!(refusal, Refusal::Ground(FootingError::Landmark { .. })));
        let stands = world.peers[late].room.landmark() == Some(stood_on);
        assert_eq!((is_said, stands), (is_refused, !is_refused), "{named:?}: {refused:?}");
        world.part(late, 1);
    }
}
