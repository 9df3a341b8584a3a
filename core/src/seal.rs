//! A room's secret on its way through the room's own log: sealed to each member, and the ones before it under the new one.
//!
//! Everybody who relays the log sees these bytes; only the key they are sealed to opens them. That is an Ed25519 key, used for X25519 as
//! its Montgomery form (<https://eprint.iacr.org/2021/509>), against a key made for this one sealing.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::id::{PeerKey, RoomId};
use crate::ticket::Secret;

/// Bytes of a sealed secret: the ephemeral key, the secret, the tag.
const SEALED_BYTES: usize = 32 + 32 + 16;
/// Former secrets that are handed on: whoever was away for more rotations than that needs a new invitation.
pub const FORMER_SECRETS_MAX: usize = 64;

/// Seals a room's secret to a member. `ephemeral` is random and used for nothing else. None where the key is no key, or a weak one.
///
/// ```
/// use rtc_core::chain::{Ed25519, Keys};
/// use rtc_core::id::RoomId;
/// use rtc_core::seal::seal;
/// use rtc_core::ticket::Secret;
///
/// let (ada, bob) = (Ed25519::from_seed(&[1; 32]), Ed25519::from_seed(&[2; 32]));
/// let (room, secret) = (RoomId([3; 32]), Secret([4; 32]));
/// let sealed = seal(&ada.public(), &room, &[5; 32], &secret).unwrap();
/// assert_eq!(ada.unseal(&ada.public(), &room, &sealed), Some(secret));
/// assert_eq!(bob.unseal(&ada.public(), &room, &sealed), None);
/// ```
pub fn seal(to: &PeerKey, room: &RoomId, ephemeral: &[u8; 32], secret: &Secret) -> Option<Vec<u8>> {
    let theirs = VerifyingKey::from_bytes(&to.0).ok().filter(|key| !key.is_weak())?;
    let ours = SigningKey::from_bytes(&blake3::keyed_hash(ephemeral, &to.0).into());
    let public = ours.verifying_key().to_bytes();
    let shared = theirs.to_montgomery().mul_clamped(ours.to_scalar_bytes());
    let mut sealed = public.to_vec();
    sealed.extend(encrypt(&key_of(&shared.0, &public, to, room), &secret.0));
    Some(sealed)
}

/// Opens what was sealed to the key pair `ours`.
pub(crate) fn unseal(ours: &SigningKey, room: &RoomId, sealed: &[u8]) -> Option<Secret> {
    if sealed.len() != SEALED_BYTES {
        return None;
    }
    let (public, content) = sealed.split_first_chunk::<32>()?;
    let theirs = VerifyingKey::from_bytes(public).ok().filter(|key| !key.is_weak())?;
    let shared = theirs.to_montgomery().mul_clamped(ours.to_scalar_bytes());
    let to = PeerKey(ours.verifying_key().to_bytes());
    let secret = decrypt(&key_of(&shared.0, public, &to, room), content)?;
    Some(Secret(secret.try_into().ok()?))
}

/// Locks a room's former secrets under its new one, the newest first.
pub fn lock(former: &[Secret], room: &RoomId, new: &Secret) -> Vec<u8> {
    let former: Vec<u8> = former.iter().take(FORMER_SECRETS_MAX).flat_map(|secret| secret.0).collect();
    encrypt(&lock_key(room, new), &former)
}

/// Opens what was locked under `new`.
pub fn unlock(locked: &[u8], room: &RoomId, new: &Secret) -> Option<Vec<Secret>> {
    let former = decrypt(&lock_key(room, new), locked)?;
    let (secrets, rest) = former.as_chunks::<32>();
    rest.is_empty().then(|| secrets.iter().take(FORMER_SECRETS_MAX).copied().map(Secret).collect())
}

fn key_of(shared: &[u8; 32], ephemeral: &[u8; 32], to: &PeerKey, room: &RoomId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 seal v1");
    hasher.update(shared).update(ephemeral).update(&to.0).update(&room.0);
    hasher.finalize().into()
}

fn lock_key(room: &RoomId, secret: &Secret) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 former secrets v1");
    hasher.update(&secret.0).update(&room.0);
    hasher.finalize().into()
}

// Each key encrypts one content only, so one nonce does.
fn encrypt(key: &[u8; 32], content: &[u8]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(Key::from_slice(key));
    cipher.encrypt(&Nonce::default(), content).expect("a few kilobytes are not too much to encrypt")
}

fn decrypt(key: &[u8; 32], content: &[u8]) -> Option<Vec<u8>> {
    ChaCha20Poly1305::new(Key::from_slice(key)).decrypt(&Nonce::default(), content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Ed25519, Keys};

    const ROOM: RoomId = RoomId([3; 32]);

    #[test]
    fn every_changed_bit_and_another_room_open_nothing() {
        let keys = Ed25519::from_seed(&[1; 32]);
        let sealed = seal(&keys.public(), &ROOM, &[5; 32], &Secret([4; 32])).unwrap();
        assert_eq!(sealed.len(), SEALED_BYTES);
        assert_eq!(keys.unseal(&keys.public(), &RoomId([4; 32]), &sealed), None);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.unseal(&keys.public(), &ROOM, &changed), None, "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(keys.unseal(&keys.public(), &ROOM, &sealed[..cut]), None);
        }
    }

    #[test]
    fn to_a_weak_key_nothing_is_sealed() {
        let neutral = PeerKey(std::array::from_fn(|index| u8::from(index == 0)));
        assert_eq!(seal(&neutral, &ROOM, &[5; 32], &Secret([4; 32])), None);
    }

    #[test]
    fn former_secrets_open_with_the_new_one() {
        let former: Vec<Secret> =
            (0..=u8::try_from(FORMER_SECRETS_MAX).unwrap()).map(|number| Secret([number; 32])).collect();
        let locked = lock(&former, &ROOM, &Secret([200; 32]));
        let opened = unlock(&locked, &ROOM, &Secret([200; 32]));
        assert_eq!(opened.as_deref(), Some(&former[..FORMER_SECRETS_MAX]));
        assert_eq!(unlock(&locked, &ROOM, &Secret([201; 32])), None);
        assert_eq!(unlock(&locked[1..], &ROOM, &Secret([200; 32])), None);
    }
}
