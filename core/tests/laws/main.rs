//! State is a pure function of the set of messages held: any delivery of random histories gives the naive fold's scene,
//! bit for bit. A failing history is printed, shrunk, with the seed that makes it again.
//!
//! `RTC_CASES=20` lives through twenty times as many.

mod branches;
mod honest;
mod horizon;
mod mask;
mod members;
mod pairs;
mod past;
mod reading;
mod recipe;
mod snapshot;
mod stand;
mod succession;
mod sums;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rtc_core::api::{Change, Node};
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::view::MessageView;

/// How many times the ordinary number of cases to try.
fn soak() -> u32 {
    std::env::var("RTC_CASES").map_or(1, |times| times.parse().expect("RTC_CASES is a number"))
}

/// The messages in the order of some random numbers, some of them twice.
fn shuffled(messages: &[Message], order: &[u32]) -> Vec<Message> {
    let rank = |i: usize, salt: u32| {
        order[i % order.len()].wrapping_add(salt + u32::try_from(i).unwrap()).wrapping_mul(2_654_435_761)
    };
    let mut ranked: Vec<(u32, &Message)> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        ranked.push((rank(i, 0), message));
        if rank(i, 1) % 4 == 0 {
            ranked.push((rank(i, 2), message));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, message)| message.clone()).collect()
}

/// Compares everything that can be read of a replica with the naive fold of what it holds.
fn check(replica: &Replica, held: &[Message]) {
    check_against(replica, held, &naive::fold(replica.root(), held));
}

/// Compares everything that can be read of a replica with what `held` was folded to.
fn check_against(replica: &Replica, held: &[Message], folded: &naive::Folded) {
    assert_eq!(replica.image(), folded.scene);
    assert_eq!(replica.state_hash(), folded.scene.hash());
    assert_eq!(replica.charter(), folded.charter);
    for message in held {
        let dot = message.dot();
        let reasons: BTreeMap<u32, String> =
            replica.ineffective(&dot).into_iter().map(|op| (op.index, op.reason)).collect();
        let expected = folded.ineffective.iter().filter(|((of, _), _)| *of == dot);
        let expected = expected.map(|((_, index), reason)| (*index, reason.to_string())).collect();
        assert_eq!(reasons, expected, "{dot}");
        assert_eq!(replica.is_undone(&dot), folded.undone.contains(&dot), "{dot}");
    }
    assert_eq!(replica.ineffective_ops(), folded.ineffective.len());
    assert_eq!(replica.nodes_live(), folded.scene.nodes.len());
    let keys: Vec<String> = replica.scene().map(|node| node.key).collect();
    assert_eq!(keys, folded.scene.reachable());
    for (key, node) in &folded.scene.nodes {
        for (path, value) in &node.properties {
            assert_eq!(replica.value(key, path).as_ref(), Some(value));
        }
    }
}

/// Does what changes say to a copy of the scene, as a subscriber would.
fn follow(mirror: &mut BTreeMap<String, Node>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Node { key, tag, name, parent, after } => {
                take_out(mirror, &key);
                let (properties, children) =
                    mirror.remove(&key).map(|node| (node.properties, node.children)).unwrap_or_default();
                if let Some(parent) = &parent {
                    let siblings =
                        &mut mirror.get_mut(parent).expect("a parent is told before its children").children;
                    let before = after.map(|after| siblings.iter().position(|key| *key == after));
                    let place = before.map_or(0, |place| place.expect("so is the sibling before") + 1);
                    siblings.insert(place, key.clone());
                }
                mirror.insert(key.clone(), Node { key, tag, name, parent, children, properties });
            }
            Change::Removed { key } => {
                take_out(mirror, &key);
                let mut gone = vec![key];
                while let Some(key) = gone.pop() {
                    mirror.remove(&key);
                    let below = mirror.values().filter(|node| node.parent.as_ref() == Some(&key));
                    gone.extend(below.map(|node| node.key.clone()));
                }
            }
            Change::Property { key, path, value } => {
                let properties =
                    &mut mirror.get_mut(&key).expect("a property of a node of the scene").properties;
                match value {
                    Some(value) => properties.insert(path, value),
                    None => properties.remove(&path),
                };
            }
        }
    }
}

