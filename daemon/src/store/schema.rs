//! The layout of `room.db`, and the settings SQLite must run with: set, read back, and refused where they do not hold.
//!
//! docs/storage.md explains the tables. A change here is a new [`VERSION`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

/// The newest format; kept in the file as `user_version`. The tables of all are those of [`WHOLE`].
pub const VERSION: i64 = BRANCHED;
/// The format of a room of which nothing is forgotten, and in which nobody has forked.
pub const WHOLE: i64 = 1;
/// That of one whose journal begins where the fact `frontier` cuts it.
pub const FORGOTTEN: i64 = 2;
/// That of one in which messages stand under the names of branches, which begin where the proofs in the fact `forks` say. Something may be
/// forgotten, too.
pub const BRANCHED: i64 = 3;
/// Marks a SQLite file as a room's ("RTC1"); kept in the file as `application_id`.
pub const APPLICATION_ID: i64 = 0x5254_4331;
/// Another program may look into a room for this long before the daemon gives up on it.
const BUSY: Duration = Duration::from_secs(2);

/// The tables of [`WHOLE`].
pub const TABLES: &str = "
CREATE TABLE actor (
    ix    INTEGER PRIMARY KEY,
    actor BLOB NOT NULL UNIQUE CHECK (length(actor) = 40)
) STRICT;
CREATE TABLE journal (
    arrival   INTEGER PRIMARY KEY,
    actor_ix  INTEGER NOT NULL REFERENCES actor (ix),
    seq       INTEGER NOT NULL CHECK (seq > 0),
    link      BLOB NOT NULL CHECK (length(link) = 32),
    body      BLOB NOT NULL,
    signature BLOB CHECK (length(signature) = 64)
) STRICT;
CREATE UNIQUE INDEX journal_dot ON journal (actor_ix, seq);
CREATE TABLE block (
    arrival  INTEGER PRIMARY KEY,
    actor_ix INTEGER NOT NULL REFERENCES actor (ix),
    first    INTEGER NOT NULL CHECK (first > 0),
    last     INTEGER NOT NULL CHECK (last >= first),
    link     BLOB NOT NULL CHECK (length(link) = 32),
    messages BLOB NOT NULL,
    places   BLOB NOT NULL,
    seal     BLOB NOT NULL CHECK (length(seal) = 32)
) STRICT;
CREATE UNIQUE INDEX block_end ON block (actor_ix, last);
CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    seal  BLOB NOT NULL CHECK (length(seal) = 32)
) STRICT, WITHOUT ROWID;
";

/// What holds for every connection: pragma, value to set, value it then has.
const PRAGMAS: &[(&str, &str, Expected)] = &[
    // Pages that packing made free are given back, a few at a time. Before anything is written: later it would have no effect.
    ("auto_vacuum", "INCREMENTAL", Expected::Integer(2)),
    ("locking_mode", "EXCLUSIVE", Expected::Text("exclusive")),
    ("journal_mode", "WAL", Expected::Text("wal")),
    // FULL: a commit is on the disk when it returns.
    ("synchronous", "FULL", Expected::Integer(2)),
    ("fullfsync", "1", Expected::Integer(1)),
    ("checkpoint_fullfsync", "1", Expected::Integer(1)),
    ("trusted_schema", "OFF", Expected::Integer(0)),
    ("cell_size_check", "ON", Expected::Integer(1)),
    ("foreign_keys", "ON", Expected::Integer(1)),
    ("mmap_size", "0", Expected::Integer(0)),
    // In KiB: idle rooms must not cost memory.
    ("cache_size", "-2048", Expected::Integer(-2048)),
    // The store checkpoints itself, because SQLite's own checkpoints keep their errors to themselves.
    ("wal_autocheckpoint", "0", Expected::Integer(0)),
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Expected {
    Integer(i64),
    Text(&'static str),
}

/// Why a room's file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later rtc wrote it.
    #[error("{} has format {found}, this rtc knows formats up to {VERSION}; use the newer rtc", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// It is a database of something else.
    #[error("{} is not a room's database (application id {found:#x})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its application id.
        found: i64,
    },
    /// Another program is using it.
    #[error("{} is in use by another program; end that first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// SQLite does not run as it must.
    #[error("{}: SQLite refuses {pragma} = {wanted}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Which setting.
        pragma: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// SQLite cannot read it, or not write it.
    #[error("cannot open {}: {error}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// The system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Opens the file `path`, makes it a room's where it is new, and asserts that everything is as it must be.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            OpenError::InUse { path: path.to_owned() }
        }
        _ => OpenError::Sqlite { path: path.to_owned(), error },
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        // One thread at a time uses a connection.
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // Before the first look: it keeps the shared-memory file away, for which a full disk has no room.
    set(&connection, "locking_mode", "EXCLUSIVE").map_err(failed)?;
    refuse_what_is_not_ours(path, &connection, failed)?;
    for &(pragma, wanted, expected) in PRAGMAS {
        set(&connection, pragma, wanted).map_err(failed)?;
        if read(&connection, pragma).map_err(failed)? != Some(expected.value()) {
            return Err(OpenError::Refused { path: path.to_owned(), pragma, wanted });
        }
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(failed)?;
    create_tables(&connection).map_err(failed)?;
    Ok(connection)
}

