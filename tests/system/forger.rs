//! A member that lies: it has a room's secret, keeps a real connection to a daemon, and says whatever it is told to.
//!
//! Its connection is as honest as any (heartbeats are answered, a lost link is dialled again), so that nothing but what
//! it was told to say can be held against it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use rtc_core::chain::{Ed25519, Keys, Link as ChainLink, Signature};
use rtc_core::id::{Actor, Dot, PeerKey, RoomId};
use rtc_core::message::Message;
use rtc_core::op::{Op, OpCode};
use rtc_core::sync::link::Heard;
use rtc_core::sync::{End, Lane, Link, LinkFrame, Now, RoomFrame, Run, backlog};
use rtc_core::ticket::{Pass, Secret, Ticket};
use rtc_daemon::net::{self, LinkSender, Net, NetConfig, NetEvent, Source, TakenPort};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::home::{Home, PATIENCE};

/// The number the forger gives its room on each connection.
pub(crate) const CHANNEL: u64 = 1;
/// Frames remembered of one connection.
const SAID_MAX: usize = 64;

/// The hostile peer.
pub(crate) struct Forger {
    keys: Ed25519,
    seed: u8,
    ticket: Ticket,
    secret: Secret,
    epochs: u64,
    pings: u64,
    says: mpsc::UnboundedSender<Vec<u8>>,
    seen: watch::Receiver<Seen>,
    runtime: Runtime,
    _net: Net,
    _home: TempDir,
}

/// What the daemon has done so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// Connections that came up.
    pub(crate) links: u64,
    /// Whether the last of them has ended.
    pub(crate) gone: bool,
    /// Whether it is in the room with us there.
    pub(crate) open: bool,
    /// Our own way of opening the room there.
    pub(crate) opening: Option<LinkFrame>,
    /// What it said there first, without messages and heartbeats.
    pub(crate) said: Vec<LinkFrame>,
    /// The last heartbeat it answered.
    pub(crate) pong: u64,
    /// Digests in its heartbeats, all connections together.
    pub(crate) digests: usize,
    /// Messages it has sent.
    pub(crate) bodies: BTreeMap<Dot, Vec<u8>>,
}

impl Forger {
    /// A peer who redeems a ticket, and is then on its way to the daemon that issued it.
    pub(crate) fn start(seed: u8, ticket: &Ticket) -> Self {
        let secret = match ticket.pass {
            Pass::Open(secret) => secret,
            Pass::Invite(invite) => admitted(seed, ticket, invite),
        };
        Self::knowing(seed, ticket, secret)
    }

    /// A peer whom `owner` lets in, and who is then on its way to the addresses of the ticket.
    pub(crate) fn let_in_by(owner: &Home, seed: u8, ticket: &Ticket) -> Self {
        let theirs = Ticket { addresses: owner.ticket_addresses(), ..ticket.clone() };
        Self::knowing(seed, ticket, admitted(seed, &theirs, *ticket.pass.secret()))
    }

