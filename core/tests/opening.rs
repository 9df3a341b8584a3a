//! A room that was put away and opened again does what one does that was never away, and bytes that are no room are refused.

use std::collections::VecDeque;
use std::sync::Arc;

use rtc_core::api::{Edit, EditOp, Undo, Wait};
use rtc_core::chain::{self, Ed25519, Keys};
use rtc_core::clock::VersionVector;
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, PeerKey, RoomId};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::replica::{SnapshotError, Stretch};
use rtc_core::room::{Input, Opening, Output, Room};
use rtc_core::sim::Random;
use rtc_core::store::Record;
use rtc_core::sync::{LinkId, Now, RoomFrame, Run};
use rtc_core::value::Value;

const LINK: LinkId = LinkId(1);

fn founding() -> Founding {
    Founding {
        owner: PeerKey([0; 32]),
        nonce: [0; 16],
        name: "test".into(),
        time_ms: 0,
        access: Access::Open,
    }
}

fn opening(told: Option<(u64, u64)>) -> Opening {
    Opening {
        room: founding().room(),
        founding: Some(founding()),
        keys: Arc::new(Ed25519::from_seed(&[1; 32])),
        epoch_fresh: 1,
        epoch_proof: told,
    }
}

/// A room, and all that it has stored.
struct Held {
    room: Room,
    records: Vec<Record>,
    told: Option<(u64, u64)>,
}

impl Held {
    fn new() -> Self {
        Self { room: Room::open(opening(None)), records: Vec::new(), told: None }
    }

    /// Gives the room an input, stores what it wants stored, and gives back the rest.
    fn give(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let now = Now { monotonic_us: 0, wall_ms: 7 };
        self.room.handle(input, now, &mut out);
        self.room.handle(Input::Flush, now, &mut out);
        let mut stored = None;
        for output in &out {
            match output {
                Output::Store { batch, records } => {
                    self.records.extend(records.iter().cloned());
                    stored = Some(*batch);
                }
                Output::Number { epoch, seq } => self.told = Some((*epoch, *seq)),
                _ => {}
            }
        }
        if let Some(batch) = stored {
            self.room.handle(Input::Committed { batch }, now, &mut out);
        }
        out.retain(|output| !matches!(output, Output::Store { .. }));
        out
    }

    fn history(&self) -> Arc<[Stretch]> {
        let mut stretches = Vec::new();
        for (actor, seq, _) in self.room.heads() {
            let of_actor = self.records.iter().filter(|record| record.actor == actor);
            let bodies: Vec<&[u8]> = of_actor.map(|record| &record.body[..]).collect();
            assert_eq!(bodies.len() as u64, seq);
            stretches.extend(Stretch::pack(actor, 1, &bodies).unwrap());
        }
        stretches.into()
    }

    fn read(&self, (actor, from, to): &(Actor, u64, u64)) -> Vec<Record> {
        let asked = |record: &&Record| record.actor == *actor && (from..=to).contains(&&record.seq);
        self.records.iter().filter(asked).cloned().collect()
    }

    /// The same room, put away and opened again.
    fn put_away(&self) -> Room {
        let snapshot = self.room.snapshot().unwrap();
        Room::open_from(opening(self.told), &snapshot, self.history()).unwrap()
    }
}

/// Others who write to the room, each with what the next message follows from.
struct Stranger {
    keys: Ed25519,
    message: Message,
    link: chain::Link,
    /// Which message of ours it has seen.
    seen: u64,
}

impl Stranger {
    fn new(seed: u8) -> Self {
        let keys = Ed25519::from_seed(&[seed; 32]);
        let actor = Actor::new(keys.public(), 1);
        let message = Message {
            actor,
            seq: 0,
            lamport: 0,
            clock: Vec::new(),
            time_ms: None,
            request: None,
            note: None,
            ops: Vec::new(),
        };
        Self { keys, link: chain::Link::origin(&founding().room(), &actor), message, seen: 0 }
    }

