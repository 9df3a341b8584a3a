//! A ground on its way from one peer to another that lacks what is forgotten: offered with proof, asked for piece by piece, checked
//! against its horizon, and stood on as a whole.

use crate::chain::Link;
use crate::horizon::Horizon;
use crate::id::{Actor, Dot, PeerKey, StateHash};
use crate::limits::{CREDIT_BYTES, GROUND_BYTES_MAX, GROUND_PACKED_BYTES_MAX, GROUND_PIECE_BYTES_MAX};
use crate::members::{Former, is_succession};
use crate::room::footing::{FootingError, PackedFooting};
use crate::room::{Output, Refusal, Room};
use crate::store::Record;
use crate::sync::{Lane, LinkId, Now, RoomFrame, Run, backlog};
use crate::ticket::Landmark;
use crate::view::MessageView;

/// Pieces sent at once: what a connection takes as backlog, too.
const PIECES_AT_ONCE: usize = CREDIT_BYTES / GROUND_PIECE_BYTES_MAX;
/// How long a peer may send nothing of what it offered until another one may.
const FETCH_SILENCE_MS: u64 = 10_000;
/// How long after it began to be handed a ground a peer may begin again. Who gave it up asks later than that.
const HANDING_MS_MIN: u64 = FETCH_SILENCE_MS / 2;
/// How often what is handed over is not stood on, since who hands it over holds others of messages that are held here. Perhaps it lies.
const PARTINGS_MAX: u8 = 4;

/// A ground that is being handed over by us: in order and once, however often a peer asks.
pub(super) struct Handing {
    ground: StateHash,
    /// Where the pieces that were not yet sent begin.
    next: u64,
    /// From when on it may be asked for from the beginning again.
    again_us: u64,
}

/// A ground that is being handed over to us.
pub(super) struct Fetch {
    link: LinkId,
    dot: Dot,
    horizon: Horizon,
    whole_bytes: usize,
    packed_bytes: usize,
    bytes: Vec<u8>,
    deadline_us: u64,
}

/// What a horizon comes with, as [`RoomFrame::Horizon`] has it.
pub(super) struct HorizonProof<'a> {
    pub(super) before: Link,
    pub(super) content: &'a [u8],
    pub(super) keepers: &'a [Former],
    pub(super) voucher: &'a [u8],
}

impl HorizonProof<'_> {
    /// Those of the founder's keys that came before one of them.
    fn keepers_before(&self, key: &PeerKey) -> &[Former] {
        self.keepers.split(|former| former.key == *key).next().unwrap_or_default()
    }
}

impl Fetch {
    pub(super) fn is_from(&self, link: LinkId) -> bool {
        self.link == link
    }

    /// Whether anything of an actor is in it.
    pub(super) fn holds(&self, actor: &Actor) -> bool {
        self.horizon.frontier.get(actor).is_some()
    }

    /// Something of it has come.
    pub(super) fn stay(&mut self, now: Now) {
        self.deadline_us = now.after_ms(FETCH_SILENCE_MS);
    }

    /// When it has taken too long.
    pub(super) fn deadline_us(&self) -> u64 {
        self.deadline_us
    }
}

impl Room {
    /// Offers the horizon to a peer that lacks forgotten messages, once its proof is read.
    pub(super) fn offer(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let Some(dot) = self.horizon() else { return };
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let reads = peer.reading.is_some() || self.reads_orphaned.contains(&link);
        if !peer.lacks_ground || reads {
            return;
        }
        // Who stands on it has not yet got its message if it came late itself.
        let Some(horizon) = self.log.link(&dot.actor, dot.seq) else { return };
        let run_of = |dot: Dot| self.log.run_from(dot.actor, dot.seq, self.log.head(&dot.actor));
        let Some(run) = run_of(dot) else { return };
        let voucher = self.replica.voucher(&horizon).filter(|dot| dot.seq == 1).and_then(run_of);
        let runs = [run].into_iter().chain(voucher);
        let ranges: Vec<_> = runs.map(|run| (run.actor, run.first, run.last)).collect();
        peer.is_offered = true;
        peer.reading = Some(ranges.clone());
        out.push(Output::Read { link, ranges });
    }

