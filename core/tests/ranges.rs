//! What is held is told by ranges exactly, in few bytes where few differ, and at bounded cost whatever a peer answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use rtc_core::chain::{Ed25519, Keys, Link};
use rtc_core::clock::VersionVector;
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, PeerKey, RoomId};
use rtc_core::limits::STRANGERS_MAX;
use rtc_core::message::Message;
use rtc_core::room::{Input, Opening, Output, Refusal, Room};
use rtc_core::sim::Random;
use rtc_core::store::Record;
use rtc_core::sync::ranges::{Range, Ranges, Told, Wanted};
use rtc_core::sync::survey::{self, Survey};
use rtc_core::sync::{LinkFrame, LinkId, Now, RoomFrame};

const LINK: LinkId = LinkId(1);

/// A vector, and how it is told.
#[derive(Default)]
struct Side {
    held: BTreeMap<Actor, u64>,
    ranges: Ranges,
}

impl Side {
    fn raise(&mut self, actor: Actor, seq: u64) {
        let held = self.held.entry(actor).or_default();
        *held = seq.max(*held);
        self.ranges.touch(actor);
    }

    fn ranges(&mut self) -> &mut Ranges {
        let held = &self.held;
        // What the link is does not matter, but that it is another one for another number.
        self.ranges.follow(|actor| held.get(actor).map(|&seq| (seq, Link([seq.to_be_bytes()[7]; 32]))));
        &mut self.ranges
    }

    fn vector(&self) -> VersionVector {
        self.held.iter().map(|(&actor, &seq)| (actor, seq)).collect()
    }

    fn open(&mut self, number: u64) -> survey::Opening {
        let sums = self.ranges().sums(Range::ALL, number);
        survey::Opening { number, runs_taken: 0, exact: false, sums }
    }
}

/// What one learns of the other, where `random` of 1,000 frames are lost.
fn learn(ours: &mut Side, theirs: &mut Side, lost_per_mille: u64, random: &mut Random) -> VersionVector {
    let opening = theirs.open(7);
    let mut survey = Survey::begin(&opening, ours.ranges());
    loop {
        if let Some((held, 0, false)) = survey.finish() {
            return held;
        }
        let (number, wanted) = survey.ask().expect("it is not finished");
        if random.per_mille(lost_per_mille) {
            continue;
        }
        let told = theirs.ranges().answer(&wanted, number);
        if !random.per_mille(lost_per_mille) {
            survey.hear(number, told, ours.ranges()).expect("they are few");
        }
    }
}

/// Actors of few keys and of many.
fn actor(random: &mut Random, of: u64) -> Actor {
    let n = random.below(of);
    Actor::new(PeerKey([u8::try_from(n % 3).unwrap(); 32]), n)
}

#[test]
fn whatever_two_hold_each_learns_exactly_what_the_other_holds() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut a, mut b) = (Side::default(), Side::default());
        let (of, common) = (1 + random.below(3_000), random.below(2_000));
        for _ in 0..common {
            let (actor, seq) = (actor(&mut random, of), 1 + random.below(1_000));
            a.raise(actor, seq);
            b.raise(actor, seq);
        }
        for side in [&mut a, &mut b] {
            let most = 1 << random.below(11);
            for _ in 0..random.below(most) {
                side.raise(actor(&mut random, of), 1 + random.below(1_000));
            }
            // Looked at in between, so that later changes have something to spoil.
            side.ranges().sums(Range::ALL, 1);
        }
        for _ in 0..random.below(5) {
            a.raise(actor(&mut random, of), 1 + random.below(1_000));
        }
        let lost = random.below(3) * 300;
        assert_eq!(learn(&mut a, &mut b, lost, &mut random), b.vector(), "seed {seed}");
        assert_eq!(learn(&mut b, &mut a, lost, &mut random), a.vector(), "seed {seed}");
    }
}

#[test]
fn the_sums_are_those_of_what_is_held_however_it_came() {
    let mut random = Random::new(1);
    let (mut a, mut b) = (Side::default(), Side::default());
    let all: Vec<_> = (0..2_000).map(|_| (actor(&mut random, 1_500), 1 + random.below(9))).collect();
    for &(actor, seq) in &all {
        a.raise(actor, seq);
        if random.per_mille(100) {
            a.ranges().sums(Range::ALL, random.below(9));
        }
    }
    all.iter().rev().for_each(|&(actor, seq)| b.raise(actor, seq));
    let mut open = vec![Range::ALL];
    while let Some(range) = open.pop() {
        let wanted = Wanted { sums: vec![range], names: Vec::new() };
        let told = a.ranges().answer(&wanted, 3);
        assert_eq!(told, b.ranges().answer(&wanted, 3));
        open.extend(told.sums.iter().flat_map(|(range, _)| range.parts()));
    }
}

#[test]
fn what_is_looked_at_once_more_has_other_sums() {
    let mut side = Side::default();
    side.raise(Actor::from_name("a"), 1);
    assert_ne!(side.ranges().sums(Range::ALL, 1), side.ranges().sums(Range::ALL, 2));
}

