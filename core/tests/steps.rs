//! What each step makes of a value, and when it has no effect. `null` as the current value means that there is none.

use rtc_core::op::{Kind, NoEffect, OpCode, Options, Shape};
use rtc_core::value::Value;

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn step(name: &str, current: &str, argument: &str, options: &str) -> Result<Value, NoEffect> {
    let current = Some(value(current)).filter(|current| *current != Value::Null);
    let options: Options = value(options).as_map().unwrap().clone();
    match OpCode::named(name).and_then(OpCode::row).unwrap().kind {
        Kind::Step(step) | Kind::Sum(step, _) | Kind::Append(step) => {
            step(current.as_ref(), &value(argument), &options)
        }
        Kind::Reset(reset) => Ok(reset(&value(argument))),
        Kind::Entries(write) => {
            let mut map = current.map_or_else(Default::default, |current| current.as_map().unwrap().clone());
            write(&value(argument), &mut |key, value| match value {
                Some(value) => drop(map.insert(key.to_owned(), value.clone())),
                None => drop(map.remove(key)),
            });
            Ok(Value::Map(map))
        }
        kind => panic!("{kind:?} is no step"),
    }
}

fn check(name: &str, current: &str, argument: &str, expected: &str) {
    check_with(name, current, argument, "{}", expected);
}

fn check_with(name: &str, current: &str, argument: &str, options: &str, expected: &str) {
    assert_eq!(
        step(name, current, argument, options),
        Ok(value(expected)),
        "{name} {current} {argument} {options}"
    );
}

fn fails(name: &str, current: &str, argument: &str, expected: NoEffect) {
    assert_eq!(step(name, current, argument, "{}"), Err(expected), "{name} {current} {argument}");
}

#[test]
fn an_absent_value_is_the_neutral_one() {
    check("number.add", "null", "2", "2");
    check("number.multiply", "null", "2", "2");
    check("number.min", "null", "-2", "-2");
    check("number.max", "null", "-2", "-2");
    check("boolean.or", "null", "false", "false");
    check("boolean.and", "null", "true", "true");
    check("string.concat", "null", "\"a\"", "\"a\"");
    check("vector3.add", "null", "[1,2,3]", "[1,2,3]");
    check("vector3.multiply", "null", "[1,2,3]", "[1,2,3]");
    check("vector3.applyQuaternion", "null", "[0,0,0,1]", "[0,0,0]");
    check("euler.add", "null", "[1,2,3]", "[1,2,3]");
    check("quaternion.multiply", "null", "[0,0,1,0]", "[0,0,1,0]");
    check("color.blend", "null", "\"#ABCDEF\"", "\"#abcdef\"");
    check("object.merge", "null", "{\"a\":1}", "{\"a\":1}");
    check("counter.increment", "null", "null", "1");
    check("counter.decrement", "null", "2", "-2");
    check("dict.put", "null", "{\"key\":\"a\",\"value\":1}", "{\"a\":1}");
    check("dict.remove", "null", "\"a\"", "{}");
}

#[test]
fn a_step_combines_what_is_there_with_its_argument() {
    check("number.add", "0.5", "2", "2.5");
    check("number.min", "3", "2", "2");
    check("number.max", "3", "2", "3");
    check("boolean.and", "true", "false", "false");
    check("string.concat", "\"a\"", "\"b\"", "\"ab\"");
    check_with("string.concat", "\"a\"", "\"b\"", "{\"separator\":\", \"}", "\"a, b\"");
    check_with("string.concat", "\"\"", "\"b\"", "{\"separator\":\", \"}", "\"b\"");
    check("vector3.multiply", "[1,2,3]", "[2,0,-1]", "[2,0,-3]");
    check("vector3.applyQuaternion", "[1,2,3]", "[1,2,3,4]", "[30,60,90]");
    check("quaternion.multiply", "[1,0,0,0]", "[0,1,0,0]", "[0,0,1,0]");
    check("color.set", "null", "\"#ABCDEF\"", "\"#abcdef\"");
    check("color.blend", "\"#ff0000\"", "\"#0000FF\"", "\"#7f007f\"");
    check_with("color.blend", "\"#ff0000\"", "\"#0000FF\"", "{\"nearest\":true}", "\"#800080\"");
    check("counter.increment", "1", "0.5", "1.5");
    check("counter.decrement", "1", "null", "0");
    check("set.set", "null", "[2,\"b\",1,2,\"a\"]", "[1,2,\"a\",\"b\"]");
    check("dict.put", "{\"a\":1,\"b\":2}", "{\"key\":\"b\",\"value\":null}", "{\"a\":1,\"b\":null}");
    check("dict.remove", "{\"a\":1,\"b\":2}", "\"b\"", "{\"a\":1}");
    check("object.merge", "{\"a\":1,\"b\":2}", "{\"b\":null,\"c\":{}}", "{\"a\":1,\"b\":null,\"c\":{}}");
}

/// The bits of the software sine and cosine are part of the state: these may never change.
#[test]
fn rotations_have_the_same_bits_everywhere() {
    let euler = |options: &str| {
        let vector = step("vector3.applyEuler", "[1,2,3]", "[0.3,0.7,1.1]", options).unwrap();
        vector.as_numbers::<3>().unwrap().map(f64::to_bits)
    };
    let fixed: [u64; 3] = [4_601_677_823_531_827_086, 4_614_232_731_434_630_963, 4_611_685_477_567_897_316];
    assert_eq!(euler("{}"), fixed);
    assert_eq!(euler("{\"order\":\"ZYX\",\"intrinsic\":true}"), fixed);
    assert_ne!(euler("{\"intrinsic\":true}"), fixed);
    let near = f64::from_bits(euler("{\"intrinsic\":true}")[0]);
    assert!((near - 0.916).abs() < 1e-3, "{near}");
}

#[test]
fn a_value_of_another_type_or_a_result_that_is_no_number_has_no_effect() {
    fails("number.add", "\"2\"", "2", NoEffect::BadCurrent { expected: Shape::Number });
    fails("number.add", "1", "true", NoEffect::BadArgument { expected: Shape::Number });
    fails("number.multiply", "1e300", "1e300", NoEffect::NotFinite);
    fails("vector3.add", "[1,2]", "[1,2,3]", NoEffect::BadCurrent { expected: Shape::Numbers(3) });
    fails("vector3.applyQuaternion", "[1,2,3]", "[1e200,0,0,1]", NoEffect::NotFinite);
    fails("boolean.or", "1", "true", NoEffect::BadCurrent { expected: Shape::Bool });
    fails("color.blend", "\"red\"", "\"#000000\"", NoEffect::BadCurrent { expected: Shape::Color });
    fails("counter.increment", "[]", "1", NoEffect::BadCurrent { expected: Shape::Number });
    fails("counter.decrement", "1", "-1", NoEffect::BadArgument { expected: Shape::Amount });
    fails("counter.increment", "1.7e308", "1.7e308", NoEffect::NotFinite);
}