    /// Sends the horizon with its proof, which has been read.
    pub(super) fn send_horizon(&mut self, link: LinkId, records: &[Record], out: &mut Vec<Output>) {
        let Some(standing) = &self.horizons.standing else { return };
        let Dot { actor, seq: first } = standing.dot;
        let (own, vouching) =
            records.split_at(records.iter().take_while(|record| record.actor == actor).count());
        let Some(content) = pack(own).filter(|_| own[0].seq == first) else { return };
        let Some(before) = self.log.link(&actor, first - 1) else { return };
        let voucher = pack(vouching).unwrap_or_default();
        let keepers = if voucher.is_empty() { self.keepers_before(&actor.key()) } else { self.keepers() };
        let frame = RoomFrame::Horizon {
            before,
            content: content.into(),
            whole_bytes: standing.packed.whole_bytes as u64,
            packed_bytes: standing.packed.deflated.len() as u64,
            keepers,
            voucher,
        };
        out.push(Output::Send { link, lane: Lane::Bulk, frame });
    }

    /// A peer offers what is left of messages that we lack.
    pub(super) fn hear_horizon(
        &mut self,
        link: LinkId,
        proof: &HorizonProof<'_>,
        [whole_bytes, packed_bytes]: [u64; 2],
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some((dot, horizon)) = self.verify_horizon(proof) else {
            return out.push(Output::Refused { link, refusal: Refusal::Horizon });
        };
        let offered = Landmark { dot, ground: horizon.ground };
        let keepers = proof.keepers_before(&dot.actor.key());
        if let Some(named) = self.horizons.landmark.filter(|named| named.refuses(&offered, keepers)) {
            return refuse_ground(link, FootingError::Landmark { dot, named: named.dot }, out);
        }
        let standing = self.horizons.standing.as_ref().map(|standing| standing.horizon.frontier.version());
        let is_less = standing.is_some_and(|standing| {
            let held = horizon.frontier.version();
            standing.iter().any(|(actor, seq)| held.get(&actor) < seq)
        });
        // Nor before it is known what of it is held: it is offered again.
        let is_needless = horizon.frontier.is_seen_by(&self.log.vector()) || is_less || self.fetch.is_some();
        if is_needless || self.lacks_fork_of(&horizon.frontier) {
            return;
        }
        let sizes = usize::try_from(whole_bytes).ok().zip(usize::try_from(packed_bytes).ok());
        let fits = |&(whole, packed): &(usize, usize)| {
            whole <= GROUND_BYTES_MAX && packed <= GROUND_PACKED_BYTES_MAX
        };
        let Some((whole_bytes, packed_bytes)) = sizes.filter(fits) else {
            let error = FootingError::TooLarge { bytes: whole_bytes, packed: packed_bytes };
            return refuse_ground(link, error, out);
        };
        if !horizon.is_foldable() {
            let error = FootingError::Table { dot, table: horizon.table };
            // No peer can help: the same horizon is what all of them stand on.
            self.horizons.alarm = Some(error.to_string());
            return refuse_ground(link, error, out);
        }
        let frame = RoomFrame::GroundWanted { ground: horizon.ground, from: 0 };
        out.push(Output::Send { link, lane: Lane::Live, frame });
        let deadline_us = now.after_ms(FETCH_SILENCE_MS);
        let bytes = Vec::new();
        self.fetch = Some(Fetch { link, dot, horizon, whole_bytes, packed_bytes, bytes, deadline_us });
    }

