//! What exceeds a limit by one gets an error that names the limit; what is just as large passes. docs/limits.md lists them all.

use rtc_core::api::EditOp;
use rtc_core::author::{About, Author};
use rtc_core::chain::{Link, Signature};
use rtc_core::clock::{Stamp, VersionVector};
use rtc_core::founding::{Access, FOUNDING_BYTES_MAX, Founding, ROOM_NAME_BYTES_MAX};
use rtc_core::horizon::{Cut, Frontier, Horizon};
use rtc_core::id::{Actor, PeerKey, RoomId, StateHash};
use rtc_core::limits::{
    BACKLOG_COST_MIN, BACKLOG_RUN_MESSAGES_MAX, CLOCK_ENTRIES_MAX, COMMIT_BYTES_MAX, COMMIT_OPS_MAX,
    FRACTION_BYTES_MAX, FRAME_BYTES_MAX, FRONTIER_BYTES_MAX, GROUND_PIECE_BYTES_MAX, KEY_BYTES_MAX,
    LAMPORT_MAX, LINK_ROOMS_MAX, MESSAGE_BYTES_MAX, MESSAGE_OPS_MAX, NOTE_BYTES_MAX, PATH_BYTES_MAX,
    REQUEST_BYTES_MAX, RUN_BYTES_MAX, RUN_MESSAGES_MAX, SPANS_MAX, VALUE_DEPTH_MAX,
};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::place::Place;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::sim::Random;
use rtc_core::sync::{LinkFrame, RoomFrame, Run, backlog};
use rtc_core::ticket::{Pass, Secret, TICKET_ADDRESSES_MAX, Ticket};
use rtc_core::value::Value;

fn op(value: Value) -> Op {
    Op {
        code: OpCode::named("object.set").unwrap(),
        key: "a".into(),
        path: Some("p".into()),
        value,
        options: Default::default(),
    }
}

fn message() -> Message {
    Message {
        actor: Actor::from_name("a"),
        seq: 1,
        lamport: 1,
        clock: Vec::new(),
        time_ms: None,
        request: None,
        note: None,
        ops: vec![op(Value::Null)],
    }
}

fn actors(count: usize) -> impl Iterator<Item = Actor> {
    (0..count as u64).map(|epoch| Actor::new(PeerKey([9; 32]), epoch))
}

/// What is said of the message that `change` makes of a plain one; nothing where it is taken.
fn said_of_message(change: impl FnOnce(&mut Message)) -> Option<String> {
    let mut message = message();
    change(&mut message);
    let read = Message::decode(message.actor, &message.encode());
    read.err().map(|error| error.to_string())
}

fn exceeds(what: &str, limit: usize) -> Option<String> {
    Some(format!("{what} of {} exceeds {limit}", limit + 1))
}

#[test]
fn messages_past_a_limit_are_refused_by_its_name() {
    for (more, is_refused) in [(0, false), (1, true)] {
        let check = |what, limit, said: Option<String>| {
            assert_eq!(said, exceeds(what, limit).filter(|_| is_refused), "{what}");
        };
        let text = |limit: usize| "x".repeat(limit + more);
        let (request, note) = (text(REQUEST_BYTES_MAX), text(NOTE_BYTES_MAX));
        check("request id", REQUEST_BYTES_MAX, said_of_message(|message| message.request = Some(request)));
        check("description", NOTE_BYTES_MAX, said_of_message(|message| message.note = Some(note)));
        let (key, path) = (text(KEY_BYTES_MAX), text(PATH_BYTES_MAX));
        check("node key", KEY_BYTES_MAX, said_of_message(|message| message.ops[0].key = key));
        check("property path", PATH_BYTES_MAX, said_of_message(|message| message.ops[0].path = Some(path)));
        let ops = vec![op(Value::Null); MESSAGE_OPS_MAX + more];
        check("ops", MESSAGE_OPS_MAX, said_of_message(|message| message.ops = ops));
        let head = |actor| Head { actor, seq: 1, link: [0; 16] };
        let clock = actors(CLOCK_ENTRIES_MAX + more).map(head).collect();
        check("clock entries", CLOCK_ENTRIES_MAX, said_of_message(|message| message.clock = clock));
        let mut whole = message();
        whole.ops[0].value = "".into();
        // A long text needs two more bytes to tell its length.
        let text = text(MESSAGE_BYTES_MAX - whole.encode().len() - 2);
        check(
            "message",
            MESSAGE_BYTES_MAX,
            said_of_message(|message| message.ops[0].value = text.as_str().into()),
        );
    }
}

