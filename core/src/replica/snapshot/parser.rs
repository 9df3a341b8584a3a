//! Reads a snapshot into rows that point into its bytes, and believes none of its numbers.

use super::{
    Held, INFLATED_BYTES_MAX, NodeRow, PropertyRow, Snapshot, SnapshotError, Span, StretchRow, Tally,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::block;
use crate::canonical::{DecodeError, Reader};
use crate::clock::{Stamp, VersionVector};
use crate::ground::Ground;
use crate::id::{Actor, Dot, PeerKey};
use crate::limits::{BLOCK_BYTES_MAX, GROUND_BYTES_MAX, KEY_BYTES_MAX, LAMPORT_MAX, PATH_BYTES_MAX};
use crate::members::Charter;
use crate::op::TABLE_VERSION;
use crate::scene::Root;

/// Reads the content of a snapshot.
pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
    actors: Vec<Actor>,
}

impl<'a> Parser<'a> {
    /// Reads `content`, with which `bytes` end.
    pub(super) fn new(bytes: &'a [u8], content: &'a [u8]) -> Self {
        Self { bytes, reader: Reader::new(content), actors: Vec::new() }
    }

    /// The snapshot, still without its bytes, and whether these are canonical.
    pub(super) fn read(mut self) -> Result<(Snapshot, bool), SnapshotError> {
        let snapshot = self.snapshot()?;
        let is_canonical = self.reader.is_canonical();
        self.reader.finish()?;
        Ok((snapshot, is_canonical))
    }

    fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        let items = self.reader.array(12, "a snapshot")?;
        self.reader.expect_canonical(items >= 9);
        let table = self.reader.uint()?;
        if table != u64::from(TABLE_VERSION) {
            return Err(SnapshotError::Table { found: table });
        }
        let has_members = items == 12;
        self.reader.array_of(if has_members { 4 } else { 3 }, "a root")?;
        let key = self.reader.text(KEY_BYTES_MAX, "node key")?;
        let [tag, name] = [self.text()?.to_owned(), self.text()?.to_owned()];
        let founder = if has_members { Some(PeerKey(self.reader.bytes_of()?)) } else { None };
        let mut snapshot = Snapshot {
            bytes: Vec::new(),
            root: Root { key, tag, name, founder },
            lamport_max: self.lamport()?,
            ineffective: self.number()?,
            actors: self.actors()?,
            ground: Ground::default(),
            charter: Charter::default(),
            editors: BTreeMap::new(),
            requests: 0..0,
            origins: BTreeSet::new(),
            dead: Vec::new(),
            nodes: Vec::new(),
            properties: Vec::new(),
            history: Vec::new(),
            beside: Arc::default(),
        };
        let requests = self.reader.slice(self.bytes.len(), "request hashes")?;
        snapshot.requests = self.span(requests.len());
        for _ in 0..self.list("dead keys")? {
            let key = self.reader.str(KEY_BYTES_MAX, "node key")?;
            snapshot.dead.push(self.span(key.len()));
        }
        for _ in 0..self.list("nodes")? {
            let node = self.node(&mut snapshot.properties)?;
            snapshot.nodes.push(node);
        }
        self.history(&mut snapshot)?;
        if items >= 10 {
            snapshot.origins = self.origins()?;
            self.reader.expect_canonical(items >= 11 || !snapshot.origins.is_empty());
        }
        if items >= 11 {
            match self.reader.array_or_null(2, "a ground")? {
                Some(2) => snapshot.ground = self.ground()?,
                None if has_members => {}
                Some(_) | None => return Err(DecodeError::NotCanonical.into()),
            }
        }
        if has_members {
            self.reader.array_of(2, "a charter and its editors")?;
            snapshot.charter = Charter::read(&mut self.reader)?;
            snapshot.editors = self.editors()?;
        }
        Ok(snapshot)
    }

    /// What forgotten messages left.
    fn ground(&mut self) -> Result<Ground, SnapshotError> {
        let bytes = self.number()?;
        let packed = self.reader.slice(self.bytes.len(), "a ground")?;
        if bytes > GROUND_BYTES_MAX.min(packed.len().saturating_mul(INFLATED_BYTES_MAX)) {
            return Err(DecodeError::NotCanonical.into());
        }
        Ok(Ground::decode(&block::inflate(packed, bytes)?)?)
    }

    /// By what each member's messages are an editor's.
    fn editors(&mut self) -> Result<BTreeMap<PeerKey, Vec<Vec<Dot>>>, SnapshotError> {
        let mut editors = BTreeMap::new();
        for _ in 0..self.list("editors")? {
            self.reader.array_of(2, "an editor")?;
            let key = PeerKey(self.reader.bytes_of()?);
            let mut grants = Vec::new();
            for _ in 0..self.list("grants")? {
                let dots = match self.reader.array_or_null(4, "a grant and a rotation")? {
                    Some(items @ (2 | 4)) => items / 2,
                    None => 0,
                    Some(_) => return Err(DecodeError::NotCanonical.into()),
                };
                let mut dot = || Ok(Dot { actor: Actor(self.reader.bytes_of()?), seq: self.reader.uint()? });
                grants.push((0..dots).map(|_| dot()).collect::<Result<_, DecodeError>>()?);
            }
            editors.insert(key, grants);
        }
        Ok(editors)
    }

    /// What messages were before that were issued again.
    fn origins(&mut self) -> Result<BTreeSet<Dot>, SnapshotError> {
        let mut origins = Vec::new();
        for _ in 0..self.list("origins")? {
            self.reader.array_of(2, "an origin")?;
            origins.push(Dot { actor: Actor(self.reader.bytes_of()?), seq: self.reader.uint()? });
        }
        self.reader.expect_canonical(origins.is_sorted_by(|a, b| a < b));
        Ok(origins.into_iter().collect())
    }

    fn actors(&mut self) -> Result<Vec<(Actor, u64, VersionVector)>, SnapshotError> {
        let mut clocks = Vec::new();
        for _ in 0..self.list("actors")? {
            self.reader.array_of(3, "an actor")?;
            self.actors.push(Actor(self.reader.bytes_of()?));
            let seq = self.reader.uint()?;
            let mut clock = Vec::new();
            for _ in 0..self.list("clock entries")? {
                self.reader.array_of(2, "a clock entry")?;
                clock.push((self.number()?, self.reader.uint()?));
            }
            clocks.push((seq, clock));
        }
        if !self.actors.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::NotCanonical.into());
        }
        let mut actors = Vec::with_capacity(clocks.len());
        for (&actor, (seq, clock)) in self.actors.iter().zip(clocks) {
            let named = |(ix, seen): (usize, u64)| Some((*self.actors.get(ix)?, seen));
            let clock = clock.into_iter().map(named).collect::<Option<_>>();
            actors.push((actor, seq, clock.ok_or(DecodeError::NotCanonical)?));
        }
        Ok(actors)
    }

    fn node(&mut self, properties: &mut Vec<PropertyRow>) -> Result<NodeRow, SnapshotError> {
        self.reader.array_of(7, "a node")?;
        let key = self.reader.str(KEY_BYTES_MAX, "node key")?.len();
        let key = self.span(key);
        let tag = self.text()?.len();
        let tag = self.span(tag);
        let name = self.text()?.len();
        let name = self.span(name);
        let parent = self.reader.str_or_null(KEY_BYTES_MAX, "parent")?.map(str::len);
        let parent = parent.map(|len| self.span(len));
        let children = self.at();
        for _ in 0..self.list("children")? {
            self.reader.str(KEY_BYTES_MAX, "node key")?;
        }
        let birth = match self.reader.array(4, "a stamp")? {
            0 => None,
            items => Some(self.stamp_of(items)?),
        };
        let first = properties.len();
        for _ in 0..self.list("properties")? {
            properties.push(self.property()?);
        }
        Ok(NodeRow { key, tag, name, parent, children, birth, properties: first..properties.len() })
    }

    fn property(&mut self) -> Result<PropertyRow, SnapshotError> {
        let items = self.reader.array(6, "a property")?;
        let path = self.reader.str(PATH_BYTES_MAX, "property path")?.len();
        let path = self.span(path);
        let tally = Tally { last: self.stamp()?, steps: self.number()?, faults: self.number()? };
        self.reader.expect_canonical(items >= 4 && tally.faults <= tally.steps);
        let value = match items {
            6 => Some(Held::Inflated(self.inflated()?)),
            5 => {
                let value = self.reader.raw()?.bytes().len();
                Some(Held::Here(self.span(value)))
            }
            _ => None,
        };
        Ok(PropertyRow { path, value, tally })
    }

    /// The canonical bytes of a long value.
    fn inflated(&mut self) -> Result<Box<[u8]>, SnapshotError> {
        let bytes = self.number()?;
        let packed = self.reader.slice(self.bytes.len(), "a long value")?;
        if bytes > packed.len().saturating_mul(INFLATED_BYTES_MAX) {
            return Err(DecodeError::NotCanonical.into());
        }
        let value = block::inflate(packed, bytes)?;
        let mut reader = Reader::new(&value);
        reader.raw()?;
        self.reader.expect_canonical(reader.is_canonical());
        reader.finish()?;
        Ok(value.into())
    }

    fn history(&mut self, snapshot: &mut Snapshot) -> Result<(), SnapshotError> {
        for _ in 0..self.list("blocks")? {
            self.reader.array_of(3, "a block")?;
            let (actor, first) = (self.actor()?, self.reader.uint()?);
            let block = self.reader.slice(BLOCK_BYTES_MAX, "block")?;
            snapshot.history.push(StretchRow { actor, first, block: self.span(block.len()) });
        }
        Ok(())
    }

    fn stamp(&mut self) -> Result<Stamp, SnapshotError> {
        let items = self.reader.array(4, "a stamp")?;
        self.stamp_of(items)
    }

    fn stamp_of(&mut self, items: usize) -> Result<Stamp, SnapshotError> {
        self.reader.expect_canonical(items == 4);
        let (lamport, actor, seq) = (self.lamport()?, self.actor()?, self.reader.uint()?);
        let index = u32::try_from(self.reader.uint()?).map_err(|_| DecodeError::NotCanonical)?;
        Ok(Stamp { lamport, actor, seq, index })
    }

    fn actor(&mut self) -> Result<Actor, SnapshotError> {
        let ix = self.number()?;
        self.actors.get(ix).copied().ok_or(SnapshotError::Malformed(DecodeError::NotCanonical))
    }

    fn lamport(&mut self) -> Result<u64, SnapshotError> {
        let lamport = self.reader.uint()?;
        self.reader.expect_canonical(lamport <= LAMPORT_MAX);
        Ok(lamport)
    }

    fn number(&mut self) -> Result<usize, SnapshotError> {
        usize::try_from(self.reader.uint()?).map_err(|_| DecodeError::NotCanonical.into())
    }

    fn text(&mut self) -> Result<&'a str, SnapshotError> {
        Ok(self.reader.str(self.bytes.len(), "text")?)
    }

    /// The length of a list; each of its items takes a byte at least.
    fn list(&mut self, what: &'static str) -> Result<usize, SnapshotError> {
        Ok(self.reader.array(self.bytes.len(), what)?)
    }

    /// How far reading has come.
    fn at(&self) -> usize {
        self.bytes.len() - self.reader.rest().len()
    }

    /// The last bytes that were read.
    fn span(&self, len: usize) -> Span {
        self.at() - len..self.at()
    }
}