    /// The horizon that a run begins with, if the keeper has signed it, or a key that he had and a later one vouches for it.
    fn verify_horizon(&self, proof: &HorizonProof<'_>) -> Option<(Dot, Horizon)> {
        let owner = self.founding.as_ref()?.owner;
        let run = self.verify_run(proof.content, |_| proof.before)?;
        let body = run.bodies.iter().next()?;
        let message = MessageView::read(run.actor, body).ok()?;
        let (dot, link) = (message.dot(), proof.before.next(body));
        let author = run.actor.key();
        let newest =
            if proof.voucher.is_empty() { author } else { self.verify_voucher(proof.voucher, &link)? };
        let is_his = newest == author || proof.keepers.iter().any(|former| former.key == author);
        let is_fine = is_his
            && is_succession(&owner, proof.keepers, &newest)
            && self.is_for_keeper((&dot, &link), proof.keepers, newest);
        is_fine.then_some((dot, Horizon::of(&message)?))
    }

    /// The key that vouches for a horizon with the first message of a run, which is its actor's first.
    fn verify_voucher(&self, voucher: &[u8], horizon: &Link) -> Option<PeerKey> {
        let run = self.verify_run(voucher, |actor| Link::origin(&self.id, actor))?;
        let message = MessageView::read(run.actor, run.bodies.iter().next()?).ok()?.to_message();
        let vouches = message.seq == 1 && message.ops.iter().any(|op| Former::vouches(op, horizon));
        vouches.then_some(run.actor.key())
    }

    /// A packed run, if its author has signed it.
    fn verify_run(&self, content: &[u8], before: impl FnOnce(&Actor) -> Link) -> Option<Run> {
        let [run] = <[Run; 1]>::try_from(backlog::unpack(content).ok()?).ok()?;
        let link = run.bodies.iter().fold(before(&run.actor), |link, body| link.next(body));
        self.keys.verify(&run.actor.key(), &link, &run.signature).then_some(run)
    }

    /// Sends the next pieces of the ground we stand on. Asks out of turn are dropped: a few bytes would be answered with many.
    pub(super) fn hand_over(
        &mut self,
        link: LinkId,
        ground: StateHash,
        from: u64,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let is_stood_on = self.landmark().is_some_and(|landmark| landmark.ground == ground);
        let Some(peer) = self.peers.get_mut(&link).filter(|_| is_stood_on) else { return };
        peer.handing.take_if(|handing| {
            handing.ground != ground || (from == 0 && handing.again_us <= now.monotonic_us)
        });
        let begun = || Handing { ground, next: 0, again_us: now.after_ms(HANDING_MS_MIN) };
        let handing = peer.handing.get_or_insert_with(begun);
        if from != handing.next || from == 0 && self.owes_proofs(link, now, out) {
            return;
        }
        let handing = self.peers.get_mut(&link).and_then(|peer| peer.handing.as_mut());
        let (Some(standing), Some(handing)) = (&self.horizons.standing, handing) else { return };
        let rest = usize::try_from(from).ok().and_then(|from| standing.packed.deflated.get(from..));
        for piece in rest.unwrap_or_default().chunks(GROUND_PIECE_BYTES_MAX).take(PIECES_AT_ONCE) {
            let frame = RoomFrame::GroundPiece { ground, from: handing.next, bytes: piece.to_vec() };
            out.push(Output::Send { link, lane: Lane::Bulk, frame });
            handing.next += piece.len() as u64;
        }
    }

    /// Sends the first pieces of a ground that a peer has asked for, if it had to be told of forks first.
    pub(super) fn begin_to_hand(&mut self, link: LinkId, now: Now, out: &mut Vec<Output>) {
        let handing = self.peers.get(&link).and_then(|peer| peer.handing.as_ref());
        if let Some(ground) = handing.filter(|handing| handing.next == 0).map(|handing| handing.ground) {
            self.hand_over(link, ground, 0, now, out);
        }
    }

