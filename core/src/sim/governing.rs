//! Rooms with members: a founder who admits the others, owners who remove and admit again, and one who claims what he may not.

use crate::api::Says;
use crate::founding::Access;
use crate::id::PeerKey;
use crate::members::Role;
use crate::message::{Head, Message};
use crate::op::{Op, OpCode};
use crate::room::{self, Standing};
use crate::sim::forgetting::KEEPER;
use crate::sim::universe::{Event, TROUBLE_MS, Universe};

/// One universe in so many has a room with members.
const MEMBERS: u64 = 3;
/// Of those, one in so many has no removals.
const LENIENT: u64 = 2;
/// And of either, in one of so many keys give way to others.
const ROTATES: u64 = 2;
/// How often, at most.
const ROTATIONS_MAX: u64 = 5;
/// By when the founder has admitted everybody, if nothing goes wrong.
const ADMISSION_MS: u64 = 1_000;
/// How often owners change their minds at most.
const CHANGES_MAX: u64 = 10;

/// What the room of a universe is.
pub(super) fn access(seed: u64) -> Access {
    if seed.is_multiple_of(MEMBERS) { Access::Members } else { Access::Open }
}

/// Whether keys give way to others.
pub(super) fn rotates(seed: u64) -> bool {
    access(seed) == Access::Members && (seed / MEMBERS / LENIENT).is_multiple_of(ROTATES)
}

/// What somebody is to be; none where he is removed.
type Rank = Option<Role>;

impl Universe {
    fn has_members(&self) -> bool {
        access(self.seed) == Access::Members
    }

    /// Whether members are removed, and are less than they were.
    pub(super) fn is_strict(&self) -> bool {
        self.has_members() && !(self.seed / MEMBERS).is_multiple_of(LENIENT)
    }

    /// Sets when owners say who the members are. In an open room nobody does.
    pub(super) fn plan_members(&mut self, count: usize) {
        if !self.has_members() {
            return;
        }
        let roles: &[Role] = match self.is_strict() {
            true => &[Role::Owner, Role::Editor, Role::Editor, Role::Editor, Role::Viewer],
            false => &[Role::Owner, Role::Editor],
        };
        for about in (0..count).filter(|about| *about != KEEPER) {
            let rank = Some(*self.random.pick(roles));
            self.soon(ADMISSION_MS, Event::Govern { by: KEEPER, about, rank });
        }
        if rotates(self.seed) {
            for _ in 0..self.random.below(ROTATIONS_MAX) {
                let peer = self.random.index(count);
                self.soon(TROUBLE_MS, Event::Rotate { peer });
            }
        }
        if !self.is_strict() {
            return;
        }
        for _ in 0..self.random.below(CHANGES_MAX) {
            let by = if self.random.per_mille(500) { KEEPER } else { self.random.index(count) };
            let about = self.random.index(count);
            if (by, about) == (KEEPER, KEEPER) {
                // Without him nobody could admit him, or who is removed, again.
                continue;
            }
            let ranks =
                [None, None, Some(Role::Viewer), Some(Role::Editor), Some(Role::Owner), Some(Role::Owner)];
            let rank = *self.random.pick(&ranks);
            self.soon(TROUBLE_MS, Event::Govern { by, about, rank });
            if rank < Some(Role::Editor) {
                // Most come back, so that there are edits on either side of a cut.
                self.soon(TROUBLE_MS, Event::Govern { by, about, rank: Some(Role::Editor) });
            }
        }
    }

    /// A user says what somebody is to be, if his daemon runs. Perhaps he may not.
    pub(super) fn govern(&mut self, by: usize, about: usize, rank: Rank) -> Result<(), String> {
        if !self.peers[by].is_up() || self.peers[by].paused_until > self.us {
            // The first word on somebody must be said one day.
            if by == KEEPER && !self.is_edited() {
                self.soon(ADMISSION_MS, Event::Govern { by, about, rank });
            }
            return Ok(());
        }
        let key = self.peers[about].keys.public();
        let says = match rank {
            Some(role) => Says::MemberRole { key, role, name: None },
            None => Says::MemberRemove { key },
        };
        let input = self.peers[by].next_says(says);
        self.room_input(by, input)?;
        self.room_input(by, room::Input::Flush)
    }

