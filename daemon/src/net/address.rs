//! Keys and addresses as libp2p writes them: `PeerKey` to and from `PeerId`, and which roads multiaddrs name.

use std::net::{IpAddr, SocketAddr};

use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use rtc_core::id::PeerKey;

/// The key a peer id stands for; `None` for one that is not Ed25519, which no peer of ours has.
pub fn peer_key(id: &PeerId) -> Option<PeerKey> {
    const IDENTITY: u64 = 0;
    let hash = id.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()?;
    Some(PeerKey(key.to_bytes()))
}

/// The peer id of a key; `None` where the bytes are no point of the curve.
pub fn peer_id(key: &PeerKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&key.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// An address without its `/p2p/…` end, and the key that end names.
pub(crate) fn split_peer(address: &Multiaddr) -> (Multiaddr, Option<PeerKey>) {
    let mut bare = address.clone();
    match bare.pop() {
        Some(Protocol::P2p(id)) => (bare, peer_key(&id)),
        Some(_) | None => (address.clone(), None),
    }
}

/// IP address and port of `/ip4|ip6/…/tcp/…` and nothing more.
pub(crate) fn socket_addr(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The multiaddr of a TCP socket.
pub(crate) fn multiaddr(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()))
}

/// How a connection to an address goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Road {
    /// `/ip4|ip6|dns/…/tcp/…`
    Tcp,
    /// `/ip4|ip6|dns/…/udp/…/quic-v1`
    Quic,
    /// A way to a relay by either, then `/p2p/RELAY/p2p-circuit`; `/p2p/PEER` may follow.
    Circuit,
}

/// How a connection can be made to `address`: on a real host and port, in one of these forms and no other; a name (`/dns|dns4|dns6/…`)
/// may take the place of the IP address. IPv6 link-local addresses need a zone, which a multiaddr of these forms cannot carry.
pub(crate) fn road(address: &Multiaddr) -> Option<Road> {
    let mut parts = address.iter();
    let is_real = match parts.next()? {
        Protocol::Ip4(ip) => !ip.is_unspecified() && !ip.is_multicast(),
        Protocol::Ip6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => !name.is_empty(),
        _ => false,
    };
    let (port, road) = match parts.next()? {
        Protocol::Tcp(port) => (port, Road::Tcp),
        Protocol::Udp(port) if parts.next()? == Protocol::QuicV1 => (port, Road::Quic),
        _ => return None,
    };
    if port == 0 || !is_real {
        return None;
    }
    match [parts.next(), parts.next(), parts.next(), parts.next()] {
        [None, ..] => Some(road),
        [Some(Protocol::P2p(_)), Some(Protocol::P2pCircuit), None | Some(Protocol::P2p(_)), None] => {
            Some(Road::Circuit)
        }
        _ => None,
    }
}

/// The address of whoever has a place at the relay, up to its own name; `None` where the relay's key is none.
pub(crate) fn circuit(at: &Multiaddr, relay: &PeerKey) -> Option<Multiaddr> {
    Some(at.clone().with(Protocol::P2p(peer_id(relay)?)).with(Protocol::P2pCircuit))
}

/// The same host and port by QUIC instead of TCP, or the other way round: beyond the LAN a daemon listens on both. `None` for other roads.
pub(crate) fn sibling(address: &Multiaddr) -> Option<Multiaddr> {
    let mut parts = address.iter();
    let host = Multiaddr::from(parts.next()?);
    match (road(address)?, parts.next()?) {
        (Road::Tcp, Protocol::Tcp(port)) => Some(host.with(Protocol::Udp(port)).with(Protocol::QuicV1)),
        (Road::Quic, Protocol::Udp(port)) => Some(host.with(Protocol::Tcp(port))),
        _ => None,
    }
}

/// Whether a connection can be made to `address` by one of the roads there are.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    road(address).is_some()
}

/// Whether a name in `address` has to be looked up.
pub(crate) fn is_by_name(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)))
}

/// Whether `address` may be dialled only beyond the LAN: by QUIC, through a relay, or by a name, which somebody else is asked for.
pub(crate) fn is_beyond_lan(address: &Multiaddr) -> bool {
    is_by_name(address) || road(address) != Some(Road::Tcp)
}

