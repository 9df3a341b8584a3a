//! What a room of very many actors tells and asks of what is held: by ranges, where a vector would be long.

use crate::limits::CREDIT_BYTES;
use crate::room::{Output, Refusal, Room};
use crate::sync::frame::Digest;
use crate::sync::ranges::{Range, Told, Wanted};
use crate::sync::survey::{Opening, Survey, TooManyStrangers};
use crate::sync::{Lane, LinkId, Now, RoomFrame};

impl Room {
    /// Whether what is held takes too long to be told as a vector.
    pub(super) fn is_vast(&self) -> bool {
        self.log.actors.len() > self.vector_actors_max
    }

    /// What is held, as a peer is told it: as a vector, or as the beginning of an exchange about ranges.
    pub(super) fn telling(&mut self, number: u64, runs_taken: u64, exact: bool) -> RoomFrame {
        if !self.is_vast() {
            return RoomFrame::Vector { held: self.log.vector(), runs_taken, exact };
        }
        let sums = self.log.ranges().sums(Range::ALL, number);
        RoomFrame::Ranges(Opening { number, runs_taken, exact, sums })
    }

    /// A peer begins to tell what it holds.
    pub(super) fn hear_ranges(&mut self, link: LinkId, opening: &Opening, now: Now, out: &mut Vec<Output>) {
        let ours = self.log.ranges();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if opening.exact {
            // Who says so has taken nothing of it for given back.
            peer.credit = CREDIT_BYTES as i64;
        }
        let is_due = match &mut peer.survey {
            Some(survey) => survey.hear_again(opening.exact),
            None => {
                peer.survey = Some(Survey::begin(opening, ours));
                true
            }
        };
        if is_due {
            self.go_on(link, now, out);
        }
    }

    /// A peer wants to know more.
    pub(super) fn hear_wanted(&mut self, link: LinkId, number: u64, wanted: &Wanted, out: &mut Vec<Output>) {
        let told = self.log.ranges().answer(wanted, number);
        out.push(Output::Send { link, lane: Lane::Live, frame: RoomFrame::RangesTold { number, told } });
    }

    /// A peer tells more.
    pub(super) fn hear_told(
        &mut self,
        link: LinkId,
        number: u64,
        told: Told,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let ours = self.log.ranges();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        match peer.survey.as_mut().map(|survey| survey.hear(number, told, ours)) {
            Some(Ok(true)) => self.go_on(link, now, out),
            Some(Err(TooManyStrangers)) => {
                // It is asked again with every heartbeat, and names fewer once some of their messages have come.
                peer.survey = None;
                out.push(Output::Refused { link, refusal: Refusal::Strangers });
            }
            Some(Ok(false)) | None => {}
        }
    }

    fn go_on(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let Some(survey) = &mut peer.survey else { return };
        if let Some((held, runs_taken, exact)) = survey.finish() {
            peer.survey = None;
            self.hear_held(link, held, runs_taken, exact, now, out);
        } else if let Some((number, wanted)) = survey.ask() {
            out.push(Output::Send {
                link,
                lane: Lane::Live,
                frame: RoomFrame::RangesWanted { number, wanted },
            });
        }
    }

    /// All that has this digest is on the peer's disk.
    pub(super) fn hear_kept(&mut self, link: LinkId, digest: Digest, out: &mut Vec<Output>) {
        if self.log.digest() == digest {
            let vector = self.log.vector();
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.durable.join(&vector);
            }
            self.check_peer_waits(out);
        }
    }
}
