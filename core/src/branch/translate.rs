//! The names of messages in ops, translated.

use crate::canonical::Writer;
use crate::id::Dot;
use crate::limits::SPANS_MAX;
use crate::op::text::{CharId, Span};
use crate::op::{Op, Shape};
use crate::raw::Raw;
use crate::value::Value;

/// An op of the message `own` with what it names called otherwise: `name` tells how, and `next` up to which number, excluded, the messages
/// of one actor are called by one name. What the op counts back from its message it counts from `own`.
pub(crate) fn translate(op: &Op, own: Dot, name: &dyn Fn(Dot) -> Dot, next: &dyn Fn(Dot) -> u64) -> Op {
    let Ok(row) = op.resolve() else { return op.clone() };
    let names = Names { own, name, next };
    let mut options = op.options.clone();
    for (name, value) in &mut options {
        let Some(option) = row.options.iter().find(|option| option.name == name) else { continue };
        if let Some(translated) = names.translate(option.shape, value) {
            *value = translated;
        }
    }
    Op { options, ..op.clone() }
}

struct Names<'a> {
    own: Dot,
    name: &'a dyn Fn(Dot) -> Dot,
    next: &'a dyn Fn(Dot) -> u64,
}

impl Names<'_> {
    /// A value of that shape; nothing where such values name no messages.
    fn translate(&self, shape: Shape, value: &Value) -> Option<Value> {
        match shape {
            Shape::Message => {
                let dot = value.as_text()?.parse().ok()?;
                Some((self.name)(dot).to_string().into())
            }
            Shape::Character | Shape::CharacterOrEnd => {
                let id = with_raw(value, |raw| CharId::read(raw, self.own))?;
                Some(CharId { dot: (self.name)(id.dot), ..id }.write(self.own))
            }
            Shape::Spans => {
                // More of them mean nothing.
                let spans = value.as_list().filter(|spans| spans.len() <= SPANS_MAX)?.iter();
                let spans = spans.map(|span| match with_raw(span, |raw| Span::read(raw, self.own)) {
                    Some(read) => self.split(read).into_iter().map(|span| span.write(self.own)).collect(),
                    None => vec![span.clone()],
                });
                // Who has forked often enough could make many of few: past the limit the characters stay as they are.
                Some(Value::List(spans.flatten().take(SPANS_MAX).collect()))
            }
            Shape::Place => {
                let components = value.as_list()?.iter();
                Some(Value::List(
                    components
                        .map(|component| self.component(component).unwrap_or_else(|| component.clone()))
                        .collect(),
                ))
            }
            Shape::Nothing
            | Shape::Any
            | Shape::Element
            | Shape::Bool
            | Shape::Number
            | Shape::Text
            | Shape::Numbers(_)
            | Shape::Amount
            | Shape::Color
            | Shape::List
            | Shape::Map
            | Shape::Entry
            | Shape::Properties
            | Shape::Word(_)
            | Shape::Peer
            | Shape::Name => None,
        }
    }

    /// A component of a [`Place`](crate::place::Place), which names the op that minted it: places beside that one's must stay there.
    fn component(&self, component: &Value) -> Option<Value> {
        let [fraction, lamport, actor, Value::Number(seq), index] = component.as_list()? else { return None };
        let seq = seq.as_integer()?.try_into().ok()?;
        let Dot { actor, seq } = (self.name)(Dot { actor: actor.as_text()?.parse().ok()?, seq });
        let seq = seq.to_string().parse().ok().and_then(Value::number)?;
        Some(Value::List(vec![
            fraction.clone(),
            lamport.clone(),
            actor.to_string().into(),
            seq,
            index.clone(),
        ]))
    }

    /// A span of characters as spans of which each is of one name.
    fn split(&self, span: Span) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut first = span.first;
        loop {
            let end = (self.next)(first.dot);
            let is_last = span.last.dot.seq < end;
            let whole = CharId { dot: Dot { seq: end - 1, ..first.dot }, index: u32::MAX, offset: u32::MAX };
            let last = if is_last { span.last } else { whole };
            let actor = (self.name)(first.dot).actor;
            let [first_here, last_here] =
                [first, last].map(|id| CharId { dot: Dot { actor, ..id.dot }, ..id });
            match spans.last_mut() {
                Some(span) if span.last.dot.actor == actor => span.last = last_here,
                Some(_) | None => spans.push(Span { first: first_here, last: last_here }),
            }
            if is_last {
                return spans;
            }
            first = CharId { dot: Dot { seq: end, ..first.dot }, index: 0, offset: 0 };
        }
    }
}

fn with_raw<T>(value: &Value, look: impl FnOnce(Raw<'_>) -> T) -> T {
    let mut writer = Writer::new();
    writer.value(value);
    look(Raw::of_checked(&writer.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Actor;
    use crate::op::OpCode;

    #[test]
    fn of_spans_that_are_split_there_are_as_many_as_an_op_may_have() {
        let own = Dot { actor: Actor::from_name("a"), seq: 40 };
        let branch = |seq: u64| Actor::from_name(&format!("branch-{}", seq / 2));
        let name = |dot: Dot| Dot { actor: branch(dot.seq), ..dot };
        let next = |dot: Dot| dot.seq / 2 * 2 + 2;
        let id = |seq: u64| CharId { dot: Dot { seq, ..own }, index: 0, offset: 0 };
        let span = Span { first: id(1), last: id(20) };
        let split = |count: usize| {
            let code = OpCode::named("text.delete").unwrap();
            let spans = Value::List(vec![span.write(own); count]);
            let options = [("spans".to_owned(), spans)].into();
            let op = Op { code, key: "n".into(), path: Some("t".into()), value: Value::Null, options };
            let translated = translate(&op, own, &name, &next);
            translated.options["spans"].as_list().unwrap().to_vec()
        };
        let one = split(1);
        assert_eq!(one.len(), 11);
        let ends = |value: &Value| with_raw(value, |raw| Span::read(raw, own)).unwrap();
        assert_eq!(
            (ends(&one[0]).first, ends(&one[10]).last),
            (
                CharId { dot: name(span.first.dot), ..span.first },
                CharId { dot: name(span.last.dot), ..span.last },
            )
        );
        assert_eq!(split(SPANS_MAX).len(), SPANS_MAX);
        assert_eq!(split(SPANS_MAX + 1), vec![span.write(own); SPANS_MAX + 1], "it has no effect, as before");
    }
}
