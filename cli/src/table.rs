//! How the words of `rtc edit` are read, by the shapes of core's operation table.

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

/// How clients say where in a text they write; the daemon makes identities of characters of it.
pub const TEXT_POSITIONS: [(&str, &str); 2] = [
    (
        "position",
        "How many characters stand before; for an insertion the end unless given, otherwise the start.",
    ),
    ("length", "How many characters go; one for a deletion, the rest for a replacement unless given."),
];

/// Whether the row takes one of [`TEXT_POSITIONS`].
pub fn takes_text_position(row: &Row, name: &str) -> bool {
    match row.kind {
        Kind::Text(writing) => name == "position" || (name == "length" && writing.deletes()),
        _ => false,
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
        Shape::Text | Shape::Color | Shape::Word(_) | Shape::Message => Argument::Text,
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
        _ if takes_text_position(row, name) => Some(Argument::Number),
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
