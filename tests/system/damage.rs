//! Damaged rooms: named with their reason, in nobody's way, and never mistaken for another one.

use std::fs::OpenOptions;
use std::path::PathBuf;

use crate::home::{Home, Host, converged, eventually, signal};

/// The file of the room that status tells of at `place`; the default room comes first.
fn room_file(home: &Home, place: usize) -> (String, PathBuf) {
    let room = home.json(&["status"])["rooms"][place]["room"].as_str().expect("an id").to_owned();
    let file = home.path().join("data/rooms").join(&room).join("room.db");
    (room, file)
}

fn cut_to(file: &PathBuf, bytes: u64) {
    OpenOptions::new().write(true).open(file).expect("the file").set_len(bytes).expect("it is cut");
}

#[test]
fn a_damaged_default_room_is_named_and_its_edits_go_nowhere_else() {
    let host = Host::new();
    let (a, b) = (host.home(), host.home());
    a.start();
    b.start();
    a.ok(&["edit", "mine", "node.insert"]);
    a.join(&b);
    a.ok(&["edit", "ours", "node.insert"]);
    let (shared, shared_file) = room_file(&a, 0);
    let (own, _) = room_file(&a, 1);
    for bytes in [5_000, 0] {
        a.rtcd(&["stop"]);
        cut_to(&shared_file, bytes);
        a.start();
        let damaged = a.room();
        assert_eq!((damaged["room"].as_str(), damaged["default"].as_bool()), (Some(&*shared), Some(true)));
        assert!(damaged["read_only"].is_string(), "{damaged}");
        for room in [&[][..], &["--room", &shared]] {
            let said = a.rtc(&[&["edit", "mine", "number.add", "x", "1"], room].concat());
            assert_eq!(said.code, 1, "{said:?}");
            assert!(said.err.contains("cannot be opened") && said.err.contains("hint:"), "{said:?}");
        }
        a.ok(&["--room", &own, "edit", "mine", "number.add", "x", "1"]);
    }
    assert_eq!(a.ok(&["--room", &own, "get", "mine", "x"]), "2");
    // Emptied, it can be joined again, and everything comes back from its members.
    a.join(&b);
    a.ok(&["get", "ours"]);
}

#[test]
fn what_is_left_of_forgotten_messages_comes_back_from_a_peer() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "n", "node.insert", "x=0"]);
    for _ in 0..5 {
        a.ok(&["edit", "n", "number.add", "x", "1", "--wait", "peer"]);
    }
    a.json(&["compact", "--undo-window", "0s", "--absence-limit", "0s"]);
    eventually("both have forgotten", || a.messages() < 5 && a.messages() == b.messages());
    a.ok(&["edit", "n", "number.add", "x", "1"]);
    let hash = converged(&[&a, &b]);
    // A copy of a room that has forgotten puts back what it had.
    let backup = a.path().join("backup");
    b.ok(&["backup", backup.to_str().expect("text")]);
    let (_, file) = room_file(&b, 0);
    let horizon = b.room()["horizon"].as_str().expect("a horizon").to_owned();
    b.rtcd(&["stop"]);
    rot_ground(&file, &horizon);
    let pid = a.pid();
    signal(pid, "STOP");
    b.start();
    let doctor = b.rtc(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("ground"), "{doctor:?}");
    let repaired = b.rtc(&["doctor", "--repair"]);
    assert!(
        repaired.code == 0 && repaired.out.contains("what was left of forgotten messages"),
        "{repaired:?}"
    );
    signal(pid, "CONT");
    eventually("it is handed over", || b.state_hash() == hash);
    assert_eq!(converged(&[&a, &b]), hash);
    assert_eq!(b.room()["horizon"].as_str(), Some(&*horizon));
    b.ok(&["doctor"]);
    b.rtcd(&["stop"]);
    rot_ground(&file, &horizon);
    signal(pid, "STOP");
    b.start();
    b.ok(&["restore", backup.to_str().expect("text")]);
    assert_eq!(b.state_hash(), hash);
    signal(pid, "CONT");
    b.ok(&["edit", "n", "number.add", "x", "1"]);
    converged(&[&a, &b]);
    assert_eq!(a.ok(&["get", "n", "x"]), "7");
}

/// Flips a bit of what is left of forgotten messages, which begins with the horizon's name.
fn rot_ground(file: &PathBuf, horizon: &str) {
    let mut bytes = std::fs::read(file).expect("the file");
    let places = 0..bytes.len() - horizon.len();
    let places: Vec<usize> = places.filter(|&at| bytes[at..].starts_with(horizon.as_bytes())).collect();
    assert!(!places.is_empty(), "it is in the file");
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    std::fs::write(file, bytes).expect("it is written");
}
