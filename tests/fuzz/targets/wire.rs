//! What peers send: values, messages, frames, runs live and packed, founding messages and tickets.

use data_encoding::BASE32_NOPAD;
use rtc_core::block;
use rtc_core::canonical::{Reader, Writer};
use rtc_core::chain::{Keys, Link, Signature};
use rtc_core::clock::VersionVector;
use rtc_core::fork::Fork;
use rtc_core::founding::{Access, Founding};
use rtc_core::horizon::Horizon;
use rtc_core::id::{Actor, PeerKey, RoomId, Session};
use rtc_core::limits::{BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX, LAMPORT_MAX};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode, table};
use rtc_core::presence::Part;
use rtc_core::sync::ranges::{Range, Ranges, Told, Wanted};
use rtc_core::sync::survey::{Opening, Survey};
use rtc_core::sync::{LinkFrame, RoomFrame, Run, backlog as packing, live as dictionary};
use rtc_core::ticket::{Pass, Secret, Ticket};
use rtc_core::value::Value;
use rtc_core::view::MessageView;

use super::{Choices, bounded};

/// What one connection's live runs may keep: the names and forms that both ends know by number.
const LIVE_KEPT: u64 = 4 * 1024 * 1024;
/// What may be live while a block is read, however small it is: what is learnt of its messages' order, names and sizes.
const LIVE_PER_BLOCK: u64 = 64 * 1024;
/// Bytes that may be live for each message that a block says it holds, also where it is empty.
const LIVE_PER_MESSAGE: u64 = 40;
/// Bytes that may be live for each byte that a block says it unpacks to, which is checked against a limit.
const LIVE_PER_UNPACKED: u64 = 80;
/// What may be live for each gap of a block's forms, and how many of them there may be.
const LIVE_PER_GAP: u64 = 4 * 1024;
const GAPS_MAX: u64 = 4096;

pub(super) fn value(bytes: &[u8]) {
    let read = bounded(bytes, 0, |bytes| {
        let mut reader = Reader::new(bytes);
        let value = reader.value().ok()?;
        Some((value, reader.is_canonical() && reader.finish().is_ok()))
    });
    let Some((value, is_canonical)) = read else { return };
    let mut writer = Writer::new();
    writer.value(&value);
    let written = writer.finish();
    assert!(!is_canonical || written == bytes, "canonical bytes are the only ones");
    let mut reader = Reader::new(&written);
    assert_eq!(reader.value().as_ref(), Ok(&value));
    assert!(reader.is_canonical() && reader.finish().is_ok(), "what is written is canonical");
    let json = serde_json::to_string(&value).expect("values are JSON");
    assert_eq!(serde_json::from_str::<Value>(&json).expect("and come back from it"), value);
}

