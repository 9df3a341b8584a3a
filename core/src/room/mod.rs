//! One room on one machine: a replica, what is held of each actor, and what each peer lacks of it.
//!
//! One door in, [`Room::handle`], one list of outputs, in the order in which they must happen. No clock, no disk and no
//! network: whoever owns those carries the outputs out and reports back through the same door.

mod admission;
mod batch;
mod beside;
mod branching;
mod commit;
mod crowd;
mod door;
mod doubt;
mod footing;
mod forks;
mod gist;
mod govern;
mod handover;
mod keeper;
mod log;
mod older;
mod packed;
mod peer;
mod presence;
mod pump;
mod secrets;
mod sleeper;
mod snapshot;
mod standing;
mod successor;
mod survey;
mod tally;
mod waiting;
mod witness;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::api::{self, ApiError, Code};
use crate::chain::{Keys, Link};
use crate::clock::VersionVector;
use crate::founding::Founding;
use crate::id::{Dot, RoomId};
use crate::limits::VECTOR_ACTORS_MAX;
use crate::message::{Head, Message};
use crate::replica::Replica;
use crate::scene::Root;
use crate::store::{Record, StoreError};
use crate::sync::frame::Digest;
use crate::sync::{LinkId, Now, Run};
use crate::view::MessageView;

pub use admission::Refusal;
use admission::{Verdict, judge};
use batch::{Batch, Batches};
pub use beside::Beside;
use commit::Commits;
use crowd::Crowd;
pub use door::{Input, Opening, Output};
pub use footing::FootingError;
use forks::Forks;
pub use gist::Gist;
use handover::Fetch;
use keeper::Keeper;
use log::Log;
use packed::Packed;
use peer::Peer;
use presence::Shows;
pub use secrets::{SEALED_MEMBERS_MAX, Standing, TooManyMembers};
pub use sleeper::Sleeper;
use standing::Horizons;
pub use tally::Tally;
use waiting::{Early, Waiting};
pub use witness::Agreement;
use witness::Witness;

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
    crowd: Crowd,
    shows: Shows,
    packed: Packed,
    /// Whose peer left, and perhaps came back, while it was being read for: what is read is not meant for it any more.
    reads_orphaned: BTreeSet<LinkId>,
    commits: Commits,
    horizons: Horizons,
    witness: Witness,
    keeper: Keeper,
    forks: Forks,
    /// When it was last looked whether a former key of ours is a member.
    succeeded: Option<successor::Looked>,
    /// A ground that a peer hands over.
    fetch: Option<Fetch>,
    /// What loading the room brought up, to be done first.
    pending: Vec<Output>,
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
    tally: Tally,
    /// Of more actors it is told by ranges what is held.
    vector_actors_max: usize,
}

impl Room {
    /// A room without messages; what the store holds is loaded next.
    pub fn open(opening: Opening) -> Self {
        let Opening { room, founding, keys, epoch_fresh, epoch_proof } = opening;
        let root = Root::of(founding.as_ref());
        let crowd = Crowd::new(&room, &*keys);
        Self {
            id: room,
            founding,
            keys,
            epoch_fresh,
            epoch_proof,
            replica: Replica::new(root),
            log: Log::new(room),
            waiting: Waiting::default(),
            peers: BTreeMap::new(),
            crowd,
            shows: Shows::default(),
            packed: Packed::default(),
            reads_orphaned: BTreeSet::new(),
            commits: Commits::default(),
            horizons: Horizons::default(),
            witness: Witness::default(),
            keeper: Keeper::default(),
            forks: Forks::default(),
            succeeded: None,
            fetch: None,
            pending: Vec::new(),
            batches: Batches::default(),
            read_only: None,
            store_failed: false,
            settled: VersionVector::default(),
            recent: VersionVector::default(),
            settle_us: 0,
            watched: false,
            tally: Tally::default(),
            vector_actors_max: VECTOR_ACTORS_MAX,
        }
    }

