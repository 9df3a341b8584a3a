//! When to dial whom again. Pure: the time is an argument, and jitter comes from a seed.
//!
//! A dial into a black hole hangs, so attempts overlap: the next one starts by the clock, not by the last one's end. A
//! peer seen lately on this network is tried several times a second, one not seen for long twice a minute.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use rtc_core::id::PeerKey;

use super::limits::{BOOK_PEERS_MAX, DIALS_PER_PEER_MAX, EXPLORE_EVERY};

/// The first attempts after a link went down come this fast: a restarted daemon is back within them.
const FIRST: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(200)];
/// The pace after that, by the time since the peer was wanted anew.
const MET: [(Duration, Duration); 2] = [
    (Duration::from_secs(300), Duration::from_millis(300)),
    (Duration::from_secs(3600), Duration::from_secs(1)),
];
/// The same for a peer that never was on this network.
const NOT_MET: [(Duration, Duration); 2] = [
    (Duration::from_secs(10), Duration::from_millis(300)),
    (Duration::from_secs(60), Duration::from_secs(1)),
];
/// Targets altogether; a pause beyond is forgotten, which costs an idle dial.
const TARGETS_MAX: usize = 2 * BOOK_PEERS_MAX;
/// The first pause between attempts to do without a relay; each is twice the one before.
const DIRECT_FIRST: Duration = Duration::from_secs(1);
/// The pace in the long run.
const RARELY: Duration = Duration::from_secs(30);

/// Whom to dial.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Target {
    /// A peer, at all its addresses.
    Peer(PeerKey),
    /// A peer whose link goes through a relay, without one.
    Direct(PeerKey),
    /// An address, whoever is there.
    Stray(Multiaddr),
}

/// Why somebody is wanted; the greater, the more urgently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Why {
    /// It may be there, or was in an earlier life.
    Found,
    /// Somebody asked for it by name.
    Given,
    /// There was a link to it.
    Lost,
}

/// Who is wanted and not there.
#[derive(Debug)]
pub(crate) struct Schedule {
    wanted: BTreeMap<Target, Want>,
    jitter: u64,
    /// When somebody who was just found was dialled last.
    explored: Option<Instant>,
}

#[derive(Debug)]
struct Want {
    since: Instant,
    next: Instant,
    attempts: usize,
    in_flight: u8,
    why: Why,
    pause: Option<Pause>,
}

/// Why somebody is left alone for a while, whoever wants him.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// It speaks something else. Nothing but `unwant` ends this early.
    Foreign,
    /// Both had connections enough.
    Spared,
}

impl Schedule {
    /// Nobody is wanted; `seed` scatters the attempts of several daemons.
    pub(crate) fn new(seed: u64) -> Self {
        Self { wanted: BTreeMap::new(), jitter: seed, explored: None }
    }

    /// Wants `target` anew: the first attempt comes at `first`, at the latest.
    pub(crate) fn want(&mut self, target: Target, now: Instant, first: Instant, why: Why) {
        let fresh = Want { since: now, next: first, attempts: 0, in_flight: 0, why, pause: None };
        let want = self.wanted.entry(target).or_insert(fresh);
        if want.pause.is_some() {
            return;
        }
        want.since = now;
        want.next = want.next.min(first);
        want.attempts = 0;
        want.why = want.why.max(why);
    }

    /// Wants `target` as `other` is wanted, at the pace that this one has come to: it may be the same. Nothing where that is not wanted.
    pub(crate) fn want_as(&mut self, other: &Target, target: Target) {
        if let Some(Want { since, next, attempts, why, pause: None, .. }) = self.wanted.get(other) {
            let want = Want {
                since: *since,
                next: *next,
                attempts: *attempts,
                in_flight: 0,
                why: *why,
                pause: None,
            };
            self.wanted.entry(target).or_insert(want);
        }
    }

    /// There is a link to `target`, or it is not to be dialled any more.
    pub(crate) fn unwant(&mut self, target: &Target) {
        self.wanted.remove(target);
    }

