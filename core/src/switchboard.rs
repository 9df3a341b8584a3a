//! All rooms and all connections of one daemon: frames find their room, rooms find their peers.
//!
//! The daemon's hub and the simulator both run this; neither adds a rule of its own.

mod member;
mod parting;
mod sleeping;

use std::collections::BTreeMap;

use crate::api::{ApiError, Code, Compact, Compacted};
use crate::chain::Keys;
use crate::id::{Dot, PeerKey, RoomId};
use crate::invite::InviteRefusal;
use crate::limits::ROOM_LINKS_WANTED;
use crate::members::Former;
use crate::room::{self, Room};
use crate::sync::frame::Claim;
use crate::sync::link::Heard;
use crate::sync::{End, Lane, Link, LinkFrame, LinkId, Now, RoomFrame};
use crate::ticket::Secret;
use member::Member;
use sleeping::Dormant;

/// What happens to a daemon's rooms and connections.
#[derive(Debug)]
pub enum Input {
    /// A connection has come up.
    LinkUp {
        /// Its id.
        link: LinkId,
        /// Who is at the other end, as the transport has proven.
        peer: PeerKey,
        /// Which end of it is ours.
        end: End,
        /// Used for no other connection.
        random: [u8; 32],
    },
    /// A connection is gone.
    LinkDown {
        /// Its id.
        link: LinkId,
    },
    /// A frame has come.
    Frame {
        /// Over which connection.
        link: LinkId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Something happens to a room.
    Room {
        /// Which.
        room: RoomId,
        /// What.
        input: room::Input,
    },
    /// Time has passed.
    Wake,
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Send a frame.
    Send {
        /// Over which connection.
        link: LinkId,
        /// How urgent.
        lane: Lane,
        /// Its bytes.
        bytes: Vec<u8>,
        /// What a room is told where it cannot be queued, and no harm is done; the connection of any other frame that cannot be
        /// queued has to end.
        unsent: Option<(RoomId, room::Input)>,
    },
    /// End a connection.
    Disconnect {
        /// Which.
        link: LinkId,
        /// Why.
        reason: String,
    },
    /// This peer has proven that it belongs to a room of ours; said once per connection.
    Met {
        /// Who.
        peer: PeerKey,
    },
    /// Somebody says that this daemon has invited him. Where [`Switchboard::has_proven`] finds that true, he is to be
    /// [welcomed](Switchboard::welcome) or [refused](Switchboard::refuse); else nothing is to be said.
    Claimed {
        /// Over which connection.
        link: LinkId,
        /// Who.
        peer: PeerKey,
        /// What he shows.
        claim: Claim,
    },
    /// Every room shared with that peer has connections enough: once the one to it ends, it is to be left alone for a while.
    Spare {
        /// Who.
        peer: PeerKey,
    },
    /// This daemon is a member of a room now.
    Welcomed {
        /// The secret of the invitation.
        invite: Secret,
        /// The room's founding message, as who has made the invitation says.
        founding: Vec<u8>,
        /// What proves membership.
        secret: Secret,
    },
    /// An invitation is good no more.
    Refused {
        /// Its secret.
        invite: Secret,
        /// Why.
        why: InviteRefusal,
    },
    /// Remember what proves membership in a room, the current secret first, in place of what did before.
    Secrets {
        /// Which room.
        room: RoomId,
        /// All that do.
        secrets: Vec<Secret>,
    },
    /// Read a room that sleeps from the disk, for [`Switchboard::rouse`].
    Wake {
        /// Which.
        room: RoomId,
    },
    /// Carry out what a room wants done.
    Room {
        /// Which.
        room: RoomId,
        /// What; never [`room::Output::Send`].
        output: room::Output,
    },
}

/// The rooms and the connections.
pub struct Switchboard {
    me: PeerKey,
    /// The keys that gave way to it.
    former: Vec<Former>,
    rooms: BTreeMap<RoomId, Member>,
    /// Those that are out of memory.
    asleep: BTreeMap<RoomId, Dormant>,
    links: BTreeMap<LinkId, Link>,
    /// When to look next for one to do without.
    part_us: u64,
    /// Who was said farewell to last.
    parted: LinkId,
}

impl Switchboard {
    /// A daemon without rooms and connections.
    pub fn new(keys: &dyn Keys) -> Self {
        Self {
            me: keys.public(),
            former: keys.former().iter().filter_map(|former| keys.give_way(former, &keys.public())).collect(),
            rooms: BTreeMap::new(),
            asleep: BTreeMap::new(),
            links: BTreeMap::new(),
            part_us: 0,
            parted: LinkId(0),
        }
    }

