//! Texts.

use proptest::prelude::*;
use rtc_core::api::EditOp;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::op::edit::{Commit, compile};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

use super::{Room, edit, meta};

fn insert(position: usize, text: &str) -> EditOp {
    edit("text.insert", Some(text.into()), &[("position", position)])
}

fn delete(position: usize, length: usize) -> EditOp {
    edit("text.delete", None, &[("position", position), ("length", length)])
}

fn replace(position: usize, length: usize, text: &str) -> EditOp {
    edit("text.replace", Some(text.into()), &[("position", position), ("length", length)])
}

fn shown(value: Option<Value>) -> String {
    value.and_then(|value| value.as_text().map(str::to_owned)).unwrap_or_default()
}

fn text(room: &Room, site: usize) -> String {
    shown(room.value(site))
}

fn end(room: &mut Room) -> String {
    shown(room.end())
}

#[test]
fn runs_typed_at_one_spot_do_not_interleave_whichever_way_they_are_typed() {
    for (alice_back, bob_back) in [(false, false), (true, true), (false, true), (true, false)] {
        let mut room = Room::new(2);
        room.commit(0, &[edit("text.init", Some("[]".into()), &[])]);
        room.sync();
        for (site, back, letters) in [(0, alice_back, "abcd"), (1, bob_back, "wxyz")] {
            for (i, letter) in letters.chars().enumerate() {
                let letter = letter.to_string();
                room.commit(site, &[insert(if back { 1 } else { 1 + i }, &letter)]);
            }
        }
        let run = |letters: &str, back: bool| -> String {
            if back { letters.chars().rev().collect() } else { letters.to_owned() }
        };
        let (alice, bob) = (run("abcd", alice_back), run("wxyz", bob_back));
        let shown = end(&mut room);
        assert!(
            shown == format!("[{alice}{bob}]") || shown == format!("[{bob}{alice}]"),
            "{shown}: {alice_back} {bob_back}"
        );
    }
}

#[test]
fn what_is_typed_into_a_text_that_is_reset_meanwhile_is_kept() {
    let mut room = Room::new(2);
    room.commit(0, &[edit("text.init", Some("old".into()), &[])]);
    room.sync();
    room.commit(0, &[edit("text.init", Some("new".into()), &[])]);
    room.commit(1, &[insert(3, "!")]);
    let shown = end(&mut room);
    assert_eq!(shown, "new!");
}

#[test]
fn of_two_concurrent_resets_the_greatest_shows_and_undoing_it_shows_the_other() {
    let mut room = Room::new(2);
    room.commit(0, &[edit("text.init", Some("first".into()), &[])]);
    let second = room.commit(1, &[edit("text.init", Some("second".into()), &[])]);
    assert_eq!(end(&mut room), "second");
    room.commit(0, &[meta("meta.undo", second)]);
    assert_eq!(end(&mut room), "first");
    room.commit(0, &[meta("meta.redo", second), insert(6, "?")]);
    assert_eq!(text(&room, 0), "second?".to_owned());
}

#[test]
fn undo_of_a_deletion_brings_back_what_nobody_else_deleted() {
    let mut room = Room::new(2);
    room.commit(0, &[edit("text.init", Some("abcdef".into()), &[])]);
    room.sync();
    let mine = room.commit(0, &[delete(0, 4)]);
    room.commit(1, &[delete(2, 4)]);
    assert_eq!(end(&mut room), "");
    room.commit(1, &[meta("meta.undo", mine)]);
    assert_eq!(end(&mut room), "ab");
    room.commit(1, &[meta("meta.redo", mine)]);
    assert_eq!(end(&mut room), "");
}

#[test]
fn text_typed_beside_undone_text_stays_where_it_was_typed() {
    let mut room = Room::new(2);
    room.commit(0, &[edit("text.init", Some("ab".into()), &[])]);
    let middle = room.commit(0, &[insert(1, "XX")]);
    room.sync();
    room.commit(1, &[insert(2, "-")]);
    room.commit(0, &[meta("meta.undo", middle)]);
    assert_eq!(end(&mut room), "a-b");
}

#[test]
fn an_insert_that_is_void_brings_no_text_to_write_into() {
    let mut room = Room::new(1);
    room.commit(0, &[edit("string.set", Some("kept".into()), &[])]);
    let (site, replica) = &mut room.sites[0];
    let seq = site.clock.get(&site.actor) + 1;
    let mut void = edit("node.insert", Some(Value::Map([("t".to_owned(), "void".into())].into())), &[]);
    void.options.insert("ifAbsent".to_owned(), true.into());
    let commit = Commit { lamport: seq, actor: site.actor, seq };
    let ops = compile(&[void], replica, commit).unwrap();
    let clock = Vec::new();
    let (time_ms, request, note) = (None, None, None);
    let message = Message { actor: site.actor, seq, lamport: seq, clock, time_ms, request, note, ops };
    replica.apply(&message);
    site.clock.raise(site.actor, seq);
    site.held.push(message);
    room.commit(0, &[insert(4, "!")]);
    assert_eq!(end(&mut room), "kept!");
}

