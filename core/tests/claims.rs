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

/// Delivers the messages forwards and backwards, and wants `key.path` to hold that (nothing: `null`), or the node to be there.
fn check(messages: &[Message], expected: &[(&str, &str)]) {
    for backwards in [false, true] {
        let mut replica = Replica::new(Root::default());
        let mut order: Vec<&Message> = messages.iter().collect();
        if backwards {
            order.reverse();
        }
        assert_eq!(replica.apply_all(order), messages.len());
        for (what, json) in expected {
            let found = match what.split_once('.') {
                Some((key, path)) => serde_json::to_string(&replica.value(key, path)).unwrap(),
                None => replica.node(what).and_then(|node| node.parent).unwrap_or("gone".into()),
            };
            assert_eq!(found, *json, "{what}, backwards: {backwards}");
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
    message.ops[1].code = OpCode(0x0a01);
    message.ops[2].options.insert("modulo".to_owned(), true.into());
    let mut replica = Replica::new(Root::default());
    replica.apply(&message);
    assert_eq!(replica.ineffective_ops(), 2);
    let reasons: Vec<String> = replica.ineffective(&message.dot()).into_iter().map(|op| op.reason).collect();
    assert_eq!(
        reasons,
        ["operation 0x0a01 is not known to this version", "option modulo is not known to this version"]
    );
    let entry = replica.log_entry(&message.dot(), Some(&PeerKey([1; 32]))).unwrap();
    assert!(entry.own && !entry.undone);
    assert_eq!(entry.ops[1].otype, "unknown.2561");
}
