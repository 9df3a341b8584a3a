//! Sums that are exact may be made in any order, and sums that are not may not: random amounts around that border.

use proptest::prelude::*;
use rtc_core::message::Message;
use rtc_core::op::{Op, OpCode};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

use crate::recipe::History;
use crate::{check, shuffled};

/// Who writes, what, with which number, and whom they heard of just before, or how far back what they undo is.
type Write = (u8, &'static str, f64, u8);

fn amount() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0_u32..1_000).prop_map(f64::from),
        1 => (0_u32..8).prop_map(|quarters| f64::from(quarters) / 4.0),
        1 => (0_u32..9).prop_map(|less| 9_007_199_254_740_992.0 - f64::from(less)),
        1 => Just(f64::MAX),
    ]
}

fn operation() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("counter.increment"),
        4 => Just("counter.decrement"),
        2 => Just("number.add"),
        1 => Just("number.multiply"),
        1 => Just("number.set"),
        1 => Just("string.concat"),
        1 => Just("meta.undo"),
    ]
}

fn op(name: &str, amount: f64, back: u8, earlier: &[Message]) -> Op {
    let code = OpCode::named(name).expect("it is in the table");
    let property = |value| {
        let (key, path) = ("scene".to_owned(), Some("sum".to_owned()));
        Op { code, key, path, value, options: Default::default() }
    };
    match name {
        "string.concat" => property("text".into()),
        "meta.undo" => {
            let target = earlier.iter().rev().nth(usize::from(back));
            let target = target.map_or("none".to_owned(), |message| message.dot().to_string());
            let options = [("target".to_owned(), target.into())].into();
            Op { code, key: String::new(), path: None, value: Value::Null, options }
        }
        _ => property(Value::number(amount).expect("it is finite")),
    }
}

fn messages(writes: &[Write]) -> Vec<Message> {
    let mut history = History::new();
    for &(who, name, amount, heard) in writes {
        let (me, from) = (usize::from(who % 3), usize::from(heard % 8));
        if from < 3 && from != me {
            history.hear(me, from);
        }
        history.write(me, None, 1, |_, earlier| op(name, amount, heard % 8, earlier));
    }
    history.messages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_those_of_the_naive_fold_in_any_order_of_arrival(
        writes in prop::collection::vec((any::<u8>(), operation(), amount(), any::<u8>()), 1..40),
        order in prop::collection::vec(any::<u32>(), 1..32),
    ) {
        let messages = messages(&writes);
        let mut replica = Replica::new(Root::default());
        for message in shuffled(&messages, &order) {
            replica.apply(&message);
        }
        check(&replica, &messages);
    }
}
