//! One room, input by input: what it answers its clients and its peers when something goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use rtc_core::api::{ApiError, Code, Edit, EditOp, Edited, Wait};
use rtc_core::chain::{self, Ed25519, Keys};
use rtc_core::clock::VersionVector;
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, Dot, PeerKey, RoomId, StateHash};
use rtc_core::message::Message;
use rtc_core::op::{Op, OpCode};
use rtc_core::room::{Agreement, Input, Opening, Output, Refusal, Room};
use rtc_core::store::{Record, StoreError};
use rtc_core::sync::frame::Sight;
use rtc_core::sync::{LinkId, Now, RoomFrame, Run};
use rtc_core::value::Value;

const LINK: LinkId = LinkId(1);
const OTHER_LINK: LinkId = LinkId(2);
const PEER: PeerKey = PeerKey([9; 32]);

fn founding() -> Founding {
    Founding {
        owner: PeerKey([0; 32]),
        nonce: [0; 16],
        name: "test".into(),
        time_ms: 0,
        access: Access::Open,
    }
}

fn room_id() -> RoomId {
    founding().room()
}

fn open(seed: u8) -> Room {
    Room::open(Opening {
        room: room_id(),
        founding: Some(founding()),
        keys: Arc::new(Ed25519::from_seed(&[seed; 32])),
        epoch_fresh: u64::from(seed),
        epoch_proof: None,
    })
}

fn at(ms: u64) -> Now {
    Now { monotonic_us: ms * 1000, wall_ms: ms }
}

fn give(room: &mut Room, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    room.handle(input, at(0), &mut out);
    out
}

/// A room with a peer that has told it holds nothing.
fn open_with_peer(seed: u8, link: LinkId) -> Room {
    let mut room = open(seed);
    meet(&mut room, link);
    room
}

fn meet(room: &mut Room, link: LinkId) -> Vec<Output> {
    let mut out = give(room, Input::PeerUp { link, peer: PEER });
    out.extend(hear(room, link, vector(VersionVector::default())));
    out
}

fn hear(room: &mut Room, link: LinkId, frame: RoomFrame) -> Vec<Output> {
    give(room, Input::Frame { link, frame })
}

fn vector(held: VersionVector) -> RoomFrame {
    RoomFrame::Vector { held, runs_taken: 0, exact: true }
}

fn insert(key: &str) -> EditOp {
    EditOp { otype: "node.insert".into(), key: key.into(), ..EditOp::default() }
}

fn edit(room: &mut Room, edit: Edit) -> Vec<Output> {
    let mut out = give(room, Input::Edit { token: 7, edit });
    out.extend(give(room, Input::Flush));
    out
}

fn edit_with_request(room: &mut Room, request: &str, wait: Wait) -> Vec<Output> {
    edit(room, Edit { ops: vec![insert("cube")], request: Some(request.into()), wait, ..Edit::default() })
}

fn replies(out: &[Output]) -> Vec<&Result<Edited, ApiError>> {
    let replies = out.iter().filter_map(|output| match output {
        Output::Reply { result, .. } => Some(result),
        _ => None,
    });
    replies.collect()
}

fn code(out: &[Output]) -> Option<Code> {
    replies(out).first().and_then(|result| result.as_ref().err()).map(|error| error.code)
}

fn sent(out: &[Output], to: LinkId) -> Vec<RoomFrame> {
    let frame = |output: &Output| match output {
        Output::Send { link, frame, .. } if *link == to => Some(frame.clone()),
        _ => None,
    };
    out.iter().filter_map(frame).collect()
}

fn batches(out: &[Output]) -> Vec<u64> {
    let number = |output: &Output| match output {
        Output::Store { batch, .. } => Some(*batch),
        _ => None,
    };
    out.iter().filter_map(number).collect()
}

fn stored(out: Vec<Output>) -> Vec<Record> {
    let records = |output| match output {
        Output::Store { records, .. } => Some(records),
        _ => None,
    };
    out.into_iter().filter_map(records).flatten().collect()
}

