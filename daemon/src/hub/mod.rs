//! The one task that owns all rooms: what clients ask, what peers say and what the disk reports meet here, one at a time.
//!
//! It waits for nobody: outward it only tries to send, and what cannot be sent is repaired by sync or a fresh read.
//! Inward it stops listening while the disk is far behind, so that senders wait instead of memory growing.

mod admitting;
mod answer;
mod care;
mod identity;
mod joining;
mod keeping;
mod leaving;
mod link;
mod members;
mod opening;
mod presence;
mod reading;
mod request;
mod rooms;
mod sleeping;
mod storing;
mod verify;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rtc_client::Places;
use rtc_core::api::{Answer, ApiError, Reply};
use rtc_core::chain::Keys;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::invite::Invites;
use rtc_core::room;
use rtc_core::switchboard::{Input, Output, Switchboard};
use rtc_core::sync::{LinkId, Now};
use rtc_core::ticket::Ticket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::boot::House;
use crate::hub::admitting::Errand;
use crate::hub::keeping::Keeping;
use crate::hub::presence::Sessions;
use crate::hub::sleeping::Sleep;
use crate::hub::verify::Verification;
use crate::metrics::{Metrics, Reading};
use crate::net::{LinkSender, Multiaddr, NetEvent, NetHandle};
use crate::number::NumberRecord;
use crate::past::PastThread;
use crate::socket::{Caller, SocketEvent};
use crate::state::State;
use crate::store::{Done, Job, StoreThread};
use crate::watch::Current;

/// Bytes on their way to the disk past which nothing more is taken in.
const UNSTORED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Events taken in before what they committed is signed and told.
const DRAIN_MAX: usize = 256;
/// How long that may take: heartbeats wait, and whoever hears none for long hangs up.
const DRAIN_TIME: Duration = Duration::from_millis(20);
/// How long a stopping daemon waits for its disk.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// The network, as the hub has it.
pub struct Network {
    /// What is asked of it.
    pub handle: NetHandle,
    /// What it reports.
    pub events: mpsc::Receiver<NetEvent>,
}

/// The hub's state. Nobody else has any of it.
pub(crate) struct Hub {
    me: PeerKey,
    keys: Arc<dyn Keys>,
    clock: Clock,
    places: Places,
    state: State,
    settings: watch::Receiver<Current>,
    board: Switchboard,
    numbers: BTreeMap<RoomId, NumberRecord>,
    /// The room meant where none is named, as the disk remembers it.
    default_room: Option<RoomId>,
    /// Rooms that could not be opened, and why.
    closed: BTreeMap<RoomId, String>,
    store: StoreThread,
    unstored: BTreeMap<(RoomId, u64), usize>,
    unstored_bytes: usize,
    kept: BTreeMap<RoomId, Keeping>,
    sleep: Sleep,
    net: NetHandle,
    listening: Vec<Multiaddr>,
    links: BTreeMap<LinkId, LinkSender>,
    /// Frames of backlog that have come: they wait for everything else. The network bounds their bytes.
    backlog: VecDeque<NetEvent>,
    /// How often each of them sent what was refused.
    refusals: BTreeMap<LinkId, u64>,
    /// Calls whose answer a room owes.
    calls: BTreeMap<u64, (RoomId, Call)>,
    calls_made: u64,
    /// Rooms with commits that are not signed yet.
    edited: BTreeSet<RoomId>,
    /// Reads earlier versions, once somebody has asked for one.
    past: Option<PastThread>,
    watches: Vec<Watch>,
    sessions: Sessions,
    joins: Vec<Join>,
    /// Invitations into rooms that are not redeemed yet.
    tickets: BTreeMap<RoomId, Ticket>,
    /// Invitations that this daemon has made.
    invites: BTreeMap<RoomId, Invites>,
    /// What goes on once something is on the disk.
    errands: BTreeMap<u64, (RoomId, Errand)>,
    verifications: Vec<Verification>,
    care: care::Care,
    leavings: BTreeMap<RoomId, leaving::Leaving>,
    /// Whether the process is to end; otherwise it may go on with another key.
    stop: watch::Sender<bool>,
    stopping: bool,
    metrics: Metrics,
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
    /// Whether it wants to know who is here too.
    presence: bool,
    /// And of drafts.
    drafts: bool,
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
    /// Whether both are one request.
    fn is(&self, other: &Self) -> bool {
        (self.caller.session(), self.id) == (other.caller.session(), other.id)
    }

    fn answer(&self, result: Result<Reply, ApiError>) {
        self.caller.answer(vec![Answer { id: self.id, more: false, result }]);
    }

