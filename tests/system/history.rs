//! Earlier versions and who made what, as people ask for them.

use crate::home::{Home, Host, converged};

/// A daemon whose node `n` was edited, with the ids of the messages.
fn edited() -> (Home, Vec<String>) {
    let home = Home::alone();
    home.start();
    let edits: [&[&str]; 5] = [
        &["edit", "n", "node.insert", "tag=Mesh", "x=1"],
        &["edit", "n", "number.add", "x", "2"],
        &["edit", "a", "node.insert", "+", "n", "node.move", "parent=a"],
        &["edit", "n", "number.set", "x", "10", "-m", "ten"],
        &["edit", "n", "number.add", "x", "5"],
    ];
    let ids = edits.iter().map(|edit| home.ok(edit)).collect();
    (home, ids)
}

#[test]
fn every_version_can_be_read_and_the_live_scene_never_notices() {
    let (home, ids) = edited();
    let live = home.state_hash();
    for (id, expected) in ids.iter().zip(["1", "3", "3", "10", "15"]) {
        assert_eq!(home.ok(&["get", "n", "x", "--at", id]), expected, "{id}");
    }
    assert!(home.ok(&["tree", "--at", &ids[1]]).contains("└── n Mesh"));
    assert!(!home.ok(&["tree", "--at", &ids[1]]).contains("a Node"));
    assert!(home.ok(&["export", "--at", &ids[3]]).contains("\"x\":10"));
    assert_eq!(home.ok(&["log", "--at", &ids[1]]).lines().count(), 2);
    assert_eq!(home.ok(&["get", "n", "x", "--at", "now"]), "15");
    assert_eq!(home.rtc(&["get", "n", "x", "--at", "1 day ago"]).code, 4);
    assert_eq!(home.ok(&["tree", "--at", "1970-01-02"]), home.ok(&["tree", "--at", "2 days ago"]));
    // An undo counts from when it was made.
    let undo = home.ok(&["undo", &ids[3]]);
    assert_eq!(home.ok(&["get", "n", "x"]), "8");
    assert_eq!(home.ok(&["get", "n", "x", "--at", &ids[4]]), "15");
    assert_eq!(home.ok(&["get", "n", "x", "--at", &undo]), "8");
    home.ok(&["redo"]);
    assert_eq!(home.state_hash(), live);
}

#[test]
fn what_is_no_version_is_told_with_what_is_one() {
    let (home, ids) = edited();
    let said = home.rtc(&["tree", "--at", "the other day"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("10 min ago"), "{said:?}");
    let (actor, _) = ids[0].split_once(':').unwrap();
    assert_eq!(home.rtc(&["tree", "--at", &format!("{actor}:99")]).code, 4);
    assert_eq!(home.rtc(&["tree", "--at", "nobody:1"]).code, 4);
    assert_eq!(home.ok(&["get", "n", "x", "--at", &format!("{}:1", &actor[..6])]), "1");
}

#[test]
fn blame_names_who_made_a_value_and_who_put_a_node_where_it_is() {
    let (home, ids) = edited();
    let blamed = |args: &[&str]| -> Vec<String> {
        let lines = home.ok(&[args, &["--json"]].concat());
        let id =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["message"]["id"].clone();
        lines.lines().map(|line| id(line).as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(blamed(&["blame", "n", "x"]), [ids[4].clone()]);
    assert_eq!(blamed(&["blame", "n", "x", "--all"]), [ids[4].clone(), ids[3].clone()]);
    assert_eq!(blamed(&["blame", "n", "x", "--all", "--at", &ids[1]]), [ids[1].clone(), ids[0].clone()]);
    assert_eq!(blamed(&["blame", "n"]), [ids[2].clone(), ids[0].clone()]);
    home.ok(&["undo", &ids[3]]);
    assert_eq!(blamed(&["blame", "n", "x", "--all"]), [ids[4].clone(), ids[1].clone(), ids[0].clone()]);
    let removed = home.ok(&["edit", "n", "node.remove"]);
    assert_eq!(blamed(&["blame", "n"])[0], removed);
    assert_eq!(home.rtc(&["blame", "n", "x"]).code, 4);
    assert_eq!(home.rtc(&["blame", "scene"]).code, 4);
    assert_eq!(home.rtc(&["blame", "a", "missing"]).code, 4);
    let line = home.ok(&["blame", "a"]);
    assert!(line.contains(", you") && line.contains("a node.insert"), "{line}");
}

#[test]
fn a_version_is_the_same_wherever_it_is_read() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "n", "node.insert", "x=1"]);
    converged(&[&a, &b]);
    let id = b.ok(&["edit", "n", "number.set", "x", "2"]);
    a.ok(&["edit", "n", "number.set", "x", "3"]);
    converged(&[&a, &b]);
    a.ok(&["edit", "n", "number.set", "x", "4"]);
    converged(&[&a, &b]);
    for home in [&a, &b] {
        assert_eq!(home.ok(&["get", "n", "x", "--at", &id]), "2");
        assert_eq!(home.ok(&["get", "n", "x"]), "4");
    }
}
