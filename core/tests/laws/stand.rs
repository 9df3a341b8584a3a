//! Horizons that nobody waited for: a replica that holds everything and hears of one shows what its ground and the messages
//! that are not outside give, and a cut that leaves nothing outside is found where there is one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rtc_core::clock::VersionVector;
use rtc_core::ground::Ground;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;

use crate::horizon::{known, later, version};
use crate::recipe::{self, Mix};
use crate::snapshot::history;
use crate::{check_against, follow, scene, shuffled, soak};

/// The messages that a version covers, and the others.
fn split(messages: &[Message], version: &VersionVector) -> (Vec<Message>, Vec<Message>) {
    messages.iter().cloned().partition(|message| version.covers(&message.dot()))
}

/// Horizons at these cuts, each of which holds the one before, after all messages have come in some order.
pub(crate) fn check_stand(root: &Root, messages: &[Message], picks: &[prop::sample::Index], order: &[u32]) {
    let mut replica = Replica::new(root.clone());
    replica.apply_all(&shuffled(messages, order));
    let mut ground = Ground::default();
    let mut held = messages.to_vec();
    for pick in picks {
        if held.is_empty() {
            return;
        }
        let mut horizon = replica.version_of(&pick.get(&held).dot()).unwrap();
        horizon.join(&ground.version);
        assert!(replica.is_cut(&horizon));
        let inside = naive::inside(&ground, &horizon, &held);
        let (behind, after) = split(&inside, &horizon);
        let expected = naive::ground(&ground, root, &behind).unwrap();
        assert_eq!(replica.ground_at(&horizon).as_ref(), Ok(&expected));
        let mut mirror = scene(&replica);
        replica.take_changes();
        let mut outside: Vec<_> = replica.stand(&expected).iter().map(Message::dot).collect();
        outside.sort();
        let mut left: Vec<_> = held.iter().filter(|m| !inside.contains(m)).map(Message::dot).collect();
        left.sort();
        assert_eq!(outside, left);
        follow(&mut mirror, replica.take_changes());
        assert_eq!(mirror, scene(&replica));
        let folded = later(naive::fold_on(&expected, root, &after), &horizon);
        check_against(&replica, &after, &folded);
        // Put away and taken out again it is the same, before and after its history is read.
        replica = Replica::open(replica.snapshot(&history(&after, 8)).unwrap()).unwrap();
        assert_eq!(
            (replica.is_cold(), replica.image(), replica.count()),
            (true, folded.scene.clone(), after.len())
        );
        let away = Replica::open(replica.snapshot(&history(&after, 8)).unwrap()).unwrap();
        check_against(&away, &after, &folded);
        (ground, held) = (expected, after);
    }
}

/// The greatest of all cuts within a limit that leaves nothing outside.
fn cleanest(messages: &[Message], limit: &VersionVector) -> VersionVector {
    let mut sorted = messages.to_vec();
    sorted.sort_by_key(|message| (message.lamport, message.actor, message.seq));
    let is_clean = |cut: &VersionVector| {
        cut.iter().all(|(actor, seq)| limit.get(&actor) >= seq)
            && naive::inside(&Ground::default(), cut, messages).len() == messages.len()
    };
    let cuts = (0..=sorted.len()).rev().map(|count| version(&sorted[..count]));
    cuts.into_iter().find(is_clean).unwrap_or_default()
}

fn closed(mut messages: Vec<Message>) -> Vec<Message> {
    let mut clocks: BTreeMap<_, VersionVector> = BTreeMap::new();
    for message in &mut messages {
        let mut clock = VersionVector::default();
        for head in &message.clock {
            clock.join(&clocks[&rtc_core::id::Dot { actor: head.actor, seq: head.seq }]);
        }
        clock.raise(message.actor, message.seq - 1);
        let mut whole = clock.clone();
        whole.raise(message.actor, message.seq);
        clocks.insert(message.dot(), whole);
        let others = clock.iter().filter(|(actor, _)| *actor != message.actor);
        message.clock =
            others.map(|(actor, seq)| rtc_core::message::Head { actor, seq, link: [0; 16] }).collect();
    }
    messages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400 * soak(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_replica_that_hears_of_a_horizon_shows_what_its_ground_and_the_rest_give(mix in prop_oneof![Just(Mix::Everything), recipe::kindred()], steps in recipe::steps(32), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4), order in prop::collection::vec(any::<u32>(), 1..32)) {
        check_stand(&Root::default(), &known(recipe::messages_of(mix, &steps)), &picks, &order);
    }

    #[test]
    fn the_greatest_clean_cut_is_found(steps in recipe::steps(40), within in any::<prop::sample::Index>(), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let messages = closed(known(recipe::messages(&steps)));
        let mut replica = Replica::new(Root::default());
        replica.apply_all(&shuffled(&messages, &order));
        let limit = version(&messages[..within.index(messages.len() + 1)]);
        prop_assert_eq!(replica.clean_cut(&limit), cleanest(&messages, &limit));
    }
}
