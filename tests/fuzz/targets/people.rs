//! What people and their programs write: words, lines, versions, scenes and histories of `vuer.rtc`.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use rtc_cli::{at as versions, flat, grammar, graph};
use rtc_core::api::EditOp;
use rtc_core::author::{About, Author, MakeError};
use rtc_core::dialect::{self, History, Vector};
use rtc_core::id::{Actor, Dot, PeerKey, RoomId, StateHash};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

/// Somebody in a scene with two nodes.
fn person() -> (Author, Replica) {
    let mut author = Author::new(&RoomId([1; 32]), Actor::from_name("m"));
    let mut replica = Replica::new(Root::default());
    let insert = |key: &str| EditOp { otype: "node.insert".into(), key: key.into(), ..EditOp::default() };
    commit(&[insert("a"), insert("b")], &mut author, &mut replica).expect("they can be made");
    (author, replica)
}

/// Makes one message of edits, which is to be readable, or to be refused.
fn commit(edits: &[EditOp], author: &mut Author, replica: &mut Replica) -> Result<Dot, MakeError> {
    let mut bodies = Vec::new();
    let made = author.commit(edits, About::default(), replica, |made| bodies.push(made.body.clone()));
    for body in bodies {
        assert!(rtc_core::message::Message::decode(author.actor(), &body).is_ok(), "{edits:?}");
    }
    made
}

/// A line of `rtc edit -`.
pub(super) fn line(bytes: &[u8]) {
    let Ok(edits) = flat::parse(&String::from_utf8_lossy(bytes)) else { return };
    for edit in &edits {
        assert_eq!(EditOp::from_flat(&edit.to_flat()).as_ref(), Ok(edit));
    }
    let (mut author, mut replica) = person();
    let _ = commit(&edits, &mut author, &mut replica);
}

pub(super) fn lines() -> Vec<Vec<u8>> {
    let insert = r#"{"key":"c","otype":"node.insert","tag":"Mesh","parentKey":"a","value":{"x":1}}"#;
    let add = r#"{"key":"a","otype":"vector3.add","path":"transform.position","value":[1,0.5,-2]}"#;
    let text = r#"{"key":"a","otype":"text.insert","path":"note","value":"hello","position":0}"#;
    [insert.to_owned(), add.to_owned(), format!("[{insert},{add},{text}]")].map(String::into_bytes).into()
}

/// The words of `rtc edit`, one a line.
pub(super) fn words(bytes: &[u8]) {
    let words: Vec<String> = String::from_utf8_lossy(bytes).split('\n').map(str::to_owned).collect();
    match grammar::parse(&words) {
        Ok(edits) => {
            let (mut author, mut replica) = person();
            let _ = commit(&edits, &mut author, &mut replica);
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

pub(super) fn word_lists() -> Vec<Vec<u8>> {
    let lists = [
        "a vector3.add transform.position 1 0 0",
        "c node.insert tag=Mesh parent=a x=1 + c node.move before=b",
        "a dict.put d key {\"x\":[1,2]} + a string.concat s text separator=1",
        "a text.insert note hello position=0 + \\+ counter.increment n",
    ];
    lists.map(|list| list.replace(' ', "\n").into_bytes()).into()
}

/// A version as `--at` takes it, and ids.
pub(super) fn at(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = versions::parse(&text);
    check_id::<Dot>(&text);
    check_id::<Actor>(&text);
    check_id::<PeerKey>(&text);
    check_id::<RoomId>(&text);
    check_id::<StateHash>(&text);
}

fn check_id<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(id) = text.parse::<T>() {
        assert_eq!(id.to_string().parse().ok(), Some(id), "{text}");
    }
}

pub(super) fn ats() -> Vec<Vec<u8>> {
    let times = [
        "now",
        "10 min ago",
        "1h 30m ago",
        "2026-11-21T10:00",
        "2026-11-21T10:00+01:00",
        "10:00",
        "k7f2q3ab:12",
    ];
    let dot = Dot { actor: Actor::from_name("a"), seq: 3 };
    let ids = [dot.to_string(), dot.actor.to_string(), dot.actor.key().to_string()];
    times.map(str::to_owned).into_iter().chain(ids).map(String::into_bytes).collect()
}

/// A scene as `rtc import` takes it; what it makes is exported, and taken again.
pub(super) fn import(bytes: &[u8]) {
    let Ok(import) = graph::import(&String::from_utf8_lossy(bytes), "scene") else { return };
    let (mut author, mut replica) = person();
    for edits in &import.commits {
        let _ = commit(edits, &mut author, &mut replica);
    }
    let nodes: Vec<String> = replica.scene().map(|node| graph::entry(&node)).collect();
    let exported = format!("{{\"nodes\":{{{}}},\"rootKey\":\"scene\"}}", nodes.join(","));
    let again = graph::import(&exported, "scene").expect("it was exported");
    assert_eq!((again.nodes, again.unreachable), (nodes.len() - 1, 0), "{exported}");
}

pub(super) fn graphs() -> Vec<Vec<u8>> {
    let graph = r##"{"nodes":{"root":{"key":"root","tag":"Scene","name":"r","children":["a","c"]},
        "a":{"key":"a","tag":"Mesh","name":"","children":[],"color":"#00ff80","properties":{"tag":1}},
        "c":{"key":"c","tag":"Group","children":["a"],"deletedAt":null,"transform.position":[1,2,3]}},"rootKey":"root"}"##;
    vec![graph.into()]
}

/// A history of either dialect, or a file of vectors.
pub(super) fn vuer(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let list = value.as_list().unwrap_or(std::slice::from_ref(&value));
    if let Ok(history) = History::read(list) {
        let mut backwards = Replica::new(history.root.clone());
        history.messages.iter().rev().for_each(|message| _ = backwards.apply(message));
        backwards.state_hash();
        dialect::replay(list).expect("it was read before");
    }
    for vector in list.iter().filter_map(|value| Vector::read(value).ok()) {
        let _ = vector.check(1);
    }
}

pub(super) fn histories() -> Vec<Vec<u8>> {
    let otype = r##"[{"id":"m1","sessionId":"s","clock":{"s":1},"lamportTime":1,"timestamp":5,"ops":[
        {"otype":"node.insert","key":"a","tag":"Mesh","parentKey":"scene","value":{"x":1}},
        {"otype":"vector3.add","key":"a","path":"transform.position","value":[1,2,3]}]},
        {"id":"m2","sessionId":"t","clock":{"s":1,"t":1},"lamportTime":2,"timestamp":6,"ops":[
        {"otype":"text.insert","key":"a","path":"note","position":0,"value":"hi"},
        {"otype":"meta.undo","targetMsgId":"m1"}]}]"##;
    let ot = r##"[{"id":"m1","sessionId":"s","clock":{"s":1},"lamportTime":1,"ops":[
        {"ot":"node.insert","key":"scene","path":"children","value":{"key":"a","tag":"Mesh","color":"#010203"}}]}]"##;
    let vector = format!(r#"[{{"name":"v","messages":{otype},"expected":{{}},"unordered":[["a","x"]]}}]"#);
    vec![otype.into(), ot.into(), vector.into()]
}
