//! Whether peers can find and reach this daemon, as far as this machine can tell by itself.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol as Piece;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use rtc_core::api::{Finding, Health};
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::Multiaddr;

/// The group of mDNS (RFC 6762).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// An echo over the own machine takes microseconds.
const ECHO_WAIT: Duration = Duration::from_millis(500);
const PROBE: &[u8] = b"rtc doctor";

/// Tries ports and multicast.
pub(super) fn examine(listening: &[Multiaddr], mdns: bool) -> Vec<Finding> {
    let mut findings = vec![ports(listening)];
    if !mdns {
        let says = "mDNS is off in the settings: peers are found by tickets and addresses";
        findings.push(Finding::new("multicast", Health::Note, says));
        return findings;
    }
    let interfaces = interfaces();
    if interfaces.is_empty() {
        let says = "no network interface is up that can do multicast: only peers on this machine are found by themselves";
        findings.push(
            Finding::new("multicast", Health::Note, says).with_fix("`rtc peers add MULTIADDR`, or a ticket"),
        );
    }
    findings.extend(interfaces.into_iter().map(|(name, address)| multicast(&name, address)));
    findings
}

fn ports(listening: &[Multiaddr]) -> Finding {
    let fix = "set `listen` in config.toml to an address of this machine and a free port, and restart: rtc stop && rtc start";
    if listening.is_empty() {
        return Finding::new("ports", Health::Bad, "the daemon listens nowhere, so no peer can reach it")
            .with_fix(fix);
    }
    let deaf = listening.iter().filter(|address| {
        tcp_address(address).is_some_and(|tcp| TcpStream::connect_timeout(&tcp, ECHO_WAIT).is_err())
    });
    match deaf.map(ToString::to_string).collect::<Vec<_>>() {
        deaf if deaf.is_empty() => {
            let all: Vec<String> = listening.iter().map(ToString::to_string).collect();
            Finding::new("ports", Health::Good, format!("answers at {}", all.join(" ")))
        }
        deaf => {
            Finding::new("ports", Health::Bad, format!("does not answer at {}", deaf.join(" "))).with_fix(fix)
        }
    }
}

/// The address as the system has it, if it is one of TCP.
fn tcp_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut pieces = address.iter();
    let ip = match pieces.next()? {
        Piece::Ip4(ip) => ip.into(),
        Piece::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match pieces.next()? {
        Piece::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The IPv4 interfaces that are up and may lead to others.
fn interfaces() -> Vec<(String, Ipv4Addr)> {
    let usable = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST)
            && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    let found = getifaddrs().into_iter().flatten().filter(|interface| usable(interface.flags));
    found
        .filter_map(|interface| {
            let address = interface.address?;
            Some((interface.interface_name, address.as_sockaddr_in()?.ip()))
        })
        .collect()
}

fn multicast(name: &str, address: Ipv4Addr) -> Finding {
    match echo(address) {
        Ok(()) => Finding::new("multicast", Health::Good, format!("{name} ({address}) echoes")),
        Err(error) => {
            let says = format!("{name} ({address}) does not echo: {error}");
            let fix = format!("let UDP port 5353 to {GROUP} through on {name}, or `rtc peers add MULTIADDR`");
            Finding::new("multicast", Health::Bad, says).with_fix(fix)
        }
    }
}

/// Sends a word to the group over one interface and waits until it comes back.
fn echo(address: Ipv4Addr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())?;
    socket.join_multicast_v4(&GROUP, &address)?;
    socket.set_multicast_if_v4(&address)?;
    socket.set_multicast_loop_v4(true)?;
    let port = socket.local_addr()?.as_socket_ipv4().map_or(0, |own| own.port());
    socket.send_to(PROBE, &SocketAddrV4::new(GROUP, port).into())?;
    let until = Instant::now() + ECHO_WAIT;
    loop {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        let left = left.ok_or_else(|| io::Error::other("nothing came back"))?;
        socket.set_read_timeout(Some(left))?;
        let mut bytes = [MaybeUninit::uninit(); PROBE.len()];
        // Anybody may send to the port: only the length is looked at, since reading the bytes would need more than it is worth.
        match socket.recv_from(&mut bytes) {
            Ok((PROBE_LEN, _)) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}

const PROBE_LEN: usize = PROBE.len();
