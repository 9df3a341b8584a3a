//! What clients read: of a room as it stands, here and now; of an earlier version, on a thread of its own.

use rtc_core::api::{ApiError, At, Blamed, Code, LogEntry, Reply, RoomName};
use rtc_core::clock::VersionVector;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::preview::Preview;
use rtc_core::replica::Replica;
use rtc_core::room::Room;

use crate::hub::{Call, Hub};
use crate::past::{PastThread, Question};

/// A question about a room that a replica answers.
pub(super) enum Reading {
    Node { key: String },
    Value { key: String, path: String },
    Scene,
    Log { limit: Option<u64> },
    Blame { key: String, path: Option<String>, all: bool },
}

impl Hub {
    /// Answers a question about a room, at an earlier version of it if one is named.
    pub(super) fn read(&mut self, call: Call, room: &RoomName, at: Option<At>, reading: Reading) {
        let answered = self.room_named(room.as_deref()).and_then(|room| match at {
            None => {
                let room = self.room(&room)?;
                let own = room.own_keys();
                reading.answer(room.replica(), &own, &call);
                Ok(())
            }
            Some(At::Draft(draft)) => self.preview(&call, room, &draft, reading),
            Some(at) => self.read_past(&call, room, at, reading),
        });
        if let Err(error) = answered {
            call.answer(Err(error));
        }
    }

    fn read_past(&mut self, call: &Call, room: RoomId, at: At, reading: Reading) -> Result<(), ApiError> {
        let version = self.version(&room, at)?;
        let ground = Box::new(self.room(&room)?.ground());
        let founder = self.room(&room)?.replica().root().founder;
        let branches = self.room(&room)?.branches().clone();
        // What is part of the version may not even be on its way to the disk yet.
        self.flush();
        if self.past.is_none() {
            self.past = PastThread::spawn(&self.store)
                .map_err(|error| tracing::error!("no thread reads earlier versions: {error}"))
                .ok();
        }
        let (own, call) = (self.room(&room)?.own_keys(), call.clone());
        let lease = self.keep_awake();
        let then = Box::new(move |replica: Result<&Replica, ApiError>| {
            match replica {
                Ok(replica) => reading.answer(replica, &own, &call),
                Err(error) => call.answer(Err(error)),
            }
            drop(lease);
        });
        let past = self.past.as_ref();
        past.map_or_else(
            || Err(ApiError::new(Code::Internal, "the system has no thread for earlier versions")),
            |past| past.ask(Question { room, founder, version, branches, ground, then }),
        )
    }

    /// The messages that a version consists of.
    fn version(&mut self, room: &RoomId, at: At) -> Result<VersionVector, ApiError> {
        let room = self.room(room)?;
        let forgotten = room.forgotten();
        let mut version = Self::version_held(room, at)?;
        if version.is_empty() && !forgotten.is_empty() {
            return Err(ApiError::new(Code::NotFound, "what the room was like then is forgotten")
                .with_hint("`rtc log` lists what is not"));
        }
        version.join(&forgotten);
        Ok(version)
    }

    /// The messages that are held of a version.
    fn version_held(room: &mut Room, at: At) -> Result<VersionVector, ApiError> {
        match at {
            At::Message(name) => {
                let dot = room.find(&name)?;
                Ok(room.replica().version_of(&dot).expect("it was found"))
            }
            At::Time(time_ms) => Ok(room.replica().version_at(time_ms)),
            At::Draft(_) => Err(ApiError::new(Code::BadRequest, "a draft is part of no earlier version")),
            At::Version(numbers) => {
                let replica = room.replica();
                let held = replica.version_vector();
                if let Some((actor, seq)) = numbers.iter().find(|(actor, seq)| held.get(actor) < **seq) {
                    let text = format!("message {actor}:{seq} of that version is not held");
                    return Err(ApiError::new(Code::NotFound, text).with_hint(
                        "it may not have come yet: `rtc status` says whether the room is in sync",
                    ));
                }
                Ok(replica.closed(numbers.into_iter().collect()))
            }
        }
    }
}

impl Reading {
    fn answer(self, replica: &Replica, own: &[PeerKey], call: &Call) {
        let answered = match self {
            Self::Node { key } => replica.node(&key).map(Reply::Node).ok_or_else(|| no_node(&key)),
            Self::Value { key, path } => match replica.value(&key, &path) {
                Some(value) => Ok(Reply::Value(value)),
                None => Err(no_value(replica, &key, &path)),
            },
            Self::Scene => return call.answer_in_pages(replica.scene().collect()),
            Self::Log { limit } => return call.answer_in_pages(log(replica, limit, own)),
            Self::Blame { key, path, all } => match blame(replica, &key, path.as_deref(), all, own) {
                Ok(blamed) => return call.answer_in_pages(blamed),
                Err(error) => Err(error),
            },
        };
        call.answer(answered);
    }
}

impl Reading {
    /// Answers with a draft on top.
    pub(super) fn answer_preview(self, preview: &Preview, replica: &Replica, call: &Call) {
        let node = |key: &str| preview.node(replica, key).ok_or_else(|| no_node(key));
        call.answer(match self {
            Self::Node { key } => node(&key).map(Reply::Node),
            Self::Value { key, path } => node(&key).and_then(|mut node| {
                let value = node.properties.remove(&path);
                value.map(Reply::Value).ok_or_else(|| no_value(replica, &key, &path))
            }),
            Self::Scene => return call.answer_in_pages(preview.scene(replica)),
            Self::Log { .. } | Self::Blame { .. } => {
                let error = ApiError::new(Code::BadRequest, "a draft has no history yet");
                Err(error.with_hint("nodes, values and the scene can be read with it"))
            }
        });
    }
}

fn log(replica: &Replica, limit: Option<u64>, own: &[PeerKey]) -> Vec<LogEntry> {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    replica.newest().take(limit).filter_map(|dot| replica.log_entry(&dot, own)).collect()
}

fn blame(
    replica: &Replica,
    key: &str,
    path: Option<&str>,
    all: bool,
    own: &[PeerKey],
) -> Result<Vec<Blamed>, ApiError> {
    let mut ops = match path {
        Some(path) => replica.makers(key, path),
        None => replica.movers(key),
    };
    if ops.is_empty() && path.is_none() && replica.is_live(key) {
        return Err(ApiError::new(Code::NotFound, "nobody made the root: the room began with it"));
    }
    if ops.is_empty() {
        return Err(path.map_or_else(|| no_node(key), |path| no_value(replica, key, path)));
    }
    if path.is_some() && !all {
        ops.truncate(1);
    }
    Ok(ops.into_iter().filter_map(|op| replica.blamed(op, own)).collect())
}

fn no_node(key: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("there is no node `{key}`")).with_hint("`rtc tree` lists the nodes")
}

fn no_value(replica: &Replica, key: &str, path: &str) -> ApiError {
    if !replica.is_live(key) {
        return no_node(key);
    }
    ApiError::new(Code::NotFound, format!("node `{key}` has no property `{path}`"))
        .with_hint(format!("`rtc get {key}` shows those it has"))
}