/// Whether `address` leads through a relay, as those of connections that came to us do in forms of their own.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Whether `address` means this host wherever it is read. Of one through a relay: whether the relay is here.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            name.eq_ignore_ascii_case("localhost")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn a_key_and_its_peer_id_name_each_other() {
        let id = Keypair::ed25519_from_bytes([7; 32]).unwrap().public().to_peer_id();
        let key = peer_key(&id).unwrap();
        assert_eq!(peer_id(&key), Some(id));
        let address: Multiaddr = format!("/ip4/192.0.2.1/tcp/4001/p2p/{id}").parse().unwrap();
        assert_eq!(split_peer(&address), ("/ip4/192.0.2.1/tcp/4001".parse().unwrap(), Some(key)));
    }

    #[test]
    fn tcp_and_quic_are_siblings() {
        let pairs = [
            ("/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/udp/4001/quic-v1"),
            ("/dns6/example.org/tcp/4001", "/dns6/example.org/udp/4001/quic-v1"),
        ];
        for (tcp, quic) in pairs.map(|(tcp, quic)| (tcp.parse().unwrap(), quic.parse().unwrap())) {
            assert_eq!((sibling(&tcp), sibling(&quic)), (Some(quic), Some(tcp)));
        }
        let id = Keypair::ed25519_from_bytes([7; 32]).unwrap().public().to_peer_id();
        let circuit = format!("/ip4/192.0.2.1/tcp/4001/p2p/{id}/p2p-circuit");
        assert_eq!(sibling(&circuit.parse().unwrap()), None);
    }

    #[test]
    fn only_known_roads_to_a_real_host_are_dialable() {
        let id = Keypair::ed25519_from_bytes([7; 32]).unwrap().public().to_peer_id();
        let through = |end: &str| format!("/ip4/192.0.2.1/tcp/4001/p2p/{id}/p2p-circuit{end}");
        let cases = [
            ("/ip4/192.0.2.1/tcp/4001".to_owned(), Some(Road::Tcp)),
            ("/ip6/2001:db8::1/tcp/4001".to_owned(), Some(Road::Tcp)),
            ("/ip4/127.0.0.1/tcp/4001".to_owned(), Some(Road::Tcp)),
            ("/ip4/192.0.2.1/udp/4001/quic-v1".to_owned(), Some(Road::Quic)),
            (through(""), Some(Road::Circuit)),
            (through(&format!("/p2p/{id}")), Some(Road::Circuit)),
            (through("/tcp/1"), None),
            (through(&format!("/p2p/{id}/p2p-circuit")), None),
            (format!("/ip4/192.0.2.1/tcp/4001/p2p/{id}"), None),
            ("/ip4/192.0.2.1/tcp/4001/p2p-circuit".to_owned(), None),
            ("/ip4/192.0.2.1/tcp/0".to_owned(), None),
            ("/ip4/0.0.0.0/tcp/4001".to_owned(), None),
            ("/ip6/fe80::1/tcp/4001".to_owned(), None),
            ("/ip4/192.0.2.1/udp/4001".to_owned(), None),
            ("/ip4/192.0.2.1/tcp/4001/ws".to_owned(), None),
            ("/dns/example.org/tcp/4001".to_owned(), Some(Road::Tcp)),
            ("/dns4/example.org/tcp/4001".to_owned(), Some(Road::Tcp)),
            ("/dns6/example.org/udp/4001/quic-v1".to_owned(), Some(Road::Quic)),
            (format!("/dns4/example.org/tcp/4001/p2p/{id}/p2p-circuit"), Some(Road::Circuit)),
            ("/dns4/example.org/tcp/0".to_owned(), None),
            ("/dnsaddr/example.org".to_owned(), None),
        ];
        for (text, expected) in cases {
            let address = text.parse().unwrap();
            assert_eq!(road(&address), expected, "{text}");
            let on_the_lan = expected == Some(Road::Tcp) && text.starts_with("/ip");
            assert_eq!(is_beyond_lan(&address), !on_the_lan, "{text}");
        }
        for (text, expected) in [("localhost", true), ("LocalHost", true), ("localhost.example.org", false)] {
            assert_eq!(is_loopback(&format!("/dns4/{text}/tcp/1").parse().unwrap()), expected, "{text}");
        }
    }
}
