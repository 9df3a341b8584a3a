//! Signatures that cost next to nothing: in most universes they stand where Ed25519 stands in the others.

use std::sync::Arc;

use crate::chain::{Ed25519, Keys, Link, Signature};
use crate::id::{PeerKey, RoomId};
use crate::ticket::Secret;

/// The secrets of a peer's keys, the newest last, and how it signs.
#[derive(Clone)]
pub(super) struct Signer {
    secrets: Vec<[u8; 32]>,
    /// Whether it signs as daemons do.
    signs: bool,
}

impl Signer {
    pub(super) fn new(secret: [u8; 32], signs: bool) -> Self {
        Self { secrets: vec![secret], signs }
    }

    /// Gives way to another one.
    pub(super) fn rotate(&mut self, secret: [u8; 32]) {
        self.secrets.push(secret);
    }

    pub(super) fn keys(&self) -> Arc<dyn Keys> {
        let (newest, former) = self.secrets.split_last().expect("there is one from the beginning");
        match self.signs {
            true => Arc::new(Ed25519::from_seed(newest).after(former)),
            false => Arc::new(HashKeys::new(PeerKey(*newest))),
        }
    }
}

/// A keyed hash for a signature. Whoever knows a key could sign for it; nobody in a universe does that but on purpose.
pub(super) struct HashKeys(PeerKey);

impl HashKeys {
    pub(super) fn new(public: PeerKey) -> Self {
        Self(public)
    }
}

impl Keys for HashKeys {
    fn public(&self) -> PeerKey {
        self.0
    }

    fn sign(&self, link: &Link) -> Signature {
        signature(&self.0, link)
    }

    fn verify(&self, key: &PeerKey, link: &Link, given: &Signature) -> bool {
        signature(key, link) == *given
    }

    /// Nothing can be sealed to such a key.
    fn unseal(&self, _: &PeerKey, _: &RoomId, _: &[u8]) -> Option<Secret> {
        None
    }
}

fn signature(key: &PeerKey, link: &Link) -> Signature {
    let hash = blake3::keyed_hash(&key.0, &link.0);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(hash.as_bytes());
    bytes[32..].copy_from_slice(hash.as_bytes());
    Signature(bytes)
}
