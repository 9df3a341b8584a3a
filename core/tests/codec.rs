//! What is written is read back as it was, for every type that travels or rests; and bytes that nobody wrote are refused, or mean what
//! they would be written as again. A failing case is printed, shrunk; `RTC_CASES=20` tries twenty times as many.

use std::fmt::Debug;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rtc_core::api::{
    Answer, ApiError, Ask, At, Change, Code, Edit, EditOp, Event, LogEntry, Node, Reply, Request,
};
use rtc_core::canonical::{Reader, Writer};
use rtc_core::chain::Signature;
use rtc_core::clock::{Stamp, VersionVector};
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{Actor, Dot, PeerKey, RoomId, StateHash};
use rtc_core::limits::LAMPORT_MAX;
use rtc_core::message::{Head, Message};
use rtc_core::op::text::{CharId, Span};
use rtc_core::op::{Op, OpCode, Options, table};
use rtc_core::place::Place;
use rtc_core::raw::Raw;
use rtc_core::sync::{LinkFrame, RoomFrame, Run};
use rtc_core::ticket::{Landmark, Pass, Secret, Ticket};
use rtc_core::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<f64>(),
        any::<i32>().prop_map(f64::from),
        Just(9_007_199_254_740_991.0),
        Just(9_007_199_254_740_992.0),
        Just(5e-324),
        Just(-0.0),
        Just(65_504.0),
        Just(0.1),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number.prop_filter_map("finite", Value::number),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            btree_map(text(), inner, 0..4).prop_map(Value::Map),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z.]{0,8}", 1 => any::<String>(), 1 => "[a-z]{20,30}"]
}

fn actor() -> impl Strategy<Value = Actor> {
    (any::<[u8; 32]>(), any::<u64>()).prop_map(|(key, epoch)| Actor::new(PeerKey(key), epoch))
}

fn seq() -> impl Strategy<Value = u64> {
    prop_oneof![1..300_u64, 1..=LAMPORT_MAX]
}

fn dot() -> impl Strategy<Value = Dot> {
    (actor(), seq()).prop_map(|(actor, seq)| Dot { actor, seq })
}

fn vector() -> impl Strategy<Value = VersionVector> {
    vec((actor(), seq()), 0..5).prop_map(|entries| entries.into_iter().collect())
}

fn options() -> impl Strategy<Value = Options> {
    btree_map(text(), value(), 0..3)
}

/// Ops of every row, of none, and with any argument.
fn op() -> impl Strategy<Value = Op> {
    let codes: Vec<OpCode> = table().map(|row| row.code).collect();
    let code = prop_oneof![3 => prop::sample::select(codes), 1 => any::<u16>().prop_map(OpCode)];
    (code, text(), prop::option::of(text()), value(), options())
        .prop_map(|(code, key, path, value, options)| Op { code, key, path, value, options })
}

fn message() -> impl Strategy<Value = Message> {
    let clock = btree_map(actor(), (seq(), any::<[u8; 16]>()), 0..4);
    let note = prop::option::of(text());
    (dot(), seq(), clock, any::<Option<u64>>(), prop::option::of("[a-z]{0,64}"), note, vec(op(), 0..4))
        .prop_map(|(Dot { actor, seq }, lamport, mut clock, time_ms, request, note, ops)| {
            clock.remove(&actor);
            let clock = clock.into_iter().map(|(actor, (seq, link))| Head { actor, seq, link }).collect();
            Message { actor, seq, lamport, clock, time_ms, request, note, ops }
        })
}

fn founding() -> impl Strategy<Value = Founding> {
    let access = prop_oneof![Just(Access::Open), Just(Access::Members)];
    (any::<[u8; 32]>(), any::<[u8; 16]>(), "\\PC{0,30}", any::<u64>(), access).prop_map(
        |(owner, nonce, name, time_ms, access)| Founding {
            owner: PeerKey(owner),
            nonce,
            name,
            time_ms,
            access,
        },
    )
}

