//! Bad bytes: on the socket, on the network, from somebody else. The answer is an error, and nothing changes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::home::Home;

fn frame(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("short");
    [&len.to_be_bytes()[..], bytes].concat()
}

/// Sends bytes to the socket and reads until the daemon hangs up or falls silent.
fn said_to(home: &Home, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(home.socket()).expect("the socket");
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    // The daemon may have hung up before the last byte: that is an answer too.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..len]);
    }
    answer
}

fn cbor(value: &serde_json::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("memory");
    bytes
}

#[test]
fn bad_frames_on_the_socket_get_an_error_and_change_nothing() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert"]);
    let before = (home.state_hash(), home.pid());
    let hello = frame(&cbor(&serde_json::json!({"protocol": 1, "agent": "test"})));
    let other = frame(&cbor(&serde_json::json!({"protocol": 9999, "agent": "test"})));
    let contains =
        |answer: &[u8], text: &str| answer.windows(text.len()).any(|window| window == text.as_bytes());

    let answer = said_to(&home, &other);
    assert!(contains(&answer, "version"), "another protocol is named: {answer:?}");
    let answer = said_to(&home, &[hello.clone(), frame(b"\xff\xff\xff")].concat());
    assert!(contains(&answer, "bad_request"), "{answer:?}");
    let answer = said_to(
        &home,
        &[hello.clone(), frame(&cbor(&serde_json::json!({"id": 1, "ask": {"fly": {}}})))].concat(),
    );
    assert!(contains(&answer, "bad_request"), "{answer:?}");
    let answer = said_to(&home, &[hello.clone(), u32::MAX.to_be_bytes().to_vec()].concat());
    assert!(contains(&answer, "too_large") || contains(&answer, "bad_request"), "{answer:?}");
    // A bomb of nested lists, a cut frame, and noise instead of a hello.
    said_to(&home, &[hello.clone(), frame(&vec![0x81; 1_000_000])].concat());
    said_to(&home, &[hello, vec![0, 0, 1, 0, 1, 2, 3]].concat());
    said_to(&home, &[0x41; 4096]);

    assert_eq!((home.state_hash(), home.pid()), before, "nothing changed, and it is the same process");
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
}

#[test]
fn noise_on_the_network_port_changes_nothing() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert"]);
    let before = (home.state_hash(), home.pid());
    let address = home.json(&["status"])["listening"][0].as_str().unwrap().to_owned();
    let port: u16 = address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a TCP address");
    for noise in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 65536], b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff\xff\xff"]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port");
        let _ = stream.write_all(noise);
    }
    assert_eq!((home.state_hash(), home.pid()), before);
}

#[cfg(target_os = "linux")]
#[test]
fn the_socket_and_the_key_are_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::alone();
    home.start();
    let mode = |path: &std::path::Path| path.metadata().expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(&home.socket()), 0o600);
    assert_eq!(mode(home.socket().parent().unwrap()), 0o700);
    let places = rtc_client::Places::of_home(home.path()).unwrap();
    let keys = std::fs::read_dir(&places.data_dir).unwrap().map(|entry| entry.unwrap().path());
    let keys: Vec<_> = keys.filter(|path| path.is_file()).collect();
    assert!(!keys.is_empty());
    assert!(keys.iter().all(|path| mode(path) & 0o077 == 0), "{keys:?}");
}
