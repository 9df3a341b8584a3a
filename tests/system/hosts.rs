//! Hosts of their own: network namespaces with their own addresses, joined by a switch whose cables can be pulled.
//!
//! Needs root and iproute2; `.ci/run` runs these where the machine allows namespaces, and there they must pass.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::doctor::findings;
use crate::home::{Home, Host, PATIENCE, Said};

/// How long the cable stays pulled: long enough that TCP backs off and every connection is given up.
const CUT: Duration = Duration::from_secs(30);
/// How soon after the cable is back both must show the same scene.
const REUNION: Duration = Duration::from_secs(2);

/// How soon after a link's return data must flow: in the middle of all times, and every time.
const FLOWS_MEDIAN: Duration = Duration::from_millis(500);
const FLOWS_MAX: Duration = Duration::from_secs(2);
/// How soon two halves of a LAN that are joined must have found each other.
const JOINED_MAX: Duration = Duration::from_secs(10);

/// A LAN: a switch in a namespace, and hosts in theirs.
struct Lan {
    name: String,
    hosts: Vec<String>,
}

impl Lan {
    /// A LAN of `count` hosts, `10.99.0.1` and on.
    fn new(count: usize) -> Self {
        let name = format!("rtc{}", std::process::id());
        let mut lan = Self { name: name.clone(), hosts: Vec::new() };
        ip(&format!("netns add {}", lan.switch()));
        lan.make_bridge("lan");
        for n in 1..=count {
            lan.add_host(n);
        }
        lan
    }

    fn switch(&self) -> String {
        format!("{}sw", self.name)
    }

    fn make_bridge(&self, bridge: &str) {
        let switch = self.switch();
        ip(&format!("-n {switch} link add {bridge} type bridge mcast_snooping 0"));
        ip(&format!("-n {switch} link set {bridge} up"));
    }

    fn add_host(&mut self, n: usize) {
        let (host, switch) = (format!("{}h{n}", self.name), self.switch());
        self.hosts.push(host.clone());
        ip(&format!("netns add {host}"));
        ip(&format!("-n {host} link add eth0 type veth peer name port{n} netns {switch}"));
        ip(&format!("-n {host} addr add 10.99.0.{n}/24 dev eth0"));
        ip(&format!("-n {host} link set lo up"));
        ip(&format!("-n {host} link set eth0 up"));
        ip(&format!("-n {host} route add 224.0.0.0/4 dev eth0"));
        ip(&format!("-n {switch} link set port{n} up"));
        self.plug(n);
    }

    /// Packets go nowhere, and nobody's card notices.
    fn pull(&self, n: usize) {
        ip(&format!("-n {} link set port{n} nomaster", self.switch()));
    }

    fn plug(&self, n: usize) {
        self.plug_into("lan", n);
    }

    fn plug_into(&self, bridge: &str, n: usize) {
        ip(&format!("-n {} link set port{n} master {bridge}", self.switch()));
    }

    /// A cable between two bridges.
    fn join(&self, a: &str, b: &str) {
        let switch = self.switch();
        ip(&format!("-n {switch} link add cable0 type veth peer name cable1"));
        for (end, bridge) in [("cable0", a), ("cable1", b)] {
            ip(&format!("-n {switch} link set {end} master {bridge}"));
            ip(&format!("-n {switch} link set {end} up"));
        }
    }

