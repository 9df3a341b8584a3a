//! What befalls disks, clocks and processes, and when: drawn before a universe begins.

use std::collections::VecDeque;

use crate::room;
use crate::sim::Failure;
use crate::sim::rogue::Way;
use crate::sim::universe::{Event, LOOK_MS, OUTAGE_MS, TROUBLE_MS, Universe};
use crate::switchboard::Input;

/// How wrong people's clocks are at most: some five years.
const SKEW_MS: u64 = 5 * 365 * 24 * 3600 * 1000;
/// Calls of a store among which one fails.
const CALLS: u64 = 60;
/// Outputs among which a crash comes.
const STEPS: u64 = 12;
/// How often who misbehaves claims power over members, where there are some.
const CLAIMS: u64 = 4;
/// Edits that may be made at once, before what is made is told; mostly it is one.
const BURST: u64 = 4;

impl Universe {
    /// Sets everything that will happen from outside. `count` peers there are from the beginning on.
    pub(super) fn plan(&mut self, count: usize, edits: u64) {
        for (a, b) in self.network.pairs() {
            self.soon(100, Event::Connect { a, b });
        }
        for peer in 0..count {
            self.at(0, Event::Start { peer });
        }
        let mut left = edits;
        while left > 0 {
            let burst = if self.random.per_mille(250) { self.random.below(BURST) } else { 0 };
            let burst = (1 + burst).min(left);
            left -= burst;
            let peer = self.random.index(count);
            self.soon(TROUBLE_MS, Event::Edit { peer, count: burst });
        }
        self.plan_network(count);
        self.plan_disks(count);
        self.plan_machines(count);
        self.plan_mischief();
        self.plan_forgetting();
        self.plan_members(count);
        self.soon(LOOK_MS, Event::Look);
        self.at(TROUBLE_MS + OUTAGE_MS, Event::Peace);
    }

    /// A time of trouble and one after it.
    fn outage(&mut self) -> (u64, u64) {
        let at = self.random.below(TROUBLE_MS);
        (at, at + 1 + self.random.below(OUTAGE_MS))
    }

    fn plan_network(&mut self, count: usize) {
        let faults = self.drawn.network;
        for cut in 0..faults.cuts + faults.cuts_one_way {
            let (from, more) = (self.random.index(count), 1 + self.random.index(count - 1));
            let to = (from + more) % count;
            let (at, end) = self.outage();
            self.plan_cut(from, to, at, end);
            if cut < faults.cuts {
                self.plan_cut(to, from, at, end);
            }
        }
        for _ in 0..faults.absences {
            let peer = self.random.index(count);
            let at = self.random.below(TROUBLE_MS / 3);
            let end = TROUBLE_MS / 2 + self.random.below(TROUBLE_MS / 2);
            for other in (0..self.peers.len()).filter(|other| *other != peer) {
                self.plan_cut(peer, other, at, end);
                self.plan_cut(other, peer, at, end);
            }
        }
        for _ in 0..faults.slow_peers {
            let peer = self.random.index(count);
            self.network.set_slow(peer, true);
        }
    }

    fn plan_cut(&mut self, from: usize, to: usize, at: u64, end: u64) {
        self.at(at, Event::Cut { from, to });
        self.at(end, Event::Heal { from, to });
    }

    fn plan_disks(&mut self, count: usize) {
        let faults = self.drawn.disk;
        for _ in 0..faults.full {
            let peer = self.random.index(count);
            let (at, end) = self.outage();
            self.at(at, Event::DiskFull { peer });
            self.at(end, Event::DiskSpace { peer });
        }
        for _ in 0..faults.errors {
            let (peer, n) = (self.random.index(count), 1 + self.random.below(CALLS));
            let failure = *self.random.pick(&[Failure::Full, Failure::Nothing, Failure::Everything]);
            self.peers[peer].disk.fail_call(n, failure);
        }
        if let Some((n, failure)) = faults.error_at {
            self.peers[0].disk.fail_call(n, failure);
        }
        for _ in 0..faults.flips {
            let peer = self.random.index(count);
            let (at, end) = self.outage();
            self.at(at, Event::Rot { peer });
            self.at(end, Event::Restart { peer });
        }
        for _ in 0..faults.restores {
            let peer = self.random.index(count);
            let (at, end) = self.outage();
            self.at(at, Event::Image { peer });
            self.at(end, Event::Restore { peer });
        }
        for copy in count..self.peers.len() {
            let from = self.random.index(count - usize::from(self.rogue.is_some()));
            let at = self.random.below(TROUBLE_MS);
            self.at(at, Event::Copy { from, to: copy });
        }
    }

