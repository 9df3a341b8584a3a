//! Edits against a small scene: `scene > {a, b > c}`, with a number at `a.x`.

use super::*;
use crate::api::{ApiError, Code};
use crate::message::Message;
use crate::scene::Root;

/// A replica that commits what it compiles, as one author.
struct Author {
    replica: Replica,
    seq: u64,
}

impl Author {
    fn new() -> Self {
        let mut author = Self { replica: Replica::new(Root::default()), seq: 0 };
        author.commit(&[
            r#"{"otype":"node.insert","key":"a","value":{"x":1}}"#,
            r#"{"otype":"node.insert","key":"b"}"#,
            r#"{"otype":"node.insert","key":"c","parentKey":"b"}"#,
        ]);
        author
    }

    fn compile(&self, edits: &[&str]) -> Result<Vec<Op>, ApiError> {
        let edits: Vec<EditOp> = edits
            .iter()
            .map(|json| EditOp::from_flat(&serde_json::from_str(json).unwrap()).unwrap())
            .collect();
        let commit = Commit { lamport: self.seq + 1, actor: Actor::from_name("me"), seq: self.seq + 1 };
        compile(&edits, &self.replica, commit).map_err(ApiError::from)
    }

    fn commit(&mut self, edits: &[&str]) {
        let ops = self.compile(edits).unwrap_or_else(|error| panic!("{edits:?}: {error}"));
        self.seq += 1;
        let actor = Actor::from_name("me");
        let (seq, lamport) = (self.seq, self.seq);
        let message =
            Message { actor, seq, lamport, clock: Vec::new(), time_ms: None, request: None, note: None, ops };
        assert_eq!(Message::decode(actor, &message.encode()).as_ref(), Ok(&message));
        assert!(self.replica.apply(&message));
        assert_eq!(self.replica.ineffective(&message.dot()), [], "{edits:?}");
    }

    fn children(&self, key: &str) -> String {
        self.replica.node(key).unwrap().children.join(" ")
    }
}

fn refused(edits: &[&str], code: Code, message: &str) {
    let error = Author::new().compile(edits).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message), "{edits:?}");
}

