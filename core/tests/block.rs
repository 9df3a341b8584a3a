//! Blocks give back what was put in, whatever it was; alike messages become small; no bytes do harm.

use proptest::prelude::*;
use rtc_core::block::{self, BlockError};
use rtc_core::id::Actor;
use rtc_core::limits::{BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode, table};
use rtc_core::value::Value;

/// What comes out is what went in. Returns the block.
fn check(bodies: &[Vec<u8>]) -> Vec<u8> {
    let block = block::encode(bodies).unwrap();
    let decoded = block::decode(&block).unwrap();
    assert!(decoded.iter().eq(bodies.iter().map(Vec::as_slice)));
    assert_eq!(block::size(&block), Ok((bodies.len(), bodies.iter().map(Vec::len).sum())));
    block
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-1_000_000..1_000_000_i32).prop_map(f64::from),
        (-1_000_000..1_000_000_i32).prop_map(|milli| f64::from(milli) / 1000.0),
        any::<f32>().prop_map(f64::from),
        any::<f64>(),
        (0..=u64::MAX).prop_map(|bits| f64::from(u16::try_from(bits >> 48).unwrap()) / 16_777_216.0),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number.prop_map(|number| Value::number(number).unwrap_or_default()),
        "[a-zé]{0,40}".prop_map(|text| Value::from(text.as_str())),
    ];
    leaf.prop_recursive(3, 20, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            proptest::collection::btree_map("[a-z]{0,70}", inner, 0..4).prop_map(Value::Map),
        ]
    })
}

/// An op of any row, or of none; its argument and options may be what its row does not want.
fn op() -> impl Strategy<Value = Op> {
    let codes: Vec<u16> = table().map(|row| row.code.0).collect();
    let code = prop_oneof![9 => proptest::sample::select(codes), 1 => any::<u16>()];
    let option = prop_oneof!["after|before|until|spans|target|parent", "[a-z]{1,5}"];
    let character = (0..5_u8, 0..2_u8, 0..9_u8)
        .prop_map(|(back, index, offset)| Value::numbers(&[back, index, offset].map(f64::from)).unwrap());
    let options = proptest::collection::btree_map(option, prop_oneof![character, value()], 0..3);
    (code, "[a-c]{1,2}", proptest::option::of("[a-z.]{1,80}|position"), value(), options)
        .prop_map(|(code, key, path, value, options)| Op { code: OpCode(code), key, path, value, options })
}