    fn plan_machines(&mut self, count: usize) {
        let (clock, process) = (self.drawn.clock, self.drawn.process);
        for peer in 0..self.peers.len() {
            // A clock that never jumps begins anywhere.
            let origin_us = self.random.below(1 << 40);
            self.peers[peer].clock.boot(origin_us);
            if clock.skew {
                let ms = self.wrong_ms();
                self.peers[peer].clock.jump(ms);
            }
        }
        for _ in 0..clock.jumps {
            let (peer, ms) = (self.random.index(count), self.wrong_ms());
            self.soon(TROUBLE_MS, Event::ClockJump { peer, ms });
        }
        for _ in 0..clock.standstills {
            let peer = self.random.index(count);
            let (at, end) = self.outage();
            self.at(at, Event::ClockStop { peer });
            self.at(end, Event::ClockGoOn { peer });
        }
        for _ in 0..process.crashes {
            let peer = self.random.index(count);
            self.soon(TROUBLE_MS, Event::Crash { peer });
        }
        for _ in 0..process.restarts {
            let peer = self.random.index(count);
            self.soon(TROUBLE_MS, Event::Restart { peer });
        }
        for _ in 0..process.pauses {
            let (peer, ms) = (self.random.index(count), 1 + self.random.below(OUTAGE_MS));
            self.soon(TROUBLE_MS, Event::Pause { peer, ms });
        }
    }

    /// By how much a clock is wrong: mostly it is behind.
    fn wrong_ms(&mut self) -> i64 {
        let ms = i64::try_from(self.random.below(SKEW_MS)).expect("a few years");
        if self.random.per_mille(700) { -ms } else { ms }
    }

    fn plan_mischief(&mut self) {
        let mischief = self.drawn.mischief;
        for (times, way) in [
            (mischief.equivocate, Way::Equivocate),
            (mischief.lamports, Way::Lamport),
            (mischief.clocks, Way::Clock),
            (mischief.oversize, Way::Oversize),
            (mischief.forge, Way::Forge),
            (mischief.replay, Way::Replay),
            (mischief.flood, Way::Flood),
            (if mischief.is_any() && self.is_strict() { CLAIMS } else { 0 }, Way::Claim),
        ] {
            for _ in 0..times {
                self.soon(TROUBLE_MS, Event::Mischief { way });
            }
        }
    }

