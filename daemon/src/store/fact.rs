//! The few facts of a room, each with a seal: a flipped bit in a secret would otherwise look like another secret.

use std::collections::BTreeMap;

use rtc_core::id::RoomId;
use rtc_core::store::StoreError;
use rusqlite::{Connection, OptionalExtension};

use super::reading::Refusal;

/// Sets a fact.
pub(super) fn write(
    connection: &Connection,
    room: &RoomId,
    name: &str,
    value: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO fact VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value, seal = excluded.seal",
        )?
        .execute(rusqlite::params![name, value, &seal(room, name, value)[..]])?;
    Ok(())
}

/// A fact, if it is there; verified.
pub(super) fn read(connection: &Connection, room: &RoomId, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let row = connection
        .prepare_cached("SELECT value, seal FROM fact WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get::<_, Vec<u8>>(0), row.get::<_, Vec<u8>>(1))))
        .optional()?;
    match row {
        None => Ok(None),
        // A flipped bit can change a column's type.
        Some((Ok(value), Ok(sealed))) if is_sealed(room, name, &value, &sealed) => Ok(Some(value)),
        Some(_) => Err(StoreError::Damaged(format!("the fact `{name}` is not what was written")).into()),
    }
}

/// What there is of facts.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) whole: BTreeMap<String, Vec<u8>>,
    /// The names of those that are not what was written.
    pub(super) broken: Vec<String>,
}

/// Every fact.
pub(super) fn all(connection: &Connection, room: &RoomId) -> rusqlite::Result<Facts> {
    let mut statement = connection.prepare("SELECT name, value, seal FROM fact")?;
    let mut rows = statement.query([])?;
    let mut facts = Facts::default();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0).unwrap_or_default();
        match (row.get::<_, Vec<u8>>(1), row.get::<_, Vec<u8>>(2)) {
            (Ok(value), Ok(sealed)) if is_sealed(room, &name, &value, &sealed) => {
                facts.whole.insert(name, value);
            }
            _ => facts.broken.push(name),
        }
    }
    Ok(facts)
}

fn is_sealed(room: &RoomId, name: &str, value: &[u8], sealed: &[u8]) -> bool {
    seal(room, name, value)[..] == *sealed
}

fn seal(room: &RoomId, name: &str, value: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 fact seal 1");
    hasher.update(&room.0).update(&(name.len() as u64).to_be_bytes()).update(name.as_bytes()).update(value);
    hasher.finalize().into()
}
