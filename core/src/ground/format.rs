//! The bytes of a ground: canonical CBOR, so that equal grounds have equal bytes and one hash. docs/storage.md has the table.
//!
//! Actors are written once, in `version`; stamps and characters name them by their index there.

use std::collections::{BTreeMap, BTreeSet};

use super::run::{Rest, push_run};
use super::{Base, Brought, Form, Ground, GroundLife, GroundNode, Spot};
use crate::canonical::{DecodeError, Reader, Writer};
use crate::clock::Stamp;
use crate::id::{Actor, Dot, PeerKey, StateHash};
use crate::limits::{
    GROUND_TEXT_OPS_MAX, KEY_BYTES_MAX, MESSAGE_BYTES_MAX, PATH_BYTES_MAX, REQUEST_BYTES_MAX,
};
use crate::op::text::{CharId, Content, Writing};
use crate::op::{Kind, OpCode};
use crate::place::Place;
use crate::value::Value;

/// The format this code writes.
const FORMAT: u64 = 2;
/// Separates grounds' hashes from every other use of the hash function.
const HASH_CONTEXT: &str = "rtc 2026 ground 1";
/// Items of any list: what bounds them is the length of the bytes.
const ITEMS_MAX: usize = u32::MAX as usize;
/// Bytes of a text that many messages wrote.
const TEXT_BYTES_MAX: usize = u32::MAX as usize;

impl Ground {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let named: BTreeSet<Actor> =
            self.version.iter().map(|(actor, _)| actor).chain(self.again_by()).collect();
        let actors = named.iter().copied().zip(0..).collect();
        let mut out = Encoding { writer: Writer::new(), actors };
        out.writer.array(6).uint(FORMAT);
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
        reader.array_of(6, "a ground")?;
        if reader.uint()? != FORMAT {
            return Err(unexpected("ground format 2"));
        }
        let version = list(&mut reader, |reader| {
            reader.array_of(2, "an actor's head")?;
            Ok((Actor(reader.bytes_of()?), reader.uint()?))
        })?;
        let lamport = reader.uint()?;
        let actors = version.iter().map(|(actor, _)| *actor).collect();
        let mut from = Decoding { actors, ops: 0, reader };
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
        from.reader.finish()?;
        let ground = Self { version: version.into_iter().collect(), lamport, requests, origins, nodes };
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

