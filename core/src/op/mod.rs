//! The operation vocabulary: one row per operation, everything else is a loop over the rows.

pub mod array;
mod boolean;
mod color;
mod counter;
mod dict;
pub mod edit;
mod effect;
mod euler;
mod flat;
mod meta;
pub mod node;
mod number;
mod object;
mod quaternion;
mod row;
mod set;
mod shape;
mod shown;
mod string;
mod table;
pub mod text;
mod vector3;

pub use effect::NoEffect;
pub use flat::FlatError;
pub use row::{EntryStep, Kind, ListStep, Membership, OptionRow, Options, Row, Seen, Step, WriteEntry};
pub use shape::{Shape, ShapeError};
pub use table::{TABLE_VERSION, nearest_name, table};

pub(crate) use edit::{Range, Standing, Texts};

use std::collections::BTreeMap;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::limits::{KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::value::Value;

/// One step on one node, as it travels.
///
/// `code` may name an operation this version does not know: it is kept, relayed and shown, and has no effect yet.
#[derive(Clone, PartialEq, Debug)]
pub struct Op {
    /// Which row of the table.
    pub code: OpCode,
    /// The node's key; empty for meta operations.
    pub key: String,
    /// The property's dotted path; absent for node and meta operations.
    pub path: Option<String>,
    /// The argument; `Null` where there is none.
    pub value: Value,
    /// Named arguments of the row (`separator`, `parent`, …), empty for most ops.
    pub options: BTreeMap<String, Value>,
}

/// The stable number of an operation on the wire: `family << 8 | row`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpCode(pub u16);

impl Op {
    /// Writes `[code, key, path, value, options]`, without the absent ones at the end.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        let len = match (&self.path, &self.value, self.options.is_empty()) {
            (_, _, false) => 5,
            (None, Value::Null, true) => 2,
            (Some(_), Value::Null, true) => 3,
            (_, _, true) => 4,
        };
        writer.array(len).uint(self.code.0.into()).text(&self.key);
        if len > 2 {
            writer.text_or_null(self.path.as_deref());
        }
        if len > 3 {
            writer.value(&self.value);
        }
        if len > 4 {
            writer.value_map(&self.options);
        }
    }

    /// Reads what [`Op::encode`] writes; the caller settles whether it was canonical.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = reader.array(5, "op")?;
        let code = reader.uint()?;
        let code = u16::try_from(code).map_err(|_| DecodeError::TooLong {
            what: "operation code",
            found: usize::try_from(code).unwrap_or(usize::MAX),
            limit: u16::MAX.into(),
        })?;
        Ok(Self {
            code: OpCode(code),
            key: reader.text(KEY_BYTES_MAX, "node key")?,
            path: if len > 2 { reader.text_or_null(PATH_BYTES_MAX, "property path")? } else { None },
            value: if len > 3 { reader.value()? } else { Value::Null },
            options: if len > 4 { reader.value_map()? } else { BTreeMap::new() },
        })
    }
}
