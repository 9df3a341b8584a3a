//! Who is in the room, and what is being edited there and not committed yet: shown while it lasts, and never kept.
//!
//! Each session's parts are told to every connected member by themselves: at once where the last word is old enough, and else, of what
//! came meanwhile only the last, when it is. What ends is told at once. What a peer shows goes with its connection.
//! Peers are told by whom a session belongs to, never passed on: whoever is no neighbour of that one sees nothing of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{self, ApiError, Code, EditOp, Shown};
use crate::canonical::Writer;
use crate::id::{Actor, PeerKey, Session};
use crate::limits::{HEARTBEAT_MS, SHOW_BURST_MAX, SHOW_PERIOD_MS, SHOW_RATE_MAX, SHOWN_SESSIONS_MAX};
use crate::members::Role;
use crate::op::edit;
use crate::op::row_named;
use crate::presence::{Allowance, Pace, Part, Show, stage};
use crate::preview;
use crate::room::{Output, Refusal, Room};
use crate::sync::{Lane, LinkId, Now, RoomFrame};

/// What we may show.
const TOLD: Allowance = Allowance { burst: SHOW_BURST_MAX, interval_us: 1_000_000 / SHOW_RATE_MAX };
/// What a peer may: more, since what was told in time may come at once.
const HEARD: Allowance = Allowance { burst: 4 * SHOW_BURST_MAX, interval_us: TOLD.interval_us / 2 };

/// What is shown in the room.
#[derive(Default)]
pub(super) struct Shows {
    own: BTreeMap<Session, Own>,
    peers: BTreeMap<LinkId, Neighbour>,
    pace: Pace,
    /// How often anything was shown here: the number of what is shown next.
    seq: u64,
    is_watched: bool,
}

/// What one session shows.
#[derive(Default)]
struct Holder {
    since_us: u64,
    changed_us: u64,
    parts: BTreeMap<Part, (u64, Show)>,
}

/// A session of ours.
#[derive(Default)]
struct Own {
    holder: Holder,
    /// When each part was last told.
    told_us: BTreeMap<Part, u64>,
    /// Parts that were not told since, and what that costs.
    untold: BTreeMap<Part, u64>,
}

/// What a connected peer shows.
struct Neighbour {
    key: PeerKey,
    /// Those that show nothing any more are remembered for what may come late.
    sessions: BTreeMap<Session, Holder>,
    pace: Pace,
    /// What could not be sent to it, to be told again.
    lost: BTreeSet<(Session, Part)>,
    /// When that is.
    retell_us: Option<u64>,
}

impl Holder {
    fn show(&self, part: Part) -> Option<&(u64, Show)> {
        self.parts.get(&part).filter(|(_, show)| !show.is_over())
    }

    fn is_over(&self) -> bool {
        self.parts.values().all(|(_, show)| show.is_over())
    }

    fn draft(&self) -> &[EditOp] {
        match self.parts.get(&Part::Draft) {
            Some((_, Show::Draft(edits))) => edits,
            Some((_, Show::Presence(_))) | None => &[],
        }
    }

    fn put(&mut self, seq: u64, show: Show, now: Now) {
        if self.is_over() {
            self.since_us = now.monotonic_us;
        }
        self.changed_us = now.monotonic_us;
        self.parts.insert(show.part(), (seq, show));
    }

    fn describe(&self, session: Session, peer: PeerKey, own: bool, now: Now) -> Shown {
        let ago_ms = |us: u64| now.monotonic_us.saturating_sub(us) / 1000;
        let fields = match self.show(Part::Presence) {
            Some((_, Show::Presence(fields))) => fields.clone(),
            Some((_, Show::Draft(_))) | None => BTreeMap::new(),
        };
        let staged = u32::try_from(self.draft().len()).unwrap_or(u32::MAX);
        let (since_ms, idle_ms) = (ago_ms(self.since_us), ago_ms(self.changed_us));
        Shown { session, peer, own, since_ms, idle_ms, fields, staged }
    }
}

impl Own {
    /// When that part may be told again, as far as it goes.
    fn due_us(&self, part: Part) -> u64 {
        self.told_us.get(&part).map_or(0, |told_us| told_us + SHOW_PERIOD_MS * 1000)
    }
}

