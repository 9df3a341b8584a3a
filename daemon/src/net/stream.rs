//! The libp2p side of a link: whoever dialled a connection opens one stream of our protocol on it.
//!
//! A behaviour of our own rather than a general stream library: the stream stays bound to its connection, nothing
//! waits, and an inbound stream is never dropped because somebody was slow to accept it.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::limits::GREETING_TIMEOUT;

/// The one protocol we speak; a change that old daemons cannot follow is another name.
pub(crate) const SYNC_PROTOCOL: StreamProtocol = StreamProtocol::new("/rtc/sync/1");

/// What became of the stream of one connection.
#[derive(Debug)]
pub(crate) struct StreamEvent {
    /// The connection it belongs to.
    pub(crate) connection: ConnectionId,
    /// What became of it.
    pub(crate) outcome: StreamOutcome,
}

/// A stream, or why there is none.
#[derive(Debug)]
pub(crate) enum StreamOutcome {
    /// It is open; nothing has been said on it.
    Open(Stream),
    /// The other end does not speak our protocol.
    Foreign,
    /// It could not be opened.
    Failed(String),
}

/// Opens and accepts the streams of all connections.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pending: VecDeque<ToSwarm<StreamEvent, OpenStream>>,
}

/// Tells a connection to open its stream.
#[derive(Debug)]
pub(crate) struct OpenStream;

impl Streams {
    /// Opens the stream of a connection we dialled. The caller polls the swarm after this, as its loop does.
    pub(crate) fn open(&mut self, peer_id: PeerId, connection: ConnectionId) {
        let handler = NotifyHandler::One(connection);
        self.pending.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: OpenStream });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = StreamHandler;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<StreamHandler, ConnectionDenied> {
        Ok(StreamHandler { accepts: true, ..StreamHandler::default() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        role: Endpoint,
        _: PortUse,
    ) -> Result<StreamHandler, ConnectionDenied> {
        // Where both ends dial at once to get through their routers, one of them takes the part of the dialled.
        Ok(StreamHandler { accepts: role.is_listener(), ..StreamHandler::default() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, connection: ConnectionId, outcome: StreamOutcome) {
        self.pending.push_back(ToSwarm::GenerateEvent(StreamEvent { connection, outcome }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<StreamEvent, OpenStream>> {
        self.pending.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The stream of one connection.
#[derive(Debug, Default)]
pub(crate) struct StreamHandler {
    /// Whether the other end may still open the one stream.
    accepts: bool,
    asked: bool,
    outcome: Option<StreamOutcome>,
}

impl ConnectionHandler for StreamHandler {
    type FromBehaviour = OpenStream;
    type ToBehaviour = StreamOutcome;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(SYNC_PROTOCOL), ()).with_timeout(GREETING_TIMEOUT)
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), StreamOutcome>> {
        if let Some(outcome) = self.outcome.take() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome));
        }
        if std::mem::take(&mut self.asked) {
            let protocol = self.listen_protocol();
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, OpenStream: OpenStream) {
        self.asked = true;
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, ReadyUpgrade<StreamProtocol>>,
    ) {
        match event {
            // A second stream would be a second voice of one peer: it is dropped, which resets it.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                if std::mem::take(&mut self.accepts) =>
            {
                self.outcome = Some(StreamOutcome::Open(stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream, ..
            }) => {
                self.outcome = Some(StreamOutcome::Open(stream));
            }
            ConnectionEvent::DialUpgradeError(error) => {
                self.outcome = Some(match error.error {
                    StreamUpgradeError::NegotiationFailed => StreamOutcome::Foreign,
                    StreamUpgradeError::Timeout => StreamOutcome::Failed("opening a stream timed out".into()),
                    StreamUpgradeError::Io(error) => StreamOutcome::Failed(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                });
            }
            // Nothing else concerns the one stream; the enum is open, so new events land here.
            _ => {}
        }
    }
}