/// The first message of a new epoch of a stranger's key, ready to travel.
fn run_of_epoch(epoch: u64) -> Run {
    run_with_ops(epoch, Vec::new())
}

fn run_with_ops(epoch: u64, ops: Vec<Op>) -> Run {
    let keys = Ed25519::from_seed(&[200; 32]);
    let actor = Actor::new(keys.public(), epoch);
    let message = Message {
        actor,
        seq: 1,
        lamport: 1,
        clock: Vec::new(),
        time_ms: None,
        request: None,
        note: None,
        ops,
    };
    let body = message.encode();
    let signature = keys.sign(&chain::Link::origin(&room_id(), &actor).next(&body));
    Run { actor, first: 1, bodies: [body].into_iter().collect(), signature }
}

fn bulk(run: Run) -> RoomFrame {
    let [(content, 1)] = &rtc_core::sync::backlog::pack(&[run])[..] else { panic!("one run is one frame") };
    RoomFrame::Backlog { content: content.as_slice().into() }
}

/// Whoever misses some live runs and not others reads one by the wrong dictionary: that is no proof against its author.
#[test]
fn nobody_is_called_a_forker_for_what_it_did_not_sign() {
    let mut room = open_with_peer(1, LINK);
    let op = |key: &str| Op {
        code: OpCode::named("node.insert").unwrap(),
        key: key.to_owned(),
        path: None,
        value: Value::Null,
        options: BTreeMap::new(),
    };
    let (held, other) = (run_with_ops(7, vec![op("cube")]), run_with_ops(7, vec![op("lamp")]));
    let misread = Run { signature: held.signature, ..other.clone() };
    let mut refused = |run: &Run| {
        let out = hear(&mut room, LINK, RoomFrame::Run { run: run.clone() });
        out.into_iter().find_map(|output| match output {
            Output::Refused { refusal, .. } => Some(refusal),
            _ => None,
        })
    };
    assert_eq!(refused(&held), None);
    assert!(matches!(refused(&misread), Some(Refusal::Signature { .. })));
    assert!(matches!(refused(&other), Some(Refusal::Fork { .. })));
}

#[test]
fn runs_dropped_one_after_the_other_are_all_sent_again() {
    let mut room = open_with_peer(1, LINK);
    let mut first = Vec::new();
    for key in ["cube", "lamp"] {
        let out = edit(&mut room, Edit { ops: vec![insert(key)], ..Edit::default() });
        first.extend(sent(&out, LINK).into_iter().filter_map(|frame| match frame {
            RoomFrame::Run { run, .. } => Some(Dot { actor: run.actor, seq: run.first }),
            _ => None,
        }));
    }
    assert_eq!(first.iter().map(|dot| dot.seq).collect::<Vec<_>>(), [1, 2]);
    for &first in &first {
        give(&mut room, Input::Unsent { link: LINK, first });
    }
    let mut out = Vec::new();
    room.handle(Input::Wake, at(1_000), &mut out);
    let read = |output: &Output| matches!(output, Output::Read { ranges, .. } if ranges[0].1 == 1);
    assert!(out.iter().any(read), "{out:?}");
}

#[test]
fn a_client_may_wait_for_ever() {
    let mut room = open(1);
    let forever = Edit {
        ops: vec![insert("cube")],
        wait: Wait::Peers(1),
        timeout_ms: Some(u64::MAX),
        ..Edit::default()
    };
    let out = edit(&mut room, forever);
    assert!(replies(&out).is_empty());
    assert!(replies(&give(&mut room, Input::Committed { batch: batches(&out)[0] })).is_empty());
}

#[test]
fn a_retry_is_not_told_durable_what_the_disk_has_lost() {
    for error in [StoreError::Failed("fsync".into()), StoreError::Full] {
        let mut room = open(1);
        let out = edit_with_request(&mut room, "r", Wait::Durable);
        let failed = Input::StoreFailed { batch: batches(&out)[0], error };
        assert_eq!(code(&give(&mut room, failed)), Some(Code::NotDurable));
        let retried = edit_with_request(&mut room, "r", Wait::Durable);
        assert_eq!(code(&retried), Some(Code::NotDurable), "{retried:?}");
    }
}

