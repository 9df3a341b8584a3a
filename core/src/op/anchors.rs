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
