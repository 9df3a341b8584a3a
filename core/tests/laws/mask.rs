//! Undo of a message of any row, at any time and in any order of arrival, leaves what was without it; redo brings it back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::op::{Op, OpCode, Row, table};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

use crate::{check, recipe, shuffled, soak};

fn meta(name: &str, target: &Message) -> Op {
    Op {
        code: OpCode::named(name).unwrap(),
        key: String::new(),
        path: None,
        value: Value::Null,
        options: BTreeMap::from([("target".to_owned(), target.dot().to_string().into())]),
    }
}

/// Everything delivered in some order shows what `expected` shows.
fn check_scene(messages: &[Message], order: &[u32], expected: &[Message]) {
    let mut replica = Replica::new(Root::default());
    for message in shuffled(messages, order) {
        replica.apply(&message);
    }
    check(&replica, messages);
    assert_eq!(replica.image(), naive::fold(&Root::default(), expected).scene);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64 * soak(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_every_row_undo_leaves_what_was_and_redo_what_it_made(steps in recipe::steps(16), pick in recipe::picks(), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let before = recipe::messages(&steps);
        let rows: Vec<&Row> = table().filter(|row| !row.kind.is_meta()).collect();
        for row in rows {
            let mut history = recipe::History::after(&before);
            history.write(0, None, 1, |stamp, _| recipe::op(&pick, row, stamp, &before));
            let with = history.messages.clone();
            let done = with.last().expect("it was just written");
            // What somebody claims to have issued again before it came counts instead of that, undone or not.
            let is_claimed = |dot| before.iter().any(|message| message.origin().is_some_and(|origin| origin.dot == dot));
            if is_claimed(done.dot()) {
                continue;
            }
            for (who, name, expected) in [(1, "meta.undo", &before), (2, "meta.redo", &with), (3, "meta.undo", &before)] {
                history = recipe::History::after(&history.messages);
                if is_claimed(history.write(who, None, 1, |_, _| meta(name, done))) {
                    break;
                }
                check_scene(&history.messages, &order, expected);
            }
        }
    }
}
