//! Operations on messages: undo and redo (DESIGN §3, law 5).

use super::row::{Kind, OptionRow, Row};
use super::{OpCode, Shape};

const TARGET: OptionRow = OptionRow { name: "target", shape: Shape::Message, doc: "The message." };

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0f01),
        name: "meta.undo",
        argument: Shape::Nothing,
        options: &[TARGET],
        kind: Kind::Undo,
        doc: "Takes back everything one message did, and leaves what others did since.",
        example: "'' meta.undo target=MESSAGE",
    },
    Row {
        code: OpCode(0x0f02),
        name: "meta.redo",
        argument: Shape::Nothing,
        options: &[TARGET],
        kind: Kind::Redo,
        doc: "Brings back what an undone message did.",
        example: "'' meta.redo target=MESSAGE",
    },
];
