//! The bytes of a ground: canonical CBOR, so that equal grounds have equal bytes and one hash. docs/storage.md has the table.
//!
//! Actors are written once, in `version`; stamps and characters name them by their index there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Base, Form, Ground, GroundLife, GroundNode, Kept};
use crate::canonical::{DecodeError, Reader, Writer};
use crate::clock::Stamp;
use crate::id::{Actor, Dot, PeerKey, StateHash};
use crate::limits::{KEY_BYTES_MAX, MESSAGE_BYTES_MAX, PATH_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::members::Charter;
use crate::op::text::{CharId, Content};
use crate::op::{Kind, OpCode};
use crate::place::Place;

/// The format of an open room's ground.
const FORMAT_OPEN: u64 = 3;
/// The same, with a charter.
const FORMAT: u64 = 4;
/// Separates grounds' hashes from every other use of the hash function.
const HASH_CONTEXT: &str = "rtc 2026 ground 1";
/// Items of any list: what bounds them is the length of the bytes.
const ITEMS_MAX: usize = u32::MAX as usize;

impl Ground {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let named: BTreeSet<Actor> =
            self.version.iter().map(|(actor, _)| actor).chain(self.again_by()).collect();
        let actors = named.iter().copied().zip(0..).collect();
        let mut out = Encoding { writer: Writer::new(), actors };
        let is_open = self.charter == Charter::default();
        match is_open {
            true => out.writer.array(6).uint(FORMAT_OPEN),
            false => out.writer.array(7).uint(FORMAT),
        };
        out.writer.array(named.len());
        for actor in &named {
            out.writer.array(2).bytes(&actor.0).uint(self.version.get(actor));
        }
        out.writer.uint(self.lamport);
        out.writer.array(self.requests.len());
        for (key, request) in &self.requests {
            out.writer.array(2).bytes(&key.0).text(request);
        }
        out.writer.array(self.origins.len());
        self.origins.iter().for_each(|origin| out.dot(origin));
        out.writer.array(self.nodes.len());
        for (key, node) in &self.nodes {
            out.node(key, node);
        }
        if !is_open {
            self.charter.write(&mut out.writer);
        }
        out.writer.finish()
    }

    /// Whose messages were issued again.
    fn again_by(&self) -> impl Iterator<Item = Actor> + '_ {
        self.origins.iter().map(|dot| dot.actor)
    }

    /// What replicas that fold the same messages agree on, and a horizon names: the hash of the bytes.
    pub fn hash(&self) -> StateHash {
        StateHash(blake3::derive_key(HASH_CONTEXT, &self.encode()))
    }

    /// Reads canonical bytes that this version's operations can stand on. Whatever stands in them, it can be folded on.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let items = reader.array(7, "a ground")?;
        let is_open = match (reader.uint()?, items) {
            (FORMAT_OPEN, 6) => true,
            (FORMAT, 7) => false,
            _ => return Err(unexpected("ground format 3 or 4")),
        };
        let version = list(&mut reader, |reader| {
            reader.array_of(2, "an actor's head")?;
            Ok((Actor(reader.bytes_of()?), reader.uint()?))
        })?;
        let lamport = reader.uint()?;
        let actors = version.iter().map(|(actor, _)| *actor).collect();
        let mut from = Decoding { actors, reader };
        let requests = list(&mut from.reader, |reader| {
            reader.array_of(2, "a request")?;
            Ok((PeerKey(reader.bytes_of()?), reader.text(REQUEST_BYTES_MAX, "request id")?))
        })?;
        let mut origins = BTreeSet::new();
        for _ in 0..from.reader.array(ITEMS_MAX, "messages")? {
            origins.insert(from.dot()?);
        }
        let mut nodes = BTreeMap::new();
        for _ in 0..from.reader.array(ITEMS_MAX, "nodes")? {
            let (key, node) = from.node()?;
            nodes.insert(key, node);
        }
        let charter = if is_open { Charter::default() } else { Charter::read(&mut from.reader)? };
        from.reader.finish()?;
        let version = version.into_iter().collect();
        let ground = Self { version, lamport, requests, origins, nodes, charter };
        ground.check()?;
        if ground.encode() == bytes { Ok(ground) } else { Err(DecodeError::NotCanonical) }
    }
}

