//! Nodes: their lives and where they stand in the tree (DESIGN §3, laws 6 and 7).

use super::row::{Kind, OptionRow, Row};
use super::{OpCode, Shape};

/// The tag of a node whose insert names none.
pub const DEFAULT_TAG: &str = "Group";

const PARENT: OptionRow = OptionRow {
    name: "parent",
    shape: Shape::Text,
    doc: "The key of the node above; the root unless given.",
};
const PLACE: OptionRow = OptionRow {
    name: "place",
    shape: Shape::Place,
    doc: "The place among siblings; `before`, `after` and `index` make one.",
};

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x0e01),
        name: "node.insert",
        argument: Shape::Properties,
        options: &[
            OptionRow { name: "tag", shape: Shape::Text, doc: "What the node is; Group unless given." },
            OptionRow { name: "name", shape: Shape::Text, doc: "A name for people; empty unless given." },
            PARENT,
            PLACE,
            OptionRow {
                name: "ifAbsent",
                shape: Shape::Bool,
                doc: "Whether nothing happens where the node is there already.",
            },
        ],
        kind: Kind::Insert,
        doc: "Makes a node with the given properties; on one that is there, sets these properties and nothing else.",
        example: "cube-1 node.insert tag=Mesh parent=scene",
    },
    Row {
        code: OpCode(0x0e02),
        name: "node.remove",
        argument: Shape::Nothing,
        options: &[],
        kind: Kind::Remove,
        doc: "Removes the node and hides what is below it.",
        example: "cube-1 node.remove",
    },
    Row {
        code: OpCode(0x0e03),
        name: "node.move",
        argument: Shape::Nothing,
        options: &[
            OptionRow { name: "parent", shape: Shape::Text, doc: "The key of the new node above." },
            PLACE,
        ],
        kind: Kind::Move,
        doc: "Puts the node under another parent, or elsewhere among its siblings.",
        example: "cube-1 node.move parent=shelf index=0",
    },
];