#[test]
fn values_nested_too_deep_are_refused() {
    let nested = |levels| (0..levels).fold(Value::Null, |value, _| Value::List(vec![value]));
    assert_eq!(said_of_message(|message| message.ops[0].value = nested(VALUE_DEPTH_MAX)), None);
    let said = said_of_message(|message| message.ops[0].value = nested(VALUE_DEPTH_MAX + 1));
    assert_eq!(said, Some(format!("value nested deeper than {VALUE_DEPTH_MAX}")));
    let json = "[".repeat(VALUE_DEPTH_MAX + 1) + &"]".repeat(VALUE_DEPTH_MAX + 1);
    let said = serde_json::from_str::<Value>(&json).unwrap_err().to_string();
    assert!(said.contains(&format!("value nested deeper than {VALUE_DEPTH_MAX}")), "{said}");
}

#[test]
fn lamport_times_past_what_doubles_hold_are_refused() {
    assert_eq!(said_of_message(|message| message.lamport = LAMPORT_MAX), None);
    let said = said_of_message(|message| message.lamport = LAMPORT_MAX + 1).unwrap();
    assert!(said.contains("a lamport time below 2^53"), "{said}");
}

/// What an author says to these edits.
fn said_by_author(edits: &[EditOp]) -> Option<String> {
    let replica = Replica::new(Root::default());
    let mut author = Author::new(&RoomId([1; 32]), Actor::from_name("a"));
    author.next(edits, About::default(), &replica).err().map(|error| error.to_string())
}

#[test]
fn edits_past_a_limit_are_refused_by_its_name() {
    let insert = |key: String| EditOp { otype: "node.insert".into(), key, ..EditOp::default() };
    let many = |count: usize| (0..count).map(|n| insert(format!("{n}"))).collect::<Vec<_>>();
    assert_eq!(said_by_author(&many(COMMIT_OPS_MAX)), None);
    let set = |path: String, value: &str| EditOp {
        otype: "string.set".into(),
        key: "scene".into(),
        path: Some(path),
        value: Some(value.into()),
        ..EditOp::default()
    };
    let long = "x".repeat(MESSAGE_BYTES_MAX);
    let cases = [
        (many(COMMIT_OPS_MAX + 1), format!("exceed {COMMIT_OPS_MAX}")),
        (vec![insert("x".repeat(KEY_BYTES_MAX + 1))], format!("exceeds {KEY_BYTES_MAX}")),
        (vec![set("x".repeat(PATH_BYTES_MAX + 1), "")], format!("exceeds {PATH_BYTES_MAX}")),
        (vec![set("p".into(), &long)], format!("exceeds {COMMIT_BYTES_MAX}")),
    ];
    for (edits, says) in cases {
        let said = said_by_author(&edits).expect("it is refused");
        assert!(said.ends_with(&says), "{said:?} does not end with {says:?}");
    }
}

#[test]
fn horizons_of_too_many_actors_are_refused() {
    let cut = Cut { seq: 1, lamport: 1, link: Link([7; 32]) };
    let horizon = |count| Horizon {
        before: None,
        frontier: actors(count).map(|actor| (actor, cut)).collect::<Frontier>(),
        ground: StateHash([0; 32]),
        table: 1,
    };
    assert!(horizon(100).op().is_ok());
    let most = (1..).find(|count| horizon(count * 100).op().is_err()).unwrap() * 100;
    let too_many = horizon(most);
    let said = too_many.op().unwrap_err().to_string();
    assert!(said.ends_with(&format!("bytes, which exceeds {FRONTIER_BYTES_MAX}")), "{said}");
    assert_eq!(Frontier::decode(&too_many.frontier.encode()), None);
}

fn said_of_frame(bytes: &[u8]) -> Option<String> {
    LinkFrame::decode(bytes).err().map(|error| error.to_string())
}

