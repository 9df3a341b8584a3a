//! Members over real daemons: invited, refused, held to their roles, removed.

use std::process::Stdio;

use serde_json::Value;

use crate::home::{Home, Host, Said, converged, eventually};

fn ticket(home: &Home, args: &[&str]) -> String {
    let said = home.ok(&[&["invite"], args].concat());
    said.lines().last().expect("a ticket").to_owned()
}

fn key(home: &Home) -> String {
    home.ok(&["identity", "show"])
}

/// The members of the default room, by key: each with its role.
fn members(home: &Home) -> Vec<(String, String)> {
    let members = home.json(&["members"]);
    let text = |member: &Value, field: &str| member[field].as_str().unwrap_or_default().to_owned();
    let members = members["members"].as_array().expect("members");
    members.iter().map(|member| (text(member, "key"), text(member, "role"))).collect()
}

fn is_refused(said: &Said, why: &str) {
    assert!(said.code == 1 && said.err.contains(why) && said.err.contains("hint:"), "{why}: {said:?}");
}

#[test]
fn a_ticket_admits_one_and_late_spent_and_revoked_ones_say_why() {
    let host = Host::new();
    let homes = [host.home(), host.home(), host.home()];
    let [a, b, c] = &homes;
    for home in &homes {
        home.start();
    }
    let once = ticket(a, &["--name", "bob"]);
    b.ok(&["join", &once]);
    is_refused(&c.rtc(&["join", &once]), "used already");
    // Lost on the way and asked again, it is not used up twice.
    b.ok(&["join", &once]);
    is_refused(&c.rtc(&["join", &ticket(a, &["--expires", "0s"])]), "expired");
    let revoked = ticket(a, &[]);
    let invites = a.json(&["invite", "list"]);
    let invites = invites["invites"].as_array().expect("invitations").clone();
    assert_eq!(invites.len(), 3);
    assert_eq!(invites[0]["redeemed"][0], key(b).as_str());
    a.ok(&["invite", "revoke", invites[2]["id"].as_str().expect("a name")]);
    assert_eq!(a.rtc(&["invite", "revoke", "aaaaaaaa"]).code, 4);
    is_refused(&c.rtc(&["join", &revoked]), "revoked");
    assert_eq!(c.json(&["status"])["joining"].as_array().map(Vec::len), Some(0), "that is over");
    assert_eq!(members(a), [(key(a), "owner".to_owned()), (key(b), "editor".to_owned())]);
    assert!(a.ok(&["members"]).contains("bob"));
    let listed = a.json(&["members"])["members"].clone();
    assert_eq!(listed[0]["by"], Value::Null, "nobody made the founder a member");
    assert_eq!(listed[1]["by"], key(a).as_str());
    assert!(
        listed[0]["since_ms"].as_u64() > Some(0)
            && listed[1]["since_ms"].as_u64() >= listed[0]["since_ms"].as_u64()
    );
    // What was promised outlives the daemon.
    let kept = ticket(a, &["--uses", "2"]);
    a.kill();
    a.start();
    is_refused(&c.rtc(&["join", &once]), "used already");
    c.ok(&["join", &kept]);
    c.ok(&["edit", "cube", "node.insert", "--wait", "peer"]);
    converged(&[a, b, c]);
}

