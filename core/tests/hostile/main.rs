//! What decoding may cost: whatever bytes come, a decoder holds no more than a fixed multiple of their number, so a frame's limit bounds
//! memory, and nothing that only announces itself is made room for.

mod files;

use rtc_core::block;
use rtc_core::canonical::{Reader, Writer};
use rtc_core::chain::Signature;
use rtc_core::clock::VersionVector;
use rtc_core::founding::{FOUNDING_BYTES_MAX, Founding};
use rtc_core::ground::Ground;
use rtc_core::id::{Actor, Dot};
use rtc_core::limits::{
    BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, VALUE_DEPTH_MAX,
};
use rtc_core::message::Message;
use rtc_core::op::text::CharId;
use rtc_core::op::{Op, OpCode};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::sim::Random;
use rtc_core::sync::{LinkFrame, RoomFrame, Run, backlog, live};
use rtc_core::ticket::Ticket;
use rtc_core::value::Value;

/// Bytes that may be live for each byte read. The worst are maps of one entry: three bytes, and a whole tree node.
const LIVE_PER_BYTE: u64 = 320;
/// What may be live however short the input is: an error, a first block.
const LIVE_AT_ONCE: u64 = 4 * 1024;

/// What may be live while a block is read, however small it is: what is learnt of its messages' order, names and sizes.
const LIVE_PER_BLOCK: u64 = 64 * 1024;
/// Bytes that may be live for each message that a block says it holds, also where it is empty: where it ends, and what is learnt of it in
/// a table that is just growing.
const LIVE_PER_MESSAGE: u64 = 40;
/// Bytes that may be live for each byte that a block says it unpacks to, which is checked against a limit: the worst are numbers, of
/// which two are remembered by key, and messages.
const LIVE_PER_UNPACKED: u64 = 80;
/// What may be live for each gap of a block's forms: what is learnt of it.
const LIVE_PER_GAP: u64 = 4 * 1024;
/// Gaps that a block may have.
const GAPS_MAX: u64 = 4096;
/// What one connection's live runs may keep: the names and forms that both ends know by number.
const LIVE_KEPT: i64 = 4 * 1024 * 1024;

/// Decodes and drops, and sees that what was live meanwhile stays below the bound.
fn check<T>(what: &str, bytes: &[u8], decode: impl Fn(&[u8]) -> T) {
    check_within(what, bytes, 0, decode);
}

/// As [`check`], with so much more that may be live.
fn check_within<T>(what: &str, bytes: &[u8], more: u64, decode: impl Fn(&[u8]) -> T) {
    let measured = allocation_counter::measure(|| drop(decode(bytes)));
    let limit = LIVE_AT_ONCE + LIVE_PER_BYTE * bytes.len() as u64 + more;
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
    check("ground", bytes, Ground::decode);
    check("frame", bytes, LinkFrame::decode);
    check("ticket", bytes, |bytes| String::from_utf8_lossy(bytes).parse::<Ticket>());
}

/// What may be live while a block is read that says it unpacks to so many bytes.
fn unpacked(messages: usize, body_bytes: usize) -> u64 {
    let body_bytes = body_bytes as u64;
    let gaps = GAPS_MAX.min(body_bytes + 1);
    LIVE_PER_BLOCK + LIVE_PER_MESSAGE * messages as u64 + LIVE_PER_UNPACKED * body_bytes + LIVE_PER_GAP * gaps
}

fn check_block(bytes: &[u8]) {
    let said = block::size(bytes).map_or(0, |(messages, body_bytes)| unpacked(messages, body_bytes));
    check_within("block", bytes, said, block::decode);
}

/// Messages that put some of 40 nodes somewhere.
fn moves(random: &mut Random, count: u64) -> Vec<Vec<u8>> {
    let code = OpCode::named("vector3.set").unwrap();
    let actor = Actor::from_name("a");
    let message = |seq| {
        let at = [0; 3].map(|_| random.below(1 << 30) as f64 / 8.0);
        let op = Op {
            code,
            key: format!("node-{}", random.below(40)),
            path: Some("position".into()),
            value: Value::numbers(&at).unwrap(),
            options: Default::default(),
        };
        let (clock, ops) = (Vec::new(), vec![op]);
        Message { actor, seq, lamport: seq, clock, time_ms: Some(seq * 16), request: None, note: None, ops }
            .encode()
    };
    (1..=count).map(message).collect()
}

