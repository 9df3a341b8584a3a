//! Rooms with members: what is refused at the door, what is void everywhere, and what is known of them behind a horizon.

use rtc_core::api::{ApiError, Code, Compact, Says};
use rtc_core::chain::Keys;
use rtc_core::founding::Access;
use rtc_core::id::{Dot, PeerKey};
use rtc_core::members::Role;
use rtc_core::room::{Input, Opening, Refusal, Room, Standing};
use rtc_core::sync::{LinkId, Now, RoomFrame};

use crate::number;
use crate::world::{World, founding, keys};

fn key(peer: usize) -> PeerKey {
    keys(peer).public()
}

fn makes(peer: usize, role: Role) -> Says {
    Says::MemberRole { key: key(peer), role, name: None }
}

fn removes(peer: usize) -> Says {
    Says::MemberRemove { key: key(peer) }
}

fn renames(name: &str) -> Says {
    Says::RoomRename { name: name.to_owned() }
}

/// An owner, an editor, a viewer and one who is no member yet, all connected with the first.
fn four() -> World {
    let mut world = World::of(Access::Members, 4);
    (1..4).for_each(|peer| world.join(0, peer));
    world.edit(0, "node.insert", "n", None);
    for (peer, role) in [(1, Role::Editor), (2, Role::Viewer)] {
        world.say(0, makes(peer, role)).unwrap();
    }
    world.settle();
    world
}

fn add_one(world: &mut World, peer: usize) -> Result<Dot, ApiError> {
    world.try_edit(peer, "number.add", "n", Some(("x", number(1.0).unwrap())))
}

#[test]
fn what_a_role_does_not_permit_is_refused_and_says_who_could() {
    let mut world = four();
    let founder: String = key(0).to_string().chars().take(8).collect();
    let refused = [
        (2, None),
        (3, None),
        (1, Some(makes(3, Role::Viewer))),
        (1, Some(makes(1, Role::Owner))),
        (2, Some(removes(1))),
        (1, Some(renames("lab"))),
        (1, Some(removes(0))),
    ];
    for (peer, says) in refused {
        let answer = match says.clone() {
            Some(says) => world.say(peer, says),
            None => add_one(&mut world, peer),
        };
        let error = answer.expect_err("it has no right to it");
        assert_eq!(error.code, Code::NotAllowed, "{peer} {says:?}");
        assert!(error.hint.is_some_and(|hint| hint.contains(&founder)), "{peer} {says:?}");
    }
    let only = world.say(0, removes(0)).expect_err("there is no other owner");
    assert_eq!(only.code, Code::NotAllowed);
    assert_eq!(world.say(0, removes(3)).expect_err("it is no member").code, Code::NotFound);
    assert_eq!(world.say(0, renames(&"x".repeat(129))).expect_err("too long").code, Code::BadArgument);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(0), None);
}

#[test]
fn in_an_open_room_nobody_says_who_its_members_are() {
    let mut world = World::new(1);
    let error = world.say(0, makes(1, Role::Editor)).expect_err("it has none");
    assert_eq!(error.code, Code::NotAllowed);
    world.edit(0, "node.insert", "n", None);
}

#[test]
fn what_a_removed_member_wrote_since_is_void_everywhere_until_he_is_admitted_again() {
    let mut world = four();
    add_one(&mut world, 1).unwrap();
    world.settle();
    world.part(0, 1);
    add_one(&mut world, 1).unwrap();
    world.say(0, removes(1)).unwrap();
    world.settle();
    assert_eq!((world.value(0), world.value(1)), (number(1.0), number(2.0)));
    world.join(0, 1);
    world.settle();
    world.check_equal();
    assert_eq!(world.value(1), number(1.0));
    assert_eq!(add_one(&mut world, 1).expect_err("it is no member").code, Code::NotAllowed);
    world.say(0, makes(1, Role::Editor)).unwrap();
    world.settle();
    add_one(&mut world, 1).unwrap();
    world.settle();
    world.check_equal();
    assert_eq!(world.value(2), number(2.0));
}

