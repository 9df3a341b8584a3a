//! The hash chain of an actor's messages, and the signatures that vouch for it.
//!
//! One signature over a link vouches for every message before it, so a run of messages costs one check.

use std::fmt;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::id::{Actor, PeerKey, RoomId};
use crate::members::Former;
use crate::message::SHORT_LINK_BYTES;
use crate::seal;
use crate::ticket::Secret;

/// What a signature over a link signs, before the link: no other protocol's signature can be taken for one.
const SIGNED_PREFIX: &[u8; 12] = b"rtc run v1\0\0";

/// A message's place in its actor's chain: BLAKE3, keyed by the link before, of the canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// What an actor's first message hangs on: bound to format, room and actor, so nothing replays elsewhere.
    pub fn origin(room: &RoomId, actor: &Actor) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 message chain v1");
        hasher.update(&room.0).update(&actor.0);
        Self(*hasher.finalize().as_bytes())
    }

    /// The link of the message whose canonical bytes follow this one.
    #[must_use]
    pub fn next(&self, message: &[u8]) -> Self {
        Self(*blake3::keyed_hash(&self.0, message).as_bytes())
    }

    /// The bytes a clock entry carries.
    pub fn short(&self) -> [u8; SHORT_LINK_BYTES] {
        let mut short = [0; SHORT_LINK_BYTES];
        short.copy_from_slice(&self.0[..SHORT_LINK_BYTES]);
        short
    }

    fn signed_bytes(&self) -> [u8; 44] {
        let mut bytes = [0; 44];
        bytes[..12].copy_from_slice(SIGNED_PREFIX);
        bytes[12..].copy_from_slice(&self.0);
        bytes
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", HEXLOWER.encode(&self.0[..8]))
    }
}

/// An Ed25519 signature over a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", HEXLOWER.encode(&self.0[..4]))
    }
}

/// Signs and verifies links. A seam: the simulator may put something cheaper behind it.
pub trait Keys: Send + Sync {
    /// The key signatures are made with.
    fn public(&self) -> PeerKey;
    /// Signs `link`.
    fn sign(&self, link: &Link) -> Signature;
    /// Signs `link` with `key`, this one or a former one; nothing where it is neither.
    fn sign_as(&self, key: &PeerKey, link: &Link) -> Option<Signature> {
        (*key == self.public()).then(|| self.sign(link))
    }
    /// Whether `signature` over `link` was made with `key`.
    fn verify(&self, key: &PeerKey, link: &Link, signature: &Signature) -> bool;
    /// Opens a room's secret that was [sealed](crate::seal::seal) to `key`, this one or a former one; nothing where it was not.
    fn unseal(&self, key: &PeerKey, room: &RoomId, sealed: &[u8]) -> Option<Secret>;
    /// The keys that gave way to this one, the first one first.
    fn former(&self) -> Vec<PeerKey> {
        Vec::new()
    }
    /// Lets a former key sign that this one takes its place; nothing where it is none.
    fn give_way(&self, former: &PeerKey) -> Option<Former> {
        let _ = former;
        None
    }
}

/// The real thing: Ed25519 as in RFC 8032, verified strictly, so that every replica gives one verdict.
pub struct Ed25519 {
    key: SigningKey,
    /// Those that gave way to it, the first one first.
    former: Vec<SigningKey>,
}

impl Ed25519 {
    /// The key pair of a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed), former: Vec::new() }
    }

    /// The same, which took the place of the key pairs of these seeds, the first one first.
    #[must_use]
    pub fn after<'a>(self, former: impl IntoIterator<Item = &'a [u8; 32]>) -> Self {
        Self { former: former.into_iter().map(SigningKey::from_bytes).collect(), ..self }
    }

    /// The key pair of that public key, if it is this one or a former one.
    fn of(&self, key: &PeerKey) -> Option<&SigningKey> {
        self.former.iter().chain([&self.key]).find(|ours| public(ours) == *key)
    }
}

fn public(key: &SigningKey) -> PeerKey {
    PeerKey(key.verifying_key().to_bytes())
}

fn sign(key: &SigningKey, link: &Link) -> Signature {
    Signature(key.sign(&link.signed_bytes()).to_bytes())
}

/// Whether an Ed25519 signature over `link` was made with `key`.
pub(crate) fn is_signed_by(key: &PeerKey, link: &Link, signature: &Signature) -> bool {
    VerifyingKey::from_bytes(&key.0).is_ok_and(|key| {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&link.signed_bytes(), &signature).is_ok()
    })
}

impl fmt::Debug for Ed25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519({})", self.public())
    }
}

impl Keys for Ed25519 {
    fn public(&self) -> PeerKey {
        public(&self.key)
    }

    fn sign(&self, link: &Link) -> Signature {
        sign(&self.key, link)
    }

    fn sign_as(&self, key: &PeerKey, link: &Link) -> Option<Signature> {
        self.of(key).map(|ours| sign(ours, link))
    }

    fn verify(&self, key: &PeerKey, link: &Link, signature: &Signature) -> bool {
        is_signed_by(key, link, signature)
    }

    fn unseal(&self, key: &PeerKey, room: &RoomId, sealed: &[u8]) -> Option<Secret> {
        seal::unseal(self.of(key)?, room, sealed)
    }

    fn former(&self) -> Vec<PeerKey> {
        self.former.iter().map(public).collect()
    }

    fn give_way(&self, former: &PeerKey) -> Option<Former> {
        let old = self.former.iter().find(|old| public(old) == *former)?;
        Some(Former { key: *former, signature: sign(old, &Former::statement(former, &self.public())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_vouches_for_one_link_and_one_key() {
        let keys = Ed25519::from_seed(&[1; 32]);
        let link = Link::origin(&RoomId([2; 32]), &Actor::new(keys.public(), 3)).next(b"message");
        let signature = keys.sign(&link);
        assert!(keys.verify(&keys.public(), &link, &signature));
        assert!(!keys.verify(&keys.public(), &link.next(b"another"), &signature));
        assert!(!keys.verify(&Ed25519::from_seed(&[2; 32]).public(), &link, &signature));
    }

    #[test]
    fn chains_of_different_rooms_and_actors_never_meet() {
        let actor = Actor::from_name("a");
        let here = Link::origin(&RoomId([1; 32]), &actor);
        assert_ne!(here, Link::origin(&RoomId([2; 32]), &actor));
        assert_ne!(here, Link::origin(&RoomId([1; 32]), &Actor::from_name("b")));
        assert_ne!(here.next(b"x"), here.next(b"y"));
    }
}
