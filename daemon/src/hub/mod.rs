//! The one task that owns all rooms: what clients ask, what peers say and what the disk reports meet here, one at a time.
//!
//! It waits for nobody: outward it only tries to send, and what cannot be sent is repaired by sync or a fresh read.
//! Inward it stops listening while the disk is far behind, so that senders wait instead of memory growing.

mod answer;
mod link;
mod request;
mod room;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rtc_core::api::{Answer, ApiError, Code, Reply};
use rtc_core::chain::Keys;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::room;
use rtc_core::switchboard::{Input, Output, Switchboard};
use rtc_core::sync::{LinkId, Now};
use tokio::sync::{mpsc, watch};

use crate::net::{LinkSender, NetEvent, NetHandle};
use crate::number::NumberRecord;
use crate::socket::{Caller, SocketEvent};
use crate::store::thread::{Done, Job, StoreThread};

pub use link::Found;
pub use room::RoomsDir;

/// Bytes on their way to the disk past which nothing more is taken in.
const UNSTORED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Events taken in before what they committed is signed and told.
const DRAIN_MAX: usize = 256;
/// How long a stopping daemon waits for its disk.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// What the hub is made of; everything else it makes itself.
pub struct Parts {
    /// Signs for this machine.
    pub keys: Arc<dyn Keys>,
    /// Where rooms rest.
    pub rooms: RoomsDir,
    /// The store's thread.
    pub store: StoreThread,
    /// What it reports.
    pub done: mpsc::UnboundedReceiver<Done>,
    /// The network.
    pub net: NetHandle,
    /// What it reports.
    pub net_events: mpsc::Receiver<NetEvent>,
    /// What clients ask.
    pub calls: mpsc::Receiver<SocketEvent>,
    /// What status tells about the settings and places.
    pub about: watch::Receiver<About>,
    /// Becomes true when the daemon is to stop.
    pub stop: watch::Receiver<bool>,
}

/// What status tells that the hub does not know itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Program and version.
    pub agent: String,
    /// Where the data is.
    pub data_dir: PathBuf,
    /// Where the settings are.
    pub config_file: PathBuf,
    /// What is wrong with them.
    pub config_error: Option<String>,
    /// Whether peers are looked for by mDNS.
    pub mdns: bool,
}

/// The hub's state. Nobody else has any of it.
pub(crate) struct Hub {
    me: PeerKey,
    keys: Arc<dyn Keys>,
    clock: Clock,
    board: Switchboard,
    rooms: RoomsDir,
    numbers: BTreeMap<RoomId, NumberRecord>,
    store: StoreThread,
    unstored: BTreeMap<(RoomId, u64), usize>,
    unstored_bytes: usize,
    net: NetHandle,
    listening: Vec<String>,
    links: BTreeMap<LinkId, LinkSender>,
    /// Calls whose answer a room owes.
    calls: BTreeMap<u64, Call>,
    calls_made: u64,
    /// Rooms with commits that are not signed yet.
    edited: BTreeSet<RoomId>,
    watches: Vec<Watch>,
    joins: Vec<Join>,
    about: watch::Receiver<About>,
    stopping: bool,
}

/// Whom to answer.
#[derive(Clone)]
pub(crate) struct Call {
    caller: Caller,
    id: u64,
}

/// A subscription.
struct Watch {
    room: RoomId,
    call: Call,
}

/// A client that waits for a room's first sync.
struct Join {
    room: RoomId,
    call: Call,
    deadline_us: u64,
}

/// Tells the time to the core, which never asks.
struct Clock {
    origin: Instant,
}

impl Clock {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic_us: u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn at(&self, monotonic_us: u64) -> Instant {
        self.origin + Duration::from_micros(monotonic_us)
    }
}

impl Call {
    fn answer(&self, result: Result<Reply, ApiError>) {
        self.caller.answer(vec![Answer { id: self.id, more: false, result }]);
    }
}

/// Runs the hub until it is told to stop and what it accepted is durable.
pub async fn run(parts: Parts) -> anyhow::Result<()> {
    let Parts { keys, rooms, store, mut done, net, mut net_events, mut calls, about, mut stop } = parts;
    let mut hub = Hub {
        me: keys.public(),
        board: Switchboard::new(keys.public()),
        keys,
        clock: Clock { origin: Instant::now() },
        rooms,
        numbers: BTreeMap::new(),
        store,
        unstored: BTreeMap::new(),
        unstored_bytes: 0,
        net,
        listening: Vec::new(),
        links: BTreeMap::new(),
        calls: BTreeMap::new(),
        calls_made: 0,
        edited: BTreeSet::new(),
        watches: Vec::new(),
        joins: Vec::new(),
        about,
        stopping: false,
    };
    hub.open_rooms()?;
    while !hub.stopping {
        let open = hub.unstored_bytes < UNSTORED_BYTES_MAX;
        let wake = hub.wake_at();
        tokio::select! {
            Some(report) = done.recv() => hub.hear_store(report),
            Some(event) = net_events.recv(), if open => hub.hear_net(event),
            Some(event) = calls.recv(), if open => hub.hear_client(event),
            () = tokio::time::sleep_until(wake.into()) => hub.wake(),
            changed = stop.changed() => hub.stopping |= changed.is_err() || *stop.borrow(),
        }
        for _ in 0..DRAIN_MAX {
            // What is at hand is taken in before signing, so that one signature and one disk write serve all of it.
            if hub.unstored_bytes >= UNSTORED_BYTES_MAX {
                break;
            }
            match (calls.try_recv(), net_events.try_recv()) {
                (Err(_), Err(_)) => break,
                (call, event) => {
                    call.into_iter().for_each(|call| hub.hear_client(call));
                    event.into_iter().for_each(|event| hub.hear_net(event));
                }
            }
        }
        hub.flush();
    }
    hub.finish(&mut done).await;
    Ok(())
}

