//! Local edits on their way: made into messages, signed in runs, told, made durable and answered.

use crate::api::{self, ApiError, Code, Edited, Wait};
use crate::author::{About, Author, Made, MakeError};
use crate::chain::Link;
use crate::id::{Actor, Dot};
use crate::limits::{NOTE_BYTES_MAX, REQUEST_BYTES_MAX, RUN_MESSAGES_MAX};
use crate::message::Head;
use crate::message::Message;
use crate::op::Op;
use crate::planted::{Bug, planted};
use crate::replica::{FindError, Replica};
use crate::room::{Batch, Output, Room};
use crate::store::{Record, Rename, StoreError};
use crate::sync::{Now, Run};
use crate::view::MessageView;

/// Bytes of bodies after which a run is signed even if it could take more messages.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// How long an edit waits for peers where its client does not say.
const PEER_WAIT_MS: u64 = 5_000;

/// What this machine has committed.
#[derive(Default)]
pub(super) struct Commits {
    /// Makes our messages; minted by the first edit.
    author: Option<Author>,
    /// Committed, but neither signed nor told.
    outbox: Vec<Outgoing>,
    outbox_bytes: usize,
    /// Answered when they are where they were asked to be.
    waits: Vec<Waiting>,
}

/// A message between its commit and its signature.
struct Outgoing {
    dot: Dot,
    body: Vec<u8>,
    link: Link,
    event: Option<Output>,
    /// None where nobody asked: a clock that goes ahead.
    answer: Option<Pending>,
}

/// An answer that is due later.
struct Pending {
    token: u64,
    edited: Edited,
    wait: Wait,
    deadline_us: u64,
}

/// An answer, and the batch it waits for unless that is durable.
struct Waiting {
    pending: Pending,
    batch: Option<u64>,
}

/// An edit that is ready to become a message.
pub(super) struct Commit {
    pub(super) token: u64,
    pub(super) what: What,
    pub(super) note: Option<String>,
    pub(super) request: Option<String>,
    pub(super) wait: Wait,
    pub(super) timeout_ms: Option<u64>,
}

/// What becomes a message.
pub(super) enum What {
    /// Edits of the scene, and undos.
    Edits(Vec<api::EditOp>),
    /// What is said of the room, and the ops that say it.
    Rules { says: Vec<api::Says>, ops: Vec<Op> },
}

impl Commits {
    /// Who numbers our messages, if there are any in this epoch.
    pub(super) fn actor(&self) -> Option<Actor> {
        self.author.as_ref().map(Author::actor)
    }

    /// Notes a message that has been applied, whoever made it.
    pub(super) fn note(&mut self, message: &MessageView<'_>, link: Link) {
        if let Some(author) = self.author.as_mut().filter(|author| author.actor() != message.actor) {
            let head = Head { actor: message.actor, seq: message.seq, link: link.short() };
            author.hear(head, message.lamport);
        }
    }

    /// Messages are called otherwise: so are those that are answered later.
    pub(super) fn rename(&mut self, rename: &Rename) {
        for Waiting { pending, .. } in &mut self.waits {
            pending.edited.id = rename.of(pending.edited.id);
        }
    }