    /// Takes in records of the store; they come in the order of arrival. An error means damage.
    ///
    /// What they change is folded once for all of them, so few calls with many records open a room quickly.
    pub fn load(&mut self, records: &[Record]) -> Result<(), StoreError> {
        if self.log.branches.is_empty() {
            let messages: Vec<MessageView<'_>> = records
                .iter()
                .map(|record| self.admit_stored(record).map(|(message, _)| message))
                .collect::<Result<_, _>>()?;
            self.replica.apply_views(&messages);
        } else {
            let derive = |record| {
                self.admit_stored(record)
                    .map(|(message, derived)| derived.unwrap_or_else(|| message.to_message()))
            };
            let messages: Vec<Message> = records.iter().map(derive).collect::<Result<_, _>>()?;
            self.replica.apply_all(&messages);
        }
        self.replica.drop_changes();
        // A crash may have come between a horizon and what it permits.
        let mut out = Vec::new();
        self.follow_horizons(Now::default(), &mut out);
        self.pending.append(&mut out);
        Ok(())
    }

    /// Logs a record that continues its chain, and gives its message, and as the replica sees it where that differs.
    fn admit_stored<'a>(
        &mut self,
        record: &'a Record,
    ) -> Result<(MessageView<'a>, Option<Message>), StoreError> {
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
        let heads = self.log.heads_here(&message);
        let derived = self.note(&message, &heads, record.link, record.body.len(), record.signature.is_some());
        Ok((message, derived))
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

    /// Tells by ranges what is held as soon as there are more actors than that.
    pub fn tell_ranges_above(&mut self, actors: usize) {
        self.vector_actors_max = actors;
    }

    /// The message a name means: a whole id, or an unambiguous beginning of one.
    pub fn find(&self, name: &str) -> Result<Dot, ApiError> {
        let found = self.replica.find(name).or_else(|error| self.find_renamed(name).ok_or(error));
        found.map_err(|error| commit::not_found(name, &error))
    }

    /// Takes in what happened and appends to `out` what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        out.append(&mut self.pending);
        // Whoever asks for something right after the start is the member that he was before.
        self.succeed(now, out);
        match input {
            Input::Edit { token, edit } => self.edit(token, edit, now, out),
            Input::Undo { token, undo, redo } => self.undo(token, undo, redo, now, out),
            Input::Govern { token, govern } => self.govern(token, govern, now, out),
            Input::Flush => self.flush(now, out),
            Input::Show { session, show } => self.show(session, show, now, out),
            Input::SessionGone { session } => self.end_session(session, now, out),
            Input::Commit { token, session, edit } => self.commit_draft(token, session, edit, now, out),
            Input::Unshown { link, session, part } => self.unshown(link, session, part, now),
            Input::PeerUp { link, peer } => self.peer_up(link, peer, now, out),
            Input::PeerDown { link } => self.peer_down(link, now, out),
            Input::Frame { link, frame } => self.frame(link, frame, now, out),
            Input::Digest { link, digest } => self.hear_digest(link, digest, now, out),
            Input::Unsent { link, first } => self.unsent(link, first),
            Input::Missed { link } => self.missed(link),
            Input::Committed { batch } => self.committed(batch, now, out),
            Input::StoreFailed { batch, error } => self.store_failed(batch, &error, out),
            Input::Read { link, records } => self.hear_read(link, records, now, out),
            Input::Wake => self.wake(now, out),
        }
        self.succeed(now, out);
    }

    /// When [`Input::Wake`] is due, on the monotonic clock.
    pub fn wake_at(&self) -> Option<u64> {
        let settle = (!self.peers.is_empty()).then_some(self.settle_us);
        let fetch = self.fetch.as_ref().map(Fetch::deadline_us);
        let succession = self.is_succession_due().then_some(0);
        let reissue = self.horizons.due_us().filter(|_| self.may_reissue());
        let deadlines = [
            settle,
            self.commits.deadline_us(),
            fetch,
            reissue,
            succession,
            self.keeper_wakes_at(),
            self.shows.wakes_at(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn wake(&mut self, now: Now, out: &mut Vec<Output>) {
        self.commits.expire(now, out);
        self.reissue(now, out);
        self.keep_house(now, out);
        self.drop_stale_fetch(now);
        self.tell_shows(now, out);
        if !self.peers.is_empty() && now.monotonic_us >= self.settle_us {
            self.settle(now);
            self.place_forks(now, out);
            self.take_turns();
            self.pump_all(out);
            self.look(out);
        }
    }

    /// Takes in a run from a peer, and whatever waited for it. A live one has no credit.
    fn take_run(&mut self, link: LinkId, run: Run, credit: Option<u64>, now: Now, out: &mut Vec<Output>) {
        if self.read_only.is_some() {
            // Neither applied nor credited: the peer stops sending, and sends again once we tell what we hold.
            self.tally.dropped_read_only += 1;
            return self.ask_again();
        }
        self.flush(now, out);
        let mut credit_left = credit.unwrap_or(0);
        let live = credit.is_none();
        let mut queue = VecDeque::from([Early { run, from: link, live, verified: false }]);
        while let Some(early) = queue.pop_front() {
            match judge(&early.run, early.verified, &self.log, &*self.keys) {
                Ok(Verdict::Known) => {
                    self.tally.duplicates += 1;
                    if self.is_of_crowd(&early) {
                        self.decline(early.from, &early.run, out);
                    } else {
                        self.ack(early.from, early.run.head(), out);
                    }
                }
                Ok(Verdict::Waits { missing, verified }) => {
                    let kept = self.waiting.keep(Early { verified, ..early }, missing);
                    if !kept {
                        self.tally.dropped_early += 1;
                        self.ask_again();
                    }
                }
                Ok(Verdict::Straddles) => self.ask_again(),
                Ok(Verdict::Forked) => self.tell_forks(early.from, now, out),
                Ok(Verdict::Outside(dot)) => {
                    self.log.put_outside(&dot);
                    let Run { actor, first, .. } = early.run;
                    for seq in first..=early.run.last() {
                        queue.extend(self.release(&Dot { actor, seq }));
                    }
                }
                Ok(Verdict::Fits(admitted)) => {
                    for dot in self.apply_run(&early, admitted, std::mem::take(&mut credit_left), out) {
                        queue.extend(self.release(&dot));
                    }
                    self.follow_horizons(now, out);
                    self.reissue(now, out);
                }
                Err(refusal) => {
                    self.look_into(early.from, &early.run, &refusal, now, out);
                    out.push(Output::Refused { link: early.from, refusal });
                }
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
        if !self.watched && self.log.branches.is_empty() {
            // Together, late moves cost one look at what follows them instead of one each.
            self.replica.apply_views(admitted.iter().map(|admitted| &admitted.message));
        }
        let mut derived = Vec::new();
        for admission::Admitted { message, heads, body, link } in admitted {
            let dot = message.dot();
            let signature = (dot.seq == early.run.last()).then_some(early.run.signature);
            let seen = self.note(&message, &heads, link, body.len(), signature.is_some());
            match seen {
                Some(seen) if self.watched => _ = self.replica.apply(&seen),
                None if self.watched => _ = self.replica.apply_view(&message),
                Some(seen) => derived.push(seen),
                None if !self.log.branches.is_empty() => derived.push(message.to_message()),
                None => {}
            }
            self.tell(&dot, out);
            let body = body.to_vec();
            records.push(Record { actor: dot.actor, seq: dot.seq, link, body, signature });
            dots.push(dot);
        }
        if !derived.is_empty() {
            self.replica.apply_all(&derived);
            self.replica.drop_changes();
        }
        if let Some(peer) = self.peers.get_mut(&early.from) {
            peer.has(early.run.actor, early.run.last());
        }
        // What continues our chain and is not ours was made by a machine that takes itself for this one.
        self.part_from_twin(&early.run.actor);
        self.store(Batch::of_peer(early.from, credit), records, out);
        let awaits = self.pass_on(early, out);
        if let Some(link) = awaits {
            self.ack(link, early.run.head(), out);
        }
        dots
    }

    /// Notes a message that is the next of its actor everywhere but in the replica. Gives it as that sees it, where that is not as it was
    /// signed.
    fn note(
        &mut self,
        message: &MessageView<'_>,
        heads: &[Head],
        link: Link,
        body_bytes: usize,
        is_signed: bool,
    ) -> Option<Message> {
        let derived = self.log.derive(message, heads);
        // What lies in the ground is no news to the replica; its author has seen it all the same.
        let news = derived.as_ref().map_or(&[][..], |derived| &derived.clock);
        self.log.append(message, heads.iter().chain(news), link, body_bytes, is_signed);
        self.commits.note(message, link);
        match &derived {
            Some(derived) => MessageView::with(derived, |derived| self.horizons.note(derived)),
            None => self.horizons.note(message),
        }
        derived
    }

    /// Tells subscribers of a message that has just been applied.
    fn tell(&mut self, dot: &Dot, out: &mut Vec<Output>) {
        if !self.watched {
            self.replica.drop_changes();
            return;
        }
        let changes = self.replica.take_changes();
        if let Some(message) = self.replica.log_entry(dot, &self.own_keys()) {
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
