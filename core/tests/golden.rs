//! Golden bytes of format version 1: what is on disks and wires today must be readable for ever.

use data_encoding::HEXLOWER;
use rtc_core::block;
use rtc_core::chain::{Ed25519, Keys, Link, Signature};
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, PeerKey, StateHash};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::sync::{LinkFrame, RoomFrame, Run, backlog, live};
use rtc_core::ticket::{Landmark, Pass, Secret, Ticket};
use rtc_core::value::Value;

fn keys() -> Ed25519 {
    Ed25519::from_seed(&[7; 32])
}

fn message() -> Message {
    let actor = Actor::new(keys().public(), 0x0102_0304_0506_0708);
    Message {
        actor,
        seq: 1,
        lamport: 5,
        clock: vec![Head { actor: Actor::new(PeerKey([9; 32]), 1), seq: 4, link: [3; 16] }],
        time_ms: Some(1_700_000_000_000),
        request: Some("r-1".into()),
        note: None,
        ops: vec![
            Op {
                code: OpCode(0x0401),
                key: "cube-1".into(),
                path: Some("transform.position".into()),
                value: Value::numbers(&[1.0, 0.5, -2.0]).unwrap(),
                options: Default::default(),
            },
            Op {
                code: OpCode(0x0e01),
                key: "arm".into(),
                path: None,
                value: Value::Null,
                options: [("tag".to_owned(), Value::from("Mesh"))].into(),
            },
        ],
    }
}

fn founding() -> Founding {
    Founding {
        owner: keys().public(),
        nonce: [1; 16],
        name: "lab".into(),
        time_ms: 1_700_000_000_000,
        access: Access::Open,
    }
}

/// Somebody drags a node, types, and edits in other ways.
fn bodies_of_a_block() -> Vec<Vec<u8>> {
    let op = |name: &str, path: Option<&str>, value: Value| Op {
        code: OpCode::named(name).unwrap(),
        key: "cube-1".into(),
        path: path.map(Into::into),
        value,
        options: Default::default(),
    };
    let mut messages = vec![message(); 12];
    for (index, message) in (1_u32..).zip(&mut messages) {
        let milli = f64::from(index * index) / 1000.0;
        let mut typed = op("text.insert", Some("note"), "x".into());
        typed.options.insert("after".into(), Value::numbers(&[1.0, 0.0, 0.0]).unwrap());
        message.seq = index.into();
        message.lamport += u64::from(index / 5);
        message.ops = match index % 3 {
            0 => vec![typed],
            1 => vec![op(
                "vector3.set",
                Some("transform.position"),
                Value::numbers(&[milli, 0.1, 0.5]).unwrap(),
            )],
            _ => message.ops.clone(),
        };
    }
    let mut bodies: Vec<_> = messages.iter().map(Message::encode).collect();
    bodies.push(b"no message".to_vec());
    bodies
}

/// The bytes in the line of `tests/data/golden.txt` that has this name, or those given.
fn golden(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    if std::env::var_os("RTC_GOLDEN").is_some() {
        println!("{name} {}", HEXLOWER.encode(&bytes));
        return bytes;
    }
    let file = include_str!("../../tests/data/golden.txt");
    let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    HEXLOWER.decode(line.expect("it is there").as_bytes()).expect("digits")
}

/// What packs may pack better one day; what was packed once is unpacked for ever.
#[test]
fn what_was_packed_by_version_1_is_unpacked() {
    let bodies = bodies_of_a_block();
    let block = golden("block", block::encode(&bodies).unwrap());
    assert!(block::decode(&block).unwrap().iter().eq(bodies.iter().map(Vec::as_slice)));
    let signature = Signature([8; 64]);
    let runs = [("a", 1), ("b", 5), ("a", 14)].map(|(name, first)| Run {
        actor: Actor::from_name(name),
        first,
        bodies: bodies.iter().collect(),
        signature,
    });
    let content = golden("backlog", backlog::pack(&runs).remove(0).0);
    assert_eq!(backlog::unpack(&content), Ok(runs.to_vec()));
    let (mut encoder, mut decoder) = (live::Encoder::default(), live::Decoder::default());
    for (name, run) in ["live-1", "live-2", "live-3"].into_iter().zip(runs) {
        let content = golden(name, encoder.encode(&run));
        assert_eq!(decoder.decode(&content), Ok(Some(run)), "{name}");
    }
}

/// Compares with the line of `tests/data/golden.txt` that has this name; with `RTC_GOLDEN` set it prints instead.
fn check(name: &str, bytes: &[u8]) {
    let hex = HEXLOWER.encode(bytes);
    if std::env::var_os("RTC_GOLDEN").is_some() {
        println!("{name} {hex}");
        return;
    }
    let file = include_str!("../../tests/data/golden.txt");
    let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    assert_eq!(Some(hex.as_str()), line, "{name}");
}

#[test]
fn bytes_are_those_of_version_1() {
    let message = message();
    let body = message.encode();
    assert_eq!(Message::decode(message.actor, &body), Ok(message.clone()));
    let room = founding().room();
    let link = Link::origin(&room, &message.actor).next(&body);
    let signature = keys().sign(&link);
    check("message", &body);
    check("founding", &founding().encode());
    check("room", &room.0);
    check("founding-2", &Founding { access: Access::Members, ..founding() }.encode());
    check("link", &link.0);
    check("signature", &signature.0);
    let run = Run { actor: message.actor, first: 1, bodies: [body].into_iter().collect(), signature };
    check("run-frame", &LinkFrame::Room { channel: 1, frame: RoomFrame::Run { run } }.encode());
    let ticket = |pass, horizon| {
        let addresses = vec!["/ip4/192.0.2.1/tcp/4001".into()];
        Ticket { room, pass, peer: keys().public(), addresses, horizon }.to_string()
    };
    let invite = Pass::Invite(Secret([5; 32]));
    check("ticket", ticket(Pass::Open(Secret([5; 32])), None).as_bytes());
    check("ticket-2", ticket(invite, None).as_bytes());
    let horizon = Landmark { dot: message.dot(), ground: StateHash([6; 32]) };
    check("ticket-3", ticket(invite, Some(horizon)).as_bytes());
}
