//! Rooms are opened as they were put away, whatever came after that, and however the daemon ended.

use crate::home::Home;

/// What the log says about openings from what was put away.
fn openings(home: &Home) -> Vec<String> {
    let log = home.log();
    let opened = log.lines().filter(|line| line.contains("as it was put away"));
    opened.map(str::to_owned).collect()
}

#[test]
fn a_room_opens_as_it_was_put_away_and_takes_in_what_came_after() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert", "x=1"]);
    for _ in 0..3 {
        home.ok(&["edit", "cube", "number.add", "x", "1"]);
    }
    home.ok(&["undo"]);
    home.rtcd(&["stop"]);
    home.start();
    assert_eq!(openings(&home), [""; 0], "not before somebody has use for it");
    assert_eq!(home.ok(&["get", "cube", "x"]), "3");
    assert_eq!(openings(&home).len(), 1);
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
    home.ok(&["edit", "lamp", "node.insert"]);
    let before = home.state_hash();
    // Nothing is put away now: two messages come from the journal.
    home.kill();
    home.start();
    assert_eq!(openings(&home).len(), 2);
    assert!(openings(&home)[1].contains("since=2"), "{:?}", openings(&home));
    assert_eq!(home.state_hash(), before);
    // Redo and undo ask for messages that were put away.
    home.ok(&["redo"]);
    assert_eq!(home.ok(&["get", "cube", "x"]), "5");
    assert_eq!(home.messages(), 8);
    for _ in 0..4 {
        home.ok(&["undo"]);
    }
    assert_eq!(home.ok(&["get", "cube", "x"]), "2");
}