    /// A user's key gives way to another, with which his daemon starts anew.
    pub(super) fn rotate(&mut self, peer: usize) -> Result<(), String> {
        if !self.is_honest(peer) || !self.peers[peer].is_up() || self.peers[peer].paused_until > self.us {
            return Ok(());
        }
        self.restart(peer)?;
        // Two machines with one key would be two peers from then on, of whom one may do nothing; and who has lost something does not know
        // any more what he wrote with the old key.
        if self.is_copied(peer) || self.peers[peer].has_lost {
            return Ok(());
        }
        let secret = self.random.bytes();
        self.peers[peer].rotate(secret);
        Ok(())
    }

    /// Whether there is another machine with the key of that one.
    fn is_copied(&self, peer: usize) -> bool {
        let key = self.peers[peer].keys.public();
        let is_another = |other: &usize| *other != peer && self.peers[*other].keys.public() == key;
        self.honest().iter().any(is_another)
    }

    /// In the end the founder admits who is removed again: nobody speaks to such a one, so it would never hold what others hold. Returns
    /// whether there was anybody.
    pub(super) fn readmit(&mut self) -> Result<bool, String> {
        let founder = self.peers[KEEPER].keys.public();
        let is_his = |peer: &usize| self.is_strict() && self.peers[*peer].keys.public() == founder;
        let mut has_readmitted = false;
        // On each of his machines: those of one key do not speak to each other, and hear of one another by those whom they admit.
        for machine in self.honest().into_iter().filter(is_his).collect::<Vec<_>>() {
            for about in self.removed_at(machine) {
                has_readmitted = true;
                self.govern(machine, about, Some(Role::Viewer))?;
            }
        }
        Ok(has_readmitted)
    }

    /// Who is removed by what a peer holds, if it is up.
    fn removed_at(&mut self, peer: usize) -> Vec<usize> {
        let mut removed = self.honest();
        let keys: Vec<_> = self.peers.iter().map(|peer| peer.keys.clone()).collect();
        let Some(room) = self.peers[peer].room() else { return Vec::new() };
        removed.retain(|&peer| {
            let mut standings = keys[peer].former().into_iter().map(|key| room.standing_of(&key));
            match room.standing_of(&keys[peer].public()) {
                // By his rotation he would be what he was, had it counted.
                Standing::Unknown => standings.any(|standing| standing == Standing::Removed),
                standing => standing == Standing::Removed,
            }
        });
        removed
    }

    /// A message as from before its author was removed, in a new epoch, by which he raises himself or removes somebody.
    pub(super) fn claim(&mut self, rogue: usize, message: Message) -> Message {
        let held = self.peers[rogue].disk.messages();
        if held.is_empty() {
            return message;
        }
        let seen = self.random.pick(&held).clone();
        let Some(link) = self.peers[rogue].disk.link(&seen.actor, seen.seq) else { return message };
        let own = self.peers[rogue].keys.public();
        let other = self.peers[self.random.index(self.peers.len())].keys.public();
        let mut ops = vec![match self.random.below(4) {
            0 => op("room.grant", own, Some(Role::Owner)),
            1 => op("room.remove", other, None),
            2 => takes_place_of(other),
            _ => op("room.grant", other, Some(Role::Viewer)),
        }];
        ops.extend(message.ops.iter().cloned());
        let head = Head { actor: seen.actor, seq: seen.seq, link: link.short() };
        Message { lamport: seen.lamport + 1, clock: vec![head], ops, ..message }
    }
}

/// What nobody has signed.
fn takes_place_of(other: PeerKey) -> Op {
    let signed = [("signed".to_owned(), "A".repeat(86).into())].into();
    Op { options: signed, ..op("room.rotate", other, None) }
}

fn op(name: &str, about: PeerKey, role: Rank) -> Op {
    let code = OpCode::named(name).expect("it is in the table");
    let options = role.map(|role| ("role".to_owned(), role.word().into())).into_iter().collect();
    Op { code, key: String::new(), path: None, value: about.to_string().into(), options }
}
