//! Rooms that forget (DESIGN §3, law 14): a keeper writes a horizon, everybody stands on it, late ones are handed the ground, and what was
//! outside is issued again. Rooms with members (DESIGN §6) do so as others do.

mod handing;
mod liars;
mod members;
mod twins;
#[cfg(feature = "planted-bugs")]
mod upgrade;
mod world;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rtc_core::api::{Code, Compact, Undo, Wait};
use rtc_core::bundle::{self, Bundle, BundleError, Packed};
use rtc_core::chain::{Keys, Link};
use rtc_core::dialect::describe;
use rtc_core::horizon::{Cut, Horizon};
use rtc_core::id::{Actor, StateHash};
use rtc_core::message::Message;
use rtc_core::op::TABLE_VERSION;
use rtc_core::room::{Agreement, FootingError, Input, Refusal};
use rtc_core::sim::Random;
use rtc_core::store::Store;
use rtc_core::sync::{LinkId, RoomFrame, Run, backlog};
use rtc_core::value::Value;

use world::{World, keys};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn number(number: f64) -> Option<Value> {
    Value::number(number)
}

/// Three who share a room with some edits of each.
pub(crate) fn three() -> World {
    let mut world = World::new(3);
    world.join(0, 1);
    world.join(0, 2);
    world.join(1, 2);
    world.edit(0, "node.insert", "n", None);
    world.settle();
    for peer in [0, 1, 2, 1] {
        world.add_one(peer);
        world.settle();
    }
    world
}

#[test]
fn a_horizon_makes_everybody_forget_the_same_and_go_on() {
    let mut world = three();
    let before = world.hash(0);
    let done = world.compact_all();
    assert_eq!((done.messages, done.kept, &done.waits_for[..]), (5, 0, &[][..]));
    world.settle();
    world.check_equal();
    assert_eq!((world.hash(2), world.peers[2].room.horizon()), (before, done.horizon));
    assert_eq!([0, 1, 2].map(|peer| world.journal(peer)), [1; 3], "the horizon is left");
    for peer in [2, 1, 0] {
        world.add_one(peer);
    }
    world.settle();
    world.check_equal();
    assert_eq!(world.value(1), number(7.0));
    // Again, with messages before and after.
    let again = world.compact_all();
    assert!(again.horizon.is_some() && again.messages >= 3, "{again:?}");
    world.settle();
    world.add_one(2);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(8.0));
}

#[test]
fn what_is_forgotten_stays_forgotten_over_restarts() {
    let mut world = three();
    world.compact_all();
    world.settle();
    let before = world.hash(0);
    for peer in 0..3 {
        world.restart(peer);
        assert_eq!(world.hash(peer), before, "peer {peer}");
    }
    world.join(0, 1);
    world.join(1, 2);
    for peer in 0..3 {
        world.add_one(peer);
    }
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(7.0));
}

#[test]
fn a_crash_between_a_horizon_and_what_it_permits_loses_nothing() {
    let mut world = three();
    world.forgets = false;
    world.compact_all();
    world.settle();
    let before = world.hash(0);
    world.forgets = true;
    for peer in 0..3 {
        assert_eq!(world.journal(peer), 6);
        world.restart(peer);
        assert_eq!((world.hash(peer), world.journal(peer)), (before, 1), "peer {peer}");
    }
    world.join(0, 1);
    world.join(1, 2);
    world.add_one(2);
    world.settle();
    world.check_equal();
}

#[test]
fn a_newcomer_is_handed_the_ground_and_writes_at_once() {
    let mut world = three();
    // Larger than what is sent at once, and hard to pack.
    let mut random = Random::new(1);
    for n in 0..60 {
        let text: String =
            (0..8_000).map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap())).collect();
        world.edit(0, "string.set", "n", Some((&format!("p{n}"), text.as_str().into())));
    }
    world.settle();
    let done = world.compact_all();
    assert!(done.ground_bytes > 256 * 1024);
    world.settle();
    world.add_one(1);
    world.settle();
    let late = world.add();
    world.join(late, 2);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(late), number(5.0));
    world.add_one(late);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(6.0));
    // And hands it over itself.
    world.restart(late);
    let later = world.add();
    world.join(later, late);
    world.settle();
    assert_eq!(world.hash(later), world.hash(late));
    world.join(late, 0);
    world.settle();
    world.check_equal();
}

