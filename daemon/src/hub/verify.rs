//! What connected peers see of a room beside what is seen here, and what is kept where that differs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use rtc_core::api::{ApiError, Code, Finding, Health, Reply, RoomName};
use rtc_core::bundle::{Bundle, FORMAT, Packed};
use rtc_core::dialect::describe;
use rtc_core::id::{PeerKey, RoomId, StateHash};
use rtc_core::op::TABLE_VERSION;
use rtc_core::room::{Agreement, Room};
use rtc_core::store::{FORKS, Store};

use crate::doctor::Patient;
use crate::durable;
use crate::hub::care::begin;
use crate::hub::{Call, Hub};
use crate::store::SqliteStore;

/// The subject of what is found of a peer.
const PEER: &str = "peer";

/// A client that waits until every peer can be compared.
pub(super) struct Verification {
    pub(super) call: Call,
    pub(super) deadline_us: u64,
    room: RoomId,
    bundle: String,
}

impl Hub {
    /// Compares a room with what its connected peers see, once that is known of all of them, or the time is up; where they differ, the
    /// file `bundle` says what of.
    pub(super) fn verify(&mut self, call: Call, room: &RoomName, bundle: String, timeout_ms: u64) {
        match self.room_named(room.as_deref()) {
            Ok(room) => {
                let deadline_us = self.clock.now().after_ms(timeout_ms);
                self.verify_or_wait(Verification { call, deadline_us, room, bundle });
            }
            Err(error) => call.answer(Err(error)),
        }
    }

    /// Looks again for those who wait. A heartbeat has passed, or somebody's time is up.
    pub(super) fn verify_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.verifications) {
            self.verify_or_wait(waiting);
        }
    }

    fn verify_or_wait(&mut self, verification: Verification) {
        let agreements = self.board.room(&verification.room).map(Room::agreements).unwrap_or_default();
        let is_other = |(_, agreement): &_| matches!(agreement, Agreement::Other(_));
        let is_missing = |(_, agreement): &_| *agreement == Agreement::NotCompared;
        let is_due = verification.deadline_us <= self.clock.now().monotonic_us;
        if !is_due && agreements.iter().any(is_missing) && !agreements.iter().any(is_other) {
            return self.verifications.push(verification);
        }
        self.tell_agreements(verification, agreements);
    }

    fn tell_agreements(&mut self, verification: Verification, agreements: Vec<(PeerKey, Agreement)>) {
        let Verification { call, room: id, bundle, .. } = verification;
        let findings = agreements.iter().map(|(peer, agreement)| finding(peer, *agreement).of(id)).collect();
        let others = agreements.into_iter().filter_map(|(peer, agreement)| match agreement {
            Agreement::Other(state) => Some((peer, state)),
            Agreement::Same | Agreement::NotCompared => None,
        });
        let mut seen: BTreeMap<PeerKey, StateHash> = others.collect();
        if seen.is_empty() {
            return call.answer(Ok(Reply::Findings(findings)));
        }
        let (me, patient) = (self.me, self.patient());
        let Some(room) = self.board.room(&id) else { return };
        seen.insert(me, room.replica().state_hash());
        let kept = Bundle {
            bundle: FORMAT,
            room: id,
            founder: room.replica().root().founder,
            table: TABLE_VERSION,
            peer: me,
            ground: room.horizon().map(|_| Bundle::pack_ground(&room.ground())),
            forks: None,
            messages: Vec::new(),
            seen,
            scene: describe(&room.replica().image()),
        };
        begin(&call.clone(), "verify", move || call.answer(keep(kept, findings, &patient, &bundle)));
    }
}

fn finding(peer: &PeerKey, agreement: Agreement) -> Finding {
    match agreement {
        Agreement::Same => Finding::new(PEER, Health::Good, format!("{peer} sees the same scene")),
        Agreement::NotCompared => {
            let says = format!("{peer} holds other messages, is of another version, or has not come to rest");
            Finding::new(PEER, Health::Note, says)
        }
        Agreement::Other(state) => {
            let says = format!("{peer} sees another scene of the same messages: {state}");
            let fix = "run the same command on that machine too, and report both files: this is a bug in rtc, or broken memory";
            Finding::new(PEER, Health::Bad, says).with_fix(fix)
        }
    }
}

/// Writes the bundle, with the messages as they are on the disk.
fn keep(
    mut bundle: Bundle,
    mut findings: Vec<Finding>,
    patient: &Patient,
    file: &str,
) -> Result<Reply, ApiError> {
    let room = bundle.room;
    let mut write = || -> Result<(), String> {
        let copy = patient.copy(room)?;
        let mut store = SqliteStore::open(copy.path(), room).map_err(|error| error.to_string())?;
        let forks = store.fact(FORKS).map_err(|error| error.to_string())?;
        bundle.forks = forks.map(|fact| Bundle::pack_forks(&fact));
        let scanned = store.scan(&mut |record| {
            bundle.messages.push(Packed::of(&record));
            ControlFlow::Continue(())
        });
        scanned.map_err(|error| error.to_string())?;
        let bytes = serde_json::to_vec(&bundle).map_err(|error| error.to_string())?;
        durable::replace(Path::new(file), &bytes).map_err(|error| error.to_string())
    };
    write().map_err(|error| ApiError::new(Code::Internal, format!("{file} cannot be written: {error}")))?;
    let says = format!("the messages, and the scene as it is seen here, are in {file}");
    findings.push(
        Finding::new("bundle", Health::Note, says).with_fix(format!("rtc replay --check '{file}'")).of(room),
    );
    Ok(Reply::Findings(findings))
}