struct Encoding {
    writer: Writer,
    actors: BTreeMap<Actor, u64>,
}

impl Encoding {
    fn actor(&mut self, actor: &Actor) {
        let ix = self.actors.get(actor).expect("a ground names only what it stands for");
        self.writer.uint(*ix);
    }

    fn dot(&mut self, dot: &Dot) {
        self.writer.array(2);
        self.actor(&dot.actor);
        self.writer.uint(dot.seq);
    }

    fn stamp(&mut self, stamp: &Stamp) {
        self.writer.array(4).uint(stamp.lamport);
        self.actor(&stamp.actor);
        self.writer.uint(stamp.seq).uint(stamp.index.into());
    }

    fn char(&mut self, id: &CharId) {
        self.actor(&id.dot.actor);
        self.writer.uint(id.dot.seq).uint(id.index.into()).uint(id.offset.into());
    }

    fn node(&mut self, key: &str, node: &GroundNode) {
        self.writer.array(5).text(key).text_or_null(node.parent.as_deref());
        match &node.life {
            GroundLife::Never => self.writer.array(0),
            GroundLife::Ended => self.writer.array(1).null(),
            GroundLife::Lives { stands, tag, name, properties } => {
                self.writer.array(4);
                self.stands(stands.as_ref());
                self.writer.text(tag).text(name).array(properties.len());
                for (path, base) in properties {
                    self.writer.array(5).text(path);
                    self.stamp(&base.by);
                    self.writer.uint(base.code.0.into()).uint(form_number(base.form)).value(&base.value);
                }
                &mut self.writer
            }
        };
        for by_path in [&node.texts, &node.lists] {
            self.writer.array(by_path.len());
            for (path, kept) in by_path {
                self.writer.array(2).text(path).array(kept.len());
                kept.iter().for_each(|run| self.kept(run));
            }
        }
    }

    /// How many numbers there are says what they mean.
    fn kept(&mut self, run: &Kept) {
        match run {
            Kept::Typed { first, len } => {
                self.writer.array(3);
                self.actor(&first.actor);
                self.writer.uint(first.seq).uint((*len).into());
            }
            Kept::Hidden(position) => {
                self.writer.array(4);
                self.char(position);
            }
            Kept::Shown { first, len } => {
                self.writer.array(5);
                self.char(first);
                self.writer.uint((*len).into());
            }
            Kept::Moved { position, element } => {
                self.writer.array(8);
                self.char(position);
                self.char(element);
            }
        }
    }

    /// A place that is the birth's own is not written.
    fn stands(&mut self, stands: Option<&(Stamp, Place)>) {
        let Some((birth, place)) = stands else {
            self.writer.null();
            return;
        };
        let is_own = *place == Place::at(*birth);
        self.writer.array(if is_own { 1 } else { 3 });
        self.stamp(birth);
        if !is_own {
            self.writer.value(&place.write());
            self.stamp(&place.stamp());
        }
    }
}

fn form_number(form: Form) -> u64 {
    match form {
        Form::Whole => 0,
        Form::Made => 1,
        Form::Written(Content::Text) => 2,
        Form::Written(Content::List) => 3,
    }
}

struct Decoding<'a> {
    reader: Reader<'a>,
    actors: Vec<Actor>,
}

