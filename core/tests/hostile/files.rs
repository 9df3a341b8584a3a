//! What is read from files: snapshots, scenes and histories in JSON.

use rtc_core::api::EditOp;
use rtc_core::author::{About, Author};
use rtc_core::canonical::Writer;
use rtc_core::dialect::{History, Vector};
use rtc_core::id::{Actor, RoomId};
use rtc_core::op::{OpCode, TABLE_VERSION};
use rtc_core::replica::{Replica, Stretch};
use rtc_core::scene::Root;
use rtc_core::sim::Random;
use rtc_core::value::Value;

use crate::{check, check_within, damaged, repeated};

/// Bytes that one deflated byte of a snapshot may become (RFC 1951: 258 for two bits).
const INFLATED_PER_BYTE: u64 = 1032;

/// Opens a snapshot of that content, whose checksum holds.
fn check_snapshot(content: &[u8], more: u64) {
    let checksum = blake3::derive_key("rtc 2026 snapshot checksum 1", content);
    let bytes = [&[1], &checksum[..], content].concat();
    check_within("snapshot", &bytes, more, |bytes| Replica::open(bytes.to_vec()));
}

#[test]
fn snapshots_hold_little_more_than_their_bytes() {
    let mut author = Author::new(&RoomId([1; 32]), Actor::from_name("a"));
    let mut replica = Replica::new(Root::default());
    let mut bodies = Vec::new();
    for n in 0..200 {
        let key = format!("node-{n}");
        let insert = EditOp { otype: "node.insert".into(), key: key.clone(), ..EditOp::default() };
        let (path, value) = (Some("x".to_owned()), Value::number(f64::from(n)));
        let set = EditOp { otype: "number.set".into(), key, path, value, ..EditOp::default() };
        let keep = |made: &rtc_core::author::Made| bodies.push(made.body.clone());
        author.commit(&[insert, set], About::default(), &mut replica, keep).unwrap();
    }
    let history = Stretch::pack(author.actor(), 1, &bodies).unwrap();
    let whole = replica.snapshot(&history).unwrap()[33..].to_vec();
    check_snapshot(&whole, 0);
    let mut random = Random::new(44);
    for _ in 0..1_000 {
        check_snapshot(&damaged(&mut random, &whole), 0);
        let cut = usize::try_from(random.below(whole.len() as u64)).unwrap();
        check_snapshot(&whole[..cut], 0);
    }
}

#[test]
fn what_a_snapshot_announces_is_not_believed() {
    // The beginning up to one of the lists.
    let head = |lists: usize| {
        let mut writer = Writer::new();
        writer.array(9).uint(TABLE_VERSION.into()).array(3).text("scene").text("").text("").uint(0).uint(0);
        // Actors, the hashes of requests, and dead keys.
        [&writer.finish()[..], &[0x80, 0x40, 0x80][..lists]].concat()
    };
    let actor = [&[0x83, 0x58, 40][..], &[7; 40], &[1, 0x80]].concat();
    let node = vec![0x87, 0x60, 0x60, 0x60, 0xf6, 0x80, 0x80, 0x80];
    for (lists, item) in [(0, &actor), (2, &vec![0x60]), (3, &node)] {
        for announced in [1, 1_000, 65_536, u32::MAX] {
            let list = [&[0x9a][..], &announced.to_be_bytes()].concat();
            let items = repeated(item, item.len() * 65_536.min(announced as usize));
            check_snapshot(&[head(lists), list, items].concat(), 0);
        }
    }
    // A node with a long value that unpacks to more, or less, than it says.
    let text = [&[0x7a, 0, 0x0f, 0xff, 0xfb][..], &[b'x'; 0x0f_fffb]].concat();
    let packed = miniz_oxide::deflate::compress_to_vec(&text, 6);
    for says in [1, 0x10_0000, 0x10_0001, u64::MAX] {
        let mut writer = Writer::new();
        writer.array(1).array(7).text("scene").text("").text("").null().array(0).array(0).array(1);
        writer.array(6).text("p").array(4).uint(1).uint(0).uint(1).uint(0).uint(1).uint(0);
        writer.uint(says).bytes(&packed);
        let content = [&head(0)[..], &[0x81], &actor, &[0x40, 0x80], &writer.finish()].concat();
        check_snapshot(&content, INFLATED_PER_BYTE * content.len() as u64);
    }
}

#[test]
fn json_holds_no_more_than_it_is_worth() {
    let check_json =
        |json: &str| check("json", json.as_bytes(), |json| serde_json::from_slice::<Value>(json));
    check_json("[]");
    for piece in ["0", "[]", "{}", "\"\"", "\"x\"", "{\"\":0}", "[[[0]]]", "null"] {
        check_json(&format!("[{}]", vec![piece; 50_000].join(",")));
    }
    let keys: Vec<String> = (0..50_000).map(|n| format!("\"{n:x}\":0")).collect();
    check_json(&format!("{{{}}}", keys.join(",")));
    check_json(&"[".repeat(1_000_000));
}

#[test]
fn histories_of_the_dialects_hold_no_more_than_they_are_worth() {
    let check_read = |json: &str| {
        let value: Value = serde_json::from_str(json).unwrap();
        let list = value.as_list().unwrap();
        check("history", json.as_bytes(), |_| History::read(list));
        check("vector", json.as_bytes(), |_| list.iter().map(Vector::read).collect::<Vec<_>>());
    };
    let message = |n: usize, ops: &[&str]| {
        let ops = ops.join(",");
        format!(
            r#"{{"id":"{n:x}","sessionId":"s","clock":{{"s":{}}},"lamportTime":{},"ops":[{ops}]}}"#,
            n + 1,
            n + 1
        )
    };
    let ops = [
        r#"{"otype":"node.insert","key":"a"}"#,
        r#"{"ot":"node.insert","key":"a","path":"children","value":{"key":"b"}}"#,
        r#"{"otype":"number.add","key":"a","path":"x","value":1}"#,
        r#"{"otype":"array.push","key":"a","path":"x","value":[]}"#,
        "{}",
    ];
    // The names of operations are looked up in a table that stays.
    assert!(OpCode::named("node.insert").is_some());
    for op in ops {
        check_read(&format!("[{}]", message(0, &vec![op; 1_000])));
        let messages: Vec<String> = (0..1_000).map(|n| message(n, &[op])).collect();
        check_read(&format!("[{}]", messages.join(",")));
        check_read(&format!(r#"[{{"name":"v","messages":[{}],"expected":{{}}}}]"#, messages.join(",")));
    }
    check_read(&format!("[{}]", vec!["{}"; 10_000].join(",")));
}