impl Hub {
    fn wake_at(&self) -> Instant {
        let joins = self.joins.iter().map(|join| join.deadline_us).min();
        match [self.board.wake_at(), joins].into_iter().flatten().min() {
            Some(at_us) => self.clock.at(at_us),
            None => Instant::now() + Duration::from_secs(3600),
        }
    }

    fn wake(&mut self) {
        self.input(Input::Wake);
        self.expire_joins();
    }

    /// Signs and tells what was committed.
    fn flush(&mut self) {
        for room in std::mem::take(&mut self.edited) {
            self.input(Input::Room { room, input: room::Input::Flush });
        }
    }

    /// Gives the switchboard an input and carries out what comes of it, in order.
    fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut outputs = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.board.handle(input, self.clock.now(), &mut outputs);
            for output in outputs.drain(..) {
                // Only sends can come back; everything else is reported later by whoever carries it out.
                inputs.extend(self.carry_out(output));
            }
        }
    }

    fn outputs(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            if let Some(input) = self.carry_out(output) {
                self.input(input);
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send { link, lane, bytes, run } => self.send(link, lane, bytes, run),
            Output::Disconnect { link, reason } => {
                self.disconnect(link, &reason);
                None
            }
            Output::Room { room, output } => {
                self.carry_out_of_room(room, output);
                None
            }
        }
    }

    fn carry_out_of_room(&mut self, room: RoomId, output: room::Output) {
        match output {
            room::Output::Number { epoch, seq } => self.record_number(room, epoch, seq),
            room::Output::Store { batch, records } => {
                let bytes = records.iter().map(|record| record.body.len() + size_of_val(record)).sum();
                self.unstored_bytes += bytes;
                self.unstored.insert((room, batch), bytes);
                self.store.send(Job::Append { room, batch, records });
            }
            room::Output::Read { link, ranges } => self.store.send(Job::Read { room, token: link.0, ranges }),
            room::Output::Event(event) => {
                for watch in self.watches.iter().filter(|watch| watch.room == room) {
                    watch.call.caller.event(watch.call.id, (*event).clone());
                }
            }
            room::Output::Reply { token, result } => {
                if let Some(call) = self.calls.remove(&token) {
                    call.answer(result.map(Reply::Edited));
                }
            }
            room::Output::Founded(founding) => {
                let value = founding.encode();
                self.store.send(Job::SetFact { room, name: room::FOUNDING, value });
            }
            room::Output::Synced { .. } => self.finish_joins(room),
            room::Output::Refused { link, refusal } => {
                tracing::warn!(%room, link = link.0, "refused a peer's messages: {refusal}");
            }
            room::Output::Send { .. } => unreachable!("the switchboard wraps what rooms send"),
        }
    }

    fn hear_store(&mut self, report: Done) {
        match report {
            Done::Committed { room, batch } => {
                self.stored(room, batch);
                self.input(Input::Room { room, input: room::Input::Committed { batch } });
            }
            Done::Failed { room, batch, error } => {
                tracing::error!(%room, "the store failed: {error}");
                self.stored(room, batch);
                self.input(Input::Room { room, input: room::Input::StoreFailed { batch, error } });
            }
            Done::Read { room, token, records } => {
                let records = records.unwrap_or_else(|error| {
                    tracing::error!(%room, "the store cannot be read: {error}");
                    Vec::new()
                });
                let link = LinkId(token);
                self.input(Input::Room { room, input: room::Input::Read { link, records } });
            }
        }
    }

    /// Batches up to this one are no longer on their way.
    fn stored(&mut self, room: RoomId, batch: u64) {
        let later = self.unstored.split_off(&(room, batch + 1));
        let (gone, earlier_rooms): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.unstored).into_iter().partition(|((of, _), _)| *of == room);
        self.unstored_bytes -= gone.values().sum::<usize>();
        self.unstored = earlier_rooms;
        self.unstored.extend(later);
    }

    /// Lets the disk catch up with what was accepted.
    async fn finish(mut self, done: &mut mpsc::UnboundedReceiver<Done>) {
        self.flush();
        for call in std::mem::take(&mut self.joins) {
            call.call.answer(Err(ApiError::new(Code::Stopping, "the daemon is stopping")));
        }
        let caught_up = async {
            while !self.unstored.is_empty() {
                let Some(report) = done.recv().await else { return };
                self.hear_store(report);
            }
        };
        if tokio::time::timeout(STOP_WAIT, caught_up).await.is_err() {
            tracing::error!("the disk did not catch up within {STOP_WAIT:?}; some accepted edits may not be durable");
        }
    }
}