    fn start(&self, n: usize, home: &Home) {
        let said = self.on(n, home, env!("CARGO_BIN_EXE_rtcd"), &["start"]);
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Runs a program of a home's on a host.
    fn on(&self, n: usize, home: &Home, program: &str, args: &[&str]) -> Said {
        run_in(&self.hosts[n - 1], home, program, args)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().chain([&self.switch()]) {
            let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
        }
    }
}

/// Runs a program of a home's in a namespace.
pub(crate) fn run_in(namespace: &str, home: &Home, program: &str, args: &[&str]) -> Said {
    let all = [&["netns", "exec", namespace, program], args].concat();
    let output = home.bare_command("ip", &all).output().expect("ip can be run");
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {words}: network namespaces need root");
}

/// Health and fix of what the doctor says of multicast.
fn multicast(home: &Home) -> Vec<(String, String)> {
    let findings = findings(home).into_iter().filter(|(subject, ..)| subject == "multicast");
    findings.map(|(_, health, fix)| (health, fix)).collect()
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn a_host_that_cannot_do_multicast_is_told_so() {
    let lan = Lan::new(1);
    let home = Host::new().home();
    let said = lan.on(1, &home, env!("CARGO_BIN_EXE_rtcd"), &["start"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(multicast(&home), [("good".to_owned(), String::new())]);
    ip(&format!("-n {} link set eth0 multicast off", lan.hosts[0]));
    let [(health, fix)] = &multicast(&home)[..] else { panic!("there is a word on it") };
    assert!(health == "note" && fix.contains("rtc peers add"), "{health}: {fix}");
}

/// The default room's hash; the socket is a file, so this needs no network.
fn same_scene(a: &Home, b: &Home) -> bool {
    a.state_hash() == b.state_hash()
}

fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    began.elapsed()
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn hosts_meet_by_mdns_and_agree_after_a_pulled_cable() {
    let lan = Lan::new(2);
    let rtcd = env!("CARGO_BIN_EXE_rtcd");
    // Two machines share no runtime directory, so only multicast can bring them together.
    let (a, b) = (Host::new().home(), Host::new().home());
    for (n, home) in [(1, &a), (2, &b)] {
        let said = lan.on(n, home, rtcd, &["start"]);
        assert_eq!(said.code, 0, "{said:?}");
    }
    let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().unwrap().to_owned();
    b.ok(&["join", &ticket, "--timeout", "30s"]);
    a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=1"]);
    within(PATIENCE, "they agree before the cut", || same_scene(&a, &b));

    lan.pull(2);
    let cut = Instant::now();
    for n in 0..50 {
        a.ok(&["edit", "cube", "number.add", "x", "1"]);
        b.ok(&["edit", "cube", "vector3.add", "p", "0.1", "0", &n.to_string()]);
    }
    b.ok(&["edit", "cube", "number.set", "x", "100"]);
    assert!(!same_scene(&a, &b), "nothing crosses a pulled cable");
    while let Some(left) = CUT.checked_sub(cut.elapsed()) {
        std::thread::park_timeout(left);
    }
    lan.plug(2);
    let took = within(REUNION, "both show the same scene after the cut", || same_scene(&a, &b));
    println!("equal {took:?} after the cable was back");
    assert_eq!(a.ok(&["get", "cube"]), b.ok(&["get", "cube"]));
    // The room's owner let the other one in by a message of his own.
    assert_eq!(a.messages(), 103, "nothing is lost and nothing is there twice");

    // A daemon that was away while the others moved on comes back to its place.
    assert_eq!(lan.on(2, &b, rtcd, &["stop"]).code, 0);
    a.ok(&["edit", "cube", "string.set", "s", "while b was away"]);
    assert_eq!(lan.on(2, &b, rtcd, &["start"]).code, 0);
    within(PATIENCE, "they agree after a restart", || same_scene(&a, &b));
}

/// Checks and tells how soon data flowed.
fn judge(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
    // One round has no median.
    let median_max = if took.len() > 1 { FLOWS_MEDIAN } else { FLOWS_MAX };
    println!("{what}: median {median:?}, most {most:?} of {}", took.len());
    assert!(median <= median_max && most <= FLOWS_MAX, "{what}: {took:?}");
}

/// How often something is tried: usually, and where there is time.
fn rounds(usual: usize) -> usize {
    if crate::chance::soak() > 1 { 10 } else { usual }
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn data_flows_soon_after_a_link_or_a_process_returns() {
    let lan = Lan::new(2);
    let (a, b) = (Host::new().home(), Host::new().home());
    lan.start(1, &a);
    lan.start(2, &b);
    let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().unwrap().to_owned();
    b.ok(&["join", &ticket, "--timeout", "30s"]);
    a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=0"]);
    within(PATIENCE, "they agree before the cuts", || same_scene(&a, &b));
    let flows = || within(FLOWS_MAX, "data flows", || same_scene(&a, &b));
    for (seconds, usual) in [(5, 3), (12, 3), (45, 1)] {
        let times = (0..rounds(usual)).map(|_| {
            lan.pull(2);
            let cut = Instant::now();
            a.ok(&["edit", "cube", "number.add", "x", "1"]);
            b.ok(&["edit", "cube", "number.add", "y", "1"]);
            while let Some(left) = Duration::from_secs(seconds).checked_sub(cut.elapsed()) {
                std::thread::park_timeout(left);
            }
            lan.plug(2);
            flows()
        });
        judge(&format!("after {seconds} s without a link"), times.collect());
    }
    for (n, home, other) in [(1, &a, &b), (2, &b, &a)] {
        let times = (0..rounds(3)).map(|_| {
            assert_eq!(lan.on(n, home, env!("CARGO_BIN_EXE_rtcd"), &["stop"]).code, 0);
            other.ok(&["edit", "cube", "number.add", "x", "1"]);
            lan.start(n, home);
            flows()
        });
        judge(&format!("after a restart on host {n}"), times.collect());
    }
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn two_halves_of_a_lan_find_each_other_once_they_are_joined() {
    let lan = Lan::new(4);
    lan.make_bridge("half");
    [3, 4].into_iter().for_each(|n| lan.plug_into("half", n));
    let homes: Vec<Home> = (0..4).map(|_| Host::new().home()).collect();
    homes.iter().zip(1..).for_each(|(home, n)| lan.start(n, home));
    let ticket = homes[0].ok(&["invite", "--no-addresses", "--uses", "3"]).lines().last().unwrap().to_owned();
    homes[1].ok(&["join", &ticket, "--timeout", "30s"]);
    for home in &homes[2..] {
        // Nobody of the room is in reach; it stays joined.
        home.rtc(&["join", &ticket, "--timeout", "1s"]);
    }
    homes[0].ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=1"]);
    within(PATIENCE, "the first half agrees", || same_scene(&homes[0], &homes[1]));
    // Long enough that whoever looks for others often at first does so no more.
    let alone = Instant::now();
    while let Some(left) = CUT.checked_sub(alone.elapsed()) {
        std::thread::park_timeout(left);
    }
    assert!(homes[2..].iter().all(|home| !same_scene(&homes[0], home)), "nobody reaches the other half");
    lan.join("lan", "half");
    let took =
        within(JOINED_MAX, "all four agree", || homes[1..].iter().all(|home| same_scene(&homes[0], home)));
    println!("two halves agree {took:?} after they were joined");
}
