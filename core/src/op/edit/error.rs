//! Why a client's edit is refused, and what to do instead.

use crate::api::{ApiError, Code};
use crate::id::Dot;
use crate::limits::{COMMIT_OPS_MAX, KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::op::text::Content;
use crate::op::{Row, Shape};
use crate::place::NoRoom;
use crate::replica::FindError;

/// Edits that cannot become a message.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EditError {
    /// Nothing to do.
    #[error("a commit needs at least one op")]
    Empty,
    /// More than one message may hold.
    #[error("{ops} ops in one commit exceed {COMMIT_OPS_MAX}")]
    TooMany {
        /// How many there are.
        ops: usize,
    },
    /// One of them is at fault.
    #[error("{}{fault}", place(*index, *of))]
    Op {
        /// Which, from 0.
        index: u32,
        /// Of how many.
        of: usize,
        /// What is wrong with it.
        fault: EditFault,
    },
}

/// `op 3: `, counted from 1, where there are several.
fn place(index: u32, of: usize) -> String {
    if of == 1 { String::new() } else { format!("op {}: ", index + 1) }
}

/// What is wrong with one edit.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EditFault {
    /// No row of that name.
    #[error("there is no operation {name}")]
    UnknownOperation {
        /// What was asked for.
        name: String,
        /// What may be meant.
        nearest: Option<&'static str>,
    },
    /// No node is named.
    #[error("the node's key is missing")]
    KeyMissing,
    /// A key beyond the limit.
    #[error("key of {bytes} bytes exceeds {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// An operation that no client writes.
    #[error("{} is written by daemons alone", row.name)]
    Reserved {
        /// The operation.
        row: &'static Row,
    },
    /// A property operation without a property.
    #[error("{} needs the property's path", row.name)]
    PathMissing {
        /// The operation.
        row: &'static Row,
    },
    /// A node or meta operation with a property.
    #[error("{} takes no path", row.name)]
    PathUnexpected {
        /// The operation.
        row: &'static Row,
    },
    /// A path beyond the limit.
    #[error("path of {bytes} bytes exceeds {PATH_BYTES_MAX}")]
    PathTooLong {
        /// Its length.
        bytes: usize,
    },
    /// An argument of another shape.
    #[error("{} expects {expected}", row.name)]
    BadArgument {
        /// The operation.
        row: &'static Row,
        /// What belongs there.
        expected: Shape,
    },
    /// An option the operation does not have.
    #[error("{} has no option {name}", row.name)]
    UnknownOption {
        /// The operation.
        row: &'static Row,
        /// The option.
        name: String,
    },
    /// An option of another shape.
    #[error("option {name} expects {expected}")]
    BadOption {
        /// The option.
        name: &'static str,
        /// What belongs there.
        expected: Shape,
    },
    /// Two options that say where.
    #[error("before, after, index and place exclude each other")]
    PositionTwice,
    /// A position that is none.
    #[error("before and after expect a node's key, index a whole number from 0")]
    BadPosition,
    /// No live node of that key.
    #[error("there is no node {key}")]
    NodeMissing {
        /// The key.
        key: String,
    },
    /// The root stays where it is.
    #[error("the root can be neither removed nor moved")]
    RootFixed,
    /// A parent that is not there.
    #[error("there is no node {key} to be the parent")]
    ParentMissing {
        /// The parent's key.
        key: String,
    },
    /// A move to the node itself or below it.
    #[error("{parent} lies below {key}, or is it")]
    Cycle {
        /// The node.
        key: String,
        /// Where it was to go.
        parent: String,
    },
    /// A position beside a node that stands elsewhere, or nowhere.
    #[error("{key} is not below {parent}")]
    SiblingMissing {
        /// The node beside which it was to go.
        key: String,
        /// The parent below which that should be.
        parent: String,
    },
    /// Writing into something else than text, or than a list whose elements have identities.
    #[error("{path} of {key} holds {}", other_than(*content))]
    NotWritten {
        /// The node.
        key: String,
        /// The property.
        path: String,
        /// What it should hold.
        content: Content,
    },
    /// An index beyond the end of a list, where an element is needed.
    #[error("there is no element {index} in a list of {len}")]
    ElementMissing {
        /// The index, from 0.
        index: usize,
        /// How many elements there are.
        len: usize,
    },
    /// The siblings stand as close as they can.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// A move that says neither under which node nor where among its siblings.
    #[error("the move says neither under which parent nor where")]
    Nowhere,
    /// An undo or redo of nothing.
    #[error("{} needs a target", row.name)]
    TargetMissing {
        /// The operation.
        row: &'static Row,
    },
    /// An undo or redo of no message, or of several.
    #[error("{text}: {error}")]
    Target {
        /// What was asked for.
        text: String,
        /// Why it was not found.
        error: FindError,
    },
    /// An undo of undos.
    #[error("message {dot} holds only undos and redos, which cannot be undone")]
    NotUndoable {
        /// The message.
        dot: Dot,
    },
}