fn ticket() -> impl Strategy<Value = Ticket> {
    let bytes = any::<[[u8; 32]; 4]>();
    let horizon = proptest::option::of((actor(), any::<u64>()));
    (bytes, any::<bool>(), vec("[a-z0-9/.]{0,40}", 0..4), horizon).prop_map(
        |([room, secret, peer, ground], is_open, addresses, horizon)| Ticket {
            room: RoomId(room),
            pass: if is_open { Pass::Open(Secret(secret)) } else { Pass::Invite(Secret(secret)) },
            peer: PeerKey(peer),
            addresses,
            horizon: horizon
                .filter(|_| !is_open)
                .map(|(actor, seq)| Landmark { dot: Dot { actor, seq }, ground: StateHash(ground) }),
        },
    )
}

fn room_frame() -> impl Strategy<Value = RoomFrame> {
    let bodies = vec(vec(any::<u8>(), 0..40), 1..4);
    let run = (actor(), 1..LAMPORT_MAX - 8, bodies, any::<u64>()).prop_map(|(actor, first, bodies, seed)| {
        let mut signature = [0; 64];
        signature[..8].copy_from_slice(&seed.to_le_bytes());
        Run { actor, first, bodies: bodies.into_iter().collect(), signature: Signature(signature) }
    });
    prop_oneof![
        (vector(), any::<u64>(), any::<bool>()).prop_map(|(held, runs_taken, exact)| RoomFrame::Vector {
            held,
            runs_taken,
            exact
        }),
        run.prop_map(|run| RoomFrame::Run { run }),
        vec(any::<u8>(), 0..100).prop_map(|content| RoomFrame::Backlog { content: content.into() }),
        any::<u64>().prop_map(|bytes| RoomFrame::Credit { bytes }),
        vector().prop_map(|durable| RoomFrame::Ack { durable }),
        vec(any::<u8>(), 0..100).prop_map(|bytes| RoomFrame::Founding { bytes }),
        any::<bool>().prop_map(|leans| RoomFrame::Lean { leans }),
        actor().prop_map(|actor| RoomFrame::Spare { actor }),
    ]
}

fn frame() -> impl Strategy<Value = LinkFrame> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|nonce| LinkFrame::Hello { nonce }),
        any::<(u64, [u8; 16], [u8; 32])>().prop_map(|(channel, tag, proof)| LinkFrame::Open {
            channel,
            tag,
            proof
        }),
        any::<u64>().prop_map(|channel| LinkFrame::Close { channel }),
        (any::<u64>(), vec(any::<(u64, [u8; 16])>(), 0..4))
            .prop_map(|(ping, digests)| LinkFrame::Beat { ping, digests }),
        any::<u64>().prop_map(|ping| LinkFrame::Pong { ping }),
        (any::<u64>(), vec(any::<u8>(), 0..100))
            .prop_map(|(channel, content)| LinkFrame::Live { channel, content }),
        (any::<u64>(), room_frame()).prop_map(|(channel, frame)| LinkFrame::Room { channel, frame }),
    ]
}

fn edit_op() -> impl Strategy<Value = EditOp> {
    (text(), text(), prop::option::of(text()), prop::option::of(value()), options())
        // JSON has one word for nothing and for null.
        .prop_map(|(otype, key, path, value, options)| EditOp {
            otype,
            key,
            path,
            value: value.filter(|value| *value != Value::Null),
            options,
        })
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        text().prop_map(At::Message),
        any::<u64>().prop_map(At::Time),
        proptest::option::of(text()).prop_map(At::Draft),
        (text(), any::<u64>()).prop_map(|(name, seq)| At::Version([(Actor::from_name(&name), seq)].into())),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let room = || prop::option::of(text());
    let ask = prop_oneof![
        Just(Ask::Status {}),
        (room(), vec(edit_op(), 0..3), room(), room(), any::<Option<u64>>()).prop_map(
            |(room, ops, note, request, timeout_ms)| {
                Ask::Edit(Edit { room, ops, note, request, timeout_ms, ..Edit::default() })
            }
        ),
        (room(), text(), text(), prop::option::of(at())).prop_map(|(room, key, path, at)| Ask::Value {
            room,
            key,
            path,
            at
        }),
        (room(), any::<Option<u64>>(), prop::option::of(at())).prop_map(|(room, limit, at)| Ask::Log {
            room,
            limit,
            at
        }),
    ];
    (any::<u64>(), ask).prop_map(|(id, ask)| Request { id, ask })
}