    /// The next messages, the first of which has newly seen that one.
    fn write(&mut self, count: u64, seen: Option<&Record>) -> Run {
        let first = self.message.seq + 1;
        let head = |record: &Record| Head { actor: record.actor, seq: record.seq, link: record.link.short() };
        self.message.clock = seen.map(head).into_iter().collect();
        if let Some(record) = seen {
            let lamport = Message::decode(record.actor, &record.body).unwrap().lamport;
            self.message.lamport = self.message.lamport.max(lamport);
            self.seen = record.seq;
        }
        let mut bodies = Vec::new();
        for _ in 0..count {
            self.message.seq += 1;
            self.message.lamport += 1;
            self.message.ops = vec![Op {
                code: OpCode::named("number.add").unwrap(),
                key: "cube".into(),
                path: Some("x".into()),
                value: Value::number(1.0).unwrap(),
                options: Default::default(),
            }];
            bodies.push(self.message.encode());
            self.message.clock.clear();
            self.link = self.link.next(&bodies[bodies.len() - 1]);
        }
        Run {
            actor: self.message.actor,
            first,
            bodies: bodies.into_iter().collect(),
            signature: self.keys.sign(&self.link),
        }
    }
}

fn edit(otype: &str, key: &str, path: Option<&str>) -> Input {
    let value = path.map(|_| Value::number(2.0).unwrap());
    let op = EditOp {
        otype: otype.into(),
        key: key.into(),
        path: path.map(str::to_owned),
        value,
        ..EditOp::default()
    };
    Input::Edit { token: 1, edit: Edit { ops: vec![op], wait: Wait::Local, ..Edit::default() } }
}

/// What the room shows, holds and can take back.
fn describe(room: &mut Room) -> String {
    let vector = room.vector();
    format!("{:?} {:?} {:?} {}", room.replica().image(), vector, room.digest(), room.messages())
}

fn vector(held: VersionVector) -> Input {
    Input::Frame { link: LINK, frame: RoomFrame::Vector { held, runs_taken: 0, exact: true } }
}

/// A history of some hundred messages, ours and others'; at its end strangers who have seen only part of it.
fn history(random: &mut Random) -> (Held, Vec<Stranger>) {
    let mut held = Held::new();
    let mut strangers: Vec<Stranger> = (10..13).map(Stranger::new).collect();
    held.give(Input::PeerUp { link: LINK, peer: PeerKey([9; 32]) });
    held.give(edit("node.insert", "cube", None));
    for _ in 0..random.below(120) {
        match random.below(6) {
            0 => drop(held.give(edit("number.add", "cube", Some("x")))),
            1 => drop(held.give(edit("number.set", "lamp", Some("y")))),
            2 => drop(held.give(undo(random.below(2) == 0))),
            3 => drop(held.give(edit("node.insert", "lamp", None))),
            _ => take_run(&mut held, &mut strangers, random),
        }
    }
    held.give(Input::PeerDown { link: LINK });
    (held, strangers)
}

fn undo(redo: bool) -> Input {
    Input::Undo { token: 1, undo: Undo { wait: Wait::Local, ..Undo::default() }, redo }
}

/// A run of one of the strangers, who may newly have seen some message of ours.
fn next_run(held: &Held, strangers: &mut [Stranger], random: &mut Random) -> Input {
    let stranger = &mut strangers[usize::try_from(random.below(3)).unwrap()];
    let ours = opening(None).keys.public();
    let newer: Vec<&Record> = held
        .records
        .iter()
        .filter(|record| record.actor.key() == ours && record.seq > stranger.seen)
        .collect();
    let seen = (!newer.is_empty() && random.below(3) == 0).then(|| *random.pick(&newer));
    let run = stranger.write(1 + random.below(5), seen);
    Input::Frame { link: LINK, frame: RoomFrame::Run { run } }
}

