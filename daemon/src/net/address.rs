//! Keys and addresses as libp2p writes them: `PeerKey` to and from `PeerId`, and which multiaddrs we can dial.

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

/// Whether a connection can be made to `address`: TCP on a real host and port. IPv6 link-local addresses need a
/// zone, which a multiaddr of this form cannot carry.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    socket_addr(address).is_some_and(|socket| {
        let link_local = match socket.ip() {
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
            IpAddr::V4(_) => false,
        };
        socket.port() != 0 && !socket.ip().is_unspecified() && !socket.ip().is_multicast() && !link_local
    })
}

/// Whether `address` means this host wherever it is read.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    socket_addr(address).is_some_and(|socket| socket.ip().is_loopback())
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
    fn only_tcp_on_a_real_host_is_dialable() {
        let cases = [
            ("/ip4/192.0.2.1/tcp/4001", true),
            ("/ip6/2001:db8::1/tcp/4001", true),
            ("/ip4/127.0.0.1/tcp/4001", true),
            ("/ip4/192.0.2.1/tcp/0", false),
            ("/ip4/0.0.0.0/tcp/4001", false),
            ("/ip6/fe80::1/tcp/4001", false),
            ("/ip4/192.0.2.1/udp/4001", false),
            ("/ip4/192.0.2.1/tcp/4001/ws", false),
            ("/dns4/example.org/tcp/4001", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_dialable(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
