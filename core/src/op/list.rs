//! Lists whose order matters and whose elements several people change at once: the sequence of [`text`](super::text), with
//! values for characters (DESIGN §3, law 9).
//!
//! Clients speak of indexes; what travels names elements, as characters are named. An element keeps its identity when it is
//! moved or given another value:
//!
//! - Of several moves of one element the last in order says where it stands; there are never two of it.
//! - Of several values given to one element the last in order shows.
//! - What is deleted is deleted, whoever moves it or gives it another value meanwhile.
//! - What is inserted beside an element stays where that stood.
//!
//! Whatever list the property holds can be changed like this: that of a reset (`array.set`, an initial property) comes in at
//! the start. The steps of `array` and `set` know of values alone: the list that they make has no identities, and a step
//! of this family that comes after them has no effect, until the next reset.

use super::row::{Kind, OptionRow, Row, as_given};
use super::text::{AFTER, BEFORE, Content, SPANS, UNTIL, Writing};
use super::{OpCode, Shape};

const ITEM: OptionRow = OptionRow { name: "item", shape: Shape::Character, doc: "The element." };

/// The code of the deletion.
pub(crate) const DELETE: OpCode = OpCode(0x1003);

pub(super) const ROWS: &[Row] = &[
    Row {
        code: OpCode(0x1001),
        name: "list.init",
        argument: Shape::List,
        options: &[],
        kind: Kind::Reset(as_given),
        doc: "Sets the list; what others insert into it meanwhile is kept.",
        example: "show list.init scenes '[\"opening\",\"finale\"]'",
    },
    Row {
        code: OpCode(0x1002),
        name: "list.insert",
        argument: Shape::List,
        options: &[AFTER, BEFORE, UNTIL],
        kind: Kind::Write(Content::List, Writing::Insert),
        doc: "Inserts elements at an index, or at the end; works on whatever list the property holds.",
        example: "show list.insert scenes storm index=1",
    },
    Row {
        code: DELETE,
        name: "list.delete",
        argument: Shape::Nothing,
        options: &[SPANS],
        kind: Kind::Write(Content::List, Writing::Delete),
        doc: "Deletes elements, even those that are moved or set meanwhile; what is inserted between them stays.",
        example: "show list.delete scenes index=0 length=2",
    },
    Row {
        code: OpCode(0x1004),
        name: "list.move",
        argument: Shape::Nothing,
        options: &[AFTER, BEFORE, UNTIL, ITEM],
        kind: Kind::Write(Content::List, Writing::Move),
        doc: "Moves an element to another index; of several moves of one element the last counts.",
        example: "show list.move scenes index=2 to=0",
    },
    Row {
        code: OpCode(0x1005),
        name: "list.set",
        argument: Shape::Element,
        options: &[ITEM],
        kind: Kind::Write(Content::List, Writing::Set),
        doc: "Gives an element another value; it stays the element it was.",
        example: "show list.set scenes calm index=1",
    },
];
