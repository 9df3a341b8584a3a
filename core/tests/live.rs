//! Live runs: come back as they were, cost little once their words are known, and recover from what is lost.

use proptest::prelude::*;
use rtc_core::chain::Signature;
use rtc_core::id::Actor;
use rtc_core::limits::{LIVE_FORMS_MAX, LIVE_NAME_BYTES_MAX, LIVE_NAMES_MAX, RUN_MESSAGES_MAX};
use rtc_core::message::Message;
use rtc_core::op::{Op, OpCode};
use rtc_core::sync::Run;
use rtc_core::sync::live::{Decoder, Encoder};
use rtc_core::value::Value;

/// The `number`-th message of an author who moves nodes.
fn moved(number: u64, node: u64, position: [f64; 3]) -> Run {
    let op = Op {
        code: OpCode::named("vector3.set").unwrap(),
        key: format!("node-{node}"),
        path: Some("position".into()),
        value: Value::numbers(&position).unwrap(),
        options: Default::default(),
    };
    of_ops(number, vec![op])
}

/// The author's `number`-th message.
fn of_ops(number: u64, ops: Vec<Op>) -> Run {
    let actor = Actor::from_name("author");
    let message = Message {
        actor,
        seq: number,
        lamport: number + 3,
        clock: Vec::new(),
        time_ms: Some(1_760_000_000_000 + number * 16),
        request: None,
        note: None,
        ops,
    };
    Run {
        actor,
        first: number,
        bodies: [message.encode()].into_iter().collect(),
        signature: Signature([7; 64]),
    }
}

/// A run of any bytes that is found among messages, too.
fn run() -> impl Strategy<Value = Run> {
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (1..1_u64 << 40, 0..50_u64, any::<[f32; 3]>().prop_map(|floats| floats.map(f64::from))).prop_map(
            |(number, node, position)| {
                let finite = position.map(|number| if number.is_finite() { number } else { 0.5 });
                moved(number, node, finite).bodies.get(0).to_vec()
            }
        ),
    ];
    ("[a-c]", 1..1_u64 << 52, proptest::collection::vec(body, 1..5)).prop_map(|(name, first, bodies)| Run {
        actor: Actor::from_name(&name),
        first,
        bodies: bodies.into_iter().collect(),
        signature: Signature([first.to_le_bytes()[0]; 64]),
    })
}

proptest! {
    #[test]
    fn any_runs_come_back(runs in proptest::collection::vec(run(), 0..40)) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for run in runs {
            prop_assert_eq!(decoder.decode(&encoder.encode(&run)), Ok(Some(run)));
        }
    }

    #[test]
    fn what_is_lost_hides_what_follows_until_the_sender_begins_anew(
        runs in proptest::collection::vec((run(), 0..10_u8), 0..40),
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut is_lost = false;
        for (run, fate) in runs {
            if fate == 0 && is_lost {
                encoder.begin_anew();
                is_lost = false;
            }
            let bytes = encoder.encode(&run);
            if fate == 1 {
                is_lost = true;
            } else {
                prop_assert_eq!(decoder.decode(&bytes), Ok(Some(run).filter(|_| !is_lost)));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_run_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), runs in proptest::collection::vec(run(), 0..4)) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for run in runs {
            decoder.decode(&encoder.encode(&run)).unwrap();
        }
        for bytes in [&bytes[..], &[&[0], &bytes[..]].concat()] {
            if let Ok(Some(run)) = decoder.decode(bytes) {
                prop_assert!((1..=RUN_MESSAGES_MAX).contains(&run.bodies.len()));
            }
        }
    }
}

#[test]
fn a_moved_node_takes_less_than_thirty_bytes_beside_its_signature() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    for number in 1..2_000 {
        let position = [0.1, 0.7, 0.3].map(|part| f64::from((part * number as f32).sin()));
        let run = moved(number, number % 100, position);
        let bytes = encoder.encode(&run);
        if number > 100 {
            assert!(bytes.len() - 64 < 30, "{} bytes", bytes.len() - 64);
        }
        assert_eq!(decoder.decode(&bytes), Ok(Some(run)));
    }
}

#[test]
fn a_full_dictionary_goes_on_with_words_as_they_are() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    for number in 1..LIVE_NAMES_MAX as u64 * 2 {
        let run = moved(number, number, [0.5, 1.0, 2.0]);
        assert_eq!(decoder.decode(&encoder.encode(&run)), Ok(Some(run)));
    }
}

/// The length of a run when the same message comes again, by who has only heard that one.
fn known_bytes(run: &Run) -> usize {
    let mut encoder = Encoder::default();
    encoder.encode(run);
    encoder.encode(run).len()
}

#[test]
fn names_that_are_too_long_go_as_they_are_each_time() {
    let named = |bytes: usize| {
        let op = Op {
            code: OpCode::named("node.remove").unwrap(),
            key: "x".repeat(bytes),
            path: None,
            value: Value::Null,
            options: Default::default(),
        };
        of_ops(1, vec![op])
    };
    assert!(known_bytes(&named(LIVE_NAME_BYTES_MAX)) < LIVE_NAME_BYTES_MAX);
    assert!(known_bytes(&named(LIVE_NAME_BYTES_MAX + 1)) > LIVE_NAME_BYTES_MAX);
}

#[test]
fn forms_beyond_those_that_are_known_go_as_they_are_each_time() {
    // Each with options of its own, and so of another form.
    let formed = |number: usize| {
        let op = Op {
            code: OpCode::named("node.insert").unwrap(),
            key: "n".into(),
            path: None,
            value: Value::Null,
            options: [(format!("option-{number}"), Value::Null)].into(),
        };
        of_ops(1, vec![op])
    };
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut again = |number: usize| {
        let run = formed(number);
        let bytes = encoder.encode(&run);
        assert_eq!(decoder.decode(&bytes), Ok(Some(run)));
        bytes.len()
    };
    (0..2 * LIVE_FORMS_MAX).for_each(|number| _ = again(number));
    assert!(again(0) <= known_bytes(&formed(0)) + 1);
    let last = 2 * LIVE_FORMS_MAX - 1;
    assert!(again(last) > known_bytes(&formed(last)) + 1);
    assert_eq!(again(last), again(last));
}