#[test]
fn of_two_who_come_at_once_with_one_ticket_one_is_admitted() {
    let host = Host::new();
    let homes = [host.home(), host.home(), host.home()];
    for home in &homes {
        home.start();
    }
    let [a, b, c] = &homes;
    for _ in 0..3 {
        let once = ticket(a, &["--role", "viewer"]);
        let came = [b, c].map(|home| {
            let mut command = home.command(&["join", &once]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("rtc can be run")
        });
        let admitted = came.map(|mut child| child.wait().expect("it ends").success());
        assert_eq!(admitted.iter().filter(|is| **is).count(), 1);
        // Whoever it was is to come as a newcomer again.
        let newcomer = members(a).pop().expect("a member").0;
        a.ok(&["members", "remove", &newcomer]);
    }
}

#[test]
fn only_who_invites_has_to_be_in_reach_and_may_be_later() {
    let host = Host::new();
    let (a, b) = host.strangers();
    let ticket = ticket(&a, &[]);
    a.rtcd(&["stop"]);
    let said = b.rtc(&["join", &ticket, "--timeout", "300ms"]);
    assert!(said.code == 7 && said.err.contains("in the background"), "{said:?}");
    assert!(b.ok(&["status"]).contains("joining"));
    let room = b.json(&["status"])["joining"][0]["room"].as_str().expect("a room").to_owned();
    b.ok(&["room", "leave", &room[..8]]);
    assert!(!b.ok(&["status"]).contains("joining"), "it is given up");
    assert_eq!(b.rtc(&["join", &ticket, "--timeout", "300ms"]).code, 7);
    b.rtcd(&["stop"]);
    b.start();
    a.start();
    eventually("it is let in", || b.json(&["status"])["joining"].as_array().is_some_and(Vec::is_empty));
    b.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
}

#[test]
fn a_viewer_sees_everything_and_changes_nothing() {
    let host = Host::new();
    let (a, b) = host.strangers();
    b.ok(&["join", &ticket(&a, &["--role", "viewer"])]);
    let made = a.json(&["edit", "cube", "node.insert"]);
    let made = made["id"].as_str().expect("a message");
    let hash = converged(&[&a, &b]);
    for edit in
        [&["edit", "ball", "node.insert"][..], &["undo", made], &["invite"], &["room", "rename", "mine"]]
    {
        is_refused(&b.rtc(edit), "");
    }
    is_refused(&b.rtc(&["members", "role", &key(&b), "owner"]), "");
    is_refused(&b.rtc(&["members", "remove", &key(&a)]), "");
    assert_eq!(converged(&[&a, &b]), hash);
    a.ok(&["members", "role", &key(&b)[..8], "editor"]);
    eventually("it may edit", || b.rtc(&["edit", "ball", "node.insert"]).code == 0);
    a.ok(&["room", "rename", "atelier"]);
    eventually("the name is known", || b.ok(&["room", "info"]).contains("atelier"));
    converged(&[&a, &b]);
}

#[test]
fn what_a_removed_member_does_later_is_void_everywhere() {
    let host = Host::new();
    let homes = [host.home(), host.home(), host.home()];
    for home in &homes {
        home.start();
    }
    let [a, b, c] = &homes;
    for home in [b, c] {
        home.ok(&["join", &ticket(a, &[])]);
    }
    b.ok(&["edit", "before", "node.insert"]);
    converged(&[a, b, c]);
    let removed = key(b);
    for home in [b, c] {
        home.rtcd(&["stop"]);
    }
    a.ok(&["members", "remove", &removed]);
    a.rtcd(&["stop"]);
    // Neither knows of it, and one builds on what the other does.
    b.start();
    c.start();
    b.ok(&["edit", "after", "node.insert"]);
    eventually("it came", || c.rtc(&["get", "after"]).code == 0);
    c.ok(&["edit", "mine", "node.insert", "--wait", "peer"]);
    a.start();
    converged(&[a, c]);
    for home in [a, c] {
        eventually("what came after is void", || home.rtc(&["get", "after"]).code == 4);
        assert!(home.rtc(&["get", "before"]).code == 0 && home.rtc(&["get", "mine"]).code == 0);
    }
    eventually("nobody speaks to it any more", || b.room()["peers_connected"] == 0);
    // The others go on, under another secret, and so does who comes back.
    c.ok(&["edit", "later", "node.insert", "--wait", "peer"]);
    b.ok(&["join", &ticket(a, &[])]);
    b.ok(&["edit", "again", "node.insert", "--wait", "peer"]);
    converged(&[a, b, c]);
    assert_eq!(a.rtc(&["get", "after"]).code, 4);
    assert_eq!(c.rtc(&["get", "again"]).code, 0);
}

#[test]
fn a_key_moves_to_another_machine() {
    let host = Host::new();
    let (a, b) = host.joined();
    let file = b.path().join("key");
    let file = file.to_str().expect("text");
    assert_eq!(b.ok(&["identity", "backup", file]), key(&b));
    is_refused(&b.rtc(&["identity", "backup", file]), "exists");
    b.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
    b.rtcd(&["stop"]);
    let new = host.home();
    new.start();
    let before = key(&new);
    let restored = new.ok(&["identity", "restore", file]);
    assert_ne!(restored, before);
    eventually("the daemon stops", || new.rtcd(&["status"]).code == 3);
    new.start();
    assert_eq!(key(&new), restored);
    // A member already, it uses no invitation up.
    new.ok(&["join", &ticket(&a, &[])]);
    assert_eq!(a.json(&["invite", "list"])["invites"][1]["redeemed"].as_array().map(Vec::len), Some(0));
    new.ok(&["edit", "ball", "node.insert", "--wait", "peer"]);
    converged(&[&a, &new]);
    assert_eq!(members(&a).len(), 2);
}

#[test]
fn a_ticket_can_be_drawn() {
    let home = Home::alone();
    home.start();
    let said = home.rtc(&["invite", "--qr", "--no-addresses"]);
    assert!(said.out.starts_with("rtc2") && said.err.contains('▀'), "{said:?}");
}
