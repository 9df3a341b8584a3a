//! `rtc-core`: edits become messages with canonical bytes on the hash chain of their actor; signatures are left out.
//!
//! The bytes of messages are kept as the daemon keeps them on disk: they are the file, not live heap.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use rtc_core::api::EditOp;
use rtc_core::author::{About, Author};
use rtc_core::chain::{Link, Signature};
use rtc_core::id::{Actor, Dot, PeerKey, RoomId};
use rtc_core::limits::{BACKLOG_RUN_MESSAGES_MAX, SPANS_MAX};
use rtc_core::message::Head;
use rtc_core::replica::{Replica, Stretch};
use rtc_core::scene::Root;
use rtc_core::sync::frame::{LinkFrame, RoomFrame};
use rtc_core::sync::{Run, backlog, live};
use rtc_core::value::Value;
use rtc_core::view::MessageView;

use super::{Ability, Engine, Position};
use crate::trace::Splice;

const ROOM: RoomId = RoomId([7; 32]);
/// Any time will do that takes the bytes a present one takes.
const TIME_MS: u64 = 1_760_000_000_000;
/// Nodes that one commit makes.
const NODES_PER_COMMIT: usize = 100;
/// Where the text is.
const TEXT: (&str, &str) = ("page", "text");
/// Splices of one commit at most: with their names they stay below what a message may hold.
const SPLICES_PER_COMMIT: usize = 256;
/// Bytes that one commit inserts at most, for the same reason.
const INSERTED_BYTES_PER_COMMIT: usize = 32 * 1024;
/// Messages and bytes of messages that are packed together.
const PACKED_MESSAGES_MAX: usize = 65_536;
const PACKED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The file may take so much before it has to be moved, as one on a disk never has to. Memory that is not written to costs
/// nothing.
const FILE_BYTES: usize = 64 << 20;
/// The room's number on a connection.
const CHANNEL: u64 = 1;
/// Stands where each run has its author's signature.
const SIGNATURE: Signature = Signature([0; 64]);

/// What a file says of each actor besides the snapshot: actor, number, lamport and link of its newest message.
const HEAD_BYTES: usize = 40 + 8 + 8 + 32;

/// The engine.
pub(super) struct Rtc;

impl Engine for Rtc {
    fn name(&self) -> &'static str {
        "rtc-core"
    }

    fn can(&self, _ability: Ability) -> bool {
        true
    }

    fn create(&self, number: u8) -> Box<dyn super::Replica> {
        Box::new(RtcReplica::new(number))
    }

    fn load(&self, number: u8, saved: &[u8]) -> Result<Box<dyn super::Replica>> {
        let mut replica = RtcReplica::new(number);
        let (heads, snapshot) = saved.split_first_chunk().context("the file is cut")?;
        let heads = u32::from_le_bytes(*heads) as usize * HEAD_BYTES;
        let (heads, snapshot) = snapshot.split_at_checked(heads).context("the file is cut")?;
        for head in heads.chunks_exact(HEAD_BYTES) {
            replica.hear_head(head).context("a head is cut")?;
        }
        replica.replica = Replica::open(snapshot.to_vec())?;
        Ok(Box::new(replica))
    }
}

/// What is held of one actor.
#[derive(Clone, Copy)]
struct Chain {
    seq: u64,
    link: Link,
}

/// A message in the file.
struct Entry {
    actor: Actor,
    seq: u64,
    bytes: u32,
}

/// A backlog as it was packed for a peer.
struct Packed {
    /// What the peer held of each actor that the file has messages of.
    held: Vec<(Actor, u64)>,
    /// How many messages the file had.
    entries: usize,
    frames: Vec<u8>,
}

struct RtcReplica {
    replica: Replica,
    author: Author,
    /// An edit of a property, and one of the tree, to be written over.
    edit: EditOp,
    placing: EditOp,
    /// Of the others.
    chains: BTreeMap<Actor, Chain>,
    file: Vec<u8>,
    entries: Vec<Entry>,
    /// The backlog that a peer got last, by what it held of every actor: another that holds the same gets the same, as from
    /// a room of the daemon.
    packed: Option<Packed>,
    /// The first entry, and its place in the file, that others lack.
    unsent: (usize, usize),
    /// What those who hear our live messages know, and what we know of those we hear.
    speaks: live::Encoder,
    hears: BTreeMap<u8, live::Decoder>,
    keys: Vec<String>,
    counters: Vec<String>,
    tree: Vec<String>,
    /// The number of our oldest message that is undone.
    undone: Option<u64>,
}

