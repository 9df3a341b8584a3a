//! The words of `rtc edit`: how they become the edits of one commit. Pure; every rule has a test below.
//!
//! One edit is `NODE OTYPE PATH VALUE… [name=value…]`, or, for node and meta operations, `NODE OTYPE key=value…`. A word
//! `+` separates edits, `\+` is the text `+`. Values are read by the shape of the operation's argument, so a text never
//! turns into a number and a number never into a text.

use std::collections::BTreeMap;

use rtc_core::api::EditOp;
use rtc_core::op::{OpCode, Row, Shape, nearest_name};
use rtc_core::value::Value;

use crate::table::{self, Argument};

/// Words that are no edit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GrammarError {
    /// There are not even a node and an operation.
    #[error("expected a node and an operation{}", found(.0))]
    Incomplete(Vec<String>),
    /// No operation of that name.
    #[error("there is no operation {name:?}")]
    UnknownOperation {
        /// What was given.
        name: String,
        /// The name that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A property operation without a property.
    #[error("{operation} needs the path of a property")]
    NoPath {
        /// Which operation.
        operation: String,
    },
    /// The value's words are not what the operation takes.
    #[error("{operation} takes {expected}, found {found}")]
    Value {
        /// Which operation.
        operation: String,
        /// What it takes.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A word that should be `key=value`.
    #[error("{operation} takes key=value words, found {word:?}")]
    NotAnAssignment {
        /// Which operation.
        operation: String,
        /// The word.
        word: String,
    },
    /// The operation has no argument of that name.
    #[error("{operation} has no argument {name:?}")]
    UnknownArgument {
        /// Which operation.
        operation: String,
        /// The name.
        name: String,
    },
    /// One name twice.
    #[error("{name:?} is given twice")]
    Twice {
        /// The name.
        name: String,
    },
}

impl GrammarError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Incomplete(_) => {
                "for example: rtc edit cube-1 vector3.add transform.position 1 0 0".to_owned()
            }
            Self::UnknownOperation { nearest, .. } => {
                let meant = nearest.map(|nearest| format!("did you mean {nearest}? ")).unwrap_or_default();
                meant + "`rtc ops` lists all operations"
            }
            Self::NoPath { operation }
            | Self::Value { operation, .. }
            | Self::NotAnAssignment { operation, .. }
            | Self::UnknownArgument { operation, .. } => {
                format!("`rtc ops {operation}` explains it, with an example")
            }
            Self::Twice { .. } => "give it once".to_owned(),
        }
    }
}

/// Reads the words of one commit.
pub fn parse(words: &[String]) -> Result<Vec<EditOp>, GrammarError> {
    words.split(|word| word == "+").map(parse_edit).collect()
}

fn parse_edit(words: &[String]) -> Result<EditOp, GrammarError> {
    let words: Vec<&str> = words.iter().map(|word| unescaped(word)).collect();
    let [key, otype, rest @ ..] = words.as_slice() else {
        return Err(GrammarError::Incomplete(words.iter().map(|&word| word.to_owned()).collect()));
    };
    let row = OpCode::named(otype).and_then(OpCode::row).ok_or_else(|| GrammarError::UnknownOperation {
        name: (*otype).to_owned(),
        nearest: nearest_name(otype),
    })?;
    // What a meta operation names is a message; whatever stands in the node's place is not looked at.
    let key = if table::has_node(row) { (*key).to_owned() } else { String::new() };
    let mut edit = EditOp { otype: row.name.to_owned(), key, ..EditOp::default() };
    match table::argument(row.argument) {
        Argument::Assignments if !row.kind.is_property() => parse_assignments(row, rest, &mut edit)?,
        Argument::Number
        | Argument::Amount
        | Argument::Truth
        | Argument::Text
        | Argument::Numbers(_)
        | Argument::List
        | Argument::Map
        | Argument::Entry
        | Argument::Any
        | Argument::Assignments => parse_property_edit(row, rest, &mut edit)?,
    }
    Ok(edit)
}

/// `\+` is `+`, `\\+` is `\+`, and so on; every other word is itself.
fn unescaped(word: &str) -> &str {
    match word.strip_prefix('\\') {
        Some(rest) if rest.trim_start_matches('\\') == "+" => rest,
        Some(_) | None => word,
    }
}

