//! What is read in place has one form: bytes count as canonical exactly if writing what they mean gives them again.

use proptest::prelude::*;
use rtc_core::canonical::{Reader, Writer};
use rtc_core::message::Message;
use rtc_core::value::Value;
use rtc_core::view::MessageView;

use crate::recipe;

/// A change of some byte: another one in its place, one more before it, or it is gone.
type Change = (u8, u16, u8);

fn change(bytes: &mut Vec<u8>, &(kind, at, byte): &Change) {
    let at = usize::from(at) % (bytes.len() + 1);
    match kind % 4 {
        0 => bytes.insert(at, byte),
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 if at < bytes.len() => bytes[at] = byte,
        _ if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
        _ => {}
    }
}

fn written(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.value(value);
    writer.finish()
}

/// Two to that power.
fn power(exponent: u32) -> f64 {
    f64::from_bits(u64::from(exponent + 1023) << 52)
}

fn values() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<f64>(),
        any::<f32>().prop_map(f64::from),
        (-70_000_i32..70_000).prop_map(f64::from),
        (-4_000_i32..4_000).prop_map(|eighths| f64::from(eighths) / 8.0),
        (0_u32..53).prop_map(|exponent| power(exponent) - 1.0),
        (0_u32..50).prop_map(|exponent| 1.5 * power(exponent) / power(30)),
    ];
    let number = number.prop_filter_map("finite", Value::number);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        ".{0,30}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let map = prop::collection::btree_map(".{0,3}", inner.clone(), 0..6);
        prop_oneof![prop::collection::vec(inner, 0..6).prop_map(Value::List), map.prop_map(Value::Map)]
    })
}

/// Whether the bytes hold a value and nothing else, and if so whether they are canonical; always as writing again says.
fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(value) = reader.value() else { return };
    let is_canonical = reader.is_canonical();
    if reader.finish().is_ok() {
        assert_eq!(is_canonical, written(&value) == bytes, "{bytes:02x?}");
    }
}

/// The items whose forms differ most, followed by whatever the others make of it.
#[test]
fn every_short_item_is_canonical_exactly_if_writing_it_again_gives_it() {
    for first in 0..=u8::MAX {
        check(&[first]);
        for second in 0..=u8::MAX {
            check(&[first, second]);
            for third in 0..=u8::MAX {
                check(&[first, second, third]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_canonical_exactly_if_writing_it_again_gives_it(value in values(), changes in prop::collection::vec(any::<Change>(), 0..4)) {
        let mut bytes = written(&value);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.value(), Ok(value));
        prop_assert!(reader.is_canonical());
        changes.iter().for_each(|one| change(&mut bytes, one));
        check(&bytes);
    }

    #[test]
    fn a_message_is_read_exactly_if_writing_it_again_gives_its_bytes(steps in recipe::steps(8), changes in prop::collection::vec(any::<Change>(), 1..4)) {
        for message in recipe::messages(&steps) {
            let mut bytes = message.encode();
            let is_valid = Message::decode(message.actor, &bytes) == Ok(message.clone());
            prop_assert!(is_valid, "{:?}", message);
            changes.iter().for_each(|one| change(&mut bytes, one));
            if let Ok(view) = MessageView::read(message.actor, &bytes) {
                prop_assert_eq!(view.to_message().encode(), bytes);
            }
        }
    }
}
