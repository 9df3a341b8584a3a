//! Time and everybody in it: what is going to happen, and what daemons do about it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use crate::founding::Founding;
use crate::id::{Actor, Dot, StateHash};
use crate::limits::WAITING_MESSAGES_MAX;
use crate::members::Role;
use crate::room;
use crate::scene::Root;
use crate::sim::forgetting::KEEPER;
use crate::sim::governing::{access, rotates};
use crate::sim::keys::Signer;
use crate::sim::network::Network;
use crate::sim::peer::SimPeer;
use crate::sim::rogue::Way;
use crate::sim::{Choice, Faults, Peaks, Plan, Random, Trace, is_crowded, is_vast};
use crate::switchboard::{Input, Output};
use crate::sync::LinkId;
use crate::sync::frame::Digest;
use crate::ticket::Secret;

/// How long the faults last, in virtual milliseconds.
pub(super) const TROUBLE_MS: u64 = 10_000;
/// How long a cut, a crash and so on lasts at most. After that and the trouble there is peace.
pub(super) const OUTAGE_MS: u64 = 4_000;
/// How often everything is looked at.
pub(super) const LOOK_MS: u64 = 500;
/// One universe in so many signs as daemons do; the others with something that costs less.
const SIGNED: u64 = 20;
/// Of 1,000 commits, how many are followed by a snapshot of the room.
const PUT_AWAY_PER_MILLE: u64 = 10;
/// What a message that waits may wait for of one peer: a quarter of the buffer.
const WAITING_PER_LINK: usize = WAITING_MESSAGES_MAX / 4;

/// What is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    Connect { a: usize, b: usize },
    Deliver { link: LinkId, bytes: Vec<u8>, backlog_bytes: usize },
    LinkDown { link: LinkId },
    Commit { peer: usize, life: u64 },
    Read { peer: usize, life: u64, link: LinkId, ranges: Vec<(Actor, u64, u64)> },
    Edit { peer: usize, count: u64 },
    Cut { from: usize, to: usize },
    Heal { from: usize, to: usize },
    DiskFull { peer: usize },
    DiskSpace { peer: usize },
    Rot { peer: usize },
    Image { peer: usize },
    Restore { peer: usize },
    Copy { from: usize, to: usize },
    ClockJump { peer: usize, ms: i64 },
    ClockStop { peer: usize },
    ClockGoOn { peer: usize },
    Crash { peer: usize },
    Restart { peer: usize },
    Pause { peer: usize, ms: u64 },
    Start { peer: usize },
    Mischief { way: Way },
    Compact,
    Govern { by: usize, about: usize, rank: Option<Role> },
    Rotate { peer: usize },
    Look,
    Peace,
}

/// An event, the earliest first and of one time the first made.
struct Scheduled {
    us: u64,
    number: u64,
    event: Event,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.us, self.number).cmp(&(other.us, other.number))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

pub(super) struct Universe {
    pub(super) seed: u64,
    pub(super) random: Random,
    /// What still goes wrong.
    pub(super) faults: Faults,
    /// What went wrong before there was peace.
    pub(super) drawn: Faults,
    pub(super) us: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub(super) peers: Vec<SimPeer>,
    founding: Founding,
    /// When each wants to be woken.
    wakes: Vec<Option<u64>>,
    /// Who is no daemon of ours alone: the last but for copies.
    pub(super) rogue: Option<usize>,
    pub(super) network: Network,
    /// Whether some edits are so large that a reunion needs more than one portion of credit.
    is_bulky: bool,
    /// Numbers under which there are two messages.
    pub(super) forks: Vec<Dot>,
    /// How many horizons the keeper wrote.
    pub(super) horizons: u64,
    /// Of messages that horizons left outside, as which ones they were issued again.
    pub(super) reissues: BTreeMap<Dot, BTreeSet<Dot>>,
    /// What each set of messages looked like.
    pub(super) seen: BTreeMap<Digest, StateHash>,
    /// When the faults ended.
    pub(super) peace_us: Option<u64>,
    /// When all agreed last, or the faults ended.
    pub(super) calm_us: u64,
    /// For how many heartbeats after the faults they did not, at most.
    pub(super) rounds: u64,
    edits_left: u64,
    pub(super) edits_made: u64,
    pub(super) deliveries: u64,
    pub(super) peaks: Peaks,
    pub(super) trace: Trace,
    log: Option<Vec<String>>,
}

impl Universe {
    /// What the room begins with.
    pub(super) fn root(&self) -> Root {
        Root::of(Some(&self.founding))
    }

