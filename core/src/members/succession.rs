//! A key that takes the place of another one: what the old key signs, and what follows from it for whoever sees that.

use data_encoding::BASE64_NOPAD;

use crate::chain::{self, Link, Signature};
use crate::id::PeerKey;
use crate::op::room::ROTATE;
use crate::op::{Op, Options};
use crate::value::Value;

/// The option that holds the old key's signature.
const SIGNED: &str = "signed";
/// The option that names the next key, where the author is a later one.
const TO: &str = "to";
/// The option that holds the next key's signature then.
const PASSED: &str = "passed";
/// The option that names the horizon on which the founder stands, where a former key of his has made it.
const HORIZON: &str = "horizon";

/// A key that a member had before, and what it has signed: that the next one takes its place, in every room.
///
/// The next key's consent is in what it signs itself: it says so in the room's log, or proves itself to a peer, or has given way to who says
/// so.
///
/// ```
/// use rtc_core::chain::{Ed25519, Keys};
///
/// let old = Ed25519::from_seed(&[1; 32]).public();
/// let new = Ed25519::from_seed(&[2; 32]).after([&[1; 32]]);
/// let former = new.give_way(&old, &new.public()).unwrap();
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

    /// The op by which the next key takes its place in a room, as that one says.
    pub fn op(&self) -> Op {
        let options: Options = [(SIGNED.to_owned(), text_of(&self.signature))].into();
        Op { code: ROTATE, key: String::new(), path: None, value: self.key.to_string().into(), options }
    }

    /// The same op as a later key says it, to which `next`, the next key, gave way.
    pub fn op_after(&self, next: &Self) -> Op {
        let mut op = self.op();
        op.options.insert(TO.to_owned(), next.key.to_string().into());
        op.options.insert(PASSED.to_owned(), text_of(&next.signature));
        op
    }

    /// Lets such an op vouch for a horizon that a former key has made: that key can make none any more.
    pub(crate) fn vouch(op: &mut Op, horizon: &Link) {
        op.options.insert(HORIZON.to_owned(), BASE64_NOPAD.encode(&horizon.0).into());
    }

    /// Whether an op vouches for a horizon.
    pub(crate) fn vouches(op: &Op, horizon: &Link) -> bool {
        let vouched = op.options.get(HORIZON).and_then(Value::as_text);
        op.code == ROTATE && vouched == Some(&BASE64_NOPAD.encode(&horizon.0))
    }

    /// The key that gave way by such an op of `author`.
    pub(crate) fn gave_way(op: &Op, author: &PeerKey) -> Option<PeerKey> {
        let (former, _) = Self::of(op, author).filter(|_| op.code == ROTATE)?;
        Some(former.key)
    }

    /// What such an op says, if it is one and `author` may say so: which key gave way, and to which.
    pub(super) fn of(op: &Op, author: &PeerKey) -> Option<(Self, PeerKey)> {
        let text = |name: &str| op.options.get(name).and_then(Value::as_text);
        let signature = |name: &str| {
            let bytes = BASE64_NOPAD.decode(text(name)?.as_bytes()).ok()?;
            Some(Signature(bytes.try_into().ok()?))
        };
        let former = Self { key: op.value.as_text()?.parse().ok()?, signature: signature(SIGNED)? };
        let next = match text(TO) {
            None => *author,
            Some(to) => {
                let next = Self { key: to.parse().ok()?, signature: signature(PASSED)? };
                next.gives_way_to(author).then_some(next.key)?
            }
        };
        (former.key != *author && former.gives_way_to(&next)).then_some((former, next))
    }
}

fn text_of(signature: &Signature) -> Value {
    BASE64_NOPAD.encode(&signature.0).into()
}

/// Whether a member whose first key was `first` and whose later ones followed upon each other like that has come to `last`.
pub fn is_succession(first: &PeerKey, former: &[Former], last: &PeerKey) -> bool {
    let keys = former.iter().map(|former| &former.key).chain([last]);
    keys.clone().next() == Some(first)
        && former.iter().zip(keys.skip(1)).all(|(former, next)| former.gives_way_to(next))
}
