//! What the disk has of a room that sleeps, so that a daemon can hold the room without opening its journal.
//!
//! It is true of one state of the journal only. Whoever is about to open that removes it first, durably; and it counts for nothing beside
//! a journal that is not the one it was made of. So it is never missed: without it the room is opened.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rtc_core::canonical::{DecodeError, Reader, Writer};
use rtc_core::id::RoomId;
use rtc_core::room::Gist;
use rtc_core::ticket::Secret;

use crate::store::rebuild::ROOM_FILE;

/// The name of the file in a room's directory.
const NAME: &str = "asleep";
/// Its name while it is written.
const UNFINISHED: &str = "asleep.unfinished";
/// What the file begins with: its format.
const MAGIC: &[u8; 8] = b"rtc-slp1";
/// Where the content begins.
const HEADER_BYTES: usize = 8 + 32;

/// A room that sleeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asleep {
    /// What it is known by.
    pub gist: Gist,
    /// What proves membership, the current secret first; never none.
    pub secrets: Vec<Secret>,
    /// The invitations into it, as its journal has them.
    pub invites: Option<Vec<u8>>,
}

impl Asleep {
    /// Remembers the room in its directory `dir`; its journal is closed.
    ///
    /// # Errors
    /// Where the system refuses, or the journal is not closed as it should be.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let journal = journal(dir)?;
        let mut writer = Writer::new();
        let secrets: Vec<u8> = self.secrets.iter().flat_map(|secret| secret.0).collect();
        writer.array(6).bytes(&self.gist.encode()).bytes(&secrets);
        writer.array(self.invites.iter().len());
        self.invites.iter().for_each(|invites| _ = writer.bytes(invites));
        journal.iter().for_each(|number| _ = writer.uint(*number));
        let content = writer.finish();
        // Not synced: a torn one is none.
        let unfinished = dir.join(UNFINISHED);
        fs::write(&unfinished, [&MAGIC[..], &seal(&self.gist.room(), &content), &content].concat())?;
        fs::rename(unfinished, dir.join(NAME))
    }

    /// The room in `dir`, if it sleeps and its journal is the one it was.
    pub fn read(dir: &Path, room: RoomId) -> Option<Self> {
        let bytes = fs::read(dir.join(NAME)).ok()?;
        let (header, content) = bytes.split_at_checked(HEADER_BYTES)?;
        if header[..8] != *MAGIC || header[8..] != seal(&room, content) {
            return None;
        }
        let (asleep, made_of) = Self::decode(content).ok()?;
        let is_its_own = asleep.gist.room() == room && !asleep.secrets.is_empty();
        (is_its_own && journal(dir).ok()? == made_of).then_some(asleep)
    }

    /// Forgets, durably, that the room in `dir` sleeps.
    ///
    /// # Errors
    /// Where the system refuses: then the journal must not be changed.
    pub fn forget(dir: &Path) -> io::Result<()> {
        match fs::remove_file(dir.join(NAME)) {
            Ok(()) => fs::File::open(dir)?.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn decode(content: &[u8]) -> Result<(Self, [u64; 3]), DecodeError> {
        let mut reader = Reader::new(content);
        reader.array_of(6, "a room that sleeps")?;
        let gist = Gist::decode(reader.slice(content.len(), "a gist")?)?;
        let secrets = reader.slice(content.len(), "secrets")?.as_chunks::<32>().0;
        let secrets = secrets.iter().copied().map(Secret).collect();
        let mut invites = None;
        for _ in 0..reader.array(1, "invitations")? {
            invites = Some(reader.bytes(content.len(), "invitations")?);
        }
        let made_of = [reader.uint()?, reader.uint()?, reader.uint()?];
        reader.finish()?;
        Ok((Self { gist, secrets, invites }, made_of))
    }
}

/// What tells one state of a journal from another: its size, and when it was written, in seconds and nanoseconds.
fn journal(dir: &Path) -> io::Result<[u64; 3]> {
    let file = dir.join(ROOM_FILE);
    let log = file.with_extension("db-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(io::Error::other(format!("{} is not brought home", log.display())));
    }
    let found = fs::metadata(&file)?;
    Ok([found.len(), found.mtime().unsigned_abs(), found.mtime_nsec().unsigned_abs()])
}

fn seal(room: &RoomId, content: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 sleeping room seal 1");
    hasher.update(&room.0).update(content).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rtc_core::chain::{Ed25519, Keys};
    use rtc_core::founding::{Access, Founding};
    use rtc_core::room::{Opening, Room};

    use super::*;

    fn asleep() -> Asleep {
        let keys = Arc::new(Ed25519::from_seed(&[1; 32]));
        let (owner, name) = (keys.public(), "lab".to_owned());
        let founding = Founding { owner, nonce: [2; 16], name, time_ms: 3, access: Access::Members };
        let room = founding.room();
        let opening = Opening { room, founding: Some(founding), keys, epoch_fresh: 1, epoch_proof: None };
        let gist = Room::open(opening).gist().expect("nothing is under way");
        Asleep { gist, secrets: vec![Secret([4; 32]), Secret([5; 32])], invites: Some(vec![6]) }
    }

    #[test]
    fn a_room_sleeps_until_its_journal_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let (asleep, file) = (asleep(), dir.path().join(ROOM_FILE));
        let room = asleep.gist.room();
        asleep.write(dir.path()).unwrap_err();
        fs::write(&file, "journal").unwrap();
        asleep.write(dir.path()).unwrap();
        assert_eq!(Asleep::read(dir.path(), room), Some(asleep.clone()));
        assert_eq!(Asleep::read(dir.path(), RoomId([9; 32])), None, "another room's");
        let log = file.with_extension("db-wal");
        fs::write(&log, "more").unwrap();
        assert_eq!(Asleep::read(dir.path(), room), None, "more was written");
        fs::remove_file(log).unwrap();
        assert!(Asleep::read(dir.path(), room).is_some());
        fs::write(&file, "another").unwrap();
        assert_eq!(Asleep::read(dir.path(), room), None, "it is another journal");
        asleep.write(dir.path()).unwrap();
        Asleep::forget(dir.path()).unwrap();
        Asleep::forget(dir.path()).unwrap();
        assert_eq!(Asleep::read(dir.path(), room), None);
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let asleep = asleep();
        fs::write(dir.path().join(ROOM_FILE), "journal").unwrap();
        asleep.write(dir.path()).unwrap();
        let whole = fs::read(dir.path().join(NAME)).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(dir.path().join(NAME), flipped).unwrap();
            assert_eq!(Asleep::read(dir.path(), asleep.gist.room()), None, "byte {at}");
        }
    }
}
