//! What people ask when something is not as they expect: where a message is, why a peer or a node is as it is.

use crate::home::{Host, converged, eventually};

#[test]
fn a_message_is_traced_to_every_disk() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "--wait", "peer"]);
    converged(&[&a, &b]);
    let id = a.json(&["log", "--limit", "1"])["id"].as_str().expect("an id").to_owned();
    let trace = a.json(&["trace", &id]);
    assert_eq!((&trace["durable"], &trace["message"]["id"]), (&true.into(), &id.as_str().into()));
    assert_eq!(trace["peers"][0]["reach"], "durable", "its answer waited for that: {trace}");
    assert!(b.ok(&["trace", &id]).contains("here       on the disk"));
    // A message that the other one cannot have yet.
    b.rtcd(&["stop"]);
    eventually("the connection is gone", || a.room()["peers_connected"] == 0);
    a.ok(&["edit", "cube", "number.set", "x", "1"]);
    let id = a.json(&["log", "--limit", "1"])["id"].as_str().expect("an id").to_owned();
    assert_eq!(a.json(&["trace", &id])["peers"].as_array().expect("a list").len(), 0);
    let peer = a.json(&["peers"])["peers"][0]["peer"].as_str().expect("a key").to_owned();
    let why = a.ok(&["why", &peer[..8]]);
    assert!(why.contains("is not connected"), "{why}");
    b.start();
    eventually("it is on the other one's disk", || a.json(&["trace", &id])["peers"][0]["reach"] == "durable");
    let said = a.rtc(&["trace", "zzzzzzzz:1"]);
    assert!(said.code == 4 && said.err.contains("hint:"), "{said:?}");
}

#[test]
fn a_node_is_accounted_for_in_a_sentence() {
    let (a, b) = Host::new().joined();
    let why = |key: &str, says: &str| {
        let why = b.ok(&["why", key]);
        assert!(why.contains(says), "{why}");
    };
    a.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
    let author = a.json(&["status"])["peer"].as_str().expect("a key")[..8].to_owned();
    why("cube", &format!("cube is there because {author} inserted it"));
    b.ok(&["edit", "lamp", "node.insert"]);
    b.ok(&["edit", "cube", "node.move", "parent=lamp"]);
    why("cube", "because you moved it");
    b.ok(&["edit", "cube", "node.remove"]);
    why("cube", "cube is gone: you removed it");
    why("scene", "is the root");
    eventually("they are in sync", || b.ok(&["why", "ball"]).contains("everybody connected holds the same"));
    let in_sync = format!("{author} is in sync");
    eventually("it is in sync", || b.ok(&["why", &author]).contains(&in_sync));
}