    /// Adds a room, loaded, and opens it towards all peers. `secrets` prove that we belong to it; the first is the current one.
    pub fn add_room(&mut self, room: Room, secrets: Vec<Secret>, now: Now, out: &mut Vec<Output>) {
        assert!(!secrets.is_empty(), "a room has a secret");
        let id = room.id();
        self.rooms.insert(id, Member { room, secrets, rules: 0 });
        self.heed(id, now, out);
        self.open(id, now, out);
    }

    /// Takes in the current secret of a room that is awake, as who has let us in says.
    pub fn learn_secret(&mut self, id: &RoomId, secret: Secret, now: Now, out: &mut Vec<Output>) {
        let Some(member) = self.rooms.get_mut(id) else { return };
        if member.learn(secret, Vec::new()) {
            out.push(Output::Secrets { room: *id, secrets: member.secrets.clone() });
            self.open(*id, now, out);
        }
    }

    /// Lets all connections heed what the room's log says by now of members and secrets, if that is news.
    fn heed(&mut self, id: RoomId, now: Now, out: &mut Vec<Output>) {
        let Some(member) = self.rooms.get_mut(&id) else { return };
        let rules = member.room.rules();
        if rules == std::mem::replace(&mut member.rules, rules) {
            return;
        }
        if let Some((secret, former)) = member.room.newest_secret()
            && member.learn(secret, former)
        {
            out.push(Output::Secrets { room: id, secrets: member.secrets.clone() });
        }
        self.open(id, now, out);
    }

    /// Opens a room towards all peers whom it is not to be closed to.
    fn open(&mut self, id: RoomId, now: Now, out: &mut Vec<Output>) {
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.open_to(link, id, now, out);
        }
    }