#[test]
fn a_retry_is_told_durable_once_a_full_disk_had_space() {
    let mut room = open(1);
    let out = edit_with_request(&mut room, "r", Wait::Durable);
    let batch = batches(&out)[0];
    give(&mut room, Input::StoreFailed { batch, error: StoreError::Full });
    give(&mut room, Input::Committed { batch });
    assert!(replies(&edit_with_request(&mut room, "r", Wait::Durable))[0].is_ok());
}

#[test]
fn what_peers_have_is_known_before_a_wait_for_them_ends() {
    let mut room = open_with_peer(1, LINK);
    let out = edit_with_request(&mut room, "r", Wait::Peers(1));
    let durable = room.vector();
    assert!(
        replies(&hear(&mut room, LINK, RoomFrame::Ack { durable })).is_empty(),
        "our disk has it not yet"
    );
    let mut late = Vec::new();
    room.handle(Input::Committed { batch: batches(&out)[0] }, at(60_000), &mut late);
    assert!(replies(&late)[0].is_ok(), "{late:?}");
}

/// What `peer` says to `room`, carried over.
fn carry(room: &mut Room, out: &[Output]) -> Vec<Output> {
    sent(out, LINK).into_iter().flat_map(|frame| hear(room, LINK, frame)).collect()
}

#[test]
fn a_peer_that_has_a_message_already_says_that_it_is_on_its_disk() {
    let (mut author, mut peer) = (open(1), open(2));
    let records = stored(edit_with_request(&mut author, "r", Wait::Durable));
    give(&mut author, Input::Committed { batch: 1 });
    let first = Run {
        actor: records[0].actor,
        first: 1,
        bodies: [&records[0].body].into_iter().collect(),
        signature: records[0].signature.unwrap(),
    };
    // It got the message from somebody else.
    meet(&mut peer, OTHER_LINK);
    let out = hear(&mut peer, OTHER_LINK, bulk(first.clone()));
    let batch = batches(&out)[0];

    let waits = |author: &mut Room| edit_with_request(author, "r", Wait::Peers(1));
    meet(&mut author, LINK);
    let hello = give(&mut peer, Input::PeerUp { link: LINK, peer: PEER });
    carry(&mut author, &hello);
    let out = waits(&mut author);
    assert!(replies(&out).is_empty(), "not on its disk yet: {out:?}");
    let told = give(&mut peer, Input::Committed { batch });
    assert!(replies(&carry(&mut author, &told))[0].is_ok());

    // The same on a new connection, where it is on the disk from the beginning,
    give(&mut author, Input::PeerDown { link: LINK });
    give(&mut peer, Input::PeerDown { link: LINK });
    meet(&mut author, LINK);
    let hello = give(&mut peer, Input::PeerUp { link: LINK, peer: PEER });
    carry(&mut author, &hello);
    assert!(replies(&waits(&mut author))[0].is_ok());

    // and where it is sent to it once more.
    let told = hear(&mut peer, LINK, bulk(first));
    assert!(sent(&told, LINK).iter().any(|frame| matches!(frame, RoomFrame::Ack { .. })), "{told:?}");
}

#[test]
fn an_edit_has_seen_everything_however_many_writers_there_are() {
    let mut room = open_with_peer(1, LINK);
    let epochs = 1_500;
    for epoch in 0..epochs {
        hear(&mut room, LINK, bulk(run_of_epoch(epoch)));
    }
    // As large as an edit can be: its clock does not fit beside it.
    let large = EditOp {
        otype: "string.set".into(),
        key: "cube".into(),
        path: Some("note".into()),
        value: Some(Value::from("x".repeat(60_000).as_str())),
        ..EditOp::default()
    };
    let out =
        edit(&mut room, Edit { ops: vec![insert("cube"), large], wait: Wait::Local, ..Edit::default() });
    let own = replies(&out)[0].as_ref().expect("the edit is accepted").id;
    let unseen = (0..epochs).map(run_of_epoch).map(|run| Dot { actor: run.actor, seq: 1 });
    assert_eq!(unseen.filter(|dot| !room.replica().has_seen(&own, dot)).count(), 0);

    // And a peer admits it all.
    let mut peer = open_with_peer(2, LINK);
    for epoch in 0..epochs {
        hear(&mut peer, LINK, bulk(run_of_epoch(epoch)));
    }
    carry(&mut peer, &out);
    assert_eq!(peer.vector(), room.vector());
}

