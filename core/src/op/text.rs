//! Text that several people type into at once: a sequence of characters with identities (DESIGN §3, law 9).
//!
//! Clients speak of positions; what travels names characters. A character is named by the message and the op that brought
//! it and by its offset in what that op brought, written `[back, index, offset]` where the message is `back` messages of the
//! same actor ago (0: this one), or `[actor, seq, index, offset]`. Counted are Unicode scalar values.
//!
//! Whatever text the property holds can be written into: that of a reset (`string.set`, an initial property) comes in at the
//! start, what `string.concat` appends at the end. Where the property holds something else when the step's turn comes, or text
//! that another step made as a whole, the step has no effect (laws 4 and 10).
//!
//! Where inserted text goes is a place in a tree (Weidner & Kleppmann 2023, "The Art of the Fugue", FugueMax): on the left
//! of the character it stands `before`, or on the right of the one it stands `after`, or on the right of the start. Texts
//! on the right of one character sort by the character `until` which their author saw nothing more: unless it is given,
//! that of what they stand after. Of two at one spot the later in order comes first.

use super::row::{Kind, OptionRow, Options, Row, as_given};
use super::{OpCode, Shape};
use crate::id::{Actor, Dot};
use crate::limits::SPANS_MAX;
use crate::value::Value;

pub(super) const BEFORE: OptionRow =
    OptionRow { name: "before", shape: Shape::Character, doc: "The character on whose left it goes." };
pub(super) const AFTER: OptionRow =
    OptionRow { name: "after", shape: Shape::Character, doc: "The character on whose right it goes." };
pub(super) const UNTIL: OptionRow = OptionRow {
    name: "until",
    shape: Shape::CharacterOrEnd,
    doc: "The character that followed where it went; null for the end.",
};
pub(super) const SPANS: OptionRow =
    OptionRow { name: "spans", shape: Shape::Spans, doc: "The characters that go." };

/// The code of the deletion.
pub(crate) const DELETE: OpCode = OpCode(0x0a03);

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0a01),
        name: "text.init",
        argument: Shape::Text,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the text; what others type into it meanwhile is kept.",
        example: "note text.init body 'Dear all'",
    },
    Row {
        code: OpCode(0x0a02),
        name: "text.insert",
        argument: Shape::Text,
        options: &[AFTER, BEFORE, UNTIL],
        kind: Kind::Write(Content::Text, Writing::Insert),
        doc: "Inserts text at a position, or at the end; works on whatever text the property holds.",
        example: "note text.insert body ', friends' position=8",
    },
    Row {
        code: DELETE,
        name: "text.delete",
        argument: Shape::Nothing,
        options: &[SPANS],
        kind: Kind::Write(Content::Text, Writing::Delete),
        doc: "Deletes characters; what is typed between them meanwhile stays.",
        example: "note text.delete body position=0 length=5",
    },
    Row {
        code: OpCode(0x0a04),
        name: "text.replace",
        argument: Shape::Text,
        options: &[AFTER, BEFORE, UNTIL, SPANS],
        kind: Kind::Write(Content::Text, Writing::Replace),
        doc: "Deletes characters and inserts text in their place, as one step.",
        example: "note text.replace body Hello position=0 length=4",
    },
];

/// What a sequence holds: each has identities of its own, even in one property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Characters.
    Text,
    /// Values, the elements of a list; each counts as one character.
    List,
}

impl Content {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Text, Self::List];

    /// The shape of what a property with such a sequence shows.
    pub fn shape(self) -> Shape {
        match self {
            Self::Text => Shape::Text,
            Self::List => Shape::List,
        }
    }

    /// Whether such a sequence may show as this value.
    pub(crate) fn fits(self, value: &Value) -> bool {
        self.shape().check(value).is_ok()
    }

    /// How many characters a value is made of; none where it is something else.
    pub(crate) fn len(self, value: &Value) -> Option<u32> {
        let len = match self {
            Self::Text => value.as_text()?.chars().count(),
            Self::List => value.as_list()?.len(),
        };
        Some(u32::try_from(len).expect("a message has less than 2^32 bytes"))
    }
}

