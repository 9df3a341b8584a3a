PRAGMA application_id = 1381253937;
PRAGMA user_version = 1;
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
