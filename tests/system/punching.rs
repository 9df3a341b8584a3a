//! Two hosts behind boxes such as people have at home, to which nobody can speak first: they go direct all the same.
//!
//! Needs nftables, too; `.ci/run` runs these where the machine allows namespaces, and there they must pass.

use crate::home::{Host, converged, eventually};
use crate::internet::{Internet, start_in};
use crate::paths::{directly, has_place, listening};

/// Both are known at a relay by one protocol, and their boxes let no other through.
fn check(protocol: &str, others: &str) {
    let mut net = Internet::new(&[1, 1, 1]);
    let (a, b, relay) = (Host::new().home(), Host::new().home(), Host::new().home());
    net.start((3, 1), &relay, &["--relay", "--no-mdns", "--listen", "/ip4/0.0.0.0/tcp/4001"]);
    let is_ours = |address: &&String| address.starts_with("/ip4/10.77.3.1/") && address.contains(protocol);
    let at = listening(&relay).iter().find(is_ours).expect("an address of the relay").to_owned();
    for (place, home) in [((1, 1), &a), ((2, 1), &b)] {
        let inside = net.put_behind_nat(place, others);
        start_in(&inside, home, &["--no-mdns", "--relay-via", &at]);
    }
    eventually("places at the relay", || has_place(&a) && has_place(&b));
    let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().expect("a ticket").to_owned();
    b.ok(&["join", &ticket, "--timeout", "30s"]);
    b.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
    eventually("they go direct", || directly(&a) && directly(&b));
    assert_eq!(net.rtcd((3, 1), &relay, &["stop"]).code, 0);
    for home in [&a, &b] {
        home.ok(&["edit", "cube", "number.add", "x", "1", "--wait", "peer"]);
    }
    converged(&[&a, &b]);
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_go_direct_by_quic() {
    check("/quic-v1", "tcp dport != 4001 tcp sport != 4001");
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_go_direct_by_tcp() {
    check("/tcp/", "meta l4proto udp");
}