impl Shows {
    /// Every session that shows something, once, by peer and session.
    fn holders(&self, me: PeerKey) -> BTreeMap<(PeerKey, Session), &Holder> {
        let own = self.own.iter().map(|(session, own)| ((me, *session), &own.holder));
        let of_peer = |neighbour| {
            let Neighbour { key, sessions, .. }: &Neighbour = neighbour;
            sessions.iter().map(|(session, holder)| ((*key, *session), holder))
        };
        own.chain(self.peers.values().flat_map(of_peer)).filter(|(_, holder)| !holder.is_over()).collect()
    }

    /// What is to be told next, and when: of all that waits, what may be told first as far as its session goes.
    fn next(&self) -> Option<(u64, Session, Part)> {
        let parts = self.own.iter().flat_map(|(session, own)| {
            own.untold.iter().map(|(&part, &cost)| (own.due_us(part), *session, part, cost))
        });
        let (due_us, session, part, cost) = parts.min()?;
        Some((due_us.max(self.pace.due_us(cost, TOLD)), session, part))
    }

    /// Whether nobody shows anything, here or elsewhere, and nobody has to be told so.
    pub(super) fn is_empty(&self) -> bool {
        let is_told = self.peers.values().all(|peer| peer.lost.is_empty());
        is_told
            && self.own.is_empty()
            && self.peers.values().all(|peer| peer.sessions.values().all(Holder::is_over))
    }

    /// The number of what was shown last.
    pub(super) fn newest(&self) -> u64 {
        self.seq
    }

    /// Numbers what is shown from now on after that.
    pub(super) fn go_on_after(&mut self, newest: u64) {
        self.seq = self.seq.max(newest);
    }

    /// A peer is connected that knows what is shown here.
    pub(super) fn meet(&mut self, link: LinkId, key: PeerKey) {
        self.peers.insert(link, Neighbour::new(key));
    }

    /// When something is to be told.
    pub(super) fn wakes_at(&self) -> Option<u64> {
        let next_us = self.next().map(|(due_us, ..)| due_us);
        next_us.into_iter().chain(self.peers.values().filter_map(|peer| peer.retell_us)).min()
    }
}

impl Room {
    /// Whether anybody listens to what is shown; making events of it costs something.
    pub fn set_shows_watched(&mut self, watched: bool) {
        self.shows.is_watched = watched;
    }

    /// Every session that shows something here, by peer and session.
    pub fn shown(&self, now: Now) -> Vec<Shown> {
        let me = self.keys.public();
        let holders = self.shows.holders(me).into_iter();
        holders.map(|((peer, session), holder)| holder.describe(session, peer, peer == me, now)).collect()
    }

    /// What is shown by now, as it would be told to subscribers.
    pub fn shown_events(&self) -> Vec<api::Event> {
        let holders = self.shows.holders(self.keys.public()).into_iter();
        let parts = holders.flat_map(|((peer, session), holder)| {
            let shows = holder.parts.values().filter(|(_, show)| !show.is_over());
            shows.map(move |(_, show)| (session, peer, show))
        });
        parts.map(|(session, peer, show)| self.event_of(session, peer, show)).collect()
    }

    /// The edits of a draft of ours.
    pub fn draft(&self, session: Session) -> &[EditOp] {
        self.shows.own.get(&session).map_or(&[], |own| own.holder.draft())
    }

    /// Fails where a session of ours may not show this.
    pub fn check_show(&self, session: Session, show: &Show) -> Result<(), ApiError> {
        let is_known = self.shows.own.contains_key(&session);
        if !show.is_over() && !is_known && self.shows.own.len() >= SHOWN_SESSIONS_MAX {
            let text =
                format!("{SHOWN_SESSIONS_MAX} sessions show something in the room, which is the limit");
            return Err(ApiError::new(Code::Busy, text)
                .with_hint("end one of them, or commit its draft; `rtc who` lists them"));
        }
        show.check()
    }

    /// The draft of a session of ours with more edits, or with these instead, checked as a commit of it would be.
    pub fn staged(&self, session: Session, edits: Vec<EditOp>, replace: bool) -> Result<Show, ApiError> {
        self.check_editor()?;
        if edits.iter().any(|edit| row_named(&edit.otype).is_some_and(|row| row.kind.is_meta())) {
            return Err(ApiError::new(Code::BadArgument, "undos and redos cannot be staged")
                .with_hint("they are messages of their own: `rtc undo`"));
        }
        let before = if replace { Vec::new() } else { self.draft(session).to_vec() };
        let draft = stage(before, edits);
        let actor = Actor::new(self.keys.public(), self.epoch_fresh);
        let (lamport, seq) = (self.replica.lamport_max() + 1, self.log.head(&actor) + 1);
        let commit = edit::Commit { lamport, actor, seq };
        edit::write(&draft, &self.replica, commit, &mut Writer::new())?;
        let show = Show::Draft(draft);
        self.check_show(session, &show)?;
        Ok(show)
    }

