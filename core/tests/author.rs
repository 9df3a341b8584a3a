//! Whatever a program asks for becomes a message that everybody can read, or an error.

use rtc_core::api::EditOp;
use rtc_core::author::{About, Author, MakeError};
use rtc_core::chain::Link;
use rtc_core::id::{Actor, PeerKey, RoomId};
use rtc_core::limits::{COMMIT_OPS_MAX, LAMPORT_MAX, MESSAGE_BYTES_MAX, VALUE_DEPTH_MAX};
use rtc_core::message::Message;
use rtc_core::op::table;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

/// A replica with a node `n` whose property `p` is a list, and who made it.
fn begun() -> (Replica, Author) {
    let mut replica = Replica::new(Root::default());
    let mut author = Author::new(&RoomId([1; 32]), Actor::new(PeerKey([2; 32]), 1));
    let list = [("p".to_owned(), Value::List(vec![Value::Null]))];
    let insert = edit("node.insert", None, Some(Value::Map(list.into())));
    author.commit(&[insert], About::default(), &mut replica, |_| {}).unwrap();
    (replica, author)
}

fn edit(otype: &str, path: Option<&str>, value: Option<Value>) -> EditOp {
    EditOp { otype: otype.into(), key: "n".into(), path: path.map(str::to_owned), value, ..EditOp::default() }
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(Value::List(Vec::new()), |value, _| Value::List(vec![value]))
}

fn entry(value: Value) -> Value {
    Value::Map([("key".to_owned(), "k".into()), ("value".to_owned(), value)].into())
}

/// Commits, and reads what came of it. Says whether something did.
fn check(edit: EditOp, about: About<'_>) -> bool {
    let (mut replica, mut author) = begun();
    let (name, before) = (edit.otype.clone(), author.seq());
    let made = author.commit(&[edit], about, &mut replica, |made| {
        assert!(Message::decode(made.dot.actor, &made.body).is_ok(), "{name}");
    });
    assert_eq!(author.seq(), before + u64::from(made.is_ok()), "{name}: an error gives no number away");
    assert_eq!(replica.count() as u64, author.seq());
    made.is_ok()
}

#[test]
fn values_of_any_depth_become_what_can_be_read_or_an_error() {
    let mut made = 0;
    for row in table() {
        let path = row.kind.is_property().then_some("p");
        for levels in VALUE_DEPTH_MAX - 3..VALUE_DEPTH_MAX + 3 {
            let values = [nested(levels), entry(nested(levels))];
            for edit in values.map(|value| edit(row.name, path, Some(value))) {
                made += u32::from(check(edit, About::default()));
            }
            for name in row.options.iter().map(|option| option.name).chain(["values"]) {
                let mut edit = edit(row.name, path, Some("x".into()));
                edit.options.insert(name.to_owned(), nested(levels));
                made += u32::from(check(edit, About::default()));
            }
        }
    }
    assert!(made > 20, "some of these are within the limits");
}

#[test]
fn what_a_list_around_it_makes_too_deep_is_an_error() {
    let deepest = entry(nested(VALUE_DEPTH_MAX - 1));
    assert!(!check(edit("list.insert", Some("p"), Some(deepest)), About::default()));
}

#[test]
fn a_description_or_request_that_is_too_long_is_an_error() {
    let long = "x".repeat(50_000);
    for about in
        [About { note: Some(&long), ..About::default() }, About { request: Some(&long), ..About::default() }]
    {
        let (mut replica, mut author) = begun();
        let set = [edit("array.set", Some("p"), Some(nested(1)))];
        let made = author.commit(&set, about, &mut replica, |_| {});
        assert!(matches!(made, Err(MakeError::Unreadable(_))), "{made:?}");
    }
}

#[test]
fn who_issues_a_message_again_says_what_it_was_and_that_counts_once() {
    let (mut replica, mut author) = begun();
    let mut other = Author::new(&RoomId([1; 32]), Actor::new(PeerKey([3; 32]), 1));
    let mut lost = Author::new(&RoomId([1; 32]), Actor::new(PeerKey([4; 32]), 1));
    let about = About { request: Some("once"), note: Some("pushed"), time_ms: Some(7) };
    let push = [edit("array.push", Some("p"), Some("x".into()))];
    let outside = lost.next(&push, about, &replica).unwrap().view().to_message();
    let first = author.reissue(&outside).unwrap().view().to_message();
    let again = other.reissue(&first).unwrap().view().to_message();
    for issued in [&first, &again] {
        assert_eq!(issued.origin().map(|origin| origin.dot), Some(outside.dot()));
        assert_eq!(issued.ops[1..], outside.ops[..]);
        assert_eq!(
            (&issued.request, &issued.note, issued.time_ms),
            (&outside.request, &outside.note, Some(7))
        );
        replica.apply(issued);
    }
    assert_eq!(replica.value("n", "p"), Some(Value::List(vec![Value::Null, "x".into()])));
    assert_eq!(replica.request(&outside.actor.key(), "once"), Some(again.dot()), "the least in order counts");
    for id in [outside.dot(), again.dot()] {
        assert_eq!(replica.find(&id.to_string()).ok(), Some(again.dot()));
    }
    assert_eq!(replica.find(&first.dot().to_string()).ok(), Some(first.dot()));
}

#[test]
fn whatever_was_made_can_be_issued_again() {
    let (replica, mut author) = begun();
    let late =
        Author::resume(Actor::new(PeerKey([9; 32]), u64::MAX), 1 << 40, Link([0; 32]), LAMPORT_MAX - 1);
    let push = |bytes: usize| [edit("array.push", Some("p"), Some("x".repeat(bytes).into()))];
    let fits = |bytes: &usize| author.clone().next(&push(*bytes), About::default(), &replica).is_ok();
    let longest = (MESSAGE_BYTES_MAX - 1024..MESSAGE_BYTES_MAX).rev().find(fits).unwrap();
    let most = vec![edit("array.push", Some("p"), Some("x".into())); COMMIT_OPS_MAX];
    let too_many = vec![most[0].clone(); COMMIT_OPS_MAX + 1];
    assert!(author.next(&too_many, About::default(), &replica).is_err());
    for edits in [&push(longest)[..], &most] {
        let outside = author.next(edits, About::default(), &replica).unwrap().view().to_message();
        assert_eq!(late.clone().reissue(&outside).unwrap().view().ops().count(), edits.len() + 1);
    }
}

#[test]
fn no_client_writes_what_daemons_write() {
    for otype in ["room.horizon", "room.origin"] {
        assert!(!check(edit(otype, None, None), About::default()));
    }
}