    /// Answers, and more answers follow.
    fn answer_more(&self, reply: Reply) {
        self.caller.answer(vec![Answer { id: self.id, more: true, result: Ok(reply) }]);
    }
}

/// Runs the hub until it is told to stop and what it accepted is durable; gives the store back. Sends to `opened` once
/// the rooms are open and clients are answered.
pub async fn run(house: House, network: Network, opened: oneshot::Sender<()>) -> StoreThread {
    let House {
        places,
        state,
        identity,
        mut settings,
        rooms,
        store,
        mut done,
        mut clients,
        stop,
        started,
        metrics,
        mut questions,
    } = house;
    let Network { handle: net, events: mut net_events } = network;
    let keys: Arc<dyn Keys> = Arc::new(identity.keys());
    let (care, mut news) = care::Care::new(store.sender());
    let mut stopped = stop.subscribe();
    let mut hub = Hub {
        me: keys.public(),
        board: Switchboard::new(&*keys),
        keys,
        clock: Clock { origin: started },
        places,
        state,
        settings: settings.clone(),
        numbers: BTreeMap::new(),
        default_room: None,
        closed: BTreeMap::new(),
        store,
        unstored: BTreeMap::new(),
        unstored_bytes: 0,
        kept: BTreeMap::new(),
        sleep: Sleep::default(),
        net,
        listening: Vec::new(),
        links: BTreeMap::new(),
        backlog: VecDeque::new(),
        refusals: BTreeMap::new(),
        calls: BTreeMap::new(),
        calls_made: 0,
        edited: BTreeSet::new(),
        past: None,
        watches: Vec::new(),
        sessions: Sessions::default(),
        joins: Vec::new(),
        tickets: BTreeMap::new(),
        invites: BTreeMap::new(),
        errands: BTreeMap::new(),
        verifications: Vec::new(),
        care,
        leavings: BTreeMap::new(),
        stop,
        stopping: false,
        metrics,
    };
    hub.open_rooms(rooms);
    hub.recall_joins();
    // Whoever wanted to know may be going down already.
    let _ = opened.send(());
    while !hub.stopping {
        let disk_keeps_up = hub.unstored_bytes < UNSTORED_BYTES_MAX;
        let wake = hub.wake_at();
        tokio::select! {
            report = done.recv() => match report {
                Some(report) => hub.hear_store(report),
                None => hub.lose_store(),
            },
            Some(event) = net_events.recv(), if disk_keeps_up => hub.take_net(event),
            Some(event) = clients.recv(), if disk_keeps_up => hub.hear_client(event),
            Some(news) = news.recv() => hub.hear_care(news),
            // Whoever asked may be gone.
            Some(question) = questions.recv() => drop(question.send(hub.reading())),
            Ok(()) = settings.changed() => hub.follow_settings(),
            () = std::future::ready(()), if disk_keeps_up && !hub.backlog.is_empty() => {}
            () = tokio::time::sleep_until(wake.into()) => hub.wake(),
            _ = stopped.wait_for(|stop| *stop) => hub.stopping = true,
        }
        hub.drain(&mut clients, &mut net_events, &mut done);
        hub.flush();
        hub.advance_rebuilds();
        hub.advance_leavings();
        hub.keep_due();
        // Not left to chance where much is at hand: a peer that hears no heartbeat for long hangs up.
        if hub.wake_at() <= Instant::now() {
            hub.wake();
        }
    }
    hub.finish(&mut done).await
}

impl Hub {
    fn wake_at(&self) -> Instant {
        let joins = self.joins.iter().map(|join| join.deadline_us);
        let verifications = self.verifications.iter().map(|verification| verification.deadline_us);
        let rest = self.board.wake_at().into_iter().chain(self.sessions.wakes_at()).chain(self.sleeps_at());
        match joins.chain(verifications).chain(rest).chain(self.tries_at()).min() {
            Some(at_us) => self.clock.at(at_us),
            None => Instant::now() + Duration::from_secs(3600),
        }
    }

    fn wake(&mut self) {
        self.input(Input::Wake);
        self.advance_joins();
        self.expire_drafts();
        self.verify_waiting();
        self.sleep_due();
        self.try_again();
    }

