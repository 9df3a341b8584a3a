//! Rooms of more connected peers than an author can send to: what an edit costs each, and that nothing rests on the mesh.

use rtc_core::limits::{FULL_MESH_MAX, HEARTBEAT_MS, ROOM_LINKS_MAX, ROOM_LINKS_WANTED};
use rtc_core::sim::{Cost, Crowd, Setting};

fn setting(peers: usize) -> Setting {
    Setting { seed: 1, peers, unsent_per_mille: 0 }
}

fn cost(peers: usize) -> Cost {
    let mut crowd = Crowd::new(setting(peers));
    crowd.live(3_000);
    let cost = crowd.measure(4, 40);
    assert!(crowd.is_agreed());
    println!("{peers}: {cost:?}");
    cost
}

#[test]
fn beyond_the_mesh_limit_an_edit_costs_each_peer_no_more_than_the_logarithm() {
    let small = cost(2 * FULL_MESH_MAX);
    for doublings in 1..=2_u32 {
        let large = cost(2 * FULL_MESH_MAX * 2_usize.pow(doublings));
        // Twice the peers cost at most one more in log2(32) = 5.
        let grows = 1.0 + f64::from(doublings) / 5.0;
        assert!(large.frames <= small.frames * grows, "{large:?} after {small:?}");
        assert!(large.bytes <= small.bytes * grows, "{large:?} after {small:?}");
        assert!(
            large.frames_max < FULL_MESH_MAX as f64,
            "an author sends less than to a full mesh: {large:?}"
        );
        assert!(large.rounds <= small.rounds + u64::from(doublings), "{large:?} after {small:?}");
        assert!(large.rounds_max < HEARTBEAT_MS / 10, "all come by the mesh, and not by digests: {large:?}");
        assert!(large.idle_frames <= small.idle_frames * 1.1 && large.idle_bytes <= small.idle_bytes * 1.1);
    }
}

/// Lets some of a crowd edit, and lives until all of it is told.
fn edit(crowd: &mut Crowd, daemons: impl Iterator<Item = usize>) {
    for daemon in daemons {
        crowd.edit(daemon);
        crowd.live(20);
    }
}

#[test]
fn a_crowd_cut_in_two_agrees_once_it_is_mended() {
    let mut crowd = Crowd::new(setting(40));
    crowd.live(3_000);
    edit(&mut crowd, 0..40);
    assert!(crowd.cut(20) > 0);
    edit(&mut crowd, 0..40);
    crowd.live(3_000);
    assert!(!crowd.is_agreed());
    crowd.dial(ROOM_LINKS_WANTED);
    crowd.live(5_000);
    assert!(crowd.is_agreed());
    edit(&mut crowd, 0..40);
    crowd.live(50);
    assert!(crowd.is_agreed(), "the mesh is whole again");
}

#[test]
fn who_passes_nothing_on_keeps_nothing_from_others() {
    let mut crowd = Crowd::new(setting(40));
    crowd.live(3_000);
    edit(&mut crowd, 0..40);
    crowd.mute(10);
    for _ in 0..5 {
        edit(&mut crowd, 0..30);
    }
    crowd.live(3_000);
    assert!(crowd.is_agreed());
}

#[test]
fn an_author_who_does_not_pause_reaches_all_at_once_although_some_fell_silent() {
    let mut crowd = Crowd::new(setting(40));
    crowd.live(3_000);
    edit(&mut crowd, std::iter::repeat_n(0, 100));
    crowd.mute(10);
    edit(&mut crowd, std::iter::repeat_n(0, 300));
    crowd.edit(0);
    crowd.live(50);
    assert!(crowd.is_agreed(), "no heartbeat was waited for");
}

#[test]
fn what_finds_no_place_in_a_queue_comes_by_digests() {
    let mut crowd = Crowd::new(Setting { unsent_per_mille: 300, ..setting(40) });
    crowd.live(3_000);
    for _ in 0..5 {
        edit(&mut crowd, 0..40);
    }
    crowd.live(3_000);
    assert!(crowd.is_agreed());
}

#[test]
fn who_has_connections_enough_lets_some_go_and_nobody_has_too_few() {
    let mut crowd = Crowd::new(setting(40));
    crowd.dial(39);
    assert_eq!(crowd.links(), (39, 39));
    crowd.live(30_000);
    let (least, most) = crowd.links();
    assert!(least >= ROOM_LINKS_WANTED - 2 && most <= ROOM_LINKS_MAX, "{least} to {most} links");
    edit(&mut crowd, 0..40);
    crowd.live(50);
    assert!(crowd.is_agreed());
}