#[test]
fn a_horizon_keeps_who_the_members_are_for_those_who_come_late_and_after_a_restart() {
    let mut world = four();
    world.say(0, makes(3, Role::Owner)).unwrap();
    world.say(0, Says::MemberRole { key: key(2), role: Role::Viewer, name: Some("Vera".into()) }).unwrap();
    world.say(0, removes(1)).unwrap();
    world.say(0, renames("lab")).unwrap();
    world.settle();
    let before = world.peers[0].room.replica().charter();
    assert_eq!(
        before.members.iter().map(|member| member.role).collect::<Vec<_>>(),
        [Some(Role::Owner), None, Some(Role::Viewer), Some(Role::Owner),]
    );
    assert!(world.compact_all().messages > 0);
    world.settle();
    let late = world.add();
    world.join(0, late);
    world.settle();
    world.check_equal();
    assert_eq!(world.peers[late].room.replica().charter(), before);
    world.restart(3);
    assert_eq!(world.peers[3].room.replica().charter(), before);
    assert_eq!(world.peers[3].room.name().as_deref(), Some("lab"));
    world.join(0, 3);
    // He joined later, and would not be senior to the viewer if that were forgotten.
    assert_eq!(world.say(3, removes(2)).expect_err("it joined before").code, Code::NotAllowed);
    world.say(3, makes(late, Role::Editor)).unwrap();
    world.settle();
    add_one(&mut world, late).unwrap();
    world.settle();
    world.check_equal();
    assert_eq!(world.value(3), number(1.0));
}

#[test]
fn who_has_the_founding_message_late_judges_by_it_what_came_before() {
    let founding = founding(Access::Members);
    let opening =
        Opening { room: founding.room(), founding: None, keys: keys(9), epoch_fresh: 1, epoch_proof: None };
    let mut room = Room::open(opening);
    assert!(room.replica().members().is_empty());
    let bytes = founding.encode();
    room.handle(Input::PeerUp { link: LinkId(1), peer: key(0) }, Now::default(), &mut Vec::new());
    let frame = RoomFrame::Founding { bytes };
    room.handle(Input::Frame { link: LinkId(1), frame }, Now::default(), &mut Vec::new());
    assert_eq!(room.replica().role(&key(0)), Some(Role::Owner));
}

/// Who is a member, with how many keys before.
fn roles(world: &mut World, at: usize) -> Vec<(PeerKey, Option<Role>, usize)> {
    let members = world.peers[at].room.replica().members().into_iter();
    members.map(|member| (member.key, member.role, member.former.len())).collect()
}

#[test]
fn whoever_rotates_stays_the_member_that_he_was_and_the_old_key_may_do_nothing_more() {
    let mut world = four();
    add_one(&mut world, 1).unwrap();
    world.settle();
    // Nobody hears of it, and somebody is admitted meanwhile.
    world.rotate(1, 1);
    world.say(0, makes(3, Role::Viewer)).unwrap();
    add_one(&mut world, 1).unwrap();
    world.join(0, 1);
    world.settle();
    world.check_equal();
    let now = |world: &World, peer: usize| world.peers[peer].keys.public();
    let expected = vec![
        (key(0), Some(Role::Owner), 0),
        (now(&world, 1), Some(Role::Editor), 1),
        (key(2), Some(Role::Viewer), 0),
        (key(3), Some(Role::Viewer), 0),
    ];
    assert_eq!(roles(&mut world, 2), expected);
    assert_eq!(world.value(2), number(2.0));
    assert_eq!(world.peers[0].room.standing_of(&key(1)), Standing::Removed);
    // A copy of the old key writes on.
    let thief = world.add();
    world.peers[thief].keys = keys(1);
    world.restart(thief);
    world.join(0, thief);
    world.settle();
    assert_eq!(add_one(&mut world, thief).expect_err("it gave way").code, Code::NotAllowed);
    // By whichever key he is named, he is removed; and a third key does not bring him back.
    let newest = now(&world, 1);
    world.say(0, Says::MemberRemove { key: newest }).unwrap();
    world.settle();
    world.rotate(1, 2);
    world.join(0, 1);
    world.settle();
    assert_eq!(add_one(&mut world, 1).expect_err("he is removed").code, Code::NotAllowed);
    assert_eq!(roles(&mut world, 0)[1], (newest, None, 1));
    world.check_equal();
}

#[test]
fn a_founder_who_rotates_keeps_the_room_and_who_comes_late_believes_his_new_key() {
    let mut world = four();
    add_one(&mut world, 1).unwrap();
    world.settle();
    assert!(world.compact_all().messages > 0);
    world.settle();
    for nth in 1..=2 {
        world.rotate(0, nth);
        (1..world.peers.len()).for_each(|peer| world.join(0, peer));
        world.settle();
        add_one(&mut world, 0).unwrap();
        world.settle();
        assert!(world.compact_all().messages > 0);
        world.settle();
        world.check_equal();
        let late = world.add();
        world.join(1, late);
        world.settle();
        world.check_equal();
        assert_eq!(world.value(late), number(1.0 + f64::from(nth)));
        let founder = world.peers[0].keys.public();
        assert_eq!(roles(&mut world, late)[0], (founder, Some(Role::Owner), nth.into()));
    }
}