    /// Whether nothing of ours waits to be told or answered.
    pub(super) fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.waits.is_empty()
    }

    /// When the next wait for peers ends.
    pub(super) fn deadline_us(&self) -> Option<u64> {
        self.waits.iter().filter(|wait| wait.batch.is_none()).map(|wait| wait.pending.deadline_us).min()
    }

    /// Ends the waits for peers whose time is over: the edits are kept.
    pub(super) fn expire(&mut self, now: Now, out: &mut Vec<Output>) {
        let over = |wait: &mut Waiting| wait.batch.is_none() && wait.pending.deadline_us <= now.monotonic_us;
        for wait in self.waits.extract_if(.., over) {
            let id = wait.pending.edited.id;
            let error =
                ApiError::new(Code::NoPeer, format!("message {id} is kept here, but too few peers have it"))
                    .with_hint("it reaches them once they are connected; see `rtc peers`");
            out.push(Output::Reply { token: wait.pending.token, result: Err(error) });
        }
    }

    /// Everything up to this batch is durable.
    pub(super) fn committed(&mut self, up_to: u64, out: &mut Vec<Output>) {
        for wait in &mut self.waits {
            if wait.batch.is_some_and(|batch| batch <= up_to) {
                wait.batch = None;
            }
        }
        let done = |wait: &mut Waiting| wait.batch.is_none() && !matches!(wait.pending.wait, Wait::Peers(_));
        self.waits.extract_if(.., done).for_each(|wait| wait.pending.answer(out));
    }

    /// This batch and all after it are not durable.
    pub(super) fn failed(&mut self, from: u64, error: &StoreError, out: &mut Vec<Output>) {
        let lost = |wait: &mut Waiting| wait.batch.is_some_and(|batch| batch >= from);
        for wait in self.waits.extract_if(.., lost) {
            wait.pending.answer_not_durable(&error.to_string(), out);
        }
    }
}

impl Pending {
    fn answer(self, out: &mut Vec<Output>) {
        out.push(Output::Reply { token: self.token, result: Ok(self.edited) });
    }

    fn answer_not_durable(self, why: &str, out: &mut Vec<Output>) {
        let id = self.edited.id;
        let error =
            ApiError::new(Code::NotDurable, format!("message {id} is not known to be on the disk: {why}"))
                .with_hint(
                    "retry with the same request id once the disk is well: it will not be applied twice",
                );
        out.push(Output::Reply { token: self.token, result: Err(error) });
    }
}

impl Room {
    pub(super) fn edit(&mut self, token: u64, edit: api::Edit, now: Now, out: &mut Vec<Output>) {
        if let Err(error) = self.try_edit(token, edit, now, out) {
            out.push(Output::Reply { token, result: Err(error) });
        }
    }

    /// Commits edits, which are answered later, or says why they cannot be.
    pub(super) fn try_edit(
        &mut self,
        token: u64,
        edit: api::Edit,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), ApiError> {
        let api::Edit { room: _, ops, note, request, wait, timeout_ms } = edit;
        let what = What::Edits(ops);
        self.commit(Commit { token, what, note, request, wait, timeout_ms }, now, out)
    }

    pub(super) fn undo(&mut self, token: u64, undo: api::Undo, redo: bool, now: Now, out: &mut Vec<Output>) {
        let result = self.undo_target(&undo, redo).and_then(|target| {
            let op = api::EditOp {
                otype: if redo { "meta.redo" } else { "meta.undo" }.to_owned(),
                options: [("target".to_owned(), target.to_string().into())].into(),
                ..api::EditOp::default()
            };
            let api::Undo { room: _, target: _, request, wait, timeout_ms } = undo;
            let what = What::Edits(vec![op]);
            self.commit(Commit { token, what, note: None, request, wait, timeout_ms }, now, out)
        });
        if let Err(error) = result {
            out.push(Output::Reply { token, result: Err(error) });
        }
    }

    /// The message an undo is about: the named one, or this user's last one that can be.
    fn undo_target(&self, undo: &api::Undo, redo: bool) -> Result<Dot, ApiError> {
        if let Some(name) = &undo.target {
            return self.find(name);
        }
        // A retry must not look for another message to undo: any target will do, the first answer is repeated.
        if let Some(dot) = undo.request.as_deref().and_then(|id| self.own_request(id)) {
            return Ok(dot);
        }
        let undone = |dot: &Dot| self.replica.is_undone(dot);
        let target = self.own_newest().find_map(|own| match redo {
            false => (self.replica.is_undoable(&own) && !undone(&own)).then_some(own),
            true => self.replica.undoes(&own).filter(undone),
        });
        target.ok_or_else(|| {
            let what = if redo { "redo" } else { "undo" };
            ApiError::new(Code::NotFound, format!("there is nothing to {what}"))
                .with_hint(format!("name a message: `rtc {what} MSG`; `rtc log` lists them"))
        })
    }