/// What a step does to a sequence of characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writing {
    /// Brings characters.
    Insert,
    /// Takes characters away.
    Delete,
    /// Both.
    Replace,
    /// Brings another position of one element, which shows there.
    Move,
    /// Gives one element another value.
    Set,
}

impl Writing {
    /// Whether it brings characters.
    pub fn inserts(self) -> bool {
        match self {
            Self::Insert | Self::Replace => true,
            Self::Delete | Self::Move | Self::Set => false,
        }
    }

    /// Whether it takes characters away.
    pub fn deletes(self) -> bool {
        match self {
            Self::Delete | Self::Replace => true,
            Self::Insert | Self::Move | Self::Set => false,
        }
    }

    /// Whether it is about one element, its `item`.
    pub fn names_item(self) -> bool {
        match self {
            Self::Move | Self::Set => true,
            Self::Insert | Self::Delete | Self::Replace => false,
        }
    }
}

/// The identity of a character within its sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CharId {
    /// The message that brought it.
    pub dot: Dot,
    /// The op in that message.
    pub index: u32,
    /// Which of the characters that the op brought.
    pub offset: u32,
}

impl CharId {
    /// As the message `own` writes it.
    pub fn write(&self, own: Dot) -> Value {
        Value::List(self.parts(own))
    }

    fn parts(&self, own: Dot) -> Vec<Value> {
        let mut parts = if self.dot.actor == own.actor && self.dot.seq <= own.seq {
            vec![integer(own.seq - self.dot.seq)]
        } else {
            vec![self.dot.actor.to_string().into(), integer(self.dot.seq)]
        };
        parts.extend([integer(self.index.into()), integer(self.offset.into())]);
        parts
    }

    /// Reads what the message `own` writes.
    pub fn read(value: &Value, own: Dot) -> Option<Self> {
        let (id, rest) = Self::read_parts(value.as_list()?, own)?;
        rest.is_empty().then_some(id)
    }

    fn read_parts(parts: &[Value], own: Dot) -> Option<(Self, &[Value])> {
        let (dot, parts) = match parts {
            [Value::Text(actor), seq, rest @ ..] => {
                (Dot { actor: actor.parse().ok()?, seq: whole(seq).filter(|&seq| seq > 0)? }, rest)
            }
            [back, rest @ ..] => {
                let seq = own.seq.checked_sub(whole(back)?).filter(|&seq| seq > 0)?;
                (Dot { actor: own.actor, seq }, rest)
            }
            [] => return None,
        };
        let [index, offset, rest @ ..] = parts else { return None };
        Some((Self { dot, index: small(index)?, offset: small(offset)? }, rest))
    }
}

/// Consecutive characters of one actor: in the order of their messages, ops and offsets, the ends included.
///
/// Written as the first and a count, where one op brought all of them; otherwise as the first and `seq` (or `back`), `index`
/// and `offset` of the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first.
    pub first: CharId,
    /// The last; of the same actor, and not before the first.
    pub last: CharId,
}

impl Span {
    /// As the message `own` writes it.
    pub fn write(&self, own: Dot) -> Value {
        debug_assert!(self.first <= self.last && self.first.dot.actor == self.last.dot.actor);
        let mut parts = self.first.parts(own);
        if (self.first.dot, self.first.index) == (self.last.dot, self.last.index) {
            parts.push(integer(u64::from(self.last.offset - self.first.offset) + 1));
        } else {
            let last = self.last.parts(own);
            // The actor is the same one.
            parts.extend(last.into_iter().filter(|part| part.as_text().is_none()));
        }
        Value::List(parts)
    }

    /// Reads what the message `own` writes.
    pub fn read(value: &Value, own: Dot) -> Option<Self> {
        let list = value.as_list()?;
        let (first, rest) = CharId::read_parts(list, own)?;
        let last = match rest {
            [count] => {
                let more = small(count)?.checked_sub(1)?;
                CharId { offset: first.offset.checked_add(more)?, ..first }
            }
            [seq, index, offset] => {
                let seq = match list.first() {
                    Some(Value::Text(_)) => whole(seq)?,
                    _ => own.seq.checked_sub(whole(seq)?)?,
                };
                let dot = Dot { seq, ..first.dot };
                CharId { dot, index: small(index)?, offset: small(offset)? }
            }
            _ => return None,
        };
        (first <= last).then_some(Self { first, last })
    }
}

