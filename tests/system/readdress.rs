//! A machine that is known by its address alone, and has another key there now.

use std::fs;

use crate::home::{Home, converged, eventually};

/// Where the daemon listens, with its key.
fn address(home: &Home) -> String {
    let status = home.json(&["status"]);
    let place = status["listening"][0].as_str().expect("an address");
    let peer = rtc_daemon::net::peer_id(&key(home).parse().expect("a key")).expect("a key");
    format!("{place}/p2p/{peer}")
}

fn key(home: &Home) -> String {
    home.ok(&["identity", "show"])
}

#[test]
fn who_has_another_key_is_found_where_he_was() {
    for was_given in [false, true] {
        // Of two hosts: nothing but addresses leads from one to the other.
        let (a, b) = (Home::alone(), Home::alone());
        a.start();
        b.start();
        b.join(&a);
        a.ok(&["edit", "cube", "node.insert"]);
        converged(&[&a, &b]);
        if was_given {
            a.ok(&["peers", "add", &address(&b)]);
        }
        a.rtcd(&["stop"]);
        let new = b.ok(&["identity", "rotate"]);
        b.ok(&["edit", "ball", "node.insert"]);
        // Where b cannot know of it.
        fs::remove_file(a.path().join("data/listen-port")).expect("the port it had");
        a.start();
        converged(&[&a, &b]);
        let peers = a.json(&["peers"])["peers"].clone();
        let connected = |peer: &&serde_json::Value| peer["peer"] == new && peer["connected"] == true;
        eventually("by its new key", || {
            peers.as_array().expect("a list").iter().any(|peer| connected(&peer))
        });
    }
}
