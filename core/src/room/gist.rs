//! What a room is known by while it is out of memory: enough to prove membership, to compare digests and to be listed.
//!
//! The layout is in docs/storage.md.

use std::collections::BTreeMap;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::clock::VersionVector;
use crate::founding::{FOUNDING_BYTES_MAX, Founding, ROOM_NAME_BYTES_MAX};
use crate::id::{Actor, Dot, PeerKey, RoomId, StateHash};
use crate::members::Role;
use crate::op::TABLE_VERSION;
use crate::room::witness::basis_of;
use crate::room::{Room, Standing};
use crate::sync::frame::{Digest, Sight};

/// A room without its messages: true as long as nothing comes to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gist {
    /// Its founding message.
    pub founding: Founding,
    /// How it is called.
    pub name: String,
    /// Messages held.
    pub messages: u64,
    /// Live nodes, the root included.
    pub nodes: u64,
    /// The hash of the scene.
    pub state_hash: StateHash,
    /// Ops that had no effect.
    pub ineffective_ops: u64,
    /// The horizon that it stands on.
    pub horizon: Option<Dot>,
    /// The hash of what is held.
    pub(super) digest: Digest,
    /// What is held; none where that takes too long to be told.
    pub(super) vector: Option<VersionVector>,
    /// Whose horizons count.
    pub(super) keeper: PeerKey,
    /// All who are members or were, and what they may do; of former keys nothing.
    members: BTreeMap<PeerKey, Option<Role>>,
}

impl Room {
    /// What the room is known by, without its messages; nothing where it is not [idle](Self::is_idle). Costs a walk over the scene, unless
    /// it was hashed for peers already.
    pub fn gist(&mut self) -> Option<Gist> {
        if !self.is_idle() {
            return None;
        }
        let (founding, keeper) = (self.founding.clone()?, self.keeper_key()?);
        let seen = self.seen();
        Some(Gist {
            name: self.name().unwrap_or_default(),
            messages: self.log.messages(),
            nodes: self.replica.nodes_live() as u64,
            state_hash: seen.unwrap_or_else(|| self.replica.state_hash()),
            ineffective_ops: self.replica.ineffective_ops() as u64,
            horizon: self.horizon(),
            digest: self.log.digest(),
            vector: (!self.is_vast()).then(|| self.log.vector()),
            members: self.roles(),
            keeper,
            founding,
        })
    }

    /// What everybody may do who is a member or was, by each of his keys.
    fn roles(&self) -> BTreeMap<PeerKey, Option<Role>> {
        let mut roles = BTreeMap::new();
        for member in self.replica.members() {
            roles.extend(member.former.iter().map(|former| (former.key, self.replica.role(&former.key))));
            roles.insert(member.key, self.replica.role(&member.key));
        }
        roles
    }

    /// Whether nothing is under way in the room, and nothing wrong with it, whoever is connected.
    pub fn is_idle(&self) -> bool {
        let is_quiet = !self.is_succession_due()
            && self.commits.is_empty()
            && self.shows.is_empty()
            && self.fetch.is_none();
        let is_stored =
            self.batches.newest().is_none() && self.pending.is_empty() && self.waiting.messages() == 0;
        let is_well = self.read_only.is_none() && !self.store_failed && self.alarm().is_none();
        // Whoever comes is told of forks.
        let is_settled = self.horizons.is_settled() && self.forks.is_empty();
        is_quiet && is_stored && is_well && is_settled && self.reads_orphaned.is_empty() && !self.is_crowd()
    }
}

impl Gist {
    /// The room's id.
    pub fn room(&self) -> RoomId {
        self.founding.room()
    }

    /// How the owner of `key` stands to the room.
    pub fn standing_of(&self, key: &PeerKey) -> Standing {
        match (self.founding.first_member(), self.members.get(key)) {
            (None, _) => Standing::Open,
            (Some(_), Some(Some(role))) => Standing::Member(*role),
            (Some(_), Some(None)) => Standing::Removed,
            (Some(_), None) => Standing::Unknown,
        }
    }

    /// What is seen here of what is held.
    pub(super) fn sight(&self) -> Sight {
        Sight { basis: basis_of(&self.digest, self.horizon), state: self.state_hash }
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(12).uint(TABLE_VERSION.into()).bytes(&self.founding.encode()).text(&self.name);
        writer.uint(self.messages).uint(self.nodes).bytes(&self.state_hash.0).uint(self.ineffective_ops);
        let horizon = self.horizon.map(|dot| [(dot.actor, dot.seq)].into_iter().collect());
        write_vector(horizon.as_ref(), &mut writer);
        writer.bytes(&self.digest);
        write_vector(self.vector.as_ref(), &mut writer);
        writer.bytes(&self.keeper.0).array(self.members.len() * 2);
        for (key, role) in &self.members {
            writer.bytes(&key.0).text_or_null(role.map(Role::word));
        }
        writer.finish()
    }

    /// Reads canonical bytes. Those of a version with other operations are refused: it may have seen another scene.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array_of(12, "a room's gist")?;
        if reader.uint()? != u64::from(TABLE_VERSION) {
            return Err(DecodeError::Unexpected { expected: "this table of operations", offset: 1 });
        }
        let founding = Founding::decode(reader.slice(FOUNDING_BYTES_MAX, "a founding message")?)?;
        let name = reader.text(ROOM_NAME_BYTES_MAX, "a room's name")?;
        let (messages, nodes) = (reader.uint()?, reader.uint()?);
        let (state_hash, ineffective_ops) = (StateHash(reader.bytes_of()?), reader.uint()?);
        let horizon = read_vector(&mut reader, bytes.len())?.and_then(|vector| vector.first());
        let horizon = horizon.map(|(actor, seq)| Dot { actor, seq });
        let (digest, vector) = (reader.bytes_of()?, read_vector(&mut reader, bytes.len())?);
        let keeper = PeerKey(reader.bytes_of()?);
        let mut members = BTreeMap::new();
        for _ in 0..reader.array(bytes.len(), "members")? / 2 {
            let key = PeerKey(reader.bytes_of()?);
            members.insert(key, reader.text_or_null(16, "a role")?.and_then(|word| Role::of_word(&word)));
        }
        let gist = Self {
            founding,
            name,
            messages,
            nodes,
            state_hash,
            ineffective_ops,
            horizon,
            digest,
            vector,
            keeper,
            members,
        };
        reader.finish()?;
        if gist.encode() != bytes { Err(DecodeError::NotCanonical) } else { Ok(gist) }
    }
}

fn write_vector(vector: Option<&VersionVector>, writer: &mut Writer) {
    let Some(vector) = vector else {
        writer.null();
        return;
    };
    writer.array(vector.len() * 2);
    for (actor, seq) in vector.iter() {
        writer.bytes(&actor.0).uint(seq);
    }
}

fn read_vector(reader: &mut Reader<'_>, limit: usize) -> Result<Option<VersionVector>, DecodeError> {
    let Some(len) = reader.array_or_null(limit, "a version vector")? else { return Ok(None) };
    (0..len / 2).map(|_| Ok((Actor(reader.bytes_of()?), reader.uint()?))).collect::<Result<_, _>>().map(Some)
}
