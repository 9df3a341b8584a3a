//! Grounds of texts as people type them: small, and as good to write into as what they stand for.

use std::collections::BTreeMap;

use rtc_core::ground::Ground;
use rtc_core::id::{Actor, Dot, PeerKey};
use rtc_core::members::Role;
use rtc_core::message::{Message, Origin};
use rtc_core::naive;
use rtc_core::op::text::{CharId, Span};
use rtc_core::op::{Op, OpCode};
use rtc_core::replica::{Replica, SnapshotError, Stretch};
use rtc_core::scene::Root;
use rtc_core::value::Value;

const TYPED: u64 = 1_000;

fn actor() -> Actor {
    Actor::new(PeerKey([7; 32]), 1)
}

fn message(seq: u64, name: &str, value: Value, options: &[(&str, Value)]) -> Message {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let op = Op {
        code: OpCode::named(name).unwrap(),
        key: "note".into(),
        path: (!name.starts_with("node.")).then(|| "body".into()),
        value,
        options: options.collect::<BTreeMap<_, _>>(),
    };
    let clock = Vec::new();
    Message {
        actor: actor(),
        seq,
        lamport: seq,
        clock,
        time_ms: None,
        request: None,
        note: None,
        ops: vec![op],
    }
}

fn char_of(seq: u64) -> CharId {
    CharId { dot: Dot { actor: actor(), seq }, index: 0, offset: 0 }
}

fn own(seq: u64) -> Dot {
    Dot { actor: actor(), seq }
}

/// A note into which somebody typed one letter per message, and then deleted every tenth of the first hundred.
fn typed() -> Vec<Message> {
    let letter = |seq: u64| char::from(b'a' + u8::try_from(seq % 26).unwrap()).to_string();
    let mut messages = vec![message(1, "node.insert", Value::Null, &[])];
    for seq in 2..2 + TYPED {
        let after = (seq > 2).then(|| ("after", char_of(seq - 1).write(own(seq))));
        let options: Vec<(&str, Value)> = after.into_iter().collect();
        messages.push(message(seq, "text.insert", letter(seq).into(), &options));
    }
    let seq = 2 + TYPED;
    let span = |n: u64| Span { first: char_of(2 + 10 * n), last: char_of(2 + 10 * n) }.write(own(seq));
    let spans = Value::List((0..10).map(span).collect());
    messages.push(message(seq, "text.delete", Value::Null, &[("spans", spans)]));
    messages
}

fn replica(messages: &[Message]) -> Replica {
    let mut replica = Replica::new(Root::default());
    replica.apply_all(messages);
    replica
}

#[test]
fn what_was_typed_takes_little_more_than_its_text() {
    let all = replica(&typed());
    let ground = all.ground().unwrap();
    let bytes = ground.encode();
    assert!(bytes.len() < 1_400, "{} bytes", bytes.len());
    assert_eq!(Ground::decode(&bytes), Ok(ground.clone()));
    let standing = Replica::on(&ground, Root::default());
    assert_eq!(standing.value("note", "body"), all.value("note", "body"));
    assert_eq!(standing.makers("note", "body"), all.makers("note", "body")[..1]);
    assert_eq!(
        (standing.movers("note"), all.count()),
        (all.movers("note"), standing.count() + typed().len())
    );
    assert_eq!(standing.value("note", "body").unwrap().as_text().unwrap().len() as u64, TYPED - 10);
    assert_eq!(standing.ground(), Ok(ground));
}

