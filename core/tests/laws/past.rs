//! Earlier versions are the naive fold of what they cover, and whoever is blamed for a value made it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rtc_core::clock::VersionVector;
use rtc_core::id::Dot;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::op::{Kind, OpCode};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;

use crate::{check, recipe, shuffled};

fn replica_of(messages: &[Message]) -> Replica {
    let mut replica = Replica::new(Root::default());
    replica.apply_all(messages);
    replica
}

/// Every message of a version, and of each its past.
fn assert_closed(version: &VersionVector, messages: &[Message]) {
    for message in messages.iter().filter(|message| version.covers(&message.dot())) {
        for head in &message.clock {
            assert!(version.get(&head.actor) >= head.seq, "the past of {} is missing", message.dot());
        }
    }
}

fn check_version(version: &VersionVector, messages: &[Message], order: &[u32]) {
    assert_closed(version, messages);
    let covered: Vec<Message> =
        messages.iter().filter(|message| version.covers(&message.dot())).cloned().collect();
    let past = Replica::at(Root::default(), version, shuffled(messages, order), || true).unwrap();
    assert_eq!(past.version_vector(), *version);
    check(&past, &covered);
}

/// The scene without what `is_gone` says of the ops on one property: an insert loses the initial value.
fn value_without(
    messages: &[Message],
    (key, path): (&str, &str),
    is_gone: impl Fn(Dot, u32) -> bool,
) -> Option<rtc_core::value::Value> {
    let mut messages = messages.to_vec();
    for message in &mut messages {
        let dot = message.dot();
        for (index, op) in (0..).zip(&mut message.ops) {
            if op.key != key || !is_gone(dot, index) {
                continue;
            }
            match op.resolve().map(|row| row.kind) {
                Ok(Kind::Insert) => {
                    if let rtc_core::value::Value::Map(map) = &mut op.value {
                        map.remove(path);
                    }
                }
                // An operation nobody knows has no effect.
                Ok(kind) if kind.is_property() && op.path.as_deref() == Some(path) => {
                    op.code = OpCode(0x7701)
                }
                _ => {}
            }
        }
    }
    naive::fold(&Root::default(), &messages).scene.nodes[key].properties.get(path).cloned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_earlier_version_is_the_naive_fold_of_what_it_covers(steps in recipe::steps(32), order in prop::collection::vec(any::<u32>(), 1..32), pick in any::<prop::sample::Index>()) {
        let messages = recipe::messages(&steps);
        let replica = replica_of(&shuffled(&messages, &order));
        let dot = pick.get(&messages).dot();
        let version = replica.version_of(&dot).unwrap();
        prop_assert!(version.covers(&dot));
        check_version(&version, &messages, &order);
        check(&replica, &messages);
    }

    #[test]
    fn the_version_of_a_moment_holds_all_of_it_and_its_past(steps in recipe::steps(32), order in prop::collection::vec(any::<u32>(), 1..32), moment in 0..16_u64) {
        let mut messages = recipe::messages(&steps);
        for (i, message) in messages.iter_mut().enumerate() {
            // Clocks of people go wrong, and some tell no time.
            let made = u64::from(order[i % order.len()]) % 16;
            message.time_ms = (made > 0).then_some(made);
        }
        let version = replica_of(&messages).version_at(moment);
        for message in &messages {
            prop_assert!(message.time_ms.is_none_or(|made| made > moment) || version.covers(&message.dot()));
        }
        check_version(&version, &messages, &order);
    }

    #[test]
    fn a_value_is_made_by_those_who_are_blamed_for_it(mix in recipe::kindred(), steps in recipe::steps(24), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let messages = recipe::messages_of(mix, &steps);
        let replica = replica_of(&shuffled(&messages, &order));
        let scene = naive::fold(&Root::default(), &messages).scene;
        for (key, node) in &scene.nodes {
            prop_assert!(replica.makers(key, "missing").is_empty());
            for (path, value) in &node.properties {
                let makers = replica.makers(key, path);
                let all: BTreeSet<(Dot, u32)> = makers.iter().copied().collect();
                prop_assert!(!makers.is_empty());
                // Characters hang on others, which may not show any more: without these they have no place.
                let is_anchor = |op: &rtc_core::op::Op| &op.key == key && matches!(op.resolve().map(|row| row.kind), Ok(Kind::Write(..)));
                if !messages.iter().flat_map(|message| &message.ops).any(is_anchor) {
                    let alone = value_without(&messages, (key, path), |dot, index| !all.contains(&(dot, index)));
                    prop_assert_eq!(alone.as_ref(), Some(value), "{} {}", key, path);
                }
                let order = |(dot, index): (Dot, u32)| (replica.lamport(&dot).unwrap(), dot.actor, dot.seq, index);
                prop_assert!(makers.is_sorted_by(|&a, &b| order(a) > order(b)));
                for (dot, index) in makers {
                    prop_assert!(!replica.is_undone(&dot));
                    let blamed = replica.blamed((dot, index), &[]).unwrap();
                    prop_assert_eq!((blamed.message.id, blamed.message.ops.len()), (dot, 1));
                }
            }
        }
    }

    #[test]
    fn a_node_stands_where_those_who_are_blamed_put_it(steps in recipe::steps(32), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let messages = recipe::messages(&steps);
        let replica = replica_of(&shuffled(&messages, &order));
        let folded = naive::fold(&Root::default(), &messages);
        let op = |(dot, index): (Dot, u32)| {
            &messages.iter().find(|message| message.dot() == dot).unwrap().ops[index as usize]
        };
        for key in folded.scene.nodes.keys().chain(&folded.scene.deleted).filter(|key| *key != "scene") {
            let movers = replica.movers(key);
            for &(dot, index) in &movers {
                prop_assert!(!folded.undone.contains(&dot) && !folded.ineffective.contains_key(&(dot, index)));
                prop_assert_eq!(&op((dot, index)).key, key);
            }
            let kinds: Vec<Kind> = movers.iter().map(|&mover| op(mover).resolve().unwrap().kind).collect();
            prop_assert!(matches!(kinds.last(), Some(Kind::Insert)));
            prop_assert_eq!(matches!(kinds[0], Kind::Remove), !folded.scene.nodes.contains_key(key));
            let named = movers.iter().find_map(|&mover| op(mover).options.get("parent").filter(|_| !matches!(op(mover).resolve().unwrap().kind, Kind::Remove)));
            let parent = folded.scene.nodes.get(key).and_then(|node| node.parent.as_deref());
            // A birth that would have closed a ring stands below the root instead.
            if let (Some(parent), Some(named)) = (parent, named.and_then(|named| named.as_text())) {
                prop_assert!(parent == named || parent == "scene", "{} stands below {}, not {}", key, parent, named);
            }
        }
        prop_assert!(replica.movers("scene").is_empty() && replica.movers("missing").is_empty());
    }
}