    pub(super) fn hear_piece(
        &mut self,
        link: LinkId,
        ground: StateHash,
        from: u64,
        bytes: &[u8],
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(fetch) = &mut self.fetch else { return };
        let is_next =
            fetch.link == link && fetch.horizon.ground == ground && from == fetch.bytes.len() as u64;
        if !is_next || bytes.is_empty() || bytes.len() > fetch.packed_bytes - fetch.bytes.len() {
            return;
        }
        fetch.bytes.extend_from_slice(bytes);
        fetch.stay(now);
        if fetch.bytes.len() < fetch.packed_bytes {
            if fetch.bytes.len().is_multiple_of(PIECES_AT_ONCE * GROUND_PIECE_BYTES_MAX) {
                let frame = RoomFrame::GroundWanted { ground, from: fetch.bytes.len() as u64 };
                out.push(Output::Send { link, lane: Lane::Live, frame });
            }
            return;
        }
        let Fetch { dot, horizon, whole_bytes, bytes, .. } = self.fetch.take().expect("it is being fetched");
        // Not if it could not be kept, nor if all of it is held by now, nor before it is known which of it is: it is offered again.
        let frontier = &horizon.frontier;
        let is_held = frontier.is_seen_by(&self.log.vector());
        if self.read_only.is_some() || is_held || self.lacks_fork_of(frontier) {
            return;
        }
        if self.shows_parting(link, dot, &horizon, out) {
            return;
        }
        match (PackedFooting { whole_bytes, deflated: bytes.into() }).open(dot, &horizon) {
            Ok(footing) => {
                self.stand(dot, horizon, footing, now, out);
                self.place_forks(now, out);
                for link in self.peers.keys().copied().collect::<Vec<_>>() {
                    self.send_vector(link, true, out);
                }
                self.reissue(now, out);
                self.check_synced(out);
            }
            Err(error) => refuse_ground(link, error, out),
        }
    }

    /// Whether a peer that stands on a horizon holds others of messages that it would leave outside here: then it is sent ours, which
    /// proves the fork, and offers the horizon again. By the names of their branch they can be issued again beside the others.
    fn shows_parting(&mut self, link: LinkId, dot: Dot, horizon: &Horizon, out: &mut Vec<Output>) -> bool {
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| peer.partings < PARTINGS_MAX) else {
            return false;
        };
        let cut = |actor: &Actor| horizon.frontier.get(actor).map_or(0, |cut| cut.seq);
        let is_inside = |first: &Dot| {
            let Some(mut seen) = self.replica.version_of(first) else { return true };
            seen.raise(first.actor, cut(&first.actor));
            seen.get(&dot.actor) >= dot.seq || horizon.frontier.is_seen_by(&seen)
        };
        let held = self.log.vector();
        let both = held.iter().filter(|(actor, head)| (*head).min(peer.told.get(actor)) > cut(actor));
        let parted = both.filter(|(actor, _)| !is_inside(&Dot { actor: *actor, seq: cut(actor) + 1 }));
        let parted: Vec<(Actor, u64)> = parted.collect();
        if parted.is_empty() {
            return false;
        }
        peer.partings += 1;
        for (actor, head) in parted {
            peer.sent.lower(&actor, cut(&actor));
            peer.goal.raise(actor, head);
        }
        self.pump(link, out);
        true
    }

    /// Gives up what a peer does not hand over though it offered it: another may.
    pub(super) fn drop_stale_fetch(&mut self, now: Now) {
        self.fetch.take_if(|fetch| fetch.deadline_us <= now.monotonic_us);
    }
}

/// Packs a run that ends with a signature.
fn pack(records: &[Record]) -> Option<Vec<u8>> {
    let (begin, signature) = (records.first()?, records.last()?.signature?);
    let bodies = records.iter().map(|record| record.body.clone()).collect();
    let packed = backlog::pack(&[Run { actor: begin.actor, first: begin.seq, bodies, signature }]);
    packed.into_iter().next().map(|(content, _)| content)
}

fn refuse_ground(link: LinkId, error: FootingError, out: &mut Vec<Output>) {
    out.push(Output::Refused { link, refusal: error.into() });
}
