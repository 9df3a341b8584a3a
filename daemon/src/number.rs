//! The number record (DESIGN §4, "No reused numbers"): the last message number told to anybody, kept where a power
//! cut erases it.
//!
//! A daemon goes on in its epoch only with this proof that it lost nothing. Any doubt is no proof, and no proof costs
//! one new epoch; a wrong proof would give one number to two messages.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rtc_client::places::{is_volatile, private_dir};
use rtc_core::id::{PeerKey, RoomId};

/// What a record begins with: its format.
const MAGIC: &[u8; 8] = b"rtc-num1";
const RECORD_BYTES: usize = 64;
/// Where the checksum begins.
const CHECKED_BYTES: usize = 40;

/// The last number told in one room with one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// The epoch it was told in.
    pub epoch: u64,
    /// The number.
    pub seq: u64,
}

/// One room's record, open for writing; or the absence of a place to keep one.
#[derive(Debug)]
pub struct NumberRecord {
    /// Binds what is written to key, room and boot.
    context: Context,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    file: File,
}

#[derive(Debug)]
struct Context {
    key: PeerKey,
    room: RoomId,
    boot: [u8; 16],
}

impl NumberRecord {
    /// The record of `key` in `room` below `volatile_dir`. Where none can be kept the log says why, and there is
    /// never a proof.
    ///
    /// The caller holds the lock on `key`, so nobody else writes it.
    pub fn open(volatile_dir: Option<&Path>, key: PeerKey, room: RoomId) -> Self {
        let boot = boot_id();
        let kept = volatile_dir.filter(|_| boot.is_some()).and_then(|dir| {
            let kept = Kept::open(&dir.join("numbers").join(key.to_string()), &room);
            kept.inspect_err(|error| tracing::warn!(%room, %error, "cannot keep a number record")).ok()
        });
        Self { context: Context { key, room, boot: boot.unwrap_or_default() }, kept }
    }

    /// What was told last, if that is beyond doubt: a record of this boot, key and room, whole, on a verified
    /// memory file system. It proves that nothing was lost only together with a store whose last number of that epoch
    /// is this very one: no smaller, and no greater.
    pub fn proof(&self) -> Option<Told> {
        let mut bytes = [0; RECORD_BYTES];
        let file = &self.kept.as_ref()?.file;
        file.read_exact_at(&mut bytes, 0).ok()?;
        self.context.decode(&bytes)
    }

    /// Records that `seq` of `epoch` is about to be told.
    ///
    /// # Errors
    /// When the old record can be neither replaced nor destroyed: then the number must not be told.
    pub fn write(&mut self, told: Told) -> io::Result<()> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        if let Err(error) = kept.file.write_all_at(&self.context.encode(told), 0) {
            tracing::warn!(room = %self.context.room, %error, "the number record is lost: the next start begins a new epoch");
            self.forget()?;
        }
        Ok(())
    }

    /// Destroys the record, so that the next start begins a new epoch.
    pub fn forget(&mut self) -> io::Result<()> {
        if let Some(kept) = &self.kept {
            kept.file.set_len(0).or_else(|_| fs::remove_file(&kept.path))?;
            self.kept = None;
        }
        Ok(())
    }
}

impl Kept {
    fn open(dir: &Path, room: &RoomId) -> io::Result<Self> {
        private_dir(dir).map_err(io::Error::other)?;
        if !is_volatile(dir) {
            return Err(io::Error::other(format!("{} is not on a memory file system", dir.display())));
        }
        let path = dir.join(room.to_string());
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Context {
    fn encode(&self, told: Told) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.boot);
        bytes[24..32].copy_from_slice(&told.epoch.to_be_bytes());
        bytes[32..40].copy_from_slice(&told.seq.to_be_bytes());
        let checksum = self.checksum(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum);
        bytes
    }

