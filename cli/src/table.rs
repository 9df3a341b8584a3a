//! How the words of `rtc edit` are read, by the shapes of core's operation table.

use rtc_core::op::text::{Content, Writing};
use rtc_core::op::{Kind, Row, Shape};

/// How the words of an argument are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// One number.
    Number,
    /// One number, or none.
    Amount,
    /// `true` or `false`.
    Truth,
    /// One text, as it stands.
    Text,
    /// That many numbers, or a list of them.
    Numbers(usize),
    /// A list, or its elements.
    List,
    /// JSON where it parses, text where not.
    Any,
    /// A map, or its entries.
    Map,
    /// A key and a value, or both as one map.
    Entry,
    /// No value, but `key=value` words.
    Assignments,
}

/// How clients say where among its siblings a node goes; the daemon makes a place of it.
pub const POSITIONS: [(&str, &str); 3] = [
    ("before", "The key of the sibling to stand before."),
    ("after", "The key of the sibling to stand after."),
    ("index", "The position among the siblings, from 0."),
];

const POSITION: (&str, &str) = (
    "position",
    "How many characters stand before; for an insertion the end unless given, otherwise the start.",
);
const LENGTH: (&str, &str) =
    ("length", "How many characters go; one for a deletion, the rest for a replacement unless given.");

/// How clients say where in a text or a list they write, in numbers; the daemon makes identities of it.
pub fn written_positions(row: &Row) -> &'static [(&'static str, &'static str)] {
    let Kind::Write(content, writing) = row.kind else { return &[] };
    match (content, writing) {
        (Content::Text, Writing::Delete | Writing::Replace) => &[POSITION, LENGTH],
        (Content::Text, _) => &[POSITION],
        (Content::List, Writing::Insert) => {
            &[("index", "Where the first of them is to stand, from 0; at the end unless given.")]
        }
        (Content::List, Writing::Delete | Writing::Replace) => &[
            ("index", "The first element that goes, from 0; the first of all unless given."),
            ("length", "How many elements go; one unless given."),
        ],
        (Content::List, Writing::Move) => &[
            ("index", "The element that moves, from 0; the first unless given. Also called `from`."),
            ("to", "The index that it is to have, from 0; the last unless given."),
        ],
        (Content::List, Writing::Set) => &[("index", "The element, from 0; the first unless given.")],
    }
}

/// Whether the daemon makes the option, of what clients give instead.
pub fn is_made(shape: Shape) -> bool {
    matches!(shape, Shape::Place | Shape::Character | Shape::CharacterOrEnd | Shape::Spans)
}

/// How a value of `shape` is read.
pub fn argument(shape: Shape) -> Argument {
    match shape {
        Shape::Nothing | Shape::Properties => Argument::Assignments,
        Shape::Any
        | Shape::Element
        | Shape::Place
        | Shape::Character
        | Shape::CharacterOrEnd
        | Shape::Spans => Argument::Any,
        Shape::Bool => Argument::Truth,
        Shape::Number => Argument::Number,
        Shape::Amount => Argument::Amount,
        Shape::Text | Shape::Color | Shape::Word(_) | Shape::Message | Shape::Peer | Shape::Name => {
            Argument::Text
        }
        Shape::Numbers(len) => Argument::Numbers(len),
        Shape::List => Argument::List,
        Shape::Map => Argument::Map,
        Shape::Entry => Argument::Entry,
    }
}

/// How the named argument `name` of `row` is read; none where the row has no such one.
pub fn option(row: &Row, name: &str) -> Option<Argument> {
    let positions = row.option("place").is_some();
    match name {
        "before" | "after" if positions => Some(Argument::Text),
        "index" if positions => Some(Argument::Number),
        "from" if written_positions(row).iter().any(|(name, _)| *name == "to") => Some(Argument::Number),
        _ if written_positions(row).iter().any(|(known, _)| *known == name) => Some(Argument::Number),
        // A client's position becomes one of those that are made.
        _ => row.option(name).filter(|option| !is_made(option.shape)).map(|option| argument(option.shape)),
    }
}

/// Whether words that are no named argument of `row` name properties.
pub fn takes_properties(row: &Row) -> bool {
    row.argument == Shape::Properties
}

/// Whether `row` speaks of a node or a property of one.
pub fn has_node(row: &Row) -> bool {
    !row.kind.is_meta()
}