#[test]
fn the_bytes_of_a_ground_never_change() {
    let mut messages = typed()[..12].to_vec();
    let seq = messages.len() as u64;
    let initial = Value::Map([("name".to_owned(), "old".into())].into());
    messages.push(message(seq + 1, "node.insert", initial, &[("tag", "Note".into())]));
    messages.push(message(seq + 2, "number.add", Value::number(0.5).unwrap(), &[]));
    let mut set = message(seq + 3, "number.set", Value::number(-2.0).unwrap(), &[]);
    set.request = Some("once".into());
    set.ops[0].path = Some("size".into());
    for (key, name) in [("gone", "node.insert"), ("gone", "node.remove"), ("below", "node.insert")] {
        set.ops.push(Op { key: key.into(), ..message(seq + 3, name, Value::Null, &[]).ops[0].clone() });
    }
    set.ops[3].options = [("parent".to_owned(), "note".into())].into();
    messages.push(set);
    let list = |name: &str, seq: u64, value: Value, options: &[(&str, Value)]| {
        let mut made = message(seq, name, value, options);
        made.ops[0].path = Some("list".into());
        made
    };
    let element = |offset, own: u64| {
        let dot = Dot { actor: actor(), seq: seq + 4 };
        CharId { dot, index: 0, offset }.write(self::own(own))
    };
    let letters = Value::List(vec!["a".into(), "b".into(), "c".into()]);
    messages.push(list("list.insert", seq + 4, letters, &[]));
    messages.push(list("list.set", seq + 5, "x".into(), &[("item", element(0, seq + 5))]));
    let after = [("item", element(0, seq + 6)), ("after", element(1, seq + 6))];
    messages.push(list("list.move", seq + 6, Value::Null, &after));
    let all = replica(&messages);
    let moved = Value::List(vec!["b".into(), "x".into(), "c".into()]);
    assert_eq!(all.value("note", "list"), Some(moved.clone()));
    assert_eq!(Replica::on(&all.ground().unwrap(), Root::default()).value("note", "list"), Some(moved));
    let bytes = all.ground().unwrap().encode();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../../tests/data/ground-3.hex").trim_end());
    assert!(Ground::decode(&bytes).is_ok());
}

#[test]
fn the_ground_of_a_room_with_members_is_that_of_format_4() {
    let root = Root { founder: Some(actor().key()), ..Root::default() };
    let mut replica = Replica::new(root.clone());
    let key = |number: u8| Value::from(PeerKey([number; 32]).to_string());
    let role = |role: &str| ("role", Value::from(role));
    let sealed = Value::Map([("k".to_owned(), "sealed".into())].into());
    let says = [
        ("room.grant", key(8), vec![role("editor"), ("name", "Ada".into())]),
        ("room.grant", key(9), vec![role("viewer")]),
        ("room.remove", key(9), vec![]),
        ("room.rename", "lab".into(), vec![]),
        ("room.secret", Value::Null, vec![("sealed", sealed), ("old", "old".into())]),
    ];
    for (seq, (name, value, options)) in (1..).zip(says) {
        let mut message = message(seq, name, value, &options);
        (message.ops[0].key, message.ops[0].path) = (String::new(), None);
        assert!(replica.apply(&message));
    }
    let roles: Vec<_> = replica.members().into_iter().map(|member| (member.role, member.name)).collect();
    let member = |role, name: &str| (role, name.to_owned());
    assert_eq!(roles, [member(Some(Role::Owner), ""), member(Some(Role::Editor), "Ada"), member(None, "")]);
    let ground = replica.ground().unwrap();
    let bytes = ground.encode();
    assert_eq!(Ground::decode(&bytes).as_ref(), Ok(&ground));
    assert_eq!(Replica::on(&ground, root).charter(), replica.charter());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../../tests/data/ground-4.hex").trim_end());
}

