//! Where an op puts the characters or elements it brings, in the options of the op.

use super::row::{Options, Row};
use super::text::{CharId, Span};
use crate::canonical::{Head, Reader, Writer};
use crate::id::Dot;
use crate::raw::Raw;
use crate::value::Value;

/// The names of the options in canonical order: shorter ones first, then by bytes.
const NAMES: [&str; 4] = ["after", "spans", "until", "before"];

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
    pub fn read(options: Raw<'_>, own: Dot) -> Self {
        let mut anchors = Self { side: Side::After(None), until: None };
        for (name, value) in options.entries() {
            match (name, CharId::read(value, own)) {
                ("before", Some(id)) => anchors.side = Side::Before(id),
                // In the order of their names this one comes first.
                ("after", id) => anchors.side = Side::After(id),
                ("until", until) => anchors.until = Some(until),
                (_, _) => {}
            }
        }
        anchors
    }

    /// Reads the options of an op of that row and of the message `own` where a reader stands, if they are what the row wants
    /// and name nothing but places and spans; otherwise what was read means nothing.
    pub(super) fn pull(reader: &mut Reader<'_>, row: &Row, own: Dot) -> Option<Self> {
        let Ok(Head::Map(len)) = reader.pull() else { return None };
        let mut anchors = Self { side: Side::After(None), until: None };
        let mut last = None;
        for _ in 0..len {
            let name = reader.str(usize::MAX, "the name of an option").ok()?;
            let place = NAMES.iter().position(|known| *known == name)?;
            row.option(name).filter(|_| last < Some(place))?;
            last = Some(place);
            match place {
                0 => anchors.side = Side::After(Some(CharId::pull(reader, own)?)),
                1 => Span::pass_list(reader, own)?,
                2 => {
                    anchors.until = Some(match reader.array_or_null(4, "a character").ok()? {
                        None => None,
                        Some(items) => Some(CharId::pull_items(items, reader, own)?),
                    });
                }
                _ => anchors.side = Side::Before(CharId::pull(reader, own)?),
            }
        }
        Some(anchors)
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

/// Writes the anchors and the spans of an op of the message `own` as the map of its options. Says whether there are any.
pub(crate) fn encode_options(
    anchors: Option<Anchors>,
    spans: &[Span],
    own: Dot,
    writer: &mut Writer,
) -> bool {
    let (after, before) = match anchors.map(|anchors| anchors.side) {
        Some(Side::After(after)) => (after, None),
        Some(Side::Before(before)) => (None, Some(before)),
        None => (None, None),
    };
    let until = anchors.and_then(|anchors| anchors.until);
    let are_there = [after.is_some(), !spans.is_empty(), until.is_some(), before.is_some()];
    writer.map(are_there.into_iter().filter(|&is_there| is_there).count());
    // In canonical order: shorter names first, then by bytes.
    if let Some(after) = after {
        after.encode(own, writer.text("after"));
    }
    if !spans.is_empty() {
        writer.text("spans").array(spans.len());
        spans.iter().for_each(|span| span.encode(own, writer));
    }
    match until {
        Some(Some(until)) => until.encode(own, writer.text("until")),
        Some(None) => drop(writer.text("until").null()),
        None => {}
    }
    if let Some(before) = before {
        before.encode(own, writer.text("before"));
    }
    are_there.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Actor;
    use crate::op::{Op, OpCode, OpView};

    /// Reads the op as it would be read in a message, and compares with what its plain form says.
    fn check(otype: &str, value: Value, options: Options) -> bool {
        let own = Dot { actor: Actor::from_name("me"), seq: 9 };
        let (code, path) = (OpCode::named(otype).unwrap(), Some("body".to_owned()));
        let op = Op { code, key: "n".to_owned(), path, value, options };
        let mut writer = Writer::new();
        op.encode(&mut writer);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        let view = OpView::read(&mut reader, own).unwrap();
        assert!(reader.is_canonical() && reader.rest().is_empty(), "{op:?}");
        assert_eq!(view.to_op(), op);
        assert_eq!(view.resolve().map(|row| row.code), op.resolve().map(|row| row.code), "{op:?}");
        let read = Anchors::read(view.options, own);
        assert!(view.anchors().is_none_or(|anchors| *anchors == read), "{op:?}");
        view.anchors().is_some()
    }

    #[test]
    fn anchors_read_with_an_op_are_those_that_its_options_give() {
        let own = Dot { actor: Actor::from_name("me"), seq: 9 };
        let char = |name: &str, seq| {
            let dot = Dot { actor: Actor::from_name(name), seq };
            CharId { dot, index: 1, offset: 300 }
        };
        let ids = [char("me", 9), char("me", 2), char("you", 70_000)];
        let span = |id: CharId| Span { first: id, last: CharId { offset: id.offset + 5, ..id } }.write(own);
        let spans = Value::List(ids.map(span).into());
        let unreadable = Value::numbers(&[9.0, 0.0, 0.0]).unwrap();
        let chars = ids.map(|id| id.write(own)).into_iter();
        let values: Vec<Value> =
            chars.chain([spans, Value::List(Vec::new()), Value::Null, unreadable]).collect();
        let names = [&NAMES[..], &["item", "colour"]].concat();
        let (mut known, mut unknown) = (0, 0);
        for otype in ["text.insert", "text.delete", "text.replace", "list.insert", "list.move", "number.set"]
        {
            for value in [Value::Null, "a".into(), Value::List(vec![Value::Null])] {
                let pairs = || names.iter().flat_map(|name| values.iter().map(move |value| (name, value)));
                for ((one, first), (other, second)) in
                    pairs().flat_map(|one| pairs().map(move |other| (one, other)))
                {
                    let options = [(one, first), (other, second)];
                    let options = options.map(|(name, value)| ((*name).to_owned(), value.clone()));
                    let is_known = check(otype, value.clone(), options.into());
                    known += usize::from(is_known);
                    unknown += usize::from(!is_known);
                }
            }
        }
        assert!(known > 400 && unknown > 400, "{known} were read at once, {unknown} were not");
    }
}