impl Decoding<'_> {
    fn actor(&mut self) -> Result<Actor, DecodeError> {
        let ix = usize::try_from(self.reader.uint()?).ok();
        ix.and_then(|ix| self.actors.get(ix).copied()).ok_or(unexpected("the index of an actor"))
    }

    fn dot(&mut self) -> Result<Dot, DecodeError> {
        self.reader.array_of(2, "a message")?;
        Ok(Dot { actor: self.actor()?, seq: self.reader.uint()? })
    }

    fn small(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.reader.uint()?).map_err(|_| unexpected("a number below 2^32"))
    }

    fn code(&mut self) -> Result<OpCode, DecodeError> {
        let code = u16::try_from(self.reader.uint()?).ok().map(OpCode);
        let sets = |kind: Kind| kind.is_property() || matches!(kind, Kind::Insert);
        let code = code.filter(|code| code.row().is_some_and(|row| sets(row.kind)));
        code.ok_or(unexpected("the code of an operation on properties"))
    }

    fn stamp(&mut self) -> Result<Stamp, DecodeError> {
        self.reader.array_of(4, "a stamp")?;
        let lamport = self.reader.uint()?;
        Ok(Stamp { lamport, actor: self.actor()?, seq: self.reader.uint()?, index: self.small()? })
    }

    fn char(&mut self) -> Result<CharId, DecodeError> {
        let dot = Dot { actor: self.actor()?, seq: self.reader.uint()? };
        Ok(CharId { dot, index: self.small()?, offset: self.small()? })
    }

    fn node(&mut self) -> Result<(String, GroundNode), DecodeError> {
        self.reader.array_of(5, "a node")?;
        let key = self.reader.text(KEY_BYTES_MAX, "node key")?;
        let parent = self.reader.text_or_null(KEY_BYTES_MAX, "node key")?;
        let life = match self.reader.array(4, "a life")? {
            0 => GroundLife::Never,
            1 if self.reader.array_or_null(0, "nothing")?.is_none() => GroundLife::Ended,
            4 => self.life()?,
            _ => return Err(unexpected("a life")),
        };
        let (texts, lists) = (self.by_path()?, self.by_path()?);
        Ok((key, GroundNode { parent, life, texts, lists }))
    }

    /// What is kept of the paths of a node.
    fn by_path(&mut self) -> Result<BTreeMap<String, Arc<[Kept]>>, DecodeError> {
        let mut by_path = BTreeMap::new();
        for _ in 0..self.reader.array(ITEMS_MAX, "texts or lists")? {
            self.reader.array_of(2, "a text or a list")?;
            let path = self.reader.text(PATH_BYTES_MAX, "property path")?;
            let runs = self.reader.array(ITEMS_MAX, "characters")?;
            let kept: Result<Vec<Kept>, _> = (0..runs).map(|_| self.kept()).collect();
            by_path.insert(path, kept?.into());
        }
        Ok(by_path)
    }

    fn kept(&mut self) -> Result<Kept, DecodeError> {
        match self.reader.array(8, "characters")? {
            3 => {
                let first = Dot { actor: self.actor()?, seq: self.reader.uint()? };
                Ok(Kept::Typed { first, len: self.small()? })
            }
            4 => self.char().map(Kept::Hidden),
            5 => Ok(Kept::Shown { first: self.char()?, len: self.small()? }),
            8 => Ok(Kept::Moved { position: self.char()?, element: self.char()? }),
            _ => Err(unexpected("characters")),
        }
    }

    fn life(&mut self) -> Result<GroundLife, DecodeError> {
        let stands = self.stands()?;
        // Both came in one op.
        let tag = self.reader.text(MESSAGE_BYTES_MAX, "tag")?;
        let name = self.reader.text(MESSAGE_BYTES_MAX, "name")?;
        let mut properties = BTreeMap::new();
        for _ in 0..self.reader.array(ITEMS_MAX, "properties")? {
            self.reader.array_of(5, "a property")?;
            let path = self.reader.text(PATH_BYTES_MAX, "property path")?;
            let (by, code) = (self.stamp()?, self.code()?);
            let form = match self.reader.uint()? {
                0 => Form::Whole,
                1 => Form::Made,
                2 => Form::Written(Content::Text),
                3 => Form::Written(Content::List),
                _ => return Err(unexpected("a form")),
            };
            properties.insert(path, Base { by, code, form, value: self.reader.value()? });
        }
        Ok(GroundLife::Lives { stands, tag, name, properties })
    }

    fn stands(&mut self) -> Result<Option<(Stamp, Place)>, DecodeError> {
        let Some(len) = self.reader.array_or_null(3, "where a node stands")? else { return Ok(None) };
        let birth = self.stamp()?;
        if len == 1 {
            return Ok(Some((birth, Place::at(birth))));
        }
        let (place, stamp) = (self.reader.value()?, self.stamp()?);
        let place = Place::read(&place, stamp).ok_or(unexpected("a place"))?;
        Ok(Some((birth, place)))
    }
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let len = reader.array(ITEMS_MAX, "a list")?;
    (0..len).map(|_| item(reader)).collect()
}

pub(super) fn unexpected(expected: &'static str) -> DecodeError {
    DecodeError::Unexpected { expected, offset: 0 }
}
