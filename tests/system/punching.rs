//! Two hosts behind boxes such as people have at home, to which nobody can speak first: they go direct all the same.
//!
//! Needs nftables, too; `.ci/run` runs these where the machine allows namespaces, and there they must pass.

use crate::home::{Host, converged, eventually};
use crate::internet::{Internet, start_in};
use crate::paths::{directly, has_place, listening};

/// They reach a relay by these protocols, and their boxes do not let through what is `forbidden`.
fn check(protocols: [&str; 2], forbidden: &str) {
    let mut net = Internet::new(&[1, 1, 1]);
    let (a, b, relay) = (Host::new().home(), Host::new().home(), Host::new().home());
    net.start((3, 1), &relay, &["--relay", "--no-mdns", "--listen", "/ip4/0.0.0.0/tcp/4001"]);
    for (place, home, protocol) in [((1, 1), &a, protocols[0]), ((2, 1), &b, protocols[1])] {
        let is_it = |address: &&String| address.starts_with("/ip4/10.77.3.1/") && address.contains(protocol);
        let at = listening(&relay).iter().find(is_it).expect("an address of the relay").to_owned();
        let inside = net.put_behind_nat(place, forbidden);
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

/// TCP, except with the relay.
const TCP: &str = "meta l4proto tcp ct original proto-dst != 4001";
const UDP: &str = "meta l4proto udp";

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_go_direct_by_quic() {
    check(["/quic-v1", "/quic-v1"], TCP);
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_go_direct_by_tcp() {
    check(["/tcp/", "/tcp/"], UDP);
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_go_direct_whichever_way_each_reached_the_relay() {
    check(["/quic-v1", "/tcp/"], TCP);
}