    /// The message by which this machine has answered a request, with whichever key.
    fn own_request(&self, id: &str) -> Option<Dot> {
        self.own_keys().into_iter().find_map(|key| self.replica.request(&key, id))
    }

    /// The messages made with this machine's keys that are held, the newest first.
    fn own_newest(&self) -> impl Iterator<Item = Dot> {
        let mut heads: Vec<Dot> =
            self.own_keys().into_iter().flat_map(|key| self.log.heads_of(&key).collect::<Vec<_>>()).collect();
        std::iter::from_fn(move || {
            // Before its first there is nothing of an actor, or it is another's or forgotten.
            heads.retain(|head| self.replica.contains(head));
            let head = heads.iter_mut().max_by_key(|head| self.replica.lamport(head))?;
            let newest = *head;
            head.seq -= 1;
            Some(newest)
        })
    }

    pub(super) fn commit(&mut self, commit: Commit, now: Now, out: &mut Vec<Output>) -> Result<(), ApiError> {
        let Commit { token, what, note, request, wait, timeout_ms } = commit;
        check_lengths(note.as_deref(), request.as_deref())?;
        let deadline_us = now.after_ms(timeout_ms.unwrap_or(PEER_WAIT_MS));
        if let Some(id) = request.as_deref().and_then(|id| self.own_request(id)) {
            let edited = Edited { id, repeated: true, ineffective: Vec::new() };
            self.flush(now, out);
            self.answer_when(Pending { token, edited, wait, deadline_us }, self.batches.newest(), out);
            return Ok(());
        }
        self.refuse_if_read_only()?;
        match &what {
            What::Edits(_) => self.check_editor()?,
            What::Rules { says, .. } => self.check_says(says)?,
        }
        let about = About { time_ms: Some(now.wall_ms), request: request.as_deref(), note: note.as_deref() };
        let made = match &what {
            What::Edits(edits) => self.make(now, out, |author, replica| author.next(edits, about, replica)),
            What::Rules { ops, .. } => self.make(now, out, |author, _| author.say(ops, about)),
        };
        let id = made.map_err(refuse)?;
        let edited = Edited { id, repeated: false, ineffective: self.replica.ineffective(&id) };
        if let Some(outgoing) = self.commits.outbox.last_mut() {
            outgoing.answer = Some(Pending { token, edited, wait, deadline_us });
        }
        if self.commits.outbox.len() == RUN_MESSAGES_MAX || self.commits.outbox_bytes >= OUTBOX_BYTES_MAX {
            self.flush(now, out);
        }
        Ok(())
    }

    /// Issues a message again that a horizon left outside.
    pub(super) fn make_again(
        &mut self,
        message: &Message,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), MakeError> {
        self.make(now, out, |author, _| author.reissue(message)).map(drop)
    }