impl RtcReplica {
    fn new(number: u8) -> Self {
        Self {
            replica: Replica::new(Root::default()),
            author: Author::new(&ROOM, Actor::new(PeerKey([number; 32]), 1)),
            edit: EditOp::default(),
            placing: EditOp::default(),
            chains: BTreeMap::new(),
            file: Vec::with_capacity(FILE_BYTES),
            entries: Vec::with_capacity(FILE_BYTES / 64),
            packed: None,
            unsent: (0, 0),
            speaks: live::Encoder::default(),
            hears: BTreeMap::new(),
            keys: Vec::new(),
            counters: Vec::new(),
            tree: Vec::new(),
            undone: None,
        }
    }

    /// Takes note of the end of another's chain as a file has it.
    fn hear_head(&mut self, head: &[u8]) -> Option<()> {
        let (actor, rest) = head.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (lamport, link) = rest.split_first_chunk()?;
        let (actor, seq, link) = (Actor(*actor), u64::from_le_bytes(*seq), Link(link.try_into().ok()?));
        self.chains.insert(actor, Chain { seq, link });
        self.author.hear(Head { actor, seq, link: link.short() }, u64::from_le_bytes(*lamport));
        Some(())
    }

    /// All messages of the file, packed, each actor's in order.
    fn history(&self) -> Result<Vec<Stretch>> {
        let mut bodies: BTreeMap<Actor, Vec<&[u8]>> = BTreeMap::new();
        let mut rest = &self.file[..];
        for entry in &self.entries {
            let (body, after) = rest.split_at(entry.bytes as usize);
            bodies.entry(entry.actor).or_default().push(body);
            rest = after;
        }
        let mut history = Vec::new();
        for (actor, bodies) in bodies {
            history.extend(Stretch::pack(actor, 1, &bodies)?);
        }
        Ok(history)
    }

    fn chain(&self, actor: Actor) -> Chain {
        let origin = || Chain { seq: 0, link: Link::origin(&ROOM, &actor) };
        self.chains.get(&actor).copied().unwrap_or_else(origin)
    }

    fn commit(&mut self, edits: &[EditOp]) -> Result<()> {
        let Self { author, replica, file, entries, .. } = self;
        let time_ms = Some(TIME_MS + author.seq());
        author.commit(edits, About { time_ms, ..About::default() }, replica, |made| {
            file.extend_from_slice(&made.body);
            let Dot { actor, seq } = made.dot;
            entries.push(Entry { actor, seq, bytes: made.body.len() as u32 });
        })?;
        replica.drop_changes();
        Ok(())
    }

    fn write(&mut self, actor: Actor, seq: u64, body: &[u8]) {
        self.file.extend_from_slice(body);
        self.entries.push(Entry { actor, seq, bytes: body.len() as u32 });
    }

    /// The entries from there on that are not held, as the backlog that a peer would get: frames, each after its length.
    fn backlog(&self, (entry, mut at): (usize, usize), held: &BTreeMap<Actor, u64>) -> Vec<u8> {
        let mut frames = Vec::new();
        let mut runs: Vec<Run> = Vec::new();
        let (mut messages, mut bytes) = (0, 0);
        for entry in &self.entries[entry..] {
            let body = &self.file[at..at + entry.bytes as usize];
            at += body.len();
            if held.get(&entry.actor).is_some_and(|&seq| entry.seq <= seq) {
                continue;
            }
            if messages == PACKED_MESSAGES_MAX || bytes + body.len() > PACKED_BYTES_MAX {
                pack(&runs, &mut frames);
                runs.clear();
                (messages, bytes) = (0, 0);
            }
            (messages, bytes) = (messages + 1, bytes + body.len());
            match runs.last_mut() {
                Some(run)
                    if run.actor == entry.actor
                        && run.last() + 1 == entry.seq
                        && run.bodies.len() < BACKLOG_RUN_MESSAGES_MAX =>
                {
                    run.bodies.push(body.to_vec());
                }
                _ => runs.push(Run {
                    actor: entry.actor,
                    first: entry.seq,
                    bodies: vec![body.to_vec()],
                    signature: SIGNATURE,
                }),
            }
        }
        pack(&runs, &mut frames);
        frames
    }

