//! What people may rely on, one claim each; `laws` says the same of everything at once.

use rtc_core::id::{Actor, Dot, PeerKey};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

fn actor(name: u8) -> Actor {
    Actor::new(PeerKey([name; 32]), 1)
}

/// `node.insert cube {"x":1}`, `number.add cube.x 2`, `node.move cube parent=box`.
fn op(text: &str) -> Op {
    let words: Vec<&str> = text.split(' ').collect();
    let (key, path) = words[1].split_once('.').map_or((words[1], None), |(key, path)| (key, Some(path)));
    let mut op = Op {
        code: OpCode::named(words[0]).unwrap(),
        key: key.to_owned(),
        path: path.map(str::to_owned),
        value: Value::Null,
        options: Default::default(),
    };
    for word in &words[2..] {
        match word.split_once('=') {
            Some((name, value)) => drop(op.options.insert(name.to_owned(), value.into())),
            None => op.value = serde_json::from_str(word).unwrap(),
        }
    }
    op
}

/// The message `seq` of an actor, made with `seen` (actor and number) in its past.
fn message(name: u8, seq: u64, lamport: u64, seen: &[(u8, u64)], ops: &[&str]) -> Message {
    let head = |&(name, seq): &(u8, u64)| Head { actor: actor(name), seq, link: [0; 16] };
    Message {
        actor: actor(name),
        seq,
        lamport,
        clock: seen.iter().map(head).collect(),
        time_ms: None,
        request: None,
        note: None,
        ops: ops.iter().map(|text| op(text)).collect(),
    }
}

/// Every order of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let shorter = orders(last).into_iter();
    let longer = |order: Vec<usize>| {
        (0..count).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    shorter.flat_map(longer).collect()
}

/// Delivers the messages one by one in every order, and wants `key.path` to hold that (nothing: `null`), or the node to be
/// there.
fn check(messages: &[Message], expected: &[(&str, &str)]) {
    for order in orders(messages.len()) {
        let mut replica = Replica::new(Root::default());
        for &at in &order {
            assert!(replica.apply(&messages[at]));
        }
        for (what, json) in expected {
            let found = match what.split_once('.') {
                Some((key, path)) => serde_json::to_string(&replica.value(key, path)).unwrap(),
                None => replica.node(what).and_then(|node| node.parent).unwrap_or("gone".into()),
            };
            assert_eq!(found, *json, "{what}, in the order {order:?}");
        }
    }
}

#[test]
fn a_concurrent_add_survives_a_set() {
    let base = message(1, 1, 1, &[], &["node.insert cube {\"x\":1}"]);
    let add = message(1, 2, 2, &[], &["number.add cube.x 5"]);
    let set = message(2, 1, 2, &[(1, 1)], &["number.set cube.x 10"]);
    check(&[base.clone(), add.clone(), set], &[("cube.x", "15")]);
    let knowing = message(2, 1, 3, &[(1, 2)], &["number.set cube.x 10"]);
    check(&[base, add, knowing], &[("cube.x", "10")]);
}

#[test]
fn undo_takes_back_one_message_and_leaves_what_others_did_since() {
    let undo = format!("meta.undo  target={}", Dot { actor: actor(1), seq: 2 });
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube {\"x\":1}"]),
        message(1, 2, 2, &[], &["number.add cube.x 5", "number.add cube.y 1"]),
        message(2, 1, 3, &[(1, 2)], &["number.add cube.x 100"]),
        message(1, 3, 4, &[(2, 1)], &[&undo]),
    ];
    check(&messages, &[("cube.x", "101"), ("cube.y", "null")]);
}

#[test]
fn an_undo_made_without_knowing_its_target_counts_for_nothing() {
    let undo = format!("meta.undo  target={}", Dot { actor: actor(1), seq: 1 });
    let messages = [message(1, 1, 1, &[], &["node.insert cube"]), message(2, 1, 1, &[], &[&undo])];
    check(&messages, &[("cube", "scene")]);
}

#[test]
fn a_concurrent_insert_keeps_a_node_against_its_removal() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube {\"x\":1}"]),
        message(1, 2, 2, &[], &["node.remove cube"]),
        message(2, 1, 2, &[(1, 1)], &["node.insert cube {\"y\":2}"]),
    ];
    // The removal comes first in order and ends the life; the insert begins another.
    check(&messages, &[("cube", "scene"), ("cube.x", "null"), ("cube.y", "2")]);
    let later = message(3, 1, 3, &[(1, 1)], &["node.remove cube"]);
    check(&[messages[0].clone(), messages[2].clone(), later], &[("cube", "scene"), ("cube.x", "1")]);
}