fn take_run(held: &mut Held, strangers: &mut [Stranger], random: &mut Random) {
    let input = next_run(held, strangers, random);
    let out = held.give(input);
    assert!(!out.iter().any(|output| matches!(output, Output::Refused { .. })), "{out:?}");
}

#[test]
fn a_room_that_was_put_away_does_what_it_would_have_done() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (mut twin, mut strangers) = history(&mut random);
        let mut away = Held { room: twin.put_away(), records: twin.records.clone(), told: twin.told };
        assert!(away.room.replica().is_cold());
        assert_eq!(describe(&mut away.room), describe(&mut twin.room), "seed {seed}");
        let mut inputs: VecDeque<Input> =
            [Input::PeerUp { link: LINK, peer: PeerKey([9; 32]) }, vector(part(&mut twin, &mut random))]
                .into();
        for _ in 0..60 {
            let input = inputs.pop_front().unwrap_or_else(|| match random.below(7) {
                0 => edit("number.add", "cube", Some("x")),
                1 => edit("node.insert", "lamp", None),
                2 => undo(random.below(2) == 0),
                3 => vector(part(&mut twin, &mut random)),
                _ => next_run(&twin, &mut strangers, &mut random),
            });
            let same = copy(&input);
            let (out, expected) = (away.give(input), twin.give(same));
            assert_eq!(format!("{out:?}"), format!("{expected:?}"), "seed {seed}");
            for output in out {
                assert!(!matches!(output, Output::Refused { .. }), "seed {seed}: {output:?}");
                if let Output::Read { link, ranges } = output {
                    let records = ranges.iter().flat_map(|range| twin.read(range)).collect();
                    inputs.push_back(Input::Read { link, records });
                }
            }
        }
        assert_eq!(describe(&mut away.room), describe(&mut twin.room), "seed {seed}");
        assert_eq!(away.room.snapshot().unwrap(), twin.room.snapshot().unwrap(), "seed {seed}");
    }
}

/// A part of what the room holds, as a peer may hold it.
fn part(held: &mut Held, random: &mut Random) -> VersionVector {
    held.room.vector().iter().map(|(actor, seq)| (actor, random.below(seq + 1))).collect()
}

/// Inputs that these tests give to two rooms.
fn copy(input: &Input) -> Input {
    match input {
        Input::Edit { token, edit } => Input::Edit { token: *token, edit: edit.clone() },
        Input::Undo { token, undo, redo } => Input::Undo { token: *token, undo: undo.clone(), redo: *redo },
        Input::PeerUp { link, peer } => Input::PeerUp { link: *link, peer: *peer },
        Input::Frame { link, frame } => Input::Frame { link: *link, frame: frame.clone() },
        Input::Read { link, records } => Input::Read { link: *link, records: records.clone() },
        other => panic!("not given here: {other:?}"),
    }
}

#[test]
fn no_other_bytes_are_taken_for_a_room() {
    let (held, _) = history(&mut Random::new(7));
    let (snapshot, history) = (held.room.snapshot().unwrap(), held.history());
    let open = |bytes: &[u8], history: &Arc<[Stretch]>| {
        Room::open_from(opening(None), bytes, Arc::clone(history)).map(drop)
    };
    assert_eq!(open(&snapshot, &history), Ok(()));
    for at in 0..snapshot.len() {
        for bit in [1, 128] {
            let mut bytes = snapshot.clone();
            bytes[at] ^= bit;
            assert!(open(&bytes, &history).is_err(), "byte {at}");
        }
        assert!(open(&snapshot[..at], &history).is_err(), "{at} bytes");
    }
    assert_eq!(open(&snapshot, &history[1..].into()), Err(SnapshotError::History));
    assert_eq!(open(&snapshot, &Arc::default()), Err(SnapshotError::History));
    let elsewhere = Opening { room: RoomId([3; 32]), ..opening(None) };
    let of_another = Room::open_from(elsewhere, &snapshot, history).map(drop);
    assert_eq!(of_another, Err(SnapshotError::Checksum));
}
