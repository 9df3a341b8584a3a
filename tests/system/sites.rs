//! A team on two LANs that meet through a relay, and a stranger: what rooms and networks promise, all at once.
//!
//! `.ci/run` runs this where the machine allows namespaces, and there it must pass.

use std::path::Path;

use crate::home::{Home, Host, converged, eventually};
use crate::internet::Internet;
use crate::paths::{has_place, listening, path, through_a_relay};

/// A room, and a node in it, whose names are nowhere else.
const ROOM: &str = "atelier-of-seven-owls";
const NODE: &str = "brass-astrolabe";

fn ticket(home: &Home, args: &[&str]) -> String {
    let said = home.ok(&[&["invite"], args].concat());
    said.lines().last().expect("a ticket").to_owned()
}

/// Sources of the links there are.
fn links(home: &Home) -> Vec<String> {
    let peers = home.json(&["peers"]);
    let peers = peers["peers"].as_array().expect("a list").iter();
    let there = peers.filter(|peer| peer["connected"] == true);
    there.map(|peer| peer["source"].as_str().expect("a word").to_owned()).collect()
}

/// Whether anything below `path` holds these bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    if !path.is_dir() {
        // Sockets cannot be read, and what is removed meanwhile holds nothing.
        let content = std::fs::read(path).unwrap_or_default();
        return content.windows(bytes.len()).any(|window| window == bytes);
    }
    let entries = std::fs::read_dir(path).expect("a home can be read");
    entries.map(|entry| entry.expect("an entry").path()).any(|path| holds(&path, bytes))
}

fn has(home: &Home, node: &str) -> bool {
    home.rtc(&["get", node]).code == 0
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn a_team_on_two_lans_can_trust_its_room_and_a_stranger_learns_nothing() {
    let net = Internet::new(&[2, 3, 1]);
    net.part(1, 2);
    let homes: Vec<Home> = (0..6).map(|_| Host::new().home()).collect();
    let [a, b, c, d, stranger, relay] = &homes[..] else { panic!("six homes") };
    net.start((3, 1), relay, &["--relay", "--no-mdns", "--listen", "/ip4/0.0.0.0/tcp/4001"]);
    let at = listening(relay).into_iter().find(|address| address.starts_with("/ip4/10.77.3.1/tcp/"));
    let at = at.expect("an address of the relay");
    for (place, home) in [((1, 1), a), ((2, 1), c), ((2, 2), d), ((2, 3), stranger)] {
        net.start(place, home, &["--relay-via", &at]);
    }
    // Who stays on his LAN needs nothing beyond it.
    net.start((1, 2), b, &[]);
    eventually("places at the relay", || [a, c, d, stranger].iter().all(|home| has_place(home)));

    // They join: by mDNS who is near, by ticket who is far.
    a.ok(&["room", "rename", ROOM]);
    b.ok(&["join", &ticket(a, &["--no-addresses"]), "--timeout", "30s"]);
    eventually("they met by mDNS", || [a, b].iter().any(|home| path(home).as_deref() == Some("mdns")));
    c.ok(&["join", &ticket(a, &[]), "--timeout", "30s"]);
    eventually("they met at the relay", || through_a_relay(c));
    d.ok(&["join", &ticket(a, &["--role", "viewer"]), "--timeout", "30s"]);
    a.ok(&["edit", NODE, "node.insert", "tag=Mesh", "x=1"]);
    for home in [b, c] {
        eventually("the node came", || has(home, NODE));
        home.ok(&["edit", NODE, "number.add", "x", "1"]);
    }
    converged(&[a, b, c, d]);

    // Roles hold.
    assert_eq!(d.rtc(&["edit", "refused", "node.insert"]).code, 1);
    let [of_c, of_d] = [c, d].map(|home| home.ok(&["identity", "show"]));
    a.ok(&["members", "role", &of_d, "editor"]);
    eventually("it may edit", || d.rtc(&["edit", "allowed", "node.insert"]).code == 0);
    converged(&[a, b, c, d]);
    assert!(has(b, "allowed") && !has(b, "refused"));

    // The stranger gets to everybody, through the relay and on its LAN.
    let to_a = listening(a).into_iter().find(|address| address.contains("p2p-circuit"));
    stranger.ok(&["peers", "add", &to_a.expect("a place at the relay")]);
    eventually("the stranger is there", || {
        let links = links(stranger);
        let near = links.iter().filter(|source| matches!(source.as_str(), "mdns" | "inbound")).count();
        near >= 2 && links.iter().any(|source| source == "relay")
    });

    // One LAN is cut off. Nobody there hears that one is a member no more, and the other a viewer again.
    net.part(2, 3);
    eventually("the others are away", || a.room()["peers_connected"] == 1);
    a.ok(&["members", "remove", &of_c]);
    a.ok(&["members", "role", &of_d, "viewer"]);
    b.ok(&["edit", "meanwhile", "node.insert"]);
    c.ok(&["edit", "of-c", "node.insert"]);
    eventually("they are still in touch", || has(d, "of-c"));
    d.ok(&["edit", "of-d", "node.insert", "parent=of-c"]);
    assert!(!has(d, "meanwhile"));

    // Together again: what those two did is void everywhere, and nothing else is.
    net.join(2, 3);
    eventually("the news came", || has(d, "meanwhile"));
    eventually("nobody speaks to who was removed", || c.room()["peers_connected"] == 0);
    c.ok(&["edit", "of-c-again", "node.insert"]);
    assert_eq!(d.rtc(&["edit", "of-d-again", "node.insert"]).code, 1);
    b.ok(&["edit", NODE, "number.add", "x", "1"]);
    converged(&[a, b, d]);
    for home in [a, b, d] {
        assert!(has(home, NODE) && has(home, "allowed") && has(home, "meanwhile"));
        assert!(["of-c", "of-d", "of-c-again", "of-d-again"].iter().all(|node| !has(home, node)));
    }

    // Whoever is no member has been told nothing of all that.
    let room = a.room()["room"].as_str().expect("a room").to_owned();
    let words = [ROOM, NODE, &room];
    assert!(words.iter().all(|word| holds(b.path(), word.as_bytes())), "it is seen where it is");
    for outsider in [stranger, relay] {
        let rooms = outsider.json(&["status"])["rooms"].to_string();
        for word in words {
            assert!(!rooms.contains(word) && !holds(outsider.path(), word.as_bytes()), "{word} is known");
        }
    }
}
