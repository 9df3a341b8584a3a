//! What clients and the daemon say to each other over the local socket.

use std::fmt::Debug;

use rtc_client::frame;
use rtc_core::api::{
    Answer, Ask, At, Commit, Edit, EditOp, Hello, Present, Reply, Request, Stage, Undo, Wait,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bounded;

/// What serde makes room for before the items of a list are there, for each list around another.
const LISTS_AHEAD: u64 = 4 * 1024 * 1024;

pub(super) fn request(bytes: &[u8]) {
    check::<Request>(bytes);
    check::<Hello>(bytes);
    check::<Answer>(bytes);
}

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(read) = bounded(bytes, LISTS_AHEAD, frame::decode::<T>) else { return };
    let written = frame::encode(&read).expect("it came in a frame");
    assert_eq!(frame::decode::<T>(&written[4..]).expect("it was just written"), read);
}

pub(super) fn requests() -> Vec<Vec<u8>> {
    let room = Some("lab".to_owned());
    let op = EditOp {
        otype: "vector3.add".into(),
        key: "cube".into(),
        path: Some("position".into()),
        value: rtc_core::value::Value::numbers(&[1.0, 0.5, -2.0]),
        options: [("order".to_owned(), "XYZ".into())].into(),
    };
    let edit = Edit {
        room: room.clone(),
        ops: vec![op],
        note: Some("note".into()),
        request: Some("r".into()),
        wait: Wait::Peers(2),
        timeout_ms: Some(9),
    };
    let asks = [
        Ask::Status {},
        Ask::Edit(edit),
        Ask::Undo(Undo::default()),
        Ask::Node { room: room.clone(), key: "cube".into(), at: Some(At::Time(7)) },
        Ask::Scene { room: room.clone(), at: Some(At::Version(Default::default())) },
        Ask::Blame { room: room.clone(), key: "cube".into(), path: None, all: true, at: None },
        Ask::Watch { room: room.clone(), presence: true, drafts: false },
        Ask::Value { room: room.clone(), key: "cube".into(), path: "x".into(), at: Some(At::Draft(None)) },
        Ask::Present(Present { room: room.clone(), fields: [("name".to_owned(), "Ann".into())].into() }),
        Ask::Stage(Stage { room, draft: Some("mine".into()), ops: vec![], replace: true }),
        Ask::Commit(Commit::default()),
        Ask::Unwatch { watch: 3 },
        Ask::Join { ticket: "rtc1".into(), timeout_ms: 3 },
    ];
    let hello = Hello { protocol: 1, agent: "fuzz".into(), pid: Some(1) };
    let answer = Answer { id: 1, more: true, result: Ok(Reply::Done {}) };
    let mut seeds: Vec<Vec<u8>> = (1..).zip(asks).map(|(id, ask)| content(&Request { id, ask })).collect();
    seeds.extend([content(&hello), content(&answer)]);
    seeds
}

fn content<T: Serialize>(of: &T) -> Vec<u8> {
    frame::encode(of).expect("it is short")[4..].to_vec()
}