fn run(messages: usize) -> Run {
    let bodies = vec![message().encode(); messages];
    Run {
        actor: Actor::from_name("a"),
        first: 1,
        bodies: bodies.into_iter().collect(),
        signature: Signature([0; 64]),
    }
}

#[test]
fn frames_past_a_limit_are_refused_by_its_name() {
    let live =
        |messages| LinkFrame::Room { channel: 1, frame: RoomFrame::Run { run: run(messages) } }.encode();
    assert_eq!(said_of_frame(&live(RUN_MESSAGES_MAX)), None);
    assert_eq!(said_of_frame(&live(RUN_MESSAGES_MAX + 1)), exceeds("messages of a run", RUN_MESSAGES_MAX));
    let beat = |rooms| LinkFrame::Beat { ping: 1, digests: vec![(1, [0; 16]); rooms] }.encode();
    assert_eq!(said_of_frame(&beat(LINK_ROOMS_MAX)), None);
    assert_eq!(said_of_frame(&beat(LINK_ROOMS_MAX + 1)), exceeds("rooms of a connection", LINK_ROOMS_MAX));
    assert_eq!(said_of_frame(&vec![0; FRAME_BYTES_MAX + 1]), exceeds("frame", FRAME_BYTES_MAX));
    let piece = |len| {
        let frame = RoomFrame::GroundPiece { ground: StateHash([6; 32]), from: 0, bytes: vec![0; len] };
        LinkFrame::Room { channel: 1, frame }.encode()
    };
    assert_eq!(said_of_frame(&piece(GROUND_PIECE_BYTES_MAX)), None);
    assert_eq!(
        said_of_frame(&piece(GROUND_PIECE_BYTES_MAX + 1)),
        exceeds("a piece of a ground", GROUND_PIECE_BYTES_MAX)
    );
    let held: VersionVector = [(Actor::from_name("a"), LAMPORT_MAX)].into_iter().collect();
    let frame = RoomFrame::Vector { held, runs_taken: 0, exact: true };
    assert_eq!(said_of_frame(&LinkFrame::Room { channel: 1, frame }.encode()), None);
}

#[test]
fn backlog_runs_of_too_many_messages_are_refused() {
    for (messages, is_taken) in [(BACKLOG_RUN_MESSAGES_MAX, true), (BACKLOG_RUN_MESSAGES_MAX + 1, false)] {
        let (content, _) = backlog::pack(&[run(messages)]).remove(0);
        assert_eq!(backlog::unpack(&content).is_ok(), is_taken, "{messages} messages");
    }
}

#[test]
fn backlog_runs_of_too_many_bytes_are_refused_by_their_name() {
    for (more, said) in [(0, None), (1, exceeds("run", RUN_BYTES_MAX))] {
        let mut bodies = vec![vec![7; MESSAGE_BYTES_MAX]; RUN_MESSAGES_MAX];
        bodies.push(vec![7; more]);
        let run = Run { bodies: bodies.into_iter().collect(), ..run(0) };
        let (content, _) = backlog::pack(&[run]).remove(0);
        assert_eq!(backlog::unpack(&content).err().map(|error| error.to_string()), said);
    }
}

#[test]
fn small_backlogs_cost_the_least_there_is() {
    assert_eq!(backlog::cost(&[0; 1]), BACKLOG_COST_MIN);
    assert_eq!(backlog::cost(&[0; BACKLOG_COST_MIN + 1]), BACKLOG_COST_MIN + 1);
}

#[test]
fn places_of_too_long_fractions_are_none() {
    let is_place = |bytes| Place::is_written(&Value::List(vec!["01".repeat(bytes).as_str().into()]));
    assert!(is_place(FRACTION_BYTES_MAX) && !is_place(FRACTION_BYTES_MAX + 1));
    // In front of all siblings there is room until the first one's place is the least there may be.
    let least = Value::List(vec![("00".repeat(FRACTION_BYTES_MAX - 1) + "01").as_str().into()]);
    let stamp = Stamp { lamport: 1, actor: Actor::from_name("a"), seq: 1, index: 0 };
    let first = Place::read(&least, stamp).unwrap();
    let said = Place::between(None, Some(&first), stamp).unwrap_err().to_string();
    assert!(said.contains(&format!("a fraction of {FRACTION_BYTES_MAX} bytes")), "{said}");
}

