//! The operation vocabulary: one row per operation, everything else is a loop over the rows.

mod anchors;
pub mod array;
mod boolean;
mod color;
mod counter;
mod dict;
pub mod edit;
mod effect;
mod euler;
mod flat;
pub mod list;
mod meta;
pub mod node;
mod number;
mod object;
mod quaternion;
pub(crate) mod room;
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
pub use row::{
    EntryStep, Kind, ListStep, Membership, OptionRow, Options, Row, Rule, Seen, Sign, Step, WriteEntry,
};
pub use shape::{Shape, ShapeError};
pub use table::{TABLE_VERSION, nearest_name, table};

pub(crate) use edit::{Range, Standing, Texts};
pub(crate) use table::row_named;

use std::collections::BTreeMap;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::id::Dot;
use crate::limits::{KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::raw::Raw;
use crate::replica::{CellIx, NodeIx};
use crate::value::Value;
use anchors::Anchors;
use shape::Shaped;

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
        encode(self.code, &self.key, self.path.as_deref(), &self.value, &self.options, writer);
    }
}

/// Writes an op as [`Op::encode`] does. Says where the argument begins, and where the options.
fn encode(
    code: OpCode,
    key: &str,
    path: Option<&str>,
    value: &Value,
    options: &Options,
    writer: &mut Writer,
) -> [usize; 2] {
    let len = items(path.is_some(), *value == Value::Null, !options.is_empty());
    writer.array(len).uint(code.0.into()).text(key);
    if len > 2 {
        writer.text_or_null(path);
    }
    let start = writer.len();
    if len > 3 {
        writer.value(value);
    }
    let end = writer.len();
    if len > 4 {
        writer.value_map(options);
    }
    [start, end]
}

/// An op, read in place.
#[derive(Clone, Copy, Debug)]
pub struct OpView<'a> {
    /// Which row of the table.
    pub code: OpCode,
    /// The node's key; empty for meta operations.
    pub key: &'a str,
    /// The property's dotted path; absent for node and meta operations.
    pub path: Option<&'a str>,
    /// The argument; null where there is none.
    pub value: Raw<'a>,
    /// A map of the row's named arguments.
    pub options: Raw<'a>,
    /// What its author or its reader found out about it.
    pub(crate) known: Option<Known<'a>>,
}

/// What is known of an op besides its bytes: by its author, if it is an edit as it stood, or by whoever read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// Its row: the op fits it.
    pub(crate) row: &'static Row,
    /// The property in the author's replica, if it was touched before. In another the number may mean something else.
    pub(crate) cell: Option<CellIx>,
    /// What it names, if it says below which node one stands and nothing of siblings, undoes or redoes, or writes into a
    /// sequence.
    pub(crate) named: Option<Named<'a>>,
}

/// What an op names, as its author or its reader found it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named<'a> {
    /// Where its characters or elements go. Such an op names a property.
    Anchors(Anchors),
    /// A node and the one to be above it, as far as they have numbers in the author's replica. In another these may mean others.
    Nodes {
        node: Option<NodeIx>,
        /// What the op calls it, too.
        parent: Option<(&'a str, NodeIx)>,
    },
    /// A message.
    Message(Dot),
}

impl<'a> OpView<'a> {
    /// Reads what [`Op::encode`] writes in the message `own`; the reader knows whether it was canonical.
    pub(crate) fn read(reader: &mut Reader<'a>, own: Dot) -> Result<Self, DecodeError> {
        let len = reader.array(5, "op")?;
        let code = reader.uint()?;
        let code = u16::try_from(code).map_err(|_| DecodeError::TooLong {
            what: "operation code",
            found: usize::try_from(code).unwrap_or(usize::MAX),
            limit: u16::MAX.into(),
        })?;
        let mut op = Self {
            code: OpCode(code),
            key: reader.str(KEY_BYTES_MAX, "node key")?,
            path: if len > 2 { reader.str_or_null(PATH_BYTES_MAX, "property path")? } else { None },
            value: if len > 3 { reader.raw()? } else { Raw::NULL },
            options: Raw::EMPTY_MAP,
            known: None,
        };
        if len > 4 && !op.read_anchors(reader, own) {
            op.options = reader.raw_map()?;
        }
        reader.expect_canonical(len == items(op.path.is_some(), op.value.is_null(), op.has_options()));
        Ok(op)
    }

    /// Reads the options of an op that writes into a sequence, if it can be seen from them that it is as its row wants it.
    fn read_anchors(&mut self, reader: &mut Reader<'a>, own: Dot) -> bool {
        let writes = |row: &&Row| matches!(row.kind, Kind::Write(_, writing) if !writing.names_item());
        let Some(row) = self.code.row().filter(writes) else { return false };
        let mut ahead = reader.clone();
        let anchors = Anchors::pull(&mut ahead, row, own);
        let Some(anchors) = anchors.filter(|_| self.path.is_some() && self.value.has(row.argument)) else {
            return false;
        };
        let bytes = reader.rest();
        self.options = Raw::of_checked(&bytes[..bytes.len() - ahead.rest().len()]);
        self.known = Some(Known { row, cell: None, named: Some(Named::Anchors(anchors)) });
        *reader = ahead;
        true
    }

    /// Where what it brings goes, if it was looked at already.
    pub(crate) fn anchors(&self) -> Option<&Anchors> {
        match &self.known.as_ref()?.named {
            Some(Named::Anchors(anchors)) => Some(anchors),
            Some(Named::Nodes { .. } | Named::Message(_)) | None => None,
        }
    }

    /// Whether there are named arguments.
    pub fn has_options(&self) -> bool {
        self.options.memory() != Raw::EMPTY_MAP.memory()
    }

    /// The op as plain data.
    pub fn to_op(&self) -> Op {
        Op {
            code: self.code,
            key: self.key.to_owned(),
            path: self.path.map(str::to_owned),
            value: self.value.decode(),
            options: self.options.decode_map(),
        }
    }
}

/// How many items an op is written as.
fn items(has_path: bool, is_null: bool, has_options: bool) -> usize {
    match (has_path, is_null, has_options) {
        (_, _, true) => 5,
        (_, false, false) => 4,
        (true, true, false) => 3,
        (false, true, false) => 2,
    }
}
