//! Which stream to a peer is kept where two daemons dial each other at once. Pure: no clock, no IO.
//!
//! The peer with the smaller key chooses, and the first stream it has greeted on wins. The other follows. So both ends
//! agree without a tie to break, and a stream that is not chosen never reached either hub.

use std::collections::HashMap;

use rtc_core::id::PeerKey;

use super::LinkId;
use super::greeting::{Greeting, Token};

/// Peers whose last choice is remembered without a link; forgetting one costs a detour at its next crossing dial.
const ABSENT_MAX: usize = 1024;

/// What to do with a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Keep it; where it replaces a link, end that one.
    Keep {
        /// The link whose place it takes.
        replaces: Option<LinkId>,
    },
    /// The other end decides.
    Wait,
    /// Another link is kept.
    Refuse,
}

/// All peers with which we have, or had, a link.
#[derive(Debug)]
pub(crate) struct Choices {
    us: PeerKey,
    peers: HashMap<PeerKey, Meeting>,
}

#[derive(Debug, Default)]
struct Meeting {
    current: Option<Current>,
    /// The last choice the peer told us of.
    told: Option<Token>,
}

#[derive(Debug)]
struct Current {
    link: LinkId,
    token: Token,
    /// The peer's.
    incarnation: Token,
    /// Whether it goes through a relay, and so gives way to one that does not.
    relayed: bool,
}

impl Choices {
    /// No peers yet.
    pub(crate) fn new(us: PeerKey) -> Self {
        Self { us, peers: HashMap::new() }
    }

    /// Whether we, not `peer`, choose among the streams between us.
    pub(crate) fn is_ours(&self, peer: &PeerKey) -> bool {
        self.us < *peer
    }

    /// The link to `peer` that is kept.
    pub(crate) fn current(&self, peer: &PeerKey) -> Option<LinkId> {
        Some(self.peers.get(peer)?.current.as_ref()?.link)
    }

    /// Whether another stream to `peer` may be kept: there is none, or this one spares a relay.
    pub(crate) fn is_open(&self, peer: &PeerKey, relayed: bool) -> bool {
        let current = self.peers.get(peer).and_then(|meeting| meeting.current.as_ref());
        current.is_none_or(|current| current.relayed && !relayed)
    }

    /// What our greeting says of `peer`'s last choice.
    pub(crate) fn told(&self, peer: &PeerKey) -> Option<Token> {
        self.peers.get(peer)?.told
    }

    /// Judges a stream on which greetings are exchanged. `token` names the choice if it is kept.
    pub(crate) fn greeted(
        &mut self,
        link: LinkId,
        peer: PeerKey,
        outbound: bool,
        relayed: bool,
        greeting: &Greeting,
        token: Token,
    ) -> Verdict {
        if !self.is_ours(&peer) {
            return Verdict::Wait;
        }
        let meeting = self.peers.entry(peer).or_default();
        let replaces = match &meeting.current {
            None => None,
            Some(current) if current.relayed && !relayed => Some(current.link),
            // We dialled while the peer's own dial won.
            Some(_) if outbound => return Verdict::Refuse,
            Some(current) => {
                let lost = greeting.last_choice == Some(current.token);
                let restarted = greeting.incarnation != current.incarnation;
                if !lost && !restarted {
                    return Verdict::Refuse;
                }
                Some(current.link)
            }
        };
        meeting.current = Some(Current { link, token, incarnation: greeting.incarnation, relayed });
        Verdict::Keep { replaces }
    }

    /// The peer, who chooses, keeps `link`.
    pub(crate) fn chosen(&mut self, link: LinkId, peer: PeerKey, relayed: bool, token: Token) -> Verdict {
        if self.is_ours(&peer) {
            return Verdict::Refuse;
        }
        let meeting = self.peers.entry(peer).or_default();
        meeting.told = Some(token);
        let current = Current { link, token, incarnation: Token::default(), relayed };
        let replaces = meeting.current.replace(current).map(|old| old.link);
        Verdict::Keep { replaces }
    }

