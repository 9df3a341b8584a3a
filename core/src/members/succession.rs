//! A key that takes the place of another one: what the old key signs, and what follows from it for whoever sees that.

use data_encoding::BASE64_NOPAD;

use crate::chain::{self, Link, Signature};
use crate::id::PeerKey;
use crate::op::room::ROTATE;
use crate::op::{Op, Options};

/// The option that holds the old key's signature.
const SIGNED: &str = "signed";

/// A key that a member had before, and what it has signed: that the next one takes its place, in every room.
///
/// The next key's consent is in what it signs itself: it says so in the room's log, or proves itself to a peer.
///
/// ```
/// use rtc_core::chain::{Ed25519, Keys};
///
/// let old = Ed25519::from_seed(&[1; 32]).public();
/// let new = Ed25519::from_seed(&[2; 32]).after([&[1; 32]]);
/// let former = new.give_way(&old).unwrap();
/// assert!(former.gives_way_to(&new.public()) && !former.gives_way_to(&old));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Former {
    /// The key.
    pub key: PeerKey,
    /// Its signature.
    pub signature: Signature,
}

impl Former {
    /// What is signed.
    pub(crate) fn statement(old: &PeerKey, new: &PeerKey) -> Link {
        let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 key succession v1");
        hasher.update(&old.0).update(&new.0);
        Link(*hasher.finalize().as_bytes())
    }

    /// Whether it has signed that this key takes its place.
    pub fn gives_way_to(&self, next: &PeerKey) -> bool {
        self.key != *next
            && chain::is_signed_by(&self.key, &Self::statement(&self.key, next), &self.signature)
    }

    /// The op by which the next key takes its place in a room.
    pub fn op(&self) -> Op {
        let options: Options = [(SIGNED.to_owned(), BASE64_NOPAD.encode(&self.signature.0).into())].into();
        Op { code: ROTATE, key: String::new(), path: None, value: self.key.to_string().into(), options }
    }

    /// What such an op says, if it is one and `author` may say so.
    pub(super) fn of(op: &Op, author: &PeerKey) -> Option<Self> {
        let signed = BASE64_NOPAD.decode(op.options.get(SIGNED)?.as_text()?.as_bytes()).ok()?;
        let former =
            Self { key: op.value.as_text()?.parse().ok()?, signature: Signature(signed.try_into().ok()?) };
        former.gives_way_to(author).then_some(former)
    }
}

/// Whether a member whose first key was `first` and whose later ones followed upon each other like that has come to `last`.
pub fn is_succession(first: &PeerKey, former: &[Former], last: &PeerKey) -> bool {
    let keys = former.iter().map(|former| &former.key).chain([last]);
    keys.clone().next() == Some(first)
        && former.iter().zip(keys.skip(1)).all(|(former, next)| former.gives_way_to(next))
}
