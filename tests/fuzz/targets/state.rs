//! What a disk or another member gives as a room's state: snapshots, grounds and the frontiers of horizons.
//!
//! Checksums are put right, so that what is behind them is reached.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use rtc_core::api::{Edit, EditOp};
use rtc_core::author::{About, Author};
use rtc_core::chain::{Ed25519, Link};
use rtc_core::clock::VersionVector;
use rtc_core::ground::{Ground, GroundLife};
use rtc_core::horizon::{Cut, Frontier};
use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::message::{Head, Message};
use rtc_core::naive;
use rtc_core::op::{Op, OpCode};
use rtc_core::replica::{Replica, Stretch};
use rtc_core::room::{Input, Opening, Room};
use rtc_core::scene::Root;
use rtc_core::sync::{LinkId, Now, RoomFrame};
use rtc_core::value::Value;

use super::bounded;

const ROOM: RoomId = RoomId([1; 32]);

/// Somebody's room with a bit of everything in it; also its messages' bodies.
fn written() -> (Replica, Author, Vec<Vec<u8>>) {
    let mut author = Author::new(&ROOM, Actor::from_name("m"));
    let mut replica = Replica::new(Root::default());
    let mut bodies = Vec::new();
    let edits = [
        r#"{"otype":"node.insert","key":"a","value":{"x":1}}"#,
        r#"{"otype":"node.insert","key":"b","options":{"parent":"a","tag":"Mesh"}}"#,
        r#"{"otype":"node.insert","key":"gone"}"#,
        r#"{"otype":"node.remove","key":"gone"}"#,
        r#"{"otype":"number.add","key":"a","path":"x","value":2.5}"#,
        r#"{"otype":"text.insert","key":"b","path":"note","value":"hello"}"#,
        r#"{"otype":"text.delete","key":"b","path":"note","options":{"position":1,"length":2}}"#,
        r#"{"otype":"list.insert","key":"b","path":"list","value":["x","y"]}"#,
        r#"{"otype":"dict.put","key":"b","path":"dict","value":{"key":"k","value":1}}"#,
        r#"{"otype":"set.add","key":"b","path":"set","value":"s"}"#,
        r#"{"otype":"number.set","key":"a","path":"y","value":3}"#,
    ];
    for json in edits {
        let edit: EditOp = serde_json::from_str(json).expect("it is an edit");
        let about = About { request: json.contains("note").then_some("once"), ..About::default() };
        let made = author.commit(&[edit], about, &mut replica, |made| bodies.push(made.body.clone()));
        made.expect("it can be made");
    }
    author
        .commit(&[undo()], About::default(), &mut replica, |made| bodies.push(made.body.clone()))
        .expect("undone");
    (replica, author, bodies)
}

/// Of the last edit above.
fn undo() -> EditOp {
    let target = Dot { actor: Actor::from_name("m"), seq: 11 }.to_string();
    let options = [("target".to_owned(), target.into())].into();
    EditOp { otype: "meta.undo".into(), options, ..EditOp::default() }
}

/// A message of somebody who has seen all of `seen`, and sets a number.
fn later(seen: &VersionVector, lamport: u64) -> Message {
    let head = |(actor, seq)| Head { actor, seq, link: [0; 16] };
    Message {
        actor: Actor::from_name("later"),
        seq: 1,
        lamport,
        clock: seen.iter().map(head).collect(),
        time_ms: None,
        request: None,
        note: None,
        ops: ["a", "b"]
            .map(|key| Op {
                code: OpCode::named("number.set").expect("it is in the table"),
                key: key.into(),
                path: Some("x".into()),
                value: Value::number(9.0).unwrap_or_default(),
                options: Default::default(),
            })
            .into(),
    }
}

/// A replica's snapshot without its version and checksum.
pub(super) fn snapshot(content: &[u8]) {
    let checksum = blake3::derive_key("rtc 2026 snapshot checksum 1", content);
    let Ok(mut replica) = Replica::open([&[1], &checksum[..], content].concat()) else { return };
    let shown = replica.scene().count();
    assert!(shown <= replica.nodes_live());
    replica.image();
    replica.apply(&later(&replica.version_vector(), 1_000));
    replica.take_changes();
    replica.is_undone(&Dot { actor: Actor::from_name("m"), seq: 1 });
    assert!(!replica.is_cold(), "the history was asked");
    replica.state_hash();
}

pub(super) fn snapshots() -> Vec<Vec<u8>> {
    let (replica, author, bodies) = written();
    let history = Stretch::pack(author.actor(), 1, &bodies).expect("they are few");
    let seed = |replica: &Replica, history: &[Stretch]| {
        replica.snapshot(history).expect("it is whole")[33..].to_vec()
    };
    vec![seed(&replica, &history), seed(&Replica::new(Root::default()), &[])]
}

fn opening() -> Opening {
    Opening {
        room: ROOM,
        founding: None,
        keys: Arc::new(Ed25519::from_seed(&[7; 32])),
        epoch_fresh: 1,
        epoch_proof: None,
    }
}