#[test]
fn a_removed_parent_hides_its_children_and_brings_them_back() {
    let mut messages = vec![
        message(1, 1, 1, &[], &["node.insert box", "node.insert cube parent=box {\"x\":1}"]),
        message(1, 2, 2, &[], &["node.remove box"]),
    ];
    let mut replica = Replica::new(Root::default());
    replica.apply_all(&messages);
    assert_eq!(replica.scene().map(|node| node.key).collect::<Vec<_>>(), ["scene"]);
    messages.push(message(1, 3, 3, &[], &["node.insert box"]));
    check(&messages, &[("cube", "box"), ("cube.x", "1")]);
}

#[test]
fn of_two_moves_that_would_make_a_ring_the_later_has_no_effect() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert a", "node.insert b"]),
        message(1, 2, 2, &[], &["node.move a parent=b"]),
        message(2, 1, 2, &[(1, 1)], &["node.move b parent=a"]),
    ];
    check(&messages, &[("a", "b"), ("b", "scene")]);
}

#[test]
fn an_array_removal_takes_only_what_it_has_seen() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube", "array.push cube.tags \"red\""]),
        message(1, 2, 2, &[], &["array.union cube.tags [\"red\",\"big\"]"]),
        message(2, 1, 2, &[(1, 1)], &["array.remove cube.tags \"red\""]),
    ];
    check(&messages, &[("cube.tags", "[\"red\",\"big\"]")]);
}

#[test]
fn a_concurrent_add_to_a_set_wins_against_a_removal() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube", "set.add cube.s \"a\"", "set.add cube.s \"b\""]),
        message(1, 2, 2, &[], &["set.add cube.s \"a\""]),
        message(2, 1, 2, &[(1, 1)], &["set.remove cube.s \"a\"", "set.remove cube.s \"b\""]),
    ];
    check(&messages, &[("cube.s", "[\"a\"]")]);
    let knowing = message(2, 2, 3, &[(1, 2)], &["set.remove cube.s \"a\""]);
    check(&[&messages[..], &[knowing]].concat(), &[("cube.s", "[]")]);
}

#[test]
fn a_removal_from_a_set_takes_each_addition_it_has_seen_and_leaves_the_others() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube", "set.add cube.s 1"]),
        message(2, 1, 2, &[(1, 1)], &["set.add cube.s 1"]),
        message(3, 1, 2, &[(1, 1)], &["set.remove cube.s 1"]),
        // It knows the second addition and neither of the others' doings since.
        message(4, 1, 3, &[(1, 1), (2, 1)], &["set.remove cube.s 1"]),
    ];
    check(&messages[..3], &[("cube.s", "[1]")]);
    check(&messages, &[("cube.s", "[]")]);
}

#[test]
fn an_addition_that_comes_late_counts_where_it_stands() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube"]),
        message(1, 2, 2, &[], &["set.add cube.s \"x\""]),
        // To the list operations an element stays unless all who added it were seen: the one below was not.
        message(1, 3, 3, &[], &["array.remove cube.s \"x\""]),
        message(1, 4, 4, &[], &["set.add cube.s \"y\""]),
        message(2, 1, 2, &[(1, 1)], &["set.add cube.s \"x\""]),
        message(2, 2, 3, &[], &["set.remove cube.s \"x\""]),
    ];
    check(&messages, &[("cube.s", "[\"x\",\"y\"]")]);
}

#[test]
fn equal_sets_show_the_same_whatever_their_history() {
    let one = message(1, 1, 1, &[], &["node.insert cube", "set.set cube.s [3,1,3]", "set.add cube.s 2"]);
    let other = message(1, 1, 1, &[], &["node.insert cube {\"s\":[2,3]}", "set.add cube.s 1"]);
    check(&[one], &[("cube.s", "[1,2,3]")]);
    check(&[other], &[("cube.s", "[1,2,3]")]);
}

#[test]
fn of_a_concurrent_put_and_removal_the_later_in_order_wins() {
    let base = message(1, 1, 1, &[], &["node.insert cube", "dict.put cube.d {\"key\":\"k\",\"value\":1}"]);
    let put = |name, lamport| {
        message(name, 1, lamport, &[(1, 1)], &["dict.put cube.d {\"key\":\"k\",\"value\":2}"])
    };
    let remove = message(3, 1, 3, &[(1, 1)], &["dict.remove cube.d \"k\""]);
    check(&[base.clone(), put(4, 2), remove.clone()], &[("cube.d", "{}")]);
    // At equal times the greater actor's.
    check(&[base.clone(), put(2, 3), remove.clone()], &[("cube.d", "{}")]);
    check(&[base, put(4, 3), remove], &[("cube.d", "{\"k\":2}")]);
}

