//! Clients that misbehave on the local socket: too many, too slow, or gone in the middle. Everybody else is served.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rtc_client::blocking::Client;
use rtc_client::{Places, frame};
use rtc_core::api::{Ask, Code, Edit, EditOp, Hello, PROTOCOL, Reply, Request};
use rtc_core::limits::{SESSIONS_MAX, SUBSCRIPTIONS_MAX};

use crate::chance;
use crate::home::{Home, eventually};

/// Connections made, as far as the system lets one process open that many.
const CONNECTIONS: usize = 10_000;
/// Clients of each bad kind: together they leave some places.
const BAD_CLIENTS: usize = SESSIONS_MAX / 3;
/// Requests of a client that never reads: each is answered with the whole scene.
const UNREAD: u64 = 20;
/// What the daemon may hold with all of them: far below what all of these answers are together.
const RESIDENT_BYTES_MAX: u64 = 512 * 1024 * 1024;

fn client(home: &Home) -> Client {
    Client::connect(&Places::of_home(home.path()).expect("places")).expect("the daemon answers")
}

fn add(n: u64) -> Ask {
    let op = EditOp {
        otype: "number.add".into(),
        key: "cube".into(),
        path: Some("x".into()),
        value: Some(serde_json::from_value(1.into()).expect("a number")),
        ..EditOp::default()
    };
    Ask::Edit(Edit { ops: vec![op], request: Some(format!("r{n}")), ..Edit::default() })
}

/// A connection that has said hello, and so much more.
fn raw(home: &Home, more: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(home.socket()).expect("the socket");
    let hello = Hello { protocol: PROTOCOL, agent: "test".into(), pid: None };
    let hello = frame::encode(&hello).expect("it is short");
    stream.write_all(&[&hello, more].concat()).expect("it fits into the socket");
    stream
}

fn encoded(id: u64, ask: Ask) -> Vec<u8> {
    frame::encode(&Request { id, ask }).expect("it is short")
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("the system tells limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}

#[test]
fn clients_beyond_number_half_said_and_deaf_hold_nobody_up() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert", "x=0"]);
    let text = "x".repeat(50_000);
    for n in 0..20 {
        home.ok(&["edit", "cube", "string.set", &format!("text-{n}"), &text]);
    }
    let pid = home.pid();
    let served = client(&home);
    let half: Vec<_> = (0..BAD_CLIENTS).map(|_| raw(&home, &encoded(1, add(0))[..9])).collect();
    let scene = || Ask::Scene { room: None, at: None };
    let requests: Vec<u8> = (1..=UNREAD).flat_map(|id| encoded(id, scene())).collect();
    let deaf: Vec<_> = (0..BAD_CLIENTS).map(|_| raw(&home, &requests)).collect();
    // These say nothing at all. Most are told that there are too many.
    let count = CONNECTIONS.min(descriptors() / 2);
    let silent: Vec<_> =
        (0..count).map(|_| UnixStream::connect(home.socket()).expect("the socket")).collect();
    for n in 1..=50 {
        let answer = served.ask(add(n)).expect("it is served");
        assert!(matches!(answer, Reply::Edited(_)), "{answer:?}");
    }
    // Who has not said hello in time has no place any more.
    eventually("a newcomer is served beside them", || home.rtc(&["get", "cube", "x"]).out.trim() == "50");
    let Reply::Status(status) = served.ask(Ask::Status {}).expect("it is served") else {
        panic!("a status is the answer")
    };
    let resident = status.resident_bytes.expect("the system tells");
    assert!(resident < RESIDENT_BYTES_MAX, "{resident} bytes");
    chance::say(&format!(
        "{count} silent, {BAD_CLIENTS} half-said and {BAD_CLIENTS} deaf clients: the daemon holds {} MiB",
        resident >> 20
    ));
    drop((half, deaf, silent));
    assert_eq!((home.pid(), home.ok(&["get", "cube", "x"])), (pid, "50".to_owned()));
}

#[test]
fn a_client_that_dies_in_the_middle_of_a_commit_leaves_it_whole() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert", "x=0"]);
    for n in 1..=20 {
        let mut stream = raw(&home, &[]);
        stream.read_exact(&mut [0; 4]).expect("the daemon says hello");
        stream.write_all(&encoded(1, add(n))).expect("it fits into the socket");
    }
    eventually("what was said to the end is done", || home.ok(&["get", "cube", "x"]) == "20");
    // Whoever was not answered asks again, and it is done once.
    let again = client(&home);
    for n in 1..=20 {
        let Reply::Edited(edited) = again.ask(add(n)).expect("it is served") else {
            panic!("an edit is the answer")
        };
        assert!(edited.repeated);
    }
    assert_eq!(home.ok(&["get", "cube", "x"]), "20");
}

#[test]
fn one_watch_too_many_is_refused_by_its_limit() {
    let home = Home::alone();
    home.start();
    let client = client(&home);
    for _ in 0..SUBSCRIPTIONS_MAX {
        let mut events =
            client.stream(Ask::Watch { room: None, presence: false, drafts: false }).expect("it is asked");
        assert!(matches!(events.next(), Some(Ok(Reply::Watching { .. }))));
    }
    let mut events =
        client.stream(Ask::Watch { room: None, presence: false, drafts: false }).expect("it is asked");
    let Some(Err(rtc_client::ClientError::Refused(error))) = events.next() else { panic!("it is refused") };
    assert_eq!(error.code, Code::TooLarge);
    assert!(error.message.contains(&format!("more than {SUBSCRIPTIONS_MAX} subscriptions")), "{error}");
}