    /// Takes in runs that follow what is held of their actors.
    fn take(&mut self, runs: &[Run]) -> Result<()> {
        for run in runs {
            let mut chain = self.chain(run.actor);
            ensure!(run.first == chain.seq + 1, "a gap before message {}", run.first);
            for body in &run.bodies {
                chain = Chain { seq: chain.seq + 1, link: chain.link.next(body) };
                self.write(run.actor, chain.seq, body);
            }
            self.chains.insert(run.actor, chain);
        }
        let mut read = Ok(());
        let mut lamports = vec![0; runs.len()];
        let bodies = (0..).zip(runs).flat_map(|(run, Run { actor, bodies, .. })| {
            bodies.iter().map(move |body| (run, MessageView::read(*actor, body)))
        });
        self.replica.apply_views(bodies.map_while(|(run, message)| {
            let message = message.map_err(|error| read = Err(error)).ok()?;
            lamports[run] = message.lamport;
            Some(message)
        }));
        read?;
        let own = self.author.actor();
        for (run, lamport) in runs.iter().zip(lamports).filter(|(run, _)| run.actor != own) {
            let head = Head { actor: run.actor, seq: run.last(), link: self.chain(run.actor).link.short() };
            self.author.hear(head, lamport);
        }
        self.replica.drop_changes();
        self.unsent = (self.entries.len(), self.file.len());
        Ok(())
    }

    /// Commits an edit of a property, and keeps its memory for the next.
    fn commit_one(&mut self, edit: EditOp) -> Result<()> {
        self.commit(std::slice::from_ref(&edit))?;
        self.edit = edit;
        Ok(())
    }

    /// Commits an edit of the tree, and keeps its memory for the next.
    fn place(&mut self, otype: &str, node: usize, parent: Option<u32>) -> Result<()> {
        let mut edit = std::mem::take(&mut self.placing);
        otype.clone_into(&mut edit.otype);
        self.tree[node].clone_into(&mut edit.key);
        match (parent.map(|parent| &self.tree[parent as usize]), edit.options.get_mut("parent")) {
            (None, _) => edit.options.clear(),
            (Some(parent), Some(Value::Text(text))) => parent.clone_into(text),
            (Some(parent), _) => drop(edit.options.insert("parent".into(), parent.as_str().into())),
        }
        self.commit(std::slice::from_ref(&edit))?;
        self.placing = edit;
        Ok(())
    }

    fn refill(edit: &mut EditOp, otype: &str, key: &str, path: &str) {
        otype.clone_into(&mut edit.otype);
        key.clone_into(&mut edit.key);
        path.clone_into(edit.path.get_or_insert_default());
    }

    fn insert(key: &str, path: Option<&str>, value: Value) -> EditOp {
        let value = path.map(|path| Value::Map([(path.to_owned(), value)].into()));
        EditOp { otype: "node.insert".into(), key: key.into(), value, ..EditOp::default() }
    }

    fn insert_all(&mut self, keys: &[String], path: &str, value: &Value) -> Result<()> {
        for keys in keys.chunks(NODES_PER_COMMIT) {
            let edits: Vec<EditOp> =
                keys.iter().map(|key| Self::insert(key, Some(path), value.clone())).collect();
            self.commit(&edits)?;
        }
        Ok(())
    }
}

impl super::Replica for RtcReplica {
    fn create_nodes(&mut self, count: u32) -> Result<()> {
        let keys = names("node", count);
        let zeros = Value::numbers(&[0.0; 3]).context("zeros are finite")?;
        self.insert_all(&keys, "position", &zeros)?;
        self.keys = keys;
        Ok(())
    }

    fn find_nodes(&mut self, count: u32) -> Result<()> {
        self.keys = names("node", count);
        Ok(())
    }

    fn set_position(&mut self, node: u32, position: Position) -> Result<()> {
        let mut edit = std::mem::take(&mut self.edit);
        Self::refill(&mut edit, "vector3.set", &self.keys[node as usize], "position");
        edit.value = Value::numbers(&position.map(f64::from));
        self.commit_one(edit)
    }

    fn position(&self, node: u32) -> Result<Position> {
        let value = self.replica.value(&self.keys[node as usize], "position").context("no position")?;
        let numbers: [f64; 3] = value.as_numbers().context("no vector")?;
        Ok(numbers.map(|number| number as f32))
    }

    fn create_counters(&mut self, count: u32) -> Result<()> {
        let keys = names("counter", count);
        self.insert_all(&keys, "count", &Value::number(0.0).context("zero is finite")?)?;
        self.counters = keys;
        Ok(())
    }

    fn find_counters(&mut self, count: u32) -> Result<()> {
        self.counters = names("counter", count);
        Ok(())
    }

