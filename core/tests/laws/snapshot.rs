//! Having been away changes nothing: a replica that was opened from a snapshot shows, before and after its history is read,
//! what the naive fold of all messages shows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rtc_core::block;
use rtc_core::clock::VersionVector;
use rtc_core::id::Actor;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::replica::{Replica, Stretch};
use rtc_core::scene::Root;

use crate::{check, follow, recipe, scene, shuffled, soak};

/// All messages, packed; of each actor in blocks of so many.
pub(crate) fn history(messages: &[Message], size: usize) -> Vec<Stretch> {
    let mut actors: BTreeMap<Actor, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        actors.entry(message.actor).or_default().push(message);
    }
    let stretch = |messages: &[&Message]| {
        let bodies: Vec<Vec<u8>> = messages.iter().map(|message| message.encode()).collect();
        Stretch { actor: messages[0].actor, first: messages[0].seq, block: block::encode(&bodies).unwrap() }
    };
    actors.values().flat_map(|messages| messages.chunks(size).map(stretch)).collect()
}

/// Puts a replica away and takes it out again.
fn reopened(replica: &Replica, held: &[Message], size: usize) -> Replica {
    let snapshot = replica.snapshot(&history(held, size)).unwrap();
    let replica = Replica::open(snapshot).unwrap();
    assert!(replica.is_cold());
    replica
}

/// Compares what a snapshot answers with the naive fold of what is held. It stays cold if it was.
fn check_cold(replica: &Replica, held: &[Message]) {
    let was_cold = replica.is_cold();
    let folded = naive::fold(replica.root(), held);
    assert_eq!(replica.image(), folded.scene);
    assert_eq!(replica.state_hash(), folded.scene.hash());
    assert_eq!(replica.ineffective_ops(), folded.ineffective.len());
    assert_eq!(replica.nodes_live(), folded.scene.nodes.len());
    assert_eq!(replica.deleted(), folded.scene.deleted);
    assert_eq!(replica.charter(), folded.charter);
    let keys: Vec<String> = replica.scene().map(|node| node.key).collect();
    assert_eq!(keys, folded.scene.reachable());
    for (key, node) in &folded.scene.nodes {
        assert!(replica.is_live(key));
        assert_eq!(replica.node(key).as_ref(), Some(node));
        for (path, value) in &node.properties {
            assert_eq!(replica.value(key, path).as_ref(), Some(value));
        }
        assert_eq!(replica.value(key, "never.named"), None);
    }
    let dots = held.iter().map(|message| (message.actor, message.seq));
    if was_cold {
        // Nothing is held before its past.
        assert_eq!(replica.version_vector(), dots.collect::<VersionVector>());
    }
    assert!(held.iter().all(|message| replica.contains(&message.dot())));
    assert_eq!(replica.lamport_max(), held.iter().map(|message| message.lamport).max().unwrap_or(0));
    assert_eq!(replica.is_cold(), was_cold);
}

/// Puts a replica away after `away` messages, and takes in the others, as they come.
pub(crate) fn check_away(
    root: Root,
    messages: &[Message],
    away: usize,
    size: usize,
    order: &[u32],
    is_late: bool,
) {
    let (before, after) = messages.split_at(away.min(messages.len()));
    let mut replica = Replica::new(root);
    replica.apply_all(&shuffled(before, order));
    let mut replica = reopened(&replica, before, size);
    let mut mirror = scene(&replica);
    let mut held = before.to_vec();
    check_cold(&replica, &held);
    for message in if is_late { shuffled(after, order) } else { after.to_vec() } {
        let is_new = !held.contains(&message);
        assert_eq!(replica.apply(&message), is_new);
        held.extend(is_new.then_some(message));
        assert_eq!(replica.count(), held.len());
        check_cold(&replica, &held);
        follow(&mut mirror, replica.take_changes());
        assert_eq!(mirror, scene(&replica));
    }
    check(&replica, &held);
    assert!(!replica.is_cold());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500 * soak(), failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/laws/regressions.txt"))), ..ProptestConfig::default() })]

    #[test]
    fn a_replica_that_was_away_shows_the_naive_fold(steps in recipe::steps(24), away in 0..24_usize, size in 1..9_usize, order in prop::collection::vec(any::<u32>(), 1..32), is_late in any::<bool>()) {
        check_away(Root::default(), &recipe::messages(&steps), away, size, &order, is_late);
    }

    #[test]
    fn ops_that_meet_in_one_property_of_a_replica_that_was_away_give_the_naive_fold(mix in recipe::kindred(), steps in recipe::steps(32), away in 0..32_usize, order in prop::collection::vec(any::<u32>(), 1..32), is_late in any::<bool>()) {
        check_away(Root::default(), &recipe::messages_of(mix, &steps), away, 64, &order, is_late);
    }

    #[test]
    fn batches_after_a_snapshot_give_the_naive_fold(steps in recipe::steps(40), away in 0..40_usize, order in prop::collection::vec(any::<u32>(), 1..48), batch in 1..20_usize) {
        let messages = recipe::messages(&steps);
        let (before, after) = messages.split_at(away.min(messages.len()));
        let mut replica = Replica::new(Root::default());
        replica.apply_all(before);
        let mut replica = reopened(&replica, before, 64);
        let new: usize = shuffled(after, &order).chunks(batch).map(|batch| replica.apply_all(batch)).sum();
        prop_assert_eq!(new, after.len());
        check(&replica, &messages);
        if replica.snapshot(&history(&messages, 64)).is_ok() {
            check_cold(&reopened(&replica, &messages, 64), &messages);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000 * soak(), failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/laws/regressions.txt"))), ..ProptestConfig::default() })]

    #[test]
    fn sets_and_steps_that_meet_give_the_naive_fold_with_and_without_history(steps in recipe::steps(24), away in 1..8_usize, order in prop::collection::vec(any::<u32>(), 1..32), is_late in any::<bool>()) {
        check_away(Root::default(), &recipe::messages_of(recipe::Mix::Values, &steps), away, 64, &order, is_late);
    }
}
