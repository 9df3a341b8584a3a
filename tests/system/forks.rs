//! Machines that were copied with their memory, so that one number is given twice: what was made on either, and on top of either, is there
//! for everybody.

use std::fs;

use serde_json::{Value, json};

use crate::home::{Home, Host, converged, eventually};

/// A machine and its copy, and two who each met one of them: the first of both made a node, the others built on it. Of these two only the
/// first runs.
struct Stage {
    one: Home,
    other: Home,
    with_one: Home,
    with_other: Home,
    /// The number that one and the other gave to two messages.
    forked: String,
}

/// Ids of the messages that are held, as the log tells them.
fn ids(home: &Home) -> Vec<String> {
    let log = home.ok(&["log", "--all", "--json"]);
    let id = |line: &str| {
        serde_json::from_str::<Value>(line).expect("JSON")["id"].as_str().expect("an id").to_owned()
    };
    let mut ids: Vec<String> = log.lines().map(id).collect();
    ids.sort();
    ids
}

fn forks(home: &Home) -> Vec<Value> {
    home.room()["forks"].as_array().expect("a list").clone()
}

impl Stage {
    fn set() -> Self {
        let host = Host::new();
        let (one, with_one, with_other) = (host.home(), host.home(), host.home());
        let all = [&one, &with_one, &with_other];
        all.iter().for_each(|home| _ = home.start());
        with_one.join(&one);
        with_other.join(&one);
        one.ok(&["edit", "cube", "node.insert", "x=0", "+", "cube", "text.init", "title", "a cube"]);
        converged(&all);
        all.iter().for_each(|home| _ = home.rtcd(&["stop"]));
        let other = one.twin();
        let mut forked = Vec::new();
        for (machine, friend, node, x) in
            [(&other, &with_other, "other", "100"), (&one, &with_one, "one", "1")]
        {
            machine.start();
            forked.push(machine.ok(&["edit", node, "node.insert", "y=0", "-m", node]));
            machine.ok(&["edit", "cube", "number.add", "x", x, "+", "cube", "text.insert", "title", node]);
            friend.start();
            converged(&[machine, friend]);
            friend.ok(&[
                "edit",
                "cube",
                "number.add",
                "x",
                &format!("{x}0"),
                "+",
                node,
                "number.add",
                "y",
                "1",
            ]);
            converged(&[machine, friend]);
            machine.rtcd(&["stop"]);
            if x == "100" {
                friend.rtcd(&["stop"]);
            }
        }
        assert_eq!(forked[0], forked[1], "one number, two messages");
        Self { one, other, with_one, with_other, forked: forked.remove(0) }
    }

    /// All that was made before the two who met one of them each met each other.
    fn has_all(home: &Home) {
        assert_eq!(home.ok(&["get", "cube", "x"]), "1111");
        for node in ["one", "other"] {
            assert_eq!(home.ok(&["get", node, "y"]), "1", "{node}");
            assert!(home.ok(&["get", "cube", "title"]).contains(node));
        }
    }
}

#[test]
fn both_branches_of_a_fork_and_what_was_built_on_them_are_everywhere() {
    let Stage { one, other, with_one, with_other, forked } = Stage::set();
    with_other.start();
    eventually("both see both", || with_one.ok(&["get", "cube", "x"]) == "1111");
    let hash = converged(&[&with_one, &with_other]);
    Stage::has_all(&with_other);
    let held = ids(&with_one);
    assert_eq!(held, ids(&with_other), "by the same names");
    assert!(!held.contains(&forked), "nobody has to say which of the two");
    for home in [&with_one, &with_other] {
        eventually("it is told", || forks(home).iter().any(|fork| fork["message"] == json!(forked)));
        home.ok(&["doctor"]);
    }
    with_one.ok(&["verify", "--peers"]);
    let actor = forked.split_once(':').expect("an actor").0;
    let (key, number) = (&actor[..8], forked.rsplit_once(':').expect("a number").1);
    for (args, says) in [
        (&["status"][..], "both are kept"),
        (&["why", key], "Both are kept"),
        (&["log"], &format!("in a branch since {number}")),
        (&["room", "info"], "branch, from its first on"),
    ] {
        let told = with_one.ok(args);
        assert!(told.contains(says), "{args:?}: {told}");
    }
    // The machine and its copy, one after the other: they have one key, and one place in the network.
    for machine in [&one, &other] {
        machine.start();
        converged(&[machine, &with_one, &with_other]);
        Stage::has_all(machine);
        assert!(forks(machine).iter().any(|fork| fork["own"] == json!(true)), "{:?}", forks(machine));
        let before = ids(machine);
        let made = machine.ok(&["edit", "cube", "number.add", "y", "1"]);
        assert!(!before.contains(&made), "it parts from the copy");
        converged(&[machine, &with_one, &with_other]);
        machine.rtcd(&["stop"]);
    }
    assert_eq!(with_one.ok(&["get", "cube", "y"]), "2");
    // A branch is undone, and read as it was, like anything else.
    let made = |note: &str| {
        let log = with_one.ok(&["log", "--all", "--json"]);
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let entry = lines.into_iter().find(|entry| entry["note"] == json!(note)).expect("it is in the log");
        entry["id"].as_str().expect("an id").to_owned()
    };
    for (note, lacks) in [("one", "other"), ("other", "one")] {
        let at = made(note);
        for home in [&with_one, &with_other] {
            let tree = home.ok(&["export", "--at", &at]);
            assert!(
                tree.contains(&format!("\"{note}\"")) && !tree.contains(&format!("\"{lacks}\"")),
                "{tree}"
            );
        }
    }
    with_one.ok(&["undo", &made("other")]);
    converged(&[&with_one, &with_other]);
    assert_eq!(with_other.rtc(&["get", "other", "y"]).code, 4);
    with_other.ok(&["redo", &made("other")]);
    let end = converged(&[&with_one, &with_other]);
    assert_ne!(end, hash);
    with_one.rtcd(&["stop"]);
    with_one.start();
    assert_eq!(with_one.state_hash(), end, "after a restart too");
    assert!(forks(&with_one).iter().any(|fork| fork["message"] == json!(forked)));
}

