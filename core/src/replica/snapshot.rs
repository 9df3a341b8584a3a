//! A snapshot: what a replica shows, as bytes that are read at once, and its history, packed until somebody needs it.
//!
//! Of each property it holds the value and where its last op stands, so that most later messages need no history either.
//! The layout is in docs/storage.md.

mod parser;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::Engine;
use crate::block::{self, BlockError};
use crate::canonical::{DecodeError, Reader, Writer};
use crate::clock::{Stamp, VersionVector};
use crate::ground::Ground;
use crate::id::{Actor, Dot, PeerKey};
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX, KEY_BYTES_MAX};
use crate::members::Charter;
use crate::op::TABLE_VERSION;
use crate::raw::Raw;
use crate::scene::Root;
use crate::value::Value;
use parser::Parser;

/// The layout this code writes; the first byte of every snapshot.
const VERSION: u8 = 1;
/// Where what the checksum covers begins.
const HEADER_BYTES: usize = 1 + 32;
/// Separates checksums of snapshots from every other use of the hash function.
const CHECKSUM_CONTEXT: &str = "rtc 2026 snapshot checksum 1";
/// Bytes from which on a value is deflated: texts and long lists, which would be there twice otherwise, here and in the history.
const LONG_BYTES: usize = 1024;
/// Bytes that one deflated byte can become (RFC 1951: 258 for two bits).
const INFLATED_BYTES_MAX: usize = 1032;
/// Bytes of a request's hash: enough to rarely look for one in vain.
const REQUEST_HASH_BYTES: usize = 8;

/// Bytes that are no snapshot for this version, or a replica that has none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Another layout.
    #[error("snapshot of layout {0}")]
    Version(u8),
    /// It was folded by another version of the operation table, which may show the same messages differently.
    #[error("snapshot of operation table {found}, this one is {TABLE_VERSION}")]
    Table {
        /// Which.
        found: u64,
    },
    /// Not the bytes that were written.
    #[error("the snapshot's checksum does not hold")]
    Checksum,
    /// The bytes say what cannot be.
    #[error("malformed snapshot: {0}")]
    Malformed(#[from] DecodeError),
    /// A part of the history is no block.
    #[error("malformed history: {0}")]
    Block(#[from] BlockError),
    /// The history is not that of the messages held.
    #[error("the history is not that of the messages held")]
    History,
    /// The replica lacks messages before some that it holds.
    #[error("messages are held whose past is not")]
    Gaps,
    /// What is forgotten is kept by itself: a room that stands on a ground is opened from that.
    #[error("messages are forgotten that the history would begin with")]
    Forgotten,
}

/// Consecutive messages of one actor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Who made them.
    pub actor: Actor,
    /// The number of the first.
    pub first: u64,
    /// Their bodies, as [`block::encode`] packs them.
    pub block: Vec<u8>,
}

impl Stretch {
    /// Consecutive messages of one actor from number `first` on, in as few stretches as the limits of blocks allow. Fails
    /// where one alone exceeds them.
    pub fn pack<B: AsRef<[u8]>>(actor: Actor, mut first: u64, bodies: &[B]) -> Result<Vec<Self>, BlockError> {
        let mut stretches = Vec::new();
        let mut rest = bodies;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |body: &&B| {
                bytes += body.as_ref().len();
                bytes <= BLOCK_BYTES_MAX
            };
            let count = rest.iter().take(BLOCK_MESSAGES_MAX).take_while(fits).count().max(1);
            let (some, after) = rest.split_at(count);
            stretches.push(Self { actor, first, block: block::encode(some)? });
            first += count as u64;
            rest = after;
        }
        Ok(stretches)
    }
}

/// What a snapshot says, in place.
pub(super) struct Snapshot {
    bytes: Vec<u8>,
    pub(super) root: Root,
    pub(super) lamport_max: u64,
    pub(super) ineffective: usize,
    /// In order, each with the number of its newest message and what that has seen of others.
    pub(super) actors: Vec<(Actor, u64, VersionVector)>,
    /// What forgotten messages left, where the replica stands on that.
    pub(super) ground: Ground,
    /// What is said of the room.
    pub(super) charter: Charter,
    /// See [`Engine::editors`].
    pub(super) editors: BTreeMap<PeerKey, Vec<Option<Dot>>>,
    requests: Span,
    /// What messages held were before that were issued again.
    pub(super) origins: BTreeSet<Dot>,
    dead: Vec<Span>,
    /// The live nodes in the order of their keys.
    nodes: Vec<NodeRow>,
    properties: Vec<PropertyRow>,
    history: Vec<StretchRow>,
    /// The history where it came beside the bytes.
    beside: Arc<[Stretch]>,
}