    /// A peer who knows this secret of the ticket's room, or thinks so.
    pub(crate) fn knowing(seed: u8, ticket: &Ticket, secret: Secret) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let home = tempfile::tempdir().expect("a directory for the test");
        let keys = Ed25519::from_seed(&[seed; 32]);
        let (events, net) = runtime.block_on(dial(seed, ticket, &home));
        let (says, orders) = mpsc::unbounded_channel();
        let (seen_tx, seen) = watch::channel(Seen::default());
        let line = Line {
            me: keys.public(),
            room: ticket.room,
            secret,
            seen: seen_tx,
            waiting: None,
            line: None,
            unsent: VecDeque::new(),
            began: Instant::now(),
        };
        runtime.spawn(line.live(events, orders));
        let ticket = ticket.clone();
        Self { keys, seed, ticket, secret, epochs: 0, pings: 0, says, seen, runtime, _net: net, _home: home }
    }

    /// Comes back at once after the daemon has hung up, as a peer that was started again.
    pub(crate) fn come_back(&mut self) {
        self.until("the daemon hangs up", |seen| seen.gone);
        *self = Self { epochs: self.epochs, ..Self::knowing(self.seed, &self.ticket, self.secret) };
        self.until("the daemon lets it in again", |seen| seen.open);
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    pub(crate) fn key(&self) -> PeerKey {
        self.keys.public()
    }

    /// Looks at what the daemon has done so far.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.borrow())
    }

    /// Waits until the daemon has done something.
    pub(crate) fn until(&mut self, what: &str, holds: impl FnMut(&Seen) -> bool) {
        let waits = async { timeout(PATIENCE, self.seen.wait_for(holds)).await.map(|seen| seen.map(drop)) };
        let seen = self.runtime.block_on(waits);
        seen.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
            .expect("the connection's task runs");
    }

    /// Says the bytes of a frame, whatever they are.
    pub(crate) fn say(&self, frame: Vec<u8>) {
        self.says.send(frame).expect("the connection's task runs");
    }

    /// Says something about the room.
    pub(crate) fn say_of_room(&self, frame: RoomFrame) {
        self.say(LinkFrame::Room { channel: CHANNEL, frame }.encode());
    }

    /// Returns when the daemon has dealt with everything said so far; it must not end the connection for it.
    pub(crate) fn heard_out(&mut self) {
        let links = self.seen(|seen| seen.links);
        self.outlived();
        assert_eq!(self.seen(|seen| seen.links), links, "the daemon hung up");
    }

    /// Returns when the daemon has dealt with everything said so far, or has hung up and is back.
    pub(crate) fn outlived(&mut self) {
        self.pings += 1;
        let (ping, links) = (self.pings, self.seen(|seen| seen.links));
        self.say(LinkFrame::Beat { ping, digests: Vec::new() }.encode());
        self.until("the daemon answers", |seen| seen.pong >= ping || (seen.links > links && seen.open));
    }

    /// A new actor of this key.
    pub(crate) fn pen(&mut self) -> Pen<'_> {
        self.epochs += 1;
        Pen { keys: &self.keys, room: self.ticket.room, actor: Actor::new(self.keys.public(), self.epochs) }
    }
}

/// Begins to dial who has issued a ticket.
async fn dial(seed: u8, ticket: &Ticket, home: &TempDir) -> (mpsc::Receiver<NetEvent>, Net) {
    let config = NetConfig {
        seed: [seed; 32],
        listen: Vec::new(),
        taken_port: TakenPort::Refuse,
        mdns: false,
        rendezvous_dir: None,
        wan: None,
        book: home.path().join("peers"),
    };
    let (events_tx, events) = mpsc::channel(64);
    let (handle, net) = net::start(config, events_tx).await.expect("the network starts");
    let address = ticket.addresses[0].parse().expect("an address");
    handle.dial(address, Source::Ticket).expect("it can be dialled");
    (events, net)
}

/// Redeems a ticket, and gives the room's secret.
fn admitted(seed: u8, ticket: &Ticket, invite: Secret) -> Secret {
    let me = Ed25519::from_seed(&[seed; 32]).public();
    let home = tempfile::tempdir().expect("a directory for the test");
    let redeem = async {
        let (mut events, _net) = dial(seed, ticket, &home).await;
        let mut line = None;
        loop {
            match events.recv().await.expect("the network runs") {
                NetEvent::Up { peer, sender, .. } => {
                    let mut said = Vec::new();
                    let mut link = Link::new(me, peer, End::Listened, [seed; 32], Now::default(), &mut said);
                    link.redeem(invite, &mut said);
                    line = Some((link, sender, said));
                }
                NetEvent::Frame { bytes, .. } => {
                    let Some((link, _, said)) = &mut line else { continue };
                    let heard =
                        link.hear(&bytes, Now::default(), said).expect("a daemon keeps to the protocol");
                    if let Heard::Welcomed { secret, .. } = heard {
                        return secret;
                    }
                }
                NetEvent::Listening { .. } => {}
                NetEvent::Down { .. } => line = None,
            }
            if let Some((_, sender, said)) = &mut line {
                for frame in said.drain(..) {
                    sender.try_send(Lane::Live, frame.encode()).expect("little is said");
                }
            }
        }
    };
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async { timeout(PATIENCE, redeem).await }).expect("the ticket is redeemed")
}

/// Writes messages of one actor, and signs them with the forger's key.
pub(crate) struct Pen<'a> {
    keys: &'a Ed25519,
    pub(crate) room: RoomId,
    pub(crate) actor: Actor,
}