/// `bytes` with a few of them replaced.
fn damaged(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        damaged[at] = random.bits().to_le_bytes()[0];
    }
    damaged
}

#[test]
fn blocks_hold_no_more_than_they_say_and_may() {
    let mut random = Random::new(42);
    let whole = block::encode(&moves(&mut random, 300)).unwrap();
    check_block(&whole);
    for _ in 0..1_000 {
        check_block(&damaged(&mut random, &whole));
        let cut = usize::try_from(random.below(whole.len() as u64)).unwrap();
        check_block(&whole[..cut]);
    }
    // The same, but saying that it unpacks to as much as a block may have, and more: past the end a block reads as zeros.
    let messages_end = 3;
    let bytes_end = whole.iter().skip(messages_end).position(|&byte| byte < 0x80).unwrap() + messages_end + 1;
    for said in [BLOCK_BYTES_MAX, BLOCK_BYTES_MAX + 1, (1 << 28) - 1] {
        let size = [0, 7, 14].map(|shift| (said >> shift).to_le_bytes()[0] | 0x80);
        let head = [&[1, 0xff, 0xff, 0x03][..], &size, &[u8::try_from(said >> 21).unwrap()]].concat();
        assert_eq!(block::size(&head).ok(), (said <= BLOCK_BYTES_MAX).then_some((0xffff, said)));
        for tail in [&[][..], &whole[bytes_end..], &[0; 64], &[0xff; 64]] {
            check_block(&[&head, tail].concat());
        }
    }
}

/// What is left of a text into which somebody typed, here and there, and of a list whose elements were moved.
fn ground() -> Vec<u8> {
    let actor = Actor::from_name("a");
    let mut replica = Replica::new(Root::default());
    for seq in 1..=300 {
        let own = Dot { actor, seq };
        let id = |back: u64, offset| CharId { dot: Dot { seq: seq - back, ..own }, index: 0, offset };
        let (name, value, anchor) = match seq {
            1 => ("list.init", Value::List(vec!["x".into(); 4]), None),
            2 => ("text.insert", "typed".into(), None),
            seq if seq % 7 == 0 => (
                "list.move",
                Value::Null,
                Some(("item", CharId { dot: id(seq - 1, 0).dot, index: 0, offset: 2 })),
            ),
            seq if seq % 7 == 1 => ("text.insert", "?!".into(), Some(("before", id(3, 0)))),
            _ => (
                "text.insert",
                "a".into(),
                Some(("after", id(if seq % 7 == 2 && seq > 2 { 3 } else { 1 }, 0))),
            ),
        };
        let options = anchor.map(|(name, id)| (name.to_owned(), id.write(own)));
        let code = OpCode::named(name).unwrap();
        let path = name.split('.').next().map(str::to_owned);
        let op = Op { code, key: "scene".into(), path, value, options: options.into_iter().collect() };
        let (clock, ops) = (Vec::new(), vec![op]);
        replica.apply(&Message {
            actor,
            seq,
            lamport: seq,
            clock,
            time_ms: None,
            request: None,
            note: None,
            ops,
        });
    }
    assert!(replica.ineffective_ops() < 150, "{}", replica.ineffective_ops());
    replica.ground().unwrap().encode()
}

#[test]
fn grounds_hold_little_more_than_their_bytes_and_can_be_stood_on_whatever_they_say() {
    let mut random = Random::new(45);
    let whole = ground();
    check("ground", &whole, Ground::decode);
    let mut read = 0;
    for _ in 0..3_000 {
        let bytes = damaged(&mut random, &whole);
        check("ground", &bytes, Ground::decode);
        if let Ok(ground) = Ground::decode(&bytes) {
            read += 1;
            assert!(Replica::on(&ground, Root::default()).ground().is_ok());
        }
    }
    assert!(read > 0, "some damage is to numbers that nobody compares");
}

