//! Who this daemon is: an Ed25519 key made at the first start, and whenever somebody asks for another one.
//!
//! Keys that gave way to a newer one stay in the file: with them this machine takes its places in rooms, and reads what was sealed to them.
//! A damaged or exposed identity is an error somebody must look at; it is never silently replaced, since a new key is
//! a new peer that belongs to no room.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rtc_core::chain::{Ed25519, Keys};
use rtc_core::id::PeerKey;
use rtc_core::limits::SEAT_KEYS_MAX;
use zeroize::Zeroizing;

use crate::durable;

/// What a file with one key begins with: its format.
const MAGIC: &[u8; 8] = b"rtc-key1";
/// The same of one with former keys.
const MAGIC_FORMER: &[u8; 8] = b"rtc-key2";
const SEED_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 8;
const FILE_BYTES_MAX: usize = MAGIC.len() + SEED_BYTES * SEAT_KEYS_MAX + CHECKSUM_BYTES;

/// The daemon's key pair.
pub struct Identity {
    /// Never none; the newest last.
    seeds: Zeroizing<Vec<[u8; SEED_BYTES]>>,
    key: PeerKey,
}

/// Why there is no identity to start with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Somebody else may read or write it.
    #[error("{0} is open to others (mode {mode:03o}), so its key may be known; if it is not, run: chmod 600 {0}", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is somebody else's.
    #[error("{} belongs to user {owner}", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
    },
    /// It is not what was written.
    #[error("{} is damaged; restore it from a backup, or move it away to become a new peer", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It had as many keys as one may have.
    #[error("{} has had {SEAT_KEYS_MAX} keys, and no machine has more", path.display())]
    TooManyKeys {
        /// The file.
        path: PathBuf,
    },
    /// What is to be restored gave way to the key that is there.
    #[error("{} holds a key that gave way to the one this machine has", path.display())]
    GaveWay {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no randomness.
    #[error("no randomness for a new key: {0}")]
    NoRandomness(getrandom::Error),
    /// The system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Identity {
    /// The identity in the file `path`, which is made, durably, where there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        match File::open(path) {
            Ok(file) => Self::load(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(IdentityError::Io { path: path.to_owned(), error }),
        }
    }

    /// Copies the identity in the file `path` into the new file `copy`, durably; nobody else may read either.
    pub fn back_up(path: &Path, copy: &Path) -> Result<(), IdentityError> {
        let identity = Self::read(path)?;
        let created = durable::create(copy, &encode(&identity.seeds));
        created.map_err(|error| IdentityError::Io { path: copy.to_owned(), error })
    }

    /// Puts the identity of `copy` into the file `path`, durably, and gives its key. Another one that was there stays beside it.
    pub fn restore(copy: &Path, path: &Path) -> Result<PeerKey, IdentityError> {
        let (restored, replaced) = (Self::read(copy)?, Self::read(path)?);
        if replaced.is_after(&restored.key) {
            return Err(IdentityError::GaveWay { path: copy.to_owned() });
        }
        if restored.key != replaced.key {
            let beside = path.with_file_name(format!("identity.replaced-{}", replaced.key));
            match Self::back_up(path, &beside) {
                Err(IdentityError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {}
                kept => kept?,
            }
            write(path, &restored.seeds)?;
        }
        Ok(restored.key)
    }

    /// Lets the key in the file `path` give way to a new one, durably, and gives that.
    pub fn rotate(path: &Path) -> Result<PeerKey, IdentityError> {
        let mut identity = Self::read(path)?;
        if identity.seeds.len() >= SEAT_KEYS_MAX {
            return Err(IdentityError::TooManyKeys { path: path.to_owned() });
        }
        identity.seeds.push(*fresh_seed()?);
        write(path, &identity.seeds)?;
        Ok(Self::of_seeds(identity.seeds).key)
    }

    /// Makes the identity in the file `path` durable, where that is not certain.
    pub fn keep(path: &Path) -> Result<(), IdentityError> {
        // Written anew: after a sync that failed, one that succeeds says nothing of what was written before.
        write(path, &Self::read(path)?.seeds)
    }

    /// The identity in the file `path`.
    pub fn read(path: &Path) -> Result<Self, IdentityError> {
        let file = File::open(path).map_err(|error| IdentityError::Io { path: path.to_owned(), error })?;
        Self::load(path, file)
    }

    /// The public key: what peers know this daemon by.
    pub fn key(&self) -> PeerKey {
        self.key
    }

    /// The secret. It goes to the transport and nowhere else.
    pub fn seed(&self) -> &[u8; SEED_BYTES] {
        self.seeds.last().expect("an identity has a key")
    }

    /// Whether `key` gave way to this one.
    pub fn is_after(&self, key: &PeerKey) -> bool {
        self.keys().former().contains(key)
    }

    /// What signs for this key.
    pub fn keys(&self) -> Ed25519 {
        Ed25519::from_seed(self.seed()).after(&self.seeds[..self.seeds.len() - 1])
    }

    fn load(path: &Path, mut file: File) -> Result<Self, IdentityError> {
        let failed = |error| IdentityError::Io { path: path.to_owned(), error };
        check_private(path, &file.metadata().map_err(failed)?)?;
        // One byte more than it may have, so that a longer file shows.
        let mut bytes = Zeroizing::new([0; FILE_BYTES_MAX + 1]);
        let mut len = 0;
        while len < bytes.len() {
            match file.read(&mut bytes[len..]).map_err(failed)? {
                0 => break,
                read => len += read,
            }
        }
        let seeds = decode(&bytes[..len]).ok_or_else(|| IdentityError::Damaged { path: path.to_owned() })?;
        Ok(Self::of_seeds(seeds))
    }

    fn create(path: &Path) -> Result<Self, IdentityError> {
        let seeds = Zeroizing::new(vec![*fresh_seed()?]);
        durable::create(path, &encode(&seeds))
            .map_err(|error| IdentityError::Io { path: path.to_owned(), error })?;
        Ok(Self::of_seeds(seeds))
    }

    /// Of at least one.
    fn of_seeds(seeds: Zeroizing<Vec<[u8; SEED_BYTES]>>) -> Self {
        let mut identity = Self { seeds, key: PeerKey([0; 32]) };
        identity.key = identity.keys().public();
        identity
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.key)
    }
}

