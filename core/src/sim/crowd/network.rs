//! What is between the daemons of a crowd: links that lose nothing, the order of events, and the count of what is sent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::sync::{End, LinkId};

/// The kind of a live run, as a frame's second byte has it.
const LIVE: u8 = 22;
/// What a piece's header adds to a frame.
const HEADER_BYTES: u64 = 3;

/// Something that happens.
pub(super) enum Event {
    /// A daemon's time has come.
    Wake { daemon: usize },
    /// A link has come up.
    Up { link: LinkId, end: End },
    /// A frame arrives.
    Deliver { link: LinkId, bytes: Vec<u8> },
}

/// What was sent.
#[derive(Clone, Default)]
pub(super) struct Count {
    pub(super) runs: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Frames that each daemon sent.
    pub(super) by_daemon: Vec<u64>,
}

/// Links and what is on its way.
pub(super) struct Network {
    /// Of each end its owner; the two of a link are neighbours in number.
    owners: Vec<usize>,
    /// Of each pair, the lesser first, the first end of its link.
    links: BTreeMap<(usize, usize), LinkId>,
    degrees: Vec<usize>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    scheduled: u64,
    /// When each daemon is woken next.
    wakes: Vec<Option<u64>>,
    count: Count,
}

impl Network {
    pub(super) fn new(daemons: usize) -> Self {
        Self {
            owners: Vec::new(),
            links: BTreeMap::new(),
            degrees: vec![0; daemons],
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            scheduled: 0,
            wakes: vec![None; daemons],
            count: Count { by_daemon: vec![0; daemons], ..Count::default() },
        }
    }

    /// Connects two daemons, `a` being who dials, after so long.
    pub(super) fn connect(&mut self, a: usize, b: usize, at_us: u64) {
        let first = self.owners.len() as u64;
        self.owners.extend([a, b]);
        self.links.insert((a.min(b), a.max(b)), LinkId(first));
        self.degrees[a] += 1;
        self.degrees[b] += 1;
        self.at(at_us, Event::Up { link: LinkId(first), end: End::Dialled });
        self.at(at_us, Event::Up { link: LinkId(first + 1), end: End::Listened });
    }

    /// Ends the link of two daemons. Returns its ends.
    pub(super) fn disconnect(&mut self, a: usize, b: usize) -> Vec<LinkId> {
        let Some(first) = self.links.remove(&(a.min(b), a.max(b))) else { return Vec::new() };
        self.degrees[a] -= 1;
        self.degrees[b] -= 1;
        vec![first, LinkId(first.0 + 1)]
    }

    pub(super) fn are_linked(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&(a.min(b), a.max(b)))
    }

    /// How many links a daemon has.
    pub(super) fn degree(&self, daemon: usize) -> usize {
        self.degrees[daemon]
    }

    /// All links there are.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    /// Whom links connect, the lesser first.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.links.keys().copied()
    }

    /// Whose end that is.
    pub(super) fn owner(&self, link: LinkId) -> usize {
        self.owners[usize::try_from(link.0).expect("an index")]
    }

    /// Who is at the other end.
    pub(super) fn other(&self, link: LinkId) -> usize {
        self.owner(LinkId(link.0 ^ 1))
    }

    /// Sends a frame, unless it is a live run of a daemon that only says that it sends them.
    pub(super) fn send(&mut self, link: LinkId, bytes: Vec<u8>, is_mute: bool, at_us: u64) {
        let from = self.owner(link);
        let is_run = bytes.get(1) == Some(&LIVE);
        if is_run && is_mute {
            return;
        }
        self.count.runs += u64::from(is_run);
        self.count.frames += 1;
        self.count.bytes += bytes.len() as u64 + HEADER_BYTES;
        self.count.by_daemon[from] += 1;
        self.at(at_us, Event::Deliver { link: LinkId(link.0 ^ 1), bytes });
    }

    /// Wakes a daemon then, if not before.
    pub(super) fn wake(&mut self, daemon: usize, at_us: u64) {
        if self.wakes[daemon].is_none_or(|planned| at_us < planned) {
            self.wakes[daemon] = Some(at_us);
            self.at(at_us, Event::Wake { daemon });
        }
    }

    fn at(&mut self, us: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert(self.scheduled, event);
        self.queue.push(Reverse((us, self.scheduled)));
    }

    /// What happens next, and when, if that is not later than `until`.
    pub(super) fn next(&mut self, until: u64) -> Option<(u64, Event)> {
        while let Some(&Reverse((us, number))) = self.queue.peek()
            && us <= until
        {
            self.queue.pop();
            let event = self.events.remove(&number).expect("it was planned");
            match &event {
                Event::Wake { daemon } if self.wakes[*daemon] != Some(us) => continue,
                Event::Wake { daemon } => self.wakes[*daemon] = None,
                Event::Up { link, .. } | Event::Deliver { link, .. } => {
                    let pair = (self.owner(*link), self.other(*link));
                    let first = self.links.get(&(pair.0.min(pair.1), pair.0.max(pair.1)));
                    // The link has ended meanwhile.
                    if first.is_none_or(|first| first.0 != link.0 & !1) {
                        continue;
                    }
                }
            }
            return Some((us, event));
        }
        None
    }

    /// What was sent since this was last asked.
    pub(super) fn count_anew(&mut self) -> Count {
        let daemons = self.count.by_daemon.len();
        std::mem::replace(&mut self.count, Count { by_daemon: vec![0; daemons], ..Count::default() })
    }
}
