//! One room on one machine: a replica, what is held of each actor, and what each peer lacks of it.
//!
//! One door in, [`Room::handle`], one list of outputs, in the order in which they must happen. No clock, no disk and no
//! network: whoever owns those carries the outputs out and reports back through the same door.

mod admission;
mod batch;
mod commit;
mod log;
mod older;
mod packed;
mod peer;
mod snapshot;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::api::{self, ApiError, Code, Edited};
use crate::chain::Keys;
use crate::clock::VersionVector;
use crate::founding::Founding;
use crate::id::{Actor, Dot, PeerKey, RoomId};
use crate::replica::Replica;
use crate::scene::Root;
use crate::store::{Record, StoreError};
use crate::sync::frame::Digest;
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run};
use crate::view::MessageView;

pub use admission::Refusal;
use admission::{Verdict, judge};
use batch::{Batch, Batches};
use commit::Commits;
use log::Log;
use packed::Packed;
use peer::Peer;
use waiting::{Early, Waiting};

/// What a room is opened with.
#[derive(Clone)]
pub struct Opening {
    /// Its id.
    pub room: RoomId,
    /// Its founding message, if it has come yet.
    pub founding: Option<Founding>,
    /// Signs for this machine.
    pub keys: Arc<dyn Keys>,
    /// Random: the epoch to begin, if none may be gone on with.
    pub epoch_fresh: u64,
    /// Proof that nothing told was lost: the epoch and the number last told in it (DESIGN §4).
    pub epoch_proof: Option<(u64, u64)>,
}

/// What happens to a room.
#[derive(Debug)]
pub enum Input {
    /// A client commits edits. Answered by [`Output::Reply`] with the same token.
    Edit {
        /// The caller's.
        token: u64,
        /// What to commit.
        edit: api::Edit,
    },
    /// A client undoes or redoes a message. Answered like an edit.
    Undo {
        /// The caller's.
        token: u64,
        /// Which message.
        undo: api::Undo,
        /// Whether to redo instead.
        redo: bool,
    },
    /// What was committed is to be signed and told: sent when no further edit is at hand.
    Flush,
    /// A peer that is a member is connected.
    PeerUp {
        /// Over which connection.
        link: LinkId,
        /// Who it is: one over two connections is still one.
        peer: PeerKey,
    },
    /// A peer is gone.
    PeerDown {
        /// Its connection.
        link: LinkId,
    },
    /// A peer said something.
    Frame {
        /// Its connection.
        link: LinkId,
        /// What it said.
        frame: RoomFrame,
    },
    /// A peer told its digest.
    Digest {
        /// Its connection.
        link: LinkId,
        /// What it holds.
        digest: Digest,
    },
    /// A live run could not be queued for a peer: it becomes backlog.
    Unsent {
        /// Its connection.
        link: LinkId,
        /// The run's first message.
        first: Dot,
    },
    /// A live run came over a connection that had lost another, and so cannot be read: it has to be sent again.
    Missed {
        /// The connection.
        link: LinkId,
    },
    /// Everything up to this batch is durable.
    Committed {
        /// The number of the batch.
        batch: u64,
    },
    /// This batch and all after it are not durable. After [`StoreError::Full`] they are tried again by whoever owns the
    /// disk, and `Committed` may follow; after anything else never.
    StoreFailed {
        /// The number of the batch.
        batch: u64,
        /// Why.
        error: StoreError,
    },
    /// What [`Output::Read`] asked for.
    Read {
        /// For which peer.
        link: LinkId,
        /// The records, in the order asked; fewer where some are missing.
        records: Vec<Record>,
    },
    /// Time has passed.
    Wake,
}

/// What a room wants done.
#[derive(Debug)]
pub enum Output {
    /// Record in the volatile place that this number of the epoch is told; before anything that follows.
    Number {
        /// The epoch.
        epoch: u64,
        /// The number.
        seq: u64,
    },
    /// Send to a peer.
    Send {
        /// Its connection.
        link: LinkId,
        /// How urgent.
        lane: Lane,
        /// What.
        frame: RoomFrame,
    },
    /// Make durable, then report [`Input::Committed`] or [`Input::StoreFailed`].
    Store {
        /// Its number, counting up.
        batch: u64,
        /// What.
        records: Vec<Record>,
    },
    /// Read from the store, then report [`Input::Read`].
    Read {
        /// For which peer.
        link: LinkId,
        /// Of each actor from which number to which, both included.
        ranges: Vec<(Actor, u64, u64)>,
    },
    /// Tell subscribers; only while there are some.
    Event(Box<api::Event>),
    /// Answer a client.
    Reply {
        /// The caller's.
        token: u64,
        /// The answer.
        result: Result<Edited, ApiError>,
    },
    /// The founding message has come: remember it.
    Founded(Founding),
    /// For the first time since it connected, nothing this peer had is missing here.
    Synced {
        /// Its connection.
        link: LinkId,
    },
    /// A peer sent what can never be part of the room.
    Refused {
        /// Its connection.
        link: LinkId,
        /// Why.
        refusal: Refusal,
    },
}

