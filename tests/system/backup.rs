//! Backups made while the daemon runs, put back, and never a number given twice.

use std::fs;
use std::process::Stdio;

use crate::home::{Home, Host, converged, eventually};

fn actor_and_number(home: &Home) -> (String, u64) {
    let log = home.json(&["log", "--limit", "1"]);
    let id = log["id"].as_str().or_else(|| log["messages"][0]["id"].as_str()).expect("an id");
    let (actor, number) = id.split_once(':').expect("actor:number");
    (actor.to_owned(), number.parse().expect("a number"))
}

#[test]
fn a_backup_of_a_running_daemon_is_put_back_and_no_number_is_given_twice() {
    let host = Host::new();
    let (a, b) = host.joined();
    a.ok(&["edit", "cube", "node.insert", "x=1"]);
    let file = a.path().join("backup");
    let path = file.to_str().expect("text");
    a.ok(&["backup", path]);
    a.ok(&["edit", "cube", "number.add", "x", "1", "--wait", "peer"]);
    let (epoch, told) = actor_and_number(&a);
    let hash = converged(&[&a, &b]);
    // The disk is lost, but for the key and the rooms' names; the peer is away.
    b.rtcd(&["stop"]);
    a.rtcd(&["stop"]);
    let rooms = a.path().join("data/rooms");
    for room in fs::read_dir(&rooms).expect("rooms").map(|room| room.expect("a room").path()) {
        fs::remove_dir_all(&room).expect("it is lost");
    }
    a.start();
    a.ok(&["restore", path]);
    assert_eq!(a.ok(&["get", "cube", "x"]), "1", "as it was when the backup was made");
    let doctor = a.ok(&["doctor"]);
    assert!(doctor.contains("each whole and signed"), "{doctor}");
    a.ok(&["edit", "cube", "number.add", "x", "10"]);
    let (fresh, number) = actor_and_number(&a);
    assert!(fresh != epoch && number == 1, "{epoch}:{told} was told, now {fresh}:{number}");
    b.start();
    let merged = converged(&[&a, &b]);
    assert_ne!(merged, hash);
    assert_eq!(b.ok(&["get", "cube", "x"]), "12", "what was lost and what came since are both there");
    // Restoring what is there already takes nothing away.
    a.ok(&["restore", path]);
    assert_eq!(converged(&[&a, &b]), merged);
    a.ok(&["edit", "cube", "number.add", "x", "1"]);
    assert_eq!(actor_and_number(&a), (fresh, 2), "nothing was lost, so the epoch goes on");
}

#[test]
fn a_backup_that_is_none_is_refused_and_changes_nothing() {
    let a = Home::alone();
    a.start();
    a.ok(&["edit", "cube", "node.insert"]);
    let file = a.path().join("backup");
    let path = file.to_str().expect("text");
    let hash = a.state_hash();
    a.ok(&["backup", path]);
    let mut bytes = fs::read(&file).expect("the backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&file, bytes).expect("it is written");
    for (path, says) in [
        (path, "damaged"),
        ("/dev/null", "damaged"),
        ("/etc/passwd", "no backup"),
        ("/no/such", "No such file"),
    ] {
        let said = a.rtc(&["restore", path]);
        assert!(said.code == 1 && said.err.contains(says), "{path}: {said:?}");
    }
    assert_eq!(a.state_hash(), hash);
    let said = a.rtc(&["backup", "/no/such/directory/backup"]);
    assert!(said.code == 1 && said.err.contains("hint:"), "{said:?}");
}

#[test]
fn a_room_whose_file_is_lost_comes_back_from_its_members() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "x=1"]);
    b.ok(&["edit", "cube", "number.add", "x", "1"]);
    let (epoch, told) = actor_of_own(&a);
    let hash = converged(&[&a, &b]);
    let room = a.room()["room"].as_str().expect("an id").to_owned();
    a.rtcd(&["stop"]);
    fs::remove_file(a.path().join("data/rooms").join(room).join("room.db")).expect("it is lost");
    a.start();
    assert!(
        a.room()["read_only"].as_str().is_some_and(|why| why.contains("doctor --repair")),
        "{}",
        a.room()
    );
    a.ok(&["restore", "--from-peers"]);
    eventually("everything is back", || a.state_hash() == hash);
    a.ok(&["edit", "cube", "number.add", "x", "1"]);
    // All its own came back too: then it knows which number it told last, and goes on after it.
    let (then, number) = actor_of_own(&a);
    assert!(then != epoch || number > told, "{epoch}:{told} was told, now {then}:{number}");
    converged(&[&a, &b]);
    assert_eq!(b.ok(&["get", "cube", "x"]), "3");
    let said = a.rtc(&["restore", "--from-peers"]);
    assert!(said.code == 4 && said.err.contains("rtc join"), "nothing is lost now: {said:?}");
}

/// The epoch and number of the newest message this daemon made.
fn actor_of_own(home: &Home) -> (String, u64) {
    home.ok(&["edit", "own", "node.insert"]);
    actor_and_number(home)
}

#[test]
fn what_is_told_after_the_key_changed_stays_though_the_room_was_being_put_back() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert", "x=0"]);
    // So many that it takes longer to put them back than to start anew.
    let step = r#"{"key":"cube","otype":"number.add","path":"x","value":1}"#;
    home.pipe(&["edit", "-"], &vec![step; 10_000].join("\n"));
    let file = home.path().join("backup");
    let path = file.to_str().expect("text");
    home.ok(&["backup", path]);
    let mut restoring = home.command(&["restore", path]);
    let mut restoring =
        restoring.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("rtc can be run");
    eventually("it is under way, or over", || {
        home.rtc(&["get", "cube", "x"]).code != 0 || restoring.try_wait().expect("a child").is_some()
    });
    // It would ask the daemon again.
    let _ = restoring.kill();
    restoring.wait().expect("it ends");
    home.ok(&["identity", "rotate"]);
    for _ in 0..100 {
        home.ok(&["edit", "cube", "number.add", "x", "1"]);
    }
    home.rtcd(&["stop"]);
    home.start();
    assert_eq!(home.ok(&["get", "cube", "x"]), "10100");
    home.ok(&["doctor"]);
}