#[test]
fn who_writes_between_characters_of_a_ground_writes_what_he_would_have_written() {
    let mut all = replica(&typed());
    let mut standing = Replica::on(&all.ground().unwrap(), Root::default());
    let seq = 3 + TYPED;
    // Beside a letter that shows and one that was deleted.
    let insert = message(seq, "text.insert", "!".into(), &[("after", char_of(500).write(own(seq)))]);
    let seq = 4 + TYPED;
    let replace = message(
        seq,
        "text.replace",
        "?".into(),
        &[
            ("after", char_of(12).write(own(seq))),
            ("spans", Value::List(vec![Span { first: char_of(11), last: char_of(14) }.write(own(seq))])),
        ],
    );
    for message in [insert, replace] {
        assert!(all.apply(&message) && standing.apply(&message));
        assert_eq!(standing.image(), all.image());
        assert_eq!(standing.ineffective_ops(), 0);
    }
    assert_eq!(standing.ground(), all.ground());
    // What lies behind the horizon is neither taken in again nor undone.
    assert!(!standing.apply(&typed()[5]));
    let undo = Op {
        code: OpCode::named("meta.undo").unwrap(),
        key: String::new(),
        path: None,
        value: Value::Null,
        options: [("target".to_owned(), own(5).to_string().into())].into(),
    };
    standing.apply(&Message { ops: vec![undo], ..message(5 + TYPED, "node.insert", Value::Null, &[]) });
    assert_eq!(standing.image(), all.image());
    assert_eq!(standing.ineffective(&own(5 + TYPED))[0].reason, "the message lies behind a horizon");
}

#[test]
fn on_a_ground_too_what_was_issued_again_is_named_by_what_it_was() {
    let outside = Dot { actor: Actor::new(PeerKey([8; 32]), 1), seq: 4 };
    let mut again = message(4, "text.insert", "!?".into(), &[("after", char_of(3).write(outside))]);
    again.ops.insert(0, Origin { dot: outside, lamport: 4 }.op());
    let messages: Vec<Message> = typed().into_iter().take(3).chain([again]).collect();
    let all = replica(&messages);
    let ground = all.ground().unwrap();
    assert_eq!(Ground::decode(&ground.encode()), Ok(ground.clone()));
    let beside = CharId { dot: outside, index: 0, offset: 0 }.write(own(5));
    let insert = message(5, "text.insert", ",".into(), &[("after", beside)]);
    for mut replica in [all, Replica::on(&ground, Root::default())] {
        assert_eq!(replica.value("note", "body"), Some("cd!?".into()));
        replica.apply(&insert);
        assert_eq!(replica.value("note", "body"), Some("cd!,?".into()));
    }
}

#[test]
fn no_ring_is_closed_through_a_parent_that_the_ground_only_names() {
    let below = |seq, name: &str, key: &str, parent: &str| {
        let mut made = message(seq, name, Value::Null, &[("parent", parent.into())]);
        made.ops[0].key = key.into();
        made
    };
    let ground = replica(&[below(1, "node.insert", "e", "b")]).ground().unwrap();
    let d = below(2, "node.insert", "d", "scene");
    let b = below(3, "node.insert", "b", "d");
    let moved = below(4, "node.move", "d", "e");
    let messages = [d, moved, b];
    let expected = naive::fold_on(&ground, &Root::default(), &messages);
    assert_eq!(expected.scene.nodes["d"].parent.as_deref(), Some("scene"));
    let mut standing = Replica::on(&ground, Root::default());
    messages.iter().for_each(|message| assert!(standing.apply(message)));
    assert_eq!(standing.image(), expected.scene);
}

#[test]
fn what_stands_on_a_ground_is_put_away_with_it() {
    let messages = typed();
    let bodies: Vec<Vec<u8>> = messages.iter().map(Message::encode).collect();
    let history = Stretch::pack(actor(), 1, &bodies).unwrap();
    let all = replica(&messages);
    assert!(all.snapshot(&history).is_ok());
    let standing = Replica::on(&all.ground().unwrap(), Root::default());
    assert_eq!(standing.snapshot(&history), Err(SnapshotError::History));
    let away = Replica::open(standing.snapshot(&[]).unwrap()).unwrap();
    assert_eq!((away.state_hash(), away.count()), (all.state_hash(), 0));
    let nothing = Replica::on(&Ground::default(), Root::default());
    assert!(nothing.snapshot(&[]).is_ok(), "it lacks nothing");
}