    fn increment(&mut self, counter: u32) -> Result<()> {
        let mut edit = std::mem::take(&mut self.edit);
        Self::refill(&mut edit, "counter.increment", &self.counters[counter as usize], "count");
        edit.value = Value::number(1.0);
        self.commit_one(edit)
    }

    fn counter(&self, counter: u32) -> Result<u64> {
        let value = self.replica.value(&self.counters[counter as usize], "count").context("no count")?;
        Ok(value.as_number().context("no number")? as u64)
    }

    fn grow(&mut self, parent: Option<u32>) -> Result<()> {
        self.tree.push(format!("tree-{}", self.tree.len()));
        self.place("node.insert", self.tree.len() - 1, parent)
    }

    fn find_tree(&mut self, count: u32) -> Result<()> {
        self.tree = names("tree", count);
        Ok(())
    }

    fn move_below(&mut self, node: u32, parent: u32) -> Result<()> {
        self.place("node.move", node as usize, Some(parent))
    }

    fn parent(&self, node: u32) -> Result<Option<u32>> {
        let node = self.replica.node(&self.tree[node as usize]).context("no node")?;
        let parent = node.parent.context("no parent")?;
        Ok(parent.strip_prefix("tree-").map(str::parse).transpose()?)
    }

    fn track_undo(&mut self) -> Result<()> {
        Ok(())
    }

    fn undo(&mut self) -> Result<()> {
        let last = self.undone.unwrap_or(self.author.seq() + 1) - 1;
        self.undone = Some(last);
        let target = Dot { actor: self.author.actor(), seq: last };
        let edit = EditOp {
            otype: "meta.undo".into(),
            options: [("target".to_owned(), target.to_string().into())].into(),
            ..EditOp::default()
        };
        self.commit(&[edit])
    }

    fn create_text(&mut self) -> Result<()> {
        self.commit(&[Self::insert(TEXT.0, Some(TEXT.1), "".into())])
    }

    fn find_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn splice(&mut self, splices: &[Splice]) -> Result<()> {
        let mut edits = Vec::with_capacity(splices.len().min(SPLICES_PER_COMMIT));
        let mut inserted_bytes = 0;
        for splice in splices {
            for part in parts(splice) {
                if edits.len() == SPLICES_PER_COMMIT
                    || inserted_bytes + part.inserted.len() > INSERTED_BYTES_PER_COMMIT
                {
                    self.commit(&edits)?;
                    edits.clear();
                    inserted_bytes = 0;
                }
                inserted_bytes += part.inserted.len();
                edits.push(text_edit(&part));
            }
        }
        self.commit(&edits)
    }

    fn text(&self) -> Result<String> {
        let value = self.replica.value(TEXT.0, TEXT.1).context("no text")?;
        Ok(value.as_text().context("something else than text")?.to_owned())
    }

    fn updates(&mut self) -> Result<Vec<u8>> {
        let bytes = self.backlog(self.unsent, &BTreeMap::new());
        self.unsent = (self.entries.len(), self.file.len());
        Ok(bytes)
    }

    fn merge(&mut self, updates: &[u8]) -> Result<()> {
        let mut runs = Vec::new();
        let mut rest = updates;
        while let Some((length, after)) = rest.split_first_chunk() {
            let (frame, after) =
                after.split_at_checked(u32::from_le_bytes(*length) as usize).context("a frame is cut")?;
            rest = after;
            let Some(LinkFrame::Room { frame: RoomFrame::Backlog { content }, .. }) =
                LinkFrame::decode(frame)?
            else {
                bail!("no backlog");
            };
            runs.extend(backlog::unpack(&content)?);
        }
        self.take(&runs)
    }

    fn live(&mut self) -> Result<Vec<u8>> {
        let (mut entry, mut at) = self.unsent;
        let Some(first) = self.entries.get(entry) else { bail!("nothing was committed") };
        let mut run = Run { actor: first.actor, first: first.seq, bodies: Vec::new(), signature: SIGNATURE };
        while let Some(next) = self.entries.get(entry) {
            run.bodies.push(self.file[at..at + next.bytes as usize].to_vec());
            (entry, at) = (entry + 1, at + next.bytes as usize);
        }
        self.unsent = (entry, at);
        let content = self.speaks.encode(&run);
        Ok(LinkFrame::Live { channel: CHANNEL, content }.encode())
    }

    fn take_live(&mut self, sender: u8, message: &[u8]) -> Result<()> {
        let Some(LinkFrame::Live { content, .. }) = LinkFrame::decode(message)? else { bail!("not live") };
        let run = self.hears.entry(sender).or_default().decode(&content)?;
        self.take(&[run.context("an earlier message is missing")?])
    }

