//! The address book on disk: read once at start, replaced whole and atomically after changes.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokio::sync::watch;
use tracing::warn;

use super::book::Book;
use super::limits::BOOK_BYTES_MAX;
use crate::durable;

/// The address book could not be read, and going on would overwrite it.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the address book {path}: {source}")]
pub struct ReadBookError {
    path: PathBuf,
    source: io::Error,
}

/// Reads the book; none there is an empty one. A damaged one is put aside, named, and an empty one taken: addresses
/// can be learned again, and a daemon that does not start helps nobody.
pub(crate) fn read(path: &Path) -> Result<Book, ReadBookError> {
    let error = |source| ReadBookError { path: path.to_owned(), source };
    let mut text = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(BOOK_BYTES_MAX).read_to_end(&mut text).map_err(error)?,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(source) => return Err(error(source)),
    };
    match Book::from_json(&String::from_utf8_lossy(&text)) {
        Ok(book) => Ok(book),
        Err(reason) => {
            let aside = path.with_extension("damaged");
            fs::rename(path, &aside).map_err(error)?;
            warn!(%reason, kept = %aside.display(), "starting with an empty address book");
            Ok(Book::default())
        }
    }
}

/// Writes each content of the book as it comes, the newest where several wait, until their sender is gone.
pub(crate) async fn keep_written(path: PathBuf, mut contents: watch::Receiver<String>) {
    let mut told = false;
    while contents.changed().await.is_ok() {
        let text = contents.borrow_and_update().clone();
        let file = path.clone();
        match tokio::task::spawn_blocking(move || write(&file, &text)).await {
            Ok(Err(error)) if !told => {
                // The book is in memory still, and the next change tries again. A full disk is told of once.
                warn!(%error, path = %path.display(), "cannot write the address book");
                told = true;
            }
            Ok(Err(_)) | Err(_) => {}
            Ok(Ok(())) => told = false,
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    // Its mode is 0600: where somebody's peers are is nobody else's business.
    durable::replace(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_book_is_empty_and_a_damaged_one_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep").join("peers.json");
        assert_eq!(read(&path).unwrap().peers().count(), 0);
        write(&path, "{ torn").unwrap();
        assert_eq!(read(&path).unwrap().peers().count(), 0);
        assert_eq!(fs::read_to_string(path.with_extension("damaged")).unwrap(), "{ torn");
        assert!(!path.exists());
    }

    #[test]
    fn a_book_that_is_too_long_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let book = Book::default().to_json();
        let room = usize::try_from(BOOK_BYTES_MAX).unwrap();
        fs::write(&path, book.clone() + &" ".repeat(room - book.len())).unwrap();
        read(&path).unwrap();
        assert!(path.exists(), "one as long as the limit is read");
        // Behind the limit nobody looks.
        fs::write(&path, " ".repeat(room) + &book).unwrap();
        assert_eq!(read(&path).unwrap().peers().count(), 0);
        assert!(!path.exists() && path.with_extension("damaged").exists());
    }

    #[test]
    fn a_book_that_cannot_be_read_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the address book"), "{error}");
    }
}
