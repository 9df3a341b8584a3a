//! The socket as clients meet it: real sockets, and a hub that the test plays.

use std::path::PathBuf;
use std::time::Duration;

use rtc_client::{Client, ClientError};
use rtc_core::api::{Ask, Event, Hello, LogEntry, PROTOCOL, Reply};
use rtc_core::id::{Actor, Dot};
use rtc_core::limits::{API_FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, SUBSCRIBER_EVENTS_MAX};
use rtc_core::value::Value;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Served {
    socket: PathBuf,
    events: mpsc::Receiver<SocketEvent>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Served {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("run/rtcd.sock");
        let listener = Listener::bind(&socket).await.unwrap();
        let (events_tx, events) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, events_tx, stopped));
        Self { socket, events, stop, serving, _dir: dir }
    }

    /// The next thing the hub would see.
    async fn next(&mut self) -> SocketEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("in time").expect("the socket is served")
    }

    async fn call(&mut self) -> (Caller, Request) {
        match self.next().await {
            SocketEvent::Call { caller, request } => (caller, request),
            SocketEvent::Gone { session } => panic!("session {} is gone", session.0),
        }
    }

    async fn raw(&self) -> Raw {
        Raw(UnixStream::connect(&self.socket).await.unwrap())
    }

    /// A connection that said hello and heard it.
    async fn greeted(&self) -> Raw {
        let mut raw = self.raw().await;
        raw.write(&frame::encode(&Hello { protocol: PROTOCOL, agent: "test".into(), pid: None }).unwrap())
            .await;
        assert_eq!(raw.read::<Hello>().await.unwrap().pid, Some(std::process::id()));
        raw
    }
}

/// A client that writes whatever bytes it likes.
struct Raw(UnixStream);

impl Raw {
    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn read<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        timeout(PATIENCE, frame::read(&mut self.0)).await.expect("in time").unwrap()
    }

    async fn refusal(&mut self) -> (u64, Code) {
        let answer: Answer = self.read().await.expect("an answer");
        (answer.id, answer.result.expect_err("a refusal").code)
    }
}

fn framed(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

fn status(id: u64) -> Vec<u8> {
    frame::encode(&Request { id, ask: Ask::Status {} }).unwrap()
}

fn done(id: u64) -> Vec<Answer> {
    vec![Answer { id, more: false, result: Ok(Reply::Done {}) }]
}

fn event(note_bytes: usize) -> Event {
    let message = LogEntry {
        id: Dot { actor: Actor::from_name("ada"), seq: 1 },
        lamport: 1,
        time_ms: None,
        note: Some("n".repeat(note_bytes)),
        undone: false,
        own: true,
        ops: Vec::new(),
    };
    Event::Message { message, changes: Vec::new() }
}

#[tokio::test]
async fn a_client_asks_and_is_answered_and_its_end_is_told() {
    let mut served = Served::start().await;
    let client = Client::connect_to(&served.socket).await.unwrap();
    assert_eq!(client.daemon().pid, Some(std::process::id()));
    let asking = tokio::spawn(async move { client.ask(Ask::Rooms {}).await });
    let (caller, request) = served.call().await;
    assert_eq!(request.ask, Ask::Rooms {});
    caller.answer(vec![Answer { id: request.id, more: false, result: Ok(Reply::Rooms(Vec::new())) }]);
    assert_eq!(asking.await.unwrap().unwrap(), Reply::Rooms(Vec::new()));
    let SocketEvent::Gone { session } = served.next().await else { panic!("the client is gone") };
    assert_eq!(session, caller.session());
    // What is said to who is gone is dropped.
    caller.answer(done(9));
    caller.event(9, &event(1));
}

#[tokio::test]
async fn another_protocol_is_named_both_ways_and_the_connection_ends() {
    let served = Served::start().await;
    let mut raw = served.raw().await;
    let theirs = Hello { protocol: PROTOCOL + 1, agent: "tomorrow".into(), pid: None };
    raw.write(&frame::encode(&theirs).unwrap()).await;
    assert_eq!(raw.read::<Hello>().await.unwrap().protocol, PROTOCOL);
    let answer: Answer = raw.read().await.unwrap();
    let refused = answer.result.unwrap_err();
    assert_eq!(refused.code, Code::Version);
    assert!(
        refused.message.contains("protocol 1") && refused.message.contains("tomorrow speaks 2"),
        "{refused}"
    );
    assert_eq!(raw.read::<Answer>().await, None);
}

#[tokio::test]
async fn a_bad_request_is_answered_and_the_next_good_one_is_heard() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    #[derive(serde::Serialize)]
    struct Odd {
        id: u64,
        ask: &'static str,
    }
    let mut unknown = Vec::new();
    ciborium::into_writer(&Odd { id: 5, ask: "make_coffee" }, &mut unknown).unwrap();
    let mut deep = vec![0x81; 1_000_000];
    deep.push(0x80);
    let trailing = [&status(6)[4..], &[0xf6]].concat();
    for (content, id) in [(&b"not cbor"[..], 0), (b"", 0), (&unknown, 5), (&deep, 0), (&trailing, 0)] {
        raw.write(&framed(content)).await;
        assert_eq!(raw.refusal().await, (id, Code::BadRequest));
    }
    raw.write(&status(7)).await;
    let (caller, request) = served.call().await;
    caller.answer(done(request.id));
    assert_eq!(raw.read::<Answer>().await.unwrap().id, 7);
}

