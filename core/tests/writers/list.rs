//! Lists.

use proptest::prelude::*;
use rtc_core::api::EditOp;
use rtc_core::naive;
use rtc_core::op::edit::{Commit, compile};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

use super::{Room, edit, meta};

fn values(letters: &str) -> Value {
    Value::List(letters.chars().map(|letter| letter.to_string().into()).collect())
}

fn init(letters: &str) -> EditOp {
    edit("list.init", Some(values(letters)), &[])
}

fn insert(index: usize, letters: &str) -> EditOp {
    edit("list.insert", Some(values(letters)), &[("index", index)])
}

fn delete(index: usize, length: usize) -> EditOp {
    edit("list.delete", None, &[("index", index), ("length", length)])
}

fn carry(from: usize, to: usize) -> EditOp {
    edit("list.move", None, &[("from", from), ("to", to)])
}

fn set(index: usize, letter: &str) -> EditOp {
    edit("list.set", Some(letter.into()), &[("index", index)])
}

fn shown(value: Option<Value>) -> String {
    let list = value.and_then(|value| value.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
    list.iter().map(|value| value.as_text().unwrap_or("?")).collect()
}

fn list(room: &Room, site: usize) -> String {
    shown(room.value(site))
}

fn end(room: &mut Room) -> String {
    shown(room.end())
}

/// Two who both know the list.
fn two(letters: &str) -> Room {
    let mut room = Room::new(2);
    room.commit(0, &[init(letters)]);
    room.sync();
    room
}

#[test]
fn edits_at_indexes_do_what_they_say() {
    let mut room = two("abc");
    for (edit, expected) in [
        (insert(1, "xy"), "axybc"),
        (delete(1, 2), "abc"),
        (carry(0, 2), "bca"),
        (carry(2, 0), "abc"),
        (carry(0, 1), "bac"),
        (carry(1, 1), "bac"),
        (carry(0, 99), "acb"),
        (set(1, "C"), "aCb"),
        (carry(1, 0), "Cab"),
        (set(0, "c"), "cab"),
        (insert(99, "z"), "cabz"),
        (delete(2, 99), "ca"),
    ] {
        room.commit(0, std::slice::from_ref(&edit));
        assert_eq!(list(&room, 0), expected, "{edit:?}");
    }
    assert_eq!(end(&mut room), "ca");
}

#[test]
fn edits_of_one_commit_see_what_those_before_them_did() {
    let mut room = two("");
    room.commit(0, &[insert(0, "abcd"), carry(3, 0), delete(1, 1), set(0, "D"), carry(0, 2), insert(1, "x")]);
    assert_eq!(list(&room, 0), "bxcD");
    room.commit(0, &[init("mn"), carry(1, 0), edit("list.insert", Some("o".into()), &[])]);
    assert_eq!(end(&mut room), "nmo");
}

#[test]
fn of_two_who_move_one_element_the_last_counts_and_there_are_never_two_of_it() {
    let mut room = two("abcde");
    room.commit(0, &[carry(2, 0)]);
    let last = room.commit(1, &[carry(2, 4)]);
    assert_eq!(end(&mut room), "abdec");
    room.commit(0, &[meta("meta.undo", last)]);
    assert_eq!(end(&mut room), "cabde");
    room.commit(0, &[meta("meta.redo", last)]);
    assert_eq!(end(&mut room), "abdec");
}

#[test]
fn of_two_who_set_one_element_the_last_counts_and_moving_it_takes_nothing_back() {
    let mut room = two("abc");
    room.commit(0, &[set(1, "x"), carry(1, 0)]);
    let last = room.commit(1, &[set(1, "y")]);
    assert_eq!(end(&mut room), "yac");
    room.commit(1, &[meta("meta.undo", last)]);
    assert_eq!(end(&mut room), "xac");
}

#[test]
fn a_deleted_element_stays_deleted_whoever_moves_or_sets_it_meanwhile() {
    let mut room = two("abc");
    let deletion = room.commit(0, &[delete(1, 1)]);
    room.commit(1, &[carry(1, 2), set(2, "x"), insert(3, "!")]);
    assert_eq!(end(&mut room), "ac!");
    room.commit(0, &[meta("meta.undo", deletion)]);
    assert_eq!(end(&mut room), "acx!");
}

#[test]
fn what_is_inserted_beside_an_element_stays_where_that_stood() {
    let mut room = two("abc");
    room.commit(0, &[carry(0, 2)]);
    room.commit(1, &[insert(1, "x")]);
    assert_eq!(end(&mut room), "xbca");
}

#[test]
fn what_is_inserted_or_moved_while_the_list_is_reset_is_what_was_there_or_not() {
    let mut room = two("abc");
    let reset = room.commit(0, &[init("new")]);
    room.commit(1, &[insert(1, "x"), carry(3, 0), set(0, "y")]);
    assert_eq!(end(&mut room), "newx");
    room.commit(0, &[meta("meta.undo", reset)]);
    assert_eq!(end(&mut room), "yaxb");
}

#[test]
fn runs_inserted_at_one_index_do_not_interleave() {
    let mut room = two("[]");
    for (site, letters) in [(0, "abc"), (1, "xyz")] {
        for (i, letter) in letters.chars().enumerate() {
            room.commit(site, &[insert(1 + i, &letter.to_string())]);
        }
    }
    let shown = end(&mut room);
    assert!(shown == "[abcxyz]" || shown == "[xyzabc]", "{shown}");
}

#[test]
fn a_list_by_value_can_be_changed_by_index_until_steps_by_value_make_another() {
    let mut room = Room::new(2);
    room.commit(0, &[edit("array.set", Some(values("ab")), &[])]);
    room.commit(0, &[carry(1, 0), insert(2, "c")]);
    assert_eq!(list(&room, 0), "bac");
    room.sync();
    room.commit(0, &[edit("array.remove", Some("a".into()), &[])]);
    room.commit(1, &[insert(3, "d")]);
    let shown = end(&mut room);
    assert!(shown == "bcd" || shown == "bc", "{shown}");
    let (site, replica) = &room.sites[0];
    let commit = Commit { lamport: 99, actor: site.actor, seq: 99 };
    let error = compile(&[insert(0, "a")], replica, commit).unwrap_err();
    let expected = "t of n holds something else than a list whose elements have identities";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_index_without_an_element_is_refused_where_one_is_needed() {
    let room = two("ab");
    let (site, replica) = &room.sites[0];
    let commit = Commit { lamport: 9, actor: site.actor, seq: 9 };
    for edit in [set(2, "x"), carry(5, 0)] {
        let error = compile(std::slice::from_ref(&edit), replica, commit).unwrap_err().to_string();
        assert!(error.starts_with("there is no element"), "{error}: {edit:?}");
    }
}

#[test]
fn deleting_what_came_from_many_places_takes_several_ops_of_one_message() {
    let mut room = Room::new(1);
    room.commit(0, &[init("")]);
    for _ in 0..3 {
        // One in front, one behind: of what was made one after the other, every second goes.
        let edits: Vec<EditOp> = (0..500).flat_map(|_| [insert(0, "a"), insert(9_999, "b")]).collect();
        room.commit(0, &edits);
    }
    let all = room.commit(0, &[delete(0, 1_500)]);
    assert_eq!(list(&room, 0), "b".repeat(1_500));
    let message = room.sites[0].0.held.last().unwrap();
    assert_eq!((message.dot(), message.ops.len()), (all, 2));
}

#[derive(Clone, Copy, Debug)]
enum What {
    Init,
    Insert,
    Delete,
    Move,
    Set,
}

#[derive(Clone, Debug)]
struct Edit {
    what: What,
    at: usize,
    other: usize,
    letters: String,
}

/// The edit at that place of a list so long; one that inserts where an element is needed and there is none.
fn on_replica(len: usize, edit: &Edit) -> EditOp {
    let what = if len == 0 && matches!(edit.what, What::Move | What::Set) { What::Insert } else { edit.what };
    match what {
        What::Init => init(&edit.letters),
        What::Insert => insert(edit.at % (len + 1), &edit.letters),
        What::Delete => delete(edit.at % (len + 1), edit.other % 4),
        What::Move => carry(edit.at % len, edit.other % len),
        What::Set => set(edit.at % len, &edit.letters),
    }
}

/// What the edit does to a plain list.
fn on_list(list: &mut Vec<String>, edit: &EditOp) {
    let number = |name: &str| match edit.options.get(name) {
        Some(Value::Number(number)) => usize::try_from(number.as_integer().unwrap()).unwrap(),
        _ => 0,
    };
    let elements = || edit.value.as_ref().and_then(Value::as_list).unwrap_or_default().iter();
    let elements: Vec<String> = elements().map(|value| value.as_text().unwrap().to_owned()).collect();
    let index = number("index").min(list.len());
    match edit.otype.as_str() {
        "list.init" => *list = elements,
        "list.insert" => drop(list.splice(index..index, elements)),
        "list.delete" => drop(list.drain(index..(index + number("length")).min(list.len()))),
        "list.move" => {
            let element = list.remove(number("from"));
            list.insert(number("to").min(list.len()), element);
        }
        _ => list[index] = edit.value.as_ref().unwrap().as_text().unwrap().to_owned(),
    }
}

fn edits() -> impl Strategy<Value = Edit> {
    let what = prop_oneof![
        1 => Just(What::Init),
        6 => Just(What::Insert),
        3 => Just(What::Delete),
        5 => Just(What::Move),
        3 => Just(What::Set),
    ];
    (what, any::<u16>(), any::<u16>(), "[a-c]{0,3}").prop_map(|(what, at, other, letters)| Edit {
        what,
        at: at.into(),
        other: other.into(),
        letters,
    })
}

/// What happens next in a room.
#[derive(Clone, Debug)]
enum Event {
    Edits(usize, Vec<Edit>),
    Hear(usize, usize),
    Meta(usize, usize, bool),
    Forget,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..3_usize, prop::collection::vec(edits(), 1..4)).prop_map(|(site, edits)| Event::Edits(site, edits)),
        3 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Event::Hear(from, to)),
        2 => (0..3_usize, any::<usize>(), any::<bool>()).prop_map(|(site, target, undo)| Event::Meta(site, target, undo)),
        1 => Just(Event::Forget),
    ]
}