fn answer() -> impl Strategy<Value = Answer> {
    let node = (text(), prop::option::of(text()), vec(text(), 0..3), options()).prop_map(
        |(key, parent, children, properties)| Node {
            tag: key.clone(),
            name: String::new(),
            key,
            parent,
            children,
            properties,
        },
    );
    let entry = (dot(), any::<(u64, Option<u64>, bool)>(), vec(edit_op(), 0..3))
        .prop_map(|(id, (lamport, time_ms, undone), ops)| LogEntry {
            id,
            lamport,
            time_ms,
            note: None,
            undone,
            own: !undone,
            ops,
        })
        .boxed();
    let change = prop_oneof![
        (text(), text(), prop::option::of(value())).prop_map(|(key, path, value)| Change::Property {
            key,
            path,
            value: value.filter(|v| *v != Value::Null)
        }),
        text().prop_map(|key| Change::Removed { key }),
    ];
    let event = (entry.clone(), vec(change, 0..3))
        .prop_map(|(message, changes)| Reply::Event(Event::Message { message, changes }));
    let reply = prop_oneof![
        value().prop_map(Reply::Value),
        vec(node, 0..3).prop_map(Reply::Scene),
        vec(entry, 0..3).prop_map(Reply::Log),
        event,
        Just(Reply::Done {}),
    ];
    let error = text().prop_map(|text| ApiError::new(Code::NotFound, text.clone()).with_hint(text));
    let result = prop_oneof![reply.prop_map(Ok), error.prop_map(Err)];
    (any::<u64>(), any::<bool>(), result).prop_map(|(id, more, result)| Answer { id, more, result })
}

/// How bytes are spoilt: at a place, something is overwritten, inserted or cut.
#[derive(Clone, Debug)]
struct Damage {
    place: prop::sample::Index,
    how: u8,
    with: Vec<u8>,
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    // Heads that promise much: lengths, tags, breaks, floats, and what is indefinite.
    let heads = prop::sample::select(vec![
        vec![0x9b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        vec![0x9a, 0, 0, 0xff, 0xff],
        vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0x7a, 0x7f, 0xff, 0xff, 0xff],
        vec![0xbb, 0, 0, 0, 0, 0, 1, 0, 0],
        vec![0x9f],
        vec![0xff],
        vec![0xc0],
        vec![0x18, 0x00],
        vec![0xf9, 0x7e, 0x00],
        vec![0x81; 64],
    ]);
    let with = prop_oneof![heads, vec(any::<u8>(), 1..6)];
    let one = (any::<prop::sample::Index>(), 0..3_u8, with).prop_map(|(place, how, with)| Damage {
        place,
        how,
        with,
    });
    vec(one, 1..4)
}

fn spoil(bytes: &mut Vec<u8>, damage: &[Damage]) {
    for Damage { place, how, with } in damage {
        let at = place.index(bytes.len() + 1);
        let end = if *how == 0 { (at + with.len()).min(bytes.len()) } else { at };
        match how {
            0 | 1 => drop(bytes.splice(at..end, with.iter().copied())),
            _ => bytes.truncate(at),
        }
    }
}

/// What is written is read; what is spoilt is refused, or is what its meaning is written as.
fn check<T: PartialEq + Debug, E: Debug>(
    thing: &T,
    damage: &[Damage],
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, E>,
    is_canonical: bool,
) {
    let bytes = encode(thing);
    let read = decode(&bytes).unwrap_or_else(|error| panic!("{error:?}: {thing:?}"));
    assert_eq!(read, *thing);
    assert_eq!(encode(&read), bytes);
    let mut spoilt = bytes;
    spoil(&mut spoilt, damage);
    if let Ok(read) = decode(&spoilt) {
        let again = encode(&read);
        assert!(!is_canonical || again == spoilt, "{read:?} has two encodings");
        assert_eq!(decode(&again).expect("what is written is read"), read);
    }
}

