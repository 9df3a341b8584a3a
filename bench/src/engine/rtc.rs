//! `rtc-core`: edits become messages with canonical bytes on the hash chain of their actor; signatures are left out.
//!
//! The bytes of messages are kept as the daemon keeps them on disk: they are the file, not live heap.

mod file;
mod typing;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use rtc_core::api::EditOp;
use rtc_core::author::{About, Author};
use rtc_core::block::Bodies;
use rtc_core::id::{Actor, Dot, PeerKey, RoomId};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::sync::frame::LinkFrame;
use rtc_core::sync::{Run, live};
use rtc_core::value::Value;

use super::{Ability, Engine, Position};
use crate::trace::Splice;
use file::{CHANNEL, Chain, Entry, Packed, SIGNATURE, unpack};
use typing::Typing;

const ROOM: RoomId = RoomId([7; 32]);
/// Any time will do that takes the bytes a present one takes.
const TIME_MS: u64 = 1_760_000_000_000;
/// Nodes that one commit makes.
const NODES_PER_COMMIT: usize = 100;
/// Where the text is.
const TEXT: (&str, &str) = ("page", "text");
/// The file may take so much before it has to be moved, as one on a disk never has to. Memory that is not written to costs
/// nothing.
const FILE_BYTES: usize = 64 << 20;

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
        replica.read_file(saved)?;
        Ok(Box::new(replica))
    }
}

struct RtcReplica {
    replica: Replica,
    author: Author,
    /// An edit of a property, and one of the tree, to be written over.
    edit: EditOp,
    placing: EditOp,
    typing: Typing,
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
            typing: Typing::default(),
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
        self.type_all(splices)
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
        self.take(&unpack(updates)?)
    }

    fn live(&mut self) -> Result<Vec<u8>> {
        let (mut entry, mut at) = self.unsent;
        let Some(first) = self.entries.get(entry) else { bail!("nothing was committed") };
        let mut run =
            Run { actor: first.actor, first: first.seq, bodies: Bodies::default(), signature: SIGNATURE };
        while let Some(next) = self.entries.get(entry) {
            run.bodies.push(&self.file[at..at + next.bytes as usize]);
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
        self.backlog_for(version)
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        self.write_file()
    }

    fn file_bytes(&self) -> usize {
        self.file.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}

fn names(what: &str, count: u32) -> Vec<String> {
    (0..count).map(|number| format!("{what}-{number}")).collect()
}
