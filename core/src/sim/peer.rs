//! One simulated daemon: its switchboard while it runs, its disk and its volatile place always.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::chain::{Ed25519, Keys};
use crate::founding::Founding;
use crate::id::{Dot, PeerKey, RoomId, StateHash};
use crate::message::Message;
use crate::room::{self, Opening, Room};
use crate::sim::{Random, SimDisk, edits};
use crate::store::{GROUND, OUTSIDE, Record, Store, StoreError};
use crate::switchboard::{Input, Output, Switchboard};
use crate::sync::Now;
use crate::ticket::Secret;

pub(super) struct SimPeer {
    keys: Arc<Ed25519>,
    founding: Founding,
    secret: Secret,
    board: Option<Switchboard>,
    disk: SimDisk,
    /// The number record of the volatile place.
    number: Option<(u64, u64)>,
    /// Counts starts: what a former process had under way does not reach the next.
    life: u64,
    commit_us: u64,
    /// What found the disk full, and the last batch of it.
    pending: Vec<Record>,
    pending_batch: u64,
    epochs: Random,
    edits_made: u64,
    acknowledged: BTreeSet<Dot>,
}

impl SimPeer {
    pub(super) fn new(index: usize, founding: &Founding, secret: Secret, random: &mut Random) -> Self {
        let mut seed = random.bytes::<32>();
        seed[0] = u8::try_from(index).expect("few peers");
        Self {
            keys: Arc::new(Ed25519::from_seed(&seed)),
            founding: founding.clone(),
            secret,
            board: None,
            disk: SimDisk::default(),
            number: None,
            life: 0,
            commit_us: 0,
            pending: Vec::new(),
            pending_batch: 0,
            epochs: Random::new(random.bits()),
            edits_made: 0,
            acknowledged: BTreeSet::new(),
        }
    }

    pub(super) fn key(&self) -> PeerKey {
        self.keys.public()
    }

    pub(super) fn room(&self) -> RoomId {
        self.founding.room()
    }

    pub(super) fn is_up(&self) -> bool {
        self.board.is_some()
    }

    pub(super) fn life(&self) -> u64 {
        self.life
    }

    pub(super) fn wake_at(&self) -> Option<u64> {
        self.board.as_ref().and_then(Switchboard::wake_at)
    }

    /// Messages whose clients were told that they are durable.
    pub(super) fn acknowledged(&self) -> &BTreeSet<Dot> {
        &self.acknowledged
    }

    pub(super) fn state_hash(&mut self) -> Option<StateHash> {
        let room = self.room();
        self.board.as_mut()?.room(&room).map(|room| room.replica().state_hash())
    }

    /// What is on the disk, in the order of arrival.
    pub(super) fn journal(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let visited = self.disk.scan(&mut |record| {
            messages.extend(Message::decode(record.actor, &record.body));
            ControlFlow::Continue(())
        });
        visited.expect("a simulated disk can be read");
        messages
    }

    /// Starts the process, if it does not run.
    pub(super) fn start(&mut self, now: Now) -> Result<(), String> {
        if self.board.is_some() {
            return Ok(());
        }
        let mut room = Room::open(Opening {
            room: self.room(),
            founding: Some(self.founding.clone()),
            keys: self.keys.clone(),
            epoch_fresh: self.epochs.bits(),
            epoch_proof: self.number,
        });
        let kept = [GROUND, OUTSIDE].map(|name| self.disk.fact(name).ok().flatten());
        if let [Some(ground), Some(outside)] = kept {
            room.restore(&ground, &outside).map_err(|error| error.to_string())?;
        }
        let mut records = Vec::new();
        let scanned = self.disk.scan(&mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        });
        if let Err(error) = scanned.and_then(|()| room.load(&records)) {
            return Err(format!("a daemon cannot open what it wrote: {error}"));
        }
        let mut board = Switchboard::new(self.key());
        board.add_room(room, self.secret, now, &mut Vec::new());
        self.board = Some(board);
        self.life += 1;
        Ok(())
    }

    pub(super) fn crash(&mut self, reboot: bool) {
        self.board = None;
        self.pending.clear();
        if reboot {
            self.number = None;
        }
    }

    pub(super) fn handle(&mut self, input: Input, now: Now) -> Vec<Output> {
        let mut out = Vec::new();
        if let Some(board) = &mut self.board {
            board.handle(input, now, &mut out);
        }
        out
    }

    /// When a commit that would be done at `us` is: a disk does one after the other.
    pub(super) fn commit_at(&mut self, us: u64) -> u64 {
        self.commit_us = self.commit_us.max(us);
        self.commit_us
    }

    /// Makes a batch durable, if the process that wrote it still runs. A full disk is told of once.
    pub(super) fn commit(&mut self, life: u64, batch: u64, records: Vec<Record>) -> Option<room::Input> {
        if life != self.life || self.board.is_none() {
            return None;
        }
        let is_first = self.pending.is_empty();
        self.pending.extend(records);
        self.pending_batch = batch;
        self.commit_pending()
            .or_else(|| is_first.then_some(room::Input::StoreFailed { batch, error: StoreError::Full }))
    }

    pub(super) fn set_disk_full(&mut self, is_full: bool) -> Option<room::Input> {
        self.disk.set_full(is_full);
        if is_full || self.pending.is_empty() { None } else { self.commit_pending() }
    }

    fn commit_pending(&mut self) -> Option<room::Input> {
        self.disk.append(&self.pending).ok()?;
        self.pending.clear();
        Some(room::Input::Committed { batch: self.pending_batch })
    }

    /// The next edit of this peer's user.
    pub(super) fn next_edit(&mut self, bulky: bool, random: &mut Random) -> Option<room::Input> {
        self.board.as_ref()?;
        self.edits_made += 1;
        Some(edits::draw(self.edits_made, bulky, random))
    }

    /// Does what a room wants done, other than sending and storing; the answer is its next input, if there is one.
    pub(super) fn carry_out(&mut self, output: room::Output) -> Result<Option<room::Input>, String> {
        match output {
            room::Output::Number { epoch, seq } => {
                self.number = Some((epoch, seq));
                Ok(None)
            }
            room::Output::Forget(forgetting) => {
                self.disk.forget(&forgetting).map_err(|error| error.to_string())?;
                Ok(None)
            }
            room::Output::Fact { name, value } => {
                self.disk.set_fact(name, &value).map_err(|error| error.to_string())?;
                Ok(None)
            }
            room::Output::Read { link, ranges } => {
                let mut records = Vec::new();
                for (actor, from, to) in ranges {
                    let read = self.disk.read(&actor, from, to).map_err(|error| error.to_string())?;
                    records.extend(read);
                }
                Ok(Some(room::Input::Read { link, records }))
            }
            room::Output::Reply { result, .. } => {
                self.acknowledged.extend(result.ok().map(|edited| edited.id));
                Ok(None)
            }
            room::Output::Refused { refusal, .. } => Err(format!("an honest message was refused: {refusal}")),
            room::Output::Send { .. }
            | room::Output::Store { .. }
            | room::Output::Event(_)
            | room::Output::Founded(_)
            | room::Output::Synced { .. } => Ok(None),
        }
    }
}