/// A room's snapshot without its version and checksum; its history is that of the seed.
pub(super) fn room_snapshot(content: &[u8]) {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 room snapshot checksum 1");
    let checksum = *hasher.update(&ROOM.0).update(content).finalize().as_bytes();
    let bytes = [&[1], &checksum[..], content].concat();
    let Ok(mut room) = Room::open_from(opening(), &bytes, history()) else { return };
    let mut out = Vec::new();
    let link = LinkId(1);
    let told = RoomFrame::Vector { held: VersionVector::default(), runs_taken: 0, exact: true };
    let edit = EditOp { otype: "node.insert".into(), key: "z".into(), ..EditOp::default() };
    for input in [
        Input::PeerUp { link, peer: rtc_core::id::PeerKey([9; 32]) },
        Input::Frame { link, frame: told },
        Input::Edit { token: 1, edit: Edit { ops: vec![edit], ..Edit::default() } },
        Input::Flush,
    ] {
        room.handle(input, Now::default(), &mut out);
    }
    room.digest();
    room.heads();
    room.replica().state_hash();
}

fn history() -> Arc<[Stretch]> {
    let room = written_room();
    Stretch::pack(room.1, 1, &room.2).expect("they are few").into()
}

/// A room that wrote the same, whose actor it was, and the bodies.
fn written_room() -> (Room, Actor, Vec<Vec<u8>>) {
    let mut room = Room::open(opening());
    let mut out = Vec::new();
    for key in ["a", "b", "c"] {
        let ops = vec![EditOp { otype: "node.insert".into(), key: key.into(), ..EditOp::default() }];
        room.handle(
            Input::Edit { token: 1, edit: Edit { ops, ..Edit::default() } },
            Now::default(),
            &mut out,
        );
        room.handle(Input::Flush, Now::default(), &mut out);
    }
    let stored = out.into_iter().filter_map(|output| match output {
        rtc_core::room::Output::Store { records, .. } => Some(records),
        _ => None,
    });
    let records: Vec<_> = stored.flatten().collect();
    let actor = records[0].actor;
    (room, actor, records.into_iter().map(|record| record.body).collect())
}

pub(super) fn room_snapshots() -> Vec<Vec<u8>> {
    vec![written_room().0.snapshot().expect("it is whole")[33..].to_vec()]
}

pub(super) fn ground(bytes: &[u8]) {
    let Ok(ground) = Ground::decode(bytes) else { return };
    assert_eq!(ground.encode(), bytes);
    let Some(root) = root_of(&ground) else { return };
    let mut replica = Replica::on(&ground, root.clone());
    assert_eq!(replica.image(), naive::fold_on(&ground, &root, &[]).scene);
    if ground.lamport >= rtc_core::limits::LAMPORT_MAX || ground.version.len() > 8 {
        return;
    }
    let later = later(&ground.version, ground.lamport + 1);
    if ground.version.get(&later.actor) == 0 {
        replica.apply(&later);
        let folded = naive::fold_on(&ground, &root, &[later]);
        assert_eq!((replica.image(), replica.state_hash()), (folded.scene.clone(), folded.scene.hash()));
    }
}

/// The root with which the room began; none where there is not just one, or where nodes stand below none that is there. The hash that a horizon names keeps out such grounds.
fn root_of(ground: &Ground) -> Option<Root> {
    let mut roots = ground.nodes.iter().filter_map(|(key, node)| match &node.life {
        GroundLife::Lives { stands: None, tag, name, .. } => {
            let founder = ground.charter.members.first().map(|member| member.key);
            Some(Root { key: key.clone(), tag: tag.clone(), name: name.clone(), founder })
        }
        GroundLife::Lives { .. } | GroundLife::Ended | GroundLife::Never => None,
    });
    let parents = ground.nodes.values().filter_map(|node| node.parent.as_ref());
    let parents_there = parents.clone().all(|parent| ground.nodes.contains_key(parent));
    roots.next().filter(|_| roots.next().is_none() && parents_there)
}

pub(super) fn grounds() -> Vec<Vec<u8>> {
    let ground = |replica: Replica| replica.ground().expect("all of it can be folded").encode();
    vec![ground(written().0), ground(Replica::new(Root::default()))]
}

/// The text that a horizon carries, and the bytes that it stands for.
pub(super) fn frontier(bytes: &[u8]) {
    for text in [String::from_utf8_lossy(bytes).into_owned(), BASE64URL_NOPAD.encode(bytes)] {
        if let Some(frontier) = bounded(text.as_bytes(), 0, |_| Frontier::decode(&text)) {
            assert_eq!(frontier.encode(), text);
        }
    }
}

pub(super) fn frontiers() -> Vec<Vec<u8>> {
    let cut = |seq| Cut { seq, lamport: seq + 1, link: Link([5; 32]) };
    let cuts = [("a", 3), ("b", 1)].map(|(name, seq)| (Actor::from_name(name), cut(seq)));
    let text = cuts.into_iter().collect::<Frontier>().encode();
    vec![BASE64URL_NOPAD.decode(text.as_bytes()).expect("it is base64"), text.into_bytes()]
}
