//! What lies in a horizon folds into a ground, and later messages give on it what they give on everything, bit for bit.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rtc_core::clock::VersionVector;
use rtc_core::ground::Ground;
use rtc_core::id::Dot;
use rtc_core::message::Message;
use rtc_core::naive::{self, Folded};
use rtc_core::op::{Kind, Op, OpCode};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;

use crate::honest::honest;
use crate::recipe::{self, Mix, Step};
use crate::{check_against, shuffled, soak};

/// Writing into one text or list, and setting it and changing it as a whole.
fn writing() -> impl Strategy<Value = Mix> {
    prop_oneof![
        Just(Mix::Kindred(&["text", "string"], 255)),
        Just(Mix::Kindred(&["list"], 24)),
        Just(Mix::Kindred(&["list", "array", "text", "string"], 24)),
    ]
}

pub(crate) fn version(messages: &[Message]) -> VersionVector {
    messages.iter().map(|message| (message.actor, message.seq)).collect()
}

/// An op that never has an effect.
pub(crate) fn nothing() -> Op {
    Op {
        code: OpCode::named("node.remove").unwrap(),
        key: "nobody".into(),
        path: None,
        value: rtc_core::value::Value::Null,
        options: BTreeMap::new(),
    }
}

/// Nothing is forgotten past what a newer version may know, so nothing of that is left.
pub(crate) fn known(mut messages: Vec<Message>) -> Vec<Message> {
    for op in messages.iter_mut().flat_map(|message| &mut message.ops) {
        op.options.remove("future");
        if op.code.row().is_none() {
            *op = nothing();
        }
    }
    messages
}

/// Nothing is another message that is yet to come: whoever has forgotten the one cannot tell.
fn without_foresight(mut messages: Vec<Message>) -> Vec<Message> {
    for i in 0..messages.len() {
        let origin = messages[i].origin().map(|origin| origin.dot);
        if messages[i..].iter().any(|message| Some(message.dot()) == origin) {
            messages[i].ops[0] = nothing();
        }
    }
    messages
}

/// Histories in parts: all authors of each part have seen all parts before. Gives the messages, and how many there are with
/// each part.
fn parts(mix: Mix, parts: &[Vec<Step>]) -> (Vec<Message>, Vec<usize>) {
    let mut messages = Vec::new();
    let mut ends = Vec::new();
    for steps in parts {
        messages = recipe::messages_after(mix, steps, &messages);
        ends.push(messages.len());
    }
    (without_foresight(known(messages)), ends)
}

/// The same where none undoes what lies behind his part.
pub(crate) fn unforeseen_parts(mix: Mix, steps: &[Vec<Step>]) -> (Vec<Message>, Vec<usize>) {
    let (mut messages, ends) = parts(mix, steps);
    for pair in ends.windows(2) {
        without_metas_of(&mut messages, pair[0], pair[1]);
    }
    (messages, ends)
}

/// The same where all authors but those of the first part go by what they see, and none undoes what lies behind his part.
fn honest_parts(mix: Mix, steps: &[Vec<Step>]) -> (Vec<Message>, Vec<usize>) {
    let (messages, ends) = unforeseen_parts(mix, steps);
    (honest(messages, ends[0]), ends)
}

/// What concerns later messages: the scene, and which ops of theirs have no effect.
pub(crate) fn later(folded: Folded, horizon: &VersionVector) -> Folded {
    Folded {
        scene: folded.scene,
        ineffective: folded.ineffective.into_iter().filter(|((dot, _), _)| !horizon.covers(dot)).collect(),
        undone: folded.undone.into_iter().filter(|dot| !horizon.covers(dot)).collect(),
        charter: folded.charter,
    }
}

/// What the plain code leaves of messages, and the replica too.
pub(crate) fn ground_of(root: &Root, on: &Ground, messages: &[Message]) -> Ground {
    let expected = naive::ground(on, root, messages).expect("every op is known");
    let mut replica = Replica::on(on, root.clone());
    replica.apply_all(messages);
    assert_eq!(replica.ground().as_ref(), Ok(&expected));
    expected
}

fn check_format(ground: &Ground) {
    let bytes = ground.encode();
    let decoded = Ground::decode(&bytes);
    assert_eq!(decoded.as_ref(), Ok(ground));
    assert_eq!(decoded.unwrap().hash(), ground.hash());
    for cut in (0..bytes.len()).step_by(1 + bytes.len() / 16) {
        assert!(Ground::decode(&bytes[..cut]).is_err());
    }
}

/// Whatever later messages name, the replica has what the plain code has on the ground.
fn check_horizon(root: &Root, messages: &[Message], end: usize, order: &[u32]) -> Folded {
    let horizon = version(&messages[..end]);
    let ground = ground_of(root, &Ground::default(), &messages[..end]);
    assert_eq!(ground.version, horizon);
    check_format(&ground);
    let after = &messages[end..];
    let expected = naive::fold_on(&ground, root, after);
    assert_eq!(naive::fold_on(&ground, root, messages), expected, "with what lies behind it");
    let mut replica = Replica::on(&ground, root.clone());
    assert_eq!(replica.ground().as_ref(), Ok(&ground), "a ground stands as it was");
    assert_eq!((replica.version_vector(), replica.lamport_max()), (horizon, ground.lamport));
    for message in shuffled(after, order) {
        replica.apply(&message);
    }
    check_against(&replica, after, &expected);
    replica.apply_all(messages);
    check_against(&replica, after, &expected);
    ground_of(root, &ground, after);
    expected
}

