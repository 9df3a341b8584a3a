//! The network's side of the hub: connections come and go, frames come in and go out.

use libp2p::multiaddr::Protocol;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::room::{self, Refusal};
use rtc_core::switchboard::Input;
use rtc_core::sync::{End, Lane, LinkId};

use crate::hub::Hub;
use crate::metrics::{Direction, Loss};
use crate::net::{self, NetEvent};

/// Refusals told of one connection; after that each doubling is told, so that a hostile peer cannot fill the disk.
const REFUSALS_TOLD: u64 = 100;

impl Hub {
    /// Takes an event from the network; backlog is put aside for when there is nothing else to do.
    pub(super) fn take_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Frame { lane: Lane::Bulk, .. } => self.backlog.push_back(event),
            NetEvent::Down { .. } => {
                // What came before the end still counts.
                std::mem::take(&mut self.backlog).into_iter().for_each(|event| self.hear_net(event));
                self.hear_net(event);
            }
            NetEvent::Frame { .. } | NetEvent::Listening { .. } | NetEvent::Up { .. } => self.hear_net(event),
        }
    }

    pub(super) fn hear_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Listening { addresses } => {
                tracing::info!(?addresses, "listening");
                // Where a relay listens is no business of ours.
                let own = addresses
                    .iter()
                    .filter(|address| !address.iter().any(|part| part == Protocol::P2pCircuit));
                let port = own.flatten().find_map(|part| match part {
                    Protocol::Tcp(port) => Some(port),
                    _ => None,
                });
                if let Some(Err(error)) = port.map(|port| self.state.set_last_port(port)) {
                    tracing::warn!("the port is not remembered: {error}");
                }
                self.listening = addresses;
            }
            NetEvent::Up { link, peer, outbound, address, sender, .. } => {
                tracing::info!(link = link.0, %peer, %address, "connected");
                let end = if outbound { End::Dialled } else { End::Listened };
                self.link_up(link, peer, end, sender)
            }
            NetEvent::Frame { link, lane, bytes, share } => {
                self.metrics.frame(Direction::In, lane, bytes.len());
                self.input(Input::Frame { link, bytes });
                drop(share);
            }
            NetEvent::Down { link, reason } => {
                tracing::info!(link = link.0, "disconnected: {reason}");
                self.links.remove(&link);
                self.refusals.remove(&link);
                self.input(Input::LinkDown { link });
            }
        }
    }

    fn link_up(&mut self, link: LinkId, peer: PeerKey, end: End, sender: net::LinkSender) {
        let mut random = [0; 32];
        if let Err(error) = getrandom::fill(&mut random) {
            // Without randomness proofs could be replayed: better no connection.
            tracing::error!("no randomness: {error}");
            return self.end_link(link, "no randomness");
        }
        self.links.insert(link, sender);
        self.input(Input::LinkUp { link, peer, end, random });
        self.redeem_all(&peer);
    }

    /// Tries to queue a frame. Of one that may be left out, such as a live run, its room is told where it finds no place; without any
    /// other the two sides would misunderstand each other, so the connection ends and begins anew.
    pub(super) fn send(
        &mut self,
        link: LinkId,
        lane: Lane,
        bytes: Vec<u8>,
        unsent: Option<(RoomId, room::Input)>,
    ) -> Option<Input> {
        let sender = self.links.get(&link)?;
        let frame_bytes = bytes.len();
        match (sender.try_send(lane, bytes), unsent) {
            (Ok(()), _) => {
                self.metrics.frame(Direction::Out, lane, frame_bytes);
                None
            }
            (Err(net::SendError::Full), Some((room, input))) => {
                self.metrics.lose(Loss::QueueFull);
                Some(Input::Room { room, input })
            }
            (Err(net::SendError::Full), None) => {
                self.metrics.lose(Loss::PeerStuck);
                self.disconnect(link, "the peer takes nothing in");
                Some(Input::LinkDown { link })
            }
            (Err(net::SendError::Closed), _) => None,
            (Err(error @ net::SendError::TooLarge { .. }), _) => {
                tracing::error!(link = link.0, "a frame was left out: {error}");
                None
            }
        }
    }

    /// Keeps a place for a peer that is a member of a room of ours, whatever strangers do.
    pub(super) fn prefer(&self, peer: PeerKey) {
        if let Err(error) = self.net.prefer(peer) {
            // It proves itself again with its next connection.
            tracing::warn!(%peer, "no place is kept for a member: {error}");
        }
    }

    /// Lets the network leave a peer alone for a while, if its connection is about to end.
    pub(super) fn spare(&self, peer: PeerKey) {
        if let Err(error) = self.net.spare(peer) {
            // It is dialled again, and told farewell again.
            tracing::debug!(%peer, "the network does not hear: {error}");
        }
    }

    pub(super) fn tell_refusal(&mut self, room: RoomId, link: LinkId, refusal: &Refusal) {
        self.metrics.lose(Loss::Refused);
        let count = self.refusals.entry(link).or_insert(0);
        *count += 1;
        if *count <= REFUSALS_TOLD || count.is_power_of_two() {
            tracing::warn!(%room, link = link.0, count, "refused a peer's messages: {refusal}");
        }
    }

    pub(super) fn disconnect(&mut self, link: LinkId, reason: &str) {
        if self.links.remove(&link).is_some() {
            self.end_link(link, reason);
        }
    }

    fn end_link(&self, link: LinkId, reason: &str) {
        if let Err(error) = self.net.disconnect(link, reason) {
            // Nothing is sent over it any more, so the peer ends it for silence.
            tracing::warn!(link = link.0, "the network does not hear: {error}");
        }
    }
}