#[test]
fn who_has_forgotten_moves_and_sets_what_others_do() {
    let mut room = Room::new(3);
    room.commit(0, &[init("abcd")]);
    room.sync();
    room.commit(1, &[carry(0, 2), set(1, "C")]);
    room.commit(2, &[delete(3, 1), insert(0, "^")]);
    room.sync();
    let before = list(&room, 0);
    room.forget();
    assert_eq!(list(&room, 0), before);
    let undone = room.commit(0, &[carry(1, 0), set(2, "x")]);
    room.commit(1, &[set(2, "y"), carry(2, 1)]);
    room.commit(2, &[insert(2, "<>"), delete(1, 1)]);
    room.sync();
    room.commit(2, &[meta("meta.undo", undone)]);
    room.end();
    room.forget();
    room.commit(2, &[edit("array.push", Some("!".into()), &[])]);
    assert!(end(&mut room).ends_with('!'));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn concurrent_writers_agree_with_a_plain_list_and_with_the_naive_fold(events in prop::collection::vec(events(), 1..40)) {
        let mut room = Room::new(3);
        for event in events {
            match event {
                Event::Edits(site, edits) => {
                    let mut letters: Vec<String> = match room.value(site) {
                        Some(value) => value.as_list().unwrap().iter().map(|value| value.as_text().unwrap().to_owned()).collect(),
                        None => Vec::new(),
                    };
                    let mut ops = Vec::new();
                    for edit in edits {
                        let op = on_replica(letters.len(), &edit);
                        on_list(&mut letters, &op);
                        ops.push(op);
                    }
                    room.commit(site, &ops);
                    prop_assert_eq!(list(&room, site), letters.concat());
                }
                Event::Hear(from, to) => room.hear(from, to),
                Event::Forget => room.forget(),
                Event::Meta(site, target, undo) => {
                    let held = &room.sites[site].0.held;
                    let target = held[target % held.len()].dot();
                    if target.seq > 1 && room.sites[site].1.is_undoable(&target) {
                        room.commit(site, &[meta(if undo { "meta.undo" } else { "meta.redo" }, target)]);
                    }
                }
            }
            let (site, replica) = &room.sites[0];
            prop_assert_eq!(replica.image(), naive::fold_on(&room.ground, &Root::default(), &site.held).scene);
        }
        room.end();
        let mut replica = Replica::on(&room.ground, Root::default());
        replica.apply_all(room.sites[1].0.held.iter().rev());
        prop_assert_eq!(replica.image(), room.sites[0].1.image());
    }
}
