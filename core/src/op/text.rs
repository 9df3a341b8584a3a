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
//! that of what they stand after. Of two at one spot the later in order comes first. Beside a character that a horizon has
//! dropped stands nothing: such text goes to the end.

pub(crate) use super::anchors::encode_options;
pub use super::anchors::{Anchors, Side};
use super::row::{Kind, OptionRow, Row, as_given};
use super::{OpCode, Shape};
use crate::canonical::{Reader, Writer};
use crate::id::{Actor, Dot};
use crate::limits::SPANS_MAX;
use crate::raw::Raw;
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
        decoded(|writer| self.encode(own, writer))
    }

    /// Writes it as the message `own` does.
    pub(crate) fn encode(&self, own: Dot, writer: &mut Writer) {
        let is_own = self.is_own(own);
        writer.array(if is_own { 3 } else { 4 });
        if !is_own {
            writer.text(&self.dot.actor.to_string());
        }
        self.encode_place(is_own, own, writer);
    }

    /// Whether it is named by how many messages ago it came.
    fn is_own(&self, own: Dot) -> bool {
        self.dot.actor == own.actor && self.dot.seq <= own.seq
    }

    fn encode_place(&self, is_own: bool, own: Dot, writer: &mut Writer) {
        let seq = if is_own { own.seq - self.dot.seq } else { self.dot.seq };
        writer.uint(seq).uint(self.index.into()).uint(self.offset.into());
    }

    /// Reads what the message `own` writes.
    pub fn read(value: Raw<'_>, own: Dot) -> Option<Self> {
        Self::pull(&mut Reader::new(value.memory()), own)
    }

    /// Reads it where a reader stands.
    pub(super) fn pull(reader: &mut Reader<'_>, own: Dot) -> Option<Self> {
        let items = reader.array(4, "a character").ok()?;
        Self::pull_items(items, reader, own)
    }

    /// Reads it behind the beginning of a list of so many items.
    pub(super) fn pull_items(items: usize, reader: &mut Reader<'_>, own: Dot) -> Option<Self> {
        match items {
            3 => Self::pull_parts(reader, true, own),
            4 => Self::pull_parts(reader, false, own),
            _ => None,
        }
    }

    /// Reads what begins a list; `is_own` says that it is named by how many messages ago it came.
    fn pull_parts(reader: &mut Reader<'_>, is_own: bool, own: Dot) -> Option<Self> {
        let dot = match is_own {
            true => Dot { actor: own.actor, seq: own.seq.checked_sub(whole(reader)?)? },
            false => {
                let actor = reader.str(usize::MAX, "an actor").ok()?.parse().ok()?;
                Dot { actor, seq: whole(reader)? }
            }
        };
        let (index, offset) = (small(reader)?, small(reader)?);
        (dot.seq > 0).then_some(Self { dot, index, offset })
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
        decoded(|writer| self.encode(own, writer))
    }

    /// Writes it as the message `own` does.
    pub(crate) fn encode(&self, own: Dot, writer: &mut Writer) {
        let Self { first, last } = self;
        debug_assert!(first <= last && first.dot.actor == last.dot.actor);
        // Of one actor both are, or both are not: the last is no later than the message.
        let is_own = last.is_own(own);
        let is_of_one_op = (first.dot, first.index) == (last.dot, last.index);
        writer.array(if is_own { 3 } else { 4 } + if is_of_one_op { 1 } else { 3 });
        if !is_own {
            writer.text(&first.dot.actor.to_string());
        }
        first.encode_place(is_own, own, writer);
        match is_of_one_op {
            true => drop(writer.uint(u64::from(last.offset - first.offset) + 1)),
            false => last.encode_place(is_own, own, writer),
        }
    }

    /// Reads what the message `own` writes.
    pub fn read(value: Raw<'_>, own: Dot) -> Option<Self> {
        Self::pull(&mut Reader::new(value.memory()), own)
    }

    /// Reads it where a reader stands.
    fn pull(reader: &mut Reader<'_>, own: Dot) -> Option<Self> {
        let (is_own, is_of_one_op) = match reader.array(7, "a span").ok()? {
            4 => (true, true),
            5 => (false, true),
            6 => (true, false),
            7 => (false, false),
            _ => return None,
        };
        let first = CharId::pull_parts(reader, is_own, own)?;
        let last = if is_of_one_op {
            let more = small(reader)?.checked_sub(1)?;
            CharId { offset: first.offset.checked_add(more)?, ..first }
        } else {
            let seq = whole(reader)?;
            let seq = if is_own { own.seq.checked_sub(seq)? } else { seq };
            CharId { dot: Dot { seq, ..first.dot }, index: small(reader)?, offset: small(reader)? }
        };
        (first <= last).then_some(Self { first, last })
    }

    /// Reads a list of them where a reader stands, and gives nothing; fails where it is no such list.
    pub(super) fn pass_list(reader: &mut Reader<'_>, own: Dot) -> Option<()> {
        let len = reader.array(SPANS_MAX, "spans").ok()?;
        (0..len).try_for_each(|_| Self::pull(reader, own).map(drop))
    }
}

