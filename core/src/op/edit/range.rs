//! Where a client wants to write: positions and indexes as clients give them.

use super::EditFault;
use crate::op::row::{Kind, Row};
use crate::op::text::{Content, Writing};
use crate::op::{Op, Shape};
use crate::value::Value;

/// Where a client wants to write. Positions count what shows, and what lies beyond the end is the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Range {
    pub(super) position: Option<usize>,
    pub(super) length: Option<usize>,
    pub(super) to: Option<usize>,
}

impl Range {
    /// Takes the position and the length out of the value or the options, so that the value is what is inserted.
    pub(crate) fn take(row: &'static Row, op: &mut Op) -> Result<Self, EditFault> {
        let Kind::Write(content, writing) = row.kind else {
            if row.name == "text.init" && op.value == Value::Null {
                op.value = "".into();
            }
            return Ok(Self::default());
        };
        if let Some(option) = row.options.iter().find(|option| op.options.contains_key(option.name)) {
            // Identities are not for clients to make.
            return Err(EditFault::UnknownOption { row, name: option.name.to_owned() });
        }
        if let (Writing::Delete, Value::Number(_)) = (writing, &op.value) {
            op.options.entry("length".to_owned()).or_insert(std::mem::take(&mut op.value));
        }
        match content {
            Content::Text => take_map(writing, op),
            Content::List => take_values(writing, op),
        }
        let names: &[&'static str] = match content {
            Content::Text => &["position"],
            Content::List if writing == Writing::Move => &["index", "from", "position"],
            Content::List => &["index", "position"],
        };
        let mut range = Self::default();
        for name in names {
            range.position = range.position.or(whole(name, op.options.remove(*name))?);
        }
        if writing.deletes() {
            range.length = whole("length", op.options.remove("length"))?;
        }
        if writing == Writing::Move {
            range.to = whole("to", op.options.remove("to"))?;
        }
        Ok(range)
    }
}

/// What is written into a text also comes as `{position, length, value}`.
fn take_map(writing: Writing, op: &mut Op) {
    let Value::Map(map) = &mut op.value else { return };
    for name in ["position", "length"] {
        if let Some(value) = map.remove(name) {
            op.options.entry(name.to_owned()).or_insert(value);
        }
    }
    let value = map.remove("value");
    if map.is_empty() {
        op.value = match value {
            None if writing.inserts() => "".into(),
            value => value.unwrap_or_default(),
        };
    }
}

/// One element that is no list stands for the list of it; `values` are always the elements.
fn take_values(writing: Writing, op: &mut Op) {
    if !writing.inserts() {
        return;
    }
    op.value = match (op.options.remove("values"), std::mem::take(&mut op.value)) {
        (Some(values), _) => values,
        (None, Value::List(values)) => Value::List(values),
        (None, value) => Value::List(vec![value]),
    };
}

/// A whole number; one below 0 is 0.
fn whole(name: &'static str, value: Option<Value>) -> Result<Option<usize>, EditFault> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) if number.as_integer().is_some() => {
            Ok(Some(number.as_integer().and_then(|number| usize::try_from(number).ok()).unwrap_or(0)))
        }
        Some(_) => Err(EditFault::BadOption { name, expected: Shape::Number }),
    }
}
