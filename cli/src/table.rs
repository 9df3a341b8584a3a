//! The operation table as the command line sees it: the one place where `rtc edit` and `rtc ops` meet core's rows.

use rtc_core::value::Value;

/// How the words of an argument are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// One number.
    Number,
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
    /// A node operation's: assignments.
    Node,
    /// A meta operation's: assignments.
    Meta,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    name: &'static str,
    argument: Argument,
    options: &'static [&'static str],
}

const ROWS: &[Row] = &[
    row("number.set", Argument::Number, &[]),
    row("number.add", Argument::Number, &[]),
    row("string.set", Argument::Text, &[]),
    row("string.concat", Argument::Text, &["separator"]),
    row("boolean.set", Argument::Truth, &[]),
    row("vector3.set", Argument::Numbers(3), &[]),
    row("vector3.add", Argument::Numbers(3), &[]),
    row("vector3.applyEuler", Argument::Numbers(3), &["order", "intrinsic"]),
    row("quaternion.set", Argument::Numbers(4), &[]),
    row("color.set", Argument::Text, &[]),
    row("array.set", Argument::List, &[]),
    row("array.push", Argument::Any, &[]),
    row("array.remove", Argument::Any, &["all"]),
    row("object.merge", Argument::Map, &[]),
    row("node.insert", Argument::Node, &["tag", "name", "parent", "before", "after", "index", "ifAbsent"]),
    row("node.remove", Argument::Node, &[]),
    row("node.move", Argument::Node, &["parent", "before", "after", "index"]),
    row("meta.undo", Argument::Meta, &["target"]),
    row("meta.redo", Argument::Meta, &["target"]),
];

const fn row(name: &'static str, argument: Argument, options: &'static [&'static str]) -> Row {
    Row { name, argument, options }
}

/// The operation of that name.
pub fn find(name: &str) -> Option<Row> {
    ROWS.iter().copied().find(|row| row.name == name)
}

/// The name most like `name`.
pub fn nearest(name: &str) -> &'static str {
    let nearest = ROWS.iter().min_by_key(|row| distance(row.name, name));
    nearest.map_or("number.set", |row| row.name)
}

impl Row {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How its argument is read.
    pub fn argument(&self) -> Argument {
        self.argument
    }

    /// Whether it has a named argument of that name.
    pub fn takes_option(&self, name: &str) -> bool {
        self.options.contains(&name)
    }

    /// Whether that named argument is a text as it stands.
    pub fn option_is_text(&self, name: &str) -> bool {
        matches!(name, "separator" | "order")
    }

    /// Whether other names are properties.
    pub fn takes_properties(&self) -> bool {
        self.name == "node.insert"
    }

    /// Whether it takes that argument.
    pub fn accepts(&self, value: &Value) -> bool {
        match self.argument {
            Argument::Numbers(3) => value.as_numbers::<3>().is_some(),
            Argument::Numbers(4) => value.as_numbers::<4>().is_some(),
            _ => true,
        }
    }

    /// What it takes, for people.
    pub fn argument_text(&self) -> String {
        match self.argument {
            Argument::Number => "a number".to_owned(),
            Argument::Truth => "true or false".to_owned(),
            Argument::Text => "one text".to_owned(),
            Argument::Numbers(len) => format!("{len} numbers"),
            Argument::List => "a list".to_owned(),
            Argument::Any => "one value".to_owned(),
            Argument::Map => "a map".to_owned(),
            Argument::Node | Argument::Meta => "key=value words".to_owned(),
        }
    }
}

/// Levenshtein's distance: how many letters to change, add or take away.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.chars().enumerate() {
        let mut now = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let change = before[column] + usize::from(letter != *other);
            now.push(change.min(before[column + 1] + 1).min(now[column] + 1));
        }
        before = now;
    }
    before[right.len()]
}