fn check_private(path: &Path, found: &fs::Metadata) -> Result<(), IdentityError> {
    let owner = found.uid();
    if owner != nix::unistd::geteuid().as_raw() {
        return Err(IdentityError::NotOurs { path: path.to_owned(), owner });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::OpenToOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

fn fresh_seed() -> Result<Zeroizing<[u8; SEED_BYTES]>, IdentityError> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    getrandom::fill(&mut *seed).map_err(IdentityError::NoRandomness)?;
    Ok(seed)
}

/// Puts an identity in the place of another, durably.
fn write(path: &Path, seeds: &[[u8; SEED_BYTES]]) -> Result<(), IdentityError> {
    durable::replace(path, &encode(seeds)).map_err(|error| IdentityError::Io { path: path.to_owned(), error })
}

fn encode(seeds: &[[u8; SEED_BYTES]]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
    bytes.extend_from_slice(if seeds.len() == 1 { MAGIC } else { MAGIC_FORMER });
    seeds.iter().for_each(|seed| bytes.extend_from_slice(seed));
    let checksum = checksum(&bytes[MAGIC.len()..]);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Zeroizing<Vec<[u8; SEED_BYTES]>>> {
    let content = bytes.get(MAGIC.len()..bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
    let (seeds, rest) = content.as_chunks::<SEED_BYTES>();
    let is_whole = rest.is_empty() && !seeds.is_empty() && seeds.len() <= SEAT_KEYS_MAX;
    (is_whole && **encode(seeds) == *bytes).then(|| Zeroizing::new(seeds.to_vec()))
}

/// Of the seeds, one after the other.
fn checksum(seeds: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::derive_key("rtc 2026 identity file checksum v1", seeds);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&hash[..CHECKSUM_BYTES]);
    checksum
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with_file(check: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        check(&dir.path().join("identity"));
    }

    #[test]
    fn the_key_of_the_first_start_is_the_key_of_every_start() {
        with_file(|path| {
            let first = Identity::load_or_create(path).unwrap();
            assert_eq!(Identity::load_or_create(path).unwrap().key(), first.key());
            assert_eq!(first.keys().public(), first.key());
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        });
    }

    #[test]
    fn a_key_comes_back_from_its_copy_and_the_one_it_replaces_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new, copy] = ["old", "new", "copy"].map(|name| dir.path().join(name));
        let lost = Identity::load_or_create(&old).unwrap().key();
        Identity::back_up(&old, &copy).unwrap();
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
        assert!(
            matches!(Identity::back_up(&old, &copy), Err(IdentityError::Io { .. })),
            "nothing is overwritten"
        );
        let fresh = Identity::load_or_create(&new).unwrap().key();
        for _ in 0..2 {
            assert_eq!(Identity::restore(&copy, &new).unwrap(), lost);
            assert_eq!(Identity::load_or_create(&new).unwrap().key(), lost);
        }
        let beside = dir.path().join(format!("identity.replaced-{fresh}"));
        assert_eq!(Identity::load_or_create(&beside).unwrap().key(), fresh);
        fs::write(&copy, b"rtc-key1").unwrap();
        assert!(matches!(Identity::restore(&copy, &new), Err(IdentityError::Damaged { .. })));
        assert_eq!(Identity::load_or_create(&new).unwrap().key(), lost);
    }

    #[test]
    fn a_new_key_knows_those_that_gave_way_to_it_and_none_of_them_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let [path, copy, newer] = ["identity", "copy", "newer"].map(|name| dir.path().join(name));
        let first = Identity::load_or_create(&path).unwrap().key();
        Identity::back_up(&path, &copy).unwrap();
        let second = Identity::rotate(&path).unwrap();
        let third = Identity::rotate(&path).unwrap();
        let keys = Identity::load_or_create(&path).unwrap().keys();
        assert_eq!((keys.public(), keys.former()), (third, vec![first, second]));
        for former in [first, second] {
            assert!(keys.give_way(&former).unwrap().gives_way_to(&third));
        }
        assert!(matches!(Identity::restore(&copy, &path), Err(IdentityError::GaveWay { .. })));
        Identity::back_up(&path, &newer).unwrap();
        let other = dir.path().join("other");
        Identity::load_or_create(&other).unwrap();
        assert_eq!(Identity::restore(&newer, &other).unwrap(), third);
        assert_eq!(Identity::read(&other).unwrap().keys().former(), [first, second]);
        for _ in 3..SEAT_KEYS_MAX {
            Identity::rotate(&path).unwrap();
        }
        assert!(matches!(Identity::rotate(&path), Err(IdentityError::TooManyKeys { .. })));
    }

    #[test]
    fn a_key_others_may_read_is_refused() {
        with_file(|path| {
            Identity::load_or_create(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
            let refused = Identity::load_or_create(path).unwrap_err();
            assert!(matches!(refused, IdentityError::OpenToOthers { mode: 0o640, .. }));
        });
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_damage_and_nothing_is_replaced() {
        for rotates in [false, true] {
            with_file(|path| {
                Identity::load_or_create(path).unwrap();
                if rotates {
                    Identity::rotate(path).unwrap();
                }
                let whole = fs::read(path).unwrap();
                let check = |bytes: &[u8]| {
                    fs::write(path, bytes).unwrap();
                    let refused = Identity::load_or_create(path).unwrap_err();
                    assert!(matches!(refused, IdentityError::Damaged { .. }));
                    assert_eq!(fs::read(path).unwrap(), bytes);
                };
                for cut in 0..whole.len() {
                    check(&whole[..cut]);
                }
                for bit in 0..whole.len() * 8 {
                    let mut flipped = whole.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    check(&flipped);
                }
                check(&[&whole[..], b"\n"].concat());
            });
        }
    }

    #[test]
    fn printing_an_identity_keeps_its_secret() {
        with_file(|path| {
            let identity = Identity::load_or_create(path).unwrap();
            assert_eq!(format!("{identity:?}"), format!("Identity({})", identity.key()));
        });
    }
}
