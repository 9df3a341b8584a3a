//! Ops as people and clients see them: by name.

use super::{Op, OpCode};
use crate::api::EditOp;
use crate::value::Value;

/// What operations of no known name are called, with their code behind.
const UNKNOWN: &str = "unknown.";

impl OpCode {
    /// The operation's name; `unknown.<code>` where this version does not know it.
    pub fn name(self) -> String {
        self.row().map_or_else(|| format!("{UNKNOWN}{}", self.0), |row| row.name.to_owned())
    }
}

impl Op {
    /// The op as clients write it.
    pub fn shown(self) -> EditOp {
        EditOp {
            otype: self.code.name(),
            key: self.key,
            path: self.path,
            value: Some(self.value).filter(|value| *value != Value::Null),
            options: self.options,
        }
    }
}
