//! What the daemon remembers beside its rooms: which rooms there are, which one is the default, the port it had.
//!
//! The rooms are the directories below `rooms/`; there is no list of them that could disagree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rtc_core::id::RoomId;
use rtc_core::ticket::{Secret, Ticket, TicketError};

use crate::durable;

/// The daemon's own files.
#[derive(Clone, Debug)]
pub struct State {
    data_dir: PathBuf,
}

/// Why the daemon's own files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file is not what was written.
    #[error("{} is damaged: it should hold {expected}; correct or remove it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// The system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl State {
    /// The state below `data_dir`, which exists, is the user's alone, and locked by this process.
    pub fn open(data_dir: &Path) -> Result<Self, StateError> {
        let state = Self { data_dir: data_dir.to_owned() };
        let rooms = state.rooms_dir();
        durable::create_dir(&rooms).map_err(|error| StateError::Io { path: rooms, error })?;
        durable::remove_leftovers(data_dir)
            .map_err(|error| StateError::Io { path: data_dir.to_owned(), error })?;
        Ok(state)
    }

    /// Where the identity lies.
    pub fn identity_file(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    /// Where the addresses of peers lie.
    pub fn address_book_file(&self) -> PathBuf {
        self.data_dir.join("peers")
    }

    /// The rooms there are, in the order of their ids. Directories of other names are nobody's business.
    pub fn rooms(&self) -> Result<Vec<RoomId>, StateError> {
        rooms_in(&self.rooms_dir())
    }

    /// The file of `room`'s journal, its directory made and durable.
    pub fn room_file(&self, room: &RoomId) -> Result<PathBuf, StateError> {
        let dir = self.room_dir(room);
        match durable::create_dir(&dir) {
            Ok(()) => Ok(dir.join("room.db")),
            Err(error) => Err(StateError::Io { path: dir, error }),
        }
    }

    /// The directory of `room`.
    pub fn room_dir(&self, room: &RoomId) -> PathBuf {
        self.rooms_dir().join(room.to_string())
    }

    /// Puts what is held of `room` aside, durably: it is none of the daemon's rooms any more.
    pub fn put_aside(&self, room: &RoomId) -> Result<(), StateError> {
        let dir = self.left_dir();
        durable::create_dir(&dir).map_err(|error| StateError::Io { path: dir, error })?;
        move_dir(&self.room_dir(room), &self.left_dir().join(room.to_string()))
    }

    /// Makes what was put aside of `room` the daemon's again, durably, where there is anything.
    pub fn bring_back(&self, room: &RoomId) -> Result<(), StateError> {
        let left = self.left_dir().join(room.to_string());
        if left.is_dir() && !self.room_dir(room).exists() {
            move_dir(&left, &self.room_dir(room))
        } else {
            Ok(())
        }
    }

    /// The rooms that were put aside.
    pub fn left(&self) -> Result<Vec<RoomId>, StateError> {
        let dir = self.left_dir();
        if dir.exists() { rooms_in(&dir) } else { Ok(Vec::new()) }
    }

    /// Deletes what was put aside of `room`.
    pub fn delete_left(&self, room: &RoomId) -> Result<(), StateError> {
        let path = self.left_dir().join(room.to_string());
        fs::remove_dir_all(&path).map_err(|error| StateError::Io { path, error })
    }

    /// Where `room`'s secret lies a second time: without it no peer could send back what the room's file has lost.
    fn secret_file(&self, room: &RoomId) -> PathBuf {
        self.room_dir(room).join("secret")
    }

    /// The second copy of a room's secret, if there is one and it is whole.
    pub fn secret(&self, room: &RoomId) -> Option<Secret> {
        let bytes = fs::read(self.secret_file(room)).ok()?;
        let (secret, seal) = bytes.split_first_chunk::<32>()?;
        (seal == secret_seal(room, secret)).then_some(Secret(*secret))
    }

    /// Keeps the second copy of a room's secret, durably.
    pub fn keep_secret(&self, room: &RoomId, secret: &Secret) -> Result<(), StateError> {
        if self.secret(room) == Some(*secret) {
            return Ok(());
        }
        let path = self.secret_file(room);
        let content = [secret.0, secret_seal(room, &secret.0)].concat();
        durable::replace(&path, &content).map_err(|error| StateError::Io { path, error })
    }

    /// The room meant where none is named; none before the first one was made.
    pub fn default_room(&self) -> Result<Option<RoomId>, StateError> {
        self.read("default-room", "a room's id")
    }

    /// Makes `room` the default one, durably.
    pub fn set_default_room(&self, room: &RoomId) -> Result<(), StateError> {
        self.write("default-room", &room.to_string())
    }

    /// The TCP port the daemon had when it last ran.
    pub fn last_port(&self) -> Result<Option<u16>, StateError> {
        self.read("listen-port", "a port number")
    }

    /// Remembers the port, so that peers find the daemon where it was.
    pub fn set_last_port(&self, port: u16) -> Result<(), StateError> {
        if matches!(self.last_port(), Ok(Some(last)) if last == port) {
            return Ok(());
        }
        self.write("listen-port", &port.to_string())
    }

    /// The invitations into rooms that were not redeemed when the daemon last ran.
    pub fn joins(&self) -> Result<Vec<Ticket>, StateError> {
        let Joins(tickets) = self.read("joins", "one ticket on each line")?.unwrap_or_default();
        Ok(tickets)
    }

    /// Remembers the invitations that are not redeemed yet, durably.
    pub fn set_joins(&self, tickets: &[Ticket]) -> Result<(), StateError> {
        let lines: Vec<String> = tickets.iter().map(ToString::to_string).collect();
        self.write("joins", &lines.join("\n"))
    }

    fn rooms_dir(&self) -> PathBuf {
        self.data_dir.join("rooms")
    }

    fn left_dir(&self) -> PathBuf {
        self.data_dir.join("left")
    }

    fn read<T: std::str::FromStr>(
        &self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<T>, StateError> {
        let path = self.data_dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                let value = str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
                value.map(Some).ok_or(StateError::Damaged { path, expected })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::Io { path, error }),
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        let path = self.data_dir.join(name);
        durable::replace(&path, format!("{text}\n").as_bytes())
            .map_err(|error| StateError::Io { path, error })
    }
}

