//! The numbers for Prometheus: of two daemons that talk, from outside.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::home::{Home, Host, converged, eventually};

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// What is answered to a scrape.
pub(crate) fn scrape(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// The value of a line of it.
pub(crate) fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

#[test]
fn a_daemon_tells_in_numbers_what_it_does() {
    let host = Host::new();
    let (a, b): (Home, Home) = (host.home(), host.home());
    let port = free_port();
    let start = ["start", "--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns", "--metrics", &port.to_string()];
    assert_eq!(a.rtcd(&start).code, 0);
    b.start();
    b.join(&a);
    a.ok(&["edit", "cube", "node.insert"]);
    converged(&[&a, &b]);
    for n in 0..10 {
        a.ok(&["edit", "cube", "number.set", "x", &n.to_string()]);
        b.ok(&["edit", "cube", "number.set", "y", &n.to_string()]);
    }
    converged(&[&a, &b]);
    let text = scrape(port);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("# EOF\n"), "{text}");
    for direction in ["In", "Out"] {
        let live = format!("{{direction=\"{direction}\",lane=\"Live\"}}");
        let frames = value(&text, &format!("rtc_frames_total{live}"));
        let bytes = value(&text, &format!("rtc_frame_bytes_total{live}"));
        assert!(frames >= 10.0 && bytes > 10.0 * frames, "{frames} frames, {bytes} bytes");
    }
    let messages = u32::try_from(a.messages()).expect("they are few");
    assert_eq!(value(&text, "rtc_messages"), f64::from(messages));
    assert_eq!(value(&text, "rtc_connections"), 1.0);
    assert!(value(&text, "rtc_sync_rounds_total") >= 1.0);
    assert!(value(&text, "rtc_commit_seconds_count") >= 1.0 && value(&text, "rtc_commit_seconds_sum") > 0.0);
    eventually("both are known to hold the same", || {
        value(&scrape(port), "rtc_convergence_lag_seconds") == 0.0
    });
}

#[test]
fn no_numbers_are_served_unless_somebody_asks_and_a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let home = Host::new().home();
    let said = home.rtcd(&["start", "--no-mdns", "--metrics", &address]);
    assert!(said.code != 0 && said.err.contains(&format!("cannot serve metrics at {address}")), "{said:?}");
    home.start();
    assert!(!home.log().contains("metrics are served"), "{}", home.log());
}
