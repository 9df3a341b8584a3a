//! Authors who go by what they see: what they write into texts and lists is compiled from positions, as a room compiles it, on a
//! replica that holds what they have heard of and knows nothing of horizons.

use rtc_core::api::EditOp;
use rtc_core::clock::VersionVector;
use rtc_core::id::Dot;
use rtc_core::message::Message;
use rtc_core::op::edit::{Commit, compile};
use rtc_core::op::text::{CharId, Span};
use rtc_core::op::{Kind, Op};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::{Number, Value};

use crate::horizon::nothing;

/// The messages, of which those from `from` on write as people do. Each comes after its causal past, and clocks are whole.
pub(crate) fn honest(mut messages: Vec<Message>, from: usize) -> Vec<Message> {
    for i in from..messages.len() {
        let mut made = messages[i].clone();
        let mut seen: VersionVector = made.clock.iter().map(|head| (head.actor, head.seq)).collect();
        seen.raise(made.actor, made.seq - 1);
        let past: Vec<&Message> =
            messages[..i].iter().filter(|message| seen.covers(&message.dot())).collect();
        for index in 0..made.ops.len() {
            let is_written = |op: &Op| matches!(op.code.row().map(|row| row.kind), Some(Kind::Write(..)));
            if !is_written(&made.ops[index]) {
                continue;
            }
            let mut replica = Replica::new(Root::default());
            replica.apply_all(past.iter().copied());
            replica.apply(&Message { ops: made.ops[..index].to_vec(), ..made.clone() });
            made.ops[index] = written(&made, index, &replica);
        }
        messages[i] = made;
    }
    messages
}

/// The op that an edit somewhere gives, of the same kind; nothing where there is nothing to edit.
fn written(message: &Message, index: usize, replica: &Replica) -> Op {
    let op = &message.ops[index];
    let code = op.code.row().expect("it is a row's").name;
    let salt = message
        .encode()
        .iter()
        .fold(index, |salt, byte| salt.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let number = |salt: usize, below: usize| Value::number((salt % below) as f64).unwrap();
    let places: &[&str] = match code {
        "text.insert" => &["position"],
        "text.delete" | "text.replace" => &["position", "length"],
        "list.insert" | "list.set" => &["index"],
        "list.delete" => &["index", "length"],
        "list.move" => &["index", "to"],
        _ => panic!("{code} is of another family"),
    };
    let places = (1..).zip(places).map(|(nth, name)| ((*name).to_owned(), number(salt >> (5 * nth), 6)));
    let edit = EditOp {
        otype: code.to_owned(),
        key: op.key.clone(),
        path: op.path.clone(),
        value: Some(op.value.clone()),
        options: places.collect(),
    };
    // As if what comes before in the message were one of its own.
    let next = Dot { seq: message.seq + 1, ..message.dot() };
    let commit = Commit { lamport: message.lamport + 1, actor: next.actor, seq: next.seq };
    let own = message.origin().map_or(message.dot(), |origin| origin.dot);
    let one =
        compile(&[edit], replica, commit).ok().filter(|ops| ops.len() == 1).and_then(|mut ops| ops.pop());
    let Some(mut one) = one else { return nothing() };
    for (name, value) in &mut one.options {
        match (name.as_str(), &mut *value) {
            ("spans", Value::List(spans)) => {
                spans.iter_mut().for_each(|span| *span = span_of(span, next).write(own))
            }
            (_, Value::List(id)) => *value = char_of(id, next).0.write(own),
            (_, _) => {}
        }
    }
    one
}

fn integer(value: &Value) -> u64 {
    let Value::Number(number) = value else { panic!("{value:?} is no number") };
    u64::try_from(Number::as_integer(*number).unwrap()).unwrap()
}

/// The character that the message `own` names, and what comes behind that.
fn char_of(parts: &[Value], own: Dot) -> (CharId, &[Value]) {
    let (dot, rest) = match &parts[0] {
        Value::Text(actor) => (Dot { actor: actor.parse().unwrap(), seq: integer(&parts[1]) }, &parts[2..]),
        back => (Dot { seq: own.seq - integer(back), ..own }, &parts[1..]),
    };
    let [index, offset] = [0, 1].map(|at| u32::try_from(integer(&rest[at])).unwrap());
    (CharId { dot, index, offset }, &rest[2..])
}

fn span_of(value: &Value, own: Dot) -> Span {
    let parts = value.as_list().unwrap();
    let (first, rest) = char_of(parts, own);
    let is_own = matches!(parts[0], Value::Number(_));
    let last = match rest {
        [count] => CharId { offset: first.offset + u32::try_from(integer(count)).unwrap() - 1, ..first },
        rest if is_own => char_of(rest, own).0,
        rest => {
            let [index, offset] = [1, 2].map(|at| u32::try_from(integer(&rest[at])).unwrap());
            CharId { dot: Dot { seq: integer(&rest[0]), ..first.dot }, index, offset }
        }
    };
    Span { first, last }
}
