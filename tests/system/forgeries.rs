//! What a hostile member may try: messages, frames and floods, each as one row.

use std::iter::repeat_n;

use rtc_core::clock::VersionVector;
use rtc_core::id::{Actor, RoomId};
use rtc_core::limits::{
    CLOCK_ENTRIES_MAX, FRAME_BYTES_MAX, KEY_BYTES_MAX, LAMPORT_MAX, LINK_ROOMS_MAX, MESSAGE_BYTES_MAX,
    MESSAGE_OPS_MAX, RUN_MESSAGES_MAX, VALUE_DEPTH_MAX,
};
use rtc_core::message::{Head, Message};
use rtc_core::sync::{LinkFrame, RoomFrame, Run};
use rtc_core::value::Value;

use crate::forger::{CHANNEL, Forger, Pen};

/// Actors in the longest vector that is passed over, a little below what a frame may list.
const ACTORS: u64 = 60_000;

/// The one message of the daemon that is lied to.
pub(crate) struct Theirs {
    pub(crate) head: Head,
    pub(crate) lamport: u64,
    pub(crate) body: Vec<u8>,
}

/// What is said in one case: what must be accepted first, and what must not.
pub(crate) struct Attack {
    pub(crate) before: Vec<Run>,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// What is to come of it.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// The log names a refusal, and the connection goes on.
    Refused(&'static str),
    /// The log says that the connection ended for this.
    Cut(&'static str),
    /// Nothing at all.
    PassedOver,
}

/// What is tried, what is to come of it, and how it is made.
pub(crate) type Case = (&'static str, Outcome, fn(&Pen<'_>, &Theirs) -> Attack);

fn run_frame(run: Run) -> Vec<u8> {
    room_frame(RoomFrame::Run { run })
}

fn room_frame(frame: RoomFrame) -> Vec<u8> {
    LinkFrame::Room { channel: CHANNEL, frame }.encode()
}

fn vector_frame(actors: impl Iterator<Item = (Actor, u64)>) -> Vec<u8> {
    let held: VersionVector = actors.collect();
    room_frame(RoomFrame::Vector { held, runs_taken: 0, exact: false })
}

/// Actors nobody has heard of, other ones for each `from`.
fn nobodies(from: u64, count: u64) -> impl Iterator<Item = (Actor, u64)> {
    (from..from + count).map(|n| (Actor::from_name(&format!("nobody {n:08}")), 1))
}

fn says(frame: Vec<u8>) -> Attack {
    Attack { before: Vec::new(), frames: vec![frame] }
}

fn runs(run: Run) -> Attack {
    says(run_frame(run))
}

/// A first message that is well but for one thing.
fn changed(pen: &Pen<'_>, change: impl FnOnce(&mut Message)) -> Attack {
    let mut message = pen.message(1, 1);
    change(&mut message);
    runs(pen.first(&message))
}

/// A first message whose bytes are well but for one thing; they are signed as they are.
fn rewritten(pen: &Pen<'_>, message: &Message, rewrite: impl FnOnce(&mut Vec<u8>)) -> Attack {
    let mut body = message.encode();
    rewrite(&mut body);
    runs(pen.run(&[body], 1))
}

fn replace(bytes: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is in there");
    bytes.splice(at..at + from.len(), to.iter().copied());
}

/// Bad messages in good frames.
pub(crate) const MESSAGES: &[Case] = &[
    ("a forged signature", Outcome::Refused("is not its author's"), |pen, _| {
        let mut run = pen.first(&pen.message(1, 1));
        run.signature.0[0] ^= 1;
        runs(run)
    }),
    ("a signature over another message", Outcome::Refused("is not its author's"), |pen, _| {
        let other = pen.message(1, 2).encode();
        runs(Run { bodies: [other].into_iter().collect(), ..pen.first(&pen.message(1, 1)) })
    }),
    ("somebody else's next message", Outcome::Refused("is not its author's"), |pen, theirs| {
        let pen = pen.posing_as(theirs.head.actor);
        let next = pen.message(2, theirs.lamport + 1).encode();
        runs(pen.run(&[theirs.body.clone(), next], 2))
    }),
    // No proof of a fork: its author did not sign it.
    ("another message in place of somebody's", Outcome::Refused("is not its author's"), |pen, theirs| {
        let pen = pen.posing_as(theirs.head.actor);
        runs(pen.first(&pen.message(1, 1)))
    }),
    ("a message of another room", Outcome::Refused("is not its author's"), |pen, _| {
        runs(pen.in_room(RoomId([9; 32])).first(&pen.message(1, 1)))
    }),
    ("a fork", Outcome::Refused("another one than the one held"), |pen, _| {
        let mut other = pen.message(1, 1);
        other.note = Some("another".to_owned());
        Attack { before: vec![pen.first(&pen.message(1, 1))], ..runs(pen.first(&other)) }
    }),
    ("a run that goes on from a fork", Outcome::Refused("another one than the one held"), |pen, _| {
        let first = pen.message(1, 1);
        let other = Message { note: Some("another".to_owned()), ..first.clone() };
        let forked = pen.run(&[other.encode(), pen.message(2, 2).encode()], 1);
        Attack { before: vec![pen.first(&first)], ..runs(forked) }
    }),
    ("no lamport", Outcome::Refused("has lamport 0 where its past gives 1"), |pen, _| {
        runs(pen.first(&pen.message(1, 0)))
    }),
    ("a lamport ahead by one", Outcome::Refused("has lamport 2 where its past gives 1"), |pen, _| {
        runs(pen.first(&pen.message(1, 2)))
    }),
    ("the last lamport", Outcome::Refused("has lamport 9007199254740991 where"), |pen, _| {
        runs(pen.first(&pen.message(1, LAMPORT_MAX)))
    }),
    ("a lamport past the last", Outcome::Refused("a lamport time below 2^53"), |pen, _| {
        runs(pen.first(&pen.message(1, LAMPORT_MAX + 1)))
    }),
    ("a lamport that ignores the clock", Outcome::Refused("has lamport 1 where"), |pen, theirs| {
        changed(pen, |message| message.clock = vec![theirs.head])
    }),
    ("a clock entry with a wrong link", Outcome::Refused("another one than the one held"), |pen, theirs| {
        let mut head = theirs.head;
        head.link[0] ^= 1;
        let clock = vec![head];
        runs(pen.first(&Message { clock, ..pen.message(1, theirs.lamport + 1) }))
    }),
    ("a clock that goes back", Outcome::Refused("goes back"), |pen, theirs| {
        let lamport = theirs.lamport + 1;
        let saw = |seq, lamport| Message { clock: vec![theirs.head], ..pen.message(seq, lamport) }.encode();
        let bodies = [saw(1, lamport), saw(2, lamport + 1)];
        Attack { before: vec![pen.run(&bodies[..1], 1)], ..runs(pen.run(&bodies, 2)) }
    }),
    (
        "a clock that advances inside a run",
        Outcome::Refused("advances its clock inside a run"),
        |pen, theirs| {
            let second = Message { clock: vec![theirs.head], ..pen.message(2, theirs.lamport + 1) };
            runs(pen.run(&[pen.message(1, 1).encode(), second.encode()], 1))
        },
    ),
    ("a clock that names its own author", Outcome::Refused("not canonical"), |pen, _| {
        changed(pen, |message| message.clock = vec![Head { actor: message.actor, seq: 1, link: [0; 16] }])
    }),
    ("a clock entry without a message", Outcome::Refused("not canonical"), |pen, theirs| {
        changed(pen, |message| message.clock = vec![Head { seq: 0, ..theirs.head }])
    }),
    ("a clock that names one actor twice", Outcome::Refused("not canonical"), |pen, theirs| {
        changed(pen, |message| message.clock = vec![theirs.head; 2])
    }),
    ("a clock with too many entries", Outcome::Refused("clock entries of 513 exceeds 512"), |pen, _| {
        let heads = nobodies(0, CLOCK_ENTRIES_MAX as u64 + 1);
        changed(pen, |message| {
            message.clock = heads.map(|(actor, seq)| Head { actor, seq, link: [0; 16] }).collect();
        })
    }),
    ("another number than its place", Outcome::Refused("calls itself number 2"), |pen, _| {
        runs(pen.first(&pen.message(2, 1)))
    }),
    ("another way to write a number", Outcome::Refused("not canonical"), |pen, _| {
        rewritten(pen, &pen.message(1, 1), |body| replace(body, &[0x88, 1], &[0x88, 0x18, 1]))
    }),
    ("one option twice", Outcome::Refused("not canonical"), |pen, _| {
        let mut message = pen.message(1, 1);
        message.ops[0].options = ["a", "b"].map(|name| (name.to_owned(), Value::Null)).into();
        rewritten(pen, &message, |body| replace(body, &[0x61, b'b', 0xf6], &[0x61, b'a', 0xf6]))
    }),
    ("a number that is none", Outcome::Refused("not finite"), |pen, _| {
        let mut message = pen.message(1, 1);
        message.ops[0].value = Value::number(1.5).expect("finite");
        rewritten(pen, &message, |body| replace(body, &[0xf9, 0x3e, 0], &[0xf9, 0x7e, 0]))
    }),
    ("another version", Outcome::Refused("expected message format 1"), |pen, _| {
        rewritten(pen, &pen.message(1, 1), |body| replace(body, &[0x88, 1], &[0x88, 2]))
    }),
    ("bytes after the end", Outcome::Refused("1 bytes after the end"), |pen, _| {
        rewritten(pen, &pen.message(1, 1), |body| body.push(0))
    }),
    ("a message cut short", Outcome::Refused("malformed"), |pen, _| {
        rewritten(pen, &pen.message(1, 1), |body| body.truncate(body.len() - 1))
    }),
    ("no bytes", Outcome::Refused("malformed"), |pen, _| rewritten(pen, &pen.message(1, 1), Vec::clear)),
    ("deep nesting", Outcome::Refused("nested deeper than"), |pen, _| {
        let deep = (0..=VALUE_DEPTH_MAX).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        changed(pen, |message| message.ops[0].value = deep)
    }),
    ("nesting without an end", Outcome::Refused("nested deeper than"), |pen, _| {
        let mut message = pen.message(1, 1);
        message.ops[0].value = Value::number(1.5).expect("finite");
        rewritten(pen, &message, |body| replace(body, &[0xf9, 0x3e, 0], &[0x81; 60_000]))
    }),
    ("too many ops", Outcome::Refused("ops of 1025 exceeds 1024"), |pen, _| {
        changed(pen, |message| message.ops = vec![message.ops[0].clone(); MESSAGE_OPS_MAX + 1])
    }),
    ("too long a key", Outcome::Refused("node key of 257 exceeds 256"), |pen, _| {
        changed(pen, |message| message.ops[0].key = "k".repeat(KEY_BYTES_MAX + 1))
    }),
];

/// Bad frames, and good ones that make no sense.
pub(crate) const FRAMES: &[Case] = &[
    ("garbage", Outcome::Cut("invalid frame"), |_, _| says(b"\xff\xff\xff".to_vec())),
    ("nothing", Outcome::Cut("invalid frame"), |_, _| says(Vec::new())),
    ("the longest frame, of zeros", Outcome::Cut("expected a frame"), |_, _| says(vec![0; FRAME_BYTES_MAX])),
    ("a frame of nothing but nesting", Outcome::Cut("invalid frame"), |_, _| {
        says(vec![0x81; FRAME_BYTES_MAX])
    }),
    ("a length beyond memory", Outcome::Cut("exceeds 32"), |_, _| {
        says(vec![0x82, 0, 0x5b, 0x7f, 255, 255, 255, 255, 255, 255, 255])
    }),
    ("a frame cut short", Outcome::Cut("invalid frame"), |pen, _| {
        let mut frame = run_frame(pen.first(&pen.message(1, 1)));
        frame.pop();
        says(frame)
    }),
    ("bytes after a frame", Outcome::Cut("1 bytes after the end"), |pen, _| {
        let mut frame = run_frame(pen.first(&pen.message(1, 1)));
        frame.push(0);
        says(frame)
    }),
    ("a second hello", Outcome::Cut("did not begin with one hello"), |_, _| {
        says(LinkFrame::Hello { nonce: [1; 32] }.encode())
    }),
    ("a run of too many messages", Outcome::Cut("messages of a run of 65 exceeds 64"), |pen, _| {
        let bodies: Vec<_> = (1..=RUN_MESSAGES_MAX as u64 + 1).map(|n| pen.message(n, n).encode()).collect();
        runs(pen.run(&bodies, 1))
    }),
    ("a run of no message", Outcome::Cut("a run of at least one message"), |pen, _| {
        runs(pen.unsigned(1, Vec::new()))
    }),
    ("a run that begins before the first", Outcome::Cut("a run of at least one message"), |pen, _| {
        runs(pen.unsigned(0, vec![pen.message(1, 1).encode()]))
    }),
    ("a run that begins at the last number", Outcome::Cut("a run of at least one message"), |pen, _| {
        runs(pen.unsigned(u64::MAX, vec![pen.message(1, 1).encode()]))
    }),
    ("too long a message", Outcome::Cut("message of 65537 exceeds 65536"), |pen, _| {
        let mut message = pen.message(1, 1);
        message.ops[0].value = Value::Text("x".repeat(MESSAGE_BYTES_MAX));
        rewritten(pen, &message, |body| body.truncate(MESSAGE_BYTES_MAX + 1))
    }),
    ("too long a vector", Outcome::Cut("a version vector of 131074 exceeds 131072"), |_, _| {
        says(vector_frame(nobodies(0, 65_537)))
    }),
    ("a vector that claims the last number", Outcome::Cut("expected a message's number"), |_, theirs| {
        says(vector_frame([(theirs.head.actor, u64::MAX)].into_iter()))
    }),
    ("an acknowledgement of the last number", Outcome::Cut("expected a message's number"), |_, theirs| {
        let durable = [(theirs.head.actor, u64::MAX)].into_iter().collect();
        says(room_frame(RoomFrame::Ack { durable }))
    }),
    ("too many digests", Outcome::Cut("rooms of a connection of 1025 exceeds 1024"), |_, _| {
        let digests = vec![(CHANNEL, [0; 16]); LINK_ROOMS_MAX + 1];
        says(LinkFrame::Beat { ping: 0, digests }.encode())
    }),
    ("a channel opened twice", Outcome::Cut("opened more than 1024 rooms"), |_, _| {
        says(LinkFrame::Open { channel: CHANNEL, tag: [0; 16], proof: [0; 32] }.encode())
    }),
    ("too many rooms", Outcome::Cut("opened more than 1024 rooms"), |_, _| {
        let open = |channel| LinkFrame::Open { channel, tag: [0; 16], proof: [0; 32] }.encode();
        Attack { before: Vec::new(), frames: (9..=LINK_ROOMS_MAX as u64 + 1).map(open).collect() }
    }),
    ("too long a founding message", Outcome::Cut("founding message of 1025 exceeds 1024"), |_, _| {
        says(room_frame(RoomFrame::Founding { bytes: vec![0; 1025] }))
    }),
    ("a frame of a later version", Outcome::PassedOver, |_, _| says(vec![0x82, 0x18, 99, 0])),
    ("messages of a room that is not open", Outcome::PassedOver, |pen, _| {
        let run = pen.first(&pen.message(1, 1));
        says(LinkFrame::Room { channel: 2, frame: RoomFrame::Run { run } }.encode())
    }),
    ("leaving a room that is not open", Outcome::PassedOver, |_, _| {
        says(LinkFrame::Close { channel: 2 }.encode())
    }),
    ("a room nobody knows", Outcome::PassedOver, |_, _| {
        says(LinkFrame::Open { channel: 30, tag: [1; 16], proof: [1; 32] }.encode())
    }),
    ("an answer to no question", Outcome::PassedOver, |_, _| {
        says(LinkFrame::Pong { ping: u64::MAX }.encode())
    }),
    ("more credit than there is", Outcome::PassedOver, |_, _| {
        let frame = room_frame(RoomFrame::Credit { bytes: u64::MAX });
        Attack { before: Vec::new(), frames: vec![frame; 3] }
    }),
    ("another room's founding message", Outcome::PassedOver, |_, _| {
        says(room_frame(RoomFrame::Founding { bytes: vec![0x85, 1] }))
    }),
    ("an acknowledgement of what never was", Outcome::PassedOver, |_, theirs| {
        let durable = [(theirs.head.actor, LAMPORT_MAX)].into_iter().chain(nobodies(0, ACTORS)).collect();
        says(room_frame(RoomFrame::Ack { durable }))
    }),
    ("a vector of actors that never were", Outcome::PassedOver, |_, theirs| {
        says(vector_frame([(theirs.head.actor, LAMPORT_MAX)].into_iter().chain(nobodies(0, ACTORS))))
    }),
    ("a digest that is never right", Outcome::PassedOver, |_, _| {
        let digests = vec![(CHANNEL, [0; 16]); LINK_ROOMS_MAX];
        says(LinkFrame::Beat { ping: 0, digests }.encode())
    }),
];

/// Says frames that would take many megabytes if they were kept.
pub(crate) type Flood = (&'static str, fn(&mut Forger));

#[cfg(target_os = "linux")]
pub(crate) const FLOODS: &[Flood] = &[
    ("runs with gaps", |forger| {
        for first in 0..1024 {
            let pen = forger.pen();
            let run = pen.unsigned(2 + first, vec![vec![0; MESSAGE_BYTES_MAX]]);
            forger.say_of_room(RoomFrame::Run { run });
        }
    }),
    ("messages whose past never comes", |forger| {
        let heads =
            nobodies(0, CLOCK_ENTRIES_MAX as u64).map(|(actor, seq)| Head { actor, seq, link: [0; 16] });
        let clock: Vec<_> = heads.collect();
        for _ in 0..300 {
            let pen = forger.pen();
            let mut message = Message { clock: clock.clone(), ..pen.message(1, 2) };
            message.ops[0].value = Value::Text("x".repeat(MESSAGE_BYTES_MAX / 2 - 1024));
            let run = pen.first(&message);
            forger.say_of_room(RoomFrame::Run { run });
        }
    }),
    ("large runs with a forged signature", |forger| {
        let body = vec![0; MESSAGE_BYTES_MAX];
        for _ in 0..20 {
            let run = forger.pen().unsigned(1, repeat_n(body.clone(), RUN_MESSAGES_MAX).collect());
            forger.say_of_room(RoomFrame::Run { run });
        }
    }),
    ("the longest frames of a later version", |forger| {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        frame[..3].copy_from_slice(&[0x82, 0x18, 99]);
        (0..20).for_each(|_| forger.say(frame.clone()));
    }),
    ("acknowledgements of what never was", |forger| {
        for n in 0..5 {
            let durable = nobodies(n * ACTORS, ACTORS).collect();
            forger.say_of_room(RoomFrame::Ack { durable });
        }
    }),
    ("vectors of actors that never were", |forger| {
        (0..5).for_each(|n| forger.say(vector_frame(nobodies(n * ACTORS, ACTORS))));
    }),
    ("digests that are never right", |forger| {
        let digests = vec![(CHANNEL, [0; 16]); LINK_ROOMS_MAX];
        let beat = LinkFrame::Beat { ping: 0, digests }.encode();
        (0..50).for_each(|_| forger.say(beat.clone()));
    }),
    ("leaving and coming back for more", |forger| {
        let Some(LinkFrame::Open { tag, proof, .. }) = forger.seen(|seen| seen.opening.clone()) else {
            panic!("the forger has opened the room")
        };
        // Each time, all there is is asked for anew.
        for _ in 0..1000 {
            forger.say(LinkFrame::Close { channel: CHANNEL }.encode());
            forger.say(LinkFrame::Open { channel: CHANNEL, tag, proof }.encode());
            let held = VersionVector::default();
            forger.say_of_room(RoomFrame::Vector { held, runs_taken: 0, exact: true });
        }
    }),
];