#[tokio::test]
async fn a_value_too_deep_is_refused_and_one_at_the_limit_is_not() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    let edit = |depth: usize| {
        let value = (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        let op =
            rtc_core::api::EditOp { otype: "array.push".into(), value: Some(value), ..Default::default() };
        let edit = rtc_core::api::Edit { ops: vec![op], ..Default::default() };
        frame::encode(&Request { id: 1, ask: Ask::Edit(edit) }).unwrap()
    };
    let limit = rtc_core::limits::VALUE_DEPTH_MAX;
    raw.write(&edit(limit + 1)).await;
    assert_eq!(raw.refusal().await, (1, Code::BadRequest));
    raw.write(&edit(limit)).await;
    served.call().await;
}

#[tokio::test]
async fn a_frame_beyond_the_limit_ends_the_connection_with_a_reason() {
    let served = Served::start().await;
    let mut raw = served.greeted().await;
    raw.write(&u32::try_from(API_FRAME_BYTES_MAX + 1).unwrap().to_be_bytes()).await;
    assert_eq!(raw.refusal().await, (0, Code::TooLarge));
    assert_eq!(raw.read::<Answer>().await, None);
}

#[tokio::test]
async fn a_request_cut_off_changes_nothing() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    let whole = status(1);
    raw.write(&whole[..whole.len() - 1]).await;
    drop(raw);
    assert!(matches!(served.next().await, SocketEvent::Gone { .. }));
}

#[tokio::test]
async fn requests_beyond_those_under_way_wait_in_the_socket() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    let all = REQUESTS_IN_FLIGHT_MAX as u64 + 3;
    raw.write(&(1..=all).flat_map(status).collect::<Vec<_>>()).await;
    let mut calls = Vec::new();
    while calls.len() < REQUESTS_IN_FLIGHT_MAX {
        calls.push(served.call().await);
    }
    // Nothing comes until one is answered; then exactly one does.
    assert!(served.events.try_recv().is_err());
    calls[0].0.answer(done(calls[0].1.id));
    assert_eq!(served.call().await.1.id, REQUESTS_IN_FLIGHT_MAX as u64 + 1);
    assert!(served.events.try_recv().is_err());
}

#[tokio::test]
async fn a_number_under_way_cannot_be_used_twice() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    raw.write(&[status(4), status(4)].concat()).await;
    assert_eq!(raw.refusal().await, (0, Code::BadRequest));
    let (caller, _) = served.call().await;
    caller.answer(done(4));
    assert_eq!(raw.read::<Answer>().await.unwrap().id, 4);
    raw.write(&status(4)).await;
    served.call().await;
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_much_it_missed_and_then_goes_on() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    raw.write(
        &frame::encode(&Request { id: 3, ask: Ask::Watch { room: None, presence: false, drafts: false } })
            .unwrap(),
    )
    .await;
    let (caller, _) = served.call().await;
    caller.answer(vec![Answer { id: 3, more: true, result: Ok(Reply::Watching {}) }]);
    let sent = SUBSCRIBER_EVENTS_MAX as u64 * 2;
    (0..sent).for_each(|_| caller.event(3, &event(10)));
    let (mut seen, mut missed) = (0, 0);
    assert_eq!(raw.read::<Answer>().await.unwrap().result, Ok(Reply::Watching {}));
    while seen + missed < sent {
        match raw.read::<Answer>().await.unwrap().result.unwrap() {
            Reply::Event(Event::Message { .. }) => seen += 1,
            Reply::Event(Event::Lagged { dropped }) => missed += dropped,
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0 && seen >= SUBSCRIBER_EVENTS_MAX as u64);
    caller.event(3, &event(10));
    let last = raw.read::<Answer>().await.unwrap();
    assert!(matches!(last.result, Ok(Reply::Event(Event::Message { .. }))));
}

#[tokio::test]
async fn a_client_that_sends_its_last_request_still_hears_the_answer() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    raw.write(&status(1)).await;
    raw.0.shutdown().await.unwrap();
    let (caller, request) = served.call().await;
    caller.answer(done(request.id));
    assert_eq!(raw.read::<Answer>().await.unwrap().id, 1);
    assert_eq!(raw.read::<Answer>().await, None);
}

#[tokio::test]
async fn stopping_writes_what_was_answered_and_ends_all_sessions() {
    let mut served = Served::start().await;
    let mut raw = served.greeted().await;
    let mut idle = served.greeted().await;
    raw.write(&status(1)).await;
    let (caller, request) = served.call().await;
    caller.answer(done(request.id));
    served.stop.send(true).unwrap();
    assert_eq!(raw.read::<Answer>().await.unwrap().id, 1);
    assert_eq!(raw.read::<Answer>().await, None);
    assert_eq!(idle.read::<Answer>().await, None);
    timeout(PATIENCE, served.serving).await.unwrap().unwrap();
    assert!(!served.socket.exists());
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let served = Served::start().await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS_MAX {
        sessions.push(served.greeted().await);
    }
    match Client::connect_to(&served.socket).await {
        Err(ClientError::Refused(error)) => assert_eq!(error.code, Code::Busy),
        other => panic!("{other:?}"),
    }
    sessions.pop();
    // Its place is free as soon as the daemon has seen it go.
    timeout(PATIENCE, async { while Client::connect_to(&served.socket).await.is_err() {} }).await.unwrap();
}