    /// Makes messages until the one that was asked for is there: others that go ahead tell heads.
    pub(super) fn make<'a>(
        &mut self,
        now: Now,
        out: &mut Vec<Output>,
        next: impl Fn(&mut Author, &Replica) -> Result<Made<'a>, MakeError>,
    ) -> Result<Dot, MakeError> {
        if self.is_next_claimed() {
            self.flush(now, out);
            self.renew_author();
        }
        self.author();
        loop {
            let author = self.commits.author.as_mut().expect("it was just asked for");
            let made = next(author, &self.replica)?;
            let (dot, is_ahead) = (made.dot, made.is_ahead);
            self.put_out(made, now, out);
            if !is_ahead {
                return Ok(dot);
            }
        }
    }

    /// Applies our next message and puts it where the next signature vouches for it.
    fn put_out(&mut self, made: Made<'_>, now: Now, out: &mut Vec<Output>) {
        let message = made.view();
        if !message.clock.is_empty() {
            // Only the first message of a run may advance its clock.
            self.flush(now, out);
        }
        match self.note(&message, &message.clock, made.link, made.body.len(), false) {
            Some(seen) => self.replica.apply(&seen),
            None => self.replica.apply_view(&message),
        };
        let mut events = Vec::new();
        self.tell(&made.dot, &mut events);
        let Made { dot, body, link, .. } = made;
        self.commits.outbox_bytes += body.len();
        self.commits.outbox.push(Outgoing { dot, body, link, event: events.pop(), answer: None });
    }

    /// Signs what was committed, tells it, and hands it to the store.
    pub(super) fn flush(&mut self, _now: Now, out: &mut Vec<Output>) {
        let Some(last) = self.commits.outbox.last() else { return };
        let (last, link) = (last.dot, last.link);
        let signature = self.keys.sign(&link);
        self.log.set_signed(&last, true);
        out.push(Output::Number { epoch: last.actor.epoch(), seq: last.seq });
        let outbox = std::mem::take(&mut self.commits.outbox);
        self.commits.outbox_bytes = 0;
        let run = Run {
            actor: last.actor,
            first: outbox[0].dot.seq,
            bodies: outbox.iter().map(|outgoing| &outgoing.body).collect(),
            signature,
        };
        self.send_live(&run, out);
        let mut records = Vec::with_capacity(outbox.len());
        let mut answers = Vec::with_capacity(outbox.len());
        for Outgoing { dot, body, link, event, answer } in outbox {
            out.extend(event);
            let signature = (dot == last).then_some(signature);
            records.push(Record { actor: dot.actor, seq: dot.seq, link, body, signature });
            answers.extend(answer);
        }
        self.store(Batch::default(), records, out);
        for answer in answers {
            self.answer_when(answer, self.batches.newest(), out);
        }
    }

    /// Answers now or when the wish is fulfilled; `batch` is what has to become durable first.
    fn answer_when(&mut self, pending: Pending, batch: Option<u64>, out: &mut Vec<Output>) {
        let batch = batch.filter(|_| !planted(Bug::AnswerBeforeCommit));
        match (pending.wait, batch, &self.read_only) {
            (Wait::Local, ..) => pending.answer(out),
            // What a retry finds here may be what the disk has lost, and nobody can say when there will be space.
            (Wait::Durable | Wait::Peers(_), _, Some(why)) => pending.answer_not_durable(why, out),
            (Wait::Durable, None, None) => pending.answer(out),
            (Wait::Durable, Some(_), None) | (Wait::Peers(_), _, None) => {
                self.commits.waits.push(Waiting { pending, batch });
                self.check_peer_waits(out);
            }
        }
    }

    /// Answers those that wait for peers and have enough of them.
    pub(super) fn check_peer_waits(&mut self, out: &mut Vec<Output>) {
        let mut waits = std::mem::take(&mut self.commits.waits);
        let enough = |wait: &mut Waiting| match wait.pending.wait {
            Wait::Peers(peers) => {
                wait.batch.is_none() && self.peers_with(&wait.pending.edited.id) >= peers as usize
            }
            Wait::Local | Wait::Durable => false,
        };
        waits.extract_if(.., enough).for_each(|wait| wait.pending.answer(out));
        self.commits.waits = waits;
    }

    /// Lets our next message follow from what is held now: in a new epoch where messages of this one are dropped, whose numbers
    /// are used up.
    pub(super) fn renew_author(&mut self) {
        let Some(author) = self.commits.author.take() else { return };
        self.epoch_proof = Some((author.actor().epoch(), author.seq()));
        self.epoch_fresh = next_epoch(self.epoch_fresh);
    }

    /// Another machine numbers messages as `actor`, in memory that was once ours: if we do, too, we go on in a new epoch. It is made of what
    /// is held here, since the other one draws what is random as we do.
    pub(super) fn part_from_twin(&mut self, actor: &Actor) {
        if self.commits.actor() != Some(*actor) {
            return;
        }
        self.commits.author = None;
        self.epoch_proof = None;
        let link = self.log.link(actor, self.log.head(actor)).expect("the newest message is held");
        let mut hasher = blake3::Hasher::new_derive_key("rtc 2026 epoch apart 1");
        hasher.update(&self.epoch_fresh.to_be_bytes()).update(&link.0);
        self.epoch_fresh = first_number(hasher.finalize().as_bytes());
    }

    /// Whether somebody claims to have issued again what we have not made yet: a horizon that held the claim and not our message would
    /// take this one for said already.
    fn is_next_claimed(&self) -> bool {
        let author = self.commits.author.as_ref();
        author.is_some_and(|author| {
            self.horizons.is_claimed_after(&Dot { actor: author.actor(), seq: author.seq() })
        })
    }

    /// Who numbers our messages: the epoch told of before if provably nothing of it was lost, else a new one.
    fn author(&mut self) {
        if self.commits.author.is_some() {
            return;
        }
        let key = self.keys.public();
        let lost_nothing = |&(epoch, seq): &(u64, u64)| {
            let head = self.log.head(&Actor::new(key, epoch));
            let is_claimed = self.horizons.is_claimed_after(&Dot { actor: Actor::new(key, epoch), seq });
            let is_forked = self.forks.has(&Actor::new(key, epoch));
            seq > 0 && (head == seq || planted(Bug::EpochKept)) && !is_claimed && !is_forked
        };
        let proven = self.epoch_proof.filter(lost_nothing);
        let actor = Actor::new(key, proven.map_or(self.epoch_fresh, |(epoch, _)| epoch));
        let head = |actor: Actor, seq: u64| {
            let link = self.log.link(&actor, seq).expect("what is in the vector is held");
            (link, self.log.lamport(&Dot { actor, seq }).unwrap_or(0))
        };
        let seq = self.log.head(&actor);
        let (link, lamport) = head(actor, seq);
        let mut author = Author::resume(actor, seq, link, lamport);
        for (other, seq) in self.log.vector().iter().filter(|(other, _)| *other != actor) {
            if seq > self.log.seen(&actor, &other).max(self.log.branches.base(&other)) {
                let (link, lamport) = head(other, seq);
                author.hear(Head { actor: other, seq, link: link.short() }, lamport);
            }
        }
        self.commits.author = Some(author);
    }
}