#[test]
fn a_put_survives_a_concurrent_reset_and_not_one_that_has_seen_it() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube {\"d\":{\"a\":1,\"b\":1}}"]),
        message(1, 2, 2, &[], &["dict.put cube.d {\"key\":\"b\",\"value\":2}"]),
        message(2, 1, 3, &[(1, 1)], &["object.set cube.d {\"b\":3,\"c\":3}"]),
        message(1, 3, 4, &[(2, 1)], &["object.set cube.d {}"]),
    ];
    check(&messages[..3], &[("cube.d", "{\"b\":2,\"c\":3}")]);
    check(&messages, &[("cube.d", "{}")]);
}

#[test]
fn undo_of_a_put_or_a_removal_brings_back_what_was_there() {
    let undo = |seq| format!("meta.undo  target={}", Dot { actor: actor(1), seq });
    let base = [
        "node.insert cube",
        "dict.put cube.d {\"key\":\"k\",\"value\":1}",
        "set.set cube.s [1,2]",
        "counter.increment cube.n 5",
    ];
    let messages = [
        message(1, 1, 1, &[], &base),
        message(1, 2, 2, &[], &["dict.put cube.d {\"key\":\"k\",\"value\":2}", "set.remove cube.s 1"]),
        message(1, 3, 3, &[], &["dict.remove cube.d \"k\"", "set.add cube.s 3", "counter.decrement cube.n"]),
        message(1, 4, 4, &[], &[&undo(3)]),
        message(1, 5, 5, &[], &[&undo(2)]),
    ];
    check(&messages[..3], &[("cube.d", "{}"), ("cube.s", "[2,3]"), ("cube.n", "4")]);
    check(&messages[..4], &[("cube.d", "{\"k\":2}"), ("cube.s", "[2]"), ("cube.n", "5")]);
    check(&messages, &[("cube.d", "{\"k\":1}"), ("cube.s", "[1,2]"), ("cube.n", "5")]);
}

#[test]
fn every_increment_counts() {
    let messages = [
        message(1, 1, 1, &[], &["node.insert cube", "counter.increment cube.n"]),
        message(1, 2, 2, &[], &["counter.increment cube.n 10"]),
        message(2, 1, 2, &[(1, 1)], &["counter.decrement cube.n 3"]),
        message(3, 1, 2, &[(1, 1)], &["number.set cube.n 100"]),
    ];
    check(&messages[..3], &[("cube.n", "8")]);
    check(&messages, &[("cube.n", "107")]);
}

#[test]
fn a_step_on_a_value_of_another_type_has_no_effect_and_is_counted() {
    let ops = ["node.insert cube {\"x\":1,\"l\":[1],\"m\":{}}", "set.add cube.x 1", "set.remove cube.m 1"];
    let more = ["dict.remove cube.x \"k\"", "object.merge cube.l {}", "counter.increment cube.l"];
    let message = message(1, 1, 1, &[], &[&ops[..], &more].concat());
    check(std::slice::from_ref(&message), &[("cube.x", "1"), ("cube.l", "[1]"), ("cube.m", "{}")]);
    let mut replica = Replica::new(Root::default());
    replica.apply(&message);
    let reasons: Vec<String> = replica.ineffective(&message.dot()).into_iter().map(|op| op.reason).collect();
    let (list, map) = ("the property does not hold a list", "the property does not hold a map");
    assert_eq!(reasons, [list, list, map, map, "the property does not hold a number"]);
}

#[test]
fn a_request_told_twice_counts_once() {
    let ask = |epoch: u64, lamport: u64| Message {
        actor: Actor::new(PeerKey([1; 32]), epoch),
        request: Some("r".into()),
        ..message(1, 1, lamport, &[(9, 1)], &["number.add cube.x 1"])
    };
    let messages = [message(9, 1, 1, &[], &["node.insert cube"]), ask(7, 2), ask(3, 3)];
    check(&messages, &[("cube.x", "1")]);
    let mut replica = Replica::new(Root::default());
    replica.apply_all(&messages);
    assert_eq!(replica.request(&PeerKey([1; 32]), "r"), Some(messages[1].dot()));
}

#[test]
fn what_a_newer_version_may_know_is_kept_counted_and_shown() {
    let mut message =
        message(1, 1, 1, &[], &["node.insert cube", "number.add cube.x 1", "number.add cube.x 1"]);
    message.ops[1].code = OpCode(0x7a01);
    message.ops[2].options.insert("modulo".to_owned(), true.into());
    let mut replica = Replica::new(Root::default());
    replica.apply(&message);
    assert_eq!(replica.ineffective_ops(), 2);
    let reasons: Vec<String> = replica.ineffective(&message.dot()).into_iter().map(|op| op.reason).collect();
    assert_eq!(
        reasons,
        ["operation 0x7a01 is not known to this version", "option modulo is not known to this version"]
    );
    let entry = replica.log_entry(&message.dot(), &[PeerKey([1; 32])]).unwrap();
    assert!(entry.own && !entry.undone);
    assert_eq!(entry.ops[1].otype, "unknown.31233");
}