#[test]
fn one_op_deletes_no_more_spans_than_it_may_and_an_edit_becomes_several() {
    let has_effect = |count| {
        let spans =
            vec![Value::List([1.0, 0.0, 0.0, 1.0].map(|part| Value::number(part).unwrap()).into()); count];
        let options = [("spans".to_owned(), Value::List(spans))].into();
        Op { code: OpCode::named("text.delete").unwrap(), options, ..op(Value::Null) }.resolve().is_ok()
    };
    assert!(has_effect(SPANS_MAX) && !has_effect(SPANS_MAX + 1));

    let mut replica = Replica::new(Root::default());
    let mut author = Author::new(&RoomId([1; 32]), Actor::from_name("a"));
    let mut ops = 0;
    let mut commit = |otype: &str, value: Option<&str>, options: &[(&str, usize)]| {
        let edit = EditOp {
            otype: otype.into(),
            key: "scene".into(),
            path: Some("t".into()),
            value: value.map(Value::from),
            options: options
                .iter()
                .map(|&(name, number)| (name.to_owned(), Value::number(number as f64).unwrap()))
                .collect(),
        };
        let about = About::default();
        let made = author.commit(&[edit], about, &mut replica, |made| {
            ops = Message::decode(made.dot.actor, &made.body).unwrap().ops.len();
        });
        made.unwrap();
        ops
    };
    // Typed in any order, half of the letters next to each other are those of every other message or so.
    let letters = 6 * SPANS_MAX;
    let mut random = Random::new(1);
    for shown in 0..letters as u64 {
        let position = usize::try_from(random.below(shown + 1)).unwrap();
        commit("text.insert", Some("x"), &[("position", position)]);
    }
    let ops = commit("text.delete", None, &[("position", letters / 4), ("length", letters / 2)]);
    assert!(ops > 1, "{ops} ops delete what one cannot name");
    assert_eq!(replica.value("scene", "t"), Some("x".repeat(letters / 2).as_str().into()));
}

#[test]
fn foundings_past_a_limit_are_refused_by_its_name() {
    let founding = |name: String| {
        Founding { owner: PeerKey([1; 32]), nonce: [2; 16], name, time_ms: 5, access: Access::Open }.encode()
    };
    let said = |bytes: &[u8]| Founding::decode(bytes).err().map(|error| error.to_string());
    assert_eq!(said(&founding("x".repeat(ROOM_NAME_BYTES_MAX))), None);
    assert_eq!(
        said(&founding("x".repeat(ROOM_NAME_BYTES_MAX + 1))),
        exceeds("room name", ROOM_NAME_BYTES_MAX)
    );
    assert_eq!(said(&vec![0; FOUNDING_BYTES_MAX + 1]), exceeds("founding message", FOUNDING_BYTES_MAX));
}

#[test]
fn tickets_past_a_limit_are_refused_by_its_name() {
    let said = |addresses: Vec<String>| {
        let ticket = Ticket {
            room: RoomId([1; 32]),
            pass: Pass::Open(Secret([2; 32])),
            peer: PeerKey([3; 32]),
            addresses,
            horizon: None,
        };
        ticket.to_string().parse::<Ticket>().err().map(|error| error.to_string())
    };
    let invalid =
        |what, limit| exceeds(what, limit).map(|said| format!("the ticket's content is invalid: {said}"));
    assert_eq!(said(vec!["x".repeat(128); TICKET_ADDRESSES_MAX]), None);
    assert_eq!(said(vec!["x".into(); TICKET_ADDRESSES_MAX + 1]), invalid("addresses", TICKET_ADDRESSES_MAX));
    assert_eq!(said(vec!["x".repeat(256)]), None);
    assert_eq!(said(vec!["x".repeat(257)]), invalid("address", 256));
    let long = format!("rtc1{}", "a".repeat(4096 * 8 / 5 + 1));
    assert!(long.parse::<Ticket>().is_err());
}