/// Where an op's characters go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchors {
    /// On which side of what.
    pub side: Side,
    /// What followed, for what stands on the right; as what it stands beside has it where absent, the end where that is absent.
    pub until: Option<Option<CharId>>,
}

/// On which side of which character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// On the left of that one.
    Before(CharId),
    /// On the right of that one; of the start where absent.
    After(Option<CharId>),
}

impl Anchors {
    /// Reads the options of an op of the message `own` whose row has checked them, given by name.
    pub fn read(option: impl Fn(&str) -> Option<Value>, own: Dot) -> Self {
        let id = |name: &str| CharId::read(&option(name)?, own);
        let side = match id("before") {
            Some(before) => Side::Before(before),
            None => Side::After(id("after")),
        };
        Self { side, until: option("until").map(|until| CharId::read(&until, own)) }
    }

    /// Writes the options.
    pub fn write(&self, options: &mut Options, own: Dot) {
        match self.side {
            Side::Before(id) => options.insert("before".to_owned(), id.write(own)),
            Side::After(Some(id)) => options.insert("after".to_owned(), id.write(own)),
            Side::After(None) => None,
        };
        if let Some(until) = self.until {
            let until = until.map_or(Value::Null, |until| until.write(own));
            options.insert("until".to_owned(), until);
        }
    }
}

/// The spans that the message `own` writes; the row has checked them.
pub fn spans(value: Option<&Value>, own: Dot) -> impl Iterator<Item = Span> + '_ {
    let list = value.and_then(Value::as_list).unwrap_or_default();
    list.iter().filter_map(move |span| Span::read(span, own))
}

/// Whether `value` is written as a character, whichever message writes it.
pub(super) fn is_character(value: &Value) -> bool {
    CharId::read(value, ANY).is_some()
}

/// Whether `value` is written as a list of spans, whichever message writes it.
pub(super) fn is_spans(value: &Value) -> bool {
    value.as_list().is_some_and(|list| {
        list.len() <= SPANS_MAX && list.iter().all(|span| Span::read(span, ANY).is_some())
    })
}

/// A message with as many before it as there can be.
const ANY: Dot = Dot { actor: Actor([0; 40]), seq: crate::limits::LAMPORT_MAX };

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_integer()?.try_into().ok(),
        _ => None,
    }
}

fn small(value: &Value) -> Option<u32> {
    whole(value)?.try_into().ok()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of messages stay under 2^53, as lamports do")]
fn integer(number: u64) -> Value {
    Value::number(number as f64).expect("an integer is finite")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(actor: &str, seq: u64, index: u32, offset: u32) -> CharId {
        CharId { dot: Dot { actor: Actor::from_name(actor), seq }, index, offset }
    }

    #[test]
    fn characters_and_spans_read_as_they_are_written() {
        let own = Dot { actor: Actor::from_name("me"), seq: 9 };
        let ids = [id("me", 9, 0, 4), id("me", 3, 2, 1), id("you", 12, 0, 0)];
        for id in ids {
            assert_eq!(CharId::read(&id.write(own), own), Some(id));
            assert!(is_character(&id.write(own)));
        }
        assert_eq!(serde_json::to_string(&ids[1].write(own)).unwrap(), "[6,2,1]");
        for (first, last) in
            [(ids[1], ids[0]), (ids[1], ids[1]), (ids[2], id("you", 12, 0, 7)), (ids[2], id("you", 13, 0, 0))]
        {
            let span = Span { first, last };
            assert_eq!(Span::read(&span.write(own), own), Some(span));
            assert!(is_spans(&Value::List(vec![span.write(own)])));
        }
        for json in
            ["[]", "[0,0]", "[0,0,0,0]", "[9,0,0,1]", "[0,0,0,1,0,0]", "[0,0,4294967295,2]", "[-1,0,0,1]"]
        {
            assert_eq!(Span::read(&serde_json::from_str(json).unwrap(), own), None, "{json}");
        }
    }
}