pub(super) fn values() -> Vec<Vec<u8>> {
    let json = [r#"{"a":[1,-2.5,null],"bb":{"c":"text"}}"#, "[[[[]]],true,1e300,9007199254740993]", r#""""#];
    let values = json.map(|json| serde_json::from_str::<Value>(json).expect("it is JSON"));
    values.map(|value| encoded(|writer| _ = writer.value(&value))).into()
}

fn encoded(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish()
}

pub(super) fn message(bytes: &[u8]) {
    let actor = Actor::from_name("a");
    let bodies = [bytes, bytes, bytes, bytes];
    let packed = block::encode(&bodies).expect("it is below the limits");
    assert!(
        block::decode(&packed).expect("what is packed").iter().eq(bodies),
        "a block gives what was put in"
    );
    let Ok(message) = bounded(bytes, 0, |bytes| Message::decode(actor, bytes)) else { return };
    assert_eq!(message.encode(), bytes, "what is read is canonical");
    let view = MessageView::read(actor, bytes).expect("it was read");
    for (op, viewed) in message.ops.iter().zip(view.ops()) {
        assert_eq!(op.resolve().is_ok(), viewed.resolve().is_ok(), "{op:?}");
        assert_eq!(viewed.to_op(), *op);
    }
    message.origin();
    if let Some(horizon) = Horizon::of(&view) {
        assert!(horizon.op().is_ok(), "what came in a message fits into one");
    }
}

/// A message with one op of each row, or only one of them.
pub(super) fn messages() -> Vec<Vec<u8>> {
    let op = |row: &rtc_core::op::Row| {
        let value = match row.name.split('.').next() {
            Some("vector3" | "euler") => Value::numbers(&[1.0, 0.5, -2.0]).unwrap_or_default(),
            Some("text" | "string") => "hello".into(),
            Some("list" | "array") => Value::List(vec!["x".into()]),
            Some("node") => Value::Map([("size".to_owned(), true.into())].into()),
            Some(_) | None => Value::number(1.0).unwrap_or_default(),
        };
        let path = row.kind.is_property().then(|| "p".to_owned());
        Op { code: row.code, key: "a".into(), path, value, options: Default::default() }
    };
    let message = |ops| Message {
        actor: Actor::from_name("a"),
        seq: 3,
        lamport: 7,
        clock: vec![Head { actor: Actor::from_name("b"), seq: 2, link: [9; 16] }],
        time_ms: Some(1_760_000_000_000),
        request: Some("r".into()),
        note: Some("note".into()),
        ops,
    };
    let each = table().step_by(7).map(|row| message(vec![op(row)]));
    each.chain([message(table().map(op).collect())]).map(|message| message.encode()).collect()
}

/// Messages of one actor who moves nodes about.
fn moves(count: u64) -> Vec<Vec<u8>> {
    let code = OpCode::named("vector3.set").expect("it is in the table");
    let of = |seq: u64| Message {
        actor: Actor::from_name("a"),
        seq,
        lamport: seq,
        clock: Vec::new(),
        time_ms: Some(1_760_000_000_000 + seq * 16),
        request: None,
        note: None,
        ops: vec![Op {
            code,
            key: format!("node-{}", seq % 3),
            path: Some("position".into()),
            value: Value::List(vec![Value::Null; 3]),
            options: Default::default(),
        }],
    };
    (1..=count).map(|seq| of(seq).encode()).collect()
}

fn run(first: u64, bodies: Vec<Vec<u8>>) -> Run {
    Run {
        actor: Actor::from_name("a"),
        first,
        bodies: bodies.into_iter().collect(),
        signature: Signature([7; 64]),
    }
}

pub(super) fn frame(bytes: &[u8]) {
    let Ok(Some(frame)) = bounded(bytes, 0, LinkFrame::decode) else { return };
    assert_eq!(LinkFrame::decode(&frame.encode()), Ok(Some(frame)));
}

pub(super) fn frames() -> Vec<Vec<u8>> {
    let held: VersionVector = [(Actor::from_name("a"), 3), (Actor::from_name("b"), 1)].into_iter().collect();
    let room = |frame| LinkFrame::Room { channel: 1, frame };
    let founding = Founding {
        owner: PeerKey([1; 32]),
        nonce: [2; 16],
        name: "lab".into(),
        time_ms: 5,
        access: Access::Open,
    };
    let (content, _) = packing::pack(&[run(1, moves(2))]).remove(0);
    let frames = [
        LinkFrame::Hello { nonce: [1; 32] },
        LinkFrame::Open { channel: 1, tag: [1; 16], proof: [2; 32] },
        LinkFrame::Close { channel: 1 },
        LinkFrame::Beat { ping: 1, digests: vec![(1, [3; 16])] },
        LinkFrame::Pong { ping: 1 },
        LinkFrame::Live { channel: 1, content: dictionary::Encoder::default().encode(&run(1, moves(1))) },
        room(RoomFrame::Vector { held: held.clone(), runs_taken: 1, exact: true }),
        room(RoomFrame::Run { run: run(1, moves(2)) }),
        room(RoomFrame::Backlog { content: content.into() }),
        room(RoomFrame::Credit { bytes: 9 }),
        room(RoomFrame::Ack { durable: held }),
        room(RoomFrame::Founding { bytes: founding.encode() }),
        room(RoomFrame::Show { session: Session([1; 8]), seq: 2, part: Part::Draft, content: vec![0x80] }),
        room(RoomFrame::Ranges(Opening { number: 1, runs_taken: 2, exact: false, sums: [[7; 6]; 16] })),
        room(RoomFrame::RangesWanted {
            number: 1,
            wanted: Wanted { sums: vec![Range::ALL], names: Range::ALL.parts().collect() },
        }),
        room(RoomFrame::RangesTold {
            number: 1,
            told: Told {
                sums: vec![(Range::ALL, [[7; 6]; 16])],
                names: vec![(Range::ALL, vec![(Actor::from_name("a"), 300)])],
            },
        }),
        room(RoomFrame::Kept { digest: [5; 16] }),
        room(RoomFrame::Lean { leans: true }),
        room(RoomFrame::Spare { actor: Actor::from_name("a") }),
    ];
    frames.iter().map(LinkFrame::encode).collect()
}

/// What somebody answers who is asked what it holds: actors of a few names and any numbers, sums of any bytes or of ours.
pub(super) fn ranges(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut ours = held(&[3; 40]);
    let mut theirs = held(choices.bytes());
    let opening = Opening { number: 1, runs_taken: 0, exact: false, sums: theirs.sums(Range::ALL, 1) };
    let mut survey = Survey::begin(&opening, &mut ours);
    while let Some((number, wanted)) = survey.ask() {
        let mut told = theirs.answer(&wanted, number);
        if choices.are_made() {
            // From here on the truth, which takes few steps whatever was told before.
        } else if choices.below(2) == 0 {
            let ranges = wanted.sums.iter().chain(&wanted.names);
            told.sums.extend(ranges.map(|&range| (range, [[choices.byte(); 6]; 16])));
        } else if let Ok(Some(LinkFrame::Room { frame: RoomFrame::RangesTold { told: any, .. }, .. })) =
            LinkFrame::decode(choices.bytes())
        {
            told = any;
        }
        if survey.hear(number, told, &mut ours).is_err() {
            return;
        }
    }
    let (held, ..) = survey.finish().expect("nothing is left to ask");
    assert!(held.iter().all(|(_, seq)| (1..=LAMPORT_MAX).contains(&seq)));
}

/// An actor for each byte, with that many messages.
fn held(bytes: &[u8]) -> Ranges {
    let actor = |at: usize| Actor::new(PeerKey([1; 32]), at as u64);
    let mut ranges = Ranges::default();
    (0..bytes.len()).for_each(|at| ranges.touch(actor(at)));
    ranges.follow(|of| {
        let at = (0..bytes.len()).find(|&at| actor(at) == *of)?;
        Some((u64::from(bytes[at].max(1)), Link([bytes[at]; 32])))
    });
    ranges
}

/// Several runs over one connection: each is told its length by two bytes.
pub(super) fn live(bytes: &[u8]) {
    let mut decoder = dictionary::Decoder::default();
    let mut rest = bytes;
    while let Some((head, more)) = rest.split_first_chunk::<2>() {
        let (content, more) = more.split_at(usize::from(u16::from_be_bytes(*head)).min(more.len()));
        rest = more;
        let Ok(Some(run)) = bounded(content, LIVE_KEPT, |content| decoder.decode(content)) else { continue };
        let again = dictionary::Encoder::default().encode(&run);
        assert_eq!(dictionary::Decoder::default().decode(&again), Ok(Some(run)));
    }
}

pub(super) fn live_runs() -> Vec<Vec<u8>> {
    let mut encoder = dictionary::Encoder::default();
    let mut bytes = Vec::new();
    for (first, body) in (1..).zip(moves(6)) {
        let content = encoder.encode(&run(first, vec![body]));
        bytes.extend(u16::try_from(content.len()).expect("it is short").to_be_bytes());
        bytes.extend(content);
    }
    vec![bytes]
}

/// What may be live while something is unpacked that says how large it is.
fn unpacked(messages: usize, body_bytes: usize) -> u64 {
    LIVE_PER_BLOCK
        + LIVE_PER_MESSAGE * messages as u64
        + LIVE_PER_UNPACKED * body_bytes as u64
        + LIVE_PER_GAP * GAPS_MAX.min(body_bytes as u64 + 1)
}

pub(super) fn backlog(bytes: &[u8]) {
    let more = 2 * unpacked(BLOCK_MESSAGES_MAX, BLOCK_BYTES_MAX);
    let Ok(runs) = bounded(bytes, more, packing::unpack) else { return };
    let frames = packing::pack(&runs);
    let again: Vec<Run> =
        frames.iter().flat_map(|(content, _)| packing::unpack(content).expect("what is packed")).collect();
    assert_eq!(again, runs);
}

pub(super) fn backlogs() -> Vec<Vec<u8>> {
    let mut bodies = moves(8);
    let tail = bodies.split_off(5);
    let pack = |runs: &[Run]| packing::pack(runs).remove(0).0;
    vec![pack(&[run(1, bodies.clone()), run(6, tail)]), pack(&[run(1, bodies)])]
}

/// Takes every signature for good: what matters here is what comes before and after.
struct Trusting;

impl Keys for Trusting {
    fn public(&self) -> PeerKey {
        PeerKey([0; 32])
    }

    fn sign(&self, _: &Link) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: &PeerKey, _: &Link, _: &Signature) -> bool {
        true
    }

    fn unseal(&self, _: &PeerKey, _: &RoomId, _: &[u8]) -> Option<Secret> {
        None
    }
}