    /// Opens a room towards a peer whom it is not to be closed to; nothing is said where it stands so already.
    fn open_to(&mut self, link: LinkId, id: RoomId, now: Now, out: &mut Vec<Output>) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let keys: Vec<PeerKey> = state.keys().collect();
        let awake = self.rooms.get(&id).map(|member| member.secrets_for(&keys));
        let asleep = || self.asleep.get(&id).map(|dormant| dormant.secrets_for(&keys));
        let Some(secrets) = awake.or_else(asleep) else { return };
        let (is_open, is_welcome) = (state.shared_rooms().any(|room| room == id), !secrets.is_empty());
        let mut frames = Vec::new();
        let opens = match is_welcome {
            true => state.add_room(id, secrets, &mut frames),
            false => {
                state.remove_room(&id, &mut frames);
                false
            }
        };
        send(link, frames, out);
        if opens {
            self.peer_up(id, link, now, out);
        } else if is_open && !is_welcome {
            self.room_input(id, room::Input::PeerDown { link }, now, out);
        }
    }

    /// Removes a room, which the daemon has left or cannot keep. Returns whether it was there.
    pub fn remove_room(&mut self, id: &RoomId, out: &mut Vec<Output>) -> bool {
        let was_there = self.rooms.remove(id).is_some() | self.asleep.remove(id).is_some();
        for (&link, state) in &mut self.links {
            let mut frames = Vec::new();
            state.remove_room(id, &mut frames);
            send(link, frames, out);
        }
        was_there
    }

    /// A room that is awake.
    pub fn room(&mut self, id: &RoomId) -> Option<&mut Room> {
        self.rooms.get_mut(id).map(|member| &mut member.room)
    }

    /// Lets a room's history go: see [`Room::compact`].
    pub fn compact(
        &mut self,
        id: &RoomId,
        ask: &Compact,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<Compacted, ApiError> {
        let Some(member) = self.rooms.get_mut(id) else {
            return Err(ApiError::new(Code::NotFound, "there is no such room"));
        };
        let mut outputs = Vec::new();
        let done = member.room.compact(ask, now, &mut outputs);
        self.carry_out(*id, outputs, out);
        done
    }

    /// What proves membership in a room.
    pub fn secret(&self, id: &RoomId) -> Option<Secret> {
        self.secrets(id).first().copied()
    }

    /// All that have proven membership in a room, the newest first.
    pub fn secrets(&self, id: &RoomId) -> &[Secret] {
        let awake = self.rooms.get(id).map(|member| &member.secrets);
        awake.or_else(|| self.asleep.get(id).map(|dormant| &dormant.secrets)).map_or(&[], Vec::as_slice)
    }

    /// Shows `peer`, over whatever connections there are to it, that it has invited us.
    pub fn redeem(&mut self, peer: &PeerKey, invite: Secret, out: &mut Vec<Output>) {
        for (&link, state) in self.links.iter_mut().filter(|(_, state)| state.peer() == *peer) {
            let mut frames = Vec::new();
            state.redeem(invite, &mut frames);
            send(link, frames, out);
        }
    }

    /// Whether who has sent `claim` knows the secret of that invitation.
    pub fn has_proven(&self, link: LinkId, claim: &Claim, invite: &Secret) -> bool {
        self.links.get(&link).is_some_and(|state| state.has_proven(claim, invite))
    }

    /// Lets who has sent `claim` into the room; he is a member by now.
    pub fn welcome(&self, link: LinkId, claim: &Claim, id: &RoomId, out: &mut Vec<Output>) {
        let Some(member) = self.rooms.get(id) else { return };
        let Some(founding) = member.room.founding() else { return };
        let (founding, secret) = (founding.encode(), member.secrets[0]);
        send(link, vec![LinkFrame::Welcome { tag: claim.tag, founding, secret }], out);
    }

    /// Tells who has sent `claim` why he is not let in.
    pub fn refuse(&self, link: LinkId, claim: &Claim, why: InviteRefusal, out: &mut Vec<Output>) {
        send(link, vec![LinkFrame::Refused { tag: claim.tag, why }], out);
    }

    /// All rooms, asleep or not.
    pub fn rooms(&self) -> impl Iterator<Item = RoomId> + '_ {
        self.rooms.keys().chain(self.asleep.keys()).copied()
    }

    /// All connections.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(&id, link)| (id, link))
    }

    /// Takes in what happened and appends to `out` what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::LinkUp { link, peer, end, random } => {
                let mut frames = Vec::new();
                let mut state = Link::new(self.me, peer, end, random, now, &mut frames);
                frames.extend(self.former.iter().copied().map(LinkFrame::Former));
                for (&room, member) in &self.rooms {
                    let secrets = member.secrets_for(&[peer]);
                    if !secrets.is_empty() {
                        state.add_room(room, secrets, &mut frames);
                    }
                }
                for (&room, dormant) in &self.asleep {
                    let secrets = dormant.secrets_for(&[peer]);
                    if !secrets.is_empty() {
                        state.add_room(room, secrets, &mut frames);
                    }
                }
                self.links.insert(link, state);
                send(link, frames, out);
            }
            Input::LinkDown { link } => self.link_down(link, now, out),
            Input::Frame { link, bytes } => self.frame(link, &bytes, now, out),
            Input::Room { room, input } => self.room_input(room, input, now, out),
            Input::Wake => self.wake(now, out),
        }
    }

    /// When [`Input::Wake`] is due, on the monotonic clock.
    pub fn wake_at(&self) -> Option<u64> {
        let links = self.links.values().map(Link::wake_at);
        let rooms = self.rooms.values().filter_map(|member| member.room.wake_at());
        links.chain(rooms).chain(self.asleep.values().filter_map(Dormant::wake_at)).min()
    }

    fn wake(&mut self, now: Now, out: &mut Vec<Output>) {
        let due = |member: &Member| member.room.wake_at().is_some_and(|at| at <= now.monotonic_us);
        let due_asleep = |dormant: &Dormant| dormant.wake_at().is_some_and(|at| at <= now.monotonic_us);
        let awake = self.rooms.iter().filter(|(_, member)| due(member)).map(|(&room, _)| room);
        let asleep = self.asleep.iter().filter(|(_, dormant)| due_asleep(dormant)).map(|(&room, _)| room);
        let due: Vec<_> = awake.chain(asleep).collect();
        for room in due {
            self.room_input(room, room::Input::Wake, now, out);
        }
        let mut silent = Vec::new();
        for (&id, link) in &mut self.links {
            let mut frames = Vec::new();
            let digest = |room: &RoomId| match self.rooms.get_mut(room) {
                Some(member) => member.room.digest_for(id),
                None => Some(self.asleep.get(room)?.sleeper.digest()),
            };
            if !link.wake(now, digest, &mut frames) {
                silent.push(id);
            }
            send(id, frames, out);
        }
        for link in silent {
            self.disconnect(link, "silent for too long".to_owned(), now, out);
        }
        self.part(now, out);
    }

    fn frame(&mut self, link: LinkId, bytes: &[u8], now: Now, out: &mut Vec<Output>) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let mut frames = Vec::new();
        let heard = state.hear(bytes, now, &mut frames);
        send(link, frames, out);
        match heard {
            Ok(Heard::Opened(room)) => self.peer_up(room, link, now, out),
            Ok(Heard::Closed(room)) => self.room_input(room, room::Input::PeerDown { link }, now, out),
            Ok(Heard::Digests(digests)) => {
                for (room, digest) in digests {
                    self.room_input(room, room::Input::Digest { link, digest }, now, out);
                }
            }
            Ok(Heard::Room(room, frame)) => {
                self.room_input(room, room::Input::Frame { link, frame }, now, out)
            }
            Ok(Heard::Claimed(claim)) => {
                out.push(Output::Claimed { link, peer: state.peer(), claim });
            }
            Ok(Heard::Welcomed { invite, founding, secret }) => {
                out.push(Output::Welcomed { invite, founding, secret });
            }
            Ok(Heard::Refused { invite, why }) => out.push(Output::Refused { invite, why }),
            Ok(Heard::Farewell) if self.can_spare(link, ROOM_LINKS_WANTED) => {
                out.extend(self.links.get(&link).map(|state| Output::Spare { peer: state.peer() }));
                self.disconnect(link, "both have connections enough".to_owned(), now, out);
            }
            Ok(Heard::Farewell) => {}
            Ok(Heard::Succeeds) => {
                for room in self.rooms().collect::<Vec<_>>() {
                    self.open_to(link, room, now, out);
                }
            }
            Ok(Heard::Missed(room)) => self.room_input(room, room::Input::Missed { link }, now, out),
            Ok(Heard::Nothing) => {}
            Err(error) => self.disconnect(link, error.to_string(), now, out),
        }
    }

    fn peer_up(&mut self, room: RoomId, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let peer = state.peer();
        if state.has_just_proven() {
            out.push(Output::Met { peer });
        }
        self.room_input(room, room::Input::PeerUp { link, peer }, now, out);
    }

    fn room_input(&mut self, id: RoomId, input: room::Input, now: Now, out: &mut Vec<Output>) {
        if let room::Input::Unsent { link, .. } = &input
            && let Some(link) = self.links.get_mut(link)
        {
            link.unsent();
        }
        let Some(member) = self.rooms.get_mut(&id) else { return self.sleeper_input(id, input, now, out) };
        // Not what was committed and is not told yet: who is removed is to hear of it.
        let may_be_news = matches!(input, room::Input::Flush | room::Input::Frame { .. } | room::Input::Wake);
        let mut outputs = Vec::new();
        member.room.handle(input, now, &mut outputs);
        self.carry_out(id, outputs, out);
        if may_be_news {
            self.heed(id, now, out);
        }
    }

    /// Puts what a room sends into frames of its connections.
    fn carry_out(&mut self, id: RoomId, outputs: Vec<room::Output>, out: &mut Vec<Output>) {
        for output in outputs {
            match output {
                room::Output::Send { link, lane, frame } => {
                    let unsent = match &frame {
                        RoomFrame::Run { run } => {
                            let first = Dot { actor: run.actor, seq: run.first };
                            Some((id, room::Input::Unsent { link, first }))
                        }
                        RoomFrame::Show { session, part, .. } => {
                            Some((id, room::Input::Unshown { link, session: *session, part: *part }))
                        }
                        _ => None,
                    };
                    if let Some(frame) = self.links.get_mut(&link).and_then(|link| link.wrap(&id, frame)) {
                        out.push(Output::Send { link, lane, bytes: frame.encode(), unsent });
                    }
                }
                output => out.push(Output::Room { room: id, output }),
            }
        }
    }

    fn disconnect(&mut self, link: LinkId, reason: String, now: Now, out: &mut Vec<Output>) {
        self.link_down(link, now, out);
        out.push(Output::Disconnect { link, reason });
    }

    fn link_down(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(state) = self.links.remove(&link) else { return };
        for room in state.shared_rooms().collect::<Vec<_>>() {
            self.room_input(room, room::Input::PeerDown { link }, now, out);
        }
    }
}

fn send(link: LinkId, frames: Vec<LinkFrame>, out: &mut Vec<Output>) {
    let sends = frames.into_iter().map(|frame| Output::Send {
        link,
        lane: Lane::Live,
        bytes: frame.encode(),
        unsent: None,
    });
    out.extend(sends);
}