    fn decode(&self, bytes: &[u8; RECORD_BYTES]) -> Option<Told> {
        let field = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(field)
        };
        let told = Told { epoch: field(24), seq: field(32) };
        (self.encode(told) == *bytes).then_some(told)
    }

    fn checksum(&self, bytes: &[u8]) -> [u8; RECORD_BYTES - CHECKED_BYTES] {
        let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 number record v1");
        hasher.update(&self.key.0).update(&self.room.0).update(bytes);
        let mut checksum = [0; RECORD_BYTES - CHECKED_BYTES];
        checksum.copy_from_slice(&hasher.finalize().as_bytes()[..RECORD_BYTES - CHECKED_BYTES]);
        checksum
    }
}

/// Names the time since the kernel started, where the system has such a name.
fn boot_id() -> Option<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits = text.trim().replace('-', "");
    data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    const KEY: PeerKey = PeerKey([1; 32]);
    const ROOM: RoomId = RoomId([2; 32]);
    const TOLD: Told = Told { epoch: 3, seq: 4 };

    fn memory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn record(dir: &Path) -> NumberRecord {
        NumberRecord::open(Some(dir), KEY, ROOM)
    }

    #[test]
    fn what_was_told_last_is_known_to_the_next_process() {
        let dir = memory();
        let mut first = record(dir.path());
        assert_eq!(first.proof(), None);
        first.write(Told { epoch: 9, seq: u64::MAX }).unwrap();
        first.write(TOLD).unwrap();
        assert_eq!(first.proof(), Some(TOLD));
        assert_eq!(record(dir.path()).proof(), Some(TOLD));
    }

    #[test]
    fn keys_and_rooms_have_records_of_their_own() {
        let dir = memory();
        record(dir.path()).write(TOLD).unwrap();
        assert_eq!(NumberRecord::open(Some(dir.path()), PeerKey([9; 32]), ROOM).proof(), None);
        assert_eq!(NumberRecord::open(Some(dir.path()), KEY, RoomId([9; 32])).proof(), None);
    }

    #[test]
    fn a_record_of_another_room_boot_or_making_proves_nothing() {
        let dir = memory();
        let mut record = record(dir.path());
        record.write(TOLD).unwrap();
        let whole = record.context.encode(TOLD);
        for bit in 0..RECORD_BYTES * 8 {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            record.kept.as_ref().unwrap().file.write_all_at(&flipped, 0).unwrap();
            assert_eq!(record.proof(), None, "bit {bit}");
        }
        for other in [
            Context { room: RoomId([9; 32]), ..Context { key: KEY, room: ROOM, boot: record.context.boot } },
            Context { key: PeerKey([9; 32]), room: ROOM, boot: record.context.boot },
            Context { key: KEY, room: ROOM, boot: [9; 16] },
        ] {
            record.kept.as_ref().unwrap().file.write_all_at(&other.encode(TOLD), 0).unwrap();
            assert_eq!(record.proof(), None);
        }
    }

    #[test]
    fn without_a_volatile_place_there_is_never_a_proof() {
        let mut nowhere = NumberRecord::open(None, KEY, ROOM);
        nowhere.write(TOLD).unwrap();
        assert_eq!(nowhere.proof(), None);
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        if !is_volatile(disk.path()) {
            let mut on_disk = record(disk.path());
            on_disk.write(TOLD).unwrap();
            assert_eq!(on_disk.proof(), None);
        }
    }

    #[test]
    fn a_forgotten_record_proves_nothing() {
        let dir = memory();
        let mut first = record(dir.path());
        first.write(TOLD).unwrap();
        first.forget().unwrap();
        assert_eq!(first.proof(), None);
        assert_eq!(record(dir.path()).proof(), None);
    }

    #[test]
    fn a_record_that_was_removed_proves_nothing_later() {
        let dir = memory();
        let mut first = record(dir.path());
        first.write(TOLD).unwrap();
        fs::remove_dir_all(dir.path().join("numbers")).unwrap();
        first.write(Told { seq: 5, ..TOLD }).unwrap();
        assert_eq!(record(dir.path()).proof(), None);
    }
}
