//! Bugs that a test build plants, one at a time, to show that the simulator finds them, and operations that it does not know, to show
//! what an older version does. Every other build has none of that.

use crate::op::OpCode;

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// An edit is answered as durable before its commit.
    AnswerBeforeCommit,
    /// What is done to a property is applied in the order in which it arrives.
    ArrivalOrder,
    /// A message that comes twice is applied twice.
    DuplicatesApplied,
    /// Nobody asks whether a message continues the chains it names.
    ChainUnchecked,
    /// A lamport may be greater than its past gives.
    LamportLeaps,
    /// As many messages as come may wait for their past.
    BufferUnbounded,
    /// Whoever finds less on its disk than it told goes on in its epoch.
    EpochKept,
    /// After a late move the others are done again without asking whether they close a ring.
    RingUnchecked,
    /// A horizon lets one message of each actor go that somebody is waited for.
    HorizonTooFar,
    /// What a snapshot's history says of undos is lost.
    UndoForgotten,
    /// Who comes back is taken to hold one message more than it says.
    CursorAhead,
    /// A reset covers steps that it has not seen.
    ResetCoversAll,
    /// Whether a message counts is decided when it comes.
    VoidOnArrival,
    /// A removal concerns everything of the member, as if it had seen nothing.
    CutAtWill,
    /// One range in sixteen is not compared, and taken to be equal.
    RangeUncompared,
    /// Who holds the same numbers is not asked whether it holds the same messages.
    ForkUnnoticed,
    /// What is named after a fork is taken for the message of whichever branch.
    BranchesMistaken,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::AnswerBeforeCommit,
        Self::ArrivalOrder,
        Self::DuplicatesApplied,
        Self::ChainUnchecked,
        Self::LamportLeaps,
        Self::BufferUnbounded,
        Self::EpochKept,
        Self::RingUnchecked,
        Self::HorizonTooFar,
        Self::UndoForgotten,
        Self::CursorAhead,
        Self::ResetCoversAll,
        Self::VoidOnArrival,
        Self::CutAtWill,
        Self::RangeUncompared,
        Self::ForkUnnoticed,
        Self::BranchesMistaken,
    ];

    /// Does something with the bug, on this thread.
    pub fn during<T>(self, act: impl FnOnce() -> T) -> T {
        PLANTED.set(Some(self));
        let outcome = act();
        PLANTED.set(None);
        outcome
    }
}

/// Does something as a version does that has no such operation, on this thread.
#[cfg(feature = "planted-bugs")]
pub fn without<T>(operation: OpCode, act: impl FnOnce() -> T) -> T {
    MISSING.set(Some(operation));
    let outcome = act();
    MISSING.set(None);
    outcome
}

#[cfg(feature = "planted-bugs")]
std::thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
    static MISSING: std::cell::Cell<Option<OpCode>> = const { std::cell::Cell::new(None) };
}

/// Whether the bug is there.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// No bug is there.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Whether the operation is not known.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is_missing(operation: OpCode) -> bool {
    MISSING.get() == Some(operation)
}

/// Every operation of the table is known.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is_missing(_: OpCode) -> bool {
    false
}
