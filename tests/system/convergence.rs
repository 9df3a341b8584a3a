//! Several daemons, one scene.

use crate::home::{Home, Host, converged, eventually};

#[test]
fn two_daemons_edit_one_scene() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube-1", "node.insert", "tag=Mesh"]);
    a.ok(&["edit", "cube-1", "vector3.add", "transform.position", "1", "0", "0"]);
    converged(&[&a, &b]);
    b.ok(&["edit", "cube-1", "vector3.add", "transform.position", "-1", "0", "-1.5e-3"]);
    converged(&[&a, &b]);
    assert_eq!(a.ok(&["get", "cube-1", "transform.position"]), "[0,0,-0.0015]");
    assert_eq!(a.ok(&["tree", "--props"]), b.ok(&["tree", "--props"]));
}

#[test]
fn three_daemons_agree_after_two_edited_apart() {
    let host = Host::new();
    let homes = [host.home(), host.home(), host.home()];
    homes[0].start();
    homes[0].ok(&["edit", "cube", "node.insert", "tag=Mesh", "+", "cube", "number.set", "x", "10"]);
    for home in &homes[1..] {
        home.start();
        home.join(&homes[0]);
    }
    let [a, b, c] = &homes;
    converged(&[a, b, c]);
    // Each edits while nobody else runs.
    for home in [b, c] {
        home.rtcd(&["stop"]);
    }
    a.ok(&["edit", "cube", "number.set", "x", "1"]);
    a.rtcd(&["stop"]);
    b.start();
    b.ok(&["edit", "cube", "number.add", "x", "5"]);
    b.rtcd(&["stop"]);
    c.start();
    c.ok(&["edit", "lamp", "node.insert", "parent=cube"]);
    a.start();
    b.start();
    converged(&[a, b, c]);
    // The concurrent add survives the set.
    assert_eq!(c.ok(&["get", "cube", "x"]), "6");
    assert_eq!(a.ok(&["get", "lamp"]), c.ok(&["get", "lamp"]));
}

#[test]
fn what_one_peer_has_of_an_absent_one_reaches_a_third() {
    let host = Host::new();
    let (a, b, c) = (host.home(), host.home(), host.home());
    a.start();
    b.start();
    b.join(&a);
    a.ok(&["edit", "cube", "node.insert"]);
    // So that it can invite, too.
    a.ok(&["members", "role", &b.ok(&["identity", "show"]), "owner"]);
    converged(&[&a, &b]);
    a.rtcd(&["stop"]);
    c.start();
    c.join(&b);
    assert_eq!(c.state_hash(), b.state_hash(), "join returns when the first sync is done");
    assert_eq!(c.messages(), b.messages());
}

#[test]
fn strangers_on_one_host_do_not_merge_their_scenes() {
    let (a, b) = Host::new().strangers();
    a.ok(&["edit", "mine", "node.insert"]);
    eventually("they are connected", || a.json(&["status"])["peers_connected"] == 1);
    assert_eq!(b.rtc(&["get", "mine"]).code, 4);
    assert_eq!(b.messages(), 0);
    let peers = a.json(&["peers"]);
    assert_eq!(peers["peers"][0]["rooms"], serde_json::json!([]), "nothing is shared: {peers}");
}

#[test]
fn joining_keeps_the_earlier_room_unmerged() {
    let (a, b) = Host::new().strangers();
    b.ok(&["edit", "old", "node.insert"]);
    let old = b.room()["room"].as_str().unwrap().to_owned();
    b.join(&a);
    assert_eq!(b.rtc(&["get", "old"]).code, 4, "the joined room is the default one");
    assert_eq!(b.rtc(&["--room", &old, "get", "old"]).code, 0, "the earlier one is kept");
    assert_eq!(a.rtc(&["get", "old"]).code, 4, "and not merged");
}

#[test]
fn an_edit_can_wait_for_a_peer() {
    let host = Host::new();
    let (a, b) = (host.home(), host.home());
    a.start();
    let alone = a.rtc(&["edit", "cube", "node.insert", "--wait", "peer", "--timeout", "200ms"]);
    assert_eq!(alone.code, 5, "{alone:?}");
    assert_eq!(a.rtc(&["get", "cube"]).code, 0, "the edit is kept");
    b.start();
    b.join(&a);
    a.ok(&["edit", "cube", "number.set", "x", "1", "--wait", "peer"]);
    assert_eq!(b.ok(&["get", "cube", "x"]), "1");
}

#[test]
fn undo_and_redo_reach_everybody() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "x=1"]);
    a.ok(&["edit", "cube", "number.add", "x", "10"]);
    converged(&[&a, &b]);
    b.ok(&["edit", "cube", "number.add", "x", "100"]);
    converged(&[&a, &b]);
    a.ok(&["undo"]);
    converged(&[&a, &b]);
    assert_eq!(b.ok(&["get", "cube", "x"]), "101");
    a.ok(&["redo"]);
    converged(&[&a, &b]);
    assert_eq!(b.ok(&["get", "cube", "x"]), "111");
    assert_eq!(b.rtc(&["redo"]).code, 4, "b has undone nothing");
}

#[test]
fn a_watcher_on_one_daemon_sees_an_edit_on_another() {
    use std::io::BufRead;
    let (a, b) = Host::new().joined();
    let mut watch = b.command(&["watch", "--json"]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().expect("rtc watch runs");
    let mut lines = std::io::BufReader::new(watch.stdout.take().expect("piped")).lines();
    // The subscription stands once the daemon says so; an edit before that could be missed.
    let first = lines.next().expect("a line").expect("text");
    assert!(first.contains("rtc.watching"), "{first}");
    a.ok(&["edit", "cube", "node.insert", "tag=Mesh"]);
    let line = lines.next().expect("a line").expect("text");
    assert!(line.contains("cube") && line.contains("rtc.event"), "{line}");
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
}

#[test]
fn joining_needs_no_address_on_one_host() {
    let (a, b) = Host::new().strangers();
    let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().unwrap().to_owned();
    b.ok(&["join", &ticket]);
    a.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
}

#[test]
fn hosts_without_a_common_directory_meet_by_address() {
    let (a, b) = (Home::alone(), Home::alone());
    a.start();
    b.start();
    let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().unwrap().to_owned();
    assert_eq!(b.rtc(&["join", &ticket, "--timeout", "300ms"]).code, 7, "nobody is in reach");
    let address = a.json(&["status"])["listening"][0].as_str().unwrap().to_owned();
    b.ok(&["peers", "add", &address]);
    a.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
}

#[test]
fn peers_that_see_the_same_say_so_and_raise_no_alarm() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "n", "node.insert", "x=1"]);
    b.ok(&["edit", "n", "number.add", "x", "2"]);
    converged(&[&a, &b]);
    let file = a.path().join("bundle.json");
    for home in [&a, &b] {
        let said =
            home.ok(&["verify", "--peers", "--timeout", "60s", "--bundle", file.to_str().expect("text")]);
        assert!(said.contains("sees the same scene"), "{said}");
        assert!(home.room()["alarm"].is_null(), "{}", home.room());
        home.ok(&["doctor"]);
    }
    assert!(!file.exists(), "there is nothing to keep");
}