/// A room and its disk.
struct Peer {
    room: Room,
    disk: Vec<Record>,
}

fn founding() -> Founding {
    Founding {
        owner: PeerKey([0; 32]),
        nonce: [0; 16],
        name: "test".into(),
        time_ms: 0,
        access: Access::Open,
    }
}

/// The first message of an actor.
fn record(room: &RoomId, n: u64) -> Record {
    let keys = Ed25519::from_seed(&[9; 32]);
    let message = Message {
        actor: Actor::new(keys.public(), n),
        seq: 1,
        lamport: 1,
        clock: Vec::new(),
        time_ms: None,
        request: None,
        note: None,
        ops: Vec::new(),
    };
    let body = message.encode();
    let link = Link::origin(room, &message.actor).next(&body);
    Record { actor: message.actor, seq: 1, link, body, signature: Some(keys.sign(&link)) }
}

fn peer(seed: u8, actors: impl Iterator<Item = u64>) -> Peer {
    let mut room = Room::open(Opening {
        room: founding().room(),
        founding: Some(founding()),
        keys: Arc::new(Ed25519::from_seed(&[seed; 32])),
        epoch_fresh: 1,
        epoch_proof: None,
    });
    let disk: Vec<Record> = actors.map(|n| record(&founding().room(), n)).collect();
    room.load(&disk).expect("it is well");
    Peer { room, disk }
}

/// What went over the connection, each way.
#[derive(Default, Debug)]
struct Traffic {
    /// Bytes of everything but the messages themselves.
    bytes: usize,
    asks: usize,
    backlogs: usize,
    /// How often too many strangers were named.
    refused: usize,
}

/// Lets two talk until they fall silent, with a heartbeat's digests whenever they do, `beats` times.
fn talk(peers: &mut [Peer; 2], beats: usize) -> Traffic {
    let (mut traffic, mut queue) = (Traffic::default(), Vec::new());
    let mut now = Now::default();
    for side in 0..2 {
        let peer = Ed25519::from_seed(&[u8::try_from(2 - side).unwrap(); 32]).public();
        give(peers, side, Input::PeerUp { link: LINK, peer }, now, &mut queue, &mut traffic);
    }
    for _ in 0..=beats {
        while !queue.is_empty() {
            for (side, frame) in std::mem::take(&mut queue) {
                give(peers, side, Input::Frame { link: LINK, frame }, now, &mut queue, &mut traffic);
            }
        }
        now.monotonic_us += 500_000;
        for side in 0..2 {
            let digest = peers[1 - side].room.digest();
            give(peers, side, Input::Wake, now, &mut queue, &mut traffic);
            give(peers, side, Input::Digest { link: LINK, digest }, now, &mut queue, &mut traffic);
        }
    }
    traffic
}

fn give(
    peers: &mut [Peer; 2],
    side: usize,
    input: Input,
    now: Now,
    queue: &mut Vec<(usize, RoomFrame)>,
    traffic: &mut Traffic,
) {
    let mut out = Vec::new();
    peers[side].room.handle(input, now, &mut out);
    for output in out {
        match output {
            Output::Store { batch, records } => {
                peers[side].disk.extend(records);
                give(peers, side, Input::Committed { batch }, now, queue, traffic);
            }
            Output::Read { link, ranges } => {
                let is_wanted = |record: &&Record| ranges.iter().any(|range| range.0 == record.actor);
                let records = peers[side].disk.iter().filter(is_wanted).cloned().collect();
                give(peers, side, Input::Read { link, records }, now, queue, traffic);
            }
            Output::Send { frame, .. } => {
                traffic.asks += usize::from(matches!(frame, RoomFrame::RangesWanted { .. }));
                match &frame {
                    RoomFrame::Backlog { .. } => traffic.backlogs += 1,
                    other => {
                        traffic.bytes += LinkFrame::Room { channel: 1, frame: other.clone() }.encode().len()
                    }
                }
                queue.push((1 - side, frame));
            }
            Output::Refused { refusal: Refusal::Strangers, .. } => traffic.refused += 1,
            Output::Refused { refusal, .. } => panic!("an honest peer is refused: {refusal}"),
            _ => {}
        }
    }
}

#[test]
fn ten_actors_of_ten_thousand_that_differ_cost_less_than_8_kb() {
    // Five are here, five there.
    let mut peers = [peer(1, 5..10_000), peer(2, (0..5_000).chain(5_005..10_000))];
    let traffic = talk(&mut peers, 2);
    assert_eq!(peers[0].room.vector(), peers[1].room.vector());
    assert_eq!(peers[0].room.messages(), 10_000);
    println!("{traffic:?}");
    assert!(traffic.bytes < 8 * 1024 && traffic.backlogs > 0 && traffic.refused == 0, "{traffic:?}");
}

