//! Beyond the LAN, and not: hosts in networks of their own.
//!
//! `.ci/run` runs these where the machine allows namespaces, and there they must pass.

use crate::home::{Home, Host, eventually};
use crate::hosts::{ip, run_in};
use crate::internet::{Internet, write_in};

/// All sockets of a host: kind, state, local and remote address.
fn sockets(host: &str, home: &Home) -> Vec<[String; 4]> {
    let said = run_in(host, home, "ss", &["-H", "-n", "-a", "-t", "-u"]);
    assert_eq!(said.code, 0, "{said:?}");
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        [words[0], words[1], words[4], words[5]].map(str::to_owned)
    };
    said.out.lines().map(socket).collect()
}

/// Sockets that are for something else than TCP on the LAN and mDNS there.
fn beyond_the_lan(sockets: &[[String; 4]]) -> Vec<&[String; 4]> {
    let on_the_lan = |[kind, state, local, remote]: &&[String; 4]| match (kind.as_str(), state.as_str()) {
        ("tcp", "LISTEN") => true,
        ("tcp", _) => remote.starts_with("10.77.1.") || remote.starts_with("127."),
        // The group's port, and where questions are asked from.
        ("udp", _) => local == "0.0.0.0:5353" || local.starts_with("10.77.1.1:"),
        _ => false,
    };
    sockets.iter().filter(|socket| !on_the_lan(socket)).collect()
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn by_default_nothing_is_opened_towards_the_internet() {
    let net = Internet::new(&[1]);
    let host = net.host((1, 1));
    // What is not for the LAN leaves here, and is counted.
    ip(&format!("-n {host} link add inet0 type veth peer name inet1"));
    for end in ["inet0", "inet1"] {
        write_in(&host, &format!("net/ipv6/conf/{end}/disable_ipv6"), "1");
        ip(&format!("-n {host} link set {end} arp off up"));
    }
    ip(&format!("-n {host} route replace default dev inet0"));
    ip(&format!("-n {host} route add 224.0.0.0/4 dev eth0"));
    let (a, b) = (Host::new().home(), Host::new().home());
    net.start((1, 1), &a, &[]);
    net.start((1, 1), &b, &[]);
    let ticket = a.ok(&["invite"]).lines().last().expect("a ticket").to_owned();
    b.ok(&["join", &ticket, "--timeout", "30s"]);
    a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=1"]);
    eventually("they agree", || a.state_hash() == b.state_hash());

    let seen = sockets(&host, &a);
    assert_eq!(beyond_the_lan(&seen), Vec::<&[String; 4]>::new(), "{seen:?}");
    assert!(seen.iter().any(|[kind, ..]| kind == "udp"), "mDNS is seen: {seen:?}");
    let sent = || run_in(&host, &a, "cat", &["/sys/class/net/inet0/statistics/tx_packets"]).out;
    assert_eq!(sent().trim(), "0", "packets for the internet");

    // Somebody who wants the internet is seen to.
    let somewhere = "/ip4/198.51.100.1/tcp/4001";
    a.ok(&["peers", "add", somewhere]);
    eventually("a packet for the internet is counted", || sent().trim() != "0");
    #[cfg(feature = "wan")]
    {
        let c = Host::new().home();
        net.start((1, 1), &c, &["--network", "wan"]);
        let seen = sockets(&host, &c);
        assert!(!beyond_the_lan(&seen).is_empty(), "QUIC is seen: {seen:?}");
    }
}

#[test]
#[cfg(not(feature = "wan"))]
fn a_daemon_built_for_the_lan_says_how_to_get_another() {
    let home = Home::alone();
    for flags in [&["--relay"][..], &["--network", "wan"], &["--relay-via", "/ip4/192.0.2.1/tcp/4001/p2p/x"]]
    {
        let said = home.rtcd(&[&["start"], flags].concat());
        assert!(said.code == 1 && said.err.contains("cargo install --path . --features wan"), "{said:?}");
    }
}

#[cfg(feature = "wan")]
mod relayed {
    use super::*;
    use crate::paths::{directly, has_place, listening, path, through_a_relay};

    /// Both edit, and agree.
    fn converge(what: &str, a: &Home, b: &Home) {
        a.ok(&["edit", "cube", "number.add", "x", "1"]);
        b.ok(&["edit", "cube", "number.add", "y", "1"]);
        eventually(what, || a.state_hash() == b.state_hash() && a.messages() == b.messages());
    }

    #[test]
    #[ignore = "makes network namespaces; run by .ci/run"]
    fn hosts_that_reach_only_a_relay_agree_through_it_and_do_without_it_where_they_can() {
        let net = Internet::new(&[1; 4]);
        net.part(1, 2);
        let homes: Vec<Home> = (0..4).map(|_| Host::new().home()).collect();
        let [a, b, relay, stranger] = &homes[..] else { panic!("four homes") };
        let serve = ["--relay", "--no-mdns", "--listen", "/ip4/0.0.0.0/tcp/4001"];
        net.start((3, 1), relay, &serve);
        let at = listening(relay).into_iter().find(|address| address.starts_with("/ip4/10.77.3.1/tcp/"));
        let at = at.expect("an address of the relay");
        for (n, home) in [(1, a), (2, b)] {
            net.start((n, 1), home, &["--no-mdns", "--relay-via", &at]);
        }
        eventually("places at the relay", || has_place(a) && has_place(b));
        // A relay in common is enough: the ticket says who, not where.
        let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().expect("a ticket").to_owned();
        b.ok(&["join", &ticket, "--timeout", "30s"]);
        a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=1", "y=1"]);
        eventually("the node came", || b.rtc(&["get", "cube"]).code == 0);
        converge("they agree through the relay", a, b);
        assert!(through_a_relay(a) && through_a_relay(b));

        // The circuit is cut, and made again.
        assert_eq!(net.rtcd((3, 1), relay, &["stop"]).code, 0);
        eventually("nobody is there without the relay", || path(a).is_none() && path(b).is_none());
        a.ok(&["edit", "cube", "number.add", "x", "1"]);
        net.start((3, 1), relay, &serve);
        converge("they agree once the relay is back", a, b);
        assert!(through_a_relay(a) && through_a_relay(b));

        // A path opens.
        net.join(1, 2);
        eventually("they find it", || directly(a) && directly(b));
        assert_eq!(net.rtcd((3, 1), relay, &["stop"]).code, 0);
        converge("they agree without the relay", a, b);

        // It closes again.
        net.start((3, 1), relay, &serve);
        eventually("places at the relay again", || has_place(a) && has_place(b));
        net.part(1, 2);
        eventually("they fall back to the relay", || through_a_relay(a) && through_a_relay(b));
        converge("they agree through the relay again", a, b);

        // Neither the relay nor a stranger who comes through it is told of the room.
        net.start((4, 1), stranger, &["--no-mdns", "--relay-via", &at]);
        let to_a = listening(a).into_iter().find(|address| address.contains("p2p-circuit"));
        stranger.ok(&["peers", "add", &to_a.expect("a place at the relay")]);
        eventually("the stranger is there", || {
            let peers = stranger.json(&["peers"]);
            peers["peers"]
                .as_array()
                .expect("a list")
                .iter()
                .any(|peer| peer["source"] == "relay" && peer["connected"] == true)
        });
        let room = a.room()["room"].clone();
        for outsider in [relay, stranger] {
            let rooms = outsider.json(&["status"])["rooms"].clone();
            let rooms = rooms.as_array().expect("a list").clone();
            assert!(rooms.iter().all(|known| known["room"] != room), "{rooms:?}");
        }
    }
}