/// Another random epoch.
fn next_epoch(epoch: u64) -> u64 {
    first_number(&blake3::derive_key("rtc 2026 next epoch 1", &epoch.to_be_bytes()))
}

fn first_number(bits: &[u8; 32]) -> u64 {
    u64::from_be_bytes(bits[..8].try_into().expect("eight of 32 bytes"))
}

/// A message that is not found, in the words of the API.
pub(super) fn not_found(name: &str, error: &FindError) -> ApiError {
    match error {
        FindError::Missing => ApiError::new(Code::NotFound, format!("there is no message `{name}`"))
            .with_hint("`rtc log` lists messages"),
        FindError::Ambiguous { matches } => {
            ApiError::new(Code::Ambiguous, format!("{matches} messages go by `{name}`"))
                .with_hint("write more of its id")
        }
    }
}

/// Edits that become no message, in the words of the API.
pub(super) fn refuse(error: MakeError) -> ApiError {
    match error {
        MakeError::Edit(error) => error.into(),
        MakeError::TooLarge { .. } => {
            ApiError::new(Code::TooLarge, error.to_string()).with_hint("split it into several commits")
        }
        MakeError::Unreadable(_) => {
            ApiError::new(Code::TooLarge, error.to_string()).with_hint("nest lists and maps less deeply")
        }
    }
}

fn check_lengths(note: Option<&str>, request: Option<&str>) -> Result<(), ApiError> {
    let too_long = |what: &str, text: Option<&str>, limit: usize| match text {
        Some(text) if text.len() > limit => {
            Err(ApiError::new(Code::TooLarge, format!("{what} of {} bytes exceeds {limit}", text.len())))
        }
        _ => Ok(()),
    };
    too_long("a description", note, NOTE_BYTES_MAX)?;
    too_long("a request id", request, REQUEST_BYTES_MAX)
}
