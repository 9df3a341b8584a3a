//! Operations on the room itself, which daemons write and nobody undoes (DESIGN §3, law 14).
//!
//! What a horizon says is read by [`Horizon::of`](crate::horizon::Horizon::of); what a re-issue means, by the fold.

use super::row::{Kind, OptionRow, Row};
use super::{OpCode, Shape};

/// The code of a horizon.
pub(crate) const HORIZON: OpCode = OpCode(0x1101);
/// The code of the first op of a message that is issued again.
pub(crate) const ORIGIN: OpCode = OpCode(0x1102);

pub(super) const ROWS: &[Row] = &[
    Row {
        code: HORIZON,
        name: "room.horizon",
        argument: Shape::Nothing,
        options: &[
            OptionRow { name: "before", shape: Shape::Message, doc: "The horizon before, if there is one." },
            OptionRow { name: "frontier", shape: Shape::Text, doc: "What lies in it: each actor's last." },
            OptionRow { name: "ground", shape: Shape::Text, doc: "The hash of what that leaves." },
            OptionRow { name: "table", shape: Shape::Amount, doc: "The operation table that folded it." },
        ],
        kind: Kind::Horizon,
        doc: "Permits everybody to forget what lies in it; the keeper's daemon writes it.",
        example: "'' room.horizon frontier=FRONTIER ground=HASH table=1",
    },
    Row {
        code: ORIGIN,
        name: "room.origin",
        argument: Shape::Nothing,
        options: &[
            OptionRow { name: "of", shape: Shape::Message, doc: "The message it was before." },
            OptionRow { name: "lamport", shape: Shape::Amount, doc: "The lamport time it had." },
        ],
        kind: Kind::Origin,
        doc: "Says which message is issued again, because it came from before a horizon and was not in it.",
        example: "'' room.origin of=MESSAGE lamport=7",
    },
];
