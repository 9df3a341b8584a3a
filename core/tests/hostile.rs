//! What decoding may cost: whatever bytes come, a decoder holds no more than a fixed multiple of their number, so a frame's limit bounds
//! memory, and nothing that only announces itself is made room for.

use rtc_core::canonical::{Reader, Writer};
use rtc_core::chain::Signature;
use rtc_core::clock::VersionVector;
use rtc_core::founding::{FOUNDING_BYTES_MAX, Founding};
use rtc_core::id::Actor;
use rtc_core::limits::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, VALUE_DEPTH_MAX};
use rtc_core::message::Message;
use rtc_core::op::Op;
use rtc_core::sim::Random;
use rtc_core::sync::{LinkFrame, RoomFrame, Run};
use rtc_core::ticket::Ticket;

/// Bytes that may be live for each byte read. The worst are maps of one entry: three bytes, and a whole tree node.
const LIVE_PER_BYTE: u64 = 320;
/// What may be live however short the input is: an error, a first block.
const LIVE_AT_ONCE: u64 = 4 * 1024;

/// Decodes and drops, and sees that what was live meanwhile stays below the bound.
fn check<T>(what: &str, bytes: &[u8], decode: impl Fn(&[u8]) -> T) {
    let measured = allocation_counter::measure(|| drop(decode(bytes)));
    let limit = LIVE_AT_ONCE + LIVE_PER_BYTE * bytes.len() as u64;
    let live = measured.bytes_max;
    assert!(
        live <= limit,
        "{what}: {} bytes made {live} live, {limit} would do: {:02x?}",
        bytes.len(),
        &bytes[..bytes.len().min(64)]
    );
    assert_eq!(measured.bytes_current, 0, "{what} keeps something");
}

/// Every decoder on the same bytes.
fn check_all(bytes: &[u8]) {
    check("value", bytes, |bytes| Reader::new(bytes).value());
    check("message", bytes, |bytes| Message::decode(Actor::from_name("a"), bytes));
    check("founding", bytes, Founding::decode);
    check("frame", bytes, LinkFrame::decode);
    check("ticket", bytes, |bytes| String::from_utf8_lossy(bytes).parse::<Ticket>());
}

/// A message that is well-formed up to the value of its only op; what follows is hostile.
fn before_value() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(8).uint(1).uint(1).uint(1).array(0).null().null().null();
    writer.array(1).array(4).uint(0x0801).text("a").text("p");
    writer.finish()
}

/// `piece` again and again, up to `len` bytes.
fn repeated(piece: &[u8], len: usize) -> Vec<u8> {
    piece.iter().copied().cycle().take(len).collect()
}

#[test]
fn announced_lengths_are_not_believed() {
    for len in [FOUNDING_BYTES_MAX, MESSAGE_BYTES_MAX] {
        // Lists inside each other, each of which says that it goes to the end of the bytes.
        let mut nested = Vec::new();
        for _ in 0..VALUE_DEPTH_MAX {
            let left = u32::try_from(len - nested.len() - 200).unwrap();
            nested.push(0x9a);
            nested.extend(left.to_be_bytes());
        }
        nested.resize(len - 100, 0xf6);
        check_all(&nested);
        check_all(&[before_value(), nested].concat());
        for head in [0x5a, 0x7a, 0x9a, 0xba] {
            let announced = [&[head][..], &u32::MAX.to_be_bytes()].concat();
            check_all(&announced);
            check_all(&[before_value(), announced].concat());
        }
    }
}

#[test]
fn what_is_cheap_to_write_is_not_dear_to_hold() {
    let lists: [&[u8]; 7] = [
        &[0xf6],                                     // null
        &[0x60],                                     // an empty text
        &[0x61, b'x'],                               // a text of one letter
        &[0x80],                                     // an empty list
        &[0xa0],                                     // an empty map
        &[0xa1, 0x60, 0xf6],                         // a map of one entry
        &[0xa1, 0x60, 0xa1, 0x60, 0xa1, 0x60, 0xf6], // maps inside each other
    ];
    for piece in lists {
        let room = MESSAGE_BYTES_MAX - 100;
        let count = room / piece.len();
        let head = [&[0x9a][..], &u32::try_from(count).unwrap().to_be_bytes()].concat();
        let list = [head, repeated(piece, count * piece.len())].concat();
        assert!(Reader::new(&list).value().is_ok(), "{piece:02x?}");
        check_all(&list);
        check_all(&[before_value(), list].concat());
    }
}

#[test]
fn frames_hold_little_more_than_their_bytes() {
    let actor = Actor::from_name("a");
    let held = VersionVector::default;
    let run = Run { actor, first: 1, bodies: Vec::new(), signature: Signature([0; 64]) };
    let room = |frame| LinkFrame::Room { channel: 1, frame };
    let entry = || [&[0x58, 40][..], &[7; 40], &[1]].concat();
    // Frames that end in an empty list, what may stand in it, and as how many items of the list.
    let frames = [
        (LinkFrame::Beat { ping: 1, digests: Vec::new() }, [&[0x82, 0x01, 0x50][..], &[0; 16]].concat(), 1),
        (room(RoomFrame::Vector { held: held(), runs_taken: 1, exact: true }), entry(), 2),
        (room(RoomFrame::Ack { durable: held() }), entry(), 2),
        (room(RoomFrame::Run { run }), vec![0x40], 1),
    ];
    for (frame, item, items) in frames {
        let mut head = frame.encode();
        assert_eq!(head.pop(), Some(0x80), "{frame:?} ends in a list");
        let mut lists = 0;
        for announced in [1, 2, 64, 1_000, 65_536, 131_072, u32::MAX] {
            let mut bytes = [&head[..], &[0x9a], &announced.to_be_bytes()].concat();
            bytes.extend(repeated(&item, item.len() * 65_536.min(announced as usize / items)));
            check("frame", &bytes, LinkFrame::decode);
            lists += usize::from(LinkFrame::decode(&bytes).is_ok());
        }
        assert!(lists > 1, "some of these are {frame:?}");
    }
    let long = vec![0x58; FRAME_BYTES_MAX + 1];
    check("frame", &long, LinkFrame::decode);
}

/// Random bytes, and real messages with some of their bytes replaced.
#[test]
fn random_damage_costs_no_more() {
    let mut random = Random::new(41);
    let row = rtc_core::op::table().find(|row| row.name == "object.set").unwrap();
    let nested = r#"{"a":[1,2,{"b":[[],{},"text"]}],"c":{"d":{"e":null}}}"#;
    let op = Op {
        code: row.code,
        key: "a".into(),
        path: Some("p".into()),
        value: serde_json::from_str(nested).unwrap(),
        options: Default::default(),
    };
    let message = Message {
        actor: Actor::from_name("a"),
        seq: 1,
        lamport: 1,
        clock: Vec::new(),
        time_ms: None,
        request: None,
        note: None,
        ops: vec![op; 8],
    };
    let whole = message.encode();
    for _ in 0..3_000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.below(6) {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[at] = *random.pick(&[0x80, 0x9a, 0x9b, 0xba, 0x5b, 0x7b, 0xa1, 0xff, 0x00, 0xfb, 0x81]);
        }
        check_all(&bytes);
        let len = usize::try_from(random.below(80)).unwrap();
        let noise: Vec<u8> = (0..len).map(|_| random.bits().to_le_bytes()[0]).collect();
        check_all(&noise);
    }
}