#[test]
fn who_is_killed_while_learning_of_a_fork_has_all_of_it() {
    let Stage { one: _one, other: _other, with_one, with_other, .. } = Stage::set();
    with_other.start();
    for _ in 0..3 {
        eventually("it is told", || !forks(&with_one).is_empty());
        with_one.kill();
        with_one.start();
    }
    eventually("both see both", || with_one.ok(&["get", "cube", "x"]) == "1111");
    converged(&[&with_one, &with_other]);
    Stage::has_all(&with_other);
    assert_eq!(ids(&with_one), ids(&with_other));
}

#[test]
fn a_room_with_branches_is_backed_up_put_back_and_mended() {
    let Stage { one: _one, other: _other, with_one, with_other, .. } = Stage::set();
    with_other.start();
    eventually("both see both", || with_one.ok(&["get", "cube", "x"]) == "1111");
    let hash = converged(&[&with_one, &with_other]);
    let backup = with_one.path().join("backup");
    let path = backup.to_str().expect("text");
    with_one.ok(&["backup", path]);
    with_other.rtcd(&["stop"]);
    let room = with_one.room()["room"].as_str().expect("an id").to_owned();
    let file = with_one.path().join("data/rooms").join(room).join("room.db");
    // Put back where nothing is left, and beside what is there.
    with_one.rtcd(&["stop"]);
    fs::remove_file(&file).expect("it is lost");
    with_one.start();
    for _ in 0..2 {
        with_one.ok(&["restore", path]);
        assert_eq!(with_one.state_hash(), hash);
        Stage::has_all(&with_one);
        with_one.ok(&["doctor"]);
    }
    // All of it from the members.
    with_one.rtcd(&["stop"]);
    fs::remove_file(&file).expect("it is lost");
    with_other.start();
    with_one.start();
    with_one.ok(&["restore", "--from-peers"]);
    eventually("everything is back", || with_one.state_hash() == hash);
    assert_eq!(ids(&with_one), ids(&with_other));
}

#[test]
fn the_history_of_a_room_with_branches_is_let_go_like_any_other() {
    let Stage { one, other: _other, with_one, with_other, .. } = Stage::set();
    with_other.start();
    one.start();
    let all = [&one, &with_one, &with_other];
    let hash = converged(&all);
    all.iter().for_each(|home| Stage::has_all(home));
    let compact = ["compact", "--undo-window", "0s", "--absence-limit", "0s"];
    eventually("everybody is known to hold all of it", || {
        one.json(&[&compact[..], &["--dry-run"]].concat())["waits_for"] == json!([])
    });
    one.json(&compact);
    eventually("all of it is let go", || all.iter().all(|home| home.messages() == 1));
    assert_eq!(converged(&all), hash);
    let backup = with_one.path().join("backup");
    with_one.ok(&["backup", backup.to_str().expect("text")]);
    with_one.ok(&["edit", "one", "number.add", "y", "1"]);
    let newcomer = Home::alone();
    newcomer.start();
    newcomer.join(&one);
    let hash = converged(&[&one, &with_one, &with_other, &newcomer]);
    assert_eq!(forks(&newcomer), forks(&with_one));
    for home in [&with_one, &newcomer] {
        home.rtcd(&["stop"]);
        home.start();
        assert_eq!(home.state_hash(), hash);
        home.ok(&["doctor"]);
        assert_eq!(home.ok(&["get", "cube", "x"]), "1111");
    }
    // What was put aside before the horizon, and what came after it.
    with_one.ok(&["restore", backup.to_str().expect("text")]);
    assert_eq!(with_one.state_hash(), hash);
    newcomer.ok(&["edit", "other", "number.add", "y", "1"]);
    converged(&[&one, &with_one, &with_other, &newcomer]);
}