    /// A session of ours shows something, or nothing any more.
    pub(super) fn show(&mut self, session: Session, show: Show, now: Now, out: &mut Vec<Output>) {
        let (part, is_over) = (show.part(), show.is_over());
        if is_over && self.shows.own.get(&session).is_none_or(|own| own.holder.show(part).is_none()) {
            return;
        }
        self.shows.seq += 1;
        let cost = Pace::cost(show.encode().len());
        let own = self.shows.own.entry(session).or_default();
        own.holder.put(self.shows.seq, show, now);
        if !is_over {
            own.untold.insert(part, cost);
            return self.tell_shows(now, out);
        }
        // At once: with what the draft became, it would show twice.
        self.tell_show(session, part, now, out);
        self.shows.own.retain(|_, own| !own.holder.is_over());
    }

    /// A session of ours is gone.
    pub(super) fn end_session(&mut self, session: Session, now: Now, out: &mut Vec<Output>) {
        for part in [Part::Presence, Part::Draft] {
            self.show(session, Show::over(part), now, out);
        }
    }

    /// A session of ours commits its draft, which ends if that succeeds.
    pub(super) fn commit_draft(
        &mut self,
        token: u64,
        session: Session,
        mut edit: api::Edit,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let me = self.keys.public();
        // Asked again, it may have another draft by now.
        let is_made = edit.request.as_deref().is_some_and(|id| self.replica.request(&me, id).is_some());
        edit.ops = self.draft(session).to_vec();
        if edit.ops.is_empty() && !is_made {
            let error = ApiError::new(Code::NotFound, "nothing is staged in that draft")
                .with_hint("stage edits first: `rtc edit --stage …`; `rtc who` lists drafts");
            return out.push(Output::Reply { token, result: Err(error) });
        }
        match self.try_edit(token, edit, now, out) {
            Err(error) => out.push(Output::Reply { token, result: Err(error) }),
            Ok(()) if is_made => {}
            Ok(()) => {
                // First the message, then the end of what showed it.
                self.flush(now, out);
                self.show(session, Show::over(Part::Draft), now, out);
            }
        }
    }

    /// Tells what is due.
    pub(super) fn tell_shows(&mut self, now: Now, out: &mut Vec<Output>) {
        while let Some((_, session, part)) = self.shows.next().filter(|next| next.0 <= now.monotonic_us) {
            self.tell_show(session, part, now, out);
        }
        for link in self.shows.peers.keys().copied().collect::<Vec<_>>() {
            let peer = self.shows.peers.get_mut(&link).expect("it was just there");
            if peer.retell_us.take_if(|retell_us| *retell_us <= now.monotonic_us).is_some() {
                self.retell(link, now, out);
            }
        }
    }

    /// Tells everybody one part of what a session of ours shows.
    fn tell_show(&mut self, session: Session, part: Part, now: Now, out: &mut Vec<Output>) {
        let Some(own) = self.shows.own.get_mut(&session) else { return };
        own.untold.remove(&part);
        own.told_us.insert(part, now.monotonic_us);
        let (seq, show) = own.holder.parts[&part].clone();
        let content = show.encode();
        self.shows.pace.pay(Pace::cost(content.len()), TOLD, now.monotonic_us);
        for &link in self.shows.peers.keys() {
            let frame = RoomFrame::Show { session, seq, part, content: content.clone() };
            out.push(Output::Send { link, lane: Lane::Live, frame });
        }
        self.tell_watchers(session, self.keys.public(), &show, out);
    }

    /// Tells a peer how it stands with what could not be sent to it.
    fn retell(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let Shows { own, peers, pace, seq: newest, .. } = &mut self.shows;
        let lost = peers.get_mut(&link).map(|peer| std::mem::take(&mut peer.lost));
        for (session, part) in lost.into_iter().flatten() {
            let shown = own.get(&session).and_then(|own| own.holder.show(part));
            let (seq, content) = shown.map_or_else(
                || {
                    *newest += 1;
                    (*newest, Show::over(part).encode())
                },
                |(seq, show)| (*seq, show.encode()),
            );
            pace.pay(Pace::cost(content.len()), TOLD, now.monotonic_us);
            let frame = RoomFrame::Show { session, seq, part, content };
            out.push(Output::Send { link, lane: Lane::Live, frame });
        }
    }