#[test]
fn who_was_away_too_long_gets_the_ground_and_his_edits_are_issued_again() {
    let mut world = three();
    world.part(2, 0);
    world.part(2, 1);
    // Offline, with what he had.
    world.add_one(2);
    world.add_one(2);
    world.ms += 31 * DAY_MS;
    world.add_one(0);
    world.add_one(1);
    world.settle();
    let done = world.compact_all();
    assert_eq!(done.waits_for, []);
    assert_eq!(done.messages, 7);
    world.settle();
    let used = world.peers[2].told.unwrap();
    world.join(2, 1);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), number(8.0));
    assert_ne!(world.peers[2].told.unwrap().0, used.0, "numbers that were used are not used again");
    world.restart(2);
    world.join(2, 0);
    world.add_one(2);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(1), number(9.0));
}

#[test]
fn a_keeper_that_lost_its_horizon_writes_no_second_one_beside_it() {
    let mut world = three();
    let (image, told) = (world.peers[0].disk.clone(), None);
    let first = world.compact_all().horizon;
    world.settle();
    assert_eq!(world.peers[1].room.horizon(), first, "the others follow it");
    // An old image is put back, and nothing proves that it is the newest.
    (world.peers[0].disk, world.peers[0].told) = (image, told);
    world.restart(0);
    let alone = world.compact_all();
    assert_eq!((alone.horizon, alone.messages), (None, 0), "somebody may know more");
    assert!(!alone.waits_for.is_empty());
    world.join(0, 1);
    world.join(0, 2);
    world.settle();
    assert_eq!(world.peers[0].room.horizon(), first);
    world.add_one(1);
    world.settle();
    assert!(world.compact_all().horizon.is_some(), "now it knows what they know");
    world.settle();
    world.check_equal();
}

#[test]
fn a_horizon_waits_for_members_that_were_seen_lately() {
    let mut world = three();
    world.part(2, 0);
    world.part(2, 1);
    world.add_one(0);
    world.add_one(1);
    world.settle();
    let done = world.compact_all();
    assert_eq!(done.waits_for, [keys(2).public()]);
    assert_eq!(done.messages, 5, "what he has goes");
    world.settle();
    world.join(2, 0);
    world.settle();
    world.check_equal();
    let done = world.compact_all();
    assert!(done.waits_for.is_empty() && done.messages >= 3, "{done:?}");
}

#[test]
fn what_is_young_stays_and_can_be_undone() {
    let mut world = three();
    world.ms += 8 * DAY_MS;
    let young = world.add_one(0);
    world.settle();
    let ask = Compact { dry_run: true, ..Compact::default() };
    let would = world.compact(0, &ask).unwrap();
    assert_eq!((would.horizon, would.messages, would.kept), (None, 5, 1));
    world.compact(0, &Compact::default()).unwrap();
    world.settle();
    let undo = Undo { target: Some(young.to_string()), wait: Wait::Local, ..Undo::default() };
    world.give(1, Input::Undo { token: 1, undo, redo: false }).remove(0).unwrap();
    world.settle();
    world.check_equal();
    assert_eq!(world.value(2), number(4.0));
}

#[test]
fn only_the_keeper_lets_history_go_and_keeps_his_policy() {
    let mut world = three();
    assert_eq!(world.compact(1, &Compact::default()).unwrap_err().code, Code::ReadOnly);
    let ask = Compact { undo_window_ms: Some(5), remember: true, ..Compact::default() };
    assert_eq!(world.compact(0, &ask).unwrap().policy.undo_window_ms, 5);
    world.restart(0);
    assert_eq!(world.compact(0, &Compact::default()).unwrap().policy.undo_window_ms, 5);
}

#[test]
fn a_keeper_lets_history_go_by_itself_once_enough_is_old() {
    let mut world = World::new(2);
    world.edit(0, "node.insert", "n", None);
    for _ in 0..10_000 {
        world.add_one(0);
    }
    world.join(0, 1);
    world.settle();
    world.ms += 60 * 60 * 1000;
    world.settle();
    assert_eq!(world.peers[0].room.horizon(), None, "everything is young");
    world.ms += 8 * DAY_MS;
    world.settle();
    world.check_equal();
    assert!(world.peers[1].room.horizon().is_some());
    assert!(world.journal(0) < 10 && world.journal(1) < 10);
    assert_eq!(world.value(1), number(10_000.0));
}