    /// `link` is no more; true when it was the one kept.
    pub(crate) fn ended(&mut self, link: LinkId, peer: &PeerKey) -> bool {
        let Some(meeting) = self.peers.get_mut(peer) else { return false };
        let was_kept = meeting.current.take_if(|current| current.link == link).is_some();
        if self.peers.len() > ABSENT_MAX {
            self.peers.retain(|_, meeting| meeting.current.is_some());
        }
        was_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: PeerKey = PeerKey([1; 32]);
    const LARGE: PeerKey = PeerKey([2; 32]);
    const KEEP: Verdict = Verdict::Keep { replaces: None };

    fn greeting(incarnation: u8, last_choice: Option<Token>) -> Greeting {
        Greeting { incarnation: [incarnation; 8], last_choice, ..Greeting::update() }
    }

    #[test]
    fn of_two_crossing_streams_the_first_greeted_at_the_smaller_key_is_kept() {
        let mut small = Choices::new(SMALL);
        assert_eq!(small.greeted(LinkId(1), LARGE, false, false, &greeting(7, None), [1; 8]), KEEP);
        assert_eq!(small.greeted(LinkId(2), LARGE, true, false, &greeting(7, None), [2; 8]), Verdict::Refuse);
        assert_eq!(
            small.greeted(LinkId(3), LARGE, false, false, &greeting(7, None), [3; 8]),
            Verdict::Refuse
        );
        assert_eq!(small.current(&LARGE), Some(LinkId(1)));
    }

    #[test]
    fn the_larger_key_waits_and_follows() {
        let mut large = Choices::new(LARGE);
        assert_eq!(large.greeted(LinkId(1), SMALL, true, false, &greeting(7, None), [1; 8]), Verdict::Wait);
        assert_eq!(large.chosen(LinkId(1), SMALL, false, [5; 8]), KEEP);
        assert_eq!(large.told(&SMALL), Some([5; 8]));
        assert_eq!(
            large.chosen(LinkId(2), SMALL, false, [6; 8]),
            Verdict::Keep { replaces: Some(LinkId(1)) }
        );
        assert!(!large.ended(LinkId(1), &SMALL), "a replaced link is not missed");
        assert!(large.ended(LinkId(2), &SMALL));
    }

    #[test]
    fn a_peer_that_lost_the_link_or_restarted_replaces_it() {
        let mut small = Choices::new(SMALL);
        assert_eq!(small.greeted(LinkId(1), LARGE, true, false, &greeting(7, None), [1; 8]), KEEP);
        let lost = greeting(7, Some([1; 8]));
        let replaces = Verdict::Keep { replaces: Some(LinkId(1)) };
        assert_eq!(small.greeted(LinkId(2), LARGE, false, false, &lost, [2; 8]), replaces);
        let restarted = greeting(8, None);
        let replaces = Verdict::Keep { replaces: Some(LinkId(2)) };
        assert_eq!(small.greeted(LinkId(3), LARGE, false, false, &restarted, [3; 8]), replaces);
        assert!(small.ended(LinkId(3), &LARGE));
        assert_eq!(small.greeted(LinkId(4), LARGE, true, false, &restarted, [4; 8]), KEEP);
    }

    #[test]
    fn a_peer_cannot_choose_for_us() {
        let mut small = Choices::new(SMALL);
        assert_eq!(small.chosen(LinkId(1), LARGE, false, [1; 8]), Verdict::Refuse);
        assert_eq!(small.current(&LARGE), None);
    }

    #[test]
    fn a_direct_stream_replaces_a_relayed_one_and_never_the_other_way_round() {
        let mut small = Choices::new(SMALL);
        let met = greeting(7, None);
        assert_eq!(small.greeted(LinkId(1), LARGE, false, true, &met, [1; 8]), KEEP);
        assert!(small.is_open(&LARGE, false) && !small.is_open(&LARGE, true));
        assert_eq!(small.greeted(LinkId(2), LARGE, false, true, &met, [2; 8]), Verdict::Refuse);
        let replaces = Verdict::Keep { replaces: Some(LinkId(1)) };
        assert_eq!(small.greeted(LinkId(3), LARGE, true, false, &met, [3; 8]), replaces);
        assert!(!small.is_open(&LARGE, false));
        assert_eq!(small.greeted(LinkId(4), LARGE, false, true, &met, [4; 8]), Verdict::Refuse);
        let lost = greeting(7, Some([3; 8]));
        let replaces = Verdict::Keep { replaces: Some(LinkId(3)) };
        assert_eq!(small.greeted(LinkId(5), LARGE, false, true, &lost, [5; 8]), replaces, "better than none");
    }
}
