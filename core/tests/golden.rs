//! Golden bytes of format version 1: what is on disks and wires today must be readable for ever.

use data_encoding::HEXLOWER;
use rtc_core::chain::{Ed25519, Keys, Link};
use rtc_core::founding::Founding;
use rtc_core::id::{Actor, PeerKey};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::sync::{LinkFrame, RoomFrame, Run};
use rtc_core::ticket::{Secret, Ticket};
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
    Founding { owner: keys().public(), nonce: [1; 16], name: "lab".into(), time_ms: 1_700_000_000_000 }
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
    check("link", &link.0);
    check("signature", &signature.0);
    let run = Run { actor: message.actor, first: 1, bodies: vec![body], signature };
    check("run-frame", &LinkFrame::Room { channel: 1, frame: RoomFrame::Run { bulk: false, run } }.encode());
    let ticket = Ticket {
        room,
        secret: Secret([5; 32]),
        peer: keys().public(),
        addresses: vec!["/ip4/192.0.2.1/tcp/4001".into()],
    };
    check("ticket", ticket.to_string().as_bytes());
}
