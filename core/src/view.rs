//! A message read in place: its canonical bytes, checked and taken apart without being copied.

use crate::canonical::{DecodeError, Reader, Writer};
use crate::id::{Actor, Dot};
use crate::limits::{
    CLOCK_ENTRIES_MAX, LAMPORT_MAX, MESSAGE_BYTES_MAX, MESSAGE_OPS_MAX, NOTE_BYTES_MAX, REQUEST_BYTES_MAX,
};
use crate::message::{Envelope, Head, Message, Origin, VERSION};
use crate::op::OpView;
use crate::op::room::ORIGIN;
use crate::raw::Raw;

/// A message whose texts and values rest where it was read.
#[derive(Clone, Debug)]
pub struct MessageView<'a> {
    /// Who made it.
    pub actor: Actor,
    /// Its number among the actor's messages, from 1.
    pub seq: u64,
    /// 1 + the greatest lamport in its causal past.
    pub lamport: u64,
    /// The heads of other actors that its author has newly seen since the message before, in actor order.
    pub clock: Vec<Head>,
    /// When the author's clock said it was made, in milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// The client's request id.
    pub request: Option<&'a str>,
    /// The author's description.
    pub note: Option<&'a str>,
    /// Apart from the others, so that a message of one op needs no memory of its own.
    first: Option<OpView<'a>>,
    others: Vec<OpView<'a>>,
}

impl<'a> MessageView<'a> {
    /// Reads the canonical bytes of a message by `actor`. Everything that must hold of one message by itself does
    /// afterwards; whether it fits its actor's chain and its past is for admission to say.
    pub fn read(actor: Actor, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            let (found, limit) = (bytes.len(), MESSAGE_BYTES_MAX);
            return Err(DecodeError::TooLong { what: "message", found, limit });
        }
        let mut reader = Reader::new(bytes);
        reader.array_of(8, "a message")?;
        if reader.uint()? != VERSION {
            return Err(DecodeError::Unexpected { expected: "message format 1", offset: 1 });
        }
        let mut message = Self {
            actor,
            seq: reader.uint()?,
            lamport: reader.uint()?,
            clock: read_clock(&mut reader)?,
            time_ms: reader.uint_or_null()?,
            request: reader.str_or_null(REQUEST_BYTES_MAX, "request id")?,
            note: reader.str_or_null(NOTE_BYTES_MAX, "description")?,
            first: None,
            others: Vec::new(),
        };
        for _ in 0..reader.array(MESSAGE_OPS_MAX, "ops")? {
            message.push(OpView::read(&mut reader, message.dot())?);
        }
        let is_canonical = reader.is_canonical();
        reader.finish()?;
        if message.lamport > LAMPORT_MAX {
            return Err(DecodeError::Unexpected { expected: "a lamport time below 2^53", offset: 1 });
        }
        let ordered = message.clock.windows(2).all(|pair| pair[0].actor < pair[1].actor);
        let others = message.clock.iter().all(|head| head.actor != actor && head.seq > 0);
        if !ordered || !others || message.seq == 0 || !is_canonical {
            return Err(DecodeError::NotCanonical);
        }
        Ok(message)
    }

    /// Looks at a message that is plain data, whatever it holds.
    pub(crate) fn with<T>(message: &Message, look: impl FnOnce(&MessageView<'_>) -> T) -> T {
        let mut writer = Writer::new();
        let starts: Vec<[usize; 2]> = message
            .ops
            .iter()
            .map(|op| [writer.value(&op.value).len(), writer.value_map(&op.options).len()])
            .collect();
        let bytes = writer.finish();
        let mut view = MessageView {
            actor: message.actor,
            seq: message.seq,
            lamport: message.lamport,
            clock: message.clock.clone(),
            time_ms: message.time_ms,
            request: message.request.as_deref(),
            note: message.note.as_deref(),
            first: None,
            others: Vec::new(),
        };
        let mut start = 0;
        for (op, [options, end]) in message.ops.iter().zip(starts) {
            view.push(OpView {
                code: op.code,
                key: &op.key,
                path: op.path.as_deref(),
                value: Raw::of_checked(&bytes[start..options]),
                options: Raw::of_checked(&bytes[options..end]),
                known: None,
            });
            start = end;
        }
        look(&view)
    }

    /// A message of one op.
    pub(crate) fn of_op(actor: Actor, envelope: Envelope<'a>, clock: Vec<Head>, op: OpView<'a>) -> Self {
        let Envelope { seq, lamport, time_ms, request, note } = envelope;
        Self { actor, seq, lamport, clock, time_ms, request, note, first: Some(op), others: Vec::new() }
    }

    fn push(&mut self, op: OpView<'a>) {
        match self.first {
            None => self.first = Some(op),
            Some(_) => self.others.push(op),
        }
    }

    /// The message's identity.
    pub fn dot(&self) -> Dot {
        Dot { actor: self.actor, seq: self.seq }
    }

    /// The steps, in order.
    pub fn ops(&self) -> impl Iterator<Item = &OpView<'a>> {
        self.first.iter().chain(&self.others)
    }

    /// The message that this one is, issued again: see [`Message::origin`].
    pub fn origin(&self) -> Option<Origin> {
        let first = self.first.filter(|op| op.code == ORIGIN && op.resolve().is_ok())?;
        let (of, lamport) = (first.options.get("of")?.as_text()?, first.options.get("lamport"));
        Origin::read(self.dot(), of, lamport.and_then(Raw::as_number))
    }

    /// The message as plain data.
    pub fn to_message(&self) -> Message {
        Message {
            actor: self.actor,
            seq: self.seq,
            lamport: self.lamport,
            clock: self.clock.clone(),
            time_ms: self.time_ms,
            request: self.request.map(str::to_owned),
            note: self.note.map(str::to_owned),
            ops: self.ops().map(OpView::to_op).collect(),
        }
    }
}

fn read_clock(reader: &mut Reader<'_>) -> Result<Vec<Head>, DecodeError> {
    let len = reader.array(CLOCK_ENTRIES_MAX, "clock entries")?;
    (0..len)
        .map(|_| {
            reader.array_of(3, "a clock entry")?;
            Ok(Head { actor: Actor(reader.bytes_of()?), seq: reader.uint()?, link: reader.bytes_of()? })
        })
        .collect()
}
