//! Backups: rooms in one file that says by itself whether it is whole.
//!
//! `rtc-bak1`; then of each room a byte 1, its id, the length of its database as a big-endian `u64`, and the database; then a byte 0 and
//! the BLAKE3 hash of everything before.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use rtc_core::id::RoomId;
use tempfile::NamedTempFile;

use crate::durable::{self, Scratch};

/// What the file begins with: its format.
const MAGIC: &[u8; 8] = b"rtc-bak1";
const HASH_BYTES: usize = 32;
/// Bytes copied at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a file is of no use as a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is something else, or of a later format.
    #[error("it does not begin with rtc-bak1: it is no backup, or one of a newer rtc")]
    Foreign,
    /// It is not what was written.
    #[error("it is damaged or incomplete: nothing of it is used")]
    Damaged,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A backup that is being written, beside its name.
pub struct Writer {
    file: Hashed<NamedTempFile>,
}

impl Writer {
    /// Begins a backup that is going to be the file `path`.
    pub fn new(path: &Path) -> io::Result<Self> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut file = Hashed::new(NamedTempFile::new_in(dir)?);
        file.write_all(MAGIC)?;
        Ok(Self { file })
    }

    /// Adds a room's database, which nobody has open; returns its bytes.
    pub fn add(&mut self, room: &RoomId, database: &Path) -> io::Result<u64> {
        let mut database = File::open(database)?;
        let len = database.metadata()?.len();
        self.file.write_all(&[1])?;
        self.file.write_all(&room.0)?;
        self.file.write_all(&len.to_be_bytes())?;
        match io::copy(&mut database, &mut self.file)? {
            copied if copied == len => Ok(len),
            _ => Err(io::Error::other("the copy changed while it was read")),
        }
    }

    /// Ends it, durably, in the place of what was called `path` before.
    pub fn finish(mut self, path: &Path) -> io::Result<()> {
        self.file.write_all(&[0])?;
        let hash = self.file.hasher.finalize();
        let mut file = self.file.inner;
        file.write_all(hash.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        durable::sync_dir_of(path)
    }
}

/// Takes the rooms out of a backup, each into a file in `dir`.
pub fn read(path: &Path, dir: &Path) -> Result<Vec<(RoomId, Scratch)>, BackupError> {
    let mut file = Hashed::new(BufReader::new(File::open(path)?));
    let mut magic = [0; 8];
    exactly(&mut file, &mut magic)?;
    if magic != *MAGIC {
        return Err(BackupError::Foreign);
    }
    let mut rooms = Vec::new();
    loop {
        let mut more = [0];
        exactly(&mut file, &mut more)?;
        match more {
            [0] => break,
            [1] => rooms.push(read_room(&mut file, dir)?),
            _ => return Err(BackupError::Damaged),
        }
    }
    let hash = file.hasher.finalize();
    let mut told = [0; HASH_BYTES];
    exactly(&mut file, &mut told)?;
    // One byte more shows a longer file.
    match told == *hash.as_bytes() && file.read(&mut [0])? == 0 {
        true => Ok(rooms),
        false => Err(BackupError::Damaged),
    }
}

fn read_room(file: &mut impl Read, dir: &Path) -> Result<(RoomId, Scratch), BackupError> {
    let (mut room, mut len) = ([0; 32], [0; 8]);
    exactly(file, &mut room)?;
    exactly(file, &mut len)?;
    let len = u64::from_be_bytes(len);
    let scratch = Scratch::new(dir)?;
    let mut database = File::create(scratch.path())?;
    // Read in pieces, so that a wrong length takes no more than the file has.
    match io::copy(&mut file.take(len), &mut database)? {
        copied if copied == len => Ok((RoomId(room), scratch)),
        _ => Err(BackupError::Damaged),
    }
}

fn exactly(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), BackupError> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::Damaged,
        _ => BackupError::Io(error),
    })
}

/// What hashes all that passes through it.
struct Hashed<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(&bytes[..bytes.len().min(PIECE_BYTES)])?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_backup_gives_back_what_went_in_and_nothing_where_a_bit_or_a_byte_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let (path, database) = (dir.path().join("backup"), dir.path().join("database"));
        fs::write(&database, vec![7; 300]).unwrap();
        let mut writer = Writer::new(&path).unwrap();
        let rooms = [RoomId([1; 32]), RoomId([2; 32])];
        for room in &rooms {
            assert_eq!(writer.add(room, &database).unwrap(), 300);
        }
        writer.finish(&path).unwrap();
        let read_back = read(&path, dir.path()).unwrap();
        assert_eq!(read_back.iter().map(|(room, _)| *room).collect::<Vec<_>>(), rooms);
        assert!(read_back.iter().all(|(_, file)| fs::read(file.path()).unwrap() == [7; 300]));
        drop(read_back);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, flipped).unwrap();
            assert!(read(&path, dir.path()).is_err(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path, dir.path()).is_err(), "{at} bytes");
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(matches!(read(&path, dir.path()), Err(BackupError::Damaged)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left over");
    }
}