    /// Tells a peer all that sessions of ours show.
    fn tell_all(&self, link: LinkId, out: &mut Vec<Output>) {
        for (&session, own) in &self.shows.own {
            for (&part, (seq, show)) in own.holder.parts.iter().filter(|(_, (_, show))| !show.is_over()) {
                let frame = RoomFrame::Show { session, seq: *seq, part, content: show.encode() };
                out.push(Output::Send { link, lane: Lane::Live, frame });
            }
        }
    }

    fn tell_watchers(&self, session: Session, peer: PeerKey, show: &Show, out: &mut Vec<Output>) {
        if self.shows.is_watched {
            out.push(Output::Event(Box::new(self.event_of(session, peer, show))));
        }
    }

    fn event_of(&self, session: Session, peer: PeerKey, show: &Show) -> api::Event {
        match show {
            Show::Presence(fields) => api::Event::Presence { session, peer, fields: fields.clone() },
            Show::Draft(edits) => {
                // Of who may not edit none of it can ever be.
                let changes = match self.may(&peer, Role::Editor) {
                    true => preview::changes(&self.replica, edits),
                    false => Vec::new(),
                };
                api::Event::Draft { session, peer, edits: edits.clone(), changes }
            }
        }
    }

    pub(super) fn show_to(&mut self, link: LinkId, key: PeerKey, out: &mut Vec<Output>) {
        self.shows.meet(link, key);
        self.tell_all(link, out);
    }

    /// A connection is gone, and with it what its peer showed, unless that shows over another one.
    pub(super) fn forget_shows(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let Some(Neighbour { key, sessions, .. }) = self.shows.peers.remove(&link) else { return };
        let holders = self.shows.holders(self.keys.public());
        let is_left = |session: Session, part: Part| {
            holders.get(&(key, session)).is_some_and(|holder| holder.show(part).is_some())
        };
        let mut gone = Vec::new();
        for (&session, holder) in &sessions {
            let parts = holder.parts.keys().filter(|&&part| holder.show(part).is_some());
            gone.extend(parts.filter(|&&part| !is_left(session, part)).map(|&part| (session, part)));
        }
        for (session, part) in gone {
            self.tell_watchers(session, key, &Show::over(part), out);
        }
    }

    /// Something shown could not be queued for a peer: it is told of it again once the queue may have emptied.
    pub(super) fn unshown(&mut self, link: LinkId, session: Session, part: Part, now: Now) {
        if let Some(peer) = self.shows.peers.get_mut(&link) {
            peer.lost.insert((session, part));
            peer.retell_us.get_or_insert(now.after_ms(HEARTBEAT_MS));
        }
    }

    pub(super) fn hear_show(
        &mut self,
        link: LinkId,
        (session, seq): (Session, u64),
        part: Part,
        content: &[u8],
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.shows.peers.get_mut(&link) else { return };
        let cost = Pace::cost(content.len());
        if peer.pace.due_us(cost, HEARD) > now.monotonic_us {
            return out.push(Output::Refused { link, refusal: Refusal::ShowsTooOften });
        }
        peer.pace.pay(cost, HEARD, now.monotonic_us);
        let show = match Show::decode(part, content) {
            Ok(show) => show,
            Err(error) => return out.push(Output::Refused { link, refusal: Refusal::Show { error } }),
        };
        if !peer.make_room(session) {
            return out.push(Output::Refused { link, refusal: Refusal::Shows });
        }
        let key = peer.key;
        let holder = peer.sessions.entry(session).or_default();
        if holder.parts.get(&part).is_some_and(|(held, _)| *held >= seq) {
            return;
        }
        holder.put(seq, show.clone(), now);
        self.tell_watchers(session, key, &show, out);
    }
}

impl Neighbour {
    fn new(key: PeerKey) -> Self {
        let (sessions, lost) = (BTreeMap::new(), BTreeSet::new());
        Self { key, sessions, pace: Pace::default(), lost, retell_us: None }
    }

    /// Whether there is a place for a session; one that shows nothing any more is left for it.
    fn make_room(&mut self, session: Session) -> bool {
        if self.sessions.contains_key(&session) || self.sessions.len() < SHOWN_SESSIONS_MAX {
            return true;
        }
        let over = self.sessions.iter().filter(|(_, holder)| holder.is_over());
        let oldest = over.min_by_key(|(_, holder)| holder.changed_us).map(|(session, _)| *session);
        oldest.is_some_and(|oldest| self.sessions.remove(&oldest).is_some())
    }
}
