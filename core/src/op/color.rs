//! Colors `#rrggbb`, in lower case.

use super::row::{Kind, OptionRow, Options, Row, argument, current_or};
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0701),
        name: "color.set",
        argument: Shape::Color,
        options: &[],
        kind: Kind::Reset(|value| match value.as_text() {
            Some(text) => text.to_lowercase().into(),
            None => value.clone(),
        }),
        doc: "Sets the color.",
        example: "cube-1 color.set material.color '#ff8800'",
    },
    Row {
        code: OpCode(0x0702),
        name: "color.blend",
        argument: Shape::Color,
        options: &[OptionRow {
            name: "nearest",
            shape: Shape::Bool,
            doc: "Whether halves are rounded up instead of down.",
        }],
        kind: Kind::Step(blend),
        doc: "Takes the mean of both colors by channel, rounded down; an absent one becomes the argument.",
        example: "cube-1 color.blend material.color '#0000ff'",
    },
];

fn blend(current: Option<&Value>, value: &Value, options: &Options) -> Result<Value, NoEffect> {
    let other = argument(value, Shape::Color, channels)?;
    let current = current_or(current, other, Shape::Color, channels)?;
    let up = u16::from(options.get("nearest").and_then(Value::as_bool).unwrap_or(false));
    let mean = |i: usize| (u16::from(current[i]) + u16::from(other[i]) + up) / 2;
    Ok(format!("#{:02x}{:02x}{:02x}", mean(0), mean(1), mean(2)).into())
}

fn channels(value: &Value) -> Option<[u8; 3]> {
    Shape::Color.check(value).ok()?;
    let [_, r, g, b] = u32::from_str_radix(&value.as_text()?[1..], 16).ok()?.to_be_bytes();
    Some([r, g, b])
}