/// Where something is in the bytes.
type Span = Range<usize>;

struct NodeRow {
    key: Span,
    tag: Span,
    name: Span,
    parent: Option<Span>,
    /// A list of keys.
    children: usize,
    birth: Option<Stamp>,
    /// In the order of their paths.
    properties: Range<usize>,
}

struct PropertyRow {
    path: Span,
    value: Option<Held>,
    tally: Tally,
}

/// A value's canonical bytes.
enum Held {
    Here(Span),
    /// They were deflated.
    Inflated(Box<[u8]>),
}

/// What of a property's history decides about later ops.
#[derive(Clone, Copy)]
pub(super) struct Tally {
    /// The last in order of the greatest live reset and the steps that count.
    pub(super) last: Stamp,
    /// Steps that count, those included that could not be applied.
    pub(super) steps: usize,
    /// Steps that could not be applied.
    pub(super) faults: usize,
}

struct StretchRow {
    actor: Actor,
    first: u64,
    block: Span,
}

/// A node of a snapshot.
pub(super) struct NodeView<'a> {
    pub(super) key: &'a str,
    pub(super) tag: &'a str,
    pub(super) name: &'a str,
    pub(super) parent: Option<&'a str>,
    /// None for the root.
    pub(super) birth: Option<Stamp>,
}

/// A property of a node of a snapshot.
#[derive(Clone, Copy)]
pub(super) struct PropertyView<'a> {
    pub(super) path: &'a str,
    pub(super) value: Option<Raw<'a>>,
    pub(super) tally: Tally,
}

impl Engine {
    /// A snapshot of what is held, and of the ground that it stands on, with the given history: every message held, each actor's
    /// in order. [`super::Replica::open`] reads it. Fails where messages are held whose past is not, or where the history is another's.
    pub fn snapshot(&self, history: &[Stretch]) -> Result<Vec<u8>, SnapshotError> {
        self.check_whole()?;
        check_history(&self.ground.version, &self.version_vector(), parts(history))?;
        Ok(self.write_snapshot(history))
    }

    /// A snapshot without its history, for who keeps that elsewhere anyway; [`super::Replica::open_beside`] reads it. Fails as
    /// [`Engine::snapshot`] does.
    pub fn snapshot_alone(&self) -> Result<Vec<u8>, SnapshotError> {
        self.check_whole()?;
        Ok(self.write_snapshot(&[]))
    }

    fn check_whole(&self) -> Result<(), SnapshotError> {
        // A history that is kept begins with the first message of each actor.
        if !self.history.is_closed() || !self.history.begins().is_empty() {
            return Err(SnapshotError::Gaps);
        }
        Ok(())
    }

    fn write_snapshot(&self, history: &[Stretch]) -> Vec<u8> {
        let version = self.version_vector();
        let actors: Vec<Actor> = version.iter().map(|(actor, _)| actor).collect();
        let ix = |actor: &Actor| actors.binary_search(actor).expect("messages of it are held") as u64;
        let mut writer = Writer::new();
        let origins = self.history.origins();
        let stands = self.history.is_on_ground();
        let has_members = self.root.founder.is_some();
        writer.array(match (has_members, stands) {
            (true, _) => 12,
            (false, true) => 11,
            (false, false) => 9 + usize::from(!origins.is_empty()),
        });
        writer.uint(TABLE_VERSION.into());
        writer.array(3 + usize::from(has_members));
        writer.text(&self.root.key).text(&self.root.tag).text(&self.root.name);
        self.root.founder.iter().for_each(|founder| _ = writer.bytes(&founder.0));
        writer.uint(self.lamport_max()).uint(self.ineffective_ops() as u64);
        writer.array(actors.len());
        for (actor, seq) in version.iter() {
            let clock = self.history.clock(&actor);
            writer.array(3).bytes(&actor.0).uint(seq).array(clock.len());
            for (other, seen) in clock.iter() {
                writer.array(2).uint(ix(&other)).uint(seen);
            }
        }
        writer.bytes(&self.request_hashes());
        let dead = self.deleted();
        writer.array(dead.len());
        for key in dead {
            writer.text(&key);
        }
        self.write_nodes(&mut writer, &ix);
        writer.array(history.len());
        for Stretch { actor, first, block } in history {
            writer.array(3).uint(ix(actor)).uint(*first).bytes(block);
        }
        if has_members || stands || !origins.is_empty() {
            writer.array(origins.len());
            for Dot { actor, seq } in origins {
                writer.array(2).bytes(&actor.0).uint(seq);
            }
        }
        if stands {
            let ground = self.ground.encode();
            writer.array(2).uint(ground.len() as u64).bytes(&block::deflate(&ground));
        } else if has_members {
            writer.null();
        }
        if has_members {
            writer.array(2);
            self.charter().write(&mut writer);
            self.write_editors(&mut writer);
        }
        seal(&writer.finish())
    }

