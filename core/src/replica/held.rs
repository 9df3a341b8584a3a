//! A message and an op as the columns have them, and as those who ask see them.

use super::columns::Address;
use super::index::{ActorIx, CellIx, MessageIx, NodeIx, OpIx, PathIx};
use crate::op::{Kind, OpCode, Options, Row};
use crate::raw::Raw;
use crate::value::Value;

/// What is kept of every message. Where `seq` is 0, the numbers are in a table of their own.
#[derive(Clone, Copy)]
pub(super) struct MessageRecord {
    pub(super) actor: ActorIx,
    pub(super) seq: u32,
    pub(super) lamport: u32,
    /// 0 for none, else [`TIME_ZERO`] and how much later than the first message it was made, in milliseconds.
    pub(super) time: u32,
    pub(super) first_op: OpIx,
}

/// The numbers of a message that its record cannot hold.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    pub(super) seq: u64,
    pub(super) lamport: u64,
    pub(super) time_ms: Option<u64>,
}

/// Stands for the time of the first message: others may have been made 24 days before or after it.
pub(super) const TIME_ZERO: u64 = 1 << 31;

/// What may become of a message.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks(u8);

impl Marks {
    pub(super) const UNDONE: Self = Self(1);
    pub(super) const REPEATED: Self = Self(2);
    /// It was not the greatest message when it came.
    pub(super) const LATE: Self = Self(4);
    /// Its author was no editor where it was made.
    pub(super) const VOID: Self = Self(8);

    /// Whether it has any of these.
    pub(super) fn has(self, marks: Self) -> bool {
        self.0 & marks.0 != 0
    }

    pub(super) fn set(&mut self, mark: Self, is_set: bool) {
        self.0 = if is_set { self.0 | mark.0 } else { self.0 & !mark.0 };
    }

    pub(super) fn or(self, mark: Self) -> Self {
        Self(self.0 | mark.0)
    }
}

/// One message, without its ops.
#[derive(Clone, Copy)]
pub(super) struct HeldMessage {
    pub(super) actor: ActorIx,
    pub(super) seq: u64,
    pub(super) lamport: u64,
}

/// What is kept of every op.
#[derive(Clone, Copy)]
pub(super) struct OpRecord {
    pub(super) message: MessageIx,
    /// What it is about: which list this is an index of, its kind says.
    pub(super) subject: u32,
    /// Its argument, and behind it its options.
    pub(super) values: Address,
    /// [`VOID`] where the op can have no effect whatever the scene is.
    pub(super) code: OpCode,
}

// There are as many as edits were ever made.
const _: () = assert!(size_of::<OpRecord>() == 16);

/// The code that no operation has.
pub(super) const VOID: OpCode = OpCode(0);

/// What an op is about.
#[derive(Clone, Copy)]
pub(super) enum Subject {
    /// A property.
    Cell(CellIx),
    /// A node's life.
    Node(NodeIx),
    /// A node, and the one it is to stand below if it says so.
    Standing { node: NodeIx, parent: Option<NodeIx> },
    /// Another message. (What the op calls its node means nothing, and is kept.)
    Message { node: NodeIx, actor: ActorIx, seq: u64 },
    /// Nothing that this version knows.
    Void { code: OpCode, node: NodeIx, path: Option<PathIx> },
}

/// One op.
#[derive(Clone, Copy)]
pub(super) struct HeldOp<'a> {
    pub(super) message: MessageIx,
    pub(super) code: OpCode,
    /// None where the op can have no effect whatever the scene is.
    pub(super) row: Option<&'static Row>,
    pub(super) node: NodeIx,
    pub(super) path: Option<PathIx>,
    /// The property it works on.
    pub(super) cell: Option<CellIx>,
    /// The parent an insert or a move names.
    pub(super) parent: Option<NodeIx>,
    /// The message an undo or a redo names.
    pub(super) target: Option<(ActorIx, u64)>,
    /// The argument.
    pub(super) raw: Raw<'a>,
}

impl<'a> HeldOp<'a> {
    pub(super) fn kind(&self) -> Option<Kind> {
        self.row.map(|row| row.kind)
    }

    /// The argument, decoded.
    pub(super) fn value(&self) -> Value {
        self.raw.decode()
    }

    /// The options, decoded.
    pub(super) fn options(&self) -> Options {
        self.raw.rest().decode_map()
    }

    pub(super) fn option(&self, name: &str) -> Option<Raw<'a>> {
        self.raw.rest().get(name)
    }

    pub(super) fn text(&self, option: &str) -> Option<&'a str> {
        self.option(option).and_then(Raw::as_text)
    }

    /// Whether it is an insert that asks to be void on a live node.
    pub(super) fn is_if_absent(&self) -> bool {
        self.option("ifAbsent").and_then(Raw::as_bool).unwrap_or(false)
    }
}
