//! A room among peers that say anything: nobody puts words into another's mouth, and what is true is taken in.

use std::sync::{Arc, OnceLock};

use rtc_core::api::{Edit, EditOp, Undo, Wait};
use rtc_core::chain::{Ed25519, Keys};
use rtc_core::clock::VersionVector;
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, Dot, PeerKey};
use rtc_core::limits::{LAMPORT_MAX, WAITING_MESSAGES_MAX};
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::room::{Input, Opening, Output, Room};
use rtc_core::scene::Root;
use rtc_core::store::{Record, StoreError};
use rtc_core::sync::{LinkFrame, LinkId, Now, RoomFrame, Run, backlog};

use super::Choices;

/// Steps of one run: what needs more is beyond a fuzzer.
const STEPS_MAX: usize = 60;
/// The peer that says anything, and one that is as it should be.
const STRANGER: LinkId = LinkId(1);
const MEMBER: LinkId = LinkId(2);

pub(super) fn founding() -> Founding {
    Founding {
        owner: PeerKey([0; 32]),
        nonce: [0; 16],
        name: "fuzz".into(),
        time_ms: 0,
        access: Access::Open,
    }
}

pub(super) fn open(seed: u8) -> Room {
    Room::open(Opening {
        room: founding().room(),
        founding: Some(founding()),
        keys: Arc::new(Ed25519::from_seed(&[seed; 32])),
        epoch_fresh: 1,
        epoch_proof: None,
    })
}

fn insert(key: &str) -> EditOp {
    EditOp { otype: "node.insert".into(), key: key.into(), ..EditOp::default() }
}

pub(super) fn edit(ops: Vec<EditOp>) -> Input {
    Input::Edit { token: 1, edit: Edit { ops, wait: Wait::Local, ..Edit::default() } }
}

fn run_of(record: &Record) -> Option<Run> {
    let bodies = [&record.body].into_iter().collect();
    record.signature.map(|signature| Run { actor: record.actor, first: record.seq, bodies, signature })
}

/// What an honest member has written: one message a run.
fn members_runs() -> &'static [Run] {
    static RUNS: OnceLock<Vec<Run>> = OnceLock::new();
    RUNS.get_or_init(|| {
        let (mut room, mut out) = (open(2), Vec::new());
        for key in ["a", "b", "c", "a", "b", "c"] {
            room.handle(edit(vec![insert(key)]), Now::default(), &mut out);
            room.handle(Input::Flush, Now::default(), &mut out);
        }
        stored(&out).iter().filter_map(run_of).collect()
    })
}

fn stored(out: &[Output]) -> Vec<Record> {
    let records = out.iter().filter_map(|output| match output {
        Output::Store { records, .. } => Some(records.clone()),
        _ => None,
    });
    records.flatten().collect()
}

/// Numbers of an actor, both included.
type Range = (Actor, u64, u64);

/// One room and its disk.
struct Lone {
    room: Room,
    now: Now,
    disk: Vec<Record>,
    batch: u64,
    reads: Vec<(LinkId, Vec<Range>)>,
}

impl Lone {
    fn give(&mut self, input: Input) {
        let mut out = Vec::new();
        self.room.handle(input, self.now, &mut out);
        assert!(self.room.waiting() <= WAITING_MESSAGES_MAX);
        self.disk.extend(stored(&out));
        for output in out {
            match output {
                Output::Store { batch, .. } => self.batch = batch,
                Output::Read { link, ranges } => self.reads.push((link, ranges)),
                _ => {}
            }
        }
    }

    fn answer_reads(&mut self) {
        for (link, ranges) in std::mem::take(&mut self.reads) {
            let records = read(&self.disk, &ranges);
            self.give(Input::Read { link, records });
        }
    }

    fn hear(&mut self, link: LinkId, frame: RoomFrame) {
        self.give(Input::Frame { link, frame });
    }
}

pub(super) fn read(disk: &[Record], ranges: &[(Actor, u64, u64)]) -> Vec<Record> {
    let of = |&(actor, from, to): &(Actor, u64, u64)| {
        disk.iter().filter(move |record| record.actor == actor && (from..=to).contains(&record.seq)).cloned()
    };
    ranges.iter().flat_map(of).collect()
}

pub(super) fn room(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut lone = Lone { room: open(1), now: Now::default(), disk: Vec::new(), batch: 0, reads: Vec::new() };
    lone.give(Input::PeerUp { link: STRANGER, peer: PeerKey([9; 32]) });
    for _ in 0..STEPS_MAX {
        if choices.are_made() {
            break;
        }
        step(&mut lone, &mut choices);
    }
    // Now somebody comes who tells the truth.
    lone.give(Input::Committed { batch: lone.batch });
    lone.give(Input::PeerUp { link: MEMBER, peer: Ed25519::from_seed(&[2; 32]).public() });
    for run in members_runs() {
        lone.hear(MEMBER, RoomFrame::Run { run: run.clone() });
    }
    lone.give(Input::Flush);
    let honest = &members_runs()[0].actor;
    assert_eq!(lone.room.vector().get(honest), members_runs().len() as u64, "nothing true is kept out");
    check(&mut lone.room, &lone.disk, honest, |seq| {
        members_runs().iter().find(|run| run.first == seq).map(|run| run.bodies.get(0))
    });
}