    fn write_editors(&self, writer: &mut Writer) {
        let editors = self.editors();
        writer.array(editors.len());
        for (key, grants) in editors {
            writer.array(2).bytes(&key.0).array(grants.len());
            for grant in grants {
                match grant {
                    Some(Dot { actor, seq }) => writer.array(2).bytes(&actor.0).uint(seq),
                    None => writer.null(),
                };
            }
        }
    }

    fn request_hashes(&self) -> Vec<u8> {
        let mut hashes: Vec<_> = self.requests.iter().map(|(key, id)| request_hash(key, id)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.concat()
    }

    fn write_nodes(&self, writer: &mut Writer, ix: &impl Fn(&Actor) -> u64) {
        let write_stamp = |stamp: Stamp, writer: &mut Writer| {
            writer
                .array(4)
                .uint(stamp.lamport)
                .uint(ix(&stamp.actor))
                .uint(stamp.seq)
                .uint(stamp.index.into());
        };
        writer.array(self.nodes_live());
        for node in self.live_nodes() {
            let record = &self.nodes[node.at()];
            let (tag, name) = self.tag_and_name(node);
            writer.array(7).text(self.key(node)).text(tag).text(name);
            writer.text_or_null(record.shown.map(|shown| self.key(shown.parent)));
            writer.array(record.children.len());
            for child in record.children.iter() {
                writer.text(self.key(child));
            }
            match record.life.birth() {
                Some(birth) => write_stamp(self.history.stamp(birth), writer),
                None => {
                    writer.array(0);
                }
            }
            let mut properties: Vec<_> = record
                .cells()
                .filter_map(|cell| {
                    let cell = &self.cells[cell.at()];
                    let tally = cell.tally(&record.life, &self.history, &self.verdicts)?;
                    Some((self.history.paths.text(cell.path.at()), cell.value(&self.history), tally))
                })
                .collect();
            properties.sort_unstable_by_key(|&(path, ..)| path);
            writer.array(properties.len());
            for (path, value, Tally { last, steps, faults }) in properties {
                let value = value.map(|value| canonical(&value)).unwrap_or_default();
                let is_long = value.len() >= LONG_BYTES;
                writer.array(4 + usize::from(!value.is_empty()) + usize::from(is_long)).text(path);
                write_stamp(last, writer);
                writer.uint(steps as u64).uint(faults as u64);
                if is_long {
                    writer.uint(value.len() as u64).bytes(&block::deflate(&value));
                } else if !value.is_empty() {
                    writer.raw(Raw::of_checked(&value));
                }
            }
        }
    }
}

impl Snapshot {
    /// Reads what [`Engine::snapshot`] wrote, or [`Engine::snapshot_alone`] where a history is given. Takes memory in proportion
    /// to the bytes, whatever they say.
    pub(super) fn read(bytes: Vec<u8>, beside: Option<Arc<[Stretch]>>) -> Result<Self, SnapshotError> {
        match bytes.first() {
            Some(&VERSION) => {}
            found => return Err(SnapshotError::Version(found.copied().unwrap_or(0))),
        }
        let Some((header, content)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(SnapshotError::Checksum);
        };
        if header[1..] != checksum(content) {
            return Err(SnapshotError::Checksum);
        }
        let (mut snapshot, is_canonical) = Parser::new(&bytes, content).read()?;
        let precedes = |a: &Span, b: &Span| bytes[a.clone()] < bytes[b.clone()];
        let nodes_sorted = snapshot.nodes.is_sorted_by(|a, b| precedes(&a.key, &b.key));
        let properties_sorted = snapshot.nodes.iter().all(|node| {
            snapshot.properties[node.properties.clone()].is_sorted_by(|a, b| precedes(&a.path, &b.path))
        });
        if !is_canonical || !nodes_sorted || !properties_sorted {
            return Err(DecodeError::NotCanonical.into());
        }
        snapshot.bytes = bytes;
        if snapshot.find(&snapshot.root.key).is_none() {
            return Err(DecodeError::NotCanonical.into());
        }
        if let Some(beside) = beside.filter(|_| snapshot.history.is_empty()) {
            snapshot.beside = beside;
        }
        let version: VersionVector = snapshot.actors.iter().map(|&(actor, seq, _)| (actor, seq)).collect();
        let inside =
            snapshot.history.iter().map(|row| (row.actor, row.first, &snapshot.bytes[row.block.clone()]));
        check_history(&snapshot.ground.version, &version, inside.chain(parts(&snapshot.beside)))?;
        Ok(snapshot)
    }