fn message() -> impl Strategy<Value = Message> {
    let head = (any::<u8>(), 1..100_u64, any::<[u8; 16]>()).prop_map(|(name, seq, link)| Head {
        actor: Actor::from_name(&name.to_string()),
        seq,
        link,
    });
    let ops =
        prop_oneof![9 => proptest::collection::vec(op(), 0..4), 1 => proptest::collection::vec(op(), 20..40)];
    (
        (1..1_u64 << 53, 0..1_u64 << 53, proptest::collection::vec(head, 0..3)),
        (
            proptest::option::of(any::<u64>()),
            proptest::option::of("[a-z]{0,9}"),
            proptest::option::of("[a-z ]{0,99}"),
        ),
        ops,
    )
        .prop_map(|((seq, lamport, clock), (time_ms, request, note), ops)| Message {
            actor: Actor::from_name("author"),
            seq,
            lamport,
            clock,
            time_ms,
            request,
            note,
            ops,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_messages_come_back(messages in proptest::collection::vec(message(), 0..60)) {
        check(&messages.iter().map(Message::encode).collect::<Vec<_>>());
    }

    #[test]
    fn messages_of_few_kinds_come_back(kinds in proptest::collection::vec(message(), 1..4), order in proptest::collection::vec((any::<prop::sample::Index>(), 0..3_u64), 0..200)) {
        let mut at = 0;
        let bodies = order.iter().map(|(kind, step)| {
            at += step;
            let kind = kind.get(&kinds);
            Message { seq: at + 1, lamport: at, ..kind.clone() }.encode()
        });
        check(&bodies.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_message_comes_back(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
        messages in proptest::collection::vec((message(), any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        check(&bodies);
        let damaged = messages.into_iter().map(|(message, at, byte)| {
            let mut body = message.encode();
            *at.get_mut(&mut body) = byte;
            body
        });
        check(&damaged.collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_a_block_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = block::decode(&bytes);
        let _ = block::decode(&[&[1, 20, 200, 1, 0, 0], &*bytes].concat());
    }

    #[test]
    fn a_damaged_block_holds_what_it_says_or_is_an_error(
        messages in proptest::collection::vec(message(), 1..30),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut block = check(&messages.iter().map(Message::encode).collect::<Vec<_>>());
        for (at, byte) in damage {
            *at.get_mut(&mut block) = byte;
        }
        if let Ok(bodies) = block::decode(&block) {
            let bytes = bodies.iter().map(<[u8]>::len).sum();
            prop_assert_eq!(block::size(&block), Ok((bodies.len(), bytes)));
        }
    }
}

/// Numbers from a seed, as xorshift makes them.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn small(&mut self, limit: u32) -> i32 {
        i32::try_from(self.below(limit.into())).unwrap()
    }
}

fn moved(number: u64, node: u64, position: [f32; 3]) -> Vec<u8> {
    let op = Op {
        code: OpCode::named("vector3.set").unwrap(),
        key: format!("node-{node}"),
        path: Some("position".into()),
        value: Value::numbers(&position.map(f64::from)).unwrap(),
        options: Default::default(),
    };
    let message = Message {
        actor: Actor::from_name("author"),
        seq: number,
        lamport: number + 7,
        clock: Vec::new(),
        time_ms: Some(1_760_000_000_000 + number),
        request: None,
        note: None,
        ops: vec![op],
    };
    message.encode()
}

#[test]
fn random_places_take_little_more_than_they_say() {
    let mut random = Random(1);
    let bodies: Vec<_> = (1..=20_000)
        .map(|number| {
            let position = [(); 3].map(|()| random.below(1 << 24) as f32 / (1 << 24) as f32);
            moved(number, random.below(1000), position)
        })
        .collect();
    let bytes = check(&bodies).len();
    // Ten bits say which node, and 24 each coordinate: 205,000 bytes.
    assert!(bytes < 211_000, "{bytes} bytes");
}

#[test]
fn what_is_dragged_takes_about_a_byte() {
    let mut random = Random(1);
    let mut bodies = Vec::new();
    while bodies.len() < 20_000 {
        let (node, mut at) = (random.below(1000), [(); 3].map(|()| random.small(2000)));
        let steps = [(); 3].map(|()| random.small(21) - 10);
        for _ in 0..60 {
            for (coordinate, step) in at.iter_mut().zip(steps) {
                *coordinate += step + random.small(3) - 1;
            }
            bodies.push(moved(bodies.len() as u64 + 1, node, at.map(|milli| milli as f32 / 1000.0)));
        }
    }
    let bytes = check(&bodies).len();
    assert!(bytes < 26_000, "{bytes} bytes");
}

#[test]
fn messages_of_more_forms_and_names_than_a_block_has_come_back() {
    let of_form = |number: u64| {
        let path = format!("path-{}-{}", number % 700, "x".repeat(40));
        let op = |path: String| Op {
            code: OpCode(0x0401),
            key: format!("node-{number}"),
            path: Some(path),
            value: Value::numbers(&[0.5; 30]).unwrap(),
            options: Default::default(),
        };
        // Its last op has a form that does not fit, after one that may.
        let ops = vec![op("position".into()), op(format!("{path}-first")), op(path)];
        let moved = moved(number, number, [0.5; 3]);
        Message { ops, ..Message::decode(Actor::from_name("author"), &moved).unwrap() }.encode()
    };
    check(&(1..2000).map(of_form).collect::<Vec<_>>());
    let named = |number: u64| {
        let names = (0..5).map(|name| Value::from(format!("name {number} {name}").as_str())).collect();
        let op = Op {
            code: OpCode::named("array.push").unwrap(),
            key: "list".into(),
            path: Some("items".into()),
            value: Value::List(names),
            options: Default::default(),
        };
        let moved = moved(number, number, [0.5; 3]);
        Message { ops: vec![op], ..Message::decode(Actor::from_name("author"), &moved).unwrap() }.encode()
    };
    check(&(1..15_000).map(named).collect::<Vec<_>>());
}

#[test]
fn too_much_for_a_block_is_refused_on_both_sides() {
    let many = vec![Vec::new(); BLOCK_MESSAGES_MAX + 1];
    assert_eq!(block::encode(&many), Err(BlockError::Messages(BLOCK_MESSAGES_MAX + 1)));
    check(&many[1..]);
    let long = vec![vec![0; BLOCK_BYTES_MAX], vec![0]];
    assert_eq!(block::encode(&long), Err(BlockError::Bytes(BLOCK_BYTES_MAX + 1)));
    check(&long[..1]);
    let claims = |sizes: &[u8]| block::decode(&[&[1], sizes].concat());
    // 2^21 messages; 2^28 bytes; 2^28 bytes of texts in a message of one byte.
    assert_eq!(claims(&[0x80, 0x80, 0x80, 0x01, 0, 0, 0]), Err(BlockError::Messages(1 << 21)));
    assert_eq!(claims(&[1, 0x80, 0x80, 0x80, 0x80, 0x01, 0, 0]), Err(BlockError::Bytes(1 << 28)));
    assert_eq!(claims(&[1, 1, 0x80, 0x80, 0x80, 0x80, 0x01, 0]), Err(BlockError::Malformed));
    assert_eq!(block::decode(&[9]), Err(BlockError::Version(9)));
    assert_eq!(block::decode(&[]), Err(BlockError::Malformed));
}
