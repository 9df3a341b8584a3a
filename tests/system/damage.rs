//! Damaged rooms: named with their reason, in nobody's way, and never mistaken for another one.

use std::fs::OpenOptions;
use std::path::PathBuf;

use crate::home::{Home, Host};

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
