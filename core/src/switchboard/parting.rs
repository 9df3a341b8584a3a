//! Connections that a large room can do without: both ends agree, and leave each other alone for a while.

use super::member::Member;
use super::{Output, Switchboard, send};
use crate::limits::ROOM_LINKS_MAX;
use crate::sync::{LinkFrame, LinkId, Now};

/// How often to look for a connection to do without.
const PART_MS: u64 = 1_000;

impl Switchboard {
    /// Says farewell to a peer that every shared room could do without, to each in turn, since the peer may not be able to: so who is
    /// connected changes slowly, and a room of very many stays in one piece.
    pub(super) fn part(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.part_us > now.monotonic_us {
            return;
        }
        self.part_us = now.after_ms(PART_MS);
        let (before, after) = (..=self.parted, LinkId(self.parted.0 + 1)..);
        let mut links = self.links.range(after).chain(self.links.range(before));
        if let Some((&link, state)) = links.find(|(link, _)| self.can_spare(**link, ROOM_LINKS_MAX)) {
            self.parted = link;
            out.push(Output::Spare { peer: state.peer() });
            send(link, vec![LinkFrame::Farewell], out);
        }
    }

    /// Whether every room that is shared over a connection, of which there are some, has more than so many and nothing to fetch over this one.
    pub(super) fn can_spare(&self, link: LinkId, links: usize) -> bool {
        let Some(state) = self.links.get(&link) else { return false };
        let mut rooms = state.shared_rooms().peekable();
        rooms.peek().is_some()
            && rooms
                // One that sleeps is no crowd.
                .all(|room| {
                    self.rooms.get(&room).is_some_and(|Member { room, .. }| {
                        room.peers_connected() > links && room.has_caught_up(link)
                    })
                })
    }
}
