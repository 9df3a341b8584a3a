//! Text as one value; for text that several people type into at once see the sequence family.

use super::row::{Kind, OptionRow, Options, Row, argument, as_given, current_or};
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0201),
        name: "string.set",
        argument: Shape::Text,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the text.",
        example: "cube-1 string.set label crate",
    },
    Row {
        code: OpCode(0x0202),
        name: "string.concat",
        argument: Shape::Text,
        options: &[OptionRow {
            name: "separator",
            shape: Shape::Text,
            doc: "Goes between what is there and what is appended, where there is something.",
        }],
        kind: Kind::Append(concat),
        doc: "Appends to the text.",
        example: "cube-1 string.concat label ' (left)'",
    },
];

fn concat(current: Option<&Value>, value: &Value, options: &Options) -> Result<Value, NoEffect> {
    let appended = argument(value, Shape::Text, |value| value.as_text().map(str::to_owned))?;
    let current =
        current_or(current, String::new(), Shape::Text, |value| value.as_text().map(str::to_owned))?;
    if current.is_empty() {
        return Ok(appended.into());
    }
    let separator = options.get("separator").and_then(Value::as_text).unwrap_or("");
    Ok((current + separator + &appended).into())
}