/// The spans that the message `own` writes; the row has checked them.
pub fn spans(value: Option<Raw<'_>>, own: Dot) -> impl Iterator<Item = Span> {
    let mut reader = Reader::new(value.map_or(&[], Raw::memory));
    let len = reader.array(SPANS_MAX, "spans").unwrap_or(0);
    (0..len).filter_map(move |_| {
        let start = Raw::of_checked(reader.rest());
        let span = Span::pull(&mut reader, own);
        if span.is_none() {
            // The row knows nothing of what came before: one may name a message that cannot be.
            reader = Reader::new(start.rest().memory());
        }
        span
    })
}

/// Whether `value` is written as a character, whichever message writes it.
pub(super) fn is_character(value: Raw<'_>) -> bool {
    CharId::read(value, ANY).is_some()
}

/// Whether `value` is written as a list of spans, whichever message writes it.
pub(super) fn is_spans(value: Raw<'_>) -> bool {
    Span::pass_list(&mut Reader::new(value.memory()), ANY).is_some()
}

/// A message with as many before it as there can be.
const ANY: Dot = Dot { actor: Actor([0; 40]), seq: crate::limits::LAMPORT_MAX };

fn whole(reader: &mut Reader<'_>) -> Option<u64> {
    let number = reader.uint().ok()?;
    // As of every number that is a value.
    reader.expect_canonical(number < 1 << 53);
    Some(number)
}

fn small(reader: &mut Reader<'_>) -> Option<u32> {
    whole(reader)?.try_into().ok()
}

/// What is written, as a value.
fn decoded(write: impl FnOnce(&mut Writer)) -> Value {
    let mut writer = Writer::new();
    write(&mut writer);
    Raw::of_checked(&writer.finish()).decode()
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
        fn read<T>(value: &Value, read: impl FnOnce(Raw<'_>) -> T) -> T {
            let mut writer = Writer::new();
            writer.value(value);
            read(Raw::of_checked(&writer.finish()))
        }
        let ids = [id("me", 9, 0, 4), id("me", 3, 2, 1), id("you", 12, 0, 0)];
        for id in ids {
            assert_eq!(read(&id.write(own), |id| CharId::read(id, own)), Some(id));
            assert!(read(&id.write(own), is_character));
        }
        assert_eq!(serde_json::to_string(&ids[1].write(own)).unwrap(), "[6,2,1]");
        for (first, last) in
            [(ids[1], ids[0]), (ids[1], ids[1]), (ids[2], id("you", 12, 0, 7)), (ids[2], id("you", 13, 0, 0))]
        {
            let span = Span { first, last };
            assert_eq!(read(&span.write(own), |span| Span::read(span, own)), Some(span));
            assert!(read(&Value::List(vec![span.write(own)]), is_spans));
        }
        for json in
            ["[]", "[0,0]", "[0,0,0,0]", "[9,0,0,1]", "[0,0,0,1,0,0]", "[0,0,4294967295,2]", "[-1,0,0,1]"]
        {
            let value = serde_json::from_str(json).unwrap();
            assert_eq!(read(&value, |span| Span::read(span, own)), None, "{json}");
        }
    }
}