#[test]
fn equal_rooms_of_very_many_actors_ask_nothing() {
    let mut peers = [peer(1, 0..10_000), peer(2, 0..10_000)];
    let traffic = talk(&mut peers, 3);
    assert_eq!((traffic.asks, traffic.backlogs), (0, 0));
    assert!(traffic.bytes < 1024, "{traffic:?}");
}

#[test]
fn who_has_nothing_gets_all_from_who_tells_by_ranges() {
    let mut peers = [peer(1, 0..1_500), peer(2, 0..0)];
    let traffic = talk(&mut peers, 3);
    assert_eq!((peers[1].room.messages(), traffic.refused), (1_500, 0));
    assert!(peers[1].room.in_sync(LINK) && peers[0].room.in_sync(LINK));
}

#[test]
fn an_answer_about_ranges_is_no_longer_than_it_may_be() {
    use rtc_core::limits::{RANGE_ANSWER_BYTES_MAX, RANGE_NAMES_MAX, RANGES_ASKED_MAX};
    let mut side = Side::default();
    let mut random = Random::new(3);
    (0..40_000).for_each(|n| side.raise(Actor::new(PeerKey(random.bytes()), n), 1 << 50));
    let parts: Vec<Range> = Range::ALL.parts().flat_map(Range::parts).take(RANGES_ASKED_MAX).collect();
    for wanted in [
        Wanted { sums: parts.clone(), names: parts.clone() },
        Wanted { sums: Vec::new(), names: parts.clone() },
        Wanted { sums: Vec::new(), names: vec![Range::ALL; RANGES_ASKED_MAX] },
    ] {
        let told = side.ranges().answer(&wanted, 1);
        assert!(!told.sums.is_empty() || !told.names.is_empty());
        assert!(told.names.iter().all(|(_, names)| names.len() <= RANGE_NAMES_MAX));
        let bytes = LinkFrame::Room { channel: 1, frame: RoomFrame::RangesTold { number: 1, told } }.encode();
        assert!(bytes.len() <= RANGE_ANSWER_BYTES_MAX + RANGES_ASKED_MAX * 16, "{}", bytes.len());
    }
}

#[test]
fn ranges_past_a_limit_are_refused_by_its_name() {
    use rtc_core::limits::{RANGE_NAMES_MAX, RANGES_ASKED_MAX};
    let said = |frame| {
        let read = LinkFrame::decode(&LinkFrame::Room { channel: 1, frame }.encode());
        read.err().map(|error| error.to_string())
    };
    for (more, is_refused) in [(0, false), (1, true)] {
        let check = |frame, says: String| assert_eq!(said(frame), Some(says).filter(|_| is_refused));
        let (asked, named) = (RANGES_ASKED_MAX + more, RANGE_NAMES_MAX + more);
        let wanted = Wanted { sums: vec![Range::ALL; asked], names: Vec::new() };
        let says = format!("ranges asked for of {asked} exceeds {RANGES_ASKED_MAX}");
        check(RoomFrame::RangesWanted { number: 1, wanted }, says);
        let names = vec![(Range::ALL, vec![(Actor::from_name("a"), 1); named])];
        let told = Told { sums: Vec::new(), names };
        let says = format!("actors of a range of {} exceeds {}", 2 * named, 2 * RANGE_NAMES_MAX);
        check(RoomFrame::RangesTold { number: 1, told }, says);
    }
}

#[test]
fn a_peer_that_names_strangers_without_end_is_not_listened_to() {
    let mut room = peer(1, 0..0).room;
    let (now, mut out) = (Now::default(), Vec::new());
    room.handle(Input::PeerUp { link: LINK, peer: PeerKey([7; 32]) }, now, &mut out);
    let opening = survey::Opening { number: 1, runs_taken: 0, exact: true, sums: [[1; 6]; 16] };
    let mut frame = RoomFrame::Ranges(opening);
    let mut asks = 0;
    loop {
        out.clear();
        room.handle(Input::Frame { link: LINK, frame }, now, &mut out);
        let wanted = out.iter().find_map(|output| match output {
            Output::Send { frame: RoomFrame::RangesWanted { number, wanted }, .. } => {
                Some((*number, wanted.clone()))
            }
            _ => None,
        });
        let Some((number, wanted)) = wanted else { break };
        asks += 1;
        assert!(asks <= STRANGERS_MAX, "it ends");
        // Sums that nobody has, down to the narrowest ranges; there one whom nobody knows, if he were there.
        let ranges = wanted.names.iter().chain(&wanted.sums).copied();
        let (narrow, wide): (Vec<Range>, Vec<Range>) =
            ranges.partition(|range| range.parts().next().is_none());
        let nobody = vec![(Actor::from_name("nobody"), 1)];
        let told = Told {
            sums: wide.into_iter().map(|range| (range, [[2; 6]; 16])).collect(),
            names: narrow.into_iter().map(|range| (range, nobody.clone())).collect(),
        };
        frame = RoomFrame::RangesTold { number, told };
    }
    let refused =
        out.iter().any(|output| matches!(output, Output::Refused { refusal: Refusal::Strangers, .. }));
    assert!(refused, "{asks} asks");
}