fn parse_assignments(row: &Row, words: &[&str], edit: &mut EditOp) -> Result<(), GrammarError> {
    let mut properties = BTreeMap::new();
    for word in words {
        let (name, text) = word.split_once('=').ok_or_else(|| GrammarError::NotAnAssignment {
            operation: row.name.to_owned(),
            word: (*word).to_owned(),
        })?;
        let (into, value) = match table::option(row, name) {
            Some(argument) => (&mut edit.options, option_value(argument, text)),
            None if table::takes_properties(row) => (&mut properties, any(text)),
            None => {
                let operation = row.name.to_owned();
                return Err(GrammarError::UnknownArgument { operation, name: name.to_owned() });
            }
        };
        if into.insert(name.to_owned(), value).is_some() {
            return Err(GrammarError::Twice { name: name.to_owned() });
        }
    }
    if !properties.is_empty() {
        edit.value = Some(Value::Map(properties));
    }
    Ok(())
}

fn parse_property_edit(row: &Row, words: &[&str], edit: &mut EditOp) -> Result<(), GrammarError> {
    let [path, words @ ..] = words else {
        return Err(GrammarError::NoPath { operation: row.name.to_owned() });
    };
    edit.path = Some((*path).to_owned());
    let (value, options) = words.split_at(value_words(row, words));
    // Who wrote no word gave no value: the row has one for that, or `parse_value` would have failed.
    edit.value = Some(parse_value(row, value)?).filter(|_| !value.is_empty());
    for word in options {
        let Some((name, argument, text)) = option_of(row, word) else {
            return Err(wrong_value(row, words));
        };
        if edit.options.insert(name.to_owned(), option_value(argument, text)).is_some() {
            return Err(GrammarError::Twice { name: name.to_owned() });
        }
    }
    Ok(())
}

/// How many of `words` are the value: as many as the shape takes; otherwise all up to the first option.
fn value_words(row: &Row, words: &[&str]) -> usize {
    match table::argument(row.argument) {
        Argument::Number | Argument::Amount | Argument::Truth | Argument::Text | Argument::Any => {
            words.len().min(1)
        }
        Argument::Entry => words.len().min(2),
        Argument::Numbers(_) | Argument::List | Argument::Map | Argument::Assignments => {
            words.iter().position(|word| option_of(row, word).is_some()).unwrap_or(words.len())
        }
    }
}

/// The name, the reading and the text of a word that is one of the row's options.
fn option_of<'word>(row: &Row, word: &'word str) -> Option<(&'word str, Argument, &'word str)> {
    let (name, text) = word.split_once('=')?;
    Some((name, table::option(row, name)?, text))
}

/// `separator=1` is the text "1": what the row calls a text is one as it stands. Anything else that is wrong here the
/// daemon names.
fn option_value(argument: Argument, text: &str) -> Value {
    if argument == Argument::Text { text.into() } else { any(text) }
}

fn parse_value(row: &Row, words: &[&str]) -> Result<Value, GrammarError> {
    let value = match (table::argument(row.argument), words) {
        (Argument::Assignments | Argument::Amount, []) => Some(Value::Null),
        (Argument::Number | Argument::Amount, [word]) => number(word),
        (Argument::Truth, [word]) => word.parse().ok().map(Value::Bool),
        (Argument::Text, [word]) => Some((*word).into()),
        (Argument::Any, [word]) => Some(any(word)),
        (Argument::Numbers(_), [word]) if word.starts_with('[') => json(word),
        (Argument::Numbers(len), words) if words.len() == len => {
            words.iter().map(|word| number(word)).collect::<Option<_>>().map(Value::List)
        }
        (Argument::List, [word]) if word.starts_with('[') => json(word),
        (Argument::List, [_, ..]) => Some(Value::List(words.iter().map(|word| any(word)).collect())),
        (Argument::Map, [word]) if word.starts_with('{') => json(word),
        (Argument::Map, [_, ..]) => map(words)?,
        (Argument::Entry, [word]) if word.starts_with('{') => json(word),
        (Argument::Entry, [key, value]) => Some(entry(key, value)),
        (_, _) => None,
    };
    value.filter(|value| row.argument.check(value).is_ok()).ok_or_else(|| wrong_value(row, words))
}

