//! Operations on the room itself, which daemons write and nobody undoes (DESIGN §3, law 14, and §6).
//!
//! What a horizon says is read by [`Horizon::of`](crate::horizon::Horizon::of), what is said of members by
//! [`Act::of`](crate::members::Act::of); what a re-issue means, by the fold.

use super::row::{Kind, OptionRow, Row, Rule};
use super::{OpCode, Shape};
use crate::members::Role;

/// The code of a horizon.
pub(crate) const HORIZON: OpCode = OpCode(0x1101);
/// The code of the first op of a message that is issued again.
pub(crate) const ORIGIN: OpCode = OpCode(0x1102);

/// The code of what makes somebody a member, or another kind of one.
pub(crate) const GRANT: OpCode = OpCode(0x1103);
/// The code of what removes a member.
pub(crate) const REMOVE: OpCode = OpCode(0x1104);
/// The code of what gives the room another name.
pub(crate) const RENAME: OpCode = OpCode(0x1105);
/// The code of what gives the room another secret.
pub(crate) const SECRET: OpCode = OpCode(0x1106);
/// The code of what hands a member's seat to another key of his.
pub(crate) const ROTATE: OpCode = OpCode(0x1107);

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
    Row {
        code: GRANT,
        name: "room.grant",
        argument: Shape::Peer,
        options: &[
            OptionRow {
                name: "role",
                shape: Shape::Word(&[Role::Owner.word(), Role::Editor.word(), Role::Viewer.word()]),
                doc: "What it may do from now on.",
            },
            OptionRow { name: "name", shape: Shape::Name, doc: "How it is called, for people." },
        ],
        kind: Kind::Rule(Rule::Grant),
        doc: "Makes a key a member of the room, or gives it another role; owners write it.",
        example: "'' room.grant KEY role=editor",
    },
    Row {
        code: REMOVE,
        name: "room.remove",
        argument: Shape::Peer,
        options: &[],
        kind: Kind::Rule(Rule::Remove),
        doc: "Removes a member: what it wrote that this has not seen does not count.",
        example: "'' room.remove KEY",
    },
    Row {
        code: RENAME,
        name: "room.rename",
        argument: Shape::Name,
        options: &[],
        kind: Kind::Rule(Rule::Rename),
        doc: "Gives the room another name; owners write it.",
        example: "'' room.rename lab",
    },
    Row {
        code: SECRET,
        name: "room.secret",
        argument: Shape::Nothing,
        options: &[
            OptionRow {
                name: "old",
                shape: Shape::Text,
                doc: "The secrets before, sealed under the new one.",
            },
            OptionRow { name: "sealed", shape: Shape::Map, doc: "The new one, sealed to each member." },
        ],
        kind: Kind::Rule(Rule::Secret),
        doc: "Gives the room another secret; an owner's daemon writes it.",
        example: "'' room.secret",
    },
    Row {
        code: ROTATE,
        name: "room.rotate",
        argument: Shape::Peer,
        options: &[
            OptionRow { name: "signed", shape: Shape::Text, doc: "The old key's signature over both." },
            OptionRow {
                name: "to",
                shape: Shape::Peer,
                doc: "The new key, where it has given way as well and a later one writes it.",
            },
            OptionRow {
                name: "passed",
                shape: Shape::Text,
                doc: "That one's signature over itself and the author's.",
            },
            OptionRow {
                name: "horizon",
                shape: Shape::Text,
                doc: "Which horizon of a former key's the founder stands on: its link.",
            },
        ],
        kind: Kind::Rule(Rule::Rotate),
        doc: "Hands a member's place to a key, as the key before has signed; the new key's daemon writes it.",
        example: "'' room.rotate KEY signed=SIGNATURE",
    },
];