    fn text(&self, span: &Span) -> &str {
        std::str::from_utf8(&self.bytes[span.clone()]).expect("texts were checked when they were read")
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The number of the live node of that key.
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        self.nodes.binary_search_by(|node| self.bytes[node.key.clone()].cmp(key.as_bytes())).ok()
    }

    pub(super) fn node(&self, node: usize) -> NodeView<'_> {
        let row = &self.nodes[node];
        NodeView {
            key: self.text(&row.key),
            tag: self.text(&row.tag),
            name: self.text(&row.name),
            parent: row.parent.as_ref().map(|parent| self.text(parent)),
            birth: row.birth,
        }
    }

    /// The keys of the nodes below one, in order.
    pub(super) fn children(&self, node: usize) -> impl Iterator<Item = &str> {
        const CHECKED: &str = "lists were checked when they were read";
        let mut reader = Reader::new(&self.bytes[self.nodes[node].children..]);
        let count = reader.array(self.bytes.len(), "children").expect(CHECKED);
        (0..count).map(move |_| reader.str(KEY_BYTES_MAX, "node key").expect(CHECKED))
    }

    pub(super) fn properties(&self, node: usize) -> impl Iterator<Item = PropertyView<'_>> {
        self.properties[self.nodes[node].properties.clone()].iter().map(|row| self.view(row))
    }

    pub(super) fn property(&self, node: usize, path: &str) -> Option<PropertyView<'_>> {
        let rows = &self.properties[self.nodes[node].properties.clone()];
        let at = rows.binary_search_by(|row| self.bytes[row.path.clone()].cmp(path.as_bytes())).ok()?;
        Some(self.view(&rows[at]))
    }

    fn view<'a>(&'a self, row: &'a PropertyRow) -> PropertyView<'a> {
        let value = row.value.as_ref().map(|value| match value {
            Held::Here(value) => Raw::of_checked(&self.bytes[value.clone()]),
            Held::Inflated(value) => Raw::of_checked(value),
        });
        PropertyView { path: self.text(&row.path), value, tally: row.tally }
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = &str> {
        self.dead.iter().map(|key| self.text(key))
    }

    /// Whether a message with that request may be held; certainly not where this says no.
    pub(super) fn may_hold_request(&self, key: &PeerKey, request: &str) -> bool {
        let (hashes, _) = self.bytes[self.requests.clone()].as_chunks();
        hashes.binary_search(&request_hash(key, request)).is_ok()
    }

    /// The history, packed, each actor's in order.
    pub(super) fn history(&self) -> impl Iterator<Item = (Actor, &[u8])> {
        let inside = self.history.iter().map(|row| (row.actor, &self.bytes[row.block.clone()]));
        inside.chain(self.beside.iter().map(|part| (part.actor, &part.block[..])))
    }
}

fn parts(history: &[Stretch]) -> impl Iterator<Item = (Actor, u64, &[u8])> {
    history.iter().map(|part| (part.actor, part.first, &part.block[..]))
}

/// Whether the parts of a history are what a version holds beside what is forgotten, each actor's in order.
fn check_history<'a>(
    forgotten: &VersionVector,
    version: &VersionVector,
    parts: impl Iterator<Item = (Actor, u64, &'a [u8])>,
) -> Result<(), SnapshotError> {
    let mut held = forgotten.clone();
    for (actor, first, block) in parts {
        let (messages, _) = block::size(block)?;
        if first != held.get(&actor) + 1 {
            return Err(SnapshotError::History);
        }
        held.raise(actor, held.get(&actor).saturating_add(messages as u64));
    }
    if held == *version { Ok(()) } else { Err(SnapshotError::History) }
}

fn canonical(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.value(value);
    writer.finish()
}

fn seal(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.push(VERSION);
    bytes.extend(checksum(content));
    bytes.extend(content);
    bytes
}

fn checksum(content: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT).update(content).finalize().as_bytes()
}

/// Stands for a client's request.
pub(super) fn request_hash(key: &PeerKey, request: &str) -> [u8; REQUEST_HASH_BYTES] {
    let mut hash = [0; REQUEST_HASH_BYTES];
    let whole = blake3::Hasher::new().update(&key.0).update(request.as_bytes()).finalize();
    hash.copy_from_slice(&whole.as_bytes()[..REQUEST_HASH_BYTES]);
    hash
}