fn wrong_value(row: &Row, words: &[&str]) -> GrammarError {
    GrammarError::Value {
        operation: row.name.to_owned(),
        expected: expected(row.argument),
        found: if words.is_empty() { "nothing".to_owned() } else { words.join(" ") },
    }
}

/// What people are to write for that shape.
fn expected(shape: Shape) -> String {
    match shape {
        Shape::Text => "one text (quote it)".to_owned(),
        Shape::Numbers(len) => format!("{len} numbers"),
        Shape::List => "a list, or its elements".to_owned(),
        Shape::Map => "a map, or key=value words".to_owned(),
        Shape::Entry => "a key and a value".to_owned(),
        Shape::Amount => "a number from 0 on, or none".to_owned(),
        _ => shape.to_string(),
    }
}

fn map(words: &[&str]) -> Result<Option<Value>, GrammarError> {
    let mut map = BTreeMap::new();
    for word in words {
        let Some((name, text)) = word.split_once('=') else { return Ok(None) };
        if map.insert(name.to_owned(), any(text)).is_some() {
            return Err(GrammarError::Twice { name: name.to_owned() });
        }
    }
    Ok(Some(Value::Map(map)))
}

fn entry(key: &str, value: &str) -> Value {
    Value::Map([("key".to_owned(), key.into()), ("value".to_owned(), any(value))].into())
}

fn number(word: &str) -> Option<Value> {
    word.parse().ok().and_then(Value::number)
}

fn json(word: &str) -> Option<Value> {
    serde_json::from_str(word).ok()
}

/// JSON where it parses, text where not.
fn any(word: &str) -> Value {
    json(word).unwrap_or_else(|| word.into())
}

/// Whether a word that begins with `-` is a value and no option: a number, or `-` alone.
pub fn is_dashed_value(word: &str) -> bool {
    word == "-" || word.parse::<f64>().is_ok()
}