impl Pen<'_> {
    /// The same hand under somebody else's name.
    pub(crate) fn posing_as(&self, actor: Actor) -> Self {
        Self { actor, ..*self }
    }

    /// The same actor in another room.
    pub(crate) fn in_room(&self, room: RoomId) -> Self {
        Self { room, ..*self }
    }

    /// A message that inserts a node of its own; admissible where number and lamport are.
    pub(crate) fn message(&self, seq: u64, lamport: u64) -> Message {
        let op = Op {
            code: OpCode::named("node.insert").expect("a row of the table"),
            key: format!("forged-{}-{seq}", self.actor.epoch()),
            path: None,
            value: Default::default(),
            options: Default::default(),
        };
        let (actor, clock, ops) = (self.actor, Vec::new(), vec![op]);
        Message { actor, seq, lamport, clock, time_ms: Some(u64::MAX), request: None, note: None, ops }
    }

    /// The actor's chain over `bodies`, told from number `first` on and signed.
    pub(crate) fn run(&self, bodies: &[Vec<u8>], first: usize) -> Run {
        let origin = ChainLink::origin(&self.room, &self.actor);
        let last = bodies.iter().fold(origin, |link, body| link.next(body));
        Run {
            actor: self.actor,
            first: first as u64,
            bodies: bodies[first - 1..].iter().collect(),
            signature: self.keys.sign(&last),
        }
    }

    /// A run of one message, the actor's first.
    pub(crate) fn first(&self, message: &Message) -> Run {
        self.run(&[message.encode()], 1)
    }

    /// A run nobody signed.
    pub(crate) fn unsigned(&self, first: u64, bodies: Vec<Vec<u8>>) -> Run {
        Run { actor: self.actor, first, bodies: bodies.iter().collect(), signature: Signature([7; 64]) }
    }
}

/// The connection's task.
struct Line {
    me: PeerKey,
    room: RoomId,
    secret: Secret,
    seen: watch::Sender<Seen>,
    /// A connection over which nothing was said yet.
    waiting: Option<(PeerKey, LinkSender)>,
    line: Option<(Link, LinkSender)>,
    unsent: VecDeque<Vec<u8>>,
    began: Instant,
}

