//! What `rtc-core` leaves to its users: a file of messages, and what of it goes to whom.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use rtc_core::chain::{Link, Signature};
use rtc_core::id::{Actor, Dot};
use rtc_core::limits::BACKLOG_RUN_MESSAGES_MAX;
use rtc_core::message::Head;
use rtc_core::replica::{Replica, Stretch};
use rtc_core::sync::frame::{LinkFrame, RoomFrame};
use rtc_core::sync::{Run, backlog};
use rtc_core::view::MessageView;

use super::{ROOM, RtcReplica};

/// Messages and bytes of messages that are packed together.
const PACKED_MESSAGES_MAX: usize = 65_536;
const PACKED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The room's number on a connection.
pub(super) const CHANNEL: u64 = 1;
/// Stands where each run has its author's signature.
pub(super) const SIGNATURE: Signature = Signature([0; 64]);

/// What a file says of each actor besides the snapshot: actor, number, lamport and link of its newest message.
const HEAD_BYTES: usize = 40 + 8 + 8 + 32;

/// What is held of one actor.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    pub(super) seq: u64,
    pub(super) link: Link,
}

/// A message in the file.
pub(super) struct Entry {
    pub(super) actor: Actor,
    pub(super) seq: u64,
    pub(super) bytes: u32,
}

/// A backlog as it was packed for a peer.
pub(super) struct Packed {
    /// What the peer held of each actor that the file has messages of.
    held: Vec<(Actor, u64)>,
    /// How many messages the file had.
    entries: usize,
    frames: Vec<u8>,
}

impl RtcReplica {
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

    fn write(&mut self, actor: Actor, seq: u64, body: &[u8]) {
        self.file.extend_from_slice(body);
        self.entries.push(Entry { actor, seq, bytes: body.len() as u32 });
    }

    /// The entries from there on that are not held, as the backlog that a peer would get: frames, each after its length.
    pub(super) fn backlog(&self, (entry, mut at): (usize, usize), held: &BTreeMap<Actor, u64>) -> Vec<u8> {
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
                    run.bodies.push(body);
                }
                _ => runs.push(Run {
                    actor: entry.actor,
                    first: entry.seq,
                    bodies: [body].into_iter().collect(),
                    signature: SIGNATURE,
                }),
            }
        }
        pack(&runs, &mut frames);
        frames
    }

    /// Takes in runs that follow what is held of their actors.
    pub(super) fn take(&mut self, runs: &[Run]) -> Result<()> {
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

    /// The backlog for a replica of that version.
    pub(super) fn backlog_for(&mut self, version: &[u8]) -> Result<Vec<u8>> {
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

    /// Everything, as it would be kept in a file.
    pub(super) fn write_file(&mut self) -> Result<Vec<u8>> {
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

    /// Begins with what [`RtcReplica::write_file`] gave.
    pub(super) fn read_file(&mut self, saved: &[u8]) -> Result<()> {
        let (heads, snapshot) = saved.split_first_chunk().context("the file is cut")?;
        let heads = u32::from_le_bytes(*heads) as usize * HEAD_BYTES;
        let (heads, snapshot) = snapshot.split_at_checked(heads).context("the file is cut")?;
        for head in heads.chunks_exact(HEAD_BYTES) {
            self.hear_head(head).context("a head is cut")?;
        }
        self.replica = Replica::open(snapshot.to_vec())?;
        Ok(())
    }
}

/// The runs of a backlog.
pub(super) fn unpack(updates: &[u8]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut rest = updates;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (frame, after) =
            after.split_at_checked(u32::from_le_bytes(*length) as usize).context("a frame is cut")?;
        rest = after;
        let Some(LinkFrame::Room { frame: RoomFrame::Backlog { content }, .. }) = LinkFrame::decode(frame)?
        else {
            bail!("no backlog");
        };
        runs.extend(backlog::unpack(&content)?);
    }
    Ok(runs)
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