#[test]
fn a_plain_text_can_be_written_into_and_appended_to() {
    let mut room = Room::new(2);
    room.commit(0, &[edit("string.set", Some("ab".into()), &[])]);
    room.commit(0, &[edit("string.concat", Some("cd".into()), &[])]);
    room.sync();
    room.commit(0, &[insert(3, "-"), delete(0, 1)]);
    room.commit(1, &[edit("string.concat", Some("ef".into()), &[])]);
    assert_eq!(end(&mut room), "bc-def");
    room.commit(1, &[replace(1, 3, "_")]);
    assert_eq!(end(&mut room), "b_ef");
    room.commit(1, &[edit("string.set", Some("z".into()), &[]), insert(1, "!"), insert(0, "¡")]);
    assert_eq!(end(&mut room), "¡z!");
}

#[test]
fn writing_into_something_else_than_text_is_refused() {
    let mut room = Room::new(1);
    room.commit(0, &[edit("number.set", Value::number(1.0), &[])]);
    let (site, replica) = &room.sites[0];
    let commit = Commit { lamport: 9, actor: site.actor, seq: 9 };
    let error = compile(&[insert(0, "a")], replica, commit).unwrap_err();
    assert_eq!(error.to_string(), "t of n holds something else than text");
}

#[test]
fn a_keystroke_is_a_small_message_and_a_long_deletion_too() {
    let mut room = Room::new(1);
    room.commit(0, &[edit("text.init", Some("".into()), &[])]);
    for i in 0..100 {
        room.commit(0, &[insert(i, "x")]);
    }
    let bytes = |room: &Room| room.sites[0].0.held.last().unwrap().encode().len();
    assert!(bytes(&room) <= 40, "{}", bytes(&room));
    room.commit(0, &[delete(0, 100)]);
    assert!(bytes(&room) <= 40, "{}", bytes(&room));
    assert_eq!(end(&mut room), "");
}

#[test]
fn what_one_commit_types_or_deletes_edit_by_edit_is_one_op() {
    let mut room = Room::new(1);
    let typed = (0..200).map(|i| insert(i, if i % 2 == 0 { "é" } else { "x" }));
    let back = (100..150).rev().map(|i| delete(i, 1));
    let forward = (0..50).map(|_| delete(10, 1));
    let edits: Vec<EditOp> = typed.chain(back).chain(forward).chain([insert(100, "!")]).collect();
    room.commit(0, &edits);
    let ops = &room.sites[0].0.held.last().unwrap().ops;
    assert_eq!(
        ops.iter().map(|op| op.value.as_text().map_or(0, str::len)).collect::<Vec<_>>(),
        [300, 0, 0, 1]
    );
    let expected: String = "éx".repeat(5) + &"éx".repeat(20) + &"éx".repeat(25) + "!";
    assert_eq!(end(&mut room), expected);
}

/// What a plain string shows after an edit.
fn on_string(text: &mut Vec<char>, edit: &Edit) {
    let at = edit.at % (text.len() + 1);
    let end = (at + edit.gone).min(text.len());
    match edit.what {
        What::Insert => drop(text.splice(at..at, edit.text.chars())),
        What::Delete => drop(text.drain(at..end)),
        What::Replace => drop(text.splice(at..end, edit.text.chars())),
        What::Append => text.extend(edit.text.chars()),
        What::Reset => *text = edit.text.chars().collect(),
    }
}

fn on_replica(len: usize, edit_: &Edit) -> EditOp {
    let at = edit_.at % (len + 1);
    match edit_.what {
        What::Insert => insert(at, &edit_.text),
        What::Delete => delete(at, edit_.gone),
        What::Replace => replace(at, edit_.gone, &edit_.text),
        What::Append => edit("string.concat", Some(edit_.text.as_str().into()), &[]),
        What::Reset => edit("text.init", Some(edit_.text.as_str().into()), &[]),
    }
}

#[derive(Clone, Debug)]
struct Edit {
    what: What,
    at: usize,
    gone: usize,
    text: String,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Insert,
    Delete,
    Replace,
    Append,
    Reset,
}