fn found(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(", found only {:?}", words.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// What `line` means, as compact JSON: one `[otype, key, path, value, options]` per edit, or the error.
    fn check(line: &[&str], expected: &str) {
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        let meaning = match parse(&line) {
            Ok(edits) => edits
                .iter()
                .map(|edit| {
                    let fields = (&edit.otype, &edit.key, &edit.path, &edit.value, &edit.options);
                    serde_json::to_string(&fields).unwrap()
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(meaning, expected, "{line:?}");
    }

    fn check_line(line: &str, expected: &str) {
        let words = words(line);
        check(&words.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn values_are_read_by_the_shape_of_the_argument() {
        let cases = [
            ("c number.set x 5", r#"["number.set","c","x",5,{}]"#),
            ("c number.add x -1.5e-3", r#"["number.add","c","x",-0.0015,{}]"#),
            ("c string.set label 5", r#"["string.set","c","label","5",{}]"#),
            ("c string.set label [1]", r#"["string.set","c","label","[1]",{}]"#),
            ("c boolean.set on true", r#"["boolean.set","c","on",true,{}]"#),
            ("c vector3.add p -1 0 -1.5e-3", r#"["vector3.add","c","p",[-1,0,-0.0015],{}]"#),
            ("c vector3.add p [1,2,3]", r#"["vector3.add","c","p",[1,2,3],{}]"#),
            ("c quaternion.set q 0 0 0 1", r#"["quaternion.set","c","q",[0,0,0,1],{}]"#),
            ("c color.set c #ff0000", r##"["color.set","c","c","#ff0000",{}]"##),
            ("c array.push a 5", r#"["array.push","c","a",5,{}]"#),
            ("c array.push a five", r#"["array.push","c","a","five",{}]"#),
            ("c array.push a {\"b\":[1]}", r#"["array.push","c","a",{"b":[1]},{}]"#),
            ("c array.push a a=b", r#"["array.push","c","a","a=b",{}]"#),
            ("c array.set a []", r#"["array.set","c","a",[],{}]"#),
            ("c array.set a 1 two null", r#"["array.set","c","a",[1,"two",null],{}]"#),
            ("c object.merge o {\"a\":1}", r#"["object.merge","c","o",{"a":1},{}]"#),
            ("c counter.increment n", r#"["counter.increment","c","n",null,{}]"#),
            ("c counter.decrement n 0.5", r#"["counter.decrement","c","n",0.5,{}]"#),
            ("c set.set s red 2", r#"["set.set","c","s",["red",2],{}]"#),
            ("c set.add s red", r#"["set.add","c","s","red",{}]"#),
            ("c set.remove s [1,2]", r#"["set.remove","c","s",[1,2],{}]"#),
            ("c dict.put d speed 2.5", r#"["dict.put","c","d",{"key":"speed","value":2.5},{}]"#),
            ("c dict.put d 7 a=b", r#"["dict.put","c","d",{"key":"7","value":"a=b"},{}]"#),
            ("c dict.put d { {\"a\":1}", r#"["dict.put","c","d",{"key":"{","value":{"a":1}},{}]"#),
            (
                "c dict.put d {\"key\":\"k\",\"value\":[1]}",
                r#"["dict.put","c","d",{"key":"k","value":[1]},{}]"#,
            ),
            ("c dict.remove d 7", r#"["dict.remove","c","d","7",{}]"#),
            ("c object.merge o a=1 b=x=y", r#"["object.merge","c","o",{"a":1,"b":"x=y"},{}]"#),
        ];
        for (line, expected) in cases {
            check_line(line, expected);
        }
        check(&["c", "string.set", "l", "two words"], r#"["string.set","c","l","two words",{}]"#);
        check(&["c", "string.set", "l", ""], r#"["string.set","c","l","",{}]"#);
    }

    #[test]
    fn options_follow_the_value_and_are_only_those_of_the_row() {
        let cases = [
            ("c string.concat l more separator=,", r#"["string.concat","c","l","more",{"separator":","}]"#),
            (
                "c string.concat l separator=, separator=1",
                r#"["string.concat","c","l","separator=,",{"separator":"1"}]"#,
            ),
            (
                "c vector3.applyEuler p 0 0 1 order=ZYX intrinsic=true",
                r#"["vector3.applyEuler","c","p",[0,0,1],{"intrinsic":true,"order":"ZYX"}]"#,
            ),
            ("c array.remove a 5 all=true", r#"["array.remove","c","a",5,{"all":true}]"#),
        ];
        for (line, expected) in cases {
            check_line(line, expected);
        }
        check_line("c number.add x 1 unit=m", "number.add takes a number, found 1 unit=m");
        check_line("c string.concat l a separator=1 separator=2", "\"separator\" is given twice");
    }

    #[test]
    fn texts_are_written_into_at_positions() {
        let cases = [
            ("c text.insert t hi", r#"["text.insert","c","t","hi",{}]"#),
            ("c text.insert t hi position=3", r#"["text.insert","c","t","hi",{"position":3}]"#),
            (
                "c text.delete t position=0 length=2",
                r#"["text.delete","c","t",null,{"length":2,"position":0}]"#,
            ),
            ("c text.delete t", r#"["text.delete","c","t",null,{}]"#),
            ("c text.replace t hi length=1", r#"["text.replace","c","t","hi",{"length":1}]"#),
        ];
        for (line, expected) in cases {
            check_line(line, expected);
        }
        check_line("c text.insert t hi length=3", "text.insert takes one text (quote it), found hi length=3");
    }

    #[test]
    fn lists_are_written_into_at_indexes() {
        let cases = [
            ("c list.insert l red index=0", r#"["list.insert","c","l",["red"],{"index":0}]"#),
            ("c list.insert l 1 [2] x", r#"["list.insert","c","l",[1,[2],"x"],{}]"#),
            ("c list.delete l index=1 length=2", r#"["list.delete","c","l",null,{"index":1,"length":2}]"#),
            ("c list.move l index=2 to=0", r#"["list.move","c","l",null,{"index":2,"to":0}]"#),
            ("c list.move l from=2 to=0", r#"["list.move","c","l",null,{"from":2,"to":0}]"#),
            ("c list.set l 5 index=1", r#"["list.set","c","l",5,{"index":1}]"#),
        ];
        for (line, expected) in cases {
            check_line(line, expected);
        }
    }

    #[test]
    fn node_operations_take_assignments_and_no_path() {
        let cases = [
            ("c node.insert", r#"["node.insert","c",null,null,{}]"#),
            ("c node.insert tag=Mesh", r#"["node.insert","c",null,null,{"tag":"Mesh"}]"#),
            (
                "c node.insert tag=1 name=2 parent=3 before=4 index=5",
                r#"["node.insert","c",null,null,{"before":"4","index":5,"name":"2","parent":"3","tag":"1"}]"#,
            ),
            (
                "c node.insert transform.position=[0,1,0] label=box visible=true",
                r#"["node.insert","c",null,{"label":"box","transform.position":[0,1,0],"visible":true},{}]"#,
            ),
            ("c node.move parent=g after=d", r#"["node.move","c",null,null,{"after":"d","parent":"g"}]"#),
            ("c node.remove", r#"["node.remove","c",null,null,{}]"#),
            ("_ meta.undo target=k7:12", r#"["meta.undo","",null,null,{"target":"k7:12"}]"#),
        ];
        for (line, expected) in cases {
            check_line(line, expected);
        }
        check_line("c node.insert Mesh", r#"node.insert takes key=value words, found "Mesh""#);
        check_line("c node.move x=1", r#"node.move has no argument "x""#);
        check_line("c node.insert tag=a tag=b", "\"tag\" is given twice");
    }

    #[test]
    fn a_plus_separates_edits_and_an_escaped_one_does_not() {
        check_line(
            "a number.add x 1 + b node.remove",
            r#"["number.add","a","x",1,{}] ["node.remove","b",null,null,{}]"#,
        );
        check_line(r"a string.set l \+", r#"["string.set","a","l","+",{}]"#);
        check_line(r"a string.set l \\+", r#"["string.set","a","l","\\+",{}]"#);
        check_line(r"a string.set l \x", r#"["string.set","a","l","\\x",{}]"#);
        check_line("a number.add x 1 +", "expected a node and an operation");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases = [
            ("", "expected a node and an operation"),
            ("c", "expected a node and an operation, found only \"c\""),
            ("c vector3.ad p 1 2 3", "there is no operation \"vector3.ad\""),
            ("c number.add", "number.add needs the path of a property"),
            ("c number.add x", "number.add takes a number, found nothing"),
            ("c number.add x one", "number.add takes a number, found one"),
            ("c number.add x inf", "number.add takes a number, found inf"),
            ("c number.add x NaN", "number.add takes a number, found NaN"),
            ("c number.add x 1e999", "number.add takes a number, found 1e999"),
            ("c number.add x 1 2", "number.add takes a number, found 1 2"),
            ("c boolean.set on yes", "boolean.set takes true or false, found yes"),
            ("c string.set l two words", "string.set takes one text (quote it), found two words"),
            ("c counter.increment n -1", "counter.increment takes a number from 0 on, or none, found -1"),
            ("c counter.increment n 1 2", "counter.increment takes a number from 0 on, or none, found 1 2"),
            ("c dict.put d", "dict.put takes a key and a value, found nothing"),
            ("c dict.put d k", "dict.put takes a key and a value, found k"),
            ("c dict.put d k 1 2", "dict.put takes a key and a value, found k 1 2"),
            ("c dict.put d {\"key\":\"k\"}", "dict.put takes a key and a value, found {\"key\":\"k\"}"),
            ("c vector3.add p 1 2", "vector3.add takes 3 numbers, found 1 2"),
            ("c vector3.add p [1,2]", "vector3.add takes 3 numbers, found [1,2]"),
            ("c vector3.add p 1 2 x", "vector3.add takes 3 numbers, found 1 2 x"),
        ];
        for (line, expected) in cases {
            check_line(line, expected);
        }
        let error = parse(&words("c vector3.ad p 1 2 3")).unwrap_err();
        assert_eq!(error.hint(), "did you mean vector3.add? `rtc ops` lists all operations");
    }

    #[test]
    fn numbers_may_begin_with_a_dash_and_options_may_not_be_numbers() {
        for word in ["-", "-1", "-1.5e-3", "-.5", "-1E5", "-0"] {
            assert!(is_dashed_value(word), "{word}");
        }
        for word in ["--json", "-m", "-x", "--", "-1x"] {
            assert!(!is_dashed_value(word), "{word}");
        }
    }
}