/// What the local socket carries, as `rtc-client` writes it.
fn to_cbor<T: Serialize>(thing: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(thing, &mut bytes).expect("writing to memory cannot fail");
    bytes
}

fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ciborium::de::Error<std::io::Error>> {
    ciborium::from_reader(bytes)
}

/// What `--json` prints.
fn to_json<T: Serialize>(thing: &T) -> Vec<u8> {
    serde_json::to_vec(thing).expect("every value is JSON")
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

fn cases() -> u32 {
    500 * std::env::var("RTC_CASES").map_or(1, |times| times.parse::<u32>().expect("RTC_CASES is a number"))
}

/// What is read of a value's bytes.
fn reread<T>(value: &Value, read: impl FnOnce(Raw<'_>) -> Option<T>) -> Option<T> {
    let mut writer = Writer::new();
    writer.value(value);
    read(Reader::new(&writer.finish()).raw().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages(message in message(), damage in damage()) {
        let actor = message.actor;
        check(&message, &damage, Message::encode, |bytes| Message::decode(actor, bytes), true);
    }

    #[test]
    fn founding_messages(founding in founding(), damage in damage()) {
        check(&founding, &damage, Founding::encode, Founding::decode, true);
    }

    #[test]
    fn frames(frame in frame(), damage in damage()) {
        // A frame of an unknown kind is skipped: `None`.
        let decode = |bytes: &[u8]| LinkFrame::decode(bytes).map_err(Some).and_then(|frame| frame.ok_or(None));
        check(&frame, &damage, LinkFrame::encode, decode, false);
    }

    #[test]
    fn tickets(ticket in ticket(), damage in damage()) {
        let decode = |bytes: &[u8]| std::str::from_utf8(bytes).map_err(drop)?.parse().map_err(drop);
        check(&ticket, &damage, |ticket: &Ticket| ticket.to_string().into_bytes(), decode, false);
    }

    #[test]
    fn requests(request in request(), damage in damage()) {
        check(&request, &damage, to_cbor, from_cbor, false);
        check(&request, &damage, to_json, from_json, false);
    }

    #[test]
    fn answers(answer in answer(), damage in damage()) {
        check(&answer, &damage, to_cbor, from_cbor, false);
        check(&answer, &damage, to_json, from_json, false);
    }

    #[test]
    fn ids(dot in dot(), key in any::<[u8; 32]>()) {
        prop_assert_eq!(dot.to_string().parse::<Dot>(), Ok(dot));
        prop_assert_eq!(PeerKey(key).to_string().parse(), Ok(PeerKey(key)));
        prop_assert_eq!(RoomId(key).to_string().parse(), Ok(RoomId(key)));
    }

    #[test]
    fn places_and_characters(own in dot(), by in dot(), index in any::<u32>(), offset in 0..u32::MAX - 9, more in 0..9_u32, lamport in 1..=LAMPORT_MAX) {
        let id = CharId { dot: by, index, offset };
        prop_assert_eq!(reread(&id.write(own), |id| CharId::read(id, own)), Some(id));
        let span = Span { first: id, last: CharId { offset: offset + more, ..id } };
        prop_assert_eq!(reread(&span.write(own), |span| Span::read(span, own)), Some(span));
        let stamp = |dot: Dot, index| Stamp { lamport, actor: dot.actor, seq: dot.seq, index };
        let (low, high) = (Place::at(stamp(by, index)), Place::at(stamp(own, 0)));
        let place = Place::between(Some(&low), Some(&high), stamp(own, 1)).unwrap();
        prop_assert_eq!(Place::read(&place.write(), stamp(own, 1)), Some(place));
    }

    #[test]
    fn bytes_that_nobody_wrote(bytes in vec(any::<u8>(), 0..200)) {
        let actor = Actor::from_name("a");
        prop_assert!(Message::decode(actor, &bytes).is_err_and(|_| Founding::decode(&bytes).is_err()));
        let _ = LinkFrame::decode(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(text.parse::<Ticket>().is_err());
        prop_assert!(text.parse::<Dot>().is_err());
    }
}
