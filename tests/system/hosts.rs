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
        lan.make_switch();
        for n in 1..=count {
            lan.add_host(n);
        }
        lan
    }

    fn switch(&self) -> String {
        format!("{}sw", self.name)
    }

    fn make_switch(&self) {
        let switch = self.switch();
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link add lan type bridge mcast_snooping 0"));
        ip(&format!("-n {switch} link set lan up"));
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
        ip(&format!("-n {} link set port{n} master lan", self.switch()));
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
    assert_eq!(a.messages(), 102, "nothing is lost and nothing is there twice");

    // A daemon that was away while the others moved on comes back to its place.
    assert_eq!(lan.on(2, &b, rtcd, &["stop"]).code, 0);
    a.ok(&["edit", "cube", "string.set", "s", "while b was away"]);
    assert_eq!(lan.on(2, &b, rtcd, &["start"]).code, 0);
    within(PATIENCE, "they agree after a restart", || same_scene(&a, &b));
}
