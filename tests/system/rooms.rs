//! Rooms made, copied, chosen, left and deleted, as a user would.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use crate::home::{Home, Host, converged, eventually};

fn names(home: &Home) -> Vec<String> {
    let rooms = home.json(&["room", "list"]);
    let rooms = rooms["rooms"].as_array().expect("rooms");
    rooms.iter().map(|room| room["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_room_is_made_copied_and_chosen() {
    let a = Home::alone();
    a.start();
    a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=1"]);
    a.ok(&["edit", "cube", "number.add", "x", "1"]);
    let said = a.rtc(&["room", "create", "home"]);
    assert!(said.code == 1 && said.err.contains("already") && said.err.contains("hint:"), "{said:?}");
    assert_eq!(a.rtc(&["room", "create", "  "]).code, 1);
    assert_eq!(a.rtc(&["room", "create", "copy", "--from", "nowhere"]).code, 4);
    assert_eq!(names(&a), ["home"], "nothing was made where nothing could be copied");
    a.ok(&["room", "create", "lab"]);
    assert_eq!(a.ok(&["tree"]).lines().count(), 1, "the new room is the default one, and empty");
    a.ok(&["room", "create", "copy", "--from", "home"]);
    assert_eq!(a.ok(&["get", "cube", "x"]), "2");
    a.ok(&["edit", "cube", "number.add", "x", "5"]);
    assert_eq!(a.ok(&["get", "cube", "x", "--room", "home"]), "2", "a copy is another room");
    a.ok(&["room", "use", "home"]);
    assert_eq!(a.ok(&["get", "cube", "x"]), "2");
    assert_eq!(a.rtc(&["room", "use", "nowhere"]).code, 4);
    assert!(a.ok(&["room", "info", "copy"]).contains("nodes                      2"));
    a.rtcd(&["stop"]);
    a.start();
    let mut all = names(&a);
    assert_eq!(all.remove(0), "home", "the choice is remembered, and the default one comes first");
    all.sort();
    assert_eq!(all, ["copy", "lab"]);
}

#[test]
fn a_room_that_is_left_is_put_aside_and_comes_back_with_all_it_had() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "x=1"]);
    let ticket = a.ok(&["invite"]);
    converged(&[&a, &b]);
    let room = b.room()["room"].as_str().expect("an id").to_owned();
    // Left while the others cannot hear of the last edit.
    a.rtcd(&["stop"]);
    b.ok(&["edit", "cube", "number.add", "x", "1"]);
    b.ok(&["room", "leave", &room]);
    assert!(!b.path().join("data/rooms").join(&room).exists());
    assert!(b.path().join("data/left").join(&room).join("room.db").exists());
    assert_eq!(names(&b), ["home"], "its own room is left");
    let said = b.rtc(&["edit", "cube", "number.add", "x", "1", "--room", &room]);
    assert_eq!(said.code, 4, "{said:?}");
    let said = b.rtc(&["room", "leave", &room]);
    assert!(said.code == 4 && said.err.contains("left already"), "{said:?}");
    for slip in ["", &room[..2], &room] {
        assert_eq!(b.rtc(&["room", "rm", slip]).code, 4, "{slip:?} deletes nothing that was put aside");
    }
    assert_eq!(b.rtc(&["room", "rm", "", "--force"]).code, 4);
    b.rtcd(&["stop"]);
    b.start();
    assert_eq!(names(&b), ["home"], "it stays left");
    a.start();
    b.ok(&["join", &ticket]);
    converged(&[&a, &b]);
    assert_eq!(a.ok(&["get", "cube", "x"]), "2", "what nobody else had came back with the room");
}

#[test]
fn a_room_is_deleted_only_where_somebody_else_has_it() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "x=1"]);
    converged(&[&a, &b]);
    let room = b.room()["room"].as_str().expect("an id").to_owned();
    a.rtcd(&["stop"]);
    eventually("the connection is gone", || b.room()["peers_connected"] == 0);
    let said = b.rtc(&["room", "rm", &room]);
    assert!(said.code != 0 && said.err.contains("--force"), "{said:?}");
    a.start();
    eventually("they are in sync", || b.rtc(&["room", "rm", &room]).code == 0);
    let dir = b.path().join("data");
    assert!(!dir.join("rooms").join(&room).exists() && !dir.join("left").join(&room).exists());
    // The last one, which nobody else has.
    b.ok(&["edit", "cube", "node.insert"]);
    assert_ne!(b.rtc(&["room", "rm", "home"]).code, 0);
    b.ok(&["room", "rm", "home", "--force"]);
    assert_eq!(fs::read_dir(dir.join("rooms")).expect("a directory").count(), 0);
    let said = b.rtc(&["edit", "cube", "node.insert"]);
    assert!(said.code == 4 && said.err.contains("hint:"), "{said:?}");
    b.ok(&["room", "create", "anew"]);
    b.ok(&["edit", "cube", "node.insert"]);
    assert_eq!(a.ok(&["get", "cube", "x"]), "1", "the others keep theirs");
}

#[test]
fn whoever_watches_a_room_that_is_left_hears_so() {
    let a = Home::alone();
    a.start();
    a.ok(&["room", "create", "lab"]);
    let mut watch = a.command(&["watch"]);
    let mut child = watch.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("rtc can be run");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || lines.map_while(Result::ok).for_each(|line| _ = tell.send(line)));
    eventually("it tells of an edit", || {
        a.ok(&["edit", "cube", "node.insert"]);
        told.try_recv().is_ok()
    });
    a.ok(&["room", "leave", "lab"]);
    let said = child.wait_with_output().expect("it ends");
    reader.join().expect("it reads to the end");
    let err = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(4) && err.contains("left"), "{err}");
}
