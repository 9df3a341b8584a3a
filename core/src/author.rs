//! Who makes messages: turns edits into the next message of an actor, its canonical bytes and its link.

use std::collections::BTreeMap;

use crate::api::EditOp;
use crate::canonical::{DecodeError, Writer};
use crate::chain::Link;
use crate::id::{Actor, Dot, RoomId};
use crate::limits::{
    CLOCK_ENTRIES_MAX, COMMIT_BYTES_MAX, MESSAGE_BYTES_MAX, NOTE_BYTES_MAX, REQUEST_BYTES_MAX,
    VALUE_DEPTH_MAX,
};
use crate::message::{Envelope, Head, Message, Origin};
use crate::op::Op;
use crate::op::edit::{self, Commit, EditError, Plain};
use crate::replica::Replica;
use crate::value::Value;
use crate::view::MessageView;

/// One actor, and what its next message follows from.
#[derive(Clone, Debug)]
pub struct Author {
    actor: Actor,
    seq: u64,
    link: Link,
    /// The greatest lamport in the past of the next message, as far as no head below says more.
    lamport: u64,
    /// Heads that the next message is the first of ours to have seen, with their lamports.
    advanced: BTreeMap<Actor, (Head, u64)>,
    /// The bytes of an earlier message, to be overwritten.
    memory: Vec<u8>,
}

/// What a message tells besides its ops.
#[derive(Clone, Copy, Default, Debug)]
pub struct About<'a> {
    /// When it is made, in milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// The client's request id.
    pub request: Option<&'a str>,
    /// A description.
    pub note: Option<&'a str>,
}

/// A message that was made: it has its number, and is to be applied.
#[derive(Clone, Debug)]
pub struct Made<'a> {
    /// Its identity.
    pub dot: Dot,
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// Its link.
    pub link: Link,
    /// Whether it only tells heads, since they did not fit beside the ops. The edits are still to be made.
    pub is_ahead: bool,
    about: About<'a>,
    lamport: u64,
    clock: Vec<Head>,
    /// Its only op, where that is an edit as it stands.
    plain: Option<Plain<'a>>,
}

/// Edits that become no message.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// One of them cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// They are too much for one message.
    #[error("a commit of {bytes} bytes exceeds {bytes_max}")]
    TooLarge {
        /// What the message would take.
        bytes: usize,
        /// What it may.
        bytes_max: usize,
    },
    /// They exceed a limit of messages, so that nobody could read what they become.
    #[error("no message can hold this: {0}")]
    Unreadable(#[from] DecodeError),
}

impl<'a> About<'a> {
    fn envelope(self, seq: u64, lamport: u64) -> Envelope<'a> {
        let Self { time_ms, request, note } = self;
        Envelope { seq, lamport, time_ms, request, note }
    }

    fn is_long(self) -> bool {
        let exceeds = |text: Option<&str>, limit| text.is_some_and(|text| text.len() > limit);
        exceeds(self.request, REQUEST_BYTES_MAX) || exceeds(self.note, NOTE_BYTES_MAX)
    }
}