#[test]
fn a_room_that_takes_nothing_in_asks_for_nothing_and_later_asks_everybody_for_everything() {
    let mut room = open_with_peer(1, LINK);
    meet(&mut room, OTHER_LINK);
    let batch = batches(&edit(&mut room, Edit { ops: vec![insert("cube")], ..Edit::default() }))[0];
    give(&mut room, Input::StoreFailed { batch, error: StoreError::Full });
    for link in [LINK, OTHER_LINK] {
        hear(&mut room, link, bulk(run_of_epoch(1)));
    }
    let differs = |room: &mut Room, link| give(room, Input::Digest { link, digest: [9; 16] });
    assert!(differs(&mut room, LINK).is_empty(), "it would be sent, and dropped, again and again");
    give(&mut room, Input::Committed { batch });
    for link in [LINK, OTHER_LINK] {
        let asked = sent(&differs(&mut room, link), link);
        assert!(matches!(asked[..], [RoomFrame::Vector { exact: true, .. }]), "{asked:?}");
    }
}

#[test]
fn a_backlog_on_a_slow_connection_is_sent_once() {
    let mut room = open(1);
    edit(&mut room, Edit { ops: vec![insert("cube")], ..Edit::default() });
    let reads = |out: &[Output]| out.iter().filter(|output| matches!(output, Output::Read { .. })).count();
    let out = meet(&mut room, LINK);
    assert_eq!(reads(&out), 1);
    let records = stored(edit(&mut open(1), Edit { ops: vec![insert("cube")], ..Edit::default() }));
    assert_eq!(sent(&give(&mut room, Input::Read { link: LINK, records }), LINK).len(), 1);
    // The run is still under way when the next heartbeats are answered.
    for _ in 0..4 {
        let told = RoomFrame::Vector { held: VersionVector::default(), runs_taken: 0, exact: false };
        assert_eq!(reads(&hear(&mut room, LINK, told)), 0);
    }
}

#[test]
fn a_peer_on_two_connections_counts_once() {
    let mut room = open_with_peer(1, LINK);
    meet(&mut room, OTHER_LINK);
    let batch = batches(&edit_with_request(&mut room, "r", Wait::Peers(2)))[0];
    give(&mut room, Input::Committed { batch });
    for link in [LINK, OTHER_LINK] {
        let durable = room.vector();
        assert!(replies(&hear(&mut room, link, RoomFrame::Ack { durable })).is_empty());
    }
}

#[test]
fn what_is_read_for_a_peer_that_left_is_not_sent_to_it_when_it_comes_back() {
    let mut room = open(1);
    let records = stored(edit(&mut room, Edit { ops: vec![insert("cube")], ..Edit::default() }));
    let reads = |out: &[Output]| out.iter().filter(|output| matches!(output, Output::Read { .. })).count();
    assert_eq!(reads(&meet(&mut room, LINK)), 1);
    for _ in 0..10 {
        give(&mut room, Input::PeerDown { link: LINK });
        assert_eq!(reads(&meet(&mut room, LINK)), 0, "one read at a time, however often it comes and goes");
    }
    let out = give(&mut room, Input::Read { link: LINK, records: records.clone() });
    assert_eq!((sent(&out, LINK), reads(&out)), (Vec::new(), 1), "now it is read for the peer that is there");
    let out = give(&mut room, Input::Read { link: LINK, records });
    assert!(matches!(sent(&out, LINK)[..], [RoomFrame::Backlog { .. }]), "{out:?}");
}