    /// Leaves `target` alone until `until`, whoever wants it.
    pub(crate) fn pause(&mut self, target: Target, pause: Pause, now: Instant, until: Instant) {
        self.wanted.remove(&target);
        if self.wanted.len() < TARGETS_MAX {
            let attempts = FIRST.len();
            let want =
                Want { since: now, next: until, attempts, in_flight: 0, why: Why::Found, pause: Some(pause) };
            self.wanted.insert(target, want);
        }
    }

    /// There are not connections enough any more: whoever was spared is tried again, one after the other within a second.
    pub(crate) fn end_spares(&mut self, now: Instant) {
        for want in self.wanted.values_mut().filter(|want| want.pause == Some(Pause::Spared)) {
            self.jitter = splitmix(self.jitter);
            want.pause = None;
            want.next = want.next.min(now + EXPLORE_EVERY.mul_f64(unit(self.jitter)));
        }
    }

    /// Tries everybody again soon: the network has changed.
    pub(crate) fn hurry(&mut self, now: Instant) {
        for want in self.wanted.values_mut().filter(|want| want.pause.is_none()) {
            want.since = now;
            want.next = want.next.min(now + FIRST[0]);
            want.attempts = 0;
        }
    }

    /// An attempt to reach `target` has ended.
    pub(crate) fn attempt_ended(&mut self, target: &Target) {
        if let Some(want) = self.wanted.get_mut(target) {
            want.in_flight = want.in_flight.saturating_sub(1);
        }
    }

    /// Up to `limit` targets to dial now; their next attempts are planned. `calm`: there are links enough, and of those that were only
    /// found one at a time is tried.
    pub(crate) fn due(&mut self, now: Instant, limit: usize, calm: bool) -> Vec<Target> {
        let round = RARELY.max(EXPLORE_EVERY * u32::try_from(self.wanted.len()).unwrap_or(u32::MAX));
        let mut ready: Vec<_> = self.wanted.iter_mut().filter(|(_, want)| want.next <= now).collect();
        // Who waits longest goes first, so that a few hanging peers do not keep the rest from their turn.
        ready.sort_by_key(|(_, want)| want.next);
        let mut due = Vec::new();
        for (target, want) in ready {
            if due.len() == limit {
                break;
            }
            want.pause = None;
            self.jitter = splitmix(self.jitter);
            let scatter = unit(self.jitter);
            if calm && want.why == Why::Found {
                // Whoever it is not the turn of is looked at again some time within the round, so that few are at once.
                want.next = now + EXPLORE_EVERY + round.mul_f64(scatter);
                if self.explored.is_some_and(|at| now < at + EXPLORE_EVERY) {
                    continue;
                }
                want.next += round;
                self.explored = Some(now);
            } else {
                want.next = now + want.pace(target, now).mul_f64(0.8 + 0.4 * scatter);
            }
            if want.in_flight < DIALS_PER_PEER_MAX {
                want.in_flight += 1;
                want.attempts += 1;
                due.push(target.clone());
            }
        }
        due
    }

    /// When the next attempt is due.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.wanted.values().map(|want| want.next).min()
    }
}

