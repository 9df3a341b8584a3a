//! What connected peers see of a room beside what is seen here, and what is kept where that differs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use rtc_core::api::{ApiError, Code, Finding, Health, Reply, RoomName};
use rtc_core::bundle::{Bundle, FORMAT, Packed};
use rtc_core::dialect::describe;
use rtc_core::id::{PeerKey, StateHash};
use rtc_core::op::TABLE_VERSION;
use rtc_core::room::{Agreement, Room};
use rtc_core::store::Store;

use crate::doctor::Patient;
use crate::durable;
use crate::hub::care::begin;
use crate::hub::{Call, Hub};
use crate::store::SqliteStore;

/// The subject of what is found of a peer.
const PEER: &str = "peer";

impl Hub {
    /// Compares a room with what its connected peers see; where they differ, the file `bundle` says what of.
    pub(super) fn verify(&mut self, call: Call, room: &RoomName, bundle: String) {
        let id = match self.room_named(room.as_deref()) {
            Ok(id) => id,
            Err(error) => return call.answer(Err(error)),
        };
        let agreements = self.board.room(&id).map(Room::agreements).unwrap_or_default();
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
            table: TABLE_VERSION,
            peer: me,
            ground: room.horizon().map(|_| Bundle::pack_ground(&room.ground())),
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
