//! Beyond the LAN, and not: hosts in networks of their own, joined by a router that lets through what it is told to.
//!
//! Needs root and iproute2; `.ci/run` runs these where the machine allows namespaces, and there they must pass.

use std::process::{Command, Stdio};

use crate::home::{Home, Host, Said, eventually};
use crate::hosts::{ip, run_in};

/// A router in a namespace, and hosts in theirs, each in a network of its own: host n is `10.77.n.1`.
struct Internet {
    name: String,
    hosts: usize,
}

impl Internet {
    fn new(hosts: usize) -> Self {
        let net = Self { name: format!("rtcw{}", std::process::id()), hosts };
        let router = net.router();
        ip(&format!("netns add {router}"));
        write_in(&router, "net/ipv4/ip_forward", "1");
        for n in 1..=hosts {
            let host = net.host(n);
            ip(&format!("netns add {host}"));
            ip(&format!("-n {host} link add eth0 type veth peer name port{n} netns {router}"));
            ip(&format!("-n {host} addr add 10.77.{n}.1/24 dev eth0"));
            ip(&format!("-n {router} addr add 10.77.{n}.254/24 dev port{n}"));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {host} link set eth0 up"));
            ip(&format!("-n {router} link set port{n} up"));
            ip(&format!("-n {host} route add default via 10.77.{n}.254"));
        }
        net
    }

    fn router(&self) -> String {
        format!("{}r", self.name)
    }

    fn host(&self, n: usize) -> String {
        format!("{}h{n}", self.name)
    }

    /// From now on the router swallows what these send to each other.
    #[cfg(feature = "wan")]
    fn part(&self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            ip(&format!("-n {} rule add from 10.77.{from}.0/24 to 10.77.{to}.0/24 blackhole", self.router()));
        }
    }

    /// Undoes [`Self::part`].
    #[cfg(feature = "wan")]
    fn join(&self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            ip(&format!("-n {} rule del from 10.77.{from}.0/24 to 10.77.{to}.0/24", self.router()));
        }
    }

    fn start(&self, n: usize, home: &Home, flags: &[&str]) {
        let said = self.rtcd(n, home, &[&["start"], flags].concat());
        assert_eq!(said.code, 0, "{said:?}\n{}", home.log());
    }

    fn rtcd(&self, n: usize, home: &Home, args: &[&str]) -> Said {
        run_in(&self.host(n), home, env!("CARGO_BIN_EXE_rtcd"), args)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for namespace in (1..=self.hosts).map(|n| self.host(n)).chain([self.router()]) {
            let _ = Command::new("ip").args(["netns", "del", &namespace]).stderr(Stdio::null()).status();
        }
    }
}

/// Sets a system variable of a namespace.
fn write_in(namespace: &str, variable: &str, value: &str) {
    let script = format!("echo {value} > /proc/sys/{variable}");
    let status = Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", &script]).status();
    assert!(status.expect("iproute2 is installed").success(), "{variable} cannot be set in {namespace}");
}

