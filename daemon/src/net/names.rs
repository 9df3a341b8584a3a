//! Names where IP addresses would be: what `/dns4/HOST/tcp/4001` and the like stand for is looked up each time it is dialled.
//!
//! The host's own resolver is asked, as by any other program, so `localhost` and names of the LAN mean what they mean there.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, ready, select_ok};
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::limits::{LOOKUP_TIMEOUT, LOOKUPS_MAX, PEER_ADDRESSES_MAX};

type Connection = (PeerId, StreamMuxerBox);
type Inner = Boxed<Connection>;

/// A transport that can dial names where `inner` can dial IP addresses: all that a name stands for at once, and the first connection
/// counts.
pub(crate) struct Named {
    /// Shared, because a dial goes on in a task of its own once its name is looked up; locked for a call only.
    inner: Arc<Mutex<Inner>>,
    lookups: Lookups,
}

impl Named {
    /// `inner`, and names.
    pub(crate) fn new(inner: Inner) -> Self {
        let ask = |name: &str| Ok((name, 0).to_socket_addrs()?.map(|found| found.ip()).collect());
        Self { inner: Arc::new(Mutex::new(inner)), lookups: Lookups::new(ask) }
    }
}

impl Transport for Named {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = <Inner as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        lock(&self.inner).listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        lock(&self.inner).remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, how: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(name) = Name::of(&address) else {
            return Ok(lock(&self.inner).dial(address, how)?.boxed());
        };
        let (inner, lookup) = (Arc::clone(&self.inner), self.lookups.look_up(name));
        let dial = async move {
            // What cannot even be tried, such as IPv6 where there is none, is no more than one that fails.
            let dial = |ip| match lock(&inner).dial(with_ip(&address, ip), how) {
                Ok(dial) => dial.boxed(),
                Err(error) => ready(Err(into_io(error))).boxed(),
            };
            Ok(select_ok(lookup.await?.into_iter().map(dial)).await?.0)
        };
        Ok(dial.boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut *lock(&self.inner)).poll(cx)
    }
}

fn lock(inner: &Mutex<Inner>) -> std::sync::MutexGuard<'_, Inner> {
    // A panic within ends the network's task, and that begins anew with another transport.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_io(error: TransportError<io::Error>) -> io::Error {
    match error {
        TransportError::MultiaddrNotSupported(_) => io::Error::other("no address of a kind we dial"),
        TransportError::Other(error) => error,
    }
}

/// `address` with an IP address for its first part.
fn with_ip(address: &Multiaddr, ip: IpAddr) -> Multiaddr {
    Multiaddr::from(ip).into_iter().chain(address.into_iter().skip(1)).collect()
}

/// A name, and which addresses of it are meant.
#[derive(Debug)]
struct Name {
    text: String,
    means: fn(&IpAddr) -> bool,
}

impl Name {
    /// The one that `address` begins with.
    fn of(address: &Multiaddr) -> Option<Self> {
        let (text, means): (_, fn(&IpAddr) -> bool) = match address.iter().next()? {
            Protocol::Dns(text) => (text, |_| true),
            Protocol::Dns4(text) => (text, IpAddr::is_ipv4),
            Protocol::Dns6(text) => (text, IpAddr::is_ipv6),
            _ => return None,
        };
        Some(Self { text: text.into_owned(), means })
    }
}

/// Names that are being looked up.
struct Lookups {
    ask: fn(&str) -> io::Result<Vec<IpAddr>>,
    free: Arc<Semaphore>,
}

