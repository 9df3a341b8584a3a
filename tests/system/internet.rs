//! Networks of their own for tests: hosts in namespaces, several to a LAN, and a router between the LANs that lets through what it
//! is told to.
//!
//! Needs root and iproute2; boxes that translate addresses need nftables.

use std::process::{Command, Stdio};

use crate::home::Home;
use crate::hosts::{ip, run_in};

/// A host's place: the number of its LAN and its own number there, both from 1 on.
pub(crate) type Place = (usize, usize);

/// A router in a namespace, and hosts in theirs: host (n, k) is `10.77.n.k`.
pub(crate) struct Internet {
    name: String,
    namespaces: Vec<String>,
}

impl Internet {
    /// LANs of so many hosts each.
    pub(crate) fn new(lans: &[usize]) -> Self {
        let mut net = Self { name: format!("rtcw{}", std::process::id()), namespaces: Vec::new() };
        let router = net.router();
        net.add_namespace(&router);
        write_in(&router, "net/ipv4/ip_forward", "1");
        for (&hosts, n) in lans.iter().zip(1..) {
            ip(&format!("-n {router} link add lan{n} type bridge mcast_snooping 0"));
            ip(&format!("-n {router} addr add 10.77.{n}.254/24 dev lan{n}"));
            ip(&format!("-n {router} link set lan{n} up"));
            (1..=hosts).for_each(|k| net.add_host((n, k)));
        }
        net
    }

    fn add_namespace(&mut self, name: &str) {
        ip(&format!("netns add {name}"));
        self.namespaces.push(name.to_owned());
        ip(&format!("-n {name} link set lo up"));
    }

    fn add_host(&mut self, (n, k): Place) {
        let (router, host) = (self.router(), self.host((n, k)));
        self.add_namespace(&host);
        ip(&format!("-n {host} link add eth0 type veth peer name port{n}.{k} netns {router}"));
        ip(&format!("-n {host} addr add 10.77.{n}.{k}/24 dev eth0"));
        ip(&format!("-n {host} link set eth0 up"));
        ip(&format!("-n {router} link set port{n}.{k} master lan{n}"));
        ip(&format!("-n {router} link set port{n}.{k} up"));
        ip(&format!("-n {host} route add default via 10.77.{n}.254"));
    }

    fn router(&self) -> String {
        format!("{}r", self.name)
    }

    /// The namespace of a host.
    pub(crate) fn host(&self, (n, k): Place) -> String {
        format!("{}h{n}.{k}", self.name)
    }

    /// Starts a daemon on a host.
    pub(crate) fn start(&self, place: Place, home: &Home, flags: &[&str]) {
        start_in(&self.host(place), home, flags);
    }
}

#[cfg(feature = "wan")]
impl Internet {
    /// Runs `rtcd` on a host.
    pub(crate) fn rtcd(&self, place: Place, home: &Home, args: &[&str]) -> crate::home::Said {
        run_in(&self.host(place), home, env!("CARGO_BIN_EXE_rtcd"), args)
    }

    /// From now on the router swallows what these LANs send to each other.
    pub(crate) fn part(&self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            ip(&format!("-n {} rule add from 10.77.{from}.0/24 to 10.77.{to}.0/24 blackhole", self.router()));
        }
    }

    /// Undoes [`Self::part`].
    pub(crate) fn join(&self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            ip(&format!("-n {} rule del from 10.77.{from}.0/24 to 10.77.{to}.0/24", self.router()));
        }
    }

    /// Puts a host behind a box such as people have at home, which takes over its name and place: it is `192.168.1.2`, like everybody
    /// else at home, speaks to others by the box's address and port, and nobody speaks to it first. Nothing passes that is
    /// `forbidden`, in the words of nftables. Returns the host's new namespace.
    pub(crate) fn put_behind_nat(&mut self, place: Place, forbidden: &str) -> String {
        let (wall, host) = (self.host(place), format!("{}in", self.host(place)));
        self.add_namespace(&host);
        write_in(&wall, "net/ipv4/ip_forward", "1");
        ip(&format!("-n {host} link add eth0 type veth peer name home netns {wall}"));
        ip(&format!("-n {host} addr add 192.168.1.2/24 dev eth0"));
        ip(&format!("-n {wall} addr add 192.168.1.1/24 dev home"));
        ip(&format!("-n {host} link set eth0 up"));
        ip(&format!("-n {wall} link set home up"));
        ip(&format!("-n {host} route add default via 192.168.1.1"));
        let rules = format!(
            "add table ip wall
             add chain ip wall out {{ type nat hook postrouting priority srcnat; }}
             add rule ip wall out oifname eth0 masquerade
             add chain ip wall through {{ type filter hook forward priority filter; policy drop; }}
             add rule ip wall through {forbidden} drop
             add rule ip wall through ct state established,related accept
             add rule ip wall through iifname home accept
             add chain ip wall to {{ type filter hook input priority filter; policy drop; }}"
        );
        let status = Command::new("ip").args(["netns", "exec", &wall, "nft", &rules]).status();
        assert!(status.expect("iproute2 is installed").success(), "nftables is needed for {rules}");
        host
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
        }
    }
}

/// Starts a daemon in a namespace.
pub(crate) fn start_in(namespace: &str, home: &Home, flags: &[&str]) {
    let said = run_in(namespace, home, env!("CARGO_BIN_EXE_rtcd"), &[&["start"], flags].concat());
    assert_eq!(said.code, 0, "{said:?}\n{}", home.log());
}

/// Sets a system variable of a namespace.
pub(crate) fn write_in(namespace: &str, variable: &str, value: &str) {
    let script = format!("echo {value} > /proc/sys/{variable}");
    let status = Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", &script]).status();
    assert!(status.expect("iproute2 is installed").success(), "{variable} cannot be set in {namespace}");
}
