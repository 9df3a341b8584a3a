//! Small files that are there whole or not at all, also after a power cut.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Puts `content` into the file `path`, which is the user's alone; whoever reads it sees the old content or the new.
///
/// # Errors
/// The disk's, and then the old content stays.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    prepared(path, content)?.persist(path)?;
    sync_dir_of(path)
}

/// Puts `content` into the new file `path`; fails with [`io::ErrorKind::AlreadyExists`] where there is one.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    prepared(path, content)?.persist_noclobber(path)?;
    sync_dir_of(path)
}

/// Makes the directory `path`, the user's alone, and its name durable. It may exist.
pub fn create_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| sync_dir_of(path)),
    }
}

/// Makes what was created, renamed or removed beside `path` durable.
pub fn sync_dir_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Removes what a killed process left half-written in `dir`.
pub fn remove_leftovers(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED_PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A file in `dir` with a name of its own for a database that is of use for a while; it and SQLite's logs beside it go with the value, or
/// at the next start.
#[derive(Debug)]
pub struct Scratch(tempfile::TempPath);

impl Scratch {
    /// An empty file.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(dir)?;
        Ok(Self(file.into_temp_path()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where SQLite keeps the write-ahead log of the database in it.
    pub fn log(&self) -> PathBuf {
        let mut name = self.0.as_os_str().to_owned();
        name.push("-wal");
        name.into()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.log());
    }
}

/// How the names of unfinished files begin.
const UNFINISHED_PREFIX: &str = ".unfinished-";

fn prepared(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // Its mode is 0600 from the start.
    let mut file = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_private_replaced_whole_and_never_created_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create(&path, b"one").unwrap();
        assert_eq!(create(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("{UNFINISHED_PREFIX}x")), "half").unwrap();
        fs::write(dir.path().join("whole"), "whole").unwrap();
        remove_leftovers(dir.path()).unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["whole"]);
    }
}