/// What the file of joins holds.
#[derive(Default)]
struct Joins(Vec<Ticket>);

impl std::str::FromStr for Joins {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        text.lines().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

fn rooms_in(dir: &Path) -> Result<Vec<RoomId>, StateError> {
    let mut rooms = Vec::new();
    let mut read = || {
        for entry in fs::read_dir(dir)? {
            rooms.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RoomId>().ok()));
        }
        Ok(())
    };
    read().map_err(|error| StateError::Io { path: dir.to_owned(), error })?;
    rooms.sort_unstable();
    Ok(rooms)
}

fn move_dir(from: &Path, to: &Path) -> Result<(), StateError> {
    let moved = fs::rename(from, to)
        .and_then(|()| durable::sync_dir_of(to))
        .and_then(|()| durable::sync_dir_of(from));
    moved.map_err(|error| StateError::Io { path: from.to_owned(), error })
}

fn secret_seal(room: &RoomId, secret: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 secret file seal 1");
    hasher.update(&room.0).update(secret).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_their_directories() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        assert_eq!(state.rooms().unwrap(), []);
        let (one, two) = (RoomId([1; 32]), RoomId([2; 32]));
        for room in [two, one, two] {
            assert!(state.room_file(&room).unwrap().parent().unwrap().is_dir());
        }
        fs::create_dir(dir.path().join("rooms").join("lost+found")).unwrap();
        assert_eq!(State::open(dir.path()).unwrap().rooms().unwrap(), [one, two]);
    }

    #[test]
    fn the_default_room_and_the_port_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        assert_eq!((state.default_room().unwrap(), state.last_port().unwrap()), (None, None));
        let room = RoomId([3; 32]);
        state.set_default_room(&RoomId([9; 32])).unwrap();
        state.set_default_room(&room).unwrap();
        state.set_last_port(4001).unwrap();
        assert_eq!(state.default_room().unwrap(), Some(room));
        assert_eq!(state.last_port().unwrap(), Some(4001));
    }

    #[test]
    fn a_damaged_file_is_named_and_not_guessed_at() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        for damage in [&b""[..], b"abc", b"\xff\xff"] {
            fs::write(dir.path().join("default-room"), damage).unwrap();
            let error = state.default_room().unwrap_err().to_string();
            assert!(error.contains("default-room is damaged"), "{error}");
        }
    }
}