/// One room.
pub struct Room {
    id: RoomId,
    founding: Option<Founding>,
    keys: Arc<dyn Keys>,
    epoch_fresh: u64,
    epoch_proof: Option<(u64, u64)>,
    replica: Replica,
    log: Log,
    waiting: Waiting,
    peers: BTreeMap<LinkId, Peer>,
    packed: Packed,
    /// Whose peer left, and perhaps came back, while it was being read for: what is read is not meant for it any more.
    reads_orphaned: BTreeSet<LinkId>,
    commits: Commits,
    batches: Batches,
    read_only: Option<String>,
    /// Whether it stays so until the daemon is started again.
    store_failed: bool,
    /// What was held a heartbeat ago, and what is held since: only the former is passed on of others' messages, since
    /// the latter is likely under way from its author.
    settled: VersionVector,
    recent: VersionVector,
    settle_us: u64,
    watched: bool,
}

impl Room {
    /// A room without messages; what the store holds is loaded next.
    pub fn open(opening: Opening) -> Self {
        let Opening { room, founding, keys, epoch_fresh, epoch_proof } = opening;
        Self {
            id: room,
            founding,
            keys,
            epoch_fresh,
            epoch_proof,
            replica: Replica::new(Root::default()),
            log: Log::new(room),
            waiting: Waiting::default(),
            peers: BTreeMap::new(),
            packed: Packed::default(),
            reads_orphaned: BTreeSet::new(),
            commits: Commits::default(),
            batches: Batches::default(),
            read_only: None,
            store_failed: false,
            settled: VersionVector::default(),
            recent: VersionVector::default(),
            settle_us: 0,
            watched: false,
        }
    }

    /// Takes in records of the store; they come in the order of arrival. An error means damage.
    ///
    /// What they change is folded once for all of them, so few calls with many records open a room quickly.
    pub fn load(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let messages: Vec<MessageView<'_>> =
            records.iter().map(|record| self.admit_stored(record)).collect::<Result<_, _>>()?;
        self.replica.apply_views(&messages);
        self.replica.drop_changes();
        Ok(())
    }