    fn signature_bytes(&self) -> usize {
        SIGNATURE.0.len()
    }

    fn version(&mut self) -> Result<Vec<u8>> {
        let own = (self.author.actor(), self.author.seq());
        let held = self.chains.iter().map(|(&actor, chain)| (actor, chain.seq)).chain([own]);
        Ok(held.flat_map(|(actor, seq)| [&actor.0[..], &seq.to_le_bytes()].concat()).collect())
    }

    fn updates_for(&mut self, version: &[u8]) -> Result<Vec<u8>> {
        let mut held = BTreeMap::new();
        for entry in version.chunks(size_of::<Actor>() + size_of::<u64>()) {
            let (actor, seq) = entry.split_at(size_of::<Actor>());
            held.insert(Actor(actor.try_into()?), u64::from_le_bytes(seq.try_into()?));
        }
        let held_of = |actor: &Actor| (*actor, held.get(actor).copied().unwrap_or(0));
        let entries = self.entries.len();
        let known: Vec<_> = self.chains.keys().chain([&self.author.actor()]).map(held_of).collect();
        match &self.packed {
            Some(packed) if packed.entries == entries && packed.held == known => Ok(packed.frames.clone()),
            _ => {
                let frames = self.backlog((0, 0), &held);
                self.packed = Some(Packed { held: known, entries, frames: frames.clone() });
                Ok(frames)
            }
        }
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        let mut chains = self.chains.clone();
        let (own, lamport) = (self.author.actor(), self.replica.lamport_max());
        if self.author.seq() > 0 {
            chains.insert(own, Chain { seq: self.author.seq(), link: self.author.link() });
        }
        let mut saved = (chains.len() as u32).to_le_bytes().to_vec();
        for (actor, Chain { seq, link }) in chains {
            let dot = Dot { actor, seq };
            let lamport = self.replica.lamport(&dot).unwrap_or(lamport);
            saved.extend(actor.0);
            saved.extend(seq.to_le_bytes());
            saved.extend(lamport.to_le_bytes());
            saved.extend(link.0);
        }
        saved.extend(self.replica.snapshot(&self.history()?)?);
        Ok(saved)
    }

    fn file_bytes(&self) -> usize {
        self.file.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}

/// Appends what carries these runs to a peer.
fn pack(runs: &[Run], frames: &mut Vec<u8>) {
    for (content, _) in backlog::pack(runs) {
        let frame = RoomFrame::Backlog { content: content.into() };
        let frame = LinkFrame::Room { channel: CHANNEL, frame }.encode();
        frames.extend((frame.len() as u32).to_le_bytes());
        frames.extend(frame);
    }
}

fn names(what: &str, count: u32) -> Vec<String> {
    (0..count).map(|number| format!("{what}-{number}")).collect()
}

/// The splice in parts each of which can be one op.
fn parts(splice: &Splice) -> Vec<Splice> {
    let deletion = |deleted| Splice { at: splice.at, deleted, inserted: String::new() };
    // No two characters need be in one span.
    let mut parts = vec![deletion(SPANS_MAX); splice.deleted / SPANS_MAX];
    parts.push(deletion(splice.deleted % SPANS_MAX));
    for (at, character) in (splice.at..).zip(splice.inserted.chars()) {
        let last = parts.last_mut().expect("there is the first");
        if last.inserted.len() + character.len_utf8() <= INSERTED_BYTES_PER_COMMIT {
            last.inserted.push(character);
        } else {
            parts.push(Splice { at, deleted: 0, inserted: character.into() });
        }
    }
    parts
}

/// The client's edit that makes a splice.
fn text_edit(splice: &Splice) -> EditOp {
    let otype = match (splice.deleted, splice.inserted.is_empty()) {
        (0, _) => "text.insert",
        (_, true) => "text.delete",
        (_, false) => "text.replace",
    };
    let count = |count: usize| Value::number(count as f64).expect("a count is finite");
    let mut options = BTreeMap::from([("position".to_owned(), count(splice.at))]);
    if splice.deleted > 0 {
        options.insert("length".to_owned(), count(splice.deleted));
    }
    EditOp {
        otype: otype.into(),
        key: TEXT.0.into(),
        path: Some(TEXT.1.into()),
        value: (!splice.inserted.is_empty()).then(|| splice.inserted.as_str().into()),
        options,
    }
}
