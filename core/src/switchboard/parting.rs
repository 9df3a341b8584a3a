//! Which connections a daemon can do without: a large room needs few, and the places are for who comes.

use crate::limits::ROOM_LINKS_MAX;
use crate::switchboard::{Output, Switchboard, send};
use crate::sync::{LinkFrame, LinkId};

impl Switchboard {
    /// Says farewell to a peer that every shared room could do without, to each in turn, since the peer may not be able to: so who is
    /// connected changes slowly, and a room of very many stays in one piece.
    pub(super) fn part(&mut self, out: &mut Vec<Output>) {
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
            && rooms.map(|room| self.rooms.get(&room).map(|member| &member.room)).all(|awake| {
                awake.is_some_and(|room| room.peers_connected() > links && room.has_caught_up(link))
            })
    }
}