/// What authors write who go by what they see means on the ground what it means on everything.
pub(crate) fn check_exact(root: &Root, messages: &[Message], end: usize, order: &[u32]) {
    let horizon = version(&messages[..end]);
    let everything = later(naive::fold_behind(&horizon, root, messages), &horizon);
    assert_eq!(check_horizon(root, messages, end, order), everything);
}

/// Undos and redos of what came before a part are none in it.
fn without_metas_of(messages: &mut [Message], start: usize, end: usize) {
    let (before, part) = messages.split_at_mut(start);
    let origin = |message: &Message| message.origin().map(|origin| origin.dot);
    let origins: Vec<Dot> = before.iter().filter_map(origin).collect();
    let part = &mut part[..end - start];
    let again: Vec<(Dot, Dot)> =
        part.iter().filter_map(|message| Some((message.dot(), origin(message)?))).collect();
    let version = version(before);
    let is_behind = |dot: &Dot| version.covers(dot) || origins.contains(dot);
    for op in part.iter_mut().flat_map(|message| &mut message.ops) {
        let is_meta = op.code.row().is_some_and(|row| matches!(row.kind, Kind::Undo | Kind::Redo));
        let target = op.options.get("target").and_then(|target| target.as_text()?.parse().ok());
        let name = again.iter().find(|(dot, _)| Some(*dot) == target).map(|(_, origin)| *origin);
        if is_meta && [target, name].iter().flatten().any(is_behind) {
            *op = nothing();
        }
    }
}

pub(crate) fn check_chain(root: &Root, messages: &[Message], ends: &[usize]) {
    let mut ground = Ground::default();
    let mut start = 0;
    for (i, &end) in ends.iter().enumerate() {
        ground = ground_of(root, &ground, &messages[start..end]);
        assert_eq!(ground, ground_of(root, &Ground::default(), &messages[..end]), "horizon {i}");
        start = end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250 * soak(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ground_and_what_follows_give_what_everything_gives(steps in prop::collection::vec(recipe::steps(20), 2..=2), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let (messages, ends) = honest_parts(Mix::Everything, &steps);
        check_exact(&Root::default(), &messages, ends[0], &order);
    }

    #[test]
    fn a_ground_keeps_what_ops_on_one_property_need(mix in recipe::kindred(), steps in prop::collection::vec(recipe::steps(20), 2..=2), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let (messages, ends) = honest_parts(mix, &steps);
        check_exact(&Root::default(), &messages, ends[0], &order);
    }

    #[test]
    fn a_ground_keeps_the_characters_that_others_stand_beside(mix in writing(), steps in prop::collection::vec(recipe::steps(24), 2..=2), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let (messages, ends) = honest_parts(mix, &steps);
        check_exact(&Root::default(), &messages, ends[0], &order);
    }

    #[test]
    fn whatever_follows_a_ground_means_one_thing(mix in prop_oneof![Just(Mix::Everything), recipe::kindred(), writing()], steps in prop::collection::vec(recipe::steps(20), 2..=2), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let (messages, ends) = parts(mix, &steps);
        check_horizon(&Root::default(), &messages, ends[0], &order);
    }

    #[test]
    fn horizons_one_by_one_keep_the_characters(mix in writing(), steps in prop::collection::vec(recipe::steps(14), 3..=3)) {
        let (messages, ends) = honest_parts(mix, &steps);
        check_chain(&Root::default(), &messages, &ends);
    }

    #[test]
    fn bytes_that_read_as_a_ground_can_be_folded_on(mix in prop_oneof![Just(Mix::Everything), writing()], steps in prop::collection::vec(recipe::steps(12), 2..=2), flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..3)) {
        let (messages, ends) = parts(mix, &steps);
        let mut bytes = ground_of(&Root::default(), &Ground::default(), &messages[..ends[0]]).encode();
        for (index, bit) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
        }
        if let Ok(ground) = Ground::decode(&bytes) {
            prop_assert_eq!(ground.encode(), bytes);
            naive::fold_on(&ground, &Root::default(), &messages[ends[0]..]);
            let mut replica = Replica::on(&ground, Root::default());
            replica.apply_all(&messages[ends[0]..]);
            prop_assert!(replica.ground().is_ok());
        }
    }

    #[test]
    fn horizons_one_by_one_leave_what_the_last_leaves(steps in prop::collection::vec(recipe::steps(14), 3..=3)) {
        let (messages, ends) = honest_parts(Mix::Everything, &steps);
        check_chain(&Root::default(), &messages, &ends);
    }

    #[test]
    fn horizons_one_by_one_keep_what_ops_on_one_property_need(mix in recipe::kindred(), steps in prop::collection::vec(recipe::steps(14), 3..=3)) {
        let (messages, ends) = honest_parts(mix, &steps);
        check_chain(&Root::default(), &messages, &ends);
    }
}