impl Line {
    async fn live(
        mut self,
        mut events: mpsc::Receiver<NetEvent>,
        mut orders: mpsc::UnboundedReceiver<Vec<u8>>,
    ) {
        loop {
            self.send();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                Some(frame) = orders.recv() => self.unsent.push_back(frame),
                // The queue is full: there is room again as soon as the network's task has run.
                () = tokio::task::yield_now(), if !self.unsent.is_empty() && self.line.is_some() => {}
            }
        }
    }

    fn send(&mut self) {
        let Some((_, sender)) = &self.line else { return };
        while let Some(frame) = self.unsent.front() {
            match sender.try_send(Lane::Live, frame.clone()) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(net::SendError::Full) => return,
                Err(net::SendError::Closed) => return self.unsent.clear(),
                Err(error @ net::SendError::TooLarge { .. }) => panic!("{error}"),
            }
        }
    }

    fn hear(&mut self, event: NetEvent) {
        match event {
            NetEvent::Listening { .. } => {}
            NetEvent::Up { peer, sender, .. } => self.waiting = Some((peer, sender)),
            NetEvent::Frame { bytes, .. } => {
                if let Some((peer, sender)) = self.waiting.take() {
                    self.up(peer, sender, &bytes);
                }
                self.frame(&bytes);
            }
            NetEvent::Down { .. } => {
                self.line = None;
                self.seen.send_modify(|seen| seen.gone = true);
                self.unsent.clear();
            }
        }
    }

    /// Begins once the other side has said `hello`, and with such randomness that [`CHANNEL`] is the room's number.
    fn up(&mut self, peer: PeerKey, sender: LinkSender, hello: &[u8]) {
        let links = self.seen.borrow().links + 1;
        let random =
            |attempt: u64| *blake3::hash(&[links, attempt].map(u64::to_be_bytes).concat()).as_bytes();
        let first_tags = |attempt: &u64| {
            [true, false].map(|with_room| {
                let (mut link, mut out) = self.link(peer, random(*attempt), with_room);
                out.clear();
                link.hear(hello, self.now(), &mut out).expect("a daemon says hello");
                out.first().and_then(tag_of).expect("who dialled opens something")
            })
        };
        // The first tag is another one without the room, and the least: so it is the room's.
        let is_first = |attempt: &u64| {
            let [with, without] = first_tags(attempt);
            with < without
        };
        let attempt = (0..).find(is_first).expect("one of eight or so");
        let (link, frames) = self.link(peer, random(attempt), true);
        self.line = Some((link, sender));
        self.unsent = frames.iter().map(LinkFrame::encode).collect();
        self.seen.send_modify(|seen| {
            let (pong, digests, bodies) = (seen.pong, seen.digests, std::mem::take(&mut seen.bodies));
            *seen = Seen { links, pong, digests, bodies, ..Seen::default() };
        });
    }

    fn link(&self, peer: PeerKey, random: [u8; 32], with_room: bool) -> (Link, Vec<LinkFrame>) {
        let mut frames = Vec::new();
        let mut link = Link::new(self.me, peer, End::Dialled, random, self.now(), &mut frames);
        if with_room {
            link.add_room(self.room, vec![self.secret], &mut frames);
        }
        (link, frames)
    }

    fn frame(&mut self, bytes: &[u8]) {
        let now = self.now();
        let Some((link, _)) = &mut self.line else { return };
        let frame = LinkFrame::decode(bytes).expect("a daemon says frames").expect("of known kinds");
        let mut out = Vec::new();
        let heard = link.hear(bytes, now, &mut out).expect("a daemon keeps to the protocol");
        self.seen.send_modify(|seen| {
            let opening = out.iter().find(|frame| matches!(frame, LinkFrame::Open { channel: CHANNEL, .. }));
            seen.opening = opening.cloned().or(seen.opening.take());
            seen.open |= matches!(heard, Heard::Opened(_));
            if let Heard::Room(_, RoomFrame::Run { run }) = &heard {
                seen.note_run(run);
            }
            seen.note(frame);
        });
        if let Heard::Opened(room) = heard {
            // Holding nothing, it is sent everything.
            let nothing = RoomFrame::Vector { held: Default::default(), runs_taken: 0, exact: true };
            out.extend(link.wrap(&room, nothing));
        }
        self.unsent.extend(out.iter().map(LinkFrame::encode));
    }

    fn now(&self) -> Now {
        let us = u64::try_from(self.began.elapsed().as_micros()).expect("no test lasts that long");
        Now { monotonic_us: us, wall_ms: 0 }
    }
}

fn tag_of(frame: &LinkFrame) -> Option<[u8; 16]> {
    match frame {
        LinkFrame::Open { tag, .. } => Some(*tag),
        _ => None,
    }
}

impl Seen {
    fn note(&mut self, frame: LinkFrame) {
        match &frame {
            LinkFrame::Beat { digests, .. } => return self.digests += digests.len(),
            LinkFrame::Room { frame: RoomFrame::Run { run }, .. } => return self.note_run(run),
            LinkFrame::Room { frame: RoomFrame::Backlog { content }, .. } => {
                let runs = backlog::unpack(content).expect("a daemon packs what can be unpacked");
                return runs.iter().for_each(|run| self.note_run(run));
            }
            LinkFrame::Pong { ping } => self.pong = *ping,
            LinkFrame::Hello { .. }
            | LinkFrame::Open { .. }
            | LinkFrame::Close { .. }
            | LinkFrame::Farewell
            | LinkFrame::Former(_)
            | LinkFrame::Live { .. }
            | LinkFrame::Redeem(_)
            | LinkFrame::Welcome { .. }
            | LinkFrame::Refused { .. }
            | LinkFrame::Room { .. } => {}
        }
        if self.said.len() < SAID_MAX {
            self.said.push(frame);
        }
    }

    fn note_run(&mut self, run: &Run) {
        for (seq, body) in (run.first..).zip(&run.bodies) {
            self.bodies.insert(Dot { actor: run.actor, seq }, body.to_vec());
        }
    }
}

impl Home {
    /// Where this home's daemon listens.
    pub(crate) fn ticket_addresses(&self) -> Vec<String> {
        let status = self.json(&["status"]);
        let addresses = status["listening"].as_array().expect("addresses");
        addresses.iter().map(|address| address.as_str().expect("an address").to_owned()).collect()
    }

    /// A ticket for this home's default room.
    pub(crate) fn ticket(&self) -> Ticket {
        self.ok(&["invite"]).lines().last().expect("a ticket").parse().expect("a valid one")
    }
}
