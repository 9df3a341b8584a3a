//! Why an op has no effect. Nothing here is an error of the message: it stays valid, is kept and relayed (DESIGN §3, law 10).

use super::{OpCode, Shape};

/// The reason one op has no effect on the scene as it stands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoEffect {
    /// A newer version may know it: the op takes effect after an upgrade.
    #[error("operation {:#06x} is not known to this version", .code.0)]
    UnknownOperation {
        /// The op's code.
        code: OpCode,
    },
    /// A newer version may know it: the op takes effect after an upgrade.
    #[error("option {name} is not known to this version")]
    UnknownOption {
        /// The option's name.
        name: Box<str>,
    },
    /// A named option of another shape.
    #[error("option {name}: expected {expected}")]
    BadOption {
        /// The option's name.
        name: &'static str,
        /// What belongs there.
        expected: Shape,
    },
    /// An option the row cannot do without.
    #[error("option {name} is missing")]
    MissingOption {
        /// The option's name.
        name: &'static str,
    },
    /// An argument of another shape.
    #[error("expected {expected} as argument")]
    BadArgument {
        /// What belongs there.
        expected: Shape,
    },
    /// A property operation that names no property.
    #[error("the property's path is missing")]
    PathMissing,
    /// A node or meta operation that names a property.
    #[error("the operation takes no path")]
    PathUnexpected,
    /// The property holds something the step cannot work on.
    #[error("the property does not hold {expected}")]
    BadCurrent {
        /// What it should hold.
        expected: Shape,
    },
    /// Text beside a character that is not there, or that its author cannot have known.
    #[error("the text has no such character to stand beside")]
    AnchorMissing,
    /// A list's element that is not there, or that its author cannot have known.
    #[error("the list has no such element")]
    ElementMissing,
    /// The result would be infinite or no number.
    #[error("the result is not a finite number")]
    NotFinite,
    /// The node is not there, or not any more, or not yet.
    #[error("there is no such node")]
    NodeMissing,
    /// An insert that asked to be void on a live node.
    #[error("the node exists already")]
    NodeExists,
    /// The root stays where it is.
    #[error("the root can be neither removed nor moved")]
    RootFixed,
    /// A removal that has not seen every insert of the node.
    #[error("a concurrent insert keeps the node")]
    KeptByInsert,
    /// A move to a node that is not there.
    #[error("there is no such parent")]
    ParentMissing,
    /// A move to the node itself or below it.
    #[error("the parent lies below the node")]
    Cycle,
    /// It says what its message was before, and is not the first op, or the message has always been that.
    #[error("it says what its message was, which only the first op can, of another message")]
    Misplaced,
    /// An undo or redo of a message that is not held.
    #[error("there is no such message")]
    TargetMissing,
    /// An undo or redo of a message that a horizon holds.
    #[error("the message lies behind a horizon")]
    TargetForgotten,
    /// An undo or redo made without knowledge of its target.
    #[error("the message was not known where this was made")]
    TargetUnseen,
    /// Its author's role in the room does not permit it: it never did, or no longer where this was made (DESIGN §6).
    #[error("its author was not allowed to")]
    NotAllowed,
    /// It is about members in a room that has none.
    #[error("the room is open: it has no members")]
    OpenRoom,
}