/// What is on the disk is what the room shows, and what an actor is said to have written it has written.
pub(super) fn check<'a>(
    room: &mut Room,
    disk: &[Record],
    actor: &Actor,
    wrote: impl Fn(u64) -> Option<&'a [u8]>,
) {
    for record in disk.iter().filter(|record| record.actor.key() == actor.key()) {
        assert_eq!(record.actor, *actor, "it has no other epoch");
        assert_eq!(Some(record.body.as_slice()), wrote(record.seq), "message {} is its own", record.seq);
    }
    let messages: Vec<Message> = disk
        .iter()
        .map(|record| Message::decode(record.actor, &record.body).expect("it was admitted"))
        .collect();
    assert_eq!(room.messages(), messages.len() as u64);
    assert_eq!(room.replica().state_hash(), naive::fold(&Root::default(), &messages).scene.hash());
}

fn step(lone: &mut Lone, choices: &mut Choices<'_>) {
    match choices.below(16) {
        0 => {
            if let Ok(Some(LinkFrame::Room { frame, .. })) = LinkFrame::decode(choices.bytes()) {
                lone.hear(STRANGER, frame);
            }
        }
        1..4 => {
            let run = damaged(choices);
            lone.hear(STRANGER, RoomFrame::Run { run });
        }
        4 => {
            let runs: Vec<Run> = (0..=choices.below(4)).map(|_| damaged(choices)).collect();
            for (content, _) in backlog::pack(&runs) {
                lone.hear(STRANGER, RoomFrame::Backlog { content: content.into() });
            }
        }
        5 => lone.hear(STRANGER, RoomFrame::Backlog { content: choices.bytes().into() }),
        6 => {
            let held = vector(lone, choices);
            let (runs_taken, exact) = (choices.byte().into(), choices.below(2) == 1);
            lone.hear(STRANGER, RoomFrame::Vector { held, runs_taken, exact });
        }
        7 => {
            let durable = vector(lone, choices);
            lone.hear(STRANGER, RoomFrame::Ack { durable });
        }
        8 => lone.hear(STRANGER, RoomFrame::Credit { bytes: u64::MAX >> choices.below(64) }),
        9 => {
            let ops = (0..=choices.below(3)).map(|_| choices.edit()).collect();
            lone.give(edit(ops));
        }
        10 => lone.give(Input::Undo { token: 2, undo: Undo::default(), redo: choices.below(2) == 1 }),
        11 => lone.give(Input::Flush),
        12 => match choices.below(3) {
            0 => lone.give(Input::Committed { batch: lone.batch }),
            1 if lone.batch > 0 => {
                lone.give(Input::StoreFailed { batch: lone.batch, error: StoreError::Full })
            }
            _ => lone.answer_reads(),
        },
        13 => {
            lone.now.monotonic_us += 100_000 * u64::from(choices.byte());
            lone.give(Input::Wake);
        }
        14 => match choices.below(4) {
            0 => lone.give(Input::Digest { link: STRANGER, digest: [choices.byte(); 16] }),
            1 => lone.give(Input::Missed { link: STRANGER }),
            2 => lone.give(Input::PeerDown { link: STRANGER }),
            _ => lone.give(Input::PeerUp { link: STRANGER, peer: PeerKey([9; 32]) }),
        },
        _ => {
            let actors: Vec<Actor> = lone.disk.iter().map(|record| record.actor).collect();
            if !actors.is_empty() {
                let first = Dot { actor: *choices.pick(&actors), seq: choices.byte().into() };
                lone.give(Input::Unsent { link: STRANGER, first });
            }
        }
    }
}

/// One of the member's runs, or several in one, with something wrong about it.
fn damaged(choices: &mut Choices<'_>) -> Run {
    let mut run = choices.pick(members_runs()).clone();
    let mut bodies: Vec<Vec<u8>> = run.bodies.iter().map(<[u8]>::to_vec).collect();
    match choices.below(8) {
        0 => {}
        1 => run.first = choices.byte().max(1).into(),
        2 => run.signature.0[choices.below(64)] ^= 1 << choices.below(8),
        3 => run.actor.0[choices.below(40)] ^= 1 << choices.below(8),
        4 => bodies.push(choices.bytes().to_vec()),
        5 => {
            let more = choices.pick(members_runs());
            bodies.extend(more.bodies.iter().map(<[u8]>::to_vec));
            run.signature = more.signature;
        }
        6 => bodies[0] = choices.bytes().to_vec(),
        _ => {
            let body = &mut bodies[0];
            let at = choices.below(256) % body.len();
            body[at] ^= 1 << choices.below(8);
        }
    }
    run.bodies = bodies.into_iter().collect();
    run
}

/// What somebody might claim to hold, as far as a frame can say it.
fn vector(lone: &Lone, choices: &mut Choices<'_>) -> VersionVector {
    let mut held = VersionVector::default();
    for actor in lone.disk.iter().map(|record| record.actor).chain([members_runs()[0].actor]) {
        match choices.below(4) {
            0 => {}
            1 => held.raise(actor, LAMPORT_MAX >> choices.below(53)),
            _ => held.raise(actor, choices.byte().into()),
        }
    }
    held
}

/// Choices at random: the fuzzer makes sense of them.
pub(super) fn inputs() -> Vec<Vec<u8>> {
    let mut random = rtc_core::sim::Random::new(2);
    (0..8).map(|_| (0..300).map(|_| random.bytes::<1>()[0]).collect()).collect()
}