#[test]
fn others_issue_again_what_its_author_does_not() {
    let mut world = three();
    for (a, b) in [(2, 0), (2, 1), (1, 0)] {
        world.part(a, b);
    }
    // The third one tells the second of his edit, and is never seen again.
    world.join(1, 2);
    world.add_one(2);
    world.settle();
    world.part(1, 2);
    world.add_one(0);
    world.ms += 31 * DAY_MS;
    let done = world.compact_all();
    assert_eq!(done.messages, 6);
    world.join(0, 1);
    world.settle();
    assert_eq!(world.value(0), number(5.0), "its author may still come");
    assert_eq!(world.value(0), world.value(1));
    world.restart(1);
    world.join(0, 1);
    world.ms += 61_000;
    world.settle();
    assert_eq!(world.value(0), number(6.0));
    assert_eq!(world.value(1), number(6.0));
    // Its author comes after all, and issues it again, too: it counts once.
    world.join(2, 0);
    world.join(2, 1);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(2), number(6.0));
}

#[test]
fn a_ground_that_is_not_the_horizons_is_refused_and_another_peer_is_asked() {
    let mut world = three();
    world.compact_all();
    world.settle();
    let late = world.add();
    world.join(late, 1);
    // One bit of every piece is flipped on the way.
    for _ in 0..20 {
        while let Some((from, to, mut frame)) = world.frames.pop_front() {
            if let RoomFrame::GroundPiece { bytes, .. } = &mut frame {
                bytes[0] ^= 1;
            }
            world.give(to, Input::Frame { link: LinkId(from as u64), frame });
        }
        world.beat();
    }
    assert!(world.refused.iter().all(|refusal| matches!(refusal, Refusal::Ground(_))), "{:?}", world.refused);
    assert!(!world.refused.is_empty());
    assert_eq!(world.peers[late].room.horizon(), None);
    world.refused.clear();
    world.part(late, 1);
    world.join(late, 2);
    world.settle();
    world.check_equal();
}

/// A horizon that nobody wrote, as somebody offers it.
fn offer(signer: usize, horizon: &Horizon, bytes: u64) -> Input {
    let keys = keys(signer);
    let actor = Actor::new(keys.public(), 77);
    let message = Message {
        actor,
        seq: 5,
        lamport: 9,
        clock: Vec::new(),
        time_ms: None,
        request: None,
        note: None,
        ops: vec![horizon.op().unwrap()],
    };
    let (before, body) = (Link([3; 32]), message.encode());
    let signature = keys.sign(&before.next(&body));
    let run = Run { actor, first: 5, bodies: [body].into_iter().collect(), signature };
    let content = backlog::pack(&[run]).remove(0).0.into();
    let (whole_bytes, packed_bytes, keepers, voucher) = (bytes, bytes, Vec::new(), Vec::new());
    let frame = RoomFrame::Horizon { before, content, whole_bytes, packed_bytes, keepers, voucher };
    Input::Frame { link: LinkId(0), frame }
}

fn horizon_of(world: &World, table: u32) -> Horizon {
    let cut = |(actor, seq, link)| (actor, Cut { seq: seq + 1, lamport: 9, link });
    let frontier = world.peers[0].room.heads().into_iter().map(cut).collect();
    Horizon { before: None, frontier, ground: StateHash([1; 32]), table }
}

#[test]
fn what_is_no_horizon_of_the_keepers_is_refused_by_name() {
    let mut world = three();
    let horizon = horizon_of(&world, TABLE_VERSION);
    world.give(1, offer(2, &horizon, 100));
    assert_eq!(world.refused, [Refusal::Horizon], "a member is not the keeper");
    world.give(1, offer(0, &horizon, u64::MAX));
    assert!(
        matches!(world.refused[1], Refusal::Ground(FootingError::TooLarge { .. })),
        "{:?}",
        world.refused
    );
    assert_eq!(world.peers[1].room.alarm(), None);
    world.give(1, offer(0, &horizon_of(&world, TABLE_VERSION + 1), 100));
    assert!(matches!(world.refused[2], Refusal::Ground(FootingError::Table { .. })), "{:?}", world.refused);
    assert!(world.peers[1].room.alarm().is_some_and(|why| why.contains("newer rtc")));
    assert!(world.frames.is_empty(), "nothing was asked for");
}