/// Takes a node from among its siblings.
fn take_out(mirror: &mut BTreeMap<String, Node>, key: &str) {
    let parent = mirror.get(key).and_then(|node| node.parent.clone());
    if let Some(parent) = parent.and_then(|parent| mirror.get_mut(&parent)) {
        parent.children.retain(|child| child != key);
    }
}

/// The scene by key.
fn scene(replica: &Replica) -> BTreeMap<String, Node> {
    replica.scene().map(|node| (node.key.clone(), node)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000 * soak(), failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/laws/regressions.txt"))), ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_duplication_gives_the_naive_fold(steps in recipe::steps(24), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let mut replica = Replica::new(Root::default());
        let mut held: Vec<Message> = Vec::new();
        for message in shuffled(&recipe::messages(&steps), &order) {
            let is_new = !held.contains(&message);
            prop_assert_eq!(replica.apply(&message), is_new);
            held.push(message);
            check(&replica, &held);
        }
    }

    #[test]
    fn ops_that_meet_in_one_property_give_the_naive_fold(mix in recipe::kindred(), steps in recipe::steps(24), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let mut replica = Replica::new(Root::default());
        let mut held: Vec<Message> = Vec::new();
        for message in shuffled(&recipe::messages_of(mix, &steps), &order) {
            replica.apply(&message);
            held.push(message);
            check(&replica, &held);
        }
    }

    #[test]
    fn ops_that_meet_in_causal_order_give_the_naive_fold(mix in recipe::kindred(), steps in recipe::steps(48)) {
        let mut replica = Replica::new(Root::default());
        let mut held: Vec<Message> = Vec::new();
        for message in recipe::messages_of(mix, &steps) {
            replica.apply(&message);
            held.push(message);
            check(&replica, &held);
        }
    }

    #[test]
    fn batches_give_what_single_messages_give(steps in recipe::steps(40), order in prop::collection::vec(any::<u32>(), 1..48), size in 1..20_usize) {
        let messages = shuffled(&recipe::messages(&steps), &order);
        let mut replica = Replica::new(Root::default());
        for batch in messages.chunks(size) {
            replica.apply_all(batch);
        }
        check(&replica, &messages);
    }

    #[test]
    fn messages_that_are_read_where_they_are_give_the_naive_fold(mix in recipe::kindred(), steps in recipe::steps(32), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let messages = shuffled(&recipe::messages_of(mix, &steps), &order);
        let mut replica = Replica::new(Root::default());
        for message in &messages {
            let body = message.encode();
            replica.apply_view(&MessageView::read(message.actor, &body).unwrap());
        }
        check(&replica, &messages);
    }

    #[test]
    fn long_histories_in_late_batches_give_the_naive_fold(mix in recipe::kindred(), steps in recipe::steps(160), order in prop::collection::vec(any::<u32>(), 1..64), size in 1..64_usize) {
        let messages = shuffled(&recipe::messages_of(mix, &steps), &order);
        let mut replica = Replica::new(Root::default());
        for batch in messages.chunks(size) {
            replica.apply_all(batch);
        }
        check(&replica, &messages);
    }

    #[test]
    fn clocks_as_advances_mean_the_same_in_causal_order(steps in recipe::steps(40)) {
        let whole = recipe::messages(&steps);
        let advances = recipe::with_advances(&whole);
        let mut replica = Replica::new(Root::default());
        replica.apply_all(&advances);
        check(&replica, &whole);
        check(&replica, &advances);
    }

    #[test]
    fn a_subscriber_that_follows_the_changes_has_the_scene(steps in recipe::steps(32), order in prop::collection::vec(any::<u32>(), 1..32), size in 1..5_usize) {
        let mut replica = Replica::new(Root::default());
        let mut mirror = scene(&replica);
        for batch in shuffled(&recipe::messages(&steps), &order).chunks(size) {
            replica.apply_all(batch);
            follow(&mut mirror, replica.take_changes());
            prop_assert_eq!(&mirror, &scene(&replica));
        }
    }
}