    /// Logs a record that continues its chain, and gives its message.
    fn admit_stored<'a>(&mut self, record: &'a Record) -> Result<MessageView<'a>, StoreError> {
        let damaged = |what: &str| {
            let dot = Dot { actor: record.actor, seq: record.seq };
            StoreError::Damaged(format!("message {dot} {what}"))
        };
        let before = self.log.link(&record.actor, record.seq.saturating_sub(1));
        let before = before.ok_or_else(|| damaged("has no predecessor"))?;
        if self.log.head(&record.actor) + 1 != record.seq || before.next(&record.body) != record.link {
            return Err(damaged("does not continue its chain"));
        }
        let message = MessageView::read(record.actor, &record.body).map_err(|_| damaged("cannot be read"))?;
        self.log.append(&message, record.link, record.body.len(), record.signature.is_some());
        self.commits.note(&message, record.link);
        Ok(message)
    }

    /// The room's id.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// What it shows.
    pub fn replica(&mut self) -> &mut Replica {
        &mut self.replica
    }

    /// Its founding message, if it has come yet.
    pub fn founding(&self) -> Option<&Founding> {
        self.founding.as_ref()
    }

    /// Of each actor the number of the newest message.
    pub fn vector(&self) -> VersionVector {
        self.log.vector()
    }

    /// The hash of [`Room::vector`] and the links it names.
    pub fn digest(&mut self) -> Digest {
        self.log.digest()
    }

    /// Messages that wait for their past.
    pub fn waiting(&self) -> usize {
        self.waiting.messages()
    }

    /// Messages held.
    pub fn messages(&self) -> u64 {
        self.log.messages()
    }

    /// Why it accepts no edits, if it does not.
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// Connected peers that are members.
    pub fn peers_connected(&self) -> usize {
        self.peers.len()
    }

    /// Whether the peer was last known to hold the same messages.
    pub fn in_sync(&self, link: LinkId) -> bool {
        self.peers.get(&link).is_some_and(|peer| peer.in_sync)
    }

    /// Whether anybody listens to events; making them costs something.
    pub fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// The message a name means: a whole id, or an unambiguous beginning of one.
    pub fn find(&self, name: &str) -> Result<Dot, ApiError> {
        self.replica.find(name).map_err(|error| commit::not_found(name, &error))
    }

    /// Takes in what happened and appends to `out` what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Edit { token, edit } => self.edit(token, edit, now, out),
            Input::Undo { token, undo, redo } => self.undo(token, undo, redo, now, out),
            Input::Flush => self.flush(now, out),
            Input::PeerUp { link, peer } => self.peer_up(link, peer, now, out),
            Input::PeerDown { link } => self.peer_down(link),
            Input::Frame { link, frame } => self.frame(link, frame, now, out),
            Input::Digest { link, digest } => self.hear_digest(link, digest, out),
            Input::Unsent { link, first } => self.unsent(link, first),
            Input::Missed { link } => self.missed(link),
            Input::Committed { batch } => self.committed(batch, now, out),
            Input::StoreFailed { batch, error } => self.store_failed(batch, &error, out),
            Input::Read { link, records } => self.hear_read(link, records, out),
            Input::Wake => self.wake(now, out),
        }
    }

    /// When [`Input::Wake`] is due, on the monotonic clock.
    pub fn wake_at(&self) -> Option<u64> {
        let settle = (!self.peers.is_empty()).then_some(self.settle_us);
        [settle, self.commits.deadline_us()].into_iter().flatten().min()
    }

    fn wake(&mut self, now: Now, out: &mut Vec<Output>) {
        self.commits.expire(now, out);
        if !self.peers.is_empty() && now.monotonic_us >= self.settle_us {
            self.settle(now);
            self.pump_all(out);
        }
    }

    /// Takes in a run from a peer, and whatever waited for it.
    fn take_run(&mut self, link: LinkId, run: Run, credit: u64, now: Now, out: &mut Vec<Output>) {
        if self.read_only.is_some() {
            // Neither applied nor credited: the peer stops sending, and sends again once we tell what we hold.
            return self.ask_again();
        }
        self.flush(now, out);
        let mut credit_left = credit;
        let mut queue = VecDeque::from([Early { run, from: link, verified: false }]);
        while let Some(early) = queue.pop_front() {
            match judge(&early.run, early.verified, &self.log, &*self.keys) {
                Ok(Verdict::Known) => self.ack(early.from, early.run.head(), out),
                Ok(Verdict::Waits { missing, verified }) => {
                    let kept = self.waiting.keep(Early { verified, ..early }, missing);
                    if !kept {
                        self.ask_again();
                    }
                }
                Ok(Verdict::Fits(admitted)) => {
                    for dot in self.apply_run(&early, admitted, std::mem::take(&mut credit_left), out) {
                        queue.extend(self.waiting.release(&dot));
                    }
                }
                Err(refusal) => out.push(Output::Refused { link: early.from, refusal }),
            }
        }
        self.give_credit(link, credit_left, out);
        self.check_synced(out);
    }

    /// Applies what was admitted of a run. Returns what was applied.
    fn apply_run(
        &mut self,
        early: &Early,
        admitted: Vec<admission::Admitted<'_>>,
        credit: u64,
        out: &mut Vec<Output>,
    ) -> Vec<Dot> {
        let mut records = Vec::with_capacity(admitted.len());
        let mut dots = Vec::with_capacity(admitted.len());
        if !self.watched {
            // Together, late moves cost one look at what follows them instead of one each.
            self.replica.apply_views(admitted.iter().map(|admitted| &admitted.message));
        }
        for admission::Admitted { message, body, link } in admitted {
            let dot = message.dot();
            let signature = (dot.seq == early.run.last()).then_some(early.run.signature);
            self.log.append(&message, link, body.len(), signature.is_some());
            if self.watched {
                self.replica.apply_view(&message);
            }
            self.commits.note(&message, link);
            self.tell(&dot, out);
            let body = body.to_vec();
            records.push(Record { actor: dot.actor, seq: dot.seq, link, body, signature });
            dots.push(dot);
        }
        if let Some(peer) = self.peers.get_mut(&early.from) {
            peer.has(early.run.actor, early.run.last());
        }
        self.store(Batch::of_peer(early.from, credit), records, out);
        self.ack(early.from, early.run.head(), out);
        dots
    }

    /// Tells subscribers of a message that has just been applied.
    fn tell(&mut self, dot: &Dot, out: &mut Vec<Output>) {
        if !self.watched {
            self.replica.drop_changes();
            return;
        }
        let changes = self.replica.take_changes();
        if let Some(message) = self.replica.log_entry(dot, Some(&self.keys.public())) {
            out.push(Output::Event(Box::new(api::Event::Message { message, changes })));
        }
    }

    fn refuse_if_read_only(&self) -> Result<(), ApiError> {
        match &self.read_only {
            None => Ok(()),
            Some(why) => Err(ApiError::new(Code::ReadOnly, format!("the room accepts no edits: {why}"))
                .with_hint("free disk space, or restart the daemon once the disk is well")),
        }
    }
}
