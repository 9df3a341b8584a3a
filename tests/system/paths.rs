//! How daemons reach each other, as they say themselves.

use crate::home::Home;

/// Where a daemon can be reached, as it says.
pub(crate) fn listening(home: &Home) -> Vec<String> {
    let status = home.json(&["status"]);
    let all = status["listening"].as_array().expect("a list").iter();
    all.map(|address| address.as_str().expect("an address").to_owned()).collect()
}

/// Whether a daemon has a place at a relay.
pub(crate) fn has_place(home: &Home) -> bool {
    listening(home).iter().any(|address| address.contains("p2p-circuit"))
}

/// How `home` is linked to the one peer with which it shares a room.
pub(crate) fn path(home: &Home) -> Option<String> {
    let peers = home.json(&["peers"]);
    let peers = peers["peers"].as_array().expect("a list").clone();
    let shares = |peer: &&serde_json::Value| !peer["rooms"].as_array().expect("a list").is_empty();
    let peer = peers.iter().find(shares)?;
    peer["connected"].as_bool()?.then(|| peer["source"].as_str().expect("a word").to_owned())
}

/// Whether that is through a relay.
pub(crate) fn through_a_relay(home: &Home) -> bool {
    path(home).as_deref() == Some("relay")
}

/// Whether there is a link to that peer without a relay.
pub(crate) fn directly(home: &Home) -> bool {
    path(home).is_some_and(|path| path != "relay")
}
