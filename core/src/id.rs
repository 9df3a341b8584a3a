//! Who and what: keys, actors, dots, rooms. All are fixed-size bytes whose byte order is their order.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE, HEXLOWER};
use serde::{Deserialize, Serialize};

/// A peer's Ed25519 public key (32 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub [u8; 32]);

/// Who numbers messages: a peer's key and an epoch of 64 random bits, big-endian; ordered by bytes.
///
/// The fold treats the 40 bytes as opaque, so translated histories may use names instead of keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(pub [u8; 40]);

/// A message's identity: the `seq`-th message (from 1) of an actor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dot {
    /// Who made the message.
    pub actor: Actor,
    /// Its number among that actor's messages, from 1, without gaps.
    pub seq: u64,
}

/// One program's, or one person's, stay with a daemon: random, and named by nobody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub [u8; 8]);

/// A room's identity: the hash of its founding message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub [u8; 32]);

/// The hash of a whole scene: equal on replicas that show the same, bit for bit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateHash(pub [u8; 32]);

/// A text that is not the identity it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseIdError {
    /// A message id is `<actor>:<seq>`.
    #[error("a message id is written actor:number")]
    NotADot,
    /// The text is no number from 1 on.
    #[error("a message's number counts from 1")]
    NotASequence,
    /// The bytes are not written as expected.
    #[error("expected {expected_bytes} bytes in {notation}")]
    NotBytes {
        /// Length of the identity.
        expected_bytes: usize,
        /// How it is written.
        notation: &'static str,
    },
}

impl Actor {
    /// The actor of `key` in `epoch`.
    pub fn new(key: PeerKey, epoch: u64) -> Self {
        let mut bytes = [0; 40];
        bytes[..32].copy_from_slice(&key.0);
        bytes[32..].copy_from_slice(&epoch.to_be_bytes());
        Self(bytes)
    }

    /// An actor that stands for a session name of a translated history: names of up to 40 bytes sort as they read.
    /// Longer names keep their first 24 bytes and end in a hash.
    pub fn from_name(name: &str) -> Self {
        let mut bytes = [0; 40];
        let name = name.as_bytes();
        if name.len() <= 40 {
            bytes[..name.len()].copy_from_slice(name);
        } else {
            bytes[..24].copy_from_slice(&name[..24]);
            bytes[24..].copy_from_slice(&blake3::hash(name).as_bytes()[..16]);
        }
        Self(bytes)
    }

    /// The key that signs for this actor.
    pub fn key(&self) -> PeerKey {
        let mut key = [0; 32];
        key.copy_from_slice(&self.0[..32]);
        PeerKey(key)
    }

    /// The epoch of that key.
    pub fn epoch(&self) -> u64 {
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&self.0[32..]);
        u64::from_be_bytes(epoch)
    }
}

fn base32_lower(bytes: &[u8]) -> String {
    let mut text = BASE32_NOPAD.encode(bytes);
    text.make_ascii_lowercase();
    text
}

fn parse_base32<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let mut bytes = [0; N];
    let is_whole = BASE32_NOPAD_NOCASE.decode_len(text.len()) == Ok(N)
        && BASE32_NOPAD_NOCASE.decode_mut(text.as_bytes(), &mut bytes) == Ok(N);
    is_whole.then_some(bytes).ok_or(ParseIdError::NotBytes { expected_bytes: N, notation: "base32" })
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    HEXLOWER
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(ParseIdError::NotBytes { expected_bytes: N, notation: "lower-case hex" })
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor, self.seq)
    }
}

impl FromStr for Dot {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (actor, seq) = text.split_once(':').ok_or(ParseIdError::NotADot)?;
        let seq = seq.parse().ok().filter(|&seq| seq > 0).ok_or(ParseIdError::NotASequence)?;
        Ok(Self { actor: actor.parse()?, seq })
    }
}

/// Text forms: keys and actors in lower-case base32, hashes in lower-case hex; serde uses them as byte strings.
macro_rules! bytes_id {
    ($name:ident, $len:literal, $show:path, $parse:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$show(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), &$show(&self.0)[..10])
            }
        }
        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                $parse::<$len>(text).map(Self)
            }
        }
        /// As text in JSON and CBOR alike: clients compare and print these, they never compute with them.
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
bytes_id!(PeerKey, 32, base32_lower, parse_base32);
bytes_id!(Actor, 40, base32_lower, parse_base32);
bytes_id!(RoomId, 32, hex_lower, parse_hex);
bytes_id!(Session, 8, hex_lower, parse_hex);
bytes_id!(StateHash, 32, hex_lower, parse_hex);

fn hex_lower(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

impl Serialize for Dot {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dot {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip() {
        let actor = Actor::new(PeerKey([7; 32]), 0x0102_0304_0506_0708);
        let dot = Dot { actor, seq: 42 };
        assert_eq!(dot.to_string().parse(), Ok(dot));
        assert_eq!(actor.epoch(), 0x0102_0304_0506_0708);
        assert_eq!(actor.key(), PeerKey([7; 32]));
        assert_eq!(RoomId([255; 32]).to_string().parse(), Ok(RoomId([255; 32])));
        assert_eq!("x:0".parse::<Dot>(), Err(ParseIdError::NotASequence));
        let text = actor.to_string();
        assert_eq!(text.to_uppercase().parse(), Ok(actor));
        for broken in [
            "",
            "1",
            &text[1..],
            &format!("{text}a"),
            &text.replacen('a', "é", 1),
            &text.replacen('a', "1", 1),
        ] {
            assert!(broken.parse::<Actor>().is_err(), "{broken}");
        }
    }

    #[test]
    fn names_sort_as_they_read() {
        assert!(Actor::from_name("a") < Actor::from_name("ab"));
        assert!(Actor::from_name("ab") < Actor::from_name("b"));
        assert_ne!(Actor::from_name(&"n".repeat(41)), Actor::from_name(&"n".repeat(42)));
    }
}