#[test]
fn who_offers_a_ground_and_sends_nothing_is_not_waited_for() {
    let mut world = three();
    world.compact_all();
    world.settle();
    let late = world.add();
    world.join(late, 1);
    // It asks the first that offers, who falls silent.
    while let Some((from, to, frame)) = world.frames.pop_front() {
        if !matches!(frame, RoomFrame::GroundPiece { .. }) {
            world.give(to, Input::Frame { link: LinkId(from as u64), frame });
        }
    }
    world.join(late, 2);
    world.peers[late].links.retain(|other| *other != 1);
    for _ in 0..15 {
        world.deliver();
        assert_eq!(world.peers[late].room.horizon(), None);
        world.beat();
    }
    world.settle();
    assert!(world.peers[late].room.horizon().is_some());
    assert_eq!(world.hash(late), world.hash(0));
}

#[test]
fn rooms_that_part_and_meet_and_forget_come_to_show_the_same() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut world = three();
        let mut expected: BTreeMap<usize, u64> = BTreeMap::new();
        for _ in 0..60 {
            let (a, b) =
                (usize::try_from(random.below(3)).unwrap(), usize::try_from(random.below(3)).unwrap());
            let joined = world.peers[a].links.contains(&b);
            match random.below(10) {
                0..4 => {
                    world.add_one(a);
                    *expected.entry(a).or_default() += 1;
                }
                4 if a != b && joined => world.part(a, b),
                5 if a != b && !joined => world.join(a, b),
                6 => drop(world.compact(
                    0,
                    &Compact {
                        undo_window_ms: Some(0),
                        absence_limit_ms: Some(random.below(3) * 2_000),
                        ..Compact::default()
                    },
                )),
                7 => world.restart(a),
                8 => world.beat(),
                _ => world.deliver(),
            }
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            if !world.peers[a].links.contains(&b) {
                world.join(a, b);
            }
        }
        world.ms += 61_000;
        world.settle();
        world.check_equal();
        let sum: u64 = 4 + expected.values().sum::<u64>();
        assert_eq!(world.value(0), number(sum as f64), "seed {seed}");
    }
}

#[test]
fn everybody_says_what_it_sees_and_what_is_kept_of_a_room_folds_to_that() {
    let mut world = three();
    for forgets in [false, true] {
        (0..3).for_each(|peer| _ = world.add_one(peer));
        world.settle();
        if forgets {
            world.compact_all();
            world.add_one(1);
            world.settle();
        }
        world.check_equal();
        for peer in 0..3 {
            let agreements = world.peers[peer].room.agreements();
            assert_eq!(agreements.len(), 2);
            assert!(agreements.iter().all(|(_, agreement)| *agreement == Agreement::Same), "{agreements:?}");
        }
        let mut messages = Vec::new();
        let visit = &mut |record| {
            messages.push(Packed::of(&record));
            ControlFlow::Continue(())
        };
        world.peers[2].disk.scan(visit).unwrap();
        let room = &mut world.peers[2].room;
        let bundle = Bundle {
            bundle: bundle::FORMAT,
            room: room.id(),
            founder: None,
            table: TABLE_VERSION,
            peer: keys(2).public(),
            ground: forgets.then(|| Bundle::pack_ground(&room.ground())),
            forks: None,
            messages,
            seen: [(keys(2).public(), room.replica().state_hash())].into(),
            scene: describe(&room.replica().image()),
        };
        let again: Bundle = serde_json::from_str(&serde_json::to_string(&bundle).unwrap()).unwrap();
        assert_eq!(again, bundle);
        let folded = again.fold().unwrap();
        assert_eq!(folded.state_hash(), world.hash(2));
        assert_eq!(describe(&folded.image()), bundle.scene);
        let later = Bundle { bundle: bundle::FORMAT + 1, ..bundle };
        assert_eq!(later.fold().err(), Some(BundleError::Newer(bundle::FORMAT + 1)));
    }
}
