//! Two hosts behind boxes such as people have at home, to which nobody can speak first: they go direct all the same.
//!
//! Needs nftables, too; `.ci/run` runs these where the machine allows namespaces, and there they must pass.

use crate::home::{Home, Host, converged, eventually};
use crate::internet::{Internet, start_in};
use crate::paths::{directly, has_place, listening};

/// When the routers between them let them through.
#[derive(Clone, Copy, PartialEq)]
enum Opens {
    AtOnce,
    OnceTheyHaveTried,
}

/// They reach a relay by these protocols, and their boxes do not let through what is `forbidden`.
fn check(protocols: [&str; 2], forbidden: &str, opens: Opens) {
    let mut net = Internet::new(&[1, 1, 1]);
    let (a, b, relay) = (Host::new().home(), Host::new().home(), Host::new().home());
    net.start((3, 1), &relay, &["--relay", "--no-mdns", "--listen", "/ip4/0.0.0.0/tcp/4001"]);
    for (place, home, protocol) in [((1, 1), &a, protocols[0]), ((2, 1), &b, protocols[1])] {
        let is_it = |address: &&String| address.starts_with("/ip4/10.77.3.1/") && address.contains(protocol);
        let at = listening(&relay).iter().find(is_it).expect("an address of the relay").to_owned();
        let inside = net.put_behind_nat(place, forbidden);
        start_in(&inside, home, &["--no-mdns", "--relay-via", &at, "--log", "rtc_daemon=debug"]);
    }
    if opens == Opens::OnceTheyHaveTried {
        net.part(1, 2);
    }
    eventually("places at the relay", || has_place(&a) && has_place(&b));
    let ticket = a.ok(&["invite", "--no-addresses"]).lines().last().expect("a ticket").to_owned();
    b.ok(&["join", &ticket, "--timeout", "30s"]);
    b.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
    if opens == Opens::OnceTheyHaveTried {
        let has_tried = |home: &Home| home.log().contains("a direct path was tried");
        eventually("they try in vain", || has_tried(&a) || has_tried(&b));
        assert!(!directly(&a) && !directly(&b));
        net.join(1, 2);
    }
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
    check(["/quic-v1", "/quic-v1"], TCP, Opens::AtOnce);
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_go_direct_by_tcp() {
    check(["/tcp/", "/tcp/"], UDP, Opens::AtOnce);
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_go_direct_whichever_way_each_reached_the_relay() {
    check(["/quic-v1", "/tcp/"], TCP, Opens::AtOnce);
}

#[test]
#[ignore = "makes network namespaces; run by .ci/run"]
fn behind_two_nats_they_find_a_way_that_opens_later() {
    check(["/quic-v1", "/quic-v1"], TCP, Opens::OnceTheyHaveTried);
}