fn edits() -> impl Strategy<Value = Edit> {
    let what = prop_oneof![
        8 => Just(What::Insert),
        4 => Just(What::Delete),
        2 => Just(What::Replace),
        1 => Just(What::Append),
        1 => Just(What::Reset),
    ];
    (what, 0..200_usize, 0..6_usize, "[a-cé🙂]{0,3}").prop_map(|(what, at, gone, text)| Edit {
        what,
        at,
        gone,
        text,
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
        6 => (0..3_usize, prop::collection::vec(edits(), 1..3)).prop_map(|(site, edits)| Event::Edits(site, edits)),
        2 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Event::Hear(from, to)),
        1 => (0..3_usize, any::<usize>(), any::<bool>()).prop_map(|(site, target, undo)| Event::Meta(site, target, undo)),
        1 => Just(Event::Forget),
    ]
}

#[test]
fn who_has_forgotten_writes_and_hears_what_others_do() {
    let mut room = Room::new(3);
    room.commit(0, &[edit("text.init", Some("Dear all".into()), &[])]);
    room.commit(1, &[edit("text.init", Some("Hello".into()), &[]), insert(5, ", friends")]);
    room.sync();
    room.commit(2, &[delete(0, 2), insert(0, "Ja")]);
    room.forget();
    for site in 0..3 {
        room.commit(site, &[replace(2, 3, &format!("<{site}>"))]);
        room.commit(site, &[insert(0, "^"), insert(1, "~")]);
    }
    assert_eq!(end(&mut room).matches("^~").count(), 3);
    room.forget();
    room.commit(2, &[edit("string.concat", Some("!".into()), &[])]);
    assert!(end(&mut room).ends_with('!'));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn positions_do_what_they_do_to_a_string(commits in prop::collection::vec(prop::collection::vec(edits(), 1..4), 1..30)) {
        let mut room = Room::new(1);
        let mut string: Vec<char> = Vec::new();
        for commit in commits {
            let mut ops = Vec::new();
            for edit in commit {
                ops.push(on_replica(string.len(), &edit));
                on_string(&mut string, &edit);
            }
            room.commit(0, &ops);
            prop_assert_eq!(text(&room, 0), string.iter().collect::<String>());
        }
        room.end();
    }

    #[test]
    fn a_cursor_that_types_and_deletes_does_what_it_does_to_a_string(keys in prop::collection::vec((0..8_u8, any::<u16>(), "[a-cé]{1,2}"), 1..120), commit in 1..60_usize) {
        let mut room = Room::new(1);
        let mut string: Vec<char> = Vec::new();
        let mut cursor = 0;
        for keys in keys.chunks(commit) {
            let mut edits = Vec::new();
            for (key, at, text) in keys {
                match key {
                    0 => cursor = usize::from(*at) % (string.len() + 1),
                    1 | 2 if cursor > 0 => {
                        cursor -= 1;
                        string.remove(cursor);
                        edits.push(delete(cursor, 1));
                    }
                    3 if cursor < string.len() => {
                        string.remove(cursor);
                        edits.push(delete(cursor, 1));
                    }
                    _ => {
                        edits.push(insert(cursor, text));
                        string.splice(cursor..cursor, text.chars());
                        cursor += text.chars().count();
                    }
                }
            }
            if !edits.is_empty() {
                room.commit(0, &edits);
            }
            prop_assert_eq!(text(&room, 0), string.iter().collect::<String>());
        }
        room.end();
    }

    #[test]
    fn concurrent_writers_agree_with_the_naive_fold(events in prop::collection::vec(events(), 1..40), order in prop::collection::vec(any::<u32>(), 1..40)) {
        let mut room = Room::new(3);
        for event in events {
            match event {
                Event::Edits(site, edits) => {
                    let mut string: Vec<char> = text(&room, site).chars().collect();
                    let mut ops = Vec::new();
                    for edit in edits {
                        ops.push(on_replica(string.len(), &edit));
                        on_string(&mut string, &edit);
                    }
                    room.commit(site, &ops);
                    prop_assert_eq!(text(&room, site), string.iter().collect::<String>());
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
        let held = &room.sites[0].0.held;
        let mut shuffled: Vec<(u32, usize)> = (0..held.len()).map(|i| (order[i % order.len()].wrapping_mul(2 * u32::try_from(i).unwrap() + 1), i)).collect();
        shuffled.sort_unstable();
        let mut replica = Replica::on(&room.ground, Root::default());
        for (_, at) in shuffled.iter().chain(&shuffled[..shuffled.len() / 3]) {
            replica.apply(&held[*at]);
        }
        prop_assert_eq!(replica.image(), room.sites[0].1.image());
    }
}