    pub(super) fn new(plan: &Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let drawn = match &plan.faults {
            Choice::Drawn(kinds) => Faults::draw(&mut random, kinds),
            Choice::Given(faults) => **faults,
        };
        let spread = (plan.peers.end() - plan.peers.start() + 1) as u64;
        let more = random.below(spread).min(random.below(spread)).min(random.below(spread));
        let count = plan.peers.start() + usize::try_from(more).expect("few peers");
        let signs = plan.seed.is_multiple_of(SIGNED) || rotates(plan.seed);
        let signers: Vec<_> = (0..count).map(|_| Signer::new(random.bytes(), signs)).collect();
        let (owner, nonce) = (signers[KEEPER].keys().public(), random.bytes());
        let founding =
            Founding { owner, nonce, name: "sim".to_owned(), time_ms: 0, access: access(plan.seed) };
        let secret = Secret(random.bytes());
        let peer = |signer| SimPeer::new(signer, &founding, secret, &mut random);
        let mut peers: Vec<SimPeer> = signers.into_iter().map(peer).collect();
        let rogue = drawn.mischief.is_any().then_some(count - 1);
        for _ in 0..drawn.disk.copies {
            // Whose key and disk it has it learns when it is copied.
            let signer = peers[0].signer.clone();
            peers.push(SimPeer::new(signer, &founding, secret, &mut random));
        }
        let kind = (is_vast(plan.seed), is_crowded(plan.seed));
        peers.iter_mut().for_each(|peer| (peer.is_vast, peer.is_crowded) = kind);
        let mut universe = Self {
            seed: plan.seed,
            faults: drawn,
            drawn,
            us: 0,
            queue: BinaryHeap::new(),
            scheduled: 0,
            wakes: vec![None; peers.len()],
            network: Network::new(peers.len()),
            is_bulky: random.below(8) == 0,
            peers,
            founding,
            rogue,
            forks: Vec::new(),
            horizons: 0,
            reissues: BTreeMap::new(),
            seen: BTreeMap::new(),
            peace_us: None,
            calm_us: 0,
            rounds: 0,
            edits_left: plan.edits,
            edits_made: 0,
            deliveries: 0,
            peaks: Peaks::default(),
            trace: Trace::default(),
            log: plan.log.then(Vec::new),
            random,
        };
        universe.plan(count, plan.edits);
        universe
    }