/// That a member goes on after two rotations in a room of which nothing is left to him, or what was there before them, and before history was
/// let go with his first key.
fn check_lost(peer: usize, has_forgotten: bool, is_put_back: bool) {
    let mut world = four();
    add_one(&mut world, peer).unwrap();
    world.settle();
    let before = world.peers[peer].disk.clone();
    if has_forgotten {
        assert!(world.compact_all().messages > 0);
        world.settle();
    }
    for nth in 1..=2 {
        world.rotate(peer, nth);
        [0, 1, 2, 3].into_iter().filter(|other| *other != peer).for_each(|other| world.join(peer, other));
        world.settle();
        add_one(&mut world, peer).unwrap();
        world.settle();
    }
    assert_eq!(world.value(3), number(3.0));
    let charter = roles(&mut world, 3);
    world.lose(peer);
    if is_put_back {
        world.peers[peer].disk = before;
        world.restart(peer);
        // Nobody is there yet.
        add_one(&mut world, peer).unwrap();
    }
    [0, 1, 2, 3].into_iter().filter(|other| *other != peer).for_each(|other| world.join(peer, other));
    world.settle();
    world.check_equal();
    let alone = if is_put_back { 1.0 } else { 0.0 };
    assert_eq!(world.value(3), number(3.0 + alone), "what was written with each of the keys counts");
    assert_eq!(roles(&mut world, 2), charter);
    add_one(&mut world, peer).unwrap();
    world.settle();
    world.check_equal();
    assert_eq!(world.value(peer), number(4.0 + alone));
}

#[test]
fn a_member_who_rotated_twice_and_lost_the_room_has_lost_nothing() {
    for peer in [0, 1] {
        for (has_forgotten, is_put_back) in [(false, false), (false, true), (true, false), (true, true)] {
            check_lost(peer, has_forgotten, is_put_back);
        }
    }
}

#[test]
fn a_founder_whose_new_key_reached_nobody_before_he_lost_the_room_gets_it_back() {
    for delivered in [0, 1] {
        let mut world = four();
        add_one(&mut world, 1).unwrap();
        world.settle();
        assert!(world.compact_all().messages > 0);
        world.settle();
        for nth in 1..=delivered + 1 {
            world.rotate(0, nth);
            if nth <= delivered {
                (1..4).for_each(|peer| world.join(0, peer));
                world.settle();
            }
        }
        world.lose(0);
        (1..4).for_each(|peer| world.join(0, peer));
        world.settle();
        world.check_equal();
        add_one(&mut world, 0).unwrap();
        world.settle();
        assert!(world.compact_all().messages > 0, "he is the keeper still");
        world.settle();
        world.check_equal();
        assert_eq!(world.value(3), number(2.0));
    }
}

#[test]
fn a_horizon_made_with_a_key_that_the_founder_gave_up_is_refused() {
    let mut world = four();
    add_one(&mut world, 1).unwrap();
    world.settle();
    assert!(world.compact_all().messages > 0);
    world.settle();
    // A disk of the founder's that somebody finds later.
    let (old, old_keys) = (world.peers[0].disk.clone(), world.peers[0].keys.clone());
    world.rotate(0, 1);
    (1..4).for_each(|peer| world.join(0, peer));
    world.settle();
    add_one(&mut world, 1).unwrap();
    world.settle();
    let thief = world.add();
    (world.peers[thief].disk, world.peers[thief].keys) = (old, old_keys);
    world.restart(thief);
    add_one(&mut world, thief).unwrap();
    let ask = Compact { undo_window_ms: Some(0), absence_limit_ms: Some(0), ..Compact::default() };
    assert!(world.compact(thief, &ask).unwrap().messages > 0);
    let horizon = world.peers[1].room.horizon();
    (0..4).for_each(|peer| world.join(thief, peer));
    world.settle();
    assert!(world.refused.iter().any(|refusal| matches!(refusal, Refusal::Horizon)), "{:?}", world.refused);
    for peer in 0..4 {
        assert_eq!(world.value(peer), number(2.0), "peer {peer}");
        assert_eq!(world.peers[peer].room.horizon(), horizon, "peer {peer}");
    }
}

#[test]
fn who_edits_right_after_a_rotation_is_a_member() {
    let mut world = four();
    for peer in [0, 1] {
        world.renew_key(peer, 1);
        world.reopen(peer);
        add_one(&mut world, peer).expect("he is who he was");
    }
}