/// Whether the op that an edit becomes, which may put a list around its value, might be nested too deep.
fn is_deep(edit: &EditOp) -> bool {
    fn exceeds(value: &Value, levels: usize) -> bool {
        match value {
            Value::List(list) => levels == 0 || list.iter().any(|value| exceeds(value, levels - 1)),
            Value::Map(map) => levels == 0 || map.values().any(|value| exceeds(value, levels - 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => false,
        }
    }
    edit.value.iter().chain(edit.options.values()).any(|value| exceeds(value, VALUE_DEPTH_MAX - 2))
}

impl Author {
    /// An actor that has made nothing yet.
    pub fn new(room: &RoomId, actor: Actor) -> Self {
        Self::resume(actor, 0, Link::origin(room, &actor), 0)
    }

    /// An actor whose last message has that number, link and lamport. Of heads it has not seen, it hears next.
    pub fn resume(actor: Actor, seq: u64, link: Link, lamport: u64) -> Self {
        Self { actor, seq, link, lamport, advanced: BTreeMap::new(), memory: Vec::new() }
    }

    /// Who it is.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// The number of its last message, 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The link of its last message, that of the chain's origin before the first.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Takes note of another actor's newest message, which the replica holds.
    pub fn hear(&mut self, head: Head, lamport: u64) {
        debug_assert_ne!(head.actor, self.actor);
        self.advanced.insert(head.actor, (head, lamport));
    }

    /// Makes the next message of the edits, or first one that only tells the heads that do not fit beside them. It has its
    /// number afterwards and must be applied; where there is an error, nothing has happened. The replica holds whatever
    /// this author was told of.
    pub fn next<'a>(
        &mut self,
        edits: &'a [EditOp],
        about: About<'a>,
        replica: &Replica,
    ) -> Result<Made<'a>, MakeError> {
        self.make(about, COMMIT_BYTES_MAX, edits.iter().any(is_deep), |commit, writer| {
            edit::write(edits, replica, commit, writer)
        })
    }

    /// Makes the next message of ops that no client writes, such as a [`Horizon`](crate::horizon::Horizon)'s, as
    /// [`Author::next`] does of edits.
    pub fn say<'a>(&mut self, ops: &[Op], about: About<'a>) -> Result<Made<'a>, MakeError> {
        self.make_of(ops, about)
    }

    /// Makes the next message of one that a horizon left outside, as [`Author::next`] does of edits: with the same ops,
    /// request and description, and the same time. That one may be a re-issue itself: what counts is its origin.
    pub fn reissue<'a>(&mut self, outside: &'a Message) -> Result<Made<'a>, MakeError> {
        let before = outside.origin();
        let own = Origin { dot: outside.dot(), lamport: outside.lamport };
        let rest = &outside.ops[usize::from(before.is_some())..];
        let ops: Vec<Op> = [before.unwrap_or(own).op()].into_iter().chain(rest.iter().cloned()).collect();
        let (request, note) = (outside.request.as_deref(), outside.note.as_deref());
        self.make_of(&ops, About { time_ms: outside.time_ms, request, note })
    }

    fn make_of<'a>(&mut self, ops: &[Op], about: About<'a>) -> Result<Made<'a>, MakeError> {
        self.make(about, MESSAGE_BYTES_MAX, true, |_, writer| {
            writer.array(ops.len());
            ops.iter().for_each(|op| op.encode(writer));
            Ok(None)
        })
    }

    /// Makes the next message of the list of ops that `write` writes, which may say the one op it is. Heads that make it longer
    /// than `bytes_max` go ahead of it. What is doubtful is read
    /// again before it gets its number.
    fn make<'a>(
        &mut self,
        about: About<'a>,
        bytes_max: usize,
        is_doubtful: bool,
        write: impl Fn(Commit, &mut Writer) -> Result<Option<Plain<'a>>, EditError>,
    ) -> Result<Made<'a>, MakeError> {
        let seq = self.seq + 1;
        let told = self.advanced.values().take(CLOCK_ENTRIES_MAX);
        let lamport = told.clone().map(|&(_, lamport)| lamport).fold(self.lamport, u64::max) + 1;
        let heads = told.map(|(head, _)| head);
        let mut writer = Writer::reusing(std::mem::take(&mut self.memory));
        about.envelope(seq, lamport).write(heads.clone(), &mut writer);
        let commit = Commit { lamport, actor: self.actor, seq };
        let mut plain = write(commit, &mut writer)?;
        let is_ahead = writer.len() > bytes_max || self.advanced.len() > CLOCK_ENTRIES_MAX;
        if is_ahead {
            let mut alone = Writer::new();
            about.envelope(seq, lamport).write([].iter(), &mut alone);
            write(commit, &mut alone)?;
            if alone.len() > bytes_max {
                return Err(MakeError::TooLarge { bytes: alone.len(), bytes_max });
            }
            plain = None;
            writer = Writer::reusing(writer.finish());
            let about = About { time_ms: about.time_ms, ..About::default() };
            about.envelope(seq, lamport).write(heads.clone(), &mut writer);
            writer.array(0);
        }
        let (body, clock) = (writer.finish(), heads.copied().collect());
        if about.is_long() || is_doubtful {
            MessageView::read(self.actor, &body)?;
        }
        (self.seq, self.lamport, self.link) = (seq, lamport, self.link.next(&body));
        for _ in 0..CLOCK_ENTRIES_MAX.min(self.advanced.len()) {
            self.advanced.pop_first();
        }
        let dot = Dot { actor: self.actor, seq };
        Ok(Made { dot, body, link: self.link, is_ahead, about, lamport, clock, plain })
    }

    /// Makes a message of the edits, and those that must go ahead of it, and applies them to the replica. `tell` gets each, in
    /// order.
    pub fn commit(
        &mut self,
        edits: &[EditOp],
        about: About<'_>,
        replica: &mut Replica,
        mut tell: impl FnMut(&Made<'_>),
    ) -> Result<Dot, MakeError> {
        loop {
            let made = self.next(edits, about, replica)?;
            replica.apply_view(&made.view());
            tell(&made);
            let Made { dot, body, is_ahead, .. } = made;
            self.memory = body;
            if !is_ahead {
                return Ok(dot);
            }
        }
    }
}

impl Made<'_> {
    /// The message, to be looked at and applied.
    pub fn view(&self) -> MessageView<'_> {
        let read = || {
            MessageView::read(self.dot.actor, &self.body)
                .expect("a message that is made is one that can be read")
        };
        let Some(plain) = &self.plain else { return read() };
        let envelope = self.about.envelope(self.dot.seq, self.lamport);
        let view = MessageView::of_op(self.dot.actor, envelope, self.clock.clone(), plain.view(&self.body));
        debug_assert_eq!(view.to_message(), read().to_message());
        view
    }
}
