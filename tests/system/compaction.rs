//! Rooms that let their history go: nobody's scene changes, nobody's edit is lost, and who comes late gets what is left.

use crate::home::{Home, Host, converged, eventually};

fn add_one(home: &Home) {
    home.ok(&["edit", "n", "number.add", "x", "1"]);
}

#[test]
fn history_goes_and_the_scene_stays_for_members_newcomers_and_restarts() {
    let host = Host::new();
    let (a, b) = host.joined();
    a.ok(&["edit", "n", "node.insert", "x=0"]);
    for _ in 0..10 {
        add_one(&a);
        add_one(&b);
    }
    let before = converged(&[&a, &b]);
    let refused = b.rtc(&["compact"]);
    assert!(refused.code != 0 && refused.err.contains("owner"), "{refused:?}");
    assert!(a.ok(&["compact"]).contains("nothing is old enough"));
    let would = a.json(&["compact", "--dry-run", "--undo-window", "0s", "--absence-limit", "0s"]);
    assert_eq!(would["schema"], "rtc.compacted/1");
    assert!(would["horizon"].is_null() && would["messages"].as_u64() >= Some(20), "{would}");
    let done = a.json(&["compact", "--undo-window", "0s", "--absence-limit", "0s"]);
    assert!(done["horizon"].is_string(), "{done}");
    eventually("it has forgotten", || b.room()["horizon"] == done["horizon"]);
    assert_eq!(converged(&[&a, &b]), before);
    assert!(a.messages() < 5 && b.messages() < 5);
    for home in [&a, &b] {
        home.rtcd(&["stop"]);
        home.start();
        assert_eq!(home.state_hash(), before);
    }
    let c = host.home();
    c.start();
    let ticket = a.ok(&["invite"]).lines().last().expect("a ticket").to_owned();
    assert!(ticket.starts_with("rtc3"), "it names the horizon: {ticket}");
    c.ok(&["join", &ticket]);
    assert_eq!(converged(&[&a, &b, &c]), before);
    for home in [&a, &b, &c] {
        add_one(home);
    }
    converged(&[&a, &b, &c]);
    assert_eq!(c.ok(&["get", "n", "x"]), "23");
    let past = c.rtc(&["get", "n", "x", "--at", "2 days ago"]);
    assert!(past.code != 0 && past.err.contains("forgotten"), "{past:?}");
    assert_eq!(a.ok(&["get", "n", "x", "--at", "now"]), "23");
}

#[test]
fn an_edit_that_a_horizon_left_outside_is_issued_again_once() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "n", "node.insert", "x=0"]);
    converged(&[&a, &b]);
    a.rtcd(&["stop"]);
    add_one(&b);
    b.rtcd(&["stop"]);
    a.start();
    add_one(&a);
    a.json(&["compact", "--undo-window", "0s", "--absence-limit", "0s"]);
    b.start();
    converged(&[&a, &b]);
    eventually("it is issued again", || a.ok(&["get", "n", "x"]) == "2");
    converged(&[&a, &b]);
    // A crash right after changes nothing.
    b.kill();
    b.start();
    add_one(&b);
    eventually("the next edit comes", || a.ok(&["get", "n", "x"]) == "3");
    converged(&[&a, &b]);
}