/// Numbers at ever new keys are the dearest to remember.
#[test]
fn blocks_of_many_keys_hold_no_more() {
    let bodies: Vec<_> = (1..=20_000_u64)
        .map(|seq| {
            let mut writer = Writer::new();
            writer.array(8).uint(1).uint(seq).uint(seq).array(0).null().null().null();
            writer.array(1).array(4).uint(0x0801).text(&format!("{seq:x}")).text("p").array(3);
            (0..3).for_each(|axis| _ = writer.uint(seq * seq * (axis + 7) % 4096));
            writer.finish()
        })
        .collect();
    check_block(&block::encode(&bodies).unwrap());
}

#[test]
fn backlogs_hold_no_more_than_they_say_and_may() {
    let mut random = Random::new(43);
    let actor = Actor::from_name("a");
    let run = |first: u64, bodies: Vec<Vec<u8>>| Run {
        actor,
        first,
        bodies: bodies.iter().collect(),
        signature: Signature([7; 64]),
    };
    let runs = [run(1, moves(&mut random, 100)), run(101, moves(&mut random, 100))];
    let (whole, _) = backlog::pack(&runs).remove(0);
    let body_bytes: usize = runs.iter().map(Run::body_bytes).sum();
    // Each message is copied once more, into its run.
    check_within("backlog", &whole, 2 * unpacked(200, body_bytes), backlog::unpack);
    let said_at_most = 2 * unpacked(BLOCK_MESSAGES_MAX, BLOCK_BYTES_MAX);
    for _ in 0..1_000 {
        check_within("backlog", &damaged(&mut random, &whole), said_at_most, backlog::unpack);
    }
    // Blocks each of which is within its limit, but not all of them.
    let big = block::encode(&[vec![0; BLOCK_BYTES_MAX / 2 + 1]]).unwrap();
    let mut writer = Writer::new();
    writer.array(2).array(30);
    (0..10).for_each(|_| _ = writer.bytes(&actor.0).uint(1).bytes(&big));
    writer.array(0);
    check("backlogs of many blocks", &writer.finish(), backlog::unpack);
}

#[test]
fn live_runs_hold_little_more_than_their_bytes_and_what_both_ends_know() {
    let mut random = Random::new(44);
    let actor = Actor::from_name("a");
    let (mut encoder, mut decoder) = (live::Encoder::default(), live::Decoder::default());
    let mut kept = 0_i64;
    for (first, body) in (1..).zip(moves(&mut random, 1_000)) {
        let bytes = encoder.encode(&Run {
            actor,
            first,
            bodies: [body].into_iter().collect(),
            signature: Signature([7; 64]),
        });
        for bytes in [bytes.clone(), damaged(&mut random, &bytes)] {
            // A table grows by taking twice its room, and giving it back.
            let limit = LIVE_AT_ONCE + LIVE_PER_BYTE * bytes.len() as u64 + 2 * kept.unsigned_abs();
            let measured = allocation_counter::measure(|| drop(decoder.decode(&bytes)));
            assert!(measured.bytes_max <= limit, "{measured:?} for {bytes:02x?}");
            kept += measured.bytes_current;
            assert!((0..=LIVE_KEPT).contains(&kept), "{kept} bytes are kept");
        }
        if first % 10 == 0 {
            encoder.begin_anew();
        }
    }
    assert!(kept > 0, "nothing was understood");
}

/// A few bytes say as many messages as a block may have: many such blocks are no way around that limit.
#[test]
fn blocks_of_empty_messages_are_bounded_together() {
    let most = block::encode(&[[0; 0]; BLOCK_MESSAGES_MAX]).unwrap();
    assert!(most.len() < 100, "{} bytes", most.len());
    check_block(&most);
    let backlog = |blocks: usize| {
        let mut writer = Writer::new();
        writer.array(2).array(blocks * 3);
        (0..blocks).for_each(|_| _ = writer.bytes(&Actor::from_name("a").0).uint(1).bytes(&most));
        writer.array(0);
        writer.finish()
    };
    check_within("backlog", &backlog(1), unpacked(BLOCK_MESSAGES_MAX, 0), backlog::unpack);
    for blocks in [2, 200, 50_000] {
        check("backlog of many blocks", &backlog(blocks), backlog::unpack);
        let said = backlog::unpack(&backlog(blocks)).unwrap_err().to_string();
        assert!(said.starts_with("messages of a backlog of "), "{said}");
    }
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
    let run = Run { actor, first: 1, bodies: Default::default(), signature: Signature([0; 64]) };
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
