//! What became of messages: undone, repeated, void.

use super::History;
use crate::replica::held::Marks;
use crate::replica::index::{MessageIx, OpIx};

impl History {
    /// Whether the register of its undos and redos stands at undone.
    pub(in crate::replica) fn is_undone(&self, message: MessageIx) -> bool {
        self.marks.get(message.at()).has(Marks::UNDONE)
    }

    pub(in crate::replica) fn set_undone(&mut self, message: MessageIx, undone: bool) {
        self.marks.get_mut(message.at()).set(Marks::UNDONE, undone);
    }

    /// Whether a lesser message carries the same request.
    pub(in crate::replica) fn is_repeated(&self, message: MessageIx) -> bool {
        self.marks.get(message.at()).has(Marks::REPEATED)
    }

    pub(in crate::replica) fn set_repeated(&mut self, message: MessageIx) {
        self.marks.get_mut(message.at()).set(Marks::REPEATED, true);
    }

    /// Whether its author was no editor where it was made.
    pub(in crate::replica) fn is_void(&self, message: MessageIx) -> bool {
        self.marks.get(message.at()).has(Marks::VOID)
    }

    pub(in crate::replica) fn set_void(&mut self, message: MessageIx, void: bool) {
        self.marks.get_mut(message.at()).set(Marks::VOID, void);
    }

    /// Whether its undos and redos count for nothing.
    pub(in crate::replica) fn is_mute(&self, message: MessageIx) -> bool {
        self.marks.get(message.at()).has(Marks::REPEATED.or(Marks::VOID))
    }

    /// Whether a scene op counts for nothing.
    pub(in crate::replica) fn is_masked(&self, op: OpIx) -> bool {
        self.marks.get(self.owner(op).at()).has(Marks::UNDONE.or(Marks::REPEATED).or(Marks::VOID))
    }
}