impl EditFault {
    fn code(&self) -> Code {
        match self {
            Self::UnknownOperation { .. } => Code::UnknownOperation,
            Self::KeyTooLong { .. } | Self::PathTooLong { .. } | Self::NoRoom(_) => Code::TooLarge,
            Self::NodeMissing { .. }
            | Self::ParentMissing { .. }
            | Self::SiblingMissing { .. }
            | Self::ElementMissing { .. }
            | Self::Target { error: FindError::Missing, .. } => Code::NotFound,
            Self::Target { error: FindError::Ambiguous { .. }, .. } => Code::Ambiguous,
            Self::KeyMissing
            | Self::PathMissing { .. }
            | Self::PathUnexpected { .. }
            | Self::BadArgument { .. }
            | Self::UnknownOption { .. }
            | Self::BadOption { .. }
            | Self::PositionTwice
            | Self::BadPosition
            | Self::NotWritten { .. }
            | Self::RootFixed
            | Self::Cycle { .. }
            | Self::Nowhere
            | Self::TargetMissing { .. }
            | Self::NotUndoable { .. }
            | Self::Reserved { .. } => Code::BadArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownOperation { nearest: Some(nearest), .. } => Some(format!("did you mean {nearest}?")),
            Self::UnknownOperation { nearest: None, .. } => Some("`rtc ops` lists all operations".into()),
            Self::PathMissing { row } | Self::PathUnexpected { row } | Self::BadArgument { row, .. } => {
                Some(format!("for example: rtc edit {}", row.example))
            }
            Self::UnknownOption { row, .. } => Some(options_hint(row)),
            Self::NodeMissing { key } | Self::ParentMissing { key } => {
                Some(format!("make it with: rtc edit {key} node.insert"))
            }
            Self::NoRoom(_) => Some("put the node elsewhere, or move its neighbours first".into()),
            Self::NotWritten { content: Content::Text, .. } => Some("text.init makes it a text".into()),
            Self::NotWritten { content: Content::List, .. } => Some("list.init makes it one".into()),
            Self::Nowhere => Some("give parent, before, after or index".into()),
            Self::TargetMissing { .. } | Self::Target { .. } => Some("`rtc log` lists the messages".into()),
            Self::NotUndoable { .. } => Some("redo the message it undid, or undo it again".into()),
            Self::KeyMissing
            | Self::KeyTooLong { .. }
            | Self::PathTooLong { .. }
            | Self::BadOption { .. }
            | Self::PositionTwice
            | Self::BadPosition
            | Self::RootFixed
            | Self::Cycle { .. }
            | Self::SiblingMissing { .. }
            | Self::ElementMissing { .. }
            | Self::Reserved { .. } => None,
        }
    }
}

fn other_than(content: Content) -> &'static str {
    match content {
        Content::Text => "something else than text",
        Content::List => "something else than a list whose elements have identities",
    }
}

fn options_hint(row: &Row) -> String {
    let names: Vec<&str> = row.options.iter().map(|option| option.name).collect();
    match names.is_empty() {
        true => format!("{} has no options", row.name),
        false => format!("it has {}", names.join(", ")),
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        let (code, hint) = match &error {
            EditError::Empty => (Code::BadRequest, None),
            EditError::TooMany { .. } => (Code::TooLarge, Some("split it into several commits".to_owned())),
            EditError::Op { fault, .. } => (fault.code(), fault.hint()),
        };
        Self { code, message: error.to_string(), hint }
    }
}