impl Lookups {
    fn new(ask: fn(&str) -> io::Result<Vec<IpAddr>>) -> Self {
        Self { ask, free: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    /// What `name` stands for, at least one address and no more than a peer may have. Begins when it is polled.
    fn look_up(&self, name: Name) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static {
        let (ask, free) = (self.ask, Arc::clone(&self.free));
        async move {
            let Ok(share) = free.try_acquire_owned() else {
                return Err(io::Error::other(format!("more than {LOOKUPS_MAX} names to look up at once")));
            };
            let (tx, rx) = oneshot::channel();
            let Name { text, means } = name;
            // The resolver waits as long as it likes. The runtime would wait for its own threads at the end; for this one nobody does.
            std::thread::Builder::new().name("lookup".to_owned()).spawn(move || {
                let found = ask(&text);
                drop(share);
                // Whoever asked may not wait any more.
                let _ = tx.send(found);
            })?;
            let found = match timeout(LOOKUP_TIMEOUT, rx).await {
                Ok(Ok(found)) => found?,
                Ok(Err(_)) => return Err(io::Error::other("the name cannot be looked up")),
                Err(_) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the name is not answered for"));
                }
            };
            let mut found: Vec<_> = found.into_iter().filter(means).collect();
            found.sort_unstable();
            found.dedup();
            found.truncate(PEER_ADDRESSES_MAX);
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no such address"));
            }
            Ok(found)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use futures::StreamExt;
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;
    use libp2p::identity::Keypair;

    use super::super::limits::STREAMS_MAX;
    use super::super::swarm::transport;
    use super::*;

    fn name(text: &str) -> Name {
        Name::of(&text.parse().unwrap()).expect("a name")
    }

    #[tokio::test]
    async fn a_name_stands_for_its_addresses_of_the_wanted_kind() {
        let lookups = Lookups::new(|name| match name {
            "both" => Ok(["::1", "192.0.2.2", "192.0.2.1", "::1"].map(|ip| ip.parse().unwrap()).into()),
            _ => Err(io::Error::other("nobody knows it")),
        });
        let cases: [(&str, &[&str]); 3] = [
            ("/dns/both/tcp/1", &["192.0.2.1", "192.0.2.2", "::1"]),
            ("/dns4/both/udp/1/quic-v1", &["192.0.2.1", "192.0.2.2"]),
            ("/dns6/both/tcp/1", &["::1"]),
        ];
        for (address, expected) in cases {
            let expected: Vec<IpAddr> = expected.iter().map(|ip| ip.parse().unwrap()).collect();
            assert_eq!(lookups.look_up(name(address)).await.unwrap(), expected, "{address}");
        }
        let error = lookups.look_up(name("/dns4/nobody/tcp/1")).await.unwrap_err();
        assert_eq!(error.to_string(), "nobody knows it");
        assert!(Name::of(&"/ip4/192.0.2.1/tcp/1".parse().unwrap()).is_none());
        let there = with_ip(&"/dns4/both/udp/1/quic-v1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert_eq!(there, "/ip4/192.0.2.1/udp/1/quic-v1".parse().unwrap());
    }

    #[tokio::test]
    async fn of_all_that_a_name_stands_for_one_that_answers_is_enough() {
        let keys = |seed| Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        let mut listening = transport(&keys(1), STREAMS_MAX).unwrap();
        listening.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let TransportEvent::NewAddress { listen_addr, .. } = listening.select_next_some().await else {
            panic!("it listens first")
        };
        // The first is nowhere, and at the last nobody listens.
        let all = |_: &str| Ok(["0.0.0.0", "127.0.0.1", "127.0.0.2"].map(|ip| ip.parse().unwrap()).into());
        let inner = Arc::new(Mutex::new(transport(&keys(2), STREAMS_MAX).unwrap()));
        let mut named = Named { inner, lookups: Lookups::new(all) };
        let address = listen_addr.replace(0, |_| Some(Protocol::Dns("any".into()))).unwrap();
        let how = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let answers = tokio::spawn(async move {
            loop {
                if let TransportEvent::Incoming { upgrade, .. } = listening.select_next_some().await {
                    let _ = upgrade.await;
                }
            }
        });
        let (peer, _) = named.dial(address, how).unwrap().await.unwrap();
        assert_eq!(peer, keys(1).public().to_peer_id());
        answers.abort();
    }

    #[tokio::test]
    async fn a_name_without_an_address_of_that_kind_is_none() {
        let lookups = Lookups::new(|_| Ok(vec!["::1".parse().unwrap()]));
        let error = lookups.look_up(name("/dns4/six/tcp/1")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_name_too_many_is_not_looked_up_until_another_is_answered_for() {
        static ANSWER: Barrier = Barrier::new(LOOKUPS_MAX + 1);
        let lookups = Lookups::new(|_| {
            ANSWER.wait();
            Ok(vec!["192.0.2.1".parse().unwrap()])
        });
        let ask = || tokio::spawn(lookups.look_up(name("/dns4/any/tcp/1")));
        let asked: Vec<_> = (0..LOOKUPS_MAX).map(|_| ask()).collect();
        while lookups.free.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = ask().await.unwrap().unwrap_err();
        assert_eq!(refused.to_string(), format!("more than {LOOKUPS_MAX} names to look up at once"));
        ANSWER.wait();
        for answer in asked {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(lookups.free.available_permits(), LOOKUPS_MAX);
    }
}