impl Want {
    fn pace(&self, target: &Target, now: Instant) -> Duration {
        if matches!(target, Target::Direct(_)) {
            // There is a link, and no hurry.
            let doublings = u32::try_from(self.attempts.min(8)).unwrap_or(8);
            return RARELY.min(DIRECT_FIRST * 2_u32.pow(doublings));
        }
        if let Some(first) = FIRST.get(self.attempts) {
            return *first;
        }
        let elapsed = now.saturating_duration_since(self.since);
        let steps = if self.why == Why::Lost { MET } else { NOT_MET };
        steps.iter().find(|(until, _)| elapsed < *until).map_or(RARELY, |(_, pace)| *pace)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to scatter attempts.
fn splitmix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number in 0..1 of the upper bits.
fn unit(bits: u64) -> f64 {
    f64::from(u32::try_from(bits >> 32).expect("half of 64 bits")) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Target = Target::Peer(PeerKey([1; 32]));

    /// Times of all attempts within `length`, each of which hangs for `hang`.
    fn attempts(why: Why, hang: Duration, length: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let (mut schedule, mut times, mut hanging) = (Schedule::new(7), Vec::new(), Vec::new());
        schedule.want(PEER, start, start, why);
        let mut now = start;
        while now < start + length {
            hanging.retain(|since: &Instant| {
                let hangs = now < *since + hang;
                if !hangs {
                    schedule.attempt_ended(&PEER);
                }
                hangs
            });
            for _ in schedule.due(now, 10, false) {
                times.push(now - start);
                hanging.push(now);
            }
            now += Duration::from_millis(10);
        }
        times
    }

    #[test]
    fn a_fresh_attempt_is_under_way_often_enough_even_when_attempts_hang() {
        let times = attempts(Why::Lost, Duration::from_millis(900), Duration::from_secs(60));
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(gap <= Duration::from_millis(500), "{gap:?} between two attempts");
    }

    #[test]
    fn only_so_many_attempts_hang_at_once() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(7);
        schedule.want(PEER, now, now, Why::Lost);
        let mut hanging = 0;
        for _ in 0..1_000 {
            hanging += schedule.due(now, 10, false).len();
            now += Duration::from_secs(1);
        }
        assert_eq!(hanging, usize::from(DIALS_PER_PEER_MAX));
        schedule.attempt_ended(&PEER);
        assert_eq!(schedule.due(now + RARELY, 10, false), [PEER]);
    }

    #[test]
    fn a_peer_not_met_for_long_is_tried_twice_a_minute() {
        let times = attempts(Why::Found, Duration::ZERO, Duration::from_secs(600));
        let late = times.iter().filter(|time| **time > Duration::from_secs(120)).count();
        assert!((12..=24).contains(&late), "{late} attempts in 480 s");
    }

    #[test]
    fn a_direct_path_is_sought_ever_more_seldom_until_the_network_changes() {
        let (start, direct) = (Instant::now(), Target::Direct(PeerKey([1; 32])));
        let mut schedule = Schedule::new(7);
        schedule.want(direct.clone(), start, start, Why::Given);
        let mut attempts = 0;
        for second in 0..300 {
            let due = schedule.due(start + Duration::from_secs(second), 10, false);
            attempts += due.len();
            due.iter().for_each(|target| schedule.attempt_ended(target));
        }
        assert!((10..=18).contains(&attempts), "{attempts} attempts in 300 s");
        let later = start + Duration::from_secs(300);
        schedule.hurry(later);
        assert_eq!(schedule.due(later + FIRST[0], 10, false), [direct]);
    }

    #[test]
    fn a_paused_peer_is_left_alone_whoever_wants_it() {
        let now = Instant::now();
        let mut schedule = Schedule::new(7);
        schedule.pause(PEER, Pause::Foreign, now, now + RARELY);
        schedule.end_spares(now);
        schedule.want(PEER, now, now, Why::Lost);
        schedule.hurry(now);
        assert_eq!(schedule.due(now + RARELY / 2, 10, false), []);
        assert_eq!(schedule.due(now + RARELY, 10, false), [PEER]);
    }

    #[test]
    fn with_links_enough_those_who_were_only_found_are_tried_one_at_a_time() {
        let start = Instant::now();
        let mut schedule = Schedule::new(7);
        for number in 0..200 {
            schedule.want(Target::Peer(PeerKey([number; 32])), start, start, Why::Found);
        }
        schedule.want(PEER, start, start, Why::Lost);
        let mut tried = std::collections::BTreeSet::new();
        let mut now = start;
        for _ in 0..6_000 {
            let due = schedule.due(now, 10, true);
            due.iter().for_each(|target| schedule.attempt_ended(target));
            let found: Vec<_> = due.into_iter().filter(|target| *target != PEER).collect();
            assert!(found.len() <= 1);
            tried.extend(found);
            now += EXPLORE_EVERY / 10;
        }
        assert!(tried.len() > 180, "in ten minutes nearly everybody has had its turn: {}", tried.len());
    }

    #[test]
    fn wanting_anew_starts_over_and_a_link_ends_it() {
        let now = Instant::now();
        let mut schedule = Schedule::new(7);
        schedule.want(PEER, now, now, Why::Lost);
        assert_eq!(schedule.due(now, 0, false), []);
        assert_eq!(schedule.due(now, 10, false), [PEER]);
        assert!(schedule.wake_at().unwrap() <= now + FIRST[0] * 2);
        schedule.unwant(&PEER);
        assert_eq!(schedule.wake_at(), None);
    }
}
