//! Another key for the same member, over real daemons: with others away, alone, killed in the middle, asleep.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::home::{Home, Host, converged, eventually, is_running, signal};

fn invited(home: &Home, by: &Home) {
    let ticket = by.ok(&["invite"]);
    home.ok(&["join", ticket.lines().last().expect("a ticket")]);
}

fn key(home: &Home) -> String {
    home.ok(&["identity", "show"])
}

/// Of each member of the default room the key, the role, and the keys it had before.
fn members(home: &Home) -> Vec<(String, String, Vec<String>)> {
    let members = home.json(&["members"])["members"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let member = |member: &Value| {
        let former = member["former"].as_array().expect("keys").iter().map(text).collect();
        (text(&member["key"]), text(&member["role"]), former)
    };
    members.as_array().expect("members").iter().map(member).collect()
}

/// Three daemons of one room, which the first has founded.
fn three(host: &Host) -> [Home; 3] {
    let homes = [host.home(), host.home(), host.home()];
    homes.iter().for_each(|home| _ = home.start());
    let [a, b, c] = &homes;
    invited(b, a);
    invited(c, a);
    a.ok(&["edit", "cube", "node.insert"]);
    converged(&[a, b, c]);
    homes
}

#[test]
fn members_and_the_founder_rotate_while_others_are_away() {
    let host = Host::new();
    let [a, b, c] = &three(&host);
    let before = [a, b, c].map(key);
    c.rtcd(&["stop"]);
    let b_new = b.ok(&["identity", "rotate"]);
    assert_eq!(key(b), b_new, "it answers with the new key");
    assert_ne!(b_new, before[1]);
    b.ok(&["edit", "from-b", "node.insert", "--wait", "peer"]);
    let a_new = a.ok(&["identity", "rotate"]);
    c.start();
    let expected = vec![
        (a_new.clone(), "owner".to_owned(), vec![before[0].clone()]),
        (b_new.clone(), "editor".to_owned(), vec![before[1].clone()]),
        (before[2].clone(), "editor".to_owned(), vec![]),
    ];
    for home in [a, b, c] {
        eventually("everybody knows the new keys", || members(home) == expected);
    }
    a.ok(&["edit", "from-a", "node.insert", "--wait", "peer"]);
    converged(&[a, b, c]);
    assert!(a.ok(&["members"]).contains(&format!("formerly {}", &before[0][..8])));
    // The founder still governs, also by what somebody was called before.
    a.ok(&["members", "role", &before[1][..8], "viewer"]);
    eventually("he only reads now", || b.rtc(&["edit", "late", "node.insert"]).code == 1);
    let again = b.ok(&["identity", "rotate"]);
    for home in [a, b, c] {
        eventually("he is known", || members(home)[1].0 == again && members(home)[1].1 == "viewer");
    }
    // The founder's daemon still lets history go.
    a.ok(&["compact", "--undo-window", "0s"]);
    converged(&[a, b, c]);
    // Who is removed does not come back with another key.
    a.ok(&["members", "remove", &again[..8]]);
    eventually("he is gone", || members(a).len() == 2 && members(c).len() == 2);
    b.ok(&["identity", "rotate"]);
    assert_eq!(b.rtc(&["edit", "never", "node.insert"]).code, 1);
    c.ok(&["edit", "last", "node.insert", "--wait", "peer"]);
    assert_eq!(b.room()["peers_connected"], 0);
    assert_eq!((members(a).len(), members(c).len()), (2, 2));
    converged(&[a, c]);
}

#[test]
fn who_rotates_alone_while_the_secret_changes_is_known_by_the_old_key() {
    let host = Host::new();
    let [a, b, c] = &three(&host);
    b.rtcd(&["stop"]);
    a.ok(&["members", "remove", &key(c)]);
    for home in [a, c] {
        home.rtcd(&["stop"]);
    }
    b.start();
    let new = b.ok(&["identity", "rotate"]);
    b.ok(&["edit", "alone", "node.insert"]);
    a.start();
    converged(&[a, b]);
    eventually("he is known", || members(a)[1].0 == new);
    // The secret that was sealed to the old key is read with it.
    a.rtcd(&["stop"]);
    a.start();
    b.ok(&["edit", "later", "node.insert", "--wait", "peer"]);
    converged(&[a, b]);
}

#[test]
fn a_rotation_that_is_cut_off_is_made_good_at_the_next_start() {
    let host = Host::new();
    let [a, b, c] = &three(&host);
    for _ in 0..3 {
        let (before, pid) = (key(c), c.pid());
        let mut rotating = c.command(&["identity", "rotate"]);
        let mut rotating =
            rotating.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("rtc can be run");
        eventually("it has begun", || !is_key(c, &before));
        signal(pid, "KILL");
        eventually("it is gone", || !is_running(pid));
        let _ = rotating.kill();
        rotating.wait().expect("it ends");
        c.start();
        let now = key(c);
        assert_ne!(now, before);
        c.ok(&["edit", "cube", "number.add", "x", "1", "--wait", "peer"]);
        for home in [a, b, c] {
            eventually("the new key is known", || members(home)[2].0 == now);
        }
    }
    converged(&[a, b, c]);
    assert_eq!(a.ok(&["get", "cube", "x"]), "3");
    assert_eq!(members(b)[2].2.len(), 3);
}

/// Whether the home's daemon answers and has that key.
fn is_key(home: &Home, key: &str) -> bool {
    home.rtc(&["identity", "show"]).out.trim() == key
}

#[test]
fn rooms_that_sleep_hear_of_a_new_key() {
    let host = Host::new();
    let homes = [host.home(), host.home()];
    for home in &homes {
        fs::write(home.path().join("config.toml"), "room_idle_s = 1\n").expect("a file can be written");
        home.start();
    }
    let [a, b] = &homes;
    invited(b, a);
    a.ok(&["edit", "cube", "node.insert"]);
    converged(&[a, b]);
    let is_asleep = |home: &Home| {
        let rooms = home.json(&["room", "list"])["rooms"].clone();
        rooms.as_array().expect("rooms").iter().all(|room| room["asleep"] == true)
    };
    eventually("both sleep", || is_asleep(a) && is_asleep(b));
    let new = b.ok(&["identity", "rotate"]);
    eventually("it is known", || members(a).iter().any(|(key, ..)| *key == new));
    eventually("both sleep again", || is_asleep(a) && is_asleep(b));
    b.ok(&["edit", "ball", "node.insert", "--wait", "peer"]);
    converged(&[a, b]);
}

/// Another home with the key of one, which is gone but for a backup of that, and in its room again by another member's ticket.
fn recovered(host: &Host, lost: &Home, other: &Home) -> Home {
    let file = lost.path().join("backup");
    let file = file.to_str().expect("text");
    lost.ok(&["identity", "backup", file]);
    lost.rtcd(&["stop"]);
    let new = host.home();
    new.start();
    let restored = new.ok(&["identity", "restore", file]);
    eventually("the daemon stops", || new.rtcd(&["status"]).code == 3);
    new.start();
    assert_eq!(key(&new), restored);
    invited(&new, other);
    new
}

#[test]
fn who_rotated_twice_and_has_nothing_left_but_his_key_has_lost_nothing() {
    let host = Host::new();
    let [a, b, c] = &three(&host);
    a.ok(&["members", "role", &key(c), "owner"]);
    converged(&[a, b, c]);
    // Of what is let go somebody who comes late is shown who has permitted it.
    eventually("it is let go", || {
        a.ok(&["compact", "--undo-window", "0s"]);
        !c.room()["horizon"].is_null()
    });
    let add = |home: &Home| home.ok(&["edit", "cube", "number.add", "x", "1", "--wait", "peer"]);
    add(b);
    for _ in 0..2 {
        for home in [a, b] {
            home.ok(&["identity", "rotate"]);
            add(home);
        }
    }
    converged(&[a, b, c]);
    let is_own = |home: &Home| {
        let lines = home.ok(&["log", "--json"]);
        let message = |line: &str| serde_json::from_str::<Value>(line).expect("a message");
        lines.lines().filter(|line| message(line)["own"] == true).count()
    };
    assert_eq!(is_own(b), 5, "three edits and two rotations, with three keys");
    let before = members(c);
    let a = &recovered(&host, a, c);
    add(a);
    converged(&[a, b, c]);
    let b = &recovered(&host, b, c);
    add(b);
    converged(&[a, b, c]);
    for home in [a, b, c] {
        assert_eq!(home.ok(&["get", "cube", "x"]), "7");
        assert_eq!(members(home), before);
    }
    a.ok(&["members", "role", &key(b), "viewer"]);
    eventually("he only reads now", || b.rtc(&["edit", "late", "node.insert"]).code == 1);
}