/// Looks before anything is written: another program's file must stay as it is.
fn refuse_what_is_not_ours(
    path: &Path,
    connection: &Connection,
    failed: impl Fn(rusqlite::Error) -> OpenError,
) -> Result<(), OpenError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (id, version) =
        (number("application_id").map_err(&failed)?, number("user_version").map_err(&failed)?);
    if id == 0 && version == 0 && is_empty(connection).map_err(&failed)? {
        return Ok(());
    }
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned(), found: id });
    }
    if version > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found: version });
    }
    Ok(())
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    if !is_empty(connection)? {
        return Ok(());
    }
    // In one transaction: a file is a room's, or it is empty.
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {WHOLE}; COMMIT;"
    ))
}

/// Makes the file one of format `version`, if it is not of a later one: whoever knows only those before would misread it.
pub(super) fn raise_version(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update(None, "user_version", version.max(found))
}

fn set(connection: &Connection, pragma: &str, value: &str) -> rusqlite::Result<()> {
    // Some answer with a row, some do not.
    let mut statement = connection.prepare(&format!("PRAGMA {pragma} = {value}"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

fn read(connection: &Connection, pragma: &str) -> rusqlite::Result<Option<Value>> {
    let mut statement = connection.prepare(&format!("PRAGMA {pragma}"))?;
    let mut rows = statement.query([])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

impl Expected {
    fn value(self) -> Value {
        match self {
            Self::Integer(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema as SQLite itself tells it. When this changes, [`VERSION`] does, and docs/storage.md.
    const GOLDEN: &str = include_str!("../../tests/data/room.schema.sql");

    fn dump(connection: &Connection) -> String {
        let mut statement = connection
            .prepare("SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
            .unwrap();
        let lines: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        format!(
            "PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {WHOLE};\n{}\n",
            lines.join("\n")
        )
    }

    fn with_file(check: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        check(&dir.path().join("room.db"));
    }

    #[test]
    fn the_schema_is_the_golden_one() {
        with_file(|path| assert_eq!(dump(&open(path).unwrap()), GOLDEN));
    }

    #[test]
    fn opening_twice_changes_nothing_and_keeps_the_marks() {
        with_file(|path| {
            drop(open(path).unwrap());
            let connection = open(path).unwrap();
            assert_eq!(read(&connection, "application_id").unwrap(), Some(Value::Integer(APPLICATION_ID)));
            assert_eq!(read(&connection, "user_version").unwrap(), Some(Value::Integer(WHOLE)));
            assert_eq!(dump(&connection), GOLDEN);
        });
    }

    #[test]
    fn a_newer_file_is_refused_with_a_sentence_and_stays() {
        with_file(|path| {
            open(path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
            let before = std::fs::read(path).unwrap();
            let refused = open(path).unwrap_err();
            assert!(matches!(refused, OpenError::Newer { found, .. } if found == VERSION + 1), "{refused}");
            assert_eq!(std::fs::read(path).unwrap(), before);
        });
    }

    #[test]
    fn other_files_are_refused_and_stay() {
        with_file(|path| {
            Connection::open(path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
            let before = std::fs::read(path).unwrap();
            assert!(matches!(open(path).unwrap_err(), OpenError::Foreign { found: 0, .. }));
            assert_eq!(std::fs::read(path).unwrap(), before);
            std::fs::write(path, "no database at all, but long enough to be looked at".repeat(100)).unwrap();
            assert!(matches!(open(path).unwrap_err(), OpenError::Sqlite { .. }));
        });
    }

    #[test]
    fn nobody_else_uses_an_open_room() {
        with_file(|path| {
            let _ours = open(path).unwrap();
            let theirs = Connection::open(path).unwrap();
            theirs.busy_timeout(Duration::ZERO).unwrap();
            assert!(
                theirs.query_row("SELECT count(*) FROM journal", [], |row| row.get::<_, i64>(0)).is_err()
            );
        });
    }
}