    fn char(&mut self, id: Option<&CharId>) {
        let Some(id) = id else {
            self.writer.null();
            return;
        };
        self.writer.array(4);
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
        for brought in [&node.texts, &node.lists] {
            self.writer.array(brought.len());
            for (path, brought) in brought {
                let runs: Vec<&[Brought]> = brought.chunk_by(continues).collect();
                self.writer.array(2).text(path).array(runs.len());
                for run in runs {
                    self.run(run);
                }
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

    /// What several messages brought, each behind the one before: who types writes one run.
    fn run(&mut self, run: &[Brought]) {
        let first = &run[0];
        self.writer.array(if first.origin.is_some() { 6 } else { 5 });
        self.stamp(&first.by);
        self.writer.uint(first.code.0.into());
        let lengths: Vec<&[Brought]> = run.chunk_by(|a, b| a.len == b.len).collect();
        self.writer.array(2 * lengths.len());
        for alike in lengths {
            self.writer.uint(alike[0].len.into()).uint(alike.len() as u64);
        }
        self.spot(&first.spot);
        if is_move(first.code) {
            self.char(first.element.as_ref());
        } else {
            let shown = joined(run);
            self.writer.array(shown.len());
            for (from, run) in shown {
                self.writer.array(2).uint(from).value(&run);
            }
        }
        first.origin.iter().for_each(|origin| self.dot(origin));
    }

    fn spot(&mut self, spot: &Spot) {
        match spot {
            Spot::Before(id) => {
                self.writer.array(2).uint(0);
                self.char(Some(id));
            }
            Spot::After(left, None) => {
                self.writer.array(2).uint(1);
                self.char(left.as_ref());
            }
            Spot::After(left, Some(until)) => {
                self.writer.array(3).uint(2);
                self.char(left.as_ref());
                self.char(until.as_ref());
            }
            Spot::Last => {
                self.writer.array(1).uint(3);
            }
        }
    }
}

/// Whether `b` is what the next message of the same actor brought behind what `a` did.
fn continues(a: &Brought, b: &Brought) -> bool {
    let is_first_issue = a.origin.is_none() && b.origin.is_none();
    let is_next = b.by == after(&a.by) && a.by.index == 0 && b.spot == behind(a);
    is_first_issue && is_next && b.code == a.code && !is_move(a.code)
}

/// The first op of the next message, where nothing else came between.
fn after(by: &Stamp) -> Stamp {
    Stamp { lamport: by.lamport.saturating_add(1), seq: by.seq.saturating_add(1), index: 0, ..*by }
}

fn behind(brought: &Brought) -> Spot {
    Spot::After(Some(brought.char(brought.len.saturating_sub(1))), None)
}

/// Whether such an op brings a position and no more.
pub(super) fn is_move(code: OpCode) -> bool {
    matches!(code.row().map(|row| row.kind), Some(Kind::Write(_, Writing::Move)))
}

fn form_number(form: Form) -> u64 {
    match form {
        Form::Whole => 0,
        Form::Made => 1,
        Form::Written(Content::Text) => 2,
        Form::Written(Content::List) => 3,
    }
}

/// What shows of a run, by offsets from its first character.
fn joined(run: &[Brought]) -> Vec<(u64, Value)> {
    let mut joined: Vec<(u64, Value)> = Vec::new();
    let (mut start, mut end) = (0, None);
    for brought in run {
        for (from, value) in &brought.shown {
            let from = start + u64::from(*from);
            match (joined.last_mut().filter(|_| end == Some(from)), value) {
                (Some((_, Value::Text(before))), Value::Text(text)) => before.push_str(text),
                (Some((_, Value::List(before))), Value::List(list)) => before.extend_from_slice(list),
                (_, value) => joined.push((from, value.clone())),
            }
            end = Some(from + Rest::of(value).len());
        }
        start += u64::from(brought.len);
    }
    joined
}

struct Decoding<'a> {
    reader: Reader<'a>,
    actors: Vec<Actor>,
    /// Ops that brought characters, so far.
    ops: usize,
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

    fn char(&mut self) -> Result<Option<CharId>, DecodeError> {
        match self.reader.array_or_null(4, "a character")? {
            None => return Ok(None),
            Some(4) => {}
            Some(_) => return Err(unexpected("a character")),
        }
        let dot = Dot { actor: self.actor()?, seq: self.reader.uint()? };
        Ok(Some(CharId { dot, index: self.small()?, offset: self.small()? }))
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
        let (texts, lists) = (self.brought(Content::Text)?, self.brought(Content::List)?);
        Ok((key, GroundNode { parent, life, texts, lists }))
    }

    /// What was brought to the paths of a node.
    fn brought(&mut self, content: Content) -> Result<BTreeMap<String, Vec<Brought>>, DecodeError> {
        let mut by_path = BTreeMap::new();
        for _ in 0..self.reader.array(ITEMS_MAX, "texts or lists")? {
            self.reader.array_of(2, "a text or a list")?;
            let path = self.reader.text(PATH_BYTES_MAX, "property path")?;
            let mut brought = Vec::new();
            for _ in 0..self.reader.array(ITEMS_MAX, "characters")? {
                self.run(content, &mut brought)?;
            }
            by_path.insert(path, brought);
        }
        Ok(by_path)
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

    fn run(&mut self, content: Content, all: &mut Vec<Brought>) -> Result<(), DecodeError> {
        let items = self.reader.array(6, "characters")?;
        let (mut by, code) = (self.stamp()?, self.code()?);
        let numbers = list(&mut self.reader, Reader::uint)?;
        let mut spot = self.spot()?;
        if is_move(code) && content == Content::List {
            let (element, origin) = (self.char()?, self.origin(items)?);
            self.count(1)?;
            all.push(Brought { by, origin, code, spot, len: 1, shown: Vec::new(), element });
            return if numbers == [1, 1] { Ok(()) } else { Err(unexpected("one position")) };
        }
        let shown = list(&mut self.reader, |reader| {
            reader.array_of(2, "a run of characters")?;
            let from = reader.uint()?;
            let from = u32::try_from(from).map_err(|_| unexpected("a number below 2^32"))?;
            let run = match content {
                Content::Text => reader.text(TEXT_BYTES_MAX, "text")?.into(),
                Content::List => reader.value()?,
            };
            if content.fits(&run) { Ok((u64::from(from), run)) } else { Err(unexpected("a list")) }
        })?;
        let origin = self.origin(items)?;
        let mut rest = shown.iter().map(|(from, run)| (*from, Rest::of(run))).peekable();
        let mut start = 0;
        for pair in numbers.chunks(2) {
            let [len, times] = *pair else { return Err(unexpected("lengths, and how often each")) };
            let len = u32::try_from(len).ok().filter(|&len| len > 0 && len as usize <= MESSAGE_BYTES_MAX);
            let len = len.ok_or(unexpected("as many characters as one op can bring"))?;
            self.count(times)?;
            for _ in 0..times {
                let end = start + u64::from(len);
                let mut shown: Vec<(u32, Value)> = Vec::new();
                while let Some((from, run)) = rest.peek_mut().filter(|(from, _)| *from < end) {
                    let offset = from.checked_sub(start).and_then(|offset| u32::try_from(offset).ok());
                    let offset = offset.ok_or(unexpected("runs of the characters there are"))?;
                    let (len, taken) = run.take(end - *from);
                    push_run(&mut shown, offset, taken);
                    *from += len;
                    if run.is_empty() {
                        rest.next();
                    }
                }
                let brought = Brought { by, origin, code, spot, len, shown, element: None };
                (spot, by, start) = (behind(&brought), after(&by), end);
                all.push(brought);
            }
        }
        match rest.next() {
            None => Ok(()),
            Some(_) => Err(unexpected("runs of the characters there are")),
        }
    }

    /// What the message of an op was before, where it says so behind all else.
    fn origin(&mut self, items: usize) -> Result<Option<Dot>, DecodeError> {
        match items {
            5 => Ok(None),
            6 => self.dot().map(Some),
            _ => Err(unexpected("characters")),
        }
    }

    /// Counts ops that brought something: a few bytes may stand for many.
    fn count(&mut self, more: u64) -> Result<(), DecodeError> {
        self.ops = self.ops.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
        let (what, found, limit) = ("ops that brought characters", self.ops, GROUND_TEXT_OPS_MAX);
        if found > limit { Err(DecodeError::TooLong { what, found, limit }) } else { Ok(()) }
    }

    fn spot(&mut self) -> Result<Spot, DecodeError> {
        let len = self.reader.array(3, "where characters go")?;
        Ok(match (len, self.reader.uint()?) {
            (2, 0) => Spot::Before(self.char()?.ok_or(unexpected("a character"))?),
            (2, 1) => Spot::After(self.char()?, None),
            (3, 2) => Spot::After(self.char()?, Some(self.char()?)),
            (1, 3) => Spot::Last,
            _ => return Err(unexpected("where characters go")),
        })
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