    /// Every event in words, if that was asked for.
    pub(super) fn take_log(&mut self) -> Vec<String> {
        self.log.take().unwrap_or_default()
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>11.6} s  {}", self.us as f64 / 1e6, what()));
        }
    }

    /// Whether a peer is a daemon of ours and nothing else.
    pub(super) fn is_honest(&self, peer: usize) -> bool {
        self.rogue != Some(peer)
    }

    pub(super) fn at(&mut self, ms: u64, event: Event) {
        self.at_us(ms * 1000, event);
    }

    pub(super) fn at_us(&mut self, us: u64, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { us, number: self.scheduled, event }));
    }

    /// Within so many milliseconds from now.
    pub(super) fn soon(&mut self, within_ms: u64, event: Event) {
        let us = self.us + self.random.below(within_ms * 1000);
        self.at_us(us, event);
    }

    /// Lets everything happen, until all agree after the faults have ended.
    pub(super) fn live(&mut self) -> Result<(), String> {
        loop {
            let wake = self.wakes.iter().enumerate().filter_map(|(peer, us)| Some(((*us)?, peer))).min();
            let event = self.queue.peek().map(|Reverse(next)| next.us);
            if let Some((us, peer)) = wake.filter(|(us, _)| event.is_none_or(|event| *us < event)) {
                self.us = self.us.max(us);
                self.input(peer, Input::Wake)?;
                continue;
            }
            let Some(Reverse(Scheduled { us, event, .. })) = self.queue.pop() else {
                return Err("nothing happens any more".to_owned());
            };
            self.us = self.us.max(us);
            self.trace.add(us);
            if matches!(event, Event::Look) && self.is_over()? {
                return Ok(());
            }
            self.happen(event)?;
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if !matches!(event, Event::Deliver { .. } | Event::Connect { .. } | Event::Look) {
            self.note(|| format!("{event:?}"));
        }
        match event {
            Event::Connect { a, b } => self.connect(a, b),
            Event::Deliver { link, bytes, backlog_bytes } => self.deliver(link, bytes, backlog_bytes),
            Event::LinkDown { link } => self.link_down(link),
            Event::Commit { peer, life } => self.commit(peer, life),
            Event::Read { peer, life, link, ranges } => {
                if self.peers[peer].life != life || !self.peers[peer].is_up() {
                    return Ok(());
                }
                let records = self.peers[peer].read(&ranges);
                self.room_input(peer, room::Input::Read { link, records })
            }
            Event::Edit { peer, count } => self.edit(peer, count),
            Event::Cut { from, to } => self.cut(from, to),
            Event::Heal { from, to } => self.heal(from, to),
            Event::DiskFull { peer } => {
                self.peers[peer].disk.set_full(true);
                Ok(())
            }
            Event::DiskSpace { peer } => {
                self.peers[peer].disk.set_full(false);
                Ok(())
            }
            Event::Mischief { way } => self.mischief(way),
            Event::Compact => self.compact(),
            Event::Govern { by, about, rank } => self.govern(by, about, rank),
            Event::Rotate { peer } => self.rotate(peer),
            Event::Look => {
                self.soon(2 * LOOK_MS, Event::Look);
                if self.random.per_mille(250) { self.look() } else { Ok(()) }
            }
            event => self.befall(event),
        }
    }

    /// Users of a peer make edits; if it does not run, another one's.
    fn edit(&mut self, peer: usize, count: u64) -> Result<(), String> {
        let order = (0..self.peers.len()).map(|n| (peer + n) % self.peers.len());
        let can = |&peer: &usize| self.peers[peer].is_up() && self.peers[peer].paused_until <= self.us;
        let Some(peer) = order.into_iter().find(can) else {
            self.at_us(self.us + LOOK_MS * 1000, Event::Edit { peer, count });
            return Ok(());
        };
        for made in 0..count {
            if !self.peers[peer].is_up() {
                // It crashed over the last one; the rest is for another.
                self.at_us(self.us, Event::Edit { peer, count: count - made });
                return Ok(());
            }
            self.edits_left -= 1;
            let bulky = self.is_bulky && self.random.per_mille(125);
            let input = self.peers[peer].next_edit(bulky, &mut self.random);
            self.edits_made += 1;
            self.room_input(peer, input)?;
        }
        self.room_input(peer, room::Input::Flush)
    }

    /// Whether no more edits come.
    pub(super) fn is_edited(&self) -> bool {
        self.edits_left == 0
    }

    fn commit(&mut self, peer: usize, life: u64) -> Result<(), String> {
        if self.put_off(peer, |life| Event::Commit { peer, life }, life) {
            return Ok(());
        }
        let committed = self.peers[peer].commit(life);
        if committed.retry {
            self.at_us(self.us + 100_000, Event::Commit { peer, life });
        }
        if self.peers[peer].has_failed {
            // Somebody sees it and starts the daemon again.
            self.soon(OUTAGE_MS, Event::Restart { peer });
        }
        committed.report.map_or(Ok(()), |report| self.room_input(peer, report))?;
        if self.random.per_mille(PUT_AWAY_PER_MILLE) { self.peers[peer].put_away() } else { Ok(()) }
    }

    /// Lets something happen to a stopped process when it goes on. Says whether it is stopped.
    pub(super) fn put_off<T>(&mut self, peer: usize, event: impl FnOnce(T) -> Event, with: T) -> bool {
        let until = self.peers[peer].paused_until;
        if until <= self.us {
            return false;
        }
        self.at_us(until, event(with));
        true
    }

    pub(super) fn room_input(&mut self, peer: usize, input: room::Input) -> Result<(), String> {
        let room = self.peers[peer].room_id();
        self.input(peer, Input::Room { room, input })
    }

    pub(super) fn input(&mut self, peer: usize, input: Input) -> Result<(), String> {
        let mut inputs = VecDeque::new();
        let mut next = Some(input);
        while let Some(input) = next {
            let mut outputs = Vec::new();
            let now = self.peers[peer].clock.now(self.us);
            self.peers[peer].handle(input, now, &mut outputs);
            if self.carry_out_all(peer, outputs, &mut inputs)?.is_break() {
                return Ok(());
            }
            next = inputs.pop_front();
        }
        self.wakes[peer] = self.peers[peer].wake_us();
        Ok(())
    }

    /// Does what a peer's daemon says, and everything that follows from that.
    pub(super) fn outputs(&mut self, peer: usize, outputs: Vec<Output>) -> Result<(), String> {
        let mut inputs = VecDeque::new();
        if self.carry_out_all(peer, outputs, &mut inputs)?.is_continue() {
            for input in inputs {
                self.input(peer, input)?;
            }
            self.wake_anew(peer);
        }
        Ok(())
    }

    /// Does what a peer's daemon says, until it crashes.
    fn carry_out_all(
        &mut self,
        peer: usize,
        outputs: Vec<Output>,
        inputs: &mut VecDeque<Input>,
    ) -> Result<ControlFlow<()>, String> {
        self.peaks.outputs = self.peaks.outputs.max(outputs.len() as u64);
        for output in outputs {
            if self.crashes_now(peer) {
                return Ok(ControlFlow::Break(()));
            }
            self.carry_out(peer, output, inputs)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The peer's process or clock is not what it was.
    pub(super) fn wake_anew(&mut self, peer: usize) {
        self.wakes[peer] = self.peers[peer].wake_us();
    }

    fn carry_out(&mut self, peer: usize, output: Output, inputs: &mut VecDeque<Input>) -> Result<(), String> {
        let output = match output {
            Output::Send { unsent: Some((room, input)), .. }
                if self.random.per_mille(self.faults.network.unsent_per_mille) =>
            {
                inputs.push_back(Input::Room { room, input });
                return Ok(());
            }
            Output::Send { link, lane, bytes, unsent } => {
                if !self.withholds(peer, lane, unsent.is_some()) {
                    self.send(link, lane, bytes);
                }
                return Ok(());
            }
            Output::Disconnect { link, .. } => {
                self.unplug(link);
                return Ok(());
            }
            Output::Secrets { .. }
            | Output::Met { .. }
            | Output::Spare { .. }
            | Output::Claimed { .. }
            | Output::Welcomed { .. }
            | Output::Refused { .. } => return Ok(()),
            Output::Wake { .. } => return Err(format!("peer {peer} sleeps, and nobody put it to sleep")),
            Output::Room { output, .. } => output,
        };
        let life = self.peers[peer].life;
        match output {
            room::Output::Number { epoch, seq } => self.peers[peer].note_number(epoch, seq),
            room::Output::Store { batch, records } => {
                self.note_reissues(&records);
                if self.peers[peer].write(batch, records) {
                    let slow = 1 + 20 * u64::from(self.network.is_slow(peer));
                    self.soon(5 * slow, Event::Commit { peer, life });
                }
            }
            room::Output::Read { link, ranges } => self.soon(2, Event::Read { peer, life, link, ranges }),
            room::Output::Forget(forgetting) => {
                let failed = self.forget(peer, &forgetting)?;
                self.report(peer, failed, inputs);
            }
            room::Output::Rename { renames, forks } => {
                let failed = self.peers[peer].rename(&renames, &forks);
                self.report(peer, failed, inputs);
            }
            room::Output::Fact { name, value } => self.peers[peer].remember(name, &value),
            // Nobody lies about what it sees, and such frames come whole.
            room::Output::Alarm(what) => return Err(format!("peer {peer} raises an alarm: {what}")),
            room::Output::Forked(dot) if self.forks.contains(&dot) => {
                self.note(|| format!("peer {peer} learns of the fork at {dot}"));
            }
            room::Output::Forked(dot) => {
                return Err(format!("peer {peer} finds a fork at {dot}, where none is"));
            }
            room::Output::Reply { token, result } => self.peers[peer].answer(token, result)?,
            room::Output::Refused { link, refusal } => {
                if !self.may_refuse(link, &refusal) {
                    return Err(format!("peer {peer} refuses what an honest one sent: {refusal}"));
                }
                self.note(|| format!("peer {peer} refuses: {refusal}"));
            }
            room::Output::Send { .. }
            | room::Output::Event(_)
            | room::Output::Founded(_)
            | room::Output::Synced { .. } => {}
        }
        Ok(())
    }

    /// Nobody's buffer holds more than it may.
    pub(super) fn check_bounds(&mut self, peer: usize) -> Result<(), String> {
        let Some(room) = self.peers[peer].room() else { return Ok(()) };
        let (waiting, links) = (room.waiting(), room.peers_connected());
        self.peaks.waiting_messages = self.peaks.waiting_messages.max(waiting as u64);
        if waiting > WAITING_MESSAGES_MAX.min(links * WAITING_PER_LINK) {
            return Err(format!(
                "{waiting} messages wait for their past on peer {peer}, from {links} others"
            ));
        }
        Ok(())
    }
}