pub(super) fn fork(bytes: &[u8]) {
    let more = 4 * unpacked(BLOCK_MESSAGES_MAX, BLOCK_BYTES_MAX);
    let read = |bytes: &[u8]| Fork::read(&RoomId([1; 32]), bytes, &Trusting);
    let Ok(fork) = bounded(bytes, more, read) else { return };
    assert_eq!(read(fork.bytes()), Ok(fork.clone()));
}

pub(super) fn forks() -> Vec<Vec<u8>> {
    let fork = |first: u64| {
        let bodies = moves(8).split_off(usize::try_from(first - 1).expect("a small number"));
        let one = run(first, bodies.clone());
        let mut message = MessageView::read(one.actor, &bodies[0]).expect("a message").to_message();
        message.note = Some("another".to_owned());
        let other = run(first, [vec![message.encode()], bodies[1..].to_vec()].concat());
        let before = if first == 1 { Link::origin(&RoomId([1; 32]), &one.actor) } else { Link([3; 32]) };
        let fork = Fork::prove(&RoomId([1; 32]), before, [one, other], &Trusting).expect("they part");
        fork.bytes().to_vec()
    };
    vec![fork(1), fork(6)]
}

pub(super) fn block(bytes: &[u8]) {
    let said = block::size(bytes).map_or(0, |(messages, body_bytes)| unpacked(messages, body_bytes));
    let Ok(bodies) = bounded(bytes, said, block::decode) else { return };
    let all: Vec<&[u8]> = bodies.iter().collect();
    let again = block::encode(&all).expect("it came out of a block");
    assert_eq!(block::decode(&again), Ok(bodies.clone()));
}

