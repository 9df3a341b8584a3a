//! The atomic batch of ops one commit makes, and its canonical bytes.

use crate::canonical::{DecodeError, Writer};
use crate::id::{Actor, Dot};
use crate::op::Op;
use crate::op::room::ORIGIN;
use crate::value::{Number, Value};
use crate::view::MessageView;

/// The format this code writes; the first item of every message.
pub(crate) const VERSION: u64 = 1;
/// Bytes of a link that a clock entry carries.
pub const SHORT_LINK_BYTES: usize = 16;

/// What one commit makes: it travels, is stored and is undone as one.
///
/// ```
/// use rtc_core::id::Actor;
/// use rtc_core::message::Message;
/// use rtc_core::op::{Op, OpCode};
///
/// let remove = OpCode::named("node.remove").expect("it is in the table");
/// let (key, options) = ("cube-1".to_owned(), Default::default());
/// let message = Message {
///     actor: Actor::from_name("alice"),
///     seq: 1,
///     lamport: 1,
///     clock: Vec::new(),
///     time_ms: None,
///     request: None,
///     note: Some("tidied up".into()),
///     ops: vec![Op { code: remove, key, path: None, value: Default::default(), options }],
/// };
/// let mut bytes = message.encode();
/// assert_eq!(Message::decode(message.actor, &bytes), Ok(message.clone()));
/// bytes.push(0);
/// assert!(Message::decode(message.actor, &bytes).is_err());
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Who made it. Not part of the bytes: the chain they hang on names the actor.
    pub actor: Actor,
    /// Its number among the actor's messages, from 1.
    pub seq: u64,
    /// 1 + the greatest lamport in its causal past.
    pub lamport: u64,
    /// The heads of other actors that its author has newly seen since the message before, in actor order.
    pub clock: Vec<Head>,
    /// When the author's clock said it was made, in milliseconds since 1970; for people only, it orders nothing.
    pub time_ms: Option<u64>,
    /// The client's request id: of several messages of one key with the same, the least in order counts.
    pub request: Option<String>,
    /// The author's description.
    pub note: Option<String>,
    /// The steps, in order.
    pub ops: Vec<Op>,
}

/// The newest message of one actor that another had seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Head {
    /// Whose message.
    pub actor: Actor,
    /// Its number.
    pub seq: u64,
    /// The first bytes of its link: which of two messages with that number, should there be two.
    pub link: [u8; SHORT_LINK_BYTES],
}

/// The message that another is, issued again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Its identity, by which characters, elements and undos go on to name it.
    pub dot: Dot,
    /// The lamport time it had: the places that it gave to nodes end in it, as others' places beside those know.
    pub lamport: u64,
}

impl Origin {
    /// The op that says it, the first of the message that is issued again.
    pub fn op(&self) -> Op {
        let lamport = self.lamport.to_string().parse().ok().and_then(Value::number);
        let options = [
            ("of".to_owned(), self.dot.to_string().into()),
            ("lamport".to_owned(), lamport.unwrap_or_default()),
        ];
        Op { code: ORIGIN, key: String::new(), path: None, value: Value::Null, options: options.into() }
    }

    /// What the message `own` says it was before; nothing where that is itself.
    pub(crate) fn read(own: Dot, of: &str, lamport: Option<f64>) -> Option<Self> {
        let dot = of.parse().ok().filter(|dot| *dot != own)?;
        let lamport = lamport.and_then(Number::new).and_then(Number::as_integer);
        Some(Self { dot, lamport: lamport.and_then(|lamport| lamport.try_into().ok()).unwrap_or(0) })
    }
}

/// All of a message but its actor, its clock and its ops.
pub(crate) struct Envelope<'a> {
    pub(crate) seq: u64,
    pub(crate) lamport: u64,
    pub(crate) time_ms: Option<u64>,
    pub(crate) request: Option<&'a str>,
    pub(crate) note: Option<&'a str>,
}

impl Envelope<'_> {
    /// Writes everything before the list of ops.
    pub(crate) fn write<'a>(&self, clock: impl ExactSizeIterator<Item = &'a Head>, writer: &mut Writer) {
        writer.array(8).uint(VERSION).uint(self.seq).uint(self.lamport).array(clock.len());
        for head in clock {
            writer.array(3).bytes(&head.actor.0).uint(head.seq).bytes(&head.link);
        }
        writer.uint_or_null(self.time_ms).text_or_null(self.request).text_or_null(self.note);
    }
}

impl Message {
    /// The message's identity.
    pub fn dot(&self) -> Dot {
        Dot { actor: self.actor, seq: self.seq }
    }

    /// The message that this one is, issued again because a horizon left that outside (DESIGN §3, law 14); usually none.
    pub fn origin(&self) -> Option<Origin> {
        let first = self.ops.first().filter(|op| op.code == ORIGIN && op.resolve().is_ok())?;
        let (of, lamport) = (first.options.get("of")?.as_text()?, first.options.get("lamport"));
        Origin::read(self.dot(), of, lamport.and_then(Value::as_number))
    }

    /// The canonical bytes: `[1, seq, lamport, [[actor, seq, link]…], time_ms, request, note, [op…]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let (request, note) = (self.request.as_deref(), self.note.as_deref());
        let Self { seq, lamport, time_ms, .. } = *self;
        Envelope { seq, lamport, time_ms, request, note }.write(self.clock.iter(), &mut writer);
        writer.array(self.ops.len());
        for op in &self.ops {
            op.encode(&mut writer);
        }
        writer.finish()
    }

    /// Reads the canonical bytes of a message by `actor`. Everything that must hold of one message by itself does
    /// afterwards; whether it fits its actor's chain and its past is for admission to say.
    pub fn decode(actor: Actor, bytes: &[u8]) -> Result<Self, DecodeError> {
        MessageView::read(actor, bytes).map(|view| view.to_message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::OpCode;

    fn message() -> Message {
        Message {
            actor: Actor::from_name("a"),
            seq: 3,
            lamport: 7,
            clock: vec![Head { actor: Actor::from_name("b"), seq: 2, link: [9; 16] }],
            time_ms: Some(1_700_000_000_000),
            request: None,
            note: Some("moved".into()),
            ops: vec![Op {
                code: OpCode(0x0401),
                key: "cube-1".into(),
                path: Some("transform.position".into()),
                value: Value::numbers(&[1.0, 0.5, -2.0]).unwrap(),
                options: Default::default(),
            }],
        }
    }

    #[test]
    fn bytes_round_trip() {
        let message = message();
        assert_eq!(Message::decode(message.actor, &message.encode()), Ok(message));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_an_error_or_another_message() {
        let message = message();
        let bytes = message.encode();
        for cut in 0..bytes.len() {
            assert!(Message::decode(message.actor, &bytes[..cut]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Message::decode(message.actor, &flipped), Ok(message.clone()), "bit {bit}");
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let mut message = message();
        message.clock.push(Head { actor: Actor::from_name("a"), seq: 1, link: [0; 16] });
        assert_eq!(Message::decode(message.actor, &message.encode()), Err(DecodeError::NotCanonical));
        message.clock.clear();
        message.ops[0].value = Value::Null;
        let mut bytes = message.encode();
        // The op with an explicit null where a shorter array says the same.
        let op = bytes.len() - (1 + "transform.position".len()) - (1 + "cube-1".len()) - 3 - 1;
        assert_eq!(bytes[op], 0x83);
        bytes[op] = 0x84;
        bytes.push(0xf6);
        assert_eq!(Message::decode(message.actor, &bytes), Err(DecodeError::NotCanonical));
    }
}