#[test]
fn runs_end_where_the_store_kept_signatures() {
    let mut room = open(1);
    let one = || Edit { ops: vec![insert("cube")], ..Edit::default() };
    let mut journal: Vec<Record> = (0..1_500).flat_map(|_| stored(edit(&mut room, one()))).collect();
    assert!(journal.iter().all(|record| record.signature.is_some()));
    for record in journal.iter_mut().filter(|record| ![700, 1_500].contains(&record.seq)) {
        record.signature = None;
    }
    let mut out = meet(&mut room, LINK);
    let mut runs = Vec::new();
    while let Some(Output::Read { ranges, .. }) =
        out.iter().find(|output| matches!(output, Output::Read { .. }))
    {
        let asked = |record: &Record| ranges.iter().any(|(_, from, to)| (from..=to).contains(&&record.seq));
        let records = journal.iter().filter(|record| asked(record)).cloned().collect();
        out = give(&mut room, Input::Read { link: LINK, records });
        for frame in sent(&out, LINK) {
            let RoomFrame::Backlog { content } = frame else { panic!("{frame:?}") };
            let unpacked = rtc_core::sync::backlog::unpack(&content).unwrap();
            runs.extend(unpacked.iter().map(|run| (run.first, run.last())));
        }
    }
    assert_eq!(runs, [(1, 700), (701, 1_500)]);
}

/// Half seconds pass; gives what is told of what is seen.
fn rest(room: &mut Room, ms: u64) -> Vec<Sight> {
    let (mut out, digest) = (Vec::new(), room.digest());
    for ms in [ms, ms + 500] {
        room.handle(Input::Digest { link: LINK, digest }, at(ms), &mut out);
        room.handle(Input::Wake, at(ms), &mut out);
    }
    let sights = sent(&out, LINK).into_iter().filter_map(|frame| match frame {
        RoomFrame::Sight(sight) => Some(sight),
        _ => None,
    });
    sights.collect()
}

#[test]
fn a_peer_that_sees_something_else_of_the_same_raises_an_alarm_until_it_sees_the_same() {
    let mut room = open_with_peer(1, LINK);
    edit_with_request(&mut room, "r", Wait::Local);
    assert_eq!(room.agreements(), [(PEER, Agreement::NotCompared)]);
    let told = rest(&mut room, 1_000);
    let [honest] = told[..] else { panic!("it is told once: {told:?}") };
    assert_eq!(honest.state, room.replica().state_hash());
    assert_eq!(rest(&mut room, 2_000), [], "and not again");
    let lie = Sight { state: StateHash([1; 32]), ..honest };
    let alarms = |out: &[Output]| out.iter().filter(|output| matches!(output, Output::Alarm(_))).count();
    assert_eq!(alarms(&hear(&mut room, LINK, RoomFrame::Sight(lie))), 1);
    assert_eq!(alarms(&hear(&mut room, LINK, RoomFrame::Sight(lie))), 0, "it is said once");
    assert!(room.alarm().is_some_and(|what| what.contains(&PEER.to_string())), "{:?}", room.alarm());
    assert_eq!(room.agreements(), [(PEER, Agreement::Other(lie.state))]);
    // Of other messages it may see what it likes.
    let other = Sight { basis: [1; 16], ..lie };
    hear(&mut room, LINK, RoomFrame::Sight(other));
    assert_eq!(room.agreements(), [(PEER, Agreement::NotCompared)]);
    assert!(room.alarm().is_some(), "which does not take back what it said before");
    hear(&mut room, LINK, RoomFrame::Sight(honest));
    assert_eq!(room.alarm(), None);
    assert_eq!(room.agreements(), [(PEER, Agreement::Same)]);
}

#[test]
fn who_told_first_is_compared_as_soon_as_the_room_rests() {
    let mut room = open_with_peer(1, LINK);
    edit_with_request(&mut room, "r", Wait::Local);
    let honest = rest(&mut room, 1_000)[0];
    let mut other = open_with_peer(1, LINK);
    edit_with_request(&mut other, "r", Wait::Local);
    hear(&mut other, LINK, RoomFrame::Sight(Sight { state: StateHash([1; 32]), ..honest }));
    assert_eq!(other.alarm(), None);
    assert_eq!(rest(&mut other, 1_000), [honest]);
    assert!(other.alarm().is_some());
}