/// All sockets of a host: kind, state, local and remote address.
fn sockets(net: &Internet, n: usize, home: &Home) -> Vec<[String; 4]> {
    let said = run_in(&net.host(n), home, "ss", &["-H", "-n", "-a", "-t", "-u"]);
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
    let net = Internet::new(1);
    let host = net.host(1);
    // What is not for the LAN leaves here, and is counted.
    ip(&format!("-n {host} link add inet0 type veth peer name inet1"));
    for end in ["inet0", "inet1"] {
        write_in(&host, &format!("net/ipv6/conf/{end}/disable_ipv6"), "1");
        ip(&format!("-n {host} link set {end} arp off up"));
    }
    ip(&format!("-n {host} route replace default dev inet0"));
    ip(&format!("-n {host} route add 224.0.0.0/4 dev eth0"));
    let (a, b) = (Host::new().home(), Host::new().home());
    net.start(1, &a, &[]);
    net.start(1, &b, &[]);
    let ticket = a.ok(&["invite"]).lines().last().expect("a ticket").to_owned();
    b.ok(&["join", &ticket, "--timeout", "30s"]);
    a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=1"]);
    eventually("they agree", || a.state_hash() == b.state_hash());

    let seen = sockets(&net, 1, &a);
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
        net.start(1, &c, &["--network", "wan"]);
        let seen = sockets(&net, 1, &c);
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

    /// Where a daemon can be reached, as it says.
    fn listening(home: &Home) -> Vec<String> {
        let status = home.json(&["status"]);
        let all = status["listening"].as_array().expect("a list").iter();
        all.map(|address| address.as_str().expect("an address").to_owned()).collect()
    }

    /// How `home` is linked to the one peer with which it shares a room.
    fn path(home: &Home) -> Option<String> {
        let peers = home.json(&["peers"]);
        let peers = peers["peers"].as_array().expect("a list").clone();
        let shares = |peer: &&serde_json::Value| !peer["rooms"].as_array().expect("a list").is_empty();
        let peer = peers.iter().find(shares)?;
        peer["connected"].as_bool()?.then(|| peer["source"].as_str().expect("a word").to_owned())
    }

    fn through_the_relay(home: &Home) -> bool {
        path(home).as_deref() == Some("relay")
    }

    fn directly(home: &Home) -> bool {
        path(home).is_some_and(|path| path != "relay")
    }

    /// Both edit, and agree.
    fn converge(what: &str, a: &Home, b: &Home) {
        a.ok(&["edit", "cube", "number.add", "x", "1"]);
        b.ok(&["edit", "cube", "number.add", "y", "1"]);
        eventually(what, || a.state_hash() == b.state_hash() && a.messages() == b.messages());
    }

    #[test]
    #[ignore = "makes network namespaces; run by .ci/run"]
    fn hosts_that_reach_only_a_relay_agree_through_it_and_do_without_it_where_they_can() {
        let net = Internet::new(4);
        net.part(1, 2);
        let homes: Vec<Home> = (0..4).map(|_| Host::new().home()).collect();
        let [a, b, relay, stranger] = &homes[..] else { panic!("four homes") };
        let serve = ["--relay", "--no-mdns", "--listen", "/ip4/0.0.0.0/tcp/4001"];
        net.start(3, relay, &serve);
        let at = listening(relay).into_iter().find(|address| address.starts_with("/ip4/10.77.3.1/tcp/"));
        let at = at.expect("an address of the relay");
        for (n, home) in [(1, a), (2, b)] {
            net.start(n, home, &["--no-mdns", "--relay-via", &at]);
        }
        let reserved = |home: &Home| listening(home).iter().any(|address| address.contains("p2p-circuit"));
        eventually("places at the relay", || reserved(a) && reserved(b));
        // A relay in common is enough: the ticket says who, not where.
        let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().expect("a ticket").to_owned();
        b.ok(&["join", &ticket, "--timeout", "30s"]);
        a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=1", "y=1"]);
        converge("they agree through the relay", a, b);
        assert!(through_the_relay(a) && through_the_relay(b));

        // The circuit is cut, and made again.
        assert_eq!(net.rtcd(3, relay, &["stop"]).code, 0);
        eventually("nobody is there without the relay", || path(a).is_none() && path(b).is_none());
        a.ok(&["edit", "cube", "number.add", "x", "1"]);
        net.start(3, relay, &serve);
        converge("they agree once the relay is back", a, b);
        assert!(through_the_relay(a) && through_the_relay(b));

        // A path opens.
        net.join(1, 2);
        eventually("they find it", || directly(a) && directly(b));
        assert_eq!(net.rtcd(3, relay, &["stop"]).code, 0);
        converge("they agree without the relay", a, b);

        // It closes again.
        net.start(3, relay, &serve);
        eventually("places at the relay again", || reserved(a) && reserved(b));
        net.part(1, 2);
        eventually("they fall back to the relay", || through_the_relay(a) && through_the_relay(b));
        converge("they agree through the relay again", a, b);

        // Neither the relay nor a stranger who comes through it is told of the room.
        net.start(4, stranger, &["--no-mdns", "--relay-via", &at]);
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