pub(super) fn blocks() -> Vec<Vec<u8>> {
    let opaque = [vec![1, 2, 3], vec![], b"no message".to_vec()];
    [moves(20), messages(), opaque.into()].map(|bodies| block::encode(&bodies).expect("it is small")).into()
}

pub(super) fn founding(bytes: &[u8]) {
    let Ok(founding) = bounded(bytes, 0, Founding::decode) else { return };
    assert_eq!(founding.encode(), bytes);
    assert_eq!(founding.room(), Founding::room_of(bytes));
}

pub(super) fn foundings() -> Vec<Vec<u8>> {
    vec![
        Founding {
            owner: PeerKey([1; 32]),
            nonce: [2; 16],
            name: "lab".into(),
            time_ms: 5,
            access: Access::Open,
        }
        .encode(),
    ]
}

/// A ticket's content, whose checksum is put right, and the same bytes as text.
pub(super) fn ticket(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = bounded(bytes, 4 * text.len() as u64, |_| text.parse::<Ticket>());
    let checksum = blake3::derive_key("rtc 2026 ticket checksum v1", bytes);
    let sealed = BASE32_NOPAD.encode(&[bytes, &checksum[..4]].concat()).to_lowercase();
    for prefix in ["rtc1", "rtc2"] {
        let text = format!("{prefix}{sealed}");
        let Ok(ticket) = bounded(text.as_bytes(), 0, |_| text.parse::<Ticket>()) else { return };
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
}

pub(super) fn tickets() -> Vec<Vec<u8>> {
    let ticket = Ticket {
        room: RoomId([1; 32]),
        pass: Pass::Invite(Secret([2; 32])),
        peer: PeerKey([3; 32]),
        addresses: vec!["/ip4/192.0.2.1/tcp/4001".into()],
        horizon: None,
    };
    let text = ticket.to_string();
    let content = BASE32_NOPAD.decode(text["rtc2".len()..].to_uppercase().as_bytes()).expect("it is base32");
    vec![content[..content.len() - 4].to_vec(), text.into_bytes()]
}
