//! A stopped process: its peers go on without it, and it comes back in sync.

use std::time::{Duration, Instant};

use crate::home::{Host, converged, eventually, signal};

/// How long the process stands still: past every timeout of a connection.
const PAUSE: Duration = Duration::from_secs(30);

#[test]
fn a_daemon_that_stands_still_for_30_s_holds_nobody_up_and_comes_back_in_sync() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "x=0", "--wait", "peer"]);
    let pid = b.pid();
    signal(pid, "STOP");
    let began = Instant::now();
    let mut edits = 0;
    eventually("its peer gives the connection up", || {
        a.ok(&["edit", "cube", "number.add", "x", "1"]);
        edits += 1;
        a.room()["peers_connected"] == 0
    });
    // The peer works on; nothing it does waits.
    while began.elapsed() < PAUSE {
        a.ok(&["edit", "cube", "number.add", "x", "1"]);
        edits += 1;
        std::thread::park_timeout(Duration::from_millis(200));
    }
    signal(pid, "CONT");
    converged(&[&a, &b]);
    assert_eq!(b.ok(&["get", "cube", "x"]), edits.to_string());
    b.ok(&["edit", "cube", "number.add", "x", "1", "--wait", "peer"]);
    assert_eq!(a.ok(&["get", "cube", "x"]), (edits + 1).to_string());
}
