//! A room's file copied while it is in use, with SQLite's own backup.

use std::path::Path;

use rtc_core::store::{Store, StoreError};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::SqliteStore;

/// A store of the daemon's: one that can be copied.
pub trait Disk: Store {
    /// Puts all that is in the store into the file `to`, which is replaced, and makes it durable.
    ///
    /// # Errors
    /// When one of the two cannot be read or written; the store goes on as it was.
    fn copy_to(&mut self, to: &Path) -> Result<(), StoreError> {
        Err(StoreError::Failed(format!("this store has no copy to put into {}", to.display())))
    }
}

impl Disk for SqliteStore {
    fn copy_to(&mut self, to: &Path) -> Result<(), StoreError> {
        // What is copied is what is on the disk, not what is remembered of it.
        let copied = self.connection.execute_batch("PRAGMA shrink_memory").and_then(|()| {
            let mut target = Connection::open(to)?;
            let backup = Backup::new(&self.connection, &mut target)?;
            while backup.step(-1)? == StepResult::More {}
            Ok(())
        });
        // Not judged as other errors are: that the copy has no space is no fault of the store.
        copied.map_err(|error| StoreError::Failed(format!("{} cannot be made: {error}", to.display())))
    }
}