    /// Takes in what is at hand, so that one signature and one write serve all of it; of each source in turn, so that a
    /// flood from one keeps none of the others waiting. Backlog waits until nothing else does, and edits are told before each
    /// frame of it.
    fn drain(
        &mut self,
        clients: &mut mpsc::Receiver<SocketEvent>,
        net: &mut mpsc::Receiver<NetEvent>,
        done: &mut mpsc::UnboundedReceiver<Done>,
    ) {
        let began = Instant::now();
        for _ in 0..DRAIN_MAX {
            if self.unstored_bytes >= UNSTORED_BYTES_MAX || began.elapsed() >= DRAIN_TIME {
                return;
            }
            match (clients.try_recv(), net.try_recv(), done.try_recv()) {
                (Err(_), Err(_), Err(_)) => {
                    if !self.edited.is_empty() {
                        return;
                    }
                    let Some(event) = self.backlog.pop_front() else { return };
                    self.hear_net(event);
                }
                (client, peer, report) => {
                    client.into_iter().for_each(|event| self.hear_client(event));
                    peer.into_iter().for_each(|event| self.take_net(event));
                    report.into_iter().for_each(|report| self.hear_store(report));
                }
            }
        }
    }

    /// What rooms know, for those who collect numbers.
    fn reading(&mut self) -> Reading {
        let now = self.clock.now();
        let mut reading = Reading { links: self.links.len(), ..Reading::default() };
        for id in self.board.rooms().collect::<Vec<_>>() {
            reading.rooms += 1;
            if let Some(sleeper) = self.board.asleep(&id) {
                reading.asleep += 1;
                reading.messages += sleeper.gist().messages;
                reading.lag = reading.lag.max(sleeper.lag(now));
                reading.counted.add(self.board.take_tally_asleep(&id));
                continue;
            }
            let Some(room) = self.board.room(&id) else { continue };
            reading.messages += room.messages();
            reading.lag = reading.lag.max(room.lag(now));
            reading.counted.add(room.take_tally());
        }
        reading
    }

    fn follow_settings(&mut self) {
        let mdns = self.settings.borrow_and_update().settings.mdns;
        if let Err(error) = self.net.set_mdns(mdns) {
            tracing::warn!("mDNS stays as it was: {error}");
        }
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
            Output::Send { link, lane, bytes, unsent } => self.send(link, lane, bytes, unsent),
            Output::Disconnect { link, reason } => {
                self.disconnect(link, &reason);
                None
            }
            Output::Met { peer } => {
                self.prefer(peer);
                None
            }
            Output::Spare { peer } => {
                self.spare(peer);
                None
            }
            Output::Claimed { link, peer, claim } => {
                self.hear_claim(link, peer, claim);
                None
            }
            Output::Welcomed { invite, founding, secret } => {
                self.hear_welcome(invite, &founding, secret);
                None
            }
            Output::Refused { invite, why } => {
                self.hear_refusal(invite, why);
                None
            }
            Output::Secrets { room, secrets } => {
                self.keep_secrets(room, &secrets);
                None
            }
            Output::Wake { room } => {
                self.wake_room(room);
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
                self.touch(room);
                let bytes = records.iter().map(|record| record.body.len() + size_of_val(record)).sum();
                self.unstored_bytes += bytes;
                self.kept.entry(room).or_default().add(records.len(), bytes);
                self.unstored.insert((room, batch), bytes);
                self.store.send(Job::Append { room, batch, records });
            }
            room::Output::Forget(forgetting) => {
                tracing::info!(%room, "history is let go, as the room's keeper has it");
                // What was put away stands on it.
                self.kept.entry(room).or_default().forget();
                self.store.send(Job::Forget { room, forgetting });
            }
            room::Output::Rename { renames, forks } => {
                self.touch(room);
                self.store.send(Job::Rename { room, renames, forks });
            }
            room::Output::Fact { name, value } => {
                self.store.send(Job::SetFact { room, token: 0, name: name.to_owned(), value });
            }
            room::Output::Read { link, ranges } => self.store.send(Job::Read { room, token: link.0, ranges }),
            room::Output::Event(event) => {
                for watch in self.watches.iter().filter(|watch| watch.room == room && watch.wants(&event)) {
                    watch.call.caller.event(watch.call.id, &event);
                }
            }
            room::Output::Reply { token, result } => {
                if self.message_made(token, &result) {
                    return;
                }
                if let Some((_, call)) = self.calls.remove(&token) {
                    call.answer(result.map(Reply::Edited));
                }
            }
            room::Output::Alarm(what) => {
                tracing::error!(%room, "{what}; `rtc verify --peers` keeps what is needed to find out why");
            }
            room::Output::Forked(dot) => {
                tracing::error!(%room, "two messages have the number {} of {}: its machine runs twice, or lies", dot.seq, dot.actor);
            }
            room::Output::Founded(founding) => {
                let value = founding.encode();
                let name = rooms::FOUNDING.to_owned();
                self.store.send(Job::SetFact { room, token: 0, name, value });
            }
            room::Output::Synced { .. } => self.finish_joins(room),
            room::Output::Refused { link, refusal } => self.tell_refusal(room, link, &refusal),
            room::Output::Send { .. } => unreachable!("the switchboard wraps what rooms send"),
        }
    }
}