#[test]
fn positions_put_nodes_where_they_say() {
    let mut author = Author::new();
    author.commit(&[r#"{"otype":"node.insert","key":"d","before":"b"}"#]);
    assert_eq!(author.children("scene"), "a d b");
    author.commit(&[r#"{"otype":"node.insert","key":"e","index":0}"#]);
    author.commit(&[r#"{"otype":"node.insert","key":"f","index":99}"#]);
    assert_eq!(author.children("scene"), "e a d b f");
    author.commit(&[r#"{"otype":"node.move","key":"e","after":"d"}"#]);
    assert_eq!(author.children("scene"), "a d e b f");
    author.commit(&[r#"{"otype":"node.move","key":"e","index":1}"#]);
    assert_eq!(author.children("scene"), "a e d b f");
    author.commit(&[r#"{"otype":"node.move","key":"a","index":2}"#]);
    assert_eq!(author.children("scene"), "e d a b f");
    // Beside a node under another parent: that parent is meant.
    author.commit(&[r#"{"otype":"node.move","key":"a","before":"c"}"#]);
    assert_eq!((author.children("scene"), author.children("b")), ("e d b f".into(), "a c".into()));
    author.commit(&[r#"{"otype":"node.insert","key":"g","after":"a"}"#]);
    assert_eq!(author.children("b"), "a g c");
    author.commit(&[r#"{"otype":"node.move","key":"c","parent":"scene"}"#]);
    assert_eq!(author.children("scene"), "e d b c f", "a move without a position keeps the place");
}

#[test]
fn edits_see_what_those_before_them_in_the_commit_did() {
    let mut author = Author::new();
    author.commit(&[
        r#"{"otype":"node.insert","key":"d","index":1}"#,
        r#"{"otype":"node.insert","key":"e","before":"d"}"#,
        r#"{"otype":"number.add","key":"d","path":"n","value":1}"#,
        r#"{"otype":"node.move","key":"a","after":"d"}"#,
        r#"{"otype":"node.insert","key":"f","parentKey":"e"}"#,
        r#"{"otype":"node.move","key":"f","index":0,"parent":"scene"}"#,
    ]);
    assert_eq!(author.children("scene"), "f e d a b");
    assert_eq!(author.replica.value("d", "n"), Value::number(1.0));
    refused(
        &[r#"{"otype":"node.remove","key":"a"}"#, r#"{"otype":"number.add","key":"a","path":"x","value":1}"#],
        Code::NotFound,
        "op 2: there is no node a",
    );
    refused(
        &[
            r#"{"otype":"node.move","key":"a","parent":"c"}"#,
            r#"{"otype":"node.move","key":"b","parent":"a"}"#,
        ],
        Code::BadArgument,
        "op 2: a lies below b, or is it",
    );
}

#[test]
fn a_separator_may_come_inside_the_value() {
    let mut author = Author::new();
    author.commit(&[r#"{"otype":"string.set","key":"a","path":"s","value":"x"}"#]);
    author
        .commit(&[r#"{"otype":"string.concat","key":"a","path":"s","value":{"value":"y","separator":"-"}}"#]);
    assert_eq!(author.replica.value("a", "s"), Some("x-y".into()));
}

#[test]
fn undo_and_redo_name_messages_by_their_first_letters() {
    let mut author = Author::new();
    author.commit(&[r#"{"otype":"number.add","key":"a","path":"x","value":4}"#]);
    let name: String = Actor::from_name("me").to_string().chars().take(4).collect();
    author.commit(&[&format!(r#"{{"otype":"meta.undo","targetMsgId":"{name}:2"}}"#)]);
    assert_eq!(author.replica.value("a", "x"), Value::number(1.0));
    author.commit(&[&format!(r#"{{"otype":"meta.redo","key":"_meta","path":"_meta","target":"{name}:2"}}"#)]);
    assert_eq!(author.replica.value("a", "x"), Value::number(5.0));
    let undo = format!(r#"{{"otype":"meta.undo","target":"{name}"}}"#);
    assert_eq!(author.compile(&[&undo]).unwrap_err().code, Code::Ambiguous);
    let undo = format!(r#"{{"otype":"meta.undo","target":"{name}:3"}}"#);
    assert_eq!(author.compile(&[&undo]).unwrap_err().code, Code::BadArgument);
}

#[test]
fn what_cannot_have_an_effect_is_refused_with_its_reason() {
    use Code::{BadArgument, BadRequest, NotFound, TooLarge, UnknownOperation};
    refused(&[], BadRequest, "a commit needs at least one op");
    refused(&[r#"{"otype":"number.ad","key":"a"}"#], UnknownOperation, "there is no operation number.ad");
    refused(&[r#"{"otype":"number.add","path":"x","value":1}"#], BadArgument, "the node's key is missing");
    refused(
        &[r#"{"otype":"number.add","key":"a","value":1}"#],
        BadArgument,
        "number.add needs the property's path",
    );
    refused(&[r#"{"otype":"node.remove","key":"a","path":"x"}"#], BadArgument, "node.remove takes no path");
    refused(
        &[r#"{"otype":"number.add","key":"a","path":"x","value":"1"}"#],
        BadArgument,
        "number.add expects a number",
    );
    refused(&[r#"{"otype":"number.add","key":"z","path":"x","value":1}"#], NotFound, "there is no node z");
    refused(
        &[r#"{"otype":"node.remove","key":"scene"}"#],
        BadArgument,
        "the root can be neither removed nor moved",
    );
    refused(
        &[r#"{"otype":"node.move","key":"a"}"#],
        BadArgument,
        "the move says neither under which parent nor where",
    );
    refused(&[r#"{"otype":"node.move","key":"b","parent":"c"}"#], BadArgument, "c lies below b, or is it");
    refused(
        &[r#"{"otype":"node.insert","key":"d","parent":"z"}"#],
        NotFound,
        "there is no node z to be the parent",
    );
    refused(&[r#"{"otype":"node.insert","key":"d","parent":"b","after":"a"}"#], NotFound, "a is not below b");
    refused(
        &[r#"{"otype":"node.insert","key":"d","index":0,"after":"a"}"#],
        BadArgument,
        "before, after, index and place exclude each other",
    );
    refused(
        &[r#"{"otype":"node.insert","key":"d","colour":1}"#],
        BadArgument,
        "node.insert has no option colour",
    );
    let long = format!(r#"{{"otype":"node.insert","key":"{}"}}"#, "k".repeat(257));
    refused(&[&long], TooLarge, "key of 257 bytes exceeds 256");
    let error = Author::new().compile(&[r#"{"otype":"number.ad","key":"a"}"#]).unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean number.add?"));
}

/// Commits edits of texts, in each round as many at once as `edits` says, and compares with the long way what they become.
fn check_typing(edits: impl Fn(usize) -> usize) {
    let mut author = Author::new();
    author.commit(&[r#"{"otype":"node.insert","key":"t","value":{"x":"","y":"héllo"}}"#]);
    let mut state = 7_u32;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % limit
    };
    let (mut short, mut joined) = (0, 0);
    for round in 0..600 {
        let path = ["x", "y", "z"][below(3)];
        let mut at = below(1 + round / 10);
        let mut edit = || {
            let range =
                [format!(r#","position":{at}"#), format!(r#","position":{at},"length":{}"#, below(5))];
            let (text, range) = (["", "a", "lé", "🙂 and more"][below(4)], &range[below(2)]);
            let position = at;
            // Mostly on where the edit before ended, or back from there.
            at = [at + text.chars().count(), at.saturating_sub(1), at, below(1 + round / 10)][below(4)];
            match below(4) {
                0 | 1 => format!(
                    r#"{{"otype":"text.insert","key":"t","path":"{path}","value":"{text}","position":{position}}}"#
                ),
                2 => format!(r#"{{"otype":"text.delete","key":"t","path":"{path}"{range}}}"#),
                _ => {
                    format!(r#"{{"otype":"text.replace","key":"t","path":"{path}","value":"{text}"{range}}}"#)
                }
            }
        };
        let edits: Vec<String> = (0..edits(round)).map(|_| edit()).collect();
        let edits: Vec<&str> = edits.iter().map(String::as_str).collect();
        let ops = author.compile(&edits).unwrap();
        let mut long = Writer::new();
        long.array(ops.len());
        ops.iter().for_each(|op| op.encode(&mut long));
        let given: Vec<EditOp> = edits
            .iter()
            .map(|edit| EditOp::from_flat(&serde_json::from_str(edit).unwrap()).unwrap())
            .collect();
        let commit = Commit { lamport: author.seq + 1, actor: Actor::from_name("me"), seq: author.seq + 1 };
        let mut writer = Writer::new();
        let row = row_named(&given[0].otype).unwrap();
        if let Some(plain) = typing::write(&given, row, &author.replica, commit, &mut writer) {
            let written = writer.finish();
            assert_eq!(written, long.finish(), "round {round}: {edits:?}");
            assert_eq!(plain.is_some(), ops.len() == 1, "round {round}: {edits:?}");
            assert!(
                plain.iter().all(|plain| plain.view(&written).to_op() == ops[0]),
                "round {round}: {edits:?}"
            );
            short += 1;
            joined += edits.len() - ops.len();
        }
        author.commit(&edits);
    }
    assert!(short > 200, "only {short} went the short way");
    assert_eq!(joined > 50, edits(1) > 1, "{joined} edits went on with others");
}

#[test]
fn one_edit_of_a_text_gives_the_same_bytes_the_short_way_and_the_long_one() {
    check_typing(|_| 1);
}

#[test]
fn many_edits_of_a_text_give_the_same_bytes_the_short_way_and_the_long_one() {
    check_typing(|round| 1 + round % 7);
}

#[test]
fn one_edit_of_the_tree_or_one_undo_gives_the_same_bytes_the_short_way_and_the_long_one() {
    let mut author = Author::new();
    author.commit(&[r#"{"otype":"node.insert","key":"dead"}"#]);
    author.commit(&[r#"{"otype":"node.remove","key":"dead"}"#]);
    let options = [
        "",
        r#","parent":"b""#,
        r#","parent":"c""#,
        r#","parent":"scene""#,
        r#","parentKey":"b""#,
        r#","parent":"dead""#,
        r#","parent":"nobody""#,
        r#","parent":7"#,
        r#","parent":"b","name":"n","tag":"Mesh""#,
        r#","parent":"b","index":0"#,
        r#","ifAbsent":true"#,
        r#","path":"children","parent":"b""#,
        r#","value":{"x":1,"y":[1,"2"]}"#,
        r#","parent":"b","value":null"#,
        r#","value":3,"parent":"b""#,
        r#","colour":"red","parent":"b""#,
    ];
    let (mut short, mut refused) = (0, 0);
    let first = Dot { actor: Actor::from_name("me"), seq: 1 }.to_string();
    let targets = [
        format!(r#","target":"{first}""#),
        format!(r#","target":"{}""#, first.to_uppercase()),
        format!(r#","target":"{}""#, first.replace(':', ":0")),
        format!(r#","target":"{}:1""#, &first[..4]),
        format!(r#","target":"{first}7""#),
        format!(r#","target":"{first}","value":1"#),
    ];
    let options: Vec<&str> = options.into_iter().chain(targets.iter().map(String::as_str)).collect();
    for otype in ["node.insert", "node.move", "meta.undo", "meta.redo"] {
        for key in ["", "a", "b", "c", "d", "dead", "scene"] {
            for options in &options {
                let edit = format!(r#"{{"otype":"{otype}","key":"{key}"{options}}}"#);
                let edits = [EditOp::from_flat(&serde_json::from_str(&edit).unwrap()).unwrap()];
                let row = row_named(otype).unwrap();
                let is_short = plain::named(&edits[0], row, &author.replica).is_some();
                let Ok(ops) = author.compile(&[&edit]) else {
                    assert!(!is_short, "{edit}");
                    refused += 1;
                    continue;
                };
                let (mut long, mut written) = (Writer::new(), Writer::new());
                ops.iter().fold(long.array(ops.len()), |writer, op| {
                    op.encode(writer);
                    writer
                });
                let commit = Commit { lamport: 9, actor: Actor::from_name("me"), seq: 9 };
                let plain = write(&edits, &author.replica, commit, &mut written).unwrap();
                let (long, written) = (long.finish(), written.finish());
                assert_eq!((plain.is_some(), &written), (is_short, &long), "{edit}");
                let views = plain.iter().map(|plain| plain.view(&written).to_op());
                assert!(views.eq(ops.into_iter().filter(|_| is_short)), "{edit}");
                short += usize::from(is_short);
            }
        }
    }
    assert!(short > 40 && refused > 60, "{short} went the short way, {refused} were refused");
}