    /// Lets something happen to a disk, a clock or a process.
    pub(super) fn befall(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Rot { peer } => self.peers[peer].disk.rot(&mut self.random),
            Event::Image { peer } => self.peers[peer].keep_image(),
            Event::Restore { peer } => {
                self.crash(peer);
                if self.peers[peer].restore() {
                    self.forgive();
                }
                self.start_soon(peer);
            }
            Event::Copy { from, to } => {
                let (signer, disk) = (self.peers[from].signer.clone(), self.peers[from].disk.clone());
                self.peers[to].become_copy(disk, signer);
                return self.start(to);
            }
            Event::ClockJump { peer, ms } => self.peers[peer].clock.jump(ms),
            Event::ClockStop { peer } => {
                self.peers[peer].clock.stop(self.us);
                self.wake_anew(peer);
            }
            Event::ClockGoOn { peer } => {
                self.peers[peer].clock.go_on(self.us);
                self.wake_anew(peer);
            }
            Event::Crash { peer } => {
                let steps = self.random.below(STEPS);
                self.peers[peer].crash_in = self.peers[peer].is_up().then_some(steps);
            }
            Event::Restart { peer } => return self.restart(peer),
            Event::Pause { peer, ms } if self.peace_us.is_none() && self.peers[peer].is_up() => {
                self.peers[peer].paused_until = self.us + ms * 1000;
                self.wake_anew(peer);
            }
            Event::Start { peer } => return self.start(peer),
            Event::Peace => return self.make_peace(),
            _ => {}
        }
        Ok(())
    }

    /// Whether the process of a peer crashes before its next output is carried out; then it has.
    pub(super) fn crashes_now(&mut self, peer: usize) -> bool {
        match &mut self.peers[peer].crash_in {
            None => return false,
            Some(0) => {}
            Some(steps) => {
                *steps -= 1;
                return false;
            }
        }
        self.note(|| format!("{peer} crashes"));
        self.crash(peer);
        self.start_soon(peer);
        true
    }

    /// A store has failed for good, if it has: the process hears of it, and is started again one day.
    pub(super) fn report(&mut self, peer: usize, failed: Option<room::Input>, inputs: &mut VecDeque<Input>) {
        let Some(input) = failed else { return };
        self.soon(OUTAGE_MS, Event::Restart { peer });
        inputs.push_back(Input::Room { room: self.peers[peer].room_id(), input });
    }

    pub(super) fn crash(&mut self, peer: usize) {
        if !self.peers[peer].is_up() {
            return;
        }
        let torn = if self.drawn.disk.torn { self.random.below(self.peers[peer].writing() + 1) } else { 0 };
        self.peers[peer].crash(self.drawn.process.reboot, torn);
        if self.drawn.process.reboot {
            let origin_us = self.random.below(1 << 40);
            self.peers[peer].clock.boot(origin_us);
        }
        for (link, _) in self.network.links_of(peer) {
            self.unplug(link);
        }
        self.wake_anew(peer);
        // What only this process had is gone; what reached another one's disk is not.
        let told = std::mem::take(&mut self.peers[peer].told);
        if !told.is_empty() {
            let lost = self.lost(&told);
            self.peers[peer].owed.extend(told.difference(&lost));
        }
    }

    pub(super) fn start_soon(&mut self, peer: usize) {
        self.soon(OUTAGE_MS, Event::Start { peer });
    }

    fn start(&mut self, peer: usize) -> Result<(), String> {
        let now = self.peers[peer].clock.now(self.us);
        let has_lost = self.peers[peer].start(now)?;
        self.wake_anew(peer);
        self.replace_orphans()?;
        if has_lost {
            self.forgive();
        }
        Ok(())
    }

    /// Stops a process in good order, if it runs, and starts it again.
    pub(super) fn restart(&mut self, peer: usize) -> Result<(), String> {
        if self.peers[peer].is_up() {
            self.room_input(peer, room::Input::Flush)?;
            let life = self.peers[peer].life;
            if let Some(report) = self.peers[peer].commit(life).report {
                self.room_input(peer, report)?;
            }
            self.peers[peer].put_away()?;
        }
        let reboot = std::mem::take(&mut self.drawn.process.reboot);
        self.crash(peer);
        self.drawn.process.reboot = reboot;
        self.soon(100, Event::Start { peer });
        Ok(())
    }

    /// The faults end.
    fn make_peace(&mut self) -> Result<(), String> {
        self.peace_us = Some(self.us);
        self.faults = crate::sim::Faults::default();
        self.mend();
        for peer in 0..self.peers.len() {
            let state = &mut self.peers[peer];
            state.disk.heal();
            state.clock.go_on(self.us);
            (state.crash_in, state.paused_until) = (None, 0);
            let was_there = state.life > 0;
            if state.has_failed || state.has_stale_fact || state.disk.is_rotten() {
                self.restart(peer)?;
            } else if !state.is_up() && was_there {
                self.at_us(self.us, Event::Start { peer });
            }
            self.wake_anew(peer);
        }
        Ok(())
    }
}
